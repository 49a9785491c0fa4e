//! What an installation is asked to do: the environment variables of the node containers, read into one value.
//!
//! Names and formats are those of upstream's charts, so that values files keep their meaning.

use crate::custom_containerd::wish::{self, Wish};
use crate::error::{NodeError, Result};
use crate::payload_source::PayloadWish;
use crate::shim::{Arch, Handler, Variant, is_known};
use contract::{Code, label};
use std::collections::BTreeMap;

/// A pair or a word for every shim: proxies and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerShim {
    /// For every shim.
    pub all: Vec<String>,
    /// For one shim.
    pub one: BTreeMap<String, Vec<String>>,
}

impl PerShim {
    /// What holds for a shim, in order, without repetition.
    pub fn of(&self, shim: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for word in self.all.iter().chain(self.one.get(shim).into_iter().flatten()) {
            if !words.contains(word) {
                words.push(word.clone());
            }
        }
        words
    }
}

/// How the erofs snapshotter is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erofs {
    /// Layers are merged.
    pub merged: bool,
    /// Writable layers live in memory instead of on disk.
    pub memory: bool,
    /// Layers are checked with dm-verity.
    pub dmverity: bool,
}

/// A runtime of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomRuntime {
    /// Its handler.
    pub handler: String,
    /// The shim whose configuration it starts from.
    pub base: String,
    /// Its snapshotter.
    pub snapshotter: Option<String>,
    /// Whether images are pulled inside the guest.
    pub guest_pull: bool,
    /// Its `50-overrides.toml`.
    pub drop_in: Option<String>,
}

/// Everything that an installation is asked to do on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The Node's name.
    pub node: String,
    /// The host's architecture.
    pub arch: Arch,
    /// The suffix of a second installation, or empty.
    pub suffix: String,
    /// Shims for this architecture.
    pub shims: Vec<String>,
    /// The shim that users get when they name none.
    pub default_shim: Option<String>,
    /// Hypervisor annotations that pods may use.
    pub annotations: PerShim,
    /// Snapshotter of a shim.
    pub snapshotters: BTreeMap<String, String>,
    /// Shims whose images CRI-O leaves to the guest.
    pub guest_pull: Vec<String>,
    /// Shims that are told to pull in the guest by their own configuration.
    pub force_guest_pull: Vec<String>,
    /// Snapshotters to set up: `nydus`, `erofs`.
    pub setup_snapshotters: Vec<String>,
    /// How erofs is set up.
    pub erofs: Erofs,
    /// HTTPS proxy of the guest.
    pub https_proxy: PerShim,
    /// Hosts that the guest reaches without it.
    pub no_proxy: PerShim,
    /// Where `opt/kata` goes below; empty for `/`.
    pub prefix: String,
    /// Name of containerd's main file.
    pub containerd_file: String,
    /// Host directory of containerd's configuration, when the user names it.
    pub containerd_directory: Option<String>,
    /// The administrator's own drop-in.
    pub user_drop_in: Option<String>,
    /// Runtimes of the user's own.
    pub custom: Vec<CustomRuntime>,
    /// Custom runtimes that are left out, because nobody knows the shim that they are built on.
    pub baseless: Vec<CustomRuntime>,
    /// Drop-ins for shims, by shim.
    pub shim_drop_ins: BTreeMap<String, String>,
    /// Taints removed when the node is ready: key, and effect where given.
    pub startup_taints: Vec<(String, Option<String>)>,
    /// What the Node object says of its runtime, such as `containerd://2.1.4`.
    pub runtime_version: Option<String>,
    /// The distribution that the values assert; `None` for `auto`.
    pub distribution: Option<String>,
    /// The machine id that the dispatcher saw on the Node.
    pub machine_id: Option<String>,
    /// Another containerd than the host's own.
    pub custom_containerd: Option<Wish>,
    /// Where the payload is.
    pub payload: PayloadWish,
    /// The Node's labels, as far as somebody has told them.
    pub node_labels: Option<BTreeMap<String, String>>,
    /// Talkative runtimes and guests.
    pub debug: bool,
    /// Handlers for developers of the guest.
    pub devkit: bool,
}

