//! Characters to tokens: a scanner of YAML 1.1 with libyaml's rules, which Go's reader shares.
//!
//! What makes it more than a list of characters is that a key is recognised only when its colon is seen. The places
//! where a key could have started are remembered, one for each level of flow brackets, and the key token is put in front
//! of them afterwards.

use crate::{Error, MAX_DEPTH};
use std::borrow::Cow;
use std::collections::VecDeque;

/// A place in the text; lines and columns count characters from zero.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    pub(crate) index: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A tag in two parts: `!!` and `str`; or a handle and what it stands for.
#[derive(Debug, PartialEq)]
pub(crate) struct TagParts {
    pub(crate) handle: String,
    pub(crate) suffix: String,
}

#[derive(Debug, PartialEq)]
pub(crate) enum TokenKind<'t> {
    StreamEnd,
    Version { major: u8, minor: u8 },
    TagDirective(Box<TagParts>),
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'t str),
    Anchor(&'t str),
    Tag(Box<TagParts>),
    Scalar { value: Cow<'t, str>, plain: bool },
}

#[derive(Debug)]
pub(crate) struct Token<'t> {
    pub(crate) kind: TokenKind<'t>,
    pub(crate) start: Mark,
}

/// A place where a key may have started.
#[derive(Debug, Clone, Default)]
struct SimpleKey {
    possible: bool,
    required: bool,
    token_number: usize,
    mark: Mark,
}

pub(crate) struct Scanner<'t> {
    pub(super) text: &'t str,
    /// Where in the text the scanner stands, in bytes.
    pub(super) at: usize,
    pub(super) mark: Mark,
    tokens: VecDeque<Token<'t>>,
    /// How many tokens were taken so far.
    taken: usize,
    /// The first token in the queue is known to stay the first.
    head_is_settled: bool,
    ended: bool,
    /// Column of the innermost block collection; -1 outside.
    pub(super) indent: i64,
    indents: Vec<i64>,
    pub(super) flow_level: usize,
    pub(super) simple_key_allowed: bool,
    simple_keys: Vec<SimpleKey>,
    /// Which of them belongs to a token that is still in the queue: the token's number and the key's place.
    key_of_token: Vec<(usize, usize)>,
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

pub(super) fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// Break or end of the text, which reads as NUL.
pub(super) fn is_breakz(c: char) -> bool {
    c == '\0' || is_break(c)
}

pub(super) fn is_blankz(c: char) -> bool {
    is_blank(c) || is_breakz(c)
}

/// What YAML lets into names: letters, digits, `_` and `-`.
pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

impl<'t> Scanner<'t> {
    /// Errors: the text holds a control character.
    pub(crate) fn new(text: &'t str) -> Result<Scanner<'t>, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let plain = text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t' | b'\n' | b'\r'));
        if !plain && !text.chars().all(is_allowed) {
            return Err(Error::Yaml("control characters are not allowed".into()));
        }
        Ok(Scanner {
            text,
            at: 0,
            mark: Mark::default(),
            tokens: VecDeque::new(),
            taken: 0,
            head_is_settled: false,
            ended: false,
            indent: -1,
            indents: Vec::new(),
            flow_level: 0,
            simple_key_allowed: true,
            simple_keys: vec![SimpleKey::default()],
            key_of_token: Vec::new(),
        })
    }

    /// The character `ahead` places further, provided that those before it are ASCII; NUL behind the end.
    #[inline]
    pub(super) fn peek(&self, ahead: usize) -> char {
        let at = self.at + ahead;
        match self.text.as_bytes().get(at) {
            None => '\0',
            Some(b) if b.is_ascii() => char::from(*b),
            Some(_) => self.text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or('\u{fffd}'),
        }
    }

    pub(super) fn skip(&mut self) {
        let Some(b) = self.text.as_bytes().get(self.at) else { return };
        self.at += if b.is_ascii() { 1 } else { self.peek(0).len_utf8() };
        self.mark.index += 1;
        self.mark.column += 1;
    }

    /// Steps over all spaces that follow.
    pub(super) fn skip_spaces(&mut self) {
        let spaces = self.text.as_bytes()[self.at..].iter().take_while(|b| **b == b' ').count();
        self.at += spaces;
        self.mark.index += spaces;
        self.mark.column += spaces;
    }

