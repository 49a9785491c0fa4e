//! Pushing a chart.

use super::{Client, Descriptor, Manifest, Reference, annotations, media_type};
use crate::files::bounded_read;
use crate::notice::{Notice, Notify, pass_on};
use crate::url::{Url, quoted};
use crate::{Error, MAX_ARCHIVE, MAX_PROVENANCE, Result};
use bytes::Bytes;
use chart::Metadata;
use std::path::{Path, PathBuf};

/// What was pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// The reference under which it can be pulled.
    pub reference: String,
    /// The manifest's digest.
    pub digest: String,
    /// The chart's metadata.
    pub metadata: Metadata,
}

/// A chart as it is pushed.
#[derive(Debug, Clone)]
pub struct Package {
    /// The archive.
    pub chart: Bytes,
    /// The provenance file beside it.
    pub provenance: Option<Bytes>,
    /// When the archive was last written, in RFC 3339.
    pub created: String,
    /// The chart's metadata, as read from the archive.
    pub metadata: Metadata,
}

impl Client {
    /// Uploads a chart to `REPOSITORY/NAME:VERSION`, name and version being the chart's own.
    ///
    /// # Errors
    /// [`Error::Invalid`] when name or version cannot stand in a reference, or what the registry answers.
    pub async fn push(&self, package: &Package, repository: &str, notify: Notify<'_>) -> Result<Pushed> {
        let metadata = package.metadata.clone();
        let repository = repository.strip_prefix(super::SCHEME).unwrap_or(repository);
        let path = crate::url::clean_join(&[repository, &metadata.name]);
        let reference = Reference::parse(&format!("{path}:{}", metadata.version))?;

        let config = crate::go_text::json(&metadata).into_bytes();
        let mut layers = vec![Descriptor::of(media_type::CHART, &package.chart)];
        layers.extend(package.provenance.as_ref().map(|data| Descriptor::of(media_type::PROVENANCE, data)));
        let manifest = Manifest::new(
            Descriptor::of(media_type::CONFIG, &config),
            layers,
            annotations(&metadata, &package.created),
        );
        let data = Bytes::from(manifest.to_json());
        let digest = super::digest(&data);
        let failed = |step: &str| {
            let doing = format!("failed to perform {} on destination", quoted(step));
            move |e: Error| e.during(doing)
        };
        if !self.has_manifest(&reference, &digest).await.map_err(failed("Exists"))? {
            let blobs = [package.chart.clone(), config.into()];
            for blob in blobs.into_iter().chain(package.provenance.clone()) {
                self.upload(&reference, blob).await.map_err(failed("Push"))?;
            }
        }
        self.put_manifest(&reference, media_type::MANIFEST, data).await.map_err(failed("Push"))?;

        let text = reference.to_string();
        notify(Notice::Line(format!("Pushed: {text}\nDigest: {digest}")));
        if reference.tag.contains('_') {
            notify(Notice::Line(underscore_note(&text)));
        }
        Ok(Pushed { reference: text, digest, metadata })
    }

    /// Uploads an image: its blobs, then its manifest under the reference's tag.
    ///
    /// # Errors
    /// What the registry answers.
    pub async fn push_image(&self, reference: &Reference, blobs: Vec<Bytes>, manifest: Bytes) -> Result<()> {
        for blob in blobs {
            self.upload(reference, blob).await?;
        }
        self.put_manifest(reference, media_type::MANIFEST, manifest).await
    }
}

/// Why a tag looks other than the version, in Helm's words.
pub(super) fn underscore_note(reference: &str) -> String {
    format!(
        "{reference} contains an underscore.\n\n\
         OCI artifact references (e.g. tags) do not support the plus sign (+). To support\n\
         storing semantic versions, Helm adopts the convention of changing plus (+) to\n\
         an underscore (_) in chart version tags when pushing to a registry and back to\n\
         a plus (+) when pulling from a registry."
    )
}

/// Reads an archive and the provenance file beside it, and checks where they are to go: what `push` starts with.
///
/// # Errors
/// [`Error::Invalid`] when `remote` is no `oci://` URL, [`Error::Io`] when the file is not there or a directory,
/// [`Error::Chart`] when it is no chart.
pub fn package(archive: &Path, remote: &str, notify: Notify<'_>) -> Result<Package> {
    let url = Url::parse(remote).map_err(|_| Error::Invalid(format!("invalid chart URL format: {remote}")))?;
    match url.scheme.as_str() {
        "oci" => {}
        "" => return Err(Error::Invalid("scheme prefix missing from remote (e.g. \"oci://\")".into())),
        other => return Err(Error::Invalid(format!("scheme {} not supported", quoted(other)))),
    }
    let found = match std::fs::metadata(archive) {
        Ok(found) => found,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Io(format!("{}: no such file", archive.display())));
        }
        Err(e) => return Err(Error::io("stat", archive, &e)),
    };
    if found.is_dir() {
        return Err(Error::Invalid("cannot push directory, must provide chart archive (.tgz)".into()));
    }
    let chart = bounded_read(archive, MAX_ARCHIVE)?;
    let mut log = chart::Log::default();
    let metadata = chart::load::path(archive, &mut log)?.metadata;
    pass_on(log, notify);
    let beside = PathBuf::from(format!("{}.prov", archive.display()));
    let provenance = if beside.exists() { Some(bounded_read(&beside, MAX_PROVENANCE)?.into()) } else { None };
    let written = found.modified().map_err(|e| Error::io("stat", archive, &e))?;
    let written = jiff::Timestamp::try_from(written).map_err(|e| Error::Io(e.to_string()))?;
    let created = crate::go_text::time_seconds(&written.to_zoned(jiff::tz::TimeZone::system()));
    Ok(Package { chart: chart.into(), provenance, created, metadata })
}
