//! Operations that are cut off, at any request that changes something, and run again.

use crate::cluster::{Mortal, Plain, TestCluster, config_map, deployment, job, no_values, quick};
use release::record::HookEvent::{PostInstall, PostUpgrade, PreDelete, PreInstall};
use release::{Driver, Error, Event, Options, Situation, Status, Takeover};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::Notify;

fn before() -> Plain {
    Plain::new(&[config_map("cfg", "1"), config_map("gone", "1"), deployment("web", "ok")])
        .hook(job("prepare", "succeed"), &[PreInstall], 0)
        .hook(job("dispatch", "succeed"), &[PostInstall, PostUpgrade], 0)
        .hook(job("cleanup", "succeed"), &[PreDelete], 0)
}

fn after() -> Plain {
    Plain {
        manifest: Plain::new(&[config_map("cfg", "2"), config_map("new", "1"), deployment("web", "ok")]).manifest,
        ..before()
    }
}

/// Runs an operation that dies at the given change; returns whether it died.
async fn dies_at<F>(
    cluster: &TestCluster,
    change: usize,
    after: bool,
    operation: impl FnOnce(release::Engine) -> F,
) -> bool
where
    F: Future<Output = ()>,
{
    let dead = Arc::new(Notify::new());
    let inner = cluster.server.into_service();
    let mortal = Mortal { inner, left: Arc::new(AtomicUsize::new(change)), dead: dead.clone(), after };
    let engine = cluster.engine_over(kube::Client::new(mortal, "default"), Driver::Secret);
    tokio::select! {
        () = operation(engine) => false,
        () = dead.notified() => true,
    }
}

#[tokio::test]
async fn what_was_interrupted_can_be_given_up() {
    let cluster = TestCluster::start().await;
    let died = dies_at(&cluster, 4, false, |engine| async move {
        engine.install("web", before().arc(), no_values(), &quick()).await.unwrap();
    })
    .await;
    assert!(died);
    let engine = cluster.engine();
    assert_eq!(engine.get("web", 0).await.unwrap().info.status, Status::PendingInstall);
    engine.abandon("web").await.unwrap();
    let left = engine.get("web", 0).await.unwrap();
    assert_eq!(left.info.status, Status::Failed);
    assert_eq!(left.info.description, "Interrupted while pending-install; taken over");
    engine.abandon("web").await.unwrap();
    engine.abandon("nothing").await.unwrap();
}

async fn check(cluster: &TestCluster, names: &[&str]) {
    let engine = cluster.engine();
    assert_eq!(cluster.names("v1", "ConfigMap").await, names);
    let history = engine.history("web").await.unwrap();
    let deployed: Vec<_> = history.iter().filter(|release| release.info.status == Status::Deployed).collect();
    assert_eq!(deployed.len(), 1, "exactly one revision is deployed");
    assert_eq!(deployed[0].version, history.last().unwrap().version);
    assert!(history.iter().all(|release| !release.info.status.is_pending()));
    assert!(cluster.get("batch/v1", "Job", "dispatch").await.is_some());
}

#[tokio::test]
async fn an_installation_converges_from_every_cut() {
    let mut cuts = 0;
    for change in 0..60 {
        let cluster = TestCluster::start().await;
        let after = change % 2 == 1;
        let died = dies_at(&cluster, change, after, |engine| async move {
            engine.install("web", before().arc(), no_values(), &quick()).await.unwrap();
        })
        .await;
        if !died {
            break;
        }
        cuts += 1;
        cluster.engine().install_or_upgrade("web", before().arc(), no_values(), &quick()).await.unwrap();
        check(&cluster, &["cfg", "gone"]).await;
    }
    assert!((8..59).contains(&cuts), "{cuts} cuts");
}

