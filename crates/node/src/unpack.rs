//! Streaming archives of the payload into a directory of our own.
//!
//! An archive may only put files below `opt/kata`, which becomes the directory itself; a path or link that would lead out of it
//! is a damaged payload.

use crate::disk::Disk;
use crate::error::{NodeError, Result};
use crate::payload::Archive;
use contract::Code;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes that a decompressor hands over at once, and how many such pieces may wait: what memory the stage takes.
const PIECE: usize = 256 << 10;
const WAITING: usize = 16;
/// The largest window of a frame, as a power of two: what `zstd` itself accepts without being asked for more.
const WINDOW: u32 = 27;
/// Members of one archive.
const MOST_MEMBERS: u64 = 1_000_000;

/// Unpacks one archive into `tree`, a directory of the host. `progress` hears of the compressed bytes read.
///
/// The archive is read, hashed and decompressed on a thread of its own while this one writes.
pub fn unpack(archive: &Archive, tree: &str, disk: &Disk, progress: &mut dyn FnMut(u64)) -> Result<()> {
    unpack_within(archive, tree, disk, progress, Bound::of(archive.size))
}

fn unpack_within(
    archive: &Archive,
    tree: &str,
    disk: &Disk,
    progress: &mut dyn FnMut(u64),
    mut bound: Bound,
) -> Result<()> {
    let damaged = |why: String| NodeError::new(Code::PAYLOAD_CORRUPT, format!("{}: {why}", archive.path.display()));
    let file = File::open(&archive.path).map_err(|error| damaged(error.to_string()))?;
    let (sender, pieces) = sync_channel(WAITING);
    let wanted = archive.sha256.clone();
    std::thread::scope(|scope| {
        let reading = std::thread::Builder::new()
            .name("decompress".to_owned())
            .spawn_scoped(scope, move || decompress(file, wanted.as_deref(), &sender));
        if let Err(error) = reading {
            return Err(NodeError::io("starting a thread for", &archive.path, &error));
        }
        let mut ahead = Ahead { pieces, piece: Vec::new(), used: 0, progress };
        let mut tar = tar::Archive::new(&mut ahead);
        let entries = tar.entries().map_err(|error| damaged(error.to_string()))?;
        for entry in entries {
            let mut entry = entry.map_err(|error| damaged(format!("truncated or not a tar archive: {error}")))?;
            place_kata(&mut entry, tree, disk, &mut bound).map_err(|refusal| match refusal {
                Refusal::Damaged(why) => damaged(why),
                Refusal::Failed(error) => error,
            })?;
        }
        // to the end of the frame and of the file: their checksums are verified there
        io::copy(&mut ahead, &mut io::sink()).map_err(|error| damaged(format!("truncated or damaged: {error}")))?;
        Ok(())
    })
}

/// Decompressed bytes, and how many compressed ones were read for them; an empty piece is the end.
type Piece = std::result::Result<(Vec<u8>, u64), String>;

fn decompress(file: File, wanted: Option<&str>, sender: &SyncSender<Piece>) {
    // nobody listens any more when the archive was refused
    let _ = sender.send(try_decompress(file, wanted, sender).map(|read| (Vec::new(), read)));
}

fn try_decompress(file: File, wanted: Option<&str>, sender: &SyncSender<Piece>) -> std::result::Result<u64, String> {
    let text = |error: io::Error| error.to_string();
    let mut counted = Counted { inner: file, hash: wanted.map(|_| Sha256::new()), read: 0 };
    let mut told = 0;
    {
        let mut decoder = zstd::Decoder::new(&mut counted).map_err(text)?;
        decoder.window_log_max(WINDOW).map_err(text)?;
        loop {
            let mut piece = vec![0; PIECE];
            let mut filled = 0;
            while filled < piece.len() {
                match decoder.read(&mut piece[filled..]).map_err(text)? {
                    0 => break,
                    read => filled += read,
                }
            }
            if filled == 0 {
                break;
            }
            piece.truncate(filled);
            let read = decoder.get_ref().get_ref().read;
            if sender.send(Ok((piece, read - told))).is_err() {
                return Ok(0);
            }
            told = read;
        }
    }
    io::copy(&mut counted, &mut io::sink()).map_err(text)?;
    if let (Some(hash), Some(wanted)) = (counted.hash, wanted) {
        let found = hex::encode(hash.finalize());
        if !found.eq_ignore_ascii_case(wanted) {
            return Err(format!("its SHA-256 is {found}, the payload's index says {wanted}"));
        }
    }
    Ok(counted.read - told)
}

