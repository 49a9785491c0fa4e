//! `husk rollback`: an earlier revision again, on every node or, in Job mode, on one.

use crate::cli::Rollback;
use crate::cluster::{self, api_failure};
use crate::cut_short::Interrupt;
use crate::error::{Failure, Result};
use crate::node_jobs;
use crate::phases::{Bounds, Clock, Phase, Taken};
use crate::preflight;
use crate::rollout_run::RolloutRun;
use crate::rollout_watch::Watch;
use crate::screen::{Output, Screen};
use crate::subject::{self, Subject};
use crate::summary::NodeSummary;
use crate::told::Told;
use crate::up::print_json;
use contract::{Code, State, label};
use fleet::node::Node;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};
use release::record::Release;
use release::{Engine, Options};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What `husk rollback -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    release: String,
    namespace: String,
    /// The revision that is in force now.
    revision: u32,
    /// The revision whose content it has; with `node`, what that node alone has.
    restored: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    seconds: f64,
    phases: Vec<Taken>,
    /// The selected nodes of the release; nothing when one node went back alone.
    nodes: Vec<NodeSummary>,
}

pub(crate) async fn rollback(call: Rollback) -> Result<()> {
    let begun = Instant::now();
    let bounds = Bounds::new("rollback", &[Phase::Apply, Phase::Nodes, Phase::Ready], &call.timeout)?;
    let mut screen = Screen::open(call.output);
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let engine = Engine::new(cluster.client.clone(), &names.namespace);
    let (release, current) = earlier(&engine, &names.release, call.revision).await?;
    let objects = subject::parse(&release.manifest, release.hooks.iter().map(|hook| hook.manifest.as_str()))?;
    let rollouts = crate::rollout::rollouts(&objects);
    let nodes = preflight::nodes(&cluster.client).await?;
    let is_selected = |node: &&Node| rollouts.iter().any(|rollout| rollout.rules.left_out(node).is_none());
    if let Some(name) = &call.node {
        node_jobs::check_names(std::slice::from_ref(name), nodes.iter().map(|node| node.name.as_str()))?;
        if !nodes.iter().filter(is_selected).any(|node| node.name == *name) {
            let message = format!("node {name} is not among the nodes that revision {} selects", release.version);
            return Err(Failure::new(Code::NO_SUCH_NODE, message));
        }
    }
    let clock = Clock::start(bounds, if call.node.is_some() { Phase::Nodes } else { Phase::Apply });
    let node_hooks = crate::rollout::node_hooks(&objects);
    let options = Options {
        timeout: clock.bound(Phase::Apply),
        hook_timeouts: node_hooks.iter().map(|name| (name.clone(), clock.bound(Phase::Nodes))).collect(),
        force_conflicts: true,
        ..Options::default()
    };
    let told = Told::new(&clock, Phase::Apply, node_hooks);
    let alone = call.node.as_ref().map(|node| format!(" --node {node}")).unwrap_or_default();
    let mut run = RolloutRun {
        cluster: &cluster,
        names: &names,
        rollouts: &rollouts,
        selected: Some(if call.node.is_some() { 1 } else { nodes.iter().filter(is_selected).count() }),
        again: format!("husk rollback {}{alone}", release.version),
        clock: clock.clone(),
        told: told.clone(),
        interrupt: Interrupt::listen()?,
        watch: Watch::begin(&cluster.client, &names.namespace, &rollouts).await,
    };
    let mut report = Report {
        schema: "husk.rollback/v1",
        release: names.release.clone(),
        namespace: names.namespace.clone(),
        revision: current,
        restored: release.version,
        node: call.node.clone(),
        seconds: 0.0,
        phases: Vec::new(),
        nodes: Vec::new(),
    };
    let words = match &call.node {
        Some(node) => {
            let pair = one_node(&objects, node, &names.namespace)?;
            screen.step("rollback", &format!("node {node} to what revision {} has", release.version));
            alone_back(&mut run, &mut screen, node, pair).await?;
            format!(
                "node {node} is at revision {}; the release stays as it is, and the next `husk up` takes the node along",
                release.version
            )
        }
        None => {
            screen.step("rollback", &format!("release {} to revision {}", names.release, release.version));
            let engine = engine.with_progress(told.listener());
            let work = engine.rollback(&names.release, release.version, &options);
            let (done, results) = run.through(&mut screen, work).await?;
            report.nodes = results.into_iter().filter(|node| node.selected).collect();
            report.revision = done.version;
            format!("{} is at revision {}, which has what revision {} had", done.name, done.version, release.version)
        }
    };
    let (count, note) = (run.selected.unwrap_or_default(), clock.note(Phase::Nodes));
    screen.step("nodes", &format!("{count} of {count} through {note}"));
    report.seconds = begun.elapsed().as_secs_f64();
    report.phases = clock.taken();
    match call.output {
        Output::Json => print_json(&report)?,
        Output::Text => screen.block(&words),
    }
    Ok(())
}

/// Brings one node back, and nothing else.
async fn alone_back(run: &mut RolloutRun<'_>, screen: &mut Screen, node: &str, pair: (Value, Value)) -> Result<()> {
    let (client, namespace) = (run.cluster.client.clone(), run.names.namespace.clone());
    let well = run.bounded(screen, carry_out(&client, &namespace, pair)).await?;
    if well {
        return Ok(());
    }
    Err(match run.watch.board.row(node).map(|row| &row.record) {
        Some(record) if record.state == State::Failed => {
            let message = format!("node {node} at stage {}: {}", record.stage, record.message);
            Failure::new(record.code.unwrap_or(Code::NODE_JOB_FAILED), message)
        }
        _ => Failure::new(Code::DISPATCHER_FAILED, format!("the dispatcher for node {node} failed")),
    })
}

/// Returns the revision that is meant, and the number of the current one; without a number it is the newest before the
/// current one that was in force.
async fn earlier(engine: &Engine, name: &str, revision: Option<u32>) -> Result<(Release, u32)> {
    let history = engine.history(name).await.map_err(|error| cluster::release_failure(&error))?;
    let current = history.iter().map(|release| release.version).max().unwrap_or(0);
    if let Some(revision) = revision {
        let found = history.into_iter().find(|release| release.version == revision);
        return found
            .map(|found| (found, current))
            .ok_or_else(|| Failure::plain(format!("release {name} has no revision {revision}")));
    }
    let before = history.into_iter().filter(|release| release.version < current);
    let worked = before
        .filter(|r| matches!(r.info.status, release::record::Status::Superseded | release::record::Status::Deployed));
    worked.max_by_key(|release| release.version).map(|found| (found, current)).ok_or_else(|| {
        Failure::plain(format!(
            "release {name} has no earlier revision that was in force; `husk helm history {name}` lists them"
        ))
    })
}

/// Returns the dispatcher Job that brings one node to what these objects say, and the ConfigMap with its templates.
fn one_node(objects: &[Value], node: &str, namespace: &str) -> Result<(Value, Value)> {
    let install =
        |object: &&Value| object["kind"] == "Job" && object["metadata"]["labels"][label::DISPATCHER] == "install";
    let job = objects.iter().find(install).ok_or_else(|| {
        Failure::plain("that revision does not install by Jobs: in DaemonSet mode all nodes share one template. Without `--node` all of them go back")
    })?;
    let volumes = job["spec"]["template"]["spec"]["volumes"].as_array();
    let templates = volumes.into_iter().flatten().find_map(|volume| volume["configMap"]["name"].as_str());
    let map = objects.iter().find(|o| o["kind"] == "ConfigMap" && o["metadata"]["name"].as_str() == templates);
    let (Some(templates), Some(map)) = (templates, map) else {
        return Err(Failure::plain("that revision's dispatcher has no Job templates"));
    };
    let name = job["metadata"]["name"].as_str().unwrap_or_default();
    let stem = name.strip_suffix("-install-dispatcher").unwrap_or(name);
    let own = format!("{stem}-rollback");
    let prefix =
        |word: &str| word.split_once('=').map(|(option, _)| option.to_owned()).unwrap_or_else(|| word.to_owned());
    let words = job["spec"]["template"]["spec"]["containers"][0]["command"].as_array().cloned().unwrap_or_default();
    // What speaks of many nodes has no say in one.
    let dropped = [
        "--cleanup-job-template",
        "--node-selector",
        "--nodes",
        "--wait-for-nodes-secs",
        "--node-settle-secs",
        "--canary",
        "--wave-size",
        "--max-unavailable",
        "--max-failures",
        "--control-plane-last",
        "--paused",
        "--name-prefix",
        "--owner-job-name",
        "--other-owners",
    ];
    let mut command: Vec<Value> = words
        .iter()
        .filter(|word| word.as_str().is_some_and(|word| !dropped.contains(&prefix(word).as_str())))
        .cloned()
        .collect();
    let more = [
        format!("--name-prefix={own}"),
        format!("--owner-job-name={own}"),
        format!("--other-owners={name},{stem}-watch"),
        format!("--nodes={node}"),
    ];
    command.extend(more.into_iter().map(Value::from));

    let mut copy = job.clone();
    copy["metadata"] = json!({"name": own, "namespace": namespace, "labels": {label::DISPATCHER: "rollback"}});
    copy["spec"]["template"]["spec"]["containers"][0]["command"] = command.into();
    if let Some(labels) = copy["spec"]["template"]["metadata"]["labels"].as_object_mut() {
        labels.insert(label::DISPATCHER.into(), "rollback".into());
    }
    for volume in copy["spec"]["template"]["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        if volume["configMap"]["name"] == templates {
            volume["configMap"]["name"] = format!("{own}-templates").into();
        }
    }
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": map["data"],
        "metadata": {"name": format!("{own}-templates"), "namespace": namespace}});
    Ok((copy, map))
}

/// Makes both objects, waits for the Job's end and takes them away again; tells whether it ended well.
async fn carry_out(client: &Client, namespace: &str, (job, map): (Value, Value)) -> Result<bool> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let job: Job = serde_json::from_value(job).map_err(Failure::plain)?;
    let map: ConfigMap = serde_json::from_value(map).map_err(Failure::plain)?;
    // What an interrupted call left behind.
    gone(jobs.delete(&job.name_any(), &DeleteParams::foreground()).await.map(drop))?;
    gone(maps.delete(&map.name_any(), &DeleteParams::background()).await.map(drop))?;
    while jobs.get_metadata_opt(&job.name_any()).await.map_err(api_failure)?.is_some() {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    maps.create(&PostParams::default(), &map).await.map_err(api_failure)?;
    jobs.create(&PostParams::default(), &job).await.map_err(api_failure)?;
    let well = loop {
        let status = jobs.get(&job.name_any()).await.map_err(api_failure)?.status.unwrap_or_default();
        let holds = |kind: &str| status.conditions.iter().flatten().any(|c| c.type_ == kind && c.status == "True");
        if holds("Complete") || holds("Failed") {
            break holds("Complete");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    gone(jobs.delete(&job.name_any(), &DeleteParams::background()).await.map(drop))?;
    gone(maps.delete(&map.name_any(), &DeleteParams::background()).await.map(drop))?;
    Ok(well)
}

fn gone(result: kube::Result<()>) -> Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map_err(api_failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_gets_a_dispatcher_of_its_own_with_the_templates_of_then() {
        let job = json!({"kind": "Job", "metadata": {"name": "kata-deploy-install-dispatcher",
            "labels": {label::DISPATCHER: "install"}}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "containers": [{"command": ["/usr/bin/husk-dispatcher", "dispatch", "--job-template=/etc/kata-job/install.yaml",
                "--name-prefix=kata-deploy-install", "--owner-job-name=kata-deploy-install-dispatcher", "--canary=1",
                "--node-selector=pool=kata", "--control-plane-last", "--claim-node-pending"]}],
            "volumes": [{"name": "job-templates", "configMap": {"name": "kata-deploy-job-templates"}}]}}}});
        let map = json!({"kind": "ConfigMap", "metadata": {"name": "kata-deploy-job-templates"}, "data": {"install.yaml": "old"}});
        let (job, map) = one_node(&[job, map], "n7", "kube-system").unwrap();
        assert_eq!(job["metadata"]["name"], "kata-deploy-rollback");
        let command: Vec<&str> = job["spec"]["template"]["spec"]["containers"][0]["command"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(
            command,
            [
                "/usr/bin/husk-dispatcher",
                "dispatch",
                "--job-template=/etc/kata-job/install.yaml",
                "--claim-node-pending",
                "--name-prefix=kata-deploy-rollback",
                "--owner-job-name=kata-deploy-rollback",
                "--other-owners=kata-deploy-install-dispatcher,kata-deploy-watch",
                "--nodes=n7"
            ]
        );
        assert_eq!(
            job["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"],
            "kata-deploy-rollback-templates"
        );
        assert_eq!(map["data"]["install.yaml"], "old");
        assert!(one_node(&[], "n7", "kube-system").unwrap_err().message.contains("DaemonSet"));
    }
}
