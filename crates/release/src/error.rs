//! What can go wrong between a chart and a cluster, in words that Helm's users know.

use crate::object::ObjectId;
use crate::record::Status;
use contract::Code;
use std::fmt;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every way an operation can fail. The texts are Helm's where Helm has one, because people and scripts search for them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server cannot be reached (or not any more, after the engine's patience).
    #[error("cluster reachability check failed: {0}")]
    Unreachable(String),
    /// The API server answered a request with an error.
    #[error("{message}")]
    Api {
        /// HTTP status.
        code: u16,
        /// The machine-readable reason, such as `Forbidden`.
        reason: String,
        /// The server's own words.
        message: String,
    },
    /// Another operation holds the release.
    #[error("another operation (install/upgrade/rollback) is in progress")]
    Busy {
        /// Status of the newest revision.
        status: Status,
        /// Who holds it, when that is known.
        holder: Option<String>,
    },
    /// The release has no record at all.
    #[error("release: not found")]
    NotFound,
    /// The release that is to be uninstalled has no record at all.
    #[error("uninstall: Release not loaded: {0}: release: not found")]
    NotLoaded(String),
    /// One revision does not exist.
    #[error("release has no {0} version")]
    NoRevision(u32),
    /// The release exists but nothing of it was ever deployed.
    #[error("{0:?} has no deployed releases")]
    NoDeployed(String),
    /// Two operations wrote the same revision at once.
    #[error("release: already exists")]
    RevisionExists,
    /// `install` under the name of a release that lives.
    #[error("release name check failed: cannot reuse a name that is still in use")]
    NameInUse,
    /// The name does not follow the rules for release names.
    #[error("release name {name:?}: {why}")]
    BadName {
        /// The name.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// An uninstalled release was asked to be uninstalled.
    #[error("the release named {0:?} is already deleted")]
    AlreadyUninstalled(String),
    /// A stored record cannot be read.
    #[error("release record {key} cannot be read: {why}")]
    BadRecord {
        /// Name of the Secret or ConfigMap.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// The record does not fit into one object.
    #[error("release record {key} is {size} bytes and the limit is {limit}; the largest parts are {parts}")]
    RecordTooLarge {
        /// Name of the Secret or ConfigMap.
        key: String,
        /// Encoded size in bytes.
        size: usize,
        /// Limit in bytes.
        limit: usize,
        /// The largest parts with their sizes.
        parts: String,
    },
    /// A label that Helm keeps for itself was given as a label of the release.
    #[error(
        "user supplied labels contains system reserved label name. System labels: [name owner status version createdAt modifiedAt]"
    )]
    ReservedLabel,
    /// The chart could not be rendered; the text is the chart engine's.
    #[error("{0}")]
    Render(String),
    /// A rendered document is not a Kubernetes object.
    #[error("unable to build kubernetes objects from release manifest: {0}")]
    BadManifest(String),
    /// A kind that the cluster does not serve.
    #[error(
        "unable to build kubernetes objects from release manifest: resource mapping not found for name: {name:?} \
         namespace: {namespace:?} from \"\": no matches for kind {kind:?} in version {version:?}\nensure CRDs are \
         installed first"
    )]
    UnknownKind {
        /// The object's name.
        name: String,
        /// The object's namespace as written.
        namespace: String,
        /// Its kind.
        kind: String,
        /// Its apiVersion.
        version: String,
    },
    /// An object exists and belongs to someone else.
    #[error("unable to continue with {operation}: {text}")]
    NotOurs {
        /// `install` or `update`.
        operation: &'static str,
        /// Helm's sentence about the object and its missing marks.
        text: String,
    },
    /// Server-side apply found fields that another manager owns.
    #[error("conflict occurred while applying object {}: {message}", .object.as_go())]
    FieldConflict {
        /// The object.
        object: ObjectId,
        /// The server's message: each field and its manager.
        message: String,
    },
    /// The server refused an object.
    #[error("server-side apply failed for object {}: {message}", .object.as_go())]
    Refused {
        /// The object.
        object: ObjectId,
        /// HTTP status.
        code: u16,
        /// The server's message.
        message: String,
    },
    /// A CRD of the chart could not be installed.
    #[error("failed to install CRD {name}: {source}")]
    Crd {
        /// File name within the chart.
        name: String,
        /// The cause.
        source: Box<Error>,
    },
    /// Objects did not become ready (or did not go away).
    #[error("{0}")]
    NotReady(#[from] NotReady),
    /// A hook failed.
    #[error("{0}")]
    Hook(#[from] Box<HookFailure>),
    /// Some objects could not be deleted; the record is kept so that the removal can be run again.
    #[error("failed to delete release: {name}")]
    RemoveIncomplete {
        /// The release.
        name: String,
        /// One sentence for each object.
        failures: Vec<String>,
    },
    /// Objects that the new revision no longer has could not be deleted.
    #[error("{}", .0.join(" && "))]
    PruneFailed(Vec<String>),
    /// An object that an earlier revision did not have could not be created.
    #[error("failed to create resource: {0}")]
    NotCreated(Box<Error>),
    /// The objects of a rollback did not become ready.
    #[error("release {name} failed: {source}")]
    RollbackNotReady {
        /// The release.
        name: String,
        /// The first error.
        source: Box<Error>,
    },
    /// The operation failed and was undone on request.
    #[error("release {name} failed, and has been {undone} due to rollback-on-failure being set: {source}")]
    Undone {
        /// The release.
        name: String,
        /// `uninstalled` or `rolled back`.
        undone: &'static str,
        /// The first error.
        source: Box<Error>,
    },
    /// The operation failed and undoing it failed as well.
    #[error("an error occurred while {undoing} the release. original {operation} error: {source}: {second}")]
    UndoFailed {
        /// `uninstalling` or `rolling back`.
        undoing: &'static str,
        /// `install` or `upgrade`.
        operation: &'static str,
        /// The first error.
        source: Box<Error>,
        /// The error of the undoing.
        second: Box<Error>,
    },
    /// Several errors of objects that were applied together.
    #[error("{}", join(.0, " && "))]
    Several(Vec<Error>),
    /// Something that Helm can and this engine does not.
    #[error("{0}")]
    Unsupported(String),
}

impl Error {
    /// Returns the entry of the error catalogue.
    pub fn code(&self) -> Code {
        match self {
            Error::Unreachable(_) => Code::CLUSTER_UNREACHABLE,
            Error::Api { code: 401 | 403, .. } => Code::NOT_ALLOWED,
            Error::Api { .. } => Code::API_REFUSED,
            Error::Busy { .. } | Error::RevisionExists => Code::RELEASE_BUSY,
            Error::NotFound
            | Error::NotLoaded(_)
            | Error::NoRevision(_)
            | Error::NoDeployed(_)
            | Error::AlreadyUninstalled(_) => Code::RELEASE_NOT_FOUND,
            Error::NameInUse | Error::BadName { .. } => Code::RELEASE_NAME,
            Error::BadRecord { .. } | Error::RecordTooLarge { .. } | Error::ReservedLabel => Code::RELEASE_RECORD,
            Error::Render(_) => Code::BAD_CHART,
            Error::BadManifest(_) | Error::UnknownKind { .. } => Code::BAD_MANIFEST,
            Error::NotOurs { .. } => Code::NOT_OURS,
            Error::FieldConflict { .. } => Code::FIELD_CONFLICT,
            Error::Refused { .. } => Code::OBJECT_REFUSED,
            Error::NotReady(_) => Code::NOT_READY,
            Error::Hook(_) => Code::HOOK_FAILED,
            Error::RemoveIncomplete { .. } | Error::PruneFailed(_) => Code::REMOVE_INCOMPLETE,
            Error::Unsupported(_) => Code::UNSUPPORTED_BY_ENGINE,
            Error::Crd { source, .. }
            | Error::NotCreated(source)
            | Error::RollbackNotReady { source, .. }
            | Error::Undone { source, .. }
            | Error::UndoFailed { source, .. } => source.code(),
            Error::Several(errors) => errors.first().map_or(Code::API_REFUSED, Error::code),
        }
    }

    /// Is this the answer that the thing asked for does not exist?
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound | Error::NotLoaded(_) | Error::Api { code: 404, .. })
    }

    /// Returns what is known beyond the error's own text, which is Helm's: root causes found in pods and events, objects
    /// that could not be removed, the holder of a release. A sentence each.
    pub fn causes(&self) -> Vec<String> {
        match self {
            Error::NotReady(not_ready) => {
                not_ready.objects.iter().filter_map(|unready| unready.reason.clone()).collect()
            }
            Error::Hook(failure) => failure.source.causes(),
            Error::Crd { source, .. }
            | Error::NotCreated(source)
            | Error::RollbackNotReady { source, .. }
            | Error::Undone { source, .. }
            | Error::UndoFailed { source, .. } => source.causes(),
            Error::RemoveIncomplete { failures, .. } => failures.clone(),
            Error::RecordTooLarge { .. } => {
                vec!["HUSK_RECORD_PARTS=true stores it in parts; files of the chart that no template needs can be left out with .helmignore".to_owned()]
            }
            Error::Busy { holder: Some(holder), .. } => vec![format!("held by {holder}")],
            Error::Several(errors) => errors.iter().flat_map(Error::causes).collect(),
            _ => vec![],
        }
    }

    /// Returns the text for records, on request with the root causes behind it.
    pub(crate) fn described(&self, root_causes: bool) -> String {
        match self.causes().as_slice() {
            causes if causes.is_empty() || !root_causes => self.to_string(),
            causes => format!("{self} ({})", causes.join("; ")),
        }
    }

    /// Did time run out while something was still on its way (as opposed to having failed)?
    pub fn is_timeout(&self) -> bool {
        match self {
            Error::NotReady(not_ready) => not_ready.timed_out,
            Error::Hook(failure) => failure.source.is_timeout(),
            Error::RollbackNotReady { source, .. }
            | Error::Undone { source, .. }
            | Error::UndoFailed { source, .. } => source.is_timeout(),
            _ => false,
        }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Error::Api {
                code: status.code,
                reason: status.reason.clone(),
                message: if status.message.is_empty() { status.reason.clone() } else { status.message.clone() },
            },
            other => Error::Unreachable(cause_chain(&other)),
        }
    }
}

