//! What containerd's configuration shall say of our handlers.

use crate::error::{NodeError, Result};
use crate::lines::{Setting, setting};
use crate::runtime_layout::{Layout, Route};
use crate::settings::Settings;
use crate::shim::program;
use crate::snapshotter;
use crate::wanted::{Wanted, Wishes};
use contract::Code;
use toml_edit::{Array, Value};

const IMAGES: &str = "io.containerd.cri.v1.images";

/// All settings of ours, whatever file they go to.
pub fn settings(asked: &Settings, layout: &Layout) -> Vec<Setting> {
    let plugin = layout.runtime_plugin();
    let home = asked.home();
    let words = |words: &[&str]| Value::Array(words.iter().copied().collect::<Array>());
    let mut all = Vec::new();
    for handler in asked.handlers() {
        let name = handler.name.as_str();
        let mut add = |key: &str, value: Value| {
            all.push(setting(["plugins", plugin, "containerd", "runtimes", name, key], value));
        };
        let shim = format!("{home}/{}", program(&handler.shim));
        let kind = if layout.path_is_type { shim.clone() } else { handler.runtime_type() };
        add("runtime_type", kind.into());
        add("runtime_path", shim.into());
        add("privileged_without_host_devices", true.into());
        add("pod_annotations", words(&["io.katacontainers.*"]));
        add("container_annotations", words(&["io.kubernetes.container.terminationMessage*"]));
        if let Some(snapshotter) = &handler.snapshotter {
            add("snapshotter", snapshotter.as_str().into());
        }
        let config = format!("{home}/{}", handler.configuration());
        all.push(setting(["plugins", plugin, "containerd", "runtimes", name, "options", "ConfigPath"], config));
        if let Some(snapshotter) = handler.snapshotter.as_deref().filter(|_| layout.schema >= 3) {
            all.push(setting(["plugins", IMAGES, "runtime_platforms", name, "snapshotter"], snapshotter));
        }
    }
    all.extend(snapshotter::containerd_settings(asked, layout));
    if asked.debug {
        all.push(setting(["debug", "level"], "debug"));
    }
    all
}

/// The files of containerd's configuration and what they shall hold.
pub fn wishes(asked: &Settings, layout: &Layout) -> Result<Wishes> {
    let mut wishes = Wishes::new();
    let settings = settings(asked, layout);
    let version = setting(["version"], layout.schema.max(2));
    let with_version =
        |settings: &[Setting]| std::iter::once(version.clone()).chain(settings.iter().cloned()).collect();
    let mut imports = Vec::new();
    match &layout.route {
        Route::MainFile => {}
        // the template has a default handler of its own, whose name is filled in later
        Route::Fillable(path) => {
            let lines = Wanted::Lines { settings: settings.clone(), imports: vec![], created: vec![], missing: vec![] };
            wishes.insert(path.clone(), lines);
        }
        Route::DropIn(path) | Route::Merged(path) => {
            wishes.insert(path.clone(), Wanted::DropIn { settings: with_version(&settings) });
        }
        Route::Import(path) => {
            wishes.insert(path.clone(), Wanted::DropIn { settings: with_version(&settings) });
            imports.push(path.clone());
        }
        Route::Template { path, head } => {
            wishes.insert(path.clone(), Wanted::Block { text: block(asked, &settings), head: (*head).to_owned() });
        }
    }
    if let Some(text) = &asked.user_drop_in {
        let path = layout.user_drop_in().ok_or_else(|| {
            NodeError::new(Code::DROP_IN_NOT_READ, format!("`containerd.userDropIn` is set, but containerd on this host has no drop-ins: its configuration is {}", layout.main))
        })?;
        crate::lines::parse(text).map_err(|error| {
            NodeError::new(Code::BAD_SETTINGS, format!("`containerd.userDropIn` is not TOML: {error}"))
        })?;
        wishes.insert(path.clone(), Wanted::Whole(crate::image::Image::text(text, 0o644)));
        if !imports.is_empty() {
            imports.push(path);
        }
    }
    let lines = if layout.route == Route::MainFile { settings } else { Vec::new() };
    if !lines.is_empty() || !imports.is_empty() {
        let missing = if layout.route == Route::MainFile { default_handler(layout) } else { Vec::new() };
        wishes.insert(layout.main.clone(), Wanted::Lines { settings: lines, imports, created: vec![version], missing });
    }
    Ok(wishes)
}

