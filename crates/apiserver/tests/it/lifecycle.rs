//! Deletion: grace, finalizers, policies, preconditions, namespaces.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use serde_json::{Value, json};

use crate::{message, raw, server};

fn pod(name: &str, node: Option<&str>) -> Pod {
    serde_json::from_value(
        json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}}),
    )
    .unwrap()
}

#[tokio::test]
async fn a_pod_on_a_node_goes_when_its_kubelet_lets_go() {
    let (_server, client) = server();
    let pods: Api<Pod> = Api::namespaced(client, "default");
    pods.create(&PostParams::default(), &pod("a", Some("n"))).await.unwrap();
    let going = pods.delete("a", &DeleteParams::default()).await.unwrap().left().expect("the pod itself");
    assert_eq!(going.metadata.deletion_grace_period_seconds, Some(30));
    assert!(going.metadata.deletion_timestamp.is_some());
    let shorter = DeleteParams { grace_period_seconds: Some(5), ..DeleteParams::default() };
    let going = pods.delete("a", &shorter).await.unwrap().left().unwrap();
    assert_eq!(going.metadata.deletion_grace_period_seconds, Some(5));
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete("a", &now).await.unwrap();
    assert_eq!(message(pods.get("a").await).0, 404);
    pods.create(&PostParams::default(), &pod("b", None)).await.unwrap();
    pods.delete("b", &DeleteParams::default()).await.unwrap();
    assert_eq!(message(pods.get("b").await).0, 404, "nothing holds an unscheduled pod");
}

#[tokio::test]
async fn finalizers_hold_an_object_and_watchers_see_it_go_once() {
    let (_server, client) = server();
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let map = json!({"metadata": {"name": "a", "finalizers": ["example.com/x"]}});
    let made = maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    let mut stream =
        maps.watch(&WatchParams::default(), &made.metadata.resource_version.unwrap()).await.unwrap().boxed();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let add = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/x", "example.com/y"]}}));
    let (code, text) = message(maps.patch("a", &PatchParams::default(), &add).await);
    assert!(code == 422 && text.contains("no new finalizers can be added if the object is being deleted"), "{text}");
    let clear = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("a", &PatchParams::default(), &clear).await.unwrap();
    assert_eq!(message(maps.get("a").await).0, 404);
    assert!(matches!(stream.try_next().await.unwrap().unwrap(), WatchEvent::Modified(_)));
    assert!(matches!(stream.try_next().await.unwrap().unwrap(), WatchEvent::Deleted(_)));
}

#[tokio::test]
async fn policies_are_finalizers() {
    let (server, _client) = server();
    let path = "/apis/apps/v1/namespaces/default/daemonsets";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (policy, finalizers) in [("Foreground", json!(["foregroundDeletion"])), ("Orphan", json!(["orphan"]))] {
        let set =
            json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
        raw(&server, "POST", path, &[], set).await;
        let (_, _, going) =
            raw(&server, "DELETE", &format!("{path}/d"), &[], json!({"propagationPolicy": policy})).await;
        assert_eq!(going["metadata"]["finalizers"], finalizers);
        let (_, _, gone) =
            raw(&server, "DELETE", &format!("{path}/d"), &[], json!({"propagationPolicy": "Background"})).await;
        assert_eq!(gone["status"], "Success");
    }
    let (code, _, _) = raw(&server, "DELETE", &format!("{path}/d?propagationPolicy=Sideways"), &[], Value::Null).await;
    assert_eq!(code, 422);
    // Jobs leave their pods behind unless told otherwise.
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    raw(&server, "POST", jobs, &[], job).await;
    let (_, _, going) = raw(&server, "DELETE", &format!("{jobs}/j"), &[], Value::Null).await;
    assert_eq!(going["metadata"]["finalizers"], json!(["orphan"]));
}

#[tokio::test]
async fn preconditions_protect_the_successor() {
    let (_server, client) = server();
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
    let made = maps.create(&PostParams::default(), &map).await.unwrap();
    let wrong = Preconditions { uid: Some("other".into()), resource_version: None };
    let (code, text) =
        message(maps.delete("a", &DeleteParams { preconditions: Some(wrong), ..Default::default() }).await);
    assert!(
        code == 409 && text.contains("the UID in the precondition (other) does not match the UID in record"),
        "{text}"
    );
    let right = Preconditions { uid: made.metadata.uid, resource_version: None };
    assert!(maps.delete("a", &DeleteParams { preconditions: Some(right), ..Default::default() }).await.is_ok());
}

