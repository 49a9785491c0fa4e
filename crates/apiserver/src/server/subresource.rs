//! Subresources: status, scale, log, eviction, binding, token, proxies.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::delete::{DeleteOptions, delete_object};
use super::dispatch::{Call, json as answer_json};
use super::kubelet::LogQuery;
use super::read::{self, existing};
use super::review;
use super::write::{self, Author};
use crate::admit::decode;
use crate::merge::managed::Part;
use crate::merge::patch::{PatchType, patched};
use crate::merge::schema::Schema;
use crate::selector::LabelSelector;
use crate::status::{ApiError, FieldError};
use crate::store::Selection;

pub(crate) async fn handle(call: Call, body: Bytes) -> Result<Response, ApiError> {
    if !call.resource.has(&call.path.subresource) {
        return Err(ApiError::no_such_path());
    }
    match (call.path.subresource.as_str(), call.verb) {
        ("status" | "approval", "get") => read::get(&call),
        ("status" | "approval", "update" | "patch") => write::write_status(&call, &body),
        ("scale", "get" | "update" | "patch") => scale(&call, &body),
        ("log", "get") => log(&call).await,
        ("proxy", "get") if call.resource.is("", "nodes") => proxy(&call).await,
        ("eviction", "create") => evict(&call, &body),
        ("binding", "create") => bind(&call, &body),
        ("token", "create") => token(&call, &body),
        ("finalize", "update") => finalize(&call, &body),
        ("ephemeralcontainers" | "resize", "get") => read::get(&call),
        (name @ ("exec" | "attach" | "portforward" | "proxy" | "ephemeralcontainers" | "resize"), _) => Err(
            ApiError::not_implemented(format!("{}/{name} is not implemented by this API server", call.resource.plural)),
        ),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn status(message: &str, code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": message, "code": code})
}

async fn log(call: &Call) -> Result<Response, ApiError> {
    let pod = existing(call)?;
    let name = call.name();
    let names: Vec<&str> = ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| pod.value()["spec"][*list].as_array().into_iter().flatten())
        .filter_map(|c| c["name"].as_str())
        .collect();
    let main = pod.value()["spec"]["containers"].as_array().map_or(0, Vec::len);
    let container = match call.query.get("container") {
        Some(container) if names.contains(&container) => container.to_string(),
        Some(container) => {
            return Err(ApiError::bad_request(format!("container {container} is not valid for pod {name}")));
        }
        None if main == 1 => names.first().copied().unwrap_or_default().to_string(),
        None => {
            let init = pod.value()["spec"]["initContainers"].as_array().map_or(0, Vec::len);
            let init = if init == 0 {
                String::new()
            } else {
                format!(" or one of the init containers: [{}]", names[main..main + init].join(" "))
            };
            return Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]{init}",
                names[..main].join(" ")
            )));
        }
    };
    if pod.value()["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        let message = format!("pod {name} does not have a host assigned");
        return Err(ApiError::bad_request(message));
    }
    let kubelets = call.state.kubelets.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let kubelets = kubelets.ok_or_else(|| ApiError::not_implemented("no kubelet answers for logs here"))?;
    let body = kubelets.logs(pod.value().clone(), LogQuery::from(&call.query, container)).await?;
    let mut response = Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn proxy(call: &Call) -> Result<Response, ApiError> {
    let node = existing(call)?;
    let kubelets = call.state.kubelets.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let kubelets = kubelets.ok_or_else(|| ApiError::not_implemented("no kubelet answers for proxies here"))?;
    let body = kubelets.proxy(node.value().clone(), call.path.rest.join("/"), call.query.pairs()).await?;
    Ok(Response::new(body))
}

