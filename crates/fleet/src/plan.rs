//! The run as plain data: what is known of every node, and what to do next.
//!
//! Nothing here waits, reads a clock or talks to a cluster. Events come in through [`Fleet::on`], what should be done
//! comes out of [`Fleet::next`]; time is passed in as milliseconds since the run began.

use crate::job_name::job_name;
use crate::node::Node;
use crate::observe::{self, Job, Outcome, PodStatus};
use crate::pace::{Pace, Standing};
use crate::selection::Rules;
use crate::template::Owner;
use contract::{Code, NodeFailure, NodeRecord, Stage, State};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Stale Jobs that are deleted at the same time.
const DELETIONS: usize = 16;
/// Milliseconds to wait for a pod's last words after its Job has ended: the two come over different watches.
const LAST_WORDS: u64 = 3_000;
/// Milliseconds that a kubelet gets to hear of new handlers.
const HANDLERS_WAIT: u64 = 120_000;

/// What a run is to reach.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which nodes.
    pub rules: Rules,
    /// Prefix of the per-node Jobs' names.
    pub prefix: String,
    /// The dispatcher Job that owns them.
    pub owner: Owner,
    /// How many at once.
    pub pace: Pace,
    /// Installation or removal.
    pub removal: bool,
    /// The installation's name, for records.
    pub install: String,
    /// One of these must be served at the end of an installation; empty when nothing is checked.
    pub handlers: Vec<String>,
    /// Milliseconds that a node gets to be Ready after its Job; 0 when not waited for.
    pub ready_wait: u64,
}

/// News from the cluster.
#[derive(Clone, Debug)]
pub enum Event {
    /// A Node is there, or has changed.
    Node(Node),
    /// A Node is gone.
    NodeGone(String),
    /// A Job of the owner label is there, or has changed.
    Job(Job),
    /// A Job of the owner label is gone.
    JobGone(String),
    /// A pod of a per-node Job is there, or has changed.
    Pod {
        /// Its node.
        node: String,
        /// Its name.
        name: String,
        /// Its creation, RFC 3339: the newest pod of a Job counts.
        created: String,
        /// What its containers do.
        status: PodStatus,
    },
    /// A Job of an earlier run could not be deleted, for good.
    Undeletable {
        /// Its name.
        name: String,
        /// Why.
        message: String,
    },
    /// A Job could not be created, for good.
    Refused {
        /// The node.
        node: String,
        /// Why.
        message: String,
        /// The catalogue's entry.
        code: Code,
    },
    /// The last lines of a failed container.
    Lines {
        /// The node.
        node: String,
        /// The lines.
        lines: Vec<String>,
    },
}

/// What to do in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create the Job of this node.
    Create(String),
    /// Delete a Job of an earlier run.
    Delete {
        /// Its name.
        name: String,
        /// Its identity, a precondition.
        uid: String,
    },
    /// Read the last lines of a failed container, answered by [`Event::Lines`].
    ReadLines {
        /// The node.
        node: String,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    /// A Job of an earlier run must go first, or creation is under way.
    Starting,
    Running,
    Ended {
        since: u64,
        outcome: Outcome,
        reading: bool,
    },
    Verifying {
        since: u64,
    },
    Over,
}

struct Work {
    phase: Phase,
    uid: String,
    pod: Option<(String, String, PodStatus)>,
    record: NodeRecord,
}

/// The run.
pub struct Fleet {
    settings: Settings,
    nodes: BTreeMap<String, Node>,
    jobs: BTreeMap<String, Job>,
    stale: BTreeMap<String, String>,
    deleting: BTreeSet<String>,
    works: BTreeMap<String, Work>,
    /// News of pods whose Node has not been heard of yet: three watches have no common order.
    early: BTreeMap<String, (String, String, PodStatus)>,
    youngest: i64,
    waiting: VecDeque<String>,
    flying: BTreeSet<String>,
    accepting: bool,
    changed: BTreeSet<String>,
    done: usize,
    failed: usize,
}

impl Fleet {
    /// Returns a run that knows of nothing yet and takes in every selected node that it hears of.
    pub fn new(settings: Settings) -> Self {
        Fleet {
            settings,
            nodes: BTreeMap::new(),
            jobs: BTreeMap::new(),
            stale: BTreeMap::new(),
            deleting: BTreeSet::new(),
            works: BTreeMap::new(),
            early: BTreeMap::new(),
            youngest: 0,
            waiting: VecDeque::new(),
            flying: BTreeSet::new(),
            accepting: true,
            changed: BTreeSet::new(),
            done: 0,
            failed: 0,
        }
    }

