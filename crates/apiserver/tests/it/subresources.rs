//! Logs, proxies, eviction, binding, scale.

use std::collections::HashMap;
use std::sync::Arc;

use apiserver::status::ApiError;
use apiserver::{Kubelets, LogQuery};
use axum::body::Body;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use serde_json::{Value, json};

use crate::{raw, server};

struct Fake;

impl Kubelets for Fake {
    fn logs(&self, pod: Value, query: LogQuery) -> BoxFuture<'static, Result<Body, ApiError>> {
        let text = format!("{} {} tail={:?}\n", pod["metadata"]["name"], query.container, query.tail_lines);
        Box::pin(async move { Ok(Body::from(text)) })
    }

    fn proxy(
        &self,
        node: Value,
        path: String,
        _: HashMap<String, String>,
    ) -> BoxFuture<'static, Result<Body, ApiError>> {
        Box::pin(async move { Ok(Body::from(json!({"node": node["metadata"]["name"], "path": path}).to_string())) })
    }
}

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn logs_and_proxies_reach_the_kubelet() {
    let (server, client) = server();
    let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}});
    raw(&server, "POST", PODS, &[], pod).await;
    assert_eq!(raw(&server, "GET", &format!("{PODS}/a/log?container=c"), &[], Value::Null).await.0, 501);
    server.set_kubelets(Arc::new(Fake));
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let log =
        pods.logs("a", &LogParams { container: Some("d".into()), tail_lines: Some(3), ..Default::default() }).await;
    assert_eq!(log.unwrap(), "\"a\" d tail=Some(3)\n");
    let (code, _, answer) = raw(&server, "GET", &format!("{PODS}/a/log"), &[], Value::Null).await;
    assert_eq!(
        (code, answer["message"].as_str().unwrap()),
        (400, "a container name must be specified for pod a, choose one of: [c d]")
    );
    let (code, _, answer) = raw(&server, "GET", &format!("{PODS}/a/log?container=x"), &[], Value::Null).await;
    assert_eq!((code, answer["message"].as_str().unwrap()), (400, "container x is not valid for pod a"));
    raw(&server, "POST", "/api/v1/nodes", &[], json!({"metadata": {"name": "n"}})).await;
    let (_, _, answer) = raw(&server, "GET", "/api/v1/nodes/n/proxy/configz", &[], Value::Null).await;
    assert_eq!(answer, json!({"node": "n", "path": "configz"}));
    let (code, _, answer) = raw(&server, "POST", &format!("{PODS}/a/exec"), &[], Value::Null).await;
    assert_eq!((code, answer["message"].as_str().unwrap()), (501, "pods/exec is not implemented by this API server"));
}

#[tokio::test]
async fn binding_gives_a_pod_its_node_once() {
    let (server, _client) = server();
    let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    raw(&server, "POST", PODS, &[], pod).await;
    let binding = json!({"target": {"kind": "Node", "name": "n"}});
    assert_eq!(raw(&server, "POST", &format!("{PODS}/a/binding"), &[], binding.clone()).await.0, 201);
    let (_, _, pod) = raw(&server, "GET", &format!("{PODS}/a"), &[], Value::Null).await;
    assert_eq!(
        (&pod["spec"]["nodeName"], &pod["status"]["conditions"][0]["type"]),
        (&json!("n"), &json!("PodScheduled"))
    );
    let (code, _, answer) = raw(&server, "POST", &format!("{PODS}/a/binding"), &[], binding).await;
    assert!(code == 409 && answer["message"].as_str().unwrap().contains("is already assigned to node \"n\""));
    let (_, _, on_node) = raw(&server, "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn", &[], Value::Null).await;
    assert_eq!(on_node["items"].as_array().unwrap().len(), 1, "the index followed");
}

#[tokio::test]
async fn eviction_respects_the_budget() {
    let (server, _client) = server();
    let pod = json!({"metadata": {"name": "a", "labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    raw(&server, "POST", PODS, &[], pod).await;
    let merge = [("content-type", "application/merge-patch+json")];
    raw(&server, "PATCH", &format!("{PODS}/a/status"), &merge, json!({"status": {"phase": "Running"}})).await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget =
        json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}});
    raw(&server, "POST", budgets, &[], budget).await;
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": "default"}});
    let (code, _, answer) = raw(&server, "POST", &format!("{PODS}/a/eviction"), &[], eviction.clone()).await;
    assert_eq!(
        (code, answer["message"].as_str().unwrap()),
        (429, "Cannot evict pod as it would violate the pod's disruption budget.")
    );
    raw(&server, "PATCH", &format!("{budgets}/b/status"), &merge, json!({"status": {"disruptionsAllowed": 1}})).await;
    assert_eq!(raw(&server, "POST", &format!("{PODS}/a/eviction"), &[], eviction).await.0, 201);
    assert_eq!(raw(&server, "GET", &format!("{PODS}/a"), &[], Value::Null).await.0, 404);
    let (_, _, budget) = raw(&server, "GET", &format!("{budgets}/b"), &[], Value::Null).await;
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
}

#[tokio::test]
async fn scale_changes_replicas() {
    let (server, _client) = server();
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    raw(&server, "POST", path, &[], deployment).await;
    let (_, _, scale) = raw(&server, "GET", &format!("{path}/d/scale"), &[], Value::Null).await;
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["selector"]), (&json!(1), &json!("a=b")));
    let mut wanted = scale.clone();
    wanted["spec"]["replicas"] = 4.into();
    assert_eq!(raw(&server, "PUT", &format!("{path}/d/scale"), &[], wanted.clone()).await.0, 200);
    assert_eq!(raw(&server, "PUT", &format!("{path}/d/scale"), &[], wanted).await.0, 409, "the version is old now");
    let (_, _, deployment) = raw(&server, "GET", &format!("{path}/d"), &[], Value::Null).await;
    assert_eq!((&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]), (&json!(4), &json!(2)));
}
