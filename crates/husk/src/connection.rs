//! The connection to an API server.
//!
//! The client library's own connections leave Nagle's algorithm on: the first request waits behind the end of the TLS
//! handshake until the server's kernel acknowledges that, 40 ms later. Here it is off, as in Go's programs; all else is
//! as in the library, which also still makes every connection through a proxy.

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config, Result};
use tower::retry::RetryLayer;
use tower::util::option_layer;
use tower::{BoxError, Layer, ServiceExt};

/// Makes a client of a cluster.
pub(crate) fn client(config: Config) -> Result<Client> {
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
