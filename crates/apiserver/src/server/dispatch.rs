//! From a request to its handler: authentication, authorisation, faults, verbs.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::Value;

use super::request::{ObjectPath, Query, Target, parse_path};
use super::{Authenticated, State, delete, discovery, openapi, read, review, subresource, watch, write};
use crate::auth::rbac::{Action, allowed};
use crate::auth::{User, token};
use crate::faults::Outcome;
use crate::resource::Resource;
use crate::status::ApiError;
use crate::store::Key;

/// The largest body that is read.
const MAX_BODY: usize = 8 << 20;

/// One request on a resource, ready to be handled.
pub(crate) struct Call {
    pub state: Arc<State>,
    pub user: User,
    pub resource: Arc<Resource>,
    pub path: ObjectPath,
    pub query: Query,
    pub headers: HeaderMap,
    pub verb: &'static str,
}

impl Call {
    /// Namespace in the path, empty for none.
    pub(crate) fn namespace(&self) -> &str {
        self.path.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The field manager: as given, or the client's program name.
    pub(crate) fn field_manager(&self) -> String {
        let agent = || self.header(header::USER_AGENT).split('/').next().unwrap_or_default().to_string();
        let manager = self.query.get("fieldManager").map_or_else(agent, str::to_string);
        if manager.is_empty() { "unknown".into() } else { manager }
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.query.get("dryRun").is_some()
    }
}

/// A JSON answer.
pub(crate) fn json(code: StatusCode, body: impl Into<Bytes>) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], Body::from(body.into())).into_response()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json(self.status_code(), self.to_status().to_string());
        if matches!(self.code, 429 | 503)
            && let Some(seconds) = self.details["retryAfterSeconds"].as_u64()
        {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Answers one request.
pub(crate) async fn answer(state: &Arc<State>, request: Request<Body>) -> Response {
    match try_answer(state, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn try_answer(state: &Arc<State>, request: Request<Body>) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let user = authenticate(state, &parts)?;
    let path = parts.uri.path();
    let query = Query::parse(parts.uri.query());
    match parse_path(path) {
        Target::Objects(object_path) => {
            let Some(resource) = state.catalogue().find(&object_path.group, &object_path.version, &object_path.plural)
            else {
                return Err(ApiError::no_such_path());
            };
            let verb = verb_of(&parts.method, &object_path, &query)?;
            let call =
                Call { state: state.clone(), user, resource, path: object_path, query, headers: parts.headers, verb };
            guarded(call, body).await
        }
        Target::GroupVersion { group, version } => {
            authorise_path(state, &user, &parts.method, path)?;
            discovery::group_version(state, &group, &version)
        }
        Target::Other(segments) => {
            let words: Vec<&str> = segments.iter().map(String::as_str).collect();
            authorise_path(state, &user, &parts.method, path)?;
            let accept = parts.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
            match words.as_slice() {
                ["healthz" | "livez" | "readyz", ..] => Ok("ok".into_response()),
                ["metrics"] => Ok(state.counts.text().into_response()),
                ["version"] => Ok(json(StatusCode::OK, discovery::version(&state.version).to_string())),
                ["openapi", rest @ ..] => openapi::answer(state, rest, accept),
                [] => Ok(json(StatusCode::OK, discovery::root(state).to_string())),
                _ => discovery::answer(state, &words, accept),
            }
        }
    }
}

fn verb_of(method: &Method, path: &ObjectPath, query: &Query) -> Result<&'static str, ApiError> {
    let named = path.name.is_some();
    Ok(match method.as_str() {
        "GET" | "HEAD" if path.watch || (query.flag("watch") && path.subresource.is_empty()) => "watch",
        "GET" | "HEAD" if named => "get",
        "GET" | "HEAD" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if named => "delete",
        "DELETE" => "deletecollection",
        _ => return Err(ApiError::method_not_allowed()),
    })
}

/// Faults and authorisation around the handler.
async fn guarded(call: Call, body: Body) -> Result<Response, ApiError> {
    let path = &call.path;
    let resource =
        if path.subresource.is_empty() { path.plural.clone() } else { format!("{}/{}", path.plural, path.subresource) };
    let action = Action {
        verb: call.verb.into(),
        group: path.group.clone(),
        resource,
        namespace: if path.plural == "namespaces" && path.group.is_empty() {
            // The real server looks for roles in the namespace that the request is about.
            call.name().to_string()
        } else {
            call.namespace().to_string()
        },
        name: call.name().into(),
        path: String::new(),
    };
    let may = allowed(&call.state.store, &call.user, &action);
    call.state.counts.note(&call.user, &action);
    if let Some(audit) = &call.state.audit {
        audit.note(&call.user, &action, may);
    }
    if !may {
        return Err(ApiError::forbidden(&call.resource, call.name(), action.denied(&call.user)));
    }
    let fault = call.state.faults.take(call.verb, &action.resource, call.name(), &call.user.name);
    let mut lost = None;
    match fault {
        Some(Outcome::Fail(error)) => return Err(error),
        Some(Outcome::LoseAnswer(error)) => lost = Some(error),
        Some(Outcome::Delay(time)) => tokio::time::sleep(time).await,
        None => {}
    }
    let answer = handle(call, body).await;
    lost.map_or(answer, Err)
}

async fn handle(call: Call, body: Body) -> Result<Response, ApiError> {
    let reads_body = !matches!(call.verb, "get" | "list" | "watch");
    let body = if reads_body {
        let read = axum::body::to_bytes(body, MAX_BODY).await;
        read.map_err(|e| ApiError::new(413, "RequestEntityTooLarge", format!("cannot read the body: {e}")))?
    } else {
        Bytes::new()
    };
    if !call.resource.stored {
        if call.verb != "create" {
            return Err(ApiError::method_not_allowed());
        }
        return review::create(&call, &body);
    }
    if !call.path.subresource.is_empty() {
        return subresource::handle(call, body).await;
    }
    match call.verb {
        "get" => read::get(&call),
        "list" => read::list(&call),
        "watch" => watch::watch(call),
        "create" if call.path.name.is_some() => Err(ApiError::method_not_allowed()),
        "create" => write::create(&call, &body),
        "update" if call.path.name.is_none() => Err(ApiError::method_not_allowed()),
        "update" => write::update(&call, &body),
        "patch" if call.path.name.is_none() => Err(ApiError::method_not_allowed()),
        "patch" => write::patch(&call, &body),
        "delete" => delete::delete(&call, &body),
        "deletecollection" => delete::delete_collection(&call, &body),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn authorise_path(state: &State, user: &User, method: &Method, path: &str) -> Result<(), ApiError> {
    let verb = if method == Method::GET { "get".to_string() } else { method.as_str().to_lowercase() };
    let action = Action { verb, path: path.into(), ..Action::default() };
    if allowed(&state.store, user, &action) {
        return Ok(());
    }
    let message = format!("forbidden: {}", action.denied(user));
    Err(ApiError { details: serde_json::json!({}), ..ApiError::new(403, "Forbidden", message) })
}

/// Who sent the request: known from the connection, or by its token; impersonation on top.
fn authenticate(state: &State, parts: &http::request::Parts) -> Result<User, ApiError> {
    let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok());
    let bearer = header("authorization").and_then(|h| h.strip_prefix("Bearer "));
    let user = match (parts.extensions.get::<Authenticated>(), bearer) {
        (Some(Authenticated(user)), _) => user.clone(),
        (None, Some(token)) => token_user(state, token.trim()).ok_or_else(ApiError::unauthorized)?,
        (None, None) => User::anonymous(),
    };
    let Some(wanted) = header("impersonate-user") else { return Ok(user) };
    let users = Resource { plural: "users".into(), ..Resource::clone(&*state.builtin("", "pods")?) };
    let asked = |resource: &str, name: &str| Action {
        verb: "impersonate".into(),
        resource: resource.into(),
        name: name.into(),
        ..Action::default()
    };
    let groups: Vec<&str> = parts.headers.get_all("impersonate-group").iter().filter_map(|v| v.to_str().ok()).collect();
    let mut actions = vec![asked("users", wanted)];
    actions.extend(groups.iter().map(|g| asked("groups", g)));
    for action in actions {
        if !allowed(&state.store, &user, &action) {
            return Err(ApiError::forbidden(&users, wanted, action.denied(&user)));
        }
    }
    let account = wanted.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    Ok(match account {
        Some((namespace, name)) if groups.is_empty() => User::service_account(namespace, name, ""),
        _ => User::new(wanted, &groups),
    })
}

/// The user of a token: an administrator's, or a ServiceAccount that still exists.
pub(crate) fn token_user(state: &State, token: &str) -> Option<User> {
    if let Some(user) = state.credentials.token_user(token) {
        return Some(user);
    }
    let claims = state.tokens.verify(token, state.now().as_second())?;
    if claims["iss"].as_str() != Some(token::ISSUER) {
        return None;
    }
    let bound = &claims["kubernetes.io"];
    let namespace = bound["namespace"].as_str()?;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let (name, uid) = (text(&bound["serviceaccount"]["name"]), text(&bound["serviceaccount"]["uid"]));
    let account = state.store.get("serviceaccounts", &Key::new(namespace, name.clone()))?;
    if account.value()["metadata"]["uid"].as_str() != Some(&uid) {
        return None;
    }
    let mut user = User::service_account(namespace, &name, &uid);
    if bound["pod"].is_object() {
        let pod = state.store.get("pods", &Key::new(namespace, text(&bound["pod"]["name"])))?;
        if pod.value()["metadata"]["uid"] != bound["pod"]["uid"] {
            return None;
        }
        let key = |k: &str| format!("authentication.kubernetes.io/{k}");
        user.extra.push((key("pod-name"), text(&bound["pod"]["name"])));
        user.extra.push((key("pod-uid"), text(&bound["pod"]["uid"])));
        if let Some(node) = pod.value()["spec"]["nodeName"].as_str() {
            user.extra.push((key("node-name"), node.into()));
        }
    }
    Some(user)
}
