//! Escaping for HTML, JavaScript and URL queries, the way Go's template functions do it.

use crate::bytestr::Str;
use crate::quote::is_printable;

/// Escapes for HTML text and attributes.
pub(crate) fn html(text: &Str) -> Str {
    let mut out = Vec::with_capacity(text.len());
    for b in text.iter() {
        match b {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b => out.push(*b),
        }
    }
    Str::from(out)
}

/// Escapes for a JavaScript string.
pub(crate) fn js(text: &Str) -> Str {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\'' | '"' => out.extend_from_slice(format!("\\{c}").as_bytes()),
                '<' | '>' | '&' | '=' => out.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes()),
                c if c < ' ' || (!c.is_ascii() && !is_printable(c)) => {
                    out.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes());
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        // Go takes a wrong byte for U+FFFD, which is printable, and so copies the byte itself.
        out.extend_from_slice(chunk.invalid());
    }
    Str::from(out)
}

/// Escapes for a URL's query.
pub(crate) fn url_query(text: &Str) -> Str {
    let mut out = String::with_capacity(text.len());
    for b in text.iter() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*b as char),
            b' ' => out.push('+'),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    Str::from(out)
}
