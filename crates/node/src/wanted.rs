//! From what files shall hold to edits: a pure comparison of wish, ledger and host.

use crate::custom_containerd::fetch;
use crate::edit::Edit;
use crate::error::{NodeError, Result};
use crate::host::parent;
use crate::image::Image;
use crate::ledger::{Ledger, Owned, Part};
use crate::lines::{self, Ours, Setting};
use contract::Code;
use std::collections::{BTreeMap, BTreeSet};

/// What one file shall hold.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Values in a TOML file that may be other people's. When there is no file it is created with `created` first.
    Lines {
        /// The values.
        settings: Vec<Setting>,
        /// Entries for `imports`.
        imports: Vec<String>,
        /// Settings for a file that does not exist yet, such as the schema version.
        created: Vec<Setting>,
        /// Values that are set only where the file, without us, has no table that could hold them.
        missing: Vec<Setting>,
    },
    /// A TOML file of our own.
    DropIn {
        /// The values.
        settings: Vec<Setting>,
    },
    /// Lines at the end of a file that is not TOML.
    Block {
        /// The lines, first and last of them comments of ours.
        text: String,
        /// What comes before them in a file that does not exist yet.
        head: String,
    },
    /// A file or link of our own.
    Whole(Image),
}

/// What all files of one half shall hold.
pub type Wishes = BTreeMap<String, Wanted>;

/// The first lines of a file of our own.
pub const NOTICE: &str = "# Written by Husk. Lines that are added here stay, also when Husk's own leave.\n";

/// Compares. `now` holds every path of `wishes` and of the ledger that exists on the host; `directories` those directories
/// of the host that exist.
///
/// # Errors
/// [`Code::RUNTIME_CONFIG_UNREADABLE`] for a file that cannot take our lines.
pub fn plan(
    part: Part,
    wishes: &Wishes,
    now: &BTreeMap<String, Image>,
    directories: &BTreeSet<String>,
    ledger: &Ledger,
) -> Result<Vec<Edit>> {
    let mut puts = Vec::new();
    for (path, wanted) in wishes {
        let (now, owned) = (now.get(path), ledger.files.get(path));
        let edit = plan_file(part, path, wanted, now, owned)?;
        puts.extend(edit.or_else(|| kept_after_all(path, now, owned, ledger)));
    }
    for (path, owned) in ledger.files.iter().filter(|(path, owned)| owned.part == part && !wishes.contains_key(*path)) {
        puts.push(plan_removal(path, owned, now.get(path)));
    }
    let kept: BTreeSet<&str> = wishes.keys().flat_map(|path| ancestors(path)).collect();
    let leaving = |path: &str| ledger.leaving.contains(path) && ledger.directories.contains_key(path);
    let missing = kept.iter().filter(|path| !directories.contains(**path) || leaving(path));
    let mut edits: Vec<Edit> =
        missing.map(|path| Edit::MakeDirectory { path: (*path).to_owned(), mode: 0o755 }).collect();
    edits.extend(puts);
    // deepest first; a directory that somebody else uses by now stays and is forgotten
    for (path, owned) in ledger.directories.iter().rev() {
        if owned.part == part && !kept.contains(path.as_str()) && !fetch::holds_tree(ledger, path) {
            edits.push(Edit::DropDirectory { path: path.clone(), mode: owned.mode });
        }
    }
    Ok(edits)
}

/// A removal that was interrupted was about to forget this file, which is as it shall be: it stays ours.
fn kept_after_all(path: &str, now: Option<&Image>, owned: Option<&Owned>, ledger: &Ledger) -> Option<Edit> {
    let owned = owned.filter(|_| ledger.leaving.contains(path))?.clone();
    Some(Edit::Put { path: path.to_owned(), before: now.cloned(), after: now.cloned(), owned: Some(owned) })
}

/// The directories above a path, from the top, without `/`.
pub fn ancestors(path: &str) -> Vec<&str> {
    let mut above = Vec::new();
    let mut directory = parent(path);
    while directory != "/" {
        above.push(directory);
        directory = parent(directory);
    }
    above.reverse();
    above
}

