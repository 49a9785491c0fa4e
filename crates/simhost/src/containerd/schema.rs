//! Which setting has which type, and how settings of older schemas move to newer ones.

use super::Version;
use crate::refusal::Refusal;
use crate::toml::{self, Table};
use serde_json::Value;

/// A type of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Boolean,
    String,
    Strings,
    Table,
    /// A table of tables, and the settings of each.
    Tables(&'static [(&'static str, Kind)]),
    /// A table of strings.
    StringMap,
}

/// Settings of the daemon itself.
pub(super) const TOP: &[(&str, Kind)] = &[
    ("version", Kind::Integer),
    ("root", Kind::String),
    ("state", Kind::String),
    ("temp", Kind::String),
    ("plugin_dir", Kind::String),
    ("oom_score", Kind::Integer),
    ("imports", Kind::Strings),
    ("disabled_plugins", Kind::Strings),
    ("required_plugins", Kind::Strings),
    ("grpc", Kind::Table),
    ("grpc.address", Kind::String),
    ("grpc.uid", Kind::Integer),
    ("grpc.gid", Kind::Integer),
    ("ttrpc", Kind::Table),
    ("debug", Kind::Table),
    ("debug.level", Kind::String),
    ("debug.address", Kind::String),
    ("metrics", Kind::Table),
    ("cgroup", Kind::Table),
    ("timeouts", Kind::StringMap),
    ("stream_processors", Kind::Tables(&[])),
    ("plugins", Kind::Tables(&[])),
    (
        "proxy_plugins",
        Kind::Tables(&[
            ("type", Kind::String),
            ("address", Kind::String),
            ("platform", Kind::String),
            ("exports", Kind::StringMap),
        ]),
    ),
];

/// Settings of one handler.
const HANDLER: &[(&str, Kind)] = &[
    ("runtime_type", Kind::String),
    ("runtime_path", Kind::String),
    ("pod_annotations", Kind::Strings),
    ("container_annotations", Kind::Strings),
    ("privileged_without_host_devices", Kind::Boolean),
    ("privileged_without_host_devices_all_devices_allowed", Kind::Boolean),
    ("base_runtime_spec", Kind::String),
    ("cni_conf_dir", Kind::String),
    ("cni_max_conf_num", Kind::Integer),
    ("snapshotter", Kind::String),
    ("sandboxer", Kind::String),
    ("sandbox_mode", Kind::String),
    ("io_type", Kind::String),
    ("options", Kind::Table),
];

/// Settings of the CRI plugin that Husk or its users meet; `images` ones sit in a plugin of their own since schema 3.
pub(super) const CRI: &[(&str, Kind)] = &[
    ("enable_selinux", Kind::Boolean),
    ("enable_cdi", Kind::Boolean),
    ("sandbox_image", Kind::String),
    ("restrict_oom_score_adj", Kind::Boolean),
    ("containerd", Kind::Table),
    ("containerd.default_runtime_name", Kind::String),
    ("containerd.runtimes", Kind::Tables(HANDLER)),
    ("containerd.snapshotter", Kind::String),
    ("containerd.disable_snapshot_annotations", Kind::Boolean),
    ("containerd.discard_unpacked_layers", Kind::Boolean),
    ("cni", Kind::Table),
    ("cni.bin_dir", Kind::String),
    ("cni.conf_dir", Kind::String),
    ("registry", Kind::Table),
    ("registry.config_path", Kind::String),
    ("registry.mirrors", Kind::Tables(&[("endpoint", Kind::Strings)])),
];

/// Settings of the images plugin of schema 3.
pub(super) const IMAGES: &[(&str, Kind)] = &[
    ("snapshotter", Kind::String),
    ("disable_snapshot_annotations", Kind::Boolean),
    ("discard_unpacked_layers", Kind::Boolean),
    ("use_local_image_pull", Kind::Boolean),
    ("pinned_images", Kind::StringMap),
    ("runtime_platforms", Kind::Tables(&[("platform", Kind::String), ("snapshotter", Kind::String)])),
    ("registry", Kind::Table),
    ("registry.config_path", Kind::String),
    ("registry.mirrors", Kind::Tables(&[("endpoint", Kind::Strings)])),
];

/// A setting of the wrong type.
#[derive(Debug)]
pub(super) struct Mismatch {
    path: String,
    found: &'static str,
    shown: String,
    wanted: Kind,
}

impl Mismatch {
    pub(super) fn describe(&self, version: Version) -> String {
        let Mismatch { path, found, shown, wanted } = self;
        let go = match wanted {
            Kind::Integer => "int",
            Kind::Boolean => "bool",
            Kind::String => "string",
            Kind::Strings => "[]string",
            Kind::Table | Kind::Tables(_) | Kind::StringMap => "map",
        };
        if version.is_2() {
            format!("toml: cannot decode TOML {found} into {path} of type {go}")
        } else {
            format!("Can't convert {shown}({found}) to {go} ({path})")
        }
    }
}

/// Checks the types of known settings; unknown ones pass.
pub(super) fn check_types(table: &Table, settings: &[(&str, Kind)]) -> Result<(), Mismatch> {
    for (path, kind) in settings {
        let keys: Vec<&str> = path.split('.').collect();
        if let Some(value) = toml::at(table, &keys) {
            check(path, value, *kind)?;
        }
    }
    Ok(())
}

