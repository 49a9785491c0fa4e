//! Kubernetes objects as plain data: identity, the text of manifests.

use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::fmt;

/// What identifies an object on a cluster. Prints as `Kind/namespace/name` (as Helm's messages do).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    /// `apps/v1`, `v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Empty for cluster-wide objects.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectId {
    /// Makes an identity.
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        ObjectId {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Returns the API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Returns the object as Helm's errors about applying name it: `prod/web apps/v1, Kind=Deployment`.
    pub fn as_go(&self) -> String {
        let ObjectId { api_version, kind, namespace, name } = self;
        let slash = if api_version.contains('/') { "" } else { "/" };
        format!("{namespace}/{name} {slash}{api_version}, Kind={kind}")
    }

    /// Are these the same object, whatever version of its API group they were written in?
    pub fn is_same_object(&self, other: &ObjectId) -> bool {
        self.group() == other.group()
            && self.kind == other.kind
            && self.namespace == other.namespace
            && self.name == other.name
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// Splits rendered text into its documents, each with its `# Source:` comment where it has one.
///
/// A line that starts with three dashes separates documents; what follows the dashes on that line belongs to the next
/// document. That is Helm's rule: it holds inside block scalars too.
pub fn split_documents(text: &str) -> Vec<String> {
    let mut documents = Vec::new();
    let mut document = String::new();
    for line in text.trim_start().split_inclusive('\n') {
        match line.strip_prefix("---") {
            Some(rest) => {
                documents.push(std::mem::replace(&mut document, rest.trim_start_matches([' ', '\t']).to_owned()))
            }
            None => document.push_str(line),
        }
    }
    documents.push(document);
    documents.into_iter().map(|document| document.trim_start().to_owned()).filter(|d| !d.trim().is_empty()).collect()
}

/// Reads the objects of rendered text. Documents of comments only are skipped; a `List` is opened.
pub fn parse_manifest(text: &str) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for document in split_documents(text) {
        let value = parse_document(&document)?;
        if value.is_null() {
            continue;
        }
        flatten(value, &mut objects)?;
    }
    Ok(objects)
}

fn flatten(value: Value, objects: &mut Vec<Value>) -> Result<()> {
    let kind = value["kind"].as_str().unwrap_or_default();
    if kind.ends_with("List") && value["items"].is_array() {
        let Value::Object(mut list) = value else { return Ok(()) };
        let Some(Value::Array(items)) = list.remove("items") else { return Ok(()) };
        return items.into_iter().try_for_each(|item| flatten(item, objects));
    }
    let set = |field: &str| value[field].as_str().is_some_and(|text| !text.is_empty());
    let unset = match (set("apiVersion"), set("kind")) {
        (true, true) => None,
        (false, true) => Some("apiVersion not set"),
        (true, false) => Some("kind not set"),
        (false, false) => Some("[apiVersion not set, kind not set]"),
    };
    if let Some(unset) = unset {
        return Err(Error::BadManifest(format!("error validating \"\": error validating data: {unset}")));
    }
    let meta = &value["metadata"];
    let named = |field: &str| meta[field].as_str().is_some_and(|name| !name.is_empty());
    match (named("name"), named("generateName")) {
        (true, true) => Err(Error::BadManifest("metadata.name and metadata.generateName cannot both be set".into())),
        (false, false) => Err(Error::BadManifest(format!("{kind}: resource name may not be empty"))),
        _ => {
            objects.push(value);
            Ok(())
        }
    }
}

fn parse_document(text: &str) -> Result<Value> {
    goyaml::to_json(text).map_err(|error| Error::BadManifest(format!("error parsing manifest: {error}")))
}

/// Returns an entry of `metadata.labels`, `metadata.annotations`.
pub fn metadata<'a>(object: &'a Value, map: &str, key: &str) -> Option<&'a str> {
    object["metadata"][map][key].as_str()
}

/// Returns a map below `metadata`, made when it is absent or no map.
pub(crate) fn metadata_map<'a>(object: &'a mut Value, map: &str) -> Option<&'a mut Map<String, Value>> {
    let meta = object.as_object_mut()?.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if !meta.is_object() {
        *meta = Value::Object(Map::new());
    }
    let entry = meta.as_object_mut()?.entry(map).or_insert_with(|| Value::Object(Map::new()));
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    entry.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn documents_are_split_as_helm_splits_them() {
        let text = "\n---\n# Source: a\nkind: A\n---kind: B\n---\n\n---  \nkind: C\ntext: |\n  x\n--- # tail\n";
        assert_eq!(
            split_documents(text),
            ["# Source: a\nkind: A\n", "kind: B\n", "kind: C\ntext: |\n  x\n", "# tail\n"]
        );
    }

    proptest! {
        #[test]
        fn splitting_loses_no_text_and_nothing_panics(text in "(---|[a-z:\\- {}\\[\\]\"|]{0,6}|\n){0,30}") {
            let letters = |text: &str| text.chars().filter(|c| c.is_ascii_lowercase()).collect::<String>();
            prop_assert_eq!(letters(&split_documents(&text).concat()), letters(&text));
            let _ = parse_manifest(&text);
        }
    }

    #[test]
    fn the_version_of_a_group_is_no_identity() {
        let a = ObjectId::new("batch/v1beta1", "CronJob", "n", "x");
        assert!(a.is_same_object(&ObjectId::new("batch/v1", "CronJob", "n", "x")));
        assert!(!a.is_same_object(&ObjectId::new("v1", "CronJob", "n", "x")));
        assert_eq!(a.to_string(), "CronJob/n/x");
        assert_eq!(a.as_go(), "n/x batch/v1beta1, Kind=CronJob");
        assert_eq!(ObjectId::new("v1", "Node", "", "x").as_go(), "/x /v1, Kind=Node");
    }

    #[test]
    fn lists_are_opened_and_nameless_objects_refused() {
        let text = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\n# only a comment\n";
        let objects = parse_manifest(text).unwrap();
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[0]["metadata"]["name"], "a");
        for bad in [
            "kind: X\nmetadata: {name: a}",
            "apiVersion: v1\nmetadata: {name: a}",
            "apiVersion: v1\nkind: Pod",
            "a: [",
            "- 1",
        ] {
            assert!(matches!(parse_manifest(bad), Err(Error::BadManifest(_))), "{bad}");
        }
    }
}
