//! Functions that turn values into YAML and JSON and back.

use crate::convert::{to_json, tree_to_go};
use gotemplate::{CallResult, FuncError, Functions, List, Map, Run, Type, Value};
use goyaml::{Expect, Node, Style};

/// How deep a value may nest before it is taken for one that contains itself.
const MAX_DEPTH: usize = 1000;

pub(super) fn register(table: &mut Functions) {
    table.fixed("toYaml", &[Type::Any], |_, args| Ok(Value::from(yaml(&args[0]).unwrap_or_default())));
    table.fixed("mustToYaml", &[Type::Any], |_, args| Ok(Value::from(yaml(&args[0])?)));
    table.fixed("toYamlPretty", &[Type::Any], |_, args| {
        Ok(Value::from(trimmed(goyaml::emit(&pretty(&args[0], 0)?, Style::Pretty))))
    });
    table.fixed("fromYaml", &[Type::Str], from_yaml);
    table.fixed("fromYamlArray", &[Type::Str], from_yaml_array);
    let json = |value: &Value| sprig::json::encode(value, sprig::json::Style::default());
    table.fixed("toJson", &[Type::Any], move |_, args| Ok(Value::from(json(&args[0]).unwrap_or_default())));
    table.fixed("mustToJson", &[Type::Any], move |_, args| {
        json(&args[0]).map(Value::from).map_err(|e| FuncError::Message(e.to_string()))
    });
    table.fixed("fromJson", &[Type::Str], from_json);
    table.fixed("fromJsonArray", &[Type::Str], from_json_array);
    table.go_deep(&["toYaml", "mustToYaml", "toYamlPretty", "toJson", "mustToJson"]);
}

/// What `encoding/json` calls the kind of a value, for its complaint about another one being wanted.
fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "null",
        Value::Bool(_) => "bool",
        Value::Str(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
        _ => "number",
    }
}

fn mismatch(value: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", json_kind(value))
}

/// Is the text a number alone? One that no float holds is refused for its kind before its size.
fn is_number(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.first().is_some_and(|b| matches!(b, b'-' | b'0'..=b'9'))
        && text.last().is_some_and(u8::is_ascii_digit)
        && text.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
}

fn from_json(_: &mut Run<'_>, args: &[Value]) -> CallResult {
    let text = args[0].as_str().unwrap_or_default();
    let error = match sprig::json::decode(&text) {
        Ok(map @ Value::Map(_)) => return Ok(map),
        // Go makes a map nil when it reads null into it.
        Ok(Value::Nil) => return Ok(Value::Map(Map::nil(Type::ANY_MAP))),
        Ok(other) => mismatch(&other, "map[string]interface {}"),
        Err(e) if e.to_string().contains("number") && is_number(&text) => {
            mismatch(&Value::Int(0), "map[string]interface {}")
        }
        Err(e) => e.to_string(),
    };
    Ok(Value::Map(Map::from_iter([("Error", error)])))
}

fn from_json_array(_: &mut Run<'_>, args: &[Value]) -> CallResult {
    let text = args[0].as_str().unwrap_or_default();
    let error = match sprig::json::decode(&text) {
        Ok(list @ Value::List(_)) => return Ok(list),
        Ok(Value::Nil) => return Ok(Value::List(List::nil(Type::ANY_LIST))),
        Ok(other) => mismatch(&other, "[]interface {}"),
        Err(e) if e.to_string().contains("number") && is_number(&text) => mismatch(&Value::Int(0), "[]interface {}"),
        Err(e) => e.to_string(),
    };
    Ok(Value::List(List::new(vec![Value::from(error)])))
}

fn trimmed(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

fn yaml(value: &Value) -> Result<String, String> {
    let plain = to_json(value).map_err(|e| format!("error marshaling into JSON: {e}"))?;
    goyaml::to_yaml(&plain).map(trimmed).map_err(|e| e.to_string())
}

/// A value as the third version of Go's YAML library sees it. That one does not go through JSON: bytes are a list of numbers,
/// and the fields of structs keep their order and have small letters.
fn pretty(value: &Value, depth: usize) -> Result<Node, FuncError> {
    if depth > MAX_DEPTH {
        return Err("the value contains itself".into());
    }
    let list =
        |items: &[Value]| items.iter().map(|item| pretty(item, depth + 1)).collect::<Result<_, _>>().map(Node::List);
    match value {
        Value::Nil => Ok(Node::Plain("null".into())),
        Value::Complex(..) => Err("cannot marshal type: complex128".into()),
        Value::Float(f) => Ok(Node::float(*f)),
        Value::Str(text) => Ok(Node::Text(text.lossy().into_owned())),
        Value::Bytes(bytes) => Ok(Node::List(bytes.iter().map(|byte| Node::Plain(byte.to_string())).collect())),
        Value::List(items) => list(items.items()),
        Value::Map(map) => {
            let entries = map.entries().into_iter().map(|(k, v)| Ok((k.lossy().into_owned(), pretty(&v, depth + 1)?)));
            entries.collect::<Result<_, FuncError>>().map(Node::Map)
        }
        Value::Object(object) => {
            let shown =
                if value.downcast::<sprig::Duration>().is_some() { object.text().map(Value::from) } else { None };
            match shown.or_else(|| object.marshal()).or_else(|| object.basic()) {
                Some(Value::Str(text)) if value.downcast::<sprig::Time>().is_some() => {
                    Ok(Node::Plain(text.lossy().into_owned()))
                }
                Some(inner) => pretty(&inner, depth + 1),
                None => {
                    let fields = object.fields().into_iter();
                    let fields = fields.map(|(name, v)| Ok((name.to_lowercase(), pretty(&v, depth + 1)?)));
                    fields.collect::<Result<_, FuncError>>().map(Node::Record)
                }
            }
        }
        plain => Ok(Node::Plain(gotemplate::format::to_string(plain).lossy().into_owned())),
    }
}

fn from_yaml(run: &mut Run<'_>, args: &[Value]) -> CallResult {
    let text = args[0].as_str().unwrap_or_default();
    run.work(text.len() as u64 / 2)?;
    Ok(match goyaml::tree_as(&text.lossy(), Expect::Map) {
        Ok(tree) => tree_to_go(&tree),
        Err(e) => Value::Map(Map::from_iter([("Error", e.in_conversion())])),
    })
}

fn from_yaml_array(run: &mut Run<'_>, args: &[Value]) -> CallResult {
    let text = args[0].as_str().unwrap_or_default();
    run.work(text.len() as u64 / 2)?;
    Ok(match goyaml::tree_as(&text.lossy(), Expect::List) {
        Ok(tree) => tree_to_go(&tree),
        Err(e) => Value::List(List::new(vec![Value::from(e.in_conversion())])),
    })
}
