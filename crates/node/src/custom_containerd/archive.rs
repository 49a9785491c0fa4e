//! Unpacking a release tarball of containerd: programs below `bin/`, and nothing else.

use crate::disk::Disk;
use crate::error::NodeError;
use flate2::read::MultiGzDecoder;
use std::collections::BTreeSet;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path};

/// What must be in it.
const NEEDED: [&str; 2] = ["containerd", "containerd-shim-runc-v2"];
/// Bytes that the programs may have together; a release has about 150 MiB.
const MOST_BYTES: u64 = 1 << 30;
/// Members that an archive may have; a release has a dozen.
const MOST_MEMBERS: usize = 1000;

/// Why an archive was not unpacked.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not what it should be: one sentence.
    Bad(String),
    /// The host could not take it.
    Failed(NodeError),
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        Refusal::Failed(error)
    }
}

fn bad(why: impl Into<String>) -> Refusal {
    Refusal::Bad(why.into())
}

/// Unpacks the programs of a gzipped tar archive into `<directory>/bin`; `directory` is an empty one of the host.
///
/// Only regular files directly in `bin/` are taken. Other members are skipped, as long as they would stay inside of the
/// archive's directory; links are refused, as they could make a later member leave it.
pub(super) fn unpack(archive: &mut dyn Read, directory: &str, disk: &Disk) -> Result<(), Refusal> {
    unpack_within(archive, directory, disk, MOST_BYTES)
}

fn unpack_within(archive: &mut dyn Read, directory: &str, disk: &Disk, most: u64) -> Result<(), Refusal> {
    let damaged = |error: io::Error| bad(format!("truncated or not a gzipped tar archive: {error}"));
    let mut tar = tar::Archive::new(MultiGzDecoder::new(archive).take(most));
    let bin = format!("{directory}/bin");
    disk.make_directory(&bin, 0o755)?;
    let mut found = BTreeSet::new();
    for (count, entry) in tar.entries().map_err(damaged)?.enumerate() {
        let mut entry = entry.map_err(damaged)?;
        if count >= MOST_MEMBERS {
            return Err(bad(format!("more than {MOST_MEMBERS} members")));
        }
        let path = entry.path().map_err(damaged)?.into_owned();
        let kind = entry.header().entry_type();
        let parts = parts(&path)?;
        if kind.is_symlink() || kind.is_hard_link() {
            return Err(bad(format!("`{}` is a link", path.display())));
        }
        if !(kind.is_file() || kind.is_dir()) {
            return Err(bad(format!("`{}` is neither a file nor a directory", path.display())));
        }
        let [first, name] = parts.as_slice() else { continue };
        if *first != "bin" || kind.is_dir() {
            continue;
        }
        let mode = entry.header().mode().map_err(damaged)? & 0o755 | 0o600;
        put(&mut entry, &format!("{bin}/{name}"), mode, disk)?;
        found.insert((*name).to_owned());
    }
    let rest = &mut tar.into_inner();
    // to the end of the stream, whose checksum is verified there
    io::copy(rest, &mut io::sink()).map_err(damaged)?;
    if rest.limit() == 0 {
        return Err(bad(format!("more than {} MiB when unpacked", most >> 20)));
    }
    for name in NEEDED {
        let path = disk.host().path(format!("{bin}/{name}"));
        if !found.contains(name) {
            return Err(bad(format!("bin/{name} is not in it; a release of containerd is expected")));
        }
        if std::fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o111 == 0) {
            return Err(bad(format!("bin/{name} is not executable")));
        }
    }
    Ok(())
}

/// The names on a member's way, which must not lead out.
fn parts(path: &Path) -> Result<Vec<&str>, Refusal> {
    let refuse = || bad(format!("`{}` leads out of the archive's directory", path.display()));
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts
        .map(|part| match part {
            Component::Normal(name) => name.to_str().ok_or_else(refuse),
            _ => Err(refuse()),
        })
        .collect()
}

