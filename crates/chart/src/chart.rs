//! [`Chart`]: everything in one chart and the charts below it.

use crate::{Lock, Metadata, Values};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// A file of a chart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct File {
    /// Path below the chart's directory, with `/`.
    pub name: String,
    /// The bytes, which all copies of the file share; base64 in a release record.
    #[serde(serialize_with = "bytes_out", deserialize_with = "bytes_in", default)]
    pub data: Arc<[u8]>,
    /// When the file was last changed, in RFC 3339; empty when that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub modtime: String,
}

impl File {
    /// A file without a known time of change.
    pub fn new(name: impl Into<String>, data: impl Into<Vec<u8>>) -> File {
        File { name: name.into(), data: data.into().into(), modtime: String::new() }
    }

    /// The file as text; bytes that are no UTF-8 become U+FFFD.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        gotemplate::lossy(&self.data)
    }
}

/// A chart. Serialised, it has the form in which Helm keeps it in a release record: templates and files as base64, without
/// the raw files and without its dependencies.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Chart {
    /// `Chart.yaml`.
    pub metadata: Metadata,
    /// `Chart.lock`, or `requirements.lock` of an old chart.
    #[serde(default)]
    pub lock: Option<Lock>,
    /// What is in `templates/`, in the order of loading.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub templates: Vec<File>,
    /// `values.yaml`, its documents merged. Imported values are in here once dependencies were processed.
    #[serde(default, deserialize_with = "values_in")]
    pub values: Values,
    /// `values.schema.json` as it is.
    #[serde(default, serialize_with = "optional_bytes_out", deserialize_with = "optional_bytes_in")]
    pub schema: Option<Arc<[u8]>>,
    /// When the schema was last changed; empty when that is not known, which a record spells as Go's zero time.
    #[serde(default, serialize_with = "time_out")]
    pub schemamodtime: String,
    /// What `.Files` shows: everything that is none of the above.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub files: Vec<File>,
    /// When `Chart.yaml` was last changed; empty when that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub modtime: String,
    /// All files as they were read.
    #[serde(skip)]
    pub raw: Vec<File>,
    /// The charts below `charts/`; after dependencies were processed, those that take part.
    #[serde(skip)]
    pub dependencies: Vec<Chart>,
}

/// A file of custom resource definitions, never templated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrdFile {
    /// Path with the charts' names in front, as `# Source:` lines show it: `top/charts/sub/crds/x.yaml`.
    pub filename: String,
    /// The file; its name starts with `crds/`.
    pub file: File,
}

impl Chart {
    /// The chart's name, or the alias that its parent gave it.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// `name-version`, as tables show charts.
    pub fn full_name(&self) -> String {
        format!("{}-{}", self.metadata.name, self.metadata.version)
    }

    /// Whether this is a library: nothing but named templates for others.
    pub fn is_library(&self) -> bool {
        self.metadata.r#type.eq_ignore_ascii_case("library")
    }

    /// The names of listed dependencies that are not below `charts/`.
    pub fn missing_dependencies(&self) -> Vec<String> {
        let present = |name: &str| self.dependencies.iter().any(|d| d.name() == name);
        self.metadata.dependencies.iter().map(|d| &d.name).filter(|name| !present(name)).cloned().collect()
    }

    /// The definitions in `crds/` of this chart and of all below it.
    pub fn crds(&self) -> Vec<CrdFile> {
        let mut found = Vec::new();
        self.collect_crds(&self.metadata.name, &mut found);
        found
    }

    fn collect_crds(&self, path: &str, into: &mut Vec<CrdFile>) {
        let is_manifest = |name: &str| [".yaml", ".yml", ".json"].iter().any(|ext| name.ends_with(ext));
        for file in self.files.iter().filter(|f| f.name.starts_with("crds/") && is_manifest(&f.name)) {
            into.push(CrdFile { filename: format!("{path}/{}", file.name), file: file.clone() });
        }
        for below in &self.dependencies {
            below.collect_crds(&format!("{path}/charts/{}", below.metadata.name), into);
        }
    }
}

/// How Go writes the zero time. Helm cannot read a record in which a time is an empty text.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Writes a time of a release record.
pub(crate) fn time_out<S: Serializer>(time: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(if time.is_empty() { ZERO_TIME } else { time })
}

/// Reads values as Go reads them from JSON: every number is a float.
fn values_in<'de, D: Deserializer<'de>>(from: D) -> Result<Values, D::Error> {
    let values: Values = null_is_empty(from)?;
    match goyaml::with_float_numbers(serde_json::Value::Object(values)) {
        serde_json::Value::Object(values) => Ok(values),
        _ => Ok(Values::new()),
    }
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn bytes_out<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

fn bytes_in<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[u8]>, D::Error> {
    Ok(optional_bytes_in(from)?.unwrap_or_default())
}

fn optional_bytes_out<S: Serializer>(bytes: &Option<Arc<[u8]>>, to: S) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => bytes_out(bytes, to),
        None => to.serialize_none(),
    }
}

fn optional_bytes_in<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<[u8]>>, D::Error> {
    match Option::<String>::deserialize(from)? {
        Some(text) => STANDARD.decode(text).map(|bytes| Some(bytes.into())).map_err(serde::de::Error::custom),
        None => Ok(None),
    }
}
