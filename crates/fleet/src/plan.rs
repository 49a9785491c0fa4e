//! The run as plain data: what is known of every node, and what to do next.
//!
//! Nothing here waits, reads a clock or talks to a cluster. Events come in through [`Fleet::on`], what should be done
//! comes out of [`Fleet::next`]; time is passed in as milliseconds since the run began. News may come twice, late or in
//! any order between kinds: identities tell what is old.

mod begin;
mod event;
mod jobs;
mod known;
mod late;
mod progress;
mod queue;
mod work;
mod zones;

pub use event::{Action, Event, Order, Pod};
pub use late::Late;

use crate::node::Node;
use crate::observe::{self, Job, Outcome};
use crate::pace::{Pace, Sandboxes, Standing};
use crate::selection::Rules;
use crate::template::Owner;
use contract::{Code, NodeFailure, NodeRecord, Stage, State};
use known::Known;
use queue::{Place, Queue};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use work::{Phase, Work, summary};
use zones::Zones;

/// Milliseconds between two looks at all nodes in flight; in between only those are looked at of which there is news.
const SWEEP: u64 = 200;

/// What a run is to reach.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which nodes.
    pub rules: Rules,
    /// Prefix of the per-node Jobs' names.
    pub prefix: String,
    /// Who owns them: the dispatcher Job, or the Deployment of a watcher.
    pub owner: Owner,
    /// How many at once, and which first.
    pub pace: Pace,
    /// Installation or removal.
    pub removal: bool,
    /// The installation's name, for records.
    pub install: String,
    /// One of these must be served at the end of an installation; empty when nothing is checked.
    pub handlers: Vec<String>,
    /// Milliseconds that a node gets to be Ready after its Job; 0 when not waited for.
    pub ready_wait: u64,
    /// Milliseconds that nodes whose kubelets are silent are waited for once all others are through.
    pub absent_wait: u64,
    /// Set for a watcher: it takes in nodes that need work, for ever.
    pub late: Option<Late>,
}

/// The run.
pub struct Fleet {
    settings: Settings,
    nodes: BTreeMap<String, Box<Known>>,
    works: BTreeMap<String, Box<Work>>,
    /// The record of a node whose turn has not come, and of one that converged.
    blank: Arc<NodeRecord>,
    converged: Arc<NodeRecord>,
    /// What the zones of the nodes at work are able to spare; only looked at when the pace says so.
    zones: Option<Zones>,
    /// Jobs of this run, by node, until their node is through.
    jobs: BTreeMap<String, Job>,
    /// Jobs that must be gone before their node is begun: by node, then name; the identity.
    others: BTreeMap<String, BTreeMap<String, String>>,
    /// Jobs to delete: by identity; name and node.
    stale: BTreeMap<String, (String, String)>,
    /// Jobs whose deletion is under way: by identity; name and node.
    deleting: BTreeMap<String, (String, String)>,
    /// Those of them that are deleted by one request for many.
    together: jobs::Together,
    /// How many complete lists of Jobs were told.
    lists: u64,
    /// Identities of Jobs that went before their Node was heard of, by node: old news of them is not believed.
    gone: BTreeMap<String, BTreeSet<String>>,
    /// News of pods whose Node has not been heard of yet: three watches have no common order.
    early: BTreeMap<String, Pod>,
    /// How nodes ended in an earlier life of this run.
    recorded: BTreeMap<String, (Arc<NodeRecord>, String)>,
    queue: Queue,
    flying: BTreeSet<String>,
    held: BTreeSet<String>,
    absent: BTreeMap<String, bool>,
    /// Since when nothing is in flight and nothing can be begun.
    stalled: Option<u64>,
    touched: BTreeSet<String>,
    swept: Option<u64>,
    pending: Vec<Action>,
    late: late::Candidates,
    order: Order,
    accepting: bool,
    youngest: i64,
    changed: BTreeSet<String>,
    done: usize,
    failed: usize,
}

