//! Two installations on one host: what one leaves behind because the other uses it becomes the other's.

use crate::edit::Edit;
use crate::error::Result;
use crate::host::Host;
use crate::ledger::{Ledger, OwnedDirectory};
use crate::lines::{Ours, without_ours};
use crate::store::Store;

/// After a commit: files that this installation has left lose its lines in the others' memory of what was there first, and
/// directories that could not go because the others use them are the others' from now on. `before` is the ledger that knew them.
pub fn hand_over(store: &Store, host: &Host, edits: &[Edit], before: &Ledger) -> Result<()> {
    if !edits.iter().any(|edit| matches!(edit, Edit::DropDirectory { .. } | Edit::Put { owned: None, .. })) {
        return Ok(());
    }
    for other in store.others() {
        let ledger = other.ledger()?;
        let mut theirs = ledger.clone();
        for edit in edits {
            match edit {
                Edit::Put { path, owned: None, .. } => {
                    if let (Some(left), Some(own)) = (before.files.get(path), theirs.files.get_mut(path)) {
                        own.original = without_ours(own.original.as_ref(), Some(&left.ours), left.original.as_ref());
                        if let (Ours::Toml { support: theirs, .. }, Ours::Toml { support: left, .. }) =
                            (&mut own.ours, &left.ours)
                        {
                            theirs.splice(0..0, left.iter().cloned());
                        }
                    }
                }
                Edit::DropDirectory { path, mode } if host.is_directory(path) => {
                    let below = format!("{path}/");
                    let file =
                        theirs.files.iter().find(|(file, _)| file.starts_with(&below)).map(|(_, owned)| owned.part);
                    if let Some(part) = file {
                        theirs.directories.insert(path.clone(), OwnedDirectory { part, mode: *mode });
                    }
                }
                _ => {}
            }
        }
        if theirs != ledger {
            other.save(&theirs)?;
        }
    }
    Ok(())
}
