//! Kata's own configuration: the copy of the shipped file that is in use, and the drop-ins beside it.

use crate::distribution::Distribution;
use crate::error::{NodeError, Result};
use crate::lines::{self, Setting, setting};
use crate::settings::Settings;
use crate::shim::{Handler, Variant, hypervisor, is_rust};
use contract::Code;
use std::collections::BTreeMap;
use toml_edit::{Array, DocumentMut, Item, Value};

/// Names of drop-ins that are ours; one that is not wanted any more is removed, others are not touched.
pub const DROP_INS: [&str; 7] = [
    "10-installation-prefix.toml",
    "20-debug.toml",
    "22-k0s-kubelet-root.toml",
    "25-devkit.toml",
    "30-kernel-params.toml",
    "50-user-overrides.toml",
    "50-overrides.toml",
];

const NOTICE: &str =
    "# A copy of the shipped file, made by Husk. Put your own settings into config.d/ beside it, not here.\n";

/// The configuration in use: the shipped one with what cannot go into a drop-in, because arrays replace there.
///
/// # Errors
/// [`Code::PAYLOAD_CORRUPT`] when the shipped file is not TOML.
pub fn configuration(asked: &Settings, handler: &Handler, shipped: &str) -> Result<String> {
    let document = parse(handler, shipped)?;
    let table = hypervisor(&handler.shim);
    let mut settings = Vec::new();
    let wanted = asked.annotations.of(&handler.shim);
    if !wanted.is_empty() {
        let mut words = strings(&document, &["hypervisor", table, "enable_annotations"]);
        words.extend(
            wanted
                .into_iter()
                .filter(|word| !strings(&document, &["hypervisor", table, "enable_annotations"]).contains(word)),
        );
        settings.push(setting(["hypervisor", table, "enable_annotations"], words.into_iter().collect::<Array>()));
    }
    if asked.force_guest_pull.contains(&handler.shim) {
        settings.push(setting(["runtime", "experimental_force_guest_pull"], true));
    }
    let (text, _) = lines::set(shipped, &[], &settings, &[]).map_err(|error| corrupt(handler, &error))?;
    Ok(format!("{NOTICE}{text}"))
}

/// The image with tools for developers that is plugged into a guest beside its own, below the installation, and the file with its
/// root hash. Only the Rust runtime's NVIDIA shims have one.
pub const DEVKIT_IMAGE: &str = "share/kata-containers/kata-containers-nvidia-devkit-extension.img";
/// See [`DEVKIT_IMAGE`].
pub const DEVKIT_HASH: &str = "share/kata-containers/root_hash_nvidia-devkit-extension.txt";

/// Whether a shim's guests take [`DEVKIT_IMAGE`].
pub fn takes_devkit(shim: &str) -> bool {
    is_rust(shim) && shim.contains("nvidia")
}

