//! Whole runs of the dispatcher against the API server in process.

mod cluster;
mod fleet_scale;
#[allow(dead_code, reason = "the measurement looks at more of it")]
mod kubelets;
mod pacing;
mod unreliable;

use apiserver::status::ApiError;
use apiserver::{Fault, Outcome};
use cluster::{Cluster, Failure, HANDLER, installation, job_of, jobs_path, names, removal};
use contract::{Code, Stage, State, label};
use fleet::selector::Selector;
use serde_json::json;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn once(names: Vec<String>) -> BTreeMap<String, usize> {
    names.into_iter().map(|name| (name, 1)).collect()
}

#[tokio::test]
async fn a_rollout_makes_one_job_a_node_and_keeps_its_pace() {
    let cluster = Cluster::start(12, BTreeMap::new()).await;
    let report = cluster.perform(&installation()).await.unwrap();
    assert_eq!((report.selected, report.done, report.failures, report.code), (12, 12, 0, None));

    let jobs = cluster.jobs().await;
    assert_eq!(jobs.len(), 12);
    assert!(jobs.iter().all(|job| job["metadata"]["ownerReferences"][0]["uid"] == "owner-1"));
    assert_eq!(cluster.jobs_a_node(), once(names(12)));
    assert_eq!(cluster.seen.lock().unwrap().most_unfinished, 4);

    let records = cluster.records().await;
    assert_eq!(records.keys().cloned().collect::<Vec<_>>(), names(12));
    for record in records.values() {
        assert_eq!((record.stage, record.state, record.code), (Stage::Label, State::Done, None));
        assert_eq!(record.handlers, [HANDLER]);
    }
    let installed: Vec<_> = names(12).into_iter().map(|name| (name, "HuskInstalled".to_owned())).collect();
    assert_eq!(cluster.events().await, installed);
}

#[tokio::test]
async fn a_failing_node_says_why_and_stops_nobody() {
    let failure =
        Failure { stage: Stage::Artifacts, code: Code::PAYLOAD_CORRUPT, message: "kernel.tar.zst ends early" };
    let cluster = Cluster::start(5, BTreeMap::from([("node-03", failure)])).await;
    let report = cluster.perform(&installation()).await.unwrap();
    assert_eq!((report.selected, report.done, report.failures), (5, 4, 1));
    assert_eq!(report.code, Some(Code::NODES_FAILED));
    let failed = &report.failed[0];
    assert_eq!(failed.node, "node-03");
    assert_eq!((failed.code, failed.message.as_str()), (Some(Code::PAYLOAD_CORRUPT), "kernel.tar.zst ends early"));

    let mut records = cluster.records().await;
    let record = records.remove("node-03").unwrap();
    assert_eq!((record.stage, record.state), (Stage::Artifacts, State::Failed));
    assert_eq!((record.code, record.message.as_str()), (Some(Code::PAYLOAD_CORRUPT), "kernel.tar.zst ends early"));
    assert_eq!(record.last_lines, ["artifacts begins on node-03", "and gives up"]);
    assert_eq!(records.len(), 4);
    assert!(records.values().all(|record| record.state == State::Done && record.last_lines.is_empty()));
    let reasons: Vec<String> = cluster.events().await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons.iter().filter(|reason| *reason == "HuskInstallFailed").count(), 1);
    assert_eq!(reasons.len(), 5);
}

#[tokio::test]
async fn a_job_of_somebody_else_keeps_its_name() {
    let cluster = Cluster::start(3, BTreeMap::new()).await;
    let mut theirs = job_of(&Stage::INSTALL);
    theirs["metadata"] = json!({"name": "kata-deploy-install-node-02"});
    let theirs = cluster.requests().create(&jobs_path(), theirs).await;
    let report = cluster.perform(&installation()).await.unwrap();
    assert_eq!((report.done, report.failures), (2, 1));
    assert_eq!((report.failed[0].node.as_str(), report.failed[0].code), ("node-02", Some(Code::JOB_NAME_TAKEN)));
    assert_eq!(Code::JOB_NAME_TAKEN.to_string(), "HUSK-3003");
    assert_eq!(cluster.records().await["node-02"].code, Some(Code::JOB_NAME_TAKEN));
    let jobs = cluster.jobs().await;
    assert!(jobs.iter().any(|job| job["metadata"]["uid"] == theirs["metadata"]["uid"]), "their Job was deleted");
}

