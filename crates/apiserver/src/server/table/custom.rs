//! Columns of custom resources: JSON paths from the CRD.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{age, column};

/// The column definitions.
pub(super) fn columns(declared: &[Value]) -> Vec<Value> {
    let mut out = vec![column("Name", "string", false)];
    for c in declared {
        let text = |k: &str| c[k].as_str().unwrap_or_default();
        out.push(json!({"name": text("name"), "type": text("type"), "format": text("format"),
            "description": text("description"), "priority": c["priority"].as_i64().unwrap_or(0)}));
    }
    if declared.is_empty() {
        out.push(column("Age", "date", false));
    }
    out
}

/// The cells of an object.
pub(super) fn cells(object: &Value, declared: &[Value], now: Timestamp) -> Vec<Value> {
    let mut out = vec![object["metadata"]["name"].clone()];
    for c in declared {
        let found = find(object, c["jsonPath"].as_str().unwrap_or_default());
        out.push(match (c["type"].as_str(), found.first()) {
            (_, None | Some(Value::Null)) => Value::Null,
            (Some("date"), Some(value)) => age(value, now).into(),
            (Some("string"), Some(Value::String(s))) => s.clone().into(),
            (Some("string"), Some(value)) => value.to_string().into(),
            (_, Some(value)) => (*value).clone(),
        });
    }
    if declared.is_empty() {
        out.push(age(&object["metadata"]["creationTimestamp"], now).into());
    }
    out
}

/// One step of a path.
enum Step {
    Field(String),
    Index(usize),
    All,
    /// `[?(@.a.b=="x")]`.
    Filter(String, String),
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut out = Vec::new();
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = if after.starts_with("?(") { after.find(")]")? + 1 } else { after.find(']')? };
            let (inner, after) = (&after[..end], &after[end + 1..]);
            rest = after;
            out.push(if inner == "*" {
                Step::All
            } else if let Some(filter) = inner.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
                let (left, right) = filter.split_once("==")?;
                let value = right.trim().trim_matches(['"', '\'']);
                Step::Filter(left.trim().trim_start_matches("@.").into(), value.into())
            } else if let Ok(index) = inner.parse() {
                Step::Index(index)
            } else {
                Step::Field(inner.trim_matches(['"', '\'']).into())
            });
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let (mut name, mut end) = (String::new(), rest.len());
        let mut chars = rest.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                // An escaped dot belongs to the name.
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' => {
                    end = i;
                    break;
                }
                c => name.push(c),
            }
        }
        if name.is_empty() && end == 0 {
            return None;
        }
        rest = &rest[end..];
        out.push(if name == "*" { Step::All } else { Step::Field(name) });
    }
    Some(out)
}

fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![object];
    for step in steps(path).unwrap_or_default() {
        found = found
            .into_iter()
            .flat_map(|value| -> Vec<&Value> {
                match &step {
                    Step::Field(name) => value.get(name).into_iter().collect(),
                    Step::Index(i) => value.get(i).into_iter().collect(),
                    Step::All => match value {
                        Value::Array(items) => items.iter().collect(),
                        Value::Object(map) => map.values().collect(),
                        _ => Vec::new(),
                    },
                    Step::Filter(at, wanted) => {
                        let items = value.as_array().into_iter().flatten();
                        items
                            .filter(|i| {
                                at.split('.').try_fold(*i, |v, k| v.get(k)).and_then(Value::as_str) == Some(wanted)
                            })
                            .collect()
                    }
                }
            })
            .collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let object = json!({"spec": {"a": [{"b": 1}, {"b": 2}]}, "metadata": {"labels": {"x.y/z": "v"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]}});
        for (path, expected) in [
            (".spec.a[1].b", json!([2])),
            (".spec.a[*].b", json!([1, 2])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".metadata.labels.x\\.y/z", json!(["v"])),
            (".metadata.labels['x.y/z']", json!(["v"])),
            (".spec.none", json!([])),
        ] {
            assert_eq!(json!(find(&object, path)), expected, "{path}");
        }
        for broken in ["[", ".a[", "..", ".a[?(b]", "\\"] {
            let _ = find(&object, broken);
        }
    }
}
