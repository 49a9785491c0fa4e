//! TOML as the Go library that Helm uses writes and reads it.

use gotemplate::{CallResult, FuncError, Functions, List, Map, Run, Str, Type, Value};
use goyaml::number::go_float;

pub(super) fn register(table: &mut Functions) {
    table.fixed("toToml", &[Type::Any], |_, args| match write(&args[0]) {
        // The library itself fails on nil, which is not taken for an answer.
        Err(error) if args[0].is_nil() => Err(FuncError::Message(error)),
        written => Ok(Value::from(written.unwrap_or_else(|error| error))),
    });
    table.fixed("mustToToml", &[Type::Any], |_, args| write(&args[0]).map(Value::from).map_err(FuncError::Message));
    table.fixed("fromToml", &[Type::Str], from_toml);
    table.go_deep(&["toToml", "mustToToml"]);
}

/// How long a text may be that is read: what is read takes a hundred times as much memory.
const MAX_TEXT: usize = 1 << 20;

/// How deep tables may nest before one is taken for part of itself.
const MAX_DEPTH: usize = 200;

fn write(value: &Value) -> Result<String, String> {
    if value.is_nil() {
        return Err("reflect: call of reflect.Value.Type on zero Value".into());
    }
    let mut writer = Writer::default();
    writer.encode(&mut Vec::new(), value)?;
    Ok(writer.out)
}

#[derive(Default)]
struct Writer {
    out: String,
}

/// What TOML makes of a value.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Kind {
    Nothing,
    Scalar,
    Array,
    Table,
    Tables,
}

/// The map behind a value, be it a map or a struct.
fn table_of(value: &Value) -> Option<Vec<(Str, Value)>> {
    match value {
        Value::Map(map) => Some(map.entries()),
        Value::Object(object) if object.basic().is_none() && object.marshal().is_none() => {
            Some(object.fields().into_iter().map(|(name, v)| (Str::from(name), v)).collect())
        }
        _ => None,
    }
}

