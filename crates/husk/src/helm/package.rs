//! `helm package` and `helm create`: charts as files.

use super::chart_ref::{self, Located};
use super::flags::{Flag, Kind, Parsed};
use super::remote::{self, Fill, REMOTE};
use super::settings::{Settings, variable};
use super::verb::{Arity, Outcome, Verb};
use chart::Log;
use chart::version::Version;
use jiff::Timestamp;
use std::path::{Path, PathBuf};

pub(super) const PACKAGE: Verb = Verb {
    names: &["package"],
    path: "package",
    arguments: "[CHART_PATH] [...]",
    about: "Pack charts into archives.",
    arity: Arity::Any,
    flags: &[REMOTE, PACKAGE_FLAGS],
    run: package,
};

const PACKAGE_FLAGS: &[Flag] = &[
    Flag::new("app-version", Kind::Text),
    Flag::new("dependency-update", Kind::Switch).short('u'),
    Flag::new("destination", Kind::Text).short('d'),
    Flag::new("key", Kind::Text).absent(),
    Flag::new("keyring", Kind::Text).absent(),
    Flag::new("passphrase-file", Kind::Text).absent(),
    Flag::new("sign", Kind::Switch).absent(),
    Flag::new("version", Kind::Text),
];

pub(super) const CREATE: Verb = Verb {
    names: &["create"],
    path: "create",
    arguments: "NAME",
    about: "Make a chart to start from.",
    arity: Arity::Exactly(1),
    flags: &[&[
        Flag::new("starter", Kind::Text).short('p').absent(),
        Flag::new("chart-api-version", Kind::Text).absent(),
    ]],
    run: create,
};

fn package(parsed: &Parsed, settings: &Settings) -> Outcome {
    if parsed.arguments.is_empty() {
        return Err("need at least one argument, the path to the chart".to_owned());
    }
    let stamp = stamp()?;
    for argument in &parsed.arguments {
        let path = Path::new(argument);
        if let Err(error) = std::fs::metadata(path) {
            return Err(format!("stat {argument}: {}", super::os_error(&error)));
        }
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        if parsed.on("dependency-update") {
            remote::fill(&path, parsed, Fill::Update, settings.debug, |_| {})?;
        }
        let mut log = Log::default();
        let chart = chart_ref::load(&Located::Here(path), &mut log);
        super::say(&mut log);
        let mut chart = chart.map_err(|error| error.to_string())?;
        if let Some(version) = parsed.text("version").filter(|text| !text.is_empty()) {
            Version::parse(version).map_err(|error| error.to_string())?;
            version.clone_into(&mut chart.metadata.version);
        }
        if let Some(version) = parsed.text("app-version").filter(|text| !text.is_empty()) {
            version.clone_into(&mut chart.metadata.app_version);
        }
        let packed = chart::package::package(&chart, stamp).map_err(|error| error.to_string())?;
        let place = match parsed.text("destination").unwrap_or(".") {
            "." => std::env::current_dir().map_err(|error| error.to_string())?,
            place => PathBuf::from(place),
        };
        let file = place.join(packed.file_name);
        let fail =
            |error: std::io::Error| format!("failed to save: open {}: {}", file.display(), super::os_error(&error));
        std::fs::create_dir_all(&place).and_then(|()| std::fs::write(&file, packed.data)).map_err(fail)?;
        super::out(&format!("Successfully packaged chart and saved it to: {}\n", file.display()));
    }
    Ok(())
}

/// The time that reproducible archives carry.
fn stamp() -> Result<Option<Timestamp>, String> {
    let Some(text) = variable("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = text.parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.map(Some).ok_or_else(|| format!("invalid SOURCE_DATE_EPOCH: {text:?}"))
}

fn create(parsed: &Parsed, _: &Settings) -> Outcome {
    let given = &parsed.arguments[0];
    super::out(&format!("Creating {given}\n"));
    let path = Path::new(given);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let files = chart::create::files(&name).map_err(|error| error.to_string())?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = std::path::absolute(parent).map_err(|error| error.to_string())?;
    let fail = |path: &Path, error: std::io::Error| format!("{}: {}", path.display(), super::os_error(&error));
    if let Err(error) = std::fs::metadata(&parent) {
        return Err(format!("stat {}", fail(&parent, error)));
    }
    let directory = parent.join(&name);
    if directory.exists() && !directory.is_dir() {
        return Err(format!("file {} already exists and is not a directory", directory.display()));
    }
    for file in files {
        let target = directory.join(&file.name);
        if target.exists() {
            super::out(&format!("WARNING: File {:?} already exists. Overwriting.\n", target.display().to_string()));
        }
        let below = target.parent().unwrap_or(&directory);
        std::fs::create_dir_all(below)
            .and_then(|()| std::fs::write(&target, &file.data))
            .map_err(|error| fail(&target, error))?;
    }
    let charts = directory.join("charts");
    std::fs::create_dir_all(&charts).map_err(|error| fail(&charts, error))
}
