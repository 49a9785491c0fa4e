//! `/var/lib/husk/<install>` on the host: ledger, journals, the copy of the installer. And the lock that keeps two installers of
//! one node apart.
//!
//! A journal is a directory of numbered entries, each written and fsynced before the effect that it announces. It exists exactly
//! while a transaction is open; a journal whose number the ledger calls committed is a leftover and counts as nothing.

use crate::disk::{Disk, temporary};
use crate::edit::Edit;
use crate::error::{NodeError, Result};
use crate::host::{Host, file_name, parent};
use crate::image::Image;
use crate::ledger::{LEDGER_SCHEMA, Ledger, Part};
use contract::Code;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::time::{Duration, Instant};

pub(crate) const BASE: &str = "/var/lib/husk";

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The first entry.
    Begin {
        /// The number of the transaction.
        transaction: u64,
        /// The runtime's unit, when it is to be restarted.
        unit: Option<String>,
    },
    /// An edit is about to be made.
    Edit(Box<Edit>),
    /// Units of ours are about to be started; undo stops them.
    Start {
        /// Their names.
        services: Vec<String>,
    },
    /// Units of ours are about to be stopped; undo starts them.
    Stop {
        /// Their names.
        services: Vec<String>,
    },
    /// The runtime is about to be restarted with what was edited so far.
    Restart,
}

/// A transaction that is open: its entries so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Which half it changes.
    pub part: Part,
    /// Its number.
    pub transaction: u64,
    /// The runtime's unit, when it is to be restarted.
    pub unit: Option<String>,
    /// What came after [`Entry::Begin`].
    pub entries: Vec<Entry>,
}

impl Journal {
    /// The edits, in order.
    pub fn edits(&self) -> Vec<Edit> {
        self.entries
            .iter()
            .filter_map(|entry| if let Entry::Edit(edit) = entry { Some(edit.as_ref().clone()) } else { None })
            .collect()
    }

    /// Whether the runtime may be running with something of this transaction.
    pub fn restarted(&self) -> bool {
        self.entries.contains(&Entry::Restart)
    }

    /// Whether the runtime was told to restart after the last edit.
    pub fn restarted_last(&self) -> bool {
        self.entries.last() == Some(&Entry::Restart)
    }
}

/// The files of one installation on one host.
#[derive(Clone)]
pub struct Store<'a> {
    disk: Disk<'a>,
    install: String,
}

impl<'a> Store<'a> {
    /// Names the store of an installation; nothing is read or written.
    pub fn new(disk: Disk<'a>, install: &str) -> Self {
        Store { disk, install: install.to_owned() }
    }

    fn directory(&self) -> String {
        format!("{BASE}/{}", self.install)
    }

    fn journal_directory(&self, part: Part) -> String {
        format!("{}/journal/{}", self.directory(), part.name())
    }

    /// Where the copy of the installer is while a transaction may have to be undone without us.
    pub fn installer(&self) -> String {
        format!("{}/husk-node", self.directory())
    }

    /// Reads the ledger; an absent one owns nothing.
    pub fn ledger(&self) -> Result<Ledger> {
        let path = format!("{}/ledger.json", self.directory());
        let Some(image) = self.disk.host().image(&path)? else {
            return Ok(Ledger::new(&self.install));
        };
        let ledger: Ledger = serde_json::from_slice(image.bytes().unwrap_or_default())
            .map_err(|error| NodeError::new(Code::LEDGER_UNREADABLE, format!("{path}: {error}")))?;
        if ledger.schema != LEDGER_SCHEMA {
            let message = format!("{path} has schema `{}`; this installer reads `{LEDGER_SCHEMA}`", ledger.schema);
            return Err(NodeError::new(Code::LEDGER_UNREADABLE, message));
        }
        Ok(ledger)
    }

    /// The ledger with what open transactions have announced: what may be ours on the host right now.
    pub fn known(&self) -> Result<Ledger> {
        let ledger = self.ledger()?;
        let mut known = ledger.clone();
        for part in [Part::Artifacts, Part::Cri] {
            for edit in self.journal(part, &ledger)?.iter().flat_map(Journal::edits) {
                known.fold(part, &edit);
            }
        }
        Ok(known)
    }

