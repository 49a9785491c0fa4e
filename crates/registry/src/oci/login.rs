//! Logging in to a registry and out again.

use super::answer::failure;
use super::authorize::Source;
use super::client::{Call, MAX_METADATA};
use super::{Client, Options};
use crate::credentials::{Credential, Store};
use crate::notice::{Notice, Notify, warning};
use crate::url::quoted;
use crate::{Error, Paths, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

/// A login.
#[derive(Debug, Clone)]
pub struct Login<'a> {
    /// Host and port.
    pub host: &'a str,
    /// User name; may be empty with a token as password.
    pub username: &'a str,
    /// Password or token.
    pub password: &'a str,
}

/// Tries the credentials at the registry and keeps them when they are good.
///
/// # Errors
/// The registry refuses, cannot be reached, or the credentials cannot be kept.
pub async fn login(login: &Login<'_>, options: &Options, paths: &Paths, notify: Notify<'_>) -> Result<()> {
    let host = login.host;
    if let Some((suggested, _)) = host.split_once('/') {
        let fields = vec![("host", host.to_owned()), ("suggested", suggested.to_owned())];
        let message = "registry login currently only supports registry hostname, not a repository path";
        notify(warning(message, fields));
        return Err(Error::Invalid(format!("invalid reference: invalid registry {}", quoted(host))));
    }
    let mut store = Store::open(paths)?;
    let credential = Credential::basic(login.username, login.password);
    let asked = if host == "docker.io" { "registry-1.docker.io" } else { host };
    let mut client = Client::with_source(options, Source::Only(asked.into(), credential.clone()))?;
    client.authorizer.force_oauth2 = true;
    if client.ping(asked).await.is_err() {
        client.authorizer.force_oauth2 = false;
        client.ping(asked).await.map_err(|e| e.during(format!("authenticating to {}", quoted(host))))?;
    }
    store.put(host, &credential).await?;
    notify(Notice::Line("Login Succeeded".into()));
    Ok(())
}

/// Forgets the credentials of a registry.
///
/// # Errors
/// The credential file or helper fails.
pub async fn logout(host: &str, paths: &Paths, notify: Notify<'_>) -> Result<()> {
    let mut store = Store::open(paths)?;
    let context = |e: Error| {
        e.during(format!("failed to delete the credential for {}", crate::credentials::server_address(host)))
    };
    store.delete(host).await.map_err(context)?;
    notify(Notice::Line(format!("Removing login credentials for {host}")));
    Ok(())
}

impl Client {
    /// Asks a registry whether it is one and would let us in.
    ///
    /// # Errors
    /// What the registry answers, or that it cannot be reached.
    pub async fn ping(&self, host: &str) -> Result<()> {
        let call = Call {
            method: Method::GET,
            url: self.base(host),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            scope: "",
            limit: MAX_METADATA,
        };
        let answer = self.call(call).await?;
        match answer.status {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => Err(Error::NotFound("not found".into())),
            _ => Err(failure(&Method::GET, &answer)),
        }
    }
}
