//! What a repository offers: charts in versions.

use crate::notice::{Notify, warning};
use crate::{Error, Result};
use chart::Metadata;
use serde::Serialize;
use serde_json::{Map, Value};
use sprig::semver::{Constraint, Version};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// One version of a chart in an index. Serialised, the fields come in Go's order.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartVersion {
    /// The chart's own metadata.
    #[serde(flatten)]
    pub metadata: Metadata,
    /// Where the archive is; relative ones start at the repository's URL.
    #[serde(serialize_with = "null_when_absent")]
    pub urls: Option<Vec<String>>,
    /// When it was added, RFC 3339.
    pub created: String,
    /// Whether it was taken back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// SHA-256 of the archive in hexadecimal, with or without the algorithm in front; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Fields of old indexes: allowed, kept, without meaning.
    #[serde(flatten)]
    pub relics: BTreeMap<&'static str, String>,
}

fn null_when_absent<S: serde::Serializer>(urls: &Option<Vec<String>>, to: S) -> std::result::Result<S::Ok, S::Error> {
    urls.serialize(to)
}

impl ChartVersion {
    /// The archive's URLs.
    pub fn urls(&self) -> &[String] {
        self.urls.as_deref().unwrap_or_default()
    }
}

/// A whole index in memory.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// What some servers say of themselves.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub server_info: Map<String, Value>,
    /// `v1`.
    pub api_version: String,
    /// When it was made, RFC 3339.
    pub generated: String,
    /// Versions by chart, newest first.
    pub entries: BTreeMap<String, Vec<ChartVersion>>,
    /// Unused relic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub public_keys: Vec<String>,
    /// Whatever others want to say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// An index without charts.
    pub fn empty(generated: impl Into<String>) -> Index {
        Index { api_version: "v1".into(), generated: generated.into(), ..Index::default() }
    }

    /// Sorts every chart's versions, newest first; what is no version comes last.
    pub fn sort(&mut self) {
        self.entries.values_mut().for_each(|versions| sort_versions(versions));
    }

    /// Adds the versions of `other` that are not here yet.
    pub fn merge(&mut self, other: Index) {
        for version in other.entries.into_values().flatten() {
            let name = version.metadata.name.clone();
            let here = self.entries.get(&name).map(Vec::as_slice).unwrap_or_default();
            if select(here, &name, &version.metadata.version, &mut |_| {}).is_err() {
                self.entries.entry(name).or_default().push(version);
            }
        }
    }
}

/// Newest first; what is no version comes last.
pub(super) fn sort_versions(versions: &mut [ChartVersion]) {
    versions.sort_by_cached_key(|entry| Newest(Version::parse(&entry.metadata.version).ok()));
}

struct Newest(Option<Version>);

impl Ord for Newest {
    fn cmp(&self, other: &Newest) -> Ordering {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => b.compare(a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }
}

impl PartialOrd for Newest {
    fn partial_cmp(&self, other: &Newest) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Newest {
    fn eq(&self, other: &Newest) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Newest {}

/// Whether a version text asks for a range rather than for one version.
pub fn is_range(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or("");
    version.contains(['^', '~', '<', '>', '=', '!', '*'])
        || version.contains("||")
        || version.contains(" - ")
        || core.contains(['x', 'X'])
}

/// The version of a chart that fits: the same text, else the first that meets the constraint; an empty text means the
/// newest release. A text that is no range but only met loosely gives a warning.
///
/// # Errors
/// [`Error::Invalid`] when `version` is no constraint, [`Error::NotFound`] when nothing fits.
pub fn select<'a>(
    versions: &'a [ChartVersion],
    name: &str,
    version: &str,
    notify: Notify<'_>,
) -> Result<&'a ChartVersion> {
    if versions.is_empty() {
        return Err(Error::NotFound("no chart version found".into()));
    }
    let constraint =
        Constraint::parse(if version.is_empty() { "*" } else { version }).map_err(|e| Error::Invalid(e.to_string()))?;
    if let Some(same) = versions.iter().find(|entry| !version.is_empty() && entry.metadata.version == version) {
        return Ok(same);
    }
    let fits = |entry: &&ChartVersion| Version::parse(&entry.metadata.version).is_ok_and(|v| constraint.check(&v));
    let found = versions
        .iter()
        .find(fits)
        .ok_or_else(|| Error::NotFound(format!("no chart version found for {name}-{version}")))?;
    if !version.is_empty() && !is_range(version) {
        let fields = vec![
            ("chart", name.to_owned()),
            ("requested", version.to_owned()),
            ("selected", found.metadata.version.clone()),
        ];
        notify(warning("unable to find exact version requested; falling back to closest available version", fields));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(texts: &[&str]) -> Vec<ChartVersion> {
        let version = |text: &&str| ChartVersion {
            metadata: Metadata { name: "a".into(), version: (*text).into(), ..Metadata::default() },
            ..ChartVersion::default()
        };
        texts.iter().map(version).collect()
    }

    fn texts(versions: &[ChartVersion]) -> Vec<&str> {
        versions.iter().map(|v| &*v.metadata.version).collect()
    }

    #[test]
    fn newest_first_and_nonsense_last() {
        let mut list = versions(&["1.0.0", "x", "1.10.0", "1.2.0", "2.0.0-rc.1"]);
        sort_versions(&mut list);
        assert_eq!(texts(&list), ["2.0.0-rc.1", "1.10.0", "1.2.0", "1.0.0", "x"]);
    }

    #[test]
    fn selection() {
        let list = versions(&["2.0.0-rc.1", "1.10.0", "1.2.0", "1.2.0+b", "x"]);
        for (wanted, expected, warned) in [
            ("", "1.10.0", false),
            ("1.2.0+b", "1.2.0+b", false),
            ("~1.2", "1.2.0", false),
            ("1.2", "1.2.0", true),
            (">1-0", "2.0.0-rc.1", false),
        ] {
            let mut count = 0;
            let found = select(&list, "a", wanted, &mut |_| count += 1).map(|v| v.metadata.version.clone());
            assert_eq!((found.as_deref(), count > 0), (Ok(expected), warned), "{wanted}");
        }
        let none = select(&list, "a", "^3", &mut |_| {}).unwrap_err();
        assert_eq!(none.to_string(), "no chart version found for a-^3");
        assert!(matches!(select(&list, "a", "1..2", &mut |_| {}), Err(Error::Invalid(_))));
    }

    #[test]
    fn ranges() {
        assert!(["^1", "1.x", "1 - 2", "1||2", "*"].iter().all(|text| is_range(text)));
        assert!(!["1.2.3", "v1.2", "1.2.3-xyz", "1.2.3+X"].iter().any(|text| is_range(text)));
    }

    #[test]
    fn merging_keeps_what_is_here() {
        let mut here = Index::empty("now");
        here.entries.insert("a".into(), versions(&["1.0.0"]));
        let mut there = Index::empty("then");
        let mut other = versions(&["1.0.0", "0.9.0"]);
        other[0].digest = "old".into();
        there.entries.insert("a".into(), other);
        here.merge(there);
        assert_eq!(texts(&here.entries["a"]), ["1.0.0", "0.9.0"]);
        assert_eq!(here.entries["a"][0].digest, "");
    }
}
