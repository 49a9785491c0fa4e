//! The controllers as they run: they watch, ask the pure functions of [`crate::decide`], and write.

mod accounts;
mod daemonsets;
mod deployments;
mod garbage;
mod jobs;
mod namespaces;
mod scheduler;

use crate::decide::job::is_finished;
use crate::events::Recorder;
use crate::store::{Change, Store};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions, Request};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

/// The index of pods (and ReplicaSets) by the uid of their controller.
pub const BY_OWNER: usize = 0;
/// The index of pods by the node they are bound to.
pub const BY_NODE: usize = 1;

/// What every controller works with.
#[derive(Clone)]
pub struct Context {
    /// Talks to the API server with all rights.
    pub client: Client,
    /// Records Events.
    pub events: Recorder,
    /// What is known of the cluster.
    pub stores: Arc<Stores>,
    /// The certificate authority of the API server, PEM.
    pub certificate_authority: Arc<str>,
    /// The first delay before something that failed is tried again.
    pub backoff: Duration,
}

/// One store for each kind that more than one part looks at.
#[derive(Debug)]
pub struct Stores {
    /// Pods; indexes [`BY_OWNER`] and [`BY_NODE`].
    pub pods: Arc<Store<Pod>>,
    /// Nodes.
    pub nodes: Arc<Store<Node>>,
    /// Jobs.
    pub jobs: Arc<Store<Job>>,
    /// DaemonSets.
    pub daemon_sets: Arc<Store<DaemonSet>>,
    /// Deployments.
    pub deployments: Arc<Store<Deployment>>,
    /// ReplicaSets; index [`BY_OWNER`].
    pub replica_sets: Arc<Store<ReplicaSet>>,
    /// Namespaces.
    pub namespaces: Arc<Store<Namespace>>,
    /// ServiceAccounts.
    pub service_accounts: Arc<Store<ServiceAccount>>,
    /// ConfigMaps.
    pub config_maps: Arc<Store<ConfigMap>>,
    /// RuntimeClasses.
    pub runtime_classes: Arc<Store<RuntimeClass>>,
}

/// Returns the reference to an object's controller.
pub fn controller_of<K: Resource>(object: &K) -> Option<&OwnerReference> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true))
}

fn by_owner<K: Resource>(object: &K) -> Vec<String> {
    controller_of(object).map(|owner| owner.uid.clone()).into_iter().collect()
}

fn by_node(pod: &Pod) -> Vec<String> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).into_iter().collect()
}

/// A Job that has ended makes no more pods. Its template is most of it, and there may be ten thousand of them.
fn without_ended_template(job: &mut Job) {
    if is_finished(job)
        && let Some(spec) = &mut job.spec
    {
        spec.template = Default::default();
    }
}

impl Default for Stores {
    fn default() -> Self {
        Stores {
            pods: Store::new(&[by_owner, by_node]),
            nodes: Store::new(&[]),
            jobs: Store::trimmed(&[], without_ended_template),
            daemon_sets: Store::new(&[]),
            deployments: Store::new(&[]),
            replica_sets: Store::new(&[by_owner]),
            namespaces: Store::new(&[]),
            service_accounts: Store::new(&[]),
            config_maps: Store::new(&[]),
            runtime_classes: Store::new(&[]),
        }
    }
}

impl Stores {
    /// Starts one watch for each kind and waits for all first lists.
    pub async fn follow(&self, client: &Client, tasks: &mut JoinSet<()>) {
        macro_rules! follow {
            ($($store:ident),*) => {
                $(tasks.spawn(self.$store.clone().follow(Api::all(client.clone())));)*
                $(self.$store.ready().await;)*
            };
        }
        follow!(
            pods,
            nodes,
            jobs,
            daemon_sets,
            deployments,
            replica_sets,
            namespaces,
            service_accounts,
            config_maps,
            runtime_classes
        );
    }
}

/// Starts every controller; each runs until its task is dropped.
pub fn start(context: &Context, tasks: &mut JoinSet<()>) {
    tasks.spawn(jobs::run(context.clone()));
    tasks.spawn(daemonsets::run(context.clone()));
    tasks.spawn(deployments::run_replica_sets(context.clone()));
    tasks.spawn(deployments::run_deployments(context.clone()));
    tasks.spawn(accounts::run(context.clone()));
    tasks.spawn(scheduler::run(context.clone()));
    let garbage = garbage::Collector::new(context.clone());
    tasks.spawn(namespaces::run(context.clone(), garbage.clone()));
    tasks.spawn(garbage.run());
}

/// Calls a function with every change, for ever.
async fn each<K>(mut changes: UnboundedReceiver<Change<K>>, mut act: impl FnMut(Change<K>)) {
    while let Some(change) = changes.recv().await {
        act(change);
    }
}

/// Tells whether an error means that the object is not (any more) what was expected: gone, or another of that name.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

impl Context {
    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Creates an object and takes it over into its store.
    async fn create<K>(&self, store: &Store<K>, object: &K) -> Result<K, kube::Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + serde::Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let api = self.api::<K>(object.meta().namespace.as_deref().unwrap_or("default"));
        let created = api.create(&PostParams::default(), object).await?;
        store.observe(created.clone());
        Ok(created)
    }

    /// Deletes an object of which the uid is known; one that is gone already is no error.
    async fn delete<K>(&self, store: &Store<K>, object: &K, params: DeleteParams) -> Result<(), kube::Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
    {
        let api = self.api::<K>(object.meta().namespace.as_deref().unwrap_or("default"));
        let preconditions = Preconditions { uid: object.meta().uid.clone(), resource_version: None };
        match api.delete(&object.name_any(), &params.preconditions(preconditions)).await {
            Ok(answer) => {
                if let Some(object) = answer.left() {
                    store.observe(object);
                }
                Ok(())
            }
            Err(error) if is_gone(&error) || is_conflict(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the status of an object with that of `object`, whose resource version must be the newest.
    async fn put_status<K>(&self, store: &Store<K>, object: &K) -> Result<(), kube::Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + serde::Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let api = self.api::<K>(object.meta().namespace.as_deref().unwrap_or("default"));
        // Only what counts: a Job's template is most of it, and not looked at.
        let mut body = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
        if let Some(members) = body.as_object_mut() {
            members.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
        }
        let request = Request::new(api.resource_url());
        let parameters = PostParams::default();
        let request =
            request.replace_subresource("status", &object.name_any(), &parameters, body.to_string().into_bytes());
        match self.client.request::<K>(request.map_err(kube::Error::BuildRequest)?).await {
            Ok(written) => {
                store.observe(written);
                Ok(())
            }
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes a finalizer off a pod.
    async fn release(&self, pod: &Pod, finalizer: &str) -> Result<(), kube::Error> {
        let kept: Vec<&String> = pod.finalizers().iter().filter(|name| *name != finalizer).collect();
        if kept.len() == pod.finalizers().len() {
            return Ok(());
        }
        // An empty list is no list: Kubernetes leaves it out.
        let kept = (!kept.is_empty()).then_some(kept);
        let patch =
            json!({"metadata": {"uid": pod.uid(), "resourceVersion": pod.resource_version(), "finalizers": kept}});
        let api = self.api::<Pod>(&pod.namespace().unwrap_or_default());
        match api.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(written) => {
                // A pod that only waited for this is gone now; the watch tells.
                if written.metadata.deletion_timestamp.is_none() {
                    self.stores.pods.observe(written);
                }
                Ok(())
            }
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