/// Where the text of files named by variables comes from; a pod's own file system, or a test's map.
pub type FileText<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Settings {
    /// Reads the settings from environment variables.
    ///
    /// # Errors
    /// [`Code::BAD_SETTINGS`] for a variable with a value that cannot be meant.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>, machine: &str, file: FileText) -> Result<Settings> {
        let arch = Arch::from_machine(machine)
            .ok_or_else(|| bad(format!("machine architecture `{machine}` is not one that Kata has components for")))?;
        let get = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let per_arch = |name: &str| get(&format!("{name}_{}", arch.variable()));
        let flag = |name: &str| matches!(get(name).as_deref(), Some("true" | "True" | "TRUE" | "1"));
        let pairs = |name: &str| -> Result<BTreeMap<String, String>> {
            let text = per_arch(name).unwrap_or_default();
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(|item| pair(name, item)).collect()
        };

        let shims: Vec<String> = per_arch("SHIMS")
            .unwrap_or_default()
            .split([' ', '\t', '\n', ','])
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect();
        for shim in &shims {
            name("SHIMS", shim)?;
        }
        let suffix = get("MULTI_INSTALL_SUFFIX").unwrap_or_default();
        if !suffix.is_empty() {
            name("MULTI_INSTALL_SUFFIX", &suffix)?;
        }
        let prefix = get("INSTALLATION_PREFIX").unwrap_or_default();
        let prefix = prefix.trim_end_matches('/').to_owned();
        if !prefix.is_empty() && (!prefix.starts_with('/') || prefix.split('/').any(|part| part == "..")) {
            return Err(bad(format!("INSTALLATION_PREFIX `{prefix}` is not an absolute path")));
        }
        let containerd_file = get("CONTAINERD_CONFIG_FILE_NAME").unwrap_or_else(|| "config.toml".to_owned());
        if containerd_file.contains('/') || containerd_file == ".." {
            return Err(bad(format!(
                "CONTAINERD_CONFIG_FILE_NAME `{containerd_file}` is a path; it must be a bare file name"
            )));
        }
        let containerd_directory = get("CONTAINERD_CONFIG_DIR").map(|path| path.trim_end_matches('/').to_owned());
        if containerd_directory.as_ref().is_some_and(|path| !path.starts_with('/')) {
            return Err(bad("CONTAINERD_CONFIG_DIR is not an absolute path"));
        }
        let user_drop_in = match get("CONTAINERD_USER_DROP_IN_SOURCE_FILE") {
            None => None,
            Some(path) => Some(
                file(&path).ok_or_else(|| bad(format!("CONTAINERD_USER_DROP_IN_SOURCE_FILE {path} cannot be read")))?,
            ),
        };
        let mode = |name: &str, no: &str, yes: &str| match get(name).as_deref() {
            None => Ok(false),
            Some(value) if value == no => Ok(false),
            Some(value) if value == yes => Ok(true),
            Some(value) => Err(bad(format!("{name} is `{value}`; it can be `{no}` or `{yes}`"))),
        };
        let erofs = Erofs {
            merged: mode("EROFS_MERGE_MODE", "unmerged", "merged")?,
            memory: mode("EROFS_SNAPSHOTTER_MODE", "disk", "memory")?,
            dmverity: mode("EROFS_DMVERITY", "off", "dmverity")?,
        };
        let setup_snapshotters: Vec<String> = list(&get("EXPERIMENTAL_SETUP_SNAPSHOTTER").unwrap_or_default());
        if let Some(other) = setup_snapshotters.iter().find(|name| !matches!(name.as_str(), "nydus" | "erofs")) {
            return Err(bad(format!(
                "EXPERIMENTAL_SETUP_SNAPSHOTTER names `{other}`; it can name `nydus` and `erofs`"
            )));
        }
        let distribution = get("K8S_DISTRIBUTION").filter(|value| value != "auto");
        if let Some(other) =
            distribution.as_deref().filter(|d| !matches!(*d, "k8s" | "k3s" | "rke2" | "k0s" | "microk8s"))
        {
            return Err(bad(format!("K8S_DISTRIBUTION is `{other}`; it can be auto, k8s, k3s, rke2, k0s or microk8s")));
        }
        let guest_pull =
            pairs("PULL_TYPE_MAPPING")?.into_iter().filter(|(_, kind)| kind == "guest-pull").map(|(shim, _)| shim);
        let custom_list = if flag("CUSTOM_RUNTIMES_ENABLED") { custom_runtimes(file)? } else { Vec::new() };
        let (custom, baseless) = custom_list.into_iter().partition(|custom| is_known(&custom.base));
        let drop_in = |shim: &String| {
            let path = format!("{}/dropin-{shim}.toml", contract::pod::CUSTOM_CONFIGS);
            file(&path).filter(|text| !text.trim().is_empty()).map(|text| (shim.clone(), text))
        };
        Ok(Settings {
            node: get("NODE_NAME").ok_or_else(|| bad("NODE_NAME is not set"))?,
            arch,
            suffix,
            default_shim: per_arch("DEFAULT_SHIM"),
            annotations: annotations(&per_arch("ALLOWED_HYPERVISOR_ANNOTATIONS").unwrap_or_default()),
            snapshotters: pairs("SNAPSHOTTER_HANDLER_MAPPING")?,
            guest_pull: guest_pull.collect(),
            force_guest_pull: list(&per_arch("EXPERIMENTAL_FORCE_GUEST_PULL").unwrap_or_default()),
            setup_snapshotters,
            erofs,
            https_proxy: proxies(&get("AGENT_HTTPS_PROXY").unwrap_or_default()),
            no_proxy: proxies(&get("AGENT_NO_PROXY").unwrap_or_default()),
            prefix,
            containerd_file,
            containerd_directory,
            user_drop_in,
            custom,
            baseless,
            shim_drop_ins: shims.iter().filter_map(drop_in).collect(),
            shims,
            startup_taints: list(&get("STARTUP_TAINTS").unwrap_or_default())
                .into_iter()
                .map(|taint| match taint.rsplit_once(':') {
                    Some((key, effect)) => (key.to_owned(), Some(effect.to_owned())),
                    None => (taint, None),
                })
                .collect(),
            runtime_version: get("CONTAINER_RUNTIME_VERSION"),
            distribution,
            machine_id: get("NODE_MACHINE_ID"),
            custom_containerd: Wish::read(&get, arch, file)?,
            payload: PayloadWish::read(&get, file)?,
            node_labels: get("NODE_LABELS").map(|text| wish::labels("NODE_LABELS", &text)).transpose()?,
            debug: flag("DEBUG"),
            devkit: flag("DEVKIT"),
        })
    }

    /// The installation's name: its suffix, or `default`.
    pub fn install(&self) -> &str {
        label::install_name(&self.suffix)
    }

    /// A name with the suffix of this installation.
    pub fn suffixed(&self, name: &str) -> String {
        if self.suffix.is_empty() { name.to_owned() } else { format!("{name}-{}", self.suffix) }
    }

    /// Where the installation is on the host: a link to the version in use.
    pub fn home(&self) -> String {
        self.suffixed(&format!("{}/opt/kata", self.prefix))
    }

    /// The directory of all its versions.
    pub fn versions(&self) -> String {
        format!("{}.d", self.home())
    }

    /// The nydus snapshotter's name, unit and directory.
    pub fn nydus(&self) -> String {
        self.suffixed("nydus-for-kata-tee")
    }

    /// The containerd name of a snapshotter that the values call by its short name.
    fn snapshotter(&self, name: &str) -> String {
        if name == "nydus" { self.nydus() } else { name.to_owned() }
    }

    /// Every handler that the runtime shall serve.
    pub fn handlers(&self) -> Vec<Handler> {
        let mut handlers = Vec::new();
        let mut variants = vec![(Variant::Plain, "")];
        if self.debug {
            variants.push((Variant::Debug, "-debug"));
        }
        if self.devkit {
            variants.push((Variant::Devkit, "-devkit"));
        }
        for shim in &self.shims {
            for (variant, ending) in &variants {
                handlers.push(Handler {
                    name: format!("{}{ending}", self.suffixed(&format!("kata-{shim}"))),
                    shim: shim.clone(),
                    variant: variant.clone(),
                    snapshotter: self.snapshotters.get(shim).map(|name| self.snapshotter(name)),
                    guest_pull: self.guest_pull.contains(shim),
                });
            }
        }
        handlers.extend(self.custom.iter().map(|custom| Handler {
            name: custom.handler.clone(),
            shim: custom.base.clone(),
            variant: Variant::Custom,
            snapshotter: custom.snapshotter.as_deref().map(|name| self.snapshotter(name)),
            guest_pull: custom.guest_pull,
        }));
        handlers
    }

    /// The shims whose components are needed, custom runtimes' bases included.
    pub fn needed_shims(&self) -> Vec<String> {
        let mut shims = self.shims.clone();
        for custom in &self.custom {
            if !shims.contains(&custom.base) {
                shims.push(custom.base.clone());
            }
        }
        shims
    }
}

