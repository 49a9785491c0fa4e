//! What an operation tells while it runs. Nothing is printed here; whoever listens draws.

use crate::object::ObjectId;
use crate::record::{HookEvent, Status};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A revision was written or changed its status.
    Stored {
        /// The release.
        name: String,
        /// The revision.
        revision: u32,
        /// Its status now.
        status: Status,
    },
    /// An operation whose owner is gone was taken over.
    TakenOver {
        /// The revision that was left behind.
        revision: u32,
        /// The status in which it was left.
        status: Status,
        /// Who had held it, when known.
        holder: Option<String>,
    },
    /// The record approaches the size that the cluster accepts.
    RecordLarge {
        /// Encoded size in bytes.
        size: usize,
        /// Limit in bytes.
        limit: usize,
        /// The largest parts with their sizes.
        parts: String,
    },
    /// An object was applied.
    Applied {
        /// The object.
        object: ObjectId,
        /// What that changed.
        change: Change,
    },
    /// An object was deleted (it may still be on its way out).
    Deleted {
        /// The object.
        object: ObjectId,
    },
    /// An object was left in place.
    Kept {
        /// The object.
        object: ObjectId,
        /// Why.
        why: String,
    },
    /// A hook was created and is waited for.
    HookStarted {
        /// The event that it belongs to.
        event: HookEvent,
        /// Its object.
        object: ObjectId,
    },
    /// A pod of a hook changed.
    HookPod {
        /// The hook's object.
        object: ObjectId,
        /// The pod.
        pod: String,
        /// Its phase and what it waits for, in a few words.
        state: String,
    },
    /// Output of a hook, because its policy or its failure asks for it.
    HookLog {
        /// The hook's object.
        object: ObjectId,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// The text.
        text: String,
    },
    /// A hook came to an end.
    HookFinished {
        /// The event that it belongs to.
        event: HookEvent,
        /// Its object.
        object: ObjectId,
        /// Did it succeed?
        succeeded: bool,
        /// How long it took.
        took: Duration,
    },
    /// An object is waited for; sent again whenever the reason changes.
    Waiting {
        /// The object.
        object: ObjectId,
        /// Why it is not ready.
        reason: String,
    },
    /// An object that was waited for is ready.
    Ready {
        /// The object.
        object: ObjectId,
        /// In its own words.
        message: String,
    },
    /// The API server does not answer; the request is tried again.
    ApiLost {
        /// What the last attempt said.
        error: String,
        /// For how long it has been away.
        since: Duration,
    },
    /// The API server answers again.
    ApiBack {
        /// For how long it had been away.
        away: Duration,
    },
    /// An upgrade came to a bad end; what undoes it starts only now.
    UpgradeFailed {
        /// The release.
        name: String,
        /// What the caller will be told.
        error: String,
    },
    /// Something to know that stops nothing.
    Warning {
        /// The text.
        text: String,
    },
}

/// What applying an object changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It did not exist.
    Created,
    /// It existed and is different now.
    Configured,
    /// It was like that already.
    Unchanged,
    /// It had to be deleted and created again.
    Recreated,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Created => "created",
            Change::Configured => "configured",
            Change::Unchanged => "unchanged",
            Change::Recreated => "recreated",
        })
    }
}

/// Where events go. Cheap to clone; the default drops them.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event) + Send + Sync>);

impl Progress {
    /// Sends events to a function, which must not block.
    pub fn new(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Progress(Arc::new(listener))
    }

    /// Sends one event.
    pub fn send(&self, event: Event) {
        (self.0)(event);
    }

    /// Sends a warning.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.send(Event::Warning { text: text.into() });
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new(|_| {})
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
