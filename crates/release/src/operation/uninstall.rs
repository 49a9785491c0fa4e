//! Uninstalling a release. Until everything is gone its record stays, so that it can be run again after any failure.

use super::check_name;
use crate::apply::{Removal, remove_all};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::hooks::HookRunner;
use crate::lease::{self, Held};
use crate::object::ObjectId;
use crate::options::{DryRun, Options, WaitFor};
use crate::record::{HookEvent, Release, Status, Time};
use crate::wait::{Goal, wait};

/// What an uninstallation did.
#[derive(Debug, Clone, PartialEq)]
pub struct Uninstalled {
    /// The newest revision as it was recorded last.
    pub release: Release,
    /// Helm's account of what was left in place; empty when nothing was.
    pub info: String,
    /// Objects that were deleted (for a dry run: would be).
    pub deleted: Vec<ObjectId>,
}

impl Engine {
    /// Removes a release: hooks, objects, hooks, records (or, with [`Options::keep_history`], the record says so).
    ///
    /// Objects that ask to be kept and objects without the marks of the release stay and are listed in the answer.
    /// Errors: [`Error::NotLoaded`], [`Error::AlreadyUninstalled`], [`Error::Busy`], hooks, [`Error::RemoveIncomplete`].
    pub async fn uninstall(&self, name: &str, options: &Options) -> Result<Uninstalled> {
        check_name(name)?;
        self.cluster.version().await?;
        self.remove_release(name, options).await
    }

    pub(super) async fn remove_release(&self, name: &str, options: &Options) -> Result<Uninstalled> {
        let mut history = self.storage.history(name).await?;
        let revisions: Vec<u32> = history.iter().map(|release| release.version).collect();
        let last = history.last_mut().ok_or_else(|| Error::NotLoaded(name.to_owned()))?;
        if last.info.status == Status::Uninstalled {
            if options.keep_history {
                return Err(Error::AlreadyUninstalled(name.to_owned()));
            }
            let release = last.clone();
            if options.dry_run == DryRun::No {
                self.purge(name, &revisions).await?;
            }
            return Ok(Uninstalled { release, info: String::new(), deleted: vec![] });
        }
        let busy = last.info.status.is_pending() || last.info.status == Status::Uninstalling;
        if options.dry_run == DryRun::No && busy {
            self.take_over_unless_alive(last).await?;
        }
        let mut release = last.clone();
        // What interrupted or failed upgrades left goes too, not only what the newest record lists.
        let mut items = self.recorded(&release.manifest, &release.namespace).await?;
        items.extend(super::without(self.left_by(&history).await?, &items));
        if options.dry_run != DryRun::No {
            let deleted =
                items.iter().filter(|item| !crate::ownership::is_kept(&item.object)).map(|item| item.id.clone());
            let kept = items.iter().filter(|item| crate::ownership::is_kept(&item.object)).map(|item| item.id.clone());
            let removal = Removal { kept: kept.collect(), ..Removal::default() };
            return Ok(Uninstalled { deleted: deleted.collect(), info: account(&removal), release });
        }

        let hooks = HookRunner { cluster: &self.cluster, storage: &self.storage, options, filter: &|_| true };
        release.info.deleted = Some(Time::now());
        release.set_status(Status::Uninstalling, "Deletion in progress (or silently failed)");
        let claim = lease::begin();
        self.storage.renew(name, release.version, &claim.lease).await?;
        let _held = Held::keep(&self.storage, name, release.version, claim);
        self.record(&release).await?;
        if options.hooks {
            hooks.run(&mut release, HookEvent::PreDelete).await?;
        }
        let removal = remove_all(&self.cluster, items, name, &release.namespace, options.cascade).await;
        if !removal.failed.is_empty() {
            let failures = removal.failed.iter().map(|(object, why)| format!("{object}: {why}")).collect();
            return Err(Error::RemoveIncomplete { name: name.to_owned(), failures });
        }
        if options.wait != WaitFor::Hooks {
            wait(&self.cluster, &removal.deleted, Goal::Gone, options.timeout).await?;
        }
        if options.hooks {
            hooks.run(&mut release, HookEvent::PostDelete).await?;
        }
        let description = options.description.clone().unwrap_or_else(|| "Uninstallation complete".to_owned());
        release.set_status(Status::Uninstalled, description);
        if options.keep_history {
            self.record(&release).await?;
            self.supersede_others(name, release.version).await?;
        } else {
            self.purge(name, &revisions).await?;
        }
        let deleted = removal.deleted.iter().map(|target| target.id.clone()).collect();
        Ok(Uninstalled { info: account(&removal), deleted, release })
    }

    /// Removes records, the newest last: as long as any is left, the release is known to be unfinished.
    async fn purge(&self, name: &str, revisions: &[u32]) -> Result<()> {
        self.storage.delete_all(name, revisions).await
    }
}

/// Returns Helm's account of what was left in place.
fn account(removal: &Removal) -> String {
    let line = |id: &ObjectId| format!("[{}] {}\n", id.kind, id.name);
    let mut parts = Vec::new();
    if !removal.kept.is_empty() {
        let list: String = removal.kept.iter().map(line).collect();
        parts.push(format!("These resources were kept due to the resource policy:\n{list}"));
    }
    if !removal.unowned.is_empty() {
        let (count, list): (_, String) = (removal.unowned.len(), removal.unowned.iter().map(line).collect());
        parts.push(format!("{count} resource(s) were not deleted because they are not owned by this release:\n{list}"));
    }
    if !removal.unverifiable.is_empty() {
        let count = removal.unverifiable.len();
        let list: String =
            removal.unverifiable.iter().map(|(id, why)| format!("[{}] {}: {why}\n", id.kind, id.name)).collect();
        parts.push(format!(
            "{count} resource(s) were not deleted because their ownership could not be verified:\n{list}"
        ));
    }
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_listed_as_in_helm() {
        let id = |kind: &str, name: &str| ObjectId::new("v1", kind, "n", name);
        let removal =
            Removal { kept: vec![id("Secret", "ca")], unowned: vec![id("ConfigMap", "theirs")], ..Removal::default() };
        assert_eq!(
            account(&removal),
            "These resources were kept due to the resource policy:\n[Secret] ca\n\n1 resource(s) were not deleted because \
             they are not owned by this release:\n[ConfigMap] theirs\n"
        );
        assert_eq!(account(&Removal::default()), "");
    }
}