impl Fleet {
    /// Returns a run that knows of nothing yet and takes in every selected node that it hears of.
    pub fn new(settings: Settings) -> Self {
        let (first, last) = match settings.removal {
            true => (Stage::REMOVE[0], Stage::RemoveArtifacts),
            false => (Stage::INSTALL[0], Stage::Label),
        };
        Fleet {
            nodes: BTreeMap::new(),
            works: BTreeMap::new(),
            blank: Arc::new(NodeRecord::new("", &settings.install, first, State::Pending)),
            converged: Arc::new(NodeRecord::new("", &settings.install, last, State::Done)),
            zones: settings.pace.unavailable.map(|_| Zones::default()),
            settings,
            jobs: BTreeMap::new(),
            others: BTreeMap::new(),
            stale: BTreeMap::new(),
            deleting: BTreeMap::new(),
            together: jobs::Together::default(),
            lists: 0,
            gone: BTreeMap::new(),
            early: BTreeMap::new(),
            recorded: BTreeMap::new(),
            queue: Queue::default(),
            flying: BTreeSet::new(),
            held: BTreeSet::new(),
            absent: BTreeMap::new(),
            stalled: None,
            touched: BTreeSet::new(),
            swept: None,
            pending: Vec::new(),
            late: late::Candidates::default(),
            order: Order::Go,
            accepting: true,
            youngest: 0,
            changed: BTreeSet::new(),
            done: 0,
            failed: 0,
        }
    }

    /// From now on nodes that appear are left to a later run.
    pub fn stop_accepting(&mut self) {
        self.accepting = false;
        self.early.clear();
        self.gone.clear();
        // Nodes that were through and went away while nobody was there to hear it.
        let recorded = std::mem::take(&mut self.recorded);
        let gone = recorded.into_keys().filter(|node| !self.nodes.contains_key(node));
        self.pending.extend(gone.map(Action::Forget));
        // Jobs of this run, made before this dispatcher was started again, for nodes that went away meanwhile.
        let gone: Vec<String> = self.jobs.keys().filter(|node| !self.nodes.contains_key(*node)).cloned().collect();
        for job in gone.iter().filter_map(|node| self.jobs.remove(node)).collect::<Vec<_>>() {
            self.push_aside(job);
        }
    }

    /// Takes in news at the time `now`.
    pub fn on(&mut self, event: Event, now: u64) {
        match event {
            Event::Node(node) => self.on_node(node, now),
            Event::NodeGone { name, uid } => self.on_node_gone(&name, &uid),
            Event::Job(job) => self.on_job(job, true, now),
            Event::Found(job) => self.on_job(job, false, now),
            Event::JobGone { name, uid, node } => self.on_job_gone(&name, &uid, &node, now),
            Event::JobsListed => self.on_jobs_listed(),
            Event::Pod(pod) => self.on_pod(pod),
            Event::PodGone { name, node } => {
                if let Some(work) = self.works.get_mut(&node).filter(|w| w.pod.as_ref().is_some_and(|p| p.name == name))
                {
                    work.pod = None;
                    self.touched.insert(node);
                }
            }
            Event::Created { node, node_uid, uid } => self.on_created(&node, &node_uid, uid, now),
            Event::DeletedEarlier { good } => self.on_deleted_together(good, now),
            Event::Undeletable { name, node, message } => self.on_undeletable(&name, &node, message),
            Event::Refused { node, message, code } => {
                if self.works.get(&node).is_some_and(|work| work.phase.flies()) {
                    self.fail(&node, code, message);
                }
            }
            Event::Lines { node, lines } => self.on_lines(&node, lines),
            Event::Sandboxes { node, left } => self.on_sandboxes(&node, left, now),
            Event::Recorded { record, uid } => {
                let kept = summary(&record, &self.converged);
                self.recorded.insert(record.node, (kept, uid));
            }
            Event::Dispatcher { name, active } => self.late.dispatcher(name, active),
            Event::Order(order) => self.order = order,
            Event::OwnerGone { .. } => {} // whose run this is decides whether it goes on
        }
    }

