//! Real Helm as the judge of the larger charts in the engine's tests: `template` with every set of values, `lint`, `show all`,
//! `package`. With `--record` it writes down what Helm prints, for the tests that have no Helm.

use crate::go_program::HELM;
use crate::programs::{husk, on_path, root, run};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Outputs longer than this are recorded as a checksum.
const LONG: usize = 40_000;

pub(crate) fn check(given_husk: Option<PathBuf>, given_helm: Option<PathBuf>, record: bool) -> Result<(), String> {
    let helm = match given_helm.or_else(|| on_path("helm")) {
        Some(helm) => helm,
        None => HELM.built()?,
    };
    let data = root().join("crates/chart/tests/data/charts-large");
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    run(Command::new("cp").arg("-r").arg(&data).arg(place.path()))?;
    let charts = place.path().join("charts-large");
    multiply(&charts.join("many"))?;
    let cases = std::fs::read(data.join("cases.json")).map_err(|error| error.to_string())?;
    let cases: Vec<Value> = serde_json::from_slice(&cases).map_err(|error| error.to_string())?;
    if record {
        return cases.iter().enumerate().try_for_each(|(number, case)| write_down(&helm, &data, &charts, number, case));
    }
    let husk = husk(given_husk)?;
    let mut commands: Vec<Vec<String>> = cases.iter().map(template).collect();
    let mut names: Vec<&str> = cases.iter().filter_map(|case| case["chart"].as_str()).collect();
    names.dedup();
    for name in &names {
        commands.extend([vec!["lint", name], vec!["lint", "--strict", name], vec!["show", "all", name]].map(owned));
    }
    let mut different = 0;
    for command in &commands {
        let theirs = said(&helm, &[], command, &charts)?;
        let ours = said(&husk, &["helm"], command, &charts)?;
        if theirs != ours {
            different += 1;
            let pair = theirs.lines().zip(ours.lines()).enumerate().find(|(_, (a, b))| a != b);
            println!("{}: {pair:?}", command.join(" "));
        }
    }
    for name in &names {
        let theirs = packed(&helm, &[], name, &charts, "theirs")?;
        let ours = packed(&husk, &["helm"], name, &charts, "ours")?;
        if theirs != ours {
            different += 1;
            println!("package {name}: the archives differ");
        }
    }
    println!("{} passed, {different} failed", commands.len() + names.len() - different);
    if different == 0 { Ok(()) } else { Err("husk and helm do not say the same".to_owned()) }
}

fn owned(words: Vec<&str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn template(case: &Value) -> Vec<String> {
    let name = case["chart"].as_str().unwrap_or_default();
    let args = case["args"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    owned(vec!["template", "rel", name]).into_iter().chain(args).collect()
}

/// `each.txt` stands for 200 templates that differ in their number.
fn multiply(chart: &Path) -> Result<(), String> {
    let each = chart.join("each.txt");
    let text = std::fs::read_to_string(&each).map_err(|error| error.to_string())?;
    for number in 0..200 {
        let path = chart.join(format!("templates/t{number:03}.yaml"));
        std::fs::write(path, text.replace("@N@", &number.to_string())).map_err(|error| error.to_string())?;
    }
    std::fs::remove_file(each).map_err(|error| error.to_string())
}

fn command(program: &Path, before: &[&str], words: &[String], directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(before).args(words).current_dir(directory).env("TZ", "UTC");
    command
}

/// What a call prints and how it ends. Log lines carry the time of day and are left out.
fn said(program: &Path, before: &[&str], words: &[String], directory: &Path) -> Result<String, String> {
    let output = command(program, before, words, directory).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let errors: String =
        text(&output.stderr).lines().filter(|l| !l.starts_with("level=")).map(|l| format!("{l}\n")).collect();
    Ok(format!("{:?}\n{}{errors}", output.status.code(), text(&output.stdout)))
}

/// The files of a packaged chart with their sizes and bytes, in the archive's order.
fn packed(program: &Path, before: &[&str], name: &str, charts: &Path, into: &str) -> Result<Vec<u8>, String> {
    let place = charts.join(into);
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    let words = owned(vec!["package", name, "-d", into]);
    run(&mut command(program, before, &words, charts))?;
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(&place).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let file = std::fs::File::open(&path).map_err(|error| error.to_string())?;
        GzDecoder::new(file).read_to_end(&mut bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        std::fs::remove_file(path).map_err(|error| error.to_string())?;
    }
    Ok(bytes)
}

fn write_down(helm: &Path, data: &Path, charts: &Path, number: usize, case: &Value) -> Result<(), String> {
    let words = template(case);
    let output = command(helm, &[], &words, charts).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let recorded = if output.status.success() {
        let shown = text(&output.stdout);
        if shown.len() > LONG {
            let place = charts.join("long");
            std::fs::write(&place, &shown).map_err(|error| error.to_string())?;
            let sum = run(Command::new("sha256sum").arg(&place))?;
            format!("ok\nsha256 {}\n", text(&sum.stdout).split_whitespace().next().unwrap_or_default())
        } else {
            format!("ok\n{shown}")
        }
    } else {
        let errors = text(&output.stderr);
        let from = errors.find("Error: ").map_or(0, |at| at + "Error: ".len());
        let message = errors[from..].replace("\n\nUse --debug flag to render out invalid YAML", "");
        format!("error\n{}\n", message.trim_end())
    };
    let place = data.join("recorded");
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    let name = case["chart"].as_str().unwrap_or_default();
    std::fs::write(place.join(format!("{number:03}-{name}.txt")), recorded).map_err(|error| error.to_string())
}