/// What the other thread has decompressed.
struct Ahead<'p> {
    pieces: Receiver<Piece>,
    piece: Vec<u8>,
    used: usize,
    progress: &'p mut dyn FnMut(u64),
}

impl Read for Ahead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.piece.len() {
            match self.pieces.recv() {
                Ok(Ok((piece, read))) => {
                    (self.progress)(read);
                    (self.piece, self.used) = (piece, 0);
                }
                Ok(Err(why)) => return Err(io::Error::other(why)),
                // after the end
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len() - self.used);
        buffer[..length].copy_from_slice(&self.piece[self.used..self.used + length]);
        self.used += length;
        Ok(length)
    }
}

/// How much may come out of an archive: a small one that expands without end is an attack.
pub(crate) struct Bound {
    bytes: u64,
    members: u64,
}

impl Bound {
    /// For an archive of so many bytes: two hundred times as much, at least 1 GiB, never more than 64 GiB.
    pub(crate) fn of(size: u64) -> Bound {
        Bound { bytes: size.saturating_mul(200).clamp(1 << 30, 64 << 30), members: MOST_MEMBERS }
    }

    /// One more member.
    pub(crate) fn member(&mut self) -> std::result::Result<(), Refusal> {
        self.members = self.members.checked_sub(1).ok_or_else(|| format!("more than {MOST_MEMBERS} members"))?;
        Ok(())
    }

    fn write(&mut self, bytes: u64) -> std::result::Result<(), Refusal> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or("it expands to far more than its size")?;
        Ok(())
    }
}

/// Makes everything below a directory durable.
pub fn sync(tree: &str, disk: &Disk) -> Result<()> {
    disk.announce("syncfs", tree)?;
    let directory = File::open(disk.host().path(tree)).map_err(|error| NodeError::io("opening", tree, &error))?;
    rustix::fs::syncfs(&directory).map_err(|error| NodeError::io("syncing", tree, &error.into()))
}

/// The bytes free for us on the file system of a path, or of the nearest directory above it that exists.
pub fn free_bytes(path: &str, disk: &Disk) -> Option<u64> {
    let mut path = path;
    while !disk.host().path(path).exists() {
        path = crate::host::parent(path);
    }
    let stat = rustix::fs::statvfs(disk.host().path(path)).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The inodes free on the file system of a path; `None` where they are not counted.
pub fn free_inodes(path: &str, disk: &Disk) -> Option<u64> {
    let mut path = path;
    while !disk.host().path(path).exists() {
        path = crate::host::parent(path);
    }
    let stat = rustix::fs::statvfs(disk.host().path(path)).ok()?;
    (stat.f_files > 0).then_some(stat.f_favail)
}

/// Why a member was not unpacked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The archive is not what it should be: one sentence.
    Damaged(String),
    /// The host could not take it.
    Failed(NodeError),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Refusal::Damaged(why)
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Refusal::Damaged(why.to_owned())
    }
}

fn place_kata<R: Read>(
    entry: &mut tar::Entry<R>,
    tree: &str,
    disk: &Disk,
    bound: &mut Bound,
) -> std::result::Result<(), Refusal> {
    bound.member()?;
    let name = entry.path().map_err(|error| error.to_string())?.into_owned();
    match relative(&name)? {
        Some(relative) => place(entry, &relative, tree, disk, bound, &self::relative),
        None => Ok(()),
    }
}

/// Where a name of an archive is in the directory; `None` for what is above it.
type Inside<'f> = &'f dyn Fn(&Path) -> std::result::Result<Option<PathBuf>, String>;

