//! The client: requests with bounded redirects, sizes and times.

use super::connector::{Connector, is_local};
use super::failure::request_text;
use super::tls::{Tls, TlsOptions};
use crate::url::Url;
use crate::{Error, Result};
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper_util::client::legacy;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// As Go's client.
const MAX_REDIRECTS: usize = 10;
/// A server that says nothing for so long is given up.
const IDLE_TIME: Duration = Duration::from_secs(120);

/// How a client is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// TLS settings.
    pub tls: TlsOptions,
    /// How long one request with all its redirects and its body may take; `None` is only bounded by silence.
    pub timeout: Option<Duration>,
    /// Whether the proxies that the environment names (`http_proxy`, `https_proxy`, `no_proxy`) are used.
    pub proxies: bool,
}

/// Sends requests; cloning shares its connections.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
    proxies: Option<Arc<Matcher>>,
    timeout: Option<Duration>,
}

/// An answer whose body has been read.
#[derive(Debug, Clone)]
pub struct Received {
    /// Where it finally came from.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// What the server calls that status.
    pub reason: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, not longer than was allowed.
    pub body: Bytes,
}

impl Client {
    /// Sets up a client. Certificates and keys that the options name are read here.
    ///
    /// # Errors
    /// [`Error::Config`] when one of them cannot be used.
    pub fn new(options: &Options) -> Result<Client> {
        Client::with_proxies(options, options.proxies.then(Matcher::from_env))
    }

    fn with_proxies(options: &Options, proxies: Option<Matcher>) -> Result<Client> {
        let proxies = proxies.map(Arc::new);
        let connector = Connector { tls: Arc::new(Tls::new(&options.tls)?), proxies: proxies.clone() };
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Ok(Client { inner, proxies, timeout: options.timeout })
    }

    /// Sends a request, follows redirects and reads the body, at most `limit` bytes of it.
    ///
    /// `authorization` is sent to the origin of `url` only, wherever redirects lead. A redirected request other than GET
    /// and HEAD is an error: nothing that this crate sends needs it.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::TooLarge`] or [`Error::Invalid`]. A status that is no success is not an error here.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        authorization: Option<HeaderValue>,
        body: Bytes,
        limit: u64,
    ) -> Result<Received> {
        let deadline = self.timeout.map(|time| Instant::now() + time);
        let exchange = self.exchange(&method, url, headers, authorization, body, limit);
        match deadline {
            None => exchange.await,
            Some(at) => timeout_at(at, exchange).await.unwrap_or_else(|_| {
                let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
                Err(network(&method, url, why))
            }),
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        url: &str,
        headers: HeaderMap,
        authorization: Option<HeaderValue>,
        body: Bytes,
        limit: u64,
    ) -> Result<Received> {
        let first = Url::parse(url)?;
        let mut current = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let allowed = authorization.as_ref().filter(|_| current.origin() == first.origin());
            let answer = self.once(method, &current, &headers, allowed, body.clone()).await?;
            let status = answer.status();
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match location {
                Some(location) if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
                    if *method != Method::GET && *method != Method::HEAD {
                        return Err(network(method, url, "redirected, which is not followed"));
                    }
                    current = current.resolve(&Url::parse(location)?);
                    if !matches!(current.scheme.as_str(), "http" | "https") {
                        let why = format!("unsupported protocol scheme {}", crate::url::quoted(&current.scheme));
                        return Err(network(method, url, &why));
                    }
                }
                _ => {
                    let (parts, incoming) = answer.into_parts();
                    let body = read(incoming, limit, method, &current).await?;
                    let own = parts.extensions.get::<ReasonPhrase>();
                    let reason = own.map(|own| String::from_utf8_lossy(own.as_bytes()).into_owned());
                    let reason = reason.unwrap_or_else(|| status.canonical_reason().unwrap_or("").into());
                    return Ok(Received { url: current, status, reason, headers: parts.headers, body });
                }
            }
        }
        Err(network(method, url, &format!("stopped after {MAX_REDIRECTS} redirects")))
    }

    async fn once(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
        body: Bytes,
    ) -> Result<http::Response<Incoming>> {
        let text = url.to_string();
        if !matches!(url.scheme.as_str(), "http" | "https") {
            return Err(network(
                method,
                &text,
                &format!("unsupported protocol scheme {}", crate::url::quoted(&url.scheme)),
            ));
        }
        // User and password are no part of what goes over the wire.
        let bare = Url { user: None, fragment: None, ..url.clone() }.to_string();
        let mut request = Request::builder().method(method).uri(&bare).body(Full::new(body));
        if let Ok(request) = &mut request {
            request.headers_mut().extend(headers.clone());
            request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(super::USER_AGENT));
            if let Some(value) = authorization {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
        }
        if let (Ok(request), Some(proxies), "http") = (&mut request, &self.proxies, url.scheme.as_str())
            && !is_local(request.uri().host().unwrap_or(""))
            && let Some(value) = proxies.intercept(request.uri()).and_then(|proxy| proxy.basic_auth().cloned())
        {
            // A tunnel's credentials go into the CONNECT request instead.
            request.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        let request = request.map_err(|e| network(method, &text, &e.to_string()))?;
        match timeout(IDLE_TIME, self.inner.request(request)).await {
            Ok(answer) => answer.map_err(|e| network(method, &text, &request_text(&e))),
            Err(_) => Err(network(method, &text, "net/http: timeout awaiting response headers")),
        }
    }
}