/// Objects that are not what they were waited for.
#[derive(Debug, Clone)]
pub struct NotReady {
    /// Each object with its state, in the order in which they were given.
    pub objects: Vec<Unready>,
    /// Did the time run out, or did all of them come to an end?
    pub timed_out: bool,
    /// Was it given up before the time was over, and why?
    pub given_up: Option<String>,
    /// Were they waited to disappear?
    pub deleting: bool,
}

/// One object that is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unready {
    /// The object.
    pub object: ObjectId,
    /// `InProgress`, `Failed`, `Terminating`, `NotFound` or `Unknown`.
    pub status: &'static str,
    /// What the object itself says.
    pub message: String,
    /// What its pods and events say, the root cause most of the time.
    pub reason: Option<String>,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for Unready { object, status, message, .. } in &self.objects {
            let verb = if self.deleting { "still exists" } else { "not ready" };
            lines.push(format!("resource {object} {verb}. status: {status}, message: {message}"));
        }
        if self.timed_out {
            lines.push("context deadline exceeded".to_owned());
        }
        if let Some(reason) = &self.given_up {
            lines.push(format!("given up early, because this does not heal by itself: {reason}"));
        }
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for NotReady {}

/// A hook that failed, with what its pods left behind.
#[derive(Debug)]
pub struct HookFailure {
    /// The event, for instance `post-install`.
    pub event: &'static str,
    /// The hook's object.
    pub object: ObjectId,
    /// File of the hook within the chart.
    pub path: String,
    /// Was the object refused, as opposed to having run and failed?
    pub refused: bool,
    /// The cause.
    pub source: Box<Error>,
    /// Last lines of the containers that failed, pod and container first; may be empty.
    pub logs: Vec<PodLog>,
}

