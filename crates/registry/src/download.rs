//! From what a user calls a chart to its archive: `repo/name`, a URL, or an `oci://` reference.

use crate::cache::{self, Kind};
use crate::files::replace;
use crate::notice::{Notice, Notify};
use crate::oci::{self, Layers};
use crate::repository::{Access, Entry, IndexReader, RepositoryFile, chart_url};
use crate::url::{Url, base_name, resolve_reference, same, unescaped};
use crate::{Error, MAX_ARCHIVE, MAX_PROVENANCE, Paths, Result, sha256_hex};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kinds of content that are asked for.
const ACCEPT: &str = "application/gzip,application/octet-stream";

/// Whether provenance is fetched, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provenance {
    /// It is not fetched.
    #[default]
    Never,
    /// It is fetched if it is there; when it is, it must be good.
    IfPossible,
    /// It must be there and good.
    Always,
    /// It is fetched if it is there, for somebody else to check.
    Later,
}

/// What a good signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Names of the key's owner.
    pub identities: Vec<String>,
    /// The key's fingerprint in hexadecimal.
    pub fingerprint: String,
    /// Digest of the archive, with its algorithm.
    pub file_hash: String,
}

/// Checks an archive against its provenance file: archive, provenance, the archive's file name.
pub type Verifier = Arc<dyn Fn(&[u8], &[u8], &str) -> std::result::Result<Signature, String> + Send + Sync>;

/// How charts are fetched.
#[derive(Clone, Default)]
pub struct Options {
    /// Credentials and TLS settings from the command line, for what the configuration does not know.
    pub access: Access,
    /// Registry settings.
    pub registry: oci::Options,
    /// What to do about provenance.
    pub provenance: Provenance,
    /// Checks signatures; without it, provenance that must be checked is an error.
    pub verifier: Option<Verifier>,
}

/// A chart that was fetched.
#[derive(Debug, Clone)]
pub struct Download {
    /// The archive's file name, such as `app-1.0.0.tgz`.
    pub file_name: String,
    /// The archive.
    pub chart: Bytes,
    /// The provenance file, when it was asked for and is there.
    pub provenance: Option<Bytes>,
    /// The signature, when it was checked.
    pub signature: Option<Signature>,
}

/// Where a chart is.
enum Place {
    Web { url: String, access: Access, digest: Option<String> },
    Registry { client: Box<oci::Client>, located: oci::Located },
}

/// Fetches a chart. The version may be a constraint; empty means the newest release. The content cache is used for charts
/// whose digest is known, and filled.
///
/// # Errors
/// There is no such chart or version, it cannot be fetched, does not have the digest that the index or reference tells, is
/// too large, or its provenance is not what [`Options::provenance`] asks for.
pub async fn fetch(
    chart: &str,
    version: &str,
    options: &Options,
    paths: &Paths,
    notify: Notify<'_>,
) -> Result<Download> {
    let place = find(chart, version, options, paths, notify).await?;
    fetch_place(&place, chart, options, paths, notify).await
}

/// Fetches a chart from a URL as [`fetch`] does, when the index's digest is known already.
pub(crate) async fn fetch_url(
    url: &str,
    access: Access,
    digest: &str,
    options: &Options,
    paths: &Paths,
    notify: Notify<'_>,
) -> Result<Download> {
    let place = Place::Web { url: url.into(), access, digest: filled(digest.into()) };
    fetch_place(&place, url, options, paths, notify).await
}

