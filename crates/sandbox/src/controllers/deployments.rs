//! The Deployment and ReplicaSet controllers: run [`crate::decide::deployment`].

use super::{BY_OWNER, Context, controller_of, each};
use crate::decide::deployment::{REVISION, TEMPLATE_HASH, decide_deployment, decide_replica_set};
use crate::decide::template::{controller_reference, pod_of};
use crate::queue::Queue;
use crate::store::Key;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

/// Runs the ReplicaSet controller for ever.
pub(super) async fn run_replica_sets(context: Context) {
    let queue: Queue<Key> = Queue::new();
    let (sets, pods) = (context.stores.replica_sets.subscribe(), context.stores.pods.subscribe());
    let on_set = {
        let queue = queue.clone();
        each(sets, move |change| queue.add(change.latest().map(|set| Key::of(&set.metadata)).unwrap_or_default()))
    };
    let on_pod = {
        let queue = queue.clone();
        each(pods, move |change| {
            let Some(pod) = change.latest() else { return };
            if let Some(owner) = controller_of(pod.as_ref()).filter(|owner| owner.kind == "ReplicaSet") {
                queue.add(Key::new(&pod.namespace().unwrap_or_default(), &owner.name));
            }
        })
    };
    let reconcile = queue.run("replicaset", 2, move |key| {
        let context = context.clone();
        async move { reconcile_replica_set(&context, &key).await }
    });
    tokio::join!(on_set, on_pod, reconcile);
}

async fn reconcile_replica_set(context: &Context, key: &Key) -> Result<Option<Duration>, kube::Error> {
    let Some(set) = context.stores.replica_sets.get(key) else { return Ok(None) };
    let pods = context.stores.pods.by(BY_OWNER, set.metadata.uid.as_deref().unwrap_or_default());
    let decision = decide_replica_set(&set, &pods, Timestamp::now());
    let events = context.events.of("replicaset-controller", "");
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    for _ in 0..decision.create {
        match context.create(&context.stores.pods, &pod_of(set.as_ref(), &template)).await {
            Ok(pod) => {
                events.say(set.as_ref(), "Normal", "SuccessfulCreate", format!("Created pod: {}", pod.name_any()))
            }
            Err(error) => {
                events.say(set.as_ref(), "Warning", "FailedCreate", format!("Error creating: {error}"));
                return Err(error);
            }
        }
    }
    for pod in pods.iter().filter(|pod| decision.delete.contains(&pod.name_any())) {
        context.delete(&context.stores.pods, pod.as_ref(), DeleteParams::default()).await?;
        events.say(set.as_ref(), "Normal", "SuccessfulDelete", format!("Deleted pod: {}", pod.name_any()));
    }
    if let Some(status) = decision.status {
        let mut set = set.as_ref().clone();
        set.status = Some(status);
        context.put_status(&context.stores.replica_sets, &set).await?;
    }
    Ok(decision.again)
}

/// Runs the Deployment controller for ever.
pub(super) async fn run_deployments(context: Context) {
    let queue: Queue<Key> = Queue::new();
    let (deployments, sets) = (context.stores.deployments.subscribe(), context.stores.replica_sets.subscribe());
    let on_deployment = {
        let queue = queue.clone();
        each(deployments, move |change| queue.add(change.latest().map(|it| Key::of(&it.metadata)).unwrap_or_default()))
    };
    let on_set = {
        let queue = queue.clone();
        each(sets, move |change| {
            let Some(set) = change.latest() else { return };
            if let Some(owner) = controller_of(set.as_ref()).filter(|owner| owner.kind == "Deployment") {
                queue.add(Key::new(&set.namespace().unwrap_or_default(), &owner.name));
            }
        })
    };
    let reconcile = queue.run("deployment", 2, move |key| {
        let context = context.clone();
        async move { reconcile_deployment(&context, &key).await }
    });
    tokio::join!(on_deployment, on_set, reconcile);
}

async fn reconcile_deployment(context: &Context, key: &Key) -> Result<Option<Duration>, kube::Error> {
    let Some(deployment) = context.stores.deployments.get(key) else { return Ok(None) };
    let sets = context.stores.replica_sets.by(BY_OWNER, deployment.metadata.uid.as_deref().unwrap_or_default());
    let decision = decide_deployment(&deployment, &sets, Timestamp::now());
    let events = context.events.of("deployment-controller", "");
    if let Some((revision, hash, size)) = &decision.create {
        let set = new_replica_set(&deployment, *revision, hash, *size);
        let message = format!("Scaled up replica set {} from 0 to {size}", set.name_any());
        match context.create(&context.stores.replica_sets, &set).await {
            Ok(_) => events.say(deployment.as_ref(), "Normal", "ScalingReplicaSet", message),
            Err(error) if super::is_conflict(&error) => {} // the watch will bring it
            Err(error) => return Err(error),
        }
    }
    let api = context.api::<ReplicaSet>(&key.namespace);
    for (name, size) in &decision.scale {
        let patch = Patch::Merge(json!({"spec": {"replicas": size}}));
        context.stores.replica_sets.observe(api.patch(name, &PatchParams::default(), &patch).await?);
        let message = format!("Scaled replica set {name} to {size}");
        events.say(deployment.as_ref(), "Normal", "ScalingReplicaSet", message);
    }
    for set in sets.iter().filter(|set| decision.delete.contains(&set.name_any())) {
        context.delete(&context.stores.replica_sets, set.as_ref(), DeleteParams::background()).await?;
    }
    if let Some(status) = decision.status {
        let mut deployment = deployment.as_ref().clone();
        deployment.status = Some(status);
        context.put_status(&context.stores.deployments, &deployment).await?;
    }
    Ok(None)
}

fn new_replica_set(deployment: &Deployment, revision: i64, hash: &str, size: i32) -> ReplicaSet {
    let Some(spec) = &deployment.spec else { return ReplicaSet::default() };
    let mut template = spec.template.clone();
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().insert(TEMPLATE_HASH.to_owned(), hash.to_owned());
    let labels = metadata.labels.clone();
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(TEMPLATE_HASH.to_owned(), hash.to_owned());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name_any())),
            namespace: deployment.namespace(),
            labels,
            annotations: Some([(REVISION.to_owned(), revision.to_string())].into()),
            owner_references: Some(vec![controller_reference(deployment)]),
            ..Default::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            selector,
            template: Some(template),
            min_ready_seconds: spec.min_ready_seconds,
        }),
        status: None,
    }
}
