//! Hollow nodes: Nodes without a host behind them, for those who want thousands.
//!
//! Such a node has no disk, no systemd and no container runtime, and nothing runs on it. Its pods end well in name: a container that
//! is a stage of the installer leaves the report that the stage would leave where all is well, and the marks of the last stage are
//! put on the Node. So what is said of hollow nodes tells of the control plane and the dispatcher, and nothing of an installer. The
//! scheduler gives them no pod; they have those that name them, as per-node Jobs do.

use crate::controllers::Context;
use crate::store::{Change, Key};
use contract::{Stage, StageReport, State, label};
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};
use simhost::HostSpec;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What a hollow Node carries, so that nothing is scheduled to it.
pub const LABEL: &str = "husk/hollow";
/// How many requests are under way at a time.
const REQUESTS: usize = 32;
/// How long a pod takes.
const TAKES: Duration = Duration::from_millis(20);
/// How long is waited after a request that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Makes the Nodes that are not there yet.
pub(crate) async fn register(context: &Context, hosts: &[HostSpec]) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(context.client.clone());
    let known: HashSet<String> = context.stores.nodes.all().iter().map(|node| node.name_any()).collect();
    let missing = hosts.iter().filter(|host| !known.contains(&host.name));
    let making = missing.map(|host| {
        let nodes = nodes.clone();
        async move {
            let node = serde_json::from_value(node(host)).map_err(kube::Error::SerdeError)?;
            nodes.create(&PostParams::default(), &node).await.map(drop)
        }
    });
    futures::stream::iter(making.map(Ok)).try_for_each_concurrent(REQUESTS, |made| made).await
}

fn node(host: &HostSpec) -> Value {
    let (now, name, arch) = (Timestamp::now().to_string(), &host.name, host.arch.name());
    let mut labels = host.labels.clone();
    labels.insert(LABEL.to_owned(), "true".to_owned());
    for (key, value) in [("arch", arch), ("os", "linux"), ("hostname", name)] {
        labels.insert(format!("kubernetes.io/{key}"), value.to_owned());
    }
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "Hollow", "message": "there is no host behind this node",
                "lastHeartbeatTime": now, "lastTransitionTime": now}],
            "nodeInfo": {"architecture": arch, "operatingSystem": "linux", "osImage": "none (hollow)", "kernelVersion": "none",
                "kubeletVersion": "v1.34.2+hollow", "kubeProxyVersion": "", "bootID": "", "systemUUID": "",
                "containerRuntimeVersion": format!("containerd://{}", host.runtime_version()),
                "machineID": format!("{:032x}", crate::fnv::fnv32(name.as_bytes()))}}})
}

