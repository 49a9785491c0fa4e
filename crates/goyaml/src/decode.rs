//! From nodes to values: aliases, merge keys and scalars are settled here, then everything becomes JSON.

use crate::node::{Document, Id, Kind, first_document};
use crate::resolve::{Scalar, is_tag, resolve_plain, resolve_tagged};
use crate::{Error, Tree, go_syntax, number};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// How deep a document may nest, aliases included. Go allows 10000, which no honest document needs and which a thread's
/// stack may not hold.
pub const MAX_DEPTH: usize = 400;

/// How many nodes (scalars, lists, mappings; those that aliases repeat too) a document may have: some ten megabytes of
/// dense text. The largest honest documents, bundles of definitions, have some fifty thousand.
pub const MAX_NODES: usize = 500_000;

/// The complaint about a document with more than [`MAX_NODES`].
pub(crate) fn too_many_nodes() -> Error {
    Error::Yaml(format!("document has more than {MAX_NODES} nodes"))
}

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
pub(crate) enum Any<'t> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(Cow<'t, str>),
    Seq(Vec<Any<'t>>),
    Map(Vec<(Any<'t>, Any<'t>)>),
}

/// Reads the first document of `text`. Numbers keep the kind that YAML gave them: integers are integers, anything else
/// a float.
///
/// Errors: the text is not YAML, expands too many aliases, or has no JSON form.
pub fn parse(text: &str) -> Result<Value, Error> {
    read(text, Strictness::LastWins).map(|tree| tree.into_value(false))
}

/// As [`parse`], without a copy of what the text says.
///
/// Errors: as [`parse`].
pub fn parse_tree(text: &str) -> Result<Tree<'_>, Error> {
    read(text, Strictness::LastWins)
}

/// As [`parse`], but a repeated key is an error.
pub fn parse_strict(text: &str) -> Result<Value, Error> {
    read(text, Strictness::Refuse).map(|tree| tree.into_value(false))
}

fn read(text: &str, strictness: Strictness) -> Result<Tree<'_>, Error> {
    let Some(document) = first_document(text)? else { return Ok(Tree::Null) };
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
    tree(any)
}

/// The identity of a key in a Go map: numbers of different types and text are different keys.
#[derive(PartialEq, Eq, Hash)]
enum KeyId<'t> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(u64),
    Str(Cow<'t, str>),
}

