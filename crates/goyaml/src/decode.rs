//! From nodes to values: aliases, merge keys and scalars are settled here, then everything becomes JSON.

use crate::node::{Document, Id, Kind, first_document};
use crate::resolve::{Scalar, is_tag, resolve_plain, resolve_tagged};
use crate::{Error, go_syntax, number};
use serde_json::{Map, Number, Value};
use std::collections::{HashMap, HashSet};

/// How deep a document may nest, aliases included. Go allows 10000, which no honest document needs and which a thread's
/// stack may not hold.
pub const MAX_DEPTH: usize = 400;

/// What a repeated key in one mapping means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// The last one wins, silently.
    LastWins,
    /// It is an error that names the line.
    Refuse,
}

/// A value as go-yaml decodes it without a type in mind: keys may be anything but lists and maps.
#[derive(Debug, Clone)]
pub(crate) enum Any {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(String),
    Seq(Vec<Any>),
    Map(Vec<(Any, Any)>),
}

/// Reads the first document of `text`. Numbers keep the kind that YAML gave them: integers are integers, anything else
/// a float.
///
/// Errors: the text is not YAML, expands too many aliases, or has no JSON form.
pub fn parse(text: &str) -> Result<Value, Error> {
    read(text, Strictness::LastWins)
}

/// As [`parse`], but a repeated key is an error.
pub fn parse_strict(text: &str) -> Result<Value, Error> {
    read(text, Strictness::Refuse)
}

fn read(text: &str, strictness: Strictness) -> Result<Value, Error> {
    let Some(document) = first_document(text)? else { return Ok(Value::Null) };
    let mut decoder = Decoder {
        document: &document,
        strictness,
        repeated: Vec::new(),
        expanding: HashSet::new(),
        decoded: 0,
        from_aliases: 0,
        depth: 0,
    };
    let any = decoder.value(document.root)?;
    if !decoder.repeated.is_empty() {
        return Err(Error::Yaml(format!("unmarshal errors:\n  {}", decoder.repeated.join("\n  "))));
    }
    into_json(any)
}

/// The identity of a key in a Go map: numbers of different types and text are different keys.
#[derive(PartialEq, Eq, Hash)]
enum KeyId {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(u64),
    Str(String),
}

impl KeyId {
    fn of(key: &Any) -> Option<KeyId> {
        Some(match key {
            Any::Null => KeyId::Null,
            Any::Bool(b) => KeyId::Bool(*b),
            Any::Int(i) => KeyId::Int(*i),
            Any::Uint(u) => KeyId::Uint(*u),
            Any::Float(f) => KeyId::Float(f.to_bits()),
            Any::Str(s) => KeyId::Str(s.clone()),
            Any::Seq(_) | Any::Map(_) => return None,
        })
    }
}

/// A mapping while it is filled.
#[derive(Default)]
struct Pairs {
    pairs: Vec<(Any, Any)>,
    index: HashMap<KeyId, usize>,
}

struct Decoder<'a> {
    document: &'a Document,
    strictness: Strictness,
    repeated: Vec<String>,
    /// Alias nodes that are being expanded, to find those that contain themselves.
    expanding: HashSet<Id>,
    decoded: u64,
    from_aliases: u64,
    depth: usize,
}