    /// Returns what to do at the time `now`. Every action is returned once.
    pub fn next(&mut self, now: u64) -> Vec<Action> {
        let mut actions = self.deletions(now);
        let sweep = self.swept.is_none_or(|swept| now >= swept + SWEEP);
        let mut look = std::mem::take(&mut self.touched);
        if sweep {
            self.swept = Some(now);
            look.extend(self.flying.iter().cloned());
            self.call_back(now);
            self.take_in_late(now);
        }
        for node in look {
            self.advance(&node, now, &mut actions);
        }
        self.begin(now, &mut actions);
        actions.append(&mut self.pending);
        actions
    }

    /// Tells whether every node of the run is through and no Job of an earlier run is left.
    pub fn over(&self) -> bool {
        self.flying.is_empty()
            && self.queue.is_empty()
            && self.held.is_empty()
            && self.absent.is_empty()
            && self.deleting.is_empty()
            && self.stale.is_empty()
            && self.pending.is_empty()
    }

    /// Returns the nodes whose record changed since the last call.
    pub fn changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// Returns a node's record, and whether it will not change any more. After [`Fleet::settle`] only how it ended is left.
    pub fn record(&self, node: &str) -> Option<(NodeRecord, bool)> {
        let work = self.works.get(node)?;
        let record = NodeRecord { node: node.to_owned(), ..NodeRecord::clone(&work.record) };
        Some((record, work.phase == Phase::Over))
    }

    /// Returns a known Node; of one that is through little is left.
    pub fn node(&self, name: &str) -> Option<Node> {
        self.nodes.get(name).map(|node| node.unpacked(name))
    }

    /// Returns the identity of a known Node.
    pub fn identity(&self, name: &str) -> Option<&str> {
        self.nodes.get(name).map(|node| &*node.uid)
    }

