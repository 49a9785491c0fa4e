//! `helm lint`: what is wrong, doubtful or missing in a chart.

mod crds;
mod deprecations;
mod metadata;
mod names;
mod templates;

use crate::values::{coalesce, parse_document};
use crate::{Capabilities, Error, File, Log, RenderOptions, Values, convert, load, schema};
use gotemplate::Map;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Against convention; will likely work.
    Warning,
    /// Will likely not work.
    Error,
}

/// One finding. `Display` is Helm's line: `[ERROR] templates/: ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file or directory it is about.
    pub path: String,
    /// What it is.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        };
        write!(f, "[{severity}] {}: {}", self.path, self.text)
    }
}

/// What a chart is looked at with.
#[derive(Clone)]
pub struct LintOptions {
    /// The rendering to try: namespace, randomness and clock are taken from here, the rest is lint's own.
    pub render: RenderOptions,
    /// The Kubernetes version that decides what is deprecated, and which templates see.
    pub kube_version: Option<crate::KubeVersion>,
}

/// A chart before it is known to be one.
pub(crate) struct Folder {
    /// Files by their path below the folder.
    files: Vec<File>,
    /// Directories that exist even if they hold no file.
    directories: Vec<&'static str>,
    /// The folder's own path, as findings about the whole chart show it.
    path: String,
}

impl Folder {
    fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|f| f.name == name)
    }

    fn has_directory(&self, name: &str) -> bool {
        self.directories.contains(&name) || self.files.iter().any(|f| f.name.starts_with(&format!("{name}/")))
    }
}

/// Findings in the making.
#[derive(Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, path: &str, text: impl Into<String>) {
        self.0.push(Finding { severity, path: path.to_string(), text: text.into() });
    }

    /// Adds the complaint, if there is one; whether there was none.
    fn check(&mut self, severity: Severity, path: &str, result: Result<(), String>) -> bool {
        match result {
            Ok(()) => true,
            Err(text) => {
                self.add(severity, path, text);
                false
            }
        }
    }
}

/// Looks at the chart in a directory or archive, with a user's values.
///
/// Errors: [`Error::Load`] when there is no `Chart.yaml` to look at.
pub fn lint(path: &Path, user: &Values, options: &LintOptions, log: &mut Log) -> Result<Vec<Finding>, Error> {
    let shown = path.display().to_string();
    let folder = if shown.ends_with(".tgz") || shown.ends_with(".tar.gz") {
        let data = std::fs::read(path)
            .map_err(|e| Error::Load(format!("unable to open tarball: open {shown}: {}", load::os_error(&e))))?;
        let files = load::archive_files(&data).map_err(|e| Error::Load(format!("unable to extract tarball: {e}")))?;
        Folder { files, directories: Vec::new(), path: shown.clone() }
    } else {
        let missing = |e: std::io::Error| {
            Error::Load(format!(
                "unable to check Chart.yaml file in chart: stat {shown}/Chart.yaml: {}",
                load::os_error(&e)
            ))
        };
        std::fs::metadata(path.join("Chart.yaml")).map_err(missing)?;
        let files = load::directory_files(path, &mut Log::default())?;
        let directories = ["templates", "crds"].into_iter().filter(|name| path.join(name).is_dir()).collect();
        let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        Folder { files, directories, path: absolute.display().to_string() }
    };
    if folder.file("Chart.yaml").is_none() {
        return Err(Error::Load("unable to check Chart.yaml file in chart: Chart.yaml is missing or ignored".into()));
    }
    let mut findings = Findings::default();
    metadata::check(&folder, &mut findings);
    check_values(&folder, user, options.render.skip_schema_validation, &mut findings);
    templates::check(&folder, user, options, &mut findings, log);
    check_dependencies(&folder, &mut findings);
    crds::check(&folder, &mut findings);
    Ok(findings.0)
}

/// The charts below `charts/` of a chart's directory that `--with-subcharts` looks at too.
pub fn subcharts(path: &Path) -> Vec<PathBuf> {
    fn walk(path: &Path, into: &mut Vec<PathBuf>, depth: usize) {
        let Ok(entries) = std::fs::read_dir(path) else { return };
        let mut entries: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        entries.sort();
        for entry in entries {
            let name = entry.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name == "Chart.yaml" {
                into.push(path.to_path_buf());
            } else if name.ends_with(".tgz") || name.ends_with(".tar.gz") {
                into.push(entry);
            } else if depth < 32 && entry.is_dir() && !entry.is_symlink() {
                walk(&entry, into, depth + 1);
            }
        }
    }
    let mut found = Vec::new();
    walk(&path.join("charts"), &mut found, 0);
    found
}

fn check_values(folder: &Folder, user: &Values, skip_schema: bool, findings: &mut Findings) {
    let name = "values.yaml";
    let Some(file) = folder.file(name) else {
        return findings.add(Severity::Info, name, "file does not exist");
    };
    let values = match parse_document(&file.text()) {
        Ok(values) => values,
        Err(e) => return findings.add(Severity::Error, name, format!("unable to parse YAML: {e}")),
    };
    let Some(schema) = folder.file("values.schema.json").filter(|s| !s.data.is_empty() && !skip_schema) else {
        return;
    };
    // Only the chart's own level is looked at here: user values over defaults, nothing from dependencies.
    let merged = Map::new();
    let mut ignored = Log::default();
    coalesce::merge_tables(&merged, &convert::map_to_go(user), &mut ignored);
    coalesce::merge_tables(&merged, &convert::map_to_go(&values), &mut ignored);
    let plain = match convert::map_to_json(&merged) {
        Ok(map) => goyaml::with_json_numbers(Value::Object(map)),
        Err(e) => return findings.add(Severity::Error, name, e.to_string()),
    };
    findings.check(Severity::Error, name, schema::check_one(&schema.data, &plain, &mut ignored));
}

fn check_dependencies(folder: &Folder, findings: &mut Findings) {
    let chart = match load::files(folder.files.clone(), &mut Log::default()) {
        Ok(chart) => chart,
        Err(e) => return findings.add(Severity::Error, "", format!("unable to load chart\n\t{e}")),
    };
    let listed = &chart.metadata.dependencies;
    let unlisted: Vec<&str> =
        chart.dependencies.iter().map(|d| d.name()).filter(|name| !listed.iter().any(|l| l.name == *name)).collect();
    if !unlisted.is_empty() {
        let text = format!("chart metadata is missing these dependencies: {}", unlisted.join(","));
        findings.add(Severity::Error, &folder.path, text);
    }
    let missing = chart.missing_dependencies();
    if !missing.is_empty() {
        let text = format!("chart directory is missing these dependencies: {}", missing.join(","));
        findings.add(Severity::Warning, &folder.path, text);
    }
}

/// The capabilities of a lint: those without a cluster, at the version asked for.
fn capabilities(options: &LintOptions) -> Capabilities {
    let mut capabilities = Capabilities::default();
    if let Some(version) = &options.kube_version {
        capabilities.kube_version = version.clone();
    }
    capabilities
}
