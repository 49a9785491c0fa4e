//! An object of the API, read only as far as somebody looks at it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference, Time};
use kube::Resource;
use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// An object whose `spec` and `status` are read into these types. What is missing is taken as empty: nobody needs to write
/// a `spec` into a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound = "Spec: Deserialize<'de> + Default, Status: Deserialize<'de> + Default")]
pub struct Object<Spec, Status> {
    /// The metadata, without what the field managers own: that is the larger part of many an object.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub spec: Spec,
    /// What is.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub status: Status,
}

impl<Spec, Status> Resource for Object<Spec, Status> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<Write>>,
}

/// When somebody wrote, and whether only a subresource.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Write {
    time: Option<Time>,
    subresource: Option<String>,
}

fn metadata<'de, D: Deserializer<'de>>(input: D) -> Result<ObjectMeta, D::Error> {
    let read = Metadata::deserialize(input)?;
    let write = |write: Write| ManagedFieldsEntry {
        time: write.time,
        subresource: write.subresource,
        ..ManagedFieldsEntry::default()
    };
    Ok(ObjectMeta {
        name: read.name,
        uid: read.uid,
        resource_version: read.resource_version,
        labels: read.labels,
        annotations: read.annotations,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        owner_references: read.owner_references,
        managed_fields: read.managed_fields.map(|writes| writes.into_iter().map(write).collect()),
        ..ObjectMeta::default()
    })
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IgnoredAny;

    #[test]
    fn what_nobody_looks_at_is_not_kept_and_what_is_missing_is_empty() {
        let text = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 3, "finalizers": ["f"],
            "managedFields": [{"manager": "m", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:metadata": {}}}]},
            "status": null}"#;
        let object: Object<IgnoredAny, Vec<String>> = serde_json::from_str(text).unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some("n"));
        assert_eq!(object.metadata.resource_version.as_deref(), Some("7"));
        let writes = object.metadata.managed_fields.unwrap();
        assert!(writes[0].fields_v1.is_none() && writes[0].time > object.metadata.creation_timestamp);
        assert_eq!(object.status, Vec::<String>::new());
        assert!(serde_json::from_str::<Object<IgnoredAny, Vec<String>>>(r#"{"metadata": 1}"#).is_err());
    }
}
