//! Defaults of the built-in kinds.

use serde_json::{Map, Value, json};

use super::podspec::{self, default};
use crate::resource::Resource;

fn spec(object: &mut Value) -> &mut Map<String, Value> {
    if !object["spec"].is_object() {
        object["spec"] = json!({});
    }
    match &mut object["spec"] {
        Value::Object(map) => map,
        _ => unreachable!("spec was just made an object"),
    }
}

fn template(spec: &mut Map<String, Value>, restart: &str) {
    if let Some(template) = spec.get_mut("template").and_then(Value::as_object_mut) {
        default(template, "metadata", json!({}));
        if let Some(pod) = template.get_mut("spec") {
            podspec::defaults(pod, restart);
        }
    }
}

fn rolling_update(strategy: &mut Value, fields: &[(&str, Value)]) {
    if let Some(map) = strategy.as_object_mut() {
        default(map, "type", "RollingUpdate");
        if map.get("type") == Some(&json!("RollingUpdate")) {
            default(map, "rollingUpdate", json!({}));
            if let Some(rolling) = map.get_mut("rollingUpdate").and_then(Value::as_object_mut) {
                for (name, value) in fields {
                    default(rolling, name, value.clone());
                }
            }
        }
    }
}

fn job(spec: &mut Map<String, Value>) {
    let absent = |spec: &Map<String, Value>, key: &str| spec.get(key).is_none_or(Value::is_null);
    if absent(spec, "completions") && absent(spec, "parallelism") {
        default(spec, "completions", 1);
    }
    default(spec, "parallelism", 1);
    let per_index = !absent(spec, "backoffLimitPerIndex");
    default(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    default(spec, "manualSelector", false);
    let policy = if absent(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    default(spec, "podReplacementPolicy", policy);
    // Templates of Jobs are stored without a restart policy of their own, so that validation can ask for one.
    template(spec, "Always");
}

fn service(object: &mut Value) {
    let spec = spec(object);
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_string();
    if kind != "ExternalName" {
        default(spec, "internalTrafficPolicy", "Cluster");
        default(spec, "ipFamilies", json!(["IPv4"]));
        default(spec, "ipFamilyPolicy", "SingleStack");
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        default(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", true);
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            default(port, "protocol", "TCP");
            if let Some(number) = port.get("port").cloned() {
                default(port, "targetPort", number);
            }
        }
    }
}

fn role_binding(object: &mut Value) {
    if let Some(role) = object["roleRef"].as_object_mut() {
        default(role, "apiGroup", "rbac.authorization.k8s.io");
    }
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        if let Some(subject) = subject.as_object_mut()
            && matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group"))
        {
            default(subject, "apiGroup", "rbac.authorization.k8s.io");
        }
    }
}

fn webhooks(object: &mut Value) {
    for hook in object["webhooks"].as_array_mut().into_iter().flatten() {
        let Some(hook) = hook.as_object_mut() else { continue };
        default(hook, "failurePolicy", "Fail");
        default(hook, "matchPolicy", "Equivalent");
        default(hook, "timeoutSeconds", 10);
        default(hook, "namespaceSelector", json!({}));
        default(hook, "objectSelector", json!({}));
    }
}

/// Fills in what the client may leave out.
pub(crate) fn apply(resource: &Resource, object: &mut Value) {
    if resource.custom.is_some() {
        return;
    }
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => podspec::defaults(&mut object["spec"], "Always"),
        ("", "services") => service(object),
        ("", "secrets") => {
            super::decode::fold_string_data(object);
            if let Some(map) = object.as_object_mut() {
                default(map, "type", "Opaque");
            }
        }
        ("", "persistentvolumeclaims") => default(spec(object), "volumeMode", "Filesystem"),
        ("", "persistentvolumes") => {
            let spec = spec(object);
            default(spec, "volumeMode", "Filesystem");
            default(spec, "persistentVolumeReclaimPolicy", "Retain");
        }
        ("apps", "daemonsets") => {
            let spec = spec(object);
            template(spec, "Always");
            default(spec, "revisionHistoryLimit", 10);
            default(spec, "updateStrategy", json!({}));
            rolling_update(&mut spec["updateStrategy"], &[("maxSurge", json!(0)), ("maxUnavailable", json!(1))]);
        }
        ("apps", "deployments") => {
            let spec = spec(object);
            template(spec, "Always");
            default(spec, "replicas", 1);
            default(spec, "revisionHistoryLimit", 10);
            default(spec, "progressDeadlineSeconds", 600);
            default(spec, "strategy", json!({}));
            rolling_update(&mut spec["strategy"], &[("maxSurge", json!("25%")), ("maxUnavailable", json!("25%"))]);
        }
        ("apps", "replicasets") | ("", "replicationcontrollers") => {
            let spec = spec(object);
            template(spec, "Always");
            default(spec, "replicas", 1);
        }
        ("apps", "statefulsets") => {
            let spec = spec(object);
            template(spec, "Always");
            default(spec, "replicas", 1);
            default(spec, "revisionHistoryLimit", 10);
            default(spec, "podManagementPolicy", "OrderedReady");
            default(
                spec,
                "persistentVolumeClaimRetentionPolicy",
                json!({"whenDeleted": "Retain", "whenScaled": "Retain"}),
            );
            default(spec, "updateStrategy", json!({}));
            rolling_update(&mut spec["updateStrategy"], &[("partition", json!(0))]);
        }
        ("batch", "jobs") => job(spec(object)),
        ("batch", "cronjobs") => {
            let spec = spec(object);
            default(spec, "concurrencyPolicy", "Allow");
            default(spec, "suspend", false);
            default(spec, "successfulJobsHistoryLimit", 3);
            default(spec, "failedJobsHistoryLimit", 1);
            if let Some(Value::Object(job_spec)) = spec.get_mut("jobTemplate").and_then(|t| t.get_mut("spec")) {
                template(job_spec, "Always");
            }
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => role_binding(object),
        ("storage.k8s.io", "storageclasses") => {
            if let Some(map) = object.as_object_mut() {
                default(map, "reclaimPolicy", "Delete");
                default(map, "volumeBindingMode", "Immediate");
            }
        }
        ("scheduling.k8s.io", "priorityclasses") => {
            if let Some(map) = object.as_object_mut() {
                default(map, "preemptionPolicy", "PreemptLowerPriority");
            }
        }
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            webhooks(object);
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            let spec = spec(object);
            default(spec, "conversion", json!({"strategy": "None"}));
            if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut)
                && let Some(kind) = names.get("kind").and_then(Value::as_str).map(str::to_string)
            {
                default(names, "singular", kind.to_lowercase());
                default(names, "listKind", format!("{kind}List"));
            }
        }
        _ => {}
    }
}
