//! Admission of pods: ServiceAccount, its token volume, RuntimeClass overhead, priority, tolerations, first status.

use serde_json::{Map, Value, json};

use super::podspec::default;
use crate::resource::Resource;
use crate::server::{State, name_suffix};
use crate::status::{ApiError, FieldError};
use crate::store::Key;

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the token's volume asks for: an hour and seven seconds, by which the real server recognises its own.
const TOKEN_SECONDS: i64 = 3607;

fn name_of(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// Runs all of it on a new pod with its defaults in place.
pub(crate) fn admit(state: &State, resource: &Resource, pod: &mut Value) -> Result<(), ApiError> {
    if !pod["spec"].is_object() {
        let error = FieldError::required("spec.containers", "");
        return Err(ApiError::invalid(resource, name_of(pod), &[error]));
    }
    service_account(state, resource, pod)?;
    runtime_class(state, resource, pod)?;
    priority(state, resource, pod)?;
    tolerations(pod);
    if let Some(spec) = pod["spec"].as_object_mut() {
        default(spec, "enableServiceLinks", true);
    }
    if !pod["status"].is_object() {
        pod["status"] = json!({"phase": "Pending"});
    }
    pod["status"]["qosClass"] = qos_class(&pod["spec"]).into();
    Ok(())
}

fn service_account(state: &State, resource: &Resource, pod: &mut Value) -> Result<(), ApiError> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default().to_string();
    let mirror = pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_some();
    if mirror {
        return Ok(());
    }
    let name = pod["spec"]["serviceAccountName"].as_str().filter(|n| !n.is_empty()).unwrap_or("default").to_string();
    pod["spec"]["serviceAccountName"] = name.clone().into();
    pod["spec"]["serviceAccount"] = name.clone().into();
    let Some(account) = state.store.get("serviceaccounts", &Key::new(namespace.clone(), name.clone())) else {
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(ApiError::forbidden(resource, name_of(pod), why));
    };
    if pod["spec"]["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
        && let Some(secrets) = account.value()["imagePullSecrets"].as_array()
    {
        pod["spec"]["imagePullSecrets"] = secrets.clone().into();
    }
    let wanted = pod["spec"]["automountServiceAccountToken"]
        .as_bool()
        .or(account.value()["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if wanted {
        mount_token(pod);
    }
    Ok(())
}

fn mount_token(pod: &mut Value) {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let existing = volumes.filter_map(|v| v["name"].as_str()).find(|n| n.starts_with("kube-api-access-"));
    let name = existing.map_or_else(|| format!("kube-api-access-{}", name_suffix()), str::to_string);
    let fresh = existing.is_none();
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            if mounts.iter().any(|m| m["mountPath"] == TOKEN_PATH) {
                continue;
            }
            let mut mounts = mounts;
            mounts.push(json!({"name": name, "readOnly": true, "mountPath": TOKEN_PATH}));
            container["volumeMounts"] = mounts.into();
            used = true;
        }
    }
    if used && fresh {
        let volume = json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}});
        let mut volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        volumes.push(volume);
        pod["spec"]["volumes"] = volumes.into();
    }
}

