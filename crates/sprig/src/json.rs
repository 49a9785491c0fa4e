//! JSON as Go's encoding/json writes and reads it.

use gotemplate::format::{FloatStyle, format_float};
use gotemplate::{CallResult, FuncError, Functions, Map, Str, Type, Value};

use crate::args::{any, text};
use crate::encoding::encode64;

const A: &[Type] = &[Type::Any];

/// Containers nested deeper than this must contain themselves.
const DEEPEST: usize = 1_000;

/// Values that a text may hold; Go reads as many as there is memory for.
const MOST_VALUES: usize = 500_000;

/// Nesting that reading refuses, as Go does.
const DEEPEST_INPUT: usize = 10_000;

pub(crate) fn register(table: &mut Functions) {
    type Writer = fn(&Value) -> Result<String, JsonError>;
    let compact: Writer = |value| encode(value, Style::default());
    let raw: Writer = |value| encode(value, Style { escape_html: false, ..Style::default() });
    let pretty: Writer = |value| encode(value, Style { indent: Some("  "), ..Style::default() });
    let failed = |error: JsonError| FuncError::Message(error.to_string());
    for (name, writer) in [("toJson", compact), ("toPrettyJson", pretty)] {
        table.fixed(name, A, move |_, args| Ok(writer(any(args, 0)).unwrap_or_default().into()));
    }
    for (name, writer) in
        [("mustToJson", compact), ("mustToPrettyJson", pretty), ("toRawJson", raw), ("mustToRawJson", raw)]
    {
        table.fixed(name, A, move |_, args| Ok(writer(any(args, 0)).map_err(failed)?.into()));
    }
    table.fixed("fromJson", &[Type::Str], |_, args| Ok(decode(&text(args, 0)).unwrap_or_default()));
    table.fixed("mustFromJson", &[Type::Str], move |_, args| -> CallResult { decode(&text(args, 0)).map_err(failed) });
}

/// A value that has no JSON, or a text that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// How JSON is written.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Write `<`, `>` and `&` as escapes.
    pub escape_html: bool,
    /// Put every item on a line of its own, with this for each level.
    pub indent: Option<&'static str>,
}

impl Default for Style {
    /// One line, escaped for HTML: what Go does by default.
    fn default() -> Self {
        Style { escape_html: true, indent: None }
    }
}

/// Writes a value as JSON.
///
/// # Errors
/// For what JSON cannot hold: infinities, NaN, complex numbers, maps that contain themselves.
pub fn encode(value: &Value, style: Style) -> Result<String, JsonError> {
    let mut writer = Writer { out: String::new(), style, depth: 0 };
    writer.value(value)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    style: Style,
    depth: usize,
}

impl Writer {
    fn value(&mut self, value: &Value) -> Result<(), JsonError> {
        match value {
            Value::Nil => self.out.push_str("null"),
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Int(n) | Value::Int64(n) => self.out.push_str(&n.to_string()),
            Value::Int32(n) => self.out.push_str(&n.to_string()),
            Value::Uint(n) | Value::Uint64(n) => self.out.push_str(&n.to_string()),
            Value::Uint8(n) => self.out.push_str(&n.to_string()),
            Value::Float(f) => {
                let number = float(*f).ok_or_else(|| {
                    JsonError(format!("json: unsupported value: {}", format_float(*f, FloatStyle::General, None)))
                })?;
                self.out.push_str(&number);
            }
            Value::Complex(..) => return Err(JsonError("json: unsupported type: complex128".to_owned())),
            Value::Str(s) => self.string(s),
            Value::Bytes(bytes) => {
                self.out.push('"');
                self.out.push_str(&encode64(bytes));
                self.out.push('"');
            }
            Value::List(list) if list.is_nil() => self.out.push_str("null"),
            Value::List(list) => {
                let items = list.items();
                self.container('[', ']', items.len(), value, |writer, i| writer.value(&items[i]))?;
            }
            Value::Map(map) if map.is_nil() => self.out.push_str("null"),
            Value::Map(map) => {
                let entries = map.entries();
                self.object(&entries, value)?;
            }
            Value::Object(object) => match object.marshal() {
                Some(plain) => return self.value(&plain),
                None => {
                    let fields: Vec<_> = object.json_fields().into_iter().map(|(k, v)| (Str::from(k), v)).collect();
                    self.object(&fields, value)?;
                }
            },
        }
        Ok(())
    }

    fn object(&mut self, entries: &[(Str, Value)], value: &Value) -> Result<(), JsonError> {
        self.container('{', '}', entries.len(), value, |writer, i| {
            let (key, value) = &entries[i];
            writer.string(key);
            writer.out.push_str(if writer.style.indent.is_some() { ": " } else { ":" });
            writer.value(value)
        })
    }

    fn container(
        &mut self,
        open: char,
        close: char,
        count: usize,
        value: &Value,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        if self.depth >= DEEPEST {
            let name = value.type_name();
            return Err(JsonError(format!("json: unsupported value: encountered a cycle via {name}")));
        }
        self.out.push(open);
        self.depth += 1;
        for i in 0..count {
            if i > 0 {
                self.out.push(',');
            }
            self.line();
            gotemplate::grow_stack(|| item(self, i))?;
        }
        self.depth -= 1;
        if count > 0 {
            self.line();
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self) {
        if let Some(indent) = self.style.indent {
            self.out.push('\n');
            self.out.push_str(&indent.repeat(self.depth));
        }
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push('"');
        match std::str::from_utf8(text) {
            Ok(text) => self.text(text),
            Err(_) => {
                for chunk in text.utf8_chunks() {
                    self.text(chunk.valid());
                    for _ in chunk.invalid() {
                        self.out.push_str("\\ufffd");
                    }
                }
            }
        }
        self.out.push('"');
    }

    fn text(&mut self, text: &str) {
        // What stands for itself is taken in one piece. The two separators that do not begin with the last byte.
        let special = |b: &u8| matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2) || *b < b' ';
        let mut rest = text;
        while let Some(at) = rest.as_bytes().iter().position(special) {
            self.out.push_str(&rest[..at]);
            let mut after = rest[at..].chars();
            if let Some(c) = after.next() {
                self.character(c);
            }
            rest = after.as_str();
        }
        self.out.push_str(rest);
    }

