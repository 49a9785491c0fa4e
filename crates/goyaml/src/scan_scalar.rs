//! The four ways to write a scalar: literal and folded blocks, quotes, and plain.

use crate::Error;
use crate::scan::{Scanner, is_blank, is_blankz, is_break, is_breakz};
use std::borrow::Cow;
use std::ops::Range;

/// White space between two pieces of a flow or plain scalar: blanks on one line, or line breaks that fold.
#[derive(Default)]
struct Gap {
    /// Set once a line break was seen; blanks no longer count then.
    broken: bool,
    /// Where in the text the blanks are.
    blanks: Range<usize>,
    first_break: Option<char>,
    more_breaks: String,
}

impl Gap {
    /// Takes all white space that follows.
    fn take(&mut self, scanner: &mut Scanner<'_>, violates: impl Fn(&Scanner<'_>) -> bool) -> Result<(), Error> {
        if !self.broken && self.blanks.is_empty() {
            self.blanks = scanner.at..scanner.at;
        }
        loop {
            if is_blank(scanner.peek(0)) {
                if self.broken && violates(scanner) {
                    return scanner.error("found a tab character that violates indentation");
                }
                scanner.skip();
                scanner.skip_spaces();
                if !self.broken {
                    self.blanks.end = scanner.at;
                }
            } else if let Some(c) = scanner.take_break() {
                if self.broken {
                    self.more_breaks.push(c);
                } else {
                    self.first_break = Some(c);
                    self.broken = true;
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Adds what the gap stands for: one line break is a blank, more are one less.
    fn fold_into(&mut self, text: &mut Pieces<'_>) {
        if !self.broken {
            text.push_range(self.blanks.clone());
        } else if let Some(c) = self.first_break {
            if c != '\n' {
                text.push(c);
                text.push_str(&self.more_breaks);
            } else if self.more_breaks.is_empty() {
                text.push(' ');
            } else {
                text.push_str(&self.more_breaks);
            }
        } else {
            // The break was escaped; only further ones count.
            text.push_str(&self.more_breaks);
        }
        *self = Gap::default();
    }
}

/// The text of a scalar while it is put together. As long as it stands in the source as it is, it is but a range of it.
struct Pieces<'t> {
    source: &'t str,
    range: Range<usize>,
    own: Option<String>,
}

impl<'t> Pieces<'t> {
    fn new(scanner: &Scanner<'t>) -> Pieces<'t> {
        Pieces { source: scanner.text, range: scanner.at..scanner.at, own: None }
    }

    fn own(&mut self) -> &mut String {
        self.own.get_or_insert_with(|| self.source[self.range.clone()].to_string())
    }

    fn push(&mut self, c: char) {
        self.own().push(c);
    }

    fn push_str(&mut self, text: &str) {
        if !text.is_empty() {
            self.own().push_str(text);
        }
    }

    /// Adds a range of the source.
    fn push_range(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        match &mut self.own {
            None if self.range.end == range.start => self.range.end = range.end,
            None if self.range.is_empty() => self.range = range,
            _ => {
                let source = self.source;
                self.own().push_str(&source[range]);
            }
        }
    }

    fn finish(self) -> Cow<'t, str> {
        match self.own {
            Some(own) => Cow::Owned(own),
            None => Cow::Borrowed(&self.source[self.range]),
        }
    }
}

/// What ends a run of characters, as bits of [`CLASSES`].
const WHITE: u8 = 1;
/// May begin a line break beyond ASCII.
const WIDE: u8 = 2;
const COLON: u8 = 4;
const FLOW: u8 = 8;
const SINGLE: u8 = 16;
const DOUBLE: u8 = 32;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let known: [(&[u8], u8); 6] =
        [(b" \t\n\r", WHITE), (b"\xc2\xe2", WIDE), (b":", COLON), (b",?[]{}", FLOW), (b"'", SINGLE), (b"\"\\", DOUBLE)];
    let mut class = 0;
    while class < known.len() {
        let (bytes, bit) = known[class];
        let mut i = 0;
        while i < bytes.len() {
            classes[bytes[i] as usize] |= bit;
            i += 1;
        }
        class += 1;
    }
    classes
};

impl<'t> Scanner<'t> {
    /// Where the run of characters ends that are neither white space nor one of `special`.
    fn run_end(&self, special: u8) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        loop {
            let rest = &bytes[at..];
            let Some(run) = rest.iter().position(|b| CLASSES[usize::from(*b)] & (special | WHITE | WIDE) != 0) else {
                return bytes.len();
            };
            at += run;
            let wide_break = matches!(rest[run..], [0xc2, 0x85, ..] | [0xe2, 0x80, 0xa8 | 0xa9, ..]);
            if CLASSES[usize::from(rest[run])] & WIDE == 0 || wide_break {
                return at;
            }
            at += 1;
        }
    }

    pub(super) fn scan_block_scalar(&mut self, literal: bool) -> Result<String, Error> {
        self.skip();
        let (mut keep, mut strip, mut increment) = (false, false, 0);
        for _ in 0..2 {
            match self.peek(0) {
                '+' if !keep && !strip => keep = true,
                '-' if !keep && !strip => strip = true,
                '0' if increment == 0 => return self.error("found an indentation indicator equal to 0"),
                c @ '1'..='9' if increment == 0 => increment = i64::from(c as u32 - '0' as u32),
                _ => break,
            }
            self.skip();
        }
        self.skip_blanks();
        self.skip_comment();
        if !is_breakz(self.peek(0)) {
            return self.error("did not find expected comment or line break");
        }
        self.take_break();
        let mut indent = if increment > 0 { self.indent.max(0) + increment } else { 0 };
        let (mut text, mut last_break) = (String::new(), None);
        let mut breaks = self.scan_block_breaks(&mut indent)?;
        let mut after_blank = false;
        while self.mark.column as i64 == indent && self.peek(0) != '\0' {
            let starts_blank = is_blank(self.peek(0));
            match last_break {
                Some('\n') if !literal && !after_blank && !starts_blank => {
                    text.push_str(if breaks.is_empty() { " " } else { "" });
                }
                Some(c) => text.push(c),
                None => {}
            }
            text.push_str(&breaks);
            after_blank = starts_blank;
            text.push_str(self.skip_to(self.line_end()));
            last_break = self.take_break();
            breaks = self.scan_block_breaks(&mut indent)?;
        }
        if !strip {
            text.extend(last_break);
        }
        if keep {
            text.push_str(&breaks);
        }
        Ok(text)
    }

    /// Takes indentation and empty lines. An `indent` of 0 is not known yet and becomes that of the first line with text.
    fn scan_block_breaks(&mut self, indent: &mut i64) -> Result<String, Error> {
        let mut breaks = String::new();
        let mut deepest = 0;
        loop {
            let unindented = |s: &Scanner<'t>| *indent == 0 || (s.mark.column as i64) < *indent;
            while unindented(self) && self.peek(0) == ' ' {
                self.skip();
            }
            deepest = deepest.max(self.mark.column as i64);
            if unindented(self) && self.peek(0) == '\t' {
                return self.error("found a tab character where an indentation space is expected");
            }
            match self.take_break() {
                Some(c) => breaks.push(c),
                None => break,
            }
        }
        if *indent == 0 {
            *indent = deepest.max(self.indent + 1).max(1);
        }
        Ok(breaks)
    }

    pub(super) fn scan_quoted(&mut self, single: bool) -> Result<Cow<'t, str>, Error> {
        self.skip();
        let quote = if single { '\'' } else { '"' };
        let mut text = Pieces::new(self);
        loop {
            if self.at_any_document_indicator() {
                return self.error("found unexpected document indicator");
            }
            if self.peek(0) == '\0' {
                return self.error("found unexpected end of stream");
            }
            let mut gap = Gap::default();
            loop {
                let from = self.at;
                self.skip_to(self.run_end(if single { SINGLE } else { DOUBLE }));
                text.push_range(from..self.at);
                let c = self.peek(0);
                if is_blankz(c) {
                    break;
                }
                if c == quote {
                    if single && self.peek(1) == '\'' {
                        text.push('\'');
                        self.skip();
                        self.skip();
                        continue;
                    }
                    break;
                }
                // A backslash.
                if is_break(self.peek(1)) {
                    self.skip();
                    self.take_break();
                    gap.broken = true;
                    break;
                }
                let escaped = self.scan_escape()?;
                text.push(escaped);
            }
            if self.peek(0) == quote {
                break;
            }
            gap.take(self, |_| false)?;
            gap.fold_into(&mut text);
        }
        self.skip();
        Ok(text.finish())
    }

    fn scan_escape(&mut self) -> Result<char, Error> {
        let digits = match self.peek(1) {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            plain => {
                let value = match plain {
                    '0' => '\0',
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    't' | '\t' => '\t',
                    'n' => '\n',
                    'v' => '\u{b}',
                    'f' => '\u{c}',
                    'r' => '\r',
                    'e' => '\u{1b}',
                    ' ' | '"' | '\'' | '\\' => plain,
                    'N' => '\u{85}',
                    '_' => '\u{a0}',
                    'L' => '\u{2028}',
                    'P' => '\u{2029}',
                    // The slash of JSON came into YAML with version 1.2 and is not known here.
                    _ => return self.error("found unknown escape character"),
                };
                self.skip();
                self.skip();
                return Ok(value);
            }
        };
        self.skip();
        self.skip();
        let mut value = 0u32;
        for ahead in 0..digits {
            match self.peek(ahead).to_digit(16) {
                Some(digit) => value = value << 4 | digit,
                None => return self.error("did not find expected hexdecimal number"),
            }
        }
        let Some(c) = char::from_u32(value) else {
            return self.error("found invalid Unicode character escape code");
        };
        for _ in 0..digits {
            self.skip();
        }
        Ok(c)
    }

    pub(super) fn scan_plain(&mut self) -> Result<Cow<'t, str>, Error> {
        let indent = self.indent + 1;
        let mut text = Pieces::new(self);
        let mut gap = Gap::default();
        loop {
            if self.at_any_document_indicator() || self.peek(0) == '#' {
                break;
            }
            loop {
                let from = self.at;
                let end = self.run_end(if self.flow_level > 0 { COLON | FLOW } else { COLON });
                if end > from {
                    gap.fold_into(&mut text);
                    self.skip_to(end);
                    text.push_range(from..end);
                }
                // A colon ends the scalar only before white space.
                if self.peek(0) != ':' || is_blankz(self.peek(1)) {
                    break;
                }
                gap.fold_into(&mut text);
                text.push_range(end..end + 1);
                self.skip();
            }
            if !(is_blank(self.peek(0)) || is_break(self.peek(0))) {
                break;
            }
            gap.take(self, |s| (s.mark.column as i64) < indent && s.peek(0) == '\t')?;
            if self.flow_level == 0 && (self.mark.column as i64) < indent {
                break;
            }
        }
        if gap.broken {
            self.simple_key_allowed = true;
        }
        Ok(text.finish())
    }
}
