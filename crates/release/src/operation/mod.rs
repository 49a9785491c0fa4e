//! The operations: each observes, decides, applies and verifies, and leaves a record that tells the truth at any moment.

mod inspect;
mod install;
mod preview;
mod recover;
mod resume;
mod rollback;
mod test;
mod uninstall;
mod upgrade;

pub use inspect::LiveObject;
pub use recover::Recovered;
pub use resume::Situation;
pub use test::TestFilter;
pub use uninstall::Uninstalled;

use crate::apply::{ApplyOptions, Item, apply_all, remove_all, targets};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::hooks::HookRunner;
use crate::lease::{self, Held};
use crate::options::{Options, WaitFor};
use crate::readiness::Rules;
use crate::record::{HookEvent, Release, Status};
use crate::wait::{Goal, wait};

/// The longest release name: every object name made from it must stay a valid label.
const NAME_LIMIT: usize = 53;

/// Checks a release name: labels of letters, digits and hyphens joined by dots.
pub fn check_name(name: &str) -> Result<()> {
    let bad = |why| Err(Error::BadName { name: name.to_owned(), why });
    if name.is_empty() {
        return bad("no name provided");
    }
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        label.bytes().all(inner) && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > NAME_LIMIT || !name.split('.').all(label) {
        return bad(
            "invalid release name, must match regex ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ \
             and the length must not be longer than 53",
        );
    }
    Ok(())
}

/// What one operation does to the cluster, whichever operation it is.
struct Work<'a> {
    options: &'a Options,
    before: HookEvent,
    after: HookEvent,
    /// The objects of the revision that is made.
    objects: Vec<Item>,
    /// The objects that may be there from revisions before; those that are no longer wanted go.
    earlier: Vec<Item>,
}

impl Engine {
    /// Stores a new revision and holds it.
    async fn open(&self, release: &Release, options: &Options) -> Result<Held> {
        if options.history_limit > 0 {
            self.storage.prune(&release.name, options.history_limit - 1).await?;
        }
        let claim = lease::begin();
        self.storage.create(release, &claim.lease).await?;
        self.tell_status(release);
        Ok(Held::keep(&self.storage, &release.name, release.version, claim))
    }

    /// Stores a revision again and tells its status.
    async fn record(&self, release: &Release) -> Result<()> {
        self.storage.update(release).await?;
        self.tell_status(release);
        Ok(())
    }

    fn tell_status(&self, release: &Release) {
        let (name, revision, status) = (release.name.clone(), release.version, release.info.status);
        self.cluster.progress.send(Event::Stored { name, revision, status });
    }

    /// Marks a revision as failed; an error of that is only told, because there is a worse one to return.
    async fn record_failure(&self, release: &mut Release, text: String) {
        release.set_status(Status::Failed, text);
        if let Err(error) = self.record(release).await {
            self.cluster.progress.warn(format!("the release record could not be updated: {error}"));
        }
    }

    /// Hooks, objects, removal of what is no longer wanted, waiting, hooks. What was created is in `created` even after
    /// an error.
    async fn carry_out(&self, release: &mut Release, work: Work<'_>, created: &mut Vec<Item>) -> Result<()> {
        let Work { options, before, after, objects, earlier } = work;
        let hooks = HookRunner { cluster: &self.cluster, storage: &self.storage, options, filter: &|_| true };
        if options.hooks {
            hooks.run(release, before).await?;
        }
        let how = ApplyOptions {
            force_conflicts: options.force_conflicts,
            force_replace: options.force_replace,
            recreate: options.recreate,
            timeout: options.timeout,
            updating: before != HookEvent::PreInstall,
        };
        apply_all(&self.cluster, &objects, how, created).await?;
        let unwanted: Vec<Item> = without(earlier, &objects);
        let removal = remove_all(&self.cluster, unwanted, &release.name, &release.namespace, options.cascade).await;
        if !removal.failed.is_empty() {
            let sentence = |(id, why): &(crate::object::ObjectId, String)| {
                let crate::object::ObjectId { kind, namespace, name, .. } = id;
                format!("failed to delete resource namespace={namespace}, name={name}, kind={kind}: {why}")
            };
            return Err(Error::PruneFailed(removal.failed.iter().map(sentence).collect()));
        }
        let rules = match options.effective_wait() {
            WaitFor::Hooks => None,
            WaitFor::Objects => Some(Rules::Objects),
            WaitFor::ObjectsAndJobs => Some(Rules::ObjectsAndJobs),
        };
        if let Some(rules) = rules {
            wait(&self.cluster, &targets(&objects), Goal::Ready(rules), options.patience()).await?;
        }
        if options.hooks {
            hooks.run(release, after).await?;
        }
        Ok(())
    }

    /// Sets every deployed revision but one to superseded.
    async fn supersede_others(&self, name: &str, revision: u32) -> Result<()> {
        for mut other in self.storage.history(name).await? {
            if other.info.status == Status::Deployed && other.version != revision {
                other.info.status = Status::Superseded;
                self.record(&other).await?;
            }
        }
        Ok(())
    }

    /// Returns the objects that revisions may have left on the cluster: those of the newest deployed revision and of
    /// every later one, which may have got any way.
    async fn left_by(&self, history: &[Release]) -> Result<Vec<Item>> {
        let from = history.iter().rposition(|release| release.info.status == Status::Deployed).unwrap_or(0);
        let mut items: Vec<Item> = Vec::new();
        for release in &history[from..] {
            if matches!(release.info.status, Status::Uninstalled) {
                items.clear();
                continue;
            }
            let recorded = self.recorded(&release.manifest, &release.namespace).await?;
            items.extend(without(recorded, &items.clone()));
        }
        Ok(items)
    }
}

/// Returns the items that are not among others, by identity.
fn without(items: Vec<Item>, others: &[Item]) -> Vec<Item> {
    items.into_iter().filter(|item| !others.iter().any(|other| other.id.is_same_object(&item.id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::test::TestFilter;
    use crate::source::Source;
    use std::sync::Arc;

    /// Callers spawn operations: this does not compile when a future cannot be sent to another thread.
    #[allow(dead_code)]
    fn operations_can_be_spawned(engine: &Engine, source: Arc<dyn Source>, options: &Options, filter: &TestFilter) {
        fn sendable<T: Send>(_: T) {}
        let values = serde_json::Map::new;
        sendable(engine.install("a", source.clone(), values(), options));
        sendable(engine.upgrade("a", source.clone(), values(), options));
        sendable(engine.install_or_upgrade("a", source.clone(), values(), options));
        sendable(engine.plan("a", source, values(), options));
        sendable(engine.rollback("a", 0, options));
        sendable(engine.uninstall("a", options));
        sendable(engine.test("a", filter, options));
        sendable(engine.recover("a", options));
        sendable(engine.list(true));
    }

    #[test]
    fn names_follow_helms_rules() {
        for good in ["a", "web-1", "a.b-c.d", &"x".repeat(53)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a..b", ".a", "a_b", &"x".repeat(54)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
