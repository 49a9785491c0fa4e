//! The garbage collector: watches the metadata of every kind, keeps [`crate::decide::garbage::Graph`], and deletes.

use super::{Context, is_conflict, is_gone};
use crate::decide::garbage::{Action, Graph, Propagation, Vertex};
use crate::queue::Queue;
use crate::store::{Change, Store};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::{ApiResource, PartialObjectMeta};
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Resource, ResourceExt};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};

type Metadata = PartialObjectMeta<DynamicObject>;

/// A kind that the API server serves.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    /// Group, version, kind and path.
    pub(super) resource: Arc<ApiResource>,
    /// Whether its objects live in namespaces.
    pub(super) namespaced: bool,
}

/// The garbage collector; clones share it.
#[derive(Clone)]
pub(super) struct Collector {
    context: Context,
    shared: Arc<Shared>,
}

struct Shared {
    graph: Mutex<Graph>,
    queue: Queue<String>,
    kinds: Mutex<Vec<Kind>>,
    rediscover: Notify,
    /// Told the namespace of every object that is gone.
    emptied: Mutex<Vec<mpsc::UnboundedSender<String>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    pub(super) fn new(context: Context) -> Self {
        let shared = Shared {
            graph: Mutex::default(),
            queue: Queue::new(),
            kinds: Mutex::default(),
            rediscover: Notify::new(),
            emptied: Mutex::default(),
        };
        Collector { context, shared: Arc::new(shared) }
    }

    /// Returns the kinds whose objects live in namespaces; empty before the first discovery.
    pub(super) fn namespaced_kinds(&self) -> Vec<Kind> {
        lock(&self.shared.kinds).iter().filter(|kind| kind.namespaced).cloned().collect()
    }

    /// Returns how many objects of a namespace are known.
    pub(super) fn count_in(&self, namespace: &str) -> usize {
        lock(&self.shared.graph).count_in(namespace)
    }