/// The fields of a struct in their order, those that only its own package sees included.
fn places(value: &Value) -> Vec<&'static str> {
    match value {
        Value::Object(object) => object.printed_fields().into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

fn kind(value: &Value) -> Result<Kind, String> {
    if value.is_nil() || value.as_map().is_some_and(Map::is_nil) {
        return Ok(Kind::Nothing);
    }
    if table_of(value).is_some() {
        return Ok(Kind::Table);
    }
    let Some(items) = value.to_items() else { return Ok(Kind::Scalar) };
    let mut tables = !items.is_empty();
    for item in &items {
        match kind(item)? {
            Kind::Nothing => return Err("toml: cannot encode array with nil element".into()),
            found => tables &= found == Kind::Table,
        }
    }
    Ok(if tables { Kind::Tables } else { Kind::Array })
}

impl Writer {
    fn newline(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn indent(&mut self, path: &[Str]) {
        self.out.push_str(&"  ".repeat(path.len().saturating_sub(1)));
    }

    fn encode(&mut self, path: &mut Vec<Str>, value: &Value) -> Result<(), String> {
        if path.len() > MAX_DEPTH {
            return Err("toml: the value contains itself".into());
        }
        match kind(value)? {
            Kind::Nothing => Ok(()),
            Kind::Scalar if matches!(value, Value::Complex(..)) => {
                let dotted: Vec<String> = path.iter().map(key).collect();
                Err(format!("unsupported type for key '{}': complex128", dotted.join(".")))
            }
            Kind::Scalar | Kind::Array => {
                if let Some(last) = path.last() {
                    self.indent(path);
                    self.out.push_str(&format!("{} = ", key(last)));
                    self.element(value, 0)?;
                    self.newline();
                    Ok(())
                } else {
                    self.element(value, 0)
                }
            }
            Kind::Tables if path.is_empty() => Err("toml: top-level values must be Go maps or structs".into()),
            Kind::Tables => {
                for item in value.to_items().unwrap_or_default() {
                    self.newline();
                    self.header(path, "[[", "]]");
                    self.entries(path, &table_of(&item).unwrap_or_default())?;
                }
                Ok(())
            }
            Kind::Table => {
                if path.len() == 1 {
                    self.newline();
                }
                if !path.is_empty() {
                    self.header(path, "[", "]");
                }
                self.entries(path, &table_of(value).unwrap_or_default())
            }
        }
    }

    fn header(&mut self, path: &[Str], open: &str, close: &str) {
        self.indent(path);
        let dotted: Vec<String> = path.iter().map(key).collect();
        self.out.push_str(&format!("{open}{}{close}", dotted.join(".")));
        self.newline();
    }

    /// Plain values first, then tables.
    fn entries(&mut self, path: &mut Vec<Str>, entries: &[(Str, Value)]) -> Result<(), String> {
        for tables in [false, true] {
            for (name, value) in entries {
                if matches!(kind(value)?, Kind::Table | Kind::Tables) == tables {
                    path.push(name.clone());
                    self.encode(path, value)?;
                    path.pop();
                }
            }
        }
        Ok(())
    }

    /// A table in one line: plain values first, then tables. The commas are the library's: what is nothing is left out, its
    /// neighbour's comma is not; and in a struct the place of a field decides, wherever it is written.
    fn inline(&mut self, entries: &[(Str, Value)], places: &[&str], depth: usize) -> Result<(), String> {
        let mut groups: [Vec<usize>; 2] = Default::default();
        for (at, (_, value)) in entries.iter().enumerate() {
            groups[usize::from(matches!(kind(value)?, Kind::Table | Kind::Tables))].push(at);
        }
        let [plain, tables] = groups;
        self.out.push('{');
        for (group, more) in [(&plain, !tables.is_empty()), (&tables, false)] {
            for (i, at) in group.iter().enumerate() {
                let (name, value) = &entries[*at];
                if kind(value)? == Kind::Nothing {
                    continue;
                }
                self.out.push_str(&format!("{} = ", key(name)));
                self.element(value, depth + 1)?;
                let place = places.iter().position(|field| field.as_bytes() == name.as_bytes());
                let comma = place.map_or(more || i + 1 != group.len(), |place| place + 1 != entries.len());
                if comma {
                    self.out.push_str(", ");
                }
            }
        }
        self.out.push('}');
        Ok(())
    }

    fn element(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("toml: the value contains itself".into());
        }
        if let Some(entries) = table_of(value) {
            return self.inline(&entries, &places(value), depth);
        }
        if let Some(items) = value.to_items() {
            self.out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    self.out.push_str(", ");
                }
                self.element(item, depth + 1)?;
            }
            self.out.push(']');
            return Ok(());
        }
        match value {
            Value::Bool(b) => self.out.push_str(&b.to_string()),
            Value::Float(f) => self.out.push_str(&float(*f)),
            Value::Str(text) => self.out.push_str(&quoted(text)),
            Value::Complex(..) => return Err("unsupported type: complex128".into()),
            Value::Object(object) => match object.marshal() {
                // Times stand without quotes, everything else that has a text form stands in them.
                Some(Value::Str(text)) if value.downcast::<sprig::Time>().is_some() => {
                    self.out.push_str(&text.lossy());
                }
                Some(Value::Str(text)) => self.out.push_str(&quoted(&text)),
                _ => self.out.push_str(&quoted(&gotemplate::format::to_string(value))),
            },
            number => self.out.push_str(&gotemplate::format::to_string(number).lossy()),
        }
        Ok(())
    }
}

fn float(f: f64) -> String {
    if f.is_nan() {
        return "nan".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf" } else { "-inf" }.into();
    }
    let text = go_float(f);
    if text.contains(['e', '.']) { text } else { format!("{text}.0") }
}

