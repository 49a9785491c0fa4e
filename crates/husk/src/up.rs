//! `husk up`: values → plan → apply → nodes → proof.

use crate::cli::{Target, Up};
use crate::cluster::{self, Cluster};
use crate::error::{Failure, Result, exit};
use crate::preflight;
use crate::rollout::{Class, Mode, Rollout};
use crate::rollout_watch::{self, Ending, Watch};
use crate::screen::{Output, Screen, emit};
use crate::subject::Subject;
use crate::summary::{self, ClassSummary, NodeSummary};
use contract::{Code, State};
use release::event::Change;
use release::record::HookEvent;
use release::{Engine, Event, Options, Progress, Reuse};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What `husk up -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    release: String,
    namespace: String,
    revision: u32,
    chart: String,
    payload: String,
    seconds: f64,
    nodes: Vec<NodeSummary>,
    classes: Vec<ClassSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<cluster::SandboxPlace>,
}

pub(crate) async fn up(call: Up) -> Result<()> {
    let subject = Subject::load(&call.subject, &call.values)?;
    bring(&call.target, call.timeout, call.output, subject).await
}

/// Brings an installation to what chart and values of `subject` say; `timeout` is in seconds.
pub(crate) async fn bring(target: &Target, timeout: u64, output: Output, subject: Subject) -> Result<()> {
    let begun = Instant::now();
    let mut screen = Screen::open(output);
    let objects = subject.objects()?;
    let payload = subject.payload(&objects);
    let rollouts = crate::rollout::rollouts(&objects);
    let classes = crate::rollout::classes(&objects);
    screen.step("values", &describe(&subject, &payload, &rollouts, &classes));

    let cluster = cluster::reach(target, &objects, &rollouts, &mut screen).await?;
    let nodes = preflight::nodes(&cluster.client).await?;
    preflight::check(&rollouts, &nodes)?;
    let question = preflight::Question {
        release: &subject.release,
        namespace: &subject.namespace,
        objects: &objects,
        rollouts: &rollouts,
        classes: &classes,
        own_kinds: subject.own_kinds(),
    };
    for warning in preflight::before_up(&cluster, &question, &mut screen).await? {
        screen.warn(&warning);
    }
    preflight::objects(&cluster.client, &objects, &subject.namespace).await?;
    let selected = nodes.iter().filter(|node| rollouts.iter().any(|r| r.rules.left_out(node).is_none())).count();
    screen.step("plan", &format!("{} objects, {selected} of {} nodes selected", objects.len(), nodes.len()));

    let mut watch = Watch::begin(&cluster.client, &subject.namespace, &rollouts).await;
    let told = Told::default();
    let engine = Engine::new(cluster.client.clone(), &subject.namespace).with_progress(told.listener());
    let options = Options {
        timeout: Duration::from_secs(timeout),
        create_namespace: true,
        force_conflicts: true,
        // What is said here is what is wanted; nothing is remembered from earlier calls.
        reuse: Reuse::Never,
        ..Options::default()
    };
    let work = engine.install_or_upgrade(&subject.release, subject.source(), subject.values.clone(), &options);
    let outcome = tokio::select! {
        outcome = watch.during("apply", &mut screen, work) => outcome,
        _ = tokio::signal::ctrl_c() => return Err(interrupted(&rollouts, &watch)),
    };
    for text in told.warnings() {
        screen.warn(&text);
    }
    let release = match outcome {
        Ok(release) => release,
        Err(error) => {
            let results = collect(&cluster, &subject.namespace, &rollouts).await.unwrap_or_default();
            return Err(rollout_failure(&results).unwrap_or_else(|| cluster::release_failure(&error)));
        }
    };
    screen.step("apply", &told.summary());

    for rollout in &rollouts {
        rollout_watch::retry_failed(&cluster.client, &subject.namespace, rollout, &watch)
            .await
            .map_err(cluster::api_failure)?;
        let patience = Duration::from_secs(timeout).saturating_sub(begun.elapsed());
        let waiting =
            rollout_watch::daemon_set(&cluster.client, &subject.namespace, rollout, &mut watch, &mut screen, patience);
        let ending = tokio::select! {
            ending = waiting => ending.map_err(cluster::api_failure)?,
            _ = tokio::signal::ctrl_c() => return Err(interrupted(&rollouts, &watch)),
        };
        match &ending {
            Ending::Stalled(behind) => screen.warn(&format!(
                "the DaemonSet waits behind what failed: {behind} of its nodes still have what was there before"
            )),
            Ending::Kept(behind) => screen.warn(&format!(
                "`updateStrategy` is OnDelete: {behind} nodes keep what they have until their pods are deleted"
            )),
            Ending::Through | Ending::TimedOut(_) => {}
        }
        if let Ending::TimedOut(nodes) = ending {
            return Err(Failure::new(
                Code::NODES_FAILED,
                format!("after {} s these nodes are not through: {}; the cluster goes on", timeout, nodes.join(", ")),
            )
            .exiting(exit::TIMED_OUT));
        }
    }

    let results = settled(&cluster, &subject.namespace, &rollouts).await?;
    if let Some(failure) = rollout_failure(&results) {
        return Err(failure);
    }
    let class_results = summary::classes(&classes, &results);
    let done = results.iter().filter(|node| node.selected).count();
    screen.step("verify", &proof(&results, &class_results));
    let seconds = begun.elapsed().as_secs_f64();
    let report = Report {
        schema: "husk.up/v1",
        release: release.name.clone(),
        namespace: release.namespace.clone(),
        revision: release.version,
        chart: subject.chart_title(),
        payload,
        seconds,
        nodes: results,
        classes: class_results,
        sandbox: cluster.sandbox.clone(),
    };
    match output {
        Output::Json => print_json(&report),
        Output::Text => {
            screen.block("");
            screen.block(summary::node_table(&report.nodes).trim_end());
            if report.nodes.iter().any(|node| !node.selected) {
                screen.block(&skipped(&report.nodes));
            }
            screen.block("");
            screen.block(summary::class_table(&report.classes).trim_end());
            screen.block("");
            for warning in warnings(&report.nodes) {
                screen.warn(&warning);
            }
            let nodes = if done == 1 { "node" } else { "nodes" };
            screen.block(&format!(
                "{} {} in {}, revision {}: payload {}, {done} {nodes} in {seconds:.1} s",
                report.chart, report.release, report.namespace, report.revision, report.payload
            ));
            if let Some(place) = &report.sandbox {
                screen.block(&place.hint());
            }
            Ok(())
        }
    }
}

pub(crate) fn print_json<T: Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::plain)?;
    emit(&format!("{text}\n"));
    Ok(())
}

fn describe(subject: &Subject, payload: &str, rollouts: &[Rollout], classes: &[Class]) -> String {
    let mode = match rollouts.first().map(|rollout| &rollout.mode) {
        Some(Mode::DaemonSet(_)) => "DaemonSet mode",
        Some(Mode::Job(_)) => "Job mode",
        None => "nothing to install on nodes",
    };
    format!("{}, payload {payload}, {mode}, {} RuntimeClasses", subject.chart_title(), classes.len())
}

/// Reads what the cluster shows of every rollout.
async fn collect(cluster: &Cluster, namespace: &str, rollouts: &[Rollout]) -> Result<Vec<NodeSummary>> {
    standing(cluster, namespace, rollouts, &preflight::nodes(&cluster.client).await?).await
}

/// The same of nodes that were read already.
pub(crate) async fn standing(
    cluster: &Cluster,
    namespace: &str,
    rollouts: &[Rollout],
    nodes: &[fleet::node::Node],
) -> Result<Vec<NodeSummary>> {
    let mut all = Vec::new();
    for rollout in rollouts {
        let records =
            crate::records::list(&cluster.client, namespace, &rollout.install).await.map_err(cluster::api_failure)?;
        all.extend(summary::nodes(rollout, nodes, &records));
    }
    Ok(all)
}

/// Reads the same until kubelets report what the runtimes have proven, for a while: they ask their runtime every few seconds.
async fn settled(cluster: &Cluster, namespace: &str, rollouts: &[Rollout]) -> Result<Vec<NodeSummary>> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let results = collect(cluster, namespace, rollouts).await?;
        let open = results.iter().any(|node| node.selected && !node.converged() && node.state != Some(State::Failed));
        if !open || Instant::now() > deadline {
            return Ok(results);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Returns the failure that nodes make together; exit 4 when some of them converged all the same.
fn rollout_failure(results: &[NodeSummary]) -> Option<Failure> {
    let selected: Vec<&NodeSummary> = results.iter().filter(|node| node.selected).collect();
    let bad: Vec<&&NodeSummary> = selected.iter().filter(|node| !node.converged()).collect();
    let failed: Vec<&&&NodeSummary> = bad.iter().filter(|node| node.state == Some(State::Failed)).collect();
    if bad.is_empty() || (failed.is_empty() && bad.iter().all(|node| node.state.is_none())) {
        return None; // nothing was begun anywhere: whoever did not begin says why
    }
    let mut lines = Vec::new();
    for node in bad.iter().take(20) {
        let code = node.code.map(|code| format!("{code} ")).unwrap_or_default();
        let stage =
            node.stage.map(|stage| format!("at stage {stage}")).unwrap_or_else(|| "before any stage".to_owned());
        let message = match (&node.message, node.missing.as_slice()) {
            (message, _) if !message.is_empty() => message.clone(),
            (_, []) => "not labelled".to_owned(),
            (_, missing) => format!("the kubelet does not report {}", missing.join(", ")),
        };
        lines.push(format!("  node {}: {code}{stage}: {message}", node.name));
    }
    if bad.len() > 20 {
        lines.push(format!("  and {} more", bad.len() - 20));
    }
    // One cause for all: say it as such, so that `husk explain` helps at once.
    let codes: std::collections::BTreeSet<Code> = failed.iter().filter_map(|node| node.code).collect();
    let code = match (codes.len(), codes.first()) {
        (1, Some(code)) if failed.len() == bad.len() => *code,
        _ => Code::NODES_FAILED,
    };
    let all = selected.len();
    let counts = match (failed.len(), bad.len() - failed.len()) {
        (0, open) => format!("{open} of {all} nodes are not through; the cluster goes on with them"),
        (failed, 0) => format!("{failed} of {all} nodes failed"),
        (failed, open) => format!("{failed} of {all} nodes failed, {open} more are not through"),
    };
    let message = format!("{counts}\n{}", lines.join("\n"));
    let status = if bad.len() < selected.len() { exit::PARTLY } else { exit::ERROR };
    Some(Failure::new(code, message).exiting(status))
}

fn proof(nodes: &[NodeSummary], classes: &[ClassSummary]) -> String {
    let selected = nodes.iter().filter(|node| node.selected).count();
    let served = classes.iter().filter(|class| class.nodes > 0).count();
    match classes {
        [] => format!("{selected} of {selected} nodes done"),
        _ => format!("{selected} of {selected} nodes labelled; {served} of {} classes served", classes.len()),
    }
}

fn skipped(nodes: &[NodeSummary]) -> String {
    let lines =
        nodes.iter().filter_map(|node| node.skipped.as_ref().map(|why| format!("{} skipped: {why}", node.name)));
    lines.take(20).collect::<Vec<_>>().join("\n")
}

/// Joins equal warnings of nodes.
fn warnings(nodes: &[NodeSummary]) -> Vec<String> {
    let mut by_text: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for node in nodes {
        for text in &node.warnings {
            by_text.entry(text).or_default().push(&node.name);
        }
    }
    by_text.into_iter().map(|(text, names)| format!("{}: {text}", names.join(", "))).collect()
}

/// Says what goes on without us, and how to go on.
fn interrupted(rollouts: &[Rollout], watch: &Watch) -> Failure {
    let goes_on = rollouts.iter().map(|rollout| match &rollout.mode {
        Mode::DaemonSet(name) => format!("DaemonSet {name}"),
        Mode::Job(name) => format!("dispatcher Job {name}"),
    });
    let goes_on = goes_on.collect::<Vec<_>>().join(", ");
    let goes_on = if goes_on.is_empty() { "nothing".to_owned() } else { goes_on };
    let flying = watch.board.rows().filter(|row| row.begun.is_some() && row.ended.is_none());
    let flying: Vec<&str> = flying.map(|row| row.record.node.as_str()).collect();
    let nodes = if flying.is_empty() { String::new() } else { format!(", now on {}", crate::status::names(&flying)) };
    Failure::plain(format!(
        "interrupted\n  On the cluster goes on: {goes_on}{nodes}. A node in flight is finished or undone by its own installer.\n  \
         Next: `husk status --watch` shows how it gets on; `husk resume` takes up where this ended."
    ))
    .exiting(exit::INTERRUPTED)
}

/// What the release engine told.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    created: usize,
    changed: usize,
    unchanged: usize,
    deleted: usize,
    hooks: Vec<(HookEvent, String)>,
    warnings: Vec<String>,
}

impl Told {
    pub(crate) fn listener(&self) -> Progress {
        let heard = self.0.clone();
        Progress::new(move |event| {
            let Ok(mut heard) = heard.lock() else { return };
            match event {
                Event::Applied { change, .. } => match change {
                    Change::Created => heard.created += 1,
                    Change::Configured | Change::Recreated => heard.changed += 1,
                    Change::Unchanged => heard.unchanged += 1,
                },
                Event::Deleted { .. } => heard.deleted += 1,
                Event::HookStarted { event, object } => heard.hooks.push((event, object.name)),
                Event::Warning { text } => heard.warnings.push(text),
                Event::TakenOver { revision, status, .. } => {
                    heard
                        .warnings
                        .push(format!("revision {revision} was left {status} by an interrupted run and is taken over"));
                }
                _ => {}
            }
        })
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.0.lock().map(|mut heard| std::mem::take(&mut heard.warnings)).unwrap_or_default()
    }

    pub(crate) fn summary(&self) -> String {
        let Ok(heard) = self.0.lock() else { return String::new() };
        let counts = [
            (heard.created, "created"),
            (heard.changed, "changed"),
            (heard.unchanged, "unchanged"),
            (heard.deleted, "deleted"),
        ];
        let mut parts: Vec<String> =
            counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if !heard.hooks.is_empty() {
            parts.push(format!("{} hooks run", heard.hooks.len()));
        }
        if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Stage;

    fn node(name: &str, stage: Stage, state: State) -> NodeSummary {
        let labelled = (stage, state) == (Stage::Label, State::Done);
        NodeSummary {
            name: name.into(),
            selected: true,
            labelled,
            stage: Some(stage),
            state: Some(state),
            ..NodeSummary::default()
        }
    }

    #[test]
    fn nodes_that_failed_are_told_from_those_still_at_work() {
        let done = node("a", Stage::Label, State::Done);
        let busy = node("b", Stage::Artifacts, State::Running);
        let failed = node("c", Stage::Cri, State::Failed);
        let told = |nodes: &[&NodeSummary]| {
            let nodes: Vec<NodeSummary> = nodes.iter().map(|node| (*node).clone()).collect();
            rollout_failure(&nodes).map(|failure| failure.to_string().lines().next().unwrap_or_default().to_owned())
        };
        assert_eq!(told(&[&done]), None);
        assert!(
            told(&[&done, &busy]).unwrap().ends_with("1 of 2 nodes are not through; the cluster goes on with them")
        );
        assert!(told(&[&done, &failed]).unwrap().ends_with("1 of 2 nodes failed"));
        assert!(told(&[&busy, &failed]).unwrap().ends_with("1 of 2 nodes failed, 1 more are not through"));
    }
}
