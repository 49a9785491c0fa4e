//! The Job controller's decision: from a Job and its pods to what is to be done.
//!
//! Counting follows Kubernetes' own way: every pod carries the finalizer [`TRACKING`]; a finished pod is first named in
//! `status.uncountedTerminatedPods`, then loses the finalizer, then enters `succeeded` or `failed`. So no pod is
//! counted twice or forgotten, whatever is killed in between.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The finalizer that keeps a Job's finished pod until it is counted.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// What is to be done for a Job; nothing in it means that the Job is as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// How many pods to create.
    pub create: usize,
    /// Pods to delete.
    pub delete: Vec<String>,
    /// Pods that lose the finalizer [`TRACKING`]; after the status has been written.
    pub release: Vec<String>,
    /// The status to write, when it differs.
    pub status: Option<JobStatus>,
    /// Events to record: type, reason, message.
    pub events: Vec<(&'static str, &'static str, String)>,
    /// When to decide again although nothing changed.
    pub again: Option<Duration>,
    /// The Job's time to live is over.
    pub expired: bool,
}

/// Tells whether a Job has ended.
pub fn is_finished(job: &Job) -> bool {
    finished_at(job).is_some()
}

fn conditions(job: &Job) -> &[JobCondition] {
    job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

fn finished_at(job: &Job) -> Option<Timestamp> {
    conditions(job)
        .iter()
        .find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True")
        .and_then(|condition| condition.last_transition_time.as_ref().map(|time| time.0))
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn restarts(pod: &Pod) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let of = |list: &Option<Vec<k8s_openapi::api::core::v1::ContainerStatus>>| {
        list.iter().flatten().map(|container| container.restart_count).sum::<i32>()
    };
    of(&status.init_container_statuses) + of(&status.container_statuses)
}

/// Returns what a Job asks for that the sandbox does not have.
fn unsupported(spec: &JobSpec) -> Option<&'static str> {
    if spec.completion_mode.as_deref() == Some("Indexed") {
        return Some("completionMode Indexed");
    }
    let rules = spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules);
    let mut others = rules.filter(|rule| rule.action != "FailJob" || rule.on_exit_codes.is_none());
    others.next().map(|_| "podFailurePolicy rules but FailJob onExitCodes")
}

/// Returns why a `FailJob` rule of the podFailurePolicy ends the Job, in Kubernetes' words.
fn job_failed_by_policy(spec: &JobSpec, pods: &[Arc<Pod>]) -> Option<String> {
    let rules = &spec.pod_failure_policy.as_ref()?.rules;
    for pod in pods.iter().filter(|pod| phase(pod) == "Failed") {
        let Some(status) = &pod.status else { continue };
        let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
        for container in all {
            let ended = container.state.as_ref().and_then(|state| state.terminated.as_ref());
            let Some(code) = ended.map(|ended| ended.exit_code).filter(|code| *code != 0) else { continue };
            let hit = rules.iter().position(|rule| {
                rule.on_exit_codes.as_ref().is_some_and(|codes| {
                    let named = codes.container_name.as_ref().is_none_or(|name| *name == container.name);
                    named && codes.values.contains(&code) == (codes.operator == "In")
                })
            });
            if let Some(index) = hit {
                let pod = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
                let name = &container.name;
                return Some(format!(
                    "Container {name} for pod {pod} failed with exit code {code} matching FailJob rule at index {index}"
                ));
            }
        }
    }
    None
}

/// When a failed pod's last container ended; the pod's creation when no container tells.
fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .flatten()
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|time| time.0))
        .max()
        .or_else(|| pod.creation_timestamp().map(|time| time.0))
}

/// Why a Job is to end.
struct Verdict {
    success: bool,
    reason: &'static str,
    message: String,
}

