//! OpenAPI documents: enough for clients to see that the server validates fields itself, and for `kubectl explain` to show
//! names and types (without descriptions).

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::State;
use super::dispatch::json as answer_json;
use crate::resource::{Catalogue, Resource};
use crate::status::ApiError;
use crate::types::{Kind, types};

fn base(resource: &Resource) -> String {
    let prefix = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let namespace = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    format!("{prefix}{namespace}/{}", resource.plural)
}

/// Schema name such as `io.k8s.api.apps.v1.Deployment`.
fn schema_name(resource: &Resource) -> String {
    let mut parts: Vec<&str> = resource.group.split('.').rev().filter(|p| !p.is_empty()).collect();
    parts.extend([resource.version.as_str(), resource.kind.as_str()]);
    if resource.group.is_empty() { format!("io.k8s.api.core.{}", parts.join(".")) } else { parts.join(".") }
}

fn group_version_kind(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

/// The schema of a resource: a custom resource's own, otherwise any object.
fn schema_of(resource: &Resource) -> Value {
    let mut schema = match &resource.custom {
        Some(custom) if custom.schema.is_object() => custom.schema.clone(),
        _ => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    };
    schema["x-kubernetes-group-version-kind"] = json!([group_version_kind(resource)]);
    schema
}

fn operation(resource: &Resource, action: &str, v3: bool) -> Value {
    let parameter = |name: &str| {
        if v3 {
            json!({"name": name, "in": "query", "schema": {"type": "string"}})
        } else {
            json!({"name": name, "in": "query", "type": "string"})
        }
    };
    let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"].map(parameter);
    json!({"operationId": format!("{action}{}", resource.kind),
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": group_version_kind(resource)})
}

fn paths<'a>(resources: impl Iterator<Item = &'a std::sync::Arc<Resource>>, v3: bool) -> Map<String, Value> {
    let mut paths = Map::new();
    for resource in resources {
        let base = base(resource);
        paths.insert(base.clone(), json!({"post": operation(resource, "post", v3)}));
        if resource.stored {
            let item = json!({"put": operation(resource, "put", v3), "patch": operation(resource, "patch", v3)});
            paths.insert(format!("{base}/{{name}}"), item);
        }
    }
    paths
}

fn v3_document(state: &State, group: &str, version: &str) -> Option<Value> {
    let catalogue = state.catalogue();
    let mut schemas = Map::new();
    for resource in catalogue.of(group, version) {
        let name = schema_name(resource);
        let mut schema = schema_of(resource);
        if let Some(owner) = types().of(&resource.api_version(), &resource.kind) {
            schema["properties"] = properties(owner, &mut schemas).into();
            if let Some(map) = schema.as_object_mut() {
                map.shift_remove("x-kubernetes-preserve-unknown-fields");
            }
        }
        schemas.insert(name, schema);
    }
    if schemas.is_empty() {
        return None;
    }
    Some(json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": state.version},
        "paths": paths(catalogue.of(group, version), true), "components": {"schemas": schemas}}))
}

fn v3_index(catalogue: &Catalogue) -> Value {
    let mut out = Map::new();
    for (group, versions) in catalogue.groups() {
        for version in versions {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            // The hash lets clients cache a document; it changes with the set of resources.
            let resources: Vec<&str> = catalogue.of(group, version).map(|r| r.kind.as_str()).collect();
            let hash = resources.join("").bytes().fold(0u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
            out.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash:X}")}));
        }
    }
    json!({ "paths": out })
}

/// Name of a type in documents: `corev1.Pod` is `io.k8s.api.core.v1.Pod`.
fn type_name(name: &str) -> String {
    let (package, kind) = name.split_once('.').unwrap_or(("", name));
    let group = package.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('v');
    let version = &package[group.len()..];
    let prefix = if group == "meta" { "io.k8s.apimachinery.pkg.apis" } else { "io.k8s.api" };
    format!("{prefix}.{group}.{version}.{kind}")
}

/// The properties of a built-in type; the types that it refers to are added to `schemas`.
fn properties(owner: &str, schemas: &mut Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for field in types().fields(owner) {
        match &field.kind {
            Kind::Type(inner) if field.inline => out.extend(properties(inner, schemas)),
            kind => {
                out.insert(field.name.into(), kind_schema(kind, schemas));
            }
        }
    }
    out
}

fn kind_schema(kind: &Kind, schemas: &mut Map<String, Value>) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Float => json!({"type": "number"}),
        Kind::Bytes => json!({"type": "string", "format": "byte"}),
        Kind::Time | Kind::MicroTime => json!({"type": "string", "format": "date-time"}),
        Kind::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Kind::IntOrString => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        Kind::Raw => json!({"type": "object"}),
        Kind::List(inner) | Kind::Wrapped(inner) => json!({"type": "array", "items": kind_schema(inner, schemas)}),
        Kind::Map(inner) => json!({"type": "object", "additionalProperties": kind_schema(inner, schemas)}),
        Kind::Type(owner) => {
            let name = type_name(owner);
            if !schemas.contains_key(&name) {
                // Held first, so that a type that refers to itself ends here.
                schemas.insert(name.clone(), Value::Null);
                let properties = properties(owner, schemas);
                schemas.insert(name.clone(), json!({"type": "object", "properties": properties}));
            }
            json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}]})
        }
    }
}

fn v2_document(state: &State) -> Value {
    let catalogue = state.catalogue();
    let definitions: Map<String, Value> = catalogue.all().iter().map(|r| (schema_name(r), schema_of(r))).collect();
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": state.version},
        "paths": paths(catalogue.all().iter(), false), "definitions": definitions})
}

/// The smallest valid OpenAPI v2 document in protobuf form, which is what Go clients insist on: `swagger` (field 1), `info`
/// (field 2: title, version) and empty `paths` (field 8).
fn v2_protobuf(version: &str) -> Vec<u8> {
    fn field(number: u8, data: &[u8]) -> Vec<u8> {
        // All lengths here are below 128, so one byte holds them.
        let length = u8::try_from(data.len().min(127)).unwrap_or(0);
        let mut out = vec![number << 3 | 2, length];
        out.extend_from_slice(&data[..usize::from(length)]);
        out
    }
    let info = [field(1, b"Kubernetes"), field(2, version.as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info), field(8, b"")].concat()
}

/// `/openapi/...`.
pub(crate) fn answer(state: &State, rest: &[&str], accept: &str) -> Result<Response, ApiError> {
    let body = match rest {
        ["v2"] if accept.contains("openapi.spec.v2") && accept.contains("protobuf") => {
            let content_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
            let mut response = answer_json(StatusCode::OK, v2_protobuf(&state.version));
            response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
            return Ok(response);
        }
        ["v2"] => v2_document(state),
        ["v3"] => v3_index(&state.catalogue()),
        ["v3", "api", version] => v3_document(state, "", version).ok_or_else(ApiError::no_such_path)?,
        ["v3", "apis", group, version] => v3_document(state, group, version).ok_or_else(ApiError::no_such_path)?,
        _ => return Err(ApiError::no_such_path()),
    };
    Ok(answer_json(StatusCode::OK, body.to_string()))
}