/// What a file was, or would be, without us.
pub fn base(now: Option<&Image>, owned: Option<&Owned>) -> Option<Image> {
    match (now, owned) {
        (Some(now), Some(owned)) if owned.left.contains(&now.digest()) => owned.original.clone(),
        (Some(now), Some(owned)) if owned.original.as_ref().is_some_and(|first| first.digest() == now.digest()) => {
            Some(now.clone())
        }
        (Some(now), Some(owned)) => lines::without_ours(Some(now), Some(&owned.ours), owned.original.as_ref()),
        (now, _) => now.cloned(),
    }
}

fn plan_file(
    part: Part,
    path: &str,
    wanted: &Wanted,
    now: Option<&Image>,
    owned: Option<&Owned>,
) -> Result<Option<Edit>> {
    let unfit = |error: lines::Unfit| NodeError::new(Code::RUNTIME_CONFIG_UNREADABLE, format!("{path}: {error}"));
    let base = base(now, owned);
    let text_of = |image: Option<&Image>| match image {
        None => Ok(None),
        Some(image) => image
            .as_text()
            .map(|text| Some(text.to_owned()))
            .ok_or_else(|| NodeError::new(Code::RUNTIME_CONFIG_UNREADABLE, format!("{path} is not a UTF-8 text file"))),
    };
    let (after, ours) = match wanted {
        Wanted::Whole(image) => (image.clone(), Ours::Whole),
        Wanted::DropIn { settings } => {
            if let (Some(now), Some(owned)) = (text_of(now)?, owned)
                && lines::satisfied(&now, settings, &[], &owned.ours)
            {
                return Ok(None); // somebody has added to it
            }
            match base.as_ref().filter(|_| owned.is_some()) {
                // what somebody has added stays
                Some(theirs) => {
                    let text = text_of(Some(theirs))?.unwrap_or_default();
                    let (text, ours) = lines::set(&text, &[], settings, &[]).map_err(unfit)?;
                    (theirs.with_text(text), ours)
                }
                None => {
                    let (text, ours) = lines::document(NOTICE, settings).map_err(unfit)?;
                    (Image::text(text, 0o644), ours)
                }
            }
        }
        Wanted::Lines { settings, imports, created, missing } => {
            let first = text_of(base.as_ref())?
                .map(|text| lines::parse_fillable(&text))
                .transpose()
                .map_err(unfit)?
                .unwrap_or_default();
            let lacks =
                |(path, _): &&Setting| path.split_last().is_some_and(|(_, table)| lines::get(&first, table).is_none());
            let mut support: Vec<Setting> = missing.iter().filter(lacks).cloned().collect();
            let wanted: Vec<Setting> = support.iter().chain(settings).cloned().collect();
            if let (Some(now), Some(owned)) = (text_of(now)?, owned)
                && lines::satisfied(&now, &wanted, imports, &owned.ours)
            {
                return Ok(None); // whatever else was changed around our lines is not our business
            }
            match text_of(base.as_ref())? {
                Some(text) => {
                    let (text, ours) = lines::set(&text, &support, settings, imports).map_err(unfit)?;
                    (base.as_ref().map_or_else(|| Image::text(&text, 0o644), |base| base.with_text(&text)), ours)
                }
                None => {
                    support.splice(0..0, created.iter().cloned());
                    let (text, ours) = lines::set("", &support, settings, imports).map_err(unfit)?;
                    (Image::text(format!("{NOTICE}{text}"), 0o644), ours)
                }
            }
        }
        Wanted::Block { text, head } => {
            if now.and_then(Image::as_text).is_some_and(|now| now.contains(text.as_str())) && owned.is_some() {
                return Ok(None);
            }
            let ours = Ours::Block { text: text.clone(), head: head.clone() };
            match text_of(base.as_ref())? {
                Some(first) => {
                    let gap = if first.ends_with('\n') { "" } else { "\n" };
                    (
                        base.as_ref()
                            .map_or_else(|| Image::text("", 0o644), |b| b.with_text(format!("{first}{gap}{text}"))),
                        ours,
                    )
                }
                None => (Image::text(format!("{head}{text}"), 0o644), ours),
            }
        }
    };
    let unchanged = now.is_some_and(|now| now.digest() == after.digest());
    if unchanged && owned.is_some() {
        return Ok(None);
    }
    let after = keep_owner(after, now);
    let owned = Owned { part, left: vec![after.digest()], original: base, ours };
    Ok(Some(Edit::Put { path: path.to_owned(), before: now.cloned(), after: Some(after), owned: Some(owned) }))
}

