//! Where records are kept: Secrets (Helm's default), ConfigMaps, or memory.
//!
//! Names, labels and encoding are Helm's, so that either program reads what the other wrote. A revision is locked by
//! creating it: two operations that start at once meet in "already exists".

mod bulk;
mod cluster;
mod listing;
mod memory;
mod parts;

pub use cluster::{ClusterStore, RecordKind};
pub(crate) use listing::Excerpt;
pub use listing::{ChartName, Entry, Summary, newest};
pub use memory::MemoryStore;

use crate::error::{Error, Result};
use crate::record::{Release, Status};
use std::collections::BTreeMap;

/// Labels that Helm sets itself.
pub const SYSTEM_LABELS: [&str; 6] = ["name", "owner", "status", "version", "createdAt", "modifiedAt"];

/// Largest encoded record, in bytes: what a Secret or ConfigMap may hold.
pub const RECORD_LIMIT: usize = 1 << 20;

/// A store of records for one namespace (or all, for listing).
#[derive(Clone)]
pub enum Storage {
    /// Secrets or ConfigMaps of the cluster.
    Cluster(ClusterStore),
    /// This process only; for tests and previews.
    Memory(MemoryStore),
}

macro_rules! each {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Storage::Cluster($store) => $call.await,
            Storage::Memory($store) => $call,
        }
    };
}

impl Storage {
    /// Reads one revision.
    pub async fn get(&self, name: &str, revision: u32) -> Result<Release> {
        each!(self, store => store.get(name, revision))
    }

    /// Reads every revision of a release, oldest first. Unreadable records are skipped, as in Helm; no record at all is
    /// an empty list.
    pub async fn history(&self, name: &str) -> Result<Vec<Release>> {
        each!(self, store => store.history(name))
    }

    /// Returns what the labels tell of every revision of the namespace (of the whole cluster when `everywhere`), by
    /// namespace, name and revision. No record is read.
    pub async fn index(&self, everywhere: bool) -> Result<Vec<Entry>> {
        let mut entries = each!(self, store => store.index(everywhere))?;
        entries.sort_by(|a, b| a.place().cmp(&b.place()));
        Ok(entries)
    }

    /// Reads what lists show of revisions, in their order, a few records at a time. Unreadable ones are left out.
    /// `among` has the status of every revision that the index told of: they are read in pages or one by one, whichever
    /// is less work.
    pub async fn summaries(&self, entries: Vec<Entry>, among: &[Status]) -> Result<Vec<Summary>> {
        match self {
            Storage::Cluster(store) => store.summaries(entries, among).await,
            Storage::Memory(store) => store.summaries(entries),
        }
    }

    /// Stores a new revision, held by someone from its first moment; [`Error::RevisionExists`] when it is taken.
    pub async fn create(&self, release: &Release, lease: &Lease) -> Result<()> {
        if release.labels.keys().any(|key| SYSTEM_LABELS.contains(&key.as_str())) {
            return Err(Error::ReservedLabel);
        }
        each!(self, store => store.create(release, lease))
    }

    /// Stores a revision again.
    pub async fn update(&self, release: &Release) -> Result<()> {
        each!(self, store => store.update(release))
    }

    /// Removes a revision; one that is gone already is no error.
    pub async fn delete(&self, name: &str, revision: u32) -> Result<()> {
        each!(self, store => store.delete(name, revision))
    }

    /// Reads who holds a revision.
    pub async fn lease(&self, name: &str, revision: u32) -> Result<Option<Lease>> {
        each!(self, store => store.lease(name, revision))
    }

    /// Writes who holds a revision.
    pub async fn renew(&self, name: &str, revision: u32, lease: &Lease) -> Result<()> {
        each!(self, store => store.renew(name, revision, lease))
    }

    /// Reads the newest revision.
    pub async fn last(&self, name: &str) -> Result<Option<Release>> {
        Ok(self.history(name).await?.pop())
    }

    /// Removes the oldest revisions until `keep` are left, never the newest deployed one.
    pub async fn prune(&self, name: &str, keep: usize) -> Result<()> {
        let surplus = surplus(&self.history(name).await?, keep);
        self.delete_all(name, &surplus).await
    }

    /// Removes revisions in this order, with all that belongs to them.
    pub async fn delete_all(&self, name: &str, revisions: &[u32]) -> Result<()> {
        if revisions.is_empty() {
            return Ok(());
        }
        for revision in revisions {
            self.delete(name, *revision).await?;
        }
        match self {
            Storage::Cluster(store) => store.sweep(name, revisions).await,
            Storage::Memory(_) => Ok(()),
        }
    }
}

/// Who holds a revision that is being worked on, and since when nobody heard of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The holder.
    pub holder: String,
    /// Seconds since 1970 at the last sign of life, by the holder's clock.
    pub renewed: i64,
}

/// Returns the name of the object that holds a revision.
pub fn record_key(name: &str, revision: u32) -> String {
    format!("sh.helm.release.v1.{name}.v{revision}")
}

/// Returns the labels of a revision's object.
fn record_labels(release: &Release) -> BTreeMap<String, String> {
    let mut labels = release.labels.clone();
    labels.insert("name".into(), release.name.clone());
    labels.insert("owner".into(), "helm".into());
    labels.insert("status".into(), release.info.status.to_string());
    labels.insert("version".into(), release.version.to_string());
    labels
}

/// Which revisions of a history (oldest first) have to go so that `keep` are left.
fn surplus(history: &[Release], keep: usize) -> Vec<u32> {
    let deployed = newest_deployed(history).map(|release| release.version);
    history
        .iter()
        .map(|release| release.version)
        .filter(|revision| Some(*revision) != deployed)
        .take(history.len().saturating_sub(keep))
        .collect()
}

/// Returns the newest deployed revision of a history.
pub fn newest_deployed(history: &[Release]) -> Option<&Release> {
    history.iter().rev().find(|release| release.info.status == Status::Deployed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn history(statuses: &[Status]) -> Vec<Release> {
        let mut history = Vec::new();
        for (index, status) in statuses.iter().enumerate() {
            let mut release = Release { version: index as u32 + 1, name: "a".into(), ..Release::default() };
            release.info.status = *status;
            history.push(release);
        }
        history
    }

    #[test]
    fn the_deployed_revision_stays() {
        use Status::{Deployed, Failed, Superseded};
        let revisions = history(&[Superseded, Deployed, Failed, Failed]);
        assert_eq!(surplus(&revisions, 2), [1, 3]);
        assert_eq!(surplus(&revisions, 4), [] as [u32; 0]);
        assert_eq!(surplus(&history(&[Superseded, Superseded, Deployed]), 1), [1, 2]);
    }

    proptest! {
        #[test]
        fn pruning_leaves_what_was_asked(count in 0usize..12, deployed in 0usize..12, keep in 1usize..12) {
            let mut statuses = vec![Status::Superseded; count];
            if let Some(status) = statuses.get_mut(deployed) { *status = Status::Deployed; }
            let revisions = history(&statuses);
            let gone = surplus(&revisions, keep);
            prop_assert_eq!(count - gone.len(), count.min(keep));
            prop_assert!(!gone.contains(&(deployed as u32 + 1)) || deployed >= count);
        }
    }
}
