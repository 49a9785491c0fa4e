//! What the dispatcher is called for: to install, to remove, to watch.

use crate::cli::{Cleanup, Dispatch, Purpose, print, template};
use crate::cluster::namespace;
use crate::error::Error;
use crate::patience::patiently;
use crate::plan::{Late, Settings};
use crate::records;
use crate::run::{Run, perform};
use crate::selection::Rules;
use contract::{FleetReport, Stage, label};
use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The annotation that Helm puts on every object of a release.
const HELM_RELEASE: &str = "meta.helm.sh/release-name";
/// How long the pod of a watcher may take to stop.
const WATCHER_STOPS: Duration = Duration::from_secs(120);

pub(crate) async fn install(client: &Client, dispatch: Dispatch) -> Result<FleetReport, Error> {
    let mut run = dispatch.rollout.run(client, Purpose::Install).await?;
    run.wait_for_nodes = Duration::from_secs(dispatch.wait_for_nodes_secs);
    run.settle = Duration::from_secs(dispatch.node_settle_secs);
    run.claim = dispatch.claim_node_pending;
    run.settings.ready_wait = dispatch.wait_node_ready_secs.saturating_mul(1000);
    run.settings.handlers = dispatch.require_node_handlers;
    if let Some(path) = &dispatch.cleanup_job_template {
        let left = left_behind(client, &run).await?;
        if !left.is_empty() {
            print(&format!("{} nodes left the selection and are cleaned first", left.len()));
            let rules = Rules { nodes: left, ..Rules::default() };
            let prefix = run.settings.prefix.strip_suffix("-install").unwrap_or(&run.settings.prefix).to_owned();
            let settings =
                Settings { rules, removal: true, prefix: format!("{prefix}-cleanup"), ..run.settings.clone() };
            let other_owners = run.other_owners.clone();
            let cleanup = Run { other_owners, ..Run::new(settings, template(path)?, run.namespace.clone()) };
            let report = finish(client, &cleanup).await?;
            if report.code.is_some() {
                return Ok(report);
            }
        }
    }
    finish(client, &run).await
}

pub(crate) async fn remove(client: &Client, cleanup: Cleanup) -> Result<FleetReport, Error> {
    if let Some(name) = &cleanup.only_under_helm {
        // Whoever applies a rendered chart as it is also creates this Job, which Helm creates before a removal only. Helm
        // leaves its mark on every object of a release.
        let namespace = cleanup.rollout.namespace.clone().map_or_else(namespace, Ok)?;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        let map = maps.get_metadata_opt(name).await.map_err(Error::api(format!("reading ConfigMap {name}")))?;
        if map.is_some_and(|map| !map.annotations().contains_key(HELM_RELEASE)) {
            print(&format!("ConfigMap {name} was not created by Helm: this is no removal, nothing is to be done"));
            return Ok(FleetReport::new());
        }
    }
    let mut run = cleanup.rollout.run(client, Purpose::Remove).await?;
    if let Some(name) = &cleanup.stop_watch {
        stop(client, &run.namespace, name).await?;
    }
    // Their labels went first, so selectors do not find them any more.
    run.settings.rules.also = half_removed(client, &run).await?;
    finish(client, &run).await
}

/// Watches for nodes that need work, until the pod is stopped.
pub(crate) async fn watch(client: &Client, watch: Dispatch) -> Result<FleetReport, Error> {
    let mut run = watch.rollout.run(client, Purpose::Watch).await?;
    run.claim = watch.claim_node_pending;
    run.settings.ready_wait = watch.wait_node_ready_secs.saturating_mul(1000);
    run.settings.handlers = watch.require_node_handlers;
    run.settings.late = Some(Late { settle: watch.node_settle_secs.saturating_mul(1000) });
    run.makes_way_for = std::mem::take(&mut run.other_owners);
    print("watching for nodes that are new, were replaced or have drifted");
    perform(client, &run, &mut |line| print(&line)).await
}

/// Stops a watcher and waits until its pod is gone.
async fn stop(client: &Client, namespace: &str, name: &str) -> Result<(), Error> {
    let doing = || Error::api(format!("stopping the watcher {name}"));
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let parameters = PatchParams::default();
    match patiently(|| deployments.patch(name, &parameters, &none)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        other => drop(other.map_err(doing())?),
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let its = ListParams::default().labels(&format!("{}=watch", label::DISPATCHER));
    let begun = Instant::now();
    loop {
        let left = patiently(|| pods.list_metadata(&its)).await.map_err(doing())?.items;
        let prefix = format!("{name}-");
        if !left.iter().any(|pod| pod.name_any().starts_with(&prefix)) {
            return Ok(());
        }
        if begun.elapsed() > WATCHER_STOPS {
            return Err(Error::Surroundings(format!("the watcher {name} does not stop")));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn finish(client: &Client, run: &Run) -> Result<FleetReport, Error> {
    let report = perform(client, run, &mut |line| print(&line)).await?;
    print(&format!("{} of {} nodes done", report.done, report.selected));
    Ok(report)
}

/// Returns the nodes that this installation has touched although the rules no longer select them: they carry its mark, or
/// their cleaning stopped half-way, which takes the mark first.
async fn left_behind(client: &Client, run: &Run) -> Result<BTreeSet<String>, Error> {
    let rules = &run.settings.rules;
    let mut left = BTreeSet::new();
    let nodes = crate::node::list(client, &label::install_mark(&run.settings.install));
    let mut nodes = std::pin::pin!(nodes);
    while let Some(node) = nodes.try_next().await.map_err(Error::api("listing the nodes of this installation"))? {
        if rules.outside(&node).is_some() {
            left.insert(node.name);
        }
    }
    for name in half_removed(client, run).await? {
        if let Some(node) = crate::node::get(client, &name).await.map_err(Error::api(format!("reading node {name}")))?
            && rules.outside(&node).is_some()
        {
            left.insert(name);
        }
    }
    Ok(left)
}

/// Returns the nodes whose removal was begun and not finished, by their records.
async fn half_removed(client: &Client, run: &Run) -> Result<BTreeSet<String>, Error> {
    let of = format!("{}=true,{}={}", label::NODE_RECORD, label::INSTALL, run.settings.install);
    let records =
        records::matching(client, &run.namespace, &of).await.map_err(Error::api("listing the node records"))?;
    let begun = records.into_iter().filter(|(record, _)| Stage::REMOVE.contains(&record.stage));
    Ok(begun.map(|(record, _)| record.node).collect())
}
