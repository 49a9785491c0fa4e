//! The DaemonSet controller's decision: one pod on each node that the DaemonSet selects, replaced a few at a time.

use super::template::{available_since, is_ready, portion, template_hash};
use crate::scheduling::{matches_selection, untolerated};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Toleration};
use kube::ResourceExt;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The pod label that names the template's hash.
pub const REVISION: &str = "controller-revision-hash";

/// What is to be done for a DaemonSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Nodes that get a pod.
    pub create: Vec<String>,
    /// Pods to delete.
    pub delete: Vec<String>,
    /// The status to write, when it differs.
    pub status: Option<DaemonSetStatus>,
    /// Events to record: type, reason, message.
    pub events: Vec<(&'static str, &'static str, String)>,
    /// When to decide again although nothing changed.
    pub again: Option<Duration>,
}

/// The tolerations that every DaemonSet pod has beside its own.
pub fn builtin_tolerations(host_network: bool) -> Vec<Toleration> {
    let mut list = vec![("not-ready", "NoExecute"), ("unreachable", "NoExecute")];
    list.extend(["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"].map(|key| (key, "NoSchedule")));
    if host_network {
        list.push(("network-unavailable", "NoSchedule"));
    }
    list.into_iter()
        .map(|(key, effect)| Toleration {
            key: Some(format!("node.kubernetes.io/{key}")),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Default::default()
        })
        .collect()
}

/// The node that a DaemonSet pod is for, whether bound already or not.
fn node_of(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    spec.node_name.as_deref().or_else(|| crate::scheduling::named_node(spec))
}

