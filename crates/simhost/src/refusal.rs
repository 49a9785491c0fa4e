//! Why a runtime does not start, or does not serve, in the daemon's own words.

/// A configuration that a runtime does not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// The last line that the daemon prints before it ends.
    pub(crate) message: String,
    /// Its exit status: 1 for an error that it reports, 2 for a panic of a Go program.
    pub(crate) status: i32,
}

impl Refusal {
    /// An error that the daemon reports.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Refusal { message: message.into(), status: 1 }
    }

    /// A crash of the daemon.
    pub(crate) fn panic(message: impl Into<String>) -> Self {
        Refusal { message: message.into(), status: 2 }
    }
}

/// What a runtime makes of its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effective {
    /// The handlers served, in order; each with what its table says.
    pub(crate) handlers: std::collections::BTreeMap<String, serde_json::Value>,
    /// What a pod of each handler is started with.
    pub(crate) shims: std::collections::BTreeMap<String, crate::Shim>,
    /// The handler of pods that name none.
    pub(crate) default_handler: String,
    /// Why the CRI is not served although the daemon runs; every CRI call then answers `Unimplemented`.
    pub(crate) cri_off: Option<String>,
    /// Warnings that the daemon prints.
    pub(crate) warnings: Vec<String>,
    /// The files read, as paths on the host, in the order of reading.
    pub(crate) files: Vec<String>,
    /// The CRI socket, as a path on the host.
    pub(crate) socket: String,
    /// Whether runc leaves cgroups to systemd.
    pub(crate) systemd_cgroup: bool,
    /// The JSON that a verbose status shows under `config`.
    pub(crate) config: serde_json::Value,
}
