//! `charts.golden.json`: small charts, rendered whole.

use crate::command::{Template, render};
use chart::Log;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) fn load(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("data file")).expect("JSON")
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    value.as_array().map(|a| a.iter().map(|s| s.as_str().expect("text").to_string()).collect()).unwrap_or_default()
}

/// Findings of a schema come in any order; sort those of each chart.
pub(crate) fn sort_findings(error: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut block: Vec<String> = Vec::new();
    let flush = |block: &mut Vec<String>, out: &mut Vec<String>| {
        block.sort();
        out.append(block);
    };
    for line in error.split('\n') {
        if line.starts_with("- at ") {
            block.push(line.to_string());
        } else if line.starts_with("  ") && !block.is_empty() {
            let last = block.last_mut().expect("a finding");
            last.push('\n');
            last.push_str(line);
        } else {
            flush(&mut block, &mut out);
            out.push(line.to_string());
        }
    }
    flush(&mut block, &mut out);
    out.join("\n")
}

/// Cases of `template` that are about the command line alone, which is not this crate's.
const COMMAND_LINE: &[&str] = &[
    "name-template",
    "name-template-and-name",
    "name-invalid",
    "name-too-long",
    "three-args",
    "chart-path-missing",
    "unknown-flag",
    "no-args",
    "repo-install-unknown-repo",
];

/// The answer to one case: what is printed, or the error.
fn answer(case: &Value, log: &mut Log) -> (Result<String, String>, BTreeMap<String, String>, bool) {
    let directory = tempfile::tempdir().expect("directory");
    let mut files = BTreeMap::new();
    for (name, text) in case["files"].as_object().expect("files") {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        let text = text.as_str().expect("text");
        std::fs::write(&path, text).expect("file");
        files.insert(name.clone(), text.as_bytes().to_vec());
    }
    let mut produced = BTreeMap::new();
    let arguments = strings(&case["cmd"]);
    let mut run = || -> Result<String, chart::Error> {
        let mut template = Template::parse(&arguments[1..])?;
        assert_eq!(template.unknown, None);
        let chart_name = template.args.pop().expect("chart");
        if let Some(name) = template.args.pop() {
            template.options.release_name = name;
        }
        let mut local = Log::default();
        let result = render(&directory.path().join(&chart_name), &template, &files, &mut local);
        *log = local;
        let rendered = result?;
        if let Some(into) = &template.output_dir {
            let mut text = String::new();
            let into = if template.use_release_name {
                format!("{into}/{}", template.options.release_name)
            } else {
                into.clone()
            };
            for file in rendered.output_files(&template.output) {
                let path = format!("{into}/{}", file.path);
                text.push_str(&format!("wrote {path}\n"));
                produced.entry(path).or_insert_with(String::new).push_str(&file.content);
            }
            text.push('\n');
            return Ok(text);
        }
        rendered.template_output(&template.output)
    };
    let prefix = format!("{}/", directory.path().display());
    let result = run();
    let hint = result.as_ref().is_err_and(|e| e.has_debug_hint());
    for line in &mut log.0 {
        for (_, value) in &mut line.fields {
            *value = value.replace(&prefix, "");
        }
    }
    (result.map_err(|e| sort_findings(e.to_string().replace(&prefix, "").trim_end())), produced, hint)
}

