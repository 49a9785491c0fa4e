//! `husk up`: values → plan → apply → nodes → proof.

use crate::cli::{Target, Up};
use crate::cluster::{self, Cluster};
use crate::cut_short::{self, Interrupt, Left};
use crate::error::{Failure, Result};
use crate::phases::{Bounds, Clock, Phase, Taken};
use crate::preflight;
use crate::rollout::{Class, Mode, Rollout};
use crate::rollout_run::RolloutRun;
use crate::rollout_watch::Watch;
use crate::screen::{Output, Screen, emit};
use crate::subject::{Names, Subject};
use crate::summary::{self, ClassSummary, NodeSummary};
use crate::told::Told;
use fleet::node::Node;
use release::{Engine, Options, Reuse};
use serde::Serialize;
use serde_json::Value;
use std::time::Instant;

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
    phases: Vec<Taken>,
    nodes: Vec<NodeSummary>,
    classes: Vec<ClassSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<cluster::SandboxPlace>,
}

/// The phases of `up` and `resume`.
pub(crate) const PHASES: [Phase; 4] = [Phase::Preflight, Phase::Apply, Phase::Nodes, Phase::Ready];

pub(crate) async fn up(call: Up) -> Result<()> {
    let bounds = Bounds::new("up", &PHASES, &call.timeout)?;
    let subject = Subject::load(&call.subject, &call.values)?;
    bring(&call.target, bounds, call.output, subject).await
}

/// Brings an installation to what chart and values of `subject` say.
pub(crate) async fn bring(target: &Target, bounds: Bounds, output: Output, subject: Subject) -> Result<()> {
    let begun = Instant::now();
    let mut interrupt = Interrupt::listen()?;
    let mut screen = Screen::open(output);
    let objects = subject.objects()?;
    let payload = subject.payload(&objects);
    let rollouts = crate::rollout::rollouts(&objects);
    let classes = crate::rollout::classes(&objects);
    screen.step("values", &describe(&subject, &payload, &rollouts, &classes));

    let clock = Clock::start(bounds, Phase::Preflight);
    let before = Left { again: "husk up".to_owned(), ..Left::default() };
    let cluster = tokio::select! {
        cluster = cluster::reach(target, &objects, &rollouts, &mut screen) => cluster?,
        () = interrupt.heard() => return Err(cut_short::interrupted(&clock.read(), &before)),
    };
    // That a sandbox had to be started is not the cluster's fault.
    let clock = clock.anew();
    let (nodes, watch) = tokio::select! {
        looked = look(&cluster, &subject, &objects, &rollouts, &classes, &mut screen) => looked?,
        () = interrupt.heard() => return Err(cut_short::interrupted(&clock.read(), &before)),
        () = tokio::time::sleep(clock.left()) => {
            let what = "the API server has not answered every question";
            return Err(cut_short::out_of_time(&clock.read(), what, &[], None, &before));
        }
    };
    let selected = nodes.iter().filter(|node| rollouts.iter().any(|r| r.rules.left_out(node).is_none())).count();
    let counts = format!("{} objects, {selected} of {} nodes selected", objects.len(), nodes.len());
    screen.step("plan", &format!("{counts} {}", clock.note(Phase::Preflight)));

    clock.enter(Phase::Apply);
    let node_hooks = crate::rollout::node_hooks(&objects);
    let options = Options {
        timeout: clock.bound(Phase::Apply),
        hook_timeouts: node_hooks.iter().map(|name| (name.clone(), clock.bound(Phase::Nodes))).collect(),
        create_namespace: true,
        force_conflicts: true,
        // What is said here is what is wanted; nothing is remembered from earlier calls.
        reuse: Reuse::Never,
        ..Options::default()
    };
    let names = Names { release: subject.release.clone(), namespace: subject.namespace.clone() };
    let told = Told::new(&clock, Phase::Apply, node_hooks);
    let mut run = RolloutRun {
        cluster: &cluster,
        names: &names,
        rollouts: &rollouts,
        selected: Some(selected),
        again: "husk resume".to_owned(),
        clock: clock.clone(),
        told: told.clone(),
        interrupt,
        watch,
    };
    let engine = Engine::new(cluster.client.clone(), &subject.namespace).with_progress(told.listener());
    let work = engine.install_or_upgrade(&subject.release, subject.source(), subject.values.clone(), &options);
    let (release, results) = run.through(&mut screen, work).await?;
    if !rollouts.is_empty() {
        screen.step("nodes", &format!("{selected} of {selected} through {}", clock.note(Phase::Nodes)));
    }
    let class_results = summary::classes(&classes, &results);
    let done = results.iter().filter(|node| node.selected).count();
    screen.step("verify", &format!("{} {}", proof(&results, &class_results), clock.note(Phase::Ready)));
    let seconds = begun.elapsed().as_secs_f64();
    let report = Report {
        schema: "husk.up/v1",
        release: release.name.clone(),
        namespace: release.namespace.clone(),
        revision: release.version,
        chart: subject.chart_title(),
        payload,
        seconds,
        phases: clock.taken(),
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

/// Before anything is touched: nodes, rights, and what the cluster would refuse; begins to watch the nodes' records.
async fn look(
    cluster: &Cluster,
    subject: &Subject,
    objects: &[Value],
    rollouts: &[Rollout],
    classes: &[Class],
    screen: &mut Screen,
) -> Result<(Vec<Node>, Watch)> {
    let nodes = preflight::nodes(&cluster.client).await?;
    preflight::check(rollouts, &nodes)?;
    let question = preflight::Question {
        release: &subject.release,
        namespace: &subject.namespace,
        objects,
        rollouts,
        classes,
        own_kinds: subject.own_kinds(),
    };
    for warning in preflight::before_up(cluster, &question, screen).await? {
        screen.warn(&warning);
    }
    preflight::objects(&cluster.client, objects, &subject.namespace).await?;
    Ok((nodes, Watch::begin(&cluster.client, &subject.namespace, rollouts).await))
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
