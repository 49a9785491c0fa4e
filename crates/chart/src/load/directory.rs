//! The files of a chart's directory.

use crate::load::archive::too_many_files;
use crate::load::{MAX_FILES, MAX_UNPACKED, Rules, ignore, os_error, strip_byte_order_mark};
use crate::{Error, File, Log, LogLevel};
use std::fs::DirEntry;
use std::io::Read as _;
use std::path::Path;

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
    let mut walk = Walk { rules, log, found: Vec::new(), left: MAX_UNPACKED };
    walk.directory(root, "", 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    rules: Rules,
    log: &'a mut Log,
    found: Vec<File>,
    /// Bytes that may still be read.
    left: u64,
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
        let path = &entry.path();
        let shown = path.display();
        let refused = |e: std::io::Error| Error::Load(format!("error reading {name}: open {shown}: {}", os_error(&e)));
        // The directory itself tells what its entries are: only a link has to be asked for.
        let mut kind = entry.file_type().map_err(refused)?;
        if kind.is_symlink() {
            let resolved = std::fs::canonicalize(path)
                .map_err(|e| Error::Load(format!("error evaluating symlink {shown}: {}", os_error(&e))))?;
            self.log.add(
                LogLevel::Info,
                "found symbolic link in path. Contents of linked file included and used",
                vec![("path", shown.to_string()), ("resolved", resolved.display().to_string())],
            );
            kind = std::fs::metadata(path).map_err(refused)?.file_type();
        }
        if self.rules.ignores(name, kind.is_dir()) {
            return Ok(());
        }
        if kind.is_dir() {
            return self.directory(path, name, depth + 1);
        }
        if !kind.is_file() {
            return Err(Error::Load(format!("cannot load irregular file {shown} as it has file mode type bits set")));
        }
        let too_large = || {
            Error::Load(format!(
                "error reading {name}: chart exceeds maximum decompressed size of {MAX_UNPACKED} bytes"
            ))
        };
        if self.found.len() >= MAX_FILES {
            return Err(too_many_files());
        }
        let mut file = std::fs::File::open(path).map_err(refused)?;
        let found = file.metadata().map_err(refused)?;
        self.left = self.left.checked_sub(found.len()).ok_or_else(too_large)?;
        // The file may grow meanwhile; what it was when it was measured counts.
        let mut data = Vec::with_capacity(usize::try_from(found.len()).map_err(|_| too_large())?);
        file.by_ref().take(found.len()).read_to_end(&mut data).map_err(refused)?;
        let modtime = found
            .modified()
            .ok()
            .and_then(|time| jiff::Timestamp::try_from(time).ok())
            .map(|time| time.to_string())
            .unwrap_or_default();
        self.found.push(File { name: name.to_string(), data: strip_byte_order_mark(data), modtime });
        Ok(())
    }
}
