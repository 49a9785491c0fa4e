use crate::cluster::{Plain, TestCluster, config_map, no_values, quick};
use release::storage::Storage;
use release::{Driver, Error, Options, Release, Status};
use std::collections::BTreeMap;

#[tokio::test]
async fn every_driver_keeps_the_same() {
    let cluster = TestCluster::start().await;
    for (driver, name) in [(Driver::Secret, "s"), (Driver::ConfigMap, "c"), (Driver::Memory, "m")] {
        let engine = cluster.engine_over(cluster.client(), driver);
        let labels = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
        let options = Options { labels, ..quick() };
        engine.install(name, Plain::new(&[config_map(name, "1")]).arc(), no_values(), &options).await.unwrap();
        engine.upgrade(name, Plain::new(&[config_map(name, "2")]).arc(), no_values(), &quick()).await.unwrap();
        let list = engine.list(false).await.unwrap();
        assert_eq!(list.len(), 1, "{driver:?}");
        assert_eq!((list[0].version, list[0].labels["team"].as_str()), (2, "blue"));
        assert_eq!(engine.storage.all(false).await.unwrap().len(), 2);
        engine.uninstall(name, &quick()).await.unwrap();
        assert!(engine.list(true).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn system_labels_are_refused() {
    let cluster = TestCluster::start().await;
    let labels = BTreeMap::from([("owner".to_owned(), "me".to_owned())]);
    let options = Options { labels, ..quick() };
    let error = cluster.engine().install("web", Plain::default().arc(), no_values(), &options).await.unwrap_err();
    assert!(matches!(error, Error::ReservedLabel));
}

#[tokio::test]
async fn a_record_that_is_too_large_stops_everything() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    // Text that does not pack: a simple generator of pseudo-random characters.
    let mut state = 1u64;
    let noise: String = (0..3_000_000)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            char::from(b'!' + (state >> 58) as u8)
        })
        .collect();
    let mut source = Plain::new(&[config_map("cfg", "1")]);
    source.manifest.push_str(&format!("---\n# {noise}\n"));
    let error = engine.install("web", source.arc(), no_values(), &quick()).await.unwrap_err();
    assert!(matches!(&error, Error::RecordTooLarge { parts, .. } if parts.starts_with("manifest")), "{error}");
    assert!(cluster.config_map("cfg").await.is_none());
}

#[tokio::test]
async fn a_revision_is_created_once() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let Storage::Cluster(_) = &engine.storage else { panic!("Secrets are the default") };
    let lease = release::lease::begin().lease.clone();
    let mut release = Release { name: "web".into(), version: 1, namespace: "prod".into(), ..Release::default() };
    release.info.status = Status::PendingInstall;
    engine.storage.create(&release, &lease).await.unwrap();
    release.manifest = "other".into();
    assert!(matches!(engine.storage.create(&release, &lease).await, Err(Error::RevisionExists)));
    assert_eq!(engine.storage.lease("web", 1).await.unwrap(), Some(lease));
}
