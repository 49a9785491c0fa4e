//! The end of a removal in DaemonSet mode. The node pods undo their work while they stop, and need their credentials until
//! then. Nodes whose pod could not (it made way for another that never came, its install kept failing, it was killed) are
//! cleaned by a Job each; nobody else is left to do it. Afterwards nobody else is left to delete the credentials.

use crate::cli::{Purpose, Rollout, print};
use crate::cluster::namespace;
use crate::error::Error;
use crate::patience::patiently;
use crate::records;
use crate::run::perform as roll_out;
use clap::Args;
use contract::{Code, FleetReport, NodeFailure, NodeRecord, Stage, State, label};
use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[derive(Args)]
pub(crate) struct FinishRemoval {
    #[command(flatten)]
    pub(crate) rollout: Rollout,
    /// Label selector of the node pods.
    #[arg(long)]
    pod_selector: String,
    /// How long they may take.
    #[arg(long, default_value_t = 660)]
    timeout_secs: u64,
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

pub(crate) async fn perform(client: &Client, mut options: FinishRemoval) -> Result<FleetReport, Error> {
    let namespace = options.rollout.namespace.clone().map_or_else(namespace, Ok)?;
    options.rollout.namespace = Some(namespace.clone());
    if let Some(name) = &options.unless_daemonset {
        // Whoever applies a rendered chart as it is also creates this Job, which Helm creates after a removal only.
        let sets: Api<DaemonSet> = Api::namespaced(client.clone(), &namespace);
        let set = patiently(|| sets.get_metadata_opt(name)).await;
        let set = set.map_err(Error::api(format!("reading DaemonSet {name}")))?;
        if set.is_some_and(|set| set.metadata.deletion_timestamp.is_none()) {
            print(&format!("DaemonSet {name} is there: this is no removal, nothing is to be done"));
            return Ok(FleetReport::new());
        }
    }
    let occupied = stopped(client, &namespace, &options).await?;
    let mut run = options.rollout.run(client, Purpose::Remove).await?;
    let install = run.settings.install.clone();

    let mut report = FleetReport::new();
    let of = format!("{}=true,{}={install}", label::NODE_RECORD, label::INSTALL);
    let found = records::matching(client, &namespace, &of).await.map_err(Error::api("listing the node records"))?;
    let marked = marked(client, &install).await?;
    let known = found.iter().map(|(record, _)| record.node.clone()).collect();
    let mut left: BTreeSet<String> = marked.difference(&known).cloned().collect();
    for (record, _) in found {
        let node = &record.node;
        report.selected += 1;
        if is_clean(&record, marked.contains(node)) || !marked.contains(node) && !exists(client, node).await? {
            report.done += 1;
            patiently(|| records::forget(client, &namespace, &install, node))
                .await
                .map_err(Error::api("deleting a node record"))?;
        } else if occupied.contains(node) {
            let message = format!("its pod has not stopped after {} s", options.timeout_secs);
            print(&format!("{node}: {message}"));
            report.failed.push(NodeFailure { node: record.node, code: Some(Code::NODE_UNREACHABLE), message });
        } else {
            report.selected -= 1; // the run below counts it
            left.insert(record.node);
        }
    }
    left.retain(|node| !occupied.contains(node));
    if !left.is_empty() {
        print(&format!("{} nodes were left by their pods as they were: a Job cleans each of them", left.len()));
        run.settings.rules.nodes = left;
        let cleaned = roll_out(client, &run, &mut |line| print(&line)).await?;
        report.selected += cleaned.selected;
        report.done += cleaned.done;
        report.failed.extend(cleaned.failed);
    }

    report.failures = report.failed.len();
    print(&format!("{} of {} nodes cleaned", report.done, report.selected));
    if report.failures > 0 || !occupied.is_empty() {
        report.code = Some(Code::NODES_FAILED);
        report.message = match occupied.len() {
            0 => format!("{} of {} nodes were not cleaned", report.failures, report.selected),
            late => format!("{late} node pods have not stopped after {} s", options.timeout_secs),
        };
        // A pod that stops when its node is back, and another attempt, need the credentials.
        print(&format!("{}; the installer's credentials stay", report.message));
        return Ok(report);
    }
    delete::<ClusterRoleBinding>(&Api::all(client.clone()), &options.delete_cluster_role_binding).await?;
    delete::<ClusterRole>(&Api::all(client.clone()), &options.delete_cluster_role).await?;
    delete::<RoleBinding>(&Api::namespaced(client.clone(), &namespace), &options.delete_role_binding).await?;
    delete::<Role>(&Api::namespaced(client.clone(), &namespace), &options.delete_role).await?;
    delete::<ServiceAccount>(&Api::namespaced(client.clone(), &namespace), &options.delete_service_account).await?;
    Ok(report)
}

/// Waits for the node pods to stop, and returns the nodes of those that did not in time.
async fn stopped(client: &Client, namespace: &str, options: &FinishRemoval) -> Result<BTreeSet<String>, Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selected = ListParams::default().labels(&options.pod_selector);
    let begun = Instant::now();
    loop {
        let left = patiently(|| pods.list_metadata(&selected)).await.map_err(Error::api("listing the node pods"))?;
        if left.items.is_empty() {
            return Ok(BTreeSet::new());
        }
        if begun.elapsed() > Duration::from_secs(options.timeout_secs) {
            let late = patiently(|| pods.list(&selected)).await.map_err(Error::api("listing the node pods"))?;
            return Ok(late.items.into_iter().filter_map(|pod| pod.spec?.node_name).collect());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Tells whether a node is as it was before the installation. One whose check failed was never touched, unless an earlier
/// installation had succeeded there: `host-check` only reads.
fn is_clean(record: &NodeRecord, marked: bool) -> bool {
    match record.stage {
        Stage::HostCheck => !marked,
        Stage::RemoveArtifacts => record.state == State::Done,
        _ => false,
    }
}

/// Returns the nodes that carry the mark of an installation.
async fn marked(client: &Client, install: &str) -> Result<BTreeSet<String>, Error> {
    let nodes = crate::node::list(client, &label::install_mark(install)).map_ok(|node| node.name);
    nodes.try_collect().await.map_err(Error::api("listing the nodes of this installation"))
}

async fn exists(client: &Client, node: &str) -> Result<bool, Error> {
    let found = patiently(|| crate::node::get(client, node)).await;
    Ok(found.map_err(Error::api(format!("reading node {node}")))?.is_some())
}

async fn delete<K>(api: &Api<K>, names: &[String]) -> Result<(), Error>
where
    K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    for name in names {
        let parameters = DeleteParams::background();
        match patiently(|| api.delete(name, &parameters)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other.map_err(Error::api(format!("deleting {name}")))?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_clean_when_nothing_was_begun_or_everything_was_undone() {
        let record = |stage, state| NodeRecord::new("n", label::DEFAULT_INSTALL, stage, state);
        assert!(is_clean(&record(Stage::RemoveArtifacts, State::Done), false));
        assert!(is_clean(&record(Stage::HostCheck, State::Failed), false));
        // An upgrade's check failed on a node that the earlier revision had installed.
        assert!(!is_clean(&record(Stage::HostCheck, State::Failed), true));
        assert!(!is_clean(&record(Stage::RemoveArtifacts, State::Failed), false));
        assert!(!is_clean(&record(Stage::Label, State::Done), true));
        assert!(!is_clean(&record(Stage::Artifacts, State::Running), false));
    }
}
