//! A record that does not fit into one object, in parts, on request.
//!
//! The object that Helm knows stays a record that Helm can use: only the chart's files are left out, which nothing but
//! `get` reads. Where even that is too large, the object has no record under Helm's key, and Helm leaves it alone. What was
//! left out is in objects of our own, named after their content, so that a change of the status does not write it again.

use crate::codec;
use crate::record::Release;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Annotation of a record's object: where the rest of it is.
pub(super) const ANNOTATION: &str = "husk/parts";
/// Key of the record in an object whose rest is indispensable.
pub(super) const OWN_KEY: &str = "husk";
/// Bytes in a part: a Secret of 1 MiB is larger on the wire, and etcd's limit holds there.
const PART: usize = 768 << 10;
/// Fields of a chart that nothing needs for going on with a release.
const FILES: [&str; 3] = ["templates", "files", "schema"];

/// Points to the parts of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    /// Of their joined text.
    pub(super) digest: String,
    /// How many there are.
    pub(super) count: usize,
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.digest, self.count)
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (digest, count) = text.split_once('/')?;
            Some(Pointer { digest: digest.to_owned(), count: count.parse().ok().filter(|count| *count <= 1000)? })
        };
        parse().ok_or_else(|| format!("{text:?} names no parts"))
    }
}

/// A record in parts.
#[derive(Debug, PartialEq)]
pub(super) struct Split {
    /// What the object itself has.
    pub(super) head: String,
    /// Can Helm use that?
    pub(super) for_helm: bool,
    /// The rest.
    pub(super) parts: Vec<String>,
    /// Points there.
    pub(super) pointer: Pointer,
}

/// Splits a record so that no object is larger than `limit` bytes; nothing when that cannot be: the hooks' own record
/// is too large.
pub(super) fn split(release: &Release, limit: usize) -> Result<Option<Split>, String> {
    let rest = Release {
        chart: release.chart.clone(),
        manifest: release.manifest.clone(),
        config: release.config.clone(),
        ..Release::default()
    };
    let text = codec::encode(&rest)?;
    // Base64 is ASCII: every place is a boundary.
    let parts: Vec<String> =
        text.as_bytes().chunks(PART).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let digest: String = Sha256::digest(&text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let pointer = Pointer { digest, count: parts.len() };

    let mut without_files = release.clone();
    if let Some(chart) = without_files.chart.as_object_mut() {
        chart.retain(|field, _| !FILES.contains(&field.as_str()));
    }
    let mut bare = without_files.clone();
    (bare.manifest, bare.config) = (String::new(), Map::new());
    if let Some(chart) = bare.chart.as_object_mut() {
        chart.retain(|field, _| field == "metadata");
    }
    for (slim, for_helm) in [(without_files, true), (bare, false)] {
        let head = codec::encode(&slim)?;
        if head.len() <= limit {
            return Ok(Some(Split { head, for_helm, parts, pointer }));
        }
    }
    Ok(None)
}

/// Puts the rest of a record back into what its object has.
pub(super) fn join(mut head: Release, text: &str) -> Result<Release, String> {
    let rest = codec::decode(text)?;
    head.chart = rest.chart;
    head.manifest = rest.manifest;
    head.config = rest.config;
    Ok(head)
}

/// Returns the name of the object that holds a part.
pub(super) fn part_key(record_key: &str, pointer: &Pointer, number: usize) -> String {
    format!("{record_key}.{}.{number}", pointer.digest)
}

/// Returns where the parts of a record are, if its object has any.
pub(super) fn pointer(object: &Value) -> Option<Result<Pointer, String>> {
    object["metadata"]["annotations"][ANNOTATION].as_str().map(str::parse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn noise(length: usize) -> String {
        let mut state = 1u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (state >> 58) as u8)
        };
        (0..length).map(next).collect()
    }

    fn release(file: usize, manifest: usize) -> Release {
        serde_json::from_value(json!({
            "name": "web", "version": 3, "namespace": "n", "manifest": noise(manifest), "config": {"a": 1},
            "chart": {"metadata": {"name": "c"}, "values": {"b": 2}, "files": [{"name": "f", "data": noise(file)}]},
            "info": {"status": "deployed"}
        }))
        .unwrap()
    }

    #[test]
    fn what_is_split_is_joined() {
        for (file, manifest, for_helm) in [(3_000_000, 1000, true), (1000, 3_000_000, false)] {
            let whole = release(file, manifest);
            let split = split(&whole, 1 << 20).unwrap().unwrap();
            assert_eq!(split.for_helm, for_helm);
            assert!(split.parts.len() >= 2 && split.parts.iter().all(|part| part.len() <= PART));
            assert_eq!(split.pointer.to_string().parse(), Ok(split.pointer.clone()));
            let head = codec::decode(&split.head).unwrap();
            assert_eq!(head.manifest.is_empty(), !for_helm, "Helm never meets a record that lacks its objects");
            assert_eq!(join(head, &split.parts.concat()).unwrap(), whole);
            // A change of the status leaves the parts as they are.
            let mut later = whole.clone();
            later.info.status = crate::record::Status::Superseded;
            assert_eq!(super::split(&later, 1 << 20).unwrap().unwrap().pointer, split.pointer);
        }
        let mut hopeless = release(10, 10);
        hopeless.hooks = vec![crate::record::Hook { manifest: noise(3_000_000), ..Default::default() }];
        assert_eq!(split(&hopeless, 1 << 20).unwrap(), None);
    }

    #[test]
    fn pointers_that_are_none_are_refused() {
        for text in ["", "ab", "ab/", "ab/x", "ab/99999"] {
            assert!(text.parse::<Pointer>().is_err(), "{text}");
        }
    }
}
