//! The directory that plays a container's root: image content and volumes become links in a tree of real directories.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// Something that appears at an absolute path of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where the container sees it.
    pub path: PathBuf,
    /// Where it is.
    pub source: PathBuf,
    /// Whether other mounts may lie below it: true for directories that belong to the pod.
    pub own: bool,
}

/// One thing to make, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory(PathBuf),
    /// A link to a source.
    Link(PathBuf, PathBuf),
}

/// Returns an absolute path without `.` and `//`, relative to the root; `..` is an error.
pub fn below_root(path: &Path) -> Result<PathBuf, String> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            _ => return Err(format!("{} must not contain `..`", path.display())),
        }
    }
    Ok(clean)
}

/// Plans the tree below `root`: `directories` are always there, `image` gives way to mounts at or above its paths.
pub fn plan(root: &Path, directories: &[&str], image: &[Mount], mounts: &[Mount]) -> Result<Vec<Entry>, String> {
    let mut placed: Vec<(PathBuf, &Mount)> = Vec::new();
    for mount in mounts {
        placed.push((below_root(&mount.path)?, mount));
    }
    placed.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut made, mut entries) = (BTreeSet::new(), Vec::new());
    let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
    for (index, (path, mount)) in placed.iter().enumerate() {
        if path.as_os_str().is_empty() {
            return Err("a volume cannot be mounted at /".to_owned());
        }
        // The innermost mount above this one holds it.
        match placed[..index].iter().rev().find(|(outer, _)| path.starts_with(outer)) {
            Some((outer, _)) if outer == path => return Err(format!("/{} is mounted twice", path.display())),
            Some((outer, holder)) if holder.own => {
                let inner = path.strip_prefix(outer).unwrap_or(path);
                links.push((holder.source.join(inner), mount.source.clone()));
            }
            Some((outer, _)) => {
                let (inner, outer) = (path.display(), outer.display());
                return Err(format!("the sandbox cannot mount /{inner} below the host's or a read-only /{outer}"));
            }
            None => links.push((root.join(path), mount.source.clone())),
        }
    }
    for item in image {
        let path = below_root(&item.path)?;
        if let Some((inner, _)) = placed.iter().find(|(inner, _)| inner.starts_with(&path) && *inner != path) {
            return Err(format!("the sandbox cannot mount /{} below the image's /{}", inner.display(), path.display()));
        }
        if !placed.iter().any(|(outer, _)| path.starts_with(outer)) {
            links.push((root.join(path), item.source.clone()));
        }
    }
    let mut directory = |path: &Path, entries: &mut Vec<Entry>| {
        let mut chain: Vec<&Path> = path.ancestors().collect();
        chain.reverse();
        for step in chain.into_iter().filter(|step| step.starts_with(root) && *step != root) {
            if made.insert(step.to_owned()) {
                entries.push(Entry::Directory(step.to_owned()));
            }
        }
    };
    for path in directories {
        let path = below_root(Path::new(path))?;
        if !placed.iter().any(|(outer, _)| path.starts_with(outer)) {
            directory(&root.join(path), &mut entries);
        }
    }
    for (link, source) in links {
        if let Some(parent) = link.parent() {
            directory(parent, &mut entries);
        }
        entries.push(Entry::Link(link, source));
    }
    Ok(entries)
}

/// Makes the tree; whatever an earlier container left in its place is replaced.
pub fn make(root: &Path, entries: &[Entry]) -> io::Result<()> {
    std::fs::create_dir_all(root)?;
    for entry in entries {
        match entry {
            Entry::Directory(path) => {
                if !path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                    remove(path)?;
                    std::fs::create_dir_all(path)?;
                }
            }
            Entry::Link(path, source) => {
                if std::fs::read_link(path).is_ok_and(|target| target == *source) {
                    continue;
                }
                remove(path)?;
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                symlink(source, path)?;
            }
        }
    }
    Ok(())
}

/// Removes a file, a link (never what it points to) or a tree; absent is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    let result = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(path: &str, source: &str, own: bool) -> Mount {
        Mount { path: path.into(), source: source.into(), own }
    }

    #[test]
    fn mounts_hide_the_image_and_lie_in_real_directories() {
        let image = [mount("/usr/bin/husk-node", "/i/n", false), mount("/opt/kata-artifacts", "/i/p", false)];
        let mounts = [mount("/host/etc", "/h/etc", false), mount("/opt/", "/v/opt", true)];
        let entries = plan(Path::new("/r"), &["/dev", "/opt/x"], &image, &mounts).unwrap();
        let directory = |path: &str| Entry::Directory(path.into());
        let link = |path: &str, source: &str| Entry::Link(path.into(), source.into());
        assert_eq!(
            entries,
            [
                directory("/r/dev"),
                directory("/r/host"),
                link("/r/host/etc", "/h/etc"),
                link("/r/opt", "/v/opt"),
                directory("/r/usr"),
                directory("/r/usr/bin"),
                link("/r/usr/bin/husk-node", "/i/n"),
            ]
        );
    }

    #[test]
    fn what_cannot_be_laid_out_is_refused() {
        let root = Path::new("/r");
        let nested = |own| [mount("/a", "/s", own), mount("/a/b", "/t", false)];
        assert_eq!(plan(root, &[], &[], &nested(true)).unwrap()[1], Entry::Link("/s/b".into(), "/t".into()));
        assert!(plan(root, &[], &[], &nested(false)).unwrap_err().contains("/a/b"));
        assert!(plan(root, &[], &[], &[mount("/a/../b", "/s", true)]).is_err());
        assert!(plan(root, &[], &[], &[mount("/", "/s", true)]).is_err());
        let twice = [mount("/a", "/s", true), mount("/a/", "/t", true)];
        assert!(plan(root, &[], &[], &twice).unwrap_err().contains("twice"));
    }

    #[test]
    fn making_replaces_and_never_follows() {
        let directory = tempfile::tempdir().unwrap();
        let (root, host) = (directory.path().join("r"), directory.path().join("host"));
        std::fs::create_dir_all(host.join("kept")).unwrap();
        std::fs::create_dir_all(&root).unwrap();
        symlink(&host, root.join("a")).unwrap();
        make(&root, &[Entry::Directory(root.join("a"))]).unwrap();
        assert!(root.join("a").symlink_metadata().unwrap().is_dir());
        make(&root, &[Entry::Link(root.join("a"), host.clone())]).unwrap();
        make(&root, &[Entry::Link(root.join("a"), host.clone())]).unwrap();
        assert!(root.join("a/kept").is_dir() && host.join("kept").is_dir());
    }
}
