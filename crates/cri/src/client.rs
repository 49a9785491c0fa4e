//! Asking a container runtime.

use crate::codec::Protobuf;
use crate::message::*;
use crate::{SERVICE, socket};
use hyper_util::rt::TokioIo;
use prost::Message;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

/// Why a runtime gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens, or the socket cannot be reached.
    #[error("cannot connect to the container runtime at {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel, or the peer's first bytes, said.
        source: io::Error,
    },
    /// The runtime did not answer in time.
    #[error("the container runtime at {} did not answer {method} within {after:?}", path.display())]
    Timeout {
        /// The socket.
        path: PathBuf,
        /// The method called, or `connect`.
        method: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The runtime answered with an error.
    #[error("the container runtime refused {method}: {} ({:?})", status.message(), status.code())]
    Refused {
        /// The method called.
        method: &'static str,
        /// The error; `Unimplemented` when the runtime is older than the method.
        status: Box<tonic::Status>,
    },
}

/// A connection to a container runtime. Cloning shares the connection.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    timeout: Duration,
    channel: Channel,
}

impl Client {
    /// Connects to the runtime's socket; `timeout` is for this and for each later call.
    ///
    /// A connection is for one life of the runtime: connect anew after a restart, so that no answer of the old process
    /// is taken for one of the new.
    pub async fn connect(path: impl Into<PathBuf>, timeout: Duration) -> Result<Client, Error> {
        let path = path.into();
        // The first stream is made here so that a missing socket is told from a runtime that does not speak gRPC.
        let connecting = async {
            let stream = socket::connect(&path).await?;
            let mut stream = Some(TokioIo::new(stream));
            let endpoint = Endpoint::from_static("http://localhost");
            let connector = tower::service_fn(move |_: Uri| {
                let stream = stream.take().ok_or_else(|| io::Error::other("the runtime closed the connection"));
                async move { stream }
            });
            endpoint.connect_with_connector(connector).await.map_err(io::Error::other)
        };
        match tokio::time::timeout(timeout, connecting).await {
            Ok(Ok(channel)) => Ok(Client { path, timeout, channel }),
            Ok(Err(source)) => Err(Error::Connect { path, source }),
            Err(_) => Err(Error::Timeout { path, method: "connect", after: timeout }),
        }
    }

    /// Returns the socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks for name and version.
    pub async fn version(&self) -> Result<VersionResponse, Error> {
        self.call("Version", VersionRequest { version: "0.1.0".to_owned() }).await
    }

    /// Asks for conditions and handlers; `verbose` fills in `info`.
    pub async fn status(&self, verbose: bool) -> Result<StatusResponse, Error> {
        self.call("Status", StatusRequest { verbose }).await
    }

    /// Asks for settings shared with the kubelet; `Refused` with `Unimplemented` before containerd 2.0.
    pub async fn runtime_config(&self) -> Result<RuntimeConfigResponse, Error> {
        self.call("RuntimeConfig", RuntimeConfigRequest {}).await
    }

    /// Lists pod sandboxes, all or those in one state.
    pub async fn pod_sandboxes(&self, state: Option<PodSandboxState>) -> Result<Vec<PodSandbox>, Error> {
        let filter = state.map(|state| PodSandboxFilter {
            state: Some(PodSandboxStateValue { state: state.into() }),
            ..PodSandboxFilter::default()
        });
        let response: ListPodSandboxResponse = self.call("ListPodSandbox", ListPodSandboxRequest { filter }).await?;
        Ok(response.items)
    }

    async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Error>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let refused = |status: tonic::Status| Error::Refused { method, status: Box::new(status) };
        let calling = async {
            let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(16 << 20);
            grpc.ready().await.map_err(|error| refused(tonic::Status::unavailable(error.to_string())))?;
            let path = PathAndQuery::try_from(format!("/{SERVICE}/{method}"))
                .map_err(|error| refused(tonic::Status::internal(error.to_string())))?;
            let response = grpc.unary(tonic::Request::new(request), path, Protobuf::<Q, A>::new()).await;
            response.map(tonic::Response::into_inner).map_err(refused)
        };
        match tokio::time::timeout(self.timeout, calling).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout { path: self.path.clone(), method, after: self.timeout }),
        }
    }
}
