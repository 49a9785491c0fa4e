//! Bringing a containerd to a host, and removing those that no drop-in names any more.

use super::archive::{self, Refusal};
use super::wish::{Source, triple};
use super::{NOTE, Note, Switch, aim, is_tree, own_version, program};
use crate::disk::Disk;
use crate::distribution::Found;
use crate::download::Download;
use crate::edit::{Edit, partial};
use crate::error::{NodeError, Result};
use crate::host::{Host, parent};
use crate::image::Image;
use crate::ledger::{Ledger, Part};
use crate::network::Network;
use crate::session::Session;
use crate::shim::Arch;
use crate::store::{Entry, Journal, Store};
use crate::unpack;
use crate::wanted;
use contract::Code;
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::time::Duration;

/// How often a transfer is tried.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// Bytes of a tarball; a release has about 50 MiB.
const MOST_BYTES: u64 = 512 << 20;

/// Sees to it that the containerd that a host shall run is on it. When it was not, the journal of the `cri` stage is open
/// afterwards, and the stage goes on with it.
///
/// # Errors
/// [`Code::CONTAINERD_NOT_FETCHED`], [`Code::CONTAINERD_UNFIT`] and those of [`aim`]. The journal may be open; the caller takes
/// back what it has announced.
pub fn bring(session: &mut Session, store: &Store, found: &Found, ledger: &Ledger, known: &Ledger) -> Result<()> {
    let aim = aim(session.asked, found, session.host, known)?;
    let (Some(switch), Some(wish)) = (aim.switch, &session.asked.custom_containerd) else { return Ok(()) };
    if !session.units.state(&found.unit)?.loaded {
        let message = format!("`customContainerd` cannot be used here: this host has no unit {}", found.unit);
        return Err(NodeError::new(Code::CONTAINERD_NOT_REPLACEABLE, message));
    }
    if switch.version.is_some() {
        return Ok(());
    }
    let mut journal = store.begin(Part::Cri, ledger, Some(&found.unit))?;
    for edit in pending(session.host, &switch) {
        (session.around.say)(&edit.describe());
        store.record(&mut journal, Entry::Edit(Box::new(edit.clone())))?;
        edit.apply(&session.disk)?;
    }
    let own = own_version(session.asked, found, session.host, known);
    fetch(session, &switch, &wish.network, &own)
}

/// The edits that [`bring`] makes.
pub fn pending(host: &Host, switch: &Switch) -> Vec<Edit> {
    if switch.version.is_some() {
        return Vec::new();
    }
    let missing = wanted::ancestors(&switch.tree).into_iter().filter(|path| !host.path(path).is_dir());
    let mut edits: Vec<Edit> = missing.map(|path| Edit::MakeDirectory { path: path.to_owned(), mode: 0o755 }).collect();
    edits.push(Edit::Unpack {
        path: switch.tree.clone(),
        digest: switch.source.sha256.clone().unwrap_or_default(),
        components: vec![format!("containerd from {}", switch.source.url)],
    });
    edits
}

fn fetch(session: &Session, switch: &Switch, network: &Network, own: &str) -> Result<()> {
    let trusted = trusted(session.host, network, &switch.source)?;
    let mut last = String::new();
    for attempt in 1..=ATTEMPTS {
        match fetch_once(&switch.source, &switch.tree, network, &trusted, &session.disk, session.asked.arch, own) {
            Ok(()) => return Ok(()),
            Err(Failure::Transfer(why)) => last = why,
            Err(Failure::Node(error)) => return Err(error),
        }
        if attempt < ATTEMPTS {
            (session.around.say)(&format!("fetching {}: {last}; trying again", switch.source.url));
            (session.around.pause)(PAUSE * attempt);
        }
    }
    let message = format!("{} cannot be fetched: {last} ({ATTEMPTS} attempts)", switch.source.url);
    Err(NodeError::new(Code::CONTAINERD_NOT_FETCHED, message))
}

/// The certificates of those whom we believe who a server is.
fn trusted(host: &Host, network: &Network, source: &Source) -> Result<String> {
    network.trusted(host, source.url.starts_with("https:")).map_err(|why| {
        let code = if network.certificates.is_some() { Code::BAD_SETTINGS } else { Code::CONTAINERD_NOT_FETCHED };
        NodeError::new(code, format!("{} cannot be fetched: {why}", source.url))
    })
}

enum Failure {
    /// Another attempt may succeed.
    Transfer(String),
    Node(NodeError),
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Failure::Node(error)
    }
}

