//! A cluster for tests: the API server in process, and a Job controller with kubelets that play written fates.

use apiserver::status::ApiError;
use apiserver::{ApiServer, Kubelets, LogQuery};
use axum::body::Body;
use contract::{Code, NodeRecord, Stage, StageReport, State, label};
use fleet::pace::{Amount, Pace};
use fleet::plan::Settings;
use fleet::run::Run;
use fleet::selection::Rules;
use fleet::template::{JobTemplate, Owner, OwnerKind};
use futures::future::BoxFuture;
use kube::Client;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

pub(crate) const NAMESPACE: &str = "kata";
/// The handler that every installed node reports.
pub(crate) const HANDLER: &str = "kata-qemu";
/// Between two looks of the controller.
const TICK: Duration = Duration::from_millis(20);

/// How a node's Job fails; a node without one converges.
#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) code: Code,
    pub(crate) message: &'static str,
}

/// What the controller has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// The identities of every Job that ever was, by its node.
    pub(crate) jobs: BTreeMap<String, BTreeSet<String>>,
    /// The most Jobs that were unfinished at the same time.
    pub(crate) most_unfinished: usize,
    /// The nodes whose Jobs were unfinished at the same time, each time that somebody looked.
    pub(crate) together: BTreeSet<BTreeSet<String>>,
    /// The most pods that were at work on one node at the same time.
    pub(crate) most_pods_on_a_node: usize,
    /// Jobs that ended well.
    pub(crate) completed: usize,
    /// A controller that cannot go on says why here.
    pub(crate) broken: Option<String>,
}

pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    pub(crate) client: Client,
    pub(crate) seen: Arc<Mutex<Seen>>,
    controller: JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

impl Cluster {
    /// Starts a cluster with the Nodes `node-01`, `node-02`, …, some of which fail.
    pub(crate) async fn start(nodes: usize, failures: BTreeMap<&'static str, Failure>) -> Cluster {
        let server = ApiServer::open(apiserver::Options::default()).unwrap();
        server.set_kubelets(Arc::new(Logs));
        let client = Client::new(server.into_service(), "default");
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let controller =
            Controller { requests: Requests(client.clone()), failures, steps: HashMap::new(), reports: seen.clone() };
        let cluster = Cluster { server, client, seen, controller: tokio::spawn(controller.run()) };
        let requests = cluster.requests();
        requests
            .create(
                "/api/v1/namespaces",
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
            )
            .await;
        for number in 1..=nodes {
            // Every Node that a real API server answers has a `spec`, if an empty one.
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{number:02}")},
                "spec": {}});
            requests.create("/api/v1/nodes", node).await;
        }
        cluster
    }

    pub(crate) fn requests(&self) -> Requests {
        Requests(self.client.clone())
    }

    /// Carries a run out; a run that does not end is a failed test.
    pub(crate) async fn perform(&self, run: &Run) -> Result<contract::FleetReport, fleet::Error> {
        let mut lines = Vec::new();
        let mut say = |line| lines.push(line);
        let performed = fleet::run::perform(&self.client, run, &mut say);
        let result = tokio::time::timeout(Duration::from_secs(20), performed).await;
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.broken, None, "the controller of the test is broken");
        assert!(seen.most_pods_on_a_node <= 1, "two pods were at work on one node");
        result.unwrap_or_else(|_| panic!("the run did not end; it said:\n{}", lines.join("\n")))
    }

    /// Waits until the controller has seen something.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        for _ in 0..250 {
            if holds(&self.seen.lock().unwrap()) {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
        panic!("it never came so far that {what}");
    }

    /// The records of the cluster, by node.
    pub(crate) async fn records(&self) -> BTreeMap<String, NodeRecord> {
        let maps = self.requests().list(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps")).await.unwrap();
        let ours = maps.into_iter().filter(|map| map["metadata"]["labels"][label::NODE_RECORD] == "true");
        ours.map(|map| {
            let record: NodeRecord =
                serde_json::from_str(map["data"][label::NODE_RECORD_KEY].as_str().unwrap()).unwrap();
            (record.node.clone(), record)
        })
        .collect()
    }

    /// The Events about Nodes: node and reason, sorted.
    pub(crate) async fn events(&self) -> Vec<(String, String)> {
        let events = self.requests().list("/api/v1/namespaces/default/events").await.unwrap();
        let about_nodes = events.iter().filter(|event| event["involvedObject"]["kind"] == "Node");
        let mut pairs: Vec<(String, String)> =
            about_nodes.map(|event| (text(&event["involvedObject"]["name"]), text(&event["reason"]))).collect();
        pairs.sort();
        pairs
    }

    /// The Jobs in the API.
    pub(crate) async fn jobs(&self) -> Vec<Value> {
        self.requests().list(&jobs_path()).await.unwrap()
    }

    /// How many Jobs every node ever had, for the nodes that had any.
    pub(crate) fn jobs_a_node(&self) -> BTreeMap<String, usize> {
        self.seen.lock().unwrap().jobs.iter().map(|(node, jobs)| (node.clone(), jobs.len())).collect()
    }
}

