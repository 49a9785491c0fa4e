//! Authorisation: which header a request carries, learnt from the registry's challenge.

use super::answer::failure;
use super::challenge::{Challenge, check_realm, merged_scopes};
use crate::credentials::{Credential, Store};
use crate::http::{Client as Http, Received};
use crate::url::{Url, query_value, quoted};
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Mutex;

/// A token server's answer is not larger than this.
const MAX_TOKEN: u64 = 128 << 10;
/// What this client calls itself towards token servers; some know Helm's library by this name.
const CLIENT_ID: &str = "oras-go";

/// Where credentials come from.
pub(super) enum Source {
    /// These, for every registry.
    Given(Credential),
    /// These, for one registry only.
    Only(String, Credential),
    /// The user's files and helpers.
    Stored(Store),
}

impl Source {
    async fn get(&self, host: &str) -> Result<Credential> {
        match self {
            Source::Given(credential) => Ok(credential.clone()),
            Source::Only(only, credential) if only == host => Ok(credential.clone()),
            Source::Only(..) => Ok(Credential::default()),
            Source::Stored(store) => store.get(host).await,
        }
    }
}

/// Makes headers and remembers them.
pub(super) struct Authorizer {
    pub(super) source: Source,
    /// Ask for tokens with a password grant even though the older way would do.
    pub(super) force_oauth2: bool,
    known: Mutex<HashMap<(String, String), HeaderValue>>,
}

impl Authorizer {
    pub(super) fn new(source: Source) -> Authorizer {
        Authorizer { source, force_oauth2: false, known: Mutex::default() }
    }

    /// The header that worked for this host and scope before.
    pub(super) fn known(&self, host: &str, scope: &str) -> Option<HeaderValue> {
        let known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.get(&(host.to_owned(), scope.to_owned())).cloned()
    }

    /// The header that meets a challenge; `None` when nothing can.
    ///
    /// # Errors
    /// No credentials where they are needed, or the token server refuses.
    pub(super) async fn answer(
        &self,
        http: &Http,
        host: &str,
        scope: &str,
        method: &Method,
        refused: &Received,
    ) -> Result<Option<HeaderValue>> {
        let header = refused.headers.get(http::header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let context = |e: Error| e.during(format!("{method} {}", quoted(&refused.url.to_string())));
        let value = match Challenge::parse(header.unwrap_or("")) {
            Challenge::Unknown => return Ok(None),
            Challenge::Basic => basic(&self.source.get(host).await?).map_err(context)?,
            Challenge::Bearer { realm, service, scope: asked } => {
                check_realm(&realm, &refused.url).map_err(context)?;
                let scopes = merged_scopes(scope.split(' ').chain(asked.split(' ')));
                let credential = self.source.get(host).await.map_err(context)?;
                let token = self.token(http, &realm, &service, &scopes, &credential).await.map_err(context)?;
                secret(format!("Bearer {token}"))?
            }
        };
        let mut known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.insert((host.into(), scope.into()), value.clone());
        Ok(Some(value))
    }

    async fn token(
        &self,
        http: &Http,
        realm: &str,
        service: &str,
        scopes: &[String],
        credential: &Credential,
    ) -> Result<String> {
        if !credential.access_token.is_empty() {
            return Ok(credential.access_token.clone());
        }
        if credential.is_empty() || (credential.refresh_token.is_empty() && !self.force_oauth2) {
            return distribution_token(http, realm, service, scopes, credential).await;
        }
        oauth2_token(http, realm, service, scopes, credential).await
    }
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// The older way: GET with basic authentication, or none.
async fn distribution_token(
    http: &Http,
    realm: &str,
    service: &str,
    scopes: &[String],
    credential: &Credential,
) -> Result<String> {
    let mut url = Url::parse(realm)?;
    let mut query = url.query.take().filter(|query| !query.is_empty()).into_iter().collect::<Vec<_>>();
    query.extend(scopes.iter().map(|scope| format!("scope={}", query_value(scope))));
    if !service.is_empty() {
        query.push(format!("service={}", query_value(service)));
    }
    url.query = Some(query.join("&"));
    let named = !credential.username.is_empty() || !credential.password.is_empty();
    let authorization = if named { Some(encoded(credential)?) } else { None };
    let url = url.to_string();
    let answer = http.send(Method::GET, &url, HeaderMap::new(), authorization, Bytes::new(), MAX_TOKEN).await?;
    read_token(&Method::GET, &answer, true)
}

/// The newer way: POST of a form.
async fn oauth2_token(
    http: &Http,
    realm: &str,
    service: &str,
    scopes: &[String],
    credential: &Credential,
) -> Result<String> {
    let mut form = vec![("client_id", CLIENT_ID.to_owned())];
    if !credential.refresh_token.is_empty() {
        form.push(("grant_type", "refresh_token".into()));
        form.push(("refresh_token", credential.refresh_token.clone()));
    } else if !credential.username.is_empty() && !credential.password.is_empty() {
        form.push(("grant_type", "password".into()));
        form.push(("password", credential.password.clone()));
        form.push(("username", credential.username.clone()));
    } else {
        return Err(Error::Credentials("missing username or password for bearer auth".into()));
    }
    if !scopes.is_empty() {
        form.push(("scope", scopes.join(" ")));
    }
    form.push(("service", service.into()));
    let body = form.iter().map(|(name, value)| format!("{name}={}", query_value(value))).collect::<Vec<_>>().join("&");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let answer = http.send(Method::POST, realm, headers, None, body.into(), MAX_TOKEN).await?;
    read_token(&Method::POST, &answer, false)
}

fn read_token(method: &Method, answer: &Received, either: bool) -> Result<String> {
    if answer.status != http::StatusCode::OK {
        return Err(failure(method, answer));
    }
    let at = quoted(&answer.url.to_string());
    let token: Token = serde_json::from_slice(&answer.body)
        .map_err(|e| Error::Credentials(format!("{method} {at}: failed to decode response: {e}")))?;
    match (token.access_token, token.token) {
        (access, _) if !access.is_empty() => Ok(access),
        (_, token) if either && !token.is_empty() => Ok(token),
        _ => Err(Error::Credentials(format!("{method} {at}: empty token returned"))),
    }
}

fn basic(credential: &Credential) -> Result<HeaderValue> {
    if credential.is_empty() {
        return Err(Error::Credentials("basic credential not found".into()));
    }
    if credential.username.is_empty() || credential.password.is_empty() {
        return Err(Error::Credentials("missing username or password for basic auth".into()));
    }
    encoded(credential)
}

fn encoded(credential: &Credential) -> Result<HeaderValue> {
    secret(format!("Basic {}", STANDARD.encode(format!("{}:{}", credential.username, credential.password))))
}

fn secret(text: String) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Error::Credentials("the token holds characters that no header can carry".into()))?;
    value.set_sensitive(true);
    Ok(value)
}