/// In containerd 1.x handlers in the file replace the built-in one: a file that gets its first handler from us would lose runc,
/// and the CRI plugin with it.
fn default_handler(layout: &Layout) -> Vec<Setting> {
    let runc = ["plugins", layout.runtime_plugin(), "containerd", "runtimes", "runc", "runtime_type"];
    if layout.default_runtime.as_deref().is_none_or(|name| name == "runc") {
        vec![setting(runc, "io.containerd.runc.v2")]
    } else {
        Vec::new()
    }
}

/// Our lines for a template that is not TOML: whole tables, between two comments.
fn block(asked: &Settings, settings: &[Setting]) -> String {
    let text = crate::lines::document("", settings).map(|(text, _)| text).unwrap_or_default();
    let install = asked.install();
    format!("\n# husk: begin of {install}\n{}\n# husk: end of {install}\n", text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::document;

    fn asked(extra: &[(&str, &str)]) -> Settings {
        let variable = |name: &str| {
            let base =
                [("NODE_NAME", "n"), ("SHIMS_X86_64", "qemu"), ("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu:nydus")];
            base.iter().chain(extra).rfind(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&variable, "x86_64", &|_| None).unwrap()
    }

    fn layout(schema: i64, route: Route) -> Layout {
        let main = "/etc/containerd/config.toml".into();
        Layout { main, main_exists: true, route, schema, default_runtime: None, path_is_type: false }
    }

    #[test]
    fn before_1_6_21_the_type_is_the_path() {
        let old = Layout { path_is_type: true, ..layout(2, Route::MainFile) };
        let text = document("", &settings(&asked(&[]), &old)).unwrap().0;
        assert!(text.contains("runtime_type = \"/opt/kata/bin/containerd-shim-kata-v2\"\n"), "{text}");
    }

    #[test]
    fn schema_2_and_3_name_their_plugins() {
        let text = |schema| document("", &settings(&asked(&[]), &layout(schema, Route::MainFile))).unwrap().0;
        assert_eq!(
            text(2),
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata-qemu]
runtime_type = "io.containerd.kata-qemu.v2"
runtime_path = "/opt/kata/bin/containerd-shim-kata-v2"
privileged_without_host_devices = true
pod_annotations = ["io.katacontainers.*"]
container_annotations = ["io.kubernetes.container.terminationMessage*"]
snapshotter = "nydus-for-kata-tee"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata-qemu.options]
ConfigPath = "/opt/kata/share/defaults/kata-containers/runtimes/qemu/configuration-qemu.toml"
"#
        );
        assert!(text(3).contains("[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.kata-qemu]"));
        assert!(text(3).contains("[plugins.\"io.containerd.cri.v1.images\".runtime_platforms.kata-qemu]"));
        assert!(text(1).contains("[plugins.cri.containerd.runtimes.kata-qemu]"));
    }

    #[test]
    fn each_route_has_its_files() {
        let route = |route| wishes(&asked(&[]), &layout(3, route)).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(route(Route::MainFile), ["/etc/containerd/config.toml"]);
        assert_eq!(route(Route::DropIn("/d/k.toml".into())), ["/d/k.toml"]);
        assert_eq!(route(Route::Import("/d/k.toml".into())), ["/d/k.toml", "/etc/containerd/config.toml"]);
        assert_eq!(route(Route::Template { path: "/t.tmpl".into(), head: "" }), ["/t.tmpl"]);
    }
}
