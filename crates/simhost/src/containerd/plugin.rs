//! What the CRI plugin makes of its settings: a daemon that ends, a daemon without CRI, or handlers.

use super::load::{Loaded, strings};
use super::schema::{CRI, GRPC_CRI, IMAGES, IMAGES_PLUGIN, RUNTIME, check_types};
use super::{Start, Version};
use crate::Shim;
use crate::refusal::{Effective, Refusal};
use crate::toml::{self, Table, host_path};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) fn effective(start: &Start<'_>, loaded: Loaded) -> Result<Effective, Refusal> {
    check_daemon(&loaded.top)?;
    let section = |name: &str| loaded.plugins.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let new = start.version.is_2();
    let (cri, images) = match (new, loaded.schema) {
        (true, _) => (section(RUNTIME), section(IMAGES_PLUGIN)),
        (false, 0 | 1) => (misplaced(section("cri")), Table::new()),
        (false, _) => (misplaced(section(GRPC_CRI)), Table::new()),
    };
    let wrong =
        |mismatch: super::schema::Mismatch| Refusal::error(format!("containerd: {}", mismatch.describe(start.version)));
    check_types(&cri, CRI).map_err(wrong)?;
    check_types(&images, IMAGES).map_err(wrong)?;

    let handlers = handlers(start.version, &cri);
    let default_handler = text(&cri, &["containerd", "default_runtime_name"]).unwrap_or_else(|| "runc".to_owned());
    let snapshotter = if new { text(&images, &["snapshotter"]) } else { text(&cri, &["containerd", "snapshotter"]) };
    let snapshotter = snapshotter.unwrap_or_else(|| "overlayfs".to_owned());
    let off = if is_disabled(new, &loaded) {
        Some("the CRI plugin is disabled by disabled_plugins".to_owned())
    } else {
        invalid(start, &cri, &images, &handlers, &default_handler)
            .or_else(|| missing_snapshotter(start.version, &loaded, &snapshotter))
    };
    check_required(&loaded, off.as_deref())?;

    let mut warnings = loaded.warnings;
    if let Some(off) = &off {
        let plugin = if new { RUNTIME } else { GRPC_CRI };
        warnings.push(format!("failed to load plugin {plugin}: {off}"));
    }
    let socket = text(&loaded.top, &["grpc", "address"]).unwrap_or_else(|| start.socket.to_owned());
    let systemd_cgroup = handlers.get("runc").and_then(|runc| runc.get("options")?.get("SystemdCgroup")?.as_bool());
    Ok(Effective {
        config: status_config(new, &handlers, &default_handler, &snapshotter, &cri, &socket),
        cri_off: off,
        shims: handlers
            .iter()
            .map(|(name, handler)| (name.clone(), Shim::of_containerd(start.version, handler)))
            .collect(),
        handlers,
        default_handler,
        warnings,
        files: loaded.files,
        socket,
        systemd_cgroup: systemd_cgroup.unwrap_or(false),
    })
}

/// 1.x looks for the settings of the CRI's `containerd` table beside it when there is no such table.
fn misplaced(mut cri: Table) -> Table {
    if !cri.contains_key("containerd") {
        let inner = ["default_runtime_name", "snapshotter", "runtimes"].into_iter();
        let moved: Table = inner.filter_map(|key| Some((key.to_owned(), cri.remove(key)?))).collect();
        if !moved.is_empty() {
            cri.insert("containerd".to_owned(), Value::Object(moved));
        }
    }
    cri
}

/// Settings of the daemon that end it.
fn check_daemon(top: &Table) -> Result<(), Refusal> {
    if let Some(level) = text(top, &["debug", "level"])
        && !matches!(
            level.to_lowercase().as_str(),
            "" | "panic" | "fatal" | "error" | "warn" | "warning" | "info" | "debug" | "trace"
        )
    {
        return Err(Refusal::error(format!("containerd: not a valid logrus Level: {level:?}")));
    }
    for (name, plugin) in top.get("proxy_plugins").and_then(Value::as_object).into_iter().flatten() {
        let kind = plugin.get("type").and_then(Value::as_str).unwrap_or_default();
        if !matches!(kind, "snapshot" | "content" | "sandbox" | "diff") {
            return Err(Refusal::panic(format!("panic: unknown proxy plugin type {kind:?} of {name:?}")));
        }
    }
    for (name, value) in top.get("timeouts").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if !is_duration(value) {
            return Err(Refusal::error(format!("containerd: unable to parse {value} into a time duration ({name})")));
        }
    }
    Ok(())
}

