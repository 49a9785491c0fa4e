//! Jobs: those of this run are adopted by identity, those of others make room first, and none is made twice.

use super::event::Action;
use super::work::Phase;
use super::{Fleet, Job, Outcome};
use crate::job_name::job_name;
use contract::Code;
use std::collections::BTreeSet;

/// Stale Jobs that are deleted at the same time.
const DELETIONS: usize = 16;
/// From so many finished Jobs of earlier runs on they are deleted together instead of one by one.
pub(super) const TOGETHER: usize = if cfg!(test) { 3 } else { 64 };
/// Milliseconds that the watch gets to tell of Jobs that were deleted together; those left are deleted one by one.
const TOLD: u64 = 10_000;
/// How often a Job that somebody deletes is made again.
const AGAIN: usize = 3;

impl Fleet {
    /// Hears of a Job, through the watch when `followed`, else as an answer.
    pub(super) fn on_job(&mut self, mut job: Job, followed: bool, now: u64) {
        let ours = job.owner_uids.contains(&self.settings.owner.uid);
        let named = job.name == job_name(&self.settings.prefix, &job.node);
        if !ours || !named {
            // Under another name it is in the way only while it is at work, and our own only on a node of this run.
            let harmless = job.outcome != Outcome::Running || (ours && !self.works.contains_key(&job.node));
            if named || !harmless {
                self.on_job_of_others(job, now);
            }
            return;
        }
        let node = job.node.clone();
        // What has ended stays so: an answer may be older than the watch's news.
        if let Some(known) =
            self.jobs.get(&node).filter(|known| known.uid == job.uid && known.outcome != Outcome::Running)
        {
            job.outcome = known.outcome.clone();
        }
        if self.nodes.get(&node).is_some_and(|known| !job.node_uid.is_empty() && *job.node_uid != *known.uid) {
            self.on_job_of_others(job, now); // it was made for another node of this name
            return;
        }
        if self.gone.get(&node).is_some_and(|gone| gone.contains(&job.uid)) {
            return;
        }
        let Some(work) = self.works.get_mut(&node) else {
            // Its Node has not been heard of yet, or is not ours to work on any more.
            if !job.deleting && (followed || !self.jobs.contains_key(&node)) {
                self.jobs.insert(node, job);
            }
            return;
        };
        if work.buried.contains(&job.uid) {
            return;
        }
        let through = matches!(work.phase, Phase::Ended { .. } | Phase::Verifying { .. } | Phase::Over);
        if through && work.job.as_ref() != Some(&job.uid) {
            // A second one, asked for while the first was deleted: it may finish, but not outlive its Node.
            if job.outcome == Outcome::Running && !job.deleting {
                self.jobs.insert(node, job);
            }
            return;
        }
        if work.phase == Phase::Over {
            return;
        }
        if job.deleting && !work.phase.begun() {
            self.push_aside(job);
            return;
        }
        let adopted = !work.phase.begun() || (work.phase == Phase::Creating && !job.deleting);
        let known = work.job.as_ref() == Some(&job.uid);
        if !adopted && !known && work.job.is_some() {
            return; // news of a predecessor
        }
        work.job = Some(job.uid.clone());
        work.heard = now;
        if followed {
            work.followed = work.job.clone();
        }
        let outcome = job.outcome.clone();
        self.jobs.insert(node.clone(), job);
        if adopted {
            self.enter(&node, Phase::Running);
        }
        self.hear(&node);
        let Some(work) = self.works.get(&node) else { return };
        if matches!(work.phase, Phase::Running | Phase::Absent { begun: true }) && outcome != Outcome::Running {
            self.enter(&node, Phase::Ended { since: now, outcome, reading: false });
        }
    }

    fn on_job_of_others(&mut self, job: Job, now: u64) {
        let node = job.node.clone();
        self.push_aside(job);
        // Its name is taken by an earlier run's Job, which was not known when this one was asked for.
        if self.works.get(&node).is_some_and(|work| work.phase == Phase::Creating) {
            self.enter(&node, Phase::Starting { since: now });
        }
    }

    /// Has a Job deleted that is in the way of its node's own. One whose deletion has begun already is asked again: that
    /// costs nothing, and an answer comes even if the news of its end came first.
    pub(super) fn push_aside(&mut self, job: Job) {
        self.others.entry(job.node.clone()).or_default().insert(job.name.clone(), job.uid.clone());
        if self.deleting.contains_key(&job.uid) {
            return;
        }
        let owner = &self.settings.owner;
        let earlier = job.owner == owner.name && !job.owner_uids.contains(&owner.uid);
        let unasked = self.together.state == Joint::Unasked;
        if unasked && earlier && job.outcome == Outcome::Complete && !job.deleting {
            self.together.jobs.insert(job.uid.clone());
        }
        self.stale.insert(job.uid, (job.name, job.node));
    }

    pub(super) fn on_job_gone(&mut self, name: &str, uid: &str, node: &str, now: u64) {
        self.deleting.remove(uid);
        self.stale.remove(uid);
        self.together.jobs.remove(uid);
        if let Some(others) = self.others.get_mut(node) {
            others.retain(|_, other| other != uid);
            if others.is_empty() {
                self.others.remove(node);
            }
        }
        if self.jobs.get(node).is_some_and(|job| job.uid == uid) {
            self.jobs.remove(node);
        }
        self.touched.insert(node.to_owned());
        if self.accepting && !self.works.contains_key(node) {
            self.gone.entry(node.to_owned()).or_default().insert(uid.to_owned());
        }
        let Some(work) = self.works.get_mut(node).filter(|work| work.phase != Phase::Over) else { return };
        if !work.buried.iter().any(|buried| buried == uid) {
            work.buried.push(uid.to_owned());
        }
        if work.job.as_deref() == Some(uid) {
            self.lose(node, name, now);
        }
    }