/// A file that exists keeps its mode and owner.
fn keep_owner(after: Image, now: Option<&Image>) -> Image {
    match (after, now) {
        (Image::File { content, .. }, Some(Image::File { mode, uid, gid, .. })) => {
            Image::File { mode: *mode, uid: *uid, gid: *gid, content }
        }
        (after, _) => after,
    }
}

fn plan_removal(path: &str, owned: &Owned, now: Option<&Image>) -> Edit {
    let after = match now {
        None => None,
        Some(now) => base(Some(now), Some(owned)).map(|image| keep_owner(image, Some(now))),
    };
    Edit::Put { path: path.to_owned(), before: now.cloned(), after, owned: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::setting;

    fn wish(value: &str) -> Wishes {
        let settings = vec![setting(["a", "b"], value)];
        [(
            "/etc/m.toml".to_owned(),
            Wanted::Lines {
                settings,
                imports: vec![],
                created: vec![setting(["version"], 2)],
                missing: vec![setting(["r", "runc", "type"], "x")],
            },
        )]
        .into()
    }

    fn run(wishes: &Wishes, now: &mut BTreeMap<String, Image>, ledger: &mut Ledger) -> usize {
        let directories: BTreeSet<String> = ["/etc".to_owned()].into();
        let edits = plan(Part::Cri, wishes, now, &directories, ledger).unwrap();
        ledger.commit(Part::Cri, 1, &edits);
        for edit in &edits {
            if let Edit::Put { path, after, .. } = edit {
                match after {
                    Some(image) => now.insert(path.clone(), image.clone()),
                    None => now.remove(path),
                };
            }
        }
        edits.len()
    }

    #[test]
    fn installing_twice_is_one_edit_and_removal_restores_the_bytes() {
        for original in [None, Some("x = 1 # mine\n"), Some("x = 1\r\n[a]\r\nb = 'old'\r\n")] {
            let mut now: BTreeMap<String, Image> =
                original.map(|text| ("/etc/m.toml".to_owned(), Image::text(text, 0o640))).into_iter().collect();
            let first = now.clone();
            let mut ledger = Ledger::new("default");
            assert_eq!(run(&wish("one"), &mut now, &mut ledger), 1);
            assert_eq!(run(&wish("one"), &mut now, &mut ledger), 0);
            assert_eq!(run(&wish("two"), &mut now, &mut ledger), 1);
            assert_eq!(run(&Wishes::new(), &mut now, &mut ledger), 1);
            assert_eq!(now, first);
            assert!(ledger.is_empty());
        }
    }

    #[test]
    fn a_stranger_keeps_their_lines() {
        let mut now: BTreeMap<String, Image> = [("/etc/m.toml".to_owned(), Image::text("x = 1\n", 0o644))].into();
        let mut ledger = Ledger::new("default");
        run(&wish("one"), &mut now, &mut ledger);
        let theirs = now["/etc/m.toml"].as_text().unwrap().replace("x = 1", "x = 5");
        now.insert("/etc/m.toml".into(), Image::text(theirs, 0o644));
        assert_eq!(run(&wish("one"), &mut now, &mut ledger), 0, "our lines are all there");
        assert_eq!(run(&wish("two"), &mut now, &mut ledger), 1);
        run(&Wishes::new(), &mut now, &mut ledger);
        assert_eq!(now["/etc/m.toml"].as_text(), Some("x = 5\n"));
    }

    #[test]
    fn missing_directories_are_made_and_dropped() {
        let wishes: Wishes =
            [("/etc/x/y/z.toml".to_owned(), Wanted::DropIn { settings: vec![setting(["a"], 1)] })].into();
        let mut ledger = Ledger::new("default");
        let edits = plan(Part::Cri, &wishes, &BTreeMap::new(), &["/etc".to_owned()].into(), &ledger).unwrap();
        let paths: Vec<_> = edits.iter().map(Edit::path).collect();
        assert_eq!(paths, ["/etc/x", "/etc/x/y", "/etc/x/y/z.toml"]);
        ledger.commit(Part::Cri, 1, &edits);
        let edits = plan(Part::Cri, &Wishes::new(), &BTreeMap::new(), &BTreeSet::new(), &ledger).unwrap();
        let paths: Vec<_> = edits.iter().map(Edit::path).collect();
        assert_eq!(paths, ["/etc/x/y/z.toml", "/etc/x/y", "/etc/x"]);
    }
}
