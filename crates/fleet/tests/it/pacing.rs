//! The pace that the administrator asks for, seen from the cluster: canaries, zones, control planes, pauses, drains.

use crate::cluster::{Cluster, NAMESPACE, installation, jobs_path, names};
use contract::label;
use fleet::pace::{Amount, Sandboxes};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is something.
async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "it never came so far that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn canaries_come_first_zones_are_spared_and_control_planes_come_last() {
    let cluster = Cluster::start(8, BTreeMap::new()).await;
    for number in 1..=8 {
        let mut labels = json!({"topology.kubernetes.io/zone": format!("zone-{}", number % 2)});
        if number == 1 {
            labels["node-role.kubernetes.io/control-plane"] = "".into();
        }
        let patch = json!({"metadata": {"labels": labels}});
        // A Node counts as unavailable unless it is Ready.
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let path = format!("/api/v1/nodes/node-{number:02}");
        cluster.requests().send("PATCH", &path, &patch).await.unwrap();
        cluster.requests().send("PATCH", &format!("{path}/status"), &ready).await.unwrap();
    }
    let mut run = installation();
    run.settings.pace.canary = Some(Amount::Number(1));
    run.settings.pace.unavailable = Some(Amount::Number(1));
    run.settings.pace.control_plane_last = true;
    let report = cluster.perform(&run).await.unwrap();
    assert_eq!((report.selected, report.done, report.code), (8, 8, None));
    let together = cluster.seen.lock().unwrap().together.clone();
    for nodes in &together {
        let zones: BTreeSet<bool> = nodes.iter().map(|node| node.ends_with(['1', '3', '5', '7'])).collect();
        assert_eq!(zones.len(), nodes.len(), "two of a zone at once: {nodes:?}");
        assert!(!nodes.contains("node-01") || nodes.len() == 1, "the control plane was not alone: {nodes:?}");
    }
    let alone = together.iter().filter(|nodes| nodes.len() == 1 && !nodes.contains("node-01")).count();
    assert!(alone >= 1, "nobody went first: {together:?}");
    assert_eq!(cluster.jobs_a_node().into_keys().collect::<Vec<_>>(), names(8));
}

#[tokio::test]
async fn a_paused_rollout_begins_nothing_until_it_is_told() {
    let cluster = Cluster::start(3, BTreeMap::new()).await;
    let mut own = crate::cluster::job_of(&[contract::Stage::Label]);
    own["metadata"] = json!({"name": "dispatcher"});
    cluster.requests().create(&jobs_path(), own).await;
    let mut run = installation();
    run.paused = true;
    let resume = async {
        // Long enough for somebody who does not wait.
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(cluster.jobs_a_node().is_empty(), "a node was begun while the rollout was paused");
        let resume = json!({"metadata": {"annotations": {label::ORDER: "resume"}}});
        cluster.requests().send("PATCH", &format!("{}/dispatcher", jobs_path()), &resume).await.unwrap();
    };
    let (report, ()) = tokio::join!(cluster.perform(&run), resume);
    let report = report.unwrap();
    assert_eq!((report.selected, report.done, report.code), (3, 3, None));
}

#[tokio::test]
async fn a_node_with_sandboxes_is_drained_first_and_given_back() {
    let cluster = Cluster::start(2, BTreeMap::new()).await;
    let requests = cluster.requests();
    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "kata-qemu"},
        "handler": "kata-qemu"});
    requests.create("/apis/node.k8s.io/v1/runtimeclasses", class).await;
    let guests = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let guest = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guest"},
        "spec": {"nodeName": "node-02", "runtimeClassName": "kata-qemu", "containers": [{"name": "c", "image": "i"}]}});
    requests.create(&guests, guest).await;
    let mut run = installation();
    run.settings.pace.sandboxes = Sandboxes::Drain;
    let read = async |path: &str| -> Option<Value> { requests.send("GET", path, &Value::Null).await.ok() };
    let kubelet = async {
        let asked = async || {
            let guest = read(&format!("{guests}/guest")).await?;
            guest["metadata"]["deletionTimestamp"].is_string().then_some(())
        };
        until("the guest is asked to go", asked).await;
        let node = read("/api/v1/nodes/node-02").await.unwrap();
        assert_eq!(node["spec"]["unschedulable"], true, "it was not cordoned");
        assert!(!cluster.jobs_a_node().contains_key("node-02"), "it was begun with a guest on it");
        let now = json!({"gracePeriodSeconds": 0});
        requests.send("DELETE", &format!("{guests}/guest"), &now).await.unwrap();
    };
    let (report, ()) = tokio::join!(cluster.perform(&run), kubelet);
    let report = report.unwrap();
    assert_eq!((report.selected, report.done, report.code), (2, 2, None));
    for node in ["node-01", "node-02"] {
        let node = read(&format!("/api/v1/nodes/{node}")).await.unwrap();
        assert!(node["spec"]["unschedulable"].is_null() && node["metadata"]["annotations"][label::CORDONED].is_null());
    }
}