async fn fetch_place(
    place: &Place,
    chart: &str,
    options: &Options,
    paths: &Paths,
    notify: Notify<'_>,
) -> Result<Download> {
    let file_name = place.file_name()?;
    let known = match place {
        Place::Web { digest, .. } => digest.as_deref().map(cache::bare_digest).transpose()?,
        Place::Registry { .. } => None,
    };
    let data = match place {
        Place::Web { url, access, .. } => {
            match known.as_deref().and_then(|digest| cache::get(&paths.content_cache, digest, Kind::Chart)) {
                Some(data) => data.into(),
                None => access.fetch(url, Some(ACCEPT), MAX_ARCHIVE).await?,
            }
        }
        Place::Registry { client, located } => {
            let pulled = client.pull(&located.reference, Layers::Chart, notify).await?;
            pulled.chart.unwrap_or_default()
        }
    };
    let found = sha256_hex(&data);
    if let Some(expected) = known.filter(|expected| *expected != found) {
        return Err(Error::Digest {
            what: chart.into(),
            expected: format!("sha256:{expected}"),
            found: format!("sha256:{found}"),
        });
    }
    // A cache that cannot be written is no reason to fail.
    let _ = cache::put(&paths.content_cache, &found, Kind::Chart, &data);
    let mut download = Download { file_name, chart: data, provenance: None, signature: None };
    if options.provenance != Provenance::Never {
        download.provenance = match place {
            Place::Web { url, access, .. } => {
                let target = format!("{url}.prov");
                provenance_from_web(&target, access, &found, paths, options, chart, notify).await?
            }
            // As with Helm, this is a pull of its own.
            Place::Registry { client, located } => {
                match client.pull(&located.reference, Layers::Provenance, notify).await {
                    Ok(pulled) => pulled.provenance,
                    Err(error) => missing_provenance(&format!("{}.prov", located.url), error, options, chart, notify)?,
                }
            }
        };
        verify(&mut download, options)?;
    }
    Ok(download)
}

/// Fetches a chart as [`fetch`] and saves it, and its provenance file, in a directory. Returns the archive's path.
///
/// # Errors
/// As [`fetch`], or a file cannot be written.
pub async fn fetch_to(
    chart: &str,
    version: &str,
    directory: &Path,
    options: &Options,
    paths: &Paths,
    notify: Notify<'_>,
) -> Result<(PathBuf, Download)> {
    let download = fetch(chart, version, options, paths, notify).await?;
    let path = directory.join(&download.file_name);
    replace(&path, &download.chart, 0o644)?;
    if let Some(provenance) = &download.provenance {
        replace(&directory.join(format!("{}.prov", download.file_name)), provenance, 0o644)?;
    }
    Ok((path, download))
}

impl Place {
    /// The archive's name, which must not lead anywhere else than into the directory that it is saved in.
    fn file_name(&self) -> Result<String> {
        let url = match self {
            Place::Registry { located, .. } => return Ok(located.file_name.clone()),
            Place::Web { url, .. } => url,
        };
        let path = unescaped(&Url::parse(url)?.path);
        match base_name(&path) {
            "" | "." | ".." | "/" => Err(Error::Invalid(format!("{url} does not name a file"))),
            name if name.contains('\0') => Err(Error::Invalid(format!("{url} does not name a file"))),
            name => Ok(name.to_owned()),
        }
    }
}

async fn find(chart: &str, version: &str, options: &Options, paths: &Paths, notify: Notify<'_>) -> Result<Place> {
    // With `--repo`, the chart is a name in that repository.
    if !options.access.url.is_empty() {
        let (url, digest) = chart_url(&options.access, chart, version, notify).await?;
        if oci::is_oci(&url) {
            return in_registry(&url, version, options, paths).await;
        }
        return Ok(Place::Web { url, access: options.access.clone(), digest: filled(digest) });
    }
    let url = Url::parse(chart).map_err(|_| Error::Invalid(format!("invalid chart URL format: {chart}")))?;
    if oci::is_oci(chart) {
        return in_registry(chart, version, options, paths).await;
    }
    let file = RepositoryFile::load_or_empty(&paths.repository_config)?;
    if url.is_absolute() && !url.host.is_empty() && !url.path.is_empty() {
        if !matches!(url.scheme.as_str(), "http" | "https") {
            return Err(Error::Invalid(format!("scheme {} not supported", crate::url::quoted(&url.scheme))));
        }
        let access = match owner(chart, &file, paths, notify)? {
            Some(entry) => with_options(entry, &options.access),
            None => Access { url: chart.into(), ..options.access.clone() },
        };
        return Ok(Place::Web { url: chart.into(), access, digest: None });
    }
    let Some((repository, name)) = url.path.split_once('/') else {
        return Err(Error::Invalid(format!(
            "non-absolute URLs should be in form of repo_name/path_to_chart, got: {url}"
        )));
    };
    let entry = file.get(repository).ok_or_else(|| Error::NotFound(format!("repo {repository} not found")))?;
    if entry.url.is_empty() {
        return Err(Error::Config(format!("no URL found for repository {repository}")));
    }
    let access = with_options(entry, &options.access);
    let reader = IndexReader::open(&paths.cached_index(repository))
        .map_err(|e| e.during("no cached repo found. (try 'helm repo update')"))?;
    let found = reader.select(name, version, notify).map_err(|e| {
        let text = format!(
            "chart {} matching {version} not found in {repository} index. (try 'helm repo update')",
            crate::url::quoted(name)
        );
        e.during(text)
    })?;
    let target = found
        .urls()
        .first()
        .ok_or_else(|| Error::NotFound(format!("chart {} has no downloadable URLs", crate::url::quoted(chart))))?;
    let target = resolve_reference(&entry.url, target)
        .map_err(|_| Error::Invalid(format!("invalid chart URL format: {chart}")))?;
    if oci::is_oci(&target) {
        return in_registry(&target, "", options, paths).await;
    }
    Ok(Place::Web { url: target, access, digest: filled(found.digest.clone()) })
}

