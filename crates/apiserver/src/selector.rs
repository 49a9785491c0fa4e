//! Label and field selectors of list, watch and deletecollection.

use serde_json::Value;

/// One condition on labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelTerm {
    /// `key=value`.
    Equals(String, String),
    /// `key!=value` (also true when the key is absent).
    NotEquals(String, String),
    /// `key in (a,b)`.
    In(String, Vec<String>),
    /// `key notin (a,b)` (also true when the key is absent).
    NotIn(String, Vec<String>),
    /// `key`.
    Exists(String),
    /// `!key`.
    Absent(String),
    /// `key>1`, compared as integers.
    Greater(String, i64),
    /// `key<1`, compared as integers.
    Less(String, i64),
}

/// All terms must hold. The empty selector selects everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelSelector(pub Vec<LabelTerm>);

impl LabelTerm {
    fn matches(&self, labels: &Value) -> bool {
        let get = |key: &str| labels.get(key).and_then(Value::as_str);
        match self {
            LabelTerm::Equals(k, v) => get(k) == Some(v),
            LabelTerm::NotEquals(k, v) => get(k) != Some(v),
            LabelTerm::In(k, vs) => get(k).is_some_and(|have| vs.iter().any(|v| v == have)),
            LabelTerm::NotIn(k, vs) => get(k).is_none_or(|have| vs.iter().all(|v| v != have)),
            LabelTerm::Exists(k) => get(k).is_some(),
            LabelTerm::Absent(k) => get(k).is_none(),
            LabelTerm::Greater(k, n) => get(k).and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v > *n),
            LabelTerm::Less(k, n) => get(k).and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v < *n),
        }
    }
}

fn valid_key(key: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let edge = |c: char| c.is_ascii_alphanumeric();
    let name_ok = !name.is_empty()
        && name.len() <= 63
        && name.chars().all(|c| edge(c) || "-_.".contains(c))
        && name.starts_with(edge)
        && name.ends_with(edge);
    name_ok && prefix.is_none_or(|p| !p.is_empty() && p.len() <= 253)
}

/// Splits at commas that are not inside parentheses.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut terms) = (0, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

impl LabelSelector {
    /// Parses the query form (`a=b,c in (d,e),!f`). The error is a text for a 400 answer.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        if text.trim().is_empty() {
            return Ok(LabelSelector(terms));
        }
        for raw in split_terms(text) {
            let raw = raw.trim();
            let bad = || format!("unable to parse requirement: {raw:?}");
            let key = |k: &str| {
                let k = k.trim();
                if valid_key(k) { Ok(k.to_string()) } else { Err(format!("{}: invalid label key {k:?}", bad())) }
            };
            let integer = |v: &str| v.trim().parse::<i64>().map_err(|_| bad());
            let term = if let Some(rest) = raw.strip_prefix('!') {
                LabelTerm::Absent(key(rest)?)
            } else if let Some(open) = raw.find('(') {
                let inner = raw[open + 1..].trim_end().strip_suffix(')').ok_or_else(bad)?;
                let values = inner.split(',').map(|v| v.trim().to_string()).collect();
                let head = raw[..open].trim();
                let (k, op) = head.rsplit_once(char::is_whitespace).ok_or_else(bad)?;
                match op {
                    "in" => LabelTerm::In(key(k)?, values),
                    "notin" => LabelTerm::NotIn(key(k)?, values),
                    _ => return Err(bad()),
                }
            } else if let Some((k, v)) = raw.split_once("!=") {
                LabelTerm::NotEquals(key(k)?, v.trim().into())
            } else if let Some((k, v)) = raw.split_once("==").or_else(|| raw.split_once('=')) {
                LabelTerm::Equals(key(k)?, v.trim().into())
            } else if let Some((k, v)) = raw.split_once('>') {
                LabelTerm::Greater(key(k)?, integer(v)?)
            } else if let Some((k, v)) = raw.split_once('<') {
                LabelTerm::Less(key(k)?, integer(v)?)
            } else {
                LabelTerm::Exists(key(raw)?)
            };
            terms.push(term);
        }
        Ok(LabelSelector(terms))
    }

    /// A selector from its object form (`matchLabels`, `matchExpressions`). Terms that make no sense match nothing.
    pub fn from_object(selector: &Value) -> Self {
        let mut terms = Vec::new();
        for (k, v) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            terms.push(LabelTerm::Equals(k.clone(), v.as_str().unwrap_or_default().into()));
        }
        for e in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = e["key"].as_str().unwrap_or_default().to_string();
            let values = e["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_string).collect();
            terms.push(match e["operator"].as_str() {
                Some("In") => LabelTerm::In(key, values),
                Some("NotIn") => LabelTerm::NotIn(key, values),
                Some("Exists") => LabelTerm::Exists(key),
                Some("DoesNotExist") => LabelTerm::Absent(key),
                _ => LabelTerm::In(key, Vec::new()),
            });
        }
        LabelSelector(terms)
    }

    /// Whether an object's `metadata.labels` (or `null`) satisfy every term.
    pub fn matches_labels(&self, labels: &Value) -> bool {
        self.0.iter().all(|t| t.matches(labels))
    }

    /// Whether a whole object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.is_empty() || self.matches_labels(&object["metadata"]["labels"])
    }
}

