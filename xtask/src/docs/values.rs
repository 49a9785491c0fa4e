//! A chart's values as tables: what the schema says of a key, and its default.

use crate::programs::root;
use serde_json::Value;
use std::fmt::Write as _;

const HEAD: &str = "| key | type | default | meaning |\n|---|---|---|---|\n";
/// Longer defaults are left to `values.yaml`.
const LONGEST: usize = 120;

/// The schema and the defaults of a chart.
pub(super) struct ChartValues {
    schema: Value,
    defaults: Value,
}

impl ChartValues {
    pub(super) fn load(chart: &str) -> Result<ChartValues, String> {
        let folder = root().join("charts").join(chart);
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let schema = serde_json::from_str(&read("values.schema.json")?).map_err(|error| error.to_string())?;
        let defaults = goyaml::to_json(&read("values.yaml")?).map_err(|error| error.to_string())?;
        Ok(ChartValues { schema, defaults })
    }

    /// The keys of the top level.
    pub(super) fn keys(&self) -> Vec<String> {
        self.schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    }

    /// A table of these keys and of what is below them.
    pub(super) fn table(&self, keys: &[&str]) -> Result<String, String> {
        let mut text = HEAD.to_owned();
        for path in keys {
            let mut node = &self.schema;
            let mut default = Some(&self.defaults);
            for part in path.split('.') {
                node = self.resolve(node);
                node = match part {
                    "<name>" => &node["additionalProperties"],
                    part => &node["properties"][part],
                };
                default = default.and_then(|value| value.get(part));
            }
            if self.resolve(node).is_null() {
                return Err(format!("the schema has no key `{path}`"));
            }
            // Of one of many only what is below it is told.
            if !path.ends_with("<name>") {
                self.row(&mut text, path, node, default);
            }
            self.below(&mut text, path, node, default);
        }
        Ok(text)
    }

    fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        let pointer = node["$ref"].as_str().and_then(|text| text.strip_prefix('#'));
        pointer.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(node)
    }

    fn below(&self, text: &mut String, path: &str, node: &Value, default: Option<&Value>) {
        for (key, child) in self.resolve(node)["properties"].as_object().into_iter().flatten() {
            if older(child).is_some() && path == "env" {
                continue; // a table of their own
            }
            let path = format!("{path}.{key}");
            let default = default.and_then(|value| value.get(key));
            self.row(text, &path, child, default);
            self.below(text, &path, child, default);
        }
    }

    fn row(&self, text: &mut String, path: &str, node: &Value, default: Option<&Value>) {
        let node = self.resolve(node);
        let has_children = node["properties"].as_object().is_some_and(|children| !children.is_empty());
        let default = match default {
            None => "–".to_owned(),
            Some(_) if has_children => String::new(),
            Some(value) => match value.to_string() {
                long if long.len() > LONGEST => "see `values.yaml`".to_owned(),
                short => format!("`{short}`"),
            },
        };
        let mut meaning = node["description"].as_str().unwrap_or_default().to_owned();
        let choices: Vec<String> = node["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|choice| !choice.is_null() && **choice != "")
            .map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned))
            .map(|choice| format!("`{choice}`"))
            .collect();
        if !choices.is_empty() {
            let _ = write!(meaning, " One of {}.", choices.join(", "));
        }
        if let Some(least) = node["minimum"].as_i64() {
            let _ = write!(meaning, " At least {least}.");
        }
        let _ = writeln!(text, "| `{path}` | {} | {default} | {} |", kind(node), meaning.replace('|', "\\|"));
    }

    /// The keys below `path` that are older spellings, and of what.
    pub(super) fn older(&self, path: &str) -> Result<String, String> {
        let mut text = "| older | newer |\n|---|---|\n".to_owned();
        let below = self.schema["properties"][path]["properties"].as_object();
        for (key, child) in below.ok_or_else(|| format!("the schema has no map `{path}`"))? {
            if let Some(newer) = older(child) {
                let _ = writeln!(text, "| `{path}.{key}` | `{newer}` |");
            }
        }
        Ok(text)
    }

    /// Defaults of a dependency that this chart sets to something else.
    pub(super) fn changed(&self, dependency: &str) -> Result<String, String> {
        let below = ChartValues::load(dependency)?;
        let mut text = "| key | default here |\n|---|---|\n".to_owned();
        let alias = match dependency {
            "kata-deploy" => "kata-as-coco-runtime",
            other => other,
        };
        changed(&mut text, "", &self.defaults[alias], &below.defaults);
        Ok(text)
    }
}

fn changed(text: &mut String, path: &str, ours: &Value, theirs: &Value) {
    for (key, value) in ours.as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let other = &theirs[key];
        if value.is_object() && other.is_object() {
            changed(text, &path, value, other);
        } else if value != other {
            let _ = writeln!(text, "| `{path}` | `{value}` |");
        }
    }
}

/// What a key is an older spelling of.
fn older(node: &Value) -> Option<&str> {
    node["description"].as_str()?.strip_prefix("Older spelling of `")?.split('`').next()
}

fn kind(node: &Value) -> String {
    let types: Vec<&str> = match &node["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let words: Vec<&str> = types
        .into_iter()
        .filter(|kind| *kind != "null")
        .map(|kind| match kind {
            "string" => "text",
            "boolean" => "true/false",
            "integer" => "whole number",
            "number" => "number",
            "array" if node["items"]["type"] == "string" => "list of texts",
            "array" => "list",
            "object" => "map",
            other => other,
        })
        .collect();
    if words.is_empty() { "any".to_owned() } else { words.join(" or ") }
}
