use crate::cluster::{Plain, TestCluster, config_map, deployment, job, no_values, quick};
use apiserver::{Fault, Outcome};
use release::{Error, Event, Options, Status, WaitFor};
use std::time::Duration;

#[tokio::test]
async fn objects_are_waited_for_and_told() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let options = Options { wait: WaitFor::ObjectsAndJobs, ..quick() };
    let source = Plain::new(&[deployment("a", "ok"), deployment("b", "ok"), job("j", "succeed"), config_map("c", "1")]);
    engine.install("web", source.arc(), no_values(), &options).await.unwrap();
    let mut ready: Vec<String> = cluster
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Ready { object, .. } => Some(object.name),
            _ => None,
        })
        .collect();
    ready.sort();
    ready.dedup();
    assert_eq!(ready, ["a", "b", "c", "j"]);
    let objects = engine.objects(&engine.get("web", 0).await.unwrap()).await.unwrap();
    assert!(objects.iter().all(|object| object.readiness.state == release::readiness::State::Current));
}

#[tokio::test]
async fn an_object_that_does_not_come_up_names_the_cause() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let options = Options { wait: WaitFor::Objects, timeout: Duration::from_secs(2), ..quick() };
    let source = Plain::new(&[deployment("good", "ok"), deployment("bad", "hang")]);
    let error = engine.install("web", source.arc(), no_values(), &options).await.unwrap_err();
    let Error::NotReady(not_ready) = &error else { panic!("{error}") };
    assert!(not_ready.timed_out);
    assert_eq!(not_ready.objects.len(), 1);
    assert_eq!(not_ready.objects[0].message, "Replicas: 0/2");
    assert_eq!(
        not_ready.objects[0].reason.as_deref(),
        Some("pod bad-pod, container main: ImagePullBackOff: no such image")
    );
    assert!(
        cluster
            .take_events()
            .iter()
            .any(|event| matches!(event, Event::Waiting { reason, .. } if reason.contains("ImagePullBackOff")))
    );
    assert_eq!(engine.get("web", 0).await.unwrap().info.status, Status::Failed);
}

#[tokio::test]
async fn a_job_that_failed_is_not_waited_for() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let options = Options { wait: WaitFor::Objects, timeout: Duration::from_secs(60), ..quick() };
    let started = std::time::Instant::now();
    let error = engine.install("web", Plain::new(&[job("j", "fail")]).arc(), no_values(), &options).await.unwrap_err();
    assert!(error.to_string().starts_with("resource Job/prod/j not ready. status: Failed"), "{error}");
    assert!(!error.is_timeout() && started.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn objects_that_may_not_be_listed_are_read() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let forbidden =
        apiserver::status::ApiError { code: 403, ..apiserver::status::ApiError::internal("configmaps is forbidden") };
    cluster.server.faults().add(Fault::on("list", "configmaps", 100, Outcome::Fail(forbidden)));
    let options = Options { wait: WaitFor::Objects, ..quick() };
    let source = Plain::new(&[config_map("a", "1"), config_map("b", "1")]);
    engine.install("web", source.arc(), no_values(), &options).await.unwrap();
    assert_eq!(engine.get("web", 0).await.unwrap().info.status, Status::Deployed);
}

#[tokio::test]
async fn broken_watches_do_not_matter() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let server = cluster.server.clone();
    let breaker = tokio::spawn(async move {
        for _ in 0..40 {
            server.faults().drop_watches(None);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
    let options = Options { wait: WaitFor::Objects, ..quick() };
    let source = Plain::new(&[deployment("a", "ok"), deployment("b", "ok")]);
    engine.install("web", source.arc(), no_values(), &options).await.unwrap();
    breaker.abort();
}

#[tokio::test]
async fn an_api_server_that_is_away_is_waited_for() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let away = apiserver::status::ApiError {
        code: 503,
        ..apiserver::status::ApiError::internal("the server is currently unable to handle the request")
    };
    cluster.server.faults().add(Fault::on("patch", "configmaps", 4, Outcome::Fail(away.clone())));
    cluster.server.faults().add(Fault::on("patch", "configmaps", 1, Outcome::LoseAnswer(away)));
    engine.install("web", Plain::new(&[config_map("a", "1")]).arc(), no_values(), &quick()).await.unwrap();
    let events = cluster.take_events();
    assert!(events.iter().any(|event| matches!(event, Event::ApiLost { .. })));
    assert!(events.iter().any(|event| matches!(event, Event::ApiBack { .. })));

    let mut impatient = engine.clone();
    impatient.cluster.patience = Duration::from_millis(50);
    let away = apiserver::status::ApiError { code: 503, ..apiserver::status::ApiError::internal("still away") };
    cluster.server.faults().add(Fault::on("patch", "configmaps", 100, Outcome::Fail(away)));
    let error =
        impatient.install("b", Plain::new(&[config_map("b", "1")]).arc(), no_values(), &quick()).await.unwrap_err();
    assert!(error.to_string().contains("still away"), "{error}");
    assert_eq!(engine.get("b", 0).await.unwrap().info.status, Status::Failed);
}
