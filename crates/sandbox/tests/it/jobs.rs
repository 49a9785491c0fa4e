//! Jobs from their creation to their end, and over restarts of the sandbox.

use crate::world::{World, container, has_condition, job, list};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, LogParams};
use serde_json::{Value, json};

fn conditions(job: &Value) -> Vec<String> {
    let list = job.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter().map(|condition| condition["type"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_its_containers_in_order_on_a_simulated_host() {
    let world = World::new("k8s:1").await;
    let mut first = container("first", &["write", "/data/a", "$(NODE)"]);
    first["env"] = json!([{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]);
    let mut main = container("main", &["read", "/data/a"]);
    let mut host = container("host", &["read", "/host/etc/hostname"]);
    let volume = json!([{"name": "data", "mountPath": "/data"}, {"name": "etc", "mountPath": "/host/etc"}]);
    for container in [&mut first, &mut main, &mut host] {
        container["volumeMounts"] = volume.clone();
    }
    let pod = json!({"initContainers": [first, host], "containers": [main],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "etc", "hostPath": {"path": "/etc", "type": "Directory"}}]});
    world.create(job("j", json!({}), pod)).await;
    let done = world.until(&world.api("Job"), "j", |job| has_condition(job, "Complete")).await;
    assert_eq!(conditions(&done), ["SuccessCriteriaMet", "Complete"]);
    assert_eq!(done["status"]["succeeded"], 1);
    assert!(done["status"]["completionTime"].is_string());

    let pods: Api<Pod> = Api::default_namespaced(world.client.clone());
    let pod = pods.list(&ListParams::default().labels("job-name=j")).await.unwrap().items.remove(0);
    let name = pod.metadata.name.clone().unwrap();
    let log = |container: &str| {
        let params = LogParams { container: Some(container.to_owned()), ..Default::default() };
        let (pods, name) = (pods.clone(), name.clone());
        async move { pods.logs(&name, &params).await.unwrap() }
    };
    assert_eq!(log("main").await, "k8s-1\n");
    assert_eq!(log("host").await.trim(), "k8s-1");
    let status = pod.status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Succeeded"));
    let address: std::net::Ipv4Addr = status.pod_ip.unwrap().parse().unwrap();
    assert!(address.is_loopback() && address.octets()[1] >= 64, "{address}");
    assert!(pod.metadata.finalizers.unwrap_or_default().is_empty(), "a counted pod is let go");
    let story = world.story().await;
    for reason in ["SuccessfulCreate", "Scheduled", "Pulled", "Created", "Started"] {
        assert!(story.contains(reason), "{reason} is missing in\n{story}");
    }
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_job_is_tried_again_and_then_given_up() {
    let world = World::new("k8s:1").await;
    let pod = json!({"containers": [container("main", &["report", "no luck", "7"])]});
    world.create(job("j", json!({"backoffLimit": 1}), pod)).await;
    let failed = world.until(&world.api("Job"), "j", |job| has_condition(job, "Failed")).await;
    assert_eq!(conditions(&failed), ["FailureTarget", "Failed"]);
    assert_eq!(failed["status"]["failed"], 2);
    assert_eq!(failed["status"]["conditions"][1]["reason"], "BackoffLimitExceeded");
    let pods = list(&world.api("Pod")).await;
    assert_eq!(pods.len(), 2);
    let terminated = &pods[0]["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&terminated["exitCode"], &terminated["message"]), (&json!(7), &json!("no luck")));
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_init_container_fails_the_pod_and_the_rest_never_runs() {
    let world = World::new("k8s:1").await;
    let init = container("init", &["exit", "4"]);
    let pod = json!({"initContainers": [init], "containers": [container("main", &["say", "never"])]});
    world.create(job("j", json!({"backoffLimit": 0}), pod)).await;
    world.until(&world.api("Job"), "j", |job| has_condition(job, "Failed")).await;
    let pods = list(&world.api("Pod")).await;
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 4);
    assert_eq!(pods[0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_failure_restarts_the_container_in_its_pod() {
    let world = World::new("k8s:1").await;
    let mut main = container("main", &["flaky", "/data/mark"]);
    main["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let pod =
        json!({"containers": [main], "restartPolicy": "OnFailure", "volumes": [{"name": "data", "emptyDir": {}}]});
    world.create(job("j", json!({}), pod)).await;
    world.until(&world.api("Job"), "j", |job| has_condition(job, "Complete")).await;
    let pods = list(&world.api("Pod")).await;
    assert_eq!(pods.len(), 1);
    let status = &pods[0]["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1);
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_kills_and_the_time_to_live_removes() {
    let world = World::new("k8s:1").await;
    let pod = json!({"containers": [container("main", &["sleep", "600"])], "terminationGracePeriodSeconds": 1});
    let spec = json!({"activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": 1});
    world.create(job("j", spec, pod)).await;
    let failed = world.until(&world.api("Job"), "j", |job| has_condition(job, "Failed")).await;
    assert_eq!(failed["status"]["conditions"][0]["reason"], "DeadlineExceeded");
    world.until(&world.api("Job"), "j", Value::is_null).await;
    world.until_all(&world.api("Pod"), <[Value]>::is_empty).await;
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_a_restart_of_the_sandbox() {
    let world = World::new("k8s:1").await;
    let mut init = container("init", &["append", "/data/runs", "init"]);
    let mut main = container("main", &["flaky", "/data/mark"]);
    let mut long = container("long", &["sleep", "600"]);
    for container in [&mut init, &mut main, &mut long] {
        container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    }
    let volumes = json!([{"name": "data", "hostPath": {"path": "/var/lib/test", "type": "DirectoryOrCreate"}}]);
    let pod = json!({"initContainers": [init], "containers": [long], "restartPolicy": "OnFailure", "volumes": volumes});
    world.create(job("lost", json!({"backoffLimit": 3}), pod)).await;
    let running = |pods: &[Value]| pods.iter().any(|pod| pod["status"]["phase"] == "Running");
    world.until_all(&world.api("Pod"), running).await;
    world.create(job("done", json!({}), json!({"containers": [container("main", &["say", "x"])]}))).await;
    world.until(&world.api("Job"), "done", |job| has_condition(job, "Complete")).await;

    let world = world.restart().await;
    let done = world.until(&world.api("Job"), "done", |job| !job.is_null()).await;
    assert_eq!(done["status"]["succeeded"], 1);
    let restarted = |pods: &[Value]| {
        pods.iter().any(|pod| {
            let status = &pod["status"]["containerStatuses"][0];
            status["restartCount"] == 1 && status["state"]["running"].is_object()
        })
    };
    let pods = world.until_all(&world.api("Pod"), restarted).await;
    let lost = pods.iter().find(|pod| pod["metadata"]["labels"]["job-name"] == "lost").unwrap();
    assert_eq!(lost["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    let runs = world.cluster.hosts()[0].path("/var/lib/test/runs");
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "init\n", "a finished init container does not run again");
    world.cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_with_five_containers_each_are_quick() {
    let started = std::time::Instant::now();
    let world = World::new("k8s:2,k3s:1,crio:1").await;
    let booted = started.elapsed();
    for node in ["k8s-1", "k8s-2", "k3s-1", "crio-1"] {
        let inits: Vec<Value> = ["a", "b", "c", "d"].map(|name| container(name, &["say", name])).into();
        let pod = json!({"initContainers": inits, "containers": [container("main", &["say", "e"])], "nodeName": node});
        world.create(job(&format!("j-{node}"), json!({}), pod)).await;
    }
    let complete = |jobs: &[Value]| jobs.iter().filter(|job| has_condition(job, "Complete")).count() == 4;
    world.until_all(&world.api("Job"), complete).await;
    let took = started.elapsed();
    // About a second alone on two cores; the bound is what `husk up --sandbox` can afford on a busy machine.
    assert!(took < std::time::Duration::from_secs(8), "booted after {booted:?}, done after {took:?}");
    world.cluster.shutdown().await;
}

/// A Job for a hollow node ends well in name, also over a restart; what names no node runs where a host is.
#[tokio::test(flavor = "multi_thread")]
async fn hollow_nodes_end_what_names_them_and_get_nothing_else() {
    let world = World::new("k8s:1,hollow:40").await;
    let world = world.restart().await;
    assert_eq!(list(&world.all("Node")).await.len(), 41);
    let hosts: Vec<_> = std::fs::read_dir(world.dir.path().join("hosts")).unwrap().collect();
    assert_eq!(hosts.len(), 1, "a hollow node has no disk: {hosts:?}");

    let stages = json!({"nodeName": "hollow-7", "initContainers": [container("cri", &["cri"])],
        "containers": [container("label", &["label"])]});
    world.create(job("hollow", json!({}), stages)).await;
    let ordinary = json!({"containers": [container("main", &["write", "/tmp/a", "b"])]});
    for number in 0..5 {
        world.create(job(&format!("ordinary-{number}"), json!({}), ordinary.clone())).await;
    }
    let done = world.until(&world.api("Job"), "hollow", |job| has_condition(job, "Complete")).await;
    assert_eq!(done["status"]["succeeded"], 1);
    let node = world.all("Node").get("hollow-7").await.unwrap();
    assert_eq!(node.metadata.labels.unwrap()[contract::label::KATA_RUNTIME], "true");
    for number in 0..5 {
        world.until(&world.api("Job"), &format!("ordinary-{number}"), |job| has_condition(job, "Complete")).await;
    }
    let pods = list(&world.api("Pod")).await;
    assert_eq!(pods.len(), 6);
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let node = if name.starts_with("hollow") { "hollow-7" } else { "k8s-1" };
        assert_eq!(pod["spec"]["nodeName"], node, "{name}");
    }
    let pod = pods.iter().find(|pod| pod["spec"]["nodeName"] == "hollow-7").unwrap();
    let message = pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"].as_str().unwrap();
    let report = contract::StageReport::from_termination_message(message).unwrap();
    assert_eq!((report.stage, report.state), (contract::Stage::Label, contract::State::Done));
    assert!(report.message.contains("hollow"), "{}", report.message);
    world.cluster.shutdown().await;
}