fn check(path: &str, value: &Value, kind: Kind) -> Result<(), Mismatch> {
    let fits = match kind {
        Kind::Integer => value.is_i64(),
        Kind::Boolean => value.is_boolean(),
        Kind::String => value.is_string(),
        Kind::Strings => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        Kind::Table => value.is_object(),
        Kind::StringMap => value.as_object().is_some_and(|table| table.values().all(Value::is_string)),
        Kind::Tables(_) => value.as_object().is_some_and(|table| table.values().all(Value::is_object)),
    };
    if !fits {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        return Err(Mismatch { path: path.to_owned(), found: toml::kind(value), shown, wanted: kind });
    }
    if let (Kind::Tables(settings), Some(tables)) = (kind, value.as_object()) {
        for (name, table) in tables {
            for (key, kind) in settings {
                if let Some(value) = table.get(key) {
                    check(&format!("{path}.{name}.{key}"), value, *kind)?;
                }
            }
        }
    }
    Ok(())
}

pub(super) const GRPC_CRI: &str = "io.containerd.grpc.v1.cri";
pub(super) const RUNTIME: &str = "io.containerd.cri.v1.runtime";
pub(super) const IMAGES_PLUGIN: &str = "io.containerd.cri.v1.images";
/// Plugins whose settings are read here.
pub(super) const PLUGINS: &[&str] = &[GRPC_CRI, RUNTIME, IMAGES_PLUGIN];

/// The full name of a plugin that schema 1 calls by a short one.
pub(super) fn full_name(name: &str) -> String {
    if name.contains('.') {
        return name.to_owned();
    }
    let kind = match name {
        "cri" => "grpc.v1",
        "cgroups" => "monitor.v1",
        "linux" => "runtime.v1",
        "scheduler" => "gc.v1",
        "bolt" => "metadata.v1",
        "task" => "runtime.v2",
        "opt" | "restart" | "tracing" => "internal.v1",
        "aufs" | "btrfs" | "devmapper" | "native" | "overlayfs" | "zfs" | "windows" | "windows-lcow" => {
            "snapshotter.v1"
        }
        name if name.ends_with("-service") => "service.v1",
        _ => "grpc.v1",
    };
    format!("io.containerd.{kind}.{name}")
}

/// Moves the CRI settings of schema 2 to where schema 3 has them. What is there already stays.
///
/// Two habits of 2.x are kept: settings of the snapshotter move only when handlers are configured too, and a handler's
/// own `snapshotter` stays with the handler.
pub(super) fn migrate_to_3(plugins: &mut Table) -> Result<(), Refusal> {
    let Some(Value::Object(cri)) = plugins.get(GRPC_CRI).cloned() else { return Ok(()) };
    let is_server = |key: &str| {
        key.starts_with("stream_")
            || matches!(key, "disable_tcp_service" | "enable_tls_streaming" | "x509_key_pair_streaming")
    };
    let is_image = |key: &str| {
        matches!(
            key,
            "sandbox_image"
                | "registry"
                | "image_decryption"
                | "max_concurrent_downloads"
                | "image_pull_progress_timeout"
                | "image_pull_with_sync_fs"
                | "stats_collect_period"
        )
    };
    let of_snapshotter = ["snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers"];

    let mut runtime = take_table(plugins, RUNTIME);
    let mut images = take_table(plugins, IMAGES_PLUGIN);
    let mut server = Table::new();
    for (key, value) in &cri {
        match key.as_str() {
            "containerd" => {}
            "sandbox_image" => {
                let mut pinned = take_table(&mut images, "pinned_images");
                pinned.insert("sandbox".to_owned(), value.clone());
                images.insert("pinned_images".to_owned(), Value::Object(pinned));
            }
            key if is_server(key) => {
                server.insert(key.to_owned(), value.clone());
            }
            key if is_image(key) => {
                images.insert(key.to_owned(), value.clone());
            }
            _ => {
                runtime.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    if let Some(Value::Object(containerd)) = cri.get("containerd") {
        match containerd.get("runtimes") {
            Some(Value::Object(runtimes)) if runtimes.values().all(Value::is_object) => {
                for key in of_snapshotter {
                    if let Some(value) = containerd.get(key) {
                        images.insert(key.to_owned(), value.clone());
                    }
                }
            }
            Some(other) => {
                let kind = toml::kind(other);
                return Err(Refusal::panic(format!("panic: interface conversion: runtimes is a TOML {kind}")));
            }
            None => {}
        }
        let mut moved = take_table(&mut runtime, "containerd");
        for (key, value) in containerd {
            if !of_snapshotter.contains(&key.as_str()) {
                moved.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        runtime.insert("containerd".to_owned(), Value::Object(moved));
    }
    plugins.insert(GRPC_CRI.to_owned(), Value::Object(server));
    plugins.insert(RUNTIME.to_owned(), Value::Object(runtime));
    plugins.insert(IMAGES_PLUGIN.to_owned(), Value::Object(images));
    Ok(())
}

fn take_table(from: &mut Table, key: &str) -> Table {
    match from.remove(key) {
        Some(Value::Object(table)) => table,
        _ => Table::new(),
    }
}