/// Decides what is to be done for a DaemonSet now.
///
/// `pods` are the pods that it controls; a pod that failed is replaced when it is `backoff` old.
pub fn decide(set: &DaemonSet, pods: &[Arc<Pod>], nodes: &[Arc<Node>], now: Timestamp, backoff: Duration) -> Decision {
    let mut decision = Decision::default();
    let Some(spec) = &set.spec else { return decision };
    if set.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    let hash = template_hash(&spec.template);
    let empty = PodSpec::default();
    let template = spec.template.spec.as_ref().unwrap_or(&empty);
    let mut tolerations = builtin_tolerations(template.host_network.unwrap_or(false));
    tolerations.extend(template.tolerations.iter().flatten().cloned());

    let mut by_node: HashMap<&str, Vec<&Arc<Pod>>> = HashMap::new();
    for pod in pods {
        match node_of(pod) {
            Some(node) => by_node.entry(node).or_default().push(pod),
            // A pod that names no node cannot be one of ours any more.
            None => decision.delete.push(pod.name_any()),
        }
    }
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let strategy = spec.update_strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.type_.as_deref()).unwrap_or("RollingUpdate") == "RollingUpdate";

    let mut counts = DaemonSetStatus {
        observed_generation: set.metadata.generation,
        collision_count: set.status.as_ref().and_then(|status| status.collision_count),
        ..Default::default()
    };
    let (mut available, mut updated) = (0, 0);
    let mut unavailable_nodes = 0;
    let (mut replace_now, mut replace_later) = (Vec::new(), Vec::new());
    let mut again: Option<Duration> = None;
    let mut wake = |after: Duration| again = Some(again.map_or(after, |known| known.min(after)));

    for node in nodes {
        let name = node.name_any();
        let selected = matches_selection(template, None, node);
        let should_run = selected && untolerated(node, &tolerations, &["NoSchedule", "NoExecute"]).is_none();
        let may_stay = selected && untolerated(node, &tolerations, &["NoExecute"]).is_none();
        let mut here = by_node.remove(name.as_str()).unwrap_or_default();
        if !may_stay {
            counts.number_misscheduled += i32::from(!here.is_empty());
            decision
                .delete
                .extend(here.iter().filter(|p| p.metadata.deletion_timestamp.is_none()).map(|p| p.name_any()));
            continue;
        }
        if should_run {
            counts.desired_number_scheduled += 1;
        } else {
            counts.number_misscheduled += i32::from(!here.is_empty());
        }
        // Pods that have ended are removed; of several living ones the oldest stays.
        here.sort_by_key(|pod| (pod.metadata.creation_timestamp.clone().map(|time| time.0), pod.name_any()));
        let (mut leaving, mut kept): (bool, Option<&Arc<Pod>>) = (false, None);
        for pod in here {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
            if pod.metadata.deletion_timestamp.is_some() {
                leaving = true;
            } else if matches!(phase, "Failed" | "Succeeded") {
                leaving = true;
                let age = pod.creation_timestamp().map_or(SignedDuration::MAX, |time| now.duration_since(time.0));
                match Duration::try_from(age) {
                    Ok(age) if phase == "Failed" && age < backoff => wake(backoff - age),
                    _ => {
                        let namespace = pod.namespace().unwrap_or_default();
                        let what = format!("daemon pod {namespace}/{} on node {name}", pod.name_any());
                        decision.events.push(if phase == "Failed" {
                            ("Warning", "FailedDaemonPod", format!("Found failed {what}, will try to kill it"))
                        } else {
                            ("Normal", "SucceededDaemonPod", format!("Found succeeded {what}, will try to delete it"))
                        });
                        decision.delete.push(pod.name_any());
                    }
                }
            } else if kept.is_some() {
                decision.delete.push(pod.name_any());
            } else {
                kept = Some(pod);
            }
        }
        if !should_run {
            continue;
        }
        let Some(pod) = kept else {
            unavailable_nodes += 1;
            if !leaving {
                decision.create.push(name);
            }
            continue;
        };
        counts.current_number_scheduled += 1;
        counts.number_ready += i32::from(is_ready(pod));
        let is_available = match available_since(pod, min_ready) {
            Some(since) if since <= now => true,
            Some(since) => {
                wake(Duration::try_from(since.duration_since(now)).unwrap_or_default());
                false
            }
            None => false,
        };
        available += i32::from(is_available);
        unavailable_nodes += i32::from(!is_available);
        if pod.labels().get(REVISION) == Some(&hash) {
            updated += 1;
        } else if is_available {
            replace_later.push(pod.name_any());
        } else {
            replace_now.push(pod.name_any());
        }
    }
    // Pods of nodes that no longer exist.
    decision.delete.extend(by_node.into_values().flatten().map(|pod| pod.name_any()));

    if rolling {
        let limits = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let desired = counts.desired_number_scheduled;
        let unavailable = portion(limits.and_then(|limits| limits.max_unavailable.as_ref()), desired, true, 1);
        let surge = portion(limits.and_then(|limits| limits.max_surge.as_ref()), desired, true, 0);
        // A surge pod beside the old one needs no room of its own here: it counts as leave to replace that many.
        let room = (unavailable.max(surge).max(1) - unavailable_nodes).max(0) as usize;
        decision.delete.extend(replace_now);
        decision.delete.extend(replace_later.into_iter().take(room));
    }
    decision.again = again;

    counts.updated_number_scheduled = Some(updated).filter(|count| *count > 0);
    counts.number_available = Some(available).filter(|count| *count > 0);
    counts.number_unavailable = Some(counts.desired_number_scheduled - available).filter(|count| *count > 0);
    if set.status.as_ref() != Some(&counts) {
        decision.status = Some(counts);
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        "2026-01-01T00:10:00Z".parse().unwrap()
    }

    fn set(template: Value, strategy: Value) -> DaemonSet {
        let mut template = template;
        template["containers"] = json!([]);
        serde_json::from_value(json!({"metadata": {"name": "ds", "generation": 3}, "spec": {
            "selector": {"matchLabels": {"a": "b"}}, "updateStrategy": strategy,
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": template}}}))
        .unwrap()
    }

    fn nodes(count: usize) -> Vec<Arc<Node>> {
        let node =
            |index: usize| json!({"metadata": {"name": format!("n{index}"), "labels": {"i": index.to_string()}}});
        (0..count).map(|index| Arc::new(serde_json::from_value(node(index)).unwrap())).collect()
    }

    fn pod(name: &str, node: &str, hash: &str, ready: bool, phase: &str) -> Arc<Pod> {
        let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" },
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns", "labels": {REVISION: hash},
                "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase, "conditions": [condition]}}))
            .unwrap(),
        )
    }

    const BACKOFF: Duration = Duration::from_secs(1);

    #[test]
    fn every_selected_node_gets_one_pod() {
        let decision = decide(&set(json!({}), json!({})), &[], &nodes(3), now(), BACKOFF);
        assert_eq!(decision.create, ["n0", "n1", "n2"]);
        let status = decision.status.unwrap();
        assert_eq!((status.desired_number_scheduled, status.number_unavailable), (3, Some(3)));
        assert_eq!(status.observed_generation, Some(3));
        let narrowed = decide(&set(json!({"nodeSelector": {"i": "1"}}), json!({})), &[], &nodes(3), now(), BACKOFF);
        assert_eq!(narrowed.create, ["n1"]);
    }

    #[test]
    fn pods_leave_nodes_that_are_not_selected_or_gone() {
        let set = set(json!({"nodeSelector": {"i": "1"}}), json!({}));
        let hash = template_hash(&set.spec.as_ref().unwrap().template);
        let pods = [
            pod("a", "n0", &hash, true, "Running"),
            pod("b", "n1", &hash, true, "Running"),
            pod("c", "gone", &hash, true, "Running"),
        ];
        let decision = decide(&set, &pods, &nodes(2), now(), BACKOFF);
        assert_eq!(decision.delete, ["a", "c"]);
        let status = decision.status.unwrap();
        assert_eq!((status.number_misscheduled, status.current_number_scheduled, status.number_ready), (1, 1, 1));
    }

    #[test]
    fn a_roll_keeps_within_max_unavailable() {
        let set = set(json!({}), json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}));
        let hash = template_hash(&set.spec.as_ref().unwrap().template);
        let old = |name: &str, node: &str, ready| pod(name, node, "old", ready, "Running");
        let all_old = [old("a", "n0", true), old("b", "n1", true), old("c", "n2", true), old("d", "n3", true)];
        assert_eq!(decide(&set, &all_old, &nodes(4), now(), BACKOFF).delete, ["a", "b"]);
        let one_coming =
            [pod("a", "n0", &hash, false, "Running"), old("b", "n1", true), old("c", "n2", true), old("d", "n3", true)];
        let decision = decide(&set, &one_coming, &nodes(4), now(), BACKOFF);
        assert_eq!(decision.delete, ["b"]);
        assert_eq!(decision.status.unwrap().updated_number_scheduled, Some(1));
        let old_unready = [old("a", "n0", false), old("b", "n1", true), old("c", "n2", true), old("d", "n3", true)];
        assert_eq!(decide(&set, &old_unready, &nodes(4), now(), BACKOFF).delete, ["a", "b"], "unready ones go first");
    }

    #[test]
    fn on_delete_replaces_nothing_by_itself() {
        let set = set(json!({}), json!({"type": "OnDelete"}));
        let decision = decide(&set, &[pod("a", "n0", "old", true, "Running")], &nodes(1), now(), BACKOFF);
        assert!(decision.delete.is_empty());
        assert_eq!(decision.status.unwrap().updated_number_scheduled, None);
    }

    #[test]
    fn an_ended_pod_is_replaced_and_doubles_are_removed() {
        let set = set(json!({}), json!({}));
        let hash = template_hash(&set.spec.as_ref().unwrap().template);
        let failed = decide(&set, &[pod("a", "n0", &hash, false, "Failed")], &nodes(1), now(), BACKOFF);
        assert_eq!(failed.delete, ["a"]);
        assert!(failed.create.is_empty(), "the new one waits until the old one is gone");
        let late = decide(&set, &[pod("a", "n0", &hash, false, "Failed")], &nodes(1), now(), Duration::from_secs(3600));
        assert!(late.delete.is_empty() && late.again.is_some());
        let doubles = [pod("a", "n0", &hash, true, "Running"), pod("b", "n0", &hash, true, "Running")];
        assert_eq!(decide(&set, &doubles, &nodes(1), now(), BACKOFF).delete, ["b"]);
    }

    #[test]
    fn a_tainted_node_needs_a_toleration() {
        let taint = json!([{"key": "k", "effect": "NoSchedule"}]);
        let tainted: Arc<Node> =
            Arc::new(serde_json::from_value(json!({"metadata": {"name": "n0"}, "spec": {"taints": taint}})).unwrap());
        let plain = set(json!({}), json!({}));
        let hash = template_hash(&plain.spec.as_ref().unwrap().template);
        assert!(decide(&plain, &[], std::slice::from_ref(&tainted), now(), BACKOFF).create.is_empty());
        let stays =
            decide(&plain, &[pod("a", "n0", &hash, true, "Running")], std::slice::from_ref(&tainted), now(), BACKOFF);
        assert!(stays.delete.is_empty(), "NoSchedule does not evict");
        let tolerant = set(json!({"tolerations": [{"operator": "Exists"}]}), json!({}));
        assert_eq!(decide(&tolerant, &[], &[tainted], now(), BACKOFF).create, ["n0"]);
    }
}
