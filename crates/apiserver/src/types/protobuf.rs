//! Bodies in the protobuf form that Go clients send for built-in kinds. Answers are JSON, which these clients read as well.
//!
//! A body is `k8s\0` and a message with the kind (field 1: API version, kind), and the object (field 2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as B64;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Field, Kind, types};

const MAGIC: &[u8] = b"k8s\0";
/// Types do not nest deeper than this (JSON schemas aside, which are not read here).
const MAX_DEPTH: usize = 64;

/// One field on the wire.
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut out = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            out |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(out);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn field(&mut self) -> Option<(u32, Wire<'a>)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok()?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            _ => return None,
        };
        Some((number, wire))
    }

    /// All fields, `None` when the message is malformed.
    fn all(mut self) -> Option<Vec<(u32, Wire<'a>)>> {
        let mut out = Vec::new();
        while !self.0.is_empty() {
            out.push(self.field()?);
        }
        Some(out)
    }
}

/// Whether a content type or body is of this form.
pub(crate) fn is_protobuf(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// The object in a body as JSON, with its `apiVersion` and `kind`.
///
/// # Errors
/// A text for a 400 answer: malformed, or a kind that is not in the table.
pub(crate) fn decode(body: &[u8]) -> Result<Value, String> {
    let malformed = || "the protobuf body is malformed".to_string();
    let message = body.strip_prefix(MAGIC).ok_or_else(malformed)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for (number, wire) in Reader(message).all().ok_or_else(malformed)? {
        match (number, wire) {
            (1, Wire::Bytes(meta)) => {
                for (number, wire) in Reader(meta).all().ok_or_else(malformed)? {
                    if let Wire::Bytes(text) = wire {
                        let text = String::from_utf8_lossy(text).into_owned();
                        if number == 1 { api_version = text } else { kind = text }
                    }
                }
            }
            (2, Wire::Bytes(object)) => raw = object,
            _ => {}
        }
    }
    let any_version = kind == "DeleteOptions";
    let name = if any_version { Some("metav1.DeleteOptions") } else { types().of(&api_version, &kind) };
    let name =
        name.ok_or_else(|| format!("no kind {kind:?} is registered for version {api_version:?} in protobuf form"))?;
    let fields = message_value(name, raw, 0).ok_or_else(malformed)?;
    let mut out = Map::new();
    out.insert("apiVersion".into(), api_version.into());
    out.insert("kind".into(), kind.into());
    out.extend(fields);
    Ok(out.into())
}

fn message_value(name: &str, data: &[u8], depth: usize) -> Option<Map<String, Value>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut out = Map::new();
    for (number, wire) in Reader(data).all()? {
        let Some(field) = types().fields(name).iter().find(|f| f.number == number) else { continue };
        if field.inline {
            if let (Kind::Type(inner), Wire::Bytes(data)) = (&field.kind, wire) {
                out.extend(message_value(inner, data, depth + 1)?);
            }
            continue;
        }
        match &field.kind {
            Kind::List(inner) => {
                let items = out.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(items) = items {
                    items.push(value(inner, wire, depth)?);
                }
            }
            Kind::Map(inner) => {
                let Wire::Bytes(entry) = wire else { return None };
                let (key, item) = map_entry(inner, entry, depth)?;
                let map = out.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(map) = map {
                    map.insert(key, item);
                }
            }
            kind => {
                let value = value(kind, wire, depth)?;
                if keeps(field, &value) {
                    out.insert(field.name.into(), value);
                }
            }
        }
    }
    Some(out)
}

/// Go writes zero values of plain fields on the wire; in JSON they are left out.
fn keeps(field: &Field, value: &Value) -> bool {
    field.pointer
        || match value {
            Value::Null => false,
            Value::String(s) => field.always || !s.is_empty(),
            Value::Number(n) => field.always || n.as_f64() != Some(0.0),
            Value::Bool(b) => field.always || *b,
            Value::Object(map) => !map.is_empty(),
            Value::Array(_) => true,
        }
}

fn map_entry(inner: &Kind, entry: &[u8], depth: usize) -> Option<(String, Value)> {
    let (mut key, mut item) = (String::new(), None);
    for (number, wire) in Reader(entry).all()? {
        match (number, wire) {
            (1, Wire::Bytes(text)) => key = String::from_utf8(text.to_vec()).ok()?,
            (2, wire) => item = Some(value(inner, wire, depth)?),
            _ => {}
        }
    }
    let empty = if matches!(inner, Kind::Text | Kind::Bytes) { "".into() } else { Value::Null };
    Some((key, item.unwrap_or(empty)))
}

