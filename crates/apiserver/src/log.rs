//! The append-only file behind the store: one framed JSON record per write, replayed at open.
//!
//! Frame: length (u32, little endian), CRC-32 of the payload (u32), payload. A record that is cut short or does not match
//! its checksum ends the replay and the file is cut there: it can only be the write that a kill interrupted. Nothing is
//! synced to the disk; the file survives the death of the process, not of the machine.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One write, as replayed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    /// An object was created or replaced.
    Put {
        /// Resource version of the write.
        rv: u64,
        /// Storage name of the resource.
        storage: String,
        /// The object.
        object: Value,
    },
    /// An object was removed.
    Remove {
        /// Resource version of the write.
        rv: u64,
        /// Storage name of the resource.
        storage: String,
        /// Namespace, empty for cluster scope.
        namespace: String,
        /// Name.
        name: String,
    },
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Size just after the last compaction (or at open).
    base: u64,
}

const FILE: &str = "objects.log";
/// Below this size compaction is not worth it.
const COMPACT_MIN: u64 = 64 << 20;

fn crc32(data: &[u8]) -> u32 {
    static TABLE: std::sync::OnceLock<[u32; 256]> = std::sync::OnceLock::new();
    let table = TABLE.get_or_init(|| {
        std::array::from_fn(|i| (0..8).fold(i as u32, |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 }))
    });
    !data.iter().fold(!0u32, |c, &b| table[((c ^ u32::from(b)) & 0xFF) as usize] ^ (c >> 8))
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 8);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32(payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

fn put_payload(rv: u64, storage: &str, object: &[u8]) -> Vec<u8> {
    let mut payload = format!("{{\"v\":{rv},\"r\":{},\"o\":", Value::from(storage)).into_bytes();
    payload.extend_from_slice(object);
    payload.push(b'}');
    payload
}

fn parse(payload: &[u8]) -> Option<Record> {
    let mut value: Value = serde_json::from_slice(payload).ok()?;
    let rv = value["v"].as_u64()?;
    let storage = value["r"].as_str()?.to_string();
    if let Some(object) = value.get_mut("o") {
        return Some(Record::Put { rv, storage, object: object.take() });
    }
    let namespace = value["d"][0].as_str()?.to_string();
    let name = value["d"][1].as_str()?.to_string();
    Some(Record::Remove { rv, storage, namespace, name })
}

impl Log {
    /// Opens (or creates) the file in `dir`, hands every whole record to `replay` and cuts a torn tail.
    ///
    /// # Errors
    /// Any I/O error.
    pub(crate) fn open(dir: &Path, mut replay: impl FnMut(Record)) -> io::Result<Log> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(FILE);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut data = Vec::new();
        file.read_to_end(&mut data)?;
        let mut at = 0;
        while let Some(header) = data.get(at..at + 8) {
            let word = |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
            let (length, crc) = (word(0) as usize, word(4));
            let Some(payload) = data.get(at + 8..).and_then(|rest| rest.get(..length)) else { break };
            if crc32(payload) != crc {
                break;
            }
            let Some(record) = parse(payload) else { break };
            replay(record);
            at += 8 + length;
        }
        if at < data.len() {
            tracing::warn!(path = %path.display(), lost = data.len() - at, "the last record was torn; cut");
            file.set_len(at as u64)?;
        }
        file.seek(SeekFrom::Start(at as u64))?;
        Ok(Log { path, file, bytes: at as u64, base: at as u64 })
    }

    fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let framed = frame(payload);
        if let Err(error) = self.file.write_all(&framed) {
            // Half a frame must not stay in front of later ones.
            self.file.set_len(self.bytes)?;
            self.file.seek(SeekFrom::Start(self.bytes))?;
            return Err(error);
        }
        self.bytes += framed.len() as u64;
        Ok(())
    }

    /// Appends a created or replaced object (its JSON).
    ///
    /// # Errors
    /// Any I/O error; the file then ends where it ended before.
    pub(crate) fn put(&mut self, rv: u64, storage: &str, object: &[u8]) -> io::Result<()> {
        self.append(&put_payload(rv, storage, object))
    }

    /// Appends a removal.
    ///
    /// # Errors
    /// As [`Log::put`].
    pub(crate) fn remove(&mut self, rv: u64, storage: &str, namespace: &str, name: &str) -> io::Result<()> {
        let payload = serde_json::json!({"v": rv, "r": storage, "d": [namespace, name]}).to_string();
        self.append(payload.as_bytes())
    }

    /// Whether so much of the file is history that it should be written anew.
    pub(crate) fn wants_compaction(&self) -> bool {
        self.bytes > COMPACT_MIN && self.bytes > self.base.saturating_mul(3)
    }

    /// Replaces the file by one that holds only these objects (resource version, storage name, JSON) and says that `rv`
    /// was the last version given.
    ///
    /// # Errors
    /// Any I/O error; the old file then stays in use.
    pub(crate) fn compact<'a>(
        &mut self,
        rv: u64,
        objects: impl Iterator<Item = (u64, &'a str, bytes::Bytes)>,
    ) -> io::Result<()> {
        let fresh = self.path.with_extension("log.new");
        let mut writer = BufWriter::new(File::create(&fresh)?);
        let mut bytes = 0u64;
        for (rv, storage, object) in objects {
            let framed = frame(&put_payload(rv, storage, &object));
            writer.write_all(&framed)?;
            bytes += framed.len() as u64;
        }
        // The last write may have been a removal, which leaves no object to carry its version.
        let version = frame(serde_json::json!({"v": rv, "r": "", "d": ["", ""]}).to_string().as_bytes());
        writer.write_all(&version)?;
        bytes += version.len() as u64;
        let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.flush()?;
        std::fs::rename(&fresh, &self.path)?;
        (self.file, self.bytes, self.base) = (file, bytes, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn replayed(dir: &Path) -> Vec<Record> {
        let mut records = Vec::new();
        Log::open(dir, |r| records.push(r)).unwrap();
        records
    }

    #[test]
    fn crc_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_torn_tail_at_any_byte_loses_only_the_last_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), |_| {}).unwrap();
        log.put(1, "pods", br#"{"a":1}"#).unwrap();
        let whole = log.bytes;
        log.remove(2, "pods", "ns", "x").unwrap();
        let path = dir.path().join(FILE);
        let data = std::fs::read(&path).unwrap();
        let first = Record::Put { rv: 1, storage: "pods".into(), object: json!({"a": 1}) };
        for cut in whole as usize..data.len() {
            std::fs::write(&path, &data[..cut]).unwrap();
            assert_eq!(replayed(dir.path()), std::slice::from_ref(&first), "cut at {cut}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), whole);
        }
        std::fs::write(&path, &data).unwrap();
        assert_eq!(replayed(dir.path()).len(), 2);
    }

    #[test]
    fn compaction_keeps_the_objects_and_appends_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), |_| {}).unwrap();
        for rv in 1..10 {
            log.put(rv, "pods", br#"{"a":1}"#).unwrap();
        }
        log.compact(12, [(9, "pods", bytes::Bytes::from_static(br#"{"a":1}"#))].into_iter()).unwrap();
        log.put(13, "pods", br#"{"a":2}"#).unwrap();
        assert_eq!(replayed(dir.path()).len(), 3);
    }
}
