//! From client-side to server-side apply: who owns which fields of a live object.
//!
//! Objects that Helm 3 made carry their fields under an `Update` entry of the manager `helm`. Server-side apply would
//! see a second owner there and never remove a field again; so the entry becomes an `Apply` entry first.

use serde_json::{Map, Value, json};

/// Returns the JSON patch that turns a manager's `Update` entries into its `Apply` entry, or nothing when it has none.
pub(crate) fn migration(object: &Value, manager: &str) -> Option<Value> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let own =
        |entry: &Value| entry["manager"] == manager && entry["subresource"].as_str().unwrap_or_default().is_empty();
    let updates: Vec<&Value> = entries.iter().filter(|entry| own(entry) && entry["operation"] == "Update").collect();
    let first = *updates.first()?;
    let applied = entries.iter().find(|entry| own(entry) && entry["operation"] == "Apply");
    let mut merged = applied.unwrap_or(first).clone();
    merged["operation"] = "Apply".into();
    for update in &updates {
        unite(&mut merged["fieldsV1"], &update["fieldsV1"]);
    }
    let mut fields = vec![merged];
    fields.extend(entries.iter().filter(|entry| !own(entry)).cloned());
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": fields},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": object["metadata"]["resourceVersion"]},
    ]))
}

fn unite(into: &mut Value, from: &Value) {
    let Value::Object(from) = from else { return };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    if let Value::Object(into) = into {
        for (key, value) in from {
            unite(into.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_become_one_apply() {
        let object = json!({"metadata": {"resourceVersion": "7", "managedFields": [
            {"manager": "helm", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:a": {}}}},
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:z": {}}}},
            {"manager": "helm", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:b": {}}}},
            {"manager": "helm", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}
        ]}});
        let patch = migration(&object, "helm").unwrap();
        let fields = patch[0]["value"].as_array().unwrap();
        assert_eq!(fields.len(), 3);
        assert_eq!(fields[0]["operation"], "Apply");
        assert_eq!(fields[0]["fieldsV1"], json!({"f:data": {"f:a": {}, "f:b": {}}}));
        assert_eq!(fields[1]["manager"], "kubectl");
        assert_eq!(fields[2]["subresource"], "status");
        assert_eq!(patch[1]["value"], "7");
    }

    #[test]
    fn nothing_to_do_is_nothing() {
        let object =
            json!({"metadata": {"managedFields": [{"manager": "helm", "operation": "Apply", "fieldsV1": {}}]}});
        assert_eq!(migration(&object, "helm"), None);
        assert_eq!(migration(&json!({}), "helm"), None);
    }
}