fn runtime_class(state: &State, resource: &Resource, pod: &mut Value) -> Result<(), ApiError> {
    let Some(class) = pod["spec"]["runtimeClassName"].as_str() else { return Ok(()) };
    let found = state.store.get("runtimeclasses.node.k8s.io", &Key::new("", class));
    let Some(found) = found else {
        let why = format!("pod rejected: RuntimeClass {class:?} not found");
        return Err(ApiError::forbidden(resource, name_of(pod), why));
    };
    let overhead = &found.value()["overhead"]["podFixed"];
    let given = &pod["spec"]["overhead"];
    match (overhead.as_object(), given.as_object()) {
        (Some(fixed), None) => pod["spec"]["overhead"] = fixed.clone().into(),
        (Some(fixed), Some(given)) if fixed != given => {
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return Err(ApiError::forbidden(resource, name_of(pod), why));
        }
        (None, Some(_)) => {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return Err(ApiError::forbidden(resource, name_of(pod), why));
        }
        _ => {}
    }
    let scheduling = &found.value()["scheduling"];
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let have = &pod["spec"]["nodeSelector"][key.as_str()];
        if have.is_string() && have != value {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {have}"
            );
            return Err(ApiError::forbidden(resource, name_of(pod), why));
        }
        pod["spec"]["nodeSelector"][key.as_str()] = value.clone();
    }
    let mut all = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    for toleration in scheduling["tolerations"].as_array().into_iter().flatten() {
        if !all.contains(toleration) {
            all.push(toleration.clone());
        }
    }
    if !all.is_empty() {
        pod["spec"]["tolerations"] = all.into();
    }
    Ok(())
}

fn priority(state: &State, resource: &Resource, pod: &mut Value) -> Result<(), ApiError> {
    let (mut value, mut policy) = (json!(0), json!("PreemptLowerPriority"));
    if let Some(class) = pod["spec"]["priorityClassName"].as_str().filter(|c| !c.is_empty()) {
        let Some(found) = state.store.get("priorityclasses.scheduling.k8s.io", &Key::new("", class)) else {
            let why = format!("no PriorityClass with name {class} was found");
            return Err(ApiError::forbidden(resource, name_of(pod), why));
        };
        value = found.value()["value"].clone();
        policy = found.value()["preemptionPolicy"].clone();
    }
    if let Some(spec) = pod["spec"].as_object_mut() {
        default(spec, "priority", value);
        default(spec, "preemptionPolicy", policy);
    }
    Ok(())
}

/// Every pod tolerates a node that is briefly not ready.
fn tolerations(pod: &mut Value) {
    let mut all = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covered = all.iter().any(|t| {
            let same_key = t["key"] == key || t["key"].as_str().is_none_or(str::is_empty) && t["operator"] == "Exists";
            let effect = t["effect"].as_str().unwrap_or_default();
            same_key && (effect.is_empty() || effect == "NoExecute")
        });
        if !covered {
            all.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
    pod["spec"]["tolerations"] = all.into();
}

/// Quality of service: guaranteed when every container's limits equal its requests for CPU and memory.
fn qos_class(spec: &Value) -> &'static str {
    let lists = ["containers", "initContainers"];
    let containers: Vec<&Value> = lists.iter().flat_map(|l| spec[*l].as_array().into_iter().flatten()).collect();
    let empty = Map::new();
    let get = |c: &Value, kind: &str| -> Map<String, Value> {
        let all = c["resources"][kind].as_object().unwrap_or(&empty);
        all.iter().filter(|(k, _)| *k == "cpu" || *k == "memory").map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    if containers.iter().all(|c| get(c, "limits").is_empty() && get(c, "requests").is_empty()) {
        return "BestEffort";
    }
    let guaranteed = |c: &&Value| get(c, "limits").len() == 2 && get(c, "limits") == get(c, "requests");
    if containers.iter().all(guaranteed) { "Guaranteed" } else { "Burstable" }
}

/// Problems of a pod spec; `at` is the path of the spec.
pub(crate) fn spec_errors(spec: &Value, at: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        errors.push(FieldError::required(format!("{at}.containers"), ""));
    }
    let mut names = std::collections::BTreeSet::new();
    for list in ["initContainers", "containers"] {
        for (i, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let place = format!("{at}.{list}[{i}]");
            let name = container["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                errors.push(FieldError::required(format!("{place}.name"), ""));
            } else if !super::metadata::is_dns_label(name) {
                errors.push(FieldError::invalid(
                    format!("{place}.name"),
                    &container["name"],
                    super::metadata::LABEL_RULE,
                ));
            } else if !names.insert(name) {
                errors.push(FieldError {
                    reason: "FieldValueDuplicate",
                    field: format!("{place}.name"),
                    detail: format!("Duplicate value: {name:?}"),
                });
            }
            if container["image"].as_str().is_none_or(str::is_empty) {
                errors.push(FieldError::required(format!("{place}.image"), ""));
            }
            errors.extend(mount_errors(spec, container, &place));
        }
    }
    let policies = ["Always", "OnFailure", "Never"];
    if !policies.contains(&spec["restartPolicy"].as_str().unwrap_or("Always")) {
        errors.push(FieldError::not_supported(format!("{at}.restartPolicy"), &spec["restartPolicy"], &policies));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (i, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let name = volume["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.volumes[{i}].name"), ""));
        } else if !seen.insert(name) {
            errors.push(FieldError {
                reason: "FieldValueDuplicate",
                field: format!("{at}.volumes[{i}].name"),
                detail: format!("Duplicate value: {name:?}"),
            });
        }
    }
    errors
}

