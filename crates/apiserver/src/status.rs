//! Errors as the real API server answers them: a `Status` object with a code, a reason and details.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::resource::Resource;

/// An answer other than success. Its `Display` is the message that kubectl and Helm print.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason (`NotFound`, `AlreadyExists`, `Conflict`, …); empty when the real server gives none.
    pub reason: &'static str,
    /// The text for people.
    pub message: String,
    /// The `details` object of the Status (`null` when there is none).
    pub details: Value,
}

/// One problem in one field of an object, as validation reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// `FieldValueInvalid`, `FieldValueRequired`, …
    pub reason: &'static str,
    /// Path such as `spec.template.spec.restartPolicy`.
    pub field: String,
    /// What is wrong, including the shown value.
    pub detail: String,
}

impl FieldError {
    /// A value that is not acceptable.
    pub fn invalid(field: impl Into<String>, value: &Value, why: impl std::fmt::Display) -> Self {
        let detail = format!("Invalid value: {value}: {why}");
        FieldError { reason: "FieldValueInvalid", field: field.into(), detail }
    }

    /// A value that must be given and is not.
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        let detail = if why.is_empty() { "Required value".into() } else { format!("Required value: {why}") };
        FieldError { reason: "FieldValueRequired", field: field.into(), detail }
    }

    /// A value that is not one of a fixed set.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let detail = format!("Unsupported value: {value}: supported values: {}", list.join(", "));
        FieldError { reason: "FieldValueNotSupported", field: field.into(), detail }
    }

    /// A change that is not allowed.
    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        FieldError { reason: "FieldValueForbidden", field: field.into(), detail: format!("Forbidden: {why}") }
    }
}

fn details(resource: &Resource, name: &str) -> Map<String, Value> {
    let mut map = Map::new();
    if !name.is_empty() {
        map.insert("name".into(), name.into());
    }
    if !resource.group.is_empty() {
        map.insert("group".into(), resource.group.clone().into());
    }
    map.insert("kind".into(), resource.plural.clone().into());
    map
}

impl ApiError {
    /// An error with no details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        ApiError { code, reason, message: message.into(), details: Value::Null }
    }

    /// 400 BadRequest.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401 Unauthorized.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 Forbidden about one resource; `why` follows the colon.
    pub fn forbidden(resource: &Resource, name: &str, why: impl std::fmt::Display) -> Self {
        let qualified = resource.qualified();
        let message = if name.is_empty() {
            format!("{qualified} is forbidden: {why}")
        } else {
            format!("{qualified} {name:?} is forbidden: {why}")
        };
        let details = details(resource, name).into();
        ApiError { code: 403, reason: "Forbidden", message, details }
    }

    /// 404 for an object that is not there.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        ApiError { code: 404, reason: "NotFound", message, details: details(resource, name).into() }
    }

    /// 404 for a path that no resource serves.
    pub fn no_such_path() -> Self {
        let mut error = Self::new(404, "NotFound", "the server could not find the requested resource");
        error.details = json!({});
        error
    }

    /// 405 for a verb that the resource does not have.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        ApiError { details: json!({}), ..Self::new(405, "MethodNotAllowed", message) }
    }

    /// 409 for a name that is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        ApiError { code: 409, reason: "AlreadyExists", message, details: details(resource, name).into() }
    }

    /// 409 for an update that lost a race or a precondition that does not hold.
    pub fn conflict(resource: &Resource, name: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        ApiError { code: 409, reason: "Conflict", message, details: details(resource, name).into() }
    }

    /// The 409 of a write whose `resourceVersion` is not the stored one.
    pub fn modified(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 422 with one cause per field.
    pub fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Self {
        let shown: Vec<String> = errors.iter().map(|e| format!("{}: {}", e.field, e.detail)).collect();
        let list = match shown.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind = if resource.group.is_empty() {
            resource.kind.clone()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let causes: Vec<Value> =
            errors.iter().map(|e| json!({"reason": e.reason, "message": e.detail, "field": e.field})).collect();
        let mut map = Map::new();
        map.insert("name".into(), name.into());
        if !resource.group.is_empty() {
            map.insert("group".into(), resource.group.clone().into());
        }
        map.insert("kind".into(), resource.kind.clone().into());
        map.insert("causes".into(), causes.into());
        let message = format!("{kind} {name:?} is invalid: {list}");
        ApiError { code: 422, reason: "Invalid", message, details: map.into() }
    }

    /// 410: a resource version or a continue token that is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 415 for a body in a form that is not served.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 500.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        let mut error = Self::new(500, "InternalError", format!("Internal error occurred: {message}"));
        error.details = json!({"causes": [{"message": message.to_string()}]});
        error
    }

    /// 501 for something that this server deliberately does not do.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(501, "NotImplemented", message)
    }

    /// The HTTP status.
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The `Status` object.
    pub fn to_status(&self) -> Value {
        let mut status =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message});
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status["code"] = self.code.into();
        status
    }
}
