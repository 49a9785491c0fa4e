//! The forms in which objects are sent: themselves, tables for people, or metadata only.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::ACCEPT;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::dispatch::Call;
use super::table;
use crate::resource::Resource;
use crate::store::Stored;

/// What the client asked for in its `Accept` header.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum View {
    Full,
    Partial,
    Table(Include),
}

/// What rows of a table carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl View {
    pub(crate) fn of(call: &Call) -> View {
        let accept = call.header(ACCEPT);
        // The client lists what it takes in order of preference; `as=` forms come with a plain JSON fallback.
        for form in accept.split(',') {
            if form.contains("as=Table") && form.contains("json") {
                return View::Table(match call.query.get("includeObject") {
                    Some("None") => Include::None,
                    Some("Object") => Include::Object,
                    _ => Include::Metadata,
                });
            }
            if form.contains("as=PartialObjectMetadata") && form.contains("json") {
                return View::Partial;
            }
            if form.trim_start().starts_with("application/json") {
                break;
            }
        }
        View::Full
    }
}

/// The object at the API version of `resource` (the store keeps one version).
pub(crate) fn at_version(value: &Value, resource: &Resource) -> Value {
    if resource.group == "events.k8s.io" {
        return new_event(value);
    }
    let mut value = value.clone();
    value["apiVersion"] = resource.api_version().into();
    value
}

fn same_version(object: &Stored, resource: &Resource) -> bool {
    object.api_version() == resource.api_version()
}

const EVENT_NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn renamed(value: &Value, api_version: &str, rename: impl Fn(&str) -> String) -> Value {
    let map = value.as_object().into_iter().flatten();
    let mut out: Map<String, Value> = map.map(|(k, v)| (rename(k), v.clone())).collect();
    out.insert("apiVersion".into(), api_version.into());
    out.into()
}

/// A stored (core) event as events.k8s.io shows it.
fn new_event(value: &Value) -> Value {
    let rename = |k: &str| EVENT_NAMES.iter().find(|(old, _)| *old == k).map_or(k, |(_, new)| new).to_string();
    renamed(value, "events.k8s.io/v1", rename)
}

/// An event of events.k8s.io as it is stored.
pub(crate) fn core_event(value: &Value) -> Value {
    let rename = |k: &str| EVENT_NAMES.iter().find(|(_, new)| *new == k).map_or(k, |(old, _)| old).to_string();
    renamed(value, "v1", rename)
}

/// The JSON of an object at the asked version.
pub(crate) fn object_json(object: &Stored, resource: &Resource) -> Bytes {
    if same_version(object, resource) { object.json() } else { at_version(object.value(), resource).to_string().into() }
}

/// Metadata only.
pub(crate) fn partial(value: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}

/// One object in the asked form.
pub(crate) fn object(object: &Stored, resource: &Resource, view: View, now: Timestamp) -> Bytes {
    match view {
        View::Full => object_json(object, resource),
        View::Partial => partial(object.value()).to_string().into(),
        View::Table(include) => {
            let row = table::row(object, resource, include, now);
            let mut table = table::frame(resource, vec![row]);
            table["metadata"] = json!({"resourceVersion": object.rv.to_string()});
            table.to_string().into()
        }
    }
}

/// A list in the asked form; `metadata` is the list's.
pub(crate) fn list<'a>(
    items: impl Iterator<Item = &'a Stored>,
    resource: &Resource,
    view: View,
    metadata: &Value,
    now: Timestamp,
) -> Bytes {
    let (kind, api_version) = match view {
        View::Full => (resource.list_kind.clone(), resource.api_version()),
        View::Partial => ("PartialObjectMetadataList".into(), "meta.k8s.io/v1".into()),
        View::Table(include) => {
            let rows = items.map(|o| table::row(o, resource, include, now)).collect();
            let mut table = table::frame(resource, rows);
            table["metadata"] = metadata.clone();
            return table.to_string().into();
        }
    };
    let mut out = BytesMut::new();
    let head = format!("{{\"kind\":{kind:?},\"apiVersion\":{api_version:?},\"metadata\":{metadata},\"items\":[");
    out.put_slice(head.as_bytes());
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        match view {
            View::Partial => out.put_slice(partial(item.value()).to_string().as_bytes()),
            _ => out.put_slice(&object_json(item, resource)),
        }
    }
    out.put_slice(b"]}");
    out.freeze()
}