/// The names of the Nodes `node-01` to the one of this number.
pub(crate) fn names(nodes: usize) -> Vec<String> {
    (1..=nodes).map(|number| format!("node-{number:02}")).collect()
}

/// An installation over every Node, four at once.
pub(crate) fn installation() -> Run {
    run(
        "kata-deploy-install",
        &Stage::INSTALL,
        Owner { kind: OwnerKind::Job, name: "dispatcher".into(), uid: "owner-1".into() },
        false,
    )
}

/// A removal from every Node.
pub(crate) fn removal() -> Run {
    run(
        "kata-deploy-cleanup",
        &Stage::REMOVE,
        Owner { kind: OwnerKind::Job, name: "cleaner".into(), uid: "owner-2".into() },
        true,
    )
}

fn run(prefix: &str, stages: &[Stage], owner: Owner, removal: bool) -> Run {
    let settings = Settings {
        rules: Rules { tolerations: Some(Vec::new()), ..Rules::default() },
        prefix: prefix.to_owned(),
        owner,
        pace: Pace::plain(Amount::Number(4)),
        removal,
        install: label::DEFAULT_INSTALL.to_owned(),
        handlers: Vec::new(),
        ready_wait: 0,
        absent_wait: 0,
        late: None,
    };
    let template = JobTemplate::parse(&job_of(stages).to_string()).unwrap();
    Run::new(settings, template, NAMESPACE.to_owned())
}

/// A per-node Job with these stages, without a name.
pub(crate) fn job_of(stages: &[Stage]) -> Value {
    let mut containers: Vec<Value> =
        stages.iter().map(|stage| json!({"name": stage.name(), "image": "husk-node"})).collect();
    let last = containers.pop().unwrap();
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {},
        "spec": {"backoffLimit": 0, "template": {"metadata": {}, "spec": {
            "restartPolicy": "Never", "initContainers": containers, "containers": [last]}}}})
}

/// Plain requests.
#[derive(Clone)]
pub(crate) struct Requests(Client);

impl Requests {
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> kube::Result<Value> {
        let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = axum::http::Request::builder().method(method).uri(path).header("Content-Type", content);
        self.0.request(request.body(body).unwrap()).await
    }

    pub(crate) async fn create(&self, path: &str, object: Value) -> Value {
        self.send("POST", path, &object).await.unwrap()
    }

    async fn list(&self, path: &str) -> kube::Result<Vec<Value>> {
        let list = self.send("GET", path, &Value::Null).await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }
}

pub(crate) fn jobs_path() -> String {
    format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs")
}

fn pods_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Job controller, garbage collector and kubelets in one.
struct Controller {
    requests: Requests,
    failures: BTreeMap<&'static str, Failure>,
    /// How many stages of a Job, by its identity, are over.
    steps: HashMap<String, usize>,
    reports: Arc<Mutex<Seen>>,
}

impl Controller {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(TICK).await;
            match self.look().await {
                // A namespace that is not there yet, or two writers at once: the next look sees what is.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => self.reports.lock().unwrap().broken = Some(error.to_string()),
                Ok(()) => {}
            }
        }
    }

    async fn look(&mut self) -> kube::Result<()> {
        for job in self.observed().await? {
            if job["metadata"]["labels"][label::JOB_OWNER].is_null() || finished(&job) && !deleting(&job) {
                continue;
            }
            if deleting(&job) {
                self.collect(&job).await?
            } else {
                self.step(&job).await?
            }
            self.observed().await?; // this Job may have made room for others
        }
        Ok(())
    }

    /// Lists the Jobs and counts.
    async fn observed(&self) -> kube::Result<Vec<Value>> {
        let jobs = self.requests.list(&jobs_path()).await?;
        let pods = self.requests.list(&pods_path()).await?;
        let mut seen = self.reports.lock().unwrap();
        let ours = || jobs.iter().filter(|job| job["metadata"]["labels"][label::JOB_OWNER].is_string());
        for job in ours() {
            seen.jobs.entry(node_of(job)).or_default().insert(text(&job["metadata"]["uid"]));
        }
        seen.most_unfinished = seen.most_unfinished.max(ours().filter(|job| !finished(job)).count());
        seen.together.insert(ours().filter(|job| !finished(job)).map(node_of).collect());
        let mut at_work: BTreeMap<String, usize> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| pod["status"]["phase"] == "Running") {
            *at_work.entry(text(&pod["spec"]["nodeName"])).or_default() += 1;
        }
        seen.most_pods_on_a_node = seen.most_pods_on_a_node.max(at_work.into_values().max().unwrap_or(0));
        Ok(jobs)
    }

    /// Deletes a Job's pods, and at the next look the Job.
    async fn collect(&self, job: &Value) -> kube::Result<()> {
        let pods = self.requests.list(&pods_path()).await?;
        let uid = &job["metadata"]["uid"];
        let theirs = pods.iter().filter(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == *uid);
        let theirs: Vec<String> = theirs.map(|pod| text(&pod["metadata"]["name"])).collect();
        if theirs.is_empty() {
            let path = format!("{}/{}", jobs_path(), text(&job["metadata"]["name"]));
            self.requests.send("PATCH", &path, &json!({"metadata": {"finalizers": null}})).await?;
        }
        for pod in theirs {
            let now = json!({"gracePeriodSeconds": 0});
            self.requests.send("DELETE", &format!("{}/{pod}", pods_path()), &now).await?;
        }
        Ok(())
    }

    /// Lets one more stage of a Job's pod end; after the last one the Job ends.
    async fn step(&mut self, job: &Value) -> kube::Result<()> {
        let uid = text(&job["metadata"]["uid"]);
        let name = text(&job["metadata"]["name"]);
        let pod_name = format!("{name}-{}", &uid[..5]);
        let step = match self.steps.get(&uid) {
            Some(step) => *step,
            None => {
                let template = &job["spec"]["template"];
                let mut metadata = template["metadata"].clone();
                metadata["name"] = pod_name.clone().into();
                metadata["ownerReferences"] =
                    json!([{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true}]);
                let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
                self.requests.send("POST", &pods_path(), &pod).await?;
                0
            }
        };
        let node = node_of(job);
        let stages = stages_of(job);
        let failure = self.failures.get(node.as_str());
        let failed = failure.is_some_and(|failure| stages[..step].contains(&failure.stage));
        let (status, over) = pod_status(&node, &stages, step, failure);
        self.requests.send("PATCH", &format!("{}/{pod_name}/status", pods_path()), &json!({"status": status})).await?;
        self.steps.insert(uid, step + 1);
        if over {
            let (kind, reason) = if failed { ("Failed", "BackoffLimitExceeded") } else { ("Complete", "") };
            let conditions = json!([{"type": kind, "status": "True", "reason": reason}]);
            let path = format!("{}/{name}/status", jobs_path());
            self.requests.send("PATCH", &path, &json!({"status": {"conditions": conditions}})).await?;
            self.reports.lock().unwrap().completed += usize::from(!failed);
        }
        Ok(())
    }
}

