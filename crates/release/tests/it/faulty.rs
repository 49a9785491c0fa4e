//! A way to the API server that fails: for one request, or for all from a request on, before or after it took effect.

use apiserver::InProcess;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Passes requests on and cuts the connection at some of them.
#[derive(Clone)]
pub(crate) struct Faulty {
    /// Where requests go; nothing while the server is down.
    pub(crate) server: Arc<Mutex<Option<InProcess>>>,
    /// How many requests there were.
    pub(crate) count: Arc<AtomicUsize>,
    /// The first request that fails, from 0.
    pub(crate) at: usize,
    /// How many fail from there on.
    pub(crate) times: usize,
    /// Does a request that fails take effect nevertheless?
    pub(crate) after: bool,
}

impl Faulty {
    pub(crate) fn over(server: InProcess, at: usize, times: usize, after: bool) -> Faulty {
        Faulty { server: Arc::new(Mutex::new(Some(server))), count: Arc::default(), at, times, after }
    }

    /// Did a request fail?
    pub(crate) fn hit(&self) -> bool {
        self.count.load(Ordering::SeqCst) > self.at
    }
}

impl tower::Service<http::Request<kube::client::Body>> for Faulty {
    type Response = axum::response::Response;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<kube::client::Body>) -> Self::Future {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let cut = number >= self.at && number - self.at < self.times;
        let (server, after) = (self.server.lock().unwrap().clone(), self.after);
        Box::pin(async move {
            let broken = || io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer");
            let Some(mut server) = server else { return Err(broken()) };
            if !cut || after {
                let Ok(answer) = tower::Service::call(&mut server, request).await;
                if !cut {
                    return Ok(answer);
                }
            }
            Err(broken())
        })
    }
}