/// Puts one member at its place below `tree`. `own` translates the names that hard links hold.
pub(crate) fn place<R: Read>(
    entry: &mut tar::Entry<R>,
    relative: &Path,
    tree: &str,
    disk: &Disk,
    bound: &mut Bound,
    own: Inside,
) -> std::result::Result<(), Refusal> {
    let base = disk.host().path(tree);
    let target = base.join(relative);
    let shown = format!("{tree}/{}", relative.display());
    let failed = |error: io::Error| Refusal::Failed(NodeError::io("unpacking", &shown, &error));
    if relative.as_os_str().is_empty() {
        return Ok(());
    }
    solid(&base, relative)?;
    disk.announce("unpack", &shown).map_err(Refusal::Failed)?;
    let mode = entry.header().mode().unwrap_or(0o644) & 0o7777;
    let kind = entry.header().entry_type();
    if kind.is_dir() {
        // whatever is there and is no directory was the archive's own
        if fs::symlink_metadata(&target).is_ok_and(|meta| !meta.is_dir()) {
            return Err(format!("`{}` is a directory and something else", relative.display()).into());
        }
        make_directories(&target).map_err(failed)?;
        return fs::set_permissions(&target, fs::Permissions::from_mode(mode | 0o700)).map_err(failed);
    }
    if let Some(parent) = target.parent() {
        make_directories(parent).map_err(failed)?;
    }
    match fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let link_name = |entry: &tar::Entry<R>| {
        let name = entry.link_name().map_err(|error| error.to_string())?;
        name.map(|name| name.into_owned()).ok_or_else(|| "a link without a target".to_owned())
    };
    if kind.is_symlink() {
        let link = link_name(entry)?;
        inside(relative, &link)?;
        symlink(&link, &target).map_err(failed)
    } else if kind.is_hard_link() {
        let link = link_name(entry)?;
        let source = own(&link)?
            .ok_or_else(|| format!("`{}` links to `{}`, outside of it", relative.display(), link.display()))?;
        solid(&base, &source)?;
        match fs::symlink_metadata(base.join(&source)) {
            Ok(meta) if meta.is_file() => fs::hard_link(base.join(source), &target).map_err(failed),
            _ => Err(format!("`{}` links to `{}`, which is not there", relative.display(), link.display()).into()),
        }
    } else if kind.is_file() {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target).map_err(failed)?;
        copy(entry, &mut file, &shown, bound)?;
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)
    } else {
        Err(format!("`{}` is neither a file, a directory nor a link", relative.display()).into())
    }
}

/// Copies an entry; a read error is the archive's fault, a write error the disk's.
fn copy<R: Read>(entry: &mut R, file: &mut File, shown: &str, bound: &mut Bound) -> std::result::Result<(), Refusal> {
    let mut buffer = vec![0; PIECE];
    loop {
        let read = match entry.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Refusal::Damaged(format!("truncated or damaged: {error}"))),
        };
        bound.write(read as u64)?;
        file.write_all(&buffer[..read]).map_err(|error| Refusal::Failed(NodeError::io("unpacking", shown, &error)))?;
    }
}

/// The path below `opt/kata`; `None` for the directories above it.
fn relative(name: &Path) -> std::result::Result<Option<PathBuf>, String> {
    let mut parts = Vec::new();
    for part in name.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part),
            _ => return Err(format!("`{}` leads out of the installation", name.display())),
        }
    }
    match parts.as_slice() {
        [] => Ok(None),
        [opt] if *opt == "opt" => Ok(None),
        [opt, kata, rest @ ..] if *opt == "opt" && *kata == "kata" => Ok(Some(rest.iter().collect())),
        _ => Err(format!("`{}` is not below opt/kata", name.display())),
    }
}

/// A symbolic link may be relative and must stay inside.
fn inside(at: &Path, link: &Path) -> std::result::Result<(), String> {
    let mut depth = at.components().count() as isize - 1;
    for part in link.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth -= 1,
            _ => return Err(format!("`{}` is an absolute link to `{}`", at.display(), link.display())),
        }
        if depth < 0 {
            return Err(format!("`{}` links to `{}`, outside of the installation", at.display(), link.display()));
        }
    }
    Ok(())
}

/// No directory on the way may be a link that the archive made before.
fn solid(base: &Path, relative: &Path) -> std::result::Result<(), String> {
    let mut path = base.to_path_buf();
    for part in relative.parent().into_iter().flat_map(Path::components) {
        path.push(part);
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink()) {
            return Err(format!("`{}` goes through a link", relative.display()));
        }
    }
    Ok(())
}

fn make_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

