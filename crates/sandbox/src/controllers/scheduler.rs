//! The scheduler: binds pods that have no node yet, by [`crate::scheduling`].

use super::{BY_NODE, Context, each, is_conflict, is_gone};
use crate::kubelet::hollow;
use crate::queue::Queue;
use crate::scheduling::{Refusal, explain, fits, named_node};
use crate::store::Key;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Pods that found no node; they are looked at again when nodes change.
type Waiting = Arc<Mutex<HashSet<Key>>>;

/// Runs for ever.
pub(super) async fn run(context: Context) {
    let queue: Queue<Key> = Queue::new();
    let waiting = Waiting::default();
    let on_pod = {
        let queue = queue.clone();
        each(context.stores.pods.subscribe(), move |change| {
            if let Some(pod) = change.new.filter(|pod| wants_node(pod)) {
                queue.add(Key::of(&pod.metadata));
            }
        })
    };
    let retry = {
        let (queue, waiting) = (queue.clone(), waiting.clone());
        move || {
            for key in waiting.lock().unwrap_or_else(PoisonError::into_inner).drain() {
                queue.add(key);
            }
        }
    };
    let on_node = {
        let retry = retry.clone();
        each(context.stores.nodes.subscribe(), move |change| {
            // Only what selects nodes matters, not their heartbeats.
            match (&change.old, &change.new) {
                (Some(old), Some(new)) if old.spec == new.spec && old.labels() == new.labels() => {}
                _ => retry(),
            }
        })
    };
    let on_class = each(context.stores.runtime_classes.subscribe(), move |_| retry());
    // One worker: each decision sees the ones before it.
    let reconcile = queue.run("scheduler", 1, move |key| {
        let (context, waiting) = (context.clone(), waiting.clone());
        async move { reconcile(&context, &waiting, &key).await }
    });
    tokio::join!(on_pod, on_node, on_class, reconcile);
}

fn wants_node(pod: &Pod) -> bool {
    let unbound = pod.spec.as_ref().is_some_and(|spec| {
        spec.node_name.as_deref().unwrap_or_default().is_empty()
            && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
            && matches!(spec.scheduler_name.as_deref(), None | Some("default-scheduler" | ""))
    });
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    unbound && phase == "Pending" && pod.metadata.deletion_timestamp.is_none()
}

/// Of the nodes that fit, the one with the fewest pods; of these, the first by name.
fn choose(context: &Context, pod: &Pod) -> Result<String, Vec<Refusal>> {
    let Some(spec) = &pod.spec else { return Err(Vec::new()) };
    let stores = &context.stores;
    let class = spec.runtime_class_name.as_deref().and_then(|name| stores.runtime_classes.get(&Key::new("", name)));
    let judge = |node: &Arc<Node>| fits(spec, class.as_deref(), node);
    if let Some(name) = named_node(spec) {
        return match stores.nodes.get(&Key::new("", name)).as_ref().map(judge) {
            Some(Ok(())) => Ok(name.to_owned()),
            Some(Err(refusal)) => Err(vec![refusal]),
            None => Err(Vec::new()),
        };
    }
    let (mut best, mut refusals): (Option<(usize, String)>, Vec<Refusal>) = (None, Vec::new());
    for node in stores.nodes.all() {
        if node.labels().contains_key(hollow::LABEL) {
            continue; // nothing runs there
        }
        match judge(&node) {
            Ok(()) => {
                let candidate = (stores.pods.count(BY_NODE, &node.name_any()), node.name_any());
                if best.as_ref().is_none_or(|best| candidate < *best) {
                    best = Some(candidate);
                }
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    best.map(|(_, name)| name).ok_or(refusals)
}

async fn reconcile(context: &Context, waiting: &Waiting, key: &Key) -> Result<Option<Duration>, kube::Error> {
    let Some(pod) = context.stores.pods.get(key).filter(|pod| wants_node(pod)) else { return Ok(None) };
    let events = context.events.of("default-scheduler", "");
    let result = match choose(context, &pod) {
        Ok(node) => bind(context, &pod, &node).await.map(|bound| {
            if bound {
                let message = format!("Successfully assigned {key} to {node}");
                events.say(pod.as_ref(), "Normal", "Scheduled", message);
            }
        }),
        Err(refusals) => {
            waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
            let message = explain(&refusals);
            events.say(pod.as_ref(), "Warning", "FailedScheduling", message.clone());
            mark_unschedulable(context, &pod, message).await
        }
    };
    match result {
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(None),
    }
}

async fn bind(context: &Context, pod: &Pod, node: &str) -> Result<bool, kube::Error> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            uid: pod.metadata.uid.clone(),
            ..Default::default()
        },
        target: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..Default::default()
        },
    };
    let api = context.api::<Pod>(&namespace);
    let answer =
        api.create_subresource::<_, serde_json::Value>("binding", &name, &PostParams::default(), &binding).await;
    match answer {
        Ok(_) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false), // bound already
        Err(error) => Err(error),
    }
}

async fn mark_unschedulable(context: &Context, pod: &Pod, message: String) -> Result<(), kube::Error> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    if conditions.iter().any(|known| known.type_ == "PodScheduled" && known.message.as_ref() == Some(&message)) {
        return Ok(());
    }
    let mut conditions: Vec<_> = conditions.into_iter().filter(|known| known.type_ != "PodScheduled").collect();
    conditions.push(PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message),
        last_transition_time: Some(Time(Timestamp::now())),
        ..Default::default()
    });
    let patch = Patch::Merge(json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": conditions}}));
    let api = context.api::<Pod>(&pod.namespace().unwrap_or_default());
    context.stores.pods.observe(api.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await?);
    Ok(())
}
