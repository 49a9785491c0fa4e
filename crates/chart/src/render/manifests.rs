//! From rendered files to documents: splitting, telling hooks from the rest, sorting.

use crate::render::kinds::install_order;
use crate::rendered::{DeletePolicy, Hook, HookEvent, Manifest, OutputLogPolicy};
use crate::{Error, Log, LogLevel};
use goyaml::number::go_float32;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The documents of a chart, in install order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents {
    /// What the release consists of.
    pub manifests: Vec<Manifest>,
    /// What runs at certain moments.
    pub hooks: Vec<Hook>,
}

/// Splits rendered files into documents and sorts them. Files whose name starts with `_` and empty ones do not count.
///
/// Errors: [`Error::Manifest`]: a document is no YAML mapping.
pub fn documents(files: &BTreeMap<String, String>, log: &mut Log) -> Result<Documents, Error> {
    let mut found = Documents::default();
    for (path, text) in files {
        if path.rsplit('/').next().is_some_and(|name| name.starts_with('_')) {
            continue;
        }
        for content in split(text) {
            sort_in(path, content, &mut found, log)?;
        }
    }
    sort(&mut found);
    Ok(found)
}

/// Sorts by kind, keeping the order of equals.
pub fn sort(documents: &mut Documents) {
    documents.manifests.sort_by(|a, b| install_order(&a.kind, &b.kind));
    documents.hooks.sort_by(|a, b| install_order(&a.kind, &b.kind));
}

/// The documents of a text. Every line that starts with three dashes separates, wherever it stands; what follows the dashes
/// belongs to the next document. Blank documents are dropped.
pub(crate) fn split(text: &str) -> Vec<String> {
    let text = text.trim_start();
    let mut parts = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let content = match line.strip_prefix("---") {
            Some(rest) => {
                parts.push(String::new());
                rest.trim_start_matches([' ', '\t'])
            }
            None => line,
        };
        if let Some(part) = parts.last_mut() {
            part.push_str(content);
        }
    }
    parts.into_iter().filter(|p| !p.trim().is_empty()).map(|p| p.trim_start().to_string()).collect()
}

/// What Helm looks at in a document.
#[derive(Debug, Default)]
struct Head {
    api_version: String,
    kind: String,
    name: String,
    annotations: BTreeMap<String, String>,
}

const HOOK: &str = "helm.sh/hook";
const WEIGHT: &str = "helm.sh/hook-weight";
const DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
const OUTPUT_LOG_POLICY: &str = "helm.sh/hook-output-log-policy";

fn sort_in(path: &str, content: String, found: &mut Documents, log: &mut Log) -> Result<(), Error> {
    let head = head(&content).map_err(|e| Error::Manifest(format!("YAML parse error on {path}: {e}")))?;
    let Some(wanted) = head.annotations.get(HOOK) else {
        found.manifests.push(Manifest {
            path: path.to_string(),
            api_version: head.api_version,
            kind: head.kind,
            name: head.name,
            content,
        });
        return Ok(());
    };
    let events: Option<Vec<HookEvent>> = words(wanted).map(|word| event(&word)).collect();
    let Some(events) = events else {
        log.add(LogLevel::Info, "skipping unknown hooks", vec![("hookTypes", wanted.clone())]);
        return Ok(());
    };
    let annotation = |name: &str| head.annotations.get(name).map(String::as_str).unwrap_or_default();
    found.hooks.push(Hook {
        weight: annotation(WEIGHT).parse().unwrap_or(0),
        delete_policies: words(annotation(DELETE_POLICY)).filter_map(|w| delete_policy(&w)).collect(),
        output_log_policies: words(annotation(OUTPUT_LOG_POLICY)).filter_map(|w| output_log_policy(&w)).collect(),
        name: head.name,
        kind: head.kind,
        path: path.to_string(),
        manifest: content,
        events,
    });
    Ok(())
}

fn words(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(|word| word.trim().to_lowercase())
}

