//! Carries a run out: watches in, Jobs and records out.

use crate::effects::{self, Done};
use crate::error::Error;
use crate::follow::{self, News};
use crate::patience::PATIENCE;
use crate::plan::{Action, Event, Fleet, Order, Settings};
use crate::records;
use crate::selection::explain_nothing;
use crate::template::JobTemplate;
use contract::{Code, FleetReport, NodeRecord, State, label};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, SelectAll, StreamExt};
use kube::Client;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Up to so many nodes every change of stage is written to the node's record, and an Event is left for success too; above
/// it only how the node ended, and Events for failures, so that a large fleet costs the API server three requests a node.
const DETAILED: usize = 200;
/// News taken in before the plan is asked again.
const BATCH: usize = 256;
/// What is carried out at the same time, whatever the pace: each has a connection with its buffers.
const AT_ONCE: usize = 64;

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
    /// Whether no node is begun until the administrator says `resume`.
    pub paused: bool,
    /// Owners of per-node Jobs, besides this run's: what they have at work on a node is ended first.
    pub other_owners: Vec<String>,
    /// Dispatcher Jobs for which a watcher makes way.
    pub makes_way_for: Vec<String>,
}

impl Run {
    /// Returns a run that takes the nodes as they are and does nothing beside them.
    pub fn new(settings: Settings, template: JobTemplate, namespace: String) -> Self {
        Run {
            settings,
            template,
            namespace,
            wait_for_nodes: Duration::ZERO,
            settle: Duration::ZERO,
            claim: false,
            paused: false,
            other_owners: Vec::new(),
            makes_way_for: Vec::new(),
        }
    }
}

/// Carries a run out and says every change of a node in a line. A watcher's run never ends.
///
/// # Errors
/// When nothing is selected in time, and when the Job that this runs in was deleted. Failures of single nodes are in the report.
pub async fn perform(client: &Client, run: &Run, say: &mut dyn FnMut(String)) -> Result<FleetReport, Error> {
    let begun = Instant::now();
    let late = run.settings.late.is_some();
    let mut fleet = Fleet::new(run.settings.clone());
    if run.paused {
        fleet.on(Event::Order(Order::Pause), 0);
        say("paused: `husk rollout resume`, or the annotation husk/rollout=resume on the dispatcher's Job, lets it go on".into());
    }
    if !late && !run.settings.removal {
        let of = format!("{}={}", label::RUN, run.settings.owner.uid);
        let earlier = records::matching(client, &run.namespace, &of).await;
        for (record, uid) in earlier.map_err(Error::api("reading the records of this run"))? {
            fleet.on(Event::Recorded { record, uid }, 0);
        }
    }
    let mut watches = watches(client, run);
    let mut unsynced = BTreeSet::from(["nodes", "jobs", "pods"]);
    unsynced.extend(if late { Some("dispatchers") } else { None });
    let mut effects: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
    let mut asked: VecDeque<Asked> = VecDeque::new();
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
            if accepting
                && !late
                && closed(run, &fleet, now, selected_at.1.elapsed(), jiff::Timestamp::now().as_second())
            {
                accepting = false;
                fleet.stop_accepting();
                if count.selected == 0 && !run.settings.removal {
                    let why = explain_nothing(&run.settings.rules, fleet.nodes());
                    if !run.wait_for_nodes.is_zero() {
                        return Err(Error::NothingSelected(why));
                    }
                    say(why); // nobody wants to wait for a node, so there may be none
                }
            }
            asked.extend(fleet.next(millis(now)).into_iter().map(|action| Asked::of(action, &fleet)));
            for name in fleet.changed() {
                let Some((record, last)) = fleet.record(&name) else { continue };
                say(line(&record));
                if last || count.selected <= DETAILED {
                    unwritten.insert(name);
                }
            }
            let room = AT_ONCE.saturating_sub(effects.len());
            let ready: Vec<String> = unwritten.difference(&writing).take(room).cloned().collect();
            for name in ready {
                unwritten.remove(&name);
                let Some((record, last)) = fleet.record(&name) else { continue };
                let ended = last && record.state != State::Pending;
                let tell = ended && (count.selected <= DETAILED || record.state == State::Failed);
                let node = fleet.identity(&name).filter(|_| ended).unwrap_or_default().to_owned();
                effects.push(effects::written(
                    client.clone(),
                    run,
                    record,
                    (ended && !late).then_some(node.clone()),
                    tell.then_some(node),
                ));
                if last {
                    fleet.settle(&name, millis(now));
                }
                writing.insert(name);
            }
            while effects.len() < AT_ONCE
                && let Some(asked) = asked.pop_front()
            {
                if asked.stands(&fleet) {
                    effects.push(effects::carry_out(client.clone(), run, &fleet, asked.action));
                }
            }
            let idle = effects.is_empty() && asked.is_empty() && unwritten.is_empty();
            if !accepting && idle && fleet.over() {
                return Ok(report(&fleet));
            }
        }
        let mut heard = vec![tokio::select! {
            Some(news) = watches.next() => Heard::News(news),
            Some(done) = effects.next() => Heard::Done(done),
            () = tokio::time::sleep(Duration::from_millis(250)) => Heard::Done(Done::Nothing),
        }];
        while heard.len() < BATCH
            && let Some(Some(news)) = watches.next().now_or_never()
        {
            heard.push(Heard::News(news));
        }
        while heard.len() < BATCH
            && let Some(Some(done)) = effects.next().now_or_never()
        {
            heard.push(Heard::Done(done));
        }
        for heard in heard {
            match heard {
                Heard::News(News::Event(event)) | Heard::Done(Done::Event(event)) => {
                    match &event {
                        Event::Order(order) => say(format!("told: {order:?}").to_lowercase()),
                        // Its pod lives a little longer: it must not touch the Jobs of its successor.
                        Event::OwnerGone { uid } if *uid == run.settings.owner.uid => return Err(Error::Replaced),
                        _ => {}
                    }
                    fleet.on(event, millis(begun.elapsed()));
                }
                Heard::News(News::Synced(kind)) => {
                    if unsynced.remove(kind) && kind == "nodes" {
                        watch_jobs_and_pods(&mut watches, client, run);
                    }
                }
                Heard::News(News::Broken(why)) => {
                    if !unsynced.is_empty() {
                        if begun.elapsed() > PATIENCE {
                            return Err(Error::Surroundings(format!("the cluster cannot be watched: {why}")));
                        }
                        say(format!("the cluster cannot be watched yet: {why}"));
                    }
                    tracing::warn!("a watch broke and is begun again: {why}");
                }
                Heard::Done(Done::Written(node)) => drop(writing.remove(&node)),
                Heard::Done(Done::Nothing) => {}
            }
        }
    }
}

