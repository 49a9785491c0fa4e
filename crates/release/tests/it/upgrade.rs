use crate::cluster::{Plain, TestCluster, config_map, deployment, job, no_values, quick};
use release::event::Change;
use release::ownership;
use release::record::HookEvent::PostUpgrade;
use release::{Error, Event, Options, Reuse, Status, WaitFor};
use serde_json::{Value, json};
use std::time::Duration;

fn statuses(history: &[release::Release]) -> Vec<(u32, Status)> {
    history.iter().map(|release| (release.version, release.info.status)).collect()
}

fn kept(name: &str) -> Value {
    let mut object = config_map(name, "1");
    object["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
    object
}

#[tokio::test]
async fn objects_change_come_and_go() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let before =
        Plain::new(&[config_map("same", "1"), config_map("changed", "1"), config_map("gone", "1"), kept("kept")]);
    engine.install("web", before.arc(), no_values(), &quick()).await.unwrap();
    cluster.take_events();
    let after = Plain::new(&[config_map("same", "1"), config_map("changed", "2"), config_map("new", "1")]);
    let release = engine.upgrade("web", after.arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(release.info.description, "Upgrade complete");
    assert_eq!(cluster.names("v1", "ConfigMap").await, ["changed", "kept", "new", "same"]);
    assert_eq!(cluster.config_map("changed").await.unwrap()["data"]["k"], "2");
    assert_eq!(statuses(&engine.history("web").await.unwrap()), [(1, Status::Superseded), (2, Status::Deployed)]);
    let mut told: Vec<String> = cluster
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Applied { object, change } => Some(format!("{} {change}", object.name)),
            Event::Deleted { object } => Some(format!("{} deleted", object.name)),
            Event::Kept { object, why } => Some(format!("{} kept: {why}", object.name)),
            _ => None,
        })
        .collect();
    told.sort();
    assert_eq!(
        told,
        ["changed configured", "gone deleted", "kept kept: resource policy", "new created", "same unchanged"]
    );
}

#[tokio::test]
async fn fields_that_the_chart_no_longer_has_go() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let mut before = config_map("cfg", "1");
    before["data"]["extra"] = "x".into();
    // As Helm 3 left it: applied from the client's side, so that the fields are under an Update entry.
    ownership::stamp(&mut before, "web", "prod");
    let configmaps = cluster.api.resource("v1", "ConfigMap").await.unwrap().unwrap();
    cluster.api.create(&configmaps, "prod", &before, false).await.unwrap();
    let entry = cluster.config_map("cfg").await.unwrap()["metadata"]["managedFields"][0].clone();
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("helm"), &json!("Update")));

    let source = Plain::new(&[config_map("cfg", "1")]);
    engine.install("web", source.arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(cluster.config_map("cfg").await.unwrap()["data"], json!({"k": "1"}));
}

#[tokio::test]
async fn the_history_is_limited() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let options = Options { history_limit: 3, ..quick() };
    engine.install("web", Plain::default().arc(), no_values(), &options).await.unwrap();
    for _ in 0..4 {
        engine.upgrade("web", Plain::default().arc(), no_values(), &options).await.unwrap();
    }
    let history = engine.history("web").await.unwrap();
    assert_eq!(statuses(&history), [(3, Status::Superseded), (4, Status::Superseded), (5, Status::Deployed)]);
}

#[tokio::test]
async fn values_are_kept_when_none_are_given() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let source = Plain { values_map: Some("values"), ..Plain::default() };
    let values = json!({"a": 1}).as_object().unwrap().clone();
    engine.install("web", source.clone().arc(), values, &quick()).await.unwrap();
    let release = engine.upgrade("web", source.clone().arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(release.config["a"].as_f64(), Some(1.0));
    let shown = cluster.config_map("values").await.unwrap()["data"].clone();
    assert_eq!(shown, json!({"values": "{\"a\":1.0}", "revision": "2", "upgrade": "true"}));
    let options = Options { reuse: Reuse::Never, ..quick() };
    assert!(engine.upgrade("web", source.arc(), no_values(), &options).await.unwrap().config.is_empty());
}

