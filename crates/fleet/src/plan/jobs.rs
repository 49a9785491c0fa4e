//! Jobs: those of this run are adopted by identity, those of others make room first, and none is made twice.

use super::event::Action;
use super::work::Phase;
use super::{Fleet, Job, Outcome};
use crate::job_name::job_name;
use contract::Code;

/// Stale Jobs that are deleted at the same time.
const DELETIONS: usize = 16;
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
        if !self.deleting.contains_key(&job.uid) {
            self.stale.insert(job.uid, (job.name, job.node));
        }
    }

    pub(super) fn on_job_gone(&mut self, name: &str, uid: &str, node: &str, now: u64) {
        self.deleting.remove(uid);
        self.stale.remove(uid);
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
        self.stale.append(&mut self.deleting);
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

    pub(super) fn deletions(&mut self) -> Vec<Action> {
        let room = DELETIONS.saturating_sub(self.deleting.len());
        let mut next = Vec::new();
        while next.len() < room
            && let Some((uid, (name, node))) = self.stale.pop_first()
        {
            self.deleting.insert(uid.clone(), (name.clone(), node.clone()));
            next.push(Action::Delete { node, name, uid });
        }
        next
    }
}