fn key(name: &Str) -> String {
    let bare = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-';
    if !name.is_empty() && name.iter().all(bare) { name.lossy().into_owned() } else { quoted(name) }
}

fn quoted(text: &Str) -> String {
    let mut out = String::from("\"");
    for c in text.lossy().chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn from_toml(run: &mut Run<'_>, args: &[Value]) -> CallResult {
    let text = args[0].as_str().unwrap_or_default();
    if text.len() > MAX_TEXT {
        return Err(format!("toml: text longer than {MAX_TEXT} bytes").into());
    }
    run.work(text.len() as u64)?;
    let text = text.lossy();
    Ok(Value::Map(match text.parse::<toml_edit::DocumentMut>() {
        Ok(document) => read_table(document.as_table()),
        Err(e) => Map::from_iter([("Error", read_error(&text, &e))]),
    }))
}

/// Where and why a text is no TOML; line and key as Go's library names them, the reason in its words for a text that ends
/// too early.
fn read_error(text: &str, error: &toml_edit::TomlError) -> String {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let last_line = before.rsplit('\n').next().unwrap_or("");
    let last_key = match last_line.split_once('=') {
        Some((key, _)) => {
            let mut tables = before.lines().filter_map(|l| l.trim().strip_prefix('[')?.strip_suffix(']'));
            let table = tables.next_back().map_or(String::new(), |t| format!("{}.", t.trim_matches(['[', ']'])));
            let key = gotemplate::quote::quoted(format!("{table}{}", key.trim()).as_bytes());
            format!(" (last key {key})")
        }
        None => String::new(),
    };
    let ends = text.get(at..).is_none_or(|rest| rest.trim().is_empty());
    let reason = if ends && !last_key.is_empty() { "unexpected EOF; expected value" } else { error.message() };
    format!("toml: line {line}{last_key}: {reason}")
}

fn read_table(table: &dyn toml_edit::TableLike) -> Map {
    Map::from_iter(table.iter().map(|(name, item)| (name, read_item(item))))
}

fn read_item(item: &toml_edit::Item) -> Value {
    match item {
        toml_edit::Item::None => Value::Nil,
        toml_edit::Item::Value(value) => read_value(value),
        toml_edit::Item::Table(table) => Value::Map(read_table(table)),
        toml_edit::Item::ArrayOfTables(tables) => {
            let items = tables.iter().map(|table| Value::Map(read_table(table))).collect();
            Value::List(List::typed(Type::List(&Type::ANY_MAP), items))
        }
    }
}

fn read_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
        toml_edit::Value::Integer(number) => Value::Int64(*number.value()),
        toml_edit::Value::Float(number) => Value::Float(*number.value()),
        toml_edit::Value::Boolean(truth) => Value::Bool(*truth.value()),
        toml_edit::Value::Datetime(time) => read_time(&time.value().to_string()),
        toml_edit::Value::Array(items) => Value::List(List::new(items.iter().map(read_value).collect())),
        toml_edit::Value::InlineTable(table) => Value::Map(read_table(table)),
    }
}

/// A time; one without a zone is taken to be in UTC, and one that is only a time of day stays text.
fn read_time(text: &str) -> Value {
    let full = if text.len() == 10 { format!("{text}T00:00:00") } else { text.replacen(' ', "T", 1) };
    let zoned = full.parse::<jiff::Timestamp>().or_else(|_| format!("{full}Z").parse());
    match zoned {
        Ok(at) => {
            let offset = jiff::fmt::temporal::Pieces::parse(&full).ok().and_then(|p| p.to_numeric_offset());
            let zone = match offset {
                Some(offset) if offset != jiff::tz::Offset::UTC => jiff::tz::TimeZone::fixed(offset),
                _ => jiff::tz::TimeZone::UTC,
            };
            Value::object(sprig::Time::new(at, zone))
        }
        Err(_) => Value::from(text),
    }
}
