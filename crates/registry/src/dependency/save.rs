//! Fetching the chosen charts, all of them before `charts/` is touched.

use super::{Manager, is_local, load_chart, local_path};
use crate::download::{self, Download, Provenance};
use crate::error::os_text;
use crate::notice::{Notice, Notify};
use crate::oci::is_oci;
use crate::repository::{Access, Entry, IndexReader, RepositoryFile, chart_url};
use crate::url::{resolve_reference, same};
use crate::{Error, Result};
use chart::Dependency;
use sprig::semver::{Constraint, Version};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

/// The configured repositories with their cached indexes.
type Indexes = Vec<(Entry, IndexReader)>;

/// Fetches the charts into a directory of their own, then moves them to `charts/` and removes what is outdated there. The
/// versions of charts beside this one are written back.
pub(super) async fn fetch_all(manager: &Manager<'_>, locked: &mut [Dependency], notify: Notify<'_>) -> Result<()> {
    let mut indexes = Indexes::new();
    for entry in RepositoryFile::load_or_empty(&manager.paths.repository_config)
        .map_err(|e| e.during(format!("failed to load {}", manager.paths.repository_config.display())))?
        .repositories
    {
        let reader = IndexReader::open(&manager.paths.cached_index(&entry.name))?;
        indexes.push((entry, reader));
    }
    let charts = manager.chart.join("charts");
    match std::fs::metadata(&charts) {
        Ok(found) if !found.is_dir() => {
            let shown = crate::url::quoted(&charts.to_string_lossy());
            return Err(Error::Io(format!("{shown} is not a directory")));
        }
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(&charts).map_err(|e| Error::io("mkdir", &charts, &e))?;
        }
        Err(e) => {
            let shown = charts.display();
            return Err(Error::Io(format!(
                "unable to retrieve file info for '{shown}': stat {shown}: {}",
                os_text(&e)
            )));
        }
    }
    let new = tempfile::Builder::new()
        .prefix("tmpcharts-")
        .tempdir_in(manager.chart)
        .map_err(|e| Error::io("mkdir", manager.chart, &e))?;
    notify(Notice::Line(format!("Saving {} charts", locked.len())));
    let mut done = HashSet::new();
    for dependency in &mut *locked {
        if dependency.repository.is_empty() {
            present(dependency, &charts, notify)?;
            continue;
        }
        let fetched = if is_local(dependency) {
            pack(manager, dependency, new.path(), notify)
        } else {
            fetch(manager, dependency, &indexes, &mut done, new.path(), notify).await
        };
        if let Err(error) = fetched {
            notify(Notice::Line(format!("Save error occurred:  {error}")));
            return Err(error);
        }
    }
    replace(locked, new.path(), &charts, notify)
}

/// A dependency without a repository must lie unpacked in `charts/` already.
fn present(dependency: &Dependency, charts: &Path, notify: Notify<'_>) -> Result<()> {
    let Dependency { name, version, .. } = dependency;
    notify(Notice::Line(format!(
        "Dependency {name} did not declare a repository. Assuming it exists in the charts directory"
    )));
    let path = charts.join(name);
    let chart =
        load_chart(&path, notify).map_err(|e| e.during(format!("unable to load chart '{}'", path.display())))?;
    let constraint = Constraint::parse(version)
        .map_err(|e| Error::Invalid(format!("dependency {name} has an invalid version/constraint format: {e}")))?;
    let found = &chart.metadata.version;
    let parsed = Version::parse(found)
        .map_err(|e| Error::Invalid(format!("invalid version {version} for dependency {name}: {e}")))?;
    if constraint.check(&parsed) {
        return Ok(());
    }
    let error =
        Error::Invalid(format!("dependency {name} at version {found} does not satisfy the constraint {version}"));
    notify(Notice::Line(format!("Save error occurred:  {error}")));
    Err(error)
}

/// Packs a chart that lies elsewhere on this machine.
fn pack(manager: &Manager<'_>, dependency: &mut Dependency, to: &Path, notify: Notify<'_>) -> Result<()> {
    let Dependency { name, repository, version, .. } = dependency;
    if manager.debug {
        notify(Notice::Line(format!("Archiving {name} from repo {repository}")));
    }
    let chart = load_chart(&local_path(repository, manager.chart)?, notify)?;
    let constraint = Constraint::parse(version)
        .map_err(|e| Error::Invalid(format!("dependency {name} has an invalid version/constraint format: {e}")))?;
    let found = Version::parse(&chart.metadata.version).map_err(|e| Error::Invalid(e.to_string()))?;
    if !constraint.check(&found) {
        return Err(Error::NotFound(format!("can't get a valid version for dependency {name}")));
    }
    let archive = (manager.pack)(&chart).map_err(Error::Invalid)?;
    crate::files::replace(&to.join(format!("{}.tgz", chart.full_name())), &archive, 0o644)?;
    dependency.version = chart.metadata.version;
    Ok(())
}

