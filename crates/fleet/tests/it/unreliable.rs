//! A way to the API server that counts what is asked, and on which one request in ten goes wrong.

use apiserver::InProcess;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use kube::client::Body as KubeBody;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Service, ServiceExt};

/// What was asked: requests by method and kind.
pub(crate) type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

/// The way.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) server: InProcess,
    pub(crate) counts: Counts,
    /// Of a hundred requests so many go wrong.
    pub(crate) percent: u64,
    pub(crate) random: Arc<Mutex<u64>>,
}

impl Way {
    pub(crate) fn new(server: InProcess, percent: u64) -> Way {
        Way { server, counts: Counts::default(), percent, random: Arc::new(Mutex::new(0x9E37_79B9_7F4A_7C15)) }
    }

    pub(crate) fn total(&self) -> usize {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// The next number of a xorshift sequence.
    fn chance(&self) -> u64 {
        let mut state = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }
}

impl Service<Request<KubeBody>> for Way {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<KubeBody>) -> Self::Future {
        let way = self.clone();
        let key = format!("{} {}", request.method(), kind(request.uri().path()));
        *way.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        let wrong = way.chance() % 100 < way.percent;
        let how = way.chance() % 4;
        let reading = request.method() == Method::GET;
        Box::pin(async move {
            if !wrong {
                return way.server.oneshot(request).await;
            }
            match how {
                0 => Ok(failure(StatusCode::TOO_MANY_REQUESTS, "too many requests")),
                1 => Ok(failure(StatusCode::INTERNAL_SERVER_ERROR, "etcdserver: leader changed")),
                // It is done, and nobody hears of it.
                2 if !reading => {
                    let _ = way.server.oneshot(request).await;
                    Ok(failure(StatusCode::INTERNAL_SERVER_ERROR, "the answer was lost"))
                }
                _ => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok(failure(StatusCode::GATEWAY_TIMEOUT, "timed out"))
                }
            }
        })
    }
}

fn failure(code: StatusCode, message: &str) -> Response<Body> {
    let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "", "code": code.as_u16()});
    let response = Response::builder().status(code).header("Content-Type", "application/json");
    response.body(Body::from(status.to_string())).unwrap_or_default()
}

/// The kind of object that a path is about.
fn kind(path: &str) -> &str {
    ["jobs", "pods", "configmaps", "events", "nodes"].into_iter().find(|kind| path.contains(kind)).unwrap_or("other")
}
