//! What can be known before anything is touched.

use crate::cluster::api_failure;
use crate::error::{Failure, Result, exit};
use crate::rollout::Rollout;
use contract::Code;
use fleet::node::Node;
use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

/// Lists every Node.
pub(crate) async fn nodes(client: &Client) -> Result<Vec<Node>> {
    fleet::node::list(client, "").try_collect().await.map_err(api_failure)
}

/// Refuses rollouts that select no node.
pub(crate) fn check(rollouts: &[Rollout], nodes: &[Node]) -> Result<()> {
    for rollout in rollouts {
        if nodes.iter().all(|node| rollout.rules.left_out(node).is_some()) {
            let message = fleet::selection::explain_nothing(&rollout.rules, nodes.iter());
            return Err(Failure::new(Code::NO_NODE_SELECTED, message).exiting(exit::BLOCKED));
        }
    }
    Ok(())
}

/// Refuses objects that the cluster would refuse or could not bear, which the charts do not look for while rendering.
pub(crate) async fn objects(client: &Client, objects: &[Value], namespace: &str) -> Result<()> {
    identity(client, objects, namespace).await?;
    feature_discovery(client, objects).await
}

/// What a release is on its nodes cannot change: the ConfigMap that says so is immutable.
async fn identity(client: &Client, objects: &[Value], namespace: &str) -> Result<()> {
    let fixed = |object: &&Value| object["kind"] == "ConfigMap" && object["immutable"] == true;
    for wanted in objects.iter().filter(fixed) {
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
        let place = wanted["metadata"]["namespace"].as_str().unwrap_or(namespace);
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), place);
        let Some(live) = maps.get_opt(name).await.map_err(api_failure)? else { continue };
        for (key, value) in wanted["data"].as_object().into_iter().flatten() {
            let was = live.data.as_ref().and_then(|data| data.get(key)).map(String::as_str).unwrap_or_default();
            if value.as_str() != Some(was) {
                let message = format!(
                    "{key} is immutable: the release was installed with \"{was}\" (ConfigMap {name}), the values say {value}. \
                     Uninstall it first, or install a second release"
                );
                return Err(Failure::new(Code::BAD_VALUES, message).exiting(exit::ERROR));
            }
        }
    }
    Ok(())
}

const FEATURE_DISCOVERY: &str = "app.kubernetes.io/name=node-feature-discovery";

/// Two installations of Node Feature Discovery label the same nodes and delete each other's labels.
async fn feature_discovery(client: &Client, objects: &[Value]) -> Result<()> {
    let ours = |object: &&Value| {
        object["kind"] == "DaemonSet"
            && object["metadata"]["labels"]["app.kubernetes.io/name"] == "node-feature-discovery"
    };
    let Some(ours) = objects.iter().find(ours) else { return Ok(()) };
    let sets: Api<DaemonSet> = Api::all(client.clone());
    let there = sets.list_metadata(&ListParams::default().labels(FEATURE_DISCOVERY)).await.map_err(api_failure)?;
    let own = ours["metadata"]["labels"]["app.kubernetes.io/instance"].as_str();
    for set in there {
        if set.labels().get("app.kubernetes.io/instance").map(String::as_str) != own {
            let namespace = set.namespace().unwrap_or_default();
            let message = format!(
                "Node Feature Discovery is already installed in namespace {namespace} (DaemonSet {}): set \
                 node-feature-discovery.enabled to false, it is found by itself",
                set.name_any()
            );
            return Err(Failure::new(Code::BAD_VALUES, message).exiting(exit::ERROR));
        }
    }
    Ok(())
}
