//! Findings about templates: whether they render, and whether what they render can be objects.

use super::{Findings, Folder, LintOptions, Severity, capabilities, deprecations, names};
use crate::{Log, RenderOptions, Values, load, render};
use serde_json::Value;

const DIRECTORY: &str = "templates/";

pub(super) fn check(folder: &Folder, user: &Values, options: &LintOptions, findings: &mut Findings, log: &mut Log) {
    if !folder.has_directory("templates") {
        return findings.add(Severity::Warning, DIRECTORY, "directory does not exist");
    }
    let chart = match load::files(folder.files.clone(), &mut Log::default()) {
        Ok(chart) => chart,
        Err(e) => return findings.add(Severity::Error, DIRECTORY, e.to_string()),
    };
    let render_options = RenderOptions {
        release_name: "test-release".into(),
        revision: 0,
        is_install: false,
        is_upgrade: false,
        capabilities: capabilities(options),
        lint: true,
        lookup: None,
        ..options.render.clone()
    };
    let rendered = match render::render_files(&chart, user, &render_options, log) {
        Ok(rendered) => rendered,
        // Values that do not fit the structure of the charts are somebody else's finding.
        Err(crate::Error::Values(_)) => return,
        Err(e) => return findings.add(Severity::Error, DIRECTORY, e.to_string()),
    };
    for file in &chart.templates {
        let name = file.name.as_str();
        let extension = name.rsplit('/').next().and_then(|n| n.rfind('.').map(|at| &n[at..])).unwrap_or("");
        if !matches!(extension, ".yaml" | ".yml" | ".tpl" | ".txt") {
            findings.add(
                Severity::Error,
                name,
                format!("file extension '{extension}' not valid. Valid extensions are .yaml, .yml, .tpl, or .txt"),
            );
        }
        if !matches!(extension.to_ascii_lowercase().as_str(), ".yaml" | ".yml") {
            continue;
        }
        let text = rendered.get(&format!("{}/{name}", chart.name())).map(String::as_str).unwrap_or_default();
        if text.trim().is_empty() {
            continue;
        }
        findings.check(Severity::Warning, name, starts_at_margin(text));
        for document in documents(text) {
            let object = match document.and_then(|text| read_object(&text)) {
                Ok(Some(object)) => object,
                Ok(None) => continue,
                Err(e) => return findings.add(Severity::Error, name, format!("unable to parse YAML: {e}")),
            };
            findings.check(Severity::Warning, name, names::check(&object.kind, &object.name));
            let version = &render_options.capabilities.kube_version;
            findings.check(Severity::Warning, name, deprecations::check(&object, version));
            findings.check(Severity::Error, name, has_selector(&object, text));
            findings.check(Severity::Error, name, list_annotations(&object, text));
        }
    }
}

/// What identifies an object.
pub(super) struct ObjectHead {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
}

/// A document's head; nothing for an empty document.
pub(super) fn read_object(document: &str) -> Result<Option<ObjectHead>, String> {
    let value = goyaml::unmarshal(document).map_err(|e| e.in_conversion())?;
    let kind_of = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let refuse = |value: &Value, what: &str| {
        format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go {what}",
            kind_of(value)
        )
    };
    let text = |value: Option<&Value>, field: &str| match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(s)) => Ok(s.clone()),
        Some(other) => Err(refuse(other, &format!("struct field k8sYamlStruct.{field} of type string"))),
    };
    let map = match &value {
        Value::Null => return Ok(None),
        Value::Object(map) => map,
        other => return Err(refuse(other, "value of type rules.k8sYamlStruct")),
    };
    let metadata = match map.get("metadata") {
        None | Some(Value::Null) => None,
        Some(Value::Object(metadata)) => Some(metadata),
        Some(other) => {
            return Err(refuse(other, "struct field k8sYamlStruct.Metadata of type rules.k8sYamlMetadata"));
        }
    };
    Ok(Some(ObjectHead {
        api_version: text(map.get("apiVersion"), "apiVersion")?,
        kind: text(map.get("kind"), "Kind")?,
        name: text(metadata.and_then(|m| m.get("name")), "Metadata.Name")?,
    }))
}

/// The documents of a stream, split at lines of three dashes. Behind the dashes only a comment may stand; a line with anything
/// else spoils the document before it and ends the reading.
pub(super) fn documents(text: &str) -> Vec<Result<String, String>> {
    let mut found = Vec::new();
    let mut open = String::new();
    for line in text.split_inclusive('\n') {
        let Some(rest) = line.strip_prefix("---") else {
            open.push_str(line);
            continue;
        };
        let rest = rest.trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            found.push(Err(format!("invalid Yaml document separator: {rest}")));
            return found;
        }
        found.push(Ok(std::mem::take(&mut open)));
    }
    found.push(Ok(open));
    found.retain(|document| document.as_ref().map_or(true, |text| !text.trim().is_empty()));
    found
}

fn starts_at_margin(text: &str) -> Result<(), String> {
    match text.lines().find(|line| !line.trim().is_empty()) {
        Some(line) if line.starts_with([' ', '\t']) => Err(format!(
            "document starts with an illegal indent: {}, which may cause parsing problems",
            gotemplate::quote::quoted(line.as_bytes())
        )),
        _ => Ok(()),
    }
}

fn has_selector(object: &ObjectHead, text: &str) -> Result<(), String> {
    let needs = matches!(object.kind.as_str(), "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet");
    if !needs || text.contains("matchLabels") || text.contains("matchExpressions") {
        return Ok(());
    }
    let name = gotemplate::quote::quoted(object.name.as_bytes());
    Err(format!("a {} must contain matchLabels or matchExpressions, and {name} does not", object.kind))
}

fn list_annotations(object: &ObjectHead, text: &str) -> Result<(), String> {
    if object.kind != "List" {
        return Ok(());
    }
    let list = goyaml::unmarshal(text).map_err(|e| format!("unable to parse YAML: {}", e.in_conversion()))?;
    let kept = |item: &Value| item.pointer("/metadata/annotations/helm.sh~1resource-policy").is_some();
    match list.get("items").and_then(Value::as_array) {
        Some(items) if items.iter().any(kept) => {
            Err("annotation 'helm.sh/resource-policy' within List objects are ignored".into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[test]
    fn separators_stand_alone() {
        let own = |text: &str| Ok(text.to_owned());
        assert_eq!(documents("a: 1\n---\nb: 2\n"), [own("a: 1\n"), own("b: 2\n")]);
        assert_eq!(documents("---\na: 1\n--- # a comment\n\n---   \nb: 2"), [own("a: 1\n"), own("b: 2")]);
        // As `helm lint` says it; what stands before the line is not looked at, nor what stands after it.
        for (line, shown) in [("---foo", "foo"), ("--- foo: bar", "foo: bar"), ("----", "-")] {
            let text = format!("a: 1\n{line}\n---\nb: [\n");
            assert_eq!(documents(&text), [Err(format!("invalid Yaml document separator: {shown}"))], "{line}");
        }
        assert_eq!(documents(" ---\na--- b\n").len(), 1, "not at the margin");
    }
}
