//! Go's quoted strings and characters: writing them and reading them back.

use std::borrow::Cow;

/// Does Go print the character as it is? Letters, marks, numbers, punctuation, symbols and the plain blank.
pub fn is_printable(c: char) -> bool {
    // Behind another character, Rust escapes exactly what it holds for not printable, whose definition is Go's.
    match c {
        '"' | '\'' | '\\' => true,
        ' '..='~' => true,
        _ => {
            let mut buffer = [b'a', 0, 0, 0, 0];
            let length = c.encode_utf8(&mut buffer[1..]).len();
            std::str::from_utf8(&buffer[..=length]).is_ok_and(|s| !s.escape_debug().skip(1).any(|c| c == '\\'))
        }
    }
}

/// The bytes as a Go string constant in double quotes.
pub fn quoted(bytes: &[u8]) -> String {
    quote(bytes, '"', false)
}

/// As [`quoted`], with every character beyond ASCII escaped.
pub fn quoted_ascii(bytes: &[u8]) -> String {
    quote(bytes, '"', true)
}

/// The character as a Go character constant in single quotes; what is no character reads U+FFFD.
pub fn quoted_char(c: u64, ascii: bool) -> String {
    let c = u32::try_from(c).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    quote(c.encode_utf8(&mut [0; 4]).as_bytes(), '\'', ascii)
}

fn quote(bytes: &[u8], mark: char, ascii: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push(mark);
    // Most of what is quoted needs nothing but the quotes.
    let plain = |b: &u8| matches!(b, b' '..=b'~') && *b != b'\\' && *b != mark as u8;
    if let Some(text) = std::str::from_utf8(bytes).ok().filter(|_| bytes.iter().all(plain)) {
        out.push_str(text);
        out.push(mark);
        return out;
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(c, mark, ascii, &mut out);
        }
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out.push(mark);
    out
}

fn quote_char(c: char, mark: char, ascii: bool, out: &mut String) {
    if c == mark || c == '\\' {
        out.push('\\');
        out.push(c);
        return;
    }
    if if ascii { matches!(c, ' '..='~') } else { is_printable(c) } {
        out.push(c);
        return;
    }
    match c {
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if c < ' ' || c == '\x7f' => out.push_str(&format!("\\x{:02x}", c as u32)),
        c if (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
        c => out.push_str(&format!("\\U{:08x}", c as u32)),
    }
}

/// Can the text be written between back quotes: one line, no back quote, no control character but tab?
pub fn can_backquote(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|s| s.chars().all(|c| !matches!(c, '\0'..='\x08' | '\n'..='\x1f' | '`' | '\x7f' | '\u{feff}')))
}

/// What a Go string constant means, quotes included; `None` when it is malformed.
pub fn unquote(written: &str) -> Option<Cow<'_, [u8]>> {
    if let Some(raw) = written.strip_prefix('`') {
        let raw = raw.strip_suffix('`')?;
        // Carriage returns do not belong to a raw string.
        let kept: Option<Vec<u8>> = raw.contains('\r').then(|| raw.bytes().filter(|b| *b != b'\r').collect());
        return Some(kept.map_or(Cow::Borrowed(raw.as_bytes()), Cow::Owned));
    }
    let mut rest = written.strip_prefix('"')?.strip_suffix('"')?;
    if !rest.bytes().any(|b| matches!(b, b'\\' | b'"' | b'\n')) {
        return Some(Cow::Borrowed(rest.as_bytes()));
    }
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        if rest.starts_with('\n') {
            return None;
        }
        let (part, tail) = unquote_char(rest, '"')?;
        match part {
            Unquoted::Byte(b) => out.push(b),
            Unquoted::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = tail;
    }
    Some(Cow::Owned(out))
}

/// What one possibly escaped character of a constant means.
pub(crate) enum Unquoted {
    /// A byte, by `\x41` or `\101`.
    Byte(u8),
    Char(char),
}

/// Reads one character, which may be escaped, of a constant in the given quotes; returns it and what follows.
pub(crate) fn unquote_char(text: &str, mark: char) -> Option<(Unquoted, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == mark {
        return None;
    }
    if first != '\\' {
        return Some((Unquoted::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let simple = |c| Some((Unquoted::Char(c), rest));
    let number = |digits: usize, radix: u32, from: &'_ str| -> Option<u32> {
        let digits = from.get(..digits)?;
        if digits.chars().all(|c| c.is_digit(radix)) { u32::from_str_radix(digits, radix).ok() } else { None }
    };
    match escape {
        'a' => simple('\x07'),
        'b' => simple('\x08'),
        'f' => simple('\x0c'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\x0b'),
        '\\' => simple('\\'),
        c @ ('\'' | '"') if c == mark => simple(c),
        'x' => Some((Unquoted::Byte(number(2, 16, rest)? as u8), &rest[2..])),
        'u' => Some((Unquoted::Char(char::from_u32(number(4, 16, rest)?)?), &rest[4..])),
        'U' => Some((Unquoted::Char(char::from_u32(number(8, 16, rest)?)?), &rest[8..])),
        '0'..='7' => {
            let octal = &text[1..];
            let byte = u8::try_from(number(3, 8, octal)?).ok()?;
            Some((Unquoted::Byte(byte), &octal[3..]))
        }
        _ => None,
    }
}
