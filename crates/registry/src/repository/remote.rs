//! Asking repositories: their indexes, and where a chart is.

use super::{Entry, IndexReader, RepositoryFile};
use crate::http::{Client, Options, TlsOptions};
use crate::notice::{Notice, Notify};
use crate::url::{Url, quoted, resolve_reference, unescaped};
use crate::{Error, MAX_INDEX, Paths, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::time::Duration;

/// How long one download may take, as Helm sets it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// How one repository is reached, and who is asking.
#[derive(Clone, Default)]
pub struct Access {
    /// The repository's URL: credentials go to its scheme, host and port only.
    pub url: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// TLS settings.
    pub tls: TlsOptions,
    /// Send the credentials wherever a chart is.
    pub pass_credentials_all: bool,
    /// Instead of [`DEFAULT_TIMEOUT`].
    pub timeout: Option<Duration>,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Access {
    /// Fetches a URL, at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Status`] when the answer is not 200, [`Error::TooLarge`].
    pub async fn fetch(&self, url: &str, accept: Option<&'static str>, limit: u64) -> Result<Bytes> {
        let target = Url::parse(url)?;
        if !matches!(target.scheme.as_str(), "http" | "https") {
            return Err(no_handler(&target.scheme));
        }
        let origin = Url::parse(&self.url)?;
        let same = origin.scheme == target.scheme && origin.host == target.host;
        let named = !self.username.is_empty() && !self.password.is_empty();
        let authorization = if named && (same || self.pass_credentials_all) {
            Some(basic(&self.username, &self.password)?)
        } else {
            target.user.as_deref().map(from_url).transpose()?
        };
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let timeout = Some(self.timeout.unwrap_or(DEFAULT_TIMEOUT));
        let client = Client::new(&Options { tls: self.tls.clone(), timeout, proxies: true })?;
        let answer = client.send(Method::GET, url, headers, authorization, Bytes::new(), limit).await?;
        if answer.status != StatusCode::OK {
            let code = answer.status.as_u16();
            return Err(Error::Status { code, text: format!("failed to fetch {url} : {code} {}", answer.reason) });
        }
        Ok(answer.body)
    }
}

/// `user:password` in a URL, as Go's client uses it.
fn from_url(user: &str) -> Result<HeaderValue> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    basic(&unescaped(name), &unescaped(password))
}

fn basic(username: &str, password: &str) -> Result<HeaderValue> {
    let text = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
    let mut value = HeaderValue::try_from(text).map_err(|e| Error::Credentials(e.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn no_handler(scheme: &str) -> Error {
    Error::Invalid(format!("could not find protocol handler for: {scheme}"))
}

/// Fetches a repository's index, checks all of it and puts it into the cache under `name`.
///
/// # Errors
/// It cannot be fetched, is no index, or the cache cannot be written.
pub async fn fetch_index(name: &str, access: &Access, paths: &Paths, notify: Notify<'_>) -> Result<()> {
    let data = download_index(access).await?;
    store_index(name, access, &data, paths, notify)
}

async fn download_index(access: &Access) -> Result<Bytes> {
    let url =
        Url::parse(&access.url).map_err(|_| Error::Invalid(format!("invalid chart URL format: {}", access.url)))?;
    if !matches!(url.scheme.as_str(), "http" | "https") {
        return Err(no_handler(&url.scheme));
    }
    let target = resolve_reference(&access.url, "index.yaml")?;
    access.fetch(&target, None, MAX_INDEX).await
}

fn store_index(name: &str, access: &Access, data: &Bytes, paths: &Paths, notify: Notify<'_>) -> Result<()> {
    let reader = IndexReader::parse(data.to_vec(), &access.url)?;
    reader.check(notify)?;
    let mut names: String = reader.names().collect::<Vec<_>>().join("\n");
    if !names.is_empty() {
        names.push('\n');
    }
    crate::files::replace(&paths.cached_names(name), names.as_bytes(), 0o644)?;
    crate::files::replace(&paths.cached_index(name), data, 0o644)
}

/// What became of each repository.
#[derive(Debug)]
pub(crate) struct Updated<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) outcome: Result<()>,
}

/// Fetches several indexes at a time; `each` is told as they come.
pub(crate) async fn fetch_all<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
    timeout: Option<Duration>,
    paths: &Paths,
    notify: Notify<'_>,
    mut each: impl FnMut(&Updated<'a>, &mut (dyn FnMut(Notice) + Send)),
) {
    let mut running: FuturesUnordered<_> = entries
        .into_iter()
        .map(|entry| async move {
            let access = Access { timeout, ..entry.access() };
            let outcome = download_index(&access).await;
            (entry, access, outcome)
        })
        .collect();
    while let Some((entry, access, outcome)) = running.next().await {
        let outcome = outcome.and_then(|data| store_index(&entry.name, &access, &data, paths, notify));
        each(&Updated { entry, outcome }, notify);
    }
}

/// Fetches the indexes of all repositories anew, or of the named ones.
///
/// # Errors
/// There are none, one of `names` is unknown, or some could not be fetched: their URLs are listed, the others are done.
pub async fn update(names: &[String], timeout: Option<Duration>, paths: &Paths, notify: Notify<'_>) -> Result<()> {
    let none = || Error::NotFound("no repositories found. You must add one before updating".into());
    let file = RepositoryFile::load_or_empty(&paths.repository_config)?;
    if file.repositories.is_empty() {
        return Err(none());
    }
    if let Some(unknown) = names.iter().find(|name| file.get(name).is_none()) {
        return Err(Error::NotFound(format!("no repositories found matching '{unknown}'.  Nothing will be updated")));
    }
    let wanted = file.repositories.iter().filter(|entry| names.is_empty() || names.contains(&entry.name));
    notify(Notice::Line("Hang tight while we grab the latest from your chart repositories...".into()));
    let mut failed = Vec::new();
    fetch_all(wanted, timeout, paths, notify, |updated, notify| {
        let Entry { name, url, .. } = updated.entry;
        notify(Notice::Line(match &updated.outcome {
            Ok(()) => format!("...Successfully got an update from the {} chart repository", quoted(name)),
            Err(e) => format!("...Unable to get an update from the {} chart repository ({url}):\n\t{e}", quoted(name)),
        }));
        if updated.outcome.is_err() {
            failed.push(url.clone());
        }
    })
    .await;
    if !failed.is_empty() {
        return Err(Error::Network(format!("failed to update the following repositories: [{}]", failed.join(" "))));
    }
    notify(Notice::Line("Update Complete. ⎈Happy Helming!⎈".into()));
    Ok(())
}

/// Where a chart is, according to the index of a repository that need not be configured: what `--repo` asks for.
/// Returns the URL and the digest from the index, which may be empty.
///
/// # Errors
/// The index cannot be fetched or read, or has no such chart.
pub async fn chart_url(access: &Access, chart: &str, version: &str, notify: Notify<'_>) -> Result<(String, String)> {
    let repository = &access.url;
    let unreachable = format!("looks like {} is not a valid chart repository or cannot be reached", quoted(repository));
    let data = match download_index(access).await {
        Err(e @ Error::Invalid(_)) => return Err(e),
        data => data.map_err(|e| e.during(unreachable.clone()))?,
    };
    let reader = IndexReader::parse(data.to_vec(), repository).map_err(|e| e.during(unreachable))?;
    let what = match version {
        "" => format!("chart {}", quoted(chart)),
        version => format!("chart {} version {}", quoted(chart), quoted(version)),
    };
    let found = match reader.select(chart, version, notify) {
        Err(e @ Error::Index(_)) => return Err(e),
        found => found.map_err(|_| Error::NotFound(format!("{what} not found in {repository} repository")))?,
    };
    let url = found.urls().first().ok_or_else(|| Error::NotFound(format!("{what} has no downloadable URLs")))?;
    let url = resolve_reference(repository, url).map_err(|e| e.during("failed to make chart URL absolute"))?;
    Ok((url, found.digest.clone()))
}
