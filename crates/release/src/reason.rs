//! Why is an object not ready? The root cause is in its pods and events, seldom in its own status.

use crate::cluster::{Cluster, Resource, Selector};
use serde_json::Value;

/// Returns the selector of the pods that belong to an object.
pub fn pods_of(object: &Value) -> Option<Selector> {
    let name = object["metadata"]["name"].as_str()?;
    match object["kind"].as_str()? {
        "Pod" => Some(Selector::name(name)),
        "Job" => Some(Selector::labels(format!("job-name={name}"))),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => {
            let selector = &object["spec"]["selector"];
            let mut terms: Vec<String> = Vec::new();
            for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
                terms.push(format!("{key}={}", value.as_str()?));
            }
            for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
                terms.push(expression_term(expression)?);
            }
            (!terms.is_empty()).then(|| Selector::labels(terms.join(",")))
        }
        _ => None,
    }
}

fn expression_term(expression: &Value) -> Option<String> {
    let key = expression["key"].as_str()?;
    let values: Vec<&str> = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match expression["operator"].as_str()? {
        "In" => Some(format!("{key} in ({})", values.join(","))),
        "NotIn" => Some(format!("{key} notin ({})", values.join(","))),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

/// Why something is not ready, and whether waiting helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The reason, one sentence.
    pub reason: String,
    /// What is to be expected.
    pub outlook: Outlook,
}

/// What is to be expected of trouble when nobody does anything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlook {
    /// It is on its way, or may come right: a program that crashed may find its database later.
    MayHeal,
    /// Most of the time somebody has to do something: an image that is not there, a ConfigMap that lacks a key.
    SeldomHeals,
    /// Nothing that happens later makes this right: a name that no image can have.
    CannotHeal,
}

/// Looks at an object's pods, and at warnings about it and them when the pods say nothing. Of pods with trouble the one
/// with the worst outlook is named.
pub async fn diagnose(cluster: &Cluster, object: &Value) -> Option<Diagnosis> {
    let namespace = object["metadata"]["namespace"].as_str()?;
    let selector = pods_of(object)?;
    let pods = cluster.list(&core("pods", "Pod"), namespace, &selector).await.ok()?.items;
    let mut worst: Option<Diagnosis> = None;
    for pod in &pods {
        let Some(reason) = pod_trouble(pod) else { continue };
        let outlook = outlook(object, pod);
        if worst.as_ref().is_none_or(|worst| worst.outlook < outlook) {
            worst = Some(Diagnosis { reason, outlook });
        }
    }
    if worst.is_some() {
        return worst;
    }
    let name = object["metadata"]["name"].as_str()?;
    let warnings = Selector { fields: "type=Warning".to_owned(), ..Selector::default() };
    let events = cluster.list(&core("events", "Event"), namespace, &warnings).await.ok()?.items;
    warning_about(&events, name).map(|reason| Diagnosis { reason, outlook: Outlook::MayHeal })
}

/// Returns what is to be expected of a pod of an object. Pods that still have an image of an earlier revision say
/// nothing about this one.
fn outlook(object: &Value, pod: &Value) -> Outlook {
    let template = if object["kind"] == "Pod" { &object["spec"] } else { &object["spec"]["template"]["spec"] };
    let of_container = |container: &Value| {
        if image(template, &container["name"]) != image(&pod["spec"], &container["name"]) {
            return Outlook::MayHeal;
        }
        match container["state"]["waiting"]["reason"].as_str().unwrap_or_default() {
            "InvalidImageName" | "ErrImageNeverPull" => Outlook::CannotHeal,
            "ErrImagePull" | "ImagePullBackOff" | "CreateContainerConfigError" | "CreateContainerError" => {
                Outlook::SeldomHeals
            }
            _ => Outlook::MayHeal,
        }
    };
    containers(pod).map(of_container).max().unwrap_or(Outlook::MayHeal)
}

/// Returns the image of a container in a pod's specification.
fn image<'a>(spec: &'a Value, name: &Value) -> &'a Value {
    let list = |field: &str| spec[field].as_array().into_iter().flatten();
    let mut all = list("initContainers").chain(list("containers"));
    all.find(|container| container["name"] == *name).map_or(&Value::Null, |container| &container["image"])
}

/// Returns the core group's resource of a kind in namespaces.
pub(crate) fn core(plural: &str, kind: &str) -> Resource {
    Resource { api_version: "v1".into(), kind: kind.into(), plural: plural.into(), namespaced: true }
}

/// Returns the newest warning about an object or what it owns (whose names start with its own).
fn warning_about(events: &[Value], name: &str) -> Option<String> {
    let about = |event: &&Value| {
        let subject = event["involvedObject"]["name"].as_str().unwrap_or_default();
        subject == name || subject.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
    };
    let time = |event: &&Value| {
        let first = |field: &str| event[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        first("lastTimestamp").or_else(|| first("eventTime"))
    };
    let event = events.iter().filter(about).max_by_key(time)?;
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    Some(format!("{}: {}", text("reason"), one_line(text("message"))))
}

/// Returns what is wrong with a pod, or nothing when it is fine or only on its way.
pub fn pod_trouble(pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    for container in containers(pod) {
        if let Some(trouble) = container_trouble(container) {
            let container = container["name"].as_str().unwrap_or_default();
            return Some(format!("pod {name}, container {container}: {trouble}"));
        }
    }
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    for condition in conditions.filter(|condition| condition["status"] == "False") {
        if condition["type"] == "PodScheduled" {
            let message = condition["message"].as_str().unwrap_or("no node fits");
            return Some(format!("pod {name} cannot be scheduled: {}", one_line(message)));
        }
    }
    if pod["status"]["phase"] == "Failed" {
        let reason = pod["status"]["reason"].as_str().unwrap_or("Failed");
        let message = pod["status"]["message"].as_str().unwrap_or_default();
        return Some(format!("pod {name} failed: {reason} {}", one_line(message)).trim_end().to_owned());
    }
    None
}

/// Returns the statuses of a pod's containers, init containers first.
pub(crate) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let list = |field: &str| pod["status"][field].as_array().into_iter().flatten();
    list("initContainerStatuses").chain(list("containerStatuses"))
}

