//! The `artifacts` stage and its reverse: the payload is unpacked beside the version in use, configured, and then switched to by
//! renaming one link.

use crate::custom_containerd::is_tree as is_containerd;
use crate::distribution::Distribution;
use crate::edit::{Edit, partial};
use crate::error::{NodeError, Result};
use crate::hand_over::hand_over;
use crate::host::{Host, file_name, join, parent};
use crate::image::Image;
use crate::kata_config;
use crate::ledger::{Ledger, Owned, Part};
use crate::lines::Ours;
use crate::payload::{self, Selection};
use crate::session::{Outcome, Session};
use crate::shim::{self, Handler, Variant};
use crate::snapshotter::NYDUS_DIRECTORY;
use crate::store::{Entry, Journal, Store};
use crate::unpack;
use crate::wanted;
use contract::Code;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

/// What the stage will do.
#[derive(Clone, Debug)]
pub struct ArtifactsPlan {
    /// What is taken from the payload.
    pub selection: Selection,
    /// The directory it goes to.
    pub tree: String,
    /// Edits up to the unpacked directory; empty when it is there.
    pub unpack: Vec<Edit>,
}

/// Plans up to the unpacked directory; how it is configured can only be planned when it is there.
pub fn plan(session: &Session, ledger: &Ledger) -> Result<ArtifactsPlan> {
    let selection = payload::select(&session.around.payload, session.asked)?;
    let home = session.asked.home();
    check_home(session.host, &home, ledger)?;
    let tree = format!("{}/{}", session.asked.versions(), selection.digest);
    let mut edits = Vec::new();
    if !(ledger.trees.contains_key(&tree) && session.host.is_directory(&tree)) {
        let missing = wanted::ancestors(&tree).into_iter().filter(|path| !session.host.path(path).is_dir());
        edits.extend(missing.map(|path| Edit::MakeDirectory { path: path.to_owned(), mode: 0o755 }));
        let components = selection.archives.iter().map(|archive| archive.component.clone()).collect();
        edits.push(Edit::Unpack { path: tree.clone(), digest: selection.digest.clone(), components });
    }
    Ok(ArtifactsPlan { selection, tree, unpack: edits })
}

/// What is still to be configured and switched, as far as it can be told before the payload is unpacked.
pub fn pending(session: &Session, plan: &ArtifactsPlan, distribution: Option<Distribution>) -> Result<Vec<Edit>> {
    let mut edits = plan.unpack.clone();
    if edits.is_empty() {
        edits.extend(configure(session, &plan.tree, distribution)?);
    }
    edits.extend(switch(session, &plan.tree)?);
    Ok(edits)
}

/// Refuses when the installation's path is somebody else's.
pub fn check_home(host: &Host, home: &str, ledger: &Ledger) -> Result<()> {
    let what = if ledger.files.contains_key(home) || !host.exists(home) {
        return Ok(());
    } else if host.is_directory(home) {
        "a directory"
    } else {
        "a file or link"
    };
    let message = format!(
        "{home} is {what} that Husk did not make; remove it with the tool that did, or use `multiInstallSuffix`"
    );
    Err(NodeError::new(Code::PATH_OCCUPIED, message))
}

/// Refuses when the file system has too little room. Returns the free bytes when they could be read.
pub fn check_room(session: &Session, plan: &ArtifactsPlan) -> Result<Option<u64>> {
    let free = unpack::free_bytes(&plan.tree, &session.disk);
    let needed = plan.selection.unpacked + plan.selection.unpacked / 20;
    match free {
        Some(free) if free < needed => {
            let message = format!("{} needs {} MiB and has {} MiB free", parent(&plan.tree), needed >> 20, free >> 20);
            Err(NodeError::new(Code::DISK_FULL, message))
        }
        free => Ok(free),
    }
}

