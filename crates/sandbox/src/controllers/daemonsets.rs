//! The DaemonSet controller: runs [`crate::decide::daemonset`].

use super::{BY_OWNER, Context, controller_of, each};
use crate::decide::daemonset::{REVISION, builtin_tolerations, decide};
use crate::decide::template::{pod_of, template_hash};
use crate::queue::Queue;
use crate::store::Key;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
};
use kube::ResourceExt;
use kube::api::DeleteParams;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A decision looks at every node, so changes of pods and nodes are gathered for this long.
const GATHER: Duration = Duration::from_millis(5);

/// Runs for ever.
pub(super) async fn run(context: Context) {
    let queue: Queue<Key> = Queue::new();
    let (sets, pods, nodes) =
        (context.stores.daemon_sets.subscribe(), context.stores.pods.subscribe(), context.stores.nodes.subscribe());
    let on_set = {
        let queue = queue.clone();
        each(sets, move |change| queue.add(change.latest().map(|set| Key::of(&set.metadata)).unwrap_or_default()))
    };
    let on_pod = {
        let queue = queue.clone();
        each(pods, move |change| {
            let Some(pod) = change.latest() else { return };
            if let Some(owner) = controller_of(pod.as_ref()).filter(|owner| owner.kind == "DaemonSet") {
                queue.add_after(Key::new(&pod.namespace().unwrap_or_default(), &owner.name), GATHER);
            }
        })
    };
    let on_node = {
        let (queue, stores) = (queue.clone(), context.stores.clone());
        each(nodes, move |change| {
            // Only what selects nodes matters, not their heartbeats.
            if let (Some(old), Some(new)) = (&change.old, &change.new)
                && old.spec == new.spec
                && old.labels() == new.labels()
            {
                return;
            }
            for set in stores.daemon_sets.all() {
                queue.add_after(Key::of(&set.metadata), GATHER);
            }
        })
    };
    let reconcile = queue.run("daemonset", 2, move |key| {
        let context = context.clone();
        async move { reconcile(&context, &key).await }
    });
    tokio::join!(on_set, on_pod, on_node, reconcile);
}

async fn reconcile(context: &Context, key: &Key) -> Result<Option<Duration>, kube::Error> {
    let Some(set) = context.stores.daemon_sets.get(key) else { return Ok(None) };
    let pods = context.stores.pods.by(BY_OWNER, set.metadata.uid.as_deref().unwrap_or_default());
    let mut nodes = context.stores.nodes.all();
    nodes.sort_by_cached_key(|node| node.name_any());
    let decision = decide(&set, &pods, &nodes, Timestamp::now(), context.backoff);
    let events = context.events.of("daemonset-controller", "");
    for node in &decision.create {
        match context.create(&context.stores.pods, &new_pod(&set, node)).await {
            Ok(pod) => {
                events.say(set.as_ref(), "Normal", "SuccessfulCreate", format!("Created pod: {}", pod.name_any()))
            }
            Err(error) => {
                events.say(set.as_ref(), "Warning", "FailedCreate", format!("Error creating: {error}"));
                return Err(error);
            }
        }
    }
    for (kind, reason, message) in decision.events {
        events.say(set.as_ref(), kind, reason, message);
    }
    let leaving: HashSet<&String> = decision.delete.iter().collect();
    let leaving: Vec<&Arc<Pod>> = pods.iter().filter(|pod| leaving.contains(&pod.name_any())).collect();
    for pod in leaving.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        context.delete(&context.stores.pods, pod.as_ref(), DeleteParams::default()).await?;
        events.say(set.as_ref(), "Normal", "SuccessfulDelete", format!("Deleted pod: {}", pod.name_any()));
    }
    if let Some(status) = decision.status {
        let mut set = set.as_ref().clone();
        set.status = Some(status);
        context.put_status(&context.stores.daemon_sets, &set).await?;
    }
    Ok(decision.again)
}

fn new_pod(set: &DaemonSet, node: &str) -> Pod {
    let Some(spec) = &set.spec else { return Pod::default() };
    let mut pod = pod_of(set, &spec.template);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION.to_owned(), template_hash(&spec.template));
    labels.insert("pod-template-generation".to_owned(), set.metadata.generation.unwrap_or(1).to_string());
    let spec = pod.spec.get_or_insert_default();
    let builtin = builtin_tolerations(spec.host_network.unwrap_or(false));
    spec.tolerations.get_or_insert_default().extend(builtin);
    pin(spec, node);
    pod
}

/// Narrows a pod's node affinity to one node; what it required before must still hold there.
fn pin(spec: &mut PodSpec, node: &str) {
    let field = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let affinity = spec.affinity.get_or_insert_with(Affinity::default);
    let affinity = affinity.node_affinity.get_or_insert_with(NodeAffinity::default);
    let required =
        affinity.required_during_scheduling_ignored_during_execution.get_or_insert_with(NodeSelector::default);
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_fields = Some(vec![field.clone()]);
    }
}
