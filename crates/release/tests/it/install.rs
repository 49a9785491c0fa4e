use crate::cluster::{Plain, TestCluster, config_map, deployment, no_values, quick};
use release::event::Change;
use release::ownership;
use release::source::Crd;
use release::{Crds, DryRun, Error, Event, Options, Status, WaitFor};
use serde_json::json;

#[tokio::test]
async fn objects_are_applied_marked_and_recorded() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let source = Plain::new(&[deployment("web", "ok"), config_map("cfg", "1")]);
    let options = Options { wait: WaitFor::Objects, ..quick() };
    let release = engine.install("web", source.arc(), no_values(), &options).await.unwrap();
    assert_eq!((release.version, release.info.status), (1, Status::Deployed));
    assert_eq!(release.info.description, "Install complete");

    let object = cluster.config_map("cfg").await.unwrap();
    assert_eq!(ownership::check(&object, "web", "prod"), Ok(()));
    assert_eq!(object["metadata"]["managedFields"][0]["manager"], "helm");
    assert_eq!(object["metadata"]["managedFields"][0]["operation"], "Apply");

    let stored = engine.get("web", 0).await.unwrap();
    assert_eq!(stored, release);
    assert!(!stored.manifest.contains("managed-by"), "the marks are not in the record");
    let secret = cluster.get("v1", "Secret", "sh.helm.release.v1.web.v1").await.unwrap();
    assert_eq!(secret["type"], "helm.sh/release.v1");
    let labels = &secret["metadata"]["labels"];
    assert_eq!(
        (&labels["owner"], &labels["name"], &labels["status"], &labels["version"]),
        (&json!("helm"), &json!("web"), &json!("deployed"), &json!("1"))
    );

    // ConfigMaps come before Deployments, whatever the order in the chart.
    let applied: Vec<_> = cluster
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Applied { object, change } => Some((object.kind, change)),
            _ => None,
        })
        .collect();
    assert_eq!(applied, [("ConfigMap".to_owned(), Change::Created), ("Deployment".to_owned(), Change::Created)]);
}

#[tokio::test]
async fn a_name_is_used_once() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    engine.install("web", Plain::default().arc(), no_values(), &quick()).await.unwrap();
    let error = engine.install("web", Plain::default().arc(), no_values(), &quick()).await.unwrap_err();
    assert_eq!(error.to_string(), "release name check failed: cannot reuse a name that is still in use");
    let error = engine.install("Web", Plain::default().arc(), no_values(), &quick()).await.unwrap_err();
    assert!(matches!(error, Error::BadName { .. }));
}

#[tokio::test]
async fn foreign_objects_are_not_touched() {
    let cluster = TestCluster::start().await;
    cluster.put(config_map("cfg", "theirs")).await;
    let engine = cluster.engine();
    let source = Plain::new(&[config_map("new", "1"), config_map("cfg", "ours")]).arc();
    let error = engine.install("web", source.clone(), no_values(), &quick()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(
            "unable to continue with install: ConfigMap \"cfg\" in namespace \"prod\" exists and cannot be imported"
        ),
        "{text}"
    );
    assert_eq!(cluster.config_map("cfg").await.unwrap()["data"]["k"], "theirs");
    assert!(cluster.config_map("new").await.is_none());
    assert!(engine.history("web").await.is_err(), "nothing is recorded");

    let options = Options { take_ownership: true, force_conflicts: true, ..quick() };
    engine.install("web", source, no_values(), &options).await.unwrap();
    assert_eq!(cluster.config_map("cfg").await.unwrap()["data"]["k"], "ours");
}

#[tokio::test]
async fn fields_of_other_managers_are_a_conflict() {
    let cluster = TestCluster::start().await;
    let mut theirs = config_map("cfg", "theirs");
    ownership::stamp(&mut theirs, "web", "prod");
    cluster.put(theirs).await;
    let engine = cluster.engine();
    let source = Plain::new(&[config_map("cfg", "ours")]).arc();
    let error = engine.install("web", source.clone(), no_values(), &quick()).await.unwrap_err();
    assert!(
        matches!(&error, Error::FieldConflict { message, .. } if message.contains("somebody") && message.contains(".data.k")),
        "{error}"
    );
    assert_eq!(engine.get("web", 0).await.unwrap().info.status, Status::Failed);
    let options = Options { replace: true, force_conflicts: true, ..quick() };
    let release = engine.install("web", source, no_values(), &options).await.unwrap();
    assert_eq!((release.version, release.info.status), (2, Status::Deployed));
}

#[tokio::test]
async fn dry_runs_leave_nothing() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    for dry_run in [DryRun::Client, DryRun::Server] {
        let options = Options { dry_run, create_namespace: true, ..quick() };
        let source = Plain::new(&[config_map("cfg", "1")]).arc();
        let release = engine.install("web", source, no_values(), &options).await.unwrap();
        assert_eq!(release.info.description, "Dry run complete");
        assert_eq!(release.info.status, Status::PendingInstall);
    }
    assert_eq!(cluster.names("v1", "ConfigMap").await, [] as [&str; 0]);
    assert_eq!(cluster.names("v1", "Secret").await, [] as [&str; 0]);
}

fn crd() -> serde_json::Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.x.io"},
        "spec": {
            "group": "x.io", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]
        }
    })
}

#[tokio::test]
async fn definitions_come_first() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let thing = json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"a": 1}});
    let error =
        engine.install("a", Plain::new(std::slice::from_ref(&thing)).arc(), no_values(), &quick()).await.unwrap_err();
    assert!(error.to_string().contains("no matches for kind \"Thing\" in version \"x.io/v1\""), "{error}");

    let mut source = Plain::new(std::slice::from_ref(&thing));
    source.crds = vec![Crd { name: "crds/things.yaml".into(), text: crd().to_string() }];
    let plan = engine.plan("a", source.clone().arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(plan.counts().create, 2, "{plan:?}");
    engine.install("a", source.arc(), no_values(), &quick()).await.unwrap();
    assert!(cluster.get("x.io/v1", "Thing", "t").await.is_some());
}

#[tokio::test]
async fn a_manifest_may_define_what_it_uses() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let thing = json!({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"a": 1}});
    let source = Plain::new(&[thing, crd()]).arc();
    let options = Options { crds: Crds::Skip, ..quick() };
    engine.install("a", source, no_values(), &options).await.unwrap();
    assert!(cluster.get("x.io/v1", "Thing", "t").await.is_some());
}

#[tokio::test]
async fn the_namespace_is_created_on_request() {
    let cluster = TestCluster::start().await;
    let engine = release::Engine::new(cluster.client(), "fresh");
    let source = Plain::new(&[config_map("cfg", "1")]).arc();
    assert!(engine.install("a", source.clone(), no_values(), &quick()).await.is_err());
    let options = Options { create_namespace: true, ..quick() };
    engine.install("a", source, no_values(), &options).await.unwrap();
}