/// `path=value` terms on a few fields of each resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldSelector(pub Vec<FieldTerm>);

/// One `path=value` or `path!=value`.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldTerm {
    /// Field path with dots.
    pub path: String,
    /// The value compared with (an absent field compares as the empty string).
    pub value: String,
    /// Whether equality (true) or inequality is asked.
    pub equal: bool,
}

/// Fields that can be selected besides `metadata.name` and `metadata.namespace`, by storage name.
fn selectable(storage: &str) -> &'static [&'static str] {
    match storage {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "secrets" => &["type"],
        "namespaces" => &["status.phase"],
        "nodes" => &["spec.unschedulable"],
        "jobs.batch" => &["status.successful"],
        "replicasets.apps" | "replicationcontrollers" => &["status.replicas"],
        _ => &[],
    }
}

impl FieldSelector {
    /// Parses the query form for the resource stored as `storage`. The error is a text for a 400 answer.
    pub fn parse(text: &str, storage: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for raw in text.split(',').map(str::trim).filter(|t| !t.is_empty()) {
            let (path, value, equal) = if let Some((p, v)) = raw.split_once("!=") {
                (p, v, false)
            } else if let Some((p, v)) = raw.split_once("==").or_else(|| raw.split_once('=')) {
                (p, v, true)
            } else {
                return Err(format!("invalid selector: '{text}'; can't understand '{raw}'"));
            };
            // events.k8s.io names the same fields differently.
            let path = match (storage, path) {
                ("events", "regarding.name") => "involvedObject.name",
                ("events", "regarding.kind") => "involvedObject.kind",
                ("events", "regarding.namespace") => "involvedObject.namespace",
                ("events", "regarding.uid") => "involvedObject.uid",
                (_, path) => path,
            };
            if !matches!(path, "metadata.name" | "metadata.namespace") && !selectable(storage).contains(&path) {
                return Err(format!("field label not supported: {path}"));
            }
            terms.push(FieldTerm { path: path.into(), value: value.into(), equal });
        }
        Ok(FieldSelector(terms))
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|t| (field_text(object, &t.path) == t.value) == t.equal)
    }

    /// The value that `path` must equal, if a term says so.
    pub fn exact(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|t| t.equal && t.path == path).map(|t| t.value.as_str())
    }
}

/// The text of a field for comparison; absent and `null` are the empty string, absent booleans are `false`.
pub fn field_text(object: &Value, path: &str) -> String {
    match (path, path.split('.').try_fold(object, |v, key| v.get(key))) {
        ("status.successful", _) => object["status"]["succeeded"].as_i64().unwrap_or(0).to_string(),
        ("source", _) => object["source"]["component"].as_str().unwrap_or_default().into(),
        ("spec.unschedulable" | "spec.hostNetwork", None) => "false".into(),
        (_, None | Some(Value::Null)) => String::new(),
        (_, Some(Value::String(s))) => s.clone(),
        (_, Some(other)) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_terms_of_every_form() {
        let labels = json!({"metadata": {"labels": {"app": "web", "tier": "1", "a.b/c": ""}}});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier", true),
            ("app!=web", false),
            ("missing!=x", true),
            ("app in (web, db)", true),
            ("app in (db),tier", false),
            ("app notin (db)", true),
            ("!app", false),
            ("!nope", true),
            ("tier>0,tier<2", true),
            ("a.b/c=", true),
        ] {
            let parsed = LabelSelector::parse(selector).expect(selector);
            assert_eq!(parsed.matches(&labels), expected, "{selector}");
        }
        for bad in ["app in web)", "a b c", "=x", "-a=b", "app>x"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn field_terms_are_checked_against_the_resource() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1"}});
        let ok = FieldSelector::parse("spec.nodeName=n1,status.phase!=Failed", "pods").unwrap();
        assert!(ok.matches(&pod));
        assert_eq!(ok.exact("spec.nodeName"), Some("n1"));
        assert_eq!(
            FieldSelector::parse("spec.nodeName=n1", "configmaps").unwrap_err(),
            "field label not supported: spec.nodeName"
        );
    }
}
