//! Which chart: a directory, an archive, or what a repository or registry has.

use super::flags::{Flag, Kind, Parsed};
use super::provenance;
use super::remote::{self, Fill, to_err, to_out};
use chart::{Chart, Log};
use std::path::{Path, PathBuf};

/// Where charts come from, besides the flags of [`remote::REMOTE`].
pub(super) const CHART_PATH: &[Flag] = &[
    Flag::new("devel", Kind::Switch),
    Flag::new("keyring", Kind::Text),
    Flag::new("pass-credentials", Kind::Switch),
    Flag::new("repo", Kind::Text),
    Flag::new("verify", Kind::Switch),
    Flag::new("version", Kind::Text),
];

/// Whether missing dependencies are fetched.
pub(super) const DEPENDENCY_UPDATE: &[Flag] = &[Flag::new("dependency-update", Kind::Switch)];

/// A chart that was found.
pub(super) enum Located {
    /// On this machine.
    Here(PathBuf),
    /// An archive that was fetched.
    Fetched(Vec<u8>),
}

/// Finds a chart; one that is not on this machine is fetched.
pub(super) fn locate(name: &str, parsed: &Parsed) -> Result<Located, String> {
    let name = name.trim();
    let path = Path::new(name);
    // With `--repo`, a name is that of a chart there.
    if parsed.text("repo").unwrap_or_default().is_empty() {
        if path.exists() {
            let path = std::path::absolute(path).map_err(|error| error.to_string())?;
            if parsed.on("verify") {
                provenance::check(&path, &provenance::keyring(parsed))?;
            }
            return Ok(Located::Here(path));
        }
        if path.is_absolute() || name.starts_with('.') {
            return Err(format!("path {name:?} not found"));
        }
    }
    let (version, options, paths) = (remote::version(parsed), remote::options(parsed), remote::paths(parsed));
    let fetch = async || registry::download::fetch(name, &version, &options, &paths, &mut to_err).await;
    remote::wait(fetch).map(|fetched| Located::Fetched(fetched.chart.into()))
}

/// Loads a chart.
pub(super) fn load(located: &Located, log: &mut Log) -> Result<Chart, chart::Error> {
    match located {
        Located::Here(path) => chart::load::path(path, log),
        Located::Fetched(archive) => chart::load::archive(archive, log),
    }
}

/// Finds and loads a chart with all that it needs, which is fetched when the flags ask for it.
pub(super) fn complete(located: &Located, parsed: &Parsed, debug: bool) -> Result<Chart, String> {
    let load = || {
        let mut log = Log::default();
        let chart = load(located, &mut log);
        super::say(&mut log);
        chart.map_err(|error| error.to_string())
    };
    let chart = load()?;
    if chart.missing_dependencies().is_empty() || !parsed.on("dependency-update") {
        return Ok(chart);
    }
    match located {
        Located::Here(path) => remote::fill(path, parsed, Fill::Update, debug, to_out)?,
        Located::Fetched(_) => return Err("only unpacked charts can be updated".to_owned()),
    }
    load()
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
