//! From a request's body to an object: its form, its kind, its fields.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as B64;
use serde_json::{Map, Value};

use crate::resource::Resource;
use crate::server::core_event;
use crate::status::ApiError;
use crate::types::check::{check, check_metadata};
use crate::types::protobuf::{self, is_protobuf};

/// Reads a body, which must be an object: JSON, or the protobuf form of a built-in kind.
pub(crate) fn body_value(body: &[u8]) -> Result<Value, ApiError> {
    if is_protobuf(body) {
        return protobuf::decode(body).map_err(ApiError::bad_request);
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {e}")))?;
    must_be_object(&value)?;
    Ok(value)
}

/// Refuses anything but objects; everything after this may set fields.
pub(crate) fn must_be_object(value: &Value) -> Result<(), ApiError> {
    if value.is_object() {
        return Ok(());
    }
    Err(ApiError::bad_request("the object provided is unrecognized: it must be a JSON object"))
}

/// Reads an object of the resource's kind.
pub(crate) fn object(body: &[u8], resource: &Resource) -> Result<Value, ApiError> {
    let mut object = body_value(body)?;
    check_kind(&object, resource)?;
    drop_nulls(&mut object);
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.clone().into();
    if resource.group == "events.k8s.io" {
        object = core_event(&object);
    }
    Ok(object)
}

/// Refuses objects of another kind. Absent `kind` and `apiVersion` mean the resource's.
pub(crate) fn check_kind(object: &Value, resource: &Resource) -> Result<(), ApiError> {
    must_be_object(object)?;
    let text = |k: &str| object.get(k).and_then(Value::as_str).filter(|t| !t.is_empty());
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

/// Checks the fields of a built-in kind against its type; `validation` is the `fieldValidation` parameter. Unknown fields are
/// taken out; they are warnings, or an error when validation is strict.
pub(crate) fn check_fields(
    resource: &Resource,
    object: &mut Value,
    validation: Option<&str>,
) -> Result<Vec<String>, ApiError> {
    must_be_object(object)?;
    drop_nulls(object);
    // Events are checked in the form in which they are stored.
    let (version, kind) = match resource.group.as_str() {
        "events.k8s.io" => ("v1".to_string(), "Event"),
        _ => (resource.api_version(), resource.kind.as_str()),
    };
    let findings = if resource.custom.is_some() { check_metadata(object) } else { check(&version, kind, object) };
    let refuse = |why: String| {
        let (kind, version) = (&resource.kind, &resource.version);
        ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    if let Some(mismatch) = findings.mismatch {
        return Err(refuse(mismatch));
    }
    let unknown: Vec<String> = findings.unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    match validation {
        Some("Strict") if !unknown.is_empty() => Err(refuse(format!("strict decoding error: {}", unknown.join(", ")))),
        Some("Ignore") => Ok(Vec::new()),
        _ => Ok(unknown),
    }
}
