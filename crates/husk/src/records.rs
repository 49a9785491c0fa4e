//! Node records as they come in from the cluster.

use contract::{NodeRecord, label};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;

/// News about node records.
pub(crate) enum News {
    /// A record is there, or has changed.
    Record(Box<NodeRecord>),
    /// A node's record is gone.
    Gone(String),
    /// The first complete list is through.
    Listed,
    /// The watch broke and is begun again.
    Broken(String),
}

fn selector(install: &str) -> String {
    format!("{}=true,{}={install}", label::NODE_RECORD, label::INSTALL)
}

pub(crate) fn read(map: &ConfigMap) -> Option<NodeRecord> {
    serde_json::from_str(map.data.as_ref()?.get(label::NODE_RECORD_KEY)?).ok()
}

/// Follows the node records of an installation.
pub(crate) fn follow(client: &Client, namespace: &str, install: &str) -> impl Stream<Item = News> + use<> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    watcher(api, watcher::Config::default().labels(&selector(install))).default_backoff().filter_map(move |heard| {
        let news = match heard {
            Ok(watcher::Event::InitApply(map) | watcher::Event::Apply(map)) => read(&map).map(|record| {
                names.insert(map.metadata.name.unwrap_or_default(), record.node.clone());
                News::Record(Box::new(record))
            }),
            Ok(watcher::Event::Delete(map)) => map.metadata.name.and_then(|name| names.remove(&name)).map(News::Gone),
            Ok(watcher::Event::InitDone) => Some(News::Listed),
            Ok(watcher::Event::Init) => None,
            Err(error) => Some(News::Broken(error.to_string())),
        };
        std::future::ready(news)
    })
}

/// Reads the node records of an installation once, by node.
pub(crate) async fn list(
    client: &Client,
    namespace: &str,
    install: &str,
) -> kube::Result<BTreeMap<String, NodeRecord>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut parameters = ListParams::default().labels(&selector(install)).limit(crate::status::PAGE);
    let mut records = BTreeMap::new();
    loop {
        let page = api.list(&parameters).await?;
        records.extend(page.iter().filter_map(read).map(|record| (record.node.clone(), record)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(records),
        }
    }
}
