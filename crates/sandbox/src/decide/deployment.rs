//! The decisions of the Deployment and ReplicaSet controllers: so many pods, and from the old template to the new one.

use super::template::{available_since, is_ready, portion, template_hash};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::sync::Arc;
use std::time::Duration;

/// The label that tells a Deployment's ReplicaSets and their pods apart.
pub const TEMPLATE_HASH: &str = "pod-template-hash";
/// The annotation that numbers a Deployment's ReplicaSets.
pub const REVISION: &str = "deployment.kubernetes.io/revision";

/// What is to be done for a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaSetDecision {
    /// How many pods to create.
    pub create: usize,
    /// Pods to delete.
    pub delete: Vec<String>,
    /// The status to write, when it differs.
    pub status: Option<ReplicaSetStatus>,
    /// When to decide again although nothing changed.
    pub again: Option<Duration>,
}

/// Decides what is to be done for a ReplicaSet now; `pods` are those that it controls.
pub fn decide_replica_set(set: &ReplicaSet, pods: &[Arc<Pod>], now: Timestamp) -> ReplicaSetDecision {
    let mut decision = ReplicaSetDecision::default();
    let Some(spec) = &set.spec else { return decision };
    if set.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    let ended = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        matches!(phase, "Failed" | "Succeeded")
    };
    let mut active: Vec<&Arc<Pod>> =
        pods.iter().filter(|pod| !ended(pod) && pod.metadata.deletion_timestamp.is_none()).collect();
    let wanted = spec.replicas.unwrap_or(1).max(0) as usize;
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let mut available = 0;
    for pod in &active {
        match available_since(pod, min_ready) {
            Some(since) if since <= now => available += 1,
            Some(since) => {
                let left = Duration::try_from(since.duration_since(now)).unwrap_or_default();
                decision.again = Some(decision.again.map_or(left, |again| again.min(left)));
            }
            None => {}
        }
    }
    let status = ReplicaSetStatus {
        replicas: active.len() as i32,
        fully_labeled_replicas: Some(active.len() as i32).filter(|count| *count > 0),
        ready_replicas: Some(active.iter().filter(|pod| is_ready(pod)).count() as i32).filter(|count| *count > 0),
        available_replicas: Some(available).filter(|count| *count > 0),
        observed_generation: set.metadata.generation,
        ..Default::default()
    };
    if active.len() < wanted {
        decision.create = wanted - active.len();
    } else if active.len() > wanted {
        // Pods that are not ready go first, then the youngest.
        active.sort_by_key(|pod| {
            (is_ready(pod), std::cmp::Reverse(pod.creation_timestamp().map(|time| time.0)), pod.name_any())
        });
        decision.delete = active[..active.len() - wanted].iter().map(|pod| pod.name_any()).collect();
    }
    if set.status.as_ref() != Some(&status) {
        decision.status = Some(status);
    }
    decision
}

/// What is to be done for a Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentDecision {
    /// The revision, hash and size of the ReplicaSet to create for the present template.
    pub create: Option<(i64, String, i32)>,
    /// ReplicaSets and the number of pods that they are to have.
    pub scale: Vec<(String, i32)>,
    /// ReplicaSets beyond the history limit.
    pub delete: Vec<String>,
    /// The status to write, when it differs.
    pub status: Option<DeploymentStatus>,
}

fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn revision(set: &ReplicaSet) -> i64 {
    set.annotations().get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Decides what is to be done for a Deployment now; `sets` are the ReplicaSets that it controls.
pub fn decide_deployment(deployment: &Deployment, sets: &[Arc<ReplicaSet>], now: Timestamp) -> DeploymentDecision {
    let mut decision = DeploymentDecision::default();
    let Some(spec) = &deployment.spec else { return decision };
    if deployment.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    let hash = template_hash(&spec.template);
    let wanted = spec.replicas.unwrap_or(1).max(0);
    let (current, mut old): (Vec<_>, Vec<_>) =
        sets.iter().partition(|set| set.labels().get(TEMPLATE_HASH) == Some(&hash));
    let current = current.first().copied();
    old.sort_by_key(|set| revision(set));
    let last_revision = sets.iter().map(|set| revision(set)).max().unwrap_or(0);

    let strategy = spec.strategy.as_ref();
    let recreate = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate");
    let limits = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let quarter = "25%".to_owned();
    let quarter = k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::String(quarter);
    let surge = portion(limits.and_then(|l| l.max_surge.as_ref()).or(Some(&quarter)), wanted, true, 0);
    let unavailable = portion(limits.and_then(|l| l.max_unavailable.as_ref()).or(Some(&quarter)), wanted, false, 0);
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };

    let old_size: i32 = old.iter().map(|set| size(set)).sum();
    let old_pods: i32 = old.iter().map(|set| set.status.as_ref().map_or(0, |status| status.replicas)).sum();
    let target = if spec.paused.unwrap_or(false) {
        current.map_or(0, |set| size(set))
    } else if recreate {
        if old_size + old_pods == 0 { wanted } else { current.map_or(0, |set| size(set)) }
    } else {
        wanted.min((wanted + surge - old_size).max(current.map_or(0, |set| size(set))))
    };
    match current {
        None if !spec.paused.unwrap_or(false) => decision.create = Some((last_revision + 1, hash, target)),
        None => {}
        Some(set) if size(set) != target => decision.scale.push((set.name_any(), target)),
        Some(_) => {}
    }

    let sum = |of: fn(&ReplicaSetStatus) -> Option<i32>| -> i32 {
        sets.iter().filter_map(|set| set.status.as_ref()).filter_map(of).sum()
    };
    let available = sum(|status| status.available_replicas);
    if !spec.paused.unwrap_or(false) {
        let current_unavailable = current
            .map_or(0, |set| size(set) - set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0));
        // How many old pods may go while enough are left.
        let mut room = if recreate {
            old_size
        } else {
            (old_size + current.map_or(0, |set| size(set)) - (wanted - unavailable) - current_unavailable).max(0)
        };
        for set in old.iter().filter(|set| size(set) > 0) {
            let broken = size(set) - set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
            let down = room.min(size(set)).max(broken.clamp(0, size(set)));
            if down > 0 {
                room = (room - down).max(0);
                decision.scale.push((set.name_any(), size(set) - down));
            }
        }
        let empty: Vec<_> =
            old.iter().filter(|set| size(set) == 0 && set.status.as_ref().is_none_or(|s| s.replicas == 0)).collect();
        let keep = spec.revision_history_limit.unwrap_or(10).max(0) as usize;
        decision.delete = empty.iter().take(empty.len().saturating_sub(keep)).map(|set| set.name_any()).collect();
    }

    let updated = current.and_then(|set| set.status.as_ref()).map_or(0, |status| status.replicas);
    let all = sum(|status| Some(status.replicas));
    let some = |count: i32| (count > 0).then_some(count);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(all),
        updated_replicas: some(updated),
        ready_replicas: some(sum(|status| status.ready_replicas)),
        available_replicas: some(available),
        unavailable_replicas: some(wanted.max(all) - available),
        conditions: deployment.status.as_ref().and_then(|status| status.conditions.clone()),
        collision_count: deployment.status.as_ref().and_then(|status| status.collision_count),
        ..Default::default()
    };
    let enough = available >= wanted - unavailable;
    let complete = updated == wanted && all == wanted && available >= wanted;
    let (reason, message) = if enough {
        ("MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set_condition(&mut status, "Available", enough, reason, message.to_owned(), now);
    let name = deployment.name_any();
    let (reason, message) = if complete {
        ("NewReplicaSetAvailable", format!("Deployment \"{name}\" has successfully progressed."))
    } else {
        ("ReplicaSetUpdated", format!("Deployment \"{name}\" is progressing."))
    };
    set_condition(&mut status, "Progressing", true, reason, message, now);
    if deployment.status.as_ref() != Some(&status) {
        decision.status = Some(status);
    }
    decision
}

fn set_condition(
    status: &mut DeploymentStatus,
    kind: &str,
    holds: bool,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let value = if holds { "True" } else { "False" };
    let list = status.conditions.get_or_insert_default();
    let known = list.iter().position(|condition| condition.type_ == kind);
    if let Some(index) = known
        && list[index].status == value
        && list[index].reason.as_deref() == Some(reason)
    {
        return;
    }
    let since =
        known.filter(|index| list[*index].status == value).and_then(|index| list[index].last_transition_time.clone());
    let condition = DeploymentCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(since.unwrap_or(Time(now))),
        last_update_time: Some(Time(now)),
    };
    match known {
        Some(index) => list[index] = condition,
        None => list.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        "2026-01-01T00:10:00Z".parse().unwrap()
    }

    fn deployment(replicas: i32, strategy: Value) -> Deployment {
        serde_json::from_value(json!({"metadata": {"name": "d", "generation": 1}, "spec": {"replicas": replicas,
            "selector": {"matchLabels": {"a": "b"}}, "strategy": strategy,
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}}))
        .unwrap()
    }

    fn set(name: &str, hash: &str, size: i32, available: i32) -> Arc<ReplicaSet> {
        let value = json!({"metadata": {"name": name, "labels": {TEMPLATE_HASH: hash}, "annotations": {REVISION: "1"}},
            "spec": {"replicas": size, "selector": {}},
            "status": {"replicas": size, "availableReplicas": available, "readyReplicas": available}});
        Arc::new(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn the_first_replica_set_has_all_pods() {
        let decision = decide_deployment(&deployment(3, json!({})), &[], now());
        let (revision, _, size) = decision.create.unwrap();
        assert_eq!((revision, size), (1, 3));
    }

    #[test]
    fn a_roll_grows_the_new_and_shrinks_the_old() {
        let deployment = deployment(4, json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}));
        let hash = template_hash(&deployment.spec.as_ref().unwrap().template);
        let start = decide_deployment(&deployment, &[set("old", "x", 4, 4)], now());
        assert_eq!(start.create.as_ref().unwrap().2, 1);
        assert_eq!(start.scale, [("old".to_owned(), 3)]);
        let middle = decide_deployment(&deployment, &[set("old", "x", 3, 3), set("new", &hash, 1, 1)], now());
        assert_eq!(middle.scale, [("new".to_owned(), 2), ("old".to_owned(), 2)]);
        let end = decide_deployment(&deployment, &[set("old", "x", 0, 0), set("new", &hash, 4, 4)], now());
        assert!(end.scale.is_empty());
        let status = end.status.unwrap();
        assert_eq!(status.updated_replicas, Some(4));
        let reasons: Vec<_> = status.conditions.unwrap().into_iter().filter_map(|condition| condition.reason).collect();
        assert_eq!(reasons, ["MinimumReplicasAvailable", "NewReplicaSetAvailable"]);
    }

    #[test]
    fn recreate_waits_for_the_old_to_end() {
        let deployment = deployment(2, json!({"type": "Recreate"}));
        let decision = decide_deployment(&deployment, &[set("old", "x", 2, 2)], now());
        assert_eq!(decision.create.unwrap().2, 0);
        assert_eq!(decision.scale, [("old".to_owned(), 0)]);
    }

    #[test]
    fn a_replica_set_keeps_its_number() {
        let pod = |name: &str, phase: &str| -> Arc<Pod> {
            Arc::new(serde_json::from_value(json!({"metadata": {"name": name}, "status": {"phase": phase}})).unwrap())
        };
        let set = set("s", "x", 2, 0);
        let decision = decide_replica_set(&set, &[pod("a", "Running"), pod("b", "Failed")], now());
        assert_eq!((decision.create, decision.delete.len()), (1, 0));
        let many = [pod("a", "Running"), pod("b", "Running"), pod("c", "Running")];
        assert_eq!(decide_replica_set(&set, &many, now()).delete, ["a"]);
    }
}
