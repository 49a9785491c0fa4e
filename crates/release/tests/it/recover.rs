//! What is left when an operation does not come to its end, and how a release is brought to its end from there.
//!
//! Time is paused in most of these: it advances when nobody has anything to do, so that no test waits in earnest.

use crate::cluster::{Mortal, Plain, TestCluster, config_map, deployment, job, no_values, quick};
use crate::faulty::Faulty;
use apiserver::ApiServer;
use release::object::parse_manifest;
use release::record::HookEvent::{PostInstall, PostRollback, PostUpgrade, PreDelete, PreInstall, PreUpgrade};
use release::storage::Storage;
use release::{Driver, Engine, Error, Options, Recovered, Status, Takeover, WaitFor};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::Notify;

/// More requests than any operation here makes.
const MANY: usize = 200;

fn first() -> Plain {
    Plain::new(&[config_map("cfg", "1"), config_map("gone", "1"), deployment("web", "ok")])
        .hook(job("prepare", "succeed"), &[PreInstall, PreUpgrade], 0)
        .hook(job("dispatch", "succeed"), &[PostInstall, PostUpgrade, PostRollback], 0)
        .hook(job("cleanup", "succeed"), &[PreDelete], 0)
}

fn second() -> Plain {
    let objects = [config_map("cfg", "2"), config_map("new", "1"), deployment("web", "ok")];
    Plain { manifest: Plain::new(&objects).manifest, ..first() }
}

fn patient() -> Options {
    Options { timeout: Duration::from_secs(60), wait: WaitFor::Objects, ..Options::default() }
}

/// The operations that are cut off. Each begins from what [`prepare`] makes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Install,
    Upgrade,
    Rollback,
    Uninstall,
}

async fn prepare(operation: Operation, engine: &Engine) {
    if operation != Operation::Install {
        engine.install("web", first().arc(), no_values(), &quick()).await.unwrap();
    }
    if operation == Operation::Rollback {
        engine.upgrade("web", second().arc(), no_values(), &quick()).await.unwrap();
    }
}

async fn perform(operation: Operation, engine: &Engine) -> Result<(), Error> {
    match operation {
        Operation::Install => engine.install("web", first().arc(), no_values(), &patient()).await.map(drop),
        Operation::Upgrade => engine.upgrade("web", second().arc(), no_values(), &patient()).await.map(drop),
        Operation::Rollback => engine.rollback("web", 1, &patient()).await.map(drop),
        Operation::Uninstall => engine.uninstall("web", &patient()).await.map(drop),
    }
}

/// Checks that the newest revision is the one that is deployed, and that the cluster has its objects and no others.
async fn is_sound(cluster: &TestCluster, context: &str) {
    let history = cluster.engine().history("web").await.unwrap();
    let deployed: Vec<u32> = history
        .iter()
        .filter(|release| release.info.status == Status::Deployed)
        .map(|release| release.version)
        .collect();
    let last = history.last().unwrap();
    assert_eq!(deployed, [last.version], "{context}");
    let mut wanted: Vec<(String, Value)> = parse_manifest(&last.manifest)
        .unwrap()
        .into_iter()
        .filter(|object| object["kind"] == "ConfigMap")
        .map(|object| (object["metadata"]["name"].as_str().unwrap().to_owned(), object["data"].clone()))
        .collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    let names: Vec<&String> = wanted.iter().map(|(name, _)| name).collect();
    assert_eq!(cluster.names("v1", "ConfigMap").await.iter().collect::<Vec<_>>(), names, "{context}");
    for (name, data) in &wanted {
        assert_eq!(cluster.config_map(name).await.unwrap()["data"], *data, "{context}");
    }
    assert!(cluster.get("apps/v1", "Deployment", "web").await.is_some(), "{context}");
    assert!(cluster.get("batch/v1", "Job", "dispatch").await.is_some(), "{context}");
}

/// Brings a release to its end by its record alone, whatever state it is in; again by its chart when there is no record.
async fn bring_to_an_end(operation: Operation, cluster: &TestCluster, context: &str) {
    let engine = cluster.engine();
    match engine.recover("web", &patient()).await {
        Ok(Recovered::Removed) => assert_eq!(operation, Operation::Uninstall, "{context}"),
        Ok(Recovered::Sound(_) | Recovered::Finished(_)) => return is_sound(cluster, context).await,
        // Nothing was begun, or the very last record was removed.
        Err(Error::NotFound) => {}
        Err(error) => panic!("{context}: {error}"),
    }
    assert!(engine.history("web").await.is_err(), "{context}");
    assert_eq!(cluster.names("v1", "ConfigMap").await, [] as [&str; 0], "{context}");
    if operation == Operation::Install {
        engine.install("web", first().arc(), no_values(), &patient()).await.unwrap();
        is_sound(cluster, context).await;
    }
}

