//! The connection to an API server, the same for every program.
//!
//! The client library's own connections leave Nagle's algorithm on: the first request waits behind the end of the TLS
//! handshake until the server's kernel acknowledges that, 40 ms later. Here it is off, as in Go's programs; all else is
//! as in the library, which also still makes every connection through a proxy.
//!
//! What does not live here: which cluster it is, and what is asked of it.

use contract::pod;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kube::{Client, Config, Result};
use std::path::Path;
use tower::retry::RetryLayer;
use tower::util::option_layer;
use tower::{BoxError, Layer, ServiceExt};

/// Makes a client of a cluster.
///
/// # Errors
/// When what the configuration names cannot be used.
pub fn client(config: Config) -> Result<Client> {
    // A second installation of the provider is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if config.proxy_url.is_some() {
        return Client::try_from(config);
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(config.connect_timeout);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = config.extra_headers_layer()?.layer(http.map_err(BoxError::from));
    let service = option_layer(config.auth_layer()?).layer(service);
    let retry = config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = option_layer(retry).layer(service);
    let service = config.base_uri_layer().layer(service);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

/// Makes a client with the ServiceAccount of the pod whose `/` is `root`, of the API server at this address. The token is
/// read again when Kubernetes has renewed it.
///
/// # Errors
/// When the ServiceAccount's files cannot be used.
pub async fn from_pod(root: &Path, host: &str, port: &str) -> Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let account = root.join(pod::SERVICE_ACCOUNT.trim_start_matches('/'));
    let file = |name: &str| account.join(name).to_string_lossy().into_owned();
    let name = || "pod".to_owned();
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: Some(file("ca.crt")),
        ..Cluster::default()
    };
    let user = AuthInfo { token_file: Some(file("token")), ..AuthInfo::default() };
    let context = Context { cluster: name(), user: Some(name()), ..Context::default() };
    let kubeconfig = Kubeconfig {
        clusters: vec![NamedCluster { name: name(), cluster: Some(cluster), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo { name: name(), auth_info: Some(user), ..NamedAuthInfo::default() }],
        contexts: vec![NamedContext { name: name(), context: Some(context), ..NamedContext::default() }],
        current_context: Some(name()),
        ..Kubeconfig::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // The proxy of the environment is for the world outside, whatever NO_PROXY says.
    config.proxy_url = None;
    client(config)
}
