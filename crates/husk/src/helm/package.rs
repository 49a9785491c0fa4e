//! `helm package` and `helm create`: charts as files.

use super::chart_ref::{self, Located};
use super::flags::{Flag, Kind, Parsed};
use super::provenance::Signer;
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
    Flag::new("key", Kind::Text),
    Flag::new("keyring", Kind::Text),
    Flag::new("passphrase-file", Kind::Text),
    Flag::new("sign", Kind::Switch),
    Flag::new("version", Kind::Text),
];

pub(super) const CREATE: Verb = Verb {
    names: &["create"],
    path: "create",
    arguments: "NAME",
    about: "Make a chart to start from.",
    arity: Arity::Exactly(1),
    flags: &[&[Flag::new("starter", Kind::Text).short('p'), Flag::new("chart-api-version", Kind::Text).hidden()]],
    run: create,
};

fn package(parsed: &Parsed, settings: &Settings) -> Outcome {
    if parsed.arguments.is_empty() {
        return Err("need at least one argument, the path to the chart".to_owned());
    }
    let stamp = stamp()?;
    let mut signer = Signer::of(parsed)?;
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
        if let Some(signer) = &mut signer {
            signer.sign(&file)?;
        }
        super::out(&format!("Successfully packaged chart and saved it to: {}\n", file.display()));
        if parsed.arguments.len() == 1 {
            // The process ends here: giving all of it back piece by piece would only take time.
            std::mem::forget(chart);
        }
    }
    Ok(())
}

/// The time that reproducible archives carry.
fn stamp() -> Result<Option<Timestamp>, String> {
    let Some(text) = variable("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = text.parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.map(Some).ok_or_else(|| format!("invalid SOURCE_DATE_EPOCH: {text:?}"))
}

/// The files of a chart that is like another: its name is put into templates and values.
fn from_starter(starter: &str, name: &str) -> Result<Vec<chart::File>, String> {
    let place = Path::new(&super::environment::data_home()).join("starters").join(starter);
    let mut log = Log::default();
    let loaded = chart::load::path(&place, &mut log);
    super::say(&mut log);
    let starter = loaded.map_err(|error| format!("could not load {}: {error}", place.display()))?;
    let about = format!(
        "apiVersion: v2\nappVersion: 0.1.0\ndescription: A Helm chart for Kubernetes\nname: {name}\ntype: application\nversion: \
         0.1.0\n"
    );
    let mut files = vec![chart::File::new("Chart.yaml", about)];
    let named: Vec<chart::File> =
        starter.raw.iter().filter(|file| file.name == "values.yaml").chain(&starter.templates).cloned().collect();
    files.extend(chart::create::from_starter(&named, name).map_err(|error| error.to_string())?);
    files.extend(starter.schema.iter().map(|schema| chart::File::new("values.schema.json", &schema[..])));
    files.extend(starter.files.iter().cloned());
    for below in &starter.dependencies {
        let packed = chart::package::package(below, None).map_err(|error| error.to_string())?;
        files.push(chart::File::new(format!("charts/{}", packed.file_name), packed.data));
    }
    Ok(files)
}

fn create(parsed: &Parsed, _: &Settings) -> Outcome {
    let given = &parsed.arguments[0];
    super::out(&format!("Creating {given}\n"));
    let path = Path::new(given);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match parsed.text("chart-api-version") {
        None | Some("" | "v2") => {}
        Some("v3") => {
            let text = "this feature has been marked as experimental and is not enabled by default. Please set \
                        HELM_EXPERIMENTAL_CHART_V3=1 in your environment to use this feature";
            return Err(text.to_owned());
        }
        Some(other) => return Err(format!("unsupported chart API version: {other} (supported: v2, v3)")),
    }
    let files = match parsed.text("starter").filter(|text| !text.is_empty()) {
        None => chart::create::files(&name).map_err(|error| error.to_string())?,
        Some(starter) => from_starter(starter, &name)?,
    };
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
    // A starter brings its own dependencies or none.
    if parsed.text("starter").is_some_and(|text| !text.is_empty()) {
        return Ok(());
    }
    let charts = directory.join("charts");
    std::fs::create_dir_all(&charts).map_err(|error| fail(&charts, error))
}