/// Runs for ever: ends the pods of these nodes.
pub(crate) async fn run(context: Context, hosts: Vec<HostSpec>) {
    let names: HashSet<String> = hosts.into_iter().map(|host| host.name).collect();
    let requests = Arc::new(Semaphore::new(REQUESTS));
    let mut begun: HashSet<String> = HashSet::new();
    let mut changes = context.stores.pods.subscribe();
    let mut working = JoinSet::new();
    while let Some(Change { old, new }) = changes.recv().await {
        while working.try_join_next().is_some() {}
        let uid = |pod: &Pod| pod.uid().unwrap_or_default();
        if let Some(old) = old.filter(|old| new.as_ref().is_none_or(|new| uid(new) != uid(old))) {
            begun.remove(&uid(&old));
        }
        let Some(pod) = new else { continue };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        if !names.contains(node) {
            continue;
        }
        let over = matches!(phase(&pod), "Succeeded" | "Failed");
        if pod.metadata.deletion_timestamp.is_some() {
            // A Job's pod waits for its Job to count it; nothing is to be ended here a second time.
            if pod.metadata.deletion_grace_period_seconds != Some(0) {
                working.spawn(until_done(context.clone(), requests.clone(), pod, remove));
            }
        } else if !over && begun.insert(uid(&pod)) {
            working.spawn(until_done(context.clone(), requests.clone(), pod, finish));
        }
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Does something to a pod, again until it succeeds or the pod is gone.
async fn until_done<F>(context: Context, requests: Arc<Semaphore>, pod: Arc<Pod>, act: fn(Context, Arc<Pod>) -> F)
where
    F: Future<Output = Result<(), kube::Error>>,
{
    loop {
        let turn = requests.acquire().await;
        let result = act(context.clone(), pod.clone()).await;
        drop(turn);
        match result {
            Ok(()) => return,
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
            Err(error) => tracing::debug!(%error, pod = %Key::of(&pod.metadata), "hollow pod not written yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn remove(context: Context, pod: Arc<Pod>) -> Result<(), kube::Error> {
    let api: Api<Pod> = context.api(&pod.namespace().unwrap_or_default());
    let this = Preconditions { uid: pod.uid(), resource_version: None };
    let now = DeleteParams { preconditions: Some(this), ..DeleteParams::default().grace_period(0) };
    api.delete(&pod.name_any(), &now).await.map(drop)
}

async fn finish(context: Context, pod: Arc<Pod>) -> Result<(), kube::Error> {
    tokio::time::sleep(TAKES).await;
    let spec = pod.spec.as_ref();
    let node = spec.and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    let marks = marks(&pod);
    if !marks.is_empty() {
        let nodes: Api<Node> = Api::all(context.client.clone());
        let patch = Patch::Merge(json!({"metadata": {"labels": marks}}));
        nodes.patch(node, &PatchParams::default(), &patch).await?;
    }
    let api: Api<Pod> = context.api(&pod.namespace().unwrap_or_default());
    let status = status(&pod, &Timestamp::now().to_string());
    let patch = Patch::Merge(json!({"metadata": {"uid": pod.uid()}, "status": status}));
    api.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await.map(drop)
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref();
    let inits = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
    inits.chain(spec.into_iter().flat_map(|spec| &spec.containers))
}

/// The stage that a container is, if it is one: `husk-node STAGE`.
fn stage(container: &Container) -> Option<Stage> {
    let mut words = container.command.iter().flatten().chain(container.args.iter().flatten());
    words.next().filter(|program| program.ends_with("husk-node"))?;
    words.next()?.parse().ok()
}

fn variable<'c>(container: &'c Container, name: &str) -> Option<&'c str> {
    container.env.iter().flatten().find(|variable| variable.name == name)?.value.as_deref()
}

fn install(pod: &Pod) -> &str {
    let suffix = containers(pod).find_map(|container| variable(container, "MULTI_INSTALL_SUFFIX"));
    label::install_name(suffix.unwrap_or_default())
}

/// The labels that the pod's stages put on their Node, or take off.
fn marks(pod: &Pod) -> BTreeMap<String, Option<&'static str>> {
    let value = match containers(pod).filter_map(stage).find(|stage| matches!(stage, Stage::Label | Stage::Unlabel)) {
        Some(Stage::Label) => Some("true"),
        Some(_) => None,
        None => return BTreeMap::new(),
    };
    [label::install_mark(install(pod)), label::KATA_RUNTIME.to_owned()].map(|key| (key, value)).into()
}

/// Handlers by the names that every installation gives them; those of debugging and of custom runtimes are left out.
fn handlers(pod: &Pod) -> Vec<String> {
    let shims = containers(pod).find_map(|container| variable(container, "SHIMS_X86_64")).unwrap_or_default();
    let suffix = match install(pod) {
        label::DEFAULT_INSTALL => String::new(),
        suffix => format!("-{suffix}"),
    };
    shims.split_whitespace().map(|shim| format!("kata-{shim}{suffix}")).collect()
}

/// The status of a pod whose containers are all through; of one that is to run for ever, that it runs.
fn status(pod: &Pod, now: &str) -> Value {
    let spec = pod.spec.as_ref();
    let node = spec.and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    let for_ever = spec.is_some_and(|spec| matches!(spec.restart_policy.as_deref(), None | Some("Always")));
    let told = |container: &Container| -> String {
        let Some(stage) = stage(container) else { return String::new() };
        let mut report = StageReport::new(node, install(pod), stage, State::Done);
        report.message = "in name only: the node is hollow".to_owned();
        if matches!(stage, Stage::Cri | Stage::Label) {
            report.handlers = handlers(pod);
        }
        report.to_termination_message()
    };
    let ended = |container: &Container, runs: bool| -> Value {
        let state = match runs {
            true => json!({"running": {"startedAt": now}}),
            false => json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": told(container),
                "startedAt": now, "finishedAt": now}}),
        };
        json!({"name": container.name, "image": container.image.clone().unwrap_or_default(), "imageID": "", "ready": runs,
            "started": runs, "restartCount": 0, "state": state})
    };
    let inits = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
    let inits: Vec<Value> = inits.map(|container| ended(container, false)).collect();
    let mains = spec.into_iter().flat_map(|spec| &spec.containers);
    let mains: Vec<Value> = mains.map(|container| ended(container, for_ever)).collect();
    let ready = if for_ever { "True" } else { "False" };
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": now});
    json!({"phase": if for_ever { "Running" } else { "Succeeded" }, "startTime": now,
        "conditions": [condition("Initialized", "True"), condition("Ready", ready), condition("ContainersReady", ready)],
        "initContainerStatuses": inits, "containerStatuses": mains})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(policy: &str, stages: &[&str]) -> Pod {
        let container = |stage: &&str| {
            json!({"name": stage, "image": "i", "command": ["/husk/husk-node", stage],
                "env": [{"name": "SHIMS_X86_64", "value": "qemu clh"}, {"name": "MULTI_INSTALL_SUFFIX", "value": "blue"}]})
        };
        let (last, inits) = stages.split_last().unwrap();
        let inits: Vec<Value> = inits.iter().map(container).collect();
        serde_json::from_value(
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "hollow-1", "restartPolicy": policy,
            "initContainers": inits, "containers": [container(last)]}}),
        )
        .unwrap()
    }

    fn reports(status: &Value) -> Vec<Option<StageReport>> {
        let statuses =
            ["initContainerStatuses", "containerStatuses"].map(|key| status[key].as_array().unwrap().clone());
        let text = |status: &Value| status["state"]["terminated"]["message"].as_str().unwrap().to_owned();
        statuses.iter().flatten().map(|status| StageReport::from_termination_message(&text(status))).collect()
    }

    #[test]
    fn stages_leave_the_reports_of_a_good_end_and_say_that_they_are_hollow() {
        let pod = pod("Never", &["copy-to", "host-check", "cri", "label"]);
        let status = status(&pod, "2026-01-01T00:00:00Z");
        assert_eq!(status["phase"], "Succeeded");
        let reports = reports(&status);
        assert!(reports[0].is_none(), "the first container is no stage");
        let last = reports[3].as_ref().unwrap();
        assert_eq!((last.stage, last.state, last.install.as_str()), (Stage::Label, State::Done, "blue"));
        assert_eq!(last.handlers, ["kata-qemu-blue", "kata-clh-blue"]);
        assert!(reports[1..].iter().flatten().all(|report| report.message.contains("hollow")));
        let wanted = [("kata-deploy.katacontainers.io/blue", Some("true")), (label::KATA_RUNTIME, Some("true"))];
        assert_eq!(marks(&pod), wanted.map(|(key, value)| (key.to_owned(), value)).into());
    }

    #[test]
    fn removal_takes_the_marks_off() {
        let pod = pod("Never", &["unlabel", "revert-cri", "remove-artifacts"]);
        assert!(marks(&pod).values().all(Option::is_none) && marks(&pod).len() == 2);
        assert!(reports(&status(&pod, "2026-01-01T00:00:00Z")).iter().all(Option::is_some));
    }

    #[test]
    fn what_runs_for_ever_runs() {
        let status = status(&pod("Always", &["copy-to", "install"]), "2026-01-01T00:00:00Z");
        assert_eq!((&status["phase"], &status["containerStatuses"][0]["ready"]), (&json!("Running"), &json!(true)));
    }
}
