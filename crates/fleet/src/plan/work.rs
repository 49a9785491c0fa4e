//! One node of the run.

use super::event::Pod;
use super::queue::Ticket;
use crate::observe::Outcome;
use contract::{NodeRecord, State};
use std::sync::Arc;

/// How far a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its turn has not come.
    Waiting,
    /// Its turn came while sandboxes ran on it; it is asked again at this time.
    Held { until: u64 },
    /// It is being asked how many sandboxes run on it.
    Asking,
    /// Its sandboxes are being evicted; they were last asked to go at this time.
    Draining { asked: u64 },
    /// Something must go first: a Job of an earlier run, or a pod whose Job was deleted.
    Starting { since: u64 },
    /// Its Job is being created.
    Creating,
    /// Its Job is at work.
    Running,
    /// Its Job has ended; the last words of its pod are waited for, then perhaps read.
    Ended { since: u64, outcome: Outcome, reading: bool },
    /// Its Job ended well; the cluster is to see that.
    Verifying { since: u64 },
    /// Its kubelet is silent, since before or after its Job was made.
    Absent { begun: bool },
    /// Through.
    Over,
}

impl Phase {
    /// Tells whether the node has a place among those in flight.
    pub(super) fn flies(&self) -> bool {
        !matches!(self, Phase::Waiting | Phase::Held { .. } | Phase::Absent { .. } | Phase::Over)
    }

    /// Tells whether its Job has been asked for.
    pub(super) fn begun(&self) -> bool {
        matches!(
            self,
            Phase::Creating
                | Phase::Running
                | Phase::Ended { .. }
                | Phase::Verifying { .. }
                | Phase::Absent { begun: true }
        )
    }
}

pub(super) struct Work {
    pub(super) phase: Phase,
    /// The Node's identity.
    pub(super) uid: String,
    /// Its place while it waits.
    pub(super) ticket: Ticket,
    /// The identity of its Job, once known.
    pub(super) job: Option<String>,
    /// The identity of its Job, once the watch has told of it; an answer may be older than a list that lacks it.
    pub(super) followed: Option<String>,
    /// When there was last news of its Job, in milliseconds.
    pub(super) heard: u64,
    /// Identities of its Jobs that are known to be gone: old news of them is not believed.
    pub(super) buried: Vec<String>,
    /// How many lists of Jobs had been told when its Job was asked for.
    pub(super) asked_at_list: u64,
    /// Since when its pod has been without a sandbox.
    pub(super) stranded: Option<u64>,
    /// Its newest pod.
    pub(super) pod: Option<Box<Pod>>,
    /// Since when its Node has not been Ready.
    pub(super) down: Option<u64>,
    /// Since when sandboxes are waited for.
    pub(super) sandboxes_since: Option<u64>,
    /// What is said of it, without its name. Nodes that wait, and those that are through, share theirs.
    pub(super) record: Arc<NodeRecord>,
}

impl Work {
    /// Returns its own record to write in.
    pub(super) fn record(&mut self) -> &mut NodeRecord {
        Arc::make_mut(&mut self.record)
    }
}

/// Returns what a run keeps of a record that has been written: how the node ended, and why.
pub(super) fn summary(record: &NodeRecord, converged: &Arc<NodeRecord>) -> Arc<NodeRecord> {
    if record.state == State::Done {
        return converged.clone();
    }
    let (code, message) = (record.code, record.message.clone());
    let stage = record.stage;
    Arc::new(NodeRecord { code, message, ..NodeRecord::new("", &record.install, stage, record.state) })
}
