//! Whose object is it? The marks that Helm leaves on everything it applies, and the rules about them.

use crate::object::{ObjectId, metadata, metadata_map};
use serde_json::Value;

/// Label that says who looks after an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value on objects of releases.
pub const HELM: &str = "Helm";
/// Annotation with the name of the release.
pub const RELEASE_NAME: &str = "meta.helm.sh/release-name";
/// Annotation with the namespace of the release.
pub const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
/// Annotation that keeps an object when its release goes.
pub const RESOURCE_POLICY: &str = "helm.sh/resource-policy";

/// Puts the marks of a release on an object.
pub fn stamp(object: &mut Value, release: &str, namespace: &str) {
    if let Some(labels) = metadata_map(object, "labels") {
        labels.insert(MANAGED_BY.to_owned(), HELM.into());
    }
    if let Some(annotations) = metadata_map(object, "annotations") {
        annotations.insert(RELEASE_NAME.to_owned(), release.into());
        annotations.insert(RELEASE_NAMESPACE.to_owned(), namespace.into());
    }
}

/// Checks the marks of a live object against a release; the error is Helm's list of what is missing or different.
pub fn check(object: &Value, release: &str, namespace: &str) -> Result<(), String> {
    let require = |what: &str, map: &str, key: &str, wanted: &str| match metadata(object, map, key) {
        Some(value) if value == wanted => None,
        Some(value) => {
            Some(format!("{what} validation error: key {key:?} must equal {wanted:?}: current value is {value:?}"))
        }
        None => Some(format!("{what} validation error: missing key {key:?}: must be set to {wanted:?}")),
    };
    let errors: Vec<String> = [
        require("label", "labels", MANAGED_BY, HELM),
        require("annotation", "annotations", RELEASE_NAME, release),
        require("annotation", "annotations", RELEASE_NAMESPACE, namespace),
    ]
    .into_iter()
    .flatten()
    .collect();
    if errors.is_empty() { Ok(()) } else { Err(format!("invalid ownership metadata; {}", errors.join("; "))) }
}

/// Returns Helm's sentence about an object that cannot be adopted.
pub fn refusal(id: &ObjectId, why: &str) -> String {
    let ObjectId { kind, name, namespace, .. } = id;
    format!("{kind} {name:?} in namespace {namespace:?} exists and cannot be imported into the current release: {why}")
}

/// Does the object ask to be kept when its release goes?
pub fn is_kept(object: &Value) -> bool {
    metadata(object, "annotations", RESOURCE_POLICY).is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stamped_object_is_ours_and_only_ours() {
        let mut object = json!({"metadata": {"labels": null, "annotations": {"a": "b"}}});
        stamp(&mut object, "web", "prod");
        assert_eq!(check(&object, "web", "prod"), Ok(()));
        assert_eq!(object["metadata"]["annotations"]["a"], "b");
        let error = check(&object, "web", "test").unwrap_err();
        assert_eq!(
            error,
            "invalid ownership metadata; annotation validation error: key \"meta.helm.sh/release-namespace\" must equal \
             \"test\": current value is \"prod\""
        );
    }

    #[test]
    fn a_foreign_object_is_refused_in_helms_words() {
        let id = ObjectId::new("v1", "ConfigMap", "prod", "cfg");
        let why = check(&json!({"metadata": {"name": "cfg"}}), "web", "prod").unwrap_err();
        assert_eq!(
            refusal(&id, &why),
            "ConfigMap \"cfg\" in namespace \"prod\" exists and cannot be imported into the current release: invalid \
             ownership metadata; label validation error: missing key \"app.kubernetes.io/managed-by\": must be set to \
             \"Helm\"; annotation validation error: missing key \"meta.helm.sh/release-name\": must be set to \"web\"; \
             annotation validation error: missing key \"meta.helm.sh/release-namespace\": must be set to \"prod\""
        );
    }

    #[test]
    fn keep_is_read_loosely() {
        let keep = |policy: &str| is_kept(&json!({"metadata": {"annotations": {RESOURCE_POLICY: policy}}}));
        assert!(keep("keep") && keep(" Keep "));
        assert!(!keep("delete"));
    }
}
