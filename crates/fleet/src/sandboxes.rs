//! The Kata sandboxes of a node: counted, and asked to go.

use contract::label;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{EvictParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeSet;

/// Lists the pods on a node that run in Kata sandboxes: their RuntimeClass names a Kata handler and they have not ended.
pub(crate) async fn on_node(client: &Client, node: &str) -> kube::Result<Vec<Pod>> {
    let classes: Api<RuntimeClass> = Api::all(client.clone());
    let classes = classes.list(&ListParams::default()).await?.items.into_iter();
    let kata: BTreeSet<String> =
        classes.filter(|class| class.handler.starts_with("kata")).map(|class| class.name_any()).collect();
    let there = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = Api::<Pod>::all(client.clone()).list(&there).await?.items;
    Ok(pods.into_iter().filter(|pod| is_sandbox(pod, &kata)).collect())
}

fn is_sandbox(pod: &Pod, kata: &BTreeSet<String>) -> bool {
    let class = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_ref());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    class.is_some_and(|class| kata.contains(class)) && !matches!(phase, "Succeeded" | "Failed")
}

/// Tells whether a pod would come back to a cordoned node at once.
fn belongs_to_a_daemon_set(pod: &Pod) -> bool {
    pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet")
}

/// Cordons a node and asks its sandboxes to go; returns how many are left. Disruption budgets are obeyed: what they hold
/// back is asked again later. Pods of DaemonSets stay and do not count.
pub(crate) async fn drain(client: &Client, node: &crate::node::Node) -> kube::Result<usize> {
    let cordoned = node.taints.iter().any(|taint| taint.key == "node.kubernetes.io/unschedulable");
    if !cordoned {
        let patch = json!({"metadata": {"uid": node.uid, "annotations": {label::CORDONED: "true"}},
            "spec": {"unschedulable": true}});
        let api: Api<Node> = Api::all(client.clone());
        api.patch(&node.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    let guests = on_node(client, &node.name).await?;
    let mut left = 0;
    for pod in guests.iter().filter(|pod| !belongs_to_a_daemon_set(pod)) {
        left += 1;
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        match api.evict(&pod.name_any(), &EvictParams::default()).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 429) => {}
            other => drop(other?),
        }
    }
    Ok(left)
}

/// Makes a node schedulable again that [`drain`] cordoned.
pub(crate) async fn uncordon(client: &Client, node: &str) -> kube::Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    let ours = match api.get_metadata(node).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        other => other?.annotations().contains_key(label::CORDONED),
    };
    if !ours {
        return Ok(()); // the administrator had cordoned it before
    }
    let patch = json!({"metadata": {"annotations": {label::CORDONED: null}}, "spec": {"unschedulable": null}});
    api.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_pods_of_kata_classes_are_sandboxes() {
        let kata = BTreeSet::from(["kata-qemu".to_owned()]);
        let pod = |class: Option<&str>, phase: &str| -> Pod {
            serde_json::from_value(
                json!({"spec": {"containers": [], "runtimeClassName": class}, "status": {"phase": phase}}),
            )
            .unwrap()
        };
        assert!(is_sandbox(&pod(Some("kata-qemu"), "Running"), &kata));
        assert!(is_sandbox(&pod(Some("kata-qemu"), "Pending"), &kata));
        assert!(!is_sandbox(&pod(Some("kata-qemu"), "Succeeded"), &kata));
        assert!(!is_sandbox(&pod(Some("gvisor"), "Running"), &kata) && !is_sandbox(&pod(None, "Running"), &kata));
    }
}
