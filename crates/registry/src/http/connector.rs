//! Connections: directly or through a proxy, in the clear or with TLS.

use super::failure::ConnectFailure;
use super::tls::Tls;
use futures::future::BoxFuture;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long reaching a server, its proxy and the TLS handshake may take together.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// A proxy's answer to CONNECT is not longer than this.
const MAX_PROXY_ANSWER: usize = 16 << 10;

/// Opens connections for the client's pool.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) tls: Arc<Tls>,
    pub(super) proxies: Option<Arc<Matcher>>,
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectFailure;
    type Future = BoxFuture<'static, Result<Stream, ConnectFailure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let connecting = connector.connect(&uri);
            tokio::time::timeout(CONNECT_TIME, connecting).await.unwrap_or(Err(ConnectFailure::TimedOut))
        })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> Result<Stream, ConnectFailure> {
        let host = uri.host().unwrap_or("").to_owned();
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let proxy = self.proxies.as_ref().filter(|_| !is_local(&host)).and_then(|matcher| matcher.intercept(uri));
        let mut io: Box<dyn Io> = match &proxy {
            Some(proxy) => {
                let through = self.reach_proxy(proxy).await?;
                if https { tunnel(through, &host, port, proxy.basic_auth()).await? } else { through }
            }
            None => Box::new(dial(&host, port).await?),
        };
        if https {
            io = self.secure(io, &host).await?;
        }
        Ok(Stream { io: TokioIo::new(io), through_proxy: proxy.is_some() && !https })
    }

    async fn reach_proxy(&self, proxy: &Intercept) -> Result<Box<dyn Io>, ConnectFailure> {
        let uri = proxy.uri();
        let host = uri.host().unwrap_or("").to_owned();
        match uri.scheme_str() {
            Some("http") | None => Ok(Box::new(dial(&host, uri.port_u16().unwrap_or(80)).await?)),
            Some("https") => self.secure(Box::new(dial(&host, uri.port_u16().unwrap_or(443)).await?), &host).await,
            Some(other) => Err(ConnectFailure::Proxy(format!("proxies of the kind {other} are not supported"))),
        }
    }

    async fn secure(&self, io: Box<dyn Io>, host: &str) -> Result<Box<dyn Io>, ConnectFailure> {
        let config = self.tls.config().map_err(ConnectFailure::Tls)?;
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|e| ConnectFailure::Tls(e.to_string()))?;
        let stream = TlsConnector::from(config).connect(name, io).await.map_err(ConnectFailure::handshake)?;
        Ok(Box::new(stream))
    }
}

/// Go never asks a proxy for what is on this machine.
pub(super) fn is_local(host: &str) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, ConnectFailure> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = match tokio::net::lookup_host((name, port)).await {
        Ok(found) => found.collect(),
        Err(_) => return Err(ConnectFailure::Lookup(name.into())),
    };
    let mut failure = ConnectFailure::Lookup(name.into());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Best effort: it only saves time.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failure = ConnectFailure::dial(address, &error),
        }
    }
    Err(failure)
}

/// Asks a proxy to connect us to a host.
async fn tunnel(
    mut io: Box<dyn Io>,
    host: &str,
    port: u16,
    authorization: Option<&HeaderValue>,
) -> Result<Box<dyn Io>, ConnectFailure> {
    let broken = |e: io::Error| ConnectFailure::Proxy(e.to_string());
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    io.write_all(&request).await.map_err(broken)?;
    io.flush().await.map_err(broken)?;
    let mut answer = Vec::new();
    // Byte by byte: whatever follows the empty line belongs to the tunnelled connection.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_PROXY_ANSWER {
            return Err(ConnectFailure::Proxy("the proxy's answer is too long".into()));
        }
        answer.push(io.read_u8().await.map_err(broken)?);
    }
    let status = String::from_utf8_lossy(&answer);
    let status = status.lines().next().unwrap_or("").split_once(' ').map_or("", |(_, status)| status);
    if status.starts_with("200") { Ok(io) } else { Err(ConnectFailure::Proxy(status.into())) }
}

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection of whichever kind.
pub(super) struct Stream {
    io: TokioIo<Box<dyn Io>>,
    /// Requests must name the whole URL.
    through_proxy: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.through_proxy)
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
