use crate::cluster::{Plain, TestCluster, config_map, job, no_values, quick};
use apiserver::{Fault, Outcome};
use release::record::HookEvent::{PostDelete, PreDelete};
use release::{DryRun, Error, Options, Status, WaitFor};
use serde_json::json;

#[tokio::test]
async fn everything_goes_but_what_must_stay() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let mut kept = config_map("kept", "1");
    kept["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
    let source = Plain::new(&[config_map("a", "1"), config_map("theirs", "1"), kept])
        .hook(job("before", "succeed"), &[PreDelete], 0)
        .hook(job("after", "succeed"), &[PostDelete], 0);
    engine.install("web", source.arc(), no_values(), &quick()).await.unwrap();
    let mut theirs = config_map("theirs", "1");
    theirs["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "them"});
    cluster.put(theirs).await;

    let options = Options { dry_run: DryRun::Server, ..quick() };
    let would = engine.uninstall("web", &options).await.unwrap();
    assert_eq!(would.deleted.len(), 2);
    assert!(cluster.config_map("a").await.is_some());

    let options = Options { wait: WaitFor::Objects, ..quick() };
    let done = engine.uninstall("web", &options).await.unwrap();
    assert_eq!(
        done.info,
        "These resources were kept due to the resource policy:\n[ConfigMap] kept\n\n1 resource(s) were not deleted because \
         they are not owned by this release:\n[ConfigMap] theirs\n"
    );
    assert_eq!(cluster.names("v1", "ConfigMap").await, ["kept", "theirs"]);
    assert_eq!(cluster.names("batch/v1", "Job").await, ["after", "before"]);
    assert_eq!(cluster.names("v1", "Secret").await, [] as [&str; 0]);
    assert!(matches!(engine.uninstall("web", &quick()).await, Err(Error::NotLoaded(_))));
}

#[tokio::test]
async fn the_record_is_kept_on_request() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    engine.install("web", Plain::new(&[config_map("a", "1")]).arc(), no_values(), &quick()).await.unwrap();
    engine.upgrade("web", Plain::new(&[config_map("a", "2")]).arc(), no_values(), &quick()).await.unwrap();
    let options = Options { keep_history: true, ..quick() };
    engine.uninstall("web", &options).await.unwrap();
    let history = engine.history("web").await.unwrap();
    assert_eq!(history.iter().map(|r| r.info.status).collect::<Vec<_>>(), [Status::Superseded, Status::Uninstalled]);
    assert!(history[1].info.deleted.is_some());
    assert_eq!(history[1].info.description, "Uninstallation complete");
    let error = engine.uninstall("web", &options).await.unwrap_err();
    assert_eq!(error.to_string(), "the release named \"web\" is already deleted");

    // A later installation goes on with the history.
    let options = Options { replace: true, ..quick() };
    let release = engine.install("web", Plain::default().arc(), no_values(), &options).await.unwrap();
    assert_eq!(release.version, 3);
    engine.uninstall("web", &quick()).await.unwrap();
    assert!(engine.history("web").await.is_err());
}

#[tokio::test]
async fn a_removal_that_fails_can_be_run_again() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    engine
        .install("web", Plain::new(&[config_map("a", "1"), config_map("b", "1")]).arc(), no_values(), &quick())
        .await
        .unwrap();
    let refused = apiserver::status::ApiError {
        code: 403,
        ..apiserver::status::ApiError::internal("configmaps \"b\" is forbidden")
    };
    let mut fault = Fault::on("delete", "configmaps", 1, Outcome::Fail(refused));
    fault.name = Some("b".into());
    cluster.server.faults().add(fault);
    let error = engine.uninstall("web", &quick()).await.unwrap_err();
    assert!(matches!(&error, Error::RemoveIncomplete { failures, .. } if failures.len() == 1), "{error}");
    assert_eq!(engine.get("web", 0).await.unwrap().info.status, Status::Uninstalling);
    engine.uninstall("web", &quick()).await.unwrap();
    assert_eq!(cluster.names("v1", "ConfigMap").await, [] as [&str; 0]);
    assert!(engine.history("web").await.is_err());
}
