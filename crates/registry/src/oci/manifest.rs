//! The manifest of a chart: its media types, its annotations, its bytes.

use super::digest;
use chart::Metadata;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Media types.
pub mod media_type {
    /// A chart's metadata as JSON.
    pub const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
    /// A packaged chart.
    pub const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
    /// A packaged chart, as very old clients pushed it.
    pub const LEGACY_CHART: &str = "application/tar+gzip";
    /// A provenance file.
    pub const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
    /// A manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// A list of manifests.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
}

/// The kinds of manifests that are asked for.
pub(super) const MANIFEST_TYPES: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, application/vnd.oci.artifact.manifest.v1+json";

/// What a blob is, and its digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type.
    #[serde(default)]
    pub media_type: String,
    /// `sha256:` and hexadecimal digits.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

impl Descriptor {
    /// The descriptor of some bytes.
    pub fn of(media_type: &str, data: &[u8]) -> Descriptor {
        Descriptor { media_type: media_type.into(), digest: digest(data), size: data.len() as u64 }
    }
}

/// A manifest: what belongs together under one tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The chart's metadata.
    pub config: Descriptor,
    /// Chart and provenance.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// What registries show.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// A manifest with its layers in the order of their digests.
    pub fn new(config: Descriptor, mut layers: Vec<Descriptor>, annotations: BTreeMap<String, String>) -> Manifest {
        layers.sort_by(|a, b| a.digest.cmp(&b.digest));
        Manifest { schema_version: 2, config, layers, annotations }
    }

    /// The bytes that are uploaded; the same as Helm's.
    pub fn to_json(&self) -> String {
        crate::go_text::json(self)
    }
}

/// A list of manifests.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";

/// The annotations for a chart: from its metadata, then its own, which may replace all but title and version.
///
/// `created` is when the archive was last written, in RFC 3339.
pub fn annotations(metadata: &Metadata, created: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut add = |name: &str, value: &str| {
        if !value.trim().is_empty() {
            found.insert(name.to_owned(), value.to_owned());
        }
    };
    add("org.opencontainers.image.description", &metadata.description);
    add(TITLE, &metadata.name);
    add(VERSION, &metadata.version);
    add("org.opencontainers.image.url", &metadata.home);
    add("org.opencontainers.image.created", created);
    add("org.opencontainers.image.source", metadata.sources.first().map_or("", String::as_str));
    let authors: Vec<String> = metadata
        .maintainers
        .iter()
        .map(|m| if m.email.is_empty() { m.name.clone() } else { format!("{} ({})", m.name, m.email) })
        .collect();
    add("org.opencontainers.image.authors", &authors.join(", "));
    let own = metadata.annotations.iter().filter(|(name, _)| *name != TITLE && *name != VERSION);
    found.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use chart::Maintainer;

    #[test]
    fn annotations_come_from_the_chart() {
        let maintainer =
            |name: &str, email: &str| Maintainer { name: name.into(), email: email.into(), url: String::new() };
        let metadata = Metadata {
            name: "app".into(),
            version: "1.0.0+x".into(),
            description: " ".into(),
            sources: vec!["s1".into(), "s2".into()],
            maintainers: vec![maintainer("A", "a@x"), maintainer("B", "")],
            annotations: [(TITLE, "no"), ("org.opencontainers.image.url", "mine"), ("k", "v")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..Metadata::default()
        };
        let found: Vec<_> = annotations(&metadata, "t").into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            found,
            [
                "k=v",
                "org.opencontainers.image.authors=A (a@x), B",
                "org.opencontainers.image.created=t",
                "org.opencontainers.image.source=s1",
                "org.opencontainers.image.title=app",
                "org.opencontainers.image.url=mine",
                "org.opencontainers.image.version=1.0.0+x",
            ]
        );
    }

    #[test]
    fn layers_are_in_order_of_their_digests() {
        let layer = |data: &[u8]| Descriptor::of(media_type::CHART, data);
        let manifest = Manifest::new(layer(b"c"), vec![layer(b"2"), layer(b"1"), layer(b"3")], BTreeMap::new());
        assert!(manifest.layers.is_sorted_by(|a, b| a.digest < b.digest));
        assert!(manifest.to_json().starts_with(r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd"#));
    }
}
