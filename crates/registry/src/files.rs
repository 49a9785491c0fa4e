//! Files: bounded reading, replacing in one step.

use crate::{Error, Result};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Reads a file of at most `limit` bytes.
pub(crate) fn bounded_read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::io("open", path, &e);
    let mut data = Vec::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(limit + 1)
        .read_to_end(&mut data)
        .map_err(|e| Error::io("read", path, &e))?;
    if data.len() as u64 > limit {
        return Err(Error::TooLarge { what: path.display().to_string(), limit });
    }
    Ok(data)
}

/// Writes a file by way of a temporary one beside it, so that nobody sees half of it. Makes the directory when needed.
pub(crate) fn replace(path: &Path, data: &[u8], mode: u32) -> Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(|e| Error::io("mkdir", directory, &e))?;
    let failed = |e: std::io::Error| Error::io("write", path, &e);
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(data).map_err(failed)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_bounded_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"four", 0o644).unwrap();
        assert_eq!(bounded_read(&path, 4).unwrap(), b"four");
        assert!(matches!(bounded_read(&path, 3), Err(Error::TooLarge { .. })));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        let error = bounded_read(&dir.path().join("none"), 3).unwrap_err().to_string();
        assert!(error.ends_with("none: no such file or directory"), "{error}");
    }
}
