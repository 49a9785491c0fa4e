//! Values to YAML text, by the two ways that Helm has.

use crate::emit::{Node, Style, emit};
use crate::number::{json_text, number_text};
use crate::resolve::{Scalar, resolve_plain};
use crate::{Error, parse};
use serde_json::Value;

/// `value` as `sigs.k8s.io/yaml` writes it: lists at the column of their key, long lines folded at 80 columns, final line
/// break included.
///
/// Errors: the text holds a control character that YAML cannot carry.
pub fn to_yaml(value: &Value) -> Result<String, Error> {
    // Go writes JSON and reads it back as YAML before it writes YAML. For all but a few texts that changes nothing, and
    // those few take the same way here.
    if needs_second_reading(value) {
        let again = parse(&json_text(value))?;
        return Ok(emit(&node(&again), Style::Folded));
    }
    Ok(emit(&node(value), Style::Folded))
}

/// `value` as Helm's `toYamlPretty` writes it: lists indented below their key, nothing folded. Floats keep their `%g` form.
pub fn to_yaml_pretty(value: &Value) -> String {
    emit(&plain_node(value), Style::Pretty)
}

/// YAML gives up on looking for the colon of a key after this many characters.
const SIMPLE_KEY_LIMIT: usize = 1000;

fn needs_second_reading(value: &Value) -> bool {
    let odd = |s: &str| s.chars().any(|c| matches!(c, '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'));
    match value {
        Value::String(s) => odd(s),
        Value::Array(items) => items.iter().any(needs_second_reading),
        Value::Object(map) => map.iter().any(|(k, v)| odd(k) || k.len() > SIMPLE_KEY_LIMIT || needs_second_reading(v)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn build(value: &Value, number: &impl Fn(&serde_json::Number) -> Node) -> Node {
    match value {
        Value::Null => Node::Plain("null".into()),
        Value::Bool(b) => Node::Plain(b.to_string()),
        Value::Number(n) => number(n),
        Value::String(s) => Node::Text(s.clone()),
        Value::Array(items) => Node::List(items.iter().map(|item| build(item, number)).collect()),
        Value::Object(map) => Node::Map(map.iter().map(|(k, v)| (k.clone(), build(v, number))).collect()),
    }
}

/// A value whose numbers have been through JSON text.
fn node(value: &Value) -> Node {
    build(value, &|n| match resolve_plain(&number_text(n)) {
        Scalar::Int(i) => Node::Plain(i.to_string()),
        Scalar::Uint(u) => Node::Plain(u.to_string()),
        Scalar::Float(f) => Node::float(f),
        _ => Node::Plain(n.to_string()),
    })
}

fn plain_node(value: &Value) -> Node {
    build(value, &|n| match n.as_f64() {
        Some(f) if n.is_f64() => Node::float(f),
        _ => Node::Plain(n.to_string()),
    })
}
