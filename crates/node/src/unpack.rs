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
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

/// Unpacks one archive into `tree`, a directory of the host. `progress` hears of the compressed bytes read.
pub fn unpack(archive: &Archive, tree: &str, disk: &Disk, progress: &mut dyn FnMut(u64)) -> Result<()> {
    let damaged = |why: String| NodeError::new(Code::PAYLOAD_CORRUPT, format!("{}: {why}", archive.path.display()));
    let file = File::open(&archive.path).map_err(|error| damaged(error.to_string()))?;
    let mut counted = Counted { inner: file, hash: archive.sha256.as_ref().map(|_| Sha256::new()), progress };
    {
        let decoder = zstd::Decoder::new(&mut counted).map_err(|error| damaged(error.to_string()))?;
        let mut tar = tar::Archive::new(decoder);
        let entries = tar.entries().map_err(|error| damaged(error.to_string()))?;
        for entry in entries {
            let mut entry = entry.map_err(|error| damaged(format!("truncated or not a tar archive: {error}")))?;
            place(&mut entry, tree, disk).map_err(|refusal| match refusal {
                Refusal::Damaged(why) => damaged(why),
                Refusal::Failed(error) => error,
            })?;
        }
        // to the end of the frame, whose checksum is verified there
        io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|error| damaged(format!("truncated: {error}")))?;
    }
    io::copy(&mut counted, &mut io::sink()).map_err(|error| damaged(error.to_string()))?;
    if let (Some(hash), Some(wanted)) = (counted.hash, &archive.sha256) {
        let found = hex::encode(hash.finalize());
        if !found.eq_ignore_ascii_case(wanted) {
            return Err(damaged(format!("its SHA-256 is {found}, the payload's index says {wanted}")));
        }
    }
    Ok(())
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

enum Refusal {
    Damaged(String),
    Failed(NodeError),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Refusal::Damaged(why)
    }
}

fn place<R: Read>(entry: &mut tar::Entry<R>, tree: &str, disk: &Disk) -> std::result::Result<(), Refusal> {
    let name = entry.path().map_err(|error| error.to_string())?.into_owned();
    let Some(relative) = relative(&name)? else { return Ok(()) };
    let base = disk.host().path(tree);
    let target = base.join(&relative);
    let shown = format!("{tree}/{}", relative.display());
    let failed = |error: io::Error| Refusal::Failed(NodeError::io("unpacking", &shown, &error));
    if relative.as_os_str().is_empty() {
        return Ok(());
    }
    solid(&base, &relative)?;
    disk.announce("unpack", &shown).map_err(Refusal::Failed)?;
    let mode = entry.header().mode().unwrap_or(0o644) & 0o7777;
    let kind = entry.header().entry_type();
    if kind.is_dir() {
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
    if kind.is_symlink() {
        let link = entry
            .link_name()
            .map_err(|error| error.to_string())?
            .ok_or_else(|| "a link without a target".to_owned())?
            .into_owned();
        inside(&relative, &link)?;
        symlink(&link, &target).map_err(failed)
    } else if kind.is_hard_link() {
        let link = entry
            .link_name()
            .map_err(|error| error.to_string())?
            .ok_or_else(|| "a link without a target".to_owned())?
            .into_owned();
        let source = self::relative(&link)?
            .ok_or_else(|| format!("`{}` links to `{}`, outside of opt/kata", name.display(), link.display()))?;
        solid(&base, &source)?;
        fs::hard_link(base.join(source), &target).map_err(failed)
    } else if kind.is_file() {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target).map_err(failed)?;
        copy(entry, &mut file, &shown)?;
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)
    } else {
        Err(Refusal::Damaged(format!("`{}` is neither a file, a directory nor a link", name.display())))
    }
}

/// Copies an entry; a read error is the archive's fault, a write error the disk's.
fn copy<R: Read>(entry: &mut R, file: &mut File, shown: &str) -> std::result::Result<(), Refusal> {
    use std::io::Write;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match entry.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Refusal::Damaged(format!("truncated or damaged: {error}"))),
        };
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

struct Counted<'p, R> {
    inner: R,
    hash: Option<Sha256>,
    progress: &'p mut dyn FnMut(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..read]);
        }
        (self.progress)(read as u64);
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