    /// Returns every known Node.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.nodes.iter().map(|(name, node)| node.unpacked(name))
    }

    /// Tells whether the cluster has as many Nodes as it is said to get.
    pub fn complete(&self) -> bool {
        let expected = self.nodes.values().filter_map(|node| node.expected).max();
        expected.is_some_and(|expected| self.nodes.len() >= expected)
    }

    /// Returns when any Node was last made or relabelled, in seconds since 1970; 0 when none is known.
    pub fn youngest(&self) -> i64 {
        self.youngest
    }

    /// Counts the nodes of the run.
    pub fn count(&self) -> Standing {
        let unbegun = self.queue.len() + self.held.len() + self.absent.values().filter(|begun| !**begun).count();
        Standing {
            selected: self.works.len(),
            begun: self.works.len() - unbegun,
            flying: self.flying.len(),
            done: self.done,
            failed: self.failed,
        }
    }

    /// Returns the nodes that did not converge.
    pub fn failures(&self) -> Vec<NodeFailure> {
        let over = self.works.iter().filter(|(_, w)| w.phase == Phase::Over && w.record.state != State::Done);
        over.map(|(node, work)| NodeFailure {
            node: node.clone(),
            code: work.record.code,
            message: work.record.message.clone(),
        })
        .collect()
    }

    fn on_node(&mut self, node: Node, now: u64) {
        let name = node.name.clone();
        if self.nodes.get(&name).is_some_and(|known| *known.uid != node.uid && known.created > node.created) {
            return; // old news of a predecessor
        }
        self.youngest = self.youngest.max(node.changed);
        let selected = self.settings.rules.left_out(&node).is_none();
        let mut mine = self.accepting;
        match self.works.get_mut(&name) {
            Some(work) if work.uid != node.uid => {
                self.retire(&name); // its successor is a node like any other, and was meant
                mine = true;
            }
            Some(work) if work.phase == Phase::Waiting && !selected => {
                self.retire(&name); // it left the selection before its turn came
                mine = true;
            }
            Some(work) => {
                work.down = if node.ready { None } else { work.down.or(Some(now)) };
                match work.phase {
                    Phase::Absent { begun: false } if !node.unreachable => self.enter(&name, Phase::Waiting),
                    Phase::Absent { begun: true } if !node.unreachable => self.enter(&name, Phase::Running),
                    _ => {}
                }
                self.touched.insert(name.clone());
            }
            None => {}
        }
        let fresh = self.settings.late.is_some();
        if fresh {
            self.late.weigh(&self.settings, &node, now);
        }
        let mut known = Box::new(Known::from(node));
        if !fresh && self.works.get(&name).is_some_and(|work| work.phase == Phase::Over) {
            known.shrink();
        }
        self.tallied(&name, |fleet| drop(fleet.nodes.insert(name.clone(), known)));
        if mine && selected && !fresh && !self.works.contains_key(&name) {
            self.take_in(&name, now);
        }
    }

    fn on_node_gone(&mut self, name: &str, uid: &str) {
        if self.nodes.get(name).is_none_or(|node| *node.uid != *uid) {
            return;
        }
        self.tallied(name, |fleet| drop(fleet.nodes.remove(name)));
        self.late.forget(name);
        if self.works.get(name).is_some_and(|work| work.phase != Phase::Waiting) {
            self.pending.push(Action::Forget(name.to_owned()));
        }
        self.retire(name);
    }

    /// Makes a selected node one of the run.
    fn take_in(&mut self, name: &str, now: u64) {
        let Some(node) = self.nodes.get(name) else { return };
        let (uid, ready, cordoned) = (node.uid.to_string(), node.ready, node.cordoned_by_us);
        let record = self.blank.clone();
        let ticket = self.queue.ticket(self.place(node));
        let work = Work {
            phase: Phase::Over, // until it enters its first
            uid,
            ticket,
            job: None,
            followed: None,
            heard: now,
            buried: Vec::new(),
            asked_at_list: 0,
            stranded: None,
            pod: None,
            down: (!ready).then_some(now),
            sandboxes_since: None,
            record,
        };
        let through = self.recorded.remove(name).filter(|(_, uid)| *uid == work.uid).map(|(record, _)| record);
        self.tallied(name, |fleet| drop(fleet.works.insert(name.to_owned(), Box::new(work))));
        if let Some(record) = through {
            self.take_over(name, record, cordoned);
            return;
        }
        self.enter(name, Phase::Waiting);
        if let Some(pod) = self.early.remove(name) {
            self.on_pod(pod);
        }
        if let Some(job) = self.jobs.get(name).cloned() {
            self.on_job(job, false, now);
        }
    }

    /// Takes over how a node ended before this dispatcher was started again.
    fn take_over(&mut self, name: &str, record: Arc<NodeRecord>, cordoned: bool) {
        match record.state {
            State::Done => self.done += 1,
            _ => self.failed += 1,
        }
        if let Some(work) = self.works.get_mut(name) {
            work.record = record;
        }
        if let Some(node) = self.nodes.get_mut(name) {
            node.shrink();
        }
        if cordoned {
            self.pending.push(Action::Uncordon(name.to_owned()));
        }
    }

    /// Takes a node out of the run, and its Job out of the cluster.
    fn retire(&mut self, name: &str) {
        let Some(work) = self.works.get(name) else { return };
        match (&work.phase, work.record.state) {
            (Phase::Over, State::Done) => self.done = self.done.saturating_sub(1),
            (Phase::Over, State::Failed) => self.failed = self.failed.saturating_sub(1),
            _ => {}
        }
        self.enter(name, Phase::Over);
        self.tallied(name, |fleet| drop(fleet.works.remove(name)));
        self.changed.remove(name);
        if let Some(job) = self.jobs.remove(name) {
            self.push_aside(job);
        }
    }

    fn place(&self, node: &Known) -> Place {
        let pace = &self.settings.pace;
        Place {
            control_plane: pace.control_plane_last && node.control_plane,
            zone: if pace.unavailable.is_some() { node.zone.to_string() } else { String::new() },
        }
    }

    /// Moves a node from one phase to another.
    fn enter(&mut self, name: &str, phase: Phase) {
        self.tallied(name, |fleet| fleet.move_to(name, phase));
    }

    fn move_to(&mut self, name: &str, phase: Phase) {
        let Some(work) = self.works.get_mut(name) else { return };
        match work.phase {
            Phase::Waiting => self.queue.remove(&work.ticket),
            Phase::Held { .. } => drop(self.held.remove(name)),
            Phase::Absent { .. } => drop(self.absent.remove(name)),
            _ if work.phase.flies() && !phase.flies() => drop(self.flying.remove(name)),
            _ => {}
        }
        match phase {
            Phase::Waiting => self.queue.insert(work.ticket.clone(), name.to_owned()),
            Phase::Held { .. } => drop(self.held.insert(name.to_owned())),
            Phase::Absent { begun } => drop(self.absent.insert(name.to_owned(), begun)),
            _ if phase.flies() => drop(self.flying.insert(name.to_owned())),
            _ => {}
        }
        work.phase = phase;
        self.stalled = None;
        self.touched.insert(name.to_owned());
    }

    fn on_pod(&mut self, pod: Pod) {
        let Some(work) = self.works.get_mut(&pod.node) else {
            let known = self.early.get(&pod.node).is_some_and(|newest| newest.created > pod.created);
            if !known && self.accepting {
                self.early.insert(pod.node.clone(), pod);
            }
            return;
        };
        if work.phase == Phase::Over {
            return;
        }
        if work.pod.as_ref().is_some_and(|newest| newest.name != pod.name && newest.created > pod.created) {
            return;
        }
        let node = pod.node.clone();
        work.pod = Some(Box::new(pod));
        self.hear(&node);
    }

    /// Brings a node's record up to date with the pod of its own Job.
    fn hear(&mut self, node: &str) {
        let Some(work) = self.works.get_mut(node) else { return };
        let Some(pod) = work.pod.as_ref().filter(|pod| work.job.as_ref() == Some(&pod.job)) else { return };
        let mut record = NodeRecord::clone(&work.record);
        observe::absorb(&mut record, &pod.status);
        if record.state == State::Done {
            record.state = State::Running; // a stage is done; whether the node is, its Job tells
        }
        if record != *work.record {
            work.record = Arc::new(record);
            self.changed.insert(node.to_owned());
        }
        self.touched.insert(node.to_owned());
    }

    fn fail(&mut self, node: &str, code: Code, message: String) {
        self.end(node, State::Failed, Some(code), message);
    }

    fn end(&mut self, node: &str, state: State, code: Option<Code>, message: String) {
        if self.works.get(node).is_none_or(|work| work.phase == Phase::Over) {
            return;
        }
        self.enter(node, Phase::Over);
        let Some(work) = self.works.get_mut(node) else { return };
        match state {
            State::Done => self.done += 1,
            State::Failed => self.failed += 1,
            State::Pending | State::Running => {}
        }
        (work.pod, work.followed) = (None, None);
        let record = work.record();
        (record.state, record.code, record.message) = (state, code, message);
        if self.jobs.get(node).map(|job| &job.uid) == work.job.as_ref() {
            self.jobs.remove(node);
        }
        self.changed.insert(node.to_owned());
        let drained = self.settings.pace.sandboxes == Sandboxes::Drain && work.sandboxes_since.is_some();
        if drained || self.nodes.get(node).is_some_and(|node| node.cordoned_by_us) {
            self.pending.push(Action::Uncordon(node.to_owned()));
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
