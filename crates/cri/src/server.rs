//! Answering as a container runtime would.

use crate::SERVICE;
use crate::codec::Protobuf;
use crate::message::*;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use prost::Message;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::task::{JoinHandle, JoinSet};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, StdError, http};

/// What a runtime answers. A method that is not overridden answers `Unimplemented`, as runtimes do for what they are
/// too old to know.
pub trait RuntimeService: Send + Sync + 'static {
    /// Answers name and version.
    fn version(&self, request: VersionRequest) -> impl Future<Output = Result<VersionResponse, Status>> + Send;

    /// Answers conditions and handlers.
    fn status(&self, request: StatusRequest) -> impl Future<Output = Result<StatusResponse, Status>> + Send;

    /// Answers the settings that the kubelet must share.
    fn runtime_config(
        &self,
        _request: RuntimeConfigRequest,
    ) -> impl Future<Output = Result<RuntimeConfigResponse, Status>> + Send {
        async { Err(unknown("RuntimeConfig")) }
    }

    /// Answers the pod sandboxes that pass the filter.
    fn list_pod_sandbox(
        &self,
        _request: ListPodSandboxRequest,
    ) -> impl Future<Output = Result<ListPodSandboxResponse, Status>> + Send {
        async { Err(unknown("ListPodSandbox")) }
    }
}

/// A serving runtime. Dropping it closes the listener and every connection at once, as the death of a process would.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves on a listener that is already bound (see [`crate::socket::bind`]). Needs a tokio runtime.
    pub fn start<S: RuntimeService>(listener: UnixListener, service: S) -> Server {
        let service = Arc::new(service);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => {
                            let service = Arc::clone(&service);
                            connections.spawn(serve_connection(stream, service));
                        }
                        // Out of descriptors, most likely: one that closes helps, and a busy loop would not.
                        Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Server { accepting }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve_connection<S: RuntimeService>(stream: tokio::net::UnixStream, service: Arc<S>) {
    let answer = tower::service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(dispatch(&*service, request).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    // A peer that breaks off is no event for a runtime.
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(answer)).await;
}

async fn dispatch<S, B>(service: &S, request: http::Request<B>) -> http::Response<Body>
where
    S: RuntimeService,
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    let path = request.uri().path().to_owned();
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE)?.strip_prefix('/'));
    match method {
        Some("Version") => answer(request, |message| service.version(message)).await,
        Some("Status") => answer(request, |message| service.status(message)).await,
        Some("RuntimeConfig") => answer(request, |message| service.runtime_config(message)).await,
        Some("ListPodSandbox") => answer(request, |message| service.list_pod_sandbox(message)).await,
        Some(method) => unknown(method).into_http(),
        None => Status::unimplemented(format!("unknown service for {path}")).into_http(),
    }
}

fn unknown(method: &str) -> Status {
    Status::unimplemented(format!("unknown method {method} for service {SERVICE}"))
}

async fn answer<Q, A, F, Fut, B>(request: http::Request<B>, method: F) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + Sync + 'static,
    F: Fn(Q) -> Fut,
    Fut: Future<Output = Result<A, Status>>,
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    let unary = tower::service_fn(|request: tonic::Request<Q>| {
        let answering = method(request.into_inner());
        async move { answering.await.map(tonic::Response::new) }
    });
    tonic::server::Grpc::new(Protobuf::<A, Q>::new()).unary(unary, request).await
}
