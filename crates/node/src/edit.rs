//! The edits of a plan: plain values that can be printed, stored in the journal, applied and undone.

use crate::disk::{Disk, temporary};
use crate::error::{NodeError, Result};
use crate::host::{Host, parent};
use crate::image::{Image, digest_of};
use crate::ledger::Owned;
use crate::lines;
use crate::payload_source;
use contract::Code;
use serde::{Deserialize, Serialize};

/// One change to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// Creates a directory, which is then ours: removed again when it is empty.
    MakeDirectory {
        /// Where.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// Removes a directory that we created, if it is empty.
    DropDirectory {
        /// Where.
        path: String,
        /// The mode with which it would be made again.
        mode: u32,
    },
    /// Changes what a path holds.
    Put {
        /// Where.
        path: String,
        /// What is there now.
        before: Option<Image>,
        /// What shall be there; `None` removes it.
        after: Option<Image>,
        /// What the ledger shall remember; `None` makes the path nobody's.
        owned: Option<Owned>,
    },
    /// Unpacks the payload's components into a directory of our own.
    Unpack {
        /// The directory; it does not exist yet.
        path: String,
        /// The payload's digest.
        digest: String,
        /// Names of the components, in order.
        components: Vec<String>,
    },
}

impl Edit {
    /// The path that changes.
    pub fn path(&self) -> &str {
        match self {
            Edit::MakeDirectory { path, .. }
            | Edit::DropDirectory { path, .. }
            | Edit::Put { path, .. }
            | Edit::Unpack { path, .. } => path,
        }
    }

    /// Whether nothing is at the path afterwards.
    pub fn removes(&self) -> bool {
        matches!(self, Edit::Put { after: None, .. } | Edit::DropDirectory { .. })
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        match self {
            Edit::MakeDirectory { path, .. } => format!("+ directory {path}"),
            Edit::DropDirectory { path, .. } => format!("- directory {path} (if empty)"),
            Edit::Put { path, before: None, after: Some(Image::Link { target }), .. } => {
                format!("+ link {path} -> {target}")
            }
            Edit::Put { path, before: None, after: Some(_), .. } => format!("+ file {path}"),
            Edit::Put { path, after: Some(Image::Link { target }), .. } => format!("~ link {path} -> {target}"),
            Edit::Put { path, before, after, .. } if before == after => format!("  {path} is no longer ours"),
            Edit::Put { path, after: Some(_), .. } => format!("~ file {path}"),
            Edit::Put { path, after: None, .. } => format!("- {path}"),
            Edit::Unpack { path, components, .. } => format!("+ {path} ({})", components.join(", ")),
        }
    }

    /// Whether the container runtime reads something else after this edit.
    pub fn changes_content(&self) -> bool {
        matches!(self, Edit::Put { before, after, .. } if before != after)
    }

    /// Applies the edit. What is there must be what the plan saw, or already what it wants. `Unpack` is applied by the
    /// artifacts stage, which has the payload.
    pub fn apply(&self, disk: &Disk) -> Result<()> {
        match self {
            Edit::MakeDirectory { path, mode } => disk.make_directory(path, *mode),
            Edit::DropDirectory { path, .. } => disk.remove_directory(path).map(drop),
            Edit::Put { path, before, after, .. } => {
                sweep(path, disk)?;
                let now = disk.host().image(path)?;
                if digest_of(now.as_ref()) == digest_of(after.as_ref()) && now.is_some() == after.is_some() {
                    return Ok(());
                }
                if now != *before {
                    return Err(NodeError::new(
                        Code::CHANGED_MEANWHILE,
                        format!(
                            "{path} was changed by somebody else while it was being edited; nothing of theirs was overwritten"
                        ),
                    ));
                }
                match after {
                    Some(image) => {
                        // inside a tree of ours; elsewhere the plan has made the directory before
                        disk.make_directories(parent(path), 0o755)?;
                        disk.put(path, image)
                    }
                    None => disk.remove(path),
                }
            }
            Edit::Unpack { .. } => Ok(()),
        }
    }

    /// Takes the edit back: bytes as they were, or, where somebody else changed the file since, only our lines out.
    pub fn undo(&self, disk: &Disk) -> Result<()> {
        match self {
            Edit::MakeDirectory { path, .. } => disk.remove_directory(path).map(drop),
            Edit::DropDirectory { path, mode } => disk.make_directories(path, *mode),
            Edit::Unpack { path, .. } => {
                payload_source::sweep(path, disk)?;
                disk.remove_tree(&partial(path))?;
                disk.remove_tree(path)
            }
            Edit::Put { path, before, after, owned } => {
                sweep(path, disk)?;
                let now = disk.host().image(path)?;
                if now == *before {
                    return Ok(());
                }
                let target = if digest_of(now.as_ref()) == digest_of(after.as_ref()) {
                    before.clone()
                } else {
                    lines::without_ours(now.as_ref(), owned.as_ref().map(|owned| &owned.ours), before.as_ref())
                };
                match target {
                    Some(image) => {
                        disk.make_directories(parent(path), 0o755)?;
                        disk.put(path, &image)
                    }
                    None => disk.remove(path),
                }
            }
        }
    }

    /// Reads the host again and says whether the edit holds.
    pub fn holds(&self, host: &Host) -> bool {
        match self {
            Edit::MakeDirectory { path, .. } | Edit::Unpack { path, .. } => host.is_directory(path),
            Edit::DropDirectory { .. } => true,
            Edit::Put { path, after, .. } => {
                host.image(path).is_ok_and(|now| digest_of(now.as_ref()) == digest_of(after.as_ref()))
            }
        }
    }
}

/// The directory in which a tree is unpacked before it gets its name.
pub fn partial(tree: &str) -> String {
    format!("{tree}.partial")
}

/// Removes what an interrupted write may have left beside a file.
pub fn sweep(path: &str, disk: &Disk) -> Result<()> {
    disk.remove(&temporary(path))
}
