//! [`Str`]: a Go string. Immutable bytes, usually but not necessarily UTF-8, cheap to clone.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A Go string: immutable bytes that are shared when cloned.
///
/// Go strings need not be UTF-8: cutting one in the middle of a character or decoding base64 makes others, and they
/// must survive being passed on (`.Files.Get "logo.png" | b64enc`). So this derefs to bytes; [`Str::lossy`] gives
/// text.
#[derive(Clone)]
pub struct Str(Repr);

/// Most strings of a template run are short: keys, names, words. These need no memory of their own.
#[derive(Clone)]
enum Repr {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Arc<[u8]>),
}

/// As many bytes as fit where the pointer and length of a long string are.
const SHORT: usize = 22;

impl Str {
    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short { length, bytes } => &bytes[..usize::from(*length)],
            Repr::Long(bytes) => bytes,
        }
    }

    #[inline]
    fn short(text: &[u8]) -> Option<Str> {
        let length = u8::try_from(text.len()).ok()?;
        let mut bytes = [0; SHORT];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Str(Repr::Short { length, bytes }))
    }

    /// The text, or `None` when the bytes are not UTF-8.
    pub fn as_utf8(&self) -> Option<&str> {
        std::str::from_utf8(self).ok()
    }

    /// The text, with U+FFFD in place of what is not UTF-8.
    pub fn lossy(&self) -> Cow<'_, str> {
        // Checking alone is a good deal faster than looking for pieces, and nearly all strings pass.
        match std::str::from_utf8(self) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => crate::utf8::lossy(self),
        }
    }
}

impl Deref for Str {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Str {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Str {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Default for Str {
    fn default() -> Self {
        Str(Repr::Short { length: 0, bytes: [0; SHORT] })
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Str) -> bool {
        **self == **other
    }
}

impl Eq for Str {}

impl PartialOrd for Str {
    fn partial_cmp(&self, other: &Str) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Str {
    fn cmp(&self, other: &Str) -> Ordering {
        (**self).cmp(other)
    }
}

impl Hash for Str {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lossy())
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.lossy(), f)
    }
}

impl From<&[u8]> for Str {
    #[inline]
    fn from(s: &[u8]) -> Self {
        Str::short(s).unwrap_or_else(|| Str(Repr::Long(Arc::from(s))))
    }
}

impl From<&str> for Str {
    #[inline]
    fn from(s: &str) -> Self {
        Str::from(s.as_bytes())
    }
}

impl From<String> for Str {
    fn from(s: String) -> Self {
        Str::from(s.as_bytes())
    }
}

impl From<Cow<'_, str>> for Str {
    fn from(s: Cow<'_, str>) -> Self {
        Str::from(s.as_bytes())
    }
}

impl From<Arc<[u8]>> for Str {
    fn from(s: Arc<[u8]>) -> Self {
        Str::short(&s).unwrap_or(Str(Repr::Long(s)))
    }
}

impl From<Vec<u8>> for Str {
    fn from(s: Vec<u8>) -> Self {
        Str::from(&s[..])
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        **self == *other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        **self == *other.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn length_makes_no_difference() {
        assert_eq!(size_of::<Str>(), 24);
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 300] {
            let bytes = vec![b'x'; length];
            let text = Str::from(&bytes[..]);
            assert_eq!(text.as_bytes(), &bytes[..]);
            assert_eq!(text, Str::from(Arc::<[u8]>::from(bytes.clone())));
            assert!(HashSet::from([text.clone()]).contains(&bytes[..]));
            assert_eq!(text.cmp(&Str::from("xx")), bytes[..].cmp(b"xx"));
        }
    }
}
