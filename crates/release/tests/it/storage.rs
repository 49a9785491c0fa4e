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
        assert_eq!(engine.storage.index(false).await.unwrap().len(), 2);
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

/// Text that does not pack: a simple generator of pseudo-random characters.
fn noise(length: usize) -> String {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        char::from(b'!' + (state >> 58) as u8)
    };
    (0..length).map(next).collect()
}

fn large(value: &str, length: usize) -> Plain {
    let mut source = Plain::new(&[config_map("cfg", value)]);
    source.manifest.push_str(&format!("---\n# {}\n", noise(length)));
    source
}

#[tokio::test]
async fn a_record_that_is_too_large_stops_everything() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let error = engine.install("web", large("1", 3_000_000).arc(), no_values(), &quick()).await.unwrap_err();
    assert!(matches!(&error, Error::RecordTooLarge { parts, .. } if parts.starts_with("manifest")), "{error}");
    assert!(error.causes()[0].contains("HUSK_RECORD_PARTS"));
    assert!(cluster.config_map("cfg").await.is_none());
}

#[tokio::test]
async fn a_record_that_becomes_too_large_is_told_beforehand() {
    let cluster = TestCluster::start().await;
    cluster.engine().install("web", large("1", 850_000).arc(), no_values(), &quick()).await.unwrap();
    let told = cluster.take_events().into_iter().find_map(|event| match event {
        release::Event::RecordLarge { size, limit, parts } => Some((size, limit, parts)),
        _ => None,
    });
    let (size, limit, parts) = told.unwrap();
    assert!(size < limit && size > limit * 7 / 10 && parts.starts_with("manifest (850"), "{size} {limit} {parts}");
}

#[tokio::test]
async fn large_records_are_stored_in_parts_on_request() {
    for driver in [Driver::Secret, Driver::ConfigMap] {
        let cluster = TestCluster::start().await;
        let kind = if driver == Driver::Secret { "Secret" } else { "ConfigMap" };
        let engine = cluster.engine_over(cluster.client(), driver).with_records_in_parts();
        let parts = async || {
            let mut names = cluster.names("v1", kind).await;
            names.retain(|name| name.starts_with("sh.helm.release.v1.web.") && name.matches('.').count() > 5);
            names
        };
        let source = large("1", 3_000_000);
        engine.install("web", source.clone().arc(), no_values(), &quick()).await.unwrap();
        let made = parts().await;
        assert!(made.len() >= 3, "{made:?}");
        // Whoever does not ask for parts reads them, and goes on with what is in parts.
        let plain = cluster.engine_over(cluster.client(), driver);
        assert_eq!(plain.get("web", 1).await.unwrap().manifest, source.manifest);
        assert_eq!(plain.list(false).await.unwrap()[0].status, Status::Deployed);
        plain.upgrade("web", Plain::new(&[config_map("cfg", "2")]).arc(), no_values(), &quick()).await.unwrap();
        assert_eq!(parts().await, made, "a change of the status writes no part");
        let history = plain.history("web").await.unwrap();
        assert_eq!(history[0].info.status, Status::Superseded);
        assert_eq!(history[0].manifest, source.manifest);
        // A rollback makes a new record of that size: on request again.
        assert!(matches!(plain.rollback("web", 1, &quick()).await, Err(Error::RecordTooLarge { .. })));
        engine.rollback("web", 1, &quick()).await.unwrap();
        assert_eq!(cluster.config_map("cfg").await.unwrap()["data"]["k"], "1");
        assert_eq!(parts().await.len(), made.len() * 2);
        plain.uninstall("web", &quick()).await.unwrap();
        assert_eq!(parts().await, [] as [&str; 0]);
        assert!(cluster.config_map("cfg").await.is_none());
    }
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
