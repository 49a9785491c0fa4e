//! Validation of the built-in kinds that matter here.

use serde_json::{Value, json};

use super::metadata::{LABEL_RULE, is_dns_label};
use super::pod;
use crate::resource::Resource;
use crate::selector::LabelSelector;
use crate::status::FieldError;

/// Problems of an object.
pub(crate) fn object(resource: &Resource, object: &Value) -> Vec<FieldError> {
    if resource.custom.is_some() {
        return Vec::new();
    }
    let spec = &object["spec"];
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => pod::spec_errors(spec, "spec"),
        ("", "configmaps") => data_keys(object, &["data", "binaryData"]),
        ("", "secrets") => data_keys(object, &["data"]),
        ("apps", "daemonsets" | "deployments" | "replicasets" | "statefulsets") => workload(spec),
        ("batch", "jobs") => job(spec, "spec"),
        ("batch", "cronjobs") => cron_job(spec),
        ("node.k8s.io", "runtimeclasses") => runtime_class(object),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => binding(object),
        ("rbac.authorization.k8s.io", _) => rules(object),
        ("apiextensions.k8s.io", _) => crd(object),
        _ => Vec::new(),
    }
}

fn data_keys(object: &Value, fields: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in fields {
        for key in object[*field].as_object().into_iter().flatten().map(|(k, _)| k) {
            let ok = !key.is_empty()
                && key.len() <= 253
                && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                && !matches!(key.as_str(), "." | "..");
            if !ok {
                let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                errors.push(FieldError::invalid(format!("{field}[{key}]"), &json!(key), why));
            }
        }
    }
    let size: usize = fields.iter().map(|f| object[*f].to_string().len()).sum();
    if size > 1_600_000 {
        let detail = "Too long: may not be more than 1048576 bytes".to_string();
        errors.push(FieldError { reason: "FieldValueTooLong", field: fields[0].into(), detail });
    }
    errors
}

/// A pod template: its labels and its spec.
fn template(spec: &Value, at: &str) -> Vec<FieldError> {
    if !spec["template"]["spec"].is_object() {
        return vec![FieldError::required(format!("{at}.template.spec.containers"), "")];
    }
    let mut errors = pod::spec_errors(&spec["template"]["spec"], &format!("{at}.template.spec"));
    for (_, value) in spec["template"]["metadata"]["labels"].as_object().into_iter().flatten() {
        if value.as_str().is_none_or(|v| v.len() > 63) {
            let why = "must be no more than 63 bytes";
            errors.push(FieldError::invalid(format!("{at}.template.labels"), value, why));
        }
    }
    errors
}

fn workload(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !spec["selector"].is_object() {
        errors.push(FieldError::required("spec.selector", ""));
    } else {
        let selector = LabelSelector::from_object(&spec["selector"]);
        let labels = &spec["template"]["metadata"]["labels"];
        if selector.0.is_empty() {
            let why = "empty selector is invalid for deployment";
            errors.push(FieldError::invalid("spec.selector", &spec["selector"], why));
        } else if !selector.matches_labels(labels) {
            let why = "`selector` does not match template `labels`";
            errors.push(FieldError::invalid("spec.template.metadata.labels", labels, why));
        }
    }
    errors.extend(template(spec, "spec"));
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy.as_str().is_some_and(|p| p != "Always") {
        errors.push(FieldError::not_supported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    if let Some(replicas) = spec["replicas"].as_i64().filter(|r| *r < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid("spec.replicas", &replicas.into(), why));
    }
    errors
}

fn job(spec: &Value, at: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let non_negative = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
    ];
    for field in non_negative {
        if let Some(number) = spec[field].as_i64().filter(|n| *n < 0) {
            let why = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(format!("{at}.{field}"), &number.into(), why));
        }
    }
    if spec["completionMode"] == "Indexed" && spec["completions"].is_null() {
        let why = "when completion mode is Indexed";
        errors.push(FieldError::required(format!("{at}.completions"), why));
    }
    errors.extend(template(spec, at));
    let policy = spec["template"]["spec"]["restartPolicy"].as_str().unwrap_or("Always");
    if policy == "Always" {
        let why = "valid values: \"OnFailure\", \"Never\"";
        errors.push(FieldError::required(format!("{at}.template.spec.restartPolicy"), why));
    }
    if spec["podFailurePolicy"].is_object() && policy == "OnFailure" {
        let why = "only \"Never\" is supported when podFailurePolicy is specified";
        let field = format!("{at}.template.spec.restartPolicy");
        errors.push(FieldError::invalid(field, &policy.into(), why));
    }
    errors
}

fn cron_job(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if spec["schedule"].as_str().is_none_or(str::is_empty) {
        errors.push(FieldError::required("spec.schedule", ""));
    }
    errors.extend(job(&spec["jobTemplate"]["spec"], "spec.jobTemplate.spec"));
    errors
}

fn runtime_class(object: &Value) -> Vec<FieldError> {
    let handler = object["handler"].as_str().unwrap_or_default();
    if handler.is_empty() || !is_dns_label(handler) {
        return vec![FieldError::invalid("handler", &json!(handler), LABEL_RULE)];
    }
    Vec::new()
}

