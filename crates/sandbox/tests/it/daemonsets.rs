//! DaemonSets and Deployments.

use crate::world::{World, container, list};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

fn daemon_set(words: &[&str]) -> Value {
    let mut main = container("main", words);
    main["env"] = json!([{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]);
    main["readinessProbe"] = json!({"httpGet": {"path": "/", "port": 9123}});
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ds"}, "spec": {
        "selector": {"matchLabels": {"app": "ds"}},
        "template": {"metadata": {"labels": {"app": "ds"}},
            "spec": {"containers": [main], "terminationGracePeriodSeconds": 1}}}})
}

fn rolled_out(set: &Value, count: i64) -> bool {
    let status = &set["status"];
    status["observedGeneration"] == set["metadata"]["generation"]
        && ["desiredNumberScheduled", "updatedNumberScheduled", "numberReady", "numberAvailable"]
            .iter()
            .all(|field| status[field] == count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_set_covers_the_nodes_and_rolls() {
    let world = World::new("k8s:2,crio:1").await;
    world.create(daemon_set(&["serve", "$(IP):9123"])).await;
    let api = world.api("DaemonSet");
    world.until(&api, "ds", |set| rolled_out(set, 3)).await;
    let before = list(&world.api("Pod")).await;
    let mut nodes: Vec<&str> = before.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["crio-1", "k8s-1", "k8s-2"]);

    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"roll": "1"}}}}});
    api.patch("ds", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    world.until(&api, "ds", |set| set["metadata"]["generation"] == 2 && rolled_out(set, 3)).await;
    let after = world.until_all(&world.api("Pod"), |pods| pods.len() == 3).await;
    for pod in &after {
        assert_eq!(pod["metadata"]["annotations"]["roll"], "1");
        assert!(before.iter().all(|old| old["metadata"]["uid"] != pod["metadata"]["uid"]));
    }

    let narrow = json!({"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "k8s-2"}}}}});
    api.patch("ds", &PatchParams::default(), &Patch::Merge(&narrow)).await.unwrap();
    let only_there = |pods: &[Value]| pods.len() == 1 && pods[0]["spec"]["nodeName"] == "k8s-2";
    world.until_all(&world.api("Pod"), only_there).await;
    world.until(&api, "ds", |set| rolled_out(set, 1)).await;
    api.delete("ds", &Default::default()).await.unwrap();
    world.until_all(&world.api("Pod"), <[Value]>::is_empty).await;
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_rolls_and_goes() {
    let world = World::new("k8s:1").await;
    world
        .create(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 2,
            "selector": {"matchLabels": {"app": "d"}}, "template": {"metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [container("main", &["sleep", "600"])], "terminationGracePeriodSeconds": 1}}}}),
        )
        .await;
    let api = world.api("Deployment");
    let complete = |generation: i64| {
        move |found: &Value| {
            let status = &found["status"];
            status["observedGeneration"] == generation
                && status["updatedReplicas"] == 2
                && status["availableReplicas"] == 2
                && status["replicas"] == 2
        }
    };
    world.until(&api, "d", complete(1)).await;
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"roll": "1"}}}}});
    api.patch("d", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    world.until(&api, "d", complete(2)).await;
    assert_eq!(list(&world.api("ReplicaSet")).await.len(), 2);
    api.delete("d", &Default::default()).await.unwrap();
    world.until_all(&world.api("Pod"), <[Value]>::is_empty).await;
    world.until_all(&world.api("ReplicaSet"), <[Value]>::is_empty).await;
    world.cluster.shutdown().await;
}
