//! Carries a run out: three watches in, Jobs and records out.

use crate::error::Error;
use crate::follow::{self, News};
use crate::observe::{self, Outcome};
use crate::plan::{Action, Event, Fleet, Settings};
use crate::records;
use crate::selection::explain_nothing;
use crate::template::{JobTemplate, Owner};
use crate::{marks, node::Node};
use contract::{Code, FleetReport, NodeRecord, State};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, SelectAll, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, LogParams, PostParams, Preconditions};
use kube::{Api, Client};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Up to so many nodes every change of stage is written to the node's record; above it only how the node ended, so that
/// a large fleet costs the API server a fixed number of requests a node.
const DETAILED: usize = 200;
/// How long the API server may keep refusing to create a Job before its node is given up.
const PATIENCE: Duration = Duration::from_secs(300);
/// Lines kept of a failed container's log.
const LINES: i64 = 20;

/// One run over the fleet.
pub struct Run {
    /// What it is to reach.
    pub settings: Settings,
    /// The per-node Job.
    pub template: JobTemplate,
    /// Where Jobs and records live.
    pub namespace: String,
    /// How long to wait for the first node to be selected. Zero: the set is taken as it is, also when empty.
    pub wait_for_nodes: Duration,
    /// How long the set must have been the same before late nodes are left to another run.
    pub settle: Duration,
    /// Whether a node is labelled as being worked on before its Job is made.
    pub claim: bool,
}

enum Done {
    Event(Event),
    Written(String),
    Nothing,
}

/// Carries a run out and says every change of a node in a line.
///
/// # Errors
/// When nothing is selected in time. Failures of single nodes are in the report.
pub async fn perform(client: &Client, run: &Run, say: &mut dyn FnMut(String)) -> Result<FleetReport, Error> {
    let begun = Instant::now();
    let mut fleet = Fleet::new(run.settings.clone());
    let owner = &run.settings.owner.name;
    let mut watches = SelectAll::new();
    watches.push(follow::nodes(client).boxed());
    watches.push(follow::jobs(client, &run.namespace, owner).boxed());
    watches.push(follow::pods(client, &run.namespace, owner).boxed());
    let mut unsynced = BTreeSet::from(["nodes", "jobs", "pods"]);
    let mut effects: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
    let mut writing = BTreeSet::new();
    let mut unwritten = BTreeSet::new();
    let mut accepting = true;
    let mut selected_at = (0, begun);

    loop {
        let now = begun.elapsed();
        if unsynced.is_empty() {
            let count = fleet.count();
            if count.selected != selected_at.0 {
                selected_at = (count.selected, Instant::now());
            }
            if accepting && closed(run, &fleet, now, selected_at.1.elapsed()) {
                accepting = false;
                fleet.stop_accepting();
                if count.selected == 0 && !run.wait_for_nodes.is_zero() {
                    return Err(Error::NothingSelected(explain_nothing(&run.settings.rules, fleet.nodes())));
                }
            }
            for action in fleet.next(millis(now)) {
                effects.push(effect(client.clone(), run, &fleet, action));
            }
            for name in fleet.changed() {
                let Some((record, last)) = fleet.record(&name) else { continue };
                say(line(record));
                if last || count.selected <= DETAILED {
                    unwritten.insert(name.clone());
                }
                if last && let Some(node) = fleet.node(&name) {
                    effects.push(announced(client.clone(), record.clone(), node.uid.clone(), run.settings.removal));
                }
            }
            let ready: Vec<String> = unwritten.difference(&writing).cloned().collect();
            for name in ready {
                unwritten.remove(&name);
                if let Some((record, _)) = fleet.record(&name) {
                    writing.insert(name);
                    effects.push(written(client.clone(), run.namespace.clone(), record.clone(), run.settings.removal));
                }
            }
            if !accepting && fleet.over() && effects.is_empty() {
                return Ok(report(&fleet));
            }
        }
        let done = tokio::select! {
            Some(news) = watches.next() => match news {
                News::Event(event) => Done::Event(event),
                News::Synced(kind) => { unsynced.remove(kind); Done::Nothing }
                News::Broken(why) => {
                    if !unsynced.is_empty() {
                        if begun.elapsed() > PATIENCE {
                            return Err(Error::Surroundings(format!("the cluster cannot be watched: {why}")));
                        }
                        say(format!("the cluster cannot be watched yet: {why}"));
                    }
                    tracing::warn!("a watch broke and is begun again: {why}");
                    Done::Nothing
                }
            },
            Some(done) = effects.next() => done,
            () = tokio::time::sleep(Duration::from_millis(250)) => Done::Nothing,
        };
        match done {
            Done::Event(event) => fleet.on(event, millis(begun.elapsed())),
            Done::Written(node) => drop(writing.remove(&node)),
            Done::Nothing => {}
        }
    }
}

