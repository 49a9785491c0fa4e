//! The files of a chart's directory.

use crate::load::archive::too_many_files;
use crate::load::{MAX_FILES, MAX_UNPACKED, Rules, ignore, os_error, strip_byte_order_mark};
use crate::{Error, File, Log, LogLevel};
use std::fs::DirEntry;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How deep directories may lie in each other; symbolic links may form circles.
const MAX_DEPTH: usize = 64;

/// Reads everything below `root` that its `.helmignore` leaves in. Symbolic links are followed, with a word about it.
///
/// Errors: [`Error::Load`] for what cannot be read, is no regular file, or is too much.
pub fn files(root: &Path, log: &mut Log) -> Result<Vec<File>, Error> {
    let rules = match std::fs::read(root.join(ignore::FILE)) {
        Ok(text) => Rules::parse(&String::from_utf8_lossy(&text))?,
        Err(_) => Rules::empty(),
    };
    let mut walk = Walk { rules, log, found: Vec::new() };
    let walked = walk.directory(root, "", 0);
    // What is wrong with a file before the place where the walk ended comes first.
    let files = read(&walk.found)?;
    walked.map(|()| files)
}

/// Files from which on two threads read them.
const WORTH_A_THREAD: usize = 128;

/// The files in their order.
fn read(found: &[Found]) -> Result<Vec<File>, Error> {
    let left = AtomicU64::new(MAX_UNPACKED);
    let read = |found: &[Found]| {
        let mut buffer = Vec::new();
        found.iter().map(|found| found.read(&left, &mut buffer)).collect::<Result<Vec<File>, Error>>()
    };
    let (first, second) = found.split_at(found.len() / if found.len() < WORTH_A_THREAD { 1 } else { 2 });
    std::thread::scope(|scope| {
        let other = match second {
            [] => None,
            _ => std::thread::Builder::new().spawn_scoped(scope, || read(second)).ok(),
        };
        let mut files = read(first)?;
        // Without a thread, or without its answer, the rest is read here.
        files.extend(other.and_then(|other| other.join().ok()).unwrap_or_else(|| read(second))?);
        Ok(files)
    })
}

/// A file that belongs to the chart.
struct Found {
    path: PathBuf,
    name: String,
}

impl Found {
    /// Reads it, as long as it has no more bytes than are `left`.
    fn read(&self, left: &AtomicU64, buffer: &mut Vec<u8>) -> Result<File, Error> {
        let Found { path, name } = self;
        let too_large = || {
            Error::Load(format!(
                "error reading {name}: chart exceeds maximum decompressed size of {MAX_UNPACKED} bytes"
            ))
        };
        let mut file = std::fs::File::open(path).map_err(|e| unreadable(self, &e))?;
        let found = file.metadata().map_err(|e| unreadable(self, &e))?;
        let take = |left: u64| left.checked_sub(found.len());
        left.try_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| too_large())?;
        // The file may grow or shrink meanwhile: of what it was when it was measured, as much as is there counts.
        buffer.resize(usize::try_from(found.len()).map_err(|_| too_large())?, 0);
        let mut length = 0;
        while length < buffer.len() {
            match file.read(&mut buffer[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(unreadable(self, &e)),
            }
        }
        let modtime = found
            .modified()
            .ok()
            .and_then(|time| jiff::Timestamp::try_from(time).ok())
            .map(|time| time.to_string())
            .unwrap_or_default();
        Ok(File { name: name.clone(), data: strip_byte_order_mark(&buffer[..length]), modtime })
    }
}

fn unreadable(found: &Found, error: &std::io::Error) -> Error {
    Error::Load(format!("error reading {}: open {}: {}", found.name, found.path.display(), os_error(error)))
}

struct Walk<'a> {
    rules: Rules,
    log: &'a mut Log,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path, name: &str, depth: usize) -> Result<(), Error> {
        let refused = |e: &std::io::Error| Error::Load(format!("open {}: {}", path.display(), os_error(e)));
        if depth > MAX_DEPTH {
            return Err(Error::Load(format!("{}: directories are nested too deep", path.display())));
        }
        let mut entries =
            std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|e| refused(&e))?;
        entries.sort_by_cached_key(DirEntry::file_name);
        for entry in entries {
            let file_name = entry.file_name();
            let Some(own) = file_name.to_str() else {
                return Err(Error::Load(format!("{}: the name is not UTF-8", entry.path().display())));
            };
            let name = if name.is_empty() { own.to_string() } else { format!("{name}/{own}") };
            self.entry(&entry, &name, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, name: &str, depth: usize) -> Result<(), Error> {
        let found = Found { path: entry.path(), name: name.to_owned() };
        let shown = found.path.display();
        // The directory itself tells what its entries are: only a link has to be asked for.
        let mut kind = entry.file_type().map_err(|e| unreadable(&found, &e))?;
        if kind.is_symlink() {
            let resolved = std::fs::canonicalize(&found.path)
                .map_err(|e| Error::Load(format!("error evaluating symlink {shown}: {}", os_error(&e))))?;
            self.log.add(
                LogLevel::Info,
                "found symbolic link in path. Contents of linked file included and used",
                vec![("path", shown.to_string()), ("resolved", resolved.display().to_string())],
            );
            kind = std::fs::metadata(&found.path).map_err(|e| unreadable(&found, &e))?.file_type();
        }
        if self.rules.ignores(name, kind.is_dir()) {
            return Ok(());
        }
        if kind.is_dir() {
            return self.directory(&found.path, name, depth + 1);
        }
        if !kind.is_file() {
            return Err(Error::Load(format!("cannot load irregular file {shown} as it has file mode type bits set")));
        }
        if self.found.len() >= MAX_FILES {
            return Err(too_many_files());
        }
        self.found.push(found);
        Ok(())
    }
}
