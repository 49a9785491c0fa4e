//! Asks the cluster for everything that the picture shows.

use super::picture::{Drift, Holder, PodTrouble, Seen, Standing};
use crate::cluster::{self, Cluster};
use crate::error::{Failure, Result};
use crate::preflight;
use crate::subject::Names;
use crate::summary;
use contract::{Code, label};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Api;
use kube::api::ListParams;
use release::Engine;
use release::plan::{Action, Planned};
use std::collections::BTreeSet;

/// Objects asked for in one request.
pub(crate) const PAGE: u32 = 500;

/// Observes an installation.
pub(crate) async fn observe(cluster: &Cluster, names: &Names) -> Result<Seen> {
    let engine = Engine::new(cluster.client.clone(), &names.namespace);
    let release = match engine.get(&names.release, 0).await {
        Ok(release) => release,
        Err(release::Error::NotFound) => {
            let message = format!("there is no release {} in namespace {}", names.release, names.namespace);
            return Err(Failure::new(Code::RELEASE_NOT_FOUND, message));
        }
        Err(error) => return Err(cluster::release_failure(&error)),
    };
    let objects = crate::subject::parse(&release.manifest, release.hooks.iter().map(|hook| hook.manifest.as_str()))?;
    let rollouts = crate::rollout::rollouts(&objects);
    let now = jiff::Timestamp::now().as_second();
    let mut seen = Seen {
        release: release.name.clone(),
        namespace: release.namespace.clone(),
        revision: release.version,
        status: release.info.status.to_string(),
        description: release.info.description.clone(),
        chart: format!("{} {}", release.chart_field("name"), release.chart_field("version")),
        payload: crate::rollout::payload(&objects).unwrap_or_else(|| release.chart_field("appVersion").to_owned()),
        deployed_at: release.info.last_deployed.map(|time| time.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        classes: crate::rollout::classes(&objects),
        now,
        ..Seen::default()
    };
    let unfinished = release.info.status.is_pending() || release.info.status == release::Status::Uninstalling;
    if unfinished {
        let lease = engine.storage.lease(&release.name, release.version).await;
        let lease = lease.map_err(|error| cluster::release_failure(&error))?;
        seen.holder = lease.map(|lease| Holder {
            alive: release::lease::judge(&lease, now) == release::lease::Holder::Alive,
            name: lease.holder,
        });
    }
    seen.kubernetes = cluster.client.apiserver_version().await.map_err(cluster::api_failure)?.git_version;
    let nodes = preflight::nodes(&cluster.client).await?;
    let mut installs = BTreeSet::new();
    for rollout in &rollouts {
        let records = crate::records::list(&cluster.client, &names.namespace, &rollout.install).await;
        seen.nodes.extend(summary::nodes(rollout, &nodes, &records.map_err(cluster::api_failure)?));
        if installs.insert(rollout.install.clone()) {
            let mark = label::install_mark(&rollout.install);
            let marked = nodes.iter().filter(|node| node.labels.contains_key(&mark));
            let left = marked.filter(|node| rollout.rules.outside(node).is_some());
            seen.left_behind.extend(left.map(|node| node.name.clone()));
        }
    }
    drop(nodes);
    seen.rollouts = rollouts;
    if !unfinished {
        let differing = engine.drift(&release).await.map_err(|error| cluster::release_failure(&error))?;
        seen.objects = differing.iter().filter_map(drifted).collect();
    }
    seen.pods = pod_troubles(cluster, &seen).await?;
    Ok(seen)
}

/// Says how an object differs; what would block an apply is told too.
fn drifted(planned: &Planned) -> Option<Drift> {
    let how = match &planned.action {
        Action::Unchanged | Action::Keep { .. } | Action::Delete => return None,
        Action::Create => "is gone".to_owned(),
        Action::Change { fields } => {
            let paths: Vec<&str> = fields.iter().take(3).map(|field| field.path.as_str()).collect();
            let more = if fields.len() > 3 { format!(" and {} more", fields.len() - 3) } else { String::new() };
            format!("was changed at {}{more}", paths.join(", "))
        }
        Action::Recreate { why } => format!("was changed: {why}"),
        Action::Blocked { code, why } => format!("cannot be compared: {code}: {why}"),
    };
    Some(Drift { what: planned.object.to_string(), how })
}

/// Reads the pods of the installation, page by page, when some node waits for one.
async fn pod_troubles(cluster: &Cluster, seen: &Seen) -> Result<Vec<PodTrouble>> {
    let open: BTreeSet<&str> = seen
        .nodes
        .iter()
        .filter(|node| matches!(Standing::of(node), Standing::UnderWay | Standing::Waiting))
        .map(|node| node.name.as_str())
        .collect();
    if open.is_empty() && seen.status == "deployed" {
        return Ok(Vec::new());
    }
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &seen.namespace);
    let mut parameters = ListParams::default().limit(PAGE);
    let mut troubles = Vec::new();
    loop {
        let page = api.list(&parameters).await.map_err(cluster::api_failure)?;
        troubles.extend(page.items.iter().filter_map(pod_trouble));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break,
        }
    }
    let settled =
        |name: &str| !name.is_empty() && !open.contains(name) && seen.nodes.iter().any(|node| node.name == name);
    troubles.retain(|trouble| !settled(&trouble.node));
    Ok(troubles)
}