/// Tells whether late nodes are left to another run from now on.
///
/// The set has settled when it has not changed while we looked and no Node was made or relabelled shortly before: that
/// is read off the Nodes themselves, so a cluster that has been quiet for long is not waited for.
fn closed(run: &Run, fleet: &Fleet, waited: Duration, unchanged: Duration) -> bool {
    if run.wait_for_nodes.is_zero() {
        return true;
    }
    if fleet.count().selected == 0 {
        return waited >= run.wait_for_nodes;
    }
    let now = jiff::Timestamp::now().as_second();
    let quiet = Duration::from_secs(u64::try_from(now - fleet.youngest()).unwrap_or(0));
    unchanged >= run.settle || quiet >= run.settle || waited >= run.wait_for_nodes
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn line(record: &NodeRecord) -> String {
    let code = record.code.map(|code| format!(" {code}")).unwrap_or_default();
    let state = match record.state {
        State::Pending => "waits",
        State::Running => "runs",
        State::Done => "done",
        State::Failed => "FAILED",
    };
    let colon = if record.message.is_empty() { "" } else { ": " };
    format!("{} {} {state}{code}{colon}{}", record.node, record.stage, record.message)
}

fn report(fleet: &Fleet) -> FleetReport {
    let count = fleet.count();
    let failed = fleet.failures();
    let mut report = FleetReport::new();
    report.selected = count.selected;
    report.done = count.done;
    report.failures = failed.len();
    if !failed.is_empty() {
        report.code = Some(Code::NODES_FAILED);
        report.message = format!("{} of {} nodes failed", failed.len(), count.selected);
    }
    report.failed = failed;
    report
}

fn effect(client: Client, run: &Run, fleet: &Fleet, action: Action) -> BoxFuture<'static, Done> {
    let namespace = run.namespace.clone();
    match action {
        Action::Create(name) => {
            let Some(node) = fleet.node(&name).cloned() else { return Box::pin(async { Done::Nothing }) };
            let job = run.template.pinned(&node, &run.settings.prefix, &namespace, &run.settings.owner);
            let labels = run.claim.then(|| marks::claim(&node.labels, &run.settings.install)).flatten();
            let owner = run.settings.owner.clone();
            Box::pin(async move {
                if let Some(labels) = labels
                    && let Err(error) = patiently(|| marks::set(&client, &node.name, &node.uid, &labels)).await
                {
                    return refused(node, format!("the node cannot be labelled: {error}"), Code::DISPATCHER_FAILED);
                }
                created(&client, &namespace, node, &owner, job).await
            })
        }
        Action::Delete { name, uid } => Box::pin(async move {
            let api: Api<Job> = Api::namespaced(client, &namespace);
            // Foreground: the Job stays until its pods are gone, so two installers never meet on a node.
            let parameters =
                DeleteParams::foreground().preconditions(Preconditions { uid: Some(uid), resource_version: None });
            match patiently(|| api.delete(&name, &parameters)).await {
                // 409: another Job has the name by now; the watch brings it.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Done::Event(Event::JobGone(name)),
                Err(error) => {
                    let message = format!("the Job {name} of an earlier run cannot be deleted: {error}");
                    Done::Event(Event::Undeletable { name, message })
                }
                Ok(_) => Done::Nothing,
            }
        }),
        Action::ReadLines { node, pod, container } => Box::pin(async move {
            let api: Api<Pod> = Api::namespaced(client, &namespace);
            let parameters = LogParams { container: Some(container), tail_lines: Some(LINES), ..LogParams::default() };
            let lines = match api.logs(&pod, &parameters).await {
                Ok(text) => text.lines().map(|line| line.chars().take(500).collect()).collect(),
                Err(error) => vec![format!("(the log cannot be read: {error})")],
            };
            Done::Event(Event::Lines { node, lines })
        }),
    }
}

