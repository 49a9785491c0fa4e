//! The writer: block style, one document, no tags or anchors.
//!
//! It keeps the three facts that decide where libyaml puts blanks and breaks (whether the last thing written was
//! white space, whether it was indentation, and the column), so that every corner comes out as Go writes it.

use crate::number::go_float;
use crate::order;
use crate::resolve::{Scalar, is_base60, resolve_plain};

/// What can be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Written as it is: a number, a boolean, null or a time.
    Plain(String),
    /// Text, quoted when it would read as something else.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping; entries are sorted on the way out.
    Map(Vec<(String, Node)>),
    /// A mapping whose entries keep their order, as the fields of a Go struct do.
    Record(Vec<(String, Node)>),
}

impl Node {
    /// A float in Go's `%g` form, with YAML's words for the numbers that have no digits.
    pub fn float(f: f64) -> Node {
        Node::Plain(match go_float(f).as_str() {
            "+Inf" => ".inf".into(),
            "-Inf" => "-.inf".into(),
            "NaN" => ".nan".into(),
            text => text.into(),
        })
    }
}

/// The two hands that Go's library writes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Version 2: lists at the column of their key, lines folded at 80 columns.
    Folded,
    /// Version 3 with an indent of two: lists indented, lines never folded.
    Pretty,
}

/// Writes one document, final line break included.
pub fn emit(node: &Node, style: Style) -> String {
    let mut writer = Writer { out: String::new(), style, column: 0, indent: -1, whitespace: true, indention: true };
    writer.node(node, Context::Root);
    writer.indent = -1;
    writer.write_indent();
    writer.out
}

const WIDTH: usize = 80;
const INDENT: i32 = 2;
/// Keys longer than this many bytes are written behind a question mark.
const LONGEST_SIMPLE_KEY: usize = 128;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Root,
    Item,
    /// The value of a mapping, or a key behind a question mark.
    Mapping,
    SimpleKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ScalarStyle {
    Plain,
    Single,
    Double,
    Literal,
}

/// What the characters of a text allow.
struct Analysis {
    multiline: bool,
    plain: bool,
    single: bool,
    block: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// Go's notion of printable: nothing beyond the basic plane is.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn analyze(text: &str, style: Style) -> Analysis {
    let (mut indicators, mut breaks, mut special, mut tabs) = (false, false, false, false);
    let (mut leading, mut trailing_space, mut trailing_break) = (false, false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut previous_space, mut previous_break) = (false, false);
    let mut preceded_by_whitespace = true;
    if text.starts_with("---") || text.starts_with("...") {
        indicators = true;
    }
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let last = chars.peek().is_none();
        let followed_by_whitespace = chars.peek().is_none_or(|n| is_blank(*n));
        match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if first => {
                indicators = true;
            }
            '?' | ':' | '-' if first && followed_by_whitespace => indicators = true,
            ':' if !first && followed_by_whitespace => indicators = true,
            '#' if !first && preceded_by_whitespace => indicators = true,
            _ => {}
        }
        if c == '\t' && style == Style::Pretty {
            tabs = true;
        } else if !is_printable(c) {
            special = true;
        }
        if c == ' ' {
            leading |= first;
            trailing_space |= last;
            break_space |= previous_break;
            (previous_space, previous_break) = (true, false);
        } else if is_break(c) {
            breaks = true;
            leading |= first;
            trailing_break |= last;
            space_break |= previous_space;
            (previous_space, previous_break) = (false, true);
        } else {
            (previous_space, previous_break) = (false, false);
        }
        preceded_by_whitespace = is_blank(c) || is_break(c) || c == '\0';
        first = false;
    }
    let hard = space_break || special;
    Analysis {
        multiline: breaks,
        plain: !(leading || trailing_space || trailing_break || break_space || hard || tabs || breaks || indicators),
        single: !(break_space || hard || tabs),
        block: !text.is_empty() && !trailing_space && !hard,
    }
}

struct Writer {
    out: String,
    style: Style,
    column: usize,
    indent: i32,
    whitespace: bool,
    indention: bool,
}