#[tokio::test]
async fn collections_are_deleted_by_selector() {
    let (_server, client) = server();
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    for (name, app) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let map = json!({"metadata": {"name": name, "labels": {"app": app}}});
        maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    }
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("app=x")).await.unwrap();
    assert!(maps.get("c").await.is_ok());
    assert_eq!(message(maps.get("a").await).0, 404);
}

#[tokio::test]
async fn a_namespace_waits_for_its_finalizer() {
    let (server, _client) = server();
    raw(&server, "POST", "/api/v1/namespaces", &[], json!({"metadata": {"name": "x"}})).await;
    let (_, _, going) = raw(&server, "DELETE", "/api/v1/namespaces/x", &[], Value::Null).await;
    assert_eq!(going["status"]["phase"], "Terminating");
    let mut empty = going.clone();
    empty["spec"]["finalizers"] = json!([]);
    let (code, _, _) = raw(&server, "PUT", "/api/v1/namespaces/x/finalize", &[], empty).await;
    assert_eq!(code, 200);
    assert_eq!(raw(&server, "GET", "/api/v1/namespaces/x", &[], Value::Null).await.0, 404);
    assert_eq!(raw(&server, "DELETE", "/api/v1/namespaces/default", &[], Value::Null).await.0, 403);
}

#[tokio::test]
async fn a_dry_run_does_nothing() {
    let (server, _client) = server();
    let path = "/api/v1/namespaces/default/configmaps";
    let (code, _, made) =
        raw(&server, "POST", &format!("{path}?dryRun=All"), &[], json!({"metadata": {"name": "a"}})).await;
    assert_eq!((code, made["metadata"]["uid"].is_string()), (201, true));
    assert_eq!(raw(&server, "GET", &format!("{path}/a"), &[], Value::Null).await.0, 404);
    raw(&server, "POST", path, &[], json!({"metadata": {"name": "a"}})).await;
    raw(&server, "DELETE", &format!("{path}/a?dryRun=All"), &[], Value::Null).await;
    let merge = [("content-type", "application/merge-patch+json")];
    let (_, _, would) =
        raw(&server, "PATCH", &format!("{path}/a?dryRun=All"), &merge, json!({"data": {"k": "v"}})).await;
    assert_eq!(would["data"]["k"], "v");
    let (_, _, is) = raw(&server, "GET", &format!("{path}/a"), &[], Value::Null).await;
    assert_eq!(is.get("data"), None);
}

#[tokio::test]
async fn generation_counts_specs_and_selectors_follow_changes() {
    let (server, client) = server();
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let made = pods.create(&PostParams::default(), &pod("a", Some("n1"))).await.unwrap();
    let params = WatchParams::default().fields("spec.nodeName=n1").labels("app!=gone");
    let mut stream = pods.watch(&params, &made.metadata.resource_version.unwrap()).await.unwrap().boxed();
    let label = Patch::Merge(json!({"metadata": {"labels": {"app": "gone"}}}));
    let labelled = pods.patch("a", &PatchParams::default(), &label).await.unwrap();
    assert_eq!(labelled.metadata.generation, Some(1));
    assert!(matches!(stream.try_next().await.unwrap().unwrap(), WatchEvent::Deleted(_)), "it left the selection");
    let image = Patch::Strategic(json!({"spec": {"containers": [{"name": "c", "image": "new"}]}}));
    assert_eq!(pods.patch("a", &PatchParams::default(), &image).await.unwrap().metadata.generation, Some(2));
    let host = Patch::Merge(json!({"spec": {"hostNetwork": true}}));
    let (code, text) = message(pods.patch("a", &PatchParams::default(), &host).await);
    assert!(code == 422 && text.contains("pod updates may not change fields other than"), "{text}");
    let status =
        json!({"status": {"phase": "Running"}, "metadata": {"labels": {"z": "z"}}, "spec": {"nodeName": "other"}});
    let merge = [("content-type", "application/merge-patch+json")];
    let (_, _, after) = raw(&server, "PATCH", "/api/v1/namespaces/default/pods/a/status", &merge, status).await;
    assert_eq!(
        (&after["status"]["phase"], &after["spec"]["nodeName"], &after["metadata"]["generation"]),
        (&json!("Running"), &json!("n1"), &json!(2))
    );
    let owners = after["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        owners.iter().any(|m| m["subresource"] == "status" && m["fieldsV1"] == json!({"f:status": {"f:phase": {}}})),
        "{owners:?}"
    );
}