async fn read(mut incoming: Incoming, limit: u64, method: &Method, url: &Url) -> Result<Bytes> {
    let what = || Error::TooLarge { what: url.to_string(), limit };
    if hyper::body::Body::size_hint(&incoming).exact().is_some_and(|size| size > limit) {
        return Err(what());
    }
    let mut body = Vec::new();
    loop {
        let frame = match timeout(IDLE_TIME, incoming.frame()).await {
            Ok(None) => return Ok(body.into()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(network(method, &url.to_string(), "unexpected EOF")),
            Err(_) => return Err(network(method, &url.to_string(), "timeout while reading the body")),
        };
        if let Ok(data) = frame.into_data() {
            if (body.len() + data.len()) as u64 > limit {
                return Err(what());
            }
            body.extend_from_slice(&data);
        }
    }
}

/// `Get "http://h/": why`, as Go's client puts it.
fn network(method: &Method, url: &str, why: &str) -> Error {
    let name = method.as_str();
    let title = name.get(..1).unwrap_or("").to_owned() + &name.get(1..).unwrap_or("").to_ascii_lowercase();
    Error::Network(format!("{title} {}: {why}", crate::url::quoted(url)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Sends a request by way of a proxy that answers once; returns the outcome and what the proxy read.
    async fn through_proxy(url: &str, answer: &'static str) -> (Result<Received>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://user:pw@{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = vec![0; 4096];
            let length = stream.read(&mut read).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&read[..length]).into_owned()
        });
        let matcher = Matcher::builder().http(proxy.clone()).https(proxy).build();
        let client = Client::with_proxies(&Options::default(), Some(matcher)).unwrap();
        let outcome = client.send(Method::GET, url, HeaderMap::new(), None, Bytes::new(), 100).await;
        (outcome, served.await.unwrap())
    }

    #[tokio::test]
    async fn a_proxy_is_told_the_whole_url() {
        let (outcome, asked) =
            through_proxy("http://charts.invalid/index.yaml", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        assert_eq!(outcome.unwrap().body, "hi");
        assert!(asked.starts_with("GET http://charts.invalid/index.yaml HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpwdw==\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for() {
        let (outcome, asked) = through_proxy("https://charts.invalid/", "HTTP/1.1 403 Not you\r\n\r\n").await;
        let why = "Get \"https://charts.invalid/\": proxyconnect tcp: 403 Not you";
        assert_eq!(outcome.unwrap_err().to_string(), why);
        assert!(asked.starts_with("CONNECT charts.invalid:443 HTTP/1.1\r\nHost: charts.invalid:443\r\n"), "{asked}");
        assert!(asked.contains("Proxy-Authorization: Basic dXNlcjpwdw==\r\n"), "{asked}");
        let (outcome, _) =
            through_proxy("https://charts.invalid/", "HTTP/1.1 200 Connection established\r\n\r\n").await;
        assert!(outcome.is_err(), "the other end of the tunnel does not speak TLS");
    }
}