fn bad(message: impl Into<String>) -> NodeError {
    NodeError::new(Code::BAD_SETTINGS, message)
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn name(variable: &str, text: &str) -> Result<()> {
    let fine = !text.starts_with(['-', '.'])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fine { Ok(()) } else { Err(bad(format!("{variable} has `{text}`, which cannot be part of a name"))) }
}

fn pair(variable: &str, item: &str) -> Result<(String, String)> {
    match item.split_once(':') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(bad(format!("{variable} has `{item}`; entries look like `shim:value`"))),
    }
}

fn annotations(text: &str) -> PerShim {
    let mut annotations = PerShim::default();
    for word in text.split_whitespace() {
        match word.split_once(':') {
            Some((shim, words)) => annotations.one.entry(shim.to_owned()).or_default().extend(list(words)),
            None => annotations.all.extend(list(word)),
        }
    }
    annotations
}

fn proxies(text: &str) -> PerShim {
    let mut proxies = PerShim::default();
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        match item.split_once('=') {
            // a bare URL may hold `=` too, but never before its colon or slash
            Some((shim, value)) if !shim.contains([':', '/', '.', ',']) => {
                proxies.one.insert(shim.to_owned(), vec![value.to_owned()]);
            }
            _ => proxies.all = vec![item.to_owned()],
        }
    }
    proxies
}