    /// From now on nodes that appear are left to a later run.
    pub fn stop_accepting(&mut self) {
        self.accepting = false;
        self.early.clear();
    }

    /// Takes in news at the time `now`.
    pub fn on(&mut self, event: Event, now: u64) {
        match event {
            Event::Node(node) => self.on_node(node, now),
            Event::NodeGone(name) => {
                self.nodes.remove(&name);
                self.lost(&name, "the node was removed from the cluster");
            }
            Event::Job(job) => {
                let node = job.node.clone();
                let ours = job.owner_uids.contains(&self.settings.owner.uid);
                if ours
                    && !job.deleting
                    && let Some(work) = self.works.get_mut(&node)
                {
                    if matches!(work.phase, Phase::Waiting | Phase::Starting) {
                        work.phase = Phase::Running; // created by us just now, or adopted
                        self.flying.insert(node.clone());
                    }
                    if work.phase == Phase::Running && job.outcome != Outcome::Running {
                        work.phase = Phase::Ended { since: now, outcome: job.outcome.clone(), reading: false };
                    }
                }
                if !ours {
                    if !job.deleting && !self.deleting.contains(&job.name) {
                        self.stale.insert(job.name.clone(), job.uid.clone());
                    }
                    // Its name is taken by an earlier run's Job, which was not known when this one was created.
                    if let Some(work) = self.works.get_mut(&node).filter(|work| work.phase == Phase::Running) {
                        work.phase = Phase::Starting;
                    }
                }
                self.jobs.insert(job.name.clone(), job);
            }
            Event::JobGone(name) => {
                self.deleting.remove(&name);
                self.stale.remove(&name);
                if let Some(job) = self.jobs.remove(&name) {
                    let node = job.node.clone();
                    let running = self.works.get(&node).is_some_and(|work| work.phase == Phase::Running);
                    if running && job.owner_uids.contains(&self.settings.owner.uid) {
                        self.fail(&node, Code::NODE_JOB_LOST, format!("its Job {name} was deleted by somebody else"));
                    }
                }
            }
            Event::Pod { node, name, created, status } => self.on_pod(&node, name, created, status),
            Event::Undeletable { name, message } => {
                self.deleting.remove(&name);
                self.stale.remove(&name);
                if let Some(job) = self.jobs.get(&name) {
                    let node = job.node.clone();
                    self.fail(&node, Code::DISPATCHER_FAILED, message);
                }
            }
            Event::Refused { node, message, code } => self.fail(&node, code, message),
            Event::Lines { node, lines } => {
                if let Some(work) = self.works.get_mut(&node) {
                    work.record.last_lines = lines;
                    if let Phase::Ended { outcome: Outcome::Failed(reason), .. } = &work.phase {
                        let reason = reason.clone();
                        self.give_up(&node, &reason);
                    }
                }
            }
        }
    }

    /// Returns what to do at the time `now`. Every action is returned once.
    pub fn next(&mut self, now: u64) -> Vec<Action> {
        let mut actions = self.deletions();
        let flying: Vec<String> = self.flying.iter().cloned().collect();
        for node in flying {
            self.advance(&node, now, &mut actions);
        }
        if self.settings.pace.halted(self.count()) {
            self.hold_back();
        }
        while self.settings.pace.room(self.count()) > 0
            && let Some(node) = self.waiting.pop_front()
        {
            let Some(work) = self.works.get_mut(&node) else { continue };
            if work.phase != Phase::Waiting {
                continue;
            }
            work.phase = Phase::Starting;
            self.flying.insert(node.clone());
            self.changed.insert(node.clone());
            self.start(&node, &mut actions);
        }
        actions
    }

    /// Tells whether every node of the run is through and no Job of an earlier run is left.
    pub fn over(&self) -> bool {
        self.flying.is_empty() && self.waiting.is_empty() && self.deleting.is_empty() && self.stale.is_empty()
    }

    /// Returns the nodes whose record changed since the last call.
    pub fn changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// Returns a node's record, and whether it will not change any more.
    pub fn record(&self, node: &str) -> Option<(&NodeRecord, bool)> {
        self.works.get(node).map(|work| (&work.record, work.phase == Phase::Over))
    }

