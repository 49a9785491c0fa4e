//! The pod sandboxes that a host's container runtime lists, and the traces that Kata leaves of those it runs.

use super::{Machine, tree};
use cri::message::{PodSandbox, PodSandboxMetadata, PodSandboxState};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The sandboxes of one host, by the pod's uid.
#[derive(Debug, Default)]
pub struct Sandboxes {
    known: Mutex<BTreeMap<String, PodSandbox>>,
}

/// Where Kata's runtime keeps the state of a sandbox, as a path on the host; nothing for other runtimes.
fn trace(handler: &str) -> Option<&'static str> {
    let rust = handler.contains("runtime-rs") || handler.contains("dragonball");
    handler.starts_with("kata").then_some(if rust { "run/kata" } else { "run/vc/sbs" })
}

impl Machine {
    fn trace_of(&self, uid: &str, handler: &str) -> Option<PathBuf> {
        trace(handler).map(|directory| self.root.join(directory).join(uid))
    }

    /// Enters a pod's sandbox; `handler` is empty for the runtime's default.
    pub(super) fn enter_sandbox(&self, pod: &Pod, handler: &str) {
        let uid = pod.uid().unwrap_or_default();
        if let Some(trace) = self.trace_of(&uid, handler)
            && let Err(error) = std::fs::create_dir_all(&trace)
        {
            tracing::debug!(trace = %trace.display(), %error, "no trace of the sandbox");
        }
        let sandbox = PodSandbox {
            id: format!("sandbox-{uid}"),
            metadata: Some(PodSandboxMetadata {
                name: pod.name_any(),
                uid: uid.clone(),
                namespace: pod.namespace().unwrap_or_default(),
                attempt: 0,
            }),
            state: PodSandboxState::Ready as i32,
            created_at: i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
            labels: pod.labels().clone(),
            annotations: pod.annotations().clone(),
            runtime_handler: handler.to_owned(),
        };
        self.change_sandboxes(|known| known.insert(uid, sandbox));
    }

    /// Removes a pod's sandbox, if it has one.
    pub(super) fn leave_sandbox(&self, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        if let Some(sandbox) = self.change_sandboxes(|known| known.remove(&uid))
            && let Some(trace) = self.trace_of(&uid, &sandbox.runtime_handler)
        {
            let _ = tree::remove(&trace);
        }
    }

    fn change_sandboxes<R>(&self, change: impl FnOnce(&mut BTreeMap<String, PodSandbox>) -> R) -> R {
        let mut known = self.sandboxes.known.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut known);
        if let Some(host) = self.host.upgrade() {
            host.set_sandboxes(known.values().cloned().collect());
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kata_leaves_traces() {
        assert_eq!(trace("kata-qemu-snp"), Some("run/vc/sbs"));
        assert_eq!(trace("kata-qemu-runtime-rs"), Some("run/kata"));
        assert_eq!(trace("kata-dragonball"), Some("run/kata"));
        assert_eq!(trace("runc"), None);
        assert_eq!(trace(""), None);
    }
}