/// Whether Go's `time.ParseDuration` takes a text such as `1m30s`.
fn is_duration(text: &str) -> bool {
    let text = text.trim_start_matches(['-', '+']);
    if text == "0" {
        return true;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if unit.len() == rest.len() {
            return false;
        }
        let found = ["ns", "us", "µs", "ms", "s", "m", "h"].iter().filter(|name| unit.starts_with(**name));
        let Some(name) = found.max_by_key(|name| name.len()) else { return false };
        rest = &unit[name.len()..];
    }
    !text.is_empty()
}

fn handlers(version: Version, cri: &Table) -> BTreeMap<String, Value> {
    let runc = || ("runc".to_owned(), json!({"runtime_type": "io.containerd.runc.v2"}));
    match toml::at(cri, &["containerd", "runtimes"]).and_then(Value::as_object) {
        // 1.x decodes the file's table in place of its defaults, 2.x into them.
        Some(table) if version.is_2() => {
            let mut all = BTreeMap::from([runc()]);
            all.extend(table.iter().map(|(name, value)| (name.clone(), value.clone())));
            all
        }
        Some(table) => table.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        None => BTreeMap::from([runc()]),
    }
}

fn is_disabled(new: bool, loaded: &Loaded) -> bool {
    let names = strings(loaded.top.get("disabled_plugins").cloned());
    let disabled = |name: &str| names.iter().any(|disabled| disabled == name);
    match (new, loaded.schema) {
        (true, _) => [GRPC_CRI, RUNTIME, IMAGES_PLUGIN].into_iter().any(disabled),
        (false, 0 | 1) => disabled("cri"),
        (false, _) => disabled(GRPC_CRI),
    }
}

/// Settings that the CRI plugin itself refuses; the daemon runs on without it.
fn invalid(
    start: &Start<'_>,
    cri: &Table,
    images: &Table,
    handlers: &BTreeMap<String, Value>,
    default: &str,
) -> Option<String> {
    if default.is_empty() {
        return Some("invalid plugin config: `default_runtime_name` is empty".to_owned());
    }
    if !handlers.contains_key(default) {
        return Some(format!(
            "invalid plugin config: no corresponding runtime configured in `containerd.runtimes` for `containerd` \
             `default_runtime_name = {default:?}`"
        ));
    }
    let flag = |handler: &Value, key: &str| handler.get(key).and_then(Value::as_bool).unwrap_or(false);
    for (name, handler) in handlers {
        if start.version >= (Version { major: 1, minor: 7, patch: 0 })
            && flag(handler, "privileged_without_host_devices_all_devices_allowed")
            && !flag(handler, "privileged_without_host_devices")
        {
            return Some(
                "invalid plugin config: `privileged_without_host_devices_all_devices_allowed` requires \
                 `privileged_without_host_devices` to be enabled"
                    .to_owned(),
            );
        }
        let io = handler.get("io_type").and_then(Value::as_str).unwrap_or_default();
        if start.version.is_2() && !matches!(io, "" | "fifo" | "streaming") {
            return Some("invalid plugin config: `io_type` can only be `streaming` or `named_pipe`".to_owned());
        }
        let spec = handler.get("base_runtime_spec").and_then(Value::as_str).unwrap_or_default();
        if !spec.is_empty() && !host_path(start.root, spec).is_file() {
            return Some(format!("failed to load base OCI spec from file: {spec} (handler {name})"));
        }
    }
    let registry = if start.version.is_2() { images } else { cri };
    let mirrors = toml::at(registry, &["registry", "mirrors"]).and_then(Value::as_object);
    // 2.2 has directories of hosts by default.
    let default =
        if start.version >= (Version { major: 2, minor: 2, patch: 0 }) { "/etc/containerd/certs.d" } else { "" };
    let path = text(registry, &["registry", "config_path"]).unwrap_or_else(|| default.to_owned());
    (mirrors.is_some_and(|mirrors| !mirrors.is_empty()) && !path.is_empty())
        .then(|| "invalid plugin config: `mirrors` cannot be set when `config_path` is provided".to_owned())
}