/// The drop-ins of a handler by file name. `devkit` is the root hash of [`DEVKIT_IMAGE`], where that is installed.
pub fn drop_ins(
    asked: &Settings,
    handler: &Handler,
    distribution: Option<Distribution>,
    shipped: &str,
    devkit: Option<&str>,
) -> Result<BTreeMap<&'static str, String>> {
    let document = parse(handler, shipped)?;
    let table = hypervisor(&handler.shim);
    let mut files: BTreeMap<&'static str, Vec<Setting>> = BTreeMap::new();
    let home = asked.home();
    if home != "/opt/kata" {
        files.insert("10-installation-prefix.toml", relocated(&document, table, &home));
    }
    let debug = handler.variant == Variant::Debug;
    if debug {
        files.insert(
            "20-debug.toml",
            vec![
                setting(["hypervisor", table, "enable_debug"], true),
                setting(["runtime", "enable_debug"], true),
                setting(["agent", "kata", "enable_debug"], true),
                setting(["agent", "kata", "debug_console_enabled"], true),
            ],
        );
    }
    if distribution == Some(Distribution::K0s) && !is_rust(&handler.shim) {
        files
            .insert("22-k0s-kubelet-root.toml", vec![setting(["runtime", "kubelet_root_dir"], "/var/lib/k0s/kubelet")]);
    }
    if handler.variant == Variant::Devkit {
        files.insert("25-devkit.toml", vec![setting(["agent", "kata", "debug_console_enabled"], true)]);
    }
    let mut parameters: Vec<String> = Vec::new();
    for (key, proxies) in [("agent.https_proxy", &asked.https_proxy), ("agent.no_proxy", &asked.no_proxy)] {
        parameters.extend(proxies.of(&handler.shim).last().map(|value| format!("{key}={value}")));
    }
    if debug {
        parameters.extend(["agent.log=debug".to_owned(), "initcall_debug".to_owned()]);
    }
    if !parameters.is_empty() {
        let shipped =
            find(&document, &["hypervisor", table, "kernel_params"]).and_then(Item::as_str).unwrap_or_default().trim();
        let all: Vec<&str> = std::iter::once(shipped)
            .filter(|text| !text.is_empty())
            .chain(parameters.iter().map(String::as_str))
            .collect();
        files.insert("30-kernel-params.toml", vec![setting(["hypervisor", table, "kernel_params"], all.join(" "))]);
    }
    let mut texts = BTreeMap::new();
    for (name, settings) in files {
        let (text, _) = lines::document("# Written by Husk.\n", &settings).map_err(|error| corrupt(handler, &error))?;
        texts.insert(name, text);
    }
    if let (Some(hash), Some(text), true) = (devkit, texts.get_mut("25-devkit.toml"), takes_devkit(&handler.shim)) {
        // arrays of tables are appended to those of the shipped file
        let path = Value::from(format!("{home}/{DEVKIT_IMAGE}"));
        let hash = Value::from(hash.trim());
        text.push_str(&format!(
            "\n[[hypervisor.{table}.guest_extension_images]]\nname = \"nvidia-devkit\"\npath = {path}\nverity_params = {hash}\n"
        ));
    }
    let (name, theirs) = match handler.variant {
        Variant::Custom => {
            let custom = asked.custom.iter().find(|custom| custom.handler == handler.name);
            ("50-overrides.toml", custom.and_then(|custom| custom.drop_in.clone()))
        }
        _ => ("50-user-overrides.toml", asked.shim_drop_ins.get(&handler.shim).cloned()),
    };
    if let Some(text) = theirs {
        lines::parse(&text).map_err(|error| {
            NodeError::new(Code::BAD_SETTINGS, format!("the drop-in for `{}` is not TOML: {error}", handler.name))
        })?;
        texts.insert(name, text);
    }
    Ok(texts)
}

/// Paths below `/opt/kata` in the shipped file, taken below the installation instead.
fn relocated(document: &DocumentMut, table: &str, home: &str) -> Vec<Setting> {
    let moved = |text: &str| text.strip_prefix("/opt/kata/").map(|rest| format!("{home}/{rest}"));
    let mut settings = Vec::new();
    for key in ["path", "kernel", "image", "initrd", "firmware", "firmware_volume", "jailer_path"] {
        if let Some(value) = find(document, &["hypervisor", table, key]).and_then(Item::as_str).and_then(moved) {
            settings.push(setting(["hypervisor", table, key], value));
        }
    }
    let jailers: Vec<String> = strings(document, &["hypervisor", table, "valid_jailer_paths"]);
    if jailers.iter().any(|path| moved(path).is_some()) {
        let jailers: Array = jailers.into_iter().map(|path| Value::from(moved(&path).unwrap_or(path))).collect();
        settings.push(setting(["hypervisor", table, "valid_jailer_paths"], jailers));
    }
    settings
}

fn find<'d>(document: &'d DocumentMut, path: &[&str]) -> Option<&'d Item> {
    let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
    lines::get(document, &path)
}

