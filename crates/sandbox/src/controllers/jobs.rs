//! The Job controller: runs [`crate::decide::job`], and removes Jobs whose time to live is over.

use super::{BY_OWNER, Context, controller_of, each};
use crate::decide::job::{TRACKING, decide};
use crate::decide::template::pod_of;
use crate::queue::Queue;
use crate::store::Key;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::ResourceExt;
use kube::api::DeleteParams;
use std::time::Duration;

/// Runs for ever.
pub(super) async fn run(context: Context) {
    let queue: Queue<Key> = Queue::new();
    // Pods whose Job is gone but which still wait to be counted.
    let orphans: Queue<Key> = Queue::new();

    let (jobs, pods) = (context.stores.jobs.subscribe(), context.stores.pods.subscribe());
    let on_job = {
        let (queue, orphans, stores) = (queue.clone(), orphans.clone(), context.stores.clone());
        each(jobs, move |change| {
            let Some(job) = change.latest() else { return };
            queue.add(Key::of(&job.metadata));
            if change.new.is_none() {
                for pod in stores.pods.by(BY_OWNER, job.metadata.uid.as_deref().unwrap_or_default()) {
                    orphans.add(Key::of(&pod.metadata));
                }
            }
        })
    };
    let on_pod = {
        let (queue, orphans, stores) = (queue.clone(), orphans.clone(), context.stores.clone());
        each(pods, move |change| {
            let Some(pod) = change.latest() else { return };
            let Some(owner) = controller_of(pod.as_ref()).filter(|owner| owner.kind == "Job") else { return };
            let job = Key::new(&pod.namespace().unwrap_or_default(), &owner.name);
            if stores.jobs.get(&job).is_some_and(|job| job.metadata.uid.as_ref() == Some(&owner.uid)) {
                queue.add(job);
            } else if change.new.is_some() {
                orphans.add(Key::of(&pod.metadata));
            }
        })
    };
    let on_orphan = {
        let context = context.clone();
        orphans.run("job-orphans", 1, move |key| {
            let context = context.clone();
            async move { release_orphan(&context, &key).await }
        })
    };
    let reconcile = queue.run("job", 4, move |key| {
        let context = context.clone();
        async move { reconcile(&context, &key).await }
    });
    tokio::join!(on_job, on_pod, on_orphan, reconcile);
}

async fn release_orphan(context: &Context, key: &Key) -> Result<Option<Duration>, kube::Error> {
    let Some(pod) = context.stores.pods.get(key) else { return Ok(None) };
    let Some(owner) = controller_of(pod.as_ref()) else { return Ok(None) };
    // Ask the API server: the Job may be newer than what the watch has brought.
    let job = context.api::<Job>(&key.namespace).get_opt(&owner.name).await?;
    if job.is_none_or(|job| job.metadata.uid.as_ref() != Some(&owner.uid)) {
        context.release(&pod, TRACKING).await?;
    }
    Ok(None)
}

async fn reconcile(context: &Context, key: &Key) -> Result<Option<Duration>, kube::Error> {
    let Some(job) = context.stores.jobs.get(key) else { return Ok(None) };
    let pods = context.stores.pods.by(BY_OWNER, job.metadata.uid.as_deref().unwrap_or_default());
    let decision = decide(&job, &pods, Timestamp::now(), context.backoff);
    let events = context.events.of("job-controller", "");
    if decision.expired {
        context.delete(&context.stores.jobs, job.as_ref(), DeleteParams::foreground()).await?;
        return Ok(None);
    }
    for _ in 0..decision.create {
        match context.create(&context.stores.pods, &new_pod(&job)).await {
            Ok(pod) => {
                events.say(job.as_ref(), "Normal", "SuccessfulCreate", format!("Created pod: {}", pod.name_any()))
            }
            Err(error) => {
                events.say(job.as_ref(), "Warning", "FailedCreate", format!("Error creating: {error}"));
                return Err(error);
            }
        }
    }
    for pod in pods.iter().filter(|pod| decision.delete.contains(&pod.name_any())) {
        context.delete(&context.stores.pods, pod.as_ref(), DeleteParams::default()).await?;
    }
    if let Some(status) = decision.status {
        let mut job = job.as_ref().clone();
        job.status = Some(status);
        context.put_status(&context.stores.jobs, &job).await?;
    }
    for (kind, reason, message) in decision.events {
        events.say(job.as_ref(), kind, reason, message);
    }
    for pod in pods.iter().filter(|pod| decision.release.contains(&pod.name_any())) {
        context.release(pod, TRACKING).await?;
    }
    Ok(decision.again)
}

fn new_pod(job: &Job) -> Pod {
    let empty = PodTemplateSpec::default();
    let template = job.spec.as_ref().map_or(&empty, |spec| &spec.template);
    let mut pod = pod_of(job, template);
    let labels = pod.metadata.labels.get_or_insert_default();
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    for prefix in ["", "batch.kubernetes.io/"] {
        labels.entry(format!("{prefix}job-name")).or_insert_with(|| name.clone());
        labels.entry(format!("{prefix}controller-uid")).or_insert_with(|| uid.clone());
    }
    pod.metadata.finalizers.get_or_insert_default().push(TRACKING.to_owned());
    pod
}