/// Decides what is to be done for a Job now.
///
/// `pods` are the pods that the Job controls; `backoff` is the delay before a pod that failed is replaced, doubled with
/// each further failure, ten minutes at most.
pub fn decide(job: &Job, pods: &[Arc<Pod>], now: Timestamp, backoff: Duration) -> Decision {
    let mut decision = Decision::default();
    let Some(spec) = &job.spec else { return decision };
    let mut status = job.status.clone().unwrap_or_default();
    let tracked = |pod: &Pod| pod.finalizers().iter().any(|finalizer| finalizer == TRACKING);

    if is_finished(job) || job.metadata.deletion_timestamp.is_some() {
        // Nothing is counted any more; whatever still waits to be counted is let go.
        decision.release = pods.iter().filter(|pod| tracked(pod)).map(|pod| pod.name_any()).collect();
        if is_finished(job) {
            decision.delete = pods
                .iter()
                .filter(|p| !ended(p) && p.metadata.deletion_timestamp.is_none())
                .map(|p| p.name_any())
                .collect();
            let live = finished_at(job).zip(spec.ttl_seconds_after_finished);
            if let Some((finished, seconds)) = live.filter(|_| job.metadata.deletion_timestamp.is_none()) {
                let due = finished + SignedDuration::from_secs(i64::from(seconds.max(0)));
                if due <= now {
                    decision.expired = true;
                } else {
                    decision.again = Some(until(now, due));
                }
            }
        }
        return decision;
    }

    // Counting.
    let old = status.uncounted_terminated_pods.take().unwrap_or_default();
    let (old_succeeded, old_failed) = (old.succeeded.unwrap_or_default(), old.failed.unwrap_or_default());
    let held: BTreeSet<&str> =
        pods.iter().filter(|pod| tracked(pod)).filter_map(|pod| pod.metadata.uid.as_deref()).collect();
    let mut uncounted = UncountedTerminatedPods::default();
    let (mut succeeded, mut failed) = (status.succeeded.unwrap_or(0), status.failed.unwrap_or(0));
    for (list, total, kept) in [
        (&old_succeeded, &mut succeeded, uncounted.succeeded.get_or_insert_default()),
        (&old_failed, &mut failed, uncounted.failed.get_or_insert_default()),
    ] {
        for uid in list {
            if held.contains(uid.as_str()) { kept.push(uid.clone()) } else { *total += 1 }
        }
    }
    let known = |uid: &str| old_succeeded.iter().chain(&old_failed).any(|known| known == uid);
    // A pod that is being deleted may never reach an end of its own: it counts as failed at once.
    let over = |pod: &Pod| ended(pod) || pod.metadata.deletion_timestamp.is_some();
    for pod in pods.iter().filter(|pod| over(pod) && tracked(pod)) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        decision.release.push(pod.name_any());
        if !known(&uid) {
            let list = if phase(pod) == "Succeeded" { &mut uncounted.succeeded } else { &mut uncounted.failed };
            list.get_or_insert_default().push(uid);
        }
    }
    let waiting = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len) as i32;
    let all_succeeded = succeeded + waiting(&uncounted.succeeded);
    let all_failed = failed + waiting(&uncounted.failed);
    let to_count = waiting(&uncounted.succeeded) + waiting(&uncounted.failed);

    let live: Vec<&Arc<Pod>> = pods.iter().filter(|pod| !ended(pod)).collect();
    let active: Vec<&Arc<Pod>> = live.iter().copied().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    let terminating = live.len() - active.len();

    // Verdict.
    let suspended = spec.suspend.unwrap_or(false);
    let parallelism = spec.parallelism.unwrap_or(1).max(0);
    if status.start_time.is_none() && !suspended {
        status.start_time = Some(Time(now));
    }
    let limit = spec.backoff_limit.unwrap_or(6);
    let on_failure = spec.template.spec.as_ref().and_then(|pod| pod.restart_policy.as_deref()) == Some("OnFailure");
    let restarted: i32 = if on_failure { active.iter().map(|pod| restarts(pod)).sum() } else { 0 };
    let deadline = spec
        .active_deadline_seconds
        .zip(status.start_time.as_ref())
        .filter(|_| !suspended)
        .map(|(seconds, start)| start.0 + SignedDuration::from_secs(seconds.max(0)));
    let pending = status.conditions.iter().flatten().find(|condition| {
        matches!(condition.type_.as_str(), "FailureTarget" | "SuccessCriteriaMet") && condition.status == "True"
    });
    let verdict = if let Some(condition) = pending {
        // Decided earlier; only the end of the last pods is awaited.
        let success = condition.type_ == "SuccessCriteriaMet";
        let reason = match condition.reason.as_deref() {
            Some("DeadlineExceeded") => "DeadlineExceeded",
            Some("NotSupported") => "NotSupported",
            Some("PodFailurePolicy") => "PodFailurePolicy",
            _ if success => "CompletionsReached",
            _ => "BackoffLimitExceeded",
        };
        Some(Verdict { success, reason, message: condition.message.clone().unwrap_or_default() })
    } else if let Some(what) = unsupported(spec) {
        Some(Verdict { success: false, reason: "NotSupported", message: format!("the sandbox has no {what}") })
    } else if let Some(message) = job_failed_by_policy(spec, pods) {
        Some(Verdict { success: false, reason: "PodFailurePolicy", message })
    } else if all_failed > limit || (on_failure && restarted > 0 && restarted >= limit) {
        let message = "Job has reached the specified backoff limit".to_owned();
        Some(Verdict { success: false, reason: "BackoffLimitExceeded", message })
    } else if deadline.is_some_and(|deadline| deadline <= now) {
        let message = "Job was active longer than specified deadline".to_owned();
        Some(Verdict { success: false, reason: "DeadlineExceeded", message })
    } else if match spec.completions {
        Some(completions) => all_succeeded >= completions,
        None => all_succeeded > 0 && live.is_empty(),
    } {
        let message = "Reached expected number of succeeded pods".to_owned();
        Some(Verdict { success: true, reason: "CompletionsReached", message })
    } else {
        None
    };

    // Pods to create or delete.
    let mut running = active.len() as i32;
    let mut delete = |pods: &[&Arc<Pod>], events: &mut Vec<_>| {
        for pod in pods {
            events.push(("Normal", "SuccessfulDelete", format!("Deleted pod: {}", pod.name_any())));
            decision.delete.push(pod.name_any());
        }
    };
    match &verdict {
        Some(_) => {
            delete(&active, &mut decision.events);
            running = 0;
        }
        None if suspended => {
            delete(&active, &mut decision.events);
            running = 0;
            status.start_time = None;
        }
        None => {
            let wanted = match spec.completions {
                Some(completions) => parallelism.min(completions - all_succeeded),
                None if all_succeeded > 0 => running.min(parallelism),
                None => parallelism,
            };
            if running > wanted {
                delete(&active[wanted.max(0) as usize..], &mut decision.events);
                running = wanted.max(0);
            } else if running < wanted {
                match retry_at(pods, all_failed, backoff).filter(|due| *due > now) {
                    Some(due) => decision.again = Some(until(now, due)),
                    None => {
                        decision.create = (wanted - running) as usize;
                        running = wanted;
                    }
                }
            }
            if let Some(deadline) = deadline {
                let left = until(now, deadline);
                decision.again = Some(decision.again.map_or(left, |again| again.min(left)));
            }
        }
    }

    // Status.
    let remaining = live.len().max(terminating);
    if let Some(verdict) = &verdict {
        let interim = if verdict.success { "SuccessCriteriaMet" } else { "FailureTarget" };
        if set_condition(&mut status, interim, verdict, now) && !verdict.success {
            decision.events.push(("Warning", verdict.reason, verdict.message.clone()));
        }
        // The last condition waits until every pod has ended and is counted.
        if remaining == 0 && to_count == 0 {
            set_condition(&mut status, if verdict.success { "Complete" } else { "Failed" }, verdict, now);
            if verdict.success {
                status.completion_time = Some(Time(now));
                decision.events.push(("Normal", "Completed", "Job completed".to_owned()));
            }
        }
    }
    set_suspended(&mut status, suspended, now);
    let some = |count: i32| (count > 0).then_some(count);
    status.active = some(running);
    status.succeeded = some(succeeded);
    status.failed = some(failed);
    let still_going: BTreeSet<&String> = decision.delete.iter().collect();
    let leaving = terminating + still_going.len();
    status.terminating = Some(leaving as i32);
    status.ready =
        Some(active.iter().filter(|pod| ready(pod) && !still_going.contains(&pod.name_any())).count() as i32);
    uncounted.succeeded = uncounted.succeeded.filter(|list| !list.is_empty());
    uncounted.failed = uncounted.failed.filter(|list| !list.is_empty());
    status.uncounted_terminated_pods = Some(uncounted);
    if job.status.as_ref() != Some(&status) {
        decision.status = Some(status);
    }
    decision
}

