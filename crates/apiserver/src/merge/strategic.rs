//! Strategic merge patch: JSON merge patch plus lists that merge by key and `$patch` directives.

use serde_json::{Map, Value};

use super::schema::{FieldSchema, Schema, Strategic};

/// Applies a strategic merge patch.
///
/// # Errors
/// A text for a 400 answer when a directive is malformed or a list element lacks its merge key.
pub fn strategic_merge(live: &Value, patch: &Value, schema: Schema<'_>) -> Result<Value, String> {
    let (Value::Object(live), Value::Object(patch)) = (live, patch) else {
        return Err("strategic merge patch format is invalid: expected an object".into());
    };
    merge_map(live, patch, schema, false).map(Value::Object)
}

fn merge_map(
    live: &Map<String, Value>,
    patch: &Map<String, Value>,
    schema: Schema<'_>,
    retain_keys: bool,
) -> Result<Map<String, Value>, String> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let mut out = patch.clone();
            out.shift_remove("$patch");
            return Ok(out);
        }
        Some("delete") => return Ok(Map::new()),
        Some("merge") | None => {}
        Some(other) => return Err(format!("invalid value for directive $patch: {other}")),
    }
    let mut out = live.clone();
    if let Some(Value::Array(keep)) = patch.get("$retainKeys")
        && retain_keys
    {
        out.retain(|k, _| keep.iter().any(|kept| kept.as_str() == Some(k)));
    }
    for (name, value) in patch {
        if name == "$patch" || name == "$retainKeys" || name.starts_with("$setElementOrder/") {
            continue;
        }
        if let Some(name) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().ok_or("$deleteFromPrimitiveList must be a list")?;
            if let Some(Value::Array(have)) = out.get_mut(name) {
                have.retain(|item| !gone.contains(item));
            }
            continue;
        }
        let field = schema.field(name);
        match (out.get(name), value) {
            (_, Value::Null) => {
                out.shift_remove(name);
            }
            (Some(Value::Object(have)), Value::Object(wanted)) if field.strategic != Some(Strategic::Replace) => {
                let merged = merge_map(have, wanted, field.of, field.retain_keys)?;
                out.insert(name.clone(), merged.into());
            }
            (Some(Value::Array(have)), Value::Array(wanted)) => {
                let merged = merge_list(have, wanted, &field)?;
                out.insert(name.clone(), merged);
            }
            (_, Value::Object(wanted)) => {
                // New here: run the directives in it, over nothing.
                let merged = merge_map(&Map::new(), wanted, field.of, field.retain_keys)?;
                out.insert(name.clone(), merged.into());
            }
            (_, Value::Array(wanted)) => {
                let merged = merge_list(&[], wanted, &field)?;
                out.insert(name.clone(), merged);
            }
            (_, scalar) => {
                out.insert(name.clone(), scalar.clone());
            }
        }
    }
    for (name, order) in patch {
        if let (Some(name), Value::Array(order)) = (name.strip_prefix("$setElementOrder/"), order)
            && let Some(Value::Array(items)) = out.get_mut(name)
        {
            let strategic = schema.field(name).strategic;
            let id = |item: &Value| match &strategic {
                Some(Strategic::Key(key)) => item.get(key).cloned().unwrap_or(Value::Null),
                _ => item.clone(),
            };
            sort_by_order(items, order, id);
        }
    }
    Ok(out)
}

/// Puts the elements named in `order` into that order; the others stay behind the neighbour they followed.
fn sort_by_order(items: &mut Vec<Value>, order: &[Value], id: impl Fn(&Value) -> Value) {
    let rank = |item: &Value| order.iter().position(|wanted| id(wanted) == id(item));
    let mut ordered: Vec<(usize, Value)> = Vec::new();
    let mut server_only: Vec<(usize, Value)> = Vec::new();
    for (i, item) in items.drain(..).enumerate() {
        match rank(&item) {
            Some(r) => ordered.push((r, item)),
            None => server_only.push((i, item)),
        }
    }
    ordered.sort_by_key(|(r, _)| *r);
    *items = ordered.into_iter().map(|(_, item)| item).collect();
    for (i, item) in server_only {
        items.insert(i.min(items.len()), item);
    }
}

