//! The end of a removal in DaemonSet mode: the node pods undo their work while they stop, and need their credentials
//! until then; afterwards nobody else is left to delete those.

use crate::cli::print;
use crate::cluster::namespace;
use crate::error::Error;
use clap::Args;
use contract::{Code, FleetReport, NodeFailure, NodeRecord, Stage, State, label};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};

#[derive(Args)]
pub(crate) struct FinishRemoval {
    /// Namespace of the node pods; default: the pod's own.
    #[arg(long)]
    namespace: Option<String>,
    /// Label selector of the node pods.
    #[arg(long)]
    pod_selector: String,
    /// How long they may take.
    #[arg(long, default_value_t = 660)]
    timeout_secs: u64,
    /// Suffix of this installation, when several live side by side.
    #[arg(long, default_value = "")]
    multi_install_suffix: String,
    /// The DaemonSet of the node pods: while it is there, nothing was removed, and nothing is done.
    #[arg(long)]
    unless_daemonset: Option<String>,
    #[arg(long)]
    delete_cluster_role_binding: Vec<String>,
    #[arg(long)]
    delete_cluster_role: Vec<String>,
    #[arg(long)]
    delete_role_binding: Vec<String>,
    #[arg(long)]
    delete_role: Vec<String>,
    #[arg(long)]
    delete_service_account: Vec<String>,
}

pub(crate) async fn perform(client: &Client, options: FinishRemoval) -> Result<FleetReport, Error> {
    let namespace = match options.namespace {
        Some(namespace) => namespace,
        None => namespace()?,
    };
    if let Some(name) = &options.unless_daemonset {
        // Whoever applies a rendered chart as it is also creates this Job, which Helm creates after a removal only.
        let sets: Api<DaemonSet> = Api::namespaced(client.clone(), &namespace);
        let set = sets.get_metadata_opt(name).await.map_err(Error::api(format!("reading DaemonSet {name}")))?;
        if set.is_some_and(|set| set.metadata.deletion_timestamp.is_none()) {
            print(&format!("DaemonSet {name} is there: this is no removal, nothing is to be done"));
            return Ok(FleetReport::new());
        }
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let selected = ListParams::default().labels(&options.pod_selector);
    let begun = Instant::now();
    let late = loop {
        let left = pods.list_metadata(&selected).await.map_err(Error::api("listing the node pods"))?.items.len();
        if left == 0 {
            break 0;
        }
        if begun.elapsed() > Duration::from_secs(options.timeout_secs) {
            break left;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };

    let records: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let install = label::install_name(&options.multi_install_suffix);
    let ours = ListParams::default().labels(&format!("{}=true,{}={install}", label::NODE_RECORD, label::INSTALL));
    let mut report = FleetReport::new();
    for map in records.list(&ours).await.map_err(Error::api("listing the node records"))? {
        let text = map.data.as_ref().and_then(|data| data.get(label::NODE_RECORD_KEY));
        let Some(record) = text.and_then(|text| serde_json::from_str::<NodeRecord>(text).ok()) else { continue };
        report.selected += 1;
        // A node whose check failed was never touched: `host-check` only reads.
        let untouched = record.stage == Stage::HostCheck;
        if untouched || (record.stage == Stage::RemoveArtifacts && record.state == State::Done) {
            report.done += 1;
            gone(records.delete(&map.name_any(), &DeleteParams::background()).await.map(drop))
                .map_err(Error::api("deleting a node record"))?;
            continue;
        }
        let message = if record.message.is_empty() {
            format!("stopped at stage {} before its work was undone", record.stage)
        } else {
            record.message
        };
        print(&format!("{}: {message}", record.node));
        report.failed.push(NodeFailure { node: record.node, code: record.code, message });
    }

    delete::<ClusterRoleBinding>(&Api::all(client.clone()), &options.delete_cluster_role_binding).await?;
    delete::<ClusterRole>(&Api::all(client.clone()), &options.delete_cluster_role).await?;
    delete::<RoleBinding>(&Api::namespaced(client.clone(), &namespace), &options.delete_role_binding).await?;
    delete::<Role>(&Api::namespaced(client.clone(), &namespace), &options.delete_role).await?;
    delete::<ServiceAccount>(&Api::namespaced(client.clone(), &namespace), &options.delete_service_account).await?;

    report.failures = report.failed.len();
    if report.failures > 0 || late > 0 {
        report.code = Some(Code::NODES_FAILED);
        report.message = match late {
            0 => format!("{} of {} nodes were not cleaned", report.failures, report.selected),
            late => format!("{late} node pods have not stopped after {} s", options.timeout_secs),
        };
        print(&report.message);
    }
    print(&format!("{} of {} nodes cleaned", report.done, report.selected));
    Ok(report)
}

async fn delete<K>(api: &Api<K>, names: &[String]) -> Result<(), Error>
where
    K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    for name in names {
        gone(api.delete(name, &DeleteParams::background()).await.map(drop))
            .map_err(Error::api(format!("deleting {name}")))?;
    }
    Ok(())
}

fn gone(result: kube::Result<()>) -> kube::Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other,
    }
}
