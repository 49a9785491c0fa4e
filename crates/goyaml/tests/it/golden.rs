//! `data/cases.json` are our questions, `data/answers.json` what Go's `sigs.k8s.io/yaml` 1.6.0 answered.

use serde_json::Value;

fn load(name: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("data file")).expect("JSON")
}

fn compare(section: &str, answer: impl Fn(&Value) -> Result<String, String>) {
    let (cases, answers) = (load("cases.json"), load("answers.json"));
    let (cases, answers) = (cases[section].as_array().expect("cases"), answers[section].as_array().expect("answers"));
    assert_eq!(cases.len(), answers.len());
    assert!(cases.len() > 100);
    let mut wrong = Vec::new();
    for (case, expected) in cases.iter().zip(answers) {
        let expected = match expected.get("out") {
            Some(out) => Ok(out.as_str().expect("text").to_string()),
            None => Err(expected["err"].as_str().expect("text").to_string()),
        };
        let got = answer(&case[1]);
        if got != expected {
            wrong.push(format!("{}: {}\n  want {expected:?}\n  got  {got:?}", case[0], case[1]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn parse() {
    compare("parse", |case| {
        goyaml::parse(case.as_str().expect("text")).map(|v| goyaml::json_text(&v)).map_err(|e| e.to_string())
    });
}

#[test]
fn emit() {
    // The values were asked for as Go's JSON reader holds them.
    compare("emit", |case| goyaml::to_yaml(&goyaml::with_float_numbers(case.clone())).map_err(|e| e.to_string()));
}
