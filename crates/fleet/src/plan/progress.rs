//! Nodes in flight: what their Jobs and pods say, and the proof at the end.

use super::event::Action;
use super::work::Phase;
use super::{Fleet, Outcome, Stage, State};
use crate::observe::{self, PodStatus};
use contract::Code;

/// Milliseconds to wait for a pod's last words after its Job has ended: the two come over different watches.
pub(super) const LAST_WORDS: u64 = 3_000;
/// Milliseconds that a kubelet gets to hear of new handlers.
pub(super) const HANDLERS_WAIT: u64 = 120_000;
/// Milliseconds that a node in flight may be down when nothing else is said: its runtime is being restarted.
const DOWN: u64 = 300_000;
/// Milliseconds without news of a Job after which it is asked for: whatever a watch lost, the run ends.
const SILENCE: u64 = 60_000;
/// Milliseconds after which a pod without its sandbox is given up; the kubelet's next look at it comes earlier.
pub(super) const STRANDED: u64 = 30_000;

impl Fleet {
    pub(super) fn advance(&mut self, node: &str, now: u64, actions: &mut Vec<Action>) {
        let Some(work) = self.works.get_mut(node) else { return };
        match work.phase.clone() {
            Phase::Draining { asked } => self.press(node, asked, now, actions),
            Phase::Starting { .. } => self.start(node, now, actions),
            Phase::Running => {
                self.mind_the_silent(node, now);
                self.mind_the_stranded(node, now);
            }
            Phase::Ended { since, outcome, reading } => {
                let last_words =
                    work.pod.as_ref().is_some_and(|pod| ended(&pod.status) && work.job.as_ref() == Some(&pod.job));
                if !last_words && now < since + LAST_WORDS {
                    return;
                }
                match outcome {
                    Outcome::Failed(reason) if !reading => {
                        let failed = work.pod.as_ref().and_then(|pod| {
                            observe::failed_container(&pod.status).map(|c| (pod.name.clone(), c.name.clone()))
                        });
                        match failed {
                            Some((pod, container)) => {
                                work.phase = Phase::Ended { since, outcome: Outcome::Failed(reason), reading: true };
                                actions.push(Action::ReadLines { node: node.to_owned(), pod, container });
                            }
                            None => self.give_up(node, &reason),
                        }
                    }
                    Outcome::Failed(_) | Outcome::Running => {}
                    Outcome::Complete if self.settings.removal => self.converged(node),
                    Outcome::Complete => {
                        self.enter(node, Phase::Verifying { since: now });
                        self.verify(node, now, now);
                    }
                }
            }
            Phase::Verifying { since } => self.verify(node, since, now),
            _ => {}
        }
    }

    pub(super) fn on_lines(&mut self, node: &str, lines: Vec<String>) {
        let Some(work) = self.works.get_mut(node) else { return };
        if let Phase::Ended { outcome: Outcome::Failed(reason), reading: true, .. } = &work.phase {
            let reason = reason.clone();
            work.record().last_lines = lines;
            self.give_up(node, &reason);
        }
    }

    /// A node whose runtime does not come back cannot even end its Job; one whose kubelet is silent gives up its place.
    fn mind_the_silent(&mut self, node: &str, now: u64) {
        let patience = if self.settings.ready_wait == 0 { DOWN } else { self.settings.ready_wait };
        let Some(work) = self.works.get_mut(node) else { return };
        if now >= work.heard + SILENCE {
            work.heard = now;
            if let Some(uid) = work.job.clone() {
                self.look_for(node, uid);
            }
        }
        let Some(work) = self.works.get(node) else { return };
        if work.down.is_none_or(|since| now < since + patience) {
            return;
        }
        if self.nodes.get(node).is_some_and(|node| node.unreachable) {
            self.enter(node, Phase::Absent { begun: true });
        } else if let (State::Failed, Some(code)) = (work.record.state, work.record.code) {
            let message = work.record.message.clone();
            self.fail(node, code, message);
        }
    }

    /// A pod that cannot go on takes its Job with it: then the node is begun again.
    fn mind_the_stranded(&mut self, node: &str, now: u64) {
        let Some(work) = self.works.get_mut(node).filter(|work| work.phase == Phase::Running) else { return };
        let own = work.pod.as_ref().filter(|pod| work.job.as_ref() == Some(&pod.job));
        let stranded = own.is_some_and(|pod| observe::stranded(&pod.status));
        work.stranded = stranded.then(|| work.stranded.unwrap_or(now));
        if work.stranded.is_none_or(|since| now < since + STRANDED) {
            return;
        }
        let Some(job) = self.jobs.get(node).filter(|job| work.job.as_ref() == Some(&job.uid)).cloned() else { return };
        if !self.deleting.contains_key(&job.uid) {
            work.record().message = "its pod has lost its sandbox and does not go on; its Job is made again".to_owned();
            self.changed.insert(node.to_owned());
            self.push_aside(job);
        }
    }

    fn verify(&mut self, name: &str, since: u64, now: u64) {
        let (Some(work), Some(node)) = (self.works.get(name), self.nodes.get(name)) else { return };
        if !node.ready && self.settings.ready_wait > 0 {
            if now > since + self.settings.ready_wait {
                self.fail(name, Code::NODE_NOT_READY, "the node did not become Ready after its installation".into());
            }
            return;
        }
        if node.served().is_some() && !self.settings.handlers.is_empty() {
            let missing: Vec<&String> = match work.record.handlers.as_slice() {
                [] if self.settings.handlers.iter().any(|handler| node.serves(handler)) => Vec::new(),
                [] => self.settings.handlers.iter().collect(),
                proven => proven.iter().filter(|handler| !node.serves(handler)).collect(),
            };
            if !missing.is_empty() {
                if now > since + HANDLERS_WAIT {
                    let list = missing.into_iter().cloned().collect::<Vec<_>>().join(", ");
                    let message = format!("the kubelet does not report the handlers {list}");
                    self.fail(name, Code::HANDLERS_NOT_SEEN, message);
                }
                return;
            }
        }
        self.converged(name);
    }

    fn converged(&mut self, node: &str) {
        let last = if self.settings.removal { Stage::RemoveArtifacts } else { Stage::Label };
        self.end(node, State::Done, None, String::new());
        if let Some(work) = self.works.get_mut(node) {
            work.record().stage = last;
        }
    }

    /// Ends a node whose Job failed: in the installer's words when it left any, otherwise in the Job's.
    fn give_up(&mut self, node: &str, reason: &str) {
        let Some(work) = self.works.get(node) else { return };
        match (work.record.state, work.record.code) {
            (State::Failed, Some(code)) => self.fail(node, code, work.record.message.clone()),
            (State::Failed, None) => {
                let message = format!("{} ({reason})", work.record.message);
                self.fail(node, Code::NODE_JOB_FAILED, message);
            }
            (_, code) => {
                let waiting =
                    if work.record.message.is_empty() { String::new() } else { format!(" ({})", work.record.message) };
                let message = format!("its Job failed: {reason}{waiting}");
                self.fail(node, code.unwrap_or(Code::NODE_JOB_FAILED), message);
            }
        }
    }
}

pub(super) fn ended(status: &PodStatus) -> bool {
    matches!(status.phase.as_str(), "Succeeded" | "Failed")
}
