//! The HTTP side: from a request to an answer.

mod crd;
mod delete;
mod discovery;
mod dispatch;
pub(crate) mod kubelet;
mod openapi;
mod read;
mod render;
mod request;
mod review;
mod serve;
mod subresource;
mod table;
pub(crate) mod tls;
mod watch;
mod write;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::State as AxumState;
use axum::response::Response;
use http::Request;
use jiff::Timestamp;

use crate::audit::Audit;
use crate::auth::token::TokenKey;
use crate::auth::{User, bootstrap};
use crate::counts::Counts;
use crate::faults::Faults;
use crate::resource::{Catalogue, Resource};
use crate::store::Store;
use tls::{Credentials, TlsError};

pub(crate) use crd::established_status;
pub(crate) use render::core_event;
pub(crate) use write::{create_internal, name_suffix};

/// How to open a server.
#[derive(Clone)]
pub struct Options {
    /// Where objects and keys are kept; `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Version that `/version` answers, e.g. `v1.34.4`.
    pub version: String,
    /// More names and addresses for the server certificate, besides localhost and the service names.
    pub host_names: Vec<String>,
    /// A file for [`crate::audit`]; `None` notes nothing.
    pub audit: Option<PathBuf>,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            data_dir: None,
            version: "v1.34.4".into(),
            host_names: Vec::new(),
            audit: None,
            clock: Arc::new(Timestamp::now),
        }
    }
}

/// Why a server cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be read or written.
    #[error("data directory: {0}")]
    Io(#[from] io::Error),
    /// Keys or certificates cannot be made or read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The first objects cannot be created.
    #[error("cannot create the first objects: {0}")]
    Bootstrap(#[from] crate::status::ApiError),
}

pub(crate) struct State {
    pub store: Store,
    pub catalogue: RwLock<Arc<Catalogue>>,
    pub credentials: Credentials,
    pub tokens: TokenKey,
    pub faults: Faults,
    pub audit: Option<Audit>,
    pub counts: Counts,
    pub kubelets: RwLock<Option<Arc<dyn kubelet::Kubelets>>>,
    pub version: String,
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl State {
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A built-in resource; they are all in the catalogue from the start.
    pub(crate) fn builtin(&self, group: &str, plural: &str) -> Result<Arc<Resource>, crate::status::ApiError> {
        self.catalogue().preferred(group, plural).ok_or_else(crate::status::ApiError::no_such_path)
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The time as objects carry it: whole seconds, UTC.
    pub(crate) fn now_text(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// The server. Clones are handles to the same one.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<State>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("version", &self.state.version).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Opens a server: replays the log of `data_dir`, makes keys and certificates that are missing and creates the objects of
    /// a fresh cluster (namespaces, default roles, …) that are missing.
    ///
    /// # Errors
    /// When the data directory or the keys in it cannot be used.
    pub fn open(options: Options) -> Result<ApiServer, OpenError> {
        let store = Store::open(options.data_dir.as_deref())?;
        let credentials = Credentials::open(options.data_dir.as_deref(), &options.host_names)?;
        let tokens = TokenKey::new(tls::secret_key(options.data_dir.as_deref())?);
        let catalogue = crd::catalogue(&store);
        let state = Arc::new(State {
            store,
            catalogue: RwLock::new(Arc::new(catalogue)),
            credentials,
            tokens,
            faults: Faults::default(),
            audit: options.audit.as_deref().map(Audit::open).transpose()?,
            counts: Counts::default(),
            kubelets: RwLock::new(None),
            version: options.version,
            clock: options.clock,
        });
        for object in bootstrap::objects() {
            match write::create_internal(&state, object) {
                Ok(_) => {}
                Err(error) if error.reason == "AlreadyExists" => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ApiServer { state })
    }

    /// The server as a router that authenticates each request (bearer token; none is `system:anonymous`).
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.state.clone())
    }

    /// The server as a service for clients in the same process, which act as the administrator; for
    /// `kube::Client::new(server.into_service(), "default")`.
    pub fn into_service(&self) -> InProcess {
        self.service_as(User::admin())
    }

    /// As [`ApiServer::into_service`], acting as somebody else.
    pub fn service_as(&self, user: User) -> InProcess {
        InProcess { state: self.state.clone(), user }
    }

    /// Sets who answers for the nodes (logs, proxy). Without it these requests fail.
    pub fn set_kubelets(&self, kubelets: Arc<dyn kubelet::Kubelets>) {
        *self.state.kubelets.write().unwrap_or_else(PoisonError::into_inner) = Some(kubelets);
    }

    /// The handle that makes requests fail.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// Keys and certificates: the CA, client certificates, kubeconfigs.
    pub fn credentials(&self) -> &Credentials {
        &self.state.credentials
    }

    /// The objects themselves, for fast reading in the same process. Writing should go through the API.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// A token for a ServiceAccount, as the TokenRequest API would give it, valid for `seconds`.
    ///
    /// # Errors
    /// When there is no such ServiceAccount.
    pub fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        seconds: i64,
    ) -> Result<String, crate::status::ApiError> {
        review::issue_token(&self.state, namespace, name, seconds, &serde_json::Value::Null, &[])
            .map(|(token, _)| token)
    }
}

async fn answer(AxumState(state): AxumState<Arc<State>>, request: Request<Body>) -> Response {
    dispatch::answer(&state, request).await
}

/// Marks a request whose sender is known already.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated(pub User);

/// The server for clients in the same process. See [`ApiServer::into_service`].
#[derive(Clone)]
pub struct InProcess {
    state: Arc<State>,
    user: User,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcess").field("user", &self.user).finish_non_exhaustive()
    }
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: http_body_util::BodyExt<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = self.state.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Authenticated(self.user.clone()));
        Box::pin(async move { Ok(dispatch::answer(&state, request).await) })
    }
}