/// Takes one disruption from the budget that covers the pod, if there is one.
fn spend_budget(call: &Call, pod: &Value) -> Result<(), ApiError> {
    let storage = "poddisruptionbudgets.policy";
    let selection = Selection { namespace: Some(call.namespace().into()), ..Selection::default() };
    let labels = &pod["metadata"]["labels"];
    let budgets = call.state.store.list(storage, &selection, None, None).items;
    let covering: Vec<_> = budgets
        .into_iter()
        .filter(|b| LabelSelector::from_object(&b.value()["spec"]["selector"]).matches_labels(labels))
        .collect();
    let budget = match covering.as_slice() {
        [] => return Ok(()),
        [one] => one,
        _ => {
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(ApiError::internal(message));
        }
    };
    let allowed = budget.value()["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
    if allowed <= 0 {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut error = ApiError::new(429, "TooManyRequests", message);
        let healthy = budget.value()["status"]["currentHealthy"].as_i64().unwrap_or(0);
        let desired = budget.value()["status"]["desiredHealthy"].as_i64().unwrap_or(0);
        let name = &budget.key.name;
        let why = format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
        error.details = json!({"causes": [{"reason": "DisruptionBudget", "message": why}]});
        return Err(error);
    }
    let mut new = budget.value().clone();
    new["status"]["disruptionsAllowed"] = (allowed - 1).into();
    let resource = call.state.builtin("policy", "poddisruptionbudgets")?;
    call.state.store.update(storage, budget.rv, new).map_err(|e| write::write_error(e, &resource, &budget.key.name))?;
    Ok(())
}

fn evict(call: &Call, body: &[u8]) -> Result<Response, ApiError> {
    let eviction: Value = decode::body_value(body)?;
    let pod = existing(call)?;
    let mut options = eviction["deleteOptions"].clone();
    if !options.is_object() {
        options = json!({});
    }
    if call.dry_run() {
        options["dryRun"] = json!(["All"]);
    }
    let finished = matches!(pod.value()["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"));
    let leaving = pod.value()["metadata"]["deletionTimestamp"].is_string();
    if !finished && !leaving && !call.dry_run() {
        spend_budget(call, pod.value())?;
    }
    delete_object(&call.state, &call.resource, pod, &DeleteOptions::from_object(&options))?;
    Ok(answer_json(StatusCode::CREATED, status("Success", 201).to_string()))
}

fn bind(call: &Call, body: &[u8]) -> Result<Response, ApiError> {
    let binding: Value = decode::body_value(body)?;
    let node = binding["target"]["name"].as_str().unwrap_or_default().to_string();
    if node.is_empty() {
        let error = FieldError::required("target.name", "");
        return Err(ApiError::invalid(&call.resource, call.name(), &[error]));
    }
    let author = Author::server(&call.user, &call.resource, call.dry_run());
    let now = call.state.now_text();
    // Binding writes spec and status at once, so it takes the store's way rather than the two halves of an update.
    let live = existing(call)?;
    if let Some(bound) = live.value()["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
        let why = format!("pod {} is already assigned to node {bound:?}", call.name());
        return Err(ApiError::conflict(&call.resource, call.name(), why));
    }
    if live.value()["metadata"]["deletionTimestamp"].is_string() {
        let why = format!("pod {} is being deleted, cannot be assigned to a host", call.name());
        return Err(ApiError::conflict(&call.resource, call.name(), why));
    }
    let mut new = live.value().clone();
    new["spec"]["nodeName"] = node.into();
    for (key, value) in binding["metadata"]["annotations"].as_object().into_iter().flatten() {
        new["metadata"]["annotations"][key] = value.clone();
    }
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let conditions = new["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let mut conditions: Vec<Value> = conditions.into_iter().filter(|c| c["type"] != "PodScheduled").collect();
    conditions.push(scheduled);
    new["status"]["conditions"] = conditions.into();
    if !author.dry_run {
        let storage = call.resource.storage();
        let updated = call.state.store.update(&storage, live.rv, new);
        updated.map_err(|e| write::write_error(e, &call.resource, call.name()))?;
    }
    Ok(answer_json(StatusCode::CREATED, status("Success", 201).to_string()))
}

fn token(call: &Call, body: &[u8]) -> Result<Response, ApiError> {
    let mut request: Value = decode::body_value(body)?;
    if !request["spec"].is_object() {
        request["spec"] = json!({});
    }
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
    if seconds < 600 {
        let error = FieldError::invalid(
            "spec.expirationSeconds",
            &seconds.into(),
            "may not specify a duration less than 10 minutes",
        );
        let mut resource = (*call.resource).clone();
        resource.group = "authentication.k8s.io".into();
        resource.kind = "TokenRequest".into();
        return Err(ApiError::invalid(&resource, "", &[error]));
    }
    let audiences: Vec<String> = request["spec"]["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_string)
        .collect();
    let bound = request["spec"]["boundObjectRef"].clone();
    let (token, expires) =
        review::issue_token(&call.state, call.namespace(), call.name(), seconds, &bound, &audiences)?;
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["kind"] = "TokenRequest".into();
    request["metadata"] =
        json!({"name": call.name(), "namespace": call.namespace(), "creationTimestamp": call.state.now_text()});
    request["spec"]["expirationSeconds"] = seconds.into();
    request["status"] = json!({"token": token, "expirationTimestamp": expires});
    Ok(answer_json(StatusCode::CREATED, request.to_string()))
}

/// `PUT /api/v1/namespaces/NAME/finalize`: the only way to change `spec.finalizers`.
fn finalize(call: &Call, body: &[u8]) -> Result<Response, ApiError> {
    let object = decode::object(body, &call.resource)?;
    let live = existing(call)?;
    if let Some(version) = object["metadata"]["resourceVersion"].as_str().filter(|v| !v.is_empty())
        && version != live.rv.to_string()
    {
        return Err(ApiError::modified(&call.resource, call.name()));
    }
    let mut new = live.value().clone();
    new["spec"]["finalizers"] = object["spec"]["finalizers"].as_array().cloned().unwrap_or_default().into();
    let stored = write::commit(&call.state, &call.resource, &live, new)
        .map_err(|e| write::write_error(e, &call.resource, call.name()))?;
    Ok(answer_json(StatusCode::OK, stored.json()))
}

/// The `Scale` of an object. `status.selector` is the selector in its text form.
fn scale_of(call: &Call, object: &Value) -> Value {
    let paths = call
        .resource
        .custom
        .as_ref()
        .and_then(|c| c.scale.clone())
        .unwrap_or_else(|| json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}));
    let at = |path: &Value| {
        let path = path.as_str().unwrap_or_default();
        path.split('.').filter(|p| !p.is_empty()).try_fold(object, |v, k| v.get(k)).cloned().unwrap_or(Value::Null)
    };
    let selector = match paths.get("labelSelectorPath") {
        Some(path) => at(path).as_str().unwrap_or_default().to_string(),
        None => {
            let labels = object["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
            let terms: Vec<String> = labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
            terms.join(",")
        }
    };
    let metadata = &object["metadata"];
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
        "spec": {"replicas": at(&paths["specReplicasPath"]).as_i64().unwrap_or(0)},
        "status": {"replicas": at(&paths["statusReplicasPath"]).as_i64().unwrap_or(0), "selector": selector}})
}

