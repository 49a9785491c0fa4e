//! `functions.golden.json`: one template text each.

use crate::charts::load;
use crate::command::{Template, render_loaded};
use crate::strvals::values_text;
use chart::{Chart, Log};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn base_chart() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/basechart");
    chart::load::directory_files(&root, &mut Log::default())
        .expect("base chart")
        .into_iter()
        .map(|file| (file.name, file.data.to_vec()))
        .collect()
}

fn run(case: &Value, base: &[(String, Vec<u8>)], name: &str, text: &str) -> Result<String, chart::Error> {
    let mut files = base.to_vec();
    files.push((name.to_string(), text.as_bytes().to_vec()));
    if name.ends_with("_case.tpl") {
        let wrap = "result: {{ include \"oracle/templates/_case.tpl\" . | toRawJson }}\n";
        files.push(("templates/zz-wrap.yaml".into(), wrap.as_bytes().to_vec()));
    }
    let chart = Chart::from_files(files, &|_| Ok(None))?;
    let arguments: Vec<String> = crate::charts::strings(&case["args"]);
    let mut template = Template::parse(&arguments)?;
    template.options.release_name = "rel".into();
    template.options.namespace = "space".into();
    template.user.files.insert(0, "v.yaml".into());
    let values = BTreeMap::from([("v.yaml".to_string(), values_text(&case["values"]).into_bytes())]);
    let rendered = render_loaded(&chart, &template, &values, &mut Log::default())?;
    rendered.template_output(&template.output)
}

fn answer(case: &Value, base: &[(String, Vec<u8>)]) -> Result<String, String> {
    let text = case["template"].as_str().expect("template");
    if case["mode"] != "manifest"
        && let Ok(printed) = run(case, base, "templates/_case.tpl", text)
    {
        let (_, body) = printed.split_once("# Source: oracle/templates/zz-wrap.yaml\n").expect("source line");
        let body = body.strip_prefix("result: ").expect("result");
        return Ok(serde_json::from_str(body.trim_end_matches('\n')).expect("JSON text"));
    }
    run(case, base, "templates/case.yaml", text).map_err(|e| e.to_string())
}

#[test]
fn expressions() {
    let base = base_chart();
    let mut wrong = Vec::new();
    let cases = load("functions.golden.json");
    for case in &cases {
        let name = case["name"].as_str().expect("name");
        let expected = match case["ok"].as_bool() {
            Some(true) => Ok(case["output"].as_str().expect("output").to_string()),
            _ => Err(case["error"].as_str().expect("error").to_string()),
        };
        let got = answer(case, &base);
        let same = match (&got, &expected) {
            (Err(got), Err(expected)) if case.get("error_len").is_some() => {
                got.starts_with(expected.as_str()) && got.len() as u64 == case["error_len"].as_u64().expect("length")
            }
            (got, expected) => got == expected,
        };
        if !same {
            let mut shown = format!("{got:?}");
            shown.truncate(shown.floor_char_boundary(700));
            wrong.push(format!("{name} {}\n  want {expected:?}\n  got  {shown}", case["template"]));
        }
    }
    assert_eq!(cases.len(), 833);
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
