//! The cells of the built-in kinds, in the order of their columns.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{age, human, pod};
use crate::resource::Resource;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn or<'a>(value: &'a Value, fallback: &'a str) -> &'a str {
    value.as_str().filter(|t| !t.is_empty()).unwrap_or(fallback)
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A selector or label map as `a=b,c=d`.
fn labels(map: &Value) -> String {
    let pairs: Vec<String> = map.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v))).collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// Names and images of the containers of a pod template.
fn containers(object: &Value) -> (String, String) {
    let all = items(&object["spec"]["template"]["spec"]["containers"]);
    (joined(all.iter().map(|c| text(&c["name"]))), joined(all.iter().map(|c| text(&c["image"]))))
}

fn node(object: &Value) -> Vec<Value> {
    let ready = items(&object["status"]["conditions"]).iter().find(|c| c["type"] == "Ready");
    let mut status = match ready.map(|c| text(&c["status"])) {
        Some("True") => "Ready".to_string(),
        Some(_) => "NotReady".into(),
        None => "Unknown".into(),
    };
    if object["spec"]["unschedulable"] == true {
        status += ",SchedulingDisabled";
    }
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/").filter(|r| !r.is_empty()) {
            roles.push(role);
        } else if key == "kubernetes.io/role" {
            roles.push(text(value));
        }
    }
    roles.sort_unstable();
    let roles = if roles.is_empty() { "<none>".into() } else { roles.join(",") };
    let address = |kind: &str| {
        let found = items(&object["status"]["addresses"]).iter().find(|a| a["type"] == kind);
        found.map_or("<none>", |a| text(&a["address"])).to_string()
    };
    let info = &object["status"]["nodeInfo"];
    vec![
        status.into(),
        roles.into(),
        Value::Null,
        text(&info["kubeletVersion"]).into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        or(&info["osImage"], "<unknown>").into(),
        or(&info["kernelVersion"], "<unknown>").into(),
        or(&info["containerRuntimeVersion"], "<unknown>").into(),
    ]
}

fn job(object: &Value, now: Timestamp) -> (String, String, String) {
    let (spec, status) = (&object["spec"], &object["status"]);
    let has = |kind: &str| items(&status["conditions"]).iter().any(|c| c["type"] == kind && c["status"] == "True");
    let state = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if object["metadata"]["deletionTimestamp"].is_string() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let done = number(&status["succeeded"]);
    let completions = match (spec["completions"].as_i64(), number(&spec["parallelism"])) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{done}/1 of {parallel}"),
        (None, _) => format!("{done}/1"),
    };
    let at = |v: &Value| v.as_str().and_then(|t| t.parse::<Timestamp>().ok()).map(|t| t.as_second());
    let duration = match (at(&status["startTime"]), at(&status["completionTime"])) {
        (None, _) => String::new(),
        (Some(start), Some(end)) => human(end - start),
        (Some(start), None) => human(now.as_second() - start),
    };
    (state.into(), completions, duration)
}

fn ports(object: &Value) -> String {
    let shown: Vec<String> = items(&object["spec"]["ports"])
        .iter()
        .map(|p| match p["nodePort"].as_i64() {
            Some(node) if node > 0 => format!("{}:{node}/{}", p["port"], text(&p["protocol"])),
            _ => format!("{}/{}", p["port"], text(&p["protocol"])),
        })
        .collect();
    if shown.is_empty() { "<none>".into() } else { shown.join(",") }
}

fn subjects(object: &Value, kind: &str) -> String {
    let of_kind = items(&object["subjects"]).iter().filter(|s| s["kind"] == kind);
    let names: Vec<String> = of_kind
        .map(|s| match s["namespace"].as_str() {
            Some(namespace) if kind == "ServiceAccount" => format!("{namespace}/{}", text(&s["name"])),
            _ => text(&s["name"]).to_string(),
        })
        .collect();
    names.join(", ")
}

fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let about = &object["involvedObject"];
    let first = [&object["firstTimestamp"], &object["eventTime"]].into_iter().find(|t| t.is_string());
    let last =
        [&object["series"]["lastObservedTime"], &object["lastTimestamp"]].into_iter().find(|t| t.is_string()).or(first);
    let shown = |t: Option<&Value>| t.map_or_else(|| "<unknown>".into(), |t| age(t, now));
    let source = match text(&object["source"]["host"]) {
        "" => or(&object["source"]["component"], text(&object["reportingComponent"])).to_string(),
        host => format!("{}, {host}", text(&object["source"]["component"])),
    };
    let count = object["series"]["count"].as_i64().or(object["count"].as_i64()).unwrap_or(1);
    vec![
        shown(last).into(),
        object["type"].clone(),
        object["reason"].clone(),
        format!("{}/{}", text(&about["kind"]).to_lowercase(), text(&about["name"])).into(),
        text(&about["fieldPath"]).into(),
        source.into(),
        text(&object["message"]).trim().into(),
        shown(first).into(),
        count.into(),
        object["metadata"]["name"].clone(),
    ]
}

