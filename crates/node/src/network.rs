//! How the outside world is reached: proxies, and whom to believe who a server is.

use crate::host::Host;
use crate::settings::FileText;
use std::time::Duration;

/// The name of the variable with a file of certificates that servers are trusted by.
const CERTIFICATES: &str = "SSL_CERT_FILE";
/// Variable: seconds that a server may be silent.
const PATIENCE: &str = "HUSK_NETWORK_TIMEOUT";

/// Where distributions keep the certificates that the host trusts.
const PLACES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Proxies, certificates and patience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// `HTTPS_PROXY`: the proxy for https addresses.
    pub https_proxy: String,
    /// `HTTP_PROXY`: the proxy for http addresses.
    pub http_proxy: String,
    /// `NO_PROXY`: what is reached without one.
    pub no_proxy: String,
    /// `SSL_CERT_FILE` and its text, which is `None` when it cannot be read. Without it the host's own certificates count.
    pub certificates: Option<(String, Option<String>)>,
    /// How long a server may be silent.
    pub patience: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            https_proxy: String::new(),
            http_proxy: String::new(),
            no_proxy: String::new(),
            certificates: None,
            patience: Duration::from_secs(60),
        }
    }
}

impl Network {
    /// Reads the variables that everybody uses for this.
    pub fn read(get: &dyn Fn(&str) -> Option<String>, file: FileText) -> Network {
        let either = |name: &str| get(name).or_else(|| get(&name.to_ascii_lowercase())).unwrap_or_default();
        Network {
            https_proxy: either("HTTPS_PROXY"),
            http_proxy: either("HTTP_PROXY"),
            no_proxy: either("NO_PROXY"),
            certificates: get(CERTIFICATES).map(|path| (path.clone(), file(&path))),
            patience: get(PATIENCE)
                .and_then(|text| text.parse().ok())
                .map_or(Network::default().patience, Duration::from_secs),
        }
    }

    /// The certificates of those whom we believe who a server is, PEM; empty when there are none and none are needed.
    ///
    /// # Errors
    /// One sentence, when there are none for an encrypted connection.
    pub fn trusted(&self, host: &Host, encrypted: bool) -> Result<String, String> {
        match &self.certificates {
            Some((_, Some(text))) => Ok(text.clone()),
            Some((path, None)) => Err(format!("{CERTIFICATES} {path} cannot be read")),
            None => match PLACES.iter().find_map(|path| host.text(&host.follow(path))) {
                None if encrypted => Err(format!(
                    "no certificates to trust servers by; the host has none at {}, and {CERTIFICATES} is not set",
                    PLACES.join(", ")
                )),
                text => Ok(text.unwrap_or_default()),
            },
        }
    }
}
