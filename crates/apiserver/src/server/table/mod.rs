//! Table output: the columns that kubectl prints for each kind.

mod cells;
mod custom;
mod pod;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::render::{Include, partial};
use crate::resource::Resource;
use crate::store::Stored;

/// Name, and whether it is shown only with `-o wide`.
type Column = (&'static str, bool);

const WIDE: bool = true;
const NARROW: bool = false;

/// Columns by group and plural name; the cells in `cells.rs` come in the same order.
fn columns(resource: &Resource) -> &'static [Column] {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => &[
            ("Name", NARROW),
            ("Ready", NARROW),
            ("Status", NARROW),
            ("Restarts", NARROW),
            ("Age", NARROW),
            ("IP", WIDE),
            ("Node", WIDE),
            ("Nominated Node", WIDE),
            ("Readiness Gates", WIDE),
        ],
        ("", "nodes") => &[
            ("Name", NARROW),
            ("Status", NARROW),
            ("Roles", NARROW),
            ("Age", NARROW),
            ("Version", NARROW),
            ("Internal-IP", WIDE),
            ("External-IP", WIDE),
            ("OS-Image", WIDE),
            ("Kernel-Version", WIDE),
            ("Container-Runtime", WIDE),
        ],
        ("", "namespaces") => &[("Name", NARROW), ("Status", NARROW), ("Age", NARROW)],
        ("", "configmaps") => &[("Name", NARROW), ("Data", NARROW), ("Age", NARROW)],
        ("", "secrets") => &[("Name", NARROW), ("Type", NARROW), ("Data", NARROW), ("Age", NARROW)],
        ("", "serviceaccounts") => &[("Name", NARROW), ("Secrets", NARROW), ("Age", NARROW)],
        ("", "services") => &[
            ("Name", NARROW),
            ("Type", NARROW),
            ("Cluster-IP", NARROW),
            ("External-IP", NARROW),
            ("Port(s)", NARROW),
            ("Age", NARROW),
            ("Selector", WIDE),
        ],
        ("" | "events.k8s.io", "events") => &[
            ("Last Seen", NARROW),
            ("Type", NARROW),
            ("Reason", NARROW),
            ("Object", NARROW),
            ("Subobject", WIDE),
            ("Source", WIDE),
            ("Message", NARROW),
            ("First Seen", WIDE),
            ("Count", WIDE),
            ("Name", WIDE),
        ],
        ("apps", "daemonsets") => &[
            ("Name", NARROW),
            ("Desired", NARROW),
            ("Current", NARROW),
            ("Ready", NARROW),
            ("Up-to-date", NARROW),
            ("Available", NARROW),
            ("Node Selector", NARROW),
            ("Age", NARROW),
            ("Containers", WIDE),
            ("Images", WIDE),
            ("Selector", WIDE),
        ],
        ("apps", "deployments") => &[
            ("Name", NARROW),
            ("Ready", NARROW),
            ("Up-to-date", NARROW),
            ("Available", NARROW),
            ("Age", NARROW),
            ("Containers", WIDE),
            ("Images", WIDE),
            ("Selector", WIDE),
        ],
        ("apps", "replicasets") => &[
            ("Name", NARROW),
            ("Desired", NARROW),
            ("Current", NARROW),
            ("Ready", NARROW),
            ("Age", NARROW),
            ("Containers", WIDE),
            ("Images", WIDE),
            ("Selector", WIDE),
        ],
        ("apps", "statefulsets") => {
            &[("Name", NARROW), ("Ready", NARROW), ("Age", NARROW), ("Containers", WIDE), ("Images", WIDE)]
        }
        ("batch", "jobs") => &[
            ("Name", NARROW),
            ("Status", NARROW),
            ("Completions", NARROW),
            ("Duration", NARROW),
            ("Age", NARROW),
            ("Containers", WIDE),
            ("Images", WIDE),
            ("Selector", WIDE),
        ],
        ("batch", "cronjobs") => &[
            ("Name", NARROW),
            ("Schedule", NARROW),
            ("Timezone", NARROW),
            ("Suspend", NARROW),
            ("Active", NARROW),
            ("Last Schedule", NARROW),
            ("Age", NARROW),
        ],
        ("node.k8s.io", _) => &[("Name", NARROW), ("Handler", NARROW), ("Age", NARROW)],
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") | ("apiextensions.k8s.io", _) => {
            &[("Name", NARROW), ("Created At", NARROW)]
        }
        ("rbac.authorization.k8s.io", _) => &[
            ("Name", NARROW),
            ("Role", NARROW),
            ("Age", NARROW),
            ("Users", WIDE),
            ("Groups", WIDE),
            ("ServiceAccounts", WIDE),
        ],
        ("coordination.k8s.io", _) => &[("Name", NARROW), ("Holder", NARROW), ("Age", NARROW)],
        ("scheduling.k8s.io", _) => &[
            ("Name", NARROW),
            ("Value", NARROW),
            ("Global-Default", NARROW),
            ("Age", NARROW),
            ("PreemptionPolicy", NARROW),
        ],
        ("policy", _) => &[
            ("Name", NARROW),
            ("Min Available", NARROW),
            ("Max Unavailable", NARROW),
            ("Allowed Disruptions", NARROW),
            ("Age", NARROW),
        ],
        ("storage.k8s.io", "storageclasses") => &[
            ("Name", NARROW),
            ("Provisioner", NARROW),
            ("ReclaimPolicy", NARROW),
            ("VolumeBindingMode", NARROW),
            ("AllowVolumeExpansion", NARROW),
            ("Age", NARROW),
        ],
        ("", "persistentvolumeclaims") => &[
            ("Name", NARROW),
            ("Status", NARROW),
            ("Volume", NARROW),
            ("Capacity", NARROW),
            ("Access Modes", NARROW),
            ("StorageClass", NARROW),
            ("Age", NARROW),
        ],
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            &[("Name", NARROW), ("Webhooks", NARROW), ("Age", NARROW)]
        }
        ("networking.k8s.io", "networkpolicies") => &[("Name", NARROW), ("Pod-Selector", NARROW), ("Age", NARROW)],
        _ => &[("Name", NARROW), ("Age", NARROW)],
    }
}

