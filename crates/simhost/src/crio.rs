//! CRI-O's configuration: `crio.conf`, then every file below `crio.conf.d` in name order, whatever its suffix.

use crate::refusal::{Effective, Refusal};
use crate::toml::{self, Table, host_path};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Where programs without a path are looked for.
const PATH: [&str; 5] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/usr/libexec/crio"];

/// Options of its storage, whose driver is overlay; others end it.
const STORAGE_OPTIONS: [&str; 12] = [
    "override_kernel_check",
    "mountopt",
    "size",
    "inodes",
    "imagestore",
    "additionalimagestore",
    "additionallayerstore",
    "mount_program",
    "skip_mount_home",
    "use_composefs",
    "ignore_chown_errors",
    "force_mask",
];

/// Does what `crio` does with its configuration before it serves.
pub(crate) fn start(root: &Path, directory: &str, socket: &str) -> Result<Effective, Refusal> {
    let mut merged = Table::new();
    let mut files = Vec::new();
    let main = format!("{directory}/crio.conf");
    let mut paths = Vec::new();
    if host_path(root, &main).exists() {
        paths.push(main);
    }
    paths.extend(drop_ins(root, &format!("{directory}/crio.conf.d")));
    for path in paths {
        merge_file(root, &path, &mut merged)?;
        files.push(path);
    }
    let options = merged.get("crio").and_then(|crio| crio.get("storage_option")).and_then(Value::as_array);
    for option in options.into_iter().flatten().filter_map(Value::as_str) {
        let name = option.split('=').next().unwrap_or_default().trim().to_lowercase();
        let name = name.trim_start_matches("overlay.").trim_start_matches("overlay2.");
        if !option.contains('=') || !STORAGE_OPTIONS.contains(&name) {
            return Err(refuse(format!("configure storage: overlay: unknown option {option}")));
        }
    }
    let runtime = merged.get("crio").and_then(|crio| crio.get("runtime")).and_then(Value::as_object);
    let runtime = runtime.cloned().unwrap_or_default();
    if let Some(level) = runtime.get("log_level").and_then(Value::as_str)
        && !matches!(level, "fatal" | "panic" | "error" | "warn" | "warning" | "info" | "debug" | "trace")
    {
        return Err(refuse(format!("not a valid logrus Level: {level:?}")));
    }
    let mut warnings = Vec::new();
    let (handlers, default_handler) = handlers(root, &runtime, &mut warnings)?;
    let systemd = runtime.get("cgroup_manager").and_then(Value::as_str).unwrap_or("systemd") == "systemd";
    let api = merged.get("crio").and_then(|crio| crio.get("api")?.get("listen")?.as_str());
    Ok(Effective {
        config: json!({"sandboxImage": "registry.k8s.io/pause:3.10", "crio": {"DefaultRuntime": default_handler}}),
        socket: api.map_or_else(|| socket.to_owned(), |path| path.replacen("/var/run/", "/run/", 1)),
        shims: handlers.iter().map(|(name, handler)| (name.clone(), crate::Shim::of_crio(handler))).collect(),
        handlers,
        default_handler,
        cri_off: None,
        warnings,
        files,
        systemd_cgroup: systemd,
    })
}

/// Every file of a directory tree, depth first, in name order.
fn drop_ins(root: &Path, directory: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(host_path(root, directory)) else { return Vec::new() };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let mut found = Vec::new();
    for name in names {
        let path = format!("{directory}/{name}");
        match host_path(root, directory).join(&name).symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => found.extend(drop_ins(root, &path)),
            _ => found.push(path),
        }
    }
    found
}