fn refused(node: Node, message: String, code: Code) -> Done {
    Done::Event(Event::Refused { node: node.name, message, code })
}

async fn created(client: &Client, namespace: &str, node: Node, owner: &Owner, job: serde_json::Value) -> Done {
    let api: Api<Job> = Api::namespaced(client.clone(), namespace);
    let job: Job = match serde_json::from_value(job) {
        Ok(job) => job,
        Err(error) => return refused(node, format!("the Job template is refused: {error}"), Code::DISPATCHER_FAILED),
    };
    let name = job.metadata.name.clone().unwrap_or_default();
    let parameters = PostParams::default();
    match patiently(|| api.create(&parameters, &job)).await {
        Ok(_) => Done::Nothing, // the watch brings it
        Err(kube::Error::Api(status)) if status.code == 409 => match api.get_metadata(&name).await {
            Ok(existing) => {
                let uid = existing.metadata.uid.unwrap_or_default();
                let owners = existing.metadata.owner_references.unwrap_or_default();
                match existing.metadata.labels.unwrap_or_default().remove(contract::label::JOB_OWNER) {
                    // Ours, or an earlier run's, which then has to go first: the plan tells by the identity.
                    Some(label) if label == owner.name => Done::Event(Event::Job(observe::Job {
                        name,
                        uid,
                        node: node.name,
                        owner: label,
                        owner_uids: owners.into_iter().map(|owner| owner.uid).collect(),
                        deleting: existing.metadata.deletion_timestamp.is_some(),
                        outcome: Outcome::Running,
                    })),
                    other => {
                        let whose = other.unwrap_or_else(|| "nobody".to_owned());
                        let message = format!("a Job {name} exists and belongs to {whose}");
                        refused(node, message, Code::JOB_NAME_TAKEN)
                    }
                }
            }
            Err(error) => {
                refused(node, format!("the Job {name} exists and cannot be read: {error}"), Code::DISPATCHER_FAILED)
            }
        },
        Err(error) => refused(node, format!("the Job cannot be created: {error}"), Code::DISPATCHER_FAILED),
    }
}

fn written(client: Client, namespace: String, record: NodeRecord, removal: bool) -> BoxFuture<'static, Done> {
    Box::pin(async move {
        let name = record.node.clone();
        let result = if removal && record.state == State::Done {
            patiently(|| records::forget(&client, &namespace, &record.install, &record.node)).await
        } else {
            patiently(|| records::write(&client, &namespace, record.clone())).await
        };
        if let Err(error) = result {
            tracing::warn!("the record of node {name} cannot be written: {error}");
        }
        Done::Written(name)
    })
}

fn announced(client: Client, record: NodeRecord, uid: String, removal: bool) -> BoxFuture<'static, Done> {
    Box::pin(async move {
        let event = records::event(&record, &uid, removal);
        if let Err(error) = patiently(|| records::announce(&client, &event)).await {
            tracing::warn!("no Event can be left on node {}: {error}", record.node);
        }
        Done::Nothing
    })
}

/// Tries again what failed for the API server's sake (unreachable, overloaded, restarting), with growing pauses.
async fn patiently<T, F: Future<Output = kube::Result<T>>>(mut attempt: impl FnMut() -> F) -> kube::Result<T> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        match attempt().await {
            Err(error) if begun.elapsed() < PATIENCE && passing(&error) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            result => return result,
        }
    }
}

fn passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}
