//! `delete` and `deletecollection`: graceful deletion, finalizers, preconditions.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::dispatch::{Call, json as answer_json};
use super::read::{existing, selection};
use super::render::{self, View};
use super::{State, crd, write};
use crate::resource::Resource;
use crate::status::ApiError;
use crate::store::{Stored, WriteError};

/// `DeleteOptions`, from the body and the query.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct DeleteOptions {
    grace: Option<i64>,
    policy: Option<String>,
    uid: Option<String>,
    version: Option<String>,
    dry_run: bool,
}

impl DeleteOptions {
    pub(crate) fn parse(body: &[u8], call: &Call) -> Result<Self, ApiError> {
        let value: Value = if body.is_empty() { Value::Null } else { crate::admit::decode::body_value(body)? };
        let mut options = DeleteOptions::from_object(&value);
        if let Some(grace) = call.query.get("gracePeriodSeconds") {
            options.grace = Some(grace.parse().map_err(|_| ApiError::bad_request("gracePeriodSeconds: not a number"))?);
        }
        if let Some(policy) = call.query.get("propagationPolicy") {
            options.policy = Some(policy.into());
        }
        options.dry_run |= call.dry_run();
        if let Some(policy) = &options.policy
            && !matches!(policy.as_str(), "Background" | "Foreground" | "Orphan")
        {
            let message = format!(
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: {policy:?}: must be one of \"Background\", \"Foreground\", \"Orphan\""
            );
            return Err(ApiError::new(422, "Invalid", message));
        }
        Ok(options)
    }

    pub(crate) fn from_object(value: &Value) -> Self {
        let text = |v: &Value| v.as_str().map(str::to_string);
        let orphan = match value["orphanDependents"].as_bool() {
            Some(true) => Some("Orphan".to_string()),
            Some(false) => Some("Background".to_string()),
            None => None,
        };
        DeleteOptions {
            grace: value["gracePeriodSeconds"].as_i64(),
            policy: text(&value["propagationPolicy"]).or(orphan),
            uid: text(&value["preconditions"]["uid"]),
            version: text(&value["preconditions"]["resourceVersion"]),
            dry_run: value["dryRun"].as_array().is_some_and(|d| !d.is_empty()),
        }
    }

    fn check(&self, resource: &Resource, live: &Stored) -> Result<(), ApiError> {
        let have_uid = live.value()["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some(uid) = self.uid.as_deref().filter(|uid| *uid != have_uid) {
            let why = format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({have_uid}). The object might have been deleted and then recreated"
            );
            return Err(ApiError::conflict(resource, &live.key.name, why));
        }
        if let Some(version) = self.version.as_deref().filter(|v| *v != live.rv.to_string()) {
            let why = format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
                live.rv
            );
            return Err(ApiError::conflict(resource, &live.key.name, why));
        }
        Ok(())
    }
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

/// Whether an object that is being deleted has nothing left to wait for.
pub(crate) fn is_finished(resource: &Resource, object: &Value) -> bool {
    let metadata = &object["metadata"];
    metadata["deletionTimestamp"].is_string()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && is_empty_list(&metadata["finalizers"])
        && (!resource.is("", "namespaces") || is_empty_list(&object["spec"]["finalizers"]))
}

/// The finalizers after a delete with this policy.
fn finalizers(resource: &Resource, object: &Value, policy: Option<&str>) -> Vec<Value> {
    let have = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let has = |name: &str| have.iter().any(|f| f == name);
    let default = if has("orphan") {
        "Orphan"
    } else if has("foregroundDeletion") {
        "Foreground"
    } else if resource.is("batch", "jobs") {
        // Jobs leave their pods behind unless told otherwise, for compatibility with their first version.
        "Orphan"
    } else {
        "Background"
    };
    let add = match policy.unwrap_or(default) {
        "Orphan" => Some("orphan"),
        "Foreground" => Some("foregroundDeletion"),
        _ => None,
    };
    let mut out: Vec<Value> = have.into_iter().filter(|f| f != "orphan" && f != "foregroundDeletion").collect();
    out.extend(add.map(Value::from));
    out
}

