//! Which configured repository a dependency comes from.

use super::{Manager, is_local, local_path};
use crate::notice::{Notice, Notify};
use crate::oci::is_oci;
use crate::repository::{Entry, RepositoryFile};
use crate::url::{is_request_url, same};
use crate::{Error, Paths, Result, sha256_hex};
use chart::Dependency;

/// What the names of repositories start with that only an index was fetched of.
pub(super) const UNMANAGED: &str = "helm-manager-";

/// The name of each dependency's repository, where it has one. Aliases in `dependencies` are replaced by URLs.
pub(super) fn resolve(
    manager: &Manager<'_>,
    dependencies: &mut [Dependency],
    notify: Notify<'_>,
) -> Result<Vec<Option<String>>> {
    let file = RepositoryFile::load_or_empty(&manager.paths.repository_config)?;
    let mut names = Vec::new();
    let mut missing = Vec::new();
    for dependency in dependencies {
        let repository = dependency.repository.clone();
        if repository.is_empty() {
            names.push(None);
            continue;
        }
        if is_local(dependency) {
            local_path(&repository, manager.chart)?;
            if manager.debug {
                notify(Notice::Line(format!("Repository from local path: {repository}")));
            }
        }
        if is_local(dependency) || is_oci(&repository) {
            names.push(Some(repository));
            continue;
        }
        let alias = repository.strip_prefix('@').or_else(|| repository.strip_prefix("alias:"));
        let known = file.repositories.iter().find(|entry| alias == Some(&entry.name) || same(&entry.url, &repository));
        match known {
            Some(entry) => {
                if alias == Some(&entry.name) {
                    dependency.repository.clone_from(&entry.url);
                }
                names.push(Some(entry.name.clone()));
            }
            None => {
                names.push(None);
                if !is_request_url(&repository) {
                    missing.push(repository);
                }
            }
        }
    }
    if missing.is_empty() { Ok(names) } else { Err(Error::NotFound(no_definition(&missing))) }
}

fn no_definition(missing: &[String]) -> String {
    let mut text = format!("no repository definition for {}. Please add them via 'helm repo add'", missing.join(", "));
    if missing.iter().any(|name| !name.contains("//") && !name.starts_with('@') && !name.starts_with("alias:")) {
        text.push_str(
            "\nNote that repositories must be URLs or aliases. For example, to refer to the \"example\"\nrepository, use \
             \"https://charts.example.com/\" or \"@example\" instead of\n\"example\". Don't forget to add the repo, too ('helm \
             repo add').",
        );
    }
    text
}

/// Gives names to repositories that are not configured, and returns entries to fetch their indexes by.
pub(super) fn add_unmanaged(names: &mut [Option<String>], dependencies: &[Dependency]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (known, dependency) in names.iter_mut().zip(dependencies) {
        if dependency.repository.is_empty() || known.is_some() {
            continue;
        }
        let name = format!("{UNMANAGED}{}", sha256_hex(dependency.repository.as_bytes()));
        *known = Some(name.clone());
        entries.push(Entry { name, url: dependency.repository.clone(), ..Entry::default() });
    }
    entries
}

/// Entries with different URLs; final slashes do not count. Of several the last one stays.
pub(super) fn without_repeats(entries: &[Entry]) -> Vec<&Entry> {
    let mut by_url: Vec<(&str, &Entry)> = Vec::new();
    for entry in entries {
        let url = entry.url.strip_suffix('/').unwrap_or(&entry.url);
        match by_url.iter_mut().find(|(known, _)| *known == url) {
            Some((_, known)) => *known = entry,
            None => by_url.push((url, entry)),
        }
    }
    by_url.into_iter().map(|(_, entry)| entry).collect()
}

/// A lock may only name repositories that are configured.
pub(super) fn all_configured(paths: &Paths, locked: &[Dependency]) -> Result<()> {
    let file = RepositoryFile::load_or_empty(&paths.repository_config)?;
    let needs_one = |d: &&Dependency| !(d.repository.is_empty() || is_local(d) || is_oci(&d.repository));
    let missing: Vec<&str> = locked
        .iter()
        .filter(needs_one)
        .map(|d| d.repository.as_str())
        .filter(|url| !file.repositories.iter().any(|entry| same(&entry.url, url.strip_suffix('/').unwrap_or(url))))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::NotFound(format!("no repository definition for {}", missing.join(", "))))
}