/// Kills an operation at every request that changes something, before and after it took effect: what a SIGKILL does.
async fn killed_everywhere(operation: Operation) {
    let mut statuses = Vec::new();
    for change in 0..MANY {
        let cluster = TestCluster::start().await;
        prepare(operation, &cluster.engine()).await;
        let dead = Arc::new(Notify::new());
        let inner = cluster.server.into_service();
        let left = Arc::new(AtomicUsize::new(change / 2));
        let mortal = Mortal { inner, left, dead: dead.clone(), after: change % 2 == 1 };
        let engine = cluster.engine_over(kube::Client::new(mortal, "default"), Driver::Secret);
        tokio::select! {
            ended = perform(operation, &engine) => {
                ended.unwrap();
                break;
            }
            () = dead.notified() => {}
        }
        let context = format!("{operation:?} killed at {change}");
        if let Ok(last) = cluster.engine().get("web", 0).await {
            statuses.push(last.info.status);
        }
        bring_to_an_end(operation, &cluster, &context).await;
    }
    let begun = match operation {
        Operation::Install => Status::PendingInstall,
        Operation::Upgrade => Status::PendingUpgrade,
        Operation::Rollback => Status::PendingRollback,
        Operation::Uninstall => Status::Uninstalling,
    };
    assert!(statuses.iter().filter(|status| **status == begun).count() >= 5, "{operation:?}: {statuses:?}");
}

