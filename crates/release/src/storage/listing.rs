//! Many releases at once: what labels tell of each revision, and what lists show of it.

use crate::record::{Release, Status, Time};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

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

/// The part of a record that a list needs and labels do not tell.
#[derive(Debug, Default)]
pub(crate) struct Excerpt {
    info: Option<InfoExcerpt>,
    /// Nothing: not seen yet. A chart without metadata is a chart all the same.
    chart: Option<Option<ChartName>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InfoExcerpt {
    status: Status,
    #[serde(deserialize_with = "crate::record::time_or_none")]
    last_deployed: Option<Time>,
}

impl Excerpt {
    /// Reads a record as far as it must be read. Helm writes what is wanted here first, and the chart's files, values and
    /// manifest, which are nearly all of a record, behind it.
    pub(crate) fn read(json: impl std::io::Read) -> serde_json::Result<Excerpt> {
        let mut found = Excerpt::default();
        let mut reader = serde_json::Deserializer::from_reader(json);
        match reader.deserialize_map(Top(&mut found)) {
            Err(error) if !found.is_enough() => Err(error),
            _ => Ok(found),
        }
    }

    fn is_enough(&self) -> bool {
        self.info.is_some() && self.chart.is_some()
    }
}

/// How reading ends before the text does; whoever reads sees that all is there.
fn enough<E: Error>() -> E {
    E::custom("enough was read")
}

struct Top<'a>(&'a mut Excerpt);

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a release")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "info" => self.0.info = Some(map.next_value::<Option<InfoExcerpt>>()?.unwrap_or_default()),
                "chart" => map.next_value_seed(Chart(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            if self.0.is_enough() {
                return Err(enough());
            }
        }
        Ok(())
    }
}

struct Chart<'a>(&'a mut Excerpt);

impl<'de> DeserializeSeed<'de> for Chart<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Chart<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chart")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.chart = Some(None);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "metadata" {
                self.0.chart = Some(map.next_value()?);
                if self.0.is_enough() {
                    return Err(enough());
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        self.0.chart.get_or_insert_default();
        Ok(())
    }
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

    /// Makes the summary of a record that was read for it.
    pub(crate) fn read(entry: Entry, excerpt: Excerpt) -> Summary {
        let info = excerpt.info.unwrap_or_default();
        Summary {
            name: entry.name,
            namespace: entry.namespace,
            version: entry.version,
            status: info.status,
            last_deployed: info.last_deployed,
            chart: excerpt.chart.flatten(),
            labels: entry.labels,
        }
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

    #[test]
    fn a_record_is_read_as_far_as_needed() {
        let told =
            |json: &str| Excerpt::read(json.as_bytes()).map(|found| (found.info.is_some(), found.chart.flatten()));
        let name = |name: &str| Some(ChartName { name: name.into(), version: "1".into(), ..ChartName::default() });
        let info = r#""info": {"status": "failed", "notes": "x"}"#;
        let chart = r#""chart": {"lock": null, "metadata": {"name": "c", "version": "1", "home": "h"}"#;
        assert_eq!(told(&format!("{{{info}, {chart}, \"templates\": [{{\"data\": \"cut")).unwrap(), (true, name("c")));
        assert_eq!(
            told(&format!("{{\"config\": {{\"a\": [1]}}, {chart}, \"files\": []}}, {info}, cut")).unwrap(),
            (true, name("c"))
        );
        assert_eq!(told(&format!("{{{info}}}")).unwrap(), (true, None), "no chart, as Helm itself allows");
        assert_eq!(told(&format!("{{{info}, \"chart\": null, cut")).unwrap(), (true, None));
        assert_eq!(told(&format!("{{{info}, \"chart\": {{\"files\": []}}, cut")).unwrap(), (true, None));
        for bad in ["", "[]", "{", r#"{"info": {}, "chart": {"files": ["#, r#"{"info": {"status": 1}, "chart": {}}"#] {
            assert!(told(bad).is_err(), "{bad}");
        }
    }
}