fn strings(document: &DocumentMut, path: &[&str]) -> Vec<String> {
    let array = find(document, path).and_then(Item::as_array);
    array.into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn parse(handler: &Handler, shipped: &str) -> Result<DocumentMut> {
    lines::parse(shipped).map_err(|error| corrupt(handler, &error))
}

fn corrupt(handler: &Handler, error: &lines::Unfit) -> NodeError {
    NodeError::new(Code::PAYLOAD_CORRUPT, format!("the payload's configuration-{}.toml: {error}", handler.shim))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = r#"# shipped
[hypervisor.qemu]
path = "/opt/kata/bin/qemu-system-x86_64"
kernel = "/opt/kata/share/kata-containers/vmlinux.container"
enable_annotations = ["enable_iommu"]
kernel_params = "quiet"

[runtime]
enable_debug = false
"#;

    fn asked(extra: &[(&str, &str)]) -> Settings {
        let variable = |name: &str| {
            let base = [("NODE_NAME", "n"), ("SHIMS_X86_64", "qemu")];
            base.iter().chain(extra).rfind(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&variable, "x86_64", &|_| None).unwrap()
    }

    #[test]
    fn defaults_need_no_drop_in() {
        let asked = asked(&[]);
        let handler = &asked.handlers()[0];
        assert!(drop_ins(&asked, handler, None, SHIPPED, None).unwrap().is_empty());
        assert_eq!(configuration(&asked, handler, SHIPPED).unwrap(), format!("{NOTICE}{SHIPPED}"));
    }

    #[test]
    fn the_devkit_image_is_plugged_into_guests_that_take_it() {
        let asked = asked(&[("SHIMS_X86_64", "qemu qemu-nvidia-gpu-runtime-rs"), ("DEVKIT", "true")]);
        let devkit = |shim: &str| {
            let handlers = asked.handlers();
            let handler = handlers.iter().find(|h| h.shim == shim && h.variant == Variant::Devkit).unwrap();
            drop_ins(&asked, handler, None, SHIPPED, Some("root_hash=ab,salt=cd\n"))
                .unwrap()
                .remove("25-devkit.toml")
                .unwrap()
        };
        let text = devkit("qemu-nvidia-gpu-runtime-rs");
        let document = lines::parse(&text).unwrap();
        let images = document["hypervisor"]["qemu"]["guest_extension_images"].as_array_of_tables().unwrap();
        let image = images.get(0).unwrap();
        assert_eq!(image["verity_params"].as_str(), Some("root_hash=ab,salt=cd"));
        assert_eq!(image["path"].as_str(), Some(format!("/opt/kata/{DEVKIT_IMAGE}").as_str()));
        assert!(!devkit("qemu").contains("guest_extension_images"));
    }

    #[test]
    fn each_setting_has_its_file() {
        let asked = asked(&[
            ("DEBUG", "true"),
            ("INSTALLATION_PREFIX", "/data"),
            ("AGENT_HTTPS_PROXY", "http://p:1"),
            ("ALLOWED_HYPERVISOR_ANNOTATIONS_X86_64", "kernel enable_iommu"),
            ("EXPERIMENTAL_FORCE_GUEST_PULL_X86_64", "qemu"),
        ]);
        let handlers = asked.handlers();
        let plain = drop_ins(&asked, &handlers[0], Some(Distribution::K0s), SHIPPED, None).unwrap();
        assert_eq!(
            plain.keys().copied().collect::<Vec<_>>(),
            ["10-installation-prefix.toml", "22-k0s-kubelet-root.toml", "30-kernel-params.toml"]
        );
        assert!(plain["10-installation-prefix.toml"].contains("path = \"/data/opt/kata/bin/qemu-system-x86_64\""));
        assert!(plain["30-kernel-params.toml"].contains("kernel_params = \"quiet agent.https_proxy=http://p:1\""));
        let debug = drop_ins(&asked, &handlers[1], None, SHIPPED, None).unwrap();
        assert!(debug.contains_key("20-debug.toml"));
        assert!(debug["30-kernel-params.toml"].contains("agent.log=debug initcall_debug"));
        let text = configuration(&asked, &handlers[0], SHIPPED).unwrap();
        assert!(text.contains(r#"enable_annotations = ["enable_iommu", "kernel"]"#), "{text}");
        assert!(text.contains("experimental_force_guest_pull = true"));
    }
}
