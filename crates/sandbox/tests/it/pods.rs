//! Pods that something is wrong with, and what they can read.

use crate::world::{World, container, list};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, LogParams};
use sandbox::Faults;
use sandbox::faults::Kill;
use serde_json::{Value, json};

fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"l": "v"}}, "spec": spec})
}

fn waiting(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]["waiting"]
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_and_variables_are_filled_in() {
    let world = World::new("k8s:1").await;
    world
        .create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "from map"}}))
        .await;
    world.create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "from secret"}})).await;
    let variables = json!([{"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    let mounts = json!([{"name": "m", "mountPath": "/m"}, {"name": "s", "mountPath": "/s/deep"},
        {"name": "d", "mountPath": "/d"}, {"name": "m", "mountPath": "/one", "subPath": "k"}]);
    let verbs: [(&str, &[&str]); 7] = [
        ("map", &["read", "/m/k"]),
        ("secret", &["read", "/s/deep/k"]),
        ("downward", &["read", "/d/labels"]),
        ("one", &["read", "/one"]),
        ("variables", &["say", "$(MAP), $(SECRET), $(KUBERNETES_SERVICE_HOST)"]),
        ("token", &["read", "/var/run/secrets/kubernetes.io/serviceaccount/token"]),
        ("namespace", &["read", "/var/run/secrets/kubernetes.io/serviceaccount/namespace"]),
    ];
    let containers: Vec<Value> = verbs
        .iter()
        .map(|(name, words)| {
            let mut container = container(name, words);
            container["env"] = variables.clone();
            container["volumeMounts"] = mounts.clone();
            container
        })
        .collect();
    let volumes = json!([{"name": "m", "configMap": {"name": "m"}}, {"name": "s", "secret": {"secretName": "s"}},
        {"name": "d", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]);
    world.create(pod("p", json!({"restartPolicy": "Never", "containers": containers, "volumes": volumes}))).await;
    world.until(&world.api("Pod"), "p", |pod| pod["status"]["phase"] == "Succeeded").await;
    let pods: Api<Pod> = Api::default_namespaced(world.client.clone());
    let log = |container: &str| {
        let params = LogParams { container: Some(container.to_owned()), ..Default::default() };
        let pods = pods.clone();
        async move { pods.logs("p", &params).await.unwrap().trim().to_owned() }
    };
    assert_eq!(log("map").await, "from map");
    assert_eq!(log("secret").await, "from secret");
    assert_eq!(log("downward").await, "l=\"v\"");
    assert_eq!(log("one").await, "from map");
    assert_eq!(log("variables").await, "from map, from secret, 127.0.0.1");
    assert_eq!(log("token").await.split('.').count(), 3, "a JSON web token");
    assert_eq!(log("namespace").await, "default");
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_says_why() {
    let world = World::new("k8s:1,crio:1").await;
    let api = world.api("Pod");
    let simple = |words: &[&str]| json!({"containers": [container("main", words)], "restartPolicy": "Never"});
    let mut foreign = simple(&[]);
    foreign["containers"][0]["command"] = json!(["/bin/bash", "-c", "true"]);
    world.create(pod("foreign", foreign)).await;
    let found = world.until(&api, "foreign", |pod| waiting(pod)["reason"] == "CreateContainerError").await;
    assert!(waiting(&found)["message"].as_str().unwrap().contains("/usr/bin/husk-node"), "{}", waiting(&found));

    let mut unset = simple(&["say", "x"]);
    unset["containers"][0]["env"] =
        json!([{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "k"}}}]);
    world.create(pod("unset", unset)).await;
    let found = world.until(&api, "unset", |pod| waiting(pod)["reason"] == "CreateContainerConfigError").await;
    assert_eq!(waiting(&found)["message"], "configmap \"absent\" not found");

    let mut nowhere = simple(&["say", "x"]);
    nowhere["nodeSelector"] = json!({"no": "such"});
    world.create(pod("nowhere", nowhere)).await;
    let unschedulable = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .any(|it| it["reason"] == "Unschedulable" && it["message"].as_str().unwrap().starts_with("0/2 nodes"))
    };
    world.until(&api, "nowhere", unschedulable).await;

    world.create(json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "kata"}, "handler": "kata-qemu"})).await;
    for (node, expected) in [
        ("k8s-1", "no runtime for \\\"kata-qemu\\\" is configured"),
        ("crio-1", "failed to find runtime handler kata-qemu"),
    ] {
        let mut class = simple(&["say", "x"]);
        (class["runtimeClassName"], class["nodeName"]) = (json!("kata"), json!(node));
        world.create(pod(&format!("class-{node}"), class)).await;
        let told = |events: &[Value]| {
            events
                .iter()
                .any(|it| it["reason"] == "FailedCreatePodSandBox" && it["message"].to_string().contains(expected))
        };
        world.until_all(&world.api("Event"), told).await;
    }
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_come_and_go() {
    let world = World::new("k8s:1").await;
    let api = world.api("Pod");
    let missing = Faults { missing_images: vec!["example.org/*".to_owned()], ..Default::default() };
    world.cluster.set_faults(missing);
    let spec = json!({"containers": [container("main", &["sleep", "600"])], "terminationGracePeriodSeconds": 1});
    world.create(pod("p", spec)).await;
    let backing_off =
        |pod: &Value| matches!(waiting(pod)["reason"].as_str(), Some("ImagePullBackOff" | "ErrImagePull"));
    world.until(&api, "p", backing_off).await;
    world.cluster.set_faults(Faults::default());
    world.until(&api, "p", |pod| pod["status"]["phase"] == "Running").await;
    let pods: Api<Pod> = Api::default_namespaced(world.client.clone());
    let log = LogParams { follow: true, limit_bytes: Some(9), ..Default::default() };
    assert_eq!(pods.logs("p", &log).await.unwrap(), "sleeping\n");
    let kill = Kill { pod: "default/p".to_owned(), container: None, times: 1 };
    // Through the file this time, as a user would.
    let faults = serde_json::to_string(&Faults { kill: vec![kill], ..Default::default() }).unwrap();
    std::fs::write(world.dir.path().join("faults.json"), faults).unwrap();
    let again = |pod: &Value| {
        let status = &pod["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    };
    let found = world.until(&api, "p", again).await;
    assert_eq!(found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    let previous = LogParams { previous: true, ..Default::default() };
    assert_eq!(pods.logs("p", &previous).await.unwrap(), "sleeping\n");
    api.delete("p", &DeleteParams::default()).await.unwrap();
    world.until(&api, "p", Value::is_null).await;
    assert!(list(&api).await.is_empty());
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_tell_what_their_runtimes_serve() {
    let world = World::new("k8s:2,k3s:1,crio:1").await;
    let nodes = list(&world.all("Node")).await;
    let of = |name: &str| nodes.iter().find(|node| node["metadata"]["name"] == name).unwrap();
    for node in &nodes {
        let info = &node["status"]["nodeInfo"];
        assert!(info["machineID"].as_str().is_some_and(|id| id.len() == 32), "{info}");
        assert!(
            node["status"]["conditions"]
                .as_array()
                .unwrap()
                .iter()
                .any(|it| it["type"] == "Ready" && it["status"] == "True")
        );
    }
    let version = |name: &str| of(name)["status"]["nodeInfo"]["containerRuntimeVersion"].as_str().unwrap().to_owned();
    assert!(version("k8s-1").starts_with("containerd://1.7."));
    assert!(version("k8s-2").starts_with("containerd://2."));
    assert!(version("crio-1").starts_with("cri-o://"));
    assert!(of("k8s-1")["status"]["runtimeHandlers"].is_null(), "containerd 1.7 does not tell");
    let handlers = of("k8s-2")["status"]["runtimeHandlers"].as_array().unwrap();
    assert!(handlers.iter().any(|handler| handler["name"] == "runc"), "{handlers:?}");
    assert_eq!(of("k3s-1")["metadata"]["labels"]["node-role.kubernetes.io/control-plane"], "true");
    world.until(&world.api_in("kube-node-lease", "Lease"), "k3s-1", Value::is_object).await;
    world.cluster.shutdown().await;
}