    /// Goes on to a place on the same line and gives what lies between.
    pub(super) fn skip_to(&mut self, at: usize) -> &'t str {
        let text: &'t str = self.text;
        let passed = &text[self.at..at];
        let characters = passed.bytes().filter(|b| b & 0xc0 != 0x80).count();
        self.at = at;
        self.mark.index += characters;
        self.mark.column += characters;
        passed
    }

    /// Takes one character into `text`.
    pub(super) fn read(&mut self, text: &mut String) {
        if self.at < self.text.len() {
            text.push(self.peek(0));
            self.skip();
        }
    }

    /// Where the line ends: at the next break or at the end of the text.
    pub(super) fn line_end(&self) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        while let Some(b) = bytes.get(at) {
            match b {
                b'\n' | b'\r' => break,
                0xc2 if bytes.get(at + 1) == Some(&0x85) => break,
                0xe2 if matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])) => break,
                _ => at += 1,
            }
        }
        at
    }

    /// Steps over a line break, CR LF being one, and gives the text that it stands for.
    pub(super) fn take_break(&mut self) -> Option<char> {
        let c = self.peek(0);
        if c == '\n' {
            self.at += 1;
            self.mark = Mark { index: self.mark.index + 1, line: self.mark.line + 1, column: 0 };
            return Some(c);
        }
        if !is_break(c) {
            return None;
        }
        let two = c == '\r' && self.peek(1) == '\n';
        self.at += if two { 2 } else { c.len_utf8() };
        self.mark.index += if two { 2 } else { 1 };
        self.mark.column = 0;
        self.mark.line += 1;
        Some(if matches!(c, '\u{2028}' | '\u{2029}') { c } else { '\n' })
    }

    pub(super) fn skip_blanks(&mut self) {
        while is_blank(self.peek(0)) {
            self.skip();
        }
    }

    pub(super) fn skip_comment(&mut self) {
        if self.peek(0) == '#' {
            self.skip_to(self.line_end());
        }
    }

    /// An error at the current place. The first line goes unnamed, as in Go.
    pub(super) fn error<T>(&self, problem: &str) -> Result<T, Error> {
        Err(Error::Yaml(match self.mark.line {
            0 => problem.to_string(),
            line => format!("line {}: {problem}", line + 1),
        }))
    }

    /// The next token, left in place.
    #[inline]
    pub(crate) fn peek_token(&mut self) -> Result<&Token<'t>, Error> {
        if !self.head_is_settled {
            self.settle_head()?;
        }
        match self.tokens.front() {
            Some(token) => Ok(token),
            None => Err(Error::Yaml("did not find expected token".into())),
        }
    }

    /// Reads on until nothing can be put before the first token any more.
    fn settle_head(&mut self) -> Result<(), Error> {
        while self.tokens.is_empty() || self.head_may_be_key()? {
            self.fetch()?;
        }
        self.head_is_settled = true;
        Ok(())
    }

    /// Takes the next token.
    pub(crate) fn next_token(&mut self) -> Result<Token<'t>, Error> {
        self.peek_token()?;
        self.head_is_settled = false;
        self.taken += 1;
        self.tokens.pop_front().ok_or_else(|| Error::Yaml("did not find expected token".into()))
    }

    /// Whether a key token may yet have to be put before the first token in the queue.
    fn head_may_be_key(&mut self) -> Result<bool, Error> {
        match self.key_of_token.iter().find(|(number, _)| *number == self.taken) {
            Some(&(_, at)) => self.key_still_possible(at),
            None => Ok(false),
        }
    }

    /// The token with this number belongs to no key any more.
    fn disown(&mut self, number: usize) {
        self.key_of_token.retain(|(known, _)| *known != number);
    }

    /// A simple key stays on one line and within 1024 characters.
    fn key_still_possible(&mut self, at: usize) -> Result<bool, Error> {
        let (line, index) = (self.mark.line, self.mark.index);
        let key = &mut self.simple_keys[at];
        if !key.possible {
            return Ok(false);
        }
        if key.mark.line < line || key.mark.index + 1024 < index {
            if key.required {
                return self.error("could not find expected ':'");
            }
            key.possible = false;
            return Ok(false);
        }
        Ok(true)
    }

    fn push(&mut self, kind: TokenKind<'t>, start: Mark) {
        self.tokens.push_back(Token { kind, start });
    }

    /// Steps over an indicator of `length` characters and queues its token.
    fn indicator(&mut self, kind: TokenKind<'t>, length: usize) {
        let start = self.mark;
        for _ in 0..length {
            self.skip();
        }
        self.push(kind, start);
    }

    fn at_document_indicator(&self, text: &'static str) -> bool {
        self.mark.column == 0
            && self.text.as_bytes()[self.at..].starts_with(text.as_bytes())
            && is_blankz(self.peek(text.len()))
    }

    pub(super) fn at_any_document_indicator(&self) -> bool {
        self.at_document_indicator("---") || self.at_document_indicator("...")
    }

    /// Queues at least one more token, or nothing behind the end.
    fn fetch(&mut self) -> Result<(), Error> {
        if self.ended {
            // Asked for more than there is: the end repeats itself.
            let mark = self.mark;
            self.push(TokenKind::StreamEnd, mark);
            return Ok(());
        }
        self.skip_to_token();
        self.unroll_indent(self.mark.column as i64);
        let (c, next) = (self.peek(0), self.peek(1));
        let block = self.flow_level == 0;
        let lone = is_blankz(next);
        match c {
            '\0' => self.fetch_stream_end(),
            '%' if self.mark.column == 0 => self.fetch_directive(),
            '-' if self.at_document_indicator("---") => self.fetch_document_indicator(TokenKind::DocumentStart),
            '.' if self.at_document_indicator("...") => self.fetch_document_indicator(TokenKind::DocumentEnd),
            '[' => self.fetch_flow_start(TokenKind::FlowSequenceStart),
            '{' => self.fetch_flow_start(TokenKind::FlowMappingStart),
            ']' => self.fetch_flow_end(TokenKind::FlowSequenceEnd),
            '}' => self.fetch_flow_end(TokenKind::FlowMappingEnd),
            ',' => {
                self.forget_key()?;
                self.simple_key_allowed = true;
                self.indicator(TokenKind::FlowEntry, 1);
                Ok(())
            }
            '-' if lone => self.fetch_block_entry(),
            '?' if !block || lone => self.fetch_key(),
            ':' if !block || lone => self.fetch_value(),
            '*' | '&' | '!' => {
                self.remember_key()?;
                self.simple_key_allowed = false;
                let start = self.mark;
                let kind = if c == '!' { self.scan_tag()? } else { self.scan_anchor(c == '*')? };
                self.push(kind, start);
                Ok(())
            }
            '|' | '>' if block => {
                self.forget_key()?;
                self.simple_key_allowed = true;
                let start = self.mark;
                let value = self.scan_block_scalar(c == '|')?.into();
                self.push(TokenKind::Scalar { value, plain: false }, start);
                Ok(())
            }
            '\'' | '"' => {
                self.remember_key()?;
                self.simple_key_allowed = false;
                let start = self.mark;
                let value = self.scan_quoted(c == '\'')?;
                self.push(TokenKind::Scalar { value, plain: false }, start);
                Ok(())
            }
            '-' | '?' | ':' => self.fetch_plain(),
            '#' | '|' | '>' | '%' | '@' | '`' => self.error("found character that cannot start any token"),
            c if is_blankz(c) => self.error("found character that cannot start any token"),
            _ => self.fetch_plain(),
        }
    }

    fn fetch_plain(&mut self) -> Result<(), Error> {
        self.remember_key()?;
        self.simple_key_allowed = false;
        let start = self.mark;
        let value = self.scan_plain()?;
        self.push(TokenKind::Scalar { value, plain: true }, start);
        Ok(())
    }

    fn skip_to_token(&mut self) {
        // Go's reader also skips a second byte order mark at the very start.
        if self.mark.index == 0 && self.peek(0) == '\u{feff}' {
            self.skip();
        }
        loop {
            // A tab may stand between tokens but not where it could be indentation.
            self.skip_spaces();
            while self.peek(0) == '\t' && (self.flow_level > 0 || !self.simple_key_allowed) {
                self.skip();
                self.skip_spaces();
            }
            self.skip_comment();
            if self.take_break().is_none() {
                return;
            }
            if self.flow_level == 0 {
                self.simple_key_allowed = true;
            }
        }
    }

    /// Notes that a key may start here.
    fn remember_key(&mut self) -> Result<(), Error> {
        if self.simple_key_allowed {
            let key = SimpleKey {
                possible: true,
                required: self.flow_level == 0 && self.indent == self.mark.column as i64,
                token_number: self.taken + self.tokens.len(),
                mark: self.mark,
            };
            self.forget_key()?;
            let last = self.simple_keys.len() - 1;
            // Tokens that were taken are asked about no more; kept, they would make long lists take quadratic time.
            let taken = self.taken;
            self.key_of_token.retain(|(known, _)| *known >= taken && *known != key.token_number);
            self.key_of_token.push((key.token_number, last));
            self.simple_keys[last] = key;
        }
        Ok(())
    }

    fn forget_key(&mut self) -> Result<(), Error> {
        match self.simple_keys.last_mut() {
            Some(key) if key.possible && key.required => self.error("could not find expected ':'"),
            Some(key) if key.possible => {
                key.possible = false;
                let number = key.token_number;
                self.disown(number);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Opens a block collection when `column` is deeper than the current one. `before` is the number of the token that
    /// its start token must precede.
    fn roll_indent(
        &mut self,
        column: usize,
        before: Option<usize>,
        kind: TokenKind<'t>,
        mark: Mark,
    ) -> Result<(), Error> {
        if self.flow_level > 0 || self.indent >= column as i64 {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = column as i64;
        if self.indents.len() > MAX_DEPTH {
            return self.error(&format!("exceeded max depth of {MAX_DEPTH}"));
        }
        self.insert(before, kind, mark);
        Ok(())
    }

    /// Queues a token before the one with the number `before`, or last when that one is gone already.
    fn insert(&mut self, before: Option<usize>, kind: TokenKind<'t>, start: Mark) {
        let at = before.and_then(|number| number.checked_sub(self.taken)).unwrap_or(usize::MAX);
        self.tokens.insert(at.min(self.tokens.len()), Token { kind, start });
    }

    fn unroll_indent(&mut self, column: i64) {
        if self.flow_level > 0 {
            return;
        }
        while self.indent > column {
            self.push(TokenKind::BlockEnd, self.mark);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch_stream_end(&mut self) -> Result<(), Error> {
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
        self.unroll_indent(-1);
        self.forget_key()?;
        self.simple_key_allowed = false;
        self.push(TokenKind::StreamEnd, self.mark);
        self.ended = true;
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result<(), Error> {
        self.unroll_indent(-1);
        self.forget_key()?;
        self.simple_key_allowed = false;
        let start = self.mark;
        let kind = self.scan_directive()?;
        self.push(kind, start);
        Ok(())
    }

    fn fetch_document_indicator(&mut self, kind: TokenKind<'t>) -> Result<(), Error> {
        self.unroll_indent(-1);
        self.forget_key()?;
        self.simple_key_allowed = false;
        self.indicator(kind, 3);
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: TokenKind<'t>) -> Result<(), Error> {
        self.remember_key()?;
        // The bracket's own number, so that closing it also settles that no key is to be put before it.
        let token_number = self.taken + self.tokens.len();
        self.simple_keys.push(SimpleKey { token_number, ..SimpleKey::default() });
        self.flow_level += 1;
        if self.flow_level > MAX_DEPTH {
            return self.error(&format!("exceeded max depth of {MAX_DEPTH}"));
        }
        self.simple_key_allowed = true;
        self.indicator(kind, 1);
        Ok(())
    }

    fn fetch_flow_end(&mut self, kind: TokenKind<'t>) -> Result<(), Error> {
        self.forget_key()?;
        if self.flow_level > 0 {
            self.flow_level -= 1;
            if let Some(key) = self.simple_keys.pop() {
                self.disown(key.token_number);
            }
        }
        self.simple_key_allowed = false;
        self.indicator(kind, 1);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result<(), Error> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return self.error("block sequence entries are not allowed in this context");
            }
            self.roll_indent(self.mark.column, None, TokenKind::BlockSequenceStart, self.mark)?;
        }
        self.forget_key()?;
        self.simple_key_allowed = true;
        self.indicator(TokenKind::BlockEntry, 1);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<(), Error> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return self.error("mapping keys are not allowed in this context");
            }
            self.roll_indent(self.mark.column, None, TokenKind::BlockMappingStart, self.mark)?;
        }
        self.forget_key()?;
        self.simple_key_allowed = self.flow_level == 0;
        self.indicator(TokenKind::Key, 1);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), Error> {
        let last = self.simple_keys.len() - 1;
        if self.key_still_possible(last)? {
            let SimpleKey { token_number, mark, .. } = self.simple_keys[last].clone();
            self.insert(Some(token_number), TokenKind::Key, mark);
            self.roll_indent(mark.column, Some(token_number), TokenKind::BlockMappingStart, mark)?;
            self.simple_keys[last].possible = false;
            self.disown(token_number);
            self.simple_key_allowed = false;
        } else {
            if self.flow_level == 0 {
                if !self.simple_key_allowed {
                    return self.error("mapping values are not allowed in this context");
                }
                self.roll_indent(self.mark.column, None, TokenKind::BlockMappingStart, self.mark)?;
            }
            self.simple_key_allowed = self.flow_level == 0;
        }
        self.indicator(TokenKind::Value, 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_tokens_that_were_taken_are_forgotten() {
        let text = "- a\n".repeat(1000);
        let mut scanner = Scanner::new(&text).expect("text");
        while scanner.next_token().expect("a token").kind != TokenKind::StreamEnd {
            assert!(scanner.key_of_token.len() < 4);
        }
    }
}
