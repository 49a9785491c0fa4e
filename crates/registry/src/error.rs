//! What can go wrong on the way to a chart, in Helm's words where Helm has words for it.

/// A failure of this crate. `Display` is what Helm prints after `Error: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An argument has no meaning: a reference, a constraint, a URL.
    #[error("{0}")]
    Invalid(String),
    /// A file of the user's configuration is missing, unreadable or malformed.
    #[error("{0}")]
    Config(String),
    /// A file could not be read or written.
    #[error("{0}")]
    Io(String),
    /// An index is missing, malformed or not what Helm accepts.
    #[error("{0}")]
    Index(String),
    /// The named chart, version, repository or object does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The other side could not be reached, or the connection broke.
    #[error("{0}")]
    Network(String),
    /// An HTTP server answered with a status that is no success.
    #[error("{text}")]
    Status {
        /// The status code.
        code: u16,
        /// What is printed.
        text: String,
    },
    /// Credentials are missing, malformed or a helper failed.
    #[error("{0}")]
    Credentials(String),
    /// What was received is not what it was announced to be.
    #[error("{what}: digest mismatch: expected {expected}, got {found}")]
    Digest {
        /// What was received.
        what: String,
        /// The digest that was announced, with its algorithm.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// Something is larger than this crate is ready to hold.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A chart is malformed.
    #[error(transparent)]
    Chart(#[from] chart::Error),
    /// Provenance is missing or wrong.
    #[error("{0}")]
    Provenance(String),
    /// Another failure, with what was being done.
    #[error("{doing}: {source}")]
    During {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: Box<Error>,
    },
}

/// The result of most functions here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Says in front of the failure what was being done.
    pub fn during(self, doing: impl Into<String>) -> Error {
        Error::During { doing: doing.into(), source: Box::new(self) }
    }

    /// The failure at the bottom of all [`Error::During`].
    pub fn root(&self) -> &Error {
        match self {
            Error::During { source, .. } => source.root(),
            other => other,
        }
    }

    /// A failure of the file system, as Go words it: `open /x: no such file or directory`.
    pub(crate) fn io(operation: &str, path: &std::path::Path, error: &std::io::Error) -> Error {
        Error::Io(format!("{operation} {}: {}", path.display(), os_text(error)))
    }
}

/// An operating system's complaint as Go words it.
pub(crate) fn os_text(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        ErrorKind::IsADirectory => "is a directory".into(),
        ErrorKind::NotADirectory => "not a directory".into(),
        ErrorKind::ConnectionRefused => "connection refused".into(),
        ErrorKind::ConnectionReset => "connection reset by peer".into(),
        ErrorKind::AlreadyExists => "file exists".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_below_its_contexts() {
        let error = Error::NotFound("no chart".into()).during("inner").during("outer");
        assert_eq!(error.to_string(), "outer: inner: no chart");
        assert_eq!(error.root(), &Error::NotFound("no chart".into()));
    }
}
