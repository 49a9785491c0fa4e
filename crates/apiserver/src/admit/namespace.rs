//! Namespaces: their defaults and what every namespace is furnished with.

use serde_json::{Value, json};

use crate::server::{State, create_internal};
use crate::status::ApiError;
use crate::store::Key;

/// Defaults of a new namespace.
pub(crate) fn on_create(object: &mut Value) {
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = object["metadata"]["name"].clone();
    object["spec"] = json!({"finalizers": ["kubernetes"]});
    object["status"] = json!({"phase": "Active"});
}

/// Gives a namespace its default ServiceAccount and the ConfigMap with the cluster's CA. In a real cluster controllers do this
/// a moment later; here it is part of the write, so that pods can be created at once.
pub(crate) fn furnish(state: &State, namespace: &str) -> Result<(), ApiError> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace}});
    let ca = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kube-root-ca.crt", "namespace": namespace,
            "annotations": {"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."}},
        "data": {"ca.crt": state.credentials.ca_pem()}});
    for (storage, name, object) in [("serviceaccounts", "default", account), ("configmaps", "kube-root-ca.crt", ca)] {
        if state.store.get(storage, &Key::new(namespace, name)).is_some() {
            continue;
        }
        match create_internal(state, object) {
            Err(error) if error.reason != "AlreadyExists" => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
