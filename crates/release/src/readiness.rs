//! When is an object ready? The rules of Helm 4's status watcher (kstatus), on plain objects.

use serde_json::Value;

/// The state of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The verdict.
    pub state: State,
    /// What the object says about it.
    pub message: String,
}

/// The verdict about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Current,
    /// On its way.
    InProgress,
    /// It will not get there by waiting.
    Failed,
    /// Being deleted.
    Terminating,
    /// It does not exist.
    NotFound,
}

impl State {
    /// Returns the name used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Current => "Current",
            State::InProgress => "InProgress",
            State::Failed => "Failed",
            State::Terminating => "Terminating",
            State::NotFound => "NotFound",
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Objects of a release: a Job that runs is good enough.
    Objects,
    /// The same, but a Job has to complete.
    ObjectsAndJobs,
    /// Hooks: Jobs have to complete, Pods to succeed; everything else is ready at once.
    Hooks,
}

/// Judges an object. `now` (seconds since 1970) decides for how long an unschedulable Pod is given time.
pub fn judge(object: &Value, rules: Rules, now: i64) -> Readiness {
    let kind = object["kind"].as_str().unwrap_or_default();
    let group =
        object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
    match (rules, group, kind) {
        (Rules::Hooks, "batch", "Job") | (Rules::ObjectsAndJobs, "batch", "Job") => return job_completion(object),
        (Rules::Hooks, "", "Pod") => return pod_completion(object),
        (Rules::Hooks, ..) => return current("Resource is current"),
        _ => {}
    }
    if let Some(readiness) = generic(object, kind) {
        return readiness;
    }
    match (group, kind) {
        ("", "Service") => service(object),
        ("", "Pod") => pod(object, now),
        ("", "Secret" | "ConfigMap") | ("batch", "CronJob") => current("Resource is always ready"),
        ("", "PersistentVolumeClaim") => volume_claim(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps" | "extensions", "DaemonSet") => daemon_set(object),
        ("apps" | "extensions", "Deployment") => deployment(object),
        ("apps" | "extensions", "ReplicaSet") => replica_set(object),
        ("policy", "PodDisruptionBudget") => current("AllowedDisruptions has been computed."),
        ("batch", "Job") => job(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd(object),
        _ => ready_condition(object),
    }
}

/// Is this a Deployment that waits on purpose? Such a one is not waited for.
pub fn is_paused(object: &Value) -> bool {
    object["kind"] == "Deployment" && object["spec"]["paused"] == true
}

fn current(message: impl Into<String>) -> Readiness {
    Readiness { state: State::Current, message: message.into() }
}

fn progress(message: impl Into<String>) -> Readiness {
    Readiness { state: State::InProgress, message: message.into() }
}

fn failed(message: impl Into<String>) -> Readiness {
    Readiness { state: State::Failed, message: message.into() }
}

fn number(object: &Value, path: &str, default: i64) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or(default)
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

fn conditions(object: &Value) -> impl Iterator<Item = Condition<'_>> {
    object["status"]["conditions"].as_array().into_iter().flatten().map(|condition| Condition {
        kind: text(condition, "/type"),
        status: text(condition, "/status"),
        reason: text(condition, "/reason"),
        message: text(condition, "/message"),
    })
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    conditions(object).find(|condition| condition.kind == kind)
}

/// What can be said of any object: being deleted, not yet observed, reconciling, stalled.
fn generic(object: &Value, kind: &str) -> Option<Readiness> {
    if !text(object, "/metadata/deletionTimestamp").is_empty() {
        return Some(Readiness { state: State::Terminating, message: "Resource scheduled for deletion".into() });
    }
    let generation = object["metadata"]["generation"].as_i64();
    let observed = object["status"]["observedGeneration"].as_i64();
    if let (Some(generation), Some(observed)) = (generation, observed)
        && generation != observed
    {
        return Some(progress(format!(
            "{kind} generation is {generation}, but latest observed generation is {observed}"
        )));
    }
    conditions(object).find_map(|condition| match (condition.kind, condition.status) {
        ("Reconciling", "True") => Some(progress(condition.message)),
        ("Stalled", "True") => Some(failed(condition.message)),
        _ => None,
    })
}

fn ready_condition(object: &Value) -> Readiness {
    match condition(object, "Ready") {
        Some(condition) if condition.status == "True" => current("Resource is Ready"),
        Some(condition) if matches!(condition.status, "False" | "Unknown") => progress(condition.message),
        _ => current("Resource is current"),
    }
}

fn service(object: &Value) -> Readiness {
    if text(object, "/spec/type") == "LoadBalancer" && text(object, "/spec/clusterIP").is_empty() {
        return progress("ClusterIP not set. Service type: LoadBalancer");
    }
    current("Service is ready")
}

fn volume_claim(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Bound" => current("PVC is Bound"),
        phase => progress(format!("PVC is not Bound. phase: {}", if phase.is_empty() { "unknown" } else { phase })),
    }
}

