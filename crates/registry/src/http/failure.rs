//! Failures of connections in the words of Go's `net` and `crypto/tls`.

use crate::error::os_text;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFailure {
    #[error("dial tcp: lookup {0}: no such host")]
    Lookup(String),
    #[error("dial tcp {address}: connect: {why}")]
    Dial { address: SocketAddr, why: String },
    #[error("proxyconnect tcp: {0}")]
    Proxy(String),
    #[error("{0}")]
    Tls(String),
    #[error("dial tcp: i/o timeout")]
    TimedOut,
}

impl ConnectFailure {
    pub(super) fn dial(address: SocketAddr, error: &io::Error) -> ConnectFailure {
        ConnectFailure::Dial { address, why: os_text(error) }
    }

    pub(super) fn handshake(error: io::Error) -> ConnectFailure {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        ConnectFailure::Tls(tls.map_or_else(|| os_text(&error), tls_text))
    }
}

fn tls_text(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error, InvalidMessage};
    let verify = |why: &str| format!("tls: failed to verify certificate: x509: {why}");
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".into()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            verify("certificate signed by unknown authority")
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            verify("certificate has expired or is not yet valid")
        }
        Error::InvalidCertificate(why) => verify(&why.to_string()),
        Error::AlertReceived(alert) => format!("remote error: tls: {alert:?}"),
        other => format!("tls: {other}"),
    }
}

/// The failure of a request, from the error of hyper's client.
pub(super) fn request_text(error: &hyper_util::client::legacy::Error) -> String {
    let mut source = error.source();
    let mut last = error.to_string();
    while let Some(inner) = source {
        if let Some(failure) = inner.downcast_ref::<ConnectFailure>() {
            return failure.to_string();
        }
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return os_text(io);
        }
        last = inner.to_string();
        source = inner.source();
    }
    match last.as_str() {
        "connection closed before message completed" => "EOF".into(),
        _ => last,
    }
}
