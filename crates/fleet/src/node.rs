//! What the dispatcher needs to know of a Node, and nothing more: ten thousand of these fit in a few megabytes.

use futures::{Stream, TryStreamExt};
use kube::api::{ApiResource, ListParams, ObjectMeta};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Nodes asked for in one request.
const PAGE: u32 = 250;

/// The part of a Node's `spec` that is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Taints, as the API has them.
    pub taints: Vec<Taint>,
}

/// One taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// The part of a Node's `status` that is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus {
    /// Conditions; `Ready` is the one that matters.
    pub conditions: Vec<Condition>,
    /// Versions and identity.
    pub node_info: NodeInfo,
    /// The handlers that the kubelet has heard of from the runtime. Kubernetes 1.30 and newer.
    pub runtime_handlers: Vec<RuntimeHandler>,
}

/// One condition.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

/// Versions and identity of a node.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeInfo {
    /// Such as `containerd://1.7.24`.
    pub container_runtime_version: String,
    /// The host's machine id.
    #[serde(rename = "machineID")]
    pub machine_id: String,
    /// Such as `amd64`.
    pub architecture: String,
}

/// One handler of a node's runtime.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct RuntimeHandler {
    /// Its name; empty for the default one.
    pub name: String,
}

/// A Node as the API serves it, read only as far as needed.
pub type ApiNode = crate::object::Object<NodeSpec, NodeStatus>;

/// A Node as plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its identity: a node that was replaced under the same name has another one.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether its `Ready` condition is `True`.
    pub ready: bool,
    /// Whether its kubelet has fallen silent: `Ready` is `Unknown`.
    pub unreachable: bool,
    /// Its container runtime, such as `containerd://1.7.24`.
    pub runtime_version: String,
    /// Its machine id.
    pub machine_id: String,
    /// How many nodes the cluster will have, where that is known beforehand.
    pub expected: Option<usize>,
    /// Whether a rollout cordoned it and has not uncordoned it yet.
    pub cordoned_by_us: bool,
    /// The handlers that it serves; `None` when its kubelet does not tell.
    pub handlers: Option<Vec<String>>,
    /// When it was made or somebody last wrote its labels or spec, in seconds since 1970.
    pub changed: i64,
    /// When it was made, in seconds since 1970: of two of one name the younger counts.
    pub created: i64,
}

impl Node {
    /// Tells whether it is a server of a control plane, by the labels that kubeadm, k3s and RKE2 set.
    pub fn is_control_plane(&self) -> bool {
        let roles =
            ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master", "node-role.kubernetes.io/etcd"];
        roles.iter().any(|role| self.labels.get(*role).is_some_and(|value| value != "false"))
    }

    /// Returns its zone; empty when it has none.
    pub fn zone(&self) -> &str {
        self.labels.get("topology.kubernetes.io/zone").map_or("", String::as_str)
    }
}

impl From<ApiNode> for Node {
    fn from(node: ApiNode) -> Self {
        let status = node.status;
        let changed = last_change(&node.metadata);
        let created = node.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
        let handlers: Vec<String> = status.runtime_handlers.into_iter().map(|handler| handler.name).collect();
        let annotations = node.metadata.annotations.unwrap_or_default();
        Node {
            name: node.metadata.name.unwrap_or_default(),
            uid: node.metadata.uid.unwrap_or_default(),
            labels: node.metadata.labels.unwrap_or_default(),
            taints: node.spec.taints,
            ready: status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True"),
            unreachable: status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "Unknown"),
            runtime_version: status.node_info.container_runtime_version,
            machine_id: status.node_info.machine_id,
            expected: annotations.get(contract::label::NODES_EXPECTED).and_then(|text| text.parse().ok()),
            cordoned_by_us: annotations.contains_key(contract::label::CORDONED),
            handlers: (!handlers.is_empty()).then_some(handlers),
            changed,
            created,
        }
    }
}

/// Reads the time of the last change off the metadata; heartbeats, which write the status, do not count.
fn last_change(metadata: &ObjectMeta) -> i64 {
    let writes = metadata.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none());
    let times = writes.filter_map(|entry| entry.time.as_ref()).chain(&metadata.creation_timestamp);
    times.map(|time| time.0.as_second()).max().unwrap_or(0)
}

/// Reads one Node; `None` when there is none of this name.
pub(crate) async fn get(client: &Client, name: &str) -> kube::Result<Option<Node>> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Node>(&());
    let api: Api<ApiNode> = Api::all_with(client.clone(), &resource);
    Ok(api.get_opt(name).await?.map(Node::from))
}

/// Lists the Nodes that match a label selector, page by page.
pub fn list(client: &Client, selector: &str) -> impl Stream<Item = kube::Result<Node>> + use<> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Node>(&());
    let api: Api<ApiNode> = Api::all_with(client.clone(), &resource);
    let first = Some(ListParams::default().labels(selector).limit(PAGE));
    let pages = futures::stream::try_unfold(first, move |parameters| {
        let api = api.clone();
        async move {
            let Some(parameters) = parameters else { return Ok(None) };
            let page = api.list(&parameters).await?;
            let next = page.metadata.continue_.filter(|token| !token.is_empty());
            let next = next.map(|token| parameters.continue_token(&token));
            Ok::<_, kube::Error>(Some((
                futures::stream::iter(page.items.into_iter().map(|node| Ok(Node::from(node)))),
                next,
            )))
        }
    });
    pages.try_flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_needs_neither_spec_nor_status() {
        let bare: ApiNode = serde_json::from_str(r#"{"metadata": {"name": "n", "labels": {"a": "b"}}}"#).unwrap();
        let node = Node::from(bare);
        assert_eq!((node.name.as_str(), node.labels["a"].as_str(), node.ready), ("n", "b", false));
        assert!(node.taints.is_empty() && node.handlers.is_none());
    }
}
