//! Where the payload comes from, when it is not a directory of the container: an archive, here or on a web server, or an OCI image
//! straight from its registry.
//!
//! [`locate`] finds out what it is without fetching it: its identity names the directory that it is unpacked into, so a payload
//! that is on the host already is not fetched again. [`bring`] streams what is needed of it into a directory beside the one that
//! it will be unpacked into, in upstream's layout; nothing of it counts before its digest was seen to be right. The node's own
//! image store is not used, so the payload is on the host once.

mod archive;
mod credentials;
mod reference;
mod registry;
mod wish;

pub use reference::Reference;
pub use wish::{PayloadWish, Place};

use crate::disk::Disk;
use crate::download::Download;
use crate::error::{NodeError, Result};
use crate::host::Host;
use crate::network::Network;
use crate::payload;
use crate::session::Session;
use crate::unpack::Refusal;
use archive::Extract;
use contract::Code;
use registry::{Layer, Registry};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

/// How often a transfer is tried.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// Bytes of an archive or image; upstream's has about 2 GiB.
const MOST_BYTES: u64 = 16 << 30;

/// A payload that was found, but not fetched.
#[derive(Clone, Debug)]
pub struct Located {
    /// For people: what it is and where.
    pub name: String,
    /// What makes it this payload and no other: a digest.
    pub identity: String,
    /// Bytes to transfer, when that is known.
    pub size: Option<u64>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    File,
    Url,
    Image { registry: Registry, layers: Vec<Layer> },
}

impl Located {
    /// The name of the directory that it is unpacked into: what is selected from it counts too.
    pub fn digest(&self, session: &Session) -> String {
        let asked = session.asked;
        let mut hash = Sha256::new();
        let mut shims = asked.needed_shims();
        shims.sort();
        let nydus = crate::snapshotter::nydus(asked).to_string();
        for word in
            [self.identity.as_str(), asked.arch.key(), &nydus].into_iter().chain(shims.iter().map(String::as_str))
        {
            hash.update(word.as_bytes());
            hash.update([0]);
        }
        hex::encode(&hash.finalize()[..10])
    }
}

/// Finds the payload that is asked for; `None` when it is a directory of the container.
///
/// # Errors
/// [`Code::PAYLOAD_NOT_FETCHED`] when its server cannot be reached or refuses; [`Code::PAYLOAD_MISSING`] when it is not there.
pub fn locate(session: &Session) -> Result<Option<Located>> {
    let wish = &session.asked.payload;
    let (name, identity, size, what) = match &wish.place {
        Place::Image | Place::Directory(_) => return Ok(None),
        Place::File(path) => {
            let missing = |error: io::Error| {
                NodeError::new(Code::PAYLOAD_MISSING, format!("the payload {}: {error}", path.display()))
            };
            let (size, tail) = tail(&session.inside(path)).map_err(missing)?;
            let identity = wish.sha256.clone().unwrap_or_else(|| hex::encode(Sha256::digest(tail)));
            (path.display().to_string(), identity, Some(size), What::File)
        }
        Place::Url(url) => {
            let identity = wish.sha256.clone().unwrap_or_else(|| hex::encode(Sha256::digest(url)));
            (url.clone(), identity, None, What::Url)
        }
        Place::Registry(reference) => {
            let (registry, found) = registry::find(wish, reference, session.host, session.asked.arch, &|why| {
                (session.around.say)(why);
            })?;
            let size = found.layers.iter().map(|layer| layer.size).sum();
            let layers = found.layers;
            (reference.to_string(), found.digest, Some(size), What::Image { registry, layers })
        }
    };
    Ok(Some(Located { name, identity, size, what }))
}

/// Fetches a payload into `spool`, a directory of the host that does not exist yet.
///
/// # Errors
/// [`Code::PAYLOAD_NOT_FETCHED`] for a transfer that broke, [`Code::PAYLOAD_CORRUPT`] for one with another digest or content that
/// leads out of its place, [`Code::DISK_FULL`].
pub fn bring(session: &Session, located: &Located, spool: &str) -> Result<()> {
    let wish = &session.asked.payload;
    let disk = &session.disk;
    disk.remove_tree(spool)?;
    disk.make_directory(spool, 0o700)?;
    let mut extract = Extract::new(session.asked, disk, spool);
    match &located.what {
        What::File => {
            let Place::File(path) = &wish.place else { return Ok(()) };
            let file = File::open(session.inside(path))
                .map_err(|error| NodeError::new(Code::PAYLOAD_MISSING, format!("{}: {error}", path.display())))?;
            let size = located.size.unwrap_or(MOST_BYTES);
            let stream = Stream::new(file, session.around.say, located.size);
            match take(stream, &mut extract, size, wish.sha256.as_deref()) {
                Ok(()) => {}
                Err(Failure::Transfer(why) | Failure::Bad(why)) => return Err(corrupt(&located.name, &why)),
                Err(Failure::Node(error)) => return Err(error),
            }
        }
        What::Url => {
            let Place::Url(url) = &wish.place else { return Ok(()) };
            let trusted = trusted(&wish.network, session.host, url)?;
            again(session, &located.name, &mut || {
                let download = Download::start(url, MOST_BYTES, &wish.network, &trusted).map_err(Failure::Transfer)?;
                let stream = Stream::new(download, session.around.say, None);
                take(stream, &mut extract, MOST_BYTES, wish.sha256.as_deref())
            })?;
        }
        What::Image { registry, layers } => {
            for layer in layers {
                again(session, &located.name, &mut || {
                    let download = registry.blob(layer, &wish.network).map_err(Failure::Transfer)?;
                    let stream = Stream::new(download, session.around.say, Some(layer.size));
                    take(stream, &mut extract, layer.size, Some(&layer.sha256))
                })?;
            }
        }
    }
    if !disk.host().path(format!("{spool}/{}", payload::INDEX)).is_file() {
        let why = format!("it has no {}; it is not a payload of Kata", payload::INDEX);
        return Err(corrupt(&located.name, &why));
    }
    Ok(())
}

