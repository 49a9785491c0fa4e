use crate::cluster::{Plain, TestCluster, config_map, job, no_values, quick};
use release::record::HookEvent::{PostInstall, PreInstall, Test};
use release::{Error, Event, Options, Status, TestFilter};
use std::time::Duration;

#[tokio::test]
async fn hooks_run_around_the_objects_in_order() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let mut source = Plain::new(&[config_map("cfg", "1")])
        .hook(job("after", "succeed"), &[PostInstall], 0)
        .hook(job("second", "succeed"), &[PreInstall], 5)
        .hook(job("first", "succeed"), &[PreInstall], -5);
    source.hooks[1].delete_policies = vec!["hook-succeeded".into()];
    let release = engine.install("web", source.arc(), no_values(), &quick()).await.unwrap();
    let order: Vec<String> = cluster
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::HookStarted { object, .. } => Some(object.name),
            Event::Applied { object, .. } if object.kind == "ConfigMap" => Some(object.name),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["first", "second", "cfg", "after"]);
    assert!(
        release.hooks.iter().all(|hook| hook.last_run.phase == "Succeeded" && hook.last_run.completed_at.is_some())
    );
    assert_eq!(cluster.names("batch/v1", "Job").await, ["after", "first"], "one asked to be deleted when it succeeded");
    assert_eq!(engine.get("web", 1).await.unwrap().hooks, release.hooks);
}

#[tokio::test]
async fn a_failing_hook_tells_why() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let source = Plain::new(&[config_map("cfg", "1")]).hook(job("dispatch", "fail"), &[PostInstall], 0);
    let error = engine.install("web", source.arc(), no_values(), &quick()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("failed post-install: resource Job/prod/dispatch not ready. status: Failed, message: Job Failed. failed: 1/1"), "{text}");
    assert_eq!(error.causes(), ["pod dispatch-pod, container main: exit code 3 (Error) no /dev/kvm"]);
    let Error::Hook(failure) = error else { panic!("{error}") };
    let log = &failure.logs[0];
    assert_eq!(
        (log.pod.as_str(), log.node.as_deref(), log.text.as_str()),
        ("dispatch-pod", Some("n1"), "main of dispatch-pod says no\n")
    );
    assert_eq!(log.outcome.as_deref(), Some("exit code 3 (Error) no /dev/kvm"));

    let release = engine.get("web", 0).await.unwrap();
    assert_eq!(release.info.status, Status::Failed);
    assert!(
        release.info.description.starts_with("Release \"web\" failed: failed post-install"),
        "{}",
        release.info.description
    );
    assert_eq!(release.hooks[0].last_run.phase, "Failed");
    let events = cluster.take_events();
    assert!(events.iter().any(|event| matches!(event, Event::HookPod { pod, state, .. } if pod == "dispatch-pod" && state.contains("exit code 3"))) || events.iter().any(|event| matches!(event, Event::HookLog { .. })));
    assert!(events.iter().any(|event| matches!(event, Event::HookFinished { succeeded: false, .. })));
}

#[tokio::test]
async fn a_hanging_hook_times_out_with_its_cause() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let source = Plain::default().hook(job("stuck", "hang"), &[PreInstall], 0);
    let options = Options { timeout: Duration::from_secs(4), ..quick() };
    let error = engine.install("web", source.arc(), no_values(), &options).await.unwrap_err();
    assert!(error.is_timeout());
    let text = error.to_string();
    assert!(text.contains("message: Job in progress"), "{text}");
    assert!(text.ends_with("context deadline exceeded"), "{text}");
    assert_eq!(error.causes(), ["pod stuck-pod, container main: ImagePullBackOff: no such image"]);
    assert!(
        cluster
            .take_events()
            .iter()
            .any(|event| matches!(event, Event::HookPod { state, .. } if state.contains("ImagePullBackOff")))
    );
}

#[tokio::test]
async fn a_hook_is_deleted_before_it_runs_again() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let source =
        Plain::default().hook(job("again", "succeed"), &[PostInstall, release::record::HookEvent::PostUpgrade], 0);
    engine.install("web", source.clone().arc(), no_values(), &quick()).await.unwrap();
    let first = cluster.get("batch/v1", "Job", "again").await.unwrap()["metadata"]["uid"].clone();
    engine.upgrade("web", source.arc(), no_values(), &quick()).await.unwrap();
    let second = cluster.get("batch/v1", "Job", "again").await.unwrap()["metadata"]["uid"].clone();
    assert_ne!(first, second);
}

#[tokio::test]
async fn hooks_can_be_left_out() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let source = Plain::default().hook(job("never", "fail"), &[PreInstall], 0);
    engine.install("web", source.arc(), no_values(), &Options { hooks: false, ..quick() }).await.unwrap();
    assert_eq!(cluster.names("batch/v1", "Job").await, [] as [&str; 0]);
}

#[tokio::test]
async fn tests_run_by_name_and_are_recorded() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let source = Plain::default().hook(job("good", "succeed"), &[Test], 0).hook(job("bad", "fail"), &[Test], 1);
    engine.install("web", source.arc(), no_values(), &quick()).await.unwrap();
    let filter = TestFilter { not: vec!["bad".into()], ..TestFilter::default() };
    let release = engine.test("web", &filter, &quick()).await.unwrap();
    let phase = |release: &release::Release, name: &str| {
        release.hooks.iter().find(|hook| hook.name == name).unwrap().last_run.phase.clone()
    };
    assert_eq!((phase(&release, "good"), phase(&release, "bad")), ("Succeeded".into(), String::new()));
    let (release, error) = engine.test("web", &TestFilter::default(), &quick()).await.unwrap_err();
    assert!(matches!(error, Error::Hook(_)), "{error}");
    assert_eq!(phase(&release.unwrap(), "bad"), "Failed");
    assert_eq!(phase(&engine.get("web", 0).await.unwrap(), "bad"), "Failed");
    assert_eq!(engine.get("web", 0).await.unwrap().info.status, Status::Deployed);
}