/// Puts the payload on the host and switches to it.
pub fn install(session: &mut Session, distribution: Option<Distribution>) -> Result<Outcome> {
    let store = session.store();
    let ledger = store.ledger()?;
    store.tidy(Part::Artifacts, &ledger)?;
    let open = store.journal(Part::Artifacts, &ledger)?;
    let mut known = ledger.clone();
    for edit in open.iter().flat_map(Journal::edits) {
        known.fold(Part::Artifacts, &edit);
    }
    let plan = plan(session, &known)?;
    if !plan.unpack.is_empty() {
        check_room(session, &plan)?;
    }
    let mut journal = open.clone();
    let result = advance(session, &store, &ledger, &mut journal, &plan, distribution);
    let version = match (result, journal) {
        (Ok(version), None) => version, // everything was in place
        (Ok(version), Some(journal)) => {
            let mut ledger = ledger.clone();
            hand_over(&store, session.host, &journal.edits(), &known)?;
            ledger.commit(Part::Artifacts, journal.transaction, &journal.edits());
            ledger.payload.clone_from(&version);
            store.save(&ledger)?;
            store.discard(Part::Artifacts)?;
            version
        }
        (Err(error), journal) => {
            for edit in journal.map(|journal| journal.edits()).unwrap_or_default().iter().rev() {
                edit.undo(&session.disk)?;
            }
            store.discard(Part::Artifacts)?;
            store.clean_if_empty()?;
            return Err(error);
        }
    };
    let mut outcome = Outcome { payload: version.clone(), ..Outcome::default() };
    let after = store.ledger()?;
    if after != ledger {
        outcome.changes = 1 + u32::try_from(plan.unpack.len()).unwrap_or_default();
        outcome.message = format!("{} is now {}", session.asked.home(), plan.tree);
    } else {
        outcome.message = format!("{} was in place", plan.tree);
    }
    collect(session, &store, after, &plan.tree, &mut outcome)?;
    Ok(outcome)
}

/// Makes what is missing, opening a transaction only when something is. Returns the payload's version.
fn advance(
    session: &Session,
    store: &Store,
    ledger: &Ledger,
    journal: &mut Option<Journal>,
    plan: &ArtifactsPlan,
    distribution: Option<Distribution>,
) -> Result<Option<String>> {
    for edit in &plan.unpack {
        apply(session, store, ledger, journal, edit, plan)?;
    }
    let mut edits = configure(session, &plan.tree, distribution)?;
    edits.extend(carry_over(session, &plan.tree)?);
    for edit in edits {
        apply(session, store, ledger, journal, &edit, plan)?;
    }
    verify(session, &plan.tree)?;
    if let Some(edit) = switch(session, &plan.tree)? {
        apply(session, store, ledger, journal, &edit, plan)?;
    }
    let own = session.host.text(&format!("{}/VERSION", plan.tree)).map(|text| text.trim().to_owned());
    Ok(plan.selection.version.clone().or(own.filter(|text| !text.is_empty())))
}

fn apply(
    session: &Session,
    store: &Store,
    ledger: &Ledger,
    journal: &mut Option<Journal>,
    edit: &Edit,
    plan: &ArtifactsPlan,
) -> Result<()> {
    let mut open = match journal.take() {
        Some(open) => open,
        None => store.begin(Part::Artifacts, ledger, None)?,
    };
    (session.around.say)(&edit.describe());
    let recorded = store.record(&mut open, Entry::Edit(Box::new(edit.clone())));
    *journal = Some(open);
    recorded?;
    match edit {
        Edit::Unpack { path, .. } => unpack_all(session, path, &plan.selection),
        edit => edit.apply(&session.disk),
    }
}

fn unpack_all(session: &Session, tree: &str, selection: &Selection) -> Result<()> {
    let disk = &session.disk;
    let partial = partial(tree);
    disk.remove_tree(tree)?;
    disk.remove_tree(&partial)?;
    disk.make_directory(&partial, 0o755)?;
    let total: u64 = selection.archives.iter().map(|archive| archive.size).sum();
    let (mut done, mut shown) = (0u64, 0u64);
    let say = session.around.say;
    let mut progress = |read: u64| {
        done += read;
        let tenth = done * 10 / total.max(1);
        if tenth > shown && total > 16 << 20 {
            shown = tenth;
            say(&format!("artifacts {}% {}/{} MiB", tenth * 10, done >> 20, total >> 20));
        }
    };
    for archive in &selection.archives {
        unpack::unpack(archive, &partial, disk, &mut progress)?;
    }
    for (name, path) in &selection.nydus {
        let directory = format!("{partial}/{NYDUS_DIRECTORY}");
        disk.make_directory(&directory, 0o755)?;
        disk.copy_program(path, &format!("{directory}/{name}"), false)?;
        if name.ends_with(".toml") {
            let file = disk.host().path(format!("{directory}/{name}"));
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))
                .map_err(|error| NodeError::io("setting the mode of", &file, &error))?;
        }
    }
    unpack::sync(&partial, disk)?;
    disk.rename(&partial, tree)
}

