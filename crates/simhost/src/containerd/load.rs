//! Reading the main file and its imports, and merging them by the version's rules.

use super::schema;
use super::{Start, Version};
use crate::refusal::Refusal;
use crate::toml::{self, Table, host_path};
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};

/// The configuration after all files are merged, and migrated to the version's own schema where the daemon does so.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The schema version that the plugins' tables are in, after migration.
    pub(super) schema: i64,
    /// Everything but `plugins`, `version` and `imports`.
    pub(super) top: Table,
    pub(super) plugins: Table,
    pub(super) files: Vec<String>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn load(start: &Start<'_>) -> Result<Loaded, Refusal> {
    // 1.x starts from "version 1 unless a file says otherwise", 2.x from its own schema.
    let mut loaded = Loaded { schema: if start.version.is_2() { 3 } else { 1 }, ..Loaded::default() };
    if start.named || host_path(start.root, start.config).symlink_metadata().is_ok() {
        read_all(start, &mut loaded)?;
        check_versions(start, &mut loaded)?;
    }
    if start.version.is_2() && loaded.schema < 3 {
        let from = loaded.schema;
        schema::migrate_to_3(&mut loaded.plugins)?;
        loaded.schema = 3;
        loaded.warnings.push(format!(
            "Configuration migrated from version {from}, use `containerd config migrate` to avoid migration"
        ));
    }
    Ok(loaded)
}

fn read_all(start: &Start<'_>, loaded: &mut Loaded) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    let mut pending = VecDeque::from([start.config.to_owned()]);
    while let Some(path) = pending.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let mut file = read_file(start, &path)?;
        let imports = strings(file.remove("imports"));
        let mut version = file.remove("version").and_then(|version| version.as_i64()).unwrap_or(0);
        let mut plugins = match file.remove("plugins") {
            Some(Value::Object(plugins)) => plugins,
            _ => Table::new(),
        };
        if start.version.is_2() && version < 2 {
            // The names are migrated, the contents are not, and the file then passes for the current schema.
            plugins = plugins.into_iter().map(|(name, value)| (schema::full_name(&name), value)).collect();
            for list in ["disabled_plugins", "required_plugins"] {
                if let Some(Value::Array(names)) = file.get_mut(list) {
                    for name in names {
                        *name = Value::String(schema::full_name(name.as_str().unwrap_or_default()));
                    }
                }
            }
            version = loaded.schema;
        }
        if version != 0 {
            loaded.schema = version;
        }
        merge(start.version, loaded, &file, plugins);
        for import in imports {
            pending.extend(resolve(start, &path, &import));
        }
        loaded.files.push(path);
    }
    Ok(())
}

fn read_file(start: &Start<'_>, path: &str) -> Result<Table, Refusal> {
    let text = match std::fs::read(host_path(start.root, path)) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| Refusal::error(format!("{path} is not UTF-8")))?,
        Err(error) => {
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
                _ => error.to_string(),
            };
            let text = format!("open {path}: {reason}");
            let text = if start.version.is_2() { text } else { format!("failed to load TOML: {path}: {text}") };
            return Err(Refusal::error(format!("containerd: {text}")));
        }
    };
    let mut table = toml::parse(&text).map_err(|error| {
        let (row, column, message) = (error.row, error.column, error.message);
        Refusal::error(if start.version.is_2() {
            format!("containerd: failed to unmarshal TOML at row {row} column {column}: toml: {message}")
        } else {
            format!("containerd: failed to load TOML: {path}: ({row}, {column}): {message}")
        })
    })?;
    if start.version.is_2()
        && let Some(plugins) = table.get_mut("plugins").and_then(Value::as_object_mut)
    {
        // What an unknown plugin would take is nobody's business.
        plugins.retain(|name, value| value.is_object() || schema::PLUGINS.contains(&name.as_str()));
    }
    schema::check_types(&table, schema::TOP).map_err(|mismatch| {
        Refusal::error(format!("containerd: failed to unmarshal TOML: {}", mismatch.describe(start.version)))
    })?;
    Ok(table)
}