/// What keeps a pod from getting on, if anything does.
pub(crate) fn pod_trouble(pod: &Pod) -> Option<PodTrouble> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let trouble = |container: &str, reason: String, message: &str, restarts: i32| {
        Some(PodTrouble {
            pod: pod.metadata.name.clone().unwrap_or_default(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            container: container.to_owned(),
            reason,
            message: message.trim().to_owned(),
            restarts,
        })
    };
    if status.reason.as_deref() == Some("Evicted") {
        return trouble("", "Evicted".to_owned(), status.message.as_deref().unwrap_or_default(), 0);
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        let message = condition.message.as_deref().unwrap_or_default();
        return trouble("", "Unschedulable".to_owned(), message, 0);
    }
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    for container in containers {
        if let Some((reason, message)) = container_trouble(container) {
            return trouble(&container.name, reason, &message, container.restart_count);
        }
    }
    None
}

fn container_trouble(container: &ContainerStatus) -> Option<(String, String)> {
    let state = container.state.as_ref()?;
    let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let ended = |ended: &k8s_openapi::api::core::v1::ContainerStateTerminated| {
        let reason = ended.reason.clone().unwrap_or_default();
        let told = contract::StageReport::from_termination_message(ended.message.as_deref().unwrap_or_default());
        let message = match told {
            Some(report) => report.message,
            None => ended.message.clone().unwrap_or_default(),
        };
        match ended.exit_code {
            0 => None,
            _ if reason == "OOMKilled" => Some((reason, message)),
            code @ 129..=192 => Some((format!("Killed by signal {}", code - 128), message)),
            code => {
                Some(("Error".to_owned(), if message.is_empty() { format!("exit status {code}") } else { message }))
            }
        }
    };
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.clone().unwrap_or_default();
        return match reason.as_str() {
            "" | "ContainerCreating" | "PodInitializing" => None,
            "CrashLoopBackOff" => last.and_then(ended).or_else(|| Some((reason.clone(), String::new()))),
            _ => Some((reason, waiting.message.clone().unwrap_or_default())),
        };
    }
    if let Some(terminated) = &state.terminated {
        return ended(terminated);
    }
    // It runs again; what ended it before is worth telling when it was killed.
    last.and_then(ended).filter(|(reason, _)| reason != "Error")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn trouble(status: serde_json::Value) -> Option<PodTrouble> {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": []}, "status": status});
        pod_trouble(&serde_json::from_value(pod).unwrap())
    }

    fn container(state: serde_json::Value, last: serde_json::Value) -> serde_json::Value {
        json!({"containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 2,
                                       "state": state, "lastState": last}]})
    }

    #[test]
    fn waiting_killed_evicted_and_unscheduled_pods_are_in_trouble_and_others_are_not() {
        let pull = container(json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}), json!({}));
        assert_eq!(trouble(pull).unwrap().message, "not found");
        assert_eq!(trouble(container(json!({"waiting": {"reason": "ContainerCreating"}}), json!({}))), None);
        let killed = json!({"terminated": {"exitCode": 137, "reason": "Error"}});
        assert_eq!(trouble(container(json!({"running": {}}), killed.clone())).unwrap().reason, "Killed by signal 9");
        let crash = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let found = trouble(container(crash, killed)).unwrap();
        assert_eq!((found.reason.as_str(), found.restarts, found.node.as_str()), ("Killed by signal 9", 2, "n"));
        let failed = json!({"terminated": {"exitCode": 1, "message": "no room"}});
        assert_eq!(trouble(container(failed, json!({}))).unwrap().message, "no room");
        assert_eq!(trouble(json!({"reason": "Evicted", "message": "disk"})).unwrap().reason, "Evicted");
        let pending = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]});
        assert_eq!(trouble(pending).unwrap().reason, "Unschedulable");
        assert_eq!(trouble(container(json!({"running": {}}), json!({}))), None);
    }
}
