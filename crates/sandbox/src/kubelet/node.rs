//! The Node of a host: registered, kept alive, and true to what the host's container runtime serves.

use super::Machine;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus,
    NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use simhost::RuntimeStatus;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often the Lease is renewed. A kubelet does it every ten seconds; nothing in the sandbox watches over Leases.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// How long the container runtime may be away before the Node is not ready: restarts pass unseen. A kubelet waits thirty
/// seconds.
const RUNTIME_GRACE: Duration = Duration::from_secs(3);
/// The namespace of node Leases.
const LEASES: &str = "kube-node-lease";

/// Runs for ever.
pub(super) async fn run(client: Client, machine: Arc<Machine>) {
    let mut served = machine.served.clone();
    let mut delay = Duration::from_millis(20);
    let mut since = Timestamp::now();
    let mut ready: Option<bool> = None;
    let mut heartbeat = tokio::time::Instant::now();
    loop {
        let mut status = served.borrow_and_update().clone();
        if !status.ready && ready == Some(true) {
            // A host that is gone ends this loop at the next wait.
            let _ = tokio::time::timeout(RUNTIME_GRACE, served.wait_for(|status| status.ready)).await;
            status = served.borrow_and_update().clone();
        }
        if ready.is_some_and(|known| known != status.ready) {
            since = Timestamp::now();
        }
        ready = Some(status.ready);
        let result = async {
            publish(&client, &machine, &status, since).await?;
            if heartbeat <= tokio::time::Instant::now() {
                renew(&client, &machine).await?;
                heartbeat = tokio::time::Instant::now() + HEARTBEAT;
            }
            Ok::<(), kube::Error>(())
        };
        match result.await {
            Ok(()) => delay = Duration::from_millis(20),
            Err(error) => {
                tracing::debug!(%error, node = machine.name, "node status not written yet");
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(Duration::from_secs(5));
                continue;
            }
        }
        tokio::select! {
            changed = served.changed() => if changed.is_err() {
                return; // the host is gone
            },
            () = tokio::time::sleep_until(heartbeat) => {}
        }
    }
}

/// The labels that a kubelet sets on its Node.
fn labels(machine: &Machine) -> BTreeMap<String, String> {
    let mut labels = machine.labels.clone();
    for (key, value) in [("arch", machine.architecture), ("os", "linux"), ("hostname", &machine.name)] {
        labels.insert(format!("kubernetes.io/{key}"), value.to_owned());
        if key != "hostname" {
            labels.insert(format!("beta.kubernetes.io/{key}"), value.to_owned());
        }
    }
    labels
}

/// Computes the status of the Node.
fn node_status(machine: &Machine, runtime: &RuntimeStatus, since: Timestamp, now: Timestamp) -> NodeStatus {
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| NodeCondition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(Time(since)),
    };
    let ready = if runtime.ready {
        condition("Ready", true, "KubeletReady", "kubelet is posting ready status")
    } else {
        condition("Ready", false, "KubeletNotReady", &format!("container runtime is down: {}", runtime.message))
    };
    let resources = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
    };
    let capacity =
        resources(&[("cpu", "8"), ("memory", "33554432Ki"), ("ephemeral-storage", "102400Mi"), ("pods", "110")]);
    // A runtime that does not tell its handlers leaves the field empty, as with containerd 1.7.
    let handlers = (runtime.ready && runtime.lists_handlers).then(|| {
        std::iter::once(String::new())
            .chain(runtime.handlers.iter().cloned())
            .map(|name| {
                let features =
                    NodeRuntimeHandlerFeatures { recursive_read_only_mounts: Some(true), user_namespaces: Some(true) };
                NodeRuntimeHandler { name: Some(name), features: Some(features) }
            })
            .collect()
    });
    NodeStatus {
        addresses: Some(vec![
            NodeAddress { type_: "InternalIP".to_owned(), address: machine.address.to_string() },
            NodeAddress { type_: "Hostname".to_owned(), address: machine.name.clone() },
        ]),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(vec![
            condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ready,
        ]),
        node_info: Some(NodeSystemInfo {
            architecture: machine.architecture.to_owned(),
            operating_system: "linux".to_owned(),
            machine_id: machine.machine_id.clone(),
            system_uuid: machine.machine_id.clone(),
            boot_id: machine.boot_id.clone(),
            kernel_version: machine.kernel.clone(),
            os_image: machine.os_image.clone(),
            container_runtime_version: runtime.version_string.clone(),
            kubelet_version: machine.version.clone(),
            kube_proxy_version: String::new(),
            swap: None,
        }),
        runtime_handlers: handlers,
        ..Default::default()
    }
}

async fn publish(
    client: &Client,
    machine: &Machine,
    runtime: &RuntimeStatus,
    since: Timestamp,
) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    let wanted = labels(machine);
    match api.get_opt(&machine.name).await? {
        None => {
            let annotations = BTreeMap::from([(contract::label::NODES_EXPECTED.to_owned(), machine.hosts.to_string())]);
            let metadata = ObjectMeta {
                name: Some(machine.name.clone()),
                labels: Some(wanted),
                annotations: Some(annotations),
                ..Default::default()
            };
            // Addresses that the controller manager of a real cluster would give to the node's pods; not used here.
            let [.., third, fourth] = machine.address.octets();
            let range = format!("10.{}.{fourth}.0/24", 244_u8.wrapping_add(third));
            let spec = NodeSpec { pod_cidr: Some(range.clone()), pod_cidrs: Some(vec![range]), ..Default::default() };
            api.create(&PostParams::default(), &Node { metadata, spec: Some(spec), status: None }).await?;
        }
        Some(node) => {
            let known = node.metadata.labels.unwrap_or_default();
            let missing: BTreeMap<&String, &String> =
                wanted.iter().filter(|(key, value)| known.get(*key) != Some(value)).collect();
            // A heartbeat must not bring back labels of the options that somebody took off or changed.
            let missing: BTreeMap<_, _> =
                missing.into_iter().filter(|(key, _)| !machine.labels.contains_key(*key)).collect();
            if !missing.is_empty() {
                let patch = Patch::Merge(json!({"metadata": {"labels": missing}}));
                api.patch(&machine.name, &PatchParams::default(), &patch).await?;
            }
        }
    }
    let status = node_status(machine, runtime, since, Timestamp::now());
    let mut status = json!({ "status": status });
    if status["status"].get("runtimeHandlers").is_none() {
        status["status"]["runtimeHandlers"] = serde_json::Value::Null;
    }
    api.patch_status(&machine.name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

async fn renew(client: &Client, machine: &Machine) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let api: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    let now = MicroTime(Timestamp::now());
    if api.get_opt(&machine.name).await?.is_some() {
        let patch = Patch::Merge(json!({"spec": {"renewTime": now}}));
        return api.patch(&machine.name, &PatchParams::default(), &patch).await.map(drop);
    }
    let node = nodes.get(&machine.name).await?;
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: machine.name.clone(),
        uid: node.metadata.uid.unwrap_or_default(),
        ..Default::default()
    };
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(machine.name.clone()),
            namespace: Some(LEASES.to_owned()),
            owner_references: Some(vec![owner]),
            ..Default::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(machine.name.clone()),
            lease_duration_seconds: Some(i32::try_from(HEARTBEAT.as_secs()).unwrap_or(i32::MAX) * 4),
            renew_time: Some(now),
            ..Default::default()
        }),
    };
    api.create(&PostParams::default(), &lease).await.map(drop)
}