#[tokio::test]
async fn an_installation_that_was_cut_may_continue_as_something_else() {
    for change in 3..9 {
        let cluster = TestCluster::start().await;
        dies_at(&cluster, change, true, |engine| async move {
            engine.install("web", before().arc(), no_values(), &quick()).await.unwrap();
        })
        .await;
        cluster.engine().install_or_upgrade("web", after().arc(), no_values(), &quick()).await.unwrap();
        check(&cluster, &["cfg", "new"]).await;
        assert!(cluster.get("batch/v1", "Job", "prepare").await.is_some(), "it still is an installation");
    }
}

#[tokio::test]
async fn an_upgrade_converges_from_every_cut() {
    let mut cuts = 0;
    for change in 0..60 {
        let cluster = TestCluster::start().await;
        cluster.engine().install("web", before().arc(), no_values(), &quick()).await.unwrap();
        let died = dies_at(&cluster, change, change % 2 == 0, |engine| async move {
            engine.upgrade("web", after().arc(), no_values(), &quick()).await.unwrap();
        })
        .await;
        if !died {
            break;
        }
        cuts += 1;
        cluster.engine().install_or_upgrade("web", after().arc(), no_values(), &quick()).await.unwrap();
        check(&cluster, &["cfg", "new"]).await;
    }
    assert!((8..59).contains(&cuts), "{cuts} cuts");
}

#[tokio::test]
async fn a_removal_converges_from_every_cut() {
    let mut cuts = 0;
    for change in 0..60 {
        let cluster = TestCluster::start().await;
        cluster.engine().install("web", before().arc(), no_values(), &quick()).await.unwrap();
        let died = dies_at(&cluster, change, change % 2 == 0, |engine| async move {
            engine.uninstall("web", &quick()).await.unwrap();
        })
        .await;
        if !died {
            break;
        }
        cuts += 1;
        let engine = cluster.engine();
        if change % 4 < 2 {
            // One that died after its very last request has nothing left to remove.
            match engine.uninstall("web", &quick()).await {
                Ok(_) | Err(Error::NotLoaded(_)) => {}
                Err(error) => panic!("{error}"),
            }
            assert_eq!(cluster.names("v1", "ConfigMap").await, [] as [&str; 0]);
            assert!(engine.history("web").await.is_err());
        } else {
            engine.install_or_upgrade("web", after().arc(), no_values(), &quick()).await.unwrap();
            check(&cluster, &["cfg", "new"]).await;
        }
    }
    assert!((6..59).contains(&cuts), "{cuts} cuts");
}

#[tokio::test]
async fn a_living_owner_is_left_alone() {
    let cluster = TestCluster::start().await;
    let slow = cluster.engine();
    let source = Plain::default().hook(job("stuck", "hang"), &[PreInstall], 0);
    let first = tokio::spawn(async move {
        let options = Options { timeout: Duration::from_secs(60), ..quick() };
        slow.install("web", source.arc(), no_values(), &options).await
    });
    let engine = cluster.engine();
    while engine.situation("web").await.unwrap() == Situation::Absent {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for takeover in [Takeover::Never, Takeover::WhenGone] {
        let options = Options { takeover, ..quick() };
        let error = engine.upgrade("web", Plain::default().arc(), no_values(), &options).await.unwrap_err();
        assert!(matches!(error, Error::Busy { status: Status::PendingInstall, holder: Some(_) }), "{error}");
        assert_eq!(error.to_string(), "another operation (install/upgrade/rollback) is in progress");
        assert!(error.causes()[0].starts_with("held by "), "{:?}", error.causes());
    }
    let error = engine.install_or_upgrade("web", Plain::default().arc(), no_values(), &quick()).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert!(matches!(engine.uninstall("web", &quick()).await, Err(Error::Busy { .. })));

    assert!(matches!(engine.abandon("web").await, Err(Error::Busy { .. })));

    first.abort();
    let _ = first.await;
    cluster.take_events();
    engine.install_or_upgrade("web", Plain::default().arc(), no_values(), &quick()).await.unwrap();
    assert!(
        cluster
            .take_events()
            .iter()
            .any(|event| matches!(event, Event::TakenOver { status: Status::PendingInstall, .. }))
    );
}
