//! TLS: authorities, client certificates, and taking any certificate.

use crate::place::{Place, golden};
use crate::server::{Server, answer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use registry::http::TlsOptions;
use registry::repository::Access;
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn acceptor(&self, name: &str, ask_client: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if ask_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = self.issue(name);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()))
    }
}

fn tls(place: &Place, ca: &Authority) -> TlsOptions {
    let path = place.path("ca.pem");
    std::fs::write(&path, ca.issuer.pem()).unwrap();
    TlsOptions { ca_file: Some(path), ..TlsOptions::default() }
}

async fn index(server: &Server, tls: TlsOptions) -> Result<usize, String> {
    let url = format!("https://localhost:{}", server.address.port());
    let access = Access { url: url.clone(), tls, ..Access::default() };
    access.fetch(&format!("{url}/index.yaml"), None, 1 << 20).await.map(|data| data.len()).map_err(|e| e.to_string())
}

#[tokio::test]
async fn servers_are_checked() {
    let (place, ca) = (Place::new(), Authority::new());
    let text = golden("index.yaml");
    let length = text.len();
    let server = Server::start_tls(ca.acceptor("localhost", false), move |_| answer(200, text.clone())).await;
    assert_eq!(index(&server, tls(&place, &ca)).await, Ok(length));
    let stranger = index(&server, tls(&place, &Authority::new())).await.unwrap_err();
    assert!(stranger.ends_with("x509: certificate signed by unknown authority"), "{stranger}");
    assert_eq!(index(&server, TlsOptions { insecure: true, ..TlsOptions::default() }).await, Ok(length));
    let other = Server::start_tls(ca.acceptor("other.example", false), |_| answer(200, "x")).await;
    let misnamed = index(&other, tls(&place, &ca)).await.unwrap_err();
    assert!(misnamed.contains("tls: failed to verify certificate"), "{misnamed}");
}

#[tokio::test]
async fn clients_show_their_certificates() {
    let (place, ca) = (Place::new(), Authority::new());
    let server = Server::start_tls(ca.acceptor("localhost", true), |_| answer(200, "x")).await;
    assert!(index(&server, tls(&place, &ca)).await.is_err());
    let (certificate, key) = ca.issue("client");
    std::fs::write(place.path("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(place.path("key.pem"), key.serialize_pem()).unwrap();
    let mine = TlsOptions {
        cert_file: Some(place.path("cert.pem")),
        key_file: Some(place.path("key.pem")),
        ..tls(&place, &ca)
    };
    assert_eq!(index(&server, mine).await, Ok(1));
}

#[tokio::test]
async fn a_server_without_tls_and_files_without_certificates() {
    let place = Place::new();
    let server = Server::start(|_| answer(200, "x")).await;
    let plain = index(&server, tls(&place, &Authority::new())).await.unwrap_err();
    assert!(plain.ends_with("http: server gave HTTP response to HTTPS client"), "{plain}");
    std::fs::write(place.path("ca.pem"), "nothing").unwrap();
    let options = TlsOptions { ca_file: Some(place.path("ca.pem")), ..TlsOptions::default() };
    let error = index(&server, options).await.unwrap_err();
    assert_eq!(error, "can't create TLS config for client: failed to append certificates from pem block");
    let missing = TlsOptions { ca_file: Some("/none.pem".into()), ..TlsOptions::default() };
    let error = index(&server, missing).await.unwrap_err();
    assert_eq!(
        error,
        "can't create TLS config for client: can't read CA file: \"/none.pem\": open /none.pem: no such file or directory"
    );
}
