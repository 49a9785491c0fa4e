//! Reading an index without taking it all apart: public ones list ten thousand versions in tens of megabytes, of which
//! a command wants those of one chart.
//!
//! Helm writes an index as YAML in which every chart is a block of lines below `entries:`. The reader cuts the text into
//! these blocks and parses a block when it is asked for. A text that is laid out in any other way is parsed whole.

use super::blocks::Blocks;
use super::decode::{self, Unknown};
use super::index::sort_versions;
use super::{ChartVersion, Index, select};
use crate::error::os_text;
use crate::notice::{Notify, warning};
use crate::{Error, MAX_INDEX, MAX_JSON_INDEX, Result};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads are only worth their start for so many charts each.
const CHARTS_A_WORKER: usize = 16;

/// An index that is parsed chart by chart.
#[derive(Debug)]
pub struct IndexReader {
    /// Where it came from, for messages.
    source: String,
    text: String,
    /// All but the entries.
    head: Index,
    charts: BTreeMap<String, Part>,
    /// The text parsed whole, once a block has turned out to be none.
    whole: OnceLock<Result<Charts>>,
}

/// Versions by chart, as they were written.
type Charts = BTreeMap<String, Vec<Value>>;

/// One chart's versions.
#[derive(Debug)]
enum Part {
    /// Still YAML: these bytes of the text.
    Text(Range<usize>),
    /// Already taken apart, in the order of the file.
    Values(Vec<Value>, Unknown),
}

/// An index in JSON.
#[derive(Deserialize)]
struct JsonIndex {
    #[serde(default)]
    entries: BTreeMap<String, Option<Vec<Value>>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl IndexReader {
    /// Reads an index file.
    ///
    /// # Errors
    /// [`Error::Index`] when it is missing or malformed, [`Error::TooLarge`].
    pub fn open(path: &Path) -> Result<IndexReader> {
        let name = path.display().to_string();
        let found = std::fs::metadata(path).map_err(|e| Error::Index(format!("open {name}: {}", os_text(&e))))?;
        if found.len() > MAX_INDEX {
            return Err(Error::TooLarge { what: name, limit: MAX_INDEX });
        }
        let data = std::fs::read(path).map_err(|e| Error::Index(format!("open {name}: {}", os_text(&e))))?;
        IndexReader::parse(data, &name).map_err(|e| e.during(format!("error loading {name}")))
    }

    /// Reads an index; `source` only appears in warnings.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn parse(data: Vec<u8>, source: &str) -> Result<IndexReader> {
        if data.is_empty() {
            return Err(Error::Index("empty index.yaml file".into()));
        }
        let text = String::from_utf8(data).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        let mut reader = IndexReader {
            source: source.into(),
            text,
            head: Index::default(),
            charts: BTreeMap::new(),
            whole: OnceLock::new(),
        };
        if !(reader.read_json()? || reader.read_blocks()?) {
            reader.read_whole()?;
        }
        if reader.head.api_version.is_empty() {
            return Err(Error::Index("no API version specified".into()));
        }
        Ok(reader)
    }

    fn read_json(&mut self) -> Result<bool> {
        if !self.text.trim_start().starts_with('{') {
            return Ok(false);
        }
        if self.text.len() as u64 > MAX_JSON_INDEX {
            return Err(Error::TooLarge { what: self.source.clone(), limit: MAX_JSON_INDEX });
        }
        let Ok(index) = serde_json::from_str::<JsonIndex>(&self.text) else { return Ok(false) };
        self.head = head(index.rest, Unknown::Ignored)?;
        let part = |versions: Option<Vec<Value>>| Part::Values(versions.unwrap_or_default(), Unknown::Ignored);
        self.charts = index.entries.into_iter().map(|(name, versions)| (name, part(versions))).collect();
        self.text = String::new();
        Ok(true)
    }

    fn read_blocks(&mut self) -> Result<bool> {
        let Some(blocks) = Blocks::cut(&self.text) else { return Ok(false) };
        let Ok(Value::Object(object)) = goyaml::parse_strict(&blocks.head) else { return Ok(false) };
        if object.contains_key("entries") {
            return Ok(false);
        }
        self.head = head(object, Unknown::Refused)?;
        self.charts = blocks.charts.into_iter().map(|(name, range)| (name, Part::Text(range))).collect();
        Ok(true)
    }

