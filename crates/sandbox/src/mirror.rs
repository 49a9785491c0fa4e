//! The world outside of the sandbox: a forward proxy that has releases of containerd, whatever host is asked for them.
//!
//! A cluster behind a proxy gives its pods `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` and, where the proxy looks into TLS,
//! `SSL_CERT_FILE` with the proxy's own authority. The sandbox is such a cluster: its proxy ends TLS itself, with a
//! certificate for whatever host is asked for, and answers every path that has `containerd` in it and ends in `.tar.gz`
//! with a small tarball in the layout of containerd's releases. Its programs are those of simulated hosts and of the version
//! that the file's name tells, or of [`VERSION`]. Everything else is not found; nothing ever leaves the machine.

use flate2::{Compression, GzBuilder};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivateKeyDer;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The version of a containerd whose file's name tells none.
pub const VERSION: &str = "2.1.5";

/// Bytes of a request's head.
const HEAD_LIMIT: usize = 16 << 10;
/// How long a client may take for its request.
const PATIENCE: Duration = Duration::from_secs(30);
/// What pods reach without the proxy.
const DIRECT: &str = "localhost,127.0.0.0/8,10.0.0.0/8,.svc,.cluster.local";

/// A proxy that runs.
#[derive(Clone, Debug)]
pub struct Mirror {
    port: u16,
    certificate: String,
}

impl Mirror {
    /// Starts the proxy on any port of 127.0.0.1; it ends with `tasks`.
    pub async fn start(tasks: &mut JoinSet<()>) -> io::Result<Mirror> {
        let authority = Authority::new().map_err(io::Error::other)?;
        let certificate = authority.certificate.clone();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        tasks.spawn(serve(listener, Arc::new(authority)));
        Ok(Mirror { port, certificate })
    }

    /// The certificate of the proxy's authority, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What containers are told: where the proxy is, what is reached without it, and the file with the certificate.
    pub fn environment(&self, certificate: &str) -> Vec<(String, String)> {
        let proxy = format!("http://127.0.0.1:{}", self.port);
        [("HTTPS_PROXY", proxy.as_str()), ("HTTP_PROXY", &proxy), ("NO_PROXY", DIRECT), ("SSL_CERT_FILE", certificate)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }
}

/// Makes certificates for hosts.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "husk-sandbox-mirror");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Authority { certificate, issuer: Issuer::new(params, key) })
    }

    /// A server that says it is this host.
    fn acceptor(&self, host: &str) -> Result<TlsAcceptor, Box<dyn std::error::Error + Send + Sync>> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, &self.issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

async fn serve(listener: TcpListener, authority: Arc<Authority>) {
    let mut clients = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let authority = authority.clone();
                clients.spawn(async move {
                    let served = tokio::time::timeout(PATIENCE, proxy(stream, &authority)).await;
                    if let Ok(Err(error)) = served {
                        tracing::debug!(%error, "mirror");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "mirror");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while clients.try_join_next().is_some() {}
    }
}

/// Serves one request of a client, inside a tunnel when it asks for one.
async fn proxy(mut stream: TcpStream, authority: &Authority) -> io::Result<()> {
    let head = head(&mut stream).await?;
    let (method, target) = request(&head);
    if method != "CONNECT" {
        return reply(&mut stream, method, path(target)).await;
    }
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host).trim_matches(['[', ']']);
    let acceptor = authority.acceptor(host).map_err(io::Error::other)?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let mut stream = acceptor.accept(stream).await?;
    let head = self::head(&mut stream).await?;
    let (method, target) = request(&head);
    reply(&mut stream, method, path(target)).await
}

/// Reads up to the empty line after a request's fields.
async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_LIMIT {
            return Err(io::Error::other("a request without an end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The method and the target of a request.
fn request(head: &str) -> (&str, &str) {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// The path of a target, which a proxy is given with scheme and host.
fn path(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    rest.split(['?', '#']).next().unwrap_or_default()
}

async fn reply<S: AsyncWrite + Unpin>(stream: &mut S, method: &str, path: &str) -> io::Result<()> {
    let (status, body) = match release(path) {
        _ if !matches!(method, "GET" | "HEAD") => ("405 Method Not Allowed", Vec::new()),
        Some(version) => ("200 OK", tarball(&version)?),
        None => ("404 Not Found", b"the sandbox has releases of containerd and nothing else\n".to_vec()),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(&body).await?;
    }
    stream.shutdown().await
}

/// The version of containerd that a path asks for; `None` when it asks for something else.
fn release(path: &str) -> Option<String> {
    if !(path.contains("containerd") && path.ends_with(".tar.gz")) {
        return None;
    }
    let name = path.trim_end_matches(".tar.gz").rsplit('/').next().unwrap_or_default();
    let is_version = |word: &&str| {
        let numbers = word.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().is_ok());
        word.split('.').count() == 3 && numbers.into_iter().all(|number| number)
    };
    let found = name.split('-').find(is_version).map(|word| word.trim_start_matches('v'));
    Some(found.unwrap_or(VERSION).to_owned())
}

/// A tarball as containerd publishes it; the same bytes for the same version.
fn tarball(version: &str) -> io::Result<Vec<u8>> {
    let compressed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    let mut tar = tar::Builder::new(compressed);
    let program = |name| simhost::program::text(name, None);
    for (name, text) in [
        ("containerd", simhost::program::text("containerd", Some(("containerd", version)))),
        ("containerd-shim-runc-v2", program("containerd-shim-runc-v2")),
        ("ctr", program("ctr")),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, format!("bin/{name}"), text.as_bytes())?;
    }
    let mut compressed = tar.into_inner()?;
    compressed.flush()?;
    compressed.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_names() {
        assert_eq!(release("/x/containerd-2.1.4-linux-amd64.tar.gz").as_deref(), Some("2.1.4"));
        assert_eq!(release("/containerd/v1.7.29.tar.gz").as_deref(), Some("1.7.29"));
        assert_eq!(release("/containerd-linux-arm64.tar.gz").as_deref(), Some(VERSION));
        assert_eq!(release("/runc-1.3.3.tar.gz"), None);
        assert_eq!(release("/containerd-2.1.4.zip"), None);
        assert_eq!(path("http://m.example:80/a/b?c"), "/a/b");
        assert_eq!(path("http://m.example"), "/");
        assert_eq!(tarball("2.1.4").unwrap(), tarball("2.1.4").unwrap());
        assert_ne!(tarball("2.1.4").unwrap(), tarball("2.1.5").unwrap());
    }

    #[tokio::test]
    async fn what_it_does_not_have_is_not_found_and_what_is_no_request_ends() {
        let mut tasks = JoinSet::new();
        let mirror = Mirror::start(&mut tasks).await.unwrap();
        let ask = async |request: &str| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, mirror.port)).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        assert!(ask("GET http://m/containerd.tar.gz HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(ask("GET http://m/etc/passwd HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404"));
        assert!(ask("POST http://m/containerd.tar.gz HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405"));
        assert_eq!(ask("garbage").await, "");
    }
}