fn merge_file(root: &Path, path: &str, merged: &mut Table) -> Result<(), Refusal> {
    let text = std::fs::read_to_string(host_path(root, path))
        .map_err(|error| refuse(format!("validating configuration: open {path}: {error}")))?;
    let table = toml::parse(&text).map_err(|error| {
        refuse(format!("unable to decode configuration {path}: toml: line {}: {}", error.row, error.message))
    })?;
    check_types(path, &table)?;
    let mut table = table;
    if let Some(Value::Object(runtime)) = table.get_mut("crio").and_then(|crio| crio.get_mut("runtime")) {
        runtime.retain(|name, value| name != "runtimes" || value.is_object());
    }
    // A handler's table replaces the earlier one whole; all other tables merge by key.
    if let Some(runtimes) = toml::at(&table, &["crio", "runtime", "runtimes"]).and_then(Value::as_object)
        && let Some(Value::Object(old)) =
            merged.get_mut("crio").and_then(|crio| crio.get_mut("runtime")?.get_mut("runtimes"))
    {
        old.retain(|name, _| !runtimes.contains_key(name));
    }
    toml::merge_deep(merged, &table);
    Ok(())
}

fn check_types(path: &str, table: &Table) -> Result<(), Refusal> {
    let wrong = |what: &str, value: &Value| {
        let kind = toml::kind(value);
        refuse(format!(
            "unable to decode configuration {path}: toml: incompatible types: TOML value has type {kind}; {what}"
        ))
    };
    let Some(crio) = table.get("crio") else { return Ok(()) };
    let Some(crio) = crio.as_object() else { return Err(wrong("crio is a table", crio)) };
    if let Some(options) = crio.get("storage_option")
        && !options.as_array().is_some_and(|options| options.iter().all(Value::is_string))
    {
        return Err(wrong("storage_option is a list of strings", options));
    }
    let Some(runtime) = crio.get("runtime") else { return Ok(()) };
    let Some(runtime) = runtime.as_object() else { return Err(wrong("crio.runtime is a table", runtime)) };
    for key in ["default_runtime", "log_level", "cgroup_manager", "conmon"] {
        if let Some(value) = runtime.get(key).filter(|value| !value.is_string()) {
            return Err(wrong(&format!("{key} is a string"), value));
        }
    }
    // What is no table at all is passed over here.
    let Some(runtimes) = runtime.get("runtimes").and_then(Value::as_object) else { return Ok(()) };
    for (name, handler) in runtimes {
        let Some(handler) = handler.as_object() else { return Err(wrong(&format!("{name} is a table"), handler)) };
        for key in ["runtime_path", "runtime_type", "runtime_root", "runtime_config_path", "monitor_path"] {
            if let Some(value) = handler.get(key).filter(|value| !value.is_string()) {
                return Err(wrong(&format!("{name}.{key} is a string"), value));
            }
        }
        for key in ["allowed_annotations", "monitor_env"] {
            let texts = |value: &&Value| !value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
            if let Some(value) = handler.get(key).filter(texts) {
                return Err(wrong(&format!("{name}.{key} is a list of strings"), value));
            }
        }
        for key in ["privileged_without_host_devices", "runtime_pull_image", "inherit_default_runtime", "no_sync_log"] {
            if let Some(value) = handler.get(key).filter(|value| !value.is_boolean()) {
                return Err(wrong(&format!("{name}.{key} is a boolean"), value));
            }
        }
    }
    Ok(())
}

fn handlers(
    root: &Path,
    runtime: &Table,
    warnings: &mut Vec<String>,
) -> Result<(BTreeMap<String, Value>, String), Refusal> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    // Built in, and part of the table before any file is read.
    all.insert("crun".to_owned(), json!({"runtime_type": "oci", "runtime_root": "/run/crun"}));
    let configured = runtime.get("runtimes").and_then(Value::as_object);
    all.extend(configured.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    let wanted = runtime.get("default_runtime").and_then(Value::as_str).unwrap_or_default();
    let default = if wanted.is_empty() { "crun" } else { wanted };
    if !all.contains_key(default) {
        return Err(refuse(format!(
            "default_runtime set to {default:?}, but no runtime entry table [crio.runtime.runtimes.{default}] was found"
        )));
    }
    let model = all.get(default).cloned().unwrap_or_default();
    let mut served = BTreeMap::new();
    for (name, mut handler) in all {
        if handler.get("inherit_default_runtime") == Some(&Value::Bool(true)) {
            inherit(root, default, &model, &mut handler);
        }
        match invalid(root, &name, &handler) {
            None => {
                let text = |key: &str| handler.get(key).and_then(Value::as_str).unwrap_or_default();
                let monitor = text("monitor_path");
                // Of what is neither a machine nor a pod; here a fault ends the daemon, whichever handler has it.
                if matches!(text("runtime_type"), "" | "oci")
                    && !monitor.is_empty()
                    && !host_path(root, monitor).exists()
                {
                    return Err(refuse(format!(
                        "failed to translate monitor fields for runtime {name}: invalid conmon path: stat {monitor}: no such file or directory"
                    )));
                }
                served.insert(name, handler);
            }
            Some(reason) if name == default => return Err(refuse(format!("runtime validation: {reason}"))),
            Some(reason) => warnings.push(format!("Runtime handler {name:?} is being ignored due to: {reason}")),
        }
    }
    Ok((served, default.to_owned()))
}

