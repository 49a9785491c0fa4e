//! Keys, certificates, TLS, kubeconfigs.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as B64;
use rand::RngExt;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

use crate::auth::User;

/// Why keys or certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A key or certificate is malformed or cannot be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refuses the configuration.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The client verifier cannot be built.
    #[error("client verification: {0}")]
    Verifier(String),
}

/// The CA of the cluster, the server's certificate and the administrator's token.
pub struct Credentials {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    names: Vec<String>,
    admin_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("names", &self.names).finish_non_exhaustive()
    }
}

fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    // Written beside and renamed, so that a kill leaves either none or all of it.
    let fresh = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text)?;
    std::fs::rename(fresh, path)
}

/// 32 random bytes that stay the same for a data directory.
pub(crate) fn secret_key(dir: Option<&Path>) -> Result<[u8; 32], TlsError> {
    let fresh: [u8; 32] = rand::rng().random();
    let Some(dir) = dir else { return Ok(fresh) };
    let path = dir.join("tokens.key");
    match std::fs::read(&path) {
        Ok(data) => data.try_into().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is not 32 bytes", path.display())).into()
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_private(&path, &fresh)?;
            Ok(fresh)
        }
        Err(error) => Err(error.into()),
    }
}

fn ca_params() -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "kubernetes");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A certificate with its key, both PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Certificate.
    pub certificate: String,
    /// Private key.
    pub key: String,
}

impl Credentials {
    /// Reads the CA and the administrator's token of `dir`, or makes them.
    pub(crate) fn open(dir: Option<&Path>, host_names: &[String]) -> Result<Self, TlsError> {
        let stored = match dir {
            None => None,
            Some(dir) => {
                let read = |name: &str| match std::fs::read_to_string(dir.join(name)) {
                    Ok(text) => Ok(Some(text)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error),
                };
                match (read("ca.crt")?, read("ca.key")?, read("admin.token")?) {
                    (Some(cert), Some(key), Some(token)) => Some((cert, key, token)),
                    _ => None,
                }
            }
        };
        let (ca_pem, key, admin_token) = match stored {
            Some((cert, key, token)) => (cert, KeyPair::from_pem(&key)?, token),
            None => {
                let key = KeyPair::generate()?;
                let cert = ca_params()?.self_signed(&key)?.pem();
                let secret: [u8; 24] = rand::rng().random();
                let token: String = secret.iter().map(|b| format!("{b:02x}")).collect();
                if let Some(dir) = dir {
                    std::fs::create_dir_all(dir)?;
                    write_private(&dir.join("ca.key"), key.serialize_pem().as_bytes())?;
                    write_private(&dir.join("admin.token"), token.as_bytes())?;
                    write_private(&dir.join("ca.crt"), cert.as_bytes())?;
                }
                (cert, key, token)
            }
        };
        let mut names: Vec<String> = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "127.0.0.1",
            "::1",
            "10.96.0.1",
        ]
        .map(String::from)
        .to_vec();
        names.extend(host_names.iter().cloned());
        let issuer = Issuer::new(ca_params()?, key);
        Ok(Credentials { ca_pem, issuer, names, admin_token })
    }

    /// The CA certificate (PEM).
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The administrator's bearer token.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    pub(crate) fn token_user(&self, token: &str) -> Option<User> {
        (token == self.admin_token).then(User::admin)
    }

    /// A client certificate for a user (common name) in a group (organisation).
    ///
    /// # Errors
    /// When the names cannot be put into a certificate.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity, TlsError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.signed(params)
    }

    fn signed(&self, mut params: CertificateParams) -> Result<Identity, TlsError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The server's certificate.
    pub(crate) fn server(&self) -> Result<Identity, TlsError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        for name in &self.names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.signed(params)
    }

    /// A kubeconfig for the administrator's client certificate; `server` is a URL such as `https://127.0.0.1:6443`.
    ///
    /// # Errors
    /// As [`Credentials::client`].
    pub fn kubeconfig(&self, cluster: &str, server: &str) -> Result<String, TlsError> {
        let admin = self.client("kubernetes-admin", Some("system:masters"))?;
        let (ca, cert, key) = (B64.encode(&self.ca_pem), B64.encode(admin.certificate), B64.encode(admin.key));
        Ok(kubeconfig(cluster, server, &ca, &format!("client-certificate-data: {cert}\n    client-key-data: {key}")))
    }

    /// A kubeconfig for a bearer token.
    pub fn token_kubeconfig(&self, cluster: &str, server: &str, token: &str) -> String {
        kubeconfig(cluster, server, &B64.encode(&self.ca_pem), &format!("token: {token}"))
    }
}

fn kubeconfig(cluster: &str, server: &str, ca: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {cluster}\n  cluster:\n    server: {server}\n    certificate-authority-data: {ca}\n\
         users:\n- name: {cluster}\n  user:\n    {user}\n\
         contexts:\n- name: {cluster}\n  context:\n    cluster: {cluster}\n    user: {cluster}\ncurrent-context: {cluster}\n"
    )
}