enum Heard {
    News(News),
    Done(Done),
}

/// Something to do, whose turn comes.
struct Asked {
    action: Action,
    /// The identity of the Node whose Job is to be created.
    node: Option<String>,
}

impl Asked {
    fn of(action: Action, fleet: &Fleet) -> Self {
        let node = match &action {
            Action::Create(name) => fleet.identity(name).map(str::to_owned),
            _ => None,
        };
        Asked { action, node }
    }

    /// Tells whether it still makes sense: a Node that was replaced meanwhile gets a turn of its own.
    fn stands(&self, fleet: &Fleet) -> bool {
        match &self.action {
            Action::Create(name) => self.node.is_some() && self.node.as_deref() == fleet.identity(name),
            _ => true,
        }
    }
}

type Watches = SelectAll<futures::stream::BoxStream<'static, News>>;

/// Begins to watch Nodes and orders; Jobs and pods follow when the Nodes are known, so that little is heard of unknown ones
/// and only one kind's pages are held at a time.
fn watches(client: &Client, run: &Run) -> Watches {
    let mut watches = SelectAll::new();
    watches.push(follow::nodes(client).boxed());
    watches.push(match run.settings.late {
        Some(_) => follow::dispatchers(client, &run.namespace, &run.makes_way_for).boxed(),
        None => follow::orders(client, &run.namespace, &run.settings.owner.name).boxed(),
    });
    watches
}

fn watch_jobs_and_pods(watches: &mut Watches, client: &Client, run: &Run) {
    let owner = run.settings.owner.name.as_str();
    let owners: Vec<&str> = std::iter::once(owner).chain(run.other_owners.iter().map(String::as_str)).collect();
    watches.push(follow::jobs(client, &run.namespace, &owners).boxed());
    watches.push(follow::pods(client, &run.namespace, &owners).boxed());
}

/// Tells whether late nodes are left to another run from now on.
///
/// The set has settled when it has not changed while we looked and no Node was made or relabelled shortly before: that
/// is read off the Nodes themselves, so a cluster that has been quiet for long is not waited for, nor one whose Nodes say
/// how many they will be. This is the only place where the clock on the wall counts, `now` in seconds since 1970; wherever
/// that jumps to, it ends no wait before its time but this one, and prolongs none.
fn closed(run: &Run, fleet: &Fleet, waited: Duration, unchanged: Duration, now: i64) -> bool {
    if run.wait_for_nodes.is_zero() {
        return true;
    }
    if fleet.count().selected == 0 {
        return waited >= run.wait_for_nodes;
    }
    let quiet = Duration::from_secs(u64::try_from(now.saturating_sub(fleet.youngest())).unwrap_or(0));
    fleet.complete() || unchanged >= run.settle || quiet >= run.settle || waited >= run.wait_for_nodes
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;
    use crate::pace::{Amount, Pace};
    use crate::selection::Rules;
    use crate::template::{Owner, OwnerKind};

    #[test]
    fn a_clock_that_jumps_prolongs_no_wait() {
        let settings = Settings {
            rules: Rules::default(),
            prefix: "p".into(),
            owner: Owner { kind: OwnerKind::Job, name: "o".into(), uid: "u".into() },
            pace: Pace::plain(Amount::Number(1)),
            removal: false,
            install: "default".into(),
            handlers: Vec::new(),
            ready_wait: 0,
            absent_wait: 0,
            late: None,
        };
        let job = r#"{"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": []}}}}"#;
        let mut run = Run::new(settings.clone(), JobTemplate::parse(job).unwrap(), "kata".into());
        (run.wait_for_nodes, run.settle) = (Duration::from_secs(120), Duration::from_secs(15));
        let mut fleet = Fleet::new(settings);
        let closed = |fleet: &Fleet, waited, unchanged, now| {
            closed(&run, fleet, Duration::from_secs(waited), Duration::from_secs(unchanged), now)
        };
        for now in [i64::MIN, 0, 1_000_000, i64::MAX] {
            assert!(!closed(&fleet, 119, 119, now) && closed(&fleet, 120, 0, now), "nothing is selected yet");
        }
        let node = Node { name: "n".into(), uid: "u".into(), changed: 1_000_000, ..Node::default() };
        fleet.on(Event::Node(node), 0);
        assert!(!closed(&fleet, 1, 1, 1_000_001) && closed(&fleet, 1, 1, 1_000_015));
        for jumped_back in [i64::MIN, 0, 999_999] {
            assert!(!closed(&fleet, 1, 14, jumped_back));
            assert!(closed(&fleet, 1, 15, jumped_back) && closed(&fleet, 120, 0, jumped_back));
        }
    }
}
