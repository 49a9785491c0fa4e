//! GnuPG's keybox (`pubring.kbx`): a file of blobs, some of which hold OpenPGP keys.
//!
//! Each blob begins with its length (4 bytes, big-endian, itself included), a type and a version. The first blob is a
//! header with the word `KBXf` at byte 8. A blob of keys (type 2) has flags at byte 6, and offset and length of the
//! OpenPGP packets at bytes 8 and 12. Source: GnuPG's `kbx/keybox-blob.c`.

const HEADER: u8 = 1;
const OPENPGP: u8 = 2;
/// Keys that GnuPG itself does not look at.
const EPHEMERAL: u16 = 2;

/// Is this a keybox?
pub(super) fn is_keybox(data: &[u8]) -> bool {
    data.len() >= 12 && data[4] == HEADER && &data[8..12] == b"KBXf"
}

/// The packets of all keys in a keybox, one behind the other.
pub(super) fn packets(data: &[u8]) -> Result<Vec<u8>, String> {
    let (mut found, mut offset) = (Vec::new(), 0);
    while offset < data.len() {
        let rest = &data[offset..];
        let length = number(rest, 0).ok_or_else(|| format!("truncated blob header at offset {offset}"))?;
        if rest.len() < 5 {
            return Err(format!("truncated blob header at offset {offset}"));
        }
        if length < 5 {
            return Err(format!("invalid blob length {length} at offset {offset}"));
        }
        let blob = rest.get(..length).ok_or_else(|| {
            format!("blob at offset {offset} has length {length} exceeding the {} remaining bytes", rest.len())
        })?;
        if blob[4] == OPENPGP {
            let short = || format!("OpenPGP blob at offset {offset} is too short");
            let (start, size) = number(blob, 8).zip(number(blob, 12)).ok_or_else(short)?;
            let keys = start.checked_add(size).and_then(|end| blob.get(start..end));
            let keys = keys.ok_or_else(|| format!("OpenPGP blob at offset {offset} has an out-of-range keyblock"))?;
            if u16::from_be_bytes([blob[6], blob[7]]) & EPHEMERAL == 0 {
                found.extend_from_slice(keys);
            }
        }
        offset += length;
    }
    if found.is_empty() { Err("keybox contains no OpenPGP keys".to_owned()) } else { Ok(found) }
}

/// Four bytes at an offset.
fn number(data: &[u8], offset: usize) -> Option<usize> {
    let bytes: [u8; 4] = data.get(offset..offset + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(kind: u8, flags: u16, keys: &[u8]) -> Vec<u8> {
        let mut blob = Vec::from(u32::try_from(16 + keys.len()).unwrap().to_be_bytes());
        blob.extend([kind, 1]);
        blob.extend(flags.to_be_bytes());
        blob.extend(16u32.to_be_bytes());
        blob.extend(u32::try_from(keys.len()).unwrap().to_be_bytes());
        blob.extend(keys);
        blob
    }

    #[test]
    fn keys_of_all_blobs_but_ephemeral_ones() {
        let mut header = blob(HEADER, 0, b"");
        header[8..12].copy_from_slice(b"KBXf");
        let all = [header.clone(), blob(2, 0, b"ab"), blob(3, 0, b"x"), blob(2, EPHEMERAL, b"y"), blob(2, 0, b"c")];
        assert!(is_keybox(&all.concat()) && !is_keybox(b"short"));
        assert_eq!(packets(&all.concat()).unwrap(), b"abc");
        assert_eq!(packets(&header).unwrap_err(), "keybox contains no OpenPGP keys");
    }

    #[test]
    fn damage_is_told() {
        let good = blob(2, 0, b"abcd");
        assert_eq!(
            packets(&good[..18]).unwrap_err(),
            "blob at offset 0 has length 20 exceeding the 18 remaining bytes"
        );
        assert_eq!(packets(&good[..3]).unwrap_err(), "truncated blob header at offset 0");
        assert_eq!(packets(&[0, 0, 0, 4, 2]).unwrap_err(), "invalid blob length 4 at offset 0");
        assert_eq!(packets(&[0, 0, 0, 5, 2]).unwrap_err(), "OpenPGP blob at offset 0 is too short");
        let mut far = good;
        far[15] = 200;
        assert_eq!(packets(&far).unwrap_err(), "OpenPGP blob at offset 0 has an out-of-range keyblock");
    }
}
