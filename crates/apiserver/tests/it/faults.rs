//! Trouble on demand.

use apiserver::status::ApiError;
use apiserver::{Fault, Outcome};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams, WatchParams};
use serde_json::json;

use crate::{message, server};

#[tokio::test]
async fn requests_fail_or_lose_their_answer() {
    let (server, client) = server();
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let map = |name: &str| -> ConfigMap { serde_json::from_value(json!({"metadata": {"name": name}})).unwrap() };
    server.faults().add(Fault::on("create", "configmaps", 1, Fault::server_error()));
    assert_eq!(message(maps.create(&PostParams::default(), &map("a")).await).0, 500);
    assert_eq!(message(maps.get("a").await).0, 404);
    let lost =
        Outcome::LoseAnswer(ApiError::new(504, "Timeout", "request did not complete within the allotted timeout"));
    server.faults().add(Fault::on("create", "configmaps", 1, lost));
    assert_eq!(message(maps.create(&PostParams::default(), &map("a")).await).0, 504);
    assert!(maps.get("a").await.is_ok(), "done all the same");
    assert!(maps.create(&PostParams::default(), &map("b")).await.is_ok(), "used up");
}

#[tokio::test]
async fn watches_break_when_told() {
    let (server, client) = server();
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let rv = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut stream = maps.watch(&WatchParams::default(), &rv).await.unwrap().boxed();
    server.faults().drop_watches(Some("pods"));
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(50), stream.try_next()).await;
    assert!(quiet.is_err(), "another resource's watches");
    server.faults().drop_watches(Some("configmaps"));
    server.faults().drop_watches(Some("nodes"));
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), stream.try_next()).await;
    assert!(matches!(ended, Ok(Ok(None))), "{ended:?}");
}
