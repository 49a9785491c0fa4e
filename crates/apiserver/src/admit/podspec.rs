//! Defaults of pod specs, in pods and in the templates of workloads alike.

use serde_json::{Map, Value, json};

/// Sets a field that is absent.
pub(crate) fn default(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.into(), value.into());
    }
}

fn each<'a>(map: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn child<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    map.get_mut(key).and_then(Value::as_object_mut)
}

/// The tag of an image reference; `None` for a digest.
fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        Some((_, tag)) if tag != "latest" => "IfNotPresent",
        _ => "Always",
    }
}

fn probe(container: &mut Map<String, Value>, key: &str) {
    let Some(probe) = child(container, key) else { return };
    default(probe, "timeoutSeconds", 1);
    default(probe, "periodSeconds", 10);
    default(probe, "successThreshold", 1);
    default(probe, "failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = child(probe, "grpc") {
        default(grpc, "service", "");
    }
}

fn http_get(handler: &mut Map<String, Value>) {
    if let Some(get) = child(handler, "httpGet") {
        default(get, "path", "/");
        default(get, "scheme", "HTTP");
    }
}

fn container(container: &mut Map<String, Value>, host_network: bool) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = pull_policy(image);
    default(container, "imagePullPolicy", policy);
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        probe(container, key);
    }
    if let Some(lifecycle) = child(container, "lifecycle") {
        for key in ["postStart", "preStop"] {
            if let Some(handler) = child(lifecycle, key) {
                http_get(handler);
            }
        }
    }
    for port in each(container, "ports") {
        default(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            default(port, "hostPort", number);
        }
    }
    for variable in each(container, "env") {
        if let Some(reference) = child(variable, "valueFrom").and_then(|from| child(from, "fieldRef")) {
            default(reference, "apiVersion", "v1");
        }
    }
    if let Some(resources) = child(container, "resources")
        && let Some(Value::Object(limits)) = resources.get("limits").cloned()
    {
        // A limit without a request is a request too.
        let requests = resources.entry("requests").or_insert_with(|| json!({}));
        if let Value::Object(requests) = requests {
            for (name, limit) in limits {
                default(requests, &name, limit);
            }
        }
    }
}

fn volume(volume: &mut Map<String, Value>) {
    const SOURCES: &[&str] = &[
        "emptyDir",
        "hostPath",
        "configMap",
        "secret",
        "projected",
        "downwardAPI",
        "persistentVolumeClaim",
        "nfs",
        "csi",
        "ephemeral",
        "iscsi",
        "image",
    ];
    if volume.keys().all(|k| k == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in SOURCES {
        let Some(inner) = child(volume, source) else { continue };
        match *source {
            "hostPath" => default(inner, "type", ""),
            "configMap" | "secret" | "projected" | "downwardAPI" => default(inner, "defaultMode", 0o644),
            _ => {}
        }
        if *source == "downwardAPI" {
            items_field_refs(inner);
        }
        for projection in each(inner, "sources") {
            if let Some(token) = child(projection, "serviceAccountToken") {
                default(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = child(projection, "downwardAPI") {
                items_field_refs(downward);
            }
        }
    }
}

fn items_field_refs(source: &mut Map<String, Value>) {
    for item in each(source, "items") {
        if let Some(reference) = child(item, "fieldRef") {
            default(reference, "apiVersion", "v1");
        }
    }
}

/// Fills in the defaults of a pod spec; `restart` is the default restart policy.
pub(crate) fn defaults(spec: &mut Value, restart: &str) {
    let Some(spec) = spec.as_object_mut() else { return };
    default(spec, "restartPolicy", restart);
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", "default-scheduler");
    // The old and the new name of one field.
    if let Some(name) = spec.get("serviceAccountName").or(spec.get("serviceAccount")).cloned() {
        spec.insert("serviceAccountName".into(), name.clone());
        spec.insert("serviceAccount".into(), name);
    }
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for item in each(spec, list) {
            container(item, host_network);
        }
    }
    for item in each(spec, "volumes") {
        volume(item);
    }
    for item in each(spec, "topologySpreadConstraints") {
        default(item, "nodeAffinityPolicy", "Honor");
        default(item, "nodeTaintsPolicy", "Ignore");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies() {
        for (image, policy) in [
            ("a", "Always"),
            ("a:latest", "Always"),
            ("a:1", "IfNotPresent"),
            ("host:5000/a", "Always"),
            ("host:5000/a:1", "IfNotPresent"),
            ("a@sha256:00", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn defaults_are_idempotent_and_respect_what_is_given() {
        let mut spec = json!({"hostNetwork": true, "containers": [{"name": "a", "image": "b:1", "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1"}}, "livenessProbe": {"httpGet": {"port": 80}},
            "env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}],
            "volumes": [{"name": "h", "hostPath": {"path": "/"}}, {"name": "c", "configMap": {"name": "x", "defaultMode": 256}}, {"name": "e"}],
            "restartPolicy": "Never"});
        defaults(&mut spec, "Always");
        assert_eq!(spec["restartPolicy"], "Never");
        let container = &spec["containers"][0];
        assert_eq!(container["ports"][0], json!({"containerPort": 80, "protocol": "TCP", "hostPort": 80}));
        assert_eq!(container["resources"]["requests"]["cpu"], "1");
        assert_eq!(container["livenessProbe"]["httpGet"]["scheme"], "HTTP");
        assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
        assert_eq!(spec["volumes"][1]["configMap"]["defaultMode"], 256);
        assert_eq!(spec["volumes"][2]["emptyDir"], json!({}));
        let once = spec.clone();
        defaults(&mut spec, "Always");
        assert_eq!(spec, once);
    }
}
