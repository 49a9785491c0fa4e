//! The engine: a cluster, a store of records, a namespace. Its operations are in [`crate::operation`].

use crate::apply::{Item, resolve};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::event::Progress;
use crate::object::parse_manifest;
use crate::ownership;
use crate::source::{Bundle, ClusterFacts, Lookup, RenderInput, Source};
use crate::storage::{ClusterStore, MemoryStore, RecordKind, Storage};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Everything that operations on the releases of one namespace need. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    /// The cluster.
    pub cluster: Cluster,
    /// The records.
    pub storage: Storage,
    /// The namespace of the releases.
    pub namespace: String,
}

/// Where records are kept, as `HELM_DRIVER` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Driver {
    /// Secrets.
    #[default]
    Secret,
    /// ConfigMaps.
    ConfigMap,
    /// This process.
    Memory,
}

impl Engine {
    /// Makes an engine with records in Secrets.
    pub fn new(client: kube::Client, namespace: &str) -> Self {
        Engine::with(Cluster::new(client), namespace, Driver::Secret)
    }

    /// Makes an engine over a prepared connection (field manager, patience, listener).
    pub fn with(cluster: Cluster, namespace: &str, driver: Driver) -> Self {
        let store = |kind| {
            Storage::Cluster(ClusterStore {
                cluster: cluster.clone(),
                namespace: namespace.to_owned(),
                kind,
                in_parts: false,
            })
        };
        let storage = match driver {
            Driver::Secret => store(RecordKind::Secret),
            Driver::ConfigMap => store(RecordKind::ConfigMap),
            Driver::Memory => Storage::Memory(MemoryStore::new(namespace)),
        };
        Engine { cluster, storage, namespace: namespace.to_owned() }
    }

    /// Sends events to a listener.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.cluster.progress = progress.clone();
        if let Storage::Cluster(store) = &mut self.storage {
            store.cluster.progress = progress;
        }
        self
    }

    /// Stores records that are too large for one object in parts, of which Helm knows nothing.
    #[must_use]
    pub fn with_records_in_parts(mut self) -> Self {
        if let Storage::Cluster(store) = &mut self.storage {
            store.in_parts = true;
        }
        self
    }

    /// Asks what templates may know of the cluster.
    pub async fn facts(&self) -> Result<ClusterFacts> {
        let (version, api_versions) = self.cluster.capabilities().await?;
        let text = |field: &str| version[field].as_str().unwrap_or_default().to_owned();
        Ok(ClusterFacts {
            git_version: text("gitVersion"),
            major: text("major"),
            minor: text("minor"),
            api_versions,
            lookup: self.lookup(),
        })
    }

    /// Returns a reader of live objects for templates. It blocks, so it must be called from a thread that may.
    fn lookup(&self) -> Lookup {
        let cluster = self.cluster.clone();
        let runtime = tokio::runtime::Handle::current();
        Lookup::new(move |api_version, kind, namespace, name| {
            runtime.block_on(look_up(&cluster, api_version, kind, namespace, name)).map_err(|error| error.to_string())
        })
    }

    pub(crate) async fn render(&self, source: &Arc<dyn Source>, input: RenderInput) -> Result<Bundle> {
        let source = source.clone();
        match tokio::task::spawn_blocking(move || source.render(input)).await {
            Ok(bundle) => bundle.map_err(Error::Render),
            Err(error) => Err(Error::Render(format!("rendering was cut off: {error}"))),
        }
    }

    /// Reads a manifest, finds the place of each object and puts the marks of the release on it.
    pub(crate) async fn stamped(&self, manifest: &str, release: &str, namespace: &str) -> Result<Vec<Item>> {
        let mut objects = parse_manifest(manifest)?;
        for object in &mut objects {
            ownership::stamp(object, release, namespace);
        }
        resolve(&self.cluster, objects, namespace).await
    }

    /// Reads a stored manifest for removal: kinds that the cluster no longer serves have no objects left.
    pub(crate) async fn recorded(&self, manifest: &str, namespace: &str) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for object in parse_manifest(manifest)? {
            match resolve(&self.cluster, vec![object], namespace).await {
                Ok(mut one) => items.append(&mut one),
                Err(Error::UnknownKind { kind, version, name, .. }) => {
                    self.cluster.progress.warn(format!("{kind} {name:?}: the cluster no longer serves {version}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(items)
    }
}

async fn look_up(cluster: &Cluster, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value> {
    let Some(resource) = cluster.resource(api_version, kind).await? else { return Ok(Value::Object(Map::new())) };
    if name.is_empty() {
        let list = cluster.list(&resource, namespace, &Default::default()).await?;
        return Ok(json!({"apiVersion": api_version, "kind": format!("{kind}List"), "items": list.items}));
    }
    Ok(cluster.get(&resource, namespace, name).await?.unwrap_or_else(|| Value::Object(Map::new())))
}
