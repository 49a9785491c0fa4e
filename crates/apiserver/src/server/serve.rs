//! Serving over TLS: client certificates become users.

use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::tls::TlsError;
use super::{ApiServer, Authenticated};
use crate::auth::User;

impl ApiServer {
    /// Serves HTTPS on a listener until the future is dropped. Clients may show a certificate of the cluster's CA (common name
    /// is the user, organisations are the groups) or a bearer token.
    ///
    /// # Errors
    /// When the server's certificate cannot be made; errors of single connections are only logged.
    pub async fn serve_tls(&self, listener: TcpListener) -> Result<(), TlsError> {
        let acceptor = self.acceptor()?;
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: give connections time to end.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (server, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                if let Err(error) = server.connection(stream, acceptor).await {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
    }

    fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let identity = self.credentials().server()?;
        let malformed = |e: rustls::pki_types::pem::Error| TlsError::Verifier(e.to_string());
        let ca = CertificateDer::from_pem_slice(self.credentials().ca_pem().as_bytes()).map_err(malformed)?;
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).map_err(malformed)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(malformed)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(ca)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|e| TlsError::Verifier(e.to_string()))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    async fn connection(
        self,
        stream: TcpStream,
        acceptor: TlsAcceptor,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let stream = acceptor.accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let user = certificates.and_then(|c| c.first()).and_then(|c| certificate_user(c));
        let service = self.router().map_request(move |request: http::Request<hyper::body::Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            if let Some(user) = &user {
                request.extensions_mut().insert(Authenticated(user.clone()));
            }
            request
        });
        let builder = Builder::new(TokioExecutor::new());
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await
    }
}

/// One DER element: its tag, its content and what follows it.
fn element(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = data.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(count)?;
        (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The user that a client certificate names (RFC 5280: the subject follows version, serial number, algorithm, issuer and
/// validity in the signed part).
fn certificate_user(certificate: &[u8]) -> Option<User> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&0xA0) {
        rest = element(rest)?.2;
    }
    for _ in 0..4 {
        rest = element(rest)?.2;
    }
    let (_, mut names, _) = element(rest)?;
    let (mut user, mut groups) = (None, Vec::new());
    while !names.is_empty() {
        let (_, set, after) = element(names)?;
        names = after;
        let (_, pair, _) = element(set)?;
        let (_, oid, value) = element(pair)?;
        let text = std::str::from_utf8(element(value)?.1).ok()?;
        match oid {
            [0x55, 0x04, 0x03] => user = Some(text),
            [0x55, 0x04, 0x0A] => groups.push(text),
            _ => {}
        }
    }
    Some(User::new(user?, &groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tls::Credentials;

    #[test]
    fn the_subject_of_a_certificate_is_the_user() {
        let credentials = Credentials::open(None, &[]).unwrap();
        let identity = credentials.client("jane", Some("ops")).unwrap();
        let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
        assert_eq!(certificate_user(&der), Some(User::new("jane", &["ops"])));
        for cut in 0..der.len() {
            // Truncated input is refused or read, never a panic.
            let _ = certificate_user(&der[..cut]);
        }
        assert_eq!(certificate_user(b"\x30\x03abc"), None);
    }
}