/// What is to be said of an archive that nobody gave a checksum for.
pub fn unverified(wish: &PayloadWish) -> Option<String> {
    match &wish.place {
        Place::Url(url) if wish.sha256.is_none() => {
            Some(format!("the payload from {url} was not verified; give its sha256"))
        }
        _ => None,
    }
}

enum Failure {
    /// Another attempt may succeed.
    Transfer(String),
    /// It arrived, and is not what it should be.
    Bad(String),
    Node(NodeError),
}

fn again(session: &Session, name: &str, attempt: &mut dyn FnMut() -> std::result::Result<(), Failure>) -> Result<()> {
    let mut last = String::new();
    for number in 1..=ATTEMPTS {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(Failure::Bad(why)) => return Err(corrupt(name, &why)),
            Err(Failure::Node(error)) => return Err(error),
            Err(Failure::Transfer(why)) => last = why,
        }
        if number < ATTEMPTS {
            (session.around.say)(&format!("fetching {name}: {last}; trying again"));
            (session.around.pause)(PAUSE * number);
        }
    }
    Err(not_fetched(name, &format!("{last} ({ATTEMPTS} attempts)")))
}

/// Streams one archive into its place, and believes it only when its digest is right.
fn take<R: Broken>(
    stream: Stream<R>,
    extract: &mut Extract,
    size: u64,
    sha256: Option<&str>,
) -> std::result::Result<(), Failure> {
    let mut stream = stream;
    let unpacked = extract.archive(&mut stream, size);
    // what a failed transfer left in the archive's reader is no fault of the archive
    let drained =
        if matches!(unpacked, Err(Refusal::Failed(_))) { Ok(0) } else { io::copy(&mut stream, &mut io::sink()) };
    if let Some(why) = stream.inner.broken() {
        return Err(Failure::Transfer(why));
    }
    if let Err(Refusal::Failed(error)) = unpacked {
        return Err(Failure::Node(error));
    }
    drained.map_err(|error| Failure::Transfer(error.to_string()))?;
    let found = hex::encode(stream.hash.finalize());
    if let Some(wanted) = sha256.filter(|wanted| **wanted != found) {
        // fewer bytes than announced are a transfer that ended early, not another archive
        return Err(if stream.read < size && size != MOST_BYTES {
            Failure::Transfer(format!("ended after {} of {size} bytes", stream.read))
        } else {
            Failure::Bad(format!("its SHA-256 is {found}, not {wanted}"))
        });
    }
    match unpacked {
        Ok(()) => Ok(()),
        Err(Refusal::Damaged(why)) => Err(Failure::Bad(why)),
        Err(Refusal::Failed(error)) => Err(Failure::Node(error)),
    }
}

/// A reader that may tell that it was cut off.
trait Broken: Read {
    fn broken(&self) -> Option<String>;
}

impl Broken for File {
    fn broken(&self) -> Option<String> {
        None
    }
}

impl Broken for Download {
    fn broken(&self) -> Option<String> {
        self.broken.clone()
    }
}

struct Stream<'s, R> {
    inner: R,
    hash: Sha256,
    read: u64,
    total: Option<u64>,
    shown: u64,
    say: &'s dyn Fn(&str),
}

impl<'s, R> Stream<'s, R> {
    fn new(inner: R, say: &'s dyn Fn(&str), total: Option<u64>) -> Self {
        Stream { inner, hash: Sha256::new(), read: 0, total, shown: 0, say }
    }
}

impl<R: Read> Read for Stream<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.read += read as u64;
        // one line for each 64 MiB
        if self.read >> 26 > self.shown {
            self.shown = self.read >> 26;
            let of = self.total.map(|total| format!("/{}", total >> 20)).unwrap_or_default();
            (self.say)(&format!("payload {}{of} MiB", self.read >> 20));
        }
        Ok(read)
    }
}

fn trusted(network: &Network, host: &Host, url: &str) -> Result<String> {
    network.trusted(host, url.starts_with("https:")).map_err(|why| not_fetched(url, &why))
}

fn corrupt(name: &str, why: &str) -> NodeError {
    NodeError::new(Code::PAYLOAD_CORRUPT, format!("the payload {name}: {why}"))
}

fn not_fetched(name: &str, why: &str) -> NodeError {
    NodeError::new(Code::PAYLOAD_NOT_FETCHED, format!("the payload {name} cannot be fetched: {why}"))
}

/// Size and end of a file, which stand for its content where nobody gives a digest.
fn tail(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(1 << 16)))?;
    let mut bytes = size.to_le_bytes().to_vec();
    file.read_to_end(&mut bytes)?;
    Ok((size, bytes))
}

/// The directory in which a payload arrives before it is unpacked into `tree`.
pub fn spool(tree: &str) -> String {
    format!("{tree}.payload")
}

/// Removes what may be left of a payload that was arriving.
pub fn sweep(tree: &str, disk: &Disk) -> Result<()> {
    disk.remove_tree(&spool(tree))
}
