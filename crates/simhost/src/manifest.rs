//! What is on a host's disk, so that two moments can be compared byte for byte.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Directories that a boot makes anew, so that nothing in them is on the disk.
const VOLATILE: [&str; 4] = ["run", "proc", "sys", "tmp"];

/// Every path of a host's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What is there, by path on the host without the leading `/`.
    pub entries: BTreeMap<String, Entry>,
}

/// What is at one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `0o7777` of the mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// A file's size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// A file's SHA-256 in lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where a symbolic link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// The type of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A device or a pipe.
    Special,
}

/// One difference between two manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The path on the host, without the leading `/`.
    pub path: String,
    /// What is different, such as `added`, `removed` or `content, mode 644 -> 600`.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}: {}", self.path, self.what)
    }
}

impl Manifest {
    /// Returns what a later manifest has differently, by path; empty when the disks are equal.
    pub fn diff(&self, later: &Manifest) -> Vec<Difference> {
        let difference = |path: &String, what: String| Difference { path: path.clone(), what };
        let mut found = Vec::new();
        for (path, before) in &self.entries {
            match later.entries.get(path) {
                None => found.push(difference(path, "removed".to_owned())),
                Some(after) if after != before => found.push(difference(path, changes(before, after))),
                Some(_) => {}
            }
        }
        for path in later.entries.keys().filter(|path| !self.entries.contains_key(*path)) {
            found.push(difference(path, "added".to_owned()));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }
}

fn changes(before: &Entry, after: &Entry) -> String {
    let mut found = Vec::new();
    if before.kind != after.kind {
        found.push(format!("kind {:?} -> {:?}", before.kind, after.kind));
    }
    if before.sha256 != after.sha256 {
        found.push("content".to_owned());
    }
    if before.target != after.target {
        let show = |target: &Option<String>| target.clone().unwrap_or_default();
        found.push(format!("target {} -> {}", show(&before.target), show(&after.target)));
    }
    if before.mode != after.mode {
        found.push(format!("mode {:o} -> {:o}", before.mode, after.mode));
    }
    if (before.uid, before.gid) != (after.uid, after.gid) {
        found.push(format!("owner {}:{} -> {}:{}", before.uid, before.gid, after.uid, after.gid));
    }
    found.join(", ")
}

/// Lists every path below a host's root but what a boot makes anew (`/run`, `/proc`, `/sys`, `/tmp`) and sockets.
pub fn scan(root: &Path) -> io::Result<Manifest> {
    let mut manifest = Manifest::default();
    scan_directory(root, "", &mut manifest)?;
    Ok(manifest)
}

fn scan_directory(directory: &Path, prefix: &str, manifest: &mut Manifest) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if prefix.is_empty() && VOLATILE.contains(&name.as_str()) {
            continue;
        }
        let (path, relative) = (entry.path(), format!("{prefix}{name}"));
        let metadata = entry.metadata()?;
        let kind = metadata.file_type();
        if kind.is_socket() {
            continue;
        }
        let mut found = Entry {
            kind: Kind::Special,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            size: None,
            sha256: None,
            target: None,
        };
        if kind.is_symlink() {
            found.kind = Kind::Link;
            found.target = Some(fs::read_link(&path)?.to_string_lossy().into_owned());
        } else if kind.is_dir() {
            found.kind = Kind::Directory;
            scan_directory(&path, &format!("{relative}/"), manifest)?;
        } else if kind.is_file() {
            found.kind = Kind::File;
            found.size = Some(metadata.len());
            found.sha256 = Some(digest(&path)?);
        }
        manifest.entries.insert(relative, found);
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn every_kind_of_change_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("etc/a")).unwrap();
        fs::create_dir_all(at("run/x")).unwrap();
        for file in ["etc/content", "etc/mode", "etc/gone", "run/x/y"] {
            fs::write(at(file), "1").unwrap();
        }
        symlink("a", at("etc/link")).unwrap();
        let before = scan(root.path()).unwrap();
        assert_eq!(before.diff(&scan(root.path()).unwrap()), []);

        fs::write(at("etc/content"), "2").unwrap();
        fs::set_permissions(at("etc/mode"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(at("etc/gone")).unwrap();
        fs::remove_file(at("etc/link")).unwrap();
        symlink("b", at("etc/link")).unwrap();
        fs::create_dir(at("etc/new")).unwrap();
        fs::write(at("run/x/z"), "").unwrap();
        let after = scan(root.path()).unwrap();
        let found: Vec<String> = before.diff(&after).iter().map(Difference::to_string).collect();
        assert_eq!(
            found,
            [
                "/etc/content: content",
                "/etc/gone: removed",
                "/etc/link: target a -> b",
                "/etc/mode: mode 644 -> 600",
                "/etc/new: added"
            ]
        );
        let text = serde_json::to_string(&after).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), after);
    }
}
