//! Prints one value by one verb.

use crate::collections::{List, Map};
use crate::quote;
use crate::types::Type;
use crate::value::{Object, Value};

use super::number::{FloatStyle, binary_float, format_float, hex_float};

/// Containers deeper than this are looked at for whether they contain themselves.
const SUSPICIOUS_DEPTH: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`: with the names of fields.
    pub(super) plus_v: bool,
    /// `%#v`: as Go would write the value in a program.
    pub(super) sharp_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

#[derive(Default)]
pub(super) struct Printer {
    pub(super) out: Vec<u8>,
    pub(super) flags: Flags,
    /// A complaint is being written: text methods do not count.
    complaining: bool,
    /// The declared type whose underlying value is being printed.
    named: Option<&'static str>,
    /// The maps being printed, outermost first.
    path: Vec<usize>,
}

impl Printer {
    pub(super) fn new() -> Printer {
        Printer::default()
    }

    pub(super) fn clear_flags(&mut self) {
        self.flags = Flags::default();
    }

    fn write(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// `%!d(MISSING)`
    pub(super) fn bang(&mut self, verb: char, what: &str) {
        self.write(&format!("%!{verb}({what})"));
    }

    /// An argument as a whole.
    pub(super) fn argument(&mut self, value: &Value, verb: char) {
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => self.pad(b"<nil>"),
            (Value::Nil, _) => self.bang(verb, "<nil>"),
            (_, 'T') => {
                let name = value.type_name();
                self.string(name.as_bytes(), 's', value);
            }
            (Value::Map(map), 'p') => self.pointer(map.identity()),
            (Value::List(list), 'p') => self.pointer(list.items().as_ptr() as usize),
            (Value::Bytes(bytes), 'p') => self.pointer(bytes.as_ptr() as usize),
            (_, 'p' | 'w') => self.bad_verb(verb, value),
            _ => self.value(value, verb, 0),
        }
    }

    fn pointer(&mut self, address: usize) {
        let sharp = self.flags.sharp;
        self.flags.sharp = !sharp;
        self.digits(address as u64, false, 16, false, 'v');
        self.flags.sharp = sharp;
    }

    /// The complaint about a verb that does not suit the value.
    fn bad_verb(&mut self, verb: char, value: &Value) {
        let outer = std::mem::replace(&mut self.complaining, true);
        let name = self.named.take().map_or_else(|| value.type_name(), str::to_owned);
        self.write(&format!("%!{verb}({name}="));
        self.value(value, 'v', 0);
        self.write(")");
        self.complaining = outer;
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        match value {
            Value::Nil => self.inner_nil(),
            Value::Bool(b) => match verb {
                't' | 'v' => self.pad(if *b { b"true" } else { b"false" }),
                _ => self.bad_verb(verb, value),
            },
            Value::Int(n) | Value::Int64(n) => self.integer(*n as u64, true, verb, value),
            Value::Int32(n) => self.integer(i64::from(*n) as u64, true, verb, value),
            Value::Uint(n) | Value::Uint64(n) => self.integer(*n, false, verb, value),
            Value::Uint8(n) => self.integer(u64::from(*n), false, verb, value),
            Value::Float(n) => self.float(*n, verb, value),
            Value::Complex(re, im) => self.complex(*re, *im, verb, value),
            Value::Str(s) => self.string(s, verb, value),
            Value::Bytes(bytes) => self.bytes(bytes, verb, value),
            // No bytes at all: the one byte slice that is a list.
            Value::List(_) if !self.flags.sharp_v && value.as_bytes().is_some() => self.bytes(&[], verb, value),
            Value::List(list) => crate::stack::grow(|| self.list(list, verb, depth)),
            Value::Map(map) => crate::stack::grow(|| self.map(map, verb, depth)),
            Value::Object(object) => self.object(&**object, verb, depth, value),
        }
    }

    /// nil where anything may be.
    fn inner_nil(&mut self) {
        self.write(if self.flags.sharp_v { "interface {}(nil)" } else { "<nil>" });
    }

    fn separator(&mut self) {
        self.write(if self.flags.sharp_v { ", " } else { " " });
    }