    /// Returns a known Node.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Returns every known Node.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Returns when any Node was last made or relabelled, in seconds since 1970; 0 when none is known.
    pub fn youngest(&self) -> i64 {
        self.youngest
    }

    /// Counts the nodes of the run.
    pub fn count(&self) -> Standing {
        Standing { selected: self.works.len(), flying: self.flying.len(), done: self.done, failed: self.failed }
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
        self.youngest = self.youngest.max(node.changed);
        let selected = self.settings.rules.left_out(&node).is_none();
        match self.works.get(&name) {
            Some(work) if work.uid != node.uid => self.lost(&name, "the node was replaced by another of its name"),
            Some(work) if work.phase == Phase::Waiting && !selected => {
                self.works.remove(&name); // it left the selection before its turn came
            }
            _ => {}
        }
        let uid = node.uid.clone();
        self.nodes.insert(name.clone(), node);
        if self.works.contains_key(&name) || !selected || !self.accepting {
            return;
        }
        let first = if self.settings.removal { Stage::REMOVE[0] } else { Stage::INSTALL[0] };
        let record = NodeRecord::new(&name, &self.settings.install, first, State::Pending);
        self.works.insert(name.clone(), Work { phase: Phase::Waiting, uid, pod: None, record });
        self.waiting.push_back(name.clone());
        if let Some((pod, created, status)) = self.early.remove(&name) {
            self.on_pod(&name, pod, created, status);
        }
        if let Some(job) = self.jobs.get(&job_name(&self.settings.prefix, &name)).cloned() {
            self.on(Event::Job(job), now);
        }
    }

    fn on_pod(&mut self, node: &str, name: String, created: String, status: PodStatus) {
        let Some(work) = self.works.get_mut(node) else {
            let known = self.early.get(node).is_some_and(|(_, newest, _)| *newest > created);
            if !known && self.accepting {
                self.early.insert(node.to_owned(), (name, created, status));
            }
            return;
        };
        if work.phase == Phase::Over {
            return;
        }
        if work.pod.as_ref().is_some_and(|(newest, known, _)| *known != name && *newest > created) {
            return;
        }
        let before = work.record.clone();
        observe::absorb(&mut work.record, &status);
        work.pod = Some((created, name, status));
        if work.record.state == State::Done {
            work.record.state = State::Running; // a stage is done; whether the node is, its Job tells
        }
        if before != work.record {
            self.changed.insert(node.to_owned());
        }
    }

    fn lost(&mut self, node: &str, why: &str) {
        match self.works.get(node).map(|work| &work.phase) {
            Some(Phase::Waiting) => {
                self.works.remove(node);
            }
            Some(Phase::Over) | None => {}
            Some(_) => self.fail(node, Code::NODE_JOB_LOST, why.to_owned()),
        }
    }

    fn deletions(&mut self) -> Vec<Action> {
        let room = DELETIONS.saturating_sub(self.deleting.len());
        let mut next = Vec::new();
        while next.len() < room
            && let Some((name, uid)) = self.stale.pop_first()
        {
            self.deleting.insert(name.clone());
            next.push(Action::Delete { name, uid });
        }
        next
    }

    fn start(&mut self, node: &str, actions: &mut Vec<Action>) {
        // A Job of an earlier run has the same name: its deletion is under way and `advance` creates the new one.
        if !self.jobs.contains_key(&job_name(&self.settings.prefix, node)) {
            if let Some(work) = self.works.get_mut(node) {
                work.phase = Phase::Running;
                work.record.state = State::Running;
            }
            actions.push(Action::Create(node.to_owned()));
        }
    }

