//! One version of a chart from YAML or JSON, as strictly as Helm reads indexes.

use super::ChartVersion;
use crate::{Error, Result};
use chart::Metadata;
use goyaml::number::go_float32;
use serde_json::{Map, Value};

/// Fields of `Chart.yaml` that are texts.
const METADATA_TEXTS: &[&str] = &[
    "name",
    "home",
    "version",
    "description",
    "icon",
    "apiVersion",
    "condition",
    "tags",
    "appVersion",
    "kubeVersion",
    "type",
];
/// The other fields of `Chart.yaml`.
const METADATA_OTHERS: &[&str] = &["sources", "keywords", "maintainers", "deprecated", "annotations", "dependencies"];
/// Fields that only very old indexes have.
const RELICS: &[&str] = &["checksum", "engine", "tillerVersion", "url"];
const MAINTAINER: &[&str] = &["name", "email", "url"];
const DEPENDENCY: &[&str] =
    &["name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias"];

/// How fields that nobody knows are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Refused, as in YAML.
    Refused,
    /// Passed over, as in JSON.
    Ignored,
}

/// Decodes one version; `None` for an empty entry.
///
/// # Errors
/// [`Error::Index`] with Go's words for unknown fields.
pub(super) fn version(value: Value, unknown: Unknown) -> Result<Option<ChartVersion>> {
    let mut object = match value {
        Value::Null => return Ok(None),
        Value::Object(object) => object,
        other => return Err(mismatch(&other, "repo.ChartVersion")),
    };
    let urls = match object.remove("urls") {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) => Some(items.into_iter().map(text).collect::<Result<_>>()?),
        Some(other) => return Err(mismatch(&other, "[]string")),
    };
    let mut version = ChartVersion { urls, ..ChartVersion::default() };
    let mut take = |name: &str| object.remove(name).map_or_else(|| Ok(String::new()), text);
    version.created = take("created")?;
    if version.created.is_empty() {
        version.created = crate::go_text::ZERO_TIME.into();
    }
    version.digest = take("digest")?;
    for name in RELICS {
        let relic = take(name)?;
        if !relic.is_empty() {
            version.relics.insert(name, relic);
        }
    }
    version.removed = match object.remove("removed") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(removed)) => removed,
        Some(other) => return Err(mismatch(&other, "bool")),
    };
    version.metadata = metadata(object, unknown)?;
    Ok(Some(version))
}

fn metadata(mut object: Map<String, Value>, unknown: Unknown) -> Result<Metadata> {
    let known = |name: &str| METADATA_TEXTS.contains(&name) || METADATA_OTHERS.contains(&name);
    tidy(&mut object, known, METADATA_TEXTS, unknown)?;
    for name in ["sources", "keywords"] {
        texts(object.get_mut(name))?;
    }
    if let Some(Value::Object(annotations)) = object.get_mut("annotations") {
        for value in annotations.values_mut() {
            *value = text(value.take())?.into();
        }
    }
    for (name, fields) in [("maintainers", MAINTAINER), ("dependencies", DEPENDENCY)] {
        let Some(Value::Array(items)) = object.get_mut(name) else { continue };
        for item in items {
            let Value::Object(item) = item else { continue };
            let not_texts: &[&str] = &["tags", "enabled", "import-values"];
            let are_texts: Vec<&str> = fields.iter().copied().filter(|field| !not_texts.contains(field)).collect();
            tidy(item, |field| fields.contains(&field), &are_texts, unknown)?;
            texts(item.get_mut("tags"))?;
        }
    }
    serde_json::from_value(Value::Object(object))
        .map_err(|e| Error::Index(format!("error unmarshaling JSON: while decoding JSON: json: {e}")))
}

/// Drops nulls, refuses unknown fields, makes texts of what must be one.
fn tidy(
    object: &mut Map<String, Value>,
    known: impl Fn(&str) -> bool,
    are_texts: &[&str],
    unknown: Unknown,
) -> Result<()> {
    if unknown == Unknown::Refused
        && let Some(name) = object.keys().find(|name| !known(name))
    {
        return Err(Error::Index(format!(
            "error unmarshaling JSON: while decoding JSON: json: unknown field {}",
            crate::url::quoted(name)
        )));
    }
    object.retain(|name, value| known(name) && !value.is_null());
    for name in are_texts {
        if let Some(value) = object.get_mut(*name) {
            *value = text(value.take())?.into();
        }
    }
    Ok(())
}

fn texts(list: Option<&mut Value>) -> Result<()> {
    if let Some(Value::Array(items)) = list {
        for item in items {
            *item = text(item.take())?.into();
        }
    }
    Ok(())
}

/// Numbers and booleans become texts where texts are expected.
pub(super) fn text(value: Value) -> Result<String> {
    Ok(match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        Value::Bool(b) => b.to_string(),
        Value::Number(number) if number.is_f64() => go_float32(number.as_f64().unwrap_or(0.0)),
        Value::Number(number) => number.to_string(),
        other => return Err(mismatch(&other, "string")),
    })
}

pub(super) fn mismatch(found: &Value, go_type: &str) -> Error {
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Error::Index(format!(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {kind} into Go value of type {go_type}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_become_texts() {
        let value = json!({"name": "a", "version": 1.5, "appVersion": 7, "annotations": {"x": true}, "keywords": [1],
            "dependencies": [{"name": "b", "version": 2, "repository": null, "tags": [3]}],
            "maintainers": [{"name": 1}], "urls": ["u"], "digest": "d", "engine": "gotpl", "home": null});
        let version = version(value, Unknown::Refused).unwrap().unwrap();
        let metadata = &version.metadata;
        assert_eq!((&*metadata.version, &*metadata.app_version), ("1.5", "7"));
        assert_eq!((&*metadata.annotations["x"], &*metadata.keywords[0]), ("true", "1"));
        assert_eq!((&*metadata.dependencies[0].version, &*metadata.dependencies[0].tags[0]), ("2", "3"));
        assert_eq!(version.relics.get("engine").map(String::as_str), Some("gotpl"));
        assert_eq!(version.created, "0001-01-01T00:00:00Z");
    }

    #[test]
    fn unknown_fields() {
        for value in [json!({"x": 1}), json!({"maintainers": [{"x": 1}]}), json!({"dependencies": [{"x": 1}]})] {
            let error = version(value.clone(), Unknown::Refused).unwrap_err().to_string();
            assert_eq!(error, "error unmarshaling JSON: while decoding JSON: json: unknown field \"x\"");
            assert!(version(value, Unknown::Ignored).is_ok());
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        for value in
            [json!([]), json!({"urls": "x"}), json!({"name": {}}), json!({"sources": {}}), json!({"removed": 1})]
        {
            assert!(version(value.clone(), Unknown::Refused).is_err(), "{value}");
        }
        assert_eq!(version(Value::Null, Unknown::Refused), Ok(None));
    }
}