/// The status of a pod in which so many stages are over, and whether the pod is.
fn pod_status(node: &str, stages: &[Stage], step: usize, failure: Option<&Failure>) -> (Value, bool) {
    let failed_at = failure.and_then(|failure| stages[..step].iter().position(|stage| *stage == failure.stage));
    let mut statuses: Vec<Value> = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        let ended = |exit: i32, report: &StageReport| {
            json!({"terminated": {"exitCode": exit, "reason": if exit == 0 { "Completed" } else { "Error" },
                "message": report.to_termination_message()}})
        };
        let state = match failure {
            Some(failure) if failed_at == Some(index) => {
                let mut report = StageReport::new(node, label::DEFAULT_INSTALL, *stage, State::Failed);
                report.code = Some(failure.code);
                report.message = failure.message.to_owned();
                ended(1, &report)
            }
            _ if failed_at.is_none_or(|at| index < at) && index < step => {
                let mut report = StageReport::new(node, label::DEFAULT_INSTALL, *stage, State::Done);
                if *stage == Stage::Cri {
                    report.handlers = vec![HANDLER.to_owned()];
                }
                ended(0, &report)
            }
            _ if failed_at.is_none() && index == step => json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}),
            _ => json!({"waiting": {"reason": "PodInitializing"}}),
        };
        let ready = state["terminated"]["exitCode"] == 0;
        statuses.push(json!({"name": stage.name(), "image": "husk-node", "imageID": "husk-node", "ready": ready,
            "restartCount": 0, "state": state}));
    }
    let phase = match failed_at {
        Some(_) => "Failed",
        None if step >= stages.len() => "Succeeded",
        None => "Running",
    };
    let main = statuses.pop();
    (json!({"phase": phase, "initContainerStatuses": statuses, "containerStatuses": [main]}), phase != "Running")
}

fn stages_of(job: &Value) -> Vec<Stage> {
    let spec = &job["spec"]["template"]["spec"];
    let lists = ["initContainers", "containers"].into_iter().flat_map(|key| spec[key].as_array().into_iter().flatten());
    lists.map(|container| container["name"].as_str().unwrap().parse().unwrap()).collect()
}

fn node_of(job: &Value) -> String {
    text(&job["spec"]["template"]["spec"]["nodeName"])
}

fn deleting(job: &Value) -> bool {
    job["metadata"]["deletionTimestamp"].is_string()
}

fn finished(job: &Value) -> bool {
    job["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty())
}

/// Every container printed two lines.
struct Logs;

impl Kubelets for Logs {
    fn logs(&self, pod: Value, query: LogQuery) -> BoxFuture<'static, Result<Body, ApiError>> {
        let text = format!("{} begins on {}\nand gives up\n", query.container, text(&pod["spec"]["nodeName"]));
        Box::pin(async move { Ok(Body::from(text)) })
    }

    fn proxy(&self, _: Value, _: String, _: HashMap<String, String>) -> BoxFuture<'static, Result<Body, ApiError>> {
        Box::pin(async { Ok(Body::empty()) })
    }
}
