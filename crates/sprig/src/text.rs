//! Values as text.

use gotemplate::{Str, Value, format};

/// Any value as a string: strings and bytes as they are, everything else as `%v` prints it.
pub fn to_text(value: &Value) -> Str {
    match value {
        Value::Str(s) => s.clone(),
        other => other.as_bytes().map_or_else(|| format::to_string(other), Str::from),
    }
}

/// The items of a list as strings, nil ones left out; anything else is a list of one.
pub(crate) fn to_texts(value: &Value) -> Vec<Str> {
    match value.to_items() {
        Some(items) => items.iter().filter(|item| !item.is_nil()).map(to_text).collect(),
        None if value.is_nil() => Vec::new(),
        None => vec![to_text(value)],
    }
}