impl Writer {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn put_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
        if self.style == Style::Pretty {
            self.indention = true;
        }
    }

    fn write_break(&mut self, c: char) {
        if c == '\n' {
            self.put_break();
        } else {
            self.out.push(c);
            self.column = 0;
            if self.style == Style::Pretty {
                self.indention = true;
            }
        }
    }

    fn write_indent(&mut self) {
        let indent = self.indent.max(0) as usize;
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, need_whitespace: bool, is_whitespace: bool, is_indention: bool) {
        if need_whitespace && !self.whitespace {
            self.put(' ');
        }
        self.out.push_str(text);
        self.column += text.chars().count();
        self.whitespace = is_whitespace;
        self.indention = self.indention && is_indention;
    }

    fn increase_indent(&mut self, flow: bool, indentless: bool) -> i32 {
        let before = self.indent;
        if self.indent < 0 {
            self.indent = if flow { INDENT } else { 0 };
        } else if !indentless {
            self.indent += INDENT;
        }
        before
    }

    fn node(&mut self, node: &Node, context: Context) {
        match node {
            Node::Plain(text) => self.scalar(text, ScalarStyle::Plain, context),
            Node::Text(text) => self.scalar(text, wanted_style(text), context),
            Node::List(items) if items.is_empty() => self.empty("[", "]"),
            Node::Map(entries) | Node::Record(entries) if entries.is_empty() => self.empty("{", "}"),
            Node::List(items) => {
                let indentless = self.style == Style::Folded && context == Context::Mapping && !self.indention;
                let before = self.increase_indent(false, indentless);
                for item in items {
                    self.write_indent();
                    self.indicator("-", true, false, true);
                    self.node(item, Context::Item);
                }
                self.indent = before;
            }
            Node::Record(entries) => {
                let before = self.increase_indent(false, false);
                entries.iter().for_each(|(key, value)| self.entry(key, value));
                self.indent = before;
            }
            Node::Map(entries) => {
                let before = self.increase_indent(false, false);
                let entries = entries.iter().map(|(k, v)| (k.as_str(), v)).collect();
                for (key, value) in order::sorted(entries, self.style == Style::Pretty) {
                    self.entry(key, value);
                }
                self.indent = before;
            }
        }
    }

    fn entry(&mut self, key: &str, value: &Node) {
        self.write_indent();
        let wanted = wanted_style(key);
        if key.len() <= LONGEST_SIMPLE_KEY && !analyze(key, self.style).multiline {
            self.scalar(key, wanted, Context::SimpleKey);
            self.indicator(":", false, false, false);
        } else {
            self.indicator("?", true, false, true);
            self.scalar(key, wanted, Context::Mapping);
            self.write_indent();
            self.indicator(":", true, false, true);
        }
        self.node(value, Context::Mapping);
    }

    fn scalar(&mut self, text: &str, wanted: ScalarStyle, context: Context) {
        let analysis = analyze(text, self.style);
        let simple_key = context == Context::SimpleKey;
        let mut style = wanted;
        if simple_key && analysis.multiline {
            style = ScalarStyle::Double;
        }
        if style == ScalarStyle::Plain && (!analysis.plain || (text.is_empty() && simple_key)) {
            style = ScalarStyle::Single;
        }
        if style == ScalarStyle::Single && !analysis.single {
            style = ScalarStyle::Double;
        }
        if style == ScalarStyle::Literal && (!analysis.block || simple_key) {
            style = ScalarStyle::Double;
        }
        let before = self.increase_indent(true, false);
        let fold = !simple_key && self.style == Style::Folded;
        match style {
            ScalarStyle::Plain => self.plain(text, fold),
            ScalarStyle::Single => self.single_quoted(text, fold),
            ScalarStyle::Double => self.double_quoted(text, fold),
            ScalarStyle::Literal => self.literal(text),
        }
        self.indent = before;
    }

    fn plain(&mut self, text: &str, fold: bool) {
        if !self.whitespace && (self.style == Style::Folded || !text.is_empty()) {
            self.put(' ');
        }
        let mut spaces = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' {
                if fold && !spaces && self.column > WIDTH && chars.peek() != Some(&' ') {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                self.indention = false;
                spaces = false;
            }
        }
        if self.style == Style::Folded || !text.is_empty() {
            self.whitespace = false;
        }
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &str, fold: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks) = (false, false);
        let mut chars = text.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            if c == ' ' {
                let inside = i > 0 && i + 1 < text.len();
                if fold && !spaces && self.column > WIDTH && inside && chars.peek().is_some_and(|(_, n)| *n != ' ') {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.put_break();
                }
                self.write_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
        }
        self.indicator("'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn double_quoted(&mut self, text: &str, fold: bool) {
        self.indicator("\"", true, false, false);
        // Go asks for the byte order mark at the start of the text, not at the current place, so all is escaped then.
        let all = text.starts_with('\u{feff}');
        let mut spaces = false;
        let mut chars = text.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            if all || !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                let escape = escape(c);
                self.out.push_str(&escape);
                self.column += escape.len();
                spaces = false;
            } else if c == ' ' {
                if fold && !spaces && self.column > WIDTH && i > 0 && i + 1 < text.len() {
                    self.write_indent();
                    if chars.peek().is_some_and(|(_, n)| *n == ' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator(&INDENT.to_string(), false, false, false);
        }
        let mut backwards = text.chars().rev();
        match (backwards.next().is_some_and(is_break), backwards.next()) {
            (false, _) => self.indicator("-", false, false, false),
            (true, None) => self.indicator("+", false, false, false),
            (true, Some(c)) if is_break(c) => self.indicator("+", false, false, false),
            (true, Some(_)) => {}
        }
        self.put_break();
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.write_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put(c);
                self.indention = false;
                breaks = false;
            }
        }
    }

    fn empty(&mut self, open: &str, close: &str) {
        self.indicator(open, true, true, false);
        self.indicator(close, false, false, false);
    }
}

/// The style go-yaml asks for, before the characters have their say.
fn wanted_style(text: &str) -> ScalarStyle {
    if text.contains('\n') {
        return ScalarStyle::Literal;
    }
    let reads_as_text = resolve_plain(text) == Scalar::Str && !is_base60(text);
    if reads_as_text { ScalarStyle::Plain } else { ScalarStyle::Double }
}

fn escape(c: char) -> String {
    match c {
        '\0' => "\\0".into(),
        '\u{7}' => "\\a".into(),
        '\u{8}' => "\\b".into(),
        '\t' => "\\t".into(),
        '\n' => "\\n".into(),
        '\u{b}' => "\\v".into(),
        '\u{c}' => "\\f".into(),
        '\r' => "\\r".into(),
        '\u{1b}' => "\\e".into(),
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        '\u{85}' => "\\N".into(),
        '\u{a0}' => "\\_".into(),
        '\u{2028}' => "\\L".into(),
        '\u{2029}' => "\\P".into(),
        c if (c as u32) <= 0xff => format!("\\x{:02X}", c as u32),
        c if (c as u32) <= 0xffff => format!("\\u{:04X}", c as u32),
        c => format!("\\U{:08X}", c as u32),
    }
}