/// Some output of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodLog {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Its node, when it was scheduled.
    pub node: Option<String>,
    /// How it ended: exit code, reason, termination message.
    pub outcome: Option<String>,
    /// The text.
    pub text: String,
}

impl fmt::Display for HookFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HookFailure { event, path, source, .. } = self;
        match *event {
            "pre-install" | "post-install" => write!(f, "failed {event}: ")?,
            "pre-upgrade" | "post-upgrade" => write!(f, "{event} hooks failed: ")?,
            _ => {}
        }
        if self.refused { write!(f, "warning: Hook {event} {path} failed: {source}") } else { write!(f, "{source}") }
    }
}

impl std::error::Error for HookFailure {}

fn join(errors: &[Error], separator: &str) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

/// Returns an error's text and those of its causes, without saying the same twice.
pub(crate) fn cause_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> ObjectId {
        ObjectId::new("batch/v1", "Job", "ns", "seed")
    }

    #[test]
    fn a_failed_hook_reads_as_in_helm() {
        let unready =
            Unready { object: job(), status: "Failed", message: "Job Failed. failed: 1/1".into(), reason: None };
        let failure = HookFailure {
            event: "post-install",
            object: job(),
            path: "c/templates/job.yaml".into(),
            refused: false,
            source: Box::new(
                NotReady { objects: vec![unready], timed_out: false, given_up: None, deleting: false }.into(),
            ),
            logs: vec![],
        };
        assert_eq!(
            Error::from(Box::new(failure)).to_string(),
            "failed post-install: resource Job/ns/seed not ready. status: Failed, message: Job Failed. failed: 1/1"
        );
    }

    #[test]
    fn a_timeout_says_so_on_its_own_line() {
        let unready = Unready {
            object: job(),
            status: "InProgress",
            message: "Job in progress".into(),
            reason: Some("pod seed-x: ImagePullBackOff".into()),
        };
        let error = Error::from(NotReady { objects: vec![unready], timed_out: true, given_up: None, deleting: false });
        assert!(error.is_timeout());
        assert!(error.to_string().ends_with("message: Job in progress\ncontext deadline exceeded"));
        assert_eq!(error.causes(), ["pod seed-x: ImagePullBackOff"]);
    }
}