fn binding(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let role = &object["roleRef"];
    let kinds: &[&str] =
        if object["metadata"]["namespace"].is_string() { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&role["kind"].as_str().unwrap_or_default()) {
        errors.push(FieldError::not_supported("roleRef.kind", &role["kind"], kinds));
    }
    if role["name"].as_str().is_none_or(str::is_empty) {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    for (i, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
        let at = format!("subjects[{i}]");
        if subject["name"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        }
        match subject["kind"].as_str() {
            Some("ServiceAccount") if subject["namespace"].as_str().is_none_or(str::is_empty) => {
                errors.push(FieldError::required(format!("{at}.namespace"), ""));
            }
            Some("ServiceAccount" | "User" | "Group") => {}
            _ => {
                let kinds = ["ServiceAccount", "User", "Group"];
                errors.push(FieldError::not_supported(format!("{at}.kind"), &subject["kind"], &kinds));
            }
        }
    }
    errors
}

fn rules(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let empty = |v: &Value| v.as_array().is_none_or(Vec::is_empty);
    for (i, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
        let at = format!("rules[{i}]");
        if empty(&rule["verbs"]) {
            errors.push(FieldError::required(format!("{at}.verbs"), "verbs must contain at least one value"));
        }
        if empty(&rule["nonResourceURLs"]) {
            for (field, why) in [
                ("apiGroups", "resource rules must supply at least one api group"),
                ("resources", "resource rules must supply at least one resource"),
            ] {
                if empty(&rule[field]) {
                    errors.push(FieldError::required(format!("{at}.{field}"), why));
                }
            }
        }
    }
    errors
}

fn crd(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &object["spec"];
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let name = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    if text(&object["metadata"]["name"]) != name {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &object["metadata"]["name"], why));
    }
    if text(&spec["names"]["kind"]).is_empty() {
        errors.push(FieldError::required("spec.names.kind", ""));
    }
    if !matches!(spec["scope"].as_str(), Some("Cluster" | "Namespaced")) {
        errors.push(FieldError::not_supported("spec.scope", &spec["scope"], &["Cluster", "Namespaced"]));
    }
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &json!(versions), why));
    }
    for (i, version) in versions.iter().enumerate() {
        if !version["schema"]["openAPIV3Schema"].is_object() {
            let at = format!("spec.versions[{i}].schema.openAPIV3Schema");
            errors.push(FieldError::required(at, "schemas are required"));
        }
    }
    errors
}

/// Problems of the change from one state to another.
pub(crate) fn change(resource: &Resource, live: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut immutable = |path: &str| {
        let at = |object: &Value| object.pointer(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or_default();
        if at(live) != at(new) {
            errors.push(FieldError::invalid(path, &at(new), "field is immutable"));
        }
    };
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => return pod::update_errors(live, new),
        ("", "configmaps" | "secrets") => {
            if resource.plural == "secrets" {
                immutable("type");
            }
            if live["immutable"] == true {
                let why = "field is immutable when `immutable` is set";
                for field in ["data", "binaryData", "immutable"] {
                    if live[field] != new[field] {
                        errors.push(FieldError::forbidden(field, why));
                    }
                }
            }
        }
        ("apps", "daemonsets" | "deployments" | "replicasets" | "statefulsets") => {
            immutable("spec.selector");
            if resource.plural == "statefulsets" {
                immutable("spec.serviceName");
                immutable("spec.volumeClaimTemplates");
                immutable("spec.podManagementPolicy");
            }
        }
        ("batch", "jobs") => {
            for path in ["spec.selector", "spec.completionMode", "spec.podFailurePolicy", "spec.backoffLimitPerIndex"] {
                immutable(path);
            }
            if new["spec"]["completionMode"] != "Indexed" {
                immutable("spec.completions");
            }
            // Until it first starts, a suspended Job may still be placed elsewhere.
            let startable = live["spec"]["suspend"] == true && live["status"]["startTime"].is_null();
            if !startable {
                immutable("spec.template");
            }
        }
        ("node.k8s.io", "runtimeclasses") => immutable("handler"),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") if live["roleRef"] != new["roleRef"] => {
            errors.push(FieldError::invalid("roleRef", &new["roleRef"], "cannot change roleRef"));
        }
        ("scheduling.k8s.io", "priorityclasses") if live["value"] != new["value"] => {
            errors.push(FieldError::forbidden("value", "may not be changed in an update."));
        }
        ("storage.k8s.io", "storageclasses") => {
            immutable("provisioner");
            immutable("parameters");
        }
        ("", "services") => {
            let headless = |o: &Value| o["spec"]["clusterIP"].as_str().unwrap_or_default().to_string();
            let external = |o: &Value| o["spec"]["type"] == "ExternalName";
            if headless(live) != headless(new) && !external(live) && !external(new) {
                let why = "may not change once set";
                errors.push(FieldError::invalid("spec.clusterIPs[0]", &json!([headless(new)]), why));
            }
        }
        _ => {}
    }
    errors
}
