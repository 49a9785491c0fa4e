//! Records in this process.

use super::{Entry, Lease, Summary, record_labels};
use crate::error::{Error, Result};
use crate::record::Release;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Records = BTreeMap<(String, String, u32), (Release, Option<Lease>)>;

/// A store that lives as long as the process. Clones share their content.
#[derive(Clone, Default)]
pub struct MemoryStore {
    /// The namespace of the releases.
    pub namespace: String,
    records: Arc<Mutex<Records>>,
}

impl MemoryStore {
    /// Makes an empty store for a namespace.
    pub fn new(namespace: &str) -> Self {
        MemoryStore { namespace: namespace.to_owned(), records: Arc::default() }
    }

    /// Returns the same records seen from another namespace.
    pub fn within(&self, namespace: &str) -> Self {
        MemoryStore { namespace: namespace.to_owned(), records: self.records.clone() }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, name: &str, revision: u32) -> (String, String, u32) {
        (self.namespace.clone(), name.to_owned(), revision)
    }

    pub(super) fn get(&self, name: &str, revision: u32) -> Result<Release> {
        let found = self.records().get(&self.key(name, revision)).map(|(release, _)| release.clone());
        found.ok_or(Error::NotFound)
    }

    pub(super) fn history(&self, name: &str) -> Result<Vec<Release>> {
        let records = self.records();
        let own = records.iter().filter(|((namespace, other, _), _)| *namespace == self.namespace && other == name);
        Ok(own.map(|(_, (release, _))| release.clone()).collect())
    }

    pub(super) fn index(&self, everywhere: bool) -> Result<Vec<Entry>> {
        let records = self.records();
        let visible = records.iter().filter(|((namespace, ..), _)| everywhere || *namespace == self.namespace);
        Ok(visible
            .map(|((namespace, name, version), (release, _))| Entry {
                namespace: namespace.clone(),
                name: name.clone(),
                version: *version,
                status: release.info.status,
                labels: record_labels(release),
            })
            .collect())
    }

    pub(super) fn summaries(&self, entries: Vec<Entry>) -> Result<Vec<Summary>> {
        let records = self.records();
        let read = |entry: Entry| {
            let key = (entry.namespace.clone(), entry.name.clone(), entry.version);
            records.get(&key).map(|(release, _)| Summary::of(entry, release))
        };
        Ok(entries.into_iter().filter_map(read).collect())
    }

    pub(super) fn create(&self, release: &Release, lease: &Lease) -> Result<()> {
        let key = self.key(&release.name, release.version);
        let mut records = self.records();
        if records.contains_key(&key) {
            return Err(Error::RevisionExists);
        }
        records.insert(key, (release.clone(), Some(lease.clone())));
        Ok(())
    }

    pub(super) fn update(&self, release: &Release) -> Result<()> {
        match self.records().get_mut(&self.key(&release.name, release.version)) {
            Some(record) => record.0 = release.clone(),
            None => return Err(Error::NotFound),
        }
        Ok(())
    }

    pub(super) fn delete(&self, name: &str, revision: u32) -> Result<()> {
        self.records().remove(&self.key(name, revision));
        Ok(())
    }

    pub(super) fn lease(&self, name: &str, revision: u32) -> Result<Option<Lease>> {
        Ok(self.records().get(&self.key(name, revision)).and_then(|(_, lease)| lease.clone()))
    }

    pub(super) fn renew(&self, name: &str, revision: u32, lease: &Lease) -> Result<()> {
        if let Some(record) = self.records().get_mut(&self.key(name, revision)) {
            record.1 = Some(lease.clone());
        }
        Ok(())
    }
}
