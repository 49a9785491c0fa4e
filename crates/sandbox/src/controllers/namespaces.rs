//! The namespace controller: a namespace that is being deleted loses its content, then itself.

use super::garbage::Collector;
use super::{Context, each, is_conflict, is_gone};
use crate::queue::Queue;
use crate::store::Key;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::ApiResource;
use std::time::Duration;

/// The entry of `spec.finalizers` that this controller takes away when all is gone.
const FINALIZER: &str = "kubernetes";

/// Runs for ever.
pub(super) async fn run(context: Context, collector: Collector) {
    let queue: Queue<String> = Queue::new();
    let on_namespace = {
        let queue = queue.clone();
        each(context.stores.namespaces.subscribe(), move |change| {
            if let Some(namespace) = change.new.filter(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
                queue.add(namespace.name_any());
            }
        })
    };
    let on_departure = {
        let (queue, stores, mut departures) = (queue.clone(), context.stores.clone(), collector.departures());
        async move {
            while let Some(namespace) = departures.recv().await {
                let known = stores.namespaces.get(&Key::new("", &namespace));
                if known.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
                    queue.add(namespace);
                }
            }
        }
    };
    let reconcile = queue.run("namespace", 2, move |name| {
        let (context, collector) = (context.clone(), collector.clone());
        async move { reconcile(&context, &collector, &name).await }
    });
    tokio::join!(on_namespace, on_departure, reconcile);
}

async fn reconcile(context: &Context, collector: &Collector, name: &str) -> Result<Option<Duration>, kube::Error> {
    let Some(namespace) = context.stores.namespaces.get(&Key::new("", name)) else { return Ok(None) };
    if namespace.metadata.deletion_timestamp.is_none() {
        return Ok(None);
    }
    let waits = |namespace: &Namespace| {
        namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten()).any(|finalizer| finalizer == FINALIZER)
    };
    if !waits(&namespace) {
        return Ok(None);
    }
    let kinds = collector.namespaced_kinds();
    if kinds.is_empty() {
        return Ok(Some(Duration::from_millis(50))); // the first discovery is under way
    }
    let mut left = 0;
    let events = ApiResource::erase::<k8s_openapi::api::core::v1::Event>(&());
    for resource in kinds.iter().map(|kind| kind.resource.as_ref()).chain([&events]) {
        let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), name, resource);
        match api.delete_collection(&DeleteParams::background(), &ListParams::default()).await {
            Ok(_) => {}
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        }
        if !std::ptr::eq(resource, &events) {
            left += api.list(&ListParams::default().limit(1)).await?.items.len();
        }
    }
    if left > 0 {
        tracing::debug!(namespace = name, known = collector.count_in(name), "content is still leaving");
        // The departure of the last object brings this namespace back; the delay is for finalizers of others.
        return Ok(Some(Duration::from_secs(1)));
    }
    let api: Api<Namespace> = Api::all(context.client.clone());
    let mut fresh = match api.get_opt(name).await? {
        Some(namespace) if waits(&namespace) => namespace,
        _ => return Ok(None),
    };
    if let Some(finalizers) = fresh.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    match api.replace_subresource("finalize", name, &PostParams::default(), &fresh).await {
        Ok(_) => Ok(None),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) if is_conflict(&error) => Ok(Some(Duration::from_millis(10))),
        Err(error) => Err(error),
    }
}