fn merge_list(live: &[Value], patch: &[Value], field: &FieldSchema<'_>) -> Result<Value, String> {
    let key = match &field.strategic {
        None | Some(Strategic::Replace) => return Ok(patch.into()),
        Some(Strategic::Set) => {
            let mut out = live.to_vec();
            for item in patch {
                if !out.contains(item) {
                    out.push(item.clone());
                }
            }
            return Ok(out.into());
        }
        Some(Strategic::Key(key)) => key,
    };
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_string);
    if patch.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        return Ok(patch.iter().filter(|item| directive(item).is_none()).cloned().collect());
    }
    let mut out = live.to_vec();
    for item in patch {
        let Some(map) = item.as_object() else {
            return Err("map: map[] does not contain declared merge key: ".to_string() + key);
        };
        let id = map.get(key).ok_or_else(|| format!("map: {item} does not contain declared merge key: {key}"))?;
        let place = out.iter().position(|have| have.get(key) == Some(id));
        match (directive(item).as_deref(), place) {
            (Some("delete"), _) => out.retain(|have| have.get(key) != Some(id)),
            (Some("merge") | None, Some(at)) => {
                let empty = Map::new();
                let have = out[at].as_object().unwrap_or(&empty);
                out[at] = merge_map(have, map, field.of, field.retain_keys)?.into();
            }
            (Some("merge") | None, None) => out.push(merge_map(&Map::new(), map, field.of, field.retain_keys)?.into()),
            (Some(other), _) => return Err(format!("invalid value for directive $patch: {other}")),
        }
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(patch: &Value) -> Value {
        let live = json!({"spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]},
            {"name": "b", "image": "2"}], "tolerations": [{"key": "k"}],
            "volumes": [{"name": "v", "emptyDir": {}}]}, "metadata": {"finalizers": ["f1"], "labels": {"l": "1"}}});
        strategic_merge(&live, patch, Schema::of_kind("Pod")).unwrap()
    }

    #[test]
    fn lists_merge_by_their_keys() {
        let out = pod(&json!({"spec": {"containers": [{"name": "b", "image": "3"}, {"name": "c"}]}}));
        let names: Vec<_> = out["spec"]["containers"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(out["spec"]["containers"][1]["image"], "3");
        let out = pod(&json!({"spec": {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]}}));
        assert_eq!(out["spec"]["containers"][0]["env"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn directives() {
        let out = pod(&json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}));
        assert_eq!(out["spec"]["containers"], json!([{"name": "b", "image": "2"}]));
        let out = pod(&json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}));
        assert_eq!(out["spec"]["containers"], json!([{"name": "z"}]));
        let out = pod(&json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["f1"], "finalizers": ["f2"]}}));
        assert_eq!(out["metadata"]["finalizers"], json!(["f2"]));
        let out = pod(&json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}));
        assert_eq!(out["spec"]["containers"][0]["name"], "b");
        let out = pod(
            &json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}),
        );
        assert_eq!(out["spec"]["volumes"], json!([{"name": "v", "hostPath": {"path": "/"}}]));
        let out = pod(&json!({"metadata": {"labels": {"$patch": "replace", "m": "2"}}}));
        assert_eq!(out["metadata"]["labels"], json!({"m": "2"}));
        let missing = strategic_merge(
            &json!({"spec": {"containers": [{"name": "a"}]}}),
            &json!({"spec": {"containers": [{"image": "x"}]}}),
            Schema::of_kind("Pod"),
        );
        assert!(missing.unwrap_err().contains("does not contain declared merge key: name"));
    }

    #[test]
    fn lists_without_key_are_replaced_and_null_removes() {
        let out = pod(&json!({"spec": {"tolerations": [{"key": "other"}], "volumes": null}}));
        assert_eq!(out["spec"]["tolerations"], json!([{"key": "other"}]));
        assert!(out["spec"].get("volumes").is_none());
    }
}
