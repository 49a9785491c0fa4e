//! The server as its clients see it: kube-rs in process, kubectl over TLS.

mod admission;
mod auth;
mod basics;
mod crd;
mod faults;
mod forms;
mod kubectl;
mod laws;
mod lifecycle;
mod many;
mod persistence;
mod subresources;

use apiserver::{ApiServer, Options};
use http_body_util::BodyExt;
use kube::Client;
use serde_json::Value;
use tower::Service;

/// A fresh server in memory and an administrator's client.
fn server() -> (ApiServer, Client) {
    let server = ApiServer::open(Options::default()).expect("a server in memory opens");
    let client = Client::new(server.into_service(), "default");
    (server, client)
}

/// A raw request as the administrator: status code, headers, JSON answer (`null` when it is none).
async fn raw(
    server: &ApiServer,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> (u16, http::HeaderMap, Value) {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = request.body(axum::body::Body::from(body)).expect("a request");
    let response = server.into_service().call(request).await.expect("the service never fails");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// The message of an API error.
fn message<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        other => panic!("expected an API error, got {other:?}"),
    }
}
