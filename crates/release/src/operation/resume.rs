//! Operations that were cut off: who held them, taking them over, and one verb that converges from any state.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::lease::{self, Holder, RENEW_EVERY};
use crate::options::{Options, Takeover};
use crate::record::{Release, Status};
use crate::source::Source;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// In what state a release is found, as far as the next operation is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Situation {
    /// No record, or one of a release that was uninstalled: install.
    Absent,
    /// A first installation that never got there: install again, over what it left.
    NeverDeployed,
    /// Some revision is deployed: upgrade.
    Deployed,
    /// Being uninstalled: finish that first.
    Uninstalling,
}

/// Decides from a history, oldest first, what a release needs to be brought to a wanted state.
pub(super) fn situation(history: &[Release]) -> Situation {
    let Some(last) = history.last() else { return Situation::Absent };
    let was_deployed = |release: &Release| matches!(release.info.status, Status::Deployed | Status::Superseded);
    let since_removal =
        history.iter().rposition(|release| release.info.status == Status::Uninstalled).map_or(0, |at| at + 1);
    match last.info.status {
        Status::Uninstalled => Situation::Absent,
        Status::Uninstalling => Situation::Uninstalling,
        _ if history[since_removal..].iter().any(was_deployed) => Situation::Deployed,
        _ => Situation::NeverDeployed,
    }
}

impl Engine {
    /// Returns in what state a release is.
    pub async fn situation(&self, name: &str) -> Result<Situation> {
        Ok(situation(&self.storage.history(name).await?))
    }

    /// Brings a release to a chart and values from whatever state it is in: installs, upgrades, installs again over an
    /// installation that was cut off, finishes a removal first. Running it again after any interruption converges.
    ///
    /// Errors: those of [`Engine::install`], [`Engine::upgrade`] and [`Engine::uninstall`]; [`Error::Busy`] while the
    /// owner of an unfinished operation lives.
    pub async fn install_or_upgrade(
        &self,
        name: &str,
        source: Arc<dyn Source>,
        values: Map<String, Value>,
        options: &Options,
    ) -> Result<Release> {
        let takeover = match options.takeover {
            Takeover::Never => Takeover::WhenGone,
            other => other,
        };
        let options = Options { takeover, replace: true, ..options.clone() };
        match self.situation(name).await? {
            Situation::Absent | Situation::NeverDeployed => self.install(name, source, values, &options).await,
            Situation::Deployed => self.upgrade(name, source, values, &options).await,
            Situation::Uninstalling => {
                let finish = Options { keep_history: false, ..options.clone() };
                self.uninstall(name, &finish).await?;
                self.install(name, source, values, &options).await
            }
        }
    }

    /// Marks what an interrupted operation of a release left pending as failed, so that Helm too can go on from there.
    /// For whoever catches an interrupt: drop the operation, then call this. Does nothing when nothing is pending.
    ///
    /// Errors: [`Error::Busy`] while the owner lives.
    pub async fn abandon(&self, name: &str) -> Result<()> {
        match self.storage.last(name).await? {
            Some(mut last) if last.info.status.is_pending() => self.take_over_unless_alive(&mut last).await,
            _ => Ok(()),
        }
    }

    /// Marks an unfinished revision as failed when that is allowed, so that the next operation can start.
    pub(super) async fn take_over(&self, release: &mut Release, takeover: Takeover) -> Result<()> {
        let status = release.info.status;
        let lease = self.storage.lease(&release.name, release.version).await?;
        let holder = lease.as_ref().map(|lease| lease.holder.clone());
        let free = match (takeover, &lease) {
            (Takeover::Never, _) => false,
            (Takeover::Always, _) => true,
            (Takeover::WhenGone, None) => lease::is_abandoned(release, Timestamp::now().as_second()),
            (Takeover::WhenGone, Some(_)) => self.is_gone(release).await?,
        };
        if !free {
            return Err(Error::Busy { status, holder });
        }
        self.cluster.progress.send(Event::TakenOver { revision: release.version, status, holder });
        if status.is_pending() {
            let text = format!("Interrupted while {status}; taken over");
            release.set_status(Status::Failed, text);
            self.record(release).await?;
        }
        Ok(())
    }

    /// Takes over unless the owner is known to live; a record without an owner's name is free. For the two operations
    /// that people use to get out of a stuck state.
    pub(super) async fn take_over_unless_alive(&self, release: &mut Release) -> Result<()> {
        let named = self.storage.lease(&release.name, release.version).await?.is_some();
        self.take_over(release, if named { Takeover::WhenGone } else { Takeover::Always }).await
    }

    /// Is the holder of a revision gone? One on another machine is watched for longer than it takes to renew.
    async fn is_gone(&self, release: &Release) -> Result<bool> {
        let read = || self.storage.lease(&release.name, release.version);
        let Some(first) = read().await? else { return Ok(true) };
        match lease::judge(&first, Timestamp::now().as_second()) {
            Holder::Alive => Ok(false),
            Holder::Gone => Ok(true),
            Holder::Silent => {
                tokio::time::sleep(RENEW_EVERY + Duration::from_secs(2)).await;
                Ok(read().await?.is_none_or(|second| second == first))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Deployed, Failed, PendingInstall, PendingUpgrade, Superseded, Uninstalled, Uninstalling};

    fn of(statuses: &[Status]) -> Situation {
        let release = |(index, status): (usize, &Status)| {
            let mut release = Release { version: index as u32 + 1, ..Release::default() };
            release.info.status = *status;
            release
        };
        situation(&statuses.iter().enumerate().map(release).collect::<Vec<_>>())
    }

    #[test]
    fn every_state_has_a_way_on() {
        assert_eq!(of(&[]), Situation::Absent);
        assert_eq!(of(&[Superseded, Uninstalled]), Situation::Absent);
        assert_eq!(of(&[PendingInstall]), Situation::NeverDeployed);
        assert_eq!(of(&[Failed, Failed]), Situation::NeverDeployed);
        assert_eq!(of(&[Superseded, Uninstalled, Failed]), Situation::NeverDeployed);
        assert_eq!(of(&[Deployed]), Situation::Deployed);
        assert_eq!(of(&[Deployed, PendingUpgrade]), Situation::Deployed);
        assert_eq!(of(&[Superseded, Failed]), Situation::Deployed);
        assert_eq!(of(&[Deployed, Uninstalling]), Situation::Uninstalling);
    }
}
