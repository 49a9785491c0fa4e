//! Create, read, list, watch, patch, apply, delete with kube-rs.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::server;

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": name}}, "data": {"k": "1"}})).unwrap()
}

#[tokio::test]
async fn create_get_list_patch_delete() {
    let (_server, client) = server();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let made = api.create(&PostParams::default(), &config_map("a")).await.unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.resource_version.is_some());
    let again = api.create(&PostParams::default(), &config_map("a")).await.unwrap_err();
    assert!(
        matches!(&again, kube::Error::Api(s) if s.code == 409 && s.message == "configmaps \"a\" already exists"),
        "{again:?}"
    );
    api.create(&PostParams::default(), &config_map("b")).await.unwrap();
    let listed = api.list(&ListParams::default().labels("app=b")).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    let merged =
        api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "2", "l": "3"}}))).await.unwrap();
    assert_eq!(merged.data.unwrap().len(), 2);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let gone = api.get("a").await.unwrap_err();
    assert!(
        matches!(&gone, kube::Error::Api(s) if s.code == 404 && s.message == "configmaps \"a\" not found"),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_stale_replace_conflicts() {
    let (_server, client) = server();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let old = api.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let mut new = old.clone();
    new.data = Some([("k".to_string(), "9".to_string())].into());
    api.replace("a", &PostParams::default(), &new).await.unwrap();
    let error = api.replace("a", &PostParams::default(), &new).await.unwrap_err();
    assert!(error.to_string().contains("Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"), "{error}");
}

#[tokio::test]
async fn watch_sees_what_happens_and_expires() {
    let (server, client) = server();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut stream = api.watch(&WatchParams::default(), &start).await.unwrap().boxed();
    let made = api.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let patch = Patch::Merge(json!({"data": {"k": "2"}}));
    api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(match stream.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(_) => "ADDED",
            WatchEvent::Modified(_) => "MODIFIED",
            WatchEvent::Deleted(_) => "DELETED",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["ADDED", "MODIFIED", "DELETED"]);
    server.store().forget_history();
    let mut old = api.watch(&WatchParams::default(), &made.metadata.resource_version.unwrap()).await.unwrap().boxed();
    assert!(matches!(old.try_next().await.unwrap(), Some(WatchEvent::Error(e)) if e.code == 410));
}

#[tokio::test]
async fn apply_creates_conflicts_forces_and_removes() {
    let (_server, client) = server();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let apply = |manager: &str, data: serde_json::Value, force: bool| {
        let mut params = PatchParams::apply(manager);
        params.force = force;
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
        let api = api.clone();
        async move { api.patch("a", &params, &Patch::Apply(body)).await }
    };
    let first = apply("one", json!({"x": "1", "y": "1"}), false).await.unwrap();
    let again = apply("one", json!({"x": "1", "y": "1"}), false).await.unwrap();
    assert_eq!(first, again, "an apply that changes nothing writes nothing");
    let conflict = apply("two", json!({"x": "2"}), false).await.unwrap_err();
    assert!(
        matches!(&conflict, kube::Error::Api(s) if s.code == 409
        && s.message == "Apply failed with 1 conflict: conflict with \"one\": .data.x"),
        "{conflict:?}"
    );
    let forced = apply("two", json!({"x": "2"}), true).await.unwrap();
    assert_eq!(forced.data.unwrap()["x"], "2");
    let dropped = apply("one", json!({}), false).await.unwrap();
    assert_eq!(dropped.data.unwrap(), [("x".to_string(), "2".to_string())].into());
}

#[tokio::test]
async fn namespaces_must_exist_and_live() {
    let (_server, client) = server();
    let missing: Api<ConfigMap> = Api::namespaced(client.clone(), "nope");
    let error = missing.create(&PostParams::default(), &config_map("a")).await.unwrap_err();
    assert!(
        matches!(&error, kube::Error::Api(s) if s.code == 404 && s.message == "namespaces \"nope\" not found"),
        "{error:?}"
    );
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "x"}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "x");
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
    namespaces.delete("x", &DeleteParams::default()).await.unwrap();
    let here: Api<ConfigMap> = Api::namespaced(client, "x");
    let error = here.create(&PostParams::default(), &config_map("a")).await.unwrap_err();
    assert!(
        error.to_string().contains("unable to create new content in namespace x because it is being terminated"),
        "{error}"
    );
}

#[tokio::test]
async fn a_quiet_watch_ends_with_a_bookmark_that_can_be_resumed() {
    let (server, client) = server();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let params = WatchParams::default().timeout(1);
    let mut stream = api.watch(&params, &start).await.unwrap().boxed();
    // Another resource moves the version on; the bookmark says so.
    let namespaces: Api<Namespace> = Api::all(client);
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    namespaces.patch("default", &PatchParams::default(), &patch).await.unwrap();
    let Some(WatchEvent::Bookmark(bookmark)) = stream.try_next().await.unwrap() else { panic!("a bookmark") };
    assert_eq!(bookmark.metadata.resource_version, server.store().version().to_string());
    assert!(stream.try_next().await.unwrap().is_none());
    assert!(api.watch(&params, &bookmark.metadata.resource_version).await.is_ok());
}

#[tokio::test]
async fn initial_events_come_in_the_watch_when_asked_for() {
    let (_server, client) = server();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let params = WatchParams::default().initial_events();
    let mut stream = api.watch(&params, "0").await.unwrap().boxed();
    assert!(
        matches!(stream.try_next().await.unwrap(), Some(WatchEvent::Added(m)) if m.metadata.name.as_deref() == Some("kube-root-ca.crt"))
    );
    let Some(WatchEvent::Bookmark(end)) = stream.try_next().await.unwrap() else { panic!("the end of the list") };
    assert_eq!(end.metadata.annotations["k8s.io/initial-events-end"], "true");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_of_many_clients_all_land() {
    let (_server, client) = server();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    api.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let tasks: Vec<_> = (0..10)
        .map(|task| {
            let api = api.clone();
            tokio::spawn(async move {
                for i in 0..10 {
                    let patch = Patch::Merge(json!({"data": {format!("t{task}-{i}"): "x"}}));
                    api.patch("a", &PatchParams::default(), &patch).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(api.get("a").await.unwrap().data.unwrap().len(), 101);
}
