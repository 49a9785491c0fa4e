//! Fetching over HTTP: a GET that follows redirects, goes through a proxy where one is set, and is bounded in size and time.
//!
//! Everything around it is synchronous, so the transfer runs on a thread of its own and hands over the body piece by piece.

use crate::network::Network;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

const REDIRECTS: usize = 5;
/// How long a connection may take, TLS and proxy included.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// How long everything may take.
const WHOLE_TIME: Duration = Duration::from_secs(3600);
/// Bytes of a proxy's answer to CONNECT.
const PROXY_ANSWER: usize = 8 << 10;

/// Why nothing came: one sentence.
type Why = String;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    /// Where.
    pub(crate) url: &'a str,
    /// Headers beside those that every request has. They are sent to the first host only, wherever redirects lead.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The most bytes that the body may have.
    pub(crate) limit: u64,
}

/// The beginning of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

enum Piece {
    Head(Head),
    /// An empty one is the end.
    Body(Bytes),
}

/// The body of an answer as it arrives.
pub(crate) struct Download {
    pieces: Receiver<Result<Piece, Why>>,
    piece: Bytes,
    /// Why the transfer broke, once it has.
    pub(crate) broken: Option<Why>,
    done: bool,
    patience: Duration,
}

impl Download {
    /// Fetches what a URL names; an answer that is no success is an error. Errors come from reading. `trusted` holds the
    /// certificates of authorities, PEM.
    pub(crate) fn start(url: &str, limit: u64, network: &Network, trusted: &str) -> Result<Self, Why> {
        let mut download = Download::send(&Ask { url, headers: Vec::new(), limit }, network, trusted)?;
        let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
        match download.next() {
            Some(Piece::Head(head)) if !head.status.is_success() => {
                download.broken = Some(format!("{host} answers {}", head.status));
            }
            _ => {}
        }
        Ok(download)
    }

    /// Sends a request and waits for the beginning of its answer, whatever its status.
    pub(crate) fn ask(ask: &Ask, network: &Network, trusted: &str) -> Result<(Head, Download), Why> {
        let mut download = Download::send(ask, network, trusted)?;
        match download.next() {
            Some(Piece::Head(head)) => Ok((head, download)),
            _ => Err(download.broken.unwrap_or_else(|| "the transfer ended unexpectedly".to_owned())),
        }
    }

