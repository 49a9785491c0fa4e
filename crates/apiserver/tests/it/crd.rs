//! Custom resources.

use apiserver::ApiServer;
use serde_json::{Value, json};

use crate::{raw, server};

fn crd() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"}, "versions": [
            {"name": "v1beta1", "served": true, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}},
            {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
             "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
             "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"], "items": {"type": "object"}}}}}}}}]}})
}

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const FOOS: &str = "/apis/example.com/v1/namespaces/default/foos";

async fn with_crd() -> ApiServer {
    let (server, _client) = server();
    let (code, _, answer) = raw(&server, "POST", CRDS, &[], crd()).await;
    assert_eq!(code, 201, "{answer}");
    assert!(answer["status"]["conditions"].as_array().unwrap().iter().any(|c| c["type"] == "Established"));
    server
}

#[tokio::test]
async fn objects_of_a_crd_live_like_others() {
    let server = with_crd().await;
    let (_, _, group) = raw(&server, "GET", "/apis/example.com", &[], Value::Null).await;
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let foo = json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {"size": 3}, "status": {"x": 1}});
    let (code, _, made) = raw(&server, "POST", FOOS, &[], foo).await;
    assert_eq!((code, made.get("status"), &made["metadata"]["generation"]), (201, None, &json!(1)));
    let merge = [("content-type", "application/merge-patch+json")];
    let (_, _, status) =
        raw(&server, "PATCH", &format!("{FOOS}/a/status"), &merge, json!({"status": {"size": 2}, "spec": {"size": 9}}))
            .await;
    assert_eq!(
        (&status["status"]["size"], &status["spec"]["size"], &status["metadata"]["generation"]),
        (&json!(2), &json!(3), &json!(1))
    );
    let (_, _, scale) =
        raw(&server, "PATCH", &format!("{FOOS}/a/scale"), &merge, json!({"spec": {"replicas": 5}})).await;
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(5), &json!(2)));
    let (_, _, old) =
        raw(&server, "GET", "/apis/example.com/v1beta1/namespaces/default/foos/a", &[], Value::Null).await;
    assert_eq!((&old["apiVersion"], &old["spec"]["size"]), (&json!("example.com/v1beta1"), &json!(5)));
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let (code, _, _) = raw(&server, "PATCH", &format!("{FOOS}/a"), &strategic, json!({})).await;
    assert_eq!(code, 415);
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let (_, _, table) = raw(&server, "GET", FOOS, &table, Value::Null).await;
    assert_eq!(table["rows"][0]["cells"], json!(["a", 5]));
    let update = json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {}});
    let (code, _, answer) = raw(&server, "PUT", &format!("{FOOS}/a"), &[], update).await;
    assert!(
        code == 422
            && answer["message"]
                .as_str()
                .unwrap()
                .contains("metadata.resourceVersion: Invalid value: 0: must be specified for an update")
    );
}

#[tokio::test]
async fn apply_follows_the_marks_of_the_schema() {
    let server = with_crd().await;
    let apply = [("content-type", "application/apply-patch+yaml")];
    for (manager, id) in [("one", "x"), ("two", "y")] {
        let body =
            json!({"apiVersion": "example.com/v1", "kind": "Foo", "spec": {"parts": [{"id": id, "by": manager}]}});
        let (code, _, answer) = raw(&server, "PATCH", &format!("{FOOS}/a?fieldManager={manager}"), &apply, body).await;
        assert!(code < 300, "{answer}");
    }
    let body = json!({"apiVersion": "example.com/v1", "kind": "Foo", "spec": {"parts": []}});
    let (_, _, left) = raw(&server, "PATCH", &format!("{FOOS}/a?fieldManager=one"), &apply, body).await;
    assert_eq!(left["spec"]["parts"], json!([{"id": "y", "by": "two"}]));
}

#[tokio::test]
async fn a_removed_crd_takes_its_objects_along() {
    let server = with_crd().await;
    let foo = json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a"}});
    raw(&server, "POST", FOOS, &[], foo).await;
    raw(&server, "DELETE", &format!("{CRDS}/foos.example.com"), &[], Value::Null).await;
    assert_eq!(raw(&server, "GET", FOOS, &[], Value::Null).await.0, 404);
    raw(&server, "POST", CRDS, &[], crd()).await;
    let (_, _, list) = raw(&server, "GET", FOOS, &[], Value::Null).await;
    assert_eq!(list["items"], json!([]));
}
