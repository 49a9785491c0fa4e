//! Ten thousand kubelets and a Job controller in a few lines: every Job's pod runs for a moment and ends well.
//!
//! They listen to one watch and speak as the administrator, so that what the dispatcher asks for can be counted apart.

use contract::{Stage, StageReport, State, label};
use futures::{StreamExt, TryStreamExt};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What was seen of the Jobs.
#[derive(Default)]
pub(crate) struct Seen {
    /// The identities of every Job that ever was, by its node.
    pub(crate) jobs: BTreeMap<String, BTreeSet<String>>,
    /// Jobs at work now, by node.
    pub(crate) at_work: BTreeMap<String, BTreeSet<String>>,
    /// The most Jobs that were at work at the same time.
    pub(crate) most_at_work: usize,
    /// Whether two were ever at work on one node.
    pub(crate) two_on_a_node: bool,
}

#[derive(Clone)]
pub(crate) struct Kubelets {
    client: Client,
    namespace: String,
    /// How long a Job takes.
    takes: Duration,
    pub(crate) seen: Arc<Mutex<Seen>>,
    requests: Arc<Semaphore>,
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: if group.is_empty() { version.into() } else { format!("{group}/{version}") },
        kind: kind.into(),
        plural: plural.into(),
    }
}

impl Kubelets {
    pub(crate) fn new(client: Client, namespace: &str, takes: Duration) -> Self {
        let namespace = namespace.to_owned();
        Kubelets { client, namespace, takes, seen: Arc::default(), requests: Arc::new(Semaphore::new(64)) }
    }

    pub(crate) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn jobs(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource("batch", "v1", "Job", "jobs"))
    }

    fn pods(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource("", "v1", "Pod", "pods"))
    }

    /// Makes Nodes with about as many labels as real ones have.
    pub(crate) async fn make_nodes(&self, count: usize) {
        let nodes: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource("", "v1", "Node", "nodes"));
        let each = (0..count).map(|number| {
            let nodes = nodes.clone();
            async move {
                let mut labels: BTreeMap<String, String> =
                    (0..18).map(|n| (format!("example.com/label-{n:02}"), format!("value-{n:02}"))).collect();
                labels.insert("kubernetes.io/hostname".into(), format!("node-{number:05}"));
                labels.insert("topology.kubernetes.io/zone".into(), format!("zone-{}", number % 3));
                let node = json!({"apiVersion": "v1", "kind": "Node",
                    "metadata": {"name": format!("node-{number:05}"), "labels": labels}, "spec": {},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}],
                        "nodeInfo": {"containerRuntimeVersion": "containerd://2.1.4", "machineID": format!("{number:032}")}}});
                let node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
                nodes.create(&PostParams::default(), &node).await.map(drop)
            }
        });
        futures::stream::iter(each).map(Ok::<_, kube::Error>).try_for_each_concurrent(32, |made| made).await.unwrap();
    }

    /// Works until it is dropped.
    pub(crate) async fn run(self) {
        self.follow(true).await;
    }

    /// Only counts, until it is dropped: where a real controller makes the pods.
    pub(crate) async fn count(self) {
        self.follow(false).await;
    }

    async fn follow(self, work: bool) {
        let owned = watcher::Config::default().labels(label::JOB_OWNER);
        let mut news = std::pin::pin!(watcher(self.jobs(), owned).default_backoff());
        let mut begun: BTreeSet<String> = BTreeSet::new();
        while let Some(heard) = news.next().await {
            let job = match heard {
                Ok(watcher::Event::Apply(job) | watcher::Event::InitApply(job)) => job,
                Ok(watcher::Event::Delete(job)) => {
                    self.ended(&job);
                    continue;
                }
                _ => continue,
            };
            let uid = job.uid().unwrap_or_default();
            if job.metadata.deletion_timestamp.is_some() {
                if !work {
                    continue;
                }
                tokio::spawn(self.clone().collect(job));
            } else if begun.insert(uid) {
                self.began(&job);
                if !work {
                    continue;
                }
                let kubelets = self.clone();
                tokio::spawn(async move {
                    // A Job that is deleted meanwhile makes some of this fail.
                    let _ = kubelets.work(&job).await;
                    kubelets.ended(&job);
                });
            }
        }
    }

    fn began(&self, job: &DynamicObject) {
        let (node, uid) = (node_of(job), job.uid().unwrap_or_default());
        let mut seen = self.seen();
        seen.jobs.entry(node.clone()).or_default().insert(uid.clone());
        let on_node = seen.at_work.entry(node).or_default();
        on_node.insert(uid);
        let two = on_node.len() > 1;
        seen.two_on_a_node |= two;
        seen.most_at_work = seen.most_at_work.max(seen.at_work.len());
    }

    fn ended(&self, job: &DynamicObject) {
        let (node, uid) = (node_of(job), job.uid().unwrap_or_default());
        let mut seen = self.seen();
        if let Some(on_node) = seen.at_work.get_mut(&node) {
            on_node.remove(&uid);
            if on_node.is_empty() {
                seen.at_work.remove(&node);
            }
        }
    }

    async fn work(&self, job: &DynamicObject) -> kube::Result<()> {
        let (node, name, uid) = (node_of(job), job.name_any(), job.uid().unwrap_or_default());
        let pod_name = pod_name(job);
        let spec = &job.data["spec"]["template"];
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod_name,
                "labels": spec["metadata"]["labels"],
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true}]},
            "spec": spec["spec"]});
        let pod: DynamicObject = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
        {
            let _turn = self.requests.acquire().await;
            self.pods().create(&PostParams::default(), &pod).await?;
        }
        tokio::time::sleep(self.takes).await;
        let _turn = self.requests.acquire().await;
        let mut report = StageReport::new(&node, label::DEFAULT_INSTALL, Stage::Label, State::Done);
        report.handlers = vec!["kata-qemu".to_owned()];
        let ended = json!({"status": {"phase": "Succeeded", "containerStatuses": [{"name": "label", "image": "i",
            "imageID": "i", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "message": report.to_termination_message()}}}]}});
        let parameters = PatchParams::default();
        self.pods().patch_status(&pod_name, &parameters, &Patch::Merge(ended)).await?;
        let done = json!({"metadata": {"uid": uid}, "status": {"succeeded": 1,
            "conditions": [{"type": "Complete", "status": "True"}]}});
        self.jobs().patch_status(&name, &parameters, &Patch::Merge(done)).await.map(drop)
    }

    /// What foreground deletion asks for: the pod goes, then the Job.
    async fn collect(self, job: DynamicObject) {
        let now = DeleteParams::default().grace_period(0);
        let _ = self.pods().delete(&pod_name(&job), &now).await;
        let free = Patch::Merge(json!({"metadata": {"uid": job.uid(), "finalizers": null}}));
        let _ = self.jobs().patch(&job.name_any(), &PatchParams::default(), &free).await;
    }
}

fn pod_name(job: &DynamicObject) -> String {
    format!("{}-{}", job.name_any(), &job.uid().unwrap_or_default()[..5])
}

pub(crate) fn node_of(job: &DynamicObject) -> String {
    job.data["spec"]["template"]["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()
}

/// A per-node Job without a name, of one stage.
pub(crate) fn template() -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {},
        "spec": {"backoffLimit": 0, "template": {"metadata": {}, "spec": {"restartPolicy": "Never",
            "containers": [{"name": "label", "image": "husk-node"}]}}}})
}
