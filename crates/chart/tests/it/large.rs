//! Larger charts in the styles that real ones have, with several sets of values each: what real Helm 4.3.1 prints was
//! recorded beside them by `cargo xtask real engine --record`, which compares again with real Helm when it runs.

use crate::charts::strings;
use crate::command::{Template, reader};
use chart::Log;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/charts-large")
}

/// The files of a chart. A file `each.txt` stands for 200 templates that differ in their number.
fn load(name: &str) -> Result<chart::Chart, chart::Error> {
    let mut files = chart::load::directory_files(&data().join(name), &mut Log::default())?;
    if let Some(at) = files.iter().position(|file| file.name == "each.txt") {
        let each = files.remove(at).text().into_owned();
        for number in 0..200 {
            let text = each.replace("@N@", &number.to_string());
            files.push(chart::File::new(format!("templates/t{number:03}.yaml"), text));
        }
    }
    chart::load::files(files, &mut Log::default())
}

fn answer(name: &str, arguments: &[String]) -> Result<String, chart::Error> {
    let template = Template::parse(arguments)?;
    assert_eq!(template.unknown, None, "{name}");
    let mut files = BTreeMap::new();
    for file in &template.user.files {
        files.insert(file.clone(), std::fs::read(data().join(file)).expect("values file"));
    }
    let user = template.user.resolve(reader(&files, ""))?;
    let mut options = template.options;
    options.release_name = "rel".to_owned();
    chart::render(&load(name)?, &user, &options)?.template_output(&template.output)
}

#[test]
fn large_charts_render_as_in_helm() {
    let cases: Value = serde_json::from_slice(&std::fs::read(data().join("cases.json")).expect("cases")).expect("JSON");
    let cases = cases.as_array().expect("a list");
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let name = case["chart"].as_str().expect("chart");
        let arguments = strings(&case["args"]);
        let recorded = data().join(format!("recorded/{number:03}-{name}.txt"));
        let wanted =
            std::fs::read_to_string(&recorded).unwrap_or_else(|error| panic!("{}: {error}", recorded.display()));
        let got = match answer(name, &arguments) {
            Ok(text) if text.len() > 40_000 => format!("ok\nsha256 {}\n", hex(&Sha256::digest(text))),
            Ok(text) => format!("ok\n{text}"),
            Err(error) => format!("error\n{}\n", error.to_string().trim_end()),
        };
        if got != wanted {
            let pair = wanted.lines().zip(got.lines()).enumerate().find(|(_, (a, b))| a != b);
            wrong.push(format!("{number} {name} {arguments:?}: {pair:?} of {} and {} bytes", wanted.len(), got.len()));
        }
    }
    assert!(cases.len() > 70, "only {} cases", cases.len());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
