//! Finishing what an operation that is gone began, from its record alone: no chart, no values are needed.

use super::rollback::again;
use super::{Situation, Work, check_name, without};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::options::{Options, Takeover};
use crate::record::{HookEvent, Release, Status};

/// What recovering a release did.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovered {
    /// It is deployed; nothing had to be done.
    Sound(Release),
    /// What was begun is deployed now, as this new revision.
    Finished(Release),
    /// The removal that was begun is finished.
    Removed,
}

impl Engine {
    /// Brings a release whose last operation was cut off or failed to its end: an installation, upgrade or rollback is
    /// done again with the objects and hooks of its record, a removal is finished. Running it again after any
    /// interruption converges.
    ///
    /// Errors: [`Error::NotFound`]; [`Error::Busy`] while the owner of the operation lives; everything that applying,
    /// waiting and hooks can meet.
    pub async fn recover(&self, name: &str, options: &Options) -> Result<Recovered> {
        check_name(name)?;
        self.cluster.version().await?;
        let mut history = self.storage.history(name).await?;
        let situation = super::resume::situation(&history);
        let last = history.last_mut().ok_or(Error::NotFound)?;
        match last.info.status {
            Status::Deployed | Status::Superseded => {
                let last = last.clone();
                // Whoever was killed last of all left two that are deployed.
                if last.info.status == Status::Deployed {
                    self.supersede_others(name, last.version).await?;
                }
                return Ok(Recovered::Sound(last));
            }
            Status::Uninstalling | Status::Uninstalled => {
                self.remove_release(name, &Options { keep_history: false, ..options.clone() }).await?;
                return Ok(Recovered::Removed);
            }
            status if status.is_pending() => {
                let takeover = if options.takeover == Takeover::Always { Takeover::Always } else { Takeover::WhenGone };
                self.take_over(last, takeover).await?;
            }
            _ => {}
        }
        let last = last.clone();
        let [before, after] = match situation {
            _ if last.info.rollback_revision > 0 => [HookEvent::PreRollback, HookEvent::PostRollback],
            Situation::Deployed => [HookEvent::PreUpgrade, HookEvent::PostUpgrade],
            _ => [HookEvent::PreInstall, HookEvent::PostInstall],
        };
        let mut release = again(&last, &last, options);
        release.info.rollback_revision = last.info.rollback_revision;
        release.info.status = match before {
            HookEvent::PreRollback => Status::PendingRollback,
            HookEvent::PreUpgrade => Status::PendingUpgrade,
            _ => Status::PendingInstall,
        };
        release.info.description = format!("Recovering revision {}", last.version);

        let objects = self.stamped(&release.manifest, name, &release.namespace).await?;
        let recorded = self.recorded(&last.manifest, &last.namespace).await?;
        let mut earlier = without(self.left_by(&history).await?, &recorded);
        earlier.extend(recorded);
        let _held = self.open(&release, options).await?;
        let work = Work { options, before, after, objects, earlier };
        if let Err(error) = self.carry_out(&mut release, work, &mut Vec::new()).await {
            let text = format!("Recovery of {name:?} failed: {}", error.described(options.root_causes));
            self.record_failure(&mut release, text).await;
            return Err(error);
        }
        let description = options.description.clone().unwrap_or_else(|| match release.info.rollback_revision {
            0 => format!("Recovered revision {}", last.version),
            to => format!("Rollback to {to}, recovered from revision {}", last.version),
        });
        release.set_status(Status::Deployed, description);
        self.record(&release).await?;
        self.supersede_others(name, release.version).await?;
        Ok(Recovered::Finished(release))
    }
}
