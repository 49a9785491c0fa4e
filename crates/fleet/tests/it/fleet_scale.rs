//! Many nodes: what they cost the API server, and what goes wrong while they are rolled out.

use crate::cluster::{self, NAMESPACE};
use crate::kubelets::{Kubelets, node_of, template};
use crate::unreliable::Way;
use apiserver::ApiServer;
use contract::{FleetReport, label};
use fleet::pace::{Amount, Pace};
use fleet::run::Run;
use fleet::template::JobTemplate;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Longer than any of these takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

struct Fleet {
    server: ApiServer,
    admin: Client,
    kubelets: Kubelets,
    working: JoinHandle<()>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.working.abort();
    }
}

impl Fleet {
    async fn start(nodes: usize, takes: Duration) -> Fleet {
        let server = ApiServer::open(apiserver::Options::default()).unwrap();
        let admin = Client::new(server.into_service(), "default");
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(admin.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
        namespaces.create(&Default::default(), &namespace).await.unwrap();
        let kubelets = Kubelets::new(admin.clone(), NAMESPACE, takes);
        kubelets.make_nodes(nodes).await;
        let working = tokio::spawn(kubelets.clone().run());
        Fleet { server, admin, kubelets, working }
    }

    fn run(parallelism: usize) -> Run {
        let mut run = cluster::installation();
        run.settings.pace = Pace::plain(Amount::Number(parallelism));
        run.template = JobTemplate::parse(&template().to_string()).unwrap();
        run.claim = true;
        run
    }

    async fn perform(way: &Way, run: &Run) -> FleetReport {
        let client = Client::new(way.clone(), "default");
        let mut said = Vec::new();
        let mut say = |line| said.push(line);
        let result = tokio::time::timeout(PATIENCE, fleet::run::perform(&client, run, &mut say)).await;
        let tail = || said.iter().rev().take(40).rev().cloned().collect::<Vec<_>>().join("\n");
        result.unwrap_or_else(|_| panic!("the run did not end; it said:\n{}", tail())).unwrap()
    }

    /// Takes a Node away and makes another one like it.
    async fn replace(&self, old: &str, new: &str) {
        let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.admin.clone());
        let mut node = api.get(old).await.unwrap();
        api.delete(old, &DeleteParams::default()).await.unwrap();
        let labels = node.metadata.labels.take();
        node.metadata = kube::api::ObjectMeta { name: Some(new.to_owned()), labels, ..Default::default() };
        api.create(&Default::default(), &node).await.unwrap();
    }

    fn jobs(&self) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: "batch".into(),
            version: "v1".into(),
            api_version: "batch/v1".into(),
            kind: "Job".into(),
            plural: "jobs".into(),
        };
        Api::namespaced_with(self.admin.clone(), NAMESPACE, &resource)
    }

    /// Asserts that every node had exactly one Job, and `again` of them one more.
    fn assert_one_job_each(&self, nodes: usize, again: usize) {
        let seen = self.kubelets.seen();
        assert_eq!(seen.jobs.len(), nodes);
        let jobs: usize = seen.jobs.values().map(|jobs| jobs.len()).sum();
        assert!((nodes..=nodes + again).contains(&jobs), "{jobs} Jobs for {nodes} nodes, {again} were deleted");
        assert!(!seen.two_on_a_node, "two Jobs were at work on one node");
    }
}

#[tokio::test]
async fn a_node_costs_the_api_server_at_most_four_requests() {
    let nodes = 400;
    let fleet = Fleet::start(nodes, Duration::from_millis(5)).await;
    let way = Way::new(fleet.server.into_service(), 0);
    let report = Fleet::perform(&way, &Fleet::run(100)).await;
    assert_eq!((report.selected, report.done, report.code), (nodes, nodes, None));
    fleet.assert_one_job_each(nodes, 0);
    let total = way.total();
    assert!(total <= 4 * nodes, "{total} requests for {nodes} nodes: {:?}", way.counts);
    assert_eq!(way.counts.lock().unwrap()["POST jobs"], nodes, "one Job a node");
}

/// Everything at once, on few nodes; the same with many below.
#[tokio::test]
async fn a_rollout_survives_a_bad_day() {
    bad_day(60, 4).await;
}

#[tokio::test]
#[ignore = "takes minutes; .ci/run calls it"]
async fn five_hundred_nodes_survive_a_bad_day_and_fifty_deaths_of_their_dispatcher() {
    bad_day(500, 50).await;
}

/// One request in ten fails, watches break every so often, Jobs are deleted by hand, nodes go and are replaced, and the
/// dispatcher is killed again and again.
async fn bad_day(nodes: usize, kills: usize) {
    let fleet = Fleet::start(nodes, Duration::from_millis(30)).await;
    let way = Way::new(fleet.server.into_service(), 10);
    let run = Fleet::run((nodes / 20).max(4));
    let begun = Instant::now();
    let mut killed = 0;
    let mut deleted = 0;
    let mut replaced = false;
    let report = loop {
        // A life of the dispatcher lasts until some more nodes are through, the last one to the end.
        let goal = fleet.kubelets.seen().jobs.len() + (nodes / (kills + 1)).max(1);
        let trouble = async {
            loop {
                tokio::time::sleep(Duration::from_millis(40)).await;
                fleet.server.faults().drop_watches(None);
                if killed < kills && fleet.kubelets.seen().jobs.len() >= goal.min(nodes - 2) {
                    return;
                }
            }
        };
        tokio::select! {
            report = Fleet::perform(&way, &run) => break report,
            () = trouble => killed += 1,
        }
        if killed % 5 == 2 && deleted < nodes / 20 {
            // Somebody deletes a Job that is at work.
            let at_work = fleet.kubelets.seen().at_work.keys().next().cloned();
            let jobs = fleet.jobs().list(&ListParams::default()).await.unwrap();
            if let Some(job) = jobs.iter().find(|job| Some(node_of(job)) == at_work) {
                let _ = fleet.jobs().delete(&job.name_any(), &DeleteParams::foreground()).await;
                deleted += 1;
            }
        }
        if killed == kills / 2 && !replaced {
            replaced = true;
            // One is replaced under its name, the other comes back under another one.
            let last = format!("node-{:05}", nodes - 1);
            fleet.replace(&last, &last).await;
            fleet.replace("node-00000", "node-renamed").await;
        }
        assert!(begun.elapsed() < PATIENCE * 3, "killed {killed} times, and no end");
    };
    assert!(killed >= kills / 2, "the run was over after {killed} kills");
    assert_eq!((report.selected, report.done, report.code), (nodes, nodes, None), "{:?}", report.failed);
    fleet.kubelets.seen().jobs.remove("node-00000");
    fleet.assert_one_job_each(nodes, deleted + 1);
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(fleet.admin.clone(), NAMESPACE);
    let records = maps.list(&ListParams::default().labels(&format!("{}=true", label::NODE_RECORD))).await.unwrap();
    assert_eq!(records.items.len(), nodes, "the record of a node that is gone is gone, too");
    assert!(!records.iter().any(|map| map.name_any().ends_with("node-00000")));
}
