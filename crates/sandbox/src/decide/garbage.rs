//! The garbage collector's decision: a graph of owners and dependents, and what follows from it for one object.

use crate::store::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::ApiResource;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The finalizer of an object that waits until its dependents are gone.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents are to be left without an owner.
pub const ORPHAN: &str = "orphan";

/// How an object's own dependents are treated when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The object first, its dependents afterwards.
    Background,
    /// The dependents first.
    Foreground,
    /// The dependents stay.
    Orphan,
}

/// What is to be done; every action concerns the object with the given uid.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Delete an object. `absent` are the owners whose absence is the reason: to be confirmed with the API server.
    Delete {
        /// The object.
        uid: String,
        /// How.
        propagation: Propagation,
        /// Owners that the graph does not know.
        absent: Vec<OwnerReference>,
    },
    /// Take references to these owners off an object.
    DropOwners {
        /// The object.
        uid: String,
        /// The owners' uids.
        owners: Vec<String>,
    },
    /// Take a finalizer off an object.
    RemoveFinalizer {
        /// The object.
        uid: String,
        /// Which.
        finalizer: &'static str,
    },
}

/// What the graph knows of an object.
#[derive(Clone, Debug)]
pub struct Vertex {
    /// Its kind.
    pub resource: Arc<ApiResource>,
    /// Its namespace and name.
    pub key: Key,
    /// Its resource version.
    pub version: String,
    /// Its owners.
    pub owners: Vec<OwnerReference>,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl Vertex {
    fn waits_for_dependents(&self) -> bool {
        self.deleting && self.finalizers.iter().any(|finalizer| finalizer == FOREGROUND)
    }
}

/// Owners and dependents of all objects.
#[derive(Debug, Default)]
pub struct Graph {
    vertices: HashMap<String, Vertex>,
    dependents: HashMap<String, BTreeSet<String>>,
    by_namespace: HashMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Takes over an object; returns the uids that are to be looked at.
    pub fn put(&mut self, resource: &Arc<ApiResource>, metadata: &ObjectMeta) -> Vec<String> {
        let Some(uid) = metadata.uid.clone() else { return Vec::new() };
        let vertex = Vertex {
            resource: resource.clone(),
            key: Key::of(metadata),
            version: metadata.resource_version.clone().unwrap_or_default(),
            owners: metadata.owner_references.clone().unwrap_or_default(),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
        };
        let interesting = vertex.deleting || !vertex.owners.is_empty();
        let old = self.vertices.get(&uid);
        let mut look: Vec<String> = Vec::new();
        for owner in old.iter().flat_map(|old| &old.owners) {
            if !vertex.owners.iter().any(|kept| kept.uid == owner.uid) {
                // The owner may have waited for this reference to go.
                look.push(owner.uid.clone());
                if let Some(set) = self.dependents.get_mut(&owner.uid) {
                    set.remove(&uid);
                }
            }
        }
        for owner in &vertex.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        self.by_namespace.entry(vertex.key.namespace.clone()).or_default().insert(uid.clone());
        self.vertices.insert(uid.clone(), vertex);
        if interesting {
            look.push(uid);
        }
        look
    }

    /// Forgets an object; returns the uids that are to be looked at.
    pub fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(vertex) = self.vertices.remove(uid) else { return Vec::new() };
        if let Some(set) = self.by_namespace.get_mut(&vertex.key.namespace) {
            set.remove(uid);
            if set.is_empty() {
                self.by_namespace.remove(&vertex.key.namespace);
            }
        }
        let mut look: Vec<String> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        for owner in &vertex.owners {
            if let Some(set) = self.dependents.get_mut(&owner.uid) {
                set.remove(uid);
                if set.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
            look.push(owner.uid.clone());
        }
        look
    }

    /// Returns what is known of an object.
    pub fn get(&self, uid: &str) -> Option<&Vertex> {
        self.vertices.get(uid)
    }

    /// Returns how many objects of a namespace are known.
    pub fn count_in(&self, namespace: &str) -> usize {
        self.by_namespace.get(namespace).map_or(0, BTreeSet::len)
    }

    fn dependents_of(&self, uid: &str) -> impl Iterator<Item = (&String, &Vertex)> {
        self.dependents.get(uid).into_iter().flatten().filter_map(|uid| self.vertices.get_key_value(uid))
    }