struct Counted<R> {
    inner: R,
    hash: Option<Sha256>,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..read]);
        }
        self.read += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::NoFaults;
    use crate::host::Host;

    fn try_unpack(
        build: &dyn Fn(&mut tar::Builder<Vec<u8>>),
        damage: &dyn Fn(Vec<u8>) -> Vec<u8>,
    ) -> (tempfile::TempDir, Result<()>) {
        let dir = tempfile::tempdir().unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        build(&mut tar);
        let bytes = damage(zstd::encode_all(&tar.into_inner().unwrap()[..], 3).unwrap());
        let path = dir.path().join("a.tar.zst");
        fs::write(&path, &bytes).unwrap();
        let archive = Archive { component: "a".into(), size: bytes.len() as u64, sha256: None, path };
        let host = Host::new(dir.path().join("host"));
        fs::create_dir_all(host.path("/tree")).unwrap();
        let result = unpack(&archive, "/tree", &Disk::new(&host, &NoFaults), &mut |_| {});
        (dir, result)
    }

    fn file(tar: &mut tar::Builder<Vec<u8>>, path: &str, text: &str) {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        tar.append(&header, text.as_bytes()).unwrap();
    }

    fn link(tar: &mut tar::Builder<Vec<u8>>, path: &str, target: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, path, target).unwrap();
    }

    #[test]
    fn files_and_inner_links_arrive_with_their_modes() {
        let (dir, result) = try_unpack(
            &|tar| {
                file(tar, "./opt/kata/bin/shim", "#!");
                link(tar, "opt/kata/share/x", "../bin/shim");
            },
            &|bytes| bytes,
        );
        result.unwrap();
        let shim = dir.path().join("host/tree/bin/shim");
        assert_eq!(fs::metadata(&shim).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_to_string(dir.path().join("host/tree/share/x")).unwrap(), "#!");
    }

    #[test]
    fn nothing_leaves_the_directory() {
        type Case = (&'static str, fn(&mut tar::Builder<Vec<u8>>));
        let cases: [Case; 6] = [
            ("dots", |tar| file(tar, "opt/kata/../../etc/passwd", "x")),
            ("absolute", |tar| file(tar, "/opt/kata/x", "x")),
            ("elsewhere", |tar| file(tar, "usr/bin/x", "x")),
            ("absolute link", |tar| link(tar, "opt/kata/l", "/etc")),
            ("escaping link", |tar| link(tar, "opt/kata/l", "../../etc")),
            ("through a link", |tar| {
                file(tar, "opt/kata/d/f", "x");
                link(tar, "opt/kata/l", "d");
                file(tar, "opt/kata/l/f", "y");
            }),
        ];
        for (name, build) in cases {
            let (dir, result) = try_unpack(&build, &|bytes| bytes);
            assert_eq!(result.expect_err(name).code, Code::PAYLOAD_CORRUPT);
            assert!(!dir.path().join("host/etc").exists(), "{name}");
        }
    }

    #[test]
    fn what_expands_without_end_is_refused() {
        let mut bound = Bound::of(1000);
        assert!(bound.write(1 << 30).is_ok());
        assert!(matches!(bound.write(1), Err(Refusal::Damaged(why)) if why.contains("expands")));
        let mut bound = Bound { bytes: 1, members: 1 };
        assert!(bound.member().is_ok() && bound.member().is_err());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bomb.tar.zst");
        let mut header = tar::Header::new_gnu();
        header.set_size(64 << 20);
        header.set_mode(0o644);
        header.set_path("opt/kata/bomb").unwrap();
        header.set_cksum();
        let mut encoder = zstd::Encoder::new(File::create(&path).unwrap(), 1).unwrap();
        encoder.write_all(header.as_bytes()).unwrap();
        (0..64).for_each(|_| encoder.write_all(&vec![0; 1 << 20]).unwrap());
        encoder.finish().unwrap();
        let size = fs::metadata(&path).unwrap().len();
        assert!(size < 64 << 10, "{size}");
        let archive = Archive { component: "bomb".into(), size, sha256: None, path };
        let host = Host::new(dir.path().join("host"));
        fs::create_dir_all(host.path("/tree")).unwrap();
        let bound = Bound { bytes: 1 << 20, members: 10 };
        let error = unpack_within(&archive, "/tree", &Disk::new(&host, &NoFaults), &mut |_| {}, bound).unwrap_err();
        assert_eq!(error.code, Code::PAYLOAD_CORRUPT);
        assert!(error.message.contains("expands"), "{}", error.message);
        assert!(fs::metadata(host.path("/tree/bomb")).unwrap().len() <= 1 << 20);
    }

    #[test]
    fn every_truncation_is_found() {
        let build = |tar: &mut tar::Builder<Vec<u8>>| file(tar, "opt/kata/a", &"kata ".repeat(3000));
        let (_dir, whole) = try_unpack(&build, &|bytes| bytes);
        whole.unwrap();
        for cut in [1, 4, 7, 20, 60] {
            let (_dir, result) = try_unpack(&build, &|mut bytes| {
                bytes.truncate(bytes.len() - cut);
                bytes
            });
            assert_eq!(result.expect_err("truncated").code, Code::PAYLOAD_CORRUPT);
        }
        let (_dir, result) = try_unpack(&build, &|_| b"not zstd at all".to_vec());
        assert_eq!(result.unwrap_err().code, Code::PAYLOAD_CORRUPT);
    }
}
