//! [`Tree`]: a document as it was read, before anybody decides what it is to become.

use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// A value of JSON's kinds. Text is borrowed from the source where it stands there as it is, which spares readers that
/// look at a few keys, or make something of their own of it, the cost of a [`Value`].
#[derive(Debug, Clone, PartialEq)]
pub enum Tree<'t> {
    /// null
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64`.
    Uint(u64),
    /// A number that was not written as a whole one; finite.
    Float(f64),
    /// Text.
    Text(Cow<'t, str>),
    /// A list.
    List(Vec<Tree<'t>>),
    /// A mapping, sorted by key; no key stands twice.
    Map(Vec<(Cow<'t, str>, Tree<'t>)>),
}

impl<'t> Tree<'t> {
    /// The value of a key; `None` also for what is no mapping.
    pub fn get(&self, key: &str) -> Option<&Tree<'t>> {
        let Tree::Map(entries) = self else { return None };
        let at = entries.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&entries[at].1)
    }

    /// The kind, as Go's JSON reader calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Tree::Null => "null",
            Tree::Bool(_) => "bool",
            Tree::Int(_) | Tree::Uint(_) | Tree::Float(_) => "number",
            Tree::Text(_) => "string",
            Tree::List(_) => "array",
            Tree::Map(_) => "object",
        }
    }

    /// The number as a float, when it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Tree::Int(i) => Some(*i as f64),
            Tree::Uint(u) => Some(*u as f64),
            Tree::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// As JSON. `floats` says that all numbers become floats.
    pub(crate) fn into_value(self, floats: bool) -> Value {
        match self {
            Tree::Null => Value::Null,
            Tree::Bool(b) => Value::Bool(b),
            Tree::Int(i) if !floats => Value::from(i),
            Tree::Uint(u) if !floats => Value::from(u),
            number @ (Tree::Int(_) | Tree::Uint(_) | Tree::Float(_)) => {
                number.number().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
            }
            Tree::Text(text) => Value::String(text.into_owned()),
            Tree::List(items) => Value::Array(items.into_iter().map(|item| item.into_value(floats)).collect()),
            Tree::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    map.insert(key.into_owned(), value.into_value(floats));
                }
                Value::Object(map)
            }
        }
    }
}
