//! The registry client: requests with authorisation and retries, blobs and manifests by digest.

use super::answer::failure;
use super::authorize::{Authorizer, Source};
use super::manifest::{Descriptor, MANIFEST_TYPES};
use super::{Reference, digest};
use crate::credentials::{Credential, Store};
use crate::http::{self as web, Received, TlsOptions};
use crate::url::Url;
use crate::{Error, Paths, Result};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::time::Duration;

/// Manifests, lists of tags and error bodies are not larger than this.
pub(super) const MAX_METADATA: u64 = 4 << 20;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How registries are talked to.
#[derive(Debug, Clone)]
pub struct Options {
    /// `http` instead of `https`.
    pub plain_http: bool,
    /// TLS settings.
    pub tls: TlsOptions,
    /// User and password instead of the stored ones; both must be filled.
    pub credential: Credential,
    /// How often a request is repeated when the registry is overloaded or broken.
    pub retries: u32,
    /// Whether the environment's proxies are used.
    pub proxies: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            plain_http: false,
            tls: TlsOptions::default(),
            credential: Credential::default(),
            retries: 5,
            proxies: true,
        }
    }
}

/// Talks to registries.
pub struct Client {
    http: web::Client,
    pub(super) authorizer: Authorizer,
    plain_http: bool,
    retries: u32,
}

/// One request to a registry.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) scope: &'a str,
    pub(super) limit: u64,
}

impl Client {
    /// A client with the options' credentials, or with those that the user has stored.
    ///
    /// # Errors
    /// [`Error::Config`] when a certificate or a credential file cannot be used.
    pub fn new(options: &Options, paths: &Paths) -> Result<Client> {
        let given = &options.credential;
        let source = if !given.username.is_empty() && !given.password.is_empty() {
            Source::Given(given.clone())
        } else {
            Source::Stored(Store::open(paths)?)
        };
        Client::with_source(options, source)
    }

    pub(super) fn with_source(options: &Options, source: Source) -> Result<Client> {
        let http =
            web::Client::new(&web::Options { tls: options.tls.clone(), timeout: None, proxies: options.proxies })?;
        let authorizer = Authorizer::new(source);
        Ok(Client { http, authorizer, plain_http: options.plain_http, retries: options.retries })
    }

    /// The start of all URLs of a registry.
    pub(super) fn base(&self, host: &str) -> String {
        format!("{}://{host}/v2/", if self.plain_http { "http" } else { "https" })
    }

    fn at(&self, reference: &Reference, rest: &str) -> String {
        format!("{}{}/{rest}", self.base(reference.host()), reference.repository)
    }

