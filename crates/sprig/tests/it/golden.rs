//! `golden/functions.json`: expressions with their values, and what Helm 4.3 answered. Those that need more than Go's
//! templates and Sprig (charts, files, YAML) are left to the crate that knows about charts.

use std::sync::Arc;

use gotemplate::{Error, Functions, Limits, Map, MissingKey, NamedType, Run, TemplateSet, Type, Value};
use serde_json::Value as Json;

use crate::environment;

const FILE: &str = "oracle/templates/case.yaml";

/// Objects that belong to charts.
const OBJECTS_OF_CHARTS: [&str; 3] = [".Files", ".Capabilities", ".Subcharts"];

/// Functions that Helm adds to Sprig's, as far as cases come to miss them first.
const FUNCTIONS_OF_HELM: [&str; 17] = [
    "durationRoundTo",
    "durationSeconds",
    "fromJsonArray",
    "fromToml",
    "fromYaml",
    "fromYamlArray",
    "getHostByName",
    "include",
    "lookup",
    "mustToDuration",
    "mustToToml",
    "mustToYaml",
    "required",
    "toToml",
    "toYaml",
    "toYamlPretty",
    "tpl",
];

/// Cases about what Helm does around the engine or instead of Sprig: several documents of values, a `fromJson` of its
/// own, byte order marks, marks in messages, errors about functions behind `tpl` and `include`.
const OF_HELM: [&str; 8] = [
    "yaml-multi-doc-values",
    "j-fromJson-bad",
    "j-fromJson-list",
    "j-fromJson-empty",
    "h-tpl-func-error",
    "misc-bom",
    "misc-error-fail-markers",
    "misc-error-long-location",
];

static VALUES: NamedType = NamedType { name: "common.Values", underlying: Type::ANY_MAP, methods: &[] };

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

/// The root object of a chart, as far as the expressions look at it.
fn root(values: &Json) -> Value {
    let values = value(values);
    let values = values.as_map().map(|map| map.retyped(Type::Named(&VALUES))).unwrap_or_default();
    let chart = serde_json::json!({
        "Name": "oracle", "Version": "1.2.3", "AppVersion": "9.8", "Description": "Base chart for expression cases",
        "Type": "application", "APIVersion": "v2", "Home": "https://oracle.example/home", "Condition": "",
        "Icon": "https://oracle.example/icon.png", "KubeVersion": ">=1.20.0-0", "Deprecated": false, "Tags": "",
        "Keywords": ["alpha", "beta"], "Sources": ["https://oracle.example/src"], "Dependencies": [], "IsRoot": true,
        "Maintainers": [
            {"Name": "Ann", "Email": "ann@oracle.example", "URL": "https://oracle.example/ann"},
            {"Name": "Bob", "Email": "", "URL": ""}
        ]
    });
    let chart = value(&chart);
    if let Some(map) = chart.as_map() {
        let annotations = Map::typed(Type::STRING_MAP);
        annotations.insert("oracle/key", "some value");
        annotations.insert("plain", "42");
        map.insert("Annotations", annotations);
    }
    let release = Map::from_iter([("Name", "rel"), ("Namespace", "space"), ("Service", "Helm")]);
    release.insert("Revision", Value::Int(1));
    release.insert("IsInstall", true);
    release.insert("IsUpgrade", false);
    let template = Map::from_iter([("Name", FILE), ("BasePath", "oracle/templates")]);
    Value::Map(Map::from_iter([
        ("Values", Value::Map(values)),
        ("Release", Value::Map(release)),
        ("Chart", chart),
        ("Template", Value::Map(template)),
    ]))
}

/// An error in the shape that Helm gives it.
fn as_helm_says(error: &Error) -> String {
    match error {
        Error::Parse(error) => {
            let message = error.message.rsplit(": ").next().unwrap_or_default();
            format!("parse error at ({}:{}): {message}", error.template, error.line)
        }
        Error::Exec(at) => match &at.cause {
            Some(cause) if cause.function == "fail" => {
                format!("execution error at ({}:{}:{}): {}", at.file, at.line, at.column, cause.error)
            }
            Some(_) => error.to_string(),
            None => format!(
                "{}:{}:{}\n  executing {:?} at <{}>:\n    {}",
                at.file, at.line, at.column, &*at.template, at.context, at.message
            ),
        },
        other => other.to_string(),
    }
}

