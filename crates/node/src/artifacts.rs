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
use crate::payload_source::{self, Located};
use crate::selinux::Policy;
use crate::session::{Outcome, Session};
use crate::shim::{self, Handler, Variant};
use crate::snapshotter::NYDUS_DIRECTORY;
use crate::store::{Entry, Journal, Store};
use crate::unpack;
use crate::users::Users;
use crate::wanted;
use contract::Code;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

/// What the stage will do.
#[derive(Clone, Debug)]
pub struct ArtifactsPlan {
    /// What is taken from the payload.
    pub content: Content,
    /// The directory it goes to.
    pub tree: String,
    /// Edits up to the unpacked directory; empty when it is there.
    pub unpack: Vec<Edit>,
}

/// What is known of a payload before it is unpacked.
#[derive(Clone, Debug)]
pub enum Content {
    /// It is here.
    Here(Selection),
    /// It has to be fetched; what it has in it is known then.
    Elsewhere(Box<Located>),
}

impl Content {
    /// One line for people.
    pub fn describe(&self, session: &Session) -> String {
        match self {
            Content::Here(selection) => {
                let names: Vec<&str> = selection.archives.iter().map(|archive| archive.component.as_str()).collect();
                format!("{} for {}", names.join(", "), session.asked.arch)
            }
            Content::Elsewhere(located) => match located.size {
                Some(size) => format!("{} ({} MiB) for {}", located.name, size >> 20, session.asked.arch),
                None => format!("{} for {}", located.name, session.asked.arch),
            },
        }
    }
}

/// Finds the payload and selects what the settings need, as far as that can be told without fetching it.
pub fn content(session: &Session) -> Result<Content> {
    match (session.payload(), payload_source::locate(session)?) {
        (_, Some(located)) => Ok(Content::Elsewhere(Box::new(located))),
        (Some(directory), None) => Ok(Content::Here(payload::select(&directory, session.asked)?)),
        (None, None) => Err(NodeError::new(Code::PAYLOAD_MISSING, "nobody says where the payload is")),
    }
}

/// Plans up to the unpacked directory; how it is configured can only be planned when it is there.
pub fn plan(session: &Session, ledger: &Ledger) -> Result<ArtifactsPlan> {
    let home = session.asked.home();
    let content = content(session)?;
    check_home(session.host, &home, ledger)?;
    let (digest, components) = match &content {
        Content::Here(selection) => {
            let names = selection.archives.iter().map(|archive| archive.component.clone()).collect();
            (selection.digest.clone(), names)
        }
        Content::Elsewhere(located) => (located.digest(session), vec![located.name.clone()]),
    };
    let tree = format!("{}/{digest}", session.asked.versions());
    let mut edits = Vec::new();
    if !(ledger.trees.contains_key(&tree) && session.host.is_directory(&tree)) {
        let missing = wanted::ancestors(&tree).into_iter().filter(|path| !session.host.path(path).is_dir());
        edits.extend(missing.map(|path| Edit::MakeDirectory { path: path.to_owned(), mode: 0o755 }));
        edits.push(Edit::Unpack { path: tree.clone(), digest, components });
    }
    Ok(ArtifactsPlan { content, tree, unpack: edits })
}