    /// Decides what follows for one object.
    pub fn decide(&self, uid: &str) -> Vec<Action> {
        let Some(vertex) = self.vertices.get(uid) else { return Vec::new() };
        if vertex.deleting {
            return self.decide_deleting(uid, vertex);
        }
        if vertex.owners.is_empty() {
            return Vec::new();
        }
        let (mut solid, mut waiting, mut absent) = (0, Vec::new(), Vec::new());
        for owner in &vertex.owners {
            match self.vertices.get(&owner.uid) {
                None => absent.push(owner.clone()),
                Some(found) if found.waits_for_dependents() => waiting.push(owner.uid.clone()),
                Some(_) => solid += 1,
            }
        }
        let has_dependents = self.dependents_of(uid).next().is_some();
        if solid > 0 {
            let mut owners = waiting;
            owners.extend(absent.into_iter().map(|owner| owner.uid));
            return if owners.is_empty() {
                Vec::new()
            } else {
                vec![Action::DropOwners { uid: uid.to_owned(), owners }]
            };
        }
        let propagation = if vertex.finalizers.iter().any(|finalizer| finalizer == ORPHAN) {
            Propagation::Orphan
        } else if !waiting.is_empty() && has_dependents {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        vec![Action::Delete { uid: uid.to_owned(), propagation, absent }]
    }

    fn decide_deleting(&self, uid: &str, vertex: &Vertex) -> Vec<Action> {
        let has = |name: &str| vertex.finalizers.iter().any(|finalizer| finalizer == name);
        if has(ORPHAN) {
            let drops: Vec<Action> = self
                .dependents_of(uid)
                .map(|(dependent, _)| Action::DropOwners { uid: dependent.clone(), owners: vec![uid.to_owned()] })
                .collect();
            return if drops.is_empty() {
                vec![Action::RemoveFinalizer { uid: uid.to_owned(), finalizer: ORPHAN }]
            } else {
                drops
            };
        }
        if !has(FOREGROUND) {
            return Vec::new();
        }
        let blocking = self.dependents_of(uid).any(|(_, dependent)| {
            dependent.owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
        });
        if !blocking {
            return vec![Action::RemoveFinalizer { uid: uid.to_owned(), finalizer: FOREGROUND }];
        }
        self.dependents_of(uid)
            .filter(|(_, dependent)| !dependent.deleting)
            .flat_map(|(dependent, _)| self.decide(dependent))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn put(graph: &mut Graph, metadata: Value) -> Vec<String> {
        let resource = Arc::new(ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()));
        graph.put(&resource, &serde_json::from_value(metadata).unwrap())
    }

    fn owned(uid: &str, owners: &[&str]) -> Value {
        let owners: Vec<Value> = owners
            .iter()
            .map(|owner| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner, "blockOwnerDeletion": true}))
            .collect();
        json!({"name": uid, "namespace": "ns", "uid": uid, "ownerReferences": owners})
    }

    fn deleted(uid: &str, propagation: Propagation) -> Action {
        Action::Delete { uid: uid.to_owned(), propagation, absent: Vec::new() }
    }

    #[test]
    fn a_removed_owner_takes_its_dependents_along() {
        let mut graph = Graph::default();
        put(&mut graph, owned("owner", &[]));
        assert_eq!(put(&mut graph, owned("child", &["owner"])), ["child"]);
        assert!(graph.decide("child").is_empty());
        assert_eq!(graph.remove("owner"), ["child"]);
        let [Action::Delete { uid, propagation, absent }] = &graph.decide("child")[..] else { panic!("not deleted") };
        assert_eq!((uid.as_str(), *propagation, absent.len()), ("child", Propagation::Background, 1));
        graph.remove("child");
        assert_eq!(graph.count_in("ns"), 0);
    }

    #[test]
    fn an_object_with_another_owner_stays() {
        let mut graph = Graph::default();
        put(&mut graph, owned("a", &[]));
        put(&mut graph, owned("child", &["a", "b"]));
        assert_eq!(graph.decide("child"), [Action::DropOwners { uid: "child".into(), owners: vec!["b".into()] }]);
    }

    #[test]
    fn foreground_deletes_from_the_leaves() {
        let mut graph = Graph::default();
        let mut root = owned("root", &[]);
        root["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        root["finalizers"] = json!([FOREGROUND]);
        put(&mut graph, root);
        put(&mut graph, owned("middle", &["root"]));
        put(&mut graph, owned("leaf", &["middle"]));
        assert_eq!(graph.decide("root"), [deleted("middle", Propagation::Foreground)]);
        let mut middle = owned("middle", &["root"]);
        middle["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        middle["finalizers"] = json!([FOREGROUND]);
        put(&mut graph, middle);
        assert_eq!(graph.decide("middle"), [deleted("leaf", Propagation::Background)]);
        assert_eq!(graph.remove("leaf"), ["middle"], "the owner is looked at again");
        assert_eq!(graph.decide("middle"), [Action::RemoveFinalizer { uid: "middle".into(), finalizer: FOREGROUND }]);
    }

    #[test]
    fn orphans_lose_their_owner_first() {
        let mut graph = Graph::default();
        let mut root = owned("root", &[]);
        root["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        root["finalizers"] = json!([ORPHAN]);
        put(&mut graph, root);
        put(&mut graph, owned("child", &["root"]));
        assert_eq!(graph.decide("root"), [Action::DropOwners { uid: "child".into(), owners: vec!["root".into()] }]);
        assert_eq!(put(&mut graph, owned("child", &[])), ["root"]);
        assert_eq!(graph.decide("root"), [Action::RemoveFinalizer { uid: "root".into(), finalizer: ORPHAN }]);
    }
}
