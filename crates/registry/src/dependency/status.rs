//! What is in `charts/` of the charts that `Chart.yaml` asks for.

use super::load_chart;
use crate::Result;
use crate::notice::Notify;
use crate::url::quoted;
use chart::{Chart, Dependency};
use sprig::semver::{Constraint, Version};
use std::path::{Path, PathBuf};

/// One dependency and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Name.
    pub name: String,
    /// Constraint.
    pub version: String,
    /// Repository.
    pub repository: String,
    /// `ok`, `unpacked`, `missing`, `wrong version`, `invalid version`, `misnamed`, `corrupt` or `too many matches`.
    pub status: &'static str,
}

/// What `dependency list` shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The dependencies, in the order of `Chart.yaml`.
    pub rows: Vec<Row>,
    /// Warnings about what lies in `charts/` unasked; or that there are no dependencies.
    pub warnings: Vec<String>,
}

/// Looks through a chart's dependencies.
///
/// # Errors
/// The chart cannot be loaded.
pub fn list(path: &Path, notify: Notify<'_>) -> Result<Listing> {
    let chart = load_chart(path, notify)?;
    let charts = path.join("charts");
    let wanted = &chart.metadata.dependencies;
    if wanted.is_empty() {
        let warning = format!("WARNING: no dependencies at {}", charts.display());
        return Ok(Listing { rows: Vec::new(), warnings: vec![warning] });
    }
    let rows = wanted
        .iter()
        .map(|dependency| Row {
            name: dependency.name.clone(),
            version: dependency.version.clone(),
            repository: dependency.repository.clone(),
            status: status(&charts, dependency, &chart),
        })
        .collect();
    Ok(Listing { rows, warnings: unasked(&charts, wanted) })
}

fn status(charts: &Path, dependency: &Dependency, parent: &Chart) -> &'static str {
    let mut archives = archives(charts, &dependency.name);
    if archives.len() > 1 {
        archives.retain(|(_, version)| Version::parse_strict(version).is_ok());
        if archives.len() > 1 {
            return "too many matches";
        }
    }
    if let [(archive, _)] = &archives[..] {
        return match load_chart(archive, &mut |_| {}) {
            Err(_) => "corrupt",
            Ok(chart) if chart.metadata.name != dependency.name => "misnamed",
            Ok(chart) => fit(dependency, &chart).unwrap_or("ok"),
        };
    }
    match parent.dependencies.iter().rev().find(|chart| chart.metadata.name == dependency.name) {
        None => "missing",
        Some(chart) => fit(dependency, chart).unwrap_or("unpacked"),
    }
}

/// What is wrong with a chart's version, if anything.
fn fit(dependency: &Dependency, chart: &Chart) -> Option<&'static str> {
    let found = &chart.metadata.version;
    if *found == dependency.version {
        return None;
    }
    match (Constraint::parse(&dependency.version), Version::parse(found)) {
        (Ok(constraint), Ok(version)) if constraint.check(&version) => None,
        (Ok(_), Ok(_)) => Some("wrong version"),
        _ => Some("invalid version"),
    }
}

/// The archives `NAME-*.tgz`, each with what stands for the star.
fn archives(charts: &Path, name: &str) -> Vec<(PathBuf, String)> {
    let prefix = format!("{name}-");
    let version = |path: &Path| {
        let file = path.file_name()?.to_str()?;
        file.strip_prefix(&prefix)?.strip_suffix(".tgz").map(String::from)
    };
    entries(charts).into_iter().filter_map(|path| version(&path).map(|version| (path.clone(), version))).collect()
}

fn unasked(charts: &Path, wanted: &[Dependency]) -> Vec<String> {
    let mut warnings = Vec::new();
    for path in entries(charts) {
        if !path.is_dir() && path.extension().is_none_or(|extension| extension != "tgz") {
            continue;
        }
        let shown = quoted(&path.to_string_lossy());
        match load_chart(&path, &mut |_| {}) {
            Err(_) => warnings.push(format!("WARNING: {shown} is not a chart.")),
            Ok(chart) if wanted.iter().any(|dependency| dependency.name == chart.metadata.name) => {}
            Ok(_) => warnings.push(format!("WARNING: {shown} is not in Chart.yaml.")),
        }
    }
    warnings
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(directory) {
        Ok(entries) => entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect(),
        Err(_) => Vec::new(),
    };
    paths.sort();
    paths
}