fn stateful_set(object: &Value) -> Readiness {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return current("StatefulSet is using the ondelete update strategy");
    }
    let wanted = number(object, "/spec/replicas", 1);
    let ready = number(object, "/status/readyReplicas", 0);
    let now_current = number(object, "/status/currentReplicas", 0);
    let updated = number(object, "/status/updatedReplicas", 0);
    let replicas = number(object, "/status/replicas", 0);
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition", -1);
    if wanted > replicas {
        return progress(format!("Replicas: {replicas}/{wanted}"));
    }
    if wanted > ready {
        return progress(format!("Ready: {ready}/{wanted}"));
    }
    if replicas > wanted {
        return progress(format!("Pending termination: {}", replicas - wanted));
    }
    if partition != -1 {
        let share = wanted - partition;
        if updated < share {
            return progress(format!("updated: {updated}/{share}"));
        }
        return current(format!("Partition rollout complete. updated: {updated}"));
    }
    if wanted > now_current {
        return progress(format!("current: {now_current}/{wanted}"));
    }
    if text(object, "/status/currentRevision") != text(object, "/status/updateRevision") {
        return progress("Waiting for updated revision to match current");
    }
    current(format!("All replicas scheduled as expected. Replicas: {replicas}"))
}

fn deployment(object: &Value) -> Readiness {
    // Without a deadline the controller never writes the Progressing condition.
    let no_deadline = i64::from(i32::MAX);
    let mut progressing = number(object, "/spec/progressDeadlineSeconds", no_deadline) == no_deadline;
    let mut available = false;
    for condition in conditions(object) {
        match (condition.kind, condition.status, condition.reason) {
            ("Progressing", _, "ProgressDeadlineExceeded") => return failed("Progress deadline exceeded"),
            ("Progressing", "True", "NewReplicaSetAvailable") => progressing = true,
            ("Available", "True", _) => available = true,
            _ => {}
        }
    }
    let wanted = number(object, "/spec/replicas", 1);
    let replicas = number(object, "/status/replicas", 0);
    let updated = number(object, "/status/updatedReplicas", 0);
    let ready = number(object, "/status/readyReplicas", 0);
    let usable = number(object, "/status/availableReplicas", 0);
    if wanted > replicas {
        return progress(format!("Replicas: {replicas}/{wanted}"));
    }
    if wanted > updated {
        return progress(format!("Updated: {updated}/{wanted}"));
    }
    if replicas > wanted {
        return progress(format!("Pending termination: {}", replicas - wanted));
    }
    if updated > usable {
        return progress(format!("Available: {usable}/{updated}"));
    }
    if wanted > ready {
        return progress(format!("Ready: {ready}/{wanted}"));
    }
    if !progressing {
        return progress("ReplicaSet not Available");
    }
    if !available {
        return progress("Deployment not Available");
    }
    current(format!("Deployment is available. Replicas: {replicas}"))
}

fn replica_set(object: &Value) -> Readiness {
    if condition(object, "ReplicaFailure").is_some_and(|condition| condition.status == "True") {
        return progress("Replica Failure condition. Check Pods");
    }
    let wanted = number(object, "/spec/replicas", 1);
    let replicas = number(object, "/status/replicas", 0);
    let ready = number(object, "/status/readyReplicas", 0);
    let usable = number(object, "/status/availableReplicas", 0);
    let labelled = number(object, "/status/fullyLabeledReplicas", 0);
    if wanted > labelled {
        return progress(format!("Labelled: {labelled}/{wanted}"));
    }
    if wanted > usable {
        return progress(format!("Available: {usable}/{wanted}"));
    }
    if wanted > ready {
        return progress(format!("Ready: {ready}/{wanted}"));
    }
    if replicas > wanted {
        return progress(format!("Pending termination: {}", replicas - wanted));
    }
    current(format!("ReplicaSet is available. Replicas: {replicas}"))
}

fn daemon_set(object: &Value) -> Readiness {
    // The controller always writes both, so that their absence means it has not looked yet.
    if object["metadata"]["generation"].as_i64().is_none() {
        return progress("DaemonSet metadata.generation not found");
    }
    if object["status"]["observedGeneration"].as_i64().is_none() {
        return progress("DaemonSet status.observedGeneration not found");
    }
    let Some(wanted) = object["status"]["desiredNumberScheduled"].as_i64() else {
        return progress("Missing .status.desiredNumberScheduled");
    };
    for (name, field) in [
        ("Current", "/status/currentNumberScheduled"),
        ("Updated", "/status/updatedNumberScheduled"),
        ("Available", "/status/numberAvailable"),
        ("Ready", "/status/numberReady"),
    ] {
        let there = number(object, field, 0);
        if wanted > there {
            return progress(format!("{name}: {there}/{wanted}"));
        }
    }
    current(format!("All replicas scheduled as expected. Replicas: {wanted}"))
}