/// The cells of a row.
pub(super) fn of(object: &Value, resource: &Resource, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let name = object["metadata"]["name"].clone();
    let created = &object["metadata"]["creationTimestamp"];
    let age: Value = age(created, now).into();
    let workload = || {
        let (names, images) = containers(object);
        (names, images, labels(&spec["selector"]["matchLabels"]))
    };
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => {
            let (ready, reason, restarts) = pod::columns(object, now);
            let gates = match size(&spec["readinessGates"]) {
                0 => "<none>".to_string(),
                n => format!("0/{n}"),
            };
            let ip = or(&status["podIP"], "<none>");
            let (node, nominated) = (or(&spec["nodeName"], "<none>"), or(&status["nominatedNodeName"], "<none>"));
            vec![
                name,
                ready.into(),
                reason.into(),
                restarts.into(),
                age,
                ip.into(),
                node.into(),
                nominated.into(),
                gates.into(),
            ]
        }
        ("", "nodes") => {
            let mut cells = node(object);
            cells[2] = age;
            cells.insert(0, name);
            cells
        }
        ("", "namespaces") => vec![name, status["phase"].clone(), age],
        ("", "configmaps") => vec![name, (size(&object["data"]) + size(&object["binaryData"])).into(), age],
        ("", "secrets") => vec![name, object["type"].clone(), size(&object["data"]).into(), age],
        ("", "serviceaccounts") => vec![name, size(&object["secrets"]).into(), age],
        ("", "services") => {
            let external = match text(&spec["type"]) {
                "LoadBalancer" => "<pending>",
                "ExternalName" => text(&spec["externalName"]),
                _ => "<none>",
            };
            let address = or(&spec["clusterIP"], "<none>");
            let selector = labels(&spec["selector"]);
            vec![
                name,
                spec["type"].clone(),
                address.into(),
                external.into(),
                ports(object).into(),
                age,
                selector.into(),
            ]
        }
        ("" | "events.k8s.io", "events") => event(object, now),
        ("apps", "daemonsets") => {
            let (names, images, selector) = workload();
            let counts = [
                "desiredNumberScheduled",
                "currentNumberScheduled",
                "numberReady",
                "updatedNumberScheduled",
                "numberAvailable",
            ]
            .map(|k| Value::from(number(&status[k])));
            let mut cells = vec![name];
            cells.extend(counts);
            cells.push(labels(&spec["template"]["spec"]["nodeSelector"]).into());
            cells.extend([age, names.into(), images.into(), selector.into()]);
            cells
        }
        ("apps", "deployments") => {
            let (names, images, selector) = workload();
            let ready = format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]));
            let (updated, available) = (number(&status["updatedReplicas"]), number(&status["availableReplicas"]));
            vec![
                name,
                ready.into(),
                updated.into(),
                available.into(),
                age,
                names.into(),
                images.into(),
                selector.into(),
            ]
        }
        ("apps", "replicasets") => {
            let (names, images, selector) = workload();
            let counts = [number(&spec["replicas"]), number(&status["replicas"]), number(&status["readyReplicas"])];
            let mut cells = vec![name];
            cells.extend(counts.map(Value::from));
            cells.extend([age, names.into(), images.into(), selector.into()]);
            cells
        }
        ("apps", "statefulsets") => {
            let (names, images, _) = workload();
            let ready = format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]));
            vec![name, ready.into(), age, names.into(), images.into()]
        }
        ("batch", "jobs") => {
            let (names, images, selector) = workload();
            let (state, completions, duration) = job(object, now);
            vec![
                name,
                state.into(),
                completions.into(),
                duration.into(),
                age,
                names.into(),
                images.into(),
                selector.into(),
            ]
        }
        ("batch", "cronjobs") => {
            let zone = or(&spec["timeZone"], "<none>");
            let suspend = if spec["suspend"] == true { "True" } else { "False" };
            let last = match &status["lastScheduleTime"] {
                Value::String(_) => super::age(&status["lastScheduleTime"], now),
                _ => "<none>".into(),
            };
            let active = size(&status["active"]);
            vec![name, spec["schedule"].clone(), zone.into(), suspend.into(), active.into(), last.into(), age]
        }
        ("node.k8s.io", _) => vec![name, object["handler"].clone(), age],
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") | ("apiextensions.k8s.io", _) => {
            vec![name, created.clone()]
        }
        ("rbac.authorization.k8s.io", _) => {
            let role = format!("{}/{}", text(&object["roleRef"]["kind"]), text(&object["roleRef"]["name"]));
            let of = |kind: &str| Value::from(subjects(object, kind));
            vec![name, role.into(), age, of("User"), of("Group"), of("ServiceAccount")]
        }
        ("coordination.k8s.io", _) => vec![name, text(&spec["holderIdentity"]).into(), age],
        ("scheduling.k8s.io", _) => {
            let default = object["globalDefault"] == true;
            vec![name, number(&object["value"]).into(), default.into(), age, object["preemptionPolicy"].clone()]
        }
        ("policy", _) => {
            let limit = |v: &Value| match v {
                Value::Null => json!("N/A"),
                Value::String(s) => s.clone().into(),
                other => other.to_string().into(),
            };
            let allowed = number(&status["disruptionsAllowed"]);
            vec![name, limit(&spec["minAvailable"]), limit(&spec["maxUnavailable"]), allowed.into(), age]
        }
        ("storage.k8s.io", "storageclasses") => {
            let expansion = object["allowVolumeExpansion"] == true;
            let (policy, mode) = (object["reclaimPolicy"].clone(), object["volumeBindingMode"].clone());
            vec![name, object["provisioner"].clone(), policy, mode, expansion.into(), age]
        }
        ("", "persistentvolumeclaims") => {
            let capacity = text(&status["capacity"]["storage"]);
            let modes = joined(items(&status["accessModes"]).iter().map(text));
            let class = text(&spec["storageClassName"]);
            vec![
                name,
                status["phase"].clone(),
                text(&spec["volumeName"]).into(),
                capacity.into(),
                modes.into(),
                class.into(),
                age,
            ]
        }
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            vec![name, size(&object["webhooks"]).into(), age]
        }
        ("networking.k8s.io", "networkpolicies") => vec![name, labels(&spec["podSelector"]["matchLabels"]).into(), age],
        _ => vec![name, age],
    }
}