/// How long a pod may take to stop; `None` for objects that go at once.
fn grace_period(resource: &Resource, object: &Value, options: &DeleteOptions) -> i64 {
    if !resource.is("", "pods") {
        return 0;
    }
    let finished = matches!(object["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    if object["spec"]["nodeName"].as_str().is_none_or(str::is_empty) || finished {
        return 0;
    }
    let wanted = options.grace.or(object["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30);
    // Less than zero means at once but not without the kubelet.
    if wanted < 0 { 1 } else { wanted }
}

/// What a delete led to.
pub(crate) enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Arc<Stored>),
    /// The object waits for its finalizers or its kubelet.
    Waiting(Arc<Stored>),
}

/// Deletes one object.
pub(crate) fn delete_object(
    state: &State,
    resource: &Resource,
    mut live: Arc<Stored>,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    let storage = resource.storage();
    let protected = ["default", "kube-system", "kube-public"];
    if resource.is("", "namespaces") && protected.contains(&live.key.name.as_str()) {
        return Err(ApiError::forbidden(resource, &live.key.name, "this namespace may not be deleted"));
    }
    loop {
        options.check(resource, &live)?;
        let already = live.value()["metadata"]["deletionTimestamp"].is_string();
        let finalizers = finalizers(resource, live.value(), options.policy.as_deref());
        let grace = grace_period(resource, live.value(), options);
        let before = live.value()["metadata"]["deletionGracePeriodSeconds"].as_i64();
        let grace = if already { grace.min(before.unwrap_or(grace)) } else { grace };
        let mut new = live.value().clone();
        if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
            if !already || before != Some(grace) {
                let when = state.now() + jiff::SignedDuration::from_secs(grace);
                metadata.insert("deletionTimestamp".into(), when.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
                metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
                bump_generation(metadata);
            }
            metadata.shift_remove("finalizers");
            if !finalizers.is_empty() {
                metadata.insert("finalizers".into(), finalizers.into());
            }
        }
        if resource.is("", "namespaces") {
            new["status"]["phase"] = "Terminating".into();
        }
        if options.dry_run {
            return Ok(Deleted::Waiting(live));
        }
        let result = if is_finished(resource, &new) {
            state.store.remove_as(&storage, &live.key, live.rv, Some(new)).map(Deleted::Gone)
        } else if new == *live.value() {
            return Ok(Deleted::Waiting(live));
        } else {
            state.store.update(&storage, live.rv, new).map(Deleted::Waiting)
        };
        match result {
            Err(WriteError::Changed) => {
                let found = state.store.get(&storage, &live.key);
                live = found.ok_or_else(|| ApiError::not_found(resource, &live.key.name))?;
            }
            Err(error) => return Err(write::write_error(error, resource, &live.key.name)),
            Ok(deleted) => {
                if resource.is("apiextensions.k8s.io", "customresourcedefinitions") {
                    crd::remove_instances(state, live.value());
                    crd::refresh(state);
                }
                return Ok(deleted);
            }
        }
    }
}

fn bump_generation(metadata: &mut Map<String, Value>) {
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".into(), (generation + 1).into());
    }
}

/// The answer to a delete that removed the object.
fn success(resource: &Resource, object: &Stored) -> Value {
    let mut details =
        json!({"name": object.key.name, "kind": resource.plural, "uid": object.value()["metadata"]["uid"]});
    if !resource.group.is_empty() {
        details["group"] = resource.group.clone().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// Kinds whose delete answers with the object even when it is gone.
fn returns_object(resource: &Resource) -> bool {
    resource.group.is_empty()
        && matches!(
            resource.plural.as_str(),
            "pods"
                | "services"
                | "serviceaccounts"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "podtemplates"
                | "resourcequotas"
        )
}

pub(crate) fn delete(call: &Call, body: &[u8]) -> Result<Response, ApiError> {
    let options = DeleteOptions::parse(body, call)?;
    let live = existing(call)?;
    Ok(match delete_object(&call.state, &call.resource, live, &options)? {
        Deleted::Gone(object) if !returns_object(&call.resource) => {
            answer_json(StatusCode::OK, success(&call.resource, &object).to_string())
        }
        Deleted::Gone(object) | Deleted::Waiting(object) => {
            answer_json(StatusCode::OK, render::object(&object, &call.resource, View::of(call), call.state.now()))
        }
    })
}

pub(crate) fn delete_collection(call: &Call, body: &[u8]) -> Result<Response, ApiError> {
    let options = DeleteOptions::parse(body, call)?;
    if call.resource.namespaced && call.path.namespace.is_none() {
        return Err(ApiError::method_not_allowed());
    }
    let limit = call.query.number("limit").and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let page = call.state.store.list(&call.resource.storage(), &selection(call)?, None, limit);
    let mut gone = Vec::new();
    for object in page.items {
        match delete_object(&call.state, &call.resource, object, &options) {
            Ok(Deleted::Gone(object) | Deleted::Waiting(object)) => gone.push(object),
            Err(error) if error.reason == "NotFound" => {}
            Err(error) => return Err(error),
        }
    }
    let metadata = json!({"resourceVersion": call.state.store.version().to_string()});
    let items = gone.iter().map(|o| &**o);
    Ok(answer_json(StatusCode::OK, render::list(items, &call.resource, View::of(call), &metadata, call.state.now())))
}
