//! Rolling a release back: an old revision again, as a new one.

use super::{Work, check_name, without};
use crate::apply::{Item, remove_all};
use crate::cluster::Cascade;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::options::{DryRun, Options};
use crate::record::{HookEvent, Info, Release, SERVER_SIDE, Status, Time};

/// Longest description of a rollback, in characters, after Helm.
const DESCRIPTION_LIMIT: usize = 256;

impl Engine {
    /// Rolls a release back to a revision; 0 means the one before the newest.
    ///
    /// Errors: [`Error::NotFound`], [`Error::NoRevision`], everything that applying, waiting and hooks can meet.
    pub async fn rollback(&self, name: &str, revision: u32, options: &Options) -> Result<Release> {
        check_name(name)?;
        if let Some(text) = &options.description
            && text.chars().count() > DESCRIPTION_LIMIT
        {
            let count = text.chars().count();
            return Err(Error::Unsupported(format!(
                "description must be {DESCRIPTION_LIMIT} characters or less, got {count}"
            )));
        }
        self.cluster.version().await?;
        let mut history = self.storage.history(name).await?;
        let last = history.last_mut().ok_or(Error::NotFound)?;
        let wanted = if revision == 0 { last.version - 1 } else { revision };
        // Like Helm, a rollback is a way out of an operation that was cut off; unlike Helm, not while its owner lives.
        if options.dry_run == DryRun::No && last.info.status.is_pending() {
            self.take_over_unless_alive(last).await?;
        }
        let target = history.iter().find(|release| release.version == wanted).ok_or(Error::NoRevision(wanted))?;
        let current = history.last().ok_or(Error::NotFound)?;
        let mut release = again(target, current, options);

        let objects = self.stamped(&release.manifest, name, &release.namespace).await?;
        if options.dry_run != DryRun::No {
            return Ok(release);
        }
        let recorded = self.recorded(&current.manifest, &current.namespace).await?;
        let mut earlier = without(self.left_by(&history).await?, &recorded);
        earlier.extend(recorded);
        let _held = self.open(&release, options).await?;

        let work = Work { options, before: HookEvent::PreRollback, after: HookEvent::PostRollback, objects, earlier };
        let mut created: Vec<Item> = Vec::new();
        if let Err(error) = self.carry_out(&mut release, work, &mut created).await {
            // Helm's words for objects that do not become ready are others.
            let what = if matches!(error, Error::NotReady(_)) { "Release" } else { "Rollback" };
            let text = format!("{what} {name:?} failed: {}", error.described(options.root_causes));
            let applied = matches!(error, Error::NotReady(_) | Error::Hook(_));
            if options.supersede_on_failed_rollback && !applied {
                self.cluster.progress.warn(text.clone());
                let mut before = current.clone();
                before.info.status = Status::Superseded;
                self.record(&before).await?;
            }
            self.record_failure(&mut release, text).await;
            if options.cleanup_on_fail && !created.is_empty() {
                remove_all(&self.cluster, created, name, &release.namespace, Cascade::Background).await;
            }
            return Err(match error {
                error @ Error::NotReady(_) => {
                    Error::RollbackNotReady { name: name.to_owned(), source: Box::new(error) }
                }
                error => error,
            });
        }
        release.info.status = Status::Deployed;
        self.record(&release).await?;
        self.supersede_others(name, release.version).await?;
        Ok(release)
    }
}

/// Returns a new revision with the content of an old one.
pub(super) fn again(target: &Release, current: &Release, options: &Options) -> Release {
    let description = options.description.clone().unwrap_or_else(|| format!("Rollback to {}", target.version));
    Release {
        info: Info {
            first_deployed: current.info.first_deployed,
            last_deployed: Some(Time::now()),
            deleted: None,
            description,
            status: Status::PendingRollback,
            rollback_revision: target.version,
            notes: target.info.notes.clone(),
            other: Default::default(),
        },
        version: current.version + 1,
        namespace: current.namespace.clone(),
        apply_method: SERVER_SIDE.to_owned(),
        ..target.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_is_a_new_revision_with_old_content() {
        let old = Release { version: 2, manifest: "old".into(), name: "a".into(), ..Release::default() };
        let now = Release { version: 5, manifest: "new".into(), name: "a".into(), ..Release::default() };
        let release = again(&old, &now, &Options::default());
        assert_eq!((release.version, release.manifest.as_str(), release.info.rollback_revision), (6, "old", 2));
        assert_eq!(release.info.description, "Rollback to 2");
        assert_eq!(release.info.status, Status::PendingRollback);
    }
}
