//! Go's fmt package: `print`, `println`, `printf` and the way actions print values.

mod number;
mod printer;

pub use number::{FloatStyle, format_float};

use crate::bytestr::Str;
use crate::value::Value;
use printer::Printer;

/// `fmt.Sprint`: a blank between two neighbours of which neither is a string.
pub fn sprint(args: &[Value]) -> Str {
    if let [Value::Str(s)] = args {
        return s.clone();
    }
    let mut printer = Printer::new();
    let mut string_before = false;
    for (i, arg) in args.iter().enumerate() {
        let string = arg.kind() == crate::types::Kind::String;
        if i > 0 && !string && !string_before {
            printer.out.push(b' ');
        }
        printer.argument(arg, 'v');
        string_before = string;
    }
    Str::from(printer.out)
}

/// `fmt.Sprintln`: blanks between all, a newline behind.
pub fn sprintln(args: &[Value]) -> Str {
    let mut printer = Printer::new();
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            printer.out.push(b' ');
        }
        printer.argument(arg, 'v');
    }
    printer.out.push(b'\n');
    Str::from(printer.out)
}

/// `%v` of one value, appended to `out`.
pub fn append_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Str(s) => out.extend_from_slice(s),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        _ => {
            let mut printer = Printer::new();
            std::mem::swap(&mut printer.out, out);
            printer.argument(value, 'v');
            std::mem::swap(&mut printer.out, out);
        }
    }
}

/// `%v` of one value, or of what it points to when it is a pointer, appended to `out`.
pub(crate) fn append_pointed(value: &Value, out: &mut Vec<u8>) {
    let from = out.len();
    append_value(value, out);
    if matches!(value, Value::Object(_)) && out.get(from) == Some(&b'&') {
        out.remove(from);
    }
}

/// `%v` of one value.
pub fn to_string(value: &Value) -> Str {
    sprint(std::slice::from_ref(value))
}

/// `fmt.Sprintf`. Mistakes show up in the result (`%!d(string=x)`), as in Go.
pub fn sprintf(format: &[u8], args: &[Value]) -> Str {
    let mut directive = Directives { format, at: 0, args, arg: 0, reordered: false, good_index: true };
    let mut printer = Printer::new();
    directive.run(&mut printer);
    Str::from(printer.out)
}

/// Widths and precisions beyond this are refused.
const LARGEST: i64 = 1_000_000;

/// The walk through a format.
struct Directives<'a> {
    format: &'a [u8],
    at: usize,
    args: &'a [Value],
    /// The next argument.
    arg: usize,
    /// Arguments were picked by number somewhere.
    reordered: bool,
    /// The current directive picks arguments that exist.
    good_index: bool,
}