    fn list(&mut self, list: &List, verb: char, depth: usize) {
        let sharp_v = self.flags.sharp_v;
        if sharp_v {
            self.write(&list.ty().to_string());
            if list.is_nil() {
                return self.write("(nil)");
            }
        }
        self.write(if sharp_v { "{" } else { "[" });
        for (i, item) in list.items().iter().enumerate() {
            if i > 0 {
                self.separator();
            }
            self.value(item, verb, depth + 1);
        }
        self.write(if sharp_v { "}" } else { "]" });
    }

    fn map(&mut self, map: &Map, verb: char, depth: usize) {
        if depth > SUSPICIOUS_DEPTH && self.path.contains(&map.identity()) {
            return self.bang(verb, "CYCLE");
        }
        self.path.push(map.identity());
        let sharp_v = self.flags.sharp_v;
        if sharp_v && map.is_nil() {
            self.path.pop();
            return self.write(&format!("{}(nil)", map.ty()));
        }
        if sharp_v {
            self.write(&format!("{}{{", map.ty()));
        } else {
            self.write("map[");
        }
        for (i, (key, item)) in map.entries().iter().enumerate() {
            if i > 0 {
                self.separator();
            }
            self.value(&Value::Str(key.clone()), verb, depth + 1);
            self.write(":");
            self.value(item, verb, depth + 1);
        }
        self.write(if sharp_v { "}" } else { "]" });
        self.path.pop();
    }

    fn object(&mut self, object: &dyn Object, verb: char, depth: usize, value: &Value) {
        let textual = matches!(verb, 'v' | 's' | 'x' | 'X' | 'q');
        if !self.complaining
            && !self.flags.sharp_v
            && textual
            && let Some(text) = object.text()
        {
            return self.string(text.as_bytes(), verb, value);
        }
        if let Some(basic) = object.basic() {
            self.named = Some(object.named_type().name);
            self.value(&basic, verb, depth);
            self.named = None;
            return;
        }
        let named = object.named_type();
        let pointer = matches!(named.underlying, Type::Pointer);
        if pointer && depth > 0 && !matches!(verb, 'v' | 'p' | 'b' | 'o' | 'd' | 'x' | 'X') {
            return self.bad_verb(verb, value);
        }
        if pointer && depth > 0 {
            let address = std::ptr::from_ref(object).cast::<u8>() as usize;
            let base = match verb {
                'b' => 2,
                'o' => 8,
                'd' => 10,
                'x' | 'X' => 16,
                _ if self.flags.sharp_v => {
                    // A literal that Go would compile.
                    let name = named.name;
                    return self.write(&format!("({name})({address:#x})"));
                }
                _ => return self.pointer(address),
            };
            return self.digits(address as u64, false, base, verb == 'X', verb);
        }
        if pointer {
            self.write("&");
        }
        if self.flags.sharp_v {
            self.write(named.name.trim_start_matches('*'));
        }
        self.write("{");
        for (i, (name, field)) in object.printed_fields().iter().enumerate() {
            if i > 0 {
                self.separator();
            }
            if self.flags.plus_v || self.flags.sharp_v {
                self.write(&format!("{name}:"));
            }
            self.value(field, verb, depth + 1);
        }
        self.write("}");
    }

    // Padding.

    /// Writes text, padded to the width.
    fn pad(&mut self, text: &[u8]) {
        let missing = self.flags.width.unwrap_or(0).saturating_sub(rune_count(text));
        if self.flags.minus {
            self.out.extend_from_slice(text);
            self.fill(missing);
        } else {
            self.fill(missing);
            self.out.extend_from_slice(text);
        }
    }

    fn fill(&mut self, count: usize) {
        let with = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        self.out.resize(self.out.len() + count, with);
    }

