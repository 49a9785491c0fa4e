//! Checks the fields of a JSON object against its type: unknown fields, values of the wrong kind.

use serde_json::{Map, Value};

use super::{Kind, types};

/// What a check found.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Findings {
    /// Paths of fields that the type does not have.
    pub unknown: Vec<String>,
    /// The first value of a wrong kind, in the words of Go's decoder.
    pub mismatch: Option<String>,
}

/// Checks an object, takes out unknown fields and writes numbers in quantities as text.
pub(crate) fn check(api_version: &str, kind: &str, object: &mut Value) -> Findings {
    let mut findings = Findings::default();
    let Some(name) = types().of(api_version, kind) else { return findings };
    if let Some(map) = object.as_object_mut() {
        fields(name, map, "", &mut findings);
    }
    findings
}

/// As [`check`], of the metadata alone: all that is known of custom resources.
pub(crate) fn check_metadata(object: &mut Value) -> Findings {
    let mut findings = Findings::default();
    if let Some(metadata) = object.get_mut("metadata") {
        value(&Kind::Type("metav1.ObjectMeta"), metadata, "metav1.ObjectMeta", "metadata", &mut findings);
    }
    findings
}

fn fields(owner: &'static str, map: &mut Map<String, Value>, at: &str, findings: &mut Findings) {
    let mut unknown = Vec::new();
    for (name, child) in map.iter_mut() {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        match types().field(owner, name) {
            Some(field) => value(&field.kind, child, owner, &path, findings),
            None if at.is_empty() && (name == "apiVersion" || name == "kind") => {}
            None => {
                findings.unknown.push(path);
                unknown.push(name.clone());
            }
        }
    }
    for name in unknown {
        map.shift_remove(&name);
    }
}

fn is_quantity(text: &str) -> bool {
    let number = text.trim_start_matches(['+', '-']);
    let digits = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
    let (digits, suffix) = number.split_at(digits);
    let known = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|e| e.parse::<i32>().is_ok());
    digits.chars().any(|c| c.is_ascii_digit())
        && digits.matches('.').count() <= 1
        && (known.contains(&suffix) || exponent)
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn go_type(kind: &Kind) -> String {
    match kind {
        Kind::Text => "string".into(),
        Kind::Integer => "int32".into(),
        Kind::Boolean => "bool".into(),
        Kind::Float => "float64".into(),
        Kind::Bytes => "[]uint8".into(),
        Kind::List(inner) | Kind::Wrapped(inner) => format!("[]{}", go_type(inner)),
        Kind::Map(inner) => format!("map[string]{}", go_type(inner)),
        Kind::Type(name) => name.rsplit_once('.').map_or((*name).to_string(), |(_, n)| format!("v1.{n}")),
        Kind::Quantity => "resource.Quantity".into(),
        Kind::IntOrString => "intstr.IntOrString".into(),
        Kind::Time | Kind::MicroTime => "v1.Time".into(),
        Kind::Raw => "runtime.RawExtension".into(),
    }
}

fn value(kind: &Kind, child: &mut Value, owner: &'static str, at: &str, findings: &mut Findings) {
    let fits = match (kind, &mut *child) {
        (_, Value::Null) | (Kind::Raw, _) => true,
        (Kind::Text | Kind::Bytes | Kind::Time | Kind::MicroTime, Value::String(_)) => true,
        (Kind::Boolean, Value::Bool(_)) => true,
        (Kind::Integer, Value::Number(n)) => n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.fract() == 0.0),
        (Kind::Float, Value::Number(_)) => true,
        (Kind::IntOrString, Value::String(_) | Value::Number(_)) => true,
        (Kind::Quantity, Value::Number(n)) => {
            *child = n.to_string().into();
            true
        }
        (Kind::Quantity, Value::String(text)) => {
            if !is_quantity(text) {
                let rule =
                    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
                findings.mismatch.get_or_insert_with(|| rule.into());
            }
            true
        }
        (Kind::List(inner) | Kind::Wrapped(inner), Value::Array(items)) => {
            for (i, item) in items.iter_mut().enumerate() {
                value(inner, item, owner, &format!("{at}[{i}]"), findings);
            }
            true
        }
        (Kind::Map(inner), Value::Object(map)) => {
            for (key, item) in map.iter_mut() {
                value(inner, item, owner, &format!("{at}.{key}"), findings);
            }
            true
        }
        (Kind::Type(name), Value::Object(map)) => {
            fields(name, map, at, findings);
            true
        }
        _ => false,
    };
    if !fits {
        let owner = owner.rsplit_once('.').map_or(owner, |(_, n)| n);
        // Go's decoder does not count elements.
        let mut path = String::new();
        let mut skip = false;
        for c in at.chars() {
            match c {
                '[' => skip = true,
                ']' => skip = false,
                c if !skip => path.push(c),
                _ => {}
            }
        }
        let text = format!(
            "json: cannot unmarshal {} into Go struct field {owner}.{path} of type {}",
            go_kind(child),
            go_type(kind)
        );
        findings.mismatch.get_or_insert(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_are_found_and_taken_out() {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "nmae": "b"},
            "spec": {"containers": [{"name": "c", "imag": "x", "resources": {"limits": {"cpu": 1}}}], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}});
        let findings = check("v1", "Pod", &mut pod);
        assert_eq!(findings.unknown, ["metadata.nmae", "spec.containers[0].imag"]);
        assert_eq!(findings.mismatch, None);
        assert_eq!(pod["spec"]["containers"][0], json!({"name": "c", "resources": {"limits": {"cpu": "1"}}}));
    }

    #[test]
    fn wrong_kinds_are_told_as_go_tells_them() {
        let mut deployment = json!({"spec": {"replicas": "three"}});
        assert_eq!(
            check("apps/v1", "Deployment", &mut deployment).mismatch.unwrap(),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        let mut map = json!({"data": {"a": 1}});
        assert!(check("v1", "ConfigMap", &mut map).mismatch.unwrap().contains("into Go struct field ConfigMap.data"));
    }

    #[test]
    fn quantities() {
        for good in ["1", "0.5", "100m", "1Gi", "1e3", "-1", "12E"] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "x", "1 Gi", "1GiB", "1.2.3"] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }
}
