//! Reading a host: every path of the host is taken below one root.

use crate::error::{NodeError, Result};
use crate::image::{Content, Image};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A host whose `/` is a directory here: `/host` in a pod, `/` on the host itself, a temporary directory in a test.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// Names the directory that stands for the host's `/`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Host { root: root.into() }
    }

    /// Where an absolute path of the host is here. A plain join: links on the way belong to the host or to its mounts.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What a path holds; `None` when there is nothing. Directories and devices are an error.
    pub fn image(&self, path: &str) -> Result<Option<Image>> {
        read_image(&self.path(path))
    }

    /// The text of a file, following links; `None` when absent or unreadable.
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// Whether anything is at a path, a dangling link included.
    pub fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// Whether a path is a directory itself (not a link to one).
    pub fn is_directory(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok_and(|meta| meta.is_dir())
    }

    /// The names in a directory, sorted; empty when it does not exist.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(directory))
            .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }

    /// Follows links in the last component of a path, within the host, and returns the path of the host it ends at.
    pub fn follow(&self, path: &str) -> String {
        let mut path = path.to_owned();
        for _ in 0..16 {
            let Ok(target) = fs::read_link(self.path(&path)) else { break };
            path = join(parent(&path), &target.to_string_lossy());
        }
        path
    }

    /// Which absolute host paths match a pattern whose last component may contain `*`.
    pub fn matching(&self, pattern: &str) -> Vec<String> {
        let (directory, name) = (parent(pattern), file_name(pattern));
        let Some((head, tail)) = name.split_once('*') else {
            return vec![pattern.to_owned()];
        };
        self.names(directory)
            .into_iter()
            .filter(|n| n.len() >= head.len() + tail.len() && n.starts_with(head) && n.ends_with(tail))
            .map(|n| format!("{}/{n}", directory.trim_end_matches('/')))
            .collect()
    }
}

/// Reads what a path of this machine holds.
pub(crate) fn read_image(path: &Path) -> Result<Option<Image>> {
    let failed = |error: &io::Error| NodeError::io("reading", path, error);
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(&error)),
    };
    if meta.is_symlink() {
        let target = fs::read_link(path).map_err(|error| failed(&error))?;
        return Ok(Some(Image::Link { target: target.to_string_lossy().into_owned() }));
    }
    if !meta.is_file() {
        return Err(failed(&io::Error::other("neither a file nor a link")));
    }
    let content = fs::read(path).map_err(|error| failed(&error))?;
    Ok(Some(Image::File { mode: meta.mode() & 0o7777, uid: meta.uid(), gid: meta.gid(), content: Content(content) }))
}

/// The directory part of an absolute path; `/` for the root.
pub fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((directory, _)) => directory,
    }
}

/// The last component of a path.
pub fn file_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Joins a path to a directory, resolving `.` and `..` by their names.
pub fn join(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = if path.starts_with('/') { Vec::new() } else { directory.split('/').collect() };
    parts.retain(|part| !part.is_empty());
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_and_joined_by_name() {
        assert_eq!((parent("/etc/a.toml"), file_name("/etc/a.toml")), ("/etc", "a.toml"));
        assert_eq!((parent("/etc"), parent("/")), ("/", "/"));
        assert_eq!(join("/opt/kata", "../x/./y"), "/opt/x/y");
        assert_eq!(join("/opt", "/etc/z"), "/etc/z");
        assert_eq!(join("/opt", "../../.."), "/");
    }

    #[test]
    fn a_pattern_matches_names_and_links_are_followed_inside_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        fs::create_dir_all(host.path("/etc/c.d")).unwrap();
        for name in ["a.toml", "b.toml", "c.txt"] {
            fs::write(host.path(format!("/etc/c.d/{name}")), name).unwrap();
        }
        assert_eq!(host.matching("/etc/c.d/*.toml"), ["/etc/c.d/a.toml", "/etc/c.d/b.toml"]);
        assert_eq!(host.matching("/etc/c.d/z.toml"), ["/etc/c.d/z.toml"]);
        std::os::unix::fs::symlink("/etc/c.d/a.toml", host.path("/etc/link")).unwrap();
        assert_eq!(host.follow("/etc/link"), "/etc/c.d/a.toml");
    }
}