/// Names of imported files in the order in which they are read. A name without `*` need not exist here: reading it is
/// what fails.
fn resolve(start: &Start<'_>, parent: &str, import: &str) -> Vec<String> {
    let pattern = import.contains('*');
    let directory = parent.rsplit_once('/').map_or("", |(directory, _)| directory);
    let path = if import.starts_with('/') {
        import.to_owned()
    } else if pattern && start.version.is_lenient_1_6() {
        // Taken relative to the daemon's working directory, which is `/`.
        format!("/{import}")
    } else {
        format!("{directory}/{import}")
    };
    if !pattern {
        return vec![path];
    }
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let Ok(entries) = std::fs::read_dir(host_path(start.root, directory)) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut matching: Vec<String> = names.filter(|file| matches(name, file)).collect();
    matching.sort();
    matching.into_iter().map(|file| format!("{directory}/{file}")).collect()
}

/// Go's `filepath.Match` for names, as far as `*` and `?` go.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            (0..=name.len()).filter(|at| name.is_char_boundary(*at)).any(|at| matches(rest, &name[at..]))
        }
        (Some('?'), Some(found)) => matches(&pattern[1..], &name[found.len_utf8()..]),
        (Some(wanted), Some(found)) if wanted == found => {
            matches(&pattern[wanted.len_utf8()..], &name[found.len_utf8()..])
        }
        _ => false,
    }
}

fn merge(version: Version, loaded: &mut Loaded, file: &Table, plugins: Table) {
    for (key, value) in file {
        match (loaded.top.get_mut(key), value) {
            // An empty value in a later file never overrides.
            (_, value) if is_empty(value) => {}
            (Some(Value::Array(to)), Value::Array(from)) => {
                let fresh: Vec<Value> =
                    from.iter().filter(|item| !version.is_2() || !to.contains(item)).cloned().collect();
                to.extend(fresh);
            }
            (Some(Value::Object(to)), Value::Object(from)) => {
                let whole = matches!(key.as_str(), "proxy_plugins" | "stream_processors" | "timeouts");
                for (key, value) in from {
                    if whole || !is_empty(value) {
                        to.insert(key.clone(), value.clone());
                    }
                }
            }
            (_, value) => {
                loaded.top.insert(key.clone(), value.clone());
            }
        }
    }
    if version.is_2() {
        toml::merge_deep(&mut loaded.plugins, &plugins);
    } else {
        // A plugin's table replaces the earlier one whole: a drop-in with one handler forgets every other.
        for (name, value) in plugins {
            loaded.plugins.insert(name, value);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

fn check_versions(start: &Start<'_>, loaded: &mut Loaded) -> Result<(), Refusal> {
    let schema = loaded.schema;
    let refuse =
        |text: String| Err(Refusal::error(format!("containerd: failed to load TOML from {}: {text}", start.config)));
    let names = |list: &str| strings(loaded.top.get(list).cloned());
    if start.version.is_2() {
        if schema > 3 {
            return refuse(format!("expected containerd config version equal to or less than `3`, got `{schema}`"));
        }
        for (list, what) in [("disabled_plugins", "disabled"), ("required_plugins", "required")] {
            if let Some(name) = names(list).iter().find(|name| !name.contains('.')) {
                return refuse(format!("invalid {what} plugin URI {name:?} expect io.containerd.x.vx"));
            }
        }
        return Ok(());
    }
    if schema < 2 {
        loaded.warnings.push(format!("containerd config version `{schema}` has been deprecated"));
        return Ok(());
    }
    if schema > 2 && !start.version.is_lenient_1_6() {
        return refuse(format!("unsupported config version `{schema}`"));
    }
    let is_uri = |name: &str| {
        name.split('.').count() >= 4 && (start.version.is_lenient_1_6() || name.starts_with("io.containerd."))
    };
    for (list, what) in [("disabled_plugins", "disabled"), ("required_plugins", "required")] {
        if let Some(name) = names(list).iter().find(|name| !is_uri(name)) {
            return refuse(format!("invalid {what} plugin URI {name:?} expect io.containerd.x.vx"));
        }
    }
    if let Some(name) = loaded.plugins.keys().find(|name| !is_uri(name)) {
        return refuse(format!("invalid plugin key URI {name:?} expect io.containerd.x.vx"));
    }
    Ok(())
}

/// The strings of a list; anything else was refused before.
pub(super) fn strings(list: Option<Value>) -> Vec<String> {
    match list {
        Some(Value::Array(items)) => items.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml.bak", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("é*", "école", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