    /// Returns the namespaces of objects as they go away.
    pub(super) fn departures(&self) -> mpsc::UnboundedReceiver<String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.shared.emptied).push(sender);
        receiver
    }

    /// Runs for ever.
    pub(super) async fn run(self) {
        let workers = {
            let collector = self.clone();
            self.shared.queue.clone().run("garbage", 4, move |uid| {
                let collector = collector.clone();
                async move { collector.reconcile(&uid).await }
            })
        };
        tokio::join!(workers, self.follow_kinds());
    }

    /// Watches every kind that discovery names; asks again whenever a CustomResourceDefinition changes.
    async fn follow_kinds(&self) {
        let mut tasks = JoinSet::new();
        let mut watched: HashMap<String, AbortHandle> = HashMap::new();
        let mut delay = Duration::from_millis(50);
        loop {
            match discover(&self.context).await {
                Ok(kinds) => {
                    delay = Duration::from_millis(50);
                    let id = |kind: &Kind| format!("{}/{}", kind.resource.api_version, kind.resource.plural);
                    watched.retain(|known, task| {
                        let keep = kinds.iter().any(|kind| id(kind) == *known);
                        if !keep {
                            task.abort();
                        }
                        keep
                    });
                    for kind in &kinds {
                        watched.entry(id(kind)).or_insert_with(|| self.follow(kind.resource.clone(), &mut tasks));
                    }
                    *lock(&self.shared.kinds) = kinds;
                    self.shared.rediscover.notified().await;
                }
                Err(error) => {
                    tracing::debug!(%error, "discovery failed");
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(Duration::from_secs(5));
                }
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    fn follow(&self, resource: Arc<ApiResource>, tasks: &mut JoinSet<()>) -> AbortHandle {
        // Kinds that others watch already are not watched twice.
        let stores = self.context.stores.clone();
        macro_rules! shared {
            ($($store:ident: $kind:ty),* $(,)?) => {
                $(if resource.kind == <$kind as Resource>::kind(&()) && resource.group == <$kind as Resource>::group(&()) {
                    return tasks.spawn(self.clone().feed(resource, stores.$store.subscribe()));
                })*
            };
        }
        use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, core::v1 as core, node::v1 as node};
        shared!(
            pods: core::Pod, nodes: core::Node, jobs: batch::Job, daemon_sets: apps::DaemonSet,
            deployments: apps::Deployment, replica_sets: apps::ReplicaSet, namespaces: core::Namespace,
            service_accounts: core::ServiceAccount, config_maps: core::ConfigMap,
            runtime_classes: node::RuntimeClass,
        );
        let store: Arc<Store<Metadata>> = Store::new(&[]);
        let api: Api<Metadata> = Api::all_with(self.context.client.clone(), resource.as_ref());
        let feed = self.clone().feed(resource, store.subscribe());
        tasks.spawn(async move {
            tokio::join!(store.follow(api), feed);
        })
    }

    async fn feed<K: Resource>(self, resource: Arc<ApiResource>, mut changes: mpsc::UnboundedReceiver<Change<K>>) {
        let definitions = resource.kind == "CustomResourceDefinition";
        while let Some(change) = changes.recv().await {
            let mut look = Vec::new();
            {
                let mut graph = lock(&self.shared.graph);
                let (old, new) = (change.old.as_ref().map(|it| it.meta()), change.new.as_ref().map(|it| it.meta()));
                if let Some(uid) = old.and_then(|old| old.uid.as_deref())
                    && new.is_none_or(|new| new.uid.as_deref() != Some(uid))
                {
                    look.extend(graph.remove(uid));
                }
                if let Some(new) = new {
                    look.extend(graph.put(&resource, new));
                }
            }
            for uid in look {
                self.shared.queue.add(uid);
            }
            if let (Some(old), None) = (&change.old, &change.new)
                && let Some(namespace) = old.namespace()
            {
                lock(&self.shared.emptied).retain(|sender| sender.send(namespace.clone()).is_ok());
            }
            if definitions {
                self.shared.rediscover.notify_one();
            }
        }
    }

    async fn reconcile(&self, uid: &str) -> Result<Option<Duration>, kube::Error> {
        let actions = lock(&self.shared.graph).decide(uid);
        for action in actions {
            self.act(action).await?;
        }
        Ok(None)
    }

    async fn act(&self, action: Action) -> Result<(), kube::Error> {
        let uid = match &action {
            Action::Delete { uid, .. } | Action::DropOwners { uid, .. } | Action::RemoveFinalizer { uid, .. } => {
                uid.clone()
            }
        };
        let Some(vertex) = lock(&self.shared.graph).get(&uid).cloned() else { return Ok(()) };
        let api = self.api(&vertex.resource, &vertex.key.namespace);
        let result = match action {
            Action::Delete { propagation, absent, .. } => {
                for owner in &absent {
                    if self.lives(owner, &vertex).await? {
                        // The watch has yet to bring it; look again when it may have.
                        self.shared.queue.add_after(uid, Duration::from_millis(100));
                        return Ok(());
                    }
                }
                let params = match propagation {
                    Propagation::Background => DeleteParams::background(),
                    Propagation::Foreground => DeleteParams::foreground(),
                    Propagation::Orphan => DeleteParams::orphan(),
                };
                let uid = Preconditions { uid: Some(uid), resource_version: None };
                api.delete(&vertex.key.name, &params.preconditions(uid)).await.map(drop)
            }
            Action::DropOwners { owners, .. } => {
                let kept: Vec<&OwnerReference> =
                    vertex.owners.iter().filter(|owner| !owners.contains(&owner.uid)).collect();
                // An empty list is no list: Kubernetes leaves it out.
                let kept = (!kept.is_empty()).then_some(kept);
                self.patch(&api, &vertex, json!({"ownerReferences": kept})).await
            }
            Action::RemoveFinalizer { finalizer, .. } => {
                let kept: Vec<&String> = vertex.finalizers.iter().filter(|name| *name != finalizer).collect();
                let kept = (!kept.is_empty()).then_some(kept);
                self.patch(&api, &vertex, json!({"finalizers": kept})).await
            }
        };
        match result {
            Err(error) if is_gone(&error) => Ok(()),
            // Somebody wrote it meanwhile; the watch brings it here again, but an object without change would not come.
            Err(error) if is_conflict(&error) => Err(error),
            other => other,
        }
    }

    async fn patch(
        &self,
        api: &Api<DynamicObject>,
        vertex: &Vertex,
        metadata: serde_json::Value,
    ) -> Result<(), kube::Error> {
        let mut metadata = metadata;
        metadata["resourceVersion"] = json!(vertex.version);
        let patch = Patch::Merge(json!({"metadata": metadata}));
        api.patch(&vertex.key.name, &PatchParams::default(), &patch).await.map(drop)
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(self.context.client.clone(), resource)
        } else {
            Api::namespaced_with(self.context.client.clone(), namespace, resource)
        }
    }

    /// Asks the API server whether an owner exists.
    async fn lives(&self, owner: &OwnerReference, dependent: &Vertex) -> Result<bool, kube::Error> {
        let kind = lock(&self.shared.kinds)
            .iter()
            .find(|kind| kind.resource.kind == owner.kind && group(&owner.api_version) == kind.resource.group)
            .cloned();
        // A kind that is not served has no objects; before the first discovery nothing is known.
        let Some(kind) = kind else { return Ok(lock(&self.shared.kinds).is_empty()) };
        let namespace = if kind.namespaced { dependent.key.namespace.as_str() } else { "" };
        if kind.namespaced && namespace.is_empty() {
            return Ok(false); // a cluster-wide object cannot have an owner in a namespace
        }
        let found = self.api(&kind.resource, namespace).get_opt(&owner.name).await?;
        Ok(found.is_some_and(|found| found.metadata.uid.as_deref() == Some(owner.uid.as_str())))
    }
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

async fn discover(context: &Context) -> Result<Vec<Kind>, kube::Error> {
    let discovery = Discovery::new(context.client.clone()).run().await?;
    let mut kinds = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let usable = [verbs::LIST, verbs::WATCH, verbs::DELETE, verbs::GET]
                .iter()
                .all(|verb| capabilities.supports_operation(verb));
            // Events come in numbers, own nothing and are owned by nothing.
            if usable && resource.kind != "Event" {
                let namespaced = capabilities.scope == Scope::Namespaced;
                kinds.push(Kind { resource: Arc::new(resource), namespaced });
            }
        }
    }
    Ok(kinds)
}