fn job_end(object: &Value) -> Option<Readiness> {
    let parallelism = number(object, "/spec/parallelism", 1);
    let completions = number(object, "/spec/completions", parallelism);
    let succeeded = number(object, "/status/succeeded", 0);
    let gone_wrong = number(object, "/status/failed", 0);
    conditions(object).find_map(|condition| match (condition.kind, condition.status) {
        ("Complete", "True") => Some(current(format!("Job Completed. succeeded: {succeeded}/{completions}"))),
        ("Failed", "True") => Some(failed(format!("Job Failed. failed: {gone_wrong}/{completions}"))),
        _ => None,
    })
}

fn job(object: &Value) -> Readiness {
    if let Some(end) = job_end(object) {
        return end;
    }
    if text(object, "/status/startTime").is_empty() {
        return progress("Job not started");
    }
    let count = |field| number(object, field, 0);
    current(format!(
        "Job in progress. success:{}, active: {}, failed: {}",
        count("/status/succeeded"),
        count("/status/active"),
        count("/status/failed")
    ))
}

fn job_completion(object: &Value) -> Readiness {
    job_end(object).unwrap_or_else(|| progress("Job in progress"))
}

fn pod_completion(object: &Value) -> Readiness {
    let name = text(object, "/metadata/name");
    match text(object, "/status/phase") {
        "Succeeded" => current(format!("pod {name} succeeded")),
        "Failed" => failed(format!("pod {name} failed")),
        _ => progress("Pod in progress"),
    }
}

/// For how long a Pod that cannot be scheduled is not yet called failed, in seconds.
const SCHEDULING_GRACE: i64 = 15;

fn pod(object: &Value, now: i64) -> Readiness {
    match text(object, "/status/phase") {
        "Succeeded" => current("Pod has completed successfully"),
        "Failed" => current("Pod has completed, but not successfully"),
        "Running" => {
            if condition(object, "Ready").is_some_and(|condition| condition.status == "True") {
                return current("Pod is Ready");
            }
            let looping: Vec<&str> = object["status"]["containerStatuses"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|container| text(container, "/state/waiting/reason") == "CrashLoopBackOff")
                .map(|container| text(container, "/name"))
                .collect();
            if looping.is_empty() {
                progress("Pod is running but is not Ready")
            } else {
                failed(format!("Containers in CrashLoop state: {}", looping.join(",")))
            }
        }
        "Pending" => match condition(object, "PodScheduled") {
            Some(condition) if condition.status == "False" && condition.reason == "Unschedulable" => {
                let created: Option<jiff::Timestamp> = text(object, "/metadata/creationTimestamp").parse().ok();
                if created.is_some_and(|created| now - created.as_second() < SCHEDULING_GRACE) {
                    progress("Pod has not been scheduled")
                } else {
                    failed("Pod could not be scheduled")
                }
            }
            _ => progress("Pod is in the Pending phase"),
        },
        "" => progress("Pod phase not available"),
        phase => progress(format!("unknown phase {phase}")),
    }
}

