//! The cache of downloaded charts, by the digest of the archive: `<root>/<2 digits>/<64 digits>.chart`, with the
//! provenance file beside it as `.prov`.

use crate::files::{bounded_read, replace};
use crate::{Error, MAX_ARCHIVE, MAX_PROVENANCE, Result, sha256_hex};
use std::path::{Path, PathBuf};

/// What is kept under a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The archive itself.
    Chart,
    /// The provenance file of the archive with that digest.
    Provenance,
}

/// A digest as an index or reference spells it, down to its 64 hexadecimal digits.
///
/// # Errors
/// [`Error::Invalid`], in Go's words.
pub fn bare_digest(text: &str) -> Result<String> {
    let hex = text.split_once(':').map_or(text, |(_, hex)| hex);
    let bytes = hex::decode(hex).map_err(|e| match e {
        hex::FromHexError::OddLength => Error::Invalid("encoding/hex: odd length hex string".into()),
        hex::FromHexError::InvalidHexCharacter { c, .. } => {
            Error::Invalid(format!("encoding/hex: invalid byte: U+{:04X} '{c}'", c as u32))
        }
        other => Error::Invalid(other.to_string()),
    })?;
    if bytes.len() != 32 {
        return Err(Error::Invalid(format!("invalid digest length: {}", bytes.len())));
    }
    Ok(hex.to_ascii_lowercase())
}

/// Where a file is or would be. `digest` is bare.
pub fn path(root: &Path, digest: &str, kind: Kind) -> PathBuf {
    let extension = match kind {
        Kind::Chart => "chart",
        Kind::Provenance => "prov",
    };
    root.join(digest.get(..2).unwrap_or("")).join(format!("{digest}.{extension}"))
}

/// What the cache has under a bare digest. An archive that does not have the digest under which it lies is as good as
/// none.
pub fn get(root: &Path, digest: &str, kind: Kind) -> Option<Vec<u8>> {
    let limit = if kind == Kind::Chart { MAX_ARCHIVE } else { MAX_PROVENANCE };
    let data = bounded_read(&path(root, digest, kind), limit).ok()?;
    let sound = kind == Kind::Provenance || sha256_hex(&data) == digest;
    (sound && !data.is_empty()).then_some(data)
}

/// Keeps a file; returns its path.
///
/// # Errors
/// [`Error::Io`].
pub fn put(root: &Path, digest: &str, kind: Kind, data: &[u8]) -> Result<PathBuf> {
    let path = path(root, digest, kind);
    replace(&path, data, 0o644)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sound_archives_are_found() {
        let root = tempfile::tempdir().unwrap();
        let digest = sha256_hex(b"chart");
        let path = put(root.path(), &digest, Kind::Chart, b"chart").unwrap();
        assert!(path.ends_with(format!("{}/{digest}.chart", &digest[..2])));
        assert_eq!(get(root.path(), &digest, Kind::Chart).as_deref(), Some(&b"chart"[..]));
        assert_eq!(get(root.path(), &digest, Kind::Provenance), None);
        std::fs::write(&path, "other").unwrap();
        assert_eq!(get(root.path(), &digest, Kind::Chart), None);
    }

    #[test]
    fn digests_are_spelt_in_two_ways() {
        let hex = "ab".repeat(32);
        assert_eq!(bare_digest(&format!("sha256:{hex}")), Ok(hex.clone()));
        assert_eq!(bare_digest(&hex.to_uppercase()), Ok(hex));
        assert_eq!(bare_digest("abcd").unwrap_err().to_string(), "invalid digest length: 2");
        assert_eq!(bare_digest("zz").unwrap_err().to_string(), "encoding/hex: invalid byte: U+007A 'z'");
        assert_eq!(bare_digest("a").unwrap_err().to_string(), "encoding/hex: odd length hex string");
    }
}
