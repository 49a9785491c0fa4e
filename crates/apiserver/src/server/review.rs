//! Questions that are answered and not kept: access reviews, token reviews; and tokens.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::State;
use super::dispatch::{Call, json as answer_json, token_user};
use crate::auth::User;
use crate::auth::rbac::{Action, allowed, rules};
use crate::auth::token::ISSUER;
use crate::status::ApiError;
use crate::store::Key;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn action_of(spec: &Value) -> Action {
    let asked = &spec["resourceAttributes"];
    if asked.is_object() {
        let subresource = text(&asked["subresource"]);
        let resource = text(&asked["resource"]);
        return Action {
            verb: text(&asked["verb"]),
            group: text(&asked["group"]),
            resource: if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") },
            namespace: text(&asked["namespace"]),
            name: text(&asked["name"]),
            path: String::new(),
        };
    }
    let asked = &spec["nonResourceAttributes"];
    Action { verb: text(&asked["verb"]), path: text(&asked["path"]), ..Action::default() }
}

fn verdict(state: &State, user: &User, action: &Action) -> Value {
    if allowed(&state.store, user, action) { json!({"allowed": true}) } else { json!({"allowed": false}) }
}

/// Answers a review.
pub(crate) fn create(call: &Call, body: &[u8]) -> Result<Response, ApiError> {
    let kind = call.resource.kind.as_str();
    let mut review: Value = if body.is_empty() { json!({}) } else { crate::admit::decode::body_value(body)? };
    if !review.is_object() {
        return Err(ApiError::bad_request(format!("{kind} must be an object")));
    }
    let spec = review["spec"].clone();
    let state = &call.state;
    review["status"] = match kind {
        "SelfSubjectReview" => json!({"userInfo": call.user.to_json()}),
        "SelfSubjectAccessReview" => verdict(state, &call.user, &action_of(&spec)),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let groups: Vec<&str> = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut user = User::new(text(&spec["user"]), &[]);
            user.groups = groups.into_iter().map(str::to_string).collect();
            verdict(state, &user, &action_of(&spec))
        }
        "SelfSubjectRulesReview" => {
            let all = rules(&state.store, &call.user, &text(&spec["namespace"]));
            let (paths, resources): (Vec<Value>, Vec<Value>) =
                all.into_iter().partition(|r| r["nonResourceURLs"].is_array());
            json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
        }
        "TokenReview" => match token_user(state, spec["token"].as_str().unwrap_or_default()) {
            Some(user) => json!({"authenticated": true, "user": user.to_json(), "audiences": [ISSUER]}),
            None => json!({"authenticated": false, "error": "invalid bearer token"}),
        },
        _ => return Err(ApiError::no_such_path()),
    };
    review["kind"] = kind.into();
    review["apiVersion"] = call.resource.api_version().into();
    if !review["metadata"].is_object() {
        review["metadata"] = json!({"creationTimestamp": null});
    }
    Ok(answer_json(StatusCode::CREATED, review.to_string()))
}

/// Signs a token for a ServiceAccount; gives it with its expiry as text. `bound` is a reference to a pod or `null`.
pub(crate) fn issue_token(
    state: &State,
    namespace: &str,
    name: &str,
    seconds: i64,
    bound: &Value,
    audiences: &[String],
) -> Result<(String, String), ApiError> {
    let accounts = state.builtin("", "serviceaccounts")?;
    let account = state.store.get("serviceaccounts", &Key::new(namespace, name));
    let account = account.ok_or_else(|| ApiError::not_found(&accounts, name))?;
    let now = state.now();
    let expires = now + jiff::SignedDuration::from_secs(seconds);
    let mut about = json!({"namespace": namespace,
        "serviceaccount": {"name": name, "uid": account.value()["metadata"]["uid"]}});
    if bound["kind"] == "Pod" {
        let pods = state.builtin("", "pods")?;
        let pod_name = text(&bound["name"]);
        let pod = state.store.get("pods", &Key::new(namespace, pod_name.clone()));
        let pod = pod.ok_or_else(|| ApiError::not_found(&pods, &pod_name))?;
        if bound["uid"].is_string() && bound["uid"] != pod.value()["metadata"]["uid"] {
            let why = format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                text(&bound["uid"])
            );
            return Err(ApiError::conflict(&pods, &pod_name, why));
        }
        about["pod"] = json!({"name": pod_name, "uid": pod.value()["metadata"]["uid"]});
    }
    let audiences: Vec<&str> =
        if audiences.is_empty() { vec![ISSUER] } else { audiences.iter().map(String::as_str).collect() };
    let claims = json!({"iss": ISSUER, "sub": format!("system:serviceaccount:{namespace}:{name}"), "aud": audiences,
        "iat": now.as_second(), "nbf": now.as_second(), "exp": expires.as_second(), "kubernetes.io": about});
    Ok((state.tokens.sign(&claims), expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
}