fn custom_runtimes(file: FileText) -> Result<Vec<CustomRuntime>> {
    let path = format!("{}/custom-runtimes.list", contract::pod::CUSTOM_CONFIGS);
    let text = file(&path).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(':').map(str::trim).collect();
            let field = |index: usize| fields.get(index).copied().filter(|field| !field.is_empty());
            let (Some(handler), Some(base)) = (field(0), field(1)) else {
                return Err(bad(format!("custom runtime `{line}` lacks a handler or a base configuration")));
            };
            name("a custom runtime", handler)?;
            name("a custom runtime", base)?;
            let drop_in = format!("{}/dropin-{handler}.toml", contract::pod::CUSTOM_CONFIGS);
            Ok(CustomRuntime {
                handler: handler.to_owned(),
                base: base.to_owned(),
                snapshotter: field(2).map(str::to_owned),
                guest_pull: field(3) == Some("guest-pull"),
                drop_in: file(&drop_in).filter(|text| !text.trim().is_empty()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Settings> {
        let pairs: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let files: BTreeMap<String, String> = files.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let variable = |name: &str| pairs.get(name).cloned();
        Settings::read(&variable, "x86_64", &|path| files.get(path).cloned())
    }

    #[test]
    fn upstream_variables_are_read() {
        let settings = read(
            &[
                ("NODE_NAME", "n1"),
                ("SHIMS_X86_64", "qemu qemu-snp"),
                ("SHIMS_S390X", "qemu-se"),
                ("MULTI_INSTALL_SUFFIX", "dev"),
                ("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu-snp:nydus"),
                ("PULL_TYPE_MAPPING_X86_64", "qemu-snp:guest-pull,qemu:default"),
                ("ALLOWED_HYPERVISOR_ANNOTATIONS_X86_64", "kernel qemu-snp:image,cpu"),
                ("AGENT_HTTPS_PROXY", "qemu=http://a:1;qemu-se=http://b:2"),
                ("STARTUP_TAINTS", "a/b,c:NoSchedule"),
                ("K8S_DISTRIBUTION", "auto"),
                ("DEBUG", "true"),
            ],
            &[],
        )
        .unwrap();
        assert_eq!(settings.home(), "/opt/kata-dev");
        let names: Vec<_> = settings.handlers().into_iter().map(|h| (h.name, h.snapshotter, h.guest_pull)).collect();
        let nydus = Some("nydus-for-kata-tee-dev".to_owned());
        assert_eq!(
            names,
            [
                ("kata-qemu-dev".to_owned(), None, false),
                ("kata-qemu-dev-debug".to_owned(), None, false),
                ("kata-qemu-snp-dev".to_owned(), nydus.clone(), true),
                ("kata-qemu-snp-dev-debug".to_owned(), nydus, true),
            ]
        );
        assert_eq!(settings.annotations.of("qemu-snp"), ["kernel", "image", "cpu"]);
        assert_eq!(settings.https_proxy.of("qemu"), ["http://a:1"]);
        assert_eq!(settings.startup_taints, [("a/b".into(), None), ("c".into(), Some("NoSchedule".into()))]);
        assert_eq!(settings.distribution, None);
    }

    #[test]
    fn one_proxy_for_all_shims() {
        let settings = read(
            &[("NODE_NAME", "n"), ("AGENT_NO_PROXY", "10.0.0.0/8,.svc"), ("AGENT_HTTPS_PROXY", "http://p/?a=b")],
            &[],
        );
        let settings = settings.unwrap();
        assert_eq!(settings.no_proxy.of("qemu"), ["10.0.0.0/8,.svc"]);
        assert_eq!(settings.https_proxy.of("clh"), ["http://p/?a=b"]);
    }

    #[test]
    fn custom_runtimes_come_from_the_mounted_list() {
        let list = "my-gpu:qemu-nvidia-gpu:nydus:guest-pull\n\nother:clh::\n";
        let files =
            [("/custom-configs/custom-runtimes.list", list), ("/custom-configs/dropin-other.toml", "[runtime]\na=1\n")];
        let settings = read(&[("NODE_NAME", "n"), ("CUSTOM_RUNTIMES_ENABLED", "true")], &files).unwrap();
        assert_eq!(settings.custom.len(), 2);
        assert_eq!(settings.custom[1].drop_in.as_deref(), Some("[runtime]\na=1\n"));
        assert_eq!(settings.needed_shims(), ["qemu-nvidia-gpu", "clh"]);
        assert_eq!(settings.handlers()[0].snapshotter.as_deref(), Some("nydus-for-kata-tee"));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (key, value, word) in [
            ("K8S_DISTRIBUTION", "openshift", "openshift"),
            ("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu", "shim:value"),
            ("MULTI_INSTALL_SUFFIX", "../x", "MULTI_INSTALL_SUFFIX"),
            ("INSTALLATION_PREFIX", "opt", "INSTALLATION_PREFIX"),
            ("CONTAINERD_CONFIG_FILE_NAME", "/etc/x", "bare"),
            ("EXPERIMENTAL_SETUP_SNAPSHOTTER", "zfs", "zfs"),
            ("SHIMS_X86_64", "qemu a/b", "a/b"),
        ] {
            let error = read(&[("NODE_NAME", "n"), (key, value)], &[]).unwrap_err();
            assert_eq!(error.code, Code::BAD_SETTINGS);
            assert!(error.message.contains(word), "{}", error.message);
        }
    }
}