    fn send(ask: &Ask, network: &Network, trusted: &str) -> Result<Self, Why> {
        let uri: Uri = ask.url.parse().map_err(|error| format!("`{}` is not a URL: {error}", ask.url))?;
        let tls = tls(trusted)?;
        let proxies = Matcher::builder()
            .http(network.http_proxy.clone())
            .https(network.https_proxy.clone())
            .no(network.no_proxy.clone())
            .build();
        let patience = network.patience;
        let (headers, limit) = (ask.headers.clone(), ask.limit);
        let (sender, pieces) = sync_channel(16);
        std::thread::Builder::new()
            .name("download".to_owned())
            .spawn(move || {
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let ended = match tokio {
                    Ok(tokio) => tokio.block_on(transfer(uri, &headers, limit, patience, &proxies, tls, &sender)),
                    Err(error) => Err(error.to_string()),
                };
                // Nobody listens any more when the archive was refused.
                let _ = sender.send(ended.map(|()| Piece::Body(Bytes::new())));
            })
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Download { pieces, piece: Bytes::new(), broken: None, done: false, patience })
    }

    /// Waits for the next piece; `None` when the transfer broke.
    fn next(&mut self) -> Option<Piece> {
        let patience = (CONNECT_TIME + self.patience * 2) * (REDIRECTS as u32 + 1);
        let why = match self.pieces.recv_timeout(patience) {
            Ok(Ok(piece)) => return Some(piece),
            Ok(Err(why)) => why,
            Err(RecvTimeoutError::Timeout) => "nothing arrives".to_owned(),
            Err(RecvTimeoutError::Disconnected) => "the transfer ended unexpectedly".to_owned(),
        };
        self.broken = Some(why);
        None
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(why) = &self.broken {
            return Err(io::Error::other(why.clone()));
        }
        if self.piece.is_empty() && !self.done {
            if let Some(Piece::Body(piece)) = self.next() {
                self.done = piece.is_empty();
                self.piece = piece;
            }
            if let Some(why) = &self.broken {
                return Err(io::Error::other(why.clone()));
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

fn tls(trusted: &str) -> Result<Arc<rustls::ClientConfig>, Why> {
    let mut roots = rustls::RootCertStore::empty();
    let found = CertificateDer::pem_slice_iter(trusted.as_bytes()).filter_map(Result::ok);
    roots.add_parsable_certificates(found);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn transfer(
    uri: Uri,
    headers: &[(HeaderName, HeaderValue)],
    limit: u64,
    patience: Duration,
    proxies: &Matcher,
    tls: Arc<rustls::ClientConfig>,
    sender: &SyncSender<Result<Piece, Why>>,
) -> Result<(), Why> {
    let deadline = Instant::now() + WHOLE_TIME;
    let answer = timeout_at(deadline, open(uri, headers, patience, proxies, tls)).await;
    let (head, mut body) = answer.unwrap_or_else(|_| Err(too_slow()))?;
    let told = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if head.status.is_success() && told.and_then(|text| text.parse().ok()).is_some_and(|length: u64| length > limit) {
        return Err(too_large(limit));
    }
    if sender.send(Ok(Piece::Head(head))).is_err() {
        return Ok(());
    }
    let mut length = 0;
    loop {
        let frame = timeout(patience, body.frame());
        let frame = timeout_at(deadline, frame).await.map_err(|_| too_slow())?;
        let frame = frame.map_err(|_| format!("the server fell silent after {length} bytes"))?;
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.map_err(|error| format!("the connection broke after {length} bytes: {error}"))?;
        let Ok(piece) = frame.into_data() else { continue };
        length += piece.len() as u64;
        if length > limit {
            return Err(too_large(limit));
        }
        if !piece.is_empty() && sender.send(Ok(Piece::Body(piece))).is_err() {
            return Ok(()); // the archive was refused
        }
    }
}

fn too_slow() -> Why {
    format!("not complete after {} minutes", WHOLE_TIME.as_secs() / 60)
}

fn too_large(limit: u64) -> Why {
    format!("larger than {} MiB", limit >> 20)
}

/// Sends the request, and follows where the answers lead.
async fn open(
    mut uri: Uri,
    headers: &[(HeaderName, HeaderValue)],
    patience: Duration,
    proxies: &Matcher,
    tls: Arc<rustls::ClientConfig>,
) -> Result<(Head, Incoming), Why> {
    let first = (uri.scheme().cloned(), uri.authority().cloned());
    for _ in 0..=REDIRECTS {
        let same = first == (uri.scheme().cloned(), uri.authority().cloned());
        let answer = timeout(CONNECT_TIME + patience, ask(&uri, if same { headers } else { &[] }, proxies, &tls)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("{} does not answer", uri.host().unwrap_or_default())))?;
        let status = answer.status();
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        match location.filter(|_| status.is_redirection()) {
            Some(location) => uri = redirected(&uri, location)?,
            None => {
                let (parts, body) = answer.into_parts();
                return Ok((Head { status: parts.status, headers: parts.headers }, body));
            }
        }
    }
    Err(format!("more than {REDIRECTS} redirects"))
}

/// Where a redirect leads; never from https to http.
fn redirected(from: &Uri, location: &str) -> Result<Uri, Why> {
    let wrong = || format!("redirected to `{location}`, which cannot be followed");
    let to: Uri = location.parse().map_err(|_| wrong())?;
    let mut parts = to.into_parts();
    if parts.scheme.is_none() {
        if !location.starts_with('/') {
            return Err(wrong());
        }
        parts.scheme = from.scheme().cloned();
        parts.authority = parts.authority.or_else(|| from.authority().cloned());
    }
    let to = Uri::from_parts(parts).map_err(|_| wrong())?;
    match (from.scheme_str(), to.scheme_str()) {
        (_, Some("https")) | (Some("http"), Some("http")) => Ok(to),
        _ => Err(wrong()),
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn ask(
    uri: &Uri,
    headers: &[(HeaderName, HeaderValue)],
    proxies: &Matcher,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<http::Response<Incoming>, Why> {
    let host = uri.host().ok_or("a URL without a host")?;
    let https = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    let proxy = proxies.intercept(uri);
    let connecting = async {
        let mut stream: Box<dyn Stream> = match &proxy {
            None => Box::new(dial(host, port).await?),
            Some(proxy) => {
                let (name, at) = (proxy.uri().host().unwrap_or_default(), proxy.uri().port_u16());
                let over_tls = proxy.uri().scheme_str() == Some("https");
                let mut stream: Box<dyn Stream> =
                    Box::new(dial(name, at.unwrap_or(if over_tls { 443 } else { 80 })).await?);
                if over_tls {
                    stream = Box::new(secure(name, stream, tls).await?);
                }
                if https {
                    tunnel(&mut stream, host, port, proxy.basic_auth()).await?;
                }
                stream
            }
        };
        if https {
            stream = Box::new(secure(host, stream, tls).await?);
        }
        Ok(stream)
    };
    let stream = timeout(CONNECT_TIME, connecting).await;
    let stream = stream.unwrap_or_else(|_| Err(format!("cannot reach {host} within {} s", CONNECT_TIME.as_secs())))?;
    let failed = |error: hyper::Error| format!("{host}: {error}");
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // it ends with the body, or with the runtime
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(match (&proxy, https) {
        (Some(_), false) => uri.to_string(),
        _ => path.to_owned(),
    });
    if let (Some(value), false) = (proxy.as_ref().and_then(|proxy| proxy.basic_auth()), https) {
        request = request.header(header::PROXY_AUTHORIZATION, value);
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if !headers.iter().any(|(name, _)| name == header::ACCEPT) {
        request = request.header(header::ACCEPT, "*/*");
    }
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let request = request
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("husk/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    client.send_request(request).await.map_err(failed)
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, Why> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    TcpStream::connect((name, port)).await.map_err(|error| format!("cannot reach {host}:{port}: {error}"))
}

async fn secure(
    host: &str,
    stream: Box<dyn Stream>,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<tokio_rustls::client::TlsStream<Box<dyn Stream>>, Why> {
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(name).map_err(|error| format!("{host}: {error}"))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
    connector.connect(name, stream).await.map_err(|error| format!("TLS with {host}: {error}"))
}

/// Asks a proxy for a connection.
async fn tunnel(
    stream: &mut Box<dyn Stream>,
    host: &str,
    port: u16,
    authorization: Option<&http::HeaderValue>,
) -> Result<(), Why> {
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let broke = |error: io::Error| format!("the proxy broke the connection: {error}");
    stream.write_all(&request).await.map_err(broke)?;
    let mut answer = Vec::new();
    // byte by byte: what follows the empty line belongs to the tunnel
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= PROXY_ANSWER {
            return Err("the proxy's answer has no end".to_owned());
        }
        answer.push(stream.read_u8().await.map_err(broke)?);
    }
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    match line.split_whitespace().nth(1) {
        Some(code) if code.len() == 3 && code.starts_with('2') => Ok(()),
        _ => Err(format!("the proxy refuses {host}:{port}: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    /// Answers one connection after the other, and returns the address and the heads of the requests.
    fn server(answers: Vec<String>) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, heads) = sync_channel(16);
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap() == 0 {
                        break;
                    }
                    head.push(byte[0]);
                }
                sender.send(String::from_utf8(head).unwrap()).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (address, heads)
    }

    fn get(url: &str, network: &Network) -> Result<String, Why> {
        let mut download = Download::start(url, 512 << 20, network, "")?;
        let mut text = String::new();
        match download.read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => {
                assert_eq!(download.broken.as_deref(), Some(error.to_string().as_str()));
                Err(error.to_string())
            }
        }
    }

    #[test]
    fn bodies_of_either_length_arrive_and_redirects_are_followed() {
        let (address, heads) = server(vec![
            "HTTP/1.1 302 Found\r\nLocation: /there?x=1\r\nConnection: close\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".into(),
        ]);
        let text = get(&format!("http://{address}/here"), &Network::default()).unwrap();
        assert_eq!(text, "abcde");
        assert!(heads.recv().unwrap().starts_with("GET /here HTTP/1.1\r\n"));
        assert!(heads.recv().unwrap().starts_with("GET /there?x=1 HTTP/1.1\r\n"));
    }

    #[test]
    fn refusals_and_broken_transfers_are_told() {
        let loops = "HTTP/1.1 301 Moved\r\nLocation: /again\r\nConnection: close\r\n\r\n".to_owned();
        for (answers, expected) in [
            (vec!["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()], "404"),
            (vec!["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour".to_owned()], "after 4 bytes"),
            (vec!["HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned()], "larger than 512 MiB"),
            (vec![loops; 6], "more than 5 redirects"),
        ] {
            let (address, _heads) = server(answers);
            let why = get(&format!("http://{address}/"), &Network::default()).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        let why = get("https://127.0.0.1:1/", &Network::default()).unwrap_err();
        assert!(why.contains("cannot reach 127.0.0.1:1"), "{why}");
    }

    #[test]
    fn a_proxy_is_asked_unless_the_host_is_excepted() {
        let (address, heads) = server(vec![
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into(),
            "HTTP/1.1 403 Forbidden\r\n\r\n".into(),
        ]);
        let mut network = Network {
            http_proxy: format!("http://user:word@{address}"),
            https_proxy: format!("http://{address}"),
            ..Network::default()
        };
        assert_eq!(get("http://mirror.example/c.tar.gz", &network).unwrap(), "ok");
        let head = heads.recv().unwrap();
        assert!(head.starts_with("GET http://mirror.example/c.tar.gz HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjp3b3jk"), "{head}");
        let why = get("https://mirror.example/c.tar.gz", &network).unwrap_err();
        assert!(why.contains("the proxy refuses mirror.example:443"), "{why}");
        assert!(heads.recv().unwrap().starts_with("CONNECT mirror.example:443 HTTP/1.1\r\n"));
        network.no_proxy = "127.0.0.1".into();
        let (address, _heads) = server(vec!["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme".into()]);
        assert_eq!(get(&format!("http://{address}/"), &network).unwrap(), "me");
    }

    #[test]
    fn redirects_never_leave_encryption() {
        let from: Uri = "https://a.example/x".parse().unwrap();
        assert_eq!(redirected(&from, "/y").unwrap(), "https://a.example/y");
        assert_eq!(redirected(&from, "https://b.example/y").unwrap(), "https://b.example/y");
        for bad in ["http://a.example/y", "file:///etc/passwd", "y", "ftp://a/"] {
            assert!(redirected(&from, bad).is_err(), "{bad}");
        }
    }
}
