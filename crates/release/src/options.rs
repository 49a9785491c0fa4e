//! What can be chosen about an operation. The defaults are Helm's.

use crate::cluster::Cascade;
use crate::values::Reuse;
use crate::wait::Patience;
use std::collections::BTreeMap;
use std::time::Duration;

/// The choices of every operation; each uses those that concern it.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long each wait may take: for all objects together, for each hook, for removal.
    pub timeout: Duration,
    /// How long single hooks may take, by name, where that is not `timeout`.
    pub hook_timeouts: BTreeMap<String, Duration>,
    /// What to wait for after objects were applied.
    pub wait: WaitFor,
    /// Run hooks.
    pub hooks: bool,
    /// Do everything but change something.
    pub dry_run: DryRun,
    /// Take fields from other managers.
    pub force_conflicts: bool,
    /// Replace whole objects instead of applying them.
    pub force_replace: bool,
    /// Delete and create again what cannot be changed in place.
    pub recreate: bool,
    /// Adopt objects that exist without the marks of the release.
    pub take_ownership: bool,
    /// Create the namespace of the release when it does not exist.
    pub create_namespace: bool,
    /// What to do with the chart's `crds/` folder.
    pub crds: Crds,
    /// Text for the record instead of the usual one.
    pub description: Option<String>,
    /// Labels of the record.
    pub labels: BTreeMap<String, String>,
    /// How many revisions to keep; 0 keeps all.
    pub history_limit: usize,
    /// Undo what failed: uninstall after an installation, roll back after an upgrade.
    pub rollback_on_failure: bool,
    /// Delete the objects that a failed upgrade created.
    pub cleanup_on_fail: bool,
    /// Install over the record of a release that failed or was uninstalled.
    pub replace: bool,
    /// Which values an upgrade uses.
    pub reuse: Reuse,
    /// What to do about an operation that was not finished.
    pub takeover: Takeover,
    /// How deletion treats what an object owns.
    pub cascade: Cascade,
    /// Keep the record of an uninstalled release.
    pub keep_history: bool,
    /// After a rollback whose objects could not be applied, count the revision before it as superseded although nothing
    /// took its place: Helm's way. Otherwise it stays what it was.
    pub supersede_on_failed_rollback: bool,
    /// For how long pods may be in a state that seldom heals (an image that is not there, for example) before waiting
    /// is given up; states that cannot heal end it at once. Nothing: time alone ends it, Helm's way.
    pub give_up: Option<Duration>,
    /// Describe a failure in the record with its root causes, as found in pods and events; Helm has the error alone.
    pub root_causes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            timeout: Duration::from_secs(300),
            hook_timeouts: BTreeMap::new(),
            wait: WaitFor::Hooks,
            hooks: true,
            dry_run: DryRun::No,
            force_conflicts: false,
            force_replace: false,
            recreate: false,
            take_ownership: false,
            create_namespace: false,
            crds: Crds::CreateNew,
            description: None,
            labels: BTreeMap::new(),
            history_limit: 10,
            rollback_on_failure: false,
            cleanup_on_fail: false,
            replace: false,
            reuse: Reuse::WhenNoneGiven,
            takeover: Takeover::Never,
            cascade: Cascade::Background,
            keep_history: false,
            supersede_on_failed_rollback: false,
            give_up: Some(Duration::from_secs(60)),
            root_causes: true,
        }
    }
}

impl Options {
    /// How long each wait may take.
    pub(crate) fn patience(&self) -> Patience {
        Patience { timeout: self.timeout, give_up: self.give_up }
    }

    /// How long a hook may take.
    pub(crate) fn patience_with(&self, hook: &str) -> Patience {
        let timeout = self.hook_timeouts.get(hook).copied().unwrap_or(self.timeout);
        Patience { timeout, give_up: self.give_up }
    }

    /// What is really waited for: undoing a failure needs to know of it.
    pub(crate) fn effective_wait(&self) -> WaitFor {
        match self.wait {
            WaitFor::Hooks if self.rollback_on_failure => WaitFor::Objects,
            wait => wait,
        }
    }
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitFor {
    /// Hooks only; Helm's default.
    #[default]
    Hooks,
    /// Every object (`--wait`).
    Objects,
    /// Every object, and Jobs have to complete (`--wait --wait-for-jobs`).
    ObjectsAndJobs,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DryRun {
    /// This is real.
    #[default]
    No,
    /// Render with the facts of the cluster; nothing is stored or applied.
    Server,
    /// Render without asking the cluster for anything but the record.
    Client,
}

/// What to do with the chart's `crds/` folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Crds {
    /// Create those that do not exist, on installation only; Helm's way.
    #[default]
    CreateNew,
    /// Apply all of them, on upgrades too.
    Apply,
    /// Leave them.
    Skip,
}

/// What to do about an operation that was not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Takeover {
    /// Refuse, as Helm does.
    #[default]
    Never,
    /// Take over when its owner is gone.
    WhenGone,
    /// Take over whoever may be at work.
    Always,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_has_its_own_time_when_it_is_named() {
        let long = Duration::from_secs(1800);
        let options =
            Options { hook_timeouts: [("dispatcher".to_owned(), long)].into(), give_up: None, ..Options::default() };
        assert_eq!(options.patience_with("dispatcher").timeout, long);
        assert_eq!(options.patience_with("other").timeout, options.timeout);
    }
}
