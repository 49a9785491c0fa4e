//! One watch for each kind, as news for the plan.

use crate::node::{ApiNode, Node};
use crate::observe::{self, ApiJob, ApiPod, Outcome};
use crate::plan::{Event, Order, Pod};
use contract::label;
use futures::{Stream, StreamExt};
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt::Debug;

/// Objects asked for in one request: a page is held as a whole while it is read, so this bounds memory.
const PAGE: u32 = 100;

/// Something heard on a watch.
#[allow(clippy::large_enum_variant, reason = "nearly all of them are events, and none is kept")]
pub(crate) enum News {
    /// News for the plan.
    Event(Event),
    /// A complete list of this kind is through.
    Synced(&'static str),
    /// The watch broke; it is being begun again.
    Broken(String),
}

/// What has to be remembered of an object to tell that it is gone.
struct Trace {
    /// Its identity.
    uid: Box<str>,
    /// Its node; empty for Nodes.
    node: Box<str>,
    /// The list that last had it, or during which it was last heard of.
    list: u32,
}

/// Follows every Node.
pub(crate) fn nodes(client: &Client) -> impl Stream<Item = News> + use<> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Node>(&());
    let api: Api<ApiNode> = Api::all_with(client.clone(), &resource);
    follow(
        "nodes",
        api,
        watcher::Config::default(),
        |_| String::new(),
        |node: ApiNode| Some(Event::Node(Node::from(node))),
        |name, trace| Some(Event::NodeGone { name, uid: trace.uid.into() }),
    )
}

/// Follows the per-node Jobs of owners.
pub(crate) fn jobs(client: &Client, namespace: &str, owners: &[&str]) -> impl Stream<Item = News> + use<> {
    follow(
        "jobs",
        job_api(client, namespace),
        watcher::Config::default().labels(&owned(owners)),
        |job: &ApiJob| observe::node_of(job).to_owned(),
        |job| Some(Event::Job(observe::job(job))),
        |name, trace| Some(Event::JobGone { name, uid: trace.uid.into(), node: trace.node.into() }),
    )
}

/// Follows the pods of owners' Jobs.
pub(crate) fn pods(client: &Client, namespace: &str, owners: &[&str]) -> impl Stream<Item = News> + use<> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
    let api: Api<ApiPod> = Api::namespaced_with(client.clone(), namespace, &resource);
    let event = |pod: ApiPod| {
        let owner = pod.metadata.owner_references.as_ref().and_then(|owners| owners.iter().find(|o| o.kind == "Job"));
        Some(Event::Pod(Pod {
            name: pod.name_any(),
            job: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()).unwrap_or_default(),
            node: pod.spec.node_name,
            status: pod.status,
        }))
    };
    let config = watcher::Config::default().labels(&owned(owners));
    let gone = |name, trace: Trace| Some(Event::PodGone { name, node: trace.node.into() });
    follow("pods", api, config, |pod| pod.spec.node_name.clone(), event, gone)
}

/// Follows what the administrator writes on the dispatcher's own Job, and whether that is still there.
pub(crate) fn orders(client: &Client, namespace: &str, job: &str) -> impl Stream<Item = News> + use<> {
    let config = watcher::Config::default().fields(&format!("metadata.name={job}"));
    let event = |job: ApiJob| {
        let word = job.metadata.annotations.unwrap_or_default().remove(label::ORDER);
        Some(Event::Order(match word.as_deref() {
            Some("pause") => Order::Pause,
            Some("abort") => Order::Abort,
            Some(_) => Order::Go,
            None => return None, // as the values say
        }))
    };
    let gone = |_, trace: Trace| Some(Event::OwnerGone { uid: trace.uid.into() });
    follow("orders", job_api(client, namespace), config, |_| String::new(), event, gone)
}

/// Follows the dispatcher Jobs of these names, for which a watcher makes way.
pub(crate) fn dispatchers(client: &Client, namespace: &str, names: &[String]) -> impl Stream<Item = News> + use<> {
    let names = names.to_vec();
    let config = watcher::Config::default().labels(label::DISPATCHER);
    let event = move |job: ApiJob| {
        let job = observe::job(job);
        names.contains(&job.name).then(|| {
            let active = job.outcome == Outcome::Running;
            Event::Dispatcher { name: job.name, active }
        })
    };
    let gone = |name, _| Some(Event::Dispatcher { name, active: false });
    follow("dispatchers", job_api(client, namespace), config, |_| String::new(), event, gone)
}

fn job_api(client: &Client, namespace: &str) -> Api<ApiJob> {
    let resource = ApiResource::erase::<k8s_openapi::api::batch::v1::Job>(&());
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn owned(owners: &[&str]) -> String {
    match owners {
        [owner] => format!("{}={owner}", label::JOB_OWNER),
        several => format!("{} in ({})", label::JOB_OWNER, several.join(",")),
    }
}

fn follow<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    node: impl Fn(&K) -> String + Send + 'static,
    event: impl Fn(K) -> Option<Event> + Send + 'static,
    gone: impl Fn(String, Trace) -> Option<Event> + Send + 'static,
) -> impl Stream<Item = News>
where
    K: Resource<Scope = DynamicResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut known: HashMap<Box<str>, Trace> = HashMap::new();
    let mut list = 0;
    watcher(api, config.page_size(PAGE))
        .default_backoff()
        .map(move |heard| {
            let news: Vec<Option<News>> = match heard {
                Ok(watcher::Event::Init) => {
                    list += 1;
                    Vec::new()
                }
                Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                    let uid = object.uid().unwrap_or_default().into_boxed_str();
                    let trace = Trace { uid, node: node(&object).into_boxed_str(), list };
                    let before = known.insert(object.name_any().into(), trace);
                    successor(before, &object, &gone).into_iter().chain([event(object).map(News::Event)]).collect()
                }
                Ok(watcher::Event::InitDone) => {
                    // What was known and is not in the list went away while the watch was broken. It may have been known
                    // from a list that broke half-way, too.
                    let lost = known.extract_if(|_, trace| trace.list != list);
                    let lost = lost.filter_map(|(name, trace)| gone(name.into(), trace)).map(News::Event).map(Some);
                    let whole = (kind == "jobs").then_some(News::Event(Event::JobsListed));
                    lost.chain([whole, Some(News::Synced(kind))]).collect()
                }
                Ok(watcher::Event::Delete(object)) => {
                    let uid = object.uid().unwrap_or_default().into_boxed_str();
                    known.remove(object.name_any().as_str());
                    let trace = Trace { uid, node: node(&object).into_boxed_str(), list };
                    vec![gone(object.name_any(), trace).map(News::Event)]
                }
                Err(error) => vec![Some(News::Broken(error.to_string()))],
            };
            futures::stream::iter(news.into_iter().flatten())
        })
        .flatten()
}

/// Tells that an object is gone whose name another one has by now.
fn successor<K: Resource<Scope = DynamicResourceScope>>(
    before: Option<Trace>,
    object: &K,
    gone: &impl Fn(String, Trace) -> Option<Event>,
) -> Option<Option<News>> {
    let before = before.filter(|before| object.uid().is_none_or(|uid| *uid != *before.uid))?;
    Some(gone(object.name_any(), before).map(News::Event))
}
