//! Pulling a chart: from a reference and a version to verified bytes.

use super::manifest::{Index, media_type};
use super::{Client, Descriptor, Manifest, Reference, matching_tag};
use crate::notice::{Notice, Notify};
use crate::url::{Url, base_name};
use crate::{Error, MAX_ARCHIVE, MAX_PROVENANCE, Result};
use bytes::Bytes;
use chart::Metadata;
use sprig::semver::Version;

/// A list with more manifests than this is not searched.
const MAX_MANIFESTS: usize = 32;

/// Which of a chart's layers are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// The archive.
    Chart,
    /// The provenance file.
    Provenance,
    /// Both; a missing provenance file is not an error.
    Both,
}

/// What was pulled.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The reference by which the manifest was asked for.
    pub reference: String,
    /// The manifest's digest.
    pub digest: String,
    /// The chart's metadata, from the config blob.
    pub metadata: Metadata,
    /// The archive, when it was wanted.
    pub chart: Option<Bytes>,
    /// The provenance file, when it was wanted and is there.
    pub provenance: Option<Bytes>,
}

/// A chart that has been found, but not pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// What to pull.
    pub reference: Reference,
    /// The file name that Helm gives the archive.
    pub file_name: String,
    /// The reference as a URL, with the version as it is rather than as a tag.
    pub url: String,
}

impl Client {
    /// Finds the tag for a version or constraint; an empty version means the one in the reference, else the newest
    /// release.
    ///
    /// # Errors
    /// [`Error::Invalid`] when reference and version contradict, [`Error::NotFound`] when nothing fits, or what the
    /// registry answers.
    pub async fn locate(&self, text: &str, version: &str) -> Result<Located> {
        let url = Url::parse(text).map_err(|_| Error::Invalid(format!("invalid chart URL format: {text}")))?;
        let path = format!("{}{}", url.host, url.path);
        let mut reference = Reference::parse(&path)?;
        let version = match (version, reference.tag.as_str()) {
            ("", tag) => tag.to_owned(),
            (version, tag) if !tag.is_empty() && tag != version => {
                return Err(Error::Invalid(format!("chart reference and version mismatch: {version} is not {tag}")));
            }
            (version, _) => version.to_owned(),
        };
        if !reference.digest.is_empty() {
            if !version.is_empty() {
                self.check_tag(&reference, &version).await?;
            }
            reference.tag.clear();
            let name = format!("{}@{}", reference.repository, reference.digest);
            let url = format!("{}{}/{name}", super::SCHEME, reference.registry);
            return Ok(Located { reference, file_name: archive_name(&name), url });
        }
        let tag = if Version::parse(&version).is_ok() {
            version
        } else {
            let tags = self.tags(&reference).await?;
            if tags.is_empty() {
                return Err(Error::NotFound(format!("unable to locate any tags in provided repository: {text}")));
            }
            matching_tag(&tags, &version)?
        };
        let name = format!("{}:{tag}", reference.repository);
        let url = format!("{}{}/{name}", super::SCHEME, reference.registry);
        Ok(Located { reference: Reference::parse(&url)?, file_name: archive_name(&name), url })
    }

    /// A tag beside a digest must mean the same, if it exists.
    async fn check_tag(&self, reference: &Reference, tag: &str) -> Result<()> {
        match self.manifest(reference, &tag.replace('+', "_")).await {
            Ok((found, _)) if found.digest != reference.digest => Err(Error::Invalid(format!(
                "chart reference digest mismatch: {} is not {}",
                found.digest, reference.digest
            ))),
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Pulls the wanted layers of a chart.
    ///
    /// # Errors
    /// The manifest is not a chart's, lacks a wanted layer, something does not have the digest that it should have or is
    /// too large, or what the registry answers.
    pub async fn pull(&self, reference: &Reference, layers: Layers, notify: Notify<'_>) -> Result<Pulled> {
        let (descriptor, manifest) = self.chart_manifest(reference).await?;
        let config = self.blob(reference, &manifest.config, MAX_PROVENANCE).await?;
        let metadata = serde_json::from_slice(&config)
            .map_err(|e| Error::Invalid(format!("{reference}: malformed chart metadata: {e}")))?;
        let find = |kind: &str| manifest.layers.iter().find(|layer| layer.media_type == kind);
        let missing = |kind: &str| Error::NotFound(format!("manifest does not contain a layer with mediatype {kind}"));
        let mut chart = None;
        if layers != Layers::Provenance {
            let layer = match (find(media_type::CHART), find(media_type::LEGACY_CHART)) {
                (Some(layer), _) => layer,
                (None, Some(layer)) => {
                    let old = media_type::LEGACY_CHART;
                    notify(Notice::Line(format!("Warning: chart media type {old} is deprecated")));
                    layer
                }
                (None, None) => return Err(missing(media_type::CHART)),
            };
            chart = Some(self.blob(reference, layer, MAX_ARCHIVE).await?);
        }
        let mut provenance = None;
        if layers != Layers::Chart {
            match find(media_type::PROVENANCE) {
                Some(layer) => provenance = Some(self.blob(reference, layer, MAX_PROVENANCE).await?),
                None if layers == Layers::Both => {}
                None => return Err(missing(media_type::PROVENANCE)),
            }
        }
        let reference = reference.to_string();
        notify(Notice::Line(format!("Pulled: {reference}\nDigest: {}", descriptor.digest)));
        if reference.contains('_') {
            notify(Notice::Line(super::push::underscore_note(&reference)));
        }
        Ok(Pulled { reference, digest: descriptor.digest, metadata, chart, provenance })
    }

    /// The manifest of a chart, which may stand in a list among others.
    async fn chart_manifest(&self, reference: &Reference) -> Result<(Descriptor, Manifest)> {
        let wanted = if reference.manifest().is_empty() { "latest" } else { reference.manifest() };
        let (descriptor, data) = self
            .manifest(reference, wanted)
            .await
            .map_err(|e| e.during("failed to perform \"FetchReference\" on source"))?;
        let no_config = || Error::NotFound(format!("could not load config with mediatype {}", media_type::CONFIG));
        if descriptor.media_type == media_type::INDEX {
            let index: Index = serde_json::from_slice(&data).map_err(|e| malformed(reference, &e))?;
            for entry in index.manifests.iter().take(MAX_MANIFESTS) {
                let (_, data) = self.manifest(reference, &entry.digest).await?;
                match serde_json::from_slice::<Manifest>(&data) {
                    Ok(manifest) if manifest.config.media_type == media_type::CONFIG => {
                        return Ok((descriptor, manifest));
                    }
                    _ => {}
                }
            }
            return Err(no_config());
        }
        let manifest: Manifest = serde_json::from_slice(&data).map_err(|e| malformed(reference, &e))?;
        if manifest.config.media_type != media_type::CONFIG { Err(no_config()) } else { Ok((descriptor, manifest)) }
    }
}

fn malformed(reference: &Reference, error: &serde_json::Error) -> Error {
    Error::Invalid(format!("{reference}: malformed manifest: {error}"))
}

/// `charts/app:1.0.0` is saved as `app-1.0.0.tgz`.
fn archive_name(path: &str) -> String {
    let name = base_name(path);
    match name.rsplit_once(':') {
        Some((name, version)) => format!("{name}-{version}.tgz"),
        None => format!("{name}.tgz"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_named_after_tag_or_digest() {
        assert_eq!(archive_name("a/app:1.0.0+b"), "app-1.0.0+b.tgz");
        assert_eq!(archive_name("a/app@sha256:00"), "app@sha256-00.tgz");
    }
}
