//! Loading: from files in memory, a directory or an archive to a [`Chart`].

mod archive;
mod decode;
mod directory;
mod ignore;

pub use archive::{MAX_CHARTS, MAX_FILES, MAX_UNPACKED, files as archive_files};
pub use directory::files as directory_files;
pub use ignore::Rules;

use crate::values;
use crate::{Chart, Dependency, Error, File, Log, Metadata};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Loads a chart from a directory or an archive.
///
/// Errors: [`Error::Load`] or [`Error::Validation`].
pub fn path(path: &Path, log: &mut Log) -> Result<Chart, Error> {
    let found =
        std::fs::metadata(path).map_err(|e| Error::Load(format!("stat {}: {}", path.display(), os_error(&e))))?;
    if found.is_dir() {
        let chart_file = path.join("Chart.yaml");
        let data = std::fs::read(&chart_file).map_err(|e| {
            let name = chart_file.display();
            Error::Load(format!("unable to detect chart at {name}: open {name}: {}", os_error(&e)))
        })?;
        supported(&data)?;
        return files(directory::files(path, log)?, log);
    }
    let data = std::fs::read(path).map_err(|e| Error::Load(format!("open {}: {}", path.display(), os_error(&e))))?;
    archive::named(&data, &path.display().to_string(), log)
}

/// Loads a chart from the bytes of an archive.
///
/// Errors: [`Error::Load`] or [`Error::Validation`].
pub fn archive(data: &[u8], log: &mut Log) -> Result<Chart, Error> {
    let unpacked = archive::files(data)?;
    match unpacked.iter().find(|f| f.name == "Chart.yaml") {
        Some(file) => supported(&file.data)?,
        None => return Err(Error::Load("unable to detect chart version, no Chart.yaml found".into())),
    }
    files(unpacked, log)
}

/// Reads a `Chart.yaml` alone, without checking what it says.
///
/// Errors: [`Error::Load`]: it is not YAML, or its parts are of the wrong kind.
pub fn read_metadata(chart_yaml: &[u8]) -> Result<Metadata, Error> {
    let mut metadata = Metadata::default();
    decode::metadata(chart_yaml, "Chart.yaml", &mut metadata)?;
    Ok(metadata)
}

/// An operating system's complaint as Go words it.
pub(crate) fn os_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "is a directory".into(),
        _ => error.to_string(),
    }
}

/// Refuses charts of a format that this engine does not render.
fn supported(chart_yaml: &[u8]) -> Result<(), Error> {
    match decode::api_version(chart_yaml)?.as_str() {
        "" | "v1" | "v2" => Ok(()),
        "v3" => Err(Error::Load("invalid chart apiVersion".into())),
        _ => Err(Error::Load("unsupported chart version".into())),
    }
}

/// Builds a chart from its files. Names are relative to the chart's directory; `.helmignore` is not applied.
///
/// Errors: [`Error::Load`] or [`Error::Validation`].
pub fn files(files: Vec<File>, log: &mut Log) -> Result<Chart, Error> {
    let mut allowance = archive::Allowance::beside(&files);
    build(files, log, 0, &mut allowance)
}

/// How deep charts may lie in charts.
const MAX_DEPTH: usize = 32;