fn column(name: &str, kind: &str, wide: bool) -> Value {
    let format = if name == "Name" { "name" } else { "" };
    json!({"name": name, "type": kind, "format": format, "description": "", "priority": i32::from(wide)})
}

/// A table with these rows.
pub(crate) fn frame(resource: &Resource, rows: Vec<Value>) -> Value {
    let definitions: Vec<Value> = match &resource.custom {
        Some(custom) => custom::columns(&custom.columns),
        None => columns(resource).iter().map(|(name, wide)| column(name, "string", *wide)).collect(),
    };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": definitions, "rows": rows})
}

/// One row.
pub(crate) fn row(object: &Stored, resource: &Resource, include: Include, now: Timestamp) -> Value {
    let cells = match &resource.custom {
        Some(custom) => custom::cells(object.value(), &custom.columns, now),
        None => cells::of(object.value(), resource, now),
    };
    let mut row = json!({ "cells": cells });
    match include {
        Include::None => {}
        Include::Metadata => row["object"] = partial(object.value()),
        Include::Object => row["object"] = object.value().clone(),
    }
    row
}

/// How long ago something was, as kubectl prints ages.
fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |a: i64, au: &str, b: i64, bu: &str| if b == 0 { format!("{a}{au}") } else { format!("{a}{au}{b}{bu}") };
    match seconds {
        s if s < -1 => "<invalid>".into(),
        s if s < 0 => "0s".into(),
        s if s < 120 => format!("{s}s"),
        s if s < 600 => two(minutes, "m", s % 60, "s"),
        s if s < 3 * 3600 => format!("{minutes}m"),
        s if s < 8 * 3600 => two(hours, "h", minutes % 60, "m"),
        s if s < 48 * 3600 => format!("{hours}h"),
        s if s < 8 * 24 * 3600 => two(hours / 24, "d", hours % 24, "h"),
        s if s < 2 * 365 * 24 * 3600 => format!("{}d", hours / 24),
        s if s < 8 * 365 * 24 * 3600 => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// The age of a time in an object.
fn age(time: &Value, now: Timestamp) -> String {
    let parsed = time.as_str().and_then(|t| t.parse::<Timestamp>().ok());
    parsed.map_or_else(|| "<unknown>".into(), |t| human(now.as_second() - t.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, text) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3599, "59m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (47 * 3600, "47h"),
            (50 * 3600, "2d2h"),
            (10 * 86400, "10d"),
            (800 * 86400, "2y70d"),
            (3000 * 86400, "8y"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }

    #[test]
    fn every_row_has_as_many_cells_as_the_table_has_columns() {
        let object = Stored::unsaved(json!({"metadata": {"name": "x"}}));
        for resource in crate::builtin::resources() {
            let cells = row(&object, &resource, Include::None, Timestamp::UNIX_EPOCH)["cells"].as_array().map(Vec::len);
            let columns = frame(&resource, Vec::new())["columnDefinitions"].as_array().map(Vec::len);
            assert_eq!(cells, columns, "{}", resource.qualified());
        }
    }
}