fn missing_snapshotter(version: Version, loaded: &Loaded, wanted: &str) -> Option<String> {
    let built_in: &[&str] = if version >= (Version { major: 2, minor: 1, patch: 0 }) {
        &["overlayfs", "native", "erofs"]
    } else {
        &["overlayfs", "native"]
    };
    let proxied = toml::at(&loaded.top, &["proxy_plugins", wanted, "type"]).and_then(Value::as_str) == Some("snapshot");
    let unknown = !built_in.contains(&wanted) && !proxied;
    unknown.then(|| format!("failed to create CRI service: failed to find snapshotter {wanted:?}"))
}

fn check_required(loaded: &Loaded, off: Option<&str>) -> Result<(), Refusal> {
    let known = ["io.containerd.snapshotter.v1.", "io.containerd.service.v1.", "io.containerd.metadata.v1.bolt"];
    for name in strings(loaded.top.get("required_plugins").cloned()) {
        match (name.as_str(), off) {
            (GRPC_CRI | RUNTIME | IMAGES_PLUGIN | "cri", None) => {}
            (GRPC_CRI | RUNTIME | IMAGES_PLUGIN | "cri", Some(off)) => {
                return Err(Refusal::error(format!("containerd: load required plugin {name}: {off}")));
            }
            (other, _) if known.iter().any(|known| other.starts_with(known)) => {}
            (other, _) => return Err(Refusal::error(format!("containerd: required plugin [{other}] not included"))),
        }
    }
    Ok(())
}

fn text(table: &Table, path: &[&str]) -> Option<String> {
    toml::at(table, path).and_then(Value::as_str).map(str::to_owned)
}

/// The JSON that `Status` shows under `config`, in the field names of the Go structures.
fn status_config(
    new: bool,
    handlers: &BTreeMap<String, Value>,
    default: &str,
    snapshotter: &str,
    cri: &Table,
    socket: &str,
) -> Value {
    let runtimes: Table = handlers.iter().map(|(name, handler)| (name.clone(), status_handler(new, handler))).collect();
    let conf_dir = text(cri, &["cni", "conf_dir"]).unwrap_or_else(|| "/etc/cni/net.d".to_owned());
    let selinux = cri.get("enable_selinux").and_then(Value::as_bool).unwrap_or(false);
    let mut containerd = json!({"defaultRuntimeName": default, "runtimes": runtimes});
    if !new && let Some(containerd) = containerd.as_object_mut() {
        containerd.insert("snapshotter".to_owned(), json!(snapshotter));
        let annotations = toml::at(cri, &["containerd", "disable_snapshot_annotations"]).and_then(Value::as_bool);
        containerd.insert("disableSnapshotAnnotations".to_owned(), json!(annotations.unwrap_or(true)));
    }
    json!({
        "containerd": containerd,
        "cni": {"confDir": conf_dir},
        "enableSelinux": selinux,
        "containerdRootDir": "/var/lib/containerd",
        "containerdEndpoint": socket,
    })
}

fn status_handler(new: bool, handler: &Value) -> Value {
    let string = |key: &str| handler.get(key).and_then(Value::as_str).unwrap_or_default();
    let value = |key: &str| handler.get(key).cloned().unwrap_or(Value::Null);
    let flag = |key: &str| handler.get(key).and_then(Value::as_bool).unwrap_or(false);
    let mut shown = json!({
        "runtimeType": string("runtime_type"),
        "runtimePath": string("runtime_path"),
        "PodAnnotations": value("pod_annotations"),
        "ContainerAnnotations": value("container_annotations"),
        "options": value("options"),
        "privileged_without_host_devices": flag("privileged_without_host_devices"),
        "baseRuntimeSpec": string("base_runtime_spec"),
        "snapshotter": string("snapshotter"),
    });
    if new && let Some(shown) = shown.as_object_mut() {
        shown.insert("sandboxer".to_owned(), json!("podsandbox"));
    }
    shown
}
