//! Many releases at once: what labels tell of each revision, and what lists show of it.

use crate::record::{Release, Status, Time};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A revision, as the labels of its object tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The namespace of the release.
    pub namespace: String,
    /// Name of the release.
    pub name: String,
    /// The revision.
    pub version: u32,
    /// The status.
    pub status: Status,
    /// All labels of the object, Helm's own included.
    pub labels: BTreeMap<String, String>,
}

impl Entry {
    /// Returns what revisions are sorted by.
    pub fn place(&self) -> (&str, &str, u32) {
        (&self.namespace, &self.name, self.version)
    }
}

/// Keeps the newest revision of each release; expects and keeps the order of [`Entry::place`].
pub fn newest(entries: Vec<Entry>) -> Vec<Entry> {
    let mut newest: Vec<Entry> = Vec::new();
    for entry in entries {
        match newest.last_mut() {
            Some(last) if (&last.namespace, &last.name) == (&entry.namespace, &entry.name) => *last = entry,
            _ => newest.push(entry),
        }
    }
    newest
}

/// What lists show of a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Name of the release.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The revision.
    pub version: u32,
    /// The status.
    pub status: Status,
    /// When it was deployed.
    pub last_deployed: Option<Time>,
    /// Name and version of the chart and version of what it installs; nothing when the record has no metadata.
    pub chart: Option<ChartName>,
    /// All labels of the object, Helm's own included.
    pub labels: BTreeMap<String, String>,
}

/// How a chart is named in lists.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ChartName {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of what it installs.
    pub app_version: String,
}

/// The part of a record that a list needs. What is not named here is skipped, not kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Excerpt {
    name: String,
    namespace: String,
    version: u32,
    info: InfoExcerpt,
    chart: Option<ChartExcerpt>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InfoExcerpt {
    status: Status,
    #[serde(deserialize_with = "crate::record::time_or_none")]
    last_deployed: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChartExcerpt {
    metadata: Option<ChartName>,
}

impl Summary {
    /// Makes the summary of a record that is at hand.
    pub(crate) fn of(entry: Entry, release: &Release) -> Summary {
        let field = |field| release.chart_field(field).to_owned();
        let chart = release.chart["metadata"].is_object().then(|| ChartName {
            name: field("name"),
            version: field("version"),
            app_version: field("appVersion"),
        });
        Summary {
            name: release.name.clone(),
            namespace: release.namespace.clone(),
            version: release.version,
            status: release.info.status,
            last_deployed: release.info.last_deployed,
            chart,
            labels: entry.labels,
        }
    }

    /// Makes the summary of a record that was read for it; nothing when it has no name or no version.
    pub(crate) fn read(entry: Entry, excerpt: Excerpt) -> Option<Summary> {
        let Excerpt { name, namespace, version, info, chart } = excerpt;
        (version > 0 && !name.is_empty()).then(|| Summary {
            name,
            namespace,
            version,
            status: info.status,
            last_deployed: info.last_deployed,
            chart: chart.and_then(|chart| chart.metadata),
            labels: entry.labels,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_stay() {
        let entry = |namespace: &str, name: &str, version| Entry {
            namespace: namespace.into(),
            name: name.into(),
            version,
            status: Status::Deployed,
            labels: BTreeMap::new(),
        };
        let all =
            vec![entry("m", "a", 1), entry("m", "a", 9), entry("m", "a", 10), entry("n", "a", 2), entry("n", "b", 1)];
        assert_eq!(newest(all), [entry("m", "a", 10), entry("n", "a", 2), entry("n", "b", 1)]);
    }
}