fn scale(call: &Call, body: &Bytes) -> Result<Response, ApiError> {
    let live = existing(call)?;
    if call.verb == "get" {
        return Ok(answer_json(StatusCode::OK, scale_of(call, live.value()).to_string()));
    }
    let wanted = if call.verb == "patch" {
        let (kind, patch) = write::parse_patch(call, body)?;
        let kind = if kind == PatchType::Apply { PatchType::Merge } else { kind };
        patched(&scale_of(call, live.value()), &patch, kind, Schema::Unknown)?
    } else {
        decode::body_value(body)?
    };
    let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let error = FieldError::invalid("spec.replicas", &replicas.into(), "must be greater than or equal to 0");
        return Err(ApiError::invalid(&call.resource, call.name(), &[error]));
    }
    if let Some(version) = wanted["metadata"]["resourceVersion"].as_str().filter(|v| !v.is_empty())
        && version != live.rv.to_string()
    {
        return Err(ApiError::modified(&call.resource, call.name()));
    }
    let path =
        call.resource.custom.as_ref().and_then(|c| c.scale.as_ref()?["specReplicasPath"].as_str().map(str::to_string));
    let pointer = path.unwrap_or_else(|| ".spec.replicas".into()).replace('.', "/");
    let author = Author::server(&call.user, &call.resource, call.dry_run());
    let updated = write::modify(&call.state, &call.resource, &call.key(), Part::Main, &author, |live| {
        let mut new = live.clone();
        if let Some(slot) = new.pointer_mut(&pointer) {
            *slot = replicas.into();
        } else {
            json_patch::merge(&mut new, &nested(&pointer, replicas));
        }
        Ok(new)
    })?;
    Ok(answer_json(StatusCode::OK, scale_of(call, updated.value()).to_string()))
}

/// An object with one number at a pointer.
fn nested(pointer: &str, number: i64) -> Value {
    pointer.split('/').filter(|k| !k.is_empty()).rev().fold(Value::from(number), |inner, key| json!({key: inner}))
}