impl<'t> KeyId<'t> {
    fn of(key: &Any<'t>) -> Option<KeyId<'t>> {
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

/// Whether two keys are one in a Go map.
fn same_key(a: &Any<'_>, b: &Any<'_>) -> bool {
    match (a, b) {
        (Any::Null, Any::Null) => true,
        (Any::Bool(a), Any::Bool(b)) => a == b,
        (Any::Int(a), Any::Int(b)) => a == b,
        (Any::Uint(a), Any::Uint(b)) => a == b,
        (Any::Float(a), Any::Float(b)) => a.to_bits() == b.to_bits(),
        (Any::Str(a), Any::Str(b)) => a == b,
        _ => false,
    }
}

/// A mapping while it is filled.
#[derive(Default)]
struct Pairs<'t> {
    pairs: Vec<(Any<'t>, Any<'t>)>,
    /// Where the keys are, once there are many.
    index: HashMap<KeyId<'t>, usize>,
}

impl<'t> Pairs<'t> {
    /// Up to so many keys are compared one by one.
    const FEW: usize = 16;

    /// Where a key is.
    fn place(&mut self, key: &Any<'t>) -> Option<usize> {
        if self.pairs.len() <= Pairs::FEW {
            return self.pairs.iter().position(|(known, _)| same_key(known, key));
        }
        if self.index.is_empty() {
            let numbered = self.pairs.iter().enumerate();
            self.index = numbered.filter_map(|(at, (known, _))| Some((KeyId::of(known)?, at))).collect();
        }
        self.index.get(&KeyId::of(key)?).copied()
    }

    /// Adds a key that is not there.
    fn add(&mut self, key: Any<'t>, value: Any<'t>) {
        if !self.index.is_empty()
            && let Some(id) = KeyId::of(&key)
        {
            self.index.insert(id, self.pairs.len());
        }
        self.pairs.push((key, value));
    }
}

struct Decoder<'a, 't> {
    document: &'a Document<'t>,
    strictness: Strictness,
    repeated: Vec<String>,
    /// Alias nodes that are being expanded, to find those that contain themselves.
    expanding: HashSet<Id>,
    decoded: u64,
    from_aliases: u64,
    depth: usize,
}

impl<'t> Decoder<'_, 't> {
    /// Counts one decoded node and refuses a document that is mostly aliases. The allowed share falls from 99 % for
    /// small documents to 10 % for huge ones.
    fn count(&mut self) -> Result<(), Error> {
        const LOW: f64 = 400_000.0;
        const HIGH: f64 = 4_000_000.0;
        self.decoded += 1;
        if self.decoded > MAX_NODES as u64 {
            return Err(too_many_nodes());
        }
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

    fn value(&mut self, id: Id) -> Result<Any<'t>, Error> {
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
                let mut pairs = Pairs { pairs: Vec::with_capacity(children.len() / 2), ..Pairs::default() };
                self.mapping(children, &mut pairs)?;
                Ok(Any::Map(pairs.pairs))
            }
        }
    }

    fn mapping(&mut self, children: &[Id], into: &mut Pairs<'t>) -> Result<(), Error> {
        self.enter()?;
        for pair in children.chunks_exact(2) {
            let (key_id, value_id) = (pair[0], pair[1]);
            if self.is_merge(key_id) {
                self.merge(value_id, into)?;
                continue;
            }
            let key = self.value(key_id)?;
            if matches!(key, Any::Seq(_) | Any::Map(_)) {
                return Err(Error::Yaml(format!("invalid map key: {}", go_syntax::value(&key, false))));
            }
            let value = self.value(value_id)?;
            match into.place(&key) {
                Some(_) if self.strictness == Strictness::Refuse => {
                    let line = self.document.nodes[value_id].line;
                    self.repeated
                        .push(format!("line {line}: key {} already set in map", go_syntax::value(&key, false)));
                }
                Some(at) => into.pairs[at].1 = value,
                None => into.add(key, value),
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
    fn merge(&mut self, id: Id, into: &mut Pairs<'t>) -> Result<(), Error> {
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

fn scalar<'t>(tag: Option<&str>, text: &Cow<'t, str>, plain: bool) -> Result<Any<'t>, Error> {
    let own = || Any::Str(text.clone());
    let resolved = match tag {
        None if !plain => return Ok(own()),
        None => resolve_plain(text),
        Some(tag) if is_tag(tag, "binary") => {
            return base64_text(text)
                .map(|text| Any::Str(text.into()))
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
    Some(lossy(&out))
}

/// Bytes as text, as Go's JSON has it: U+FFFD for each byte that belongs to no character.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

fn key_text<'t>(key: Any<'t>, value: &Any<'t>) -> Result<Cow<'t, str>, Error> {
    Ok(match key {
        Any::Str(s) => s,
        Any::Int(i) => i.to_string().into(),
        Any::Bool(b) => if b { "true" } else { "false" }.into(),
        Any::Float(f) => match number::go_float32(f).as_str() {
            "+Inf" => ".inf".into(),
            "-Inf" => "-.inf".into(),
            "NaN" => ".nan".into(),
            text => text.to_string().into(),
        },
        Any::Null | Any::Uint(_) | Any::Seq(_) | Any::Map(_) => {
            return Err(Error::NotJson(format!(
                "unsupported map key of type: {}, key: {}, value: {}",
                go_syntax::type_name(&key),
                go_syntax::value(&key, false),
                go_syntax::value(value, false)
            )));
        }
    })
}

fn tree(any: Any<'_>) -> Result<Tree<'_>, Error> {
    Ok(match any {
        Any::Null => Tree::Null,
        Any::Bool(b) => Tree::Bool(b),
        Any::Int(i) => Tree::Int(i),
        Any::Uint(u) => Tree::Uint(u),
        Any::Float(f) if f.is_finite() => Tree::Float(f),
        Any::Float(f) => return Err(Error::NotJson(format!("json: unsupported value: {}", number::go_float(f)))),
        Any::Str(s) => Tree::Text(s),
        Any::Seq(items) => Tree::List(items.into_iter().map(tree).collect::<Result<_, _>>()?),
        Any::Map(pairs) => {
            let mut entries = Vec::with_capacity(pairs.len());
            for (key, value) in pairs {
                entries.push((key_text(key, &value)?, tree(value)?));
            }
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            // Different keys may have the same text; the last one wins.
            entries.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(&mut later.1, &mut kept.1);
                }
                same
            });
            Tree::Map(entries)
        }
    })
}
