//! Records in Secrets or ConfigMaps.

use super::bulk;
use super::parts::{self, Pointer};
use super::{Entry, Lease, RECORD_LIMIT, SYSTEM_LABELS, Summary, record_key, record_labels};
use crate::cluster::{Cascade, Cluster, Resource, Selector};
use crate::codec;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::object::ObjectId;
use crate::parallel::side_by_side;
use crate::record::{Release, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// Annotation of a record that is being worked on: who works.
const HOLDER: &str = "husk/holder";
/// Annotation of a record that is being worked on: the last sign of life, in seconds since 1970.
const RENEWED: &str = "husk/renewed";
/// From this share of the limit on, a large record is reported.
const LARGE_PERCENT: usize = 70;

/// What kind of object holds a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Helm's default.
    Secret,
    /// `HELM_DRIVER=configmap`.
    ConfigMap,
}

/// A store in a namespace of a cluster.
#[derive(Clone)]
pub struct ClusterStore {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace of the releases.
    pub namespace: String,
    /// What kind of object holds a record.
    pub kind: RecordKind,
    /// Are records that are too large for one object stored in parts? Such a record stays in parts in any case.
    pub in_parts: bool,
}

impl ClusterStore {
    fn resource(&self) -> Resource {
        let (kind, plural) = match self.kind {
            RecordKind::Secret => ("Secret", "secrets"),
            RecordKind::ConfigMap => ("ConfigMap", "configmaps"),
        };
        Resource { api_version: "v1".into(), kind: kind.into(), plural: plural.into(), namespaced: true }
    }

    fn id(&self, name: &str, revision: u32) -> ObjectId {
        ObjectId::new("v1", &self.resource().kind, &self.namespace, &record_key(name, revision))
    }

    pub(super) async fn get(&self, name: &str, revision: u32) -> Result<Release> {
        let object = self.cluster.get(&self.resource(), &self.namespace, &record_key(name, revision)).await?;
        self.whole(&object.ok_or(Error::NotFound)?).await
    }

    /// Reads a record with its parts.
    async fn whole(&self, object: &Value) -> Result<Release> {
        let release = decode(self.kind, object)?;
        let Some(pointer) = parts::pointer(object) else { return Ok(release) };
        let key = record_key(&release.name, release.version);
        let bad = |why: String| Error::BadRecord { key: key.clone(), why };
        let pointer = pointer.map_err(bad)?;
        let mut text = String::new();
        for number in 0..pointer.count {
            let name = parts::part_key(&key, &pointer, number);
            let part = self.cluster.get(&self.resource(), &self.namespace, &name).await?;
            let part = part.ok_or_else(|| bad(format!("its part {name} is missing")))?;
            text.push_str(&payload(self.kind, &part)?);
        }
        parts::join(release, &text).map_err(bad)
    }

