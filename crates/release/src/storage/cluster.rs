//! Records in Secrets or ConfigMaps.

use super::{Lease, RECORD_LIMIT, SYSTEM_LABELS, newest, record_key, record_labels};
use crate::cluster::{Cascade, Cluster, Resource, Selector};
use crate::codec;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::object::ObjectId;
use crate::record::Release;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

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
        decode(self.kind, &object.ok_or(Error::NotFound)?)
    }

    pub(super) async fn history(&self, name: &str) -> Result<Vec<Release>> {
        let selector = Selector::labels(format!("name={name},owner=helm"));
        let list = self.cluster.list(&self.resource(), &self.namespace, &selector).await?;
        let mut history = self.readable(&list.items);
        history.sort_by_key(|release| release.version);
        Ok(history)
    }

    pub(super) async fn all(&self, everywhere: bool, newest_only: bool) -> Result<Vec<Release>> {
        let namespace = if everywhere { "" } else { &self.namespace };
        let mut items = self.cluster.list(&self.resource(), namespace, &Selector::labels("owner=helm")).await?.items;
        if newest_only {
            items = newest_items(items);
        }
        let mut all = self.readable(&items);
        all.sort_by(|a, b| (&a.namespace, &a.name, a.version).cmp(&(&b.namespace, &b.name, b.version)));
        Ok(if newest_only { newest(all) } else { all })
    }

    fn readable(&self, items: &[Value]) -> Vec<Release> {
        let read = |item| decode(self.kind, item).map_err(|error| self.cluster.progress.warn(error.to_string())).ok();
        items.iter().filter_map(read).collect()
    }

    pub(super) async fn create(&self, release: &Release, lease: &Lease) -> Result<()> {
        let mut object = self.object(release)?;
        object["metadata"]["labels"]["createdAt"] = Timestamp::now().as_second().to_string().into();
        object["metadata"]["annotations"] = annotations(lease);
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
        let mut object = self.object(release)?;
        object["metadata"]["labels"]["modifiedAt"] = Timestamp::now().as_second().to_string().into();
        let id = self.id(&release.name, release.version);
        // The annotations of the lease live beside the record and must survive.
        if let Some(there) = self.cluster.get(&self.resource(), &self.namespace, &id.name).await? {
            object["metadata"]["annotations"] = there["metadata"]["annotations"].clone();
        }
        self.cluster.replace(&self.resource(), &id, &object).await.map(drop)
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

    fn object(&self, release: &Release) -> Result<Value> {
        let key = record_key(&release.name, release.version);
        let text = codec::encode(release).map_err(|why| Error::BadRecord { key: key.clone(), why })?;
        self.weigh(&key, &text, release)?;
        let mut object = json!({
            "apiVersion": "v1", "kind": self.resource().kind,
            "metadata": {"name": key, "namespace": self.namespace, "labels": record_labels(release)},
        });
        match self.kind {
            RecordKind::Secret => {
                object["type"] = "helm.sh/release.v1".into();
                object["data"] = json!({"release": STANDARD.encode(text)});
            }
            RecordKind::ConfigMap => object["data"] = json!({"release": text}),
        }
        Ok(object)
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

/// Keeps the items with the highest `version` label of each release, so that the others need not be unpacked.
fn newest_items(items: Vec<Value>) -> Vec<Value> {
    let mut newest: BTreeMap<(String, String), (u32, Value)> = BTreeMap::new();
    for item in items {
        let meta = &item["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version = meta["labels"]["version"].as_str().and_then(|version| version.parse().ok()).unwrap_or(0);
        let key = (text(&meta["namespace"]), text(&meta["labels"]["name"]));
        if newest.get(&key).is_none_or(|(other, _)| *other < version) {
            newest.insert(key, (version, item));
        }
    }
    newest.into_values().map(|(_, item)| item).collect()
}

fn decode(kind: RecordKind, object: &Value) -> Result<Release> {
    let key = object["metadata"]["name"].as_str().unwrap_or_default();
    let bad = |why: String| Error::BadRecord { key: key.to_owned(), why };
    let data = object["data"]["release"].as_str().ok_or_else(|| bad("the key `release` is missing".into()))?;
    let text = match kind {
        RecordKind::Secret => {
            let bytes = STANDARD.decode(data).map_err(|error| bad(error.to_string()))?;
            String::from_utf8(bytes).map_err(|error| bad(error.to_string()))?
        }
        RecordKind::ConfigMap => data.to_owned(),
    };
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
    fn only_the_newest_are_unpacked() {
        let item = |name: &str, version: &str| json!({"metadata": {"namespace": "n", "labels": {"name": name, "version": version}}});
        let kept = newest_items(vec![item("a", "9"), item("a", "10"), item("b", "1"), item("a", "2")]);
        assert_eq!(kept, [item("a", "10"), item("b", "1")]);
    }

    #[test]
    fn a_damaged_record_names_its_key() {
        let error =
            decode(RecordKind::Secret, &json!({"metadata": {"name": "k"}, "data": {"release": "AA=="}})).unwrap_err();
        assert!(error.to_string().starts_with("release record k cannot be read"), "{error}");
    }
}
