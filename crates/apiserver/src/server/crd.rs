//! CustomResourceDefinitions: the resources they add.

use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use super::State;
use crate::builtin;
use crate::resource::{Catalogue, CustomVersion, Resource};
use crate::store::{Selection, Store};

/// Storage name of CRDs.
pub(crate) const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect()
}

/// Orders versions as discovery does: stable before beta before alpha, higher before lower.
fn version_rank(version: &str) -> (u8, i64, i64) {
    let digits = |t: &str| t.parse::<i64>().ok();
    let Some(rest) = version.strip_prefix('v') else { return (3, 0, 0) };
    for (rank, word) in [(1, "beta"), (2, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word)
            && let (Some(major), Some(minor)) = (digits(major), digits(minor))
        {
            return (rank, -major, -minor);
        }
    }
    digits(rest).map_or((3, 0, 0), |major| (0, -major, 0))
}

/// The resources of one CRD, one for each served version.
pub(crate) fn resources(crd: &Value) -> Vec<Resource> {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let mut versions: Vec<&Value> =
        spec["versions"].as_array().into_iter().flatten().filter(|v| v["served"] == true).collect();
    versions.sort_by_key(|v| version_rank(v["name"].as_str().unwrap_or_default()));
    let kind = text(&names["kind"]);
    let or = |v: &Value, default: String| v.as_str().map_or(default, str::to_string);
    versions
        .into_iter()
        .map(|version| {
            let declared = version["subresources"].as_object();
            let has = |name: &str| declared.is_some_and(|d| d.contains_key(name));
            let subresources = ["status", "scale"].into_iter().filter(|s| has(s)).map(str::to_string).collect();
            Resource {
                group: text(&spec["group"]),
                version: text(&version["name"]),
                plural: text(&names["plural"]),
                singular: or(&names["singular"], kind.to_lowercase()),
                list_kind: or(&names["listKind"], format!("{kind}List")),
                kind: kind.clone(),
                namespaced: spec["scope"] == "Namespaced",
                short_names: texts(&names["shortNames"]),
                categories: texts(&names["categories"]),
                subresources,
                stored: true,
                custom: Some(Arc::new(CustomVersion {
                    schema: version["schema"]["openAPIV3Schema"].clone(),
                    columns: version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default(),
                    scale: version["subresources"].get("scale").cloned(),
                })),
            }
        })
        .collect()
}

/// Everything served, given the CRDs in the store.
pub(crate) fn catalogue(store: &Store) -> Catalogue {
    let mut all = builtin::resources();
    let mut crds = store.list(CRDS, &Selection::default(), None, None).items;
    crds.sort_by(|a, b| a.value()["spec"]["group"].as_str().cmp(&b.value()["spec"]["group"].as_str()));
    for crd in crds {
        if crd.value()["metadata"]["deletionTimestamp"].is_null() {
            all.extend(resources(crd.value()));
        }
    }
    Catalogue::new(all)
}

/// To be called after any change of a CRD.
pub(crate) fn refresh(state: &State) {
    let fresh = catalogue(&state.store);
    *state.catalogue.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
}

/// Removes the objects of a CRD that is going away.
pub(crate) fn remove_instances(state: &State, crd: &Value) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let storage = format!("{}.{}", text(&crd["spec"]["names"]["plural"]), text(&crd["spec"]["group"]));
    for object in state.store.list(&storage, &Selection::default(), None, None).items {
        if let Err(error) = state.store.remove(&storage, &object.key, object.rv) {
            tracing::warn!(%storage, name = object.key.name, %error, "object of a removed CRD stays");
        }
    }
}

/// The status that the real server's controllers give a new CRD.
pub(crate) fn established_status(crd: &Value, now: &str) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message});
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let stored: Vec<&Value> = versions.filter(|v| v["storage"] == true).map(|v| &v["name"]).collect();
    json!({
        "acceptedNames": crd["spec"]["names"],
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": stored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_discovery_orders_them() {
        let mut versions = vec!["v1alpha1", "foo", "v2", "v1beta2", "v10", "v1beta1", "v1"];
        versions.sort_by_key(|v| version_rank(v));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
    }
}
