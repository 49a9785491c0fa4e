//! How objects are looked for: few questions for many objects, and each for itself where lists do not answer.

use crate::cluster::{Plain, TestCluster, config_map, no_values, quick};
use apiserver::InProcess;
use axum::body::Body;
use http::{Method, StatusCode};
use release::{Driver, Status};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Passes requests on and writes down what is asked about ConfigMaps; lists of them can be forbidden.
#[derive(Clone)]
struct Witness {
    server: InProcess,
    lists_allowed: bool,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Witness {
    fn over(cluster: &TestCluster, lists_allowed: bool) -> Witness {
        Witness { server: cluster.server.into_service(), lists_allowed, asked: Arc::default() }
    }

    /// Returns how many objects were read by name, and how many lists were asked for; forgets both.
    fn reads_and_lists(&self) -> (usize, usize) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let lists = asked.iter().filter(|path| path.ends_with("/configmaps")).count();
        (asked.len() - lists, lists)
    }
}

impl tower::Service<http::Request<kube::client::Body>> for Witness {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<kube::client::Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        if request.method() == Method::GET && path.contains("/configmaps") {
            self.asked.lock().unwrap().push(path.clone());
            if !self.lists_allowed && path.ends_with("/configmaps") {
                let status = r#"{"kind":"Status","status":"Failure","reason":"Forbidden","message":"no","code":403}"#;
                let answer = http::Response::builder().status(StatusCode::FORBIDDEN).body(Body::from(status));
                return Box::pin(async { Ok(answer.expect("a response")) });
            }
        }
        tower::Service::call(&mut self.server, request)
    }
}

fn many(count: usize) -> Plain {
    Plain::new(&(0..count).map(|number| config_map(&format!("many-{number}"), "1")).collect::<Vec<_>>())
}

#[tokio::test]
async fn many_objects_are_looked_for_by_one_list() {
    let cluster = TestCluster::start().await;
    let witness = Witness::over(&cluster, true);
    let engine = cluster.engine_over(kube::Client::new(witness.clone(), "default"), Driver::Secret);
    engine.install("web", many(30).arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(witness.reads_and_lists(), (0, 2), "once before anything is changed, once before these are");
    engine.upgrade("web", many(30).arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(witness.reads_and_lists(), (0, 1));
    engine.uninstall("web", &quick()).await.unwrap();
    assert_eq!(witness.reads_and_lists(), (0, 1));
    assert_eq!(cluster.names("v1", "ConfigMap").await, [""; 0]);
}

#[tokio::test]
async fn without_the_right_to_list_each_is_read() {
    let cluster = TestCluster::start().await;
    let witness = Witness::over(&cluster, false);
    let engine = cluster.engine_over(kube::Client::new(witness.clone(), "default"), Driver::Secret);
    let release = engine.install("web", many(10).arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(release.info.status, Status::Deployed);
    assert_eq!(witness.reads_and_lists(), (20, 2));
}

#[tokio::test]
async fn in_a_crowd_each_is_read() {
    let cluster = TestCluster::start().await;
    // More than one page of objects of others, before and behind ours in the order of names.
    for number in 0..70 {
        cluster.put(config_map(&format!("a-{number}"), "theirs")).await;
        cluster.put(config_map(&format!("z-{number}"), "theirs")).await;
    }
    let witness = Witness::over(&cluster, true);
    let engine = cluster.engine_over(kube::Client::new(witness.clone(), "default"), Driver::Secret);
    engine.install("web", many(5).arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(witness.reads_and_lists(), (10, 2), "the page ends before all were seen");
    engine.uninstall("web", &quick()).await.unwrap();
    assert_eq!(witness.reads_and_lists(), (0, 1), "ours are all on the first page now");
    assert_eq!(cluster.names("v1", "ConfigMap").await.len(), 140);
}