    fn read_whole(&mut self) -> Result<()> {
        let (head, charts) = whole(&self.text)?;
        self.head = head;
        self.charts = charts.into_iter().map(|(name, values)| (name, Part::Values(values, Unknown::Refused))).collect();
        Ok(())
    }

    /// All but the entries.
    pub fn head(&self) -> &Index {
        &self.head
    }

    /// The names of the charts, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.charts.keys().map(String::as_str)
    }

    /// The versions of a chart, newest first; `None` when there is no such chart. Invalid ones are left out with a warning.
    ///
    /// # Errors
    /// [`Error::Index`] when this part of the index is malformed.
    pub fn versions(&self, name: &str, notify: Notify<'_>) -> Result<Option<Vec<ChartVersion>>> {
        let Some(part) = self.charts.get(name) else { return Ok(None) };
        let (values, unknown) = match part {
            Part::Values(values, unknown) => (Cow::Borrowed(values), *unknown),
            Part::Text(range) => (Cow::Owned(self.block(name, range)?), Unknown::Refused),
        };
        let mut versions = Vec::with_capacity(values.len());
        for value in values.into_owned() {
            let skip = |version: &str, why: Option<String>| {
                let mut fields = vec![("name", name.to_owned())];
                let message = match why {
                    None => "skipping loading invalid entry for chart: empty entry",
                    Some(_) => "skipping loading invalid entry for chart",
                };
                if why.is_some() {
                    fields.push(("version", version.to_owned()));
                }
                fields.push(("source", self.source.clone()));
                fields.extend(why.map(|why| ("error", why)));
                warning(message, fields)
            };
            match decode::version(value, unknown)? {
                None => notify(skip("", None)),
                Some(mut version) => {
                    if version.metadata.api_version.is_empty() {
                        version.metadata.api_version = "v1".into();
                    }
                    match version.metadata.validate() {
                        Err(e) if !is_skippable(&e) => notify(skip(&version.metadata.version, Some(e.to_string()))),
                        _ => versions.push(version),
                    }
                }
            }
        }
        sort_versions(&mut versions);
        Ok(Some(versions))
    }

    /// Parses one block. When it is not what it seemed, the whole text decides.
    fn block(&self, name: &str, range: &Range<usize>) -> Result<Vec<Value>> {
        let block = self.text.get(range.clone()).unwrap_or("");
        if let Ok(Value::Object(mut object)) = goyaml::parse_strict(block)
            && object.len() == 1
        {
            match object.remove(name) {
                Some(Value::Array(values)) => return Ok(values),
                Some(Value::Null) => return Ok(Vec::new()),
                _ => {}
            }
        }
        let charts = self.whole.get_or_init(|| whole(&self.text).map(|(_, charts)| charts));
        charts.as_ref().map(|charts| charts.get(name).cloned().unwrap_or_default()).map_err(Error::clone)
    }

    /// The version of a chart that fits; see [`select`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] or [`Error::Index`].
    pub fn select(&self, name: &str, version: &str, notify: Notify<'_>) -> Result<ChartVersion> {
        let versions = self.versions(name, notify)?.ok_or_else(|| Error::NotFound("no chart name found".into()))?;
        select(&versions, name, version, notify).cloned()
    }

    /// Parses and checks every chart, keeping none.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn check(&self, notify: Notify<'_>) -> Result<()> {
        self.map(|_, _| (), notify).map(drop)
    }

    /// The whole index, versions sorted.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn into_index(self, notify: Notify<'_>) -> Result<Index> {
        let entries = self.map(|name, versions| (name.to_owned(), versions), notify)?;
        Ok(Index { entries: entries.into_iter().collect(), ..self.head })
    }

    /// What `work` makes of each chart and its versions, in the order of their names; several are parsed at a time.
    ///
    /// # Errors
    /// [`Error::Index`] of the first chart that is malformed.
    pub fn map<T: Send>(
        &self,
        work: impl Fn(&str, Vec<ChartVersion>) -> T + Sync,
        notify: Notify<'_>,
    ) -> Result<Vec<T>> {
        let names: Vec<&str> = self.names().collect();
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut done = Vec::new();
            while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut notices = Vec::new();
                let versions = self.versions(name, &mut |notice| notices.push(notice));
                done.push((*name, versions.map(|found| work(name, found.unwrap_or_default())), notices));
            }
            done
        };
        let workers =
            std::thread::available_parallelism().map_or(1, usize::from).min(names.len() / CHARTS_A_WORKER + 1);
        let mut done = std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(worker)).collect();
            let mut done = worker();
            for other in others {
                match other.join() {
                    Ok(more) => done.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done.sort_by_key(|(name, ..)| *name);
        done.into_iter()
            .map(|(_, outcome, notices)| {
                notices.into_iter().for_each(&mut *notify);
                outcome
            })
            .collect()
    }

    /// Whether a text occurs in the index at all: a quick way not to look closer. May be wrong in saying yes.
    pub fn mentions(&self, text: &str) -> bool {
        self.charts.values().any(|part| matches!(part, Part::Values(..))) || self.text.contains(text)
    }

    #[cfg(test)]
    fn is_cut(&self) -> bool {
        self.charts.values().all(|part| matches!(part, Part::Text(_)))
    }
}

