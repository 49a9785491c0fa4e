//! Discovery, OpenAPI, tables, pages, event groups: the forms of answers.

use serde_json::{Value, json};

use crate::{raw, server};

#[tokio::test]
async fn discovery_in_both_forms() {
    let (server, _client) = server();
    let (_, _, groups) = raw(&server, "GET", "/apis", &[], Value::Null).await;
    let names: Vec<&str> = groups["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"batch") && names.contains(&"node.k8s.io"), "{names:?}");
    let (_, _, batch) = raw(&server, "GET", "/apis/batch/v1", &[], Value::Null).await;
    let jobs = batch["resources"].as_array().unwrap().iter().find(|r| r["name"] == "jobs").unwrap();
    assert_eq!((&jobs["kind"], &jobs["namespaced"]), (&json!("Job"), &json!(true)));
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    let (_, headers, all) = raw(&server, "GET", "/api", &accept, Value::Null).await;
    assert_eq!(headers["content-type"], "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let pods = all["items"][0]["versions"][0]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["resource"] == "pods")
        .unwrap();
    assert!(
        pods["subresources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|s| s["subresource"] == "eviction" && s["responseKind"]["group"] == "policy")
    );
    assert_eq!(raw(&server, "GET", "/apis/nope/v1", &[], Value::Null).await.0, 404);
}

#[tokio::test]
async fn openapi_says_that_fields_are_validated_here() {
    let (server, _client) = server();
    let (_, _, index) = raw(&server, "GET", "/openapi/v3", &[], Value::Null).await;
    assert!(
        index["paths"]["apis/apps/v1"]["serverRelativeURL"]
            .as_str()
            .unwrap()
            .starts_with("/openapi/v3/apis/apps/v1?hash=")
    );
    let (_, _, apps) = raw(&server, "GET", "/openapi/v3/apis/apps/v1", &[], Value::Null).await;
    let patch = &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
    let spec = &apps["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["replicas"];
    assert_eq!(spec["type"], "integer");
    // Every reference leads somewhere.
    let schemas = &apps["components"]["schemas"];
    fn references(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(k, v)| match v.as_str() {
                Some(target) if k == "$ref" => out.push(target.rsplit('/').next().unwrap().to_string()),
                _ => references(v, out),
            }),
            Value::Array(items) => items.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(schemas, &mut found);
    assert!(found.len() > 100);
    for name in found {
        assert!(schemas[&name].is_object(), "{name}");
    }
}

#[tokio::test]
async fn tables_and_metadata_only() {
    let (server, _client) = server();
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let (_, _, answer) = raw(&server, "GET", "/api/v1/namespaces", &table, Value::Null).await;
    let names: Vec<&Value> = answer["columnDefinitions"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["Name", "Status", "Age"]);
    assert_eq!((&answer["rows"][0]["cells"][0], &answer["rows"][0]["cells"][1]), (&json!("default"), &json!("Active")));
    assert_eq!(answer["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let partial = [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json")];
    let (_, _, answer) = raw(&server, "GET", "/api/v1/namespaces", &partial, Value::Null).await;
    assert_eq!((&answer["kind"], answer["items"][0].get("spec")), (&json!("PartialObjectMetadataList"), None));
}

#[tokio::test]
async fn pages_add_up_and_carry_one_version() {
    let (server, _client) = server();
    let path = "/api/v1/namespaces/default/configmaps";
    for i in 0..7 {
        raw(&server, "POST", path, &[], json!({"metadata": {"name": format!("m{i}")}})).await;
    }
    let (mut names, mut token, mut versions) = (Vec::new(), String::new(), Vec::new());
    loop {
        let (_, _, page) = raw(&server, "GET", &format!("{path}?limit=3&continue={token}"), &[], Value::Null).await;
        names.extend(
            page["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_string()),
        );
        versions.push(page["metadata"]["resourceVersion"].clone());
        raw(
            &server,
            "POST",
            "/api/v1/namespaces/kube-system/configmaps",
            &[],
            json!({"metadata": {"generateName": "x-"}}),
        )
        .await;
        match page["metadata"]["continue"].as_str() {
            Some(next) => token = next.to_string(),
            None => break,
        }
    }
    assert_eq!(names, ["kube-root-ca.crt", "m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
    assert!(versions.len() == 3 && versions.iter().all(|v| *v == versions[0]), "{versions:?}");
    assert_eq!(raw(&server, "GET", &format!("{path}?continue=zzz"), &[], Value::Null).await.0, 400);
}

#[tokio::test]
async fn events_of_both_groups_are_the_same() {
    let (server, _client) = server();
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Node", "name": "n"}, "note": "hello", "reason": "R", "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i", "action": "a"});
    let (code, _, made) = raw(&server, "POST", "/apis/events.k8s.io/v1/namespaces/default/events", &[], event).await;
    assert_eq!(
        (code, &made["note"], &made["apiVersion"]),
        (201, &json!("hello"), &json!("events.k8s.io/v1")),
        "{made}"
    );
    let path = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dn";
    let (_, _, list) = raw(&server, "GET", path, &[], Value::Null).await;
    assert_eq!((&list["items"][0]["message"], &list["items"][0]["apiVersion"]), (&json!("hello"), &json!("v1")));
}

#[tokio::test]
async fn bodies_of_other_forms_are_refused_in_words() {
    let (server, _client) = server();
    let path = "/api/v1/namespaces/default/configmaps/a";
    assert_eq!(raw(&server, "PATCH", path, &[("content-type", "text/plain")], json!({})).await.0, 415);
    let apply = [("content-type", "application/apply-patch+yaml")];
    let (code, _, answer) = raw(&server, "PATCH", path, &apply, json!({})).await;
    assert!(
        code == 422
            && answer["message"]
                .as_str()
                .unwrap()
                .contains("fieldManager: Required value: is required for apply patch")
    );
    let (code, _, answer) = raw(
        &server,
        "POST",
        "/api/v1/namespaces/default/configmaps",
        &[],
        json!({"kind": "Secret", "apiVersion": "v1"}),
    )
    .await;
    assert_eq!(code, 400, "{answer}");
    let (code, _, answer) = raw(&server, "POST", "/api/v1/namespaces/default/configmaps", &[], json!([1])).await;
    assert_eq!(code, 400, "{answer}");
    assert_eq!(raw(&server, "POST", "/api/v1/namespaces/default/configmaps", &[], json!({"metadata": 1})).await.0, 400);
}

/// Nothing that a client can send makes the server panic (a panic would end the test).
#[tokio::test]
async fn odd_bodies_are_answered() {
    let (server, _client) = server();
    let map = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
    raw(&server, "POST", "/api/v1/namespaces/default/configmaps", &[], map).await;
    let bodies = [
        json!([]),
        json!("x"),
        json!(1),
        json!({"metadata": []}),
        json!({"metadata": {"labels": "x"}}),
        json!({"metadata": {"managedFields": [{"operation": "Apply", "fieldsV1": {"x": 1}}]}}),
        json!({"metadata": {"finalizers": "x"}}),
        json!({"spec": "x", "status": "x", "data": []}),
        json!({"spec": {"template": [], "selector": 1, "containers": {}}}),
        json!({"deleteOptions": "x", "spec": []}),
        json!([{"op": "replace", "path": "", "value": []}]),
        json!([{"op": "add", "path": "/metadata", "value": "x"}]),
        json!({"rules": {}, "subjects": 1, "roleRef": []}),
    ];
    let paths = [
        "/api/v1/namespaces/default/configmaps",
        "/api/v1/namespaces/default/configmaps/a",
        "/api/v1/namespaces/default/pods",
        "/api/v1/namespaces/default/pods/a/eviction",
        "/api/v1/namespaces/default/pods/a/binding",
        "/api/v1/namespaces/default/services",
        "/api/v1/namespaces/default/serviceaccounts/default",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        "/api/v1/namespaces/default/status",
        "/api/v1/namespaces/default/finalize",
        "/api/v1/namespaces/default",
        "/apis/batch/v1/namespaces/default/jobs",
        "/apis/apps/v1/namespaces/default/daemonsets",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/view",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/cluster-admin",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    ];
    for path in paths {
        for body in &bodies {
            for method in ["POST", "PUT", "DELETE"] {
                let (code, _, _) = raw(&server, method, &format!("{path}?dryRun=All"), &[], body.clone()).await;
                assert!((200..600).contains(&code));
            }
            for kind in ["json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"] {
                let content_type = format!("application/{kind}");
                let headers = [("content-type", content_type.as_str())];
                let path = format!("{path}?dryRun=All&fieldManager=t&force=true");
                let (code, _, _) = raw(&server, "PATCH", &path, &headers, body.clone()).await;
                assert!((200..600).contains(&code));
            }
        }
    }
}