fn time(data: &[u8], micro: bool) -> Option<Value> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    let fields = Reader(data).all()?;
    if fields.is_empty() {
        return Some(Value::Null);
    }
    for (number, wire) in fields {
        match (number, wire) {
            (1, Wire::Varint(v)) => seconds = v.cast_signed(),
            (2, Wire::Varint(v)) => nanos = i32::try_from(v).ok()?,
            _ => {}
        }
    }
    let time = Timestamp::new(seconds, if micro { nanos } else { 0 }).ok()?;
    let format = if micro { "%Y-%m-%dT%H:%M:%S%.6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Some(time.strftime(format).to_string().into())
}

fn int_or_string(data: &[u8]) -> Option<Value> {
    let (mut is_text, mut number, mut text) = (false, 0i64, String::new());
    for (field, wire) in Reader(data).all()? {
        match (field, wire) {
            (1, Wire::Varint(v)) => is_text = v == 1,
            (2, Wire::Varint(v)) => number = v.cast_signed(),
            (3, Wire::Bytes(b)) => text = String::from_utf8(b.to_vec()).ok()?,
            _ => {}
        }
    }
    Some(if is_text { text.into() } else { number.into() })
}

/// The content of the first field of a message.
fn first(data: &[u8]) -> Option<&[u8]> {
    let fields = Reader(data).all()?;
    Some(
        fields
            .into_iter()
            .find_map(|(n, w)| match (n, w) {
                (1, Wire::Bytes(b)) => Some(b),
                _ => None,
            })
            .unwrap_or_default(),
    )
}

fn value(kind: &Kind, wire: Wire<'_>, depth: usize) -> Option<Value> {
    Some(match (kind, wire) {
        (Kind::Integer, Wire::Varint(v)) => v.cast_signed().into(),
        (Kind::Boolean, Wire::Varint(v)) => (v != 0).into(),
        (Kind::Float, Wire::Fixed64(v)) => f64::from_bits(v).into(),
        (Kind::Text, Wire::Bytes(b)) => String::from_utf8(b.to_vec()).ok()?.into(),
        (Kind::Bytes, Wire::Bytes(b)) => B64.encode(b).into(),
        (Kind::Quantity, Wire::Bytes(b)) => String::from_utf8(first(b)?.to_vec()).ok()?.into(),
        (Kind::IntOrString, Wire::Bytes(b)) => int_or_string(b)?,
        (Kind::Time, Wire::Bytes(b)) => time(b, false)?,
        (Kind::MicroTime, Wire::Bytes(b)) => time(b, true)?,
        (Kind::Raw, Wire::Bytes(b)) => match first(b)? {
            [] => Value::Null,
            json => serde_json::from_slice(json).ok()?,
        },
        (Kind::Wrapped(inner), Wire::Bytes(b)) => {
            let items = Reader(b).all()?.into_iter().filter(|(n, _)| *n == 1);
            items.map(|(_, wire)| value(inner, wire, depth)).collect::<Option<Vec<Value>>>()?.into()
        }
        (Kind::Type(name), Wire::Bytes(b)) => message_value(name, b, depth + 1)?.into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(number: u8, data: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, data.len() as u8][..], data].concat()
    }

    fn config_map() -> Vec<u8> {
        let meta = [field(1, b"v1"), field(2, b"ConfigMap")].concat();
        let entry = [field(1, b"k"), field(2, b"v")].concat();
        let metadata = [field(1, b"name"), field(2, b""), vec![8 << 3 | 2, 0]].concat();
        let object = [field(1, &metadata), field(2, &entry)].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, &object)].concat()
    }

    #[test]
    fn a_config_map() {
        let expected =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "name"}, "data": {"k": "v"}});
        assert_eq!(decode(&config_map()).unwrap(), expected);
    }

    #[test]
    fn cut_and_garbled_bodies_are_refused_or_read_but_never_panic() {
        let body = config_map();
        for cut in 0..body.len() {
            let _ = decode(&body[..cut]);
            let mut garbled = body.clone();
            garbled[cut] ^= 0xff;
            let _ = decode(&garbled);
        }
        assert!(decode(b"k8s\0\x0a").is_err());
        assert!(decode(b"{}").is_err());
    }
}
