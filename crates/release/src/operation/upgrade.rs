//! Upgrading a release.

use super::{Work, check_name, without};
use crate::apply::{Item, check_adoption, remove_all};
use crate::cluster::Cascade;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::options::{Crds, DryRun, Options, Takeover};
use crate::record::{HookEvent, Info, Release, SERVER_SIDE, Status, Time};
use crate::source::{RenderInput, Source};
use crate::storage::newest_deployed;
use crate::values::{choose, merge_labels};
use serde_json::{Map, Value};
use std::sync::Arc;

impl Engine {
    /// Upgrades a release to a chart and values.
    ///
    /// Errors: [`Error::NoDeployed`] when there is nothing to upgrade, [`Error::Busy`] while another operation is under
    /// way, [`Error::NotOurs`] for new objects that exist already, everything that applying, waiting and hooks can meet.
    /// After an error past the first store the new revision is recorded as failed and the old one stays deployed.
    pub async fn upgrade(
        &self,
        name: &str,
        source: Arc<dyn Source>,
        values: Map<String, Value>,
        options: &Options,
    ) -> Result<Release> {
        check_name(name)?;
        self.cluster.version().await?;
        let mut history = self.storage.history(name).await?;
        let Some(last) = history.last_mut() else { return Err(Error::NoDeployed(name.to_owned())) };
        if last.info.status.is_pending() {
            if options.dry_run != DryRun::No && options.takeover != Takeover::Never {
                last.info.status = Status::Failed; // as it would be after taking over, without doing so
            } else {
                self.take_over(last, options.takeover).await?;
            }
        }
        let base = base_of(&history).ok_or_else(|| Error::NoDeployed(name.to_owned()))?;
        let mut release = self.next_revision(&source, values, &history, &base, options).await?;

        let objects = self.stamped(&release.manifest, name, &release.namespace).await?;
        let recorded = self.recorded(&base.manifest, &base.namespace).await?;
        if !options.take_ownership {
            let new: Vec<&Item> =
                objects.iter().filter(|item| !recorded.iter().any(|old| old.id.is_same_object(&item.id))).collect();
            check_adoption(&self.cluster, &new, name, &release.namespace, "update").await?;
        }
        if options.dry_run != DryRun::No {
            return Ok(release);
        }
        if options.crds == Crds::Apply {
            self.install_crds(&source, &release.config, options.crds).await?;
        }
        let mut earlier = without(self.left_by(&history).await?, &recorded);
        earlier.extend(recorded);
        let _held = self.open(&release, options).await?;

        let work = Work { options, before: HookEvent::PreUpgrade, after: HookEvent::PostUpgrade, objects, earlier };
        let mut created = Vec::new();
        if let Err(error) = self.carry_out(&mut release, work, &mut created).await {
            return Err(self.upgrade_failed(release, created, error, options).await);
        }
        let description = options.description.clone().unwrap_or_else(|| "Upgrade complete".to_owned());
        release.set_status(Status::Deployed, description);
        self.record(&release).await?;
        // The new revision first: a cut between the two leaves two deployed ones, of which the newest counts, and never
        // none.
        self.supersede_others(name, release.version).await?;
        Ok(release)
    }