fn fetch_once(
    source: &Source,
    tree: &str,
    network: &Network,
    trusted: &str,
    disk: &Disk,
    arch: Arch,
    own: &str,
) -> std::result::Result<(), Failure> {
    let unfit = |why: String| Failure::Node(NodeError::new(Code::CONTAINERD_UNFIT, format!("{}: {why}", source.url)));
    let partial = partial(tree);
    disk.remove_tree(tree)?;
    disk.remove_tree(&partial)?;
    disk.make_directory(&partial, 0o755)?;
    let download = Download::start(&source.url, MOST_BYTES, network, trusted).map_err(Failure::Transfer)?;
    let mut hashed = Hashed { inner: download, hash: Sha256::new() };
    let unpacked = archive::unpack(&mut hashed, &partial, disk);
    // what a failed transfer left in the archive's reader is no fault of the archive
    let drained = io::copy(&mut hashed, &mut io::sink());
    if let Some(why) = hashed.inner.broken {
        return Err(Failure::Transfer(why));
    }
    drained.map_err(|error| Failure::Transfer(error.to_string()))?;
    let sha256 = hex::encode(hashed.hash.finalize());
    if let Some(wanted) = source.sha256.as_ref().filter(|wanted| **wanted != sha256) {
        return Err(unfit(format!("its SHA-256 is {sha256}, not {wanted}")));
    }
    match unpacked {
        Ok(()) => {}
        Err(Refusal::Bad(why)) => return Err(unfit(why)),
        Err(Refusal::Failed(error)) => return Err(error.into()),
    }
    let told = program::version(&disk.host().path(format!("{partial}/bin/containerd")), arch).map_err(unfit)?;
    let version = told.or_else(|| source.version_of_name()).ok_or_else(|| {
        unfit("its version cannot be told: the program does not run here, and the file's name has none".to_owned())
    })?;
    if triple(&version).is_none_or(|version| version < (1, 6, 0)) {
        return Err(unfit(format!("containerd {version} is older than 1.6, the oldest that Husk configures")));
    }
    let note = Note { url: source.url.clone(), sha256, version, own: own.to_owned() };
    let text = serde_json::to_string_pretty(&note)
        .map_err(|error| NodeError::new(Code::LEDGER_UNREADABLE, error.to_string()))?;
    let image = Image::File {
        mode: 0o644,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        content: crate::image::Content(text.into_bytes()),
    };
    disk.put(&format!("{partial}/{NOTE}"), &image)?;
    unpack::sync(&partial, disk)?;
    disk.rename(&partial, tree)?;
    Ok(())
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// Removes every containerd of ours but `keep`, with the directories that were made for it. To be called when no drop-in names
/// them any more. Returns how many there were.
pub fn collect(session: &Session, store: &Store, keep: Option<&str>) -> Result<u32> {
    let mut ledger = store.ledger()?;
    let old: Vec<String> =
        ledger.trees.keys().filter(|tree| is_tree(tree) && Some(tree.as_str()) != keep).cloned().collect();
    for tree in &old {
        (session.around.say)(&format!("- {tree}"));
        // it loses its name first: half of it must never be taken for the whole
        let partial = partial(tree);
        if session.host.exists(tree) {
            session.disk.remove_tree(&partial)?;
            session.disk.rename(tree, &partial)?;
        }
        session.disk.remove_tree(&partial)?;
        ledger.trees.remove(tree);
        let mut directory = parent(tree);
        while ledger.directories.get(directory).is_some_and(|owned| owned.part == Part::Cri)
            && !is_used(&ledger, directory)
        {
            session.disk.remove_directory(directory)?;
            ledger.directories.remove(directory);
            directory = parent(directory);
        }
    }
    if !old.is_empty() {
        store.save(&ledger)?;
    }
    Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
}

/// Whether something of ours is below a directory.
fn is_used(ledger: &Ledger, directory: &str) -> bool {
    let below = format!("{directory}/");
    ledger.files.keys().chain(ledger.directories.keys()).chain(ledger.trees.keys()).any(|path| path.starts_with(&below))
}

/// Whether a containerd of ours is below a directory, so that the directory has to stay until it is collected.
pub fn holds_tree(ledger: &Ledger, directory: &str) -> bool {
    let below = format!("{directory}/");
    ledger.trees.keys().any(|tree| is_tree(tree) && tree.starts_with(&below))
}

/// Whether a transaction has announced to bring a containerd.
pub fn brings(journal: &Journal) -> bool {
    journal.edits().iter().any(|edit| matches!(edit, Edit::Unpack { .. }))
}