impl Decoder<'_> {
    /// Counts one decoded node and refuses a document that is mostly aliases. The allowed share falls from 99 % for
    /// small documents to 10 % for huge ones.
    fn count(&mut self) -> Result<(), Error> {
        const LOW: f64 = 400_000.0;
        const HIGH: f64 = 4_000_000.0;
        self.decoded += 1;
        if !self.expanding.is_empty() {
            self.from_aliases += 1;
        }
        if self.from_aliases > 100 && self.decoded > 1000 {
            let decoded = self.decoded as f64;
            let allowed = 0.99 - 0.89 * ((decoded - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
            if self.from_aliases as f64 / decoded > allowed {
                return Err(Error::Yaml("document contains excessive aliasing".into()));
            }
        }
        Ok(())
    }

    /// One level deeper; [`Decoder::leave`] takes it back. An error ends the decoding, so nothing is taken back then.
    fn enter(&mut self) -> Result<(), Error> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::Yaml(format!("exceeded max depth of {MAX_DEPTH}")));
        }
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    fn enter_alias(&mut self, id: Id, name: &str) -> Result<(), Error> {
        if !self.expanding.insert(id) {
            return Err(Error::Yaml(format!("anchor '{name}' value contains itself")));
        }
        self.enter()
    }

    fn leave_alias(&mut self, id: Id) {
        self.expanding.remove(&id);
        self.leave();
    }

    fn value(&mut self, id: Id) -> Result<Any, Error> {
        self.count()?;
        let document = self.document;
        let node = &document.nodes[id];
        match &node.kind {
            Kind::Scalar { value, plain } => scalar(node.tag.as_deref(), value, *plain),
            Kind::Alias { target, name } => {
                self.enter_alias(id, name)?;
                let value = self.value(*target)?;
                self.leave_alias(id);
                Ok(value)
            }
            Kind::Sequence(items) => {
                self.enter()?;
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.push(self.value(*item)?);
                }
                self.leave();
                Ok(Any::Seq(values))
            }
            Kind::Mapping(children) => {
                let mut pairs = Pairs::default();
                self.mapping(children, &mut pairs)?;
                Ok(Any::Map(pairs.pairs))
            }
        }
    }

    fn mapping(&mut self, children: &[Id], into: &mut Pairs) -> Result<(), Error> {
        self.enter()?;
        for pair in children.chunks_exact(2) {
            let (key_id, value_id) = (pair[0], pair[1]);
            if self.is_merge(key_id) {
                self.merge(value_id, into)?;
                continue;
            }
            let key = self.value(key_id)?;
            let Some(id) = KeyId::of(&key) else {
                return Err(Error::Yaml(format!("invalid map key: {}", go_syntax::value(&key, false))));
            };
            let value = self.value(value_id)?;
            match into.index.get(&id) {
                Some(_) if self.strictness == Strictness::Refuse => {
                    let line = self.document.nodes[value_id].line;
                    self.repeated
                        .push(format!("line {line}: key {} already set in map", go_syntax::value(&key, false)));
                }
                Some(&at) => into.pairs[at].1 = value,
                None => {
                    into.index.insert(id, into.pairs.len());
                    into.pairs.push((key, value));
                }
            }
        }
        self.leave();
        Ok(())
    }

    fn is_merge(&self, id: Id) -> bool {
        let node = &self.document.nodes[id];
        match &node.kind {
            Kind::Scalar { value, plain } => {
                value == "<<" && (*plain || node.tag.as_deref().is_some_and(|t| is_tag(t, "merge")))
            }
            _ => false,
        }
    }

    /// Takes the entries of a mapping, an alias of one, or a list of such, into `into`; of a list the first wins.
    fn merge(&mut self, id: Id, into: &mut Pairs) -> Result<(), Error> {
        let document = self.document;
        let refused = || Error::Yaml("map merge requires map or sequence of maps as the value".into());
        let sources: Vec<Id> = match &document.nodes[id].kind {
            Kind::Mapping(_) | Kind::Alias { .. } => vec![id],
            Kind::Sequence(items) => items.iter().rev().copied().collect(),
            Kind::Scalar { .. } => return Err(refused()),
        };
        for source in sources {
            self.count()?;
            match &document.nodes[source].kind {
                Kind::Mapping(children) => self.mapping(children, into)?,
                Kind::Alias { target, name } => {
                    let Kind::Mapping(children) = &document.nodes[*target].kind else { return Err(refused()) };
                    self.enter_alias(source, name)?;
                    self.count()?;
                    self.mapping(children, into)?;
                    self.leave_alias(source);
                }
                _ => return Err(refused()),
            }
        }
        Ok(())
    }
}

fn scalar(tag: Option<&str>, text: &str, plain: bool) -> Result<Any, Error> {
    let own = || Any::Str(text.to_string());
    let resolved = match tag {
        None if !plain => return Ok(own()),
        None => resolve_plain(text),
        Some(tag) if is_tag(tag, "binary") => {
            return base64_text(text)
                .map(Any::Str)
                .ok_or_else(|| Error::Yaml("!!binary value contains invalid base64 data".into()));
        }
        Some(tag) => match resolve_tagged(tag, text)? {
            Some(resolved) => resolved,
            None => return Ok(own()),
        },
    };
    Ok(match resolved {
        Scalar::Null => Any::Null,
        Scalar::Bool(b) => Any::Bool(b),
        Scalar::Int(i) => Any::Int(i),
        Scalar::Uint(u) => Any::Uint(u),
        Scalar::Float(f) => Any::Float(f),
        Scalar::Timestamp | Scalar::Str => own(),
    })
}

/// Decodes standard base64, line breaks ignored; bytes that are no UTF-8 become U+FFFD, as in Go's JSON.
fn base64_text(text: &str) -> Option<String> {
    let mut bits = 0u32;
    let mut held = 0u32;
    let mut out = Vec::new();
    let clean: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    if !clean.len().is_multiple_of(4) {
        return None;
    }
    let body = clean.strip_suffix(b"==").or_else(|| clean.strip_suffix(b"=")).unwrap_or(&clean);
    for b in body {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits & 0xff) as u8);
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

fn key_text(key: &Any, value: &Any) -> Result<String, Error> {
    Ok(match key {
        Any::Str(s) => s.clone(),
        Any::Int(i) => i.to_string(),
        Any::Bool(b) => b.to_string(),
        Any::Float(f) => match number::go_float32(*f).as_str() {
            "+Inf" => ".inf".into(),
            "-Inf" => "-.inf".into(),
            "NaN" => ".nan".into(),
            text => text.into(),
        },
        Any::Null | Any::Uint(_) | Any::Seq(_) | Any::Map(_) => {
            return Err(Error::NotJson(format!(
                "unsupported map key of type: {}, key: {}, value: {}",
                go_syntax::type_name(key),
                go_syntax::value(key, false),
                go_syntax::value(value, false)
            )));
        }
    })
}

fn into_json(any: Any) -> Result<Value, Error> {
    Ok(match any {
        Any::Null => Value::Null,
        Any::Bool(b) => Value::Bool(b),
        Any::Int(i) => Value::Number(i.into()),
        Any::Uint(u) => Value::Number(u.into()),
        Any::Float(f) => Value::Number(
            Number::from_f64(f)
                .ok_or_else(|| Error::NotJson(format!("json: unsupported value: {}", number::go_float(f))))?,
        ),
        Any::Str(s) => Value::String(s),
        Any::Seq(items) => Value::Array(items.into_iter().map(into_json).collect::<Result<_, _>>()?),
        Any::Map(pairs) => {
            let mut entries = Vec::with_capacity(pairs.len());
            for (key, value) in pairs {
                entries.push((key_text(&key, &value)?, into_json(value)?));
            }
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(entries))
        }
    })
}
