//! Wrapping and shortening of text. Positions are bytes, as in the original.

use gotemplate::{Functions, Str, Type};

use crate::args::{int, text};

const S: Type = Type::Str;
const I: Type = Type::Int;

pub(crate) fn register(table: &mut Functions) {
    table.fixed("wrap", &[I, S], |run, args| {
        let wrapped = wrap(&text(args, 1), int(args, 0), b"\n", false);
        run.claim(wrapped.len())?;
        Ok(Str::from(wrapped).into())
    });
    table.fixed("wrapWith", &[I, S, S], |run, args| {
        let separator = text(args, 1);
        let separator = if separator.is_empty() { Str::from("\n") } else { separator };
        let text = text(args, 2);
        run.claim(separator.len().saturating_mul(text.len()))?;
        Ok(Str::from(wrap(&text, int(args, 0), &separator, true)).into())
    });
    table.fixed("abbrev", &[I, S], |_, args| {
        let (width, text) = (int(args, 0), text(args, 1));
        Ok(if width < 4 { text.into() } else { Str::from(abbreviate(&text, 0, width as usize)).into() })
    });
    table.fixed("abbrevboth", &[I, I, S], |_, args| {
        let (left, right, text) = (int(args, 0), int(args, 1), text(args, 2));
        if right < 4 || (left > 0 && right < 7) {
            return Ok(text.into());
        }
        Ok(Str::from(abbreviate(&text, left, right as usize)).into())
    });
}

/// Breaks lines at blanks so that they are at most `width` long; longer words stay whole unless `break_words`.
fn wrap(text: &[u8], width: i64, separator: &[u8], break_words: bool) -> Vec<u8> {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while text.len() - at > width {
        if text[at] == b' ' {
            at += 1;
            continue;
        }
        let blank = text[at..=at + width].iter().rposition(|b| *b == b' ').map(|i| at + i);
        let (end, next) = match blank {
            Some(blank) => (blank, blank + 1),
            None if break_words => (at + width, at + width),
            None => match text[at + width..].iter().position(|b| *b == b' ') {
                Some(i) => (at + width + i, at + width + i + 1),
                None => break,
            },
        };
        out.extend_from_slice(&text[at..end]);
        out.extend_from_slice(separator);
        at = next;
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// Shortens to `width` (at least 4) with dots at the end, and at the start when `offset` lies beyond the first few.
fn abbreviate(text: &[u8], offset: i64, width: usize) -> Vec<u8> {
    const DOTS: &[u8] = b"...";
    if text.len() <= width {
        return text.to_vec();
    }
    // Negative offsets are the start.
    let mut offset = usize::try_from(offset).unwrap_or(0).min(text.len());
    if text.len() - offset < width - 3 {
        offset = text.len() - (width - 3);
    }
    if offset <= 4 {
        return [&text[..width - 3], DOTS].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + width - 3 < text.len() {
        return [DOTS, &abbreviate(&text[offset..], 0, width - 3)].concat();
    }
    [DOTS, &text[text.len() - (width - 3)..]].concat()
}
