//! A watcher's nodes: those that are new, were replaced or have drifted, each when it has been so for a while.

use super::work::{Phase, summary};
use super::{Fleet, Settings};
use crate::node::Node;
use std::collections::{BTreeMap, BTreeSet};

/// First pause after a failure, in milliseconds; it doubles with each further one.
const RETRY: u64 = 300_000;
/// Longest pause after a failure, in milliseconds.
const RETRY_MOST: u64 = 3_600_000;

/// How a watcher takes nodes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// Milliseconds for which a node must have needed work. A kubelet that registers again drops labels for a moment.
    pub settle: u64,
}

/// Nodes that need work.
#[derive(Default)]
pub(super) struct Candidates {
    /// Since when.
    since: BTreeMap<String, u64>,
    /// How often each failed, and when it may be tried again.
    failed: BTreeMap<String, (u32, u64)>,
    /// Dispatcher Jobs of the release that are at work.
    dispatchers: BTreeSet<String>,
}

impl Candidates {
    pub(super) fn dispatcher(&mut self, name: String, active: bool) {
        if active {
            self.dispatchers.insert(name);
        } else {
            self.dispatchers.remove(&name);
        }
    }

    /// Tells whether a dispatcher is at work: then everything is left to it.
    pub(super) fn makes_way(&self) -> bool {
        !self.dispatchers.is_empty()
    }

    pub(super) fn forget(&mut self, node: &str) {
        self.since.remove(node);
        self.failed.remove(node);
    }

    /// Weighs whether a Node needs work, and since when.
    pub(super) fn weigh(&mut self, settings: &Settings, node: &Node, now: u64) {
        let wanted = settings.rules.left_out(node).is_none() && node.ready && lacks(settings, node);
        if wanted {
            self.since.entry(node.name.clone()).or_insert(now);
        } else {
            self.since.remove(&node.name);
        }
    }
}

/// Tells whether a Node lacks the installation: its mark, or a handler that its kubelet knows of.
fn lacks(settings: &Settings, node: &Node) -> bool {
    let mark = contract::label::install_mark(&settings.install);
    let marked = node.labels.get(&mark).is_some_and(|value| value == "true");
    let drifted = node
        .handlers
        .as_ref()
        .is_some_and(|served| !settings.handlers.is_empty() && !settings.handlers.iter().any(|h| served.contains(h)));
    !marked || drifted
}

impl Fleet {
    /// Takes in what has needed work for long enough.
    pub(super) fn take_in_late(&mut self, now: u64) {
        let Some(late) = self.settings.late else { return };
        if self.late.makes_way() {
            // Whatever the dispatcher leaves has to need work anew for the whole while.
            self.late.since.values_mut().for_each(|since| *since = now);
            return;
        }
        let due = |(node, since): &(&String, &u64)| {
            let rested = self.late.failed.get(*node).is_none_or(|(_, not_before)| now >= *not_before);
            let idle = self.works.get(*node).is_none_or(|work| work.phase == Phase::Over);
            now >= **since + late.settle && rested && idle
        };
        let due: Vec<String> = self.late.since.iter().filter(due).map(|(node, _)| node.clone()).collect();
        for node in due {
            self.retire(&node);
            self.take_in(&node, now);
        }
    }

    /// The last record of a node has been handed on. A run keeps how the node ended; a watcher forgets it, and looks at it
    /// again sooner or later as that was.
    pub fn settle(&mut self, name: &str, now: u64) {
        let Some(work) = self.works.get_mut(name).filter(|work| work.phase == Phase::Over) else { return };
        if self.settings.late.is_none() {
            work.record = summary(&work.record, &self.converged);
            if let Some(node) = self.nodes.get_mut(name) {
                node.shrink();
            }
            return;
        }
        if work.record.state == contract::State::Done {
            self.late.failed.remove(name);
        } else {
            let times = self.late.failed.get(name).map_or(0, |(times, _)| *times);
            let pause = RETRY.saturating_mul(1 << times.min(10)).min(RETRY_MOST);
            self.late.failed.insert(name.to_owned(), (times + 1, now + pause));
        }
        if let Some(since) = self.late.since.get_mut(name) {
            *since = now; // the news of its success may still be on its way
        }
        self.retire(name);
    }
}
