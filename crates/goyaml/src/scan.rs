//! Characters to tokens: a scanner of YAML 1.1 with libyaml's rules, which Go's reader shares.
//!
//! What makes it more than a list of characters is that a key is recognised only when its colon is seen. The places
//! where a key could have started are remembered, one for each level of flow brackets, and the key token is put in front
//! of them afterwards.

use crate::{Error, MAX_DEPTH};
use std::collections::{HashMap, VecDeque};

/// A place in the text; lines and columns count characters from zero.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    pub(crate) index: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    StreamEnd,
    Version { major: u8, minor: u8 },
    TagDirective { handle: String, prefix: String },
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
    Alias(String),
    Anchor(String),
    Tag { handle: String, suffix: String },
    Scalar { value: String, plain: bool },
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
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

pub(crate) struct Scanner {
    chars: Vec<char>,
    pub(super) mark: Mark,
    tokens: VecDeque<Token>,
    /// How many tokens were taken so far.
    taken: usize,
    ended: bool,
    /// Column of the innermost block collection; -1 outside.
    pub(super) indent: i64,
    indents: Vec<i64>,
    pub(super) flow_level: usize,
    pub(super) simple_key_allowed: bool,
    simple_keys: Vec<SimpleKey>,
    /// Which of them belongs to a token that is still in the queue.
    key_of_token: HashMap<usize, usize>,
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

impl Scanner {
    /// Errors: the text holds a control character.
    pub(crate) fn new(text: &str) -> Result<Scanner, Error> {
        let chars: Vec<char> = text.strip_prefix('\u{feff}').unwrap_or(text).chars().collect();
        if !chars.iter().all(|c| is_allowed(*c)) {
            return Err(Error::Yaml("control characters are not allowed".into()));
        }
        Ok(Scanner {
            chars,
            mark: Mark::default(),
            tokens: VecDeque::new(),
            taken: 0,
            ended: false,
            indent: -1,
            indents: Vec::new(),
            flow_level: 0,
            simple_key_allowed: true,
            simple_keys: vec![SimpleKey::default()],
            key_of_token: HashMap::new(),
        })
    }

    /// The character `ahead` places further; NUL behind the end.
    pub(super) fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.mark.index + ahead).copied().unwrap_or('\0')
    }

    pub(super) fn skip(&mut self) {
        if self.mark.index < self.chars.len() {
            self.mark.index += 1;
            self.mark.column += 1;
        }
    }

    /// Takes one character into `text`.
    pub(super) fn read(&mut self, text: &mut String) {
        if let Some(c) = self.chars.get(self.mark.index) {
            text.push(*c);
            self.skip();
        }
    }

    /// Steps over a line break, CR LF being one, and gives the text that it stands for.
    pub(super) fn take_break(&mut self) -> Option<char> {
        let c = self.peek(0);
        if !is_break(c) {
            return None;
        }
        self.mark.index += if c == '\r' && self.peek(1) == '\n' { 2 } else { 1 };
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
            while !is_breakz(self.peek(0)) {
                self.skip();
            }
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
    pub(crate) fn peek_token(&mut self) -> Result<&Token, Error> {
        while self.tokens.is_empty() || self.head_may_be_key()? {
            self.fetch()?;
        }
        match self.tokens.front() {
            Some(token) => Ok(token),
            None => Err(Error::Yaml("did not find expected token".into())),
        }
    }

    /// Takes the next token.
    pub(crate) fn next_token(&mut self) -> Result<Token, Error> {
        let token = self.peek_token()?.clone();
        self.tokens.pop_front();
        self.taken += 1;
        Ok(token)
    }

    /// Whether a key token may yet have to be put before the first token in the queue.
    fn head_may_be_key(&mut self) -> Result<bool, Error> {
        match self.key_of_token.get(&self.taken) {
            Some(&at) => self.key_still_possible(at),
            None => Ok(false),
        }
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

    fn push(&mut self, kind: TokenKind, start: Mark) {
        self.tokens.push_back(Token { kind, start });
    }

    /// Steps over an indicator of `length` characters and queues its token.
    fn indicator(&mut self, kind: TokenKind, length: usize) {
        let start = self.mark;
        for _ in 0..length {
            self.skip();
        }
        self.push(kind, start);
    }

    fn at_document_indicator(&self, text: &str) -> bool {
        self.mark.column == 0
            && text.chars().enumerate().all(|(i, c)| self.peek(i) == c)
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
                let value = self.scan_block_scalar(c == '|')?;
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
            while self.peek(0) == ' ' || (self.peek(0) == '\t' && (self.flow_level > 0 || !self.simple_key_allowed)) {
                self.skip();
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
            self.key_of_token.insert(key.token_number, last);
            self.simple_keys[last] = key;
        }
        Ok(())
    }

    fn forget_key(&mut self) -> Result<(), Error> {
        match self.simple_keys.last_mut() {
            Some(key) if key.possible && key.required => self.error("could not find expected ':'"),
            Some(key) if key.possible => {
                key.possible = false;
                self.key_of_token.remove(&key.token_number);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Opens a block collection when `column` is deeper than the current one. `before` is the number of the token that
    /// its start token must precede.
    fn roll_indent(&mut self, column: usize, before: Option<usize>, kind: TokenKind, mark: Mark) -> Result<(), Error> {
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
    fn insert(&mut self, before: Option<usize>, kind: TokenKind, start: Mark) {
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

    fn fetch_document_indicator(&mut self, kind: TokenKind) -> Result<(), Error> {
        self.unroll_indent(-1);
        self.forget_key()?;
        self.simple_key_allowed = false;
        self.indicator(kind, 3);
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: TokenKind) -> Result<(), Error> {
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

    fn fetch_flow_end(&mut self, kind: TokenKind) -> Result<(), Error> {
        self.forget_key()?;
        if self.flow_level > 0 {
            self.flow_level -= 1;
            if let Some(key) = self.simple_keys.pop() {
                self.key_of_token.remove(&key.token_number);
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
            self.key_of_token.remove(&token_number);
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