    /// Sends a request; when the registry wants credentials, sends it again with them.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Received> {
        let url = Url::parse(&call.url)?;
        let host = url.host.as_str();
        let first = self.try_often(&call, self.authorizer.known(host, call.scope)).await?;
        // A redirect elsewhere may not ask for the registry's credentials.
        if first.status != StatusCode::UNAUTHORIZED || first.url.origin() != url.origin() {
            return Ok(first);
        }
        match self.authorizer.answer(&self.http, host, call.scope, &call.method, &first).await? {
            Some(authorization) => self.try_often(&call, Some(authorization)).await,
            None => Ok(first),
        }
    }

    async fn try_often(&self, call: &Call<'_>, authorization: Option<HeaderValue>) -> Result<Received> {
        let mut pause = Duration::from_millis(250);
        let mut left = self.retries;
        loop {
            let sent = self.http.send(
                call.method.clone(),
                &call.url,
                call.headers.clone(),
                authorization.clone(),
                call.body.clone(),
                call.limit,
            );
            let answer = sent.await?;
            let busy = answer.status == StatusCode::REQUEST_TIMEOUT
                || answer.status == StatusCode::TOO_MANY_REQUESTS
                || answer.status.is_server_error();
            if !busy || left == 0 {
                return Ok(answer);
            }
            left -= 1;
            let asked = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            tokio::time::sleep(asked.map_or(pause, Duration::from_secs).min(LONGEST_PAUSE)).await;
            pause *= 2;
        }
    }

    /// Reads a manifest and checks it against the digest that was asked for and the one that the registry tells.
    /// Returns its descriptor and bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Digest`], or what [`Client::call`] says.
    pub async fn manifest(&self, reference: &Reference, wanted: &str) -> Result<(Descriptor, Bytes)> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(MANIFEST_TYPES));
        let answer = self
            .call(Call {
                method: Method::GET,
                url: self.at(reference, &format!("manifests/{wanted}")),
                headers,
                body: Bytes::new(),
                scope: &pull_scope(reference),
                limit: MAX_METADATA,
            })
            .await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Error::NotFound(format!("{}: not found", named(reference, wanted)))),
            _ => return Err(failure(&Method::GET, &answer)),
        }
        let found = digest(&answer.body);
        let told = answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
        let asked = wanted.contains(':').then_some(wanted);
        for expected in told.filter(|told| told.starts_with("sha256:")).into_iter().chain(asked) {
            check_digest(&named(reference, wanted), expected, &found)?;
        }
        let media_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let media_type = media_type.split(';').next().unwrap_or("").trim().to_owned();
        let size = answer.body.len() as u64;
        Ok((Descriptor { media_type, digest: found, size }, answer.body))
    }

    /// Reads a blob, not larger than `limit` bytes, and checks it against its descriptor.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`], [`Error::Digest`], or what [`Client::call`] says.
    pub async fn blob(&self, reference: &Reference, descriptor: &Descriptor, limit: u64) -> Result<Bytes> {
        let what = named(reference, &descriptor.digest);
        if descriptor.size > limit {
            return Err(Error::TooLarge { what, limit });
        }
        let answer = self
            .call(Call {
                method: Method::GET,
                url: self.at(reference, &format!("blobs/{}", descriptor.digest)),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                scope: &pull_scope(reference),
                limit: descriptor.size.max(MAX_METADATA).min(limit),
            })
            .await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Error::NotFound(format!("{what}: not found"))),
            _ => return Err(failure(&Method::GET, &answer)),
        }
        check_digest(&what, &descriptor.digest, &digest(&answer.body))?;
        Ok(answer.body)
    }

    /// Whether the registry has a manifest.
    pub(super) async fn has_manifest(&self, reference: &Reference, digest: &str) -> Result<bool> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(super::media_type::MANIFEST));
        let answer = self
            .call(Call {
                method: Method::HEAD,
                url: self.at(reference, &format!("manifests/{digest}")),
                headers,
                body: Bytes::new(),
                scope: &push_scope(reference),
                limit: MAX_METADATA,
            })
            .await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(failure(&Method::HEAD, &answer)),
        }
    }

    /// Uploads a blob unless the registry has it already.
    pub(super) async fn upload(&self, reference: &Reference, data: Bytes) -> Result<()> {
        let scope = push_scope(reference);
        let digest = digest(&data);
        let call = |method: Method, url: String, body: Bytes| {
            let mut headers = HeaderMap::new();
            if method == Method::PUT {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            }
            Call { method, url, headers, body, scope: &scope, limit: MAX_METADATA }
        };
        let known = self.call(call(Method::HEAD, self.at(reference, &format!("blobs/{digest}")), Bytes::new())).await?;
        if known.status == StatusCode::OK {
            return Ok(());
        }
        if known.status != StatusCode::NOT_FOUND {
            return Err(failure(&Method::HEAD, &known));
        }
        let opened = self.call(call(Method::POST, self.at(reference, "blobs/uploads/"), Bytes::new())).await?;
        if opened.status != StatusCode::ACCEPTED {
            return Err(failure(&Method::POST, &opened));
        }
        let location = opened.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut target = opened.url.resolve(&Url::parse(location)?);
        let parameter = format!("digest={}", crate::url::query_value(&digest));
        target.query = Some(match target.query.filter(|query| !query.is_empty()) {
            Some(query) => format!("{query}&{parameter}"),
            None => parameter,
        });
        let stored = self.call(call(Method::PUT, target.to_string(), data)).await?;
        if stored.status == StatusCode::CREATED { Ok(()) } else { Err(failure(&Method::PUT, &stored)) }
    }

    /// Uploads a manifest under the reference's tag or digest.
    pub(super) async fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &'static str,
        data: Bytes,
    ) -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let expected = digest(&data);
        let answer = self
            .call(Call {
                method: Method::PUT,
                url: self.at(reference, &format!("manifests/{}", reference.manifest())),
                headers,
                body: data,
                scope: &push_scope(reference),
                limit: MAX_METADATA,
            })
            .await?;
        if answer.status != StatusCode::CREATED {
            return Err(failure(&Method::PUT, &answer));
        }
        match answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok()) {
            Some(told) if told.starts_with("sha256:") => check_digest(&reference.to_string(), told, &expected),
            _ => Ok(()),
        }
    }
}

pub(super) fn pull_scope(reference: &Reference) -> String {
    format!("repository:{}:pull", reference.repository)
}

fn push_scope(reference: &Reference) -> String {
    format!("repository:{}:pull,push", reference.repository)
}

fn named(reference: &Reference, wanted: &str) -> String {
    let joint = if wanted.contains(':') { '@' } else { ':' };
    format!("{}/{}{joint}{wanted}", reference.registry, reference.repository)
}

fn check_digest(what: &str, expected: &str, found: &str) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Digest { what: what.into(), expected: expected.into(), found: found.into() })
}
