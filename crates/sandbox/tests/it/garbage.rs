//! Owners and dependents, and namespaces that go with all they hold.

use crate::world::{World, container, has_condition, job};
use kube::api::DeleteParams;
use serde_json::{Value, json};

async fn family(world: &World, name: &str) {
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let uid = world.create(owner).await["metadata"]["uid"].clone();
    let reference =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "blockOwnerDeletion": true});
    let child = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": format!("{name}-child"), "ownerReferences": [reference]}});
    world.create(child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_follow_or_stay_as_asked() {
    let world = World::new("k8s:1").await;
    for name in ["background", "foreground", "orphan"] {
        family(&world, name).await;
    }
    let (owners, children) = (world.api("ConfigMap"), world.api("Secret"));
    owners.delete("background", &DeleteParams::background()).await.unwrap();
    world.until(&children, "background-child", Value::is_null).await;
    owners.delete("foreground", &DeleteParams::foreground()).await.unwrap();
    world.until(&owners, "foreground", Value::is_null).await;
    assert!(children.get_opt("foreground-child").await.unwrap().is_none(), "the dependent goes first");
    owners.delete("orphan", &DeleteParams::orphan()).await.unwrap();
    world.until(&owners, "orphan", Value::is_null).await;
    let orphan = world.until(&children, "orphan-child", |child| child["metadata"]["ownerReferences"].is_null()).await;
    assert!(orphan.is_object());
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_job_takes_its_running_pod_along() {
    let world = World::new("k8s:1").await;
    let pod = json!({"containers": [container("main", &["sleep", "600"])], "terminationGracePeriodSeconds": 1});
    world.create(job("j", json!({}), pod)).await;
    world.until_all(&world.api("Pod"), |pods| pods.iter().any(|pod| pod["status"]["phase"] == "Running")).await;
    world.api("Job").delete("j", &DeleteParams::background()).await.unwrap();
    world.until_all(&world.api("Pod"), <[Value]>::is_empty).await;
    let pods = std::fs::read_dir(world.dir.path().join("hosts/k8s-1/pods")).unwrap();
    assert_eq!(pods.count(), 0, "nothing is left of the pod on its host");
    world.create(job("short", json!({}), json!({"containers": [container("main", &["say", "x"])]}))).await;
    world.until(&world.api("Job"), "short", |job| has_condition(job, "Complete")).await;
    let logs = || std::fs::read_dir(world.dir.path().join("logs")).unwrap().count();
    assert_eq!(logs(), 1, "a finished pod keeps its log");
    world.api("Job").delete("short", &DeleteParams::background()).await.unwrap();
    world.until_all(&world.api("Pod"), <[Value]>::is_empty).await;
    for _ in 0..500 {
        if logs() == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(logs(), 0, "and loses it with its object");
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_comes_furnished_and_goes_empty() {
    let world = World::new("k8s:1").await;
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})).await;
    let bundle = world.until(&world.api_in("ns", "ConfigMap"), "kube-root-ca.crt", Value::is_object).await;
    assert!(bundle["data"]["ca.crt"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
    world.until(&world.api_in("ns", "ServiceAccount"), "default", Value::is_object).await;
    let mut job = job(
        "j",
        json!({}),
        json!({"containers": [container("main", &["sleep", "600"])], "terminationGracePeriodSeconds": 1}),
    );
    job["metadata"]["namespace"] = json!("ns");
    world.create(job).await;
    world
        .until_all(&world.api_in("ns", "Pod"), |pods| pods.iter().any(|pod| pod["status"]["phase"] == "Running"))
        .await;
    world.all("Namespace").delete("ns", &DeleteParams::default()).await.unwrap();
    world.until(&world.all("Namespace"), "ns", Value::is_null).await;
    assert!(world.api_in("ns", "Pod").list(&Default::default()).await.unwrap().items.is_empty());
    world.cluster.shutdown().await;
}