fn render(text: &str, data: &Value, functions: &Arc<Functions>) -> Result<String, Error> {
    let mut set = TemplateSet::new(functions.clone()).with_missing_key(MissingKey::Zero);
    set.parse(FILE, text)?;
    let output = Arc::new(set).execute(FILE, data, &mut Run::new(Limits::default()))?;
    // Helm takes this text out of everything that it renders.
    Ok(output.to_string().replace("<no value>", ""))
}

/// The function that is missing here, unless the case is about a missing function.
fn missing_function(error: &Error, expected: &Result<String, String>) -> Option<String> {
    let Error::Parse(parse) = error else { return None };
    let name = parse.message.strip_prefix("function \"")?.strip_suffix("\" not defined")?;
    let wanted = expected.as_ref().err().is_some_and(|text| text.contains("not defined"));
    (!wanted).then(|| name.to_owned())
}

#[test]
fn answers_as_helm_does() {
    let cases: Json = serde_json::from_str(include_str!("../golden/functions.json")).expect("golden files are JSON");
    let functions = Arc::new(sprig::functions(&environment()));
    let (mut passed, mut wrong, mut skipped, mut missing) = (0, Vec::new(), Vec::new(), Vec::new());
    for case in cases.as_array().expect("a list of cases") {
        let (name, text) = (case["name"].as_str().unwrap(), case["template"].as_str().unwrap());
        if OBJECTS_OF_CHARTS.iter().any(|part| text.contains(part)) || OF_HELM.contains(&name) {
            skipped.push(name.to_owned());
            continue;
        }
        let expected = match case["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(case["output"].as_str().unwrap().to_owned()),
        };
        let got = render(text, &root(&case["values"]), &functions);
        if let Some(function) = got.as_ref().err().and_then(|error| missing_function(error, &expected)) {
            skipped.push(name.to_owned());
            missing.push(function);
            continue;
        }
        let got = got.map_err(|error| as_helm_says(&error));
        if got == expected {
            passed += 1;
        } else {
            wrong.push(format!("{name}: {text}\n  Helm: {expected:?}\n  ours: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ, {passed} agree\n{}", wrong.len(), wrong.join("\n"));
    assert!(passed >= 594, "only {passed} cases ran; left out: {skipped:#?}");
    missing.sort();
    missing.dedup();
    assert_eq!(missing, FUNCTIONS_OF_HELM);
}

/// `golden/sprig.json` over `golden/sprig.data.json`: each function with ordinary, odd and wrong arguments, and what
/// Sprig 3.3 on Go 1.26 answered: the text, or null and the error.
#[test]
fn answers_as_sprig_does() {
    let read = |text: &str| serde_json::from_str::<Json>(text).expect("golden files are JSON");
    let data = value(&read(include_str!("../golden/sprig.data.json")));
    let cases = read(include_str!("../golden/sprig.json"));
    let cases = cases.as_array().expect("a list of cases");
    assert!(cases.len() > 10_000, "only {} cases", cases.len());
    let functions = Arc::new(sprig::functions(&environment()));
    let mut wrong = Vec::new();
    for case in cases {
        let text = case[0].as_str().unwrap();
        let expected = case[1].as_str().map(str::to_owned).ok_or_else(|| case[2].as_str().unwrap().to_owned());
        let mut set = TemplateSet::new(functions.clone()).with_missing_key(MissingKey::Zero);
        let parsed = set.parse("t", text);
        let got = parsed.and_then(|()| Arc::new(set).execute("t", &data, &mut Run::default()));
        let got = got.map(|output| output.to_string()).map_err(|error| error.to_string());
        if got != expected {
            wrong.push(format!("{text}\n  Go:   {expected:?}\n  ours: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
