//! Rules about names, namespaces and metadata that hold for every kind.

use serde_json::{Value, json};

use crate::resource::Resource;
use crate::server::State;
use crate::status::{ApiError, FieldError};
use crate::store::Key;

/// Whether the text is a DNS label (RFC 1123): at most 63 of `a-z0-9-`, alphanumeric at both ends.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(|c| word(c) || c == '-')
        && text.starts_with(word)
        && text.ends_with(word)
}

/// Whether the text is a DNS subdomain: labels (of any length) joined by dots, at most 253 characters.
pub(crate) fn is_dns_subdomain(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label =
        |l: &str| !l.is_empty() && l.chars().all(|c| word(c) || c == '-') && l.starts_with(word) && l.ends_with(word);
    text.len() <= 253 && text.split('.').all(label)
}

pub(crate) const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
pub(crate) const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Refuses names that the kind does not allow.
pub(crate) fn check_name(resource: &Resource, object: &Value) -> Result<(), ApiError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        let error = FieldError::required("metadata.name", "name or generateName is required");
        return Err(ApiError::invalid(resource, name, &[error]));
    }
    let why = match (resource.group.as_str(), resource.plural.as_str()) {
        // Names of roles are path segments: system:node and the like are fine.
        ("rbac.authorization.k8s.io", _) => (name.contains('/') || name.contains('%') || name == "." || name == "..")
            .then_some("may not contain '/' or '%', or be '.' or '..'"),
        ("", "namespaces") => (!is_dns_label(name)).then_some(LABEL_RULE),
        ("", "services") => {
            let ok = is_dns_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase());
            (!ok).then_some(SERVICE_RULE)
        }
        _ => (!is_dns_subdomain(name)).then_some(SUBDOMAIN_RULE),
    };
    let mut errors: Vec<FieldError> =
        why.map(|why| FieldError::invalid("metadata.name", &json!(name), why)).into_iter().collect();
    errors.extend(label_errors(object));
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(resource, name, &errors)) }
}

/// Bad label values and annotation or label keys.
pub(crate) fn label_errors(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let edge = |c: char| c.is_ascii_alphanumeric();
    let word = |t: &str| t.chars().all(|c| edge(c) || "-_.".contains(c)) && t.starts_with(edge) && t.ends_with(edge);
    for (name, is_label) in [("labels", true), ("annotations", false)] {
        for (key, value) in object["metadata"][name].as_object().into_iter().flatten() {
            let (prefix, short) = key.rsplit_once('/').map_or((None, key.as_str()), |(p, s)| (Some(p), s));
            let prefix_ok = prefix.is_none_or(|p| is_dns_subdomain(&p.to_lowercase()));
            if short.is_empty() || short.len() > 63 || !word(short) || !prefix_ok {
                let why = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
                errors.push(FieldError::invalid(format!("metadata.{name}"), &json!(key), why));
            }
            let Some(text) = value.as_str() else {
                errors.push(FieldError::invalid(format!("metadata.{name}"), value, "must be a string"));
                continue;
            };
            if is_label && !text.is_empty() && (text.len() > 63 || !word(text)) {
                let why = if text.len() > 63 {
                    "must be no more than 63 bytes"
                } else {
                    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                };
                errors.push(FieldError::invalid("metadata.labels", value, why));
            }
        }
    }
    errors
}

/// Puts a new object into the namespace of the path, which must exist and be alive.
pub(crate) fn check_namespace(
    state: &State,
    resource: &Resource,
    namespace: &str,
    object: &mut Value,
) -> Result<(), ApiError> {
    let given = object["metadata"]["namespace"].as_str().unwrap_or_default().to_string();
    if !resource.namespaced {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.shift_remove("namespace");
        }
        return Ok(());
    }
    if namespace.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    if !given.is_empty() && given != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    object["metadata"]["namespace"] = namespace.into();
    let namespaces = state.builtin("", "namespaces")?;
    let found = state.store.get("namespaces", &Key::new("", namespace));
    let found = found.ok_or_else(|| ApiError::not_found(&namespaces, namespace))?;
    if found.value()["metadata"]["deletionTimestamp"].is_string() {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let mut error = ApiError::forbidden(resource, name, why);
        error.details["causes"] = json!([{"reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}]);
        return Err(error);
    }
    Ok(())
}

/// Checks name and namespace of a body against the path, filling in what is absent.
pub(crate) fn check_target(
    resource: &Resource,
    namespace: &str,
    name: &str,
    object: &mut Value,
) -> Result<(), ApiError> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let metadata = &mut object["metadata"];
    let given = metadata["name"].as_str().unwrap_or_default();
    if !given.is_empty() && given != name {
        let message = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(ApiError::bad_request(message));
    }
    metadata["name"] = name.into();
    if resource.namespaced {
        let given = metadata["namespace"].as_str().unwrap_or_default();
        if !given.is_empty() && given != namespace {
            let message = format!(
                "the namespace of the object ({given}) does not match the namespace on the request ({namespace})"
            );
            return Err(ApiError::bad_request(message));
        }
        metadata["namespace"] = namespace.into();
    }
    Ok(())
}

/// Copies what no client may change from the live object.
pub(crate) fn keep_identity(resource: &Resource, live: &Value, new: &mut Value) -> Result<(), ApiError> {
    let name = live["metadata"]["name"].as_str().unwrap_or_default();
    let (before, metadata) = (&live["metadata"], &mut new["metadata"]);
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(ApiError::bad_request("metadata must be an object"));
    };
    metadata.shift_remove("selfLink");
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "generateName",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ] {
        match before.get(field) {
            Some(value) => {
                metadata.insert(field.into(), value.clone());
            }
            None => {
                metadata.shift_remove(field);
            }
        }
    }
    if before["deletionTimestamp"].is_string() {
        let have = before["finalizers"].as_array();
        let wanted = metadata.get("finalizers").and_then(Value::as_array);
        let fresh: Vec<String> = wanted
            .into_iter()
            .flatten()
            .filter(|f| !have.is_some_and(|have| have.contains(f)))
            .map(Value::to_string)
            .collect();
        if !fresh.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                fresh.join(", ")
            );
            let error = FieldError::forbidden("metadata.finalizers", &why);
            return Err(ApiError::invalid(resource, name, &[error]));
        }
    }
    let errors = label_errors(new);
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(resource, name, &errors)) }
}

/// Whether anything but metadata and status differs.
pub(crate) fn spec_changed(resource: &Resource, live: &Value, new: &Value) -> bool {
    let relevant = |object: &Value| -> Vec<(String, Value)> {
        let skip = |k: &str| k == "metadata" || k == "status" && resource.has("status");
        let mut fields: Vec<_> = object
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(k, _)| !skip(k))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields
    };
    relevant(live) != relevant(new)
}