impl Directives<'_> {
    fn run(&mut self, printer: &mut Printer) {
        while self.at < self.format.len() {
            let text = self.format[self.at..].iter().take_while(|b| **b != b'%').count();
            printer.out.extend_from_slice(&self.format[self.at..self.at + text]);
            self.at += text;
            if self.at < self.format.len() {
                self.at += 1;
                self.directive(printer);
            }
        }
        if !self.reordered && self.arg < self.args.len() {
            self.extra(printer);
        }
    }

    fn byte(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    /// One directive, of which the percent sign is read.
    fn directive(&mut self, printer: &mut Printer) {
        self.good_index = true;
        printer.clear_flags();
        while let Some(flag) = self.byte() {
            match flag {
                b'#' => printer.flags.sharp = true,
                b'0' => printer.flags.zero = true,
                b'+' => printer.flags.plus = true,
                b'-' => printer.flags.minus = true,
                b' ' => printer.flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut indexed = self.index();
        if self.byte() == Some(b'*') {
            self.at += 1;
            printer.flags.width = self.star(printer, b"%!(BADWIDTH)").map(|width| {
                if width < 0 {
                    printer.flags.minus = true;
                    printer.flags.zero = false;
                }
                width.unsigned_abs() as usize
            });
            indexed = false;
        } else {
            printer.flags.width = self.digits();
            if indexed && printer.flags.width.is_some() {
                self.good_index = false;
            }
        }
        if self.byte() == Some(b'.') && self.at + 1 < self.format.len() {
            self.at += 1;
            if indexed {
                self.good_index = false;
            }
            indexed = self.index();
            if self.byte() == Some(b'*') {
                self.at += 1;
                let precision = self.star(printer, b"%!(BADPREC)");
                printer.flags.precision = precision.and_then(|p| usize::try_from(p).ok());
                if precision.is_some_and(|p| p < 0) {
                    printer.out.extend_from_slice(b"%!(BADPREC)");
                }
                indexed = false;
            } else {
                printer.flags.precision = Some(self.digits().unwrap_or(0));
            }
        }
        if !indexed {
            self.index();
        }
        self.verb(printer);
    }

    fn verb(&mut self, printer: &mut Printer) {
        let Some(verb) = self.next_char() else {
            printer.out.extend_from_slice(b"%!(NOVERB)");
            return;
        };
        match self.args.get(self.arg) {
            _ if verb == '%' => printer.out.push(b'%'),
            _ if !self.good_index => printer.bang(verb, "BADINDEX"),
            None => printer.bang(verb, "MISSING"),
            Some(arg) => {
                if matches!(verb, 'v' | 'w') {
                    printer.flags.sharp_v = std::mem::take(&mut printer.flags.sharp);
                    printer.flags.plus_v = std::mem::take(&mut printer.flags.plus);
                }
                printer.argument(arg, verb);
                self.arg += 1;
            }
        }
    }

    fn next_char(&mut self) -> Option<char> {
        let rest = &self.format[self.at..];
        if rest.is_empty() {
            return None;
        }
        let head = &rest[..rest.len().min(4)];
        let (c, length) = match head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) {
            Some(c) => (c, c.len_utf8()),
            None => ('\u{fffd}', 1),
        };
        self.at += length;
        Some(c)
    }

    fn digits(&mut self) -> Option<usize> {
        let (number, length) = parse_digits(&self.format[self.at..]);
        self.at += length;
        number
    }

    /// The argument that gives a width or precision.
    fn star(&mut self, printer: &mut Printer, complaint: &[u8]) -> Option<i64> {
        let number = self.args.get(self.arg).and_then(|arg| {
            self.arg += 1;
            arg.as_int().or_else(|| arg.as_uint().and_then(|n| i64::try_from(n).ok()))
        });
        let number = number.filter(|n| (-LARGEST..=LARGEST).contains(n));
        if number.is_none() {
            printer.out.extend_from_slice(complaint);
        }
        number
    }

    /// Reads `[3]`, which picks the next argument; tells whether it was there.
    fn index(&mut self) -> bool {
        if self.byte() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let close = rest.iter().position(|b| *b == b']').filter(|_| rest.len() >= 3);
        let Some(close) = close else {
            self.good_index = false;
            self.at += 1;
            return false;
        };
        self.at += close + 1;
        let inner = &rest[1..close];
        let number = match parse_digits(inner) {
            (Some(number), length) if length == inner.len() => number,
            _ => {
                self.good_index = false;
                return false;
            }
        };
        match number.checked_sub(1).filter(|n| *n < self.args.len()) {
            Some(n) => self.arg = n,
            None => self.good_index = false,
        }
        true
    }

    fn extra(&mut self, printer: &mut Printer) {
        printer.clear_flags();
        printer.out.extend_from_slice(b"%!(EXTRA ");
        for (i, arg) in self.args[self.arg..].iter().enumerate() {
            if i > 0 {
                printer.out.extend_from_slice(b", ");
            }
            if !arg.is_nil() {
                printer.out.extend_from_slice(arg.type_name().as_bytes());
                printer.out.push(b'=');
            }
            printer.argument(arg, 'v');
        }
        printer.out.push(b')');
    }
}

/// A number at the start of the text, and how many bytes it takes. Too large ones count as none.
fn parse_digits(text: &[u8]) -> (Option<usize>, usize) {
    let mut number = None;
    for (i, b) in text.iter().enumerate() {
        if !b.is_ascii_digit() {
            return (number, i);
        }
        let value = number.unwrap_or(0);
        if value > LARGEST as usize {
            return (None, text.len());
        }
        number = Some(value * 10 + usize::from(b - b'0'));
    }
    (number, text.len())
}
