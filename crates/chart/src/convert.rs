//! Between values as data ([`serde_json::Value`]) and values as templates see them ([`gotemplate::Value`]).

use crate::Values;
use gotemplate::{List, Map, Str, Type, Value as Go};
use goyaml::Tree;
use serde_json::{Number, Value};

/// A value as a template sees it. Floats stay floats, integers become `int64`.
pub fn to_go(value: &Value) -> Go {
    match value {
        Value::Null => Go::Nil,
        Value::Bool(b) => Go::Bool(*b),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) if !n.is_f64() => Go::Int64(i),
            (_, Some(u)) if !n.is_f64() => Go::Uint64(u),
            _ => Go::Float(n.as_f64().unwrap_or(0.0)),
        },
        Value::String(s) => Go::from(s.as_str()),
        Value::Array(items) => Go::List(List::new(items.iter().map(to_go).collect())),
        Value::Object(map) => Go::Map(map_to_go(map)),
    }
}

/// What was read from YAML as a template sees it: all numbers are floats.
pub(crate) fn tree_to_go(tree: &Tree<'_>) -> Go {
    match tree {
        Tree::Null => Go::Nil,
        Tree::Bool(b) => Go::Bool(*b),
        Tree::Int(_) | Tree::Uint(_) | Tree::Float(_) => Go::Float(tree.number().unwrap_or_default()),
        Tree::Text(text) => Go::from(&**text),
        Tree::List(items) => Go::List(List::new(items.iter().map(tree_to_go).collect())),
        Tree::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (Str::from(&**key), tree_to_go(value)));
            Go::Map(Map::from_entries(Type::ANY_MAP, entries))
        }
    }
}

/// A mapping as a template sees it, sharing nothing with any other.
pub fn map_to_go(map: &Values) -> Map {
    map_of_type(map, Type::ANY_MAP)
}

fn map_of_type(map: &Values, ty: Type) -> Map {
    Map::from_entries(ty, map.iter().map(|(k, v)| (Str::from(k.as_str()), to_go(v))))
}

/// How deep a value may nest before it is taken for one that contains itself.
const MAX_DEPTH: usize = 1000;

/// Why a value has no JSON form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoJson {
    /// It contains itself, or nests too deep to tell.
    TooDeep,
    /// It holds a number that JSON cannot write.
    Number(String),
    /// It holds something of a type that has no JSON form.
    Type(String),
}

impl std::fmt::Display for NoJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoJson::TooDeep => f.write_str("json: unsupported value: encountered a cycle"),
            NoJson::Number(n) => write!(f, "json: unsupported value: {n}"),
            NoJson::Type(t) => write!(f, "json: unsupported type: {t}"),
        }
    }
}

/// A template's value as data, the way Go's `encoding/json` sees it: bytes are base64, objects speak for themselves.
///
/// Errors: the value contains itself, or something without a JSON form.
pub fn to_json(value: &Go) -> Result<Value, NoJson> {
    json(value, 0)
}

/// As [`to_json`] for a mapping.
pub fn map_to_json(map: &Map) -> Result<Values, NoJson> {
    json_map(map, 0)
}

fn json_map(map: &Map, depth: usize) -> Result<Values, NoJson> {
    map.entries().iter().map(|(k, v)| Ok((k.lossy().into_owned(), json(v, depth + 1)?))).collect()
}

fn json(value: &Go, depth: usize) -> Result<Value, NoJson> {
    if depth > MAX_DEPTH {
        return Err(NoJson::TooDeep);
    }
    let float =
        |f: f64| Number::from_f64(f).map(Value::Number).ok_or_else(|| NoJson::Number(goyaml::number::go_float(f)));
    Ok(match value {
        Go::Nil => Value::Null,
        Go::Bool(b) => Value::Bool(*b),
        Go::Int(i) | Go::Int64(i) => Value::from(*i),
        Go::Int32(i) => Value::from(*i),
        Go::Uint(u) | Go::Uint64(u) => Value::from(*u),
        Go::Uint8(u) => Value::from(*u),
        Go::Float(f) => float(*f)?,
        Go::Complex(..) => return Err(NoJson::Type("complex128".into())),
        Go::Str(s) => Value::String(s.lossy().into_owned()),
        Go::Bytes(bytes) => {
            use base64::Engine;
            Value::String(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        Go::List(list) if list.is_nil() => Value::Null,
        Go::List(list) => Value::Array(list.items().iter().map(|v| json(v, depth + 1)).collect::<Result<_, _>>()?),
        Go::Map(map) if map.is_nil() => Value::Null,
        Go::Map(map) => Value::Object(json_map(map, depth)?),
        Go::Object(object) => match object.marshal().or_else(|| object.basic()) {
            Some(inner) => json(&inner, depth + 1)?,
            None => Value::Object(
                object
                    .json_fields()
                    .into_iter()
                    .map(|(name, v)| Ok((name.to_string(), json(&v, depth + 1)?)))
                    .collect::<Result<_, _>>()?,
            ),
        },
    })
}
