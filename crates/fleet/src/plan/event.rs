//! What the plan hears, and what it asks for.

use crate::node::Node;
use crate::observe::{Job, PodStatus};
use contract::{Code, NodeRecord};

/// A pod of a per-node Job.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// The node that it is bound to.
    pub node: String,
    /// The identity of its Job; empty when it does not say.
    pub job: String,
    /// Its creation, RFC 3339: the newest pod of a Job counts.
    pub created: String,
    /// What its containers do.
    pub status: PodStatus,
}

/// What the administrator wants of a run that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    #[default]
    Go,
    /// Begin no further node until told otherwise; those in flight are finished.
    Pause,
    /// Begin no further node; those in flight are finished.
    Abort,
}

/// News from the cluster.
#[derive(Clone, Debug)]
pub enum Event {
    /// A Node is there, or has changed.
    Node(Node),
    /// A Node is gone.
    NodeGone {
        /// Its name.
        name: String,
        /// Its identity.
        uid: String,
    },
    /// A per-node Job is there, or has changed.
    Job(Job),
    /// A per-node Job was there when it was asked for; the watch may know better by now.
    Found(Job),
    /// A per-node Job is gone.
    JobGone {
        /// Its name.
        name: String,
        /// Its identity.
        uid: String,
        /// Its node.
        node: String,
    },
    /// A complete list of the Jobs has been told: what is not known by now was not there.
    JobsListed,
    /// A pod of a per-node Job is there, or has changed.
    Pod(Pod),
    /// A pod of a per-node Job is gone.
    PodGone {
        /// Its name.
        name: String,
        /// Its node.
        node: String,
    },
    /// The Job of a node was created.
    Created {
        /// The node.
        node: String,
        /// The identity of the Node that it was made for.
        node_uid: String,
        /// The Job's identity.
        uid: String,
    },
    /// What [`Action::DeleteEarlier`] asked for was done, or refused.
    DeletedEarlier {
        /// Whether it was done.
        good: bool,
    },
    /// A Job of an earlier run could not be deleted, for good.
    Undeletable {
        /// Its name.
        name: String,
        /// Its node.
        node: String,
        /// Why.
        message: String,
    },
    /// What a node needs was refused, for good.
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
    /// So many Kata sandboxes run on a node.
    Sandboxes {
        /// The node.
        node: String,
        /// How many.
        left: usize,
    },
    /// How a node ended in an earlier life of this very run.
    Recorded {
        /// What was written.
        record: NodeRecord,
        /// The Node's identity.
        uid: String,
    },
    /// A dispatcher Job of the same release is at work, or not any more; a watcher makes way for it.
    Dispatcher {
        /// Its name.
        name: String,
        /// Whether it is at work.
        active: bool,
    },
    /// What the administrator wants.
    Order(Order),
    /// A dispatcher Job of this run's name is gone.
    OwnerGone {
        /// Its identity.
        uid: String,
    },
}

/// What to do in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create the Job of this node, answered by [`Event::Created`] or [`Event::Refused`].
    Create(String),
    /// Look whether a Job is there, answered by [`Event::Found`] or [`Event::JobGone`].
    Find {
        /// Its node.
        node: String,
        /// Its name.
        name: String,
        /// Its identity.
        uid: String,
    },
    /// Delete a Job that is in the way, answered by [`Event::JobGone`] or [`Event::Undeletable`].
    Delete {
        /// Its node.
        node: String,
        /// Its name.
        name: String,
        /// Its identity, a precondition.
        uid: String,
    },
    /// Delete the finished Jobs of earlier runs, about so many, answered by [`Event::DeletedEarlier`].
    DeleteEarlier(usize),
    /// Read the last lines of a failed container, answered by [`Event::Lines`].
    ReadLines {
        /// The node.
        node: String,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// Count the Kata sandboxes on a node, answered by [`Event::Sandboxes`].
    CountSandboxes(String),
    /// Cordon a node and evict its Kata sandboxes, answered by [`Event::Sandboxes`].
    Drain(String),
    /// Uncordon a node that was drained.
    Uncordon(String),
    /// Delete the record of a node that is not there any more.
    Forget(String),
}
