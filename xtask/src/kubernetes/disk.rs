//! Whether a machine's disk is as it was: content, modes and owners of all that was written.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What changes on a machine that runs, whatever is installed on it.
const RESTLESS: [&str; 13] = [
    "var/log",
    "var/cache",
    "var/tmp",
    "var/lib/systemd",
    "var/lib/cni",
    "var/lib/containerd",
    "var/lib/crio",
    "var/lib/kubelet",
    "var/lib/dbus",
    "var/lib/private",
    "etc/machine-id",
    "tmp",
    "root",
];

/// One path: what it is, its mode and owners, and a digest of its content.
type Entry = String;

/// All that a machine has written over the file system that it started from.
pub(crate) struct Snapshot(BTreeMap<String, Entry>);

impl Snapshot {
    /// Reads what was written (`upper`) as the machine sees it (`merged`).
    pub(crate) fn take(upper: &Path, merged: &Path) -> std::io::Result<Snapshot> {
        let mut paths = BTreeSet::new();
        walk(upper, String::new(), &mut paths)?;
        Ok(Snapshot(paths.into_iter().map(|path| (path.clone(), entry(&merged.join(&path)))).collect()))
    }

    /// What differs now: paths that this snapshot lacks are compared with the file system below, `base`.
    pub(crate) fn differences(&self, upper: &Path, merged: &Path, base: &Path) -> std::io::Result<Vec<String>> {
        let mut paths = BTreeSet::new();
        walk(upper, String::new(), &mut paths)?;
        paths.extend(self.0.keys().cloned());
        let mut differences = Vec::new();
        for path in paths {
            let before = self.0.get(&path).cloned().unwrap_or_else(|| entry(&base.join(&path)));
            let after = entry(&merged.join(&path));
            if before != after {
                differences.push(format!("{path}: {before} became {after}"));
            }
        }
        Ok(differences)
    }
}

fn walk(directory: &Path, prefix: String, found: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if RESTLESS.contains(&path.as_str()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), format!("{path}/"), found)?;
        }
        found.insert(path);
    }
    Ok(())
}

fn entry(path: &Path) -> Entry {
    let Ok(meta) = path.symlink_metadata() else { return "absent".to_owned() };
    let kind = meta.file_type();
    let owner = format!("{:o} {}:{}", meta.mode() & 0o7777, meta.uid(), meta.gid());
    if kind.is_symlink() {
        let target = std::fs::read_link(path).map(|target| target.display().to_string()).unwrap_or_default();
        format!("link to {target}")
    } else if kind.is_dir() {
        format!("directory {owner}")
    } else if kind.is_file() {
        let content = std::fs::read(path).unwrap_or_default();
        format!("file {owner} {}", registry::oci::digest(&content))
    } else {
        format!("{} {owner}", if kind.is_fifo() || kind.is_socket() { "pipe" } else { "device" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn bytes_and_modes_count_and_a_copy_that_is_the_same_does_not() {
        let place = tempfile::tempdir().unwrap();
        let [base, upper, merged] = ["base", "upper", "merged"].map(|name| place.path().join(name));
        for directory in [&base, &upper, &merged] {
            std::fs::create_dir_all(directory.join("etc")).unwrap();
        }
        let put = |directory: &Path, name: &str, text: &str| {
            std::fs::write(directory.join("etc").join(name), text).unwrap();
        };
        put(&base, "lower", "same");
        put(&merged, "lower", "same");
        for directory in [&upper, &merged] {
            put(directory, "own", "one");
        }
        let before = Snapshot::take(&upper, &merged).unwrap();
        // copied up unchanged
        put(&upper, "lower", "same");
        assert_eq!(before.differences(&upper, &merged, &base).unwrap(), Vec::<String>::new());
        std::fs::set_permissions(merged.join("etc/lower"), std::fs::Permissions::from_mode(0o600)).unwrap();
        put(&merged, "own", "two");
        for directory in [&upper, &merged] {
            put(directory, "new", "");
        }
        let found = before.differences(&upper, &merged, &base).unwrap();
        let paths: Vec<&str> = found.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(paths, ["etc/lower", "etc/new", "etc/own"]);
        std::fs::remove_file(merged.join("etc/own")).unwrap();
        assert!(before.differences(&upper, &merged, &base).unwrap()[2].contains("became absent"));
    }
}
