//! Looking up dotted paths.

use gotemplate::{Map, Value};

/// The mapping at `path`. Errors: the name of the first part that is not one.
pub(super) fn table(map: &Map, path: &str) -> Result<Map, String> {
    let mut current = map.clone();
    for part in path.split('.') {
        current = match current.get(part) {
            Some(Value::Map(next)) => next,
            _ => return Err(part.to_string()),
        };
    }
    Ok(current)
}

/// The value at `path` that is no mapping, if there is one.
pub(super) fn value(map: &Map, path: &str) -> Option<Value> {
    let (parent, last) = match path.rsplit_once('.') {
        Some((parents, last)) => (table(map, parents).ok()?, last),
        None => (map.clone(), path),
    };
    parent.get(last).filter(|v| !matches!(v, Value::Map(_)))
}