    fn character(&mut self, c: char) {
        match c {
            '"' => self.out.push_str("\\\""),
            '\\' => self.out.push_str("\\\\"),
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            '\x08' => self.out.push_str("\\b"),
            '\x0c' => self.out.push_str("\\f"),
            '<' | '>' | '&' if self.style.escape_html => self.out.push_str(&format!("\\u{:04x}", c as u32)),
            c if c < ' ' || matches!(c, '\u{2028}' | '\u{2029}') => {
                self.out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => self.out.push(c),
        }
    }
}

/// A float: plain digits between 10⁻⁶ and 10²¹, an exponent beyond.
fn float(f: f64) -> Option<String> {
    if !f.is_finite() {
        return None;
    }
    const WHOLE: f64 = 1e15;
    if f.fract() == 0.0 && f.abs() < WHOLE && (f != 0.0 || f.is_sign_positive()) {
        return Some((f as i64).to_string());
    }
    let size = f.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format_float(f, FloatStyle::Exponent, None);
        return Some(text.replace("e-0", "e-"));
    }
    Some(format_float(f, FloatStyle::Decimal, None))
}

/// Reads JSON. Numbers become floats; of equal keys the last wins.
///
/// # Errors
/// In Go's words, for text that is not JSON.
pub fn decode(text: &[u8]) -> Result<Value, JsonError> {
    let mut reader = Reader { text, at: 0, depth: 0, values: 0, out_of_range: None };
    reader.space();
    let value = reader.value("looking for beginning of value")?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.invalid("after top-level value"));
    }
    match reader.out_of_range {
        Some(number) => Err(JsonError(format!("json: cannot unmarshal number {number} into Go value of type float64"))),
        None => Ok(value),
    }
}

/// The text, with U+FFFD for what is not UTF-8.
fn valid(text: &[u8]) -> Str {
    match std::str::from_utf8(text) {
        Ok(_) => Str::from(text),
        Err(_) => Str::from(gotemplate::lossy(text)),
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    depth: usize,
    values: usize,
    /// The first number that no float can hold; only reported when the rest is well-formed.
    out_of_range: Option<String>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The complaint about the character here, or about the end.
    fn invalid(&self, context: &str) -> JsonError {
        match self.peek() {
            None => JsonError("unexpected end of JSON input".to_owned()),
            Some(b) => {
                let shown = match b {
                    b'\'' => r"'\''".to_owned(),
                    b'"' => "'\"'".to_owned(),
                    b => gotemplate::quote::quoted_char(u64::from(b), false),
                };
                JsonError(format!("invalid character {shown} {context}"))
            }
        }
    }

    /// As [`Reader::invalid`], where a blank would be wrong, too: Go takes the end for one.
    fn broken(&self, context: &str) -> JsonError {
        match self.peek() {
            None => JsonError(format!("invalid character ' ' {context}")),
            Some(_) => self.invalid(context),
        }
    }

    fn value(&mut self, context: &str) -> Result<Value, JsonError> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(JsonError(format!("json: more than {MOST_VALUES} values")));
        }
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Value::Str(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Nil),
            _ => Err(self.invalid(context)),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, JsonError>) -> Result<Value, JsonError> {
        if self.depth >= DEEPEST_INPUT {
            return Err(JsonError("exceeded max depth".to_owned()));
        }
        self.depth += 1;
        self.at += 1;
        let value = gotemplate::grow_stack(|| read(self));
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value, JsonError> {
        let mut entries = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Map::new().into());
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.invalid("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.invalid("after object key"));
            }
            self.at += 1;
            self.space();
            entries.push((key, self.value("looking for beginning of value")?));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Map::from_entries(Type::ANY_MAP, entries).into());
                }
                _ => return Err(self.invalid("after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(items.into());
        }
        loop {
            self.space();
            items.push(self.value("looking for beginning of value")?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(items.into());
                }
                _ => return Err(self.invalid("after array element")),
            }
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.broken(&format!("in literal {word} (expecting '{}')", expected as char)));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn digits(&mut self, context: &str) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.broken(context));
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]);
        let number: f64 = text.parse().unwrap_or(f64::INFINITY);
        if number.is_infinite() {
            self.out_of_range.get_or_insert(text.into_owned());
        }
        Ok(Value::Float(number))
    }

    fn string(&mut self) -> Result<Str, JsonError> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let run = rest.iter().position(|b| matches!(b, b'"' | b'\\') || *b < b' ').unwrap_or(rest.len());
            self.at += run;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    if out.is_empty() {
                        return Ok(valid(&rest[..run]));
                    }
                    out.extend_from_slice(&rest[..run]);
                    return Ok(valid(&out));
                }
                Some(b'\\') => {
                    out.extend_from_slice(&rest[..run]);
                    self.escape(&mut out)?;
                }
                _ => return Err(self.invalid("in string literal")),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        self.at += 1;
        let simple = match self.peek() {
            Some(b @ (b'"' | b'\\' | b'/')) => b,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                let c = self.unicode()?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.broken("in string escape code")),
        };
        self.at += 1;
        out.push(simple);
        Ok(())
    }

    /// The four digits behind `\u`, and the second half of a surrogate pair if it follows.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| (b as char).to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.broken("in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(code)
    }
}
