//! What ends a verb: a catalogue code, words, and the exit status.

use contract::Code;
use std::fmt;

/// Exit statuses of the verbs. Zero is success.
pub(crate) mod exit {
    /// Something went wrong.
    pub(crate) const ERROR: u8 = 1;
    /// `plan`: something would change.
    pub(crate) const CHANGES: u8 = 2;
    /// A check before anything is touched forbids to go on.
    pub(crate) const BLOCKED: u8 = 3;
    /// Some nodes are done and some are not.
    pub(crate) const PARTLY: u8 = 4;
    /// Time is up and the cluster is still at work.
    pub(crate) const TIMED_OUT: u8 = 5;
    /// Interrupted; the cluster is left so that the next call goes on.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// A failed verb.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Option<Code>,
    pub(crate) message: String,
    pub(crate) exit: u8,
}

impl Failure {
    /// An error of the catalogue.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Failure { code: Some(code), message: message.into(), exit: exit::ERROR }
    }

    /// An error that has no entry of its own.
    pub(crate) fn plain(message: impl fmt::Display) -> Self {
        Failure { code: None, message: message.to_string(), exit: exit::ERROR }
    }

    /// The same with another exit status.
    pub(crate) fn exiting(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(entry) = self.code.and_then(contract::code::entry) {
            write!(f, "\n  {}\n  Next: {}", entry.done, entry.next)?;
        }
        Ok(())
    }
}

/// The result of a verb.
pub(crate) type Result<T> = std::result::Result<T, Failure>;