fn mount_errors(spec: &Value, container: &Value, place: &str) -> Vec<FieldError> {
    let volumes: Vec<&str> =
        spec["volumes"].as_array().into_iter().flatten().filter_map(|v| v["name"].as_str()).collect();
    let mut errors = Vec::new();
    for (i, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let name = mount["name"].as_str().unwrap_or_default();
        if !volumes.contains(&name) {
            errors.push(FieldError {
                reason: "FieldValueNotFound",
                field: format!("{place}.volumeMounts[{i}].name"),
                detail: format!("Not found: {name:?}"),
            });
        }
    }
    errors
}

/// Gives an update the fields that admission added when the pod was created, where the client sends the pod as it first
/// wrote it (a second apply of the same manifest).
pub(crate) fn keep_admitted(live: &Value, new: &mut Value) {
    if let (Some(before), Some(spec)) = (live["spec"].as_object(), new["spec"].as_object_mut()) {
        for field in [
            "serviceAccountName",
            "serviceAccount",
            "enableServiceLinks",
            "priority",
            "preemptionPolicy",
            "overhead",
            "nodeName",
        ] {
            if let Some(value) = before.get(field) {
                default(spec, field, value.clone());
            }
        }
    }
}

/// Fields of a pod spec that may change after creation.
fn without_mutable(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            container["image"] = Value::Null;
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"] {
        spec[field] = Value::Null;
    }
    spec
}

/// Refuses changes of a pod's spec but those of images, deadlines and new tolerations.
pub(crate) fn update_errors(live: &Value, new: &Value) -> Vec<FieldError> {
    let (before, after) = (&live["spec"], &new["spec"]);
    let node = |spec: &Value| spec["nodeName"].as_str().unwrap_or_default().to_string();
    let tolerations_kept = before["tolerations"]
        .as_array()
        .into_iter()
        .flatten()
        .all(|t| after["tolerations"].as_array().is_some_and(|all| all.contains(t)));
    if without_mutable(before) != without_mutable(after) || node(before) != node(after) || !tolerations_kept {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        return vec![FieldError::forbidden("spec", why)];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service() {
        let with = |resources: Value| json!({"containers": [{"resources": resources}]});
        assert_eq!(qos_class(&with(json!({}))), "BestEffort");
        assert_eq!(qos_class(&with(json!({"requests": {"cpu": "1"}}))), "Burstable");
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(qos_class(&with(json!({"requests": both, "limits": both}))), "Guaranteed");
    }

    #[test]
    fn a_bad_spec_says_what_is_wrong_where() {
        let spec = json!({"containers": [{"name": "a", "image": "x", "volumeMounts": [{"name": "v"}]}, {"name": "a"}], "restartPolicy": "Sometimes"});
        let fields: Vec<String> = spec_errors(&spec, "spec").into_iter().map(|e| e.field).collect();
        assert_eq!(
            fields,
            [
                "spec.containers[0].volumeMounts[0].name",
                "spec.containers[1].name",
                "spec.containers[1].image",
                "spec.restartPolicy"
            ]
        );
    }
}