fn crd(object: &Value) -> Readiness {
    conditions(object)
        .find_map(|condition| match (condition.kind, condition.status, condition.reason) {
            ("NamesAccepted", "False", _) => Some(failed(condition.message)),
            ("Established", "False", reason) if reason != "Installing" => Some(failed(condition.message)),
            ("Established", "True", _) => Some(current("CRD is established")),
            _ => None,
        })
        .unwrap_or_else(|| progress("Install in progress"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(object: Value) -> (State, String) {
        let readiness = judge(&object, Rules::Objects, 1_000_000_000);
        (readiness.state, readiness.message)
    }

    fn deployment_with(spec: Value, status: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 2}, "spec": spec, "status": status})
    }

    #[test]
    fn a_deployment_counts_its_replicas() {
        let conditions = json!([{"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]);
        let spec = json!({"replicas": 2, "progressDeadlineSeconds": 600});
        let cases = [
            (
                json!({"observedGeneration": 1}),
                State::InProgress,
                "Deployment generation is 2, but latest observed generation is 1",
            ),
            (json!({}), State::InProgress, "Replicas: 0/2"),
            (json!({"replicas": 2}), State::InProgress, "Updated: 0/2"),
            (json!({"replicas": 3, "updatedReplicas": 2}), State::InProgress, "Pending termination: 1"),
            (json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}), State::InProgress, "Available: 1/2"),
            (
                json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 1}),
                State::InProgress,
                "Ready: 1/2",
            ),
            (
                json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}),
                State::InProgress,
                "ReplicaSet not Available",
            ),
            (
                json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2, "conditions": conditions}),
                State::Current,
                "Deployment is available. Replicas: 2",
            ),
            (
                json!({"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}),
                State::Failed,
                "Progress deadline exceeded",
            ),
        ];
        for (status, state, message) in cases {
            assert_eq!(at(deployment_with(spec.clone(), status)), (state, message.to_owned()));
        }
    }

    #[test]
    fn a_daemon_set_is_observed_first() {
        let with = |status: Value| json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"generation": 1}, "status": status});
        assert_eq!(at(with(json!({}))).1, "DaemonSet status.observedGeneration not found");
        assert_eq!(at(with(json!({"observedGeneration": 1}))).1, "Missing .status.desiredNumberScheduled");
        let two = json!({"observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2, "numberReady": 1});
        assert_eq!(at(with(two)).1, "Ready: 1/2");
        let none = json!({"observedGeneration": 1, "desiredNumberScheduled": 0});
        assert_eq!(at(with(none)).0, State::Current);
    }

    #[test]
    fn jobs_depend_on_the_rules() {
        let running = json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"startTime": "2026-01-01T00:00:00Z", "active": 1}});
        assert_eq!(judge(&running, Rules::Objects, 0).state, State::Current);
        assert_eq!(judge(&running, Rules::ObjectsAndJobs, 0).state, State::InProgress);
        assert_eq!(judge(&running, Rules::Hooks, 0).message, "Job in progress");
        let broken = json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]}});
        for rules in [Rules::Objects, Rules::ObjectsAndJobs, Rules::Hooks] {
            assert_eq!(judge(&broken, rules, 0), failed("Job Failed. failed: 1/1"));
        }
    }

    #[test]
    fn hooks_of_other_kinds_are_ready_at_once() {
        let deployment = deployment_with(json!({}), json!({}));
        assert_eq!(judge(&deployment, Rules::Hooks, 0).state, State::Current);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": "Failed"}});
        assert_eq!(judge(&pod, Rules::Hooks, 0), failed("pod p failed"));
        assert_eq!(judge(&pod, Rules::Objects, 0).state, State::Current);
    }

    #[test]
    fn an_unschedulable_pod_gets_some_time() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
        });
        let created = 1_767_225_600;
        assert_eq!(judge(&pod, Rules::Objects, created + 5).state, State::InProgress);
        assert_eq!(judge(&pod, Rules::Objects, created + 16).state, State::Failed);
    }

    #[test]
    fn custom_resources_speak_through_conditions() {
        let with =
            |conditions: Value| json!({"apiVersion": "x.io/v1", "kind": "X", "status": {"conditions": conditions}});
        assert_eq!(at(with(json!([]))).0, State::Current);
        assert_eq!(
            at(with(json!([{"type": "Ready", "status": "False", "message": "no"}]))),
            (State::InProgress, "no".into())
        );
        assert_eq!(
            at(with(json!([{"type": "Stalled", "status": "True", "message": "stuck"}]))),
            (State::Failed, "stuck".into())
        );
        assert_eq!(
            at(with(json!([{"type": "Reconciling", "status": "True", "message": "soon"}]))),
            (State::InProgress, "soon".into())
        );
        let gone =
            json!({"apiVersion": "x.io/v1", "kind": "X", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(at(gone).0, State::Terminating);
    }

    #[test]
    fn the_remaining_kinds() {
        let claim =
            |phase: &str| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": phase}});
        assert_eq!(at(claim("Pending")).1, "PVC is not Bound. phase: Pending");
        assert_eq!(at(claim("Bound")).0, State::Current);
        let crd = |conditions: Value| json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "status": {"conditions": conditions}});
        assert_eq!(at(crd(json!([]))).0, State::InProgress);
        assert_eq!(at(crd(json!([{"type": "Established", "status": "True"}]))).0, State::Current);
        assert_eq!(
            at(crd(json!([{"type": "NamesAccepted", "status": "False", "message": "taken"}]))),
            (State::Failed, "taken".into())
        );
        let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer"}});
        assert_eq!(at(service).0, State::InProgress);
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"replicas": 1}, "status": {"replicas": 1, "readyReplicas": 1, "currentReplicas": 1, "currentRevision": "a", "updateRevision": "b"}});
        assert_eq!(at(set).1, "Waiting for updated revision to match current");
    }
}
