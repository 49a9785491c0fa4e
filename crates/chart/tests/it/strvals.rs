//! `strvals.golden.json`: `--set` and its kin, and values files.

use crate::charts::{load, strings};
use crate::command::{Template, options, reader};
use chart::{Chart, Log};
use serde_json::Value;
use std::collections::BTreeMap;

/// JSON text of values in a file, control characters escaped as the recorder did.
pub(crate) fn values_text(value: &Value) -> String {
    match value {
        Value::String(raw) => raw.clone(),
        other => other
            .to_string()
            .chars()
            .map(|c| match c {
                '\u{7f}'..'\u{a0}' | '\u{feff}' | '\u{2028}' | '\u{2029}' => format!("\\u{:04x}", c as u32),
                c => c.to_string(),
            })
            .collect(),
    }
}

/// A value with its Go types, as the recording template spells it.
fn typed(value: &Value) -> String {
    match value {
        Value::Null => "nil".into(),
        Value::Bool(b) => format!("bool({b})"),
        Value::Number(n) if n.is_f64() => {
            format!("float64({})", goyaml::number::json_float(n.as_f64().expect("float")))
        }
        Value::Number(n) => format!("int64({n})"),
        Value::String(s) => {
            let mut text = String::new();
            goyaml::number::json_string(&mut text, s, false);
            format!("string({text})")
        }
        Value::Array(items) => format!("[{}]", items.iter().map(typed).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let pairs: Vec<String> = keys
                .into_iter()
                .map(|k| format!("{}: {}", gotemplate::quote::quoted(k.as_bytes()), typed(&map[k])))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

fn answer(case: &Value, log: &mut Log) -> Result<String, String> {
    let mut files = BTreeMap::new();
    for (name, text) in case["files"].as_object().into_iter().flatten() {
        files.insert(name.clone(), text.as_str().expect("text").as_bytes().to_vec());
    }
    let mut chart_files = vec![("Chart.yaml".to_string(), b"apiVersion: v2\nname: sv\nversion: 0.1.0\n".to_vec())];
    if let Some(values) = case.get("chartValues") {
        chart_files.push(("values.yaml".into(), values_text(values).into_bytes()));
    }
    let chart = Chart::from_files(chart_files, &|_| Ok(None)).expect("chart");
    let mut template = Template::parse(&strings(&case["args"])).map_err(|e| e.to_string())?;
    if let Some(values) = case.get("values") {
        files.insert("v.yaml".into(), values_text(values).into_bytes());
        template.user.files.insert(0, "v.yaml".into());
    }
    let stdin = case["stdin"].as_str().unwrap_or_default();
    let user = template.user.resolve(reader(&files, stdin)).map_err(|e| e.to_string())?;
    let rendered = chart::render_logged(&chart, &user, &options("rel", "default"), log).map_err(|e| e.to_string())?;
    Ok(typed(&Value::Object(rendered.values)))
}

#[test]
fn flags_of_values() {
    let mut wrong = Vec::new();
    let cases = load("strvals.golden.json");
    for case in &cases {
        let expected = match case["ok"].as_bool() {
            Some(true) => Ok(case["typed"].as_str().expect("typed").to_string()),
            _ => Err(case["error"].as_str().expect("error").to_string()),
        };
        let mut log = Log::default();
        let got = answer(case, &mut log);
        let lines: Vec<String> = log.0.iter().map(ToString::to_string).collect();
        if got != expected || lines != strings(&case["stderr"]) {
            wrong.push(format!(
                "{} {}\n  want {expected:?} {}\n  got  {got:?} {lines:?}",
                case["name"], case["args"], case["stderr"]
            ));
        }
    }
    assert_eq!(cases.len(), 158);
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
