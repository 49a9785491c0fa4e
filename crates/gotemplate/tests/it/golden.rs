//! `golden/cases.json` over `golden/data.json`, compared with what Go 1.26 answered.

use std::sync::Arc;

use gotemplate::{Functions, Map, MissingKey, Run, TemplateSet, Value};
use serde_json::Value as Json;

/// JSON as Go decodes it: every number is a float64.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => Value::Float(n.as_f64().expect("a number of the golden data")),
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Json::Object(entries) => Value::Map(entries.iter().map(|(k, v)| (k.as_str(), value(v))).collect::<Map>()),
    }
}

fn render(text: &str, data: &Value) -> Result<String, String> {
    render_with(text, data, MissingKey::Default)
}

fn render_with(text: &str, data: &Value, missing: MissingKey) -> Result<String, String> {
    let mut set = TemplateSet::new(Arc::new(Functions::new())).with_missing_key(missing);
    set.parse("t.yaml", text).map_err(|e| e.to_string())?;
    let output = Arc::new(set).execute("t.yaml", data, &mut Run::default()).map_err(|e| e.to_string())?;
    Ok(output.to_string())
}

#[test]
fn answers_as_go_does() {
    let read = |text: &str| serde_json::from_str::<Json>(text).expect("golden files are JSON");
    let data = value(&read(include_str!("../golden/data.json")));
    let cases = read(include_str!("../golden/cases.json"));
    let answers = read(include_str!("../golden/answers.json"));
    let (cases, answers) = (cases.as_array().unwrap(), answers.as_array().unwrap());
    assert_eq!(cases.len(), answers.len());
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(answers) {
        let text = case[1].as_str().unwrap();
        let expected = match answer["err"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["out"].as_str().unwrap_or_default().to_owned()),
        };
        let got = render(text, &data);
        if got != expected {
            wrong.push(format!("{}: {text}\n  Go:   {expected:?}\n  ours: {got:?}", case[0]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// `language.json` over `language.data.json`: each construct, function, verb and mistake, with Go's answer beside it.
#[test]
fn speaks_the_language() {
    let read = |text: &str| serde_json::from_str::<Json>(text).expect("golden files are JSON");
    let data = value(&read(include_str!("../golden/language.data.json")));
    let cases = read(include_str!("../golden/language.json"));
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 4000, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let missing = match case["missing"].as_str() {
            Some("zero") => MissingKey::Zero,
            Some("error") => MissingKey::Error,
            _ => MissingKey::Default,
        };
        let expected = match case["err"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(case["out"].as_str().unwrap_or_default().to_owned()),
        };
        let got = render_with(text, &data, missing);
        if got != expected {
            wrong.push(format!("{text:?} ({missing:?})\n  Go:   {expected:?}\n  ours: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
