//! Splits template text into tokens.

use crate::ast::Pos;
use crate::quote::is_printable;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Malformed text; the message is in [`Lexer::message`].
    Error,
    Bool,
    /// A printable ASCII character that means nothing by itself: comma and the like.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// A piece of the text: `start..end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: Pos,
    pub(crate) end: Pos,
}

impl Token {
    /// The token as it is written.
    #[inline]
    pub(crate) fn of<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start as usize..self.end as usize]
    }

    fn is_keyword(&self) -> bool {
        use Kind::*;
        matches!(self.kind, Block | Break | Continue | Dot | Define | Else | End | If | Nil | Range | Template | With)
    }

    /// The token as error messages show it.
    pub(crate) fn describe(&self, text: &str, message: &str) -> String {
        let value = self.of(text);
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => message.to_owned(),
            _ if self.is_keyword() => format!("<{value}>"),
            _ if value.len() > 10 => {
                let short: String = value.chars().take(10).collect();
                format!("{}...", crate::quote::quoted(short.as_bytes()))
            }
            _ => crate::quote::quoted(value.as_bytes()),
        }
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
/// A trim marker with the blank on its inner side.
const MARKER: usize = 2;

/// The scanner. It stops for good at the first malformed piece.
pub(crate) struct Lexer<'t> {
    text: &'t str,
    pos: usize,
    start: usize,
    parens: usize,
    inside_action: bool,
    failed: bool,
    /// What is wrong, once something is.
    pub(crate) message: String,
    /// `break` and `continue` are keywords, unless there are functions of these names.
    pub(crate) break_is_keyword: bool,
    pub(crate) continue_is_keyword: bool,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Where the next action begins.
fn find_left(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'{', bytes).find(|at| bytes.get(at + 1) == Some(&b'{'))
}

fn left_marked(text: &str) -> bool {
    matches!(text.as_bytes(), [b'-', b' ' | b'\t' | b'\r' | b'\n', ..])
}