    /// The stores of the other installations on this host.
    pub fn others(&self) -> Vec<Store<'a>> {
        let names = Store::installs(self.disk.host());
        names.into_iter().filter(|name| *name != self.install).map(|name| Store::new(self.disk, &name)).collect()
    }

    /// Replaces the ledger.
    pub fn save(&self, ledger: &Ledger) -> Result<()> {
        self.disk.make_directories(&self.directory(), 0o755)?;
        let text = serde_json::to_string_pretty(ledger)
            .map_err(|error| NodeError::new(Code::LEDGER_UNREADABLE, error.to_string()))?;
        self.disk.put(&format!("{}/ledger.json", self.directory()), &owned_by_us(text))
    }

    /// Reads the open transaction of a half; `None` when there is none.
    pub fn journal(&self, part: Part, ledger: &Ledger) -> Result<Option<Journal>> {
        let directory = self.journal_directory(part);
        let mut journal: Option<Journal> = None;
        for name in self.disk.host().names(&directory).iter().filter(|name| !name.starts_with('.')) {
            let path = format!("{directory}/{name}");
            let image = self.disk.host().image(&path)?;
            let entry: Entry = serde_json::from_slice(image.as_ref().and_then(Image::bytes).unwrap_or_default())
                .map_err(|error| NodeError::new(Code::LEDGER_UNREADABLE, format!("{path}: {error}")))?;
            match (entry, &mut journal) {
                (Entry::Begin { transaction, unit }, None) => {
                    journal = Some(Journal { part, transaction, unit, entries: Vec::new() });
                }
                (entry, Some(journal)) => journal.entries.push(entry),
                (_, None) => return Ok(None), // the tail of a journal whose removal was interrupted
            }
        }
        let done = ledger.committed.get(&part).copied().unwrap_or(0);
        Ok(journal.filter(|journal| journal.transaction > done))
    }

    /// Opens a transaction, or goes on with the one that is open.
    pub fn begin(&self, part: Part, ledger: &Ledger, unit: Option<&str>) -> Result<Journal> {
        if let Some(journal) = self.journal(part, ledger)? {
            return Ok(journal);
        }
        self.discard(part)?;
        let transaction = ledger.committed.get(&part).copied().unwrap_or(0) + 1;
        self.disk.make_directories(&self.journal_directory(part), 0o755)?;
        let journal = Journal { part, transaction, unit: unit.map(str::to_owned), entries: Vec::new() };
        self.write_entry(part, 0, &Entry::Begin { transaction, unit: journal.unit.clone() })?;
        Ok(journal)
    }

    /// Announces an effect durably.
    pub fn record(&self, journal: &mut Journal, entry: Entry) -> Result<()> {
        self.write_entry(journal.part, journal.entries.len() + 1, &entry)?;
        journal.entries.push(entry);
        Ok(())
    }

    fn write_entry(&self, part: Part, number: usize, entry: &Entry) -> Result<()> {
        let text =
            serde_json::to_string(entry).map_err(|error| NodeError::new(Code::LEDGER_UNREADABLE, error.to_string()))?;
        self.disk.put(&format!("{}/{number:06}.json", self.journal_directory(part)), &owned_by_us(text))
    }

    /// Forgets a journal: its first entry goes first, so that half a journal is never taken for a whole one.
    pub fn discard(&self, part: Part) -> Result<()> {
        let directory = self.journal_directory(part);
        if self.disk.host().exists(&directory) {
            self.disk.remove(&format!("{directory}/000000.json"))?;
            self.disk.remove_tree(&directory)?;
        }
        let journals = parent(&directory);
        if self.disk.host().exists(journals) && self.disk.host().names(journals).is_empty() {
            self.disk.remove_directory(journals)?;
        }
        Ok(())
    }

    /// Removes what a run left behind that was killed after its commit, or while it wrote for itself. Returns whether the copy
    /// of the installer was still there, which means that a timer may be armed.
    pub fn tidy(&self, part: Part, ledger: &Ledger) -> Result<bool> {
        self.tidy_ledger()?;
        if self.journal(part, ledger)?.is_some() {
            return Ok(false);
        }
        self.discard(part)?;
        Ok(part == Part::Cri
            && (self.disk.host().exists(&self.installer()) || self.disk.host().exists(&temporary(&self.installer()))))
    }

    /// Removes a ledger that was not written to its end.
    pub fn tidy_ledger(&self) -> Result<()> {
        self.disk.remove(&temporary(&format!("{}/ledger.json", self.directory())))
    }

    /// Copies the installer to the host.
    pub fn keep_installer(&self, program: &std::path::Path) -> Result<()> {
        self.disk.make_directories(&self.directory(), 0o755)?;
        self.disk.copy_program(program, &self.installer(), true)
    }

    /// Removes the copy of the installer.
    pub fn drop_installer(&self) -> Result<()> {
        self.disk.remove(&self.installer())?;
        self.disk.remove(&temporary(&self.installer()))
    }

    /// Removes the store when the installation owns nothing and no transaction is open; `/var/lib/husk` goes with the last one.
    pub fn clean_if_empty(&self) -> Result<()> {
        let ledger = self.ledger()?;
        let open =
            [Part::Artifacts, Part::Cri].into_iter().any(|part| !matches!(self.journal(part, &ledger), Ok(None)));
        if !ledger.is_empty() || open || !self.disk.host().exists(BASE) {
            return Ok(());
        }
        // The ledger goes last but one: a store without it still counts as empty, so this can be interrupted anywhere.
        for part in [Part::Artifacts, Part::Cri] {
            self.discard(part)?;
        }
        self.disk.remove_tree(&self.directory())?;
        self.disk.remove_directory(BASE).map(drop)
    }

    /// The installations that have a store on the host.
    pub fn installs(host: &Host) -> Vec<String> {
        host.names(BASE)
    }
}

fn owned_by_us(text: String) -> Image {
    Image::File {
        mode: 0o600,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        content: crate::image::Content(text.into_bytes()),
    }
}

/// An exclusive lock on the node, for as long as it lives. It is taken on a directory that exists anyway, so it writes nothing.
pub struct NodeLock(#[expect(dead_code, reason = "held for its lock")] File);

impl NodeLock {
    /// Waits for the lock, at most so long.
    pub fn acquire(host: &Host, patience: Duration, pause: &dyn Fn(Duration)) -> Result<NodeLock> {
        let path = "/var/lib";
        let directory = File::open(host.path(path)).map_err(|error| NodeError::io("opening", path, &error))?;
        let start = Instant::now();
        loop {
            match rustix::fs::flock(&directory, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(NodeLock(directory)),
                Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < patience => pause(Duration::from_millis(200)),
                Err(error) => {
                    let message =
                        format!("another installer is at work on this node (lock on {}): {error}", file_name(path));
                    return Err(NodeError::new(Code::NODE_BUSY, message));
                }
            }
        }
    }
}