fn build(files: Vec<File>, log: &mut Log, depth: usize, allowance: &mut archive::Allowance) -> Result<Chart, Error> {
    allowance.chart()?;
    if depth > MAX_DEPTH {
        return Err(Error::Load(format!("charts are nested more than {MAX_DEPTH} deep")));
    }
    let mut chart = Chart { raw: files.clone(), ..Chart::default() };
    let mut has_metadata = false;
    for file in files.iter().filter(|f| f.name == "Chart.yaml") {
        decode::metadata(&file.data, "Chart.yaml", &mut chart.metadata)?;
        if chart.metadata.api_version.is_empty() {
            chart.metadata.api_version = "v1".into();
        }
        chart.modtime = file.modtime.clone();
        has_metadata = true;
    }
    let mut below: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for file in files {
        match file.name.as_str() {
            "Chart.yaml" => {}
            "Chart.lock" => chart.lock = Some(decode::lock(&file.data, "Chart.lock")?),
            "values.yaml" => {
                chart.values =
                    values::parse(&file.data).map_err(|e| Error::Load(format!("cannot load values.yaml: {e}")))?;
            }
            "values.schema.json" => {
                chart.schemamodtime = file.modtime.clone();
                chart.schema = Some(file.data);
            }
            "requirements.yaml" => {
                if chart.metadata.api_version != "v1" {
                    log.note(
                        "Warning: Dependencies are handled in Chart.yaml since apiVersion \"v2\". We recommend migrating \
                         dependencies to Chart.yaml.",
                    );
                }
                decode::metadata(&file.data, "requirements.yaml", &mut chart.metadata)?;
                has_metadata = true;
                keep_if_old(&mut chart, file);
            }
            "requirements.lock" => {
                chart.lock = Some(decode::lock(&file.data, "requirements.lock")?);
                has_metadata = true;
                if chart.metadata.api_version != "v1" {
                    log.note(
                        "Warning: Dependency locking is handled in Chart.lock since apiVersion \"v2\". We recommend \
                         migrating to Chart.lock.",
                    );
                }
                keep_if_old(&mut chart, file);
            }
            name if name.starts_with("templates/") => chart.templates.push(file),
            name if name.starts_with("charts/") && name.ends_with(".prov") => chart.files.push(file),
            name => match name.strip_prefix("charts/") {
                Some(inner) => {
                    let inner = inner.to_string();
                    let entry = inner.split('/').next().unwrap_or("").to_string();
                    below.entry(entry).or_default().push(File { name: inner, ..file });
                }
                None => chart.files.push(file),
            },
        }
    }
    if !has_metadata {
        return Err(Error::Load("Chart.yaml file is missing".into()));
    }
    chart.metadata.validate()?;
    for (entry, files) in below {
        if entry.starts_with(['_', '.']) {
            continue;
        }
        let dependency = dependency(&entry, files, &chart.metadata, log, depth, allowance).map_err(|e| match e {
            e @ Error::Load(_) if e.to_string().starts_with("error unpacking subchart tar") => e,
            e => Error::Load(format!("error unpacking subchart {entry} in {}: {e}", chart.metadata.name)),
        })?;
        chart.dependencies.push(dependency);
    }
    Ok(chart)
}

fn keep_if_old(chart: &mut Chart, file: File) {
    if chart.metadata.api_version == "v1" {
        chart.files.push(file);
    }
}

/// One entry of `charts/`: an archive or a directory.
fn dependency(
    entry: &str,
    files: Vec<File>,
    parent: &Metadata,
    log: &mut Log,
    depth: usize,
    allowance: &mut archive::Allowance,
) -> Result<Chart, Error> {
    if entry.ends_with(".tgz") {
        return match files.first() {
            Some(file) if file.name == entry => {
                build(archive::files_within(&file.data, allowance)?, log, depth + 1, allowance)
            }
            first => Err(Error::Load(format!(
                "error unpacking subchart tar in {}: expected {entry}, got {}",
                parent.name,
                first.map_or("", |f| f.name.as_str())
            ))),
        };
    }
    let inner = files
        .into_iter()
        .filter_map(|file| {
            let name = file.name.split_once('/')?.1.to_string();
            Some(File { name, ..file })
        })
        .collect();
    build(inner, log, depth + 1, allowance)
}

impl Chart {
    /// Builds a chart from files in memory, as they lie in a chart's directory, its `.helmignore` applied. Dependencies
    /// that are listed but not below `charts/` are asked of `resolve`, which knows what their `repository` means
    /// (`file://../sibling`) and may know none.
    ///
    /// Errors: [`Error::Load`] or [`Error::Validation`]; what `resolve` reports is passed on.
    pub fn from_files(
        all: Vec<(String, Vec<u8>)>,
        resolve: &dyn Fn(&Dependency) -> Result<Option<Chart>, Error>,
    ) -> Result<Chart, Error> {
        let rules = match all.iter().find(|(name, _)| name == ignore::FILE) {
            Some((_, text)) => Rules::parse(&String::from_utf8_lossy(text))?,
            None => Rules::empty(),
        };
        let kept = all
            .into_iter()
            .filter(|(name, _)| !rules.ignores_path(name))
            .map(|(name, data)| File { name, data: strip_byte_order_mark(&data), modtime: String::new() })
            .collect();
        let mut chart = files(kept, &mut Log::default())?;
        for listed in chart.metadata.dependencies.clone() {
            let present = chart.dependencies.iter().any(|d| d.name() == listed.name);
            if !present && let Some(found) = resolve(&listed)? {
                chart.dependencies.push(found);
            }
        }
        Ok(chart)
    }
}

pub(crate) fn strip_byte_order_mark(data: &[u8]) -> Arc<[u8]> {
    data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data).into()
}