/// Returns what is wrong with a container, or nothing.
pub(crate) fn container_trouble(container: &Value) -> Option<String> {
    let state = &container["state"];
    let ended = |terminated: &Value| {
        let code = terminated["exitCode"].as_i64()?;
        if code == 0 {
            return None;
        }
        let reason = terminated["reason"].as_str().unwrap_or("Error");
        let message = terminated["message"].as_str().map(one_line).unwrap_or_default();
        Some(format!("exit code {code} ({reason}) {message}").trim_end().to_owned())
    };
    if let Some(trouble) = ended(&state["terminated"]) {
        return Some(trouble);
    }
    let reason = state["waiting"]["reason"].as_str().unwrap_or_default();
    if matches!(reason, "" | "ContainerCreating" | "PodInitializing") {
        return None;
    }
    let last = ended(&container["lastState"]["terminated"]);
    let message = last.or_else(|| state["waiting"]["message"].as_str().map(one_line)).unwrap_or_default();
    Some(format!("{reason}: {message}").trim_end_matches([':', ' ']).to_owned())
}

/// Returns a pod's phase with its trouble, in a few words.
pub fn pod_state(pod: &Value) -> String {
    let phase = pod["status"]["phase"].as_str().unwrap_or("Pending");
    let trouble = containers(pod).find_map(container_trouble);
    let running = containers(pod)
        .filter(|container| container["state"]["running"].is_object())
        .find_map(|container| container["name"].as_str());
    match (trouble, running) {
        (Some(trouble), _) => format!("{phase}, {trouble}"),
        (None, Some(container)) if phase != "Succeeded" => format!("{phase}, container {container} runs"),
        _ => phase.to_owned(),
    }
}

fn one_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: Value) -> Value {
        json!({"metadata": {"name": "p"}, "status": status})
    }

    #[test]
    fn the_first_cause_is_found() {
        let cases = [
            (
                json!({"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}),
                Some("pod p, container c: ImagePullBackOff: no such image"),
            ),
            (
                json!({"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": {"terminated": {"exitCode": 3, "reason": "Error", "message": "no /dev/kvm\nmore"}}}]}),
                Some("pod p, container c: CrashLoopBackOff: exit code 3 (Error) no /dev/kvm"),
            ),
            (
                json!({"initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1}}}]}),
                Some("pod p, container i: exit code 1 (Error)"),
            ),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]}),
                Some("pod p cannot be scheduled: 0/3 nodes"),
            ),
            (json!({"phase": "Failed", "reason": "Evicted"}), Some("pod p failed: Evicted")),
            (
                json!({"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}),
                None,
            ),
            (json!({"phase": "Running"}), None),
        ];
        for (status, expected) in cases {
            assert_eq!(pod_trouble(&pod(status)).as_deref(), expected);
        }
    }

    #[test]
    fn an_image_that_cannot_be_had_seldom_heals() {
        let object = |image: &str| json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
        let pod = |reason: &str| {
            json!({"spec": {"containers": [{"name": "c", "image": "web:2"}]},
                "status": {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": reason}}}]}})
        };
        for (reason, expected) in [
            ("InvalidImageName", Outlook::CannotHeal),
            ("ImagePullBackOff", Outlook::SeldomHeals),
            ("CreateContainerConfigError", Outlook::SeldomHeals),
            ("CrashLoopBackOff", Outlook::MayHeal),
            ("ContainerCreating", Outlook::MayHeal),
        ] {
            assert_eq!(outlook(&object("web:2"), &pod(reason)), expected, "{reason}");
            assert_eq!(outlook(&object("web:3"), &pod(reason)), Outlook::MayHeal, "{reason} of the revision before");
        }
    }

    #[test]
    fn selectors_are_translated() {
        let object = json!({"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": {
            "matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["x", "y"]}, {"key": "e", "operator": "Exists"}]
        }}});
        assert_eq!(pods_of(&object).unwrap().labels, "a=b,c notin (x,y),e");
        assert_eq!(pods_of(&json!({"kind": "Service", "metadata": {"name": "s"}})), None);
    }

    #[test]
    fn the_newest_warning_about_the_object_counts() {
        let event = |name: &str, time: &str, text: &str| json!({"involvedObject": {"name": name}, "lastTimestamp": time, "reason": "FailedCreate", "message": text});
        let events = [
            event("web-1", "2026-01-01T00:00:02Z", "quota"),
            event("web", "2026-01-01T00:00:01Z", "old"),
            event("webber", "2026-01-01T00:00:09Z", "other"),
        ];
        assert_eq!(warning_about(&events, "web").as_deref(), Some("FailedCreate: quota"));
    }
}
