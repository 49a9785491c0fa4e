//! `get` and `list`.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use http::StatusCode;
use serde_json::{Value, json};

use super::dispatch::{Call, json};
use super::render::{self, View};
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::ApiError;
use crate::store::{Key, Selection, Stored};

/// The object that the path names.
pub(crate) fn existing(call: &Call) -> Result<std::sync::Arc<Stored>, ApiError> {
    if call.resource.namespaced && call.path.namespace.is_none() {
        return Err(ApiError::no_such_path());
    }
    let found = call.state.store.get(&call.resource.storage(), &call.key());
    found.ok_or_else(|| ApiError::not_found(&call.resource, call.name()))
}

/// The selectors of a request.
pub(crate) fn selection(call: &Call) -> Result<Selection, ApiError> {
    if call.path.namespace.is_some() && !call.resource.namespaced {
        return Err(ApiError::no_such_path());
    }
    let labels = LabelSelector::parse(call.query.get("labelSelector").unwrap_or_default());
    let fields = FieldSelector::parse(call.query.get("fieldSelector").unwrap_or_default(), &call.resource.storage());
    let mut selection = Selection {
        namespace: call.path.namespace.clone(),
        labels: labels.map_err(ApiError::bad_request)?,
        fields: fields.map_err(ApiError::bad_request)?,
    };
    // A name in the path of a watch is a selector too.
    if let Some(name) = &call.path.name {
        let term = crate::selector::FieldTerm { path: "metadata.name".into(), value: name.clone(), equal: true };
        selection.fields.0.push(term);
    }
    Ok(selection)
}

pub(crate) fn get(call: &Call) -> Result<Response, ApiError> {
    let object = existing(call)?;
    let body = render::object(&object, &call.resource, View::of(call), call.state.now());
    Ok(json(StatusCode::OK, body))
}

/// A continue token: where the next page starts, and the version of the first page.
fn parse_continue(token: &str) -> Option<(u64, Key)> {
    let value: Value = serde_json::from_slice(&B64.decode(token).ok()?).ok()?;
    let text = |k: &str| value[k].as_str().map(str::to_string);
    Some((value["rv"].as_u64()?, Key { namespace: text("ns")?, name: text("n")? }))
}

pub(crate) fn list(call: &Call) -> Result<Response, ApiError> {
    let selection = selection(call)?;
    let limit = call.query.number("limit").and_then(|l| usize::try_from(l).ok()).filter(|l| *l > 0);
    let start = match call.query.get("continue") {
        Some(token) => {
            let bad = || ApiError::bad_request("continue key is not valid: illegal base64 data or content");
            Some(parse_continue(token).ok_or_else(bad)?)
        }
        None => None,
    };
    let storage = call.resource.storage();
    let page = call.state.store.list(&storage, &selection, start.as_ref().map(|(_, key)| key), limit);
    // All pages carry the version of the first, so that a watch from it misses nothing.
    let rv = start.as_ref().map_or(page.rv, |(rv, _)| *rv);
    if start.is_none()
        && let Some(asked) = call.query.number("resourceVersion").filter(|asked| *asked > page.rv)
    {
        return Err(too_large(asked, page.rv));
    }
    let mut metadata = json!({"resourceVersion": rv.to_string()});
    if let Some(next) = &page.next {
        let token = json!({"rv": rv, "ns": next.namespace, "n": next.name}).to_string();
        metadata["continue"] = B64.encode(token).into();
        if let Some(remaining) = page.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    let items = page.items.iter().map(|o| &**o);
    let body = render::list(items, &call.resource, View::of(call), &metadata, call.state.now());
    Ok(json(StatusCode::OK, body))
}

/// 504 for a version that was not given out yet.
pub(crate) fn too_large(asked: u64, current: u64) -> ApiError {
    let mut error = ApiError::new(504, "Timeout", format!("Too large resource version: {asked}, current: {current}"));
    error.details = json!({"retryAfterSeconds": 1, "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]});
    error
}
