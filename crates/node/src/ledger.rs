//! What an installation owns on a host. What was written is what is undone.

use crate::custom_containerd::is_tree as is_containerd;
use crate::edit::Edit;
use crate::image::{Image, digest_of};
use crate::lines::Ours;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The schema of `ledger.json`.
pub const LEDGER_SCHEMA: &str = "husk.ledger/v1";

/// Which half of an installation a thing belongs to; each half has a journal of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Files of the payload.
    Artifacts,
    /// Configuration of the container runtime.
    Cri,
}

impl Part {
    /// The name of its journal's directory.
    pub fn name(self) -> &'static str {
        match self {
            Part::Artifacts => "artifacts",
            Part::Cri => "cri",
        }
    }
}

/// A file or link that holds something of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owned {
    /// Which half it belongs to.
    pub part: Part,
    /// What removal puts back; `None` when the path was empty.
    pub original: Option<Image>,
    /// The digests under which we left it. More than one only while a transaction is open.
    pub left: Vec<String>,
    /// Which of its lines are ours, for the day when somebody else has changed the rest.
    pub ours: Ours,
}

/// A directory that we created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnedDirectory {
    /// Which half it belongs to.
    pub part: Part,
    /// Its mode.
    pub mode: u32,
}

/// `/var/lib/husk/<install>/ledger.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Always [`LEDGER_SCHEMA`].
    pub schema: String,
    /// The installation.
    pub install: String,
    /// The last transaction of each half that was committed.
    #[serde(default)]
    pub committed: BTreeMap<Part, u64>,
    /// Files and links by path.
    #[serde(default)]
    pub files: BTreeMap<String, Owned>,
    /// Directories by path.
    #[serde(default)]
    pub directories: BTreeMap<String, OwnedDirectory>,
    /// Unpacked payloads and containerds: directory to digest.
    #[serde(default)]
    pub trees: BTreeMap<String, String>,
    /// The payload's version in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The runtime's unit that was restarted for us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Units of ours that run on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Paths that an open transaction is about to forget. A plan that wants to keep one says so again.
    #[serde(skip)]
    pub leaving: BTreeSet<String>,
}

impl Ledger {
    /// An installation that owns nothing.
    pub fn new(install: &str) -> Self {
        Ledger {
            schema: LEDGER_SCHEMA.to_owned(),
            install: install.to_owned(),
            committed: BTreeMap::new(),
            files: BTreeMap::new(),
            directories: BTreeMap::new(),
            trees: BTreeMap::new(),
            payload: None,
            unit: None,
            services: Vec::new(),
            leaving: BTreeSet::new(),
        }
    }

    /// Whether nothing on the host is ours.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty() && self.trees.is_empty() && self.services.is_empty()
    }

    /// Whether the half owns something.
    pub fn holds(&self, part: Part) -> bool {
        self.files.values().any(|owned| owned.part == part)
            || self.directories.values().any(|owned| owned.part == part)
            || self.trees.keys().any(|tree| is_containerd(tree) == (part == Part::Cri))
            || (part == Part::Cri && !self.services.is_empty())
    }

    /// Takes an edit of an open transaction into account. It may or may not have reached the disk, so what is there before it
    /// and what is there after it both count as left by us, and nothing is forgotten yet.
    pub fn fold(&mut self, part: Part, edit: &Edit) {
        match edit {
            Edit::MakeDirectory { path, mode } => {
                self.directories.insert(path.clone(), OwnedDirectory { part, mode: *mode });
                self.leaving.remove(path);
            }
            Edit::DropDirectory { path, .. } => {
                self.leaving.insert(path.clone());
            }
            Edit::Unpack { path, digest, .. } => {
                self.trees.insert(path.clone(), digest.clone());
            }
            Edit::Put { path, after, owned: None, .. } => {
                if let Some(owned) = self.files.get_mut(path) {
                    owned.left.extend(after.iter().map(Image::digest));
                    self.leaving.insert(path.clone());
                }
            }
            Edit::Put { path, owned: Some(owned), before, .. } => {
                let mut owned = owned.clone();
                let earlier = self.files.get(path).map(|earlier| earlier.left.clone()).unwrap_or_default();
                let before = before.iter().map(Image::digest).filter(|digest| earlier.contains(digest));
                owned.left.extend(before);
                owned.left.dedup();
                self.files.insert(path.clone(), owned);
                self.leaving.remove(path);
            }
        }
    }

    /// Ends a transaction: only what was really written counts from now on.
    pub fn commit(&mut self, part: Part, transaction: u64, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::DropDirectory { path, .. } => {
                    self.directories.remove(path);
                }
                Edit::Put { path, owned: None, .. } => {
                    self.files.remove(path);
                }
                Edit::Put { path, owned: Some(owned), after, .. } => {
                    let left = vec![digest_of(after.as_ref())];
                    self.files.insert(path.clone(), Owned { left, ..owned.clone() });
                }
                edit => self.fold(part, edit),
            }
        }
        self.committed.insert(part, transaction);
    }
}
