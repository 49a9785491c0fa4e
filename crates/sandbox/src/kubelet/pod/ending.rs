//! How a pod ends: by itself, past its deadline, deleted, or because its object is gone.

use super::{Event, RETRY_FIRST, RETRY_LAST, Worker};
use crate::kubelet::containers::Unit;
use crate::kubelet::process::End;
use crate::kubelet::tree;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use std::time::Duration;
use tokio::time::Instant;

impl Worker {
    pub(super) fn grace(&self) -> Duration {
        let pod = &self.pod;
        let asked = pod.metadata.deletion_grace_period_seconds;
        let default = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        Duration::from_secs(asked.or(default).and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30))
    }

    /// Ends all containers: asks, and makes them when the time is over.
    pub(super) async fn stop(&mut self, grace: Duration) {
        for unit in self.units.iter().filter(|unit| unit.process.is_some()) {
            self.recorder.say(self.pod.as_ref(), "Normal", "Killing", format!("Stopping container {}", unit.spec.name));
        }
        let end =
            |units: &[Unit], how| units.iter().filter_map(|unit| unit.process.as_ref()).for_each(|it| it.end(how));
        end(&self.units, if grace.is_zero() { End::Force } else { End::Ask });
        let mut force = Instant::now() + grace;
        while self.units.iter().any(|unit| unit.process.is_some()) {
            tokio::select! {
                Some(event) = self.events.1.recv() => if let Event::Ended(index, _, code) = event {
                    let (root, logs) = (self.root(&self.units[index]), self.kubelets.log_directory(&self.pod));
                    let message = self.units[index].termination_message(&root, &logs, code);
                    self.units[index].ended(code, message);
                },
                () = tokio::time::sleep_until(force) => {
                    end(&self.units, End::Force);
                    force = Instant::now() + Duration::from_secs(1);
                }
                changed = self.updates.changed() => {
                    let update = self.updates.borrow_and_update().clone();
                    // Gone, or deleted again with less time.
                    let left = match update {
                        Some(pod) if changed.is_ok() => {
                            self.pod = pod;
                            if self.pod.metadata.deletion_timestamp.is_some() { self.grace() } else { grace }
                        }
                        _ => Duration::ZERO,
                    };
                    if left < grace {
                        force = force.min(Instant::now() + left);
                    }
                    if changed.is_err() {
                        end(&self.units, End::Force);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        }
    }

    /// The pod is over: its status and logs stay, its volumes go.
    pub(super) async fn finish(mut self) {
        self.publish(false).await;
        self.leave();
        let directory = self.machine.directory(&self.pod);
        if let Err(error) = tree::remove(&directory) {
            tracing::warn!(path = %directory.display(), %error, "left behind");
        }
    }

    pub(super) async fn evict(&mut self, reason: &str, message: &str) {
        self.evicted = Some((reason.to_owned(), message.to_owned()));
        self.recorder.say(self.pod.as_ref(), "Warning", reason, message);
        self.stop(self.grace()).await;
    }

    /// The pod is being deleted: ends its containers, reports that, and lets the object go.
    pub(super) async fn terminate(mut self) {
        self.stop(self.grace()).await;
        self.publish(true).await;
        self.kubelets.clear(&self.machine, &self.pod);
        self.leave();
        let api = self.api();
        let params = DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
        let params = params.preconditions(Preconditions { uid: self.pod.uid(), resource_version: None });
        let mut delay = RETRY_FIRST;
        loop {
            match api.delete(&self.pod.name_any(), &params).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
                Err(error) => tracing::debug!(%error, pod = self.pod.name_any(), "the pod's end was not taken"),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_LAST);
        }
    }

    /// The pod's object is gone already.
    pub(super) async fn abandon(mut self) {
        self.stop(Duration::ZERO).await;
        self.kubelets.clear(&self.machine, &self.pod);
        self.leave();
    }

    pub(super) fn leave(&self) {
        self.machine.leave_sandbox(&self.pod);
        if let Some(address) = self.address {
            self.kubelets.lock_addresses().give_back(address);
        }
    }
}