fn put(entry: &mut dyn Read, path: &str, mode: u32, disk: &Disk) -> Result<(), Refusal> {
    disk.announce("unpack", path)?;
    let failed = |error: io::Error| Refusal::Failed(NodeError::io("unpacking", path, &error));
    let here = disk.host().path(path);
    // of two members with one name the later counts, as tar has it
    match std::fs::remove_file(&here) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&here).map_err(failed)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(bad(format!("truncated or damaged: {error}"))),
        };
        file.write_all(&buffer[..read]).map_err(failed)?;
    }
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::NoFaults;
    use crate::host::Host;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    type Build<'b> = &'b dyn Fn(&mut tar::Builder<Vec<u8>>);

    fn file(tar: &mut tar::Builder<Vec<u8>>, path: &str, text: &str) {
        member(tar, path, text, tar::EntryType::Regular);
    }

    fn member(tar: &mut tar::Builder<Vec<u8>>, path: &str, text: &str, kind: tar::EntryType) {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(text.len() as u64);
        header.set_mode(0o6777);
        if !kind.is_file() && !kind.is_dir() {
            header.set_link_name("containerd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, text.as_bytes()).unwrap();
    }

    fn release(tar: &mut tar::Builder<Vec<u8>>) {
        member(tar, "bin/", "", tar::EntryType::Directory);
        for name in ["containerd", "containerd-shim-runc-v2", "ctr"] {
            file(tar, &format!("bin/{name}"), name);
        }
    }

    fn gzip(build: Build) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        build(&mut tar);
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&tar.into_inner().unwrap()).unwrap();
        gz.finish().unwrap()
    }

    fn run(bytes: &[u8], most: u64) -> (tempfile::TempDir, Result<(), String>) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path().join("host"));
        std::fs::create_dir_all(host.path("/tree")).unwrap();
        let result = unpack_within(&mut &bytes[..], "/tree", &Disk::new(&host, &NoFaults), most);
        let result = result.map_err(|refusal| match refusal {
            Refusal::Bad(why) => why,
            Refusal::Failed(error) => panic!("{error}"),
        });
        (dir, result)
    }

    #[test]
    fn programs_arrive_without_special_bits_and_other_files_do_not() {
        let bytes = gzip(&|tar| {
            release(tar);
            file(tar, "README.md", "read");
            file(tar, "./bin/containerd", "later");
        });
        let (dir, result) = run(&bytes, MOST_BYTES);
        result.unwrap();
        let tree = dir.path().join("host/tree");
        assert_eq!(std::fs::read_to_string(tree.join("bin/containerd")).unwrap(), "later");
        let mode = std::fs::metadata(tree.join("bin/ctr")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "no set-user-id, not writable by others");
        assert!(!tree.join("README.md").exists());
    }

    #[test]
    fn what_is_no_release_or_leads_out_is_refused() {
        let cases: [(&str, Build); 8] = [
            ("leads out", &|tar| file(tar, "bin/../../../etc/passwd", "x")),
            ("leads out", &|tar| file(tar, "/bin/containerd", "x")),
            ("is a link", &|tar| member(tar, "bin/ctr", "", tar::EntryType::Symlink)),
            ("is a link", &|tar| member(tar, "bin/ctr", "", tar::EntryType::Link)),
            ("neither", &|tar| member(tar, "bin/pipe", "", tar::EntryType::Fifo)),
            ("bin/containerd is not", &|tar| file(tar, "usr/local/bin/containerd", "x")),
            ("bin/containerd-shim-runc-v2 is not", &|tar| file(tar, "bin/containerd", "x")),
            ("more than 1000", &|tar| (0..1001).for_each(|n| file(tar, &format!("x/{n}"), ""))),
        ];
        for (expected, build) in cases {
            let (dir, result) = run(&gzip(build), MOST_BYTES);
            let why = result.expect_err(expected);
            assert!(why.contains(expected), "{why}");
            assert!(!dir.path().join("host/etc").exists());
        }
    }

    #[test]
    fn truncation_damage_and_bombs_are_found() {
        let whole = gzip(&release);
        assert!(run(&whole, MOST_BYTES).1.is_ok());
        for cut in [1, 5, 30, whole.len() - 3] {
            assert!(run(&whole[..whole.len() - cut], MOST_BYTES).1.is_err(), "{cut} bytes cut off");
        }
        assert!(run(b"<html>Not Found</html>", MOST_BYTES).1.unwrap_err().contains("not a gzipped tar"));
        let bomb = gzip(&|tar| file(tar, "bin/zeros", &"\0".repeat(1 << 20)));
        assert!(bomb.len() < 1 << 14);
        assert!(run(&bomb, 1 << 18).1.is_err(), "unpacking ends at the bound");
    }
}
