//! What can go wrong on a host: a catalogue code and one sentence.

use contract::Code;
use std::io;

/// Why a stage refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NodeError {
    /// The entry of the catalogue.
    pub code: Code,
    /// One sentence naming the file, unit or setting.
    pub message: String,
}

/// The result of anything that looks at or changes a host.
pub type Result<T> = std::result::Result<T, NodeError>;

impl NodeError {
    /// Makes an error of a catalogue entry.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        NodeError { code, message: message.into() }
    }

    /// Makes an error of an I/O failure; a full disk and a read-only file system have codes of their own.
    pub fn io(doing: &str, path: impl AsRef<std::path::Path>, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DISK_FULL,
            io::ErrorKind::ReadOnlyFilesystem => Code::NOT_WRITABLE,
            _ => Code::HOST_IO,
        };
        NodeError::new(code, format!("{doing} {}: {error}", path.as_ref().display()))
    }

    /// Puts a sentence in front of the message.
    #[must_use]
    pub fn context(mut self, before: &str) -> Self {
        self.message = format!("{before}: {}", self.message);
        self
    }
}
