//! What the kernel shows of itself and of the processor, read so that "says no" and "cannot be read" stay apart.

use crate::session::Session;
use std::io::ErrorKind;
use std::path::PathBuf;

/// What a file of `/proc` or `/sys` told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Its text.
    Text(String),
    /// There is no such file.
    Absent,
    /// It is there and cannot be read: why.
    Hidden(String),
}

impl Seen {
    /// The text, if there is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Seen::Text(text) => Some(text.trim()),
            Seen::Absent | Seen::Hidden(_) => None,
        }
    }

    /// Why there is no text, as the end of a sentence.
    pub(super) fn why(&self) -> &str {
        match self {
            Seen::Text(_) => "says something else",
            Seen::Absent => "is not there",
            Seen::Hidden(why) => why,
        }
    }

    /// A switch of a kernel module: on, off, or not told.
    pub(super) fn on(&self) -> Option<bool> {
        self.text().map(|text| matches!(text, "Y" | "y" | "1"))
    }
}

/// `/proc` and `/sys` as this process has them.
pub(super) struct View {
    proc: PathBuf,
    sys: PathBuf,
}

impl View {
    pub(super) fn of(session: &Session) -> View {
        View { proc: session.around.processes.clone(), sys: session.around.kernel.clone() }
    }

    #[cfg(test)]
    pub(super) fn below(root: &std::path::Path) -> View {
        View { proc: root.join("proc"), sys: root.join("sys") }
    }

    /// Reads an absolute path below `/proc` or `/sys`.
    pub(super) fn read(&self, path: &str) -> Seen {
        match std::fs::read_to_string(self.path(path)) {
            Ok(text) => Seen::Text(text),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Seen::Absent,
            Err(error) => Seen::Hidden(format!("cannot be read: {error}")),
        }
    }

    pub(super) fn is_directory(&self, path: &str) -> bool {
        self.path(path).is_dir()
    }

    fn path(&self, path: &str) -> PathBuf {
        match path.strip_prefix("/proc/") {
            Some(rest) => self.proc.join(rest),
            None => self.sys.join(path.trim_start_matches("/sys/")),
        }
    }

    /// The words behind one of the names in the first block of `/proc/cpuinfo`; all processors of a host have the same.
    pub(super) fn cpu_words(&self, name: &str) -> Option<Vec<String>> {
        let text = self.read("/proc/cpuinfo");
        let line = text.text()?.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.to_owned())
        })?;
        Some(line.split_whitespace().map(str::to_owned).collect())
    }
}
