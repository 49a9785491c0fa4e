//! Whose turn it is: the pace, canaries and waves, zones, control planes, and nodes on which sandboxes run.

use super::event::{Action, Order};
use super::queue::Place;
use super::work::Phase;
use super::{Fleet, State};
use crate::job_name::job_name;
use crate::pace::Sandboxes;
use contract::Code;

/// Milliseconds between two looks at the sandboxes of a node that waits for them.
const HOLD: u64 = 30_000;
/// Milliseconds between two requests to evict what is still there.
const EVICT: u64 = 5_000;
/// Milliseconds that the pod of a deleted Job gets to go; the pods of dead machines never do.
const POD_GONE: u64 = 60_000;

impl Fleet {
    /// Begins as many nodes as the pace allows.
    pub(super) fn begin(&mut self, now: u64, actions: &mut Vec<Action>) {
        let halted = self.settings.late.is_none() && self.settings.pace.halted(self.count());
        if halted {
            self.hold_back("not begun: the rollout halted after the failures of other nodes", None);
        } else if self.order == Order::Abort {
            self.hold_back("not begun: the rollout was aborted", Some(Code::ROLLOUT_ABORTED));
        }
        if self.order == Order::Pause || self.late.makes_way() {
            self.stalled = None;
            return;
        }
        while self.settings.pace.room(self.standing()) > 0
            && let Some(node) = self.whose_turn()
        {
            if self.nodes.get(&node).is_some_and(|node| node.unreachable) {
                self.enter(&node, Phase::Absent { begun: false });
                continue;
            }
            self.changed.insert(node.clone());
            if self.settings.pace.sandboxes == Sandboxes::Allow {
                self.enter(&node, Phase::Starting { since: now });
                self.start(&node, now, actions);
            } else {
                self.enter(&node, Phase::Asking);
                actions.push(Action::CountSandboxes(node));
            }
        }
        self.mind_the_stalled(now);
    }

    /// Returns what the pace is measured against: a watcher's share is one of all nodes.
    fn standing(&self) -> crate::pace::Standing {
        let count = self.count();
        match self.settings.late {
            Some(_) => crate::pace::Standing { selected: self.nodes.len(), failed: 0, done: usize::MAX, ..count },
            None => count,
        }
    }

    /// Returns the first waiting node that zone and kind allow.
    fn whose_turn(&self) -> Option<String> {
        let pace = &self.settings.pace;
        let servers_may = !pace.control_plane_last || (!self.queue.has_workers() && self.flying.is_empty());
        let zones = pace.unavailable.zip(self.zones.as_ref());
        let open = |place: &Place| {
            let zone_may = zones.is_none_or(|(amount, zones)| zones.of(&place.zone).may_spare_one(amount));
            zone_may && (!place.control_plane || servers_may)
        };
        self.queue.first(open).map(str::to_owned)
    }

    /// Makes the Job of a node whose turn has come, unless something must go first.
    pub(super) fn start(&mut self, name: &str, now: u64, actions: &mut Vec<Action>) {
        let Some(work) = self.works.get_mut(name) else { return };
        let Phase::Starting { since } = work.phase else { return };
        let lingering = work.pod.as_ref().is_some_and(|pod| {
            work.buried.contains(&pod.job) && !super::progress::ended(&pod.status) && now < since + POD_GONE
        });
        if lingering || self.others.contains_key(name) {
            return;
        }
        work.asked_at_list = self.lists;
        work.record().state = State::Running;
        self.enter(name, Phase::Creating);
        actions.push(Action::Create(name.to_owned()));
    }

    pub(super) fn on_sandboxes(&mut self, name: &str, left: usize, now: u64) {
        let Some(work) = self.works.get_mut(name) else { return };
        if !matches!(work.phase, Phase::Asking | Phase::Draining { .. }) {
            return;
        }
        if left == 0 {
            self.enter(name, Phase::Starting { since: now });
            return;
        }
        let since = *work.sandboxes_since.get_or_insert(now);
        let patience = self.settings.pace.sandbox_wait;
        if patience > 0 && now >= since + patience {
            let message = format!("{left} Kata sandboxes still run on it after {} s", patience / 1000);
            self.fail(name, Code::SANDBOXES_IN_USE, message);
            return;
        }
        let work = &mut *work;
        work.record().message = format!("waits for {left} Kata sandboxes to end");
        self.changed.insert(name.to_owned());
        if self.settings.pace.sandboxes == Sandboxes::Drain {
            let draining = matches!(work.phase, Phase::Draining { .. });
            self.enter(name, Phase::Draining { asked: now });
            if !draining {
                self.pending.push(Action::Drain(name.to_owned()));
            }
        } else {
            self.enter(name, Phase::Held { until: now + HOLD });
        }
    }

    /// Asks again for the eviction of what is left on a node that is being drained.
    pub(super) fn press(&mut self, name: &str, asked: u64, now: u64, actions: &mut Vec<Action>) {
        if now >= asked + EVICT {
            self.enter(name, Phase::Draining { asked: now });
            actions.push(Action::Drain(name.to_owned()));
        }
    }

    /// Nodes that waited for sandboxes get into the queue again.
    pub(super) fn call_back(&mut self, now: u64) {
        let due = |node: &&String| matches!(self.works.get(*node).map(|work| &work.phase), Some(Phase::Held { until }) if now >= *until);
        let back: Vec<String> = self.held.iter().filter(due).cloned().collect();
        for node in back {
            let Some(place) = self.nodes.get(&node).map(|node| self.place(node)) else { continue };
            let ticket = self.queue.ticket(place);
            if let Some(work) = self.works.get_mut(&node) {
                work.ticket = ticket; // behind those that have not been asked yet
            }
            self.enter(&node, Phase::Waiting);
        }
    }

    /// Gives up the nodes that were not begun.
    fn hold_back(&mut self, why: &str, code: Option<Code>) {
        let unbegun = self.queue.nodes().into_iter().chain(self.held.iter().cloned());
        let absent = self.absent.iter().filter(|(_, begun)| !**begun).map(|(node, _)| node.clone());
        for node in unbegun.chain(absent).collect::<Vec<_>>() {
            self.end(&node, State::Pending, code, why.to_owned());
        }
    }

    /// When only silent nodes are left, or keep others waiting, they get a last while.
    fn mind_the_stalled(&mut self, now: u64) {
        let waits = !self.absent.is_empty() || !self.queue.is_empty();
        if !self.flying.is_empty() || !self.held.is_empty() || !waits || self.settings.late.is_some() {
            self.stalled = None;
            return;
        }
        if now < *self.stalled.get_or_insert(now) + self.settings.absent_wait {
            return;
        }
        if self.absent.is_empty() {
            self.hold_back("not begun: too many nodes of its zone are not Ready", Some(Code::NODE_NOT_READY));
        }
        for node in self.absent.keys().cloned().collect::<Vec<_>>() {
            let told = self.works.get(&node).filter(|work| work.record.state == State::Failed);
            match told.and_then(|work| Some((work.record.code?, work.record.message.clone()))) {
                Some((code, message)) => self.fail(&node, code, message),
                None => {
                    let name = job_name(&self.settings.prefix, &node);
                    let what = match self.absent.get(&node) {
                        Some(true) => format!("its Job {name} goes on when it comes back"),
                        _ => "nothing was begun on it".to_owned(),
                    };
                    self.fail(&node, Code::NODE_UNREACHABLE, format!("its kubelet is silent; {what}"));
                }
            }
        }
    }
}