    /// Pads with blanks only.
    fn pad_blank(&mut self, text: &[u8]) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(text);
        self.flags.zero = zero;
    }

    // Strings.

    fn truncated<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        match self.flags.precision {
            Some(count) => &text[..rune_offset(text, count)],
            None => text,
        }
    }

    fn string(&mut self, text: &[u8], verb: char, value: &Value) {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.pad(self.truncated(text)),
            'x' | 'X' => self.hex(text, verb),
            'q' => self.quoted(text),
            _ => self.bad_verb(verb, value),
        }
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.truncated(text);
        if self.flags.sharp && quote::can_backquote(text) {
            return self.pad(&[b"`", text, b"`"].concat());
        }
        let quoted = if self.flags.plus { quote::quoted_ascii(text) } else { quote::quoted(text) };
        self.pad(quoted.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8], verb: char, value: &Value) {
        match verb {
            'v' | 'd' if self.flags.sharp_v => {
                let items: Vec<String> = bytes.iter().map(|b| format!("{b:#x}")).collect();
                self.write(&format!("[]byte{{{}}}", items.join(", ")));
            }
            's' | 'x' | 'X' | 'q' => self.string(bytes, verb, value),
            _ => {
                self.write("[");
                for (i, b) in bytes.iter().enumerate() {
                    if i > 0 {
                        self.write(" ");
                    }
                    self.integer(u64::from(*b), false, verb, &Value::Uint8(*b));
                }
                self.write("]");
            }
        }
    }

    fn hex(&mut self, text: &[u8], verb: char) {
        let text = &text[..self.flags.precision.unwrap_or(text.len()).min(text.len())];
        let prefix = match (self.flags.sharp, verb) {
            (false, _) => "",
            (true, 'X') => "0X",
            (true, _) => "0x",
        };
        let mut out = String::new();
        for (i, b) in text.iter().enumerate() {
            if i > 0 && self.flags.space {
                out.push(' ');
            }
            if i == 0 || self.flags.space {
                out.push_str(prefix);
            }
            out.push_str(&if verb == 'X' { format!("{b:02X}") } else { format!("{b:02x}") });
        }
        self.pad(out.as_bytes());
    }

    // Integers.

    fn integer(&mut self, n: u64, signed: bool, verb: char, value: &Value) {
        match verb {
            'v' if self.flags.sharp_v && !signed => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.digits(n, false, 16, false, 'v');
                self.flags.sharp = sharp;
            }
            'v' | 'd' => self.digits(n, signed, 10, false, verb),
            'b' => self.digits(n, signed, 2, false, verb),
            'o' | 'O' => self.digits(n, signed, 8, false, verb),
            'x' => self.digits(n, signed, 16, false, verb),
            'X' => self.digits(n, signed, 16, true, verb),
            'c' => {
                let c = u32::try_from(n).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
                self.pad(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            'q' => {
                let quoted = quote::quoted_char(n, self.flags.plus);
                self.pad(quoted.as_bytes());
            }
            'U' => self.unicode(n),
            _ => self.bad_verb(verb, value),
        }
    }

    fn digits(&mut self, n: u64, signed: bool, base: u32, upper: bool, verb: char) {
        let negative = signed && (n as i64) < 0;
        let n = if negative { n.wrapping_neg() } else { n };
        let least = match self.flags.precision {
            Some(0) if n == 0 => {
                let zero = std::mem::take(&mut self.flags.zero);
                self.fill(self.flags.width.unwrap_or(0));
                self.flags.zero = zero;
                return;
            }
            Some(precision) => precision,
            None if self.flags.zero && !self.flags.minus => {
                let sign = usize::from(negative || self.flags.plus || self.flags.space);
                self.flags.width.unwrap_or(0).saturating_sub(sign)
            }
            None => 0,
        };
        let mut text = match (base, upper) {
            (2, _) => format!("{n:b}"),
            (8, _) => format!("{n:o}"),
            (16, true) => format!("{n:X}"),
            (16, false) => format!("{n:x}"),
            _ => n.to_string(),
        };
        if text.len() < least {
            text.insert_str(0, &"0".repeat(least - text.len()));
        }
        if self.flags.sharp {
            match base {
                2 => text.insert_str(0, "0b"),
                8 if !text.starts_with('0') => text.insert(0, '0'),
                16 => text.insert_str(0, if upper { "0X" } else { "0x" }),
                _ => {}
            }
        }
        if verb == 'O' {
            text.insert_str(0, "0o");
        }
        if negative {
            text.insert(0, '-');
        } else if self.flags.plus {
            text.insert(0, '+');
        } else if self.flags.space {
            text.insert(0, ' ');
        }
        self.pad_blank(text.as_bytes());
    }

    fn unicode(&mut self, n: u64) {
        let digits = self.flags.precision.unwrap_or(4).max(4);
        let mut text = format!("U+{n:0digits$X}");
        if let Some(c) = u32::try_from(n).ok().and_then(char::from_u32).filter(|c| quote::is_printable(*c))
            && self.flags.sharp
        {
            text.push_str(&format!(" '{c}'"));
        }
        self.pad_blank(text.as_bytes());
    }

    // Floats.

    fn float(&mut self, n: f64, verb: char, value: &Value) {
        let given = self.flags.precision;
        let text = match verb {
            'v' | 'g' => format_float(n, FloatStyle::General, given),
            'G' => format_float(n, FloatStyle::General, given).replace('e', "E"),
            'e' => format_float(n, FloatStyle::Exponent, given.or(Some(6))),
            'E' => format_float(n, FloatStyle::Exponent, given.or(Some(6))).replace('e', "E"),
            'f' | 'F' => format_float(n, FloatStyle::Decimal, given.or(Some(6))),
            'x' => hex_float(n, given),
            'X' => hex_float(n, given).to_uppercase().replace("+INF", "+Inf").replace("-INF", "-Inf"),
            'b' => binary_float(n),
            _ => return self.bad_verb(verb, value),
        };
        let (sign, body) = match text.strip_prefix(['+', '-']) {
            Some(body) => (&text[..1], body.to_owned()),
            None => ("+", text.clone()),
        };
        let sign = if sign == "+" && self.flags.space && !self.flags.plus { " " } else { sign };
        if body == "NaN" && !self.flags.space && !self.flags.plus {
            return self.pad_blank(body.as_bytes());
        }
        if !n.is_finite() {
            return self.pad_blank(format!("{sign}{body}").as_bytes());
        }
        let body = if self.flags.sharp && verb != 'b' { self.with_point(&body, verb) } else { body };
        if sign == "+" && !self.flags.plus {
            return self.pad(body.as_bytes());
        }
        let width = self.flags.width.unwrap_or(0);
        if self.flags.zero && !self.flags.minus && width > body.len() + 1 {
            self.write(sign);
            self.fill(width - body.len() - 1);
            return self.write(&body);
        }
        self.pad(format!("{sign}{body}").as_bytes());
    }

    /// `#`: always a decimal point, and the trailing zeros that the general notation leaves out.
    fn with_point(&self, body: &str, verb: char) -> String {
        let mark = if matches!(verb, 'x' | 'X') { ['p', 'P'] } else { ['e', 'E'] };
        let (mantissa, tail) = body.split_at(body.find(mark).unwrap_or(body.len()));
        let mut missing = match verb {
            'v' | 'g' | 'G' | 'x' => self.flags.precision.unwrap_or(6) as i64,
            _ => 0,
        };
        let significant = mantissa.chars().filter(|c| *c != '.').skip_while(|c| *c == '0').count();
        missing -= significant as i64;
        let mut out = mantissa.to_owned();
        if !mantissa.contains('.') {
            if mantissa == "0" {
                missing -= 1;
            }
            out.push('.');
        }
        for _ in 0..missing {
            out.push('0');
        }
        out + tail
    }

    fn complex(&mut self, re: f64, im: f64, verb: char, value: &Value) {
        if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
            return self.bad_verb(verb, value);
        }
        self.write("(");
        self.float(re, verb, value);
        let plus = std::mem::replace(&mut self.flags.plus, true);
        self.float(im, verb, value);
        self.write("i)");
        self.flags.plus = plus;
    }
}

/// Characters, each wrong byte counted as one.
fn rune_count(text: &[u8]) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}

/// The offset behind the first `count` characters.
fn rune_offset(text: &[u8], count: usize) -> usize {
    let mut left = count;
    let mut offset = 0;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if left == 0 {
                return offset;
            }
            left -= 1;
            offset += c.len_utf8();
        }
        for _ in chunk.invalid() {
            if left == 0 {
                return offset;
            }
            left -= 1;
            offset += 1;
        }
    }
    offset
}