    /// Begins a node again whose Job was deleted by somebody, a few times.
    fn lose(&mut self, node: &str, name: &str, now: u64) {
        let Some(work) = self.works.get_mut(node) else { return };
        if !matches!(work.phase, Phase::Creating | Phase::Running | Phase::Absent { begun: true }) {
            return; // it had ended already
        }
        work.job = None;
        if work.buried.len() > AGAIN {
            let message = format!("its Job {name} was deleted {} times by somebody else", work.buried.len());
            self.fail(node, Code::NODE_JOB_LOST, message);
        } else {
            self.enter(node, Phase::Starting { since: now });
        }
    }

    pub(super) fn on_created(&mut self, node: &str, node_uid: &str, uid: String, now: u64) {
        let Some(work) = self.works.get_mut(node).filter(|work| work.uid == node_uid) else {
            // The node went away meanwhile.
            let name = job_name(&self.settings.prefix, node);
            self.others.entry(node.to_owned()).or_default().insert(name.clone(), uid.clone());
            self.stale.insert(uid, (name, node.to_owned()));
            return;
        };
        if work.phase == Phase::Over || work.job.is_some() {
            return; // the watch was faster
        }
        if work.buried.contains(&uid) {
            let name = job_name(&self.settings.prefix, node);
            return self.lose(node, &name, now);
        }
        let unheard = work.asked_at_list != self.lists;
        work.job = Some(uid.clone());
        work.heard = now;
        if work.phase == Phase::Creating || !work.phase.begun() {
            self.enter(node, Phase::Running);
        }
        self.hear(node);
        if unheard {
            self.look_for(node, uid); // a list was told meanwhile, which may not have had it yet or not any more
        }
    }

    /// After a gap in the watch: a Job that was made and deleted within it is in no list and no news.
    pub(super) fn on_jobs_listed(&mut self) {
        self.lists += 1;
        // The same goes for one that was deleted within it: asked again, the answer tells.
        let together = &self.together;
        self.stale.extend(self.deleting.extract_if(.., |uid, _| !together.has(uid)));
        let unheard: Vec<(String, String)> = self
            .works
            .iter()
            .filter(|(_, work)| {
                let waits = matches!(work.phase, Phase::Running | Phase::Absent { begun: true });
                waits && work.followed != work.job
            })
            .filter_map(|(node, work)| Some((node.clone(), work.job.clone()?)))
            .collect();
        for (node, uid) in unheard {
            self.look_for(&node, uid);
        }
    }

    pub(super) fn look_for(&mut self, node: &str, uid: String) {
        let name = job_name(&self.settings.prefix, node);
        self.pending.push(Action::Find { node: node.to_owned(), name, uid });
    }

    pub(super) fn on_undeletable(&mut self, name: &str, node: &str, message: String) {
        self.deleting.retain(|_, (deleting, _)| deleting != name);
        self.stale.retain(|_, (stale, _)| stale != name);
        if let Some(others) = self.others.get_mut(node) {
            others.remove(name);
        }
        if self.works.get(node).is_some_and(|work| !work.phase.begun()) {
            self.fail(node, Code::DISPATCHER_FAILED, message);
        }
    }

    pub(super) fn deletions(&mut self, now: u64) -> Vec<Action> {
        let mut next = Vec::new();
        match self.together.state {
            Joint::Unasked if self.lists == 0 => {} // how many there are is not known yet
            Joint::Unasked if self.settings.late.is_none() && self.together.jobs.len() >= TOGETHER => {
                self.together.state = Joint::Asked;
                next.push(Action::DeleteEarlier(self.together.jobs.len()));
                let together = &self.together;
                self.deleting.extend(self.stale.extract_if(.., |uid, _| together.jobs.contains(uid)));
            }
            Joint::Unasked => self.together = Together { state: Joint::Over, ..Together::default() },
            Joint::Told { since } if now >= since + TOLD => self.one_by_one(),
            Joint::Asked | Joint::Told { .. } | Joint::Over => {}
        }
        let alone = self.deleting.len().saturating_sub(self.together.jobs.len());
        let room = DELETIONS.saturating_sub(alone);
        let waits = |uid: &String| self.together.state == Joint::Unasked && self.together.jobs.contains(uid);
        let turn: Vec<String> = self.stale.keys().filter(|uid| !waits(uid)).take(room).cloned().collect();
        for uid in turn {
            let Some((name, node)) = self.stale.remove(&uid) else { continue };
            self.deleting.insert(uid.clone(), (name.clone(), node.clone()));
            next.push(Action::Delete { node, name, uid });
        }
        next
    }

    pub(super) fn on_deleted_together(&mut self, good: bool, now: u64) {
        if good {
            self.together.state = Joint::Told { since: now };
        } else {
            self.one_by_one();
        }
    }

    fn one_by_one(&mut self) {
        let together = std::mem::replace(&mut self.together, Together { state: Joint::Over, ..Together::default() });
        self.stale.extend(self.deleting.extract_if(.., |uid, _| together.jobs.contains(uid)));
    }
}

/// Finished Jobs of earlier runs that are deleted by few requests.
#[derive(Default)]
pub(super) struct Together {
    state: Joint,
    /// Their identities, until they are gone.
    jobs: BTreeSet<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Joint {
    #[default]
    Unasked,
    Asked,
    /// The API server says that they are gone.
    Told {
        since: u64,
    },
    Over,
}

impl Together {
    /// Tells whether a Job's deletion is under way in this manner.
    fn has(&self, uid: &str) -> bool {
        matches!(self.state, Joint::Asked | Joint::Told { .. }) && self.jobs.contains(uid)
    }
}
