//! One watch for each kind, as news for the plan.

use crate::node::{ApiNode, Node, NodeSpec, NodeStatus};
use crate::observe::{self, ApiJob, ApiPod};
use crate::plan::Event;
use contract::label;
use futures::{Stream, StreamExt};
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fmt::Debug;

/// Something heard on a watch.
pub(crate) enum News {
    /// News for the plan.
    Event(Event),
    /// A complete list of this kind is through.
    Synced(&'static str),
    /// The watch broke; it is being begun again.
    Broken(String),
}

/// Follows every Node.
pub(crate) fn nodes(client: &Client) -> impl Stream<Item = News> + use<> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Node>(&());
    let api: Api<kube::core::Object<NodeSpec, NodeStatus>> = Api::all_with(client.clone(), &resource);
    follow(
        "nodes",
        api,
        watcher::Config::default(),
        |node: ApiNode| Some(Event::Node(Node::from(node))),
        |name| Some(Event::NodeGone(name)),
    )
}

/// Follows the Jobs of an owner.
pub(crate) fn jobs(client: &Client, namespace: &str, owner: &str) -> impl Stream<Item = News> + use<> {
    let resource = ApiResource::erase::<k8s_openapi::api::batch::v1::Job>(&());
    let api: Api<ApiJob> = Api::namespaced_with(client.clone(), namespace, &resource);
    let config = watcher::Config::default().labels(&format!("{}={owner}", label::JOB_OWNER));
    follow("jobs", api, config, |job: ApiJob| Some(Event::Job(observe::job(job))), |name| Some(Event::JobGone(name)))
}

/// Follows the pods of an owner's Jobs.
pub(crate) fn pods(client: &Client, namespace: &str, owner: &str) -> impl Stream<Item = News> + use<> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
    let api: Api<ApiPod> = Api::namespaced_with(client.clone(), namespace, &resource);
    let config = watcher::Config::default().labels(&format!("{}={owner}", label::JOB_OWNER));
    let event = |pod: ApiPod| {
        Some(Event::Pod {
            name: pod.name_any(),
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()).unwrap_or_default(),
            node: pod.spec.node_name,
            status: pod.status?,
        })
    };
    follow("pods", api, config, event, |_| None)
}

fn follow<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    event: impl Fn(K) -> Option<Event> + Send + 'static,
    gone: impl Fn(String) -> Option<Event> + Send + 'static,
) -> impl Stream<Item = News>
where
    K: Resource<Scope = DynamicResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut known = HashSet::new();
    let mut listed = HashSet::new();
    watcher(api, config)
        .default_backoff()
        .map(move |heard| {
            let news: Vec<Option<News>> = match heard {
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    Vec::new()
                }
                Ok(watcher::Event::InitApply(object)) => {
                    listed.insert(object.name_any());
                    vec![event(object).map(News::Event)]
                }
                Ok(watcher::Event::InitDone) => {
                    // What was known and is not in the new list went away while the watch was broken.
                    let lost: Vec<String> = known.difference(&listed).cloned().collect();
                    known = std::mem::take(&mut listed);
                    lost.into_iter().map(|name| gone(name).map(News::Event)).chain([Some(News::Synced(kind))]).collect()
                }
                Ok(watcher::Event::Apply(object)) => {
                    known.insert(object.name_any());
                    vec![event(object).map(News::Event)]
                }
                Ok(watcher::Event::Delete(object)) => {
                    known.remove(&object.name_any());
                    vec![gone(object.name_any()).map(News::Event)]
                }
                Err(error) => vec![Some(News::Broken(error.to_string()))],
            };
            futures::stream::iter(news.into_iter().flatten())
        })
        .flatten()
}
