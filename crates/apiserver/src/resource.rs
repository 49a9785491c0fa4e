//! What the server knows about each resource: names, scope, verbs, subresources; built in or from a CRD.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// One resource at one API version.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// API version, e.g. `v1`.
    pub version: String,
    /// Plural name as it stands in URLs, e.g. `pods`.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Kind, e.g. `Pod`.
    pub kind: String,
    /// Kind of a list, e.g. `PodList`.
    pub list_kind: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Short names that kubectl accepts.
    pub short_names: Vec<String>,
    /// Categories such as `all`.
    pub categories: Vec<String>,
    /// Names of the subresources, `status` first when there is one.
    pub subresources: Vec<String>,
    /// Whether objects are kept (reviews are only answered).
    pub stored: bool,
    /// Set for resources that a CustomResourceDefinition declares.
    pub custom: Option<Arc<CustomVersion>>,
}

/// What a CRD says about one of its versions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CustomVersion {
    /// `openAPIV3Schema`, `null` when absent.
    pub schema: Value,
    /// `additionalPrinterColumns`.
    pub columns: Vec<Value>,
    /// The `scale` subresource (paths), when declared.
    pub scale: Option<Value>,
}

impl Resource {
    /// `pods`, `jobs.batch`: how messages and the store name it, whatever the version.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `v1`, `batch/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The name below which the store keeps the objects. `events` of both groups are the same objects.
    pub fn storage(&self) -> String {
        if self.group == "events.k8s.io" { "events".into() } else { self.qualified() }
    }

    /// Whether the subresource exists.
    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|s| s == subresource)
    }

    /// Whether this is the built-in resource `plural` of `group`.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.custom.is_none() && self.group == group && self.plural == plural
    }

    /// Whether objects carry `metadata.generation`.
    pub fn has_generation(&self) -> bool {
        if self.custom.is_some() {
            return true;
        }
        match self.group.as_str() {
            "" => matches!(self.plural.as_str(), "pods" | "replicationcontrollers"),
            "apps" | "batch" | "policy" | "networking.k8s.io" | "autoscaling" => true,
            "apiextensions.k8s.io" | "admissionregistration.k8s.io" | "flowcontrol.apiserver.k8s.io" => true,
            "scheduling.k8s.io" => true,
            _ => false,
        }
    }

    /// Verbs for discovery documents.
    pub fn verbs(&self) -> &'static [&'static str] {
        if !self.stored {
            return &["create"];
        }
        if self.is("", "namespaces") {
            return &["create", "delete", "get", "list", "patch", "update", "watch"];
        }
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    }
}

/// All resources served now. Cheap to clone; replaced as a whole when a CRD changes.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    resources: Vec<Arc<Resource>>,
    by_path: BTreeMap<(String, String, String), Arc<Resource>>,
    /// Versions of each group, preferred first.
    groups: Vec<(String, Vec<String>)>,
}

impl Catalogue {
    /// A catalogue of these resources; groups and versions keep the order of first appearance.
    pub fn new(resources: Vec<Resource>) -> Self {
        let mut catalogue = Catalogue::default();
        for resource in resources {
            let resource = Arc::new(resource);
            let key = (resource.group.clone(), resource.version.clone(), resource.plural.clone());
            if catalogue.by_path.insert(key, resource.clone()).is_some() {
                continue;
            }
            match catalogue.groups.iter_mut().find(|(g, _)| *g == resource.group) {
                Some((_, versions)) if versions.contains(&resource.version) => {}
                Some((_, versions)) => versions.push(resource.version.clone()),
                None => catalogue.groups.push((resource.group.clone(), vec![resource.version.clone()])),
            }
            catalogue.resources.push(resource);
        }
        catalogue
    }

    /// The resource served at this group, version and plural name.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.by_path.get(&(group.to_string(), version.to_string(), plural.to_string())).cloned()
    }

    /// The preferred version of a resource.
    pub fn preferred(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources.iter().find(|r| r.group == group && r.plural == plural).cloned()
    }

    /// Every resource.
    pub fn all(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// Every group with its versions, preferred version first.
    pub fn groups(&self) -> &[(String, Vec<String>)] {
        &self.groups
    }

    /// The resources of one group version.
    pub fn of<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.resources.iter().filter(move |r| r.group == group && r.version == version)
    }
}