#[tokio::test(start_paused = true)]
async fn an_installation_that_was_killed_anywhere_is_finished() {
    killed_everywhere(Operation::Install).await;
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_was_killed_anywhere_is_finished() {
    killed_everywhere(Operation::Upgrade).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_was_killed_anywhere_is_finished() {
    killed_everywhere(Operation::Rollback).await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_was_killed_anywhere_is_finished() {
    killed_everywhere(Operation::Uninstall).await;
}

/// Cuts the connection once, at each request in turn.
async fn cut_once_everywhere(operation: Operation) {
    for at in 0..MANY {
        let cluster = TestCluster::start().await;
        prepare(operation, &cluster.engine()).await;
        let faulty = Faulty::over(cluster.server.into_service(), at, 1, at % 2 == 1);
        let engine = cluster.engine_over(kube::Client::new(faulty.clone(), "default"), Driver::Secret);
        let context = format!("{operation:?} cut at {at}");
        match perform(operation, &engine).await {
            Ok(()) => {}
            // Whether there is a cluster at all is asked once, before anything is done.
            Err(Error::Unreachable(_)) if faulty.count.load(std::sync::atomic::Ordering::SeqCst) <= at + 1 => {
                perform(operation, &engine).await.unwrap_or_else(|error| panic!("{context}: {error}"));
            }
            Err(error) => panic!("{context}: {error}"),
        }
        match operation {
            Operation::Uninstall => assert!(cluster.engine().history("web").await.is_err(), "{context}"),
            _ => is_sound(&cluster, &context).await,
        }
        if !faulty.hit() {
            assert!(at > 20, "{operation:?} makes more requests than {at}");
            return;
        }
    }
    panic!("{operation:?} makes more than {MANY} requests");
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_any_request_does_not_stop_an_installation() {
    cut_once_everywhere(Operation::Install).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_any_request_does_not_stop_an_upgrade() {
    cut_once_everywhere(Operation::Upgrade).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_any_request_does_not_stop_a_rollback() {
    cut_once_everywhere(Operation::Rollback).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_any_request_does_not_stop_a_removal() {
    cut_once_everywhere(Operation::Uninstall).await;
}

/// The server goes away for good, at each request in turn, and the operation ends with an error. Then it is back.
#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_loses_nothing() {
    for at in 0..MANY {
        let cluster = TestCluster::start().await;
        prepare(Operation::Upgrade, &cluster.engine()).await;
        let faulty = Faulty::over(cluster.server.into_service(), at, usize::MAX, at % 2 == 0);
        let mut engine = cluster.engine_over(kube::Client::new(faulty.clone(), "default"), Driver::Secret);
        engine.cluster.patience = Duration::ZERO;
        if let Storage::Cluster(store) = &mut engine.storage {
            store.cluster.patience = Duration::ZERO;
        }
        let ended = perform(Operation::Upgrade, &engine).await;
        if !faulty.hit() {
            ended.unwrap();
            assert!(at > 20);
            return;
        }
        let context = format!("gone at {at}");
        let back = cluster.engine();
        match back.upgrade("web", second().arc(), no_values(), &quick()).await {
            Ok(_) => {}
            // As with Helm a pending release is not upgraded; whoever interrupted it says so, or it is recovered.
            Err(Error::Busy { status: Status::PendingUpgrade, .. }) => match at % 3 {
                0 => {
                    back.abandon("web").await.unwrap();
                    back.upgrade("web", second().arc(), no_values(), &quick()).await.unwrap();
                }
                1 => {
                    let options = Options { takeover: Takeover::WhenGone, ..quick() };
                    back.upgrade("web", second().arc(), no_values(), &options).await.unwrap();
                }
                _ => assert!(matches!(back.recover("web", &patient()).await.unwrap(), Recovered::Finished(_))),
            },
            Err(error) => panic!("{context}: {error}"),
        }
        is_sound(&cluster, &context).await;
    }
    panic!("more than {MANY} requests");
}

#[tokio::test(start_paused = true)]
async fn a_failed_release_is_finished_when_the_cause_is_gone() {
    for operation in [Operation::Install, Operation::Upgrade] {
        let cluster = TestCluster::start().await;
        prepare(operation, &cluster.engine()).await;
        // A quota of somebody: ConfigMaps cannot be made. The last retry is long over when it goes.
        let refused = apiserver::status::ApiError::new(403, "Forbidden", "exceeded quota: maps");
        let fault = apiserver::Fault {
            user: None,
            verb: Some("patch".into()),
            resource: Some("configmaps".into()),
            name: Some(if operation == Operation::Install { "cfg" } else { "new" }.into()),
            times: 1,
            outcome: apiserver::Outcome::Fail(refused),
        };
        cluster.server.faults().add(fault);
        let engine = cluster.engine();
        let error = perform(operation, &engine).await.unwrap_err();
        assert!(error.to_string().contains("exceeded quota"), "{error}");
        assert_eq!(engine.get("web", 0).await.unwrap().info.status, Status::Failed);
        let Recovered::Finished(release) = engine.recover("web", &patient()).await.unwrap() else { panic!() };
        let text = format!("Recovered revision {}", release.version - 1);
        assert_eq!(release.info.description, text);
        is_sound(&cluster, &text).await;
        assert!(matches!(engine.recover("web", &patient()).await.unwrap(), Recovered::Sound(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_leaves_a_release_that_goes_on() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let bad = first().hook(job("migrate", "fail"), &[PostInstall, PostUpgrade], 1);
    let error = engine.install("web", bad.clone().arc(), no_values(), &patient()).await.unwrap_err();
    assert!(matches!(&error, Error::Hook(failure) if failure.object.name == "migrate"), "{error}");
    assert!(error.causes()[0].contains("exit code 3"), "{:?}", error.causes());
    assert_eq!(engine.get("web", 0).await.unwrap().info.status, Status::Failed);
    // What did not work does not work by itself either, and says so again.
    assert!(matches!(engine.recover("web", &patient()).await, Err(Error::Hook(_))));
    engine.upgrade("web", first().arc(), no_values(), &patient()).await.unwrap();
    is_sound(&cluster, "after the chart was mended").await;
    engine.upgrade("web", bad.arc(), no_values(), &patient()).await.unwrap_err();
    engine.rollback("web", 3, &patient()).await.unwrap();
    is_sound(&cluster, "after it was rolled back").await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_had_is_not_waited_for() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let options = Options { timeout: Duration::from_secs(3600), give_up: Some(Duration::from_secs(20)), ..patient() };
    let objects = Plain::new(&[deployment("stuck", "hang")]).arc();
    let hook = Plain::default().hook(job("seed", "hang"), &[PreUpgrade], 0).arc();
    let begun = tokio::time::Instant::now();
    let first_error = engine.install("web", objects, no_values(), &options).await.unwrap_err();
    let second_error = engine.upgrade("web", hook, no_values(), &options).await.unwrap_err();
    for (error, pod) in [(&first_error, "stuck-pod"), (&second_error, "seed-pod")] {
        let reason = format!("pod {pod}, container main: ImagePullBackOff: no such image");
        assert!(!error.is_timeout(), "{error}");
        assert!(error.to_string().contains(&format!("given up early, because this does not heal by itself: {reason}")));
        assert_eq!(error.causes(), [reason]);
    }
    // By the paused clock: twice the limit, and a few rounds of looking.
    assert!(begun.elapsed() < Duration::from_secs(600), "{:?}", begun.elapsed());
    let last = engine.get("web", 0).await.unwrap();
    assert_eq!(last.info.status, Status::Failed);
    assert!(last.info.description.contains("ImagePullBackOff"), "{}", last.info.description);
    engine.upgrade("web", first().arc(), no_values(), &patient()).await.unwrap();
    is_sound(&cluster, "with an image").await;
}

/// One of two wins; the other one says so and changes nothing.
#[tokio::test(start_paused = true)]
async fn two_upgrades_at_once_are_one_upgrade() {
    let mut refused = 0;
    for offset in 0..12 {
        let cluster = TestCluster::start().await;
        prepare(Operation::Upgrade, &cluster.engine()).await;
        let one = {
            let engine = cluster.engine();
            tokio::spawn(async move { engine.upgrade("web", second().arc(), no_values(), &patient()).await })
        };
        // A step of the scheduler each: reading, rendering, storing and applying are interleaved differently.
        for _ in 0..offset * 3 {
            tokio::task::yield_now().await;
        }
        let other =
            Plain { manifest: Plain::new(&[config_map("cfg", "3"), deployment("web", "ok")]).manifest, ..first() };
        let two = cluster.engine().upgrade("web", other.arc(), no_values(), &patient()).await;
        let one = one.await.unwrap();
        assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
        for error in [one.err(), two.err()].into_iter().flatten() {
            assert!(matches!(error, Error::Busy { .. } | Error::RevisionExists), "{error}");
            assert_eq!(error.code(), contract::Code::RELEASE_BUSY);
            refused += 1;
        }
        is_sound(&cluster, &format!("offset {offset}")).await;
    }
    assert!(refused > 0, "they met at least once");
}

/// The API server is stopped in the middle of an installation and started again from what it kept on disk.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_started_again_is_found_again() {
    let kept = tempfile::tempdir().unwrap();
    let options = apiserver::Options { data_dir: Some(kept.path().to_owned()), ..apiserver::Options::default() };
    let server = ApiServer::open(options.clone()).unwrap();
    let faulty = Faulty::over(server.into_service(), usize::MAX, 0, false);
    let client = kube::Client::new(faulty.clone(), "default");
    let send = |method: http::Method, path: &str, body: Value| {
        let content = if method == http::Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .body(if body.is_null() { vec![] } else { body.to_string().into_bytes() })
            .unwrap();
        let client = client.clone();
        async move { client.request::<Value>(request).await }
    };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}});
    send(http::Method::POST, "/api/v1/namespaces", namespace).await.unwrap();

    let engine = Engine::new(client.clone(), "prod");
    let source = Plain::new(&[config_map("cfg", "1")]).hook(job("before", "hang"), &[PreInstall], 0).hook(
        job("after", "hang"),
        &[PostInstall],
        0,
    );
    let installing = {
        let engine = engine.clone();
        tokio::spawn(async move {
            let options = Options { timeout: Duration::from_secs(36_000), ..Options::default() };
            engine.install("web", source.arc(), no_values(), &options).await
        })
    };
    let mut server = Some(server);
    for hook in ["before", "after"] {
        let path = format!("/apis/batch/v1/namespaces/prod/jobs/{hook}");
        while send(http::Method::GET, &path, Value::Null).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        *faulty.server.lock().unwrap() = None;
        if let Some(stopped) = server.take() {
            stopped.faults().drop_watches(None);
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        let again = ApiServer::open(options.clone()).unwrap();
        *faulty.server.lock().unwrap() = Some(again.into_service());
        server = Some(again);
        let status = json!({"status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}});
        send(http::Method::PATCH, &format!("{path}/status"), status).await.unwrap();
    }
    let release = installing.await.unwrap().unwrap();
    assert_eq!(release.info.status, Status::Deployed);
    assert_eq!(engine.get("web", 0).await.unwrap(), release);
    send(http::Method::GET, "/api/v1/namespaces/prod/configmaps/cfg", Value::Null).await.unwrap();
}