/// Aliases that a repository's server has stripped make dependencies look alike; that is no reason to hide a chart.
fn is_skippable(error: &chart::Error) -> bool {
    error.to_string().starts_with("validation: more than one dependency with name or alias")
}

/// Parses the whole text as YAML.
fn whole(text: &str) -> Result<(Index, Charts)> {
    let mut object = match goyaml::parse_strict(text) {
        Ok(Value::Object(object)) => object,
        Ok(Value::Null) => Map::new(),
        Ok(other) => return Err(decode::mismatch(&other, "repo.IndexFile")),
        Err(e) => return Err(Error::Index(e.in_conversion())),
    };
    let entries = match object.remove("entries") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(entries)) => entries,
        Some(other) => return Err(decode::mismatch(&other, "map[string]repo.ChartVersions")),
    };
    let mut charts = BTreeMap::new();
    for (name, versions) in entries {
        match versions {
            Value::Null => drop(charts.insert(name, Vec::new())),
            Value::Array(values) => drop(charts.insert(name, values)),
            other => return Err(decode::mismatch(&other, "repo.ChartVersions")),
        }
    }
    Ok((head(object, Unknown::Refused)?, charts))
}

/// All but the entries.
fn head(mut object: Map<String, Value>, unknown: Unknown) -> Result<Index> {
    let mut take = |name: &str| object.remove(name).unwrap_or(Value::Null);
    let index = Index {
        api_version: decode::text(take("apiVersion"))?,
        generated: match decode::text(take("generated"))? {
            text if text.is_empty() => crate::go_text::ZERO_TIME.into(),
            text => text,
        },
        server_info: match take("serverInfo") {
            Value::Object(info) => info,
            _ => Map::new(),
        },
        public_keys: match take("publicKeys") {
            Value::Array(keys) => keys.into_iter().map(decode::text).collect::<Result<_>>()?,
            _ => Vec::new(),
        },
        annotations: match take("annotations") {
            Value::Object(map) => {
                map.into_iter().map(|(name, value)| Ok((name, decode::text(value)?))).collect::<Result<_>>()?
            }
            _ => BTreeMap::new(),
        },
        entries: BTreeMap::new(),
    };
    take("entries");
    match object.keys().next() {
        Some(name) if unknown == Unknown::Refused => Err(Error::Index(format!(
            "error unmarshaling JSON: while decoding JSON: json: unknown field {}",
            crate::url::quoted(name)
        ))),
        _ => Ok(index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Notice;

    const INDEX: &str = "apiVersion: v1
entries:
  alpine:
  - apiVersion: v2
    description: 'an apple: |
      on two lines'
    name: alpine
    urls:
    - alpine-1.0.0.tgz
    version: 1.0.0
  - apiVersion: v2
    name: alpine
    urls: []
    version: 1.10.0
  \"on\":
  - apiVersion: v2
    description: |
      text

      entries:
    name: \"on\"
    version: 0.1.0
generated: \"2026-11-21T08:00:00Z\"
annotations:
  a: b
";

    fn read(text: &str) -> Result<(Index, bool, Vec<Notice>)> {
        let mut notices = Vec::new();
        let reader = IndexReader::parse(text.into(), "here")?;
        let cut = reader.is_cut();
        let index = reader.into_index(&mut |notice| notices.push(notice))?;
        Ok((index, cut, notices))
    }

    #[test]
    fn blocks_and_the_whole_agree() {
        let (index, cut, notices) = read(INDEX).unwrap();
        assert!(cut && notices.is_empty());
        assert_eq!(index.entries.keys().collect::<Vec<_>>(), ["alpine", "on"]);
        assert_eq!(index.entries["alpine"][0].metadata.version, "1.10.0");
        assert_eq!(index.entries["on"][0].metadata.description, "text  entries: ");
        assert_eq!((index.annotations["a"].as_str(), index.generated.as_str()), ("b", "2026-11-21T08:00:00Z"));
        let (_, charts) = whole(INDEX).unwrap();
        assert_eq!(charts.len(), 2);
        // Flow style is parsed whole, and says the same.
        let json = serde_json::to_string(&goyaml::parse(INDEX).unwrap()).unwrap();
        let (same, cut, _) = read(&format!("# not JSON\n{json}")).unwrap();
        assert_eq!((same, cut), (index.clone(), false));
        assert_eq!(read(&json).unwrap().0, index);
    }

    #[test]
    fn a_block_that_is_cut_wrongly_is_mended() {
        // The quoted text goes on in a line that looks like a chart.
        let text = "apiVersion: v1\nentries:\n  alpine:\n  - name: alpine\n    version: 1.0.0\n    description: \"x\n  inside:\n    y\"\n";
        let reader = IndexReader::parse(text.into(), "here").unwrap();
        let found = reader.versions("alpine", &mut |_| {});
        match whole(text) {
            Ok(_) => assert_eq!(found.unwrap().unwrap()[0].metadata.description, "x inside: y"),
            Err(e) => assert_eq!(found.unwrap_err(), e),
        }
    }

    #[test]
    fn errors_are_helms() {
        for (text, why) in [
            ("", "empty index.yaml file"),
            ("entries: {}\n", "no API version specified"),
            (
                "[]\n",
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type repo.IndexFile",
            ),
            ("apiVersion: v1\nwhat: 1\n", "error unmarshaling JSON: while decoding JSON: json: unknown field \"what\""),
            (
                "apiVersion: v1\nentries:\n  a:\n  - what: 1\n",
                "error unmarshaling JSON: while decoding JSON: json: unknown field \"what\"",
            ),
        ] {
            assert_eq!(read(text).map(drop).unwrap_err().to_string(), why, "{text}");
        }
    }

    #[test]
    fn invalid_versions_are_left_out_with_a_warning() {
        let text =
            "apiVersion: v1\nentries:\n  a:\n  -\n  - name: a\n    version: 1..2\n  - name: a\n    version: 1.0.0\n";
        let (index, _, notices) = read(text).unwrap();
        assert_eq!(index.entries["a"].len(), 1);
        let lines: Vec<String> = notices
            .iter()
            .map(|notice| match notice {
                Notice::Log(line) => line.to_string(),
                Notice::Line(line) => line.clone(),
            })
            .collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("empty entry") && lines[1].contains("1..2"), "{lines:?}");
    }

    #[test]
    fn an_index_in_json_is_bounded() {
        let text = format!("{{{}}}", " ".repeat(MAX_JSON_INDEX as usize));
        let error = IndexReader::parse(text.into_bytes(), "index.yaml").expect_err("too large");
        assert!(matches!(error.root(), Error::TooLarge { limit: MAX_JSON_INDEX, .. }), "{error}");
    }
}
