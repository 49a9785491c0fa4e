//! TLS settings: which certificate authorities, which client certificate, or no checks at all.

use crate::error::os_text;
use crate::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// How servers are checked and what is shown to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// Certificate authorities in PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate chain in PEM; only used together with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The client's private key in PEM.
    pub key_file: Option<PathBuf>,
    /// Take any certificate.
    pub insecure: bool,
}

impl TlsOptions {
    /// From the texts of a repository's entry, where an empty one means none.
    pub fn from_texts(cert_file: &str, key_file: &str, ca_file: &str, insecure: bool) -> TlsOptions {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        TlsOptions { ca_file: path(ca_file), cert_file: path(cert_file), key_file: path(key_file), insecure }
    }
}

/// The TLS configuration, made when the first `https` connection needs it: reading the system's certificates takes
/// longer than many a command.
pub(super) struct Tls {
    roots: Option<Arc<RootCertStore>>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    insecure: bool,
    ready: OnceLock<std::result::Result<Arc<ClientConfig>, String>>,
}

impl Tls {
    /// Reads the files that the options name.
    pub(super) fn new(options: &TlsOptions) -> Result<Tls> {
        let context = |e: Error| e.during("can't create TLS config for client");
        let roots = options.ca_file.as_deref().map(authorities).transpose().map_err(context)?;
        let client = match (&options.cert_file, &options.key_file) {
            (Some(cert), Some(key)) => Some(key_pair(cert, key).map_err(context)?),
            _ => None,
        };
        Ok(Tls { roots: roots.map(Arc::new), client, insecure: options.insecure, ready: OnceLock::new() })
    }

    pub(super) fn config(&self) -> std::result::Result<Arc<ClientConfig>, String> {
        self.ready.get_or_init(|| self.build().map(Arc::new)).clone()
    }

    fn build(&self) -> std::result::Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            let roots = self.roots.clone().unwrap_or_else(|| Arc::new(system_authorities()));
            if roots.is_empty() {
                return Err("x509: no system certificate authorities found".into());
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_webpki_verifier(verifier.map_err(|e| e.to_string())?)
        };
        match &self.client {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|e| e.to_string())
            }
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

fn system_authorities() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::Config(format!("open {}: {}", path.display(), os_text(&e))))
}

fn authorities(path: &Path) -> Result<RootCertStore> {
    let data = read(path)
        .map_err(|e| e.during(format!("can't read CA file: {}", crate::url::quoted(&path.to_string_lossy()))))?;
    let mut store = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(&data).flatten();
    if store.add_parsable_certificates(certificates).0 == 0 {
        return Err(Error::Config("failed to append certificates from pem block".into()));
    }
    Ok(store)
}

fn key_pair(cert: &Path, key: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let context = |path: &Path| {
        let path = path.display().to_string();
        move |e: Error| e.during(format!("unable to load cert from file {path}"))
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(cert).map_err(context(cert))?).flatten().collect();
    if chain.is_empty() {
        return Err(context(cert)(Error::Config("tls: failed to find any PEM data in certificate input".into())));
    }
    let key_der = PrivateKeyDer::from_pem_slice(&read(key).map_err(context(key))?)
        .map_err(|_| context(key)(Error::Config("tls: failed to find any PEM data in key input".into())))?;
    Ok((chain, key_der))
}

/// Takes every certificate, but still checks that the server holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