fn until(now: Timestamp, due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or_default() + Duration::from_millis(5)
}

fn retry_at(pods: &[Arc<Pod>], failures: i32, backoff: Duration) -> Option<Timestamp> {
    if failures == 0 {
        return None;
    }
    let last = pods.iter().filter(|pod| phase(pod) == "Failed").filter_map(|pod| ended_at(pod)).max()?;
    let delay = backoff.saturating_mul(1 << (failures - 1).clamp(0, 16)).min(Duration::from_secs(600));
    Some(last + SignedDuration::try_from(delay).unwrap_or(SignedDuration::ZERO))
}

/// Sets a condition to true; says whether it was not before.
fn set_condition(status: &mut JobStatus, kind: &str, verdict: &Verdict, now: Timestamp) -> bool {
    let list = status.conditions.get_or_insert_default();
    if list.iter().any(|condition| condition.type_ == kind && condition.status == "True") {
        return false;
    }
    list.retain(|condition| condition.type_ != kind);
    list.push(JobCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(verdict.reason.to_owned()),
        message: Some(verdict.message.clone()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    });
    true
}

fn set_suspended(status: &mut JobStatus, suspended: bool, now: Timestamp) {
    let known = status.conditions.iter().flatten().find(|condition| condition.type_ == "Suspended");
    let wanted = if suspended { "True" } else { "False" };
    if known.map_or(!suspended, |condition| condition.status == wanted) {
        return;
    }
    let (reason, message) = if suspended { ("JobSuspended", "Job suspended") } else { ("JobResumed", "Job resumed") };
    let list = status.conditions.get_or_insert_default();
    list.retain(|condition| condition.type_ != "Suspended");
    list.push(JobCondition {
        type_: "Suspended".to_owned(),
        status: wanted.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const BACKOFF: Duration = Duration::from_secs(10);

    fn now() -> Timestamp {
        "2026-01-01T00:10:00Z".parse().unwrap()
    }

    fn job(spec: Value, status: Value) -> Job {
        let mut spec = spec;
        if spec.get("template").is_none() {
            spec["template"] = json!({"spec": {"containers": [], "restartPolicy": "Never"}});
        }
        serde_json::from_value(json!({"metadata": {"name": "j", "uid": "job"}, "spec": spec, "status": status}))
            .unwrap()
    }

    fn pod(name: &str, phase: &str, tracked: bool) -> Arc<Pod> {
        let finalizers = if tracked { json!([TRACKING]) } else { json!([]) };
        let ended = json!([{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:09:59Z"}}}]);
        let mut value = json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "finalizers": finalizers},
            "status": {"phase": phase}});
        if phase == "Failed" {
            value["status"]["containerStatuses"] = ended;
        }
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn types(decision: &Decision) -> Vec<String> {
        let status = decision.status.as_ref().unwrap();
        status.conditions.iter().flatten().map(|condition| condition.type_.clone()).collect()
    }

    /// Applies a decision's status to the Job, as the API server would.
    fn apply(job: &mut Job, decision: &Decision) {
        if let Some(status) = &decision.status {
            job.status = Some(status.clone());
        }
    }

    #[test]
    fn a_fresh_job_gets_its_pod_and_a_start_time() {
        let decision = decide(&job(json!({"completions": 1, "parallelism": 1}), json!({})), &[], now(), BACKOFF);
        assert_eq!(decision.create, 1);
        let status = decision.status.unwrap();
        assert_eq!(status.start_time, Some(Time(now())));
        assert_eq!((status.active, status.ready, status.terminating), (Some(1), Some(0), Some(0)));
    }

    #[test]
    fn success_is_counted_in_two_steps_and_then_complete() {
        let mut job = job(json!({"completions": 1}), json!({}));
        let first = decide(&job, &[pod("a", "Succeeded", true)], now(), BACKOFF);
        assert_eq!(first.release, ["a"]);
        assert_eq!(types(&first), ["SuccessCriteriaMet"]);
        assert_eq!(first.status.as_ref().unwrap().succeeded, None, "named, not yet counted");
        apply(&mut job, &first);
        let second = decide(&job, &[pod("a", "Succeeded", false)], now(), BACKOFF);
        assert_eq!(types(&second), ["SuccessCriteriaMet", "Complete"]);
        let status = second.status.clone().unwrap();
        assert_eq!((status.succeeded, status.active, status.completion_time), (Some(1), None, Some(Time(now()))));
        assert_eq!(status.conditions.unwrap()[1].reason.as_deref(), Some("CompletionsReached"));
        apply(&mut job, &second);
        assert_eq!(decide(&job, &[], now(), BACKOFF), Decision::default(), "a finished Job is left alone");
    }

    #[test]
    fn an_exit_code_of_the_failure_policy_ends_the_job_at_once() {
        let policy = |values: Value| {
            json!({"completions": 1, "backoffLimit": 3, "podFailurePolicy": {"rules": [
                {"action": "FailJob", "onExitCodes": {"operator": "In", "values": values}}]}})
        };
        let hit = decide(&job(policy(json!([1])), json!({})), &[pod("a", "Failed", true)], now(), BACKOFF);
        assert_eq!(types(&hit), ["FailureTarget"]);
        let condition = hit.status.unwrap().conditions.unwrap().remove(0);
        assert_eq!(condition.reason.as_deref(), Some("PodFailurePolicy"));
        let missed = decide(&job(policy(json!([78])), json!({})), &[pod("a", "Failed", true)], now(), BACKOFF);
        assert!(types(&missed).is_empty());
    }

    #[test]
    fn a_pod_that_vanished_after_it_was_named_is_still_counted() {
        let job = job(
            json!({"completions": 1}),
            json!({"uncountedTerminatedPods": {"succeeded": ["uid-a"]},
            "startTime": "2026-01-01T00:00:00Z"}),
        );
        let decision = decide(&job, &[], now(), BACKOFF);
        assert_eq!(decision.status.unwrap().succeeded, Some(1));
        assert_eq!(decision.create, 0);
    }

    #[test]
    fn a_failed_pod_is_replaced_after_a_growing_delay_until_the_limit() {
        let running = json!({"failed": 1, "startTime": "2026-01-01T00:00:00Z"});
        let job1 = job(json!({"completions": 1, "backoffLimit": 1}), running);
        let wait = decide(&job1, &[pod("a", "Failed", false)], now(), BACKOFF);
        assert_eq!(wait.create, 0);
        let again = wait.again.unwrap();
        assert!(again > Duration::from_secs(8) && again < Duration::from_secs(10), "{again:?}");
        let later = now() + SignedDuration::from_secs(10);
        assert_eq!(decide(&job1, &[pod("a", "Failed", false)], later, BACKOFF).create, 1);

        let over = decide(&job1, &[pod("a", "Failed", false), pod("b", "Failed", true)], later, BACKOFF);
        assert_eq!(over.create, 0);
        assert_eq!(types(&over), ["FailureTarget"]);
        assert!(over.events.iter().any(|event| event.1 == "BackoffLimitExceeded"));
        let mut job1 = job1;
        apply(&mut job1, &over);
        let last = decide(&job1, &[pod("b", "Failed", false)], later, BACKOFF);
        assert_eq!(types(&last), ["FailureTarget", "Failed"]);
        assert_eq!(last.status.unwrap().failed, Some(2));
    }

    #[test]
    fn the_deadline_ends_running_pods_and_waits_for_them() {
        let job1 =
            job(json!({"completions": 1, "activeDeadlineSeconds": 60}), json!({"startTime": "2026-01-01T00:00:00Z"}));
        let decision = decide(&job1, &[pod("a", "Running", true)], now(), BACKOFF);
        assert_eq!(decision.delete, ["a"]);
        assert_eq!(types(&decision), ["FailureTarget"]);
        let early = "2026-01-01T00:00:30Z".parse().unwrap();
        let decision = decide(&job1, &[pod("a", "Running", true)], early, BACKOFF);
        assert!(decision.delete.is_empty());
        assert!(decision.again.unwrap() > Duration::from_secs(29), "comes back at the deadline");
    }

    #[test]
    fn parallelism_and_completions() {
        let spec = json!({"completions": 5, "parallelism": 3});
        assert_eq!(decide(&job(spec.clone(), json!({})), &[], now(), BACKOFF).create, 3);
        let status = json!({"succeeded": 3, "startTime": "2026-01-01T00:00:00Z"});
        assert_eq!(decide(&job(spec, status), &[pod("a", "Running", true)], now(), BACKOFF).create, 1);
        let shrunk = job(json!({"completions": 5, "parallelism": 1}), json!({"startTime": "2026-01-01T00:00:00Z"}));
        let decision = decide(&shrunk, &[pod("a", "Running", true), pod("b", "Running", true)], now(), BACKOFF);
        assert_eq!(decision.delete, ["b"]);
    }

    #[test]
    fn on_failure_counts_restarts() {
        let template = json!({"spec": {"containers": [], "restartPolicy": "OnFailure"}});
        let job = job(json!({"completions": 1, "backoffLimit": 2, "template": template}), json!({}));
        let mut restarting = (*pod("a", "Running", true)).clone();
        let status = json!([{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 2}]);
        restarting.status.as_mut().unwrap().container_statuses = Some(serde_json::from_value(status).unwrap());
        let decision = decide(&job, &[Arc::new(restarting)], now(), BACKOFF);
        assert_eq!(types(&decision), ["FailureTarget"]);
        assert_eq!(decision.delete, ["a"]);
    }

    #[test]
    fn the_time_to_live_starts_at_the_end() {
        let condition = json!([{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:09:00Z"}]);
        let job = |seconds: i32| job(json!({"ttlSecondsAfterFinished": seconds}), json!({"conditions": condition}));
        assert!(decide(&job(60), &[], now(), BACKOFF).expired);
        let waits = decide(&job(61), &[], now(), BACKOFF);
        assert!(!waits.expired && waits.again.unwrap() <= Duration::from_millis(1100));
    }

    #[test]
    fn a_suspended_job_has_no_pods() {
        let job = job(json!({"suspend": true}), json!({"startTime": "2026-01-01T00:00:00Z"}));
        let decision = decide(&job, &[pod("a", "Running", true)], now(), BACKOFF);
        assert_eq!(decision.delete, ["a"]);
        assert_eq!(types(&decision), ["Suspended"]);
        assert_eq!(decision.status.unwrap().start_time, None);
    }

    #[test]
    fn what_the_sandbox_lacks_fails_the_job_and_says_so() {
        let decision = decide(&job(json!({"completionMode": "Indexed"}), json!({})), &[], now(), BACKOFF);
        assert_eq!(decision.create, 0);
        assert!(decision.status.unwrap().conditions.unwrap()[0].message.as_deref().unwrap().contains("Indexed"));
    }
}
