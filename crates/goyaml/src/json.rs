//! What becomes of a YAML text once Go has turned it into JSON and read that again.

use crate::{Error, Tree, number, parse, parse_tree};
use serde_json::{Number, Value};

/// Applies `change` to every number in `value`.
fn map_numbers(value: &mut Value, change: &impl Fn(&Number) -> Option<Number>) {
    match value {
        Value::Number(n) => {
            if let Some(new) = change(n) {
                *n = new;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| map_numbers(item, change)),
        Value::Object(map) => map.values_mut().for_each(|item| map_numbers(item, change)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Turns floats that Go's JSON writes without point and exponent into integers, as a JSON reader that tells the two apart
/// sees them: `1e3` and `1.0` are integers then.
pub fn with_json_numbers(mut value: Value) -> Value {
    map_numbers(&mut value, &|n| {
        let f = n.as_f64().filter(|_| n.is_f64())?;
        let text = number::json_float(f);
        text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok()
    });
    value
}

/// Turns every number into a float, which is what Go's JSON reader makes of numbers when no type is asked for. Helm's
/// values are read that way.
pub fn with_float_numbers(mut value: Value) -> Value {
    map_numbers(&mut value, &|n| if n.is_f64() { None } else { Number::from_f64(n.as_f64()?) });
    value
}

/// The first document of `text` as JSON: what the API server is sent. Numbers are those of the JSON text.
///
/// Errors: as [`parse`].
pub fn to_json(text: &str) -> Result<Value, Error> {
    parse(text).map(with_json_numbers)
}

/// The first document of `text` as Go decodes it into `interface{}`: all numbers are floats.
///
/// Errors: as [`parse`].
pub fn unmarshal(text: &str) -> Result<Value, Error> {
    parse_tree(text).map(|tree| tree.into_value(true))
}

/// The kind of value that a caller can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// A mapping; Go's `map[string]interface{}`.
    Map,
    /// A list; Go's `[]interface{}`.
    List,
}

/// As [`unmarshal`] into a typed target. Null gives an empty one, as in Go.
///
/// Errors: as [`parse`]; and the value is of another kind ([`Error::Kind`]).
pub fn unmarshal_as(text: &str, expect: Expect) -> Result<Value, Error> {
    tree_as(text, expect).map(|tree| tree.into_value(true))
}

/// As [`unmarshal_as`], without a copy of what the text says. Numbers are as they were written.
///
/// Errors: as [`unmarshal_as`].
pub fn tree_as(text: &str, expect: Expect) -> Result<Tree<'_>, Error> {
    let tree = parse_tree(text)?;
    let wanted = match (&tree, expect) {
        (Tree::Map(_), Expect::Map) | (Tree::List(_), Expect::List) => return Ok(tree),
        (Tree::Null, Expect::Map) => return Ok(Tree::Map(Vec::new())),
        (Tree::Null, Expect::List) => return Ok(Tree::List(Vec::new())),
        (_, Expect::Map) => "map[string]interface {}",
        (_, Expect::List) => "[]interface {}",
    };
    Err(Error::Kind { found: tree.kind(), wanted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_by_purpose() {
        let text = "a: 1e3\nb: 7\nc: 1.5\n";
        assert_eq!(to_json(text), Ok(json!({"a": 1000, "b": 7, "c": 1.5})));
        assert_eq!(unmarshal(text), Ok(json!({"a": 1000.0, "b": 7.0, "c": 1.5})));
    }

    #[test]
    fn kinds() {
        assert_eq!(unmarshal_as("", Expect::Map), Ok(json!({})));
        assert_eq!(
            unmarshal_as("[1]", Expect::Map).unwrap_err().in_conversion(),
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
    }
}