    pub(super) async fn history(&self, name: &str) -> Result<Vec<Release>> {
        let selector = Selector::labels(format!("name={name},owner=helm"));
        let list = self.cluster.list(&self.resource(), &self.namespace, &selector).await?;
        let mut history = Vec::new();
        for item in &list.items {
            match self.whole(item).await {
                Ok(release) => history.push(release),
                Err(error @ Error::BadRecord { .. }) => self.cluster.progress.warn(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        history.sort_by_key(|release| release.version);
        Ok(history)
    }

    pub(super) async fn index(&self, everywhere: bool) -> Result<Vec<Entry>> {
        let namespace = if everywhere { "" } else { &self.namespace };
        bulk::index(&self.cluster, &self.resource(), namespace).await
    }

    pub(super) async fn summaries(&self, entries: Vec<Entry>, among: &[Status]) -> Result<Vec<Summary>> {
        let mut wanted: BTreeMap<(String, String), (usize, Entry)> = BTreeMap::new();
        for (place, entry) in entries.into_iter().enumerate() {
            wanted.insert((entry.namespace.clone(), record_key(&entry.name, entry.version)), (place, entry));
        }
        let mut found = Vec::new();
        let statuses: HashSet<Status> = wanted.values().map(|(_, entry)| entry.status).collect();
        let listed = among.iter().filter(|status| statuses.contains(status)).count();
        if wanted.len() > 1 && wanted.len() * bulk::READS_OF_A_LIST >= listed {
            found = bulk::summaries(&self.cluster, &self.resource(), &mut wanted).await?;
        }
        let mut tasks = Vec::new();
        for (place, entry) in wanted.into_values() {
            tasks.push(self.read_summary(place, entry).boxed());
        }
        for read in side_by_side(tasks).await {
            found.extend(read?);
        }
        found.sort_by_key(|(place, _)| *place);
        let mut summaries = Vec::new();
        for (_, read) in found {
            match read {
                Ok(summary) => summaries.push(summary),
                Err(error) => self.cluster.progress.warn(error.to_string()),
            }
        }
        Ok(summaries)
    }

    /// Reads a record by itself; nothing when it is gone.
    async fn read_summary(&self, place: usize, entry: Entry) -> Result<Option<bulk::Read>> {
        let key = record_key(&entry.name, entry.version);
        let object = self.cluster.get(&self.resource(), &entry.namespace, &key).await?;
        let read = |object| payload(self.kind, &object).and_then(|text| bulk::summary(entry, &text));
        Ok(object.map(|object| (place, read(object))))
    }

    pub(super) async fn create(&self, release: &Release, lease: &Lease) -> Result<()> {
        let (mut object, pointer) = self.object(release, self.in_parts).await?;
        object["metadata"]["labels"]["createdAt"] = Timestamp::now().as_second().to_string().into();
        object["metadata"]["annotations"] = annotations(lease);
        if let Some(pointer) = pointer {
            object["metadata"]["annotations"][parts::ANNOTATION] = pointer.to_string().into();
        }
        match self.cluster.create(&self.resource(), &self.namespace, &object, false).await {
            // A creation that was repeated because its answer got lost meets itself.
            Err(Error::Api { code: 409, .. }) => {
                let there = self
                    .cluster
                    .get(&self.resource(), &self.namespace, &record_key(&release.name, release.version))
                    .await?;
                match there {
                    Some(there) if there["data"] == object["data"] => Ok(()),
                    _ => Err(Error::RevisionExists),
                }
            }
            Err(Error::Api { code, reason, message }) => {
                Err(Error::Api { code, reason, message: format!("create: failed to create: {message}") })
            }
            other => other.map(drop),
        }
    }

    pub(super) async fn update(&self, release: &Release) -> Result<()> {
        let id = self.id(&release.name, release.version);
        let there = self.cluster.get(&self.resource(), &self.namespace, &id.name).await?;
        let was_in_parts = there.as_ref().is_some_and(|there| parts::pointer(there).is_some());
        let (mut object, pointer) = self.object(release, self.in_parts || was_in_parts).await?;
        object["metadata"]["labels"]["modifiedAt"] = Timestamp::now().as_second().to_string().into();
        // The annotations of the lease live beside the record and must survive.
        if let Some(there) = there {
            object["metadata"]["annotations"] = there["metadata"]["annotations"].clone();
        }
        match pointer {
            Some(pointer) => object["metadata"]["annotations"][parts::ANNOTATION] = pointer.to_string().into(),
            None if was_in_parts => {
                if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                    annotations.shift_remove(parts::ANNOTATION);
                }
            }
            None => {}
        }
        self.cluster.replace(&self.resource(), &id, &object).await.map(drop)
    }

    /// Deletes the parts of revisions that are gone.
    pub(super) async fn sweep(&self, name: &str, gone: &[u32]) -> Result<()> {
        let selector = Selector::labels(format!("name={name},owner=husk"));
        for part in self.cluster.list_metadata(&self.resource(), &self.namespace, &selector).await? {
            let meta = &part["metadata"];
            let version = meta["labels"]["version"].as_str().and_then(|version| version.parse().ok());
            if version.is_some_and(|version| gone.contains(&version)) {
                let name = meta["name"].as_str().unwrap_or_default();
                let id = ObjectId::new("v1", &self.resource().kind, &self.namespace, name);
                self.cluster.delete(&self.resource(), &id, Cascade::Background).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn delete(&self, name: &str, revision: u32) -> Result<()> {
        self.cluster.delete(&self.resource(), &self.id(name, revision), Cascade::Background).await.map(drop)
    }

    pub(super) async fn lease(&self, name: &str, revision: u32) -> Result<Option<Lease>> {
        let object = self.cluster.get(&self.resource(), &self.namespace, &record_key(name, revision)).await?;
        Ok(object.and_then(|object| {
            let annotations = &object["metadata"]["annotations"];
            Some(Lease {
                holder: annotations[HOLDER].as_str()?.to_owned(),
                renewed: annotations[RENEWED].as_str()?.parse().ok()?,
            })
        }))
    }

    pub(super) async fn renew(&self, name: &str, revision: u32, lease: &Lease) -> Result<()> {
        let patch = json!({"metadata": {"annotations": annotations(lease)}});
        self.cluster.patch(&self.resource(), &self.id(name, revision), &patch).await.map(drop)
    }

    /// Returns the object of a record; its parts, where it needs any, are stored then.
    async fn object(&self, release: &Release, in_parts: bool) -> Result<(Value, Option<Pointer>)> {
        let key = record_key(&release.name, release.version);
        let bad = |why| Error::BadRecord { key: key.clone(), why };
        let text = codec::encode(release).map_err(bad)?;
        let labels = record_labels(release);
        if text.len() <= RECORD_LIMIT || !in_parts {
            self.weigh(&key, &text, release)?;
            return Ok((self.holder(&key, &labels, "helm.sh/release.v1", "release", &text), None));
        }
        let Some(split) = parts::split(release, RECORD_LIMIT).map_err(bad)? else {
            self.weigh(&key, &text, release)?;
            return Err(bad("its hooks alone are too large".to_owned()));
        };
        let mut own = labels.clone();
        own.insert("owner".into(), "husk".into());
        own.remove("status");
        for (number, part) in split.parts.iter().enumerate() {
            let name = parts::part_key(&key, &split.pointer, number);
            let object = self.holder(&name, &own, "husk/release-part", "release", part);
            match self.cluster.create(&self.resource(), &self.namespace, &object, false).await {
                // Its name is that of its content.
                Ok(_) | Err(Error::Api { code: 409, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let (field, kind) =
            if split.for_helm { ("release", "helm.sh/release.v1") } else { (parts::OWN_KEY, "helm.sh/release.v1") };
        Ok((self.holder(&key, &labels, kind, field, &split.head), Some(split.pointer)))
    }

    fn holder(&self, name: &str, labels: &BTreeMap<String, String>, kind: &str, field: &str, text: &str) -> Value {
        let mut object = json!({
            "apiVersion": "v1", "kind": self.resource().kind,
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
        });
        match self.kind {
            RecordKind::Secret => {
                object["type"] = kind.into();
                object["data"] = json!({field: STANDARD.encode(text)});
            }
            RecordKind::ConfigMap => object["data"] = json!({field: text}),
        }
        object
    }

    fn weigh(&self, key: &str, text: &str, release: &Release) -> Result<()> {
        let (size, limit) = (text.len(), RECORD_LIMIT);
        if size * 100 < limit * LARGE_PERCENT {
            return Ok(());
        }
        let named = |(name, size): &(String, usize)| format!("{name} ({size} bytes)");
        let parts = codec::largest_parts(release).iter().take(5).map(named).collect::<Vec<_>>().join(", ");
        if size > limit {
            return Err(Error::RecordTooLarge { key: key.to_owned(), size, limit, parts });
        }
        self.cluster.progress.send(Event::RecordLarge { size, limit, parts });
        Ok(())
    }
}

fn annotations(lease: &Lease) -> Value {
    json!({HOLDER: lease.holder, RENEWED: lease.renewed.to_string()})
}

/// Returns a record's text.
fn payload(kind: RecordKind, object: &Value) -> Result<String> {
    let key = object["metadata"]["name"].as_str().unwrap_or_default();
    let bad = |why: String| Error::BadRecord { key: key.to_owned(), why };
    let data = &object["data"];
    let data = data["release"].as_str().or_else(|| data[parts::OWN_KEY].as_str());
    let data = data.ok_or_else(|| bad("the key `release` is missing".into()))?;
    match kind {
        RecordKind::Secret => {
            let bytes = STANDARD.decode(data).map_err(|error| bad(error.to_string()))?;
            String::from_utf8(bytes).map_err(|error| bad(error.to_string()))
        }
        RecordKind::ConfigMap => Ok(data.to_owned()),
    }
}

fn decode(kind: RecordKind, object: &Value) -> Result<Release> {
    let key = object["metadata"]["name"].as_str().unwrap_or_default();
    let bad = |why: String| Error::BadRecord { key: key.to_owned(), why };
    let text = payload(kind, object)?;
    let mut release = codec::decode(&text).map_err(bad)?;
    if release.version == 0 || release.name.is_empty() {
        return Err(bad("it has no name or no version".into()));
    }
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    release.labels = labels
        .filter(|(key, _)| !SYSTEM_LABELS.contains(&key.as_str()))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    Ok(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_record_names_its_key() {
        let error =
            decode(RecordKind::Secret, &json!({"metadata": {"name": "k"}, "data": {"release": "AA=="}})).unwrap_err();
        assert!(error.to_string().starts_with("release record k cannot be read"), "{error}");
    }
}
