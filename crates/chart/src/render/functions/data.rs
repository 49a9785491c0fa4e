//! Functions that turn values into YAML and JSON and back.

use crate::convert::{map_to_go, to_go, to_json};
use gotemplate::{CallResult, Functions, List, Map, Run, Type, Value};
use goyaml::Expect;

pub(super) fn register(table: &mut Functions) {
    table.fixed("toYaml", &[Type::Any], |_, args| Ok(Value::from(yaml(&args[0]).unwrap_or_default())));
    table.fixed("mustToYaml", &[Type::Any], |_, args| Ok(Value::from(yaml(&args[0])?)));
    table.fixed("toYamlPretty", &[Type::Any], |_, args| {
        let text = to_json(&args[0]).map(|v| goyaml::to_yaml_pretty(&v)).unwrap_or_default();
        Ok(Value::from(trimmed(text)))
    });
    table.fixed("fromYaml", &[Type::Str], from_yaml);
    table.fixed("fromYamlArray", &[Type::Str], from_yaml_array);
    table.fixed("toJson", &[Type::Any], |_, args| {
        Ok(Value::from(to_json(&args[0]).map(|v| goyaml::json_text(&v)).unwrap_or_default()))
    });
    table.fixed("mustToJson", &[Type::Any], |_, args| {
        Ok(Value::from(to_json(&args[0]).map(|v| goyaml::json_text(&v)).map_err(|e| e.to_string())?))
    });
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

fn from_yaml(_: &mut Run<'_>, args: &[Value]) -> CallResult {
    let text = args[0].as_str().unwrap_or_default();
    Ok(Value::Map(match goyaml::unmarshal_as(&text.lossy(), Expect::Map) {
        Ok(serde_json::Value::Object(map)) => map_to_go(&map),
        Ok(_) => Map::new(),
        Err(e) => Map::from_iter([("Error", e.in_conversion())]),
    }))
}

fn from_yaml_array(_: &mut Run<'_>, args: &[Value]) -> CallResult {
    let text = args[0].as_str().unwrap_or_default();
    Ok(match goyaml::unmarshal_as(&text.lossy(), Expect::List) {
        Ok(list) => to_go(&list),
        Err(e) => Value::List(List::new(vec![Value::from(e.in_conversion())])),
    })
}