/// Edits that configure Kata inside the unpacked directory.
fn configure(session: &Session, tree: &str, distribution: Option<Distribution>) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    let mut linked = BTreeSet::new();
    for handler in session.asked.handlers() {
        let (shipped, kept) = shipped(session.host, tree, &handler)?;
        let directory = format!("{tree}/{}", handler.directory());
        let file = format!("configuration-{}.toml", handler.shim);
        let mut put = |path: String, wanted: Option<Image>| -> Result<()> {
            let now = session.host.image(&path)?;
            let same = now.as_ref().map(Image::digest) == wanted.as_ref().map(Image::digest);
            if !same {
                edits.push(Edit::Put { path, before: now, after: wanted, owned: None });
            }
            Ok(())
        };
        if linked.insert(handler.shim.clone()) && !kept {
            put(keeping(tree, &handler.shim), Some(Image::text(&shipped, 0o644)))?;
        }
        put(
            format!("{directory}/{file}"),
            Some(Image::text(kata_config::configuration(session.asked, &handler, &shipped)?, 0o644)),
        )?;
        let mut drop_ins = kata_config::drop_ins(session.asked, &handler, distribution, &shipped)?;
        for name in kata_config::DROP_INS {
            put(format!("{directory}/config.d/{name}"), drop_ins.remove(name).map(|text| Image::text(text, 0o644)))?;
        }
        if handler.variant == Variant::Plain {
            let target = format!("runtimes/{}/{file}", handler.shim);
            put(format!("{tree}/{}/{file}", shim::defaults(&handler.shim)), Some(Image::Link { target }))?;
        }
    }
    Ok(edits)
}

/// Edits that take along what somebody has put into `config.d` of the version in use.
fn carry_over(session: &Session, tree: &str) -> Result<Vec<Edit>> {
    let home = session.asked.home();
    let Some(Image::Link { target }) = session.host.image(&home)? else { return Ok(Vec::new()) };
    let old = join(parent(&home), &target);
    let mut edits = Vec::new();
    if old == tree {
        return Ok(edits);
    }
    for handler in session.asked.handlers() {
        let directory = format!("{}/config.d", handler.directory());
        for name in session.host.names(&format!("{old}/{directory}")) {
            let ours = kata_config::DROP_INS.contains(&name.as_str()) || name.starts_with('.');
            let path = format!("{tree}/{directory}/{name}");
            if !ours && !session.host.exists(&path) && session.host.path(format!("{old}/{directory}/{name}")).is_file()
            {
                let after = session.host.image(&format!("{old}/{directory}/{name}"))?;
                edits.push(Edit::Put { path, before: None, after, owned: None });
            }
        }
    }
    Ok(edits)
}

/// Where the shipped configuration is kept unchanged.
fn keeping(tree: &str, shim: &str) -> String {
    format!("{tree}/{}/shipped/configuration-{shim}.toml", shim::defaults(shim))
}

/// The shipped configuration of a handler's shim, and whether it is kept already.
fn shipped(host: &Host, tree: &str, handler: &Handler) -> Result<(String, bool)> {
    let kept = keeping(tree, &handler.shim);
    if let Some(text) = host.image(&kept)?.as_ref().and_then(Image::as_text) {
        return Ok((text.to_owned(), true));
    }
    let path = format!("{tree}/{}/configuration-{}.toml", shim::defaults(&handler.shim), handler.shim);
    // some shipped configurations are links to others
    let mut at = path.clone();
    for _ in 0..8 {
        match host.image(&at)? {
            Some(Image::Link { target }) => at = join(parent(&at), &target),
            Some(image) => {
                let text = image.as_text().map(str::to_owned);
                return text.map(|text| (text, false)).ok_or_else(|| {
                    NodeError::new(
                        Code::PAYLOAD_CORRUPT,
                        format!("the payload's {} is not a text file", file_name(&at)),
                    )
                });
            }
            None => break,
        }
    }
    Err(NodeError::new(
        Code::PAYLOAD_INCOMPLETE,
        format!("the payload has no {} for shim `{}`", path.trim_start_matches(tree), handler.shim),
    ))
}

/// Reads again: programs and configurations are there.
fn verify(session: &Session, tree: &str) -> Result<()> {
    for handler in session.asked.handlers() {
        for file in [shim::program(&handler.shim).to_owned(), handler.configuration()] {
            if !session.host.path(format!("{tree}/{file}")).is_file() {
                let message = format!("shim `{}` needs {file}, which the payload does not have", handler.shim);
                return Err(NodeError::new(Code::PAYLOAD_INCOMPLETE, message));
            }
        }
    }
    Ok(())
}