/// What is still to be configured and switched, as far as it can be told before the payload is unpacked.
pub fn pending(session: &Session, plan: &ArtifactsPlan, distribution: Option<Distribution>) -> Result<Vec<Edit>> {
    let mut edits = plan.unpack.clone();
    if edits.is_empty() {
        edits.extend(configure(session, &plan.tree, distribution)?);
        edits.extend(stale(session, &plan.tree, &edits)?);
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

/// Bytes of a payload for each inode that it takes, at the least; Kata's files are large.
const BYTES_OF_AN_INODE: u64 = 64 << 10;

/// Refuses when the file system has too little room. Returns the bytes needed and the free ones, when they could be read.
pub fn check_room(session: &Session, plan: &ArtifactsPlan) -> Result<Option<(u64, u64)>> {
    let needed = match &plan.content {
        Content::Here(selection) => selection.unpacked,
        // it arrives compressed, and is about three times as large when it is unpacked beside that
        Content::Elsewhere(located) => located.size.unwrap_or(0) * 4,
    };
    check_free(session, &plan.tree, needed)
}

fn check_free(session: &Session, tree: &str, needed: u64) -> Result<Option<(u64, u64)>> {
    let needed = needed + needed / 20;
    let (bytes, inodes) = (unpack::free_bytes(tree, &session.disk), unpack::free_inodes(tree, &session.disk));
    enough(parent(tree), needed, bytes, inodes)?;
    Ok(bytes.map(|free| (needed, free)))
}

/// Whether a payload of so many bytes has room.
fn enough(place: &str, needed: u64, bytes: Option<u64>, inodes: Option<u64>) -> Result<()> {
    let full = |what: String| Err(NodeError::new(Code::DISK_FULL, what));
    if let Some(free) = bytes.filter(|free| *free < needed) {
        return full(format!("{place} needs {} MiB and has {} MiB free", needed >> 20, free >> 20));
    }
    let files = needed / BYTES_OF_AN_INODE + 1000;
    match inodes.filter(|free| *free < files) {
        Some(free) => full(format!("{place} needs {files} inodes and has {free} free")),
        None => Ok(()),
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
    let result = result.and_then(|version| match &journal {
        None => Ok(version), // everything was in place
        Some(journal) => commit(session, &store, &ledger, &known, journal, version),
    });
    let version = match result {
        Ok(version) => version,
        Err(error) => {
            take_back(session, &store, journal.as_ref())?;
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
    outcome.warnings.extend(payload_source::unverified(&session.asked.payload));
    collect(session, &store, after, &plan.tree, &mut outcome)?;
    Ok(outcome)
}

/// Makes an open transaction the host's new state. Returns the payload's version.
fn commit(
    session: &Session,
    store: &Store,
    ledger: &Ledger,
    known: &Ledger,
    journal: &Journal,
    version: Option<String>,
) -> Result<Option<String>> {
    let mut ledger = ledger.clone();
    hand_over(store, session.host, &journal.edits(), known)?;
    ledger.commit(Part::Artifacts, journal.transaction, &journal.edits());
    ledger.payload.clone_from(&version);
    store.save(&ledger)?;
    store.discard(Part::Artifacts)?;
    Ok(version)
}

/// Takes back what a transaction has done, unless it counts already.
fn take_back(session: &Session, store: &Store, journal: Option<&Journal>) -> Result<()> {
    let committed = store.ledger()?.committed.get(&Part::Artifacts).copied().unwrap_or(0);
    if let Some(journal) = journal.filter(|journal| journal.transaction > committed) {
        for edit in journal.edits().iter().rev() {
            edit.undo(&session.disk)?;
        }
    }
    store.tidy_ledger()?;
    store.discard(Part::Artifacts)?;
    store.clean_if_empty()
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
    edits.extend(stale(session, &plan.tree, &edits)?);
    for edit in edits {
        apply(session, store, ledger, journal, &edit, plan)?;
    }
    if journal.is_some() {
        label_tree(session, &plan.tree)?;
    }
    verify(session, &plan.tree)?;
    if let Some(edit) = switch(session, &plan.tree)? {
        apply(session, store, ledger, journal, &edit, plan)?;
    }
    let own = session.host.text(&format!("{}/VERSION", plan.tree)).map(|text| text.trim().to_owned());
    let told = match &plan.content {
        Content::Here(selection) => selection.version.clone(),
        Content::Elsewhere(_) => None,
    };
    Ok(told.or(own.filter(|text| !text.is_empty())))
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
        Edit::Unpack { path, .. } => unpack_all(session, path, &plan.content),
        edit => edit.apply(&session.disk),
    }
}

fn unpack_all(session: &Session, tree: &str, content: &Content) -> Result<()> {
    match content {
        Content::Here(selection) => unpack_here(session, tree, selection, None),
        Content::Elsewhere(located) => {
            let spool = payload_source::spool(tree);
            payload_source::bring(session, located, &spool)?;
            let selection = payload::select(&session.host.path(&spool), session.asked)?;
            check_free(session, tree, selection.unpacked)?;
            unpack_here(session, tree, &selection, Some(&spool))
        }
    }
}

fn unpack_here(session: &Session, tree: &str, selection: &Selection, spool: Option<&str>) -> Result<()> {
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
    if let Some(version) = selection.version.as_ref().filter(|_| !session.host.exists(&format!("{partial}/VERSION"))) {
        disk.put(&format!("{partial}/VERSION"), &Image::text(format!("{version}\n"), 0o644))?;
    }
    unpack::sync(&partial, disk)?;
    // before the tree has its name: after that nobody looks for what was left beside it
    if let Some(spool) = spool {
        disk.remove_tree(spool)?;
    }
    disk.rename(&partial, tree)
}

/// Gives every file the SELinux label that the host's policy has for it, where there is such a policy.
fn label_tree(session: &Session, tree: &str) -> Result<()> {
    match Policy::of(session) {
        Some(policy) => policy.label(session, tree),
        None => Ok(()),
    }
}

/// Edits that configure Kata inside the unpacked directory.
fn configure(session: &Session, tree: &str, distribution: Option<Distribution>) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    let image = session.host.exists(&format!("{tree}/{}", kata_config::DEVKIT_IMAGE));
    let devkit = session.host.text(&format!("{tree}/{}", kata_config::DEVKIT_HASH)).filter(|_| image);
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
        let mut drop_ins = kata_config::drop_ins(session.asked, &handler, distribution, &shipped, devkit.as_deref())?;
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

/// Edits that remove what handlers have left that nobody wants any more, such as those for debugging. What somebody has put
/// beside it stays.
fn stale(session: &Session, tree: &str, planned: &[Edit]) -> Result<Vec<Edit>> {
    let host = session.host;
    let wanted: BTreeSet<String> =
        session.asked.handlers().iter().map(|handler| format!("{tree}/{}", handler.directory())).collect();
    let mut edits = Vec::new();
    for place in shim::HANDLER_DIRECTORIES {
        let place = format!("{tree}/{place}");
        for name in host.names(&place) {
            let directory = format!("{place}/{name}");
            let drop_ins = format!("{directory}/config.d");
            let mut gone: BTreeSet<String> =
                planned.iter().filter(|edit| edit.removes()).map(|edit| edit.path().to_owned()).collect();
            let ours =
                |name: &String| name.starts_with("configuration-") || kata_config::DROP_INS.contains(&name.as_str());
            if !wanted.contains(&directory) {
                for (place, name) in [&directory, &drop_ins]
                    .into_iter()
                    .flat_map(|place| host.names(place).into_iter().map(move |name| (place, name)))
                    .filter(|(_, name)| ours(name))
                {
                    let path = format!("{place}/{name}");
                    edits.push(Edit::Put { before: host.image(&path)?, path: path.clone(), after: None, owned: None });
                    gone.insert(path);
                }
            }
            let puts: Vec<&str> = planned.iter().filter(|edit| !edit.removes()).map(Edit::path).collect();
            for path in [drop_ins, directory] {
                let filled = puts.iter().any(|put| put.starts_with(&format!("{path}/")))
                    || host.names(&path).iter().any(|name| !gone.contains(&format!("{path}/{name}")));
                if host.is_directory(&path) && !filled {
                    edits.push(Edit::DropDirectory { path: path.clone(), mode: 0o755 });
                    gone.insert(path);
                }
            }
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
fn collect(
    session: &mut Session,
    store: &Store,
    mut ledger: Ledger,
    current: &str,
    outcome: &mut Outcome,
) -> Result<()> {
    let old: Vec<String> =
        ledger.trees.keys().filter(|tree| *tree != current && !is_containerd(tree)).cloned().collect();
    if old.is_empty() {
        return Ok(());
    }
    let users = Users::look(session, &ledger);
    for tree in old {
        if let Some(user) = users.of(&tree) {
            outcome.warnings.push(format!("{tree} is kept: {user}; it goes with the next run after that"));
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
    session.disk.remove_tree(&partial)?;
    payload_source::sweep(tree, &session.disk)
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
    let users = Users::look(session, &ledger);
    let used = ledger.trees.keys().filter(|tree| !is_containerd(tree)).find_map(|tree| users.of(tree));
    if let Some(user) = used {
        let message = format!(
            "{} stays with its versions: {user}. Stop the pods that run on {}, then remove again",
            session.asked.home(),
            session
                .asked
                .handlers()
                .first()
                .map_or("its handlers".to_owned(), |handler| format!("`{}` and the like", handler.name))
        );
        return Err(NodeError::new(Code::PAYLOAD_IN_USE, message));
    }
    let (now, _) = crate::cri_plan::observe(&wanted::Wishes::new(), session.host, &ledger, Part::Artifacts)?;
    let edits = wanted::plan(Part::Artifacts, &wanted::Wishes::new(), &now, &BTreeSet::new(), &ledger)?;
    for edit in edits.iter().filter(|edit| matches!(edit, Edit::Put { .. })) {
        (session.around.say)(&edit.describe());
        edit.apply(&session.disk)?;
        outcome.changes += 1;
    }
    for tree in ledger.trees.keys().filter(|tree| !is_containerd(tree)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_inodes_are_both_needed() {
        let code = |needed, bytes, inodes| enough("/opt/kata.d", needed, bytes, inodes).map_err(|error| error.message);
        assert_eq!(code(1 << 30, Some(2 << 30), Some(1 << 20)), Ok(()));
        assert_eq!(code(1 << 30, None, None), Ok(()), "what is not counted is not short");
        assert!(code(1 << 30, Some(1 << 20), None).unwrap_err().contains("needs 1024 MiB and has 1 MiB free"));
        assert!(code(1 << 30, Some(2 << 30), Some(900)).unwrap_err().contains("inodes and has 900 free"));
    }
}
