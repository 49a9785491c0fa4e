//! What can end a dispatcher's run before or beside its nodes.

use contract::Code;

/// What can end a dispatcher's run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A template cannot be used.
    #[error("the Job template {path} cannot be used: {source}")]
    Template {
        /// The file, as the container sees it.
        path: String,
        /// What is wrong with it.
        source: crate::template::TemplateError,
    },
    /// A file of the pod cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file, as the container sees it.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A selector does not follow the grammar.
    #[error(transparent)]
    Selector(#[from] crate::selector::SelectorError),
    /// The API server cannot be reached or refuses.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: String,
        /// The cause.
        source: kube::Error,
    },
    /// The pod's surroundings lack something.
    #[error("{0}")]
    Surroundings(String),
    /// The Job that this runs in was deleted.
    #[error("the dispatcher's Job was deleted; what is at work on nodes is another run's business from now on")]
    Replaced,
    /// Nothing to work on.
    #[error("{0}")]
    NothingSelected(String),
}

impl Error {
    /// Returns the catalogue's entry.
    pub fn code(&self) -> Code {
        match self {
            Error::NothingSelected(_) => Code::NO_NODE_SELECTED,
            _ => Code::DISPATCHER_FAILED,
        }
    }

    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
        let doing = doing.into();
        move |source| Error::Api { doing, source }
    }
}
