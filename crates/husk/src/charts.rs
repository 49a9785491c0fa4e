//! Husk's own charts, embedded, and any other from disk; and their complaints in the catalogue's words.

use crate::error::{Failure, Result};
use chart::{Chart, Dependency, Error, Log};
use contract::Code;
use include_dir::{Dir, include_dir};
use rand::Rng;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

static OWN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../charts");

/// Loads a chart: one of our own by name, or a directory or an archive.
pub(crate) fn load(name: &str) -> Result<Chart> {
    if !name.contains('/') && OWN.get_dir(name).is_some() {
        return own(name).map_err(failure);
    }
    let path = Path::new(name);
    if !path.exists() {
        let message = format!(
            "there is no chart {name}: neither `confidential-containers` nor `kata-deploy`, nor a directory or an archive"
        );
        return Err(Failure::new(Code::UNREADABLE_FILE, message));
    }
    let mut log = Log::default();
    let mut chart = chart::load::path(path, &mut log).map_err(failure)?;
    // What `helm dependency build` would put below charts/ is taken from where it lies.
    for listed in chart.metadata.dependencies.clone() {
        let present = chart.dependencies.iter().any(|dependency| dependency.name() == listed.name);
        if let (false, Some(place)) = (present, listed.repository.strip_prefix("file://")) {
            chart.dependencies.push(chart::load::path(&path.join(place), &mut log).map_err(failure)?);
        }
    }
    Ok(chart)
}

fn own(name: &str) -> std::result::Result<Chart, Error> {
    let directory = OWN.get_dir(name).ok_or_else(|| Error::Load(format!("chart {name} is not embedded")))?;
    let mut files = Vec::new();
    collect(directory, directory.path(), &mut files);
    // Archives lie there when somebody ran `helm dependency build` in the tree this was built from.
    files.retain(|(name, _)| !(name.starts_with("charts/") && name.ends_with(".tgz")));
    Chart::from_files(files, &|dependency: &Dependency| match dependency.repository.strip_prefix("file://../") {
        Some(sibling) => own(sibling).map(Some),
        None => Ok(None),
    })
}

fn collect(directory: &Dir<'_>, root: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for file in directory.files() {
        if let Ok(name) = file.path().strip_prefix(root) {
            files.push((name.to_string_lossy().into_owned(), file.contents().to_vec()));
        }
    }
    for below in directory.dirs() {
        collect(below, root, files);
    }
}

/// Random bytes for a rendering.
pub(crate) fn entropy() -> chart::Entropy {
    Arc::new(|bytes| rand::rng().fill_bytes(bytes))
}

/// Translates a chart's error.
pub(crate) fn failure(error: Error) -> Failure {
    let text = error.to_string();
    let code = match &error {
        Error::Schema(_) if text.contains("additional properties") => Code::UNKNOWN_VALUE,
        Error::Schema(_) | Error::Values(_) => Code::BAD_VALUES,
        Error::Template(_) if text.contains("Shims that are known here") => Code::UNKNOWN_SHIM,
        Error::Template(_) if text.contains("execution error at") => Code::BAD_VALUES,
        _ => Code::BAD_CHART,
    };
    Failure::new(code, text.trim_end())
}

/// Adds the nearest known key to each unknown one that a schema complained about.
pub(crate) fn with_hints(mut failure: Failure, chart: &Chart) -> Failure {
    if failure.code != Some(Code::UNKNOWN_VALUE) {
        return failure;
    }
    let mut hints = Vec::new();
    let mut place = chart;
    for line in failure.message.lines() {
        if let Some(name) = line.strip_suffix(':') {
            place = find(chart, name).unwrap_or(chart);
            continue;
        }
        let Some((path, keys)) = unknown_keys(line) else { continue };
        let known = keys_at(place, &path);
        for key in keys {
            if let Some(nearest) = nearest(&key, &known) {
                hints.push(format!("  `{key}`: did you mean `{nearest}`?"));
            }
        }
    }
    for hint in hints {
        failure.message.push('\n');
        failure.message.push_str(&hint);
    }
    failure
}

/// Returns the known key that a misspelt one is likely to be: one slip away, or much alike.
fn nearest<'a>(key: &str, known: &'a [String]) -> Option<&'a String> {
    let far = |known: &String| (strsim::osa_distance(key, known), 1.0 - strsim::jaro(key, known));
    let scored = known.iter().map(|known| (far(known), known));
    let nearest = scored.min_by(|(a, _), (b, _)| a.0.cmp(&b.0).then_with(|| a.1.total_cmp(&b.1)));
    nearest.filter(|((slips, unlike), _)| *slips <= 1 || *unlike < 0.3).map(|(_, known)| known)
}

fn find<'a>(chart: &'a Chart, name: &str) -> Option<&'a Chart> {
    let alias = |parent: &Chart| parent.metadata.dependencies.iter().find(|d| d.alias == name).map(|d| d.name.clone());
    if chart.name() == name {
        return Some(chart);
    }
    let wanted = alias(chart).unwrap_or_else(|| name.to_owned());
    chart.dependencies.iter().find_map(|below| find(below, &wanted))
}

/// Reads `- at '/a/b': additional properties 'x', 'y' not allowed`.
fn unknown_keys(line: &str) -> Option<(Vec<String>, Vec<String>)> {
    let (place, rest) = line.trim().strip_prefix("- at '")?.split_once("': additional properties ")?;
    let keys = rest.strip_suffix(" not allowed")?.split(", ").map(|key| key.trim_matches('\'').to_owned()).collect();
    Some((place.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(), keys))
}

/// Returns the keys that a chart's defaults or its schema know at a place.
fn keys_at(chart: &Chart, path: &[String]) -> Vec<String> {
    let mut keys = Vec::new();
    let mut value = Some(&chart.values);
    for part in path {
        value = value.and_then(|map| map.get(part)).and_then(Value::as_object);
    }
    keys.extend(value.into_iter().flatten().map(|(key, _)| key.clone()));
    let schema: Value =
        chart.schema.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let mut node = &schema;
    for part in path {
        node = resolve(&schema, node);
        node = match node["properties"].get(part) {
            Some(property) => property,
            None => &node["additionalProperties"],
        };
    }
    keys.extend(resolve(&schema, node)["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone()));
    keys
}

fn resolve<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let pointer = node["$ref"].as_str().and_then(|text| text.strip_prefix('#'));
    pointer.and_then(|pointer| schema.pointer(pointer)).unwrap_or(node)
}

#[cfg(test)]
mod documented_keys;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_charts_are_embedded_and_whole() {
        let umbrella = load("confidential-containers").unwrap();
        assert_eq!(umbrella.dependencies[0].name(), "kata-deploy");
        assert!(umbrella.schema.is_some() && !umbrella.dependencies[0].templates.is_empty());
        assert_eq!(load("no-such-chart").unwrap_err().code, Some(Code::UNREADABLE_FILE));
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_one() {
        let chart = load("confidential-containers").unwrap();
        let text = "values don't meet …:\nkata-as-coco-runtime:\n- at '/shims/qemu-snp': additional properties 'enabeld' not allowed\n\
                    - at '': additional properties 'shim' not allowed";
        let failure = with_hints(Failure::new(Code::UNKNOWN_VALUE, text), &chart);
        assert!(failure.message.contains("did you mean `enabled`?"), "{}", failure.message);
        assert!(failure.message.contains("did you mean `shims`?"), "{}", failure.message);
    }
}