    fn advance(&mut self, node: &str, now: u64, actions: &mut Vec<Action>) {
        let Some(work) = self.works.get_mut(node) else {
            self.flying.remove(node);
            return;
        };
        match work.phase.clone() {
            Phase::Starting => self.start(node, actions),
            Phase::Ended { since, outcome, reading } => {
                let last_words = work.pod.as_ref().is_some_and(|(_, _, status)| ended(status));
                if !last_words && now < since + LAST_WORDS {
                    return;
                }
                match outcome {
                    Outcome::Failed(reason) if !reading => {
                        let failed = work.pod.as_ref().and_then(|(_, pod, status)| {
                            observe::failed_container(status).map(|c| (pod.clone(), c.name.clone()))
                        });
                        match failed {
                            Some((pod, container)) => {
                                work.phase = Phase::Ended { since, outcome: Outcome::Failed(reason), reading: true };
                                actions.push(Action::ReadLines { node: node.to_owned(), pod, container });
                            }
                            None => self.give_up(node, &reason),
                        }
                    }
                    Outcome::Failed(_) | Outcome::Running => {}
                    Outcome::Complete if self.settings.removal => self.converged(node),
                    Outcome::Complete => {
                        work.phase = Phase::Verifying { since: now };
                        self.verify(node, now, now);
                    }
                }
            }
            Phase::Verifying { since } => self.verify(node, since, now),
            Phase::Waiting | Phase::Running | Phase::Over => {}
        }
    }

    fn verify(&mut self, name: &str, since: u64, now: u64) {
        let (Some(work), Some(node)) = (self.works.get(name), self.nodes.get(name)) else { return };
        if !node.ready && self.settings.ready_wait > 0 {
            if now > since + self.settings.ready_wait {
                self.fail(name, Code::NODE_NOT_READY, "the node did not become Ready after its installation".into());
            }
            return;
        }
        if let (Some(served), false) = (&node.handlers, self.settings.handlers.is_empty()) {
            let missing: Vec<&String> = match work.record.handlers.as_slice() {
                [] if self.settings.handlers.iter().any(|handler| served.contains(handler)) => Vec::new(),
                [] => self.settings.handlers.iter().collect(),
                proven => proven.iter().filter(|handler| !served.contains(handler)).collect(),
            };
            if !missing.is_empty() {
                if now > since + HANDLERS_WAIT {
                    let list = missing.into_iter().cloned().collect::<Vec<_>>().join(", ");
                    self.fail(
                        name,
                        Code::HANDLERS_NOT_SEEN,
                        format!("the kubelet does not report the handlers {list}"),
                    );
                }
                return;
            }
        }
        self.converged(name);
    }

    fn converged(&mut self, node: &str) {
        let last = if self.settings.removal { Stage::RemoveArtifacts } else { Stage::Label };
        self.end(node, State::Done, None, String::new());
        if let Some(work) = self.works.get_mut(node) {
            work.record.stage = last;
        }
    }

    /// Ends a node whose Job failed: in the installer's words when it left any, otherwise in the Job's.
    fn give_up(&mut self, node: &str, reason: &str) {
        let Some(work) = self.works.get(node) else { return };
        match (work.record.state, work.record.code) {
            (State::Failed, Some(code)) => self.fail(node, code, work.record.message.clone()),
            (State::Failed, None) => {
                let message = format!("{} ({reason})", work.record.message);
                self.fail(node, Code::NODE_JOB_FAILED, message);
            }
            (_, code) => {
                let waiting =
                    if work.record.message.is_empty() { String::new() } else { format!(" ({})", work.record.message) };
                let message = format!("its Job failed: {reason}{waiting}");
                self.fail(node, code.unwrap_or(Code::NODE_JOB_FAILED), message);
            }
        }
    }

    fn fail(&mut self, node: &str, code: Code, message: String) {
        self.end(node, State::Failed, Some(code), message);
    }

    /// Gives up the nodes that were not begun: the pace says that no more should be.
    fn hold_back(&mut self) {
        while let Some(node) = self.waiting.pop_front() {
            if self.works.get(&node).is_some_and(|work| work.phase == Phase::Waiting) {
                let why = "not begun: the rollout halted after the failures of other nodes";
                self.end(&node, State::Pending, None, why.to_owned());
            }
        }
    }

    fn end(&mut self, node: &str, state: State, code: Option<Code>, message: String) {
        self.flying.remove(node);
        let Some(work) = self.works.get_mut(node) else { return };
        if work.phase == Phase::Over {
            return;
        }
        match state {
            State::Done => self.done += 1,
            State::Failed => self.failed += 1,
            State::Pending | State::Running => {}
        }
        work.phase = Phase::Over;
        work.pod = None;
        work.record.state = state;
        work.record.code = code;
        work.record.message = message;
        self.changed.insert(node.to_owned());
    }
}

fn ended(status: &PodStatus) -> bool {
    matches!(status.phase.as_str(), "Succeeded" | "Failed")
}

#[cfg(test)]
mod tests;
