//! A host's root as data, made here anew so that the comparison does not rest on what is being tested.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Every path with type, mode, owner, and content or target.
pub(crate) type Snapshot = BTreeMap<String, String>;

/// Takes the snapshot of a root. What a kernel or an init system makes at run time is left out.
pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    walk(root, root, &mut all);
    all
}

fn walk(root: &Path, directory: &Path, all: &mut Snapshot) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        if ["run", "proc", "sys", "tmp"].contains(&name.as_str()) || name.starts_with("var/log") {
            continue;
        }
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let what = if kind.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_dir() {
            "directory".to_owned()
        } else if kind.is_file() {
            format!("file {}", hash(&fs::read(&path).unwrap()))
        } else {
            format!("special socket={} fifo={}", kind.is_socket(), kind.is_fifo())
        };
        all.insert(name, format!("{:o} {}:{} {what}", metadata.mode(), metadata.uid(), metadata.gid()));
        if kind.is_dir() {
            walk(root, &path, all);
        }
    }
}

/// FNV-1a with the length: enough to tell two versions of a file apart.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x} {} bytes", bytes.len())
}

/// Returns what differs, a line each.
pub(crate) fn differences(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, what) in before {
        match after.get(path) {
            None => lines.push(format!("{path} is gone")),
            Some(now) if now != what => lines.push(format!("{path} was `{what}` and is `{now}`")),
            Some(_) => {}
        }
    }
    lines.extend(after.keys().filter(|path| !before.contains_key(*path)).map(|path| format!("{path} is new")));
    lines
}

#[test]
fn a_changed_mode_a_new_file_and_a_lost_link_are_seen() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/a"), "1").unwrap();
    std::os::unix::fs::symlink("a", root.path().join("etc/l")).unwrap();
    let before = snapshot(root.path());
    assert!(differences(&before, &snapshot(root.path())).is_empty());
    fs::write(root.path().join("etc/a"), "2").unwrap();
    fs::write(root.path().join("etc/b"), "").unwrap();
    fs::remove_file(root.path().join("etc/l")).unwrap();
    assert_eq!(differences(&before, &snapshot(root.path())).len(), 3);
}
