//! Table output: the columns that kubectl prints.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::render::{Include, partial};
use crate::resource::Resource;
use crate::store::Stored;

/// A table without rows' metadata.
pub(crate) fn frame(resource: &Resource, rows: Vec<Value>) -> Value {
    let _ = resource;
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": [
            {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
            {"name": "Age", "type": "string", "format": "", "description": "", "priority": 0}],
        "rows": rows})
}

/// One row.
pub(crate) fn row(object: &Stored, resource: &Resource, include: Include, now: Timestamp) -> Value {
    let _ = (resource, now);
    let mut row = json!({"cells": [object.key.name, ""]});
    match include {
        Include::None => {}
        Include::Metadata => row["object"] = partial(&object.value),
        Include::Object => row["object"] = object.value.clone(),
    }
    row
}