fn filled(digest: String) -> Option<String> {
    (!digest.is_empty()).then_some(digest)
}

async fn in_registry(reference: &str, version: &str, options: &Options, paths: &Paths) -> Result<Place> {
    let client = oci::Client::new(&options.registry, paths)?;
    let located = client.locate(reference, version).await?;
    Ok(Place::Registry { client: Box::new(client), located })
}

/// The command line's settings, replaced where the repository's entry says something.
fn with_options(entry: &Entry, given: &Access) -> Access {
    let mut access = Access { url: entry.url.clone(), ..given.clone() };
    let tls = entry.tls();
    if tls.ca_file.is_some() || tls.cert_file.is_some() || tls.key_file.is_some() {
        access.tls = crate::http::TlsOptions { insecure: given.tls.insecure, ..tls };
    }
    access.tls.insecure |= entry.insecure_skip_tls_verify;
    if !entry.username.is_empty() && !entry.password.is_empty() {
        access.username.clone_from(&entry.username);
        access.password.clone_from(&entry.password);
        access.pass_credentials_all = entry.pass_credentials_all;
    }
    access
}

/// The configured repository whose index lists a URL.
fn owner<'a>(url: &str, file: &'a RepositoryFile, paths: &Paths, notify: Notify<'_>) -> Result<Option<&'a Entry>> {
    for entry in &file.repositories {
        let reader = IndexReader::open(&paths.cached_index(&entry.name))
            .map_err(|e| e.during("no cached repo found. (try 'helm repo update')"))?;
        if !reader.mentions(base_name(url)) {
            continue;
        }
        let names: Vec<String> = reader.names().map(String::from).collect();
        for name in names {
            let versions = reader.versions(&name, notify)?.unwrap_or_default();
            if versions.iter().flat_map(|version| version.urls()).any(|listed| same(url, listed)) {
                return Ok(Some(entry));
            }
        }
    }
    Ok(None)
}

async fn provenance_from_web(
    target: &str,
    access: &Access,
    digest: &str,
    paths: &Paths,
    options: &Options,
    chart: &str,
    notify: Notify<'_>,
) -> Result<Option<Bytes>> {
    if let Some(data) = cache::get(&paths.content_cache, digest, Kind::Provenance) {
        return Ok(Some(data.into()));
    }
    match access.fetch(target, Some(ACCEPT), MAX_PROVENANCE).await {
        Ok(data) => {
            let _ = cache::put(&paths.content_cache, digest, Kind::Provenance, &data);
            Ok(Some(data))
        }
        Err(error) => missing_provenance(target, error, options, chart, notify),
    }
}

fn missing_provenance(
    target: &str,
    error: Error,
    options: &Options,
    chart: &str,
    notify: Notify<'_>,
) -> Result<Option<Bytes>> {
    if options.provenance == Provenance::Always {
        return Err(Error::Provenance(format!("failed to fetch provenance {}", crate::url::quoted(target))));
    }
    notify(Notice::Line(format!("WARNING: Verification not found for {chart}: {error}")));
    Ok(None)
}

fn verify(download: &mut Download, options: &Options) -> Result<()> {
    let Some(provenance) = &download.provenance else { return Ok(()) };
    if options.provenance == Provenance::Later {
        return Ok(());
    }
    let Some(verifier) = &options.verifier else {
        return Err(Error::Provenance("signatures cannot be verified here".into()));
    };
    let signature = verifier(&download.chart, provenance, &download.file_name).map_err(Error::Provenance)?;
    download.signature = Some(signature);
    Ok(())
}
