//! Bytes that are no UTF-8, as Go shows them.

use std::borrow::Cow;

/// The bytes as text. Each byte that belongs to no character becomes one U+FFFD, as in Go; Rust's own way makes one of a
/// whole broken character.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(bytes.len() + 8);
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
            }
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lossy;

    #[test]
    fn every_wrong_byte_counts() {
        assert_eq!(lossy("é".as_bytes()), "é");
        assert_eq!(lossy(b"a\xe2\x82b"), "a\u{fffd}\u{fffd}b");
        assert_eq!(lossy(b"\xf0\x9f\x98"), "\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(lossy(b"\xed\xa0\x80\xff"), "\u{fffd}".repeat(4));
    }
}