/// Fetches a chart unless it was fetched before.
async fn fetch(
    manager: &Manager<'_>,
    dependency: &Dependency,
    indexes: &Indexes,
    done: &mut HashSet<String>,
    to: &Path,
    notify: Notify<'_>,
) -> Result<()> {
    let Dependency { name, repository, version, .. } = dependency;
    let (key, place) = if is_oci(repository) {
        (format!("{repository}/{name}:{version}"), None)
    } else {
        let (url, access, digest) = find(dependency, indexes, notify).await.map_err(|e| e.during("could not find "))?;
        (url.clone(), Some((url, access, digest)))
    };
    if !done.insert(key) {
        notify(Notice::Line(format!("Already downloaded {name} from repo {repository}")));
        return Ok(());
    }
    notify(Notice::Line(format!("Downloading {name} from repo {repository}")));
    let (options, paths) = (&manager.download, manager.paths);
    let (shown, outcome) = match place {
        None => {
            let reference = format!("{repository}/{name}");
            let options = download::Options { access: Access::default(), ..options.clone() };
            let outcome = download::fetch(&reference, version, &options, paths, notify).await;
            (reference, outcome)
        }
        Some((url, access, digest)) => {
            let outcome = download::fetch_url(&url, access, &digest, options, paths, notify).await;
            (url, outcome)
        }
    };
    let download = outcome.map_err(|e| e.during(format!("could not download {shown}")))?;
    keep(manager, &download, to)
}

fn keep(manager: &Manager<'_>, download: &Download, to: &Path) -> Result<()> {
    crate::files::replace(&to.join(&download.file_name), &download.chart, 0o644)?;
    match &download.provenance {
        Some(provenance) if manager.download.provenance != Provenance::Never => {
            crate::files::replace(&to.join(format!("{}.prov", download.file_name)), provenance, 0o644)
        }
        _ => Ok(()),
    }
}

/// The URL of a chart, how it is reached, and the digest that the index tells.
async fn find(dependency: &Dependency, indexes: &Indexes, notify: Notify<'_>) -> Result<(String, Access, String)> {
    let Dependency { name, repository, version, .. } = dependency;
    if let Some((entry, reader)) = indexes.iter().find(|(entry, _)| same(repository, &entry.url)) {
        let versions = reader.versions(name, notify)?.ok_or_else(|| Error::NotFound("entry not found".into()))?;
        let found = versions
            .iter()
            .filter(|candidate| !candidate.urls().is_empty())
            .find(|candidate| version.is_empty() || same_version(version, &candidate.metadata.version))
            .ok_or_else(|| Error::NotFound("no matching version".into()))?;
        let url = resolve_reference(repository, found.urls().first().map_or("", String::as_str))?;
        return Ok((url, entry.access(), found.digest.clone()));
    }
    let access = Access { url: repository.clone(), ..Access::default() };
    let (url, digest) = chart_url(&access, name, version, notify)
        .await
        .map_err(|e| e.during(format!("chart {name} not found in {repository}")))?;
    Ok((url, access, digest))
}

fn same_version(a: &str, b: &str) -> bool {
    match (Version::parse(a), Version::parse(b)) {
        (Ok(a), Ok(b)) => a.compare(&b).is_eq(),
        (Err(_), _) => a == b,
        (Ok(_), Err(_)) => false,
    }
}

/// Moves the new archives to `charts/` and removes those that are no longer asked for; directories stay, and so do
/// archives of dependencies without a repository and what is no chart.
fn replace(locked: &[Dependency], new: &Path, charts: &Path, notify: Notify<'_>) -> Result<()> {
    let files = |directory: &Path| -> Result<Vec<String>> {
        let failed = |e: std::io::Error| Error::io("open", directory, &e);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.path().is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    };
    let old = files(charts)?;
    let fresh: BTreeSet<String> = files(new)?.into_iter().collect();
    for name in &fresh {
        let from = new.join(name);
        let is_provenance = name.strip_suffix(".prov").is_some_and(|archive| fresh.contains(archive));
        if !is_provenance && let Err(error) = load_chart(&from, notify) {
            let shown = from.display();
            notify(Notice::Line(format!("Could not verify {shown} for moving: {error} (Skipping)")));
            continue;
        }
        if let Err(error) = std::fs::rename(&from, charts.join(name)) {
            let (from, error) = (from.display(), os_text(&error));
            notify(Notice::Line(format!("Unable to move {from} to charts dir {error} (Skipping)")));
        }
    }
    notify(Notice::Line("Deleting outdated charts".into()));
    for name in old.iter().filter(|name| !fresh.contains(*name)) {
        let path = charts.join(name);
        let shown = path.display();
        match load_chart(&path, notify) {
            Err(error) => {
                notify(Notice::Line(format!("Could not verify {shown} for deletion: {error} (Skipping)")));
            }
            Ok(chart) if locked.iter().any(|d| d.repository.is_empty() && d.name == chart.metadata.name) => {}
            Ok(_) => {
                if let Err(error) = std::fs::remove_file(&path) {
                    notify(Notice::Line(format!("Could not delete {shown}: {} (Skipping)", os_text(&error))));
                }
            }
        }
    }
    Ok(())
}
