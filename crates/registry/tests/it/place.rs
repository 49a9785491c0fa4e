//! A user's files in a directory of their own, and the recorded data.

use registry::{Notice, Paths};
use std::path::{Path, PathBuf};

/// A home directory that goes away with the test.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) paths: Paths,
}

impl Place {
    pub(crate) fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_path_buf();
        let paths = Paths::from_environment(|name| (name == "HOME").then(|| home.clone().into()));
        Place { dir, paths }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }
}

pub(crate) fn data(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(below)
}

pub(crate) fn golden(name: &str) -> String {
    std::fs::read_to_string(data("golden").join(name)).unwrap()
}

/// Copies a directory of the recorded data.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Collects notices as lines.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Vec<String>);

impl Lines {
    pub(crate) fn take(&mut self) -> impl FnMut(Notice) + Send + '_ {
        |notice| match notice {
            Notice::Line(line) => self.0.push(line),
            Notice::Log(line) => self.0.push(line.to_string()),
        }
    }

    pub(crate) fn text(&self) -> String {
        self.0.join("\n")
    }
}

pub(crate) fn quiet(_: Notice) {}