#[tokio::test]
async fn jobs_of_an_earlier_dispatcher_go_before_new_ones_come() {
    let cluster = Cluster::start(4, BTreeMap::new()).await;
    // The earlier run had also reached a Node that is not there any more.
    let earlier = ["node-01", "node-02", "node-gone"];
    for node in earlier {
        let mut job = job_of(&Stage::INSTALL);
        job["metadata"] = json!({"name": format!("kata-deploy-install-{node}"),
            "labels": {label::JOB_OWNER: "dispatcher", label::JOB_NODE: node},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "dispatcher", "uid": "owner-0"}]});
        job["spec"]["template"]["spec"]["nodeName"] = node.into();
        cluster.requests().create(&jobs_path(), job).await;
    }
    cluster.until("the earlier Jobs have pods", |seen| seen.most_pods_on_a_node == 1 && seen.jobs.len() == 3).await;
    let report = cluster.perform(&installation()).await.unwrap();
    assert_eq!((report.selected, report.done), (4, 4));
    let jobs = cluster.jobs().await;
    assert_eq!(jobs.len(), 4);
    assert!(jobs.iter().all(|job| job["metadata"]["ownerReferences"][0]["uid"] == "owner-1"));
    let counts = cluster.jobs_a_node();
    let of = |node: &str| counts[node];
    assert_eq!(["node-01", "node-02", "node-03", "node-04", "node-gone"].map(of), [2, 2, 1, 1, 1]);
}

#[tokio::test]
async fn a_selection_that_stays_empty_says_why_of_each_node() {
    let cluster = Cluster::start(2, BTreeMap::new()).await;
    let taint = json!({"metadata": {"labels": {"pool": "kata"}},
        "spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}});
    cluster.requests().send("PATCH", "/api/v1/nodes/node-02", &taint).await.unwrap();
    let mut run = installation();
    run.settings.rules.selectors = vec![Selector::parse("pool=kata").unwrap()];
    run.wait_for_nodes = Duration::from_millis(400);
    let begun = Instant::now();
    let error = cluster.perform(&run).await.unwrap_err();
    assert!(begun.elapsed() >= run.wait_for_nodes);
    assert_eq!(error.code(), Code::NO_NODE_SELECTED);
    let text = error.to_string();
    let of = |node: &str| text.lines().find(|line| line.contains(node)).unwrap_or_default().to_owned();
    assert!(of("node-01").contains("pool"), "{text}");
    assert!(of("node-02").contains("gpu=yes:NoSchedule"), "{text}");
    assert!(cluster.jobs().await.is_empty());
}

#[tokio::test]
async fn a_removal_forgets_its_nodes() {
    let cluster = Cluster::start(3, BTreeMap::new()).await;
    cluster.perform(&installation()).await.unwrap();
    assert_eq!(cluster.records().await.len(), 3);
    let report = cluster.perform(&removal()).await.unwrap();
    assert_eq!((report.selected, report.done, report.code), (3, 3, None));
    assert_eq!(cluster.records().await, BTreeMap::new());
    let removed = cluster.events().await.into_iter().filter(|(_, reason)| reason == "HuskRemoved").count();
    assert_eq!(removed, 3);
}

#[tokio::test]
async fn a_run_that_died_is_taken_up_where_it_was() {
    let cluster = Cluster::start(12, BTreeMap::new()).await;
    let run = installation();
    tokio::select! {
        ended = cluster.perform(&run) => panic!("ended before it could be dropped: {ended:?}"),
        () = cluster.until("some nodes are done", |seen| seen.completed >= 3) => {}
    }
    assert!(cluster.jobs_a_node().len() < 12);
    let report = cluster.perform(&run).await.unwrap();
    assert_eq!((report.selected, report.done, report.code), (12, 12, None));
    assert_eq!(cluster.jobs_a_node(), once(names(12)));
    assert!(cluster.seen.lock().unwrap().most_unfinished <= 4);
    assert!(cluster.records().await.values().all(|record| record.state == State::Done));
}

#[tokio::test]
async fn broken_watches_and_refusals_are_survived() {
    let cluster = Cluster::start(8, BTreeMap::new()).await;
    let unavailable = ApiError::new(503, "ServiceUnavailable", "the server is currently unable to handle the request");
    let faults = cluster.server.faults();
    faults.add(Fault::on("create", "jobs", 3, Outcome::Fail(unavailable.clone())));
    faults.add(Fault::on("create", "jobs", 2, Outcome::LoseAnswer(unavailable.clone())));
    faults.add(Fault::on("create", "events", 2, Outcome::LoseAnswer(unavailable)));
    let broken = Cell::new(0);
    let breaking = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            faults.drop_watches(None);
            broken.set(broken.get() + 1);
        }
        std::future::pending::<()>().await;
    };
    let run = installation();
    let report = tokio::select! {
        report = cluster.perform(&run) => report.unwrap(),
        () = breaking => unreachable!("it never ends"),
    };
    assert!(broken.get() >= 2, "the run was over before its watches broke");
    assert_eq!((report.selected, report.done, report.code), (8, 8, None));
    assert_eq!(cluster.jobs_a_node(), once(names(8)));
    assert!(cluster.seen.lock().unwrap().most_unfinished <= 4);
    let records = cluster.records().await;
    assert_eq!(records.len(), 8);
    assert!(records.values().all(|record| record.state == State::Done && record.handlers == [HANDLER]));
    assert_eq!(cluster.events().await.len(), 8);
}