/// The edit that makes the installation's link point to a version.
fn switch(session: &Session, tree: &str) -> Result<Option<Edit>> {
    let home = session.asked.home();
    let target = format!("{}/{}", file_name(parent(tree)), file_name(tree));
    let now = session.host.image(&home)?;
    let after = Image::Link { target };
    if now.as_ref() == Some(&after) {
        return Ok(None);
    }
    let owned = Owned { part: Part::Artifacts, original: None, left: vec![after.digest()], ours: Ours::Whole };
    Ok(Some(Edit::Put { path: home, before: now, after: Some(after), owned: Some(owned) }))
}

/// Removes versions that nobody uses.
fn collect(session: &Session, store: &Store, mut ledger: Ledger, current: &str, outcome: &mut Outcome) -> Result<()> {
    let old: Vec<String> =
        ledger.trees.keys().filter(|tree| *tree != current && !is_containerd(tree)).cloned().collect();
    for tree in old {
        if let Some(user) = user_of(session, &tree) {
            outcome.warnings.push(format!("{tree} is kept: {user}"));
            continue;
        }
        remove_version(session, &tree)?;
        ledger.trees.remove(&tree);
        store.save(&ledger)?;
        outcome.changes += 1;
    }
    Ok(())
}

/// Removes a version. It loses its name first: half a version must never be taken for a whole one.
fn remove_version(session: &Session, tree: &str) -> Result<()> {
    let partial = partial(tree);
    if session.host.exists(tree) {
        session.disk.remove_tree(&partial)?;
        session.disk.rename(tree, &partial)?;
    }
    session.disk.remove_tree(&partial)
}

/// Who may be using a version: a process that runs a program of it or names it, or a sandbox of Kata's, whose version cannot be
/// told from inside a pod.
fn user_of(session: &Session, tree: &str) -> Option<String> {
    let processes = &session.around.processes;
    for entry in std::fs::read_dir(processes).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let program = std::fs::read_link(entry.path().join("exe")).unwrap_or_default();
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if program.to_string_lossy().contains(tree) || String::from_utf8_lossy(&words).contains(tree) {
            return Some(format!("process {name} uses it"));
        }
    }
    ["/run/vc/sbs", "/run/kata"]
        .into_iter()
        .find(|path| !session.host.names(path).is_empty())
        .map(|path| format!("sandboxes run on this node ({path})"))
}

/// Removes the payload's files. Every step can be repeated, so there is nothing to take back.
pub fn remove(session: &mut Session) -> Result<Outcome> {
    let store = session.store();
    let mut ledger = store.ledger()?;
    for edit in store.journal(Part::Artifacts, &ledger)?.iter().flat_map(Journal::edits) {
        ledger.fold(Part::Artifacts, &edit);
    }
    let mut outcome = Outcome::default();
    if !ledger.holds(Part::Artifacts) {
        store.discard(Part::Artifacts)?;
        store.clean_if_empty()?;
        outcome.message = "nothing of the payload is on this node".into();
        return Ok(outcome);
    }
    let (now, _) = crate::cri_plan::observe(&wanted::Wishes::new(), session.host, &ledger, Part::Artifacts)?;
    let edits = wanted::plan(Part::Artifacts, &wanted::Wishes::new(), &now, &BTreeSet::new(), &ledger)?;
    for edit in edits.iter().filter(|edit| matches!(edit, Edit::Put { .. })) {
        (session.around.say)(&edit.describe());
        edit.apply(&session.disk)?;
        outcome.changes += 1;
    }
    for tree in ledger.trees.keys().filter(|tree| !is_containerd(tree)) {
        if let Some(user) = user_of(session, tree) {
            outcome.warnings.push(format!("{tree} is removed although {user}"));
        }
        (session.around.say)(&format!("- {tree}"));
        remove_version(session, tree)?;
        outcome.changes += 1;
    }
    for edit in edits.iter().filter(|edit| matches!(edit, Edit::DropDirectory { .. })) {
        edit.apply(&session.disk)?;
    }
    hand_over(&store, session.host, &edits, &ledger)?;
    ledger.files.retain(|_, owned| owned.part != Part::Artifacts);
    ledger.directories.retain(|_, owned| owned.part != Part::Artifacts);
    ledger.trees.retain(|tree, _| is_containerd(tree));
    ledger.payload = None;
    store.save(&ledger)?;
    store.discard(Part::Artifacts)?;
    store.clean_if_empty()?;
    outcome.message = format!("{} and its versions are gone", session.asked.home());
    Ok(outcome)
}
