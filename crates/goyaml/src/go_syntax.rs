//! Values in Go syntax (`%#v`), which go-yaml's messages about map keys show.

use crate::decode::Any;
use crate::number::go_float;

/// A Go string literal.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            '\u{feff}' => out.push_str("\\ufeff"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The Go type that go-yaml gives a value.
pub(crate) fn type_name(value: &Any) -> &'static str {
    match value {
        Any::Null => "%!s(<nil>)",
        Any::Bool(_) => "bool",
        Any::Int(_) => "int",
        Any::Uint(_) => "uint64",
        Any::Float(_) => "float64",
        Any::Str(_) => "string",
        Any::Seq(_) => "[]interface {}",
        Any::Map(_) => "map[interface {}]interface {}",
    }
}

/// A value as `%#v` prints it. `inside` says that it stands in a list or map, where nil carries its type.
pub(crate) fn value(v: &Any, inside: bool) -> String {
    match v {
        Any::Null if inside => "interface {}(nil)".into(),
        Any::Null => "<nil>".into(),
        Any::Bool(b) => b.to_string(),
        Any::Int(i) => i.to_string(),
        Any::Uint(u) => format!("{u:#x}"),
        Any::Float(f) => go_float(*f),
        Any::Str(s) => quoted(s),
        Any::Seq(items) => {
            let items: Vec<String> = items.iter().map(|i| value(i, true)).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Any::Map(pairs) => {
            let mut pairs: Vec<(bool, String)> = pairs
                .iter()
                .map(|(k, v)| (!matches!(k, Any::Null), format!("{}:{}", value(k, true), value(v, true))))
                .collect();
            // Nil comes first.
            pairs.sort();
            let pairs: Vec<String> = pairs.into_iter().map(|(_, text)| text).collect();
            format!("map[interface {{}}]interface {{}}{{{}}}", pairs.join(", "))
        }
    }
}
