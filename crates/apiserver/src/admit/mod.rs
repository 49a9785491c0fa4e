//! What happens to an object between the request and the store: defaults, admission, validation.

pub(crate) mod decode;
mod defaults;
mod escalation;
pub(crate) mod metadata;
pub(crate) mod namespace;
mod pod;
mod podspec;
mod service;
mod validate;

use serde_json::{Value, json};

use crate::auth::User;
use crate::merge::managed::Part;
use crate::resource::Resource;
use crate::server::{State, established_status};
use crate::status::{ApiError, FieldError};

fn refuse(resource: &Resource, object: &Value, errors: &[FieldError]) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(resource, object["metadata"]["name"].as_str().unwrap_or_default(), errors))
}

pub(crate) use defaults::apply as default;

/// Fills in and checks a new object whose metadata is complete and whose defaults are set.
pub(crate) fn create(state: &State, resource: &Resource, object: &mut Value, user: &User) -> Result<(), ApiError> {
    metadata::check_name(resource, object)?;
    match (resource.group.as_str(), resource.plural.as_str()) {
        _ if resource.custom.is_some() => {}
        ("", "namespaces") => namespace::on_create(object),
        ("", "pods") => pod::admit(state, resource, object)?,
        ("", "services") => service::allocate(state, resource, object)?,
        ("", "persistentvolumeclaims" | "persistentvolumes") => object["status"] = json!({"phase": "Pending"}),
        ("batch", "jobs") => job_labels(object),
        ("rbac.authorization.k8s.io", _) => escalation::check(state, resource, object, user)?,
        ("apiextensions.k8s.io", _) => object["status"] = established_status(object, &state.now_text()),
        _ => {}
    }
    refuse(resource, object, &validate::object(resource, object))
}

/// Fills in and checks a new state of an object whose defaults are set.
pub(crate) fn update(
    state: &State,
    resource: &Resource,
    live: &Value,
    new: &mut Value,
    part: Part,
    user: &User,
) -> Result<(), ApiError> {
    if part == Part::Status || resource.custom.is_some() {
        return Ok(());
    }
    if resource.is("", "namespaces") {
        // Finalizers of the spec change through their own subresource.
        new["spec"] = live["spec"].clone();
        new["metadata"]["labels"]["kubernetes.io/metadata.name"] = new["metadata"]["name"].clone();
    }
    if resource.is("", "services") {
        service::keep_addresses(live, new);
    }
    if resource.is("", "pods") {
        pod::keep_admitted(live, new);
    }
    if resource.is("rbac.authorization.k8s.io", &resource.plural) {
        escalation::check(state, resource, new, user)?;
    }
    if resource.is("apiextensions.k8s.io", "customresourcedefinitions") {
        let status = established_status(new, &state.now_text());
        new["status"]["acceptedNames"] = status["acceptedNames"].clone();
    }
    let mut errors = validate::object(resource, new);
    errors.extend(validate::change(resource, live, new));
    refuse(resource, new, &errors)
}

/// The labels by which a Job knows its pods, in the template and the selector.
fn job_labels(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let uid = job["metadata"]["uid"].clone();
    let name = job["metadata"]["name"].clone();
    if !job["spec"]["template"].is_object() {
        return;
    }
    if !job["spec"]["template"]["metadata"].is_object() {
        job["spec"]["template"]["metadata"] = json!({});
    }
    let labels = &mut job["spec"]["template"]["metadata"]["labels"];
    for prefix in ["batch.kubernetes.io/", ""] {
        labels[format!("{prefix}controller-uid")] = uid.clone();
        labels[format!("{prefix}job-name")] = name.clone();
    }
    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
}