fn event(word: &str) -> Option<HookEvent> {
    Some(match word {
        "pre-install" => HookEvent::PreInstall,
        "post-install" => HookEvent::PostInstall,
        "pre-delete" => HookEvent::PreDelete,
        "post-delete" => HookEvent::PostDelete,
        "pre-upgrade" => HookEvent::PreUpgrade,
        "post-upgrade" => HookEvent::PostUpgrade,
        "pre-rollback" => HookEvent::PreRollback,
        "post-rollback" => HookEvent::PostRollback,
        "test" | "test-success" => HookEvent::Test,
        _ => return None,
    })
}

fn delete_policy(word: &str) -> Option<DeletePolicy> {
    Some(match word {
        "hook-succeeded" => DeletePolicy::HookSucceeded,
        "hook-failed" => DeletePolicy::HookFailed,
        "before-hook-creation" => DeletePolicy::BeforeHookCreation,
        _ => return None,
    })
}

fn output_log_policy(word: &str) -> Option<OutputLogPolicy> {
    Some(match word {
        "hook-succeeded" => OutputLogPolicy::HookSucceeded,
        "hook-failed" => OutputLogPolicy::HookFailed,
        _ => return None,
    })
}

/// The struct that Go decodes `metadata` into, as its messages spell it.
const METADATA_TYPE: &str =
    "struct { Name string \"json:\\\"name\\\"\"; Annotations map[string]string \"json:\\\"annotations\\\"\" }";

fn head(content: &str) -> Result<Head, String> {
    let value = goyaml::parse(content).map_err(|e| e.in_conversion())?;
    let decode = |found: &Value, target: &str| {
        format!("error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go {target}", kind(found))
    };
    let map = match value {
        Value::Object(map) => map,
        Value::Null => return Ok(Head::default()),
        other => return Err(decode(&other, "value of type util.SimpleHead")),
    };
    let text = |map: &Map<String, Value>, name: &str, field: &str| -> Result<String, String> {
        Ok(match map.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(s)) => s.clone(),
            Some(Value::Bool(b)) => b.to_string(),
            Some(Value::Number(n)) if n.is_f64() => go_float32(n.as_f64().unwrap_or(0.0)),
            Some(Value::Number(n)) => n.to_string(),
            Some(other) => return Err(decode(other, &format!("struct field {field} of type string"))),
        })
    };
    let mut head = Head {
        api_version: text(&map, "apiVersion", "SimpleHead.apiVersion")?,
        kind: text(&map, "kind", "SimpleHead.kind")?,
        ..Head::default()
    };
    let metadata = match map.get("metadata") {
        None | Some(Value::Null) => return Ok(head),
        Some(Value::Object(metadata)) => metadata,
        Some(other) => {
            return Err(decode(other, &format!("struct field SimpleHead.metadata of type {METADATA_TYPE}")));
        }
    };
    head.name = text(metadata, "name", ".metadata.name")?;
    match metadata.get("annotations") {
        None | Some(Value::Null) => {}
        Some(Value::Object(annotations)) => {
            for key in annotations.keys() {
                let value = text(annotations, key, ".metadata.annotations")?;
                head.annotations.insert(key.clone(), value);
            }
        }
        Some(other) => {
            let field = "struct field .metadata.annotations of type map[string]string";
            return Err(decode(other, field));
        }
    }
    Ok(head)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_at_the_start_of_a_line_always_separate() {
        assert_eq!(split("\n---\na: 1\n--- \n\n---b: 2\n"), ["a: 1\n", "b: 2\n"]);
        assert_eq!(split("a: |\n---\n x\n"), ["a: |\n", "x\n"]);
        assert_eq!(split(" \n"), Vec::<String>::new());
    }

    #[test]
    fn a_hook_with_one_unknown_event_vanishes() {
        let text =
            |events: &str| format!("kind: Job\nmetadata:\n  name: x\n  annotations:\n    helm.sh/hook: {events}\n");
        let files = BTreeMap::from([("a".into(), text("pre-install, Test")), ("b".into(), text("pre-install,bogus"))]);
        let mut log = Log::default();
        let found = documents(&files, &mut log).expect("documents");
        assert_eq!(found.hooks.len(), 1);
        assert_eq!(found.hooks[0].events, [HookEvent::PreInstall, HookEvent::Test]);
        assert!(found.manifests.is_empty());
        assert_eq!(log.0[0].to_string(), "level=INFO msg=\"skipping unknown hooks\" hookTypes=pre-install,bogus");
    }
}
