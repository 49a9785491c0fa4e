//! Choosing a version for each dependency.

use super::{Manager, is_local, load_chart, local_path};
use crate::notice::Notify;
use crate::oci::{self, Reference, is_oci};
use crate::repository::IndexReader;
use crate::url::quoted;
use crate::{Error, Result};
use chart::Dependency;
use sprig::semver::{Constraint, Version};

/// The dependencies with the versions that were chosen.
pub(super) async fn resolve(
    manager: &Manager<'_>,
    wanted: &[Dependency],
    names: &[Option<String>],
    notify: Notify<'_>,
) -> Result<Vec<Dependency>> {
    let mut locked = Vec::with_capacity(wanted.len());
    let mut missing = Vec::new();
    for (dependency, cached) in wanted.iter().zip(names) {
        let Dependency { name, repository, version, .. } = dependency;
        let constraint = Constraint::parse(version).map_err(|e| {
            Error::Invalid(format!("dependency {} has an invalid version/constraint format: {e}", quoted(name)))
        })?;
        let chosen = if repository.is_empty() {
            local_path(&format!("charts/{name}"), manager.chart)?;
            Some(version.clone())
        } else if is_local(dependency) {
            let found = load_chart(&local_path(repository, manager.chart)?, notify)?.metadata.version;
            Version::parse(&found).is_ok_and(|version| constraint.check(&version)).then_some(found)
        } else if is_oci(repository) {
            Some(from_registry(manager, dependency, &constraint).await?)
        } else {
            match cached {
                Some(cached) => from_index(manager, dependency, cached, &constraint, notify)?,
                None => Some(version.clone()),
            }
        };
        match chosen {
            Some(version) => locked.push(Dependency {
                name: name.clone(),
                repository: repository.clone(),
                version,
                ..Dependency::default()
            }),
            None => missing.push(format!(
                "{} (repository {}, version {})",
                quoted(name),
                quoted(repository),
                quoted(version)
            )),
        }
    }
    if missing.is_empty() {
        return Ok(locked);
    }
    Err(Error::NotFound(format!(
        "can't get a valid version for {} subchart(s): {}. Make sure a matching chart version exists in the repo, or change \
         the version constraint in Chart.yaml",
        missing.len(),
        missing.join(", ")
    )))
}

fn from_index(
    manager: &Manager<'_>,
    dependency: &Dependency,
    cached: &str,
    constraint: &Constraint,
    notify: Notify<'_>,
) -> Result<Option<String>> {
    let reader = IndexReader::open(&manager.paths.cached_index(cached))
        .map_err(|e| e.during(format!("no cached repository for {cached} found. (try 'helm repo update')")))?;
    let versions = reader.versions(&dependency.name, notify)?.ok_or_else(|| {
        Error::NotFound(format!("{} chart not found in repo {}", dependency.name, dependency.repository))
    })?;
    let fits = |version: &str| Version::parse(version).is_ok_and(|version| constraint.check(&version));
    let found = versions.into_iter().find(|entry| !entry.urls().is_empty() && fits(&entry.metadata.version));
    Ok(found.map(|entry| entry.metadata.version))
}

/// An exact version is taken as it is; so is a constraint that no tag meets, and pulling it will say so.
async fn from_registry(manager: &Manager<'_>, dependency: &Dependency, constraint: &Constraint) -> Result<String> {
    let version = &dependency.version;
    if Version::parse(version).is_ok() {
        return Ok(version.clone());
    }
    let failed =
        |e: Error| e.during(format!("could not retrieve list of tags for repository {}", dependency.repository));
    let client = oci::Client::new(&manager.download.registry, manager.paths)?;
    let reference = Reference::parse(&format!("{}/{}", dependency.repository, dependency.name)).map_err(failed)?;
    let tags = client.tags(&reference).await.map_err(failed)?;
    let fits = |tag: &&String| Version::parse(tag).is_ok_and(|version| constraint.check(&version));
    Ok(tags.iter().find(fits).unwrap_or(version).clone())
}