/// Gives a handler the default one's program, type and configuration.
fn inherit(root: &Path, default: &str, model: &Value, handler: &mut Value) {
    let Some(handler) = handler.as_object_mut() else { return };
    for key in ["runtime_path", "runtime_type", "runtime_config_path", "runtime_root"] {
        let value = model.get(key).cloned().unwrap_or_else(|| json!(""));
        handler.insert(key.to_owned(), value);
    }
    if handler.get("runtime_path") == Some(&json!(""))
        && let Some(path) = on_path(root, default)
    {
        handler.insert("runtime_path".to_owned(), json!(path));
    }
}

fn on_path(root: &Path, name: &str) -> Option<String> {
    PATH.iter().map(|directory| format!("{directory}/{name}")).find(|path| host_path(root, path).exists())
}

/// Why a handler is left out; only the default one's faults end the daemon.
fn invalid(root: &Path, name: &str, handler: &Value) -> Option<String> {
    let text = |key: &str| handler.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = text("runtime_type");
    if !matches!(kind, "" | "oci" | "vm" | "pod") {
        return Some(format!("invalid `runtime_type` {kind:?} for runtime {name:?}"));
    }
    let path = text("runtime_path");
    if path.is_empty() {
        if on_path(root, name).is_none() {
            return Some(format!("{name:?} not found in $PATH: exec: {name:?}: executable file not found in $PATH"));
        }
    } else if !host_path(root, path).exists() {
        return Some(format!("invalid runtime_path for runtime '{name}': stat {path}: no such file or directory"));
    }
    if kind == "vm" && !is_shim(path.rsplit('/').next().unwrap_or_default()) {
        return Some(format!(
            "invalid runtime_path for runtime '{name}': containerd binary naming pattern is not followed"
        ));
    }
    if handler.get("no_sync_log") == Some(&Value::Bool(true)) && !matches!(kind, "" | "oci") {
        return Some(format!("no_sync_log is only allowed with runtime type 'oci', runtime type is '{kind}'"));
    }
    let config = text("runtime_config_path");
    if !config.is_empty() {
        if kind != "vm" {
            return Some("runtime_config_path can only be used with the 'vm' runtime type".to_owned());
        }
        if !host_path(root, config).exists() {
            return Some(format!(
                "invalid runtime_config_path for runtime '{name}': stat {config}: no such file or directory"
            ));
        }
    }
    None
}

/// Whether a file name has something of the form `containerd-shim-NAME-v2` in it, at whatever place.
fn is_shim(name: &str) -> bool {
    let begins = name.match_indices("containerd-shim-").map(|(at, word)| &name[at + word.len()..]);
    begins.into_iter().any(|rest| {
        rest.match_indices("-v2").any(|(end, _)| {
            let middle = &rest[..end];
            !middle.is_empty() && middle.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '+')
        })
    })
}

fn refuse(message: String) -> Refusal {
    Refusal::error(format!("level=fatal msg={message:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shims_are_told_by_their_names() {
        for (name, expected) in [
            ("containerd-shim-kata-v2", true),
            ("containerd-shim-kata-qemu-v2", true),
            ("containerd-shim--v2", false),
            ("old-containerd-shim-kata-v2.1", true),
            ("containerd-shim-a.b-v2", false),
            ("kata-runtime", false),
        ] {
            assert_eq!(is_shim(name), expected, "{name}");
        }
    }
}