fn right_marked(text: &str) -> bool {
    matches!(text.as_bytes(), [b' ' | b'\t' | b'\r' | b'\n', b'-', ..])
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Lexer<'t> {
        Lexer {
            text,
            pos: 0,
            start: 0,
            parens: 0,
            inside_action: false,
            failed: false,
            message: String::new(),
            break_is_keyword: true,
            continue_is_keyword: true,
        }
    }

    /// The next token; [`Kind::Eof`] again and again at the end.
    pub(crate) fn next(&mut self) -> Token {
        match () {
            () if self.failed => Token { kind: Kind::Eof, start: self.start as Pos, end: self.start as Pos },
            () if self.inside_action => self.action(),
            () => self.text(),
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.pos..]
    }

    /// The rest's first byte.
    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    #[inline]
    fn peek(&self) -> Option<char> {
        match self.text.as_bytes().get(self.pos) {
            Some(b) if b.is_ascii() => Some(char::from(*b)),
            _ => self.rest().chars().next(),
        }
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        if found {
            self.bump();
        }
        found
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn emit(&mut self, kind: Kind) -> Token {
        let token = Token { kind, start: self.start as Pos, end: self.pos as Pos };
        self.start = self.pos;
        token
    }

    /// Forgets what was scanned since the last token.
    fn ignore(&mut self) {
        self.start = self.pos;
    }

    fn error(&mut self, message: impl Into<String>) -> Token {
        let token = Token { kind: Kind::Error, start: self.start as Pos, end: self.start as Pos };
        if self.message.is_empty() {
            self.message = message.into();
        }
        self.failed = true;
        token
    }

    /// Text up to the next action; comments count for nothing.
    fn text(&mut self) -> Token {
        loop {
            let Some(found) = find_left(self.rest()) else {
                self.pos += self.rest().len();
                return self.emit(if self.pos > self.start { Kind::Text } else { Kind::Eof });
            };
            let text = &self.rest()[..found];
            let marked = left_marked(&self.rest()[found + LEFT.len()..]);
            let kept = if marked { text.trim_end_matches(is_space).len() } else { text.len() };
            self.pos += kept;
            let token = (self.pos > self.start).then(|| self.emit(Kind::Text));
            self.pos += found - kept;
            self.ignore();
            if let Some(token) = token {
                return token;
            }
            let marker = if marked { MARKER } else { 0 };
            if !self.rest()[LEFT.len() + marker..].starts_with("/*") {
                self.pos += LEFT.len();
                let token = self.emit(Kind::LeftDelim);
                self.inside_action = true;
                self.parens = 0;
                self.pos += marker;
                self.ignore();
                return token;
            }
            self.pos += LEFT.len() + marker;
            self.ignore();
            if let Err(token) = self.comment() {
                return token;
            }
        }
    }

    /// Skips a comment with the delimiter behind it.
    fn comment(&mut self) -> Result<(), Token> {
        let Some(end) = self.rest()[2..].find("*/") else {
            return Err(self.error("unclosed comment"));
        };
        let behind = &self.rest()[end + 4..];
        let Some(trims) = right_delimiter(behind) else {
            return Err(self.error("comment ends before closing delimiter"));
        };
        self.pos += end + 4 + RIGHT.len() + if trims { MARKER } else { 0 };
        if trims {
            self.skip_space();
        }
        self.ignore();
        Ok(())
    }

    fn skip_space(&mut self) {
        self.pos += self.rest().len() - self.rest().trim_start_matches(is_space).len();
    }

    fn right_delim(&mut self, trims: bool) -> Token {
        if trims {
            self.pos += MARKER;
            self.ignore();
        }
        self.pos += RIGHT.len();
        let token = self.emit(Kind::RightDelim);
        if trims {
            self.skip_space();
            self.ignore();
        }
        self.inside_action = false;
        token
    }

    fn action(&mut self) -> Token {
        if let Some(trims) = right_delimiter(self.rest()) {
            return if self.parens == 0 { self.right_delim(trims) } else { self.error("unclosed left paren") };
        }
        let Some(c) = self.bump() else {
            return self.error("unclosed action");
        };
        match c {
            c if is_space(c) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' if self.bump() == Some('=') => self.emit(Kind::Declare),
            ':' => self.error("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted(b'"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted(b'\'', Kind::CharConstant, "unterminated character constant"),
            '`' => self.raw(),
            '$' => self.name(Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) && self.pos < self.text.len() => {
                self.name(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.pos -= 1;
                self.number()
            }
            c if is_word(c) => self.word(),
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen)
            }
            ')' if self.parens == 0 => self.error("unexpected right paren"),
            ')' => {
                self.parens -= 1;
                self.emit(Kind::RightParen)
            }
            ' '..='~' => self.emit(Kind::Char),
            c => self.error(format!("unrecognized character in action: {}", code_point(Some(c)))),
        }
    }

    /// A run of blanks, of which the first is read; the last may belong to a trim marker.
    fn space(&mut self) -> Token {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.byte() {
            self.pos += 1;
        }
        let last = self.pos - 1;
        if self.text[last + 1..].starts_with("-}}") {
            self.pos = last;
            if self.pos == self.start {
                return self.right_delim(true);
            }
        }
        self.emit(Kind::Space)
    }

    fn rest_of_word(&mut self) {
        let ascii = |b: &&u8| **b == b'_' || b.is_ascii_alphanumeric();
        self.pos += self.text.as_bytes()[self.pos..].iter().take_while(ascii).count();
        while self.peek().is_some_and(is_word) {
            self.bump();
        }
    }

    /// A keyword, a truth value or the name of a function, of which the first character is read.
    fn word(&mut self) -> Token {
        self.rest_of_word();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.text[self.start..self.pos] {
            "block" => Kind::Block,
            "break" if self.break_is_keyword => Kind::Break,
            "continue" if self.continue_is_keyword => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "range" => Kind::Range,
            "nil" => Kind::Nil,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind)
    }

    /// A field or variable, of which the dot or dollar is read.
    fn name(&mut self, kind: Kind) -> Token {
        if self.at_terminator() {
            return self.emit(if kind == Kind::Field { Kind::Dot } else { kind });
        }
        self.rest_of_word();
        if self.at_terminator() { self.emit(kind) } else { self.bad_character() }
    }

    fn bad_character(&mut self) -> Token {
        let c = self.peek();
        self.error(format!("bad character {}", code_point(c)))
    }

    /// May a name end here?
    fn at_terminator(&self) -> bool {
        match self.byte() {
            None | Some(b'.' | b',' | b'|' | b':' | b')' | b'(' | b' ' | b'\t' | b'\r' | b'\n') => true,
            Some(b) => b == b'}' && self.rest().starts_with(RIGHT),
        }
    }

    fn quoted(&mut self, mark: u8, kind: Kind, unterminated: &str) -> Token {
        loop {
            let Some(b) = self.byte() else { return self.error(unterminated) };
            self.pos += 1;
            match b {
                b'\\' if !matches!(self.bump(), None | Some('\n')) => {}
                b'\\' | b'\n' => return self.error(unterminated),
                b if b == mark => return self.emit(kind),
                _ => {}
            }
        }
    }

    fn raw(&mut self) -> Token {
        match self.rest().find('`') {
            None => self.error("unterminated raw quoted string"),
            Some(end) => {
                self.pos += end + 1;
                self.emit(Kind::RawString)
            }
        }
    }

    fn number(&mut self) -> Token {
        let mut well = self.scan_number();
        let mut kind = Kind::Number;
        if well && matches!(self.peek(), Some('+' | '-')) {
            well = self.scan_number() && self.text[..self.pos].ends_with('i');
            kind = Kind::Complex;
        }
        if well {
            return self.emit(kind);
        }
        let written = crate::quote::quoted(&self.text.as_bytes()[self.start..self.pos]);
        self.error(format!("bad number syntax: {written}"))
    }

    /// Scans what may be a number. Lets through some that the parser will refuse.
    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEX: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEX;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits {
            DECIMAL => "eE",
            HEX => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        let ends = !self.peek().is_some_and(is_word);
        if !ends {
            self.bump();
        }
        ends
    }
}

/// Is there a closing delimiter at the start of the text, and does it trim?
fn right_delimiter(text: &str) -> Option<bool> {
    if right_marked(text) && text[MARKER..].starts_with(RIGHT) {
        return Some(true);
    }
    text.starts_with(RIGHT).then_some(false)
}

/// `U+002D '-'`, the character left out when it cannot be printed.
fn code_point(c: Option<char>) -> String {
    match c {
        Some(c) if is_printable(c) => format!("U+{:04X} '{c}'", c as u32),
        Some(c) => format!("U+{:04X}", c as u32),
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
    }
}
