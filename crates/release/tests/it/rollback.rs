use crate::cluster::{Plain, TestCluster, config_map, no_values, quick};
use release::{Error, Options, Status};

#[tokio::test]
async fn an_old_revision_comes_back_as_a_new_one() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    engine
        .install("web", Plain::new(&[config_map("cfg", "1"), config_map("old", "1")]).arc(), no_values(), &quick())
        .await
        .unwrap();
    engine
        .upgrade("web", Plain::new(&[config_map("cfg", "2"), config_map("new", "1")]).arc(), no_values(), &quick())
        .await
        .unwrap();
    let release = engine.rollback("web", 0, &quick()).await.unwrap();
    assert_eq!((release.version, release.info.rollback_revision, release.info.status), (3, 1, Status::Deployed));
    assert_eq!(release.info.description, "Rollback to 1");
    assert_eq!(cluster.names("v1", "ConfigMap").await, ["cfg", "old"]);
    assert_eq!(cluster.config_map("cfg").await.unwrap()["data"]["k"], "1");
    let history = engine.history("web").await.unwrap();
    assert_eq!(
        history.iter().map(|r| r.info.status).collect::<Vec<_>>(),
        [Status::Superseded, Status::Superseded, Status::Deployed]
    );
}

#[tokio::test]
async fn only_revisions_that_exist_come_back() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    assert!(matches!(engine.rollback("web", 0, &quick()).await, Err(Error::NotFound)));
    engine.install("web", Plain::default().arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(engine.rollback("web", 0, &quick()).await.unwrap_err().to_string(), "release has no 0 version");
    assert_eq!(engine.rollback("web", 7, &quick()).await.unwrap_err().to_string(), "release has no 7 version");
    let options = Options { description: Some("x".repeat(257)), ..quick() };
    assert!(
        engine.rollback("web", 1, &options).await.unwrap_err().to_string().ends_with("256 characters or less, got 257")
    );
}