#[tokio::test]
async fn a_failed_upgrade_leaves_the_old_revision_deployed() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    engine.install("web", Plain::new(&[config_map("cfg", "1")]).arc(), no_values(), &quick()).await.unwrap();
    let bad =
        Plain::new(&[config_map("cfg", "2"), config_map("new", "1")]).hook(job("check", "fail"), &[PostUpgrade], 0);
    let options = Options { cleanup_on_fail: true, ..quick() };
    let error = engine.upgrade("web", bad.arc(), no_values(), &options).await.unwrap_err();
    assert!(error.to_string().starts_with("post-upgrade hooks failed: resource Job/prod/check"), "{error}");
    assert_eq!(statuses(&engine.history("web").await.unwrap()), [(1, Status::Deployed), (2, Status::Failed)]);
    assert_eq!(cluster.names("v1", "ConfigMap").await, ["cfg"], "what was created is cleaned up on request");

    let good = Plain::new(&[config_map("cfg", "3")]);
    engine.upgrade("web", good.arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(
        statuses(&engine.history("web").await.unwrap()),
        [(1, Status::Superseded), (2, Status::Failed), (3, Status::Deployed)]
    );
}

#[tokio::test]
async fn what_a_failed_upgrade_left_is_removed_by_the_next() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    engine.install("web", Plain::new(&[config_map("cfg", "1")]).arc(), no_values(), &quick()).await.unwrap();
    let bad =
        Plain::new(&[config_map("cfg", "2"), config_map("orphan", "1")]).hook(job("check", "fail"), &[PostUpgrade], 0);
    engine.upgrade("web", bad.arc(), no_values(), &quick()).await.unwrap_err();
    assert!(cluster.config_map("orphan").await.is_some());
    engine.upgrade("web", Plain::new(&[config_map("cfg", "3")]).arc(), no_values(), &quick()).await.unwrap();
    assert!(cluster.config_map("orphan").await.is_none());
}

#[tokio::test]
async fn a_failed_upgrade_is_rolled_back_on_request() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    engine.install("web", Plain::new(&[deployment("web", "ok")]).arc(), no_values(), &quick()).await.unwrap();
    let mut changed = deployment("web", "hang");
    changed["spec"]["replicas"] = 3.into();
    let bad = Plain::new(&[changed, config_map("new", "1")]);
    let options = Options { rollback_on_failure: true, timeout: Duration::from_secs(3), ..quick() };
    let error = engine.upgrade("web", bad.arc(), no_values(), &options).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("release web failed, and has been rolled back due to rollback-on-failure being set: resource Deployment/prod/web not ready"), "{text}");
    assert_eq!(error.causes(), ["pod web-pod, container main: ImagePullBackOff: no such image"]);
    let history = engine.history("web").await.unwrap();
    assert_eq!(statuses(&history), [(1, Status::Superseded), (2, Status::Failed), (3, Status::Deployed)]);
    assert_eq!(history[2].info.rollback_revision, 1);
    assert_eq!(cluster.get("apps/v1", "Deployment", "web").await.unwrap()["spec"]["replicas"], 2);
    assert!(cluster.config_map("new").await.is_none());
}

#[tokio::test]
async fn a_failed_installation_is_removed_on_request() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let options =
        Options { rollback_on_failure: true, wait: WaitFor::Objects, timeout: Duration::from_secs(2), ..quick() };
    let source = Plain::new(&[deployment("web", "hang"), config_map("cfg", "1")]);
    let error = engine.install("web", source.arc(), no_values(), &options).await.unwrap_err();
    assert!(matches!(error, Error::Undone { undone: "uninstalled", .. }), "{error}");
    assert!(engine.history("web").await.is_err());
    assert!(cluster.config_map("cfg").await.is_none());
}

#[tokio::test]
async fn what_cannot_be_changed_is_recreated_on_request() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    engine.install("web", Plain::new(&[job("task", "succeed")]).arc(), no_values(), &quick()).await.unwrap();
    let mut changed = job("task", "succeed");
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "y".into();
    let source = Plain::new(&[changed]).arc();
    let error = engine.upgrade("web", source.clone(), no_values(), &quick()).await.unwrap_err();
    assert!(release::apply::is_immutable(&error), "{error}");
    cluster.take_events();
    let options = Options { recreate: true, ..quick() };
    engine.upgrade("web", source, no_values(), &options).await.unwrap();
    assert!(
        cluster.take_events().iter().any(|event| matches!(event, Event::Applied { change: Change::Recreated, .. }))
    );
    let live = cluster.get("batch/v1", "Job", "task").await.unwrap();
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "y");
}

#[tokio::test]
async fn there_must_be_something_to_upgrade() {
    let cluster = TestCluster::start().await;
    let error = cluster.engine().upgrade("web", Plain::default().arc(), no_values(), &quick()).await.unwrap_err();
    assert_eq!(error.to_string(), "\"web\" has no deployed releases");
}