    pub(super) async fn next_revision(
        &self,
        source: &Arc<dyn Source>,
        values: Map<String, Value>,
        history: &[Release],
        base: &Release,
        options: &Options,
    ) -> Result<Release> {
        let last = history.last().unwrap_or(base);
        let chosen = choose(options.reuse, values, &base.config, &base.chart);
        let cluster = if options.dry_run == DryRun::Client { None } else { Some(self.facts().await?) };
        let input = RenderInput {
            name: base.name.clone(),
            namespace: base.namespace.clone(),
            revision: last.version + 1,
            is_upgrade: true,
            values: chosen.config.clone(),
            defaults: chosen.defaults,
            cluster,
        };
        let bundle = self.render(source, input).await?;
        let description = match (&options.description, options.dry_run) {
            (Some(description), dry) if dry != DryRun::No => description,
            (None, dry) if dry != DryRun::No => "Dry run complete",
            _ => "Preparing upgrade",
        };
        Ok(Release {
            name: base.name.clone(),
            info: Info {
                first_deployed: base.info.first_deployed,
                last_deployed: Some(Time::now()),
                description: description.to_owned(),
                status: Status::PendingUpgrade,
                notes: bundle.notes,
                ..Info::default()
            },
            chart: bundle.chart,
            config: chosen.config,
            manifest: bundle.manifest,
            hooks: bundle.hooks,
            version: last.version + 1,
            namespace: base.namespace.clone(),
            apply_method: SERVER_SIDE.to_owned(),
            labels: merge_labels(&last.labels, &options.labels),
            other: Map::new(),
        })
    }

    async fn upgrade_failed(&self, mut release: Release, created: Vec<Item>, error: Error, options: &Options) -> Error {
        let name = release.name.clone();
        self.cluster.progress.send(Event::UpgradeFailed { name: name.clone(), error: error.to_string() });
        self.record_failure(&mut release, format!("Upgrade {name:?} failed: {}", error.described(options.root_causes)))
            .await;
        if options.cleanup_on_fail && !created.is_empty() {
            let removal = remove_all(&self.cluster, created, &name, &release.namespace, Cascade::Background).await;
            for (object, why) in removal.failed {
                self.cluster.progress.warn(format!("unable to clean up {object}: {why}"));
            }
        }
        if !options.rollback_on_failure {
            return error;
        }
        let source = Box::new(error);
        match Box::pin(self.roll_back_to_last_good(&name, options)).await {
            Ok(()) => Error::Undone { name, undone: "rolled back", source },
            Err(second) => {
                Error::UndoFailed { undoing: "rolling back", operation: "upgrade", source, second: Box::new(second) }
            }
        }
    }

    async fn roll_back_to_last_good(&self, name: &str, options: &Options) -> Result<()> {
        let history = self.storage.history(name).await?;
        let good = |release: &&Release| matches!(release.info.status, Status::Superseded | Status::Deployed);
        let target = history.iter().rev().find(good).ok_or_else(|| Error::NoDeployed(name.to_owned()))?.version;
        let undo = Options {
            rollback_on_failure: false,
            wait: options.effective_wait(),
            description: None,
            // As Helm does: what undoes a failure takes no record away.
            history_limit: 0,
            ..options.clone()
        };
        self.rollback(name, target, &undo).await.map(drop)
    }
}

/// Returns the revision that an upgrade starts from: the newest deployed one; without any, the newest, when it failed or
/// was superseded.
pub(super) fn base_of(history: &[Release]) -> Option<Release> {
    let last = history.last()?;
    let fallback = || matches!(last.info.status, Status::Failed | Status::Superseded).then_some(last);
    newest_deployed(history).or_else(fallback).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(statuses: &[Status]) -> Option<u32> {
        let history: Vec<Release> = statuses
            .iter()
            .enumerate()
            .map(|(index, status)| Release {
                version: index as u32 + 1,
                info: Info { status: *status, ..Info::default() },
                ..Release::default()
            })
            .collect();
        base_of(&history).map(|release| release.version)
    }

    #[test]
    fn an_upgrade_starts_from_what_is_deployed() {
        use Status::{Deployed, Failed, Superseded, Uninstalled, Uninstalling};
        assert_eq!(base(&[Superseded, Deployed, Failed]), Some(2));
        assert_eq!(base(&[Failed, Failed]), Some(2));
        assert_eq!(base(&[Superseded]), Some(1));
        assert_eq!(base(&[Deployed, Deployed]), Some(2), "two, after a cut: the newest counts");
        assert_eq!(base(&[Uninstalled]), None);
        assert_eq!(base(&[Superseded, Uninstalling]), None);
        assert_eq!(base(&[]), None);
    }
}
