//! What is different between two objects, field by field.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// `spec.template.spec.containers[name=main].image`
    pub path: String,
    /// The value now; absent when the field is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value then; absent when the field goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Fields that the server writes.
const SERVER_SIDE_METADATA: [&str; 7] =
    ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "deletionTimestamp"];

/// Keys by which members of lists are recognised, in order of preference.
const LIST_KEYS: [&str; 4] = ["name", "containerPort", "mountPath", "key"];

/// Returns the fields in which two objects differ, leaving out what the server writes. What is in a Secret is hidden.
pub fn diff(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare("", Some(&own_fields(before)), Some(&own_fields(after)), &mut changes);
    if after["kind"] == "Secret" || before["kind"] == "Secret" {
        for change in changes.iter_mut().filter(|change| is_secret(&change.path)) {
            change.before = change.before.as_ref().map(hidden);
            change.after = change.after.as_ref().map(hidden);
        }
    }
    changes
}

fn is_secret(path: &str) -> bool {
    ["data", "stringData"].iter().any(|field| path == *field || path.starts_with(&format!("{field}.")))
}

fn hidden(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), hidden(value))).collect()),
        other => format!("(hidden, {} characters)", other.as_str().map_or(0, |text| text.chars().count())).into(),
    }
}

fn own_fields(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.shift_remove("status");
        if let Some(meta) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.retain(|key, _| !SERVER_SIDE_METADATA.contains(&key.as_str()));
        }
    }
    object
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                compare(&below(path, key), before.get(key), after.get(key), changes);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => lists(path, before, after, changes),
        (before, after) => {
            changes.push(FieldChange { path: path.to_owned(), before: before.cloned(), after: after.cloned() })
        }
    }
}

/// Members with a common key are compared by it, others by their places.
fn lists(path: &str, before: &[Value], after: &[Value], changes: &mut Vec<FieldChange>) {
    let Some(key) = LIST_KEYS.into_iter().find(|key| is_keyed(before, key) && is_keyed(after, key)) else {
        for place in 0..before.len().max(after.len()) {
            compare(&format!("{path}[{place}]"), before.get(place), after.get(place), changes);
        }
        return;
    };
    let find = |list: &'_ [Value], wanted: &Value| list.iter().position(|item| item[key] == *wanted);
    let start = changes.len();
    for old in before {
        let there = find(after, &old[key]).map(|place| &after[place]);
        compare(&member(path, key, &old[key]), Some(old), there, changes);
    }
    for new in after.iter().filter(|new| find(before, &new[key]).is_none()) {
        compare(&member(path, key, &new[key]), None, Some(new), changes);
    }
    if changes.len() == start {
        // The same members in another order.
        let names = |list: &[Value]| Value::Array(list.iter().map(|item| item[key].clone()).collect());
        changes.push(FieldChange { path: path.to_owned(), before: Some(names(before)), after: Some(names(after)) });
    }
}

fn is_keyed(list: &[Value], key: &str) -> bool {
    let mut seen: Vec<&Value> = Vec::with_capacity(list.len());
    list.iter().all(|item| {
        let own = item.as_object().and_then(|map: &Map<String, Value>| map.get(key));
        own.is_some_and(|own| {
            let new = !seen.contains(&own);
            seen.push(own);
            new
        })
    })
}

fn member(path: &str, key: &str, value: &Value) -> String {
    format!("{path}[{key}={}]", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn below(path: &str, key: &str) -> String {
    // A key with dots (labels, annotations, file names) is quoted, so that a path can be read back.
    let key = if key.contains(['.', '[']) { format!("{key:?}") } else { key.to_owned() };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn paths(before: Value, after: Value) -> Vec<String> {
        diff(&before, &after).into_iter().map(|change| change.path).collect()
    }

    #[test]
    fn the_servers_own_fields_do_not_count() {
        let before =
            json!({"metadata": {"resourceVersion": "1", "uid": "x", "labels": {"a.b/c": "1"}}, "status": {"x": 1}});
        let after = json!({"metadata": {"resourceVersion": "2", "labels": {"a.b/c": "2"}}});
        assert_eq!(paths(before, after), ["metadata.labels.\"a.b/c\""]);
    }

    #[test]
    fn members_of_lists_are_recognised() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        let before = pod(json!([{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]));
        let after = pod(json!([{"name": "c"}, {"name": "a", "image": "x:2"}]));
        assert_eq!(
            paths(before, after),
            ["spec.containers[name=a].image", "spec.containers[name=b]", "spec.containers[name=c]"]
        );
        assert_eq!(
            paths(json!({"l": [{"name": "a"}, {"name": "b"}]}), json!({"l": [{"name": "b"}, {"name": "a"}]})),
            ["l"]
        );
        assert_eq!(paths(json!({"l": ["a", "b"]}), json!({"l": ["a", "c", "d"]})), ["l[1]", "l[2]"]);
    }

    #[test]
    fn secrets_stay_secret() {
        let secret = |value: &str| json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": value}});
        let changes = diff(&secret("b2xk"), &secret("bmV3ZXI="));
        assert_eq!(changes[0].path, "data.key");
        assert_eq!(changes[0].after, Some("(hidden, 8 characters)".into()));
        assert!(!format!("{changes:?}").contains("bmV3"));
        let whole = diff(&json!({"kind": "Secret"}), &secret("bmV3ZXI="));
        assert!(!format!("{whole:?}").contains("bmV3"));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("name|key|[a-c.]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn equal_is_empty_and_different_is_not(a in json_value(), b in json_value()) {
            let wrap = |value: &Value| json!({"spec": value});
            prop_assert!(diff(&wrap(&a), &wrap(&a)).is_empty());
            prop_assert_eq!(diff(&wrap(&a), &wrap(&b)).is_empty(), a == b);
        }
    }
}
