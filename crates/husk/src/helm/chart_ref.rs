//! Which chart: a directory or an archive.

use super::flags::{Flag, Kind, Parsed};
use chart::{Chart, Log};
use std::path::{Path, PathBuf};

/// Where charts come from. What concerns downloads only is not there.
pub(super) const CHART_PATH: &[Flag] = &[
    Flag::new("ca-file", Kind::Text).absent(),
    Flag::new("cert-file", Kind::Text).absent(),
    Flag::new("dependency-update", Kind::Switch).absent(),
    Flag::new("devel", Kind::Switch),
    Flag::new("insecure-skip-tls-verify", Kind::Switch).absent(),
    Flag::new("key-file", Kind::Text).absent(),
    Flag::new("keyring", Kind::Text).absent(),
    Flag::new("pass-credentials", Kind::Switch).absent(),
    Flag::new("password", Kind::Text).absent(),
    Flag::new("plain-http", Kind::Switch).absent(),
    Flag::new("repo", Kind::Text).absent(),
    Flag::new("username", Kind::Text).absent(),
    Flag::new("verify", Kind::Switch).absent(),
    Flag::new("version", Kind::Text),
];

/// Finds a chart.
pub(super) fn locate(name: &str) -> Result<PathBuf, String> {
    let name = name.trim();
    let path = Path::new(name);
    if path.exists() {
        return std::path::absolute(path).map_err(|error| error.to_string());
    }
    if path.is_absolute() || name.starts_with('.') {
        return Err(format!("path {name:?} not found"));
    }
    if name.contains("://") {
        return Err(format!("{name}: husk helm takes charts from directories and archives only"));
    }
    match name.split_once('/') {
        Some((repository, chart)) if !chart.is_empty() => Err(format!("repo {repository} not found")),
        _ => Err(format!("non-absolute URLs should be in form of repo_name/path_to_chart, got: {name}")),
    }
}

/// Loads a chart that is to be rendered.
pub(super) fn load(path: &Path, log: &mut Log) -> Result<Chart, chart::Error> {
    chart::load::path(path, log)
}

/// The name of a release and its chart, from one or two arguments.
pub(super) fn name_and_chart(parsed: &Parsed, default: Option<&str>) -> Result<(String, String), String> {
    let (generate, template) = (parsed.on("generate-name"), parsed.text("name-template").unwrap_or_default());
    match parsed.arguments.as_slice() {
        [chart] if !template.is_empty() => Ok((super::name_template::render(template)?, chart.clone())),
        [chart] => match default {
            Some(name) => Ok((name.to_owned(), chart.clone())),
            None if generate => Ok((generated(chart), chart.clone())),
            None => Err("must either provide a name or specify --generate-name".to_owned()),
        },
        [_, _] if generate => Err("cannot set --generate-name and also specify a name".to_owned()),
        [_, _] if !template.is_empty() => Err("cannot set --name-template and also specify a name".to_owned()),
        [name, chart] => Ok((name.clone(), chart.clone())),
        [_, _, more @ ..] => Err(format!("expected at most two arguments, unexpected arguments: {}", more.join(", "))),
        [] => Err("no chart given".to_owned()),
    }
}

fn generated(chart: &str) -> String {
    let base = Path::new(chart).file_name().map_or("chart".into(), |name| name.to_string_lossy());
    let base = base.split('.').next().unwrap_or_default();
    format!("{base}-{}", jiff::Timestamp::now().as_second())
}