#[test]
fn templates() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for case in load("charts.golden.json") {
        let name = case["name"].as_str().expect("name");
        let is_template = case["cmd"][0] == "template";
        if !is_template || COMMAND_LINE.contains(&name) || case.get("prepare").is_some() {
            continue;
        }
        asked += 1;
        let expected = match case["ok"].as_bool() {
            Some(true) => Ok(case["output"].as_str().expect("output").to_string()),
            _ => Err(case["error"].as_str().expect("error").to_string()),
        };
        let mut log = Log::default();
        let (got, produced, hint) = answer(&case, &mut log);
        let mut lines: Vec<String> = log.0.iter().map(ToString::to_string).collect();
        let mut expected_lines = strings(&case["stderr"]);
        lines.sort();
        expected_lines.sort();
        let mut complaint = String::new();
        if got != expected {
            complaint.push_str(&format!("  want {expected:?}\n  got  {got:?}\n"));
        }
        if hint != case["hint"].as_bool().unwrap_or(false) {
            complaint.push_str(&format!("  hint: {hint}\n"));
        }
        lines.dedup();
        expected_lines.dedup();
        if lines != expected_lines {
            complaint.push_str(&format!("  want log {expected_lines:?}\n  got  log {lines:?}\n"));
        }
        for (path, text) in case["produced"].as_object().into_iter().flatten() {
            if produced.get(path).map(String::as_str) != text.as_str() {
                complaint.push_str(&format!("  {path}: want {text:?}, got {:?}\n", produced.get(path)));
            }
        }
        if !complaint.is_empty() {
            wrong.push(format!("{name}:\n{complaint}"));
        }
    }
    assert!(asked > 150, "only {asked} cases");
    assert!(wrong.is_empty(), "{} of {asked} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn lints() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for case in load("charts.golden.json").into_iter().filter(|case| case["cmd"][0] == "lint") {
        asked += 1;
        let directory = tempfile::tempdir().expect("directory");
        for (name, text) in case["files"].as_object().expect("files") {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            std::fs::write(&path, text.as_str().expect("text")).expect("file");
        }
        let arguments = strings(&case["cmd"]);
        let flag = |name: &str| arguments.iter().any(|a| a == name);
        let mut paths: Vec<String> =
            arguments[1..].iter().filter(|a| !a.starts_with('-')).map(ToString::to_string).collect();
        let prefix = format!("{}/", directory.path().display());
        if flag("--with-subcharts") {
            for path in paths.clone() {
                let below = chart::lint::subcharts(&directory.path().join(path));
                paths.extend(below.iter().map(|p| p.display().to_string().replace(&prefix, "")));
            }
        }
        let options =
            chart::lint::LintOptions { render: crate::command::options("test-release", "default"), kube_version: None };
        let mut log = Log::default();
        let (mut text, mut failed) = (String::new(), 0);
        let mut quiet_all = flag("--quiet");
        for path in &paths {
            let lowest = if flag("--strict") { chart::lint::Severity::Warning } else { chart::lint::Severity::Error };
            let result = chart::lint::lint(&directory.path().join(path), &Default::default(), &options, &mut log);
            let bad = result.as_ref().map_or(true, |f| f.iter().any(|f| f.severity > chart::lint::Severity::Info));
            if flag("--quiet") && !bad {
                continue;
            }
            quiet_all = false;
            text.push_str(&format!("==> Linting {path}\n"));
            match result {
                Ok(findings) => {
                    failed += usize::from(findings.iter().any(|f| f.severity >= lowest));
                    for finding in findings {
                        text.push_str(&format!("{finding}\n"));
                    }
                }
                Err(e) => {
                    failed += 1;
                    text.push_str(&format!("Error {e}\n"));
                }
            }
            text.push('\n');
        }
        if failed == 0 && !quiet_all {
            text.push_str(&format!("{} chart(s) linted, 0 chart(s) failed\n", paths.len()));
        }
        let text = text.replace(&format!("{}/", directory.path().display()), "$TMP/");
        let text = text.replace("stat $TMP/", "stat ");
        let expected = case["output"].as_str().expect("output");
        let lines: Vec<String> = log.0.iter().map(ToString::to_string).collect();
        if sort_findings(&text) != sort_findings(expected) || lines != strings(&case["stderr"]) {
            wrong.push(format!("{}:\n  want {expected:?}\n  got  {text:?}\n  log {lines:?}", case["name"]));
        }
    }
    assert_eq!(asked, 20);
    assert!(wrong.is_empty(), "{} of {asked} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn shows() {
    let mut asked = 0;
    for case in load("charts.golden.json").into_iter().filter(|case| case["cmd"][0] == "show") {
        let arguments = strings(&case["cmd"]);
        let (true, [_, part, name]) = (case.get("env").is_none(), arguments.as_slice()) else { continue };
        asked += 1;
        let part = match part.as_str() {
            "all" => chart::show::Part::All,
            "chart" => chart::show::Part::Chart,
            "values" => chart::show::Part::Values,
            "readme" => chart::show::Part::Readme,
            "crds" => chart::show::Part::Crds,
            other => panic!("unknown part {other}"),
        };
        let prefix = format!("{name}/");
        let files = case["files"].as_object().expect("files").iter().filter_map(|(name, text)| {
            Some((name.strip_prefix(&prefix)?.to_string(), text.as_str()?.as_bytes().to_vec()))
        });
        let chart = chart::Chart::from_files(files.collect(), &|_| Ok(None)).expect("chart");
        assert_eq!(chart::show::show(&chart, part).as_deref(), Ok(case["output"].as_str().expect("output")));
    }
    assert_eq!(asked, 5);
}
