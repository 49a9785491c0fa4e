//! The charts that a chart needs: from `Chart.yaml` to `Chart.lock` and the archives in `charts/`.

mod lock;
mod names;
mod resolve;
mod save;
mod status;

pub use lock::{digest, legacy_digest};
pub use status::{Listing, Row, list};

use crate::download;
use crate::error::os_text;
use crate::notice::{Notice, Notify, pass_on, warning};
use crate::repository::{RepositoryFile, fetch_all};
use crate::url::quoted;
use crate::{Error, Paths, Result};
use chart::{Chart, Dependency};
use jiff::Zoned;
use std::path::Path;

/// Packs a chart into an archive; the chart room knows how.
pub type Packer<'a> = &'a (dyn Fn(&Chart) -> std::result::Result<Vec<u8>, String> + Sync);

/// What the commands for dependencies work on.
#[derive(Clone)]
pub struct Manager<'a> {
    /// The chart's directory.
    pub chart: &'a Path,
    /// Helm's files.
    pub paths: &'a Paths,
    /// How charts are fetched and verified.
    pub download: download::Options,
    /// Do not fetch the indexes of the configured repositories first.
    pub skip_refresh: bool,
    /// Say more.
    pub debug: bool,
    /// Packs charts that are named by `file://`.
    pub pack: Packer<'a>,
    /// For the time in the lock file.
    pub now: Zoned,
}

impl Manager<'_> {
    /// Fetches what `Chart.lock` says; without one, the same as [`Manager::update`].
    ///
    /// # Errors
    /// The lock does not fit `Chart.yaml`, a repository is not configured, a chart cannot be fetched. `charts/` is only
    /// changed once everything is there.
    pub async fn build(&self, notify: Notify<'_>) -> Result<()> {
        let chart = self.load(notify)?;
        let Some(lock) = chart.lock else { return self.update(notify).await };
        let mut wanted = chart.metadata.dependencies;
        let is_old = chart.metadata.api_version == "v1";
        // Helm 2 hashed the names of repositories as they are written.
        let old_digest = legacy_digest(&wanted);
        names::resolve(self, &mut wanted, notify)?;
        if digest(&wanted, &lock.dependencies) != lock.digest {
            if !is_old {
                return Err(Error::Invalid(
                    "the lock file (Chart.lock) is out of sync with the dependencies file (Chart.yaml). Please update the \
                     dependencies with 'helm dependency update'"
                        .into(),
                ));
            }
            let message = "warning: a valid Helm v3 hash was not found. Checking against Helm v2 hash...";
            notify(warning(message, Vec::new()));
            if old_digest != lock.digest {
                return Err(Error::Invalid(
                    "the lock file (requirements.lock) is out of sync with the dependencies file (requirements.yaml). Please \
                     update the dependencies"
                        .into(),
                ));
            }
        }
        names::all_configured(self.paths, &lock.dependencies)?;
        if !self.skip_refresh {
            self.refresh(notify).await?;
        }
        let mut locked = lock.dependencies;
        save::fetch_all(self, &mut locked, notify).await
    }

    /// Chooses versions for what `Chart.yaml` asks for, fetches them, and writes `Chart.lock` when it changes.
    ///
    /// # Errors
    /// A repository or chart cannot be found or fetched, or no version fits. `charts/` is only changed once everything
    /// is there.
    pub async fn update(&self, notify: Notify<'_>) -> Result<()> {
        let chart = self.load(notify)?;
        let mut wanted = chart.metadata.dependencies;
        if wanted.is_empty() {
            return Ok(());
        }
        let mut names = names::resolve(self, &mut wanted, notify)?;
        let unmanaged = names::add_unmanaged(&mut names, &wanted);
        if !self.skip_refresh && !unmanaged.is_empty() {
            notify(Notice::Line("Getting updates for unmanaged Helm repositories...".into()));
            self.fetch_indexes(&unmanaged, notify).await;
        }
        if !self.skip_refresh {
            self.refresh(notify).await?;
        }
        let mut locked = resolve::resolve(self, &wanted, &names, notify).await?;
        save::fetch_all(self, &mut locked, notify).await?;
        let digest = digest(&wanted, &locked);
        if chart.lock.is_some_and(|old| old.digest == digest) {
            return Ok(());
        }
        let lock = chart::Lock { generated: crate::go_text::time_nano(&self.now), digest, dependencies: locked };
        lock::write(self.chart, &lock, chart.metadata.api_version == "v1")
    }

    fn load(&self, notify: Notify<'_>) -> Result<Chart> {
        let name = self.chart.display();
        let found = std::fs::metadata(self.chart)
            .map_err(|e| Error::Io(format!("could not find {name}: stat {name}: {}", os_text(&e))))?;
        if !found.is_dir() {
            return Err(Error::Invalid("only unpacked charts can be updated".into()));
        }
        load_chart(self.chart, notify)
    }

    /// Fetches the indexes of all configured repositories. One that cannot be fetched is only reported.
    async fn refresh(&self, notify: Notify<'_>) -> Result<()> {
        let entries = RepositoryFile::load_or_empty(&self.paths.repository_config)?.repositories;
        if entries.is_empty() {
            return Ok(());
        }
        notify(Notice::Line("Hang tight while we grab the latest from your chart repositories...".into()));
        self.fetch_indexes(&entries, notify).await;
        notify(Notice::Line("Update Complete. ⎈Happy Helming!⎈".into()));
        Ok(())
    }

    async fn fetch_indexes(&self, entries: &[crate::repository::Entry], notify: Notify<'_>) {
        let entries = names::without_repeats(entries);
        fetch_all(entries, None, self.paths, notify, |updated, notify| {
            let unmanaged = updated.entry.name.starts_with(names::UNMANAGED);
            let shown = quoted(if unmanaged { &updated.entry.url } else { &updated.entry.name });
            notify(Notice::Line(match &updated.outcome {
                Ok(()) => format!("...Successfully got an update from the {shown} chart repository"),
                Err(e) if unmanaged => format!("...Unable to get an update from the {shown} chart repository:\n\t{e}"),
                Err(e) => {
                    let url = &updated.entry.url;
                    format!("...Unable to get an update from the {shown} chart repository ({url}):\n\t{e}")
                }
            }));
        })
        .await;
    }
}

fn load_chart(path: &Path, notify: Notify<'_>) -> Result<Chart> {
    if path.is_dir() && !path.join("Chart.yaml").exists() {
        return Err(Error::Invalid("Chart.yaml file is missing".into()));
    }
    let mut log = chart::Log::default();
    let loaded = chart::load::path(path, &mut log);
    pass_on(log, notify);
    Ok(loaded?)
}

/// Where a chart is that is named by a path relative to its parent.
fn local_path(repository: &str, parent: &Path) -> Result<std::path::PathBuf> {
    let path = repository.strip_prefix(LOCAL).unwrap_or(repository);
    let joined = crate::url::clean(&parent.join(path).to_string_lossy());
    match std::fs::metadata(&joined) {
        Ok(_) => Ok(joined.into()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NotFound(format!("directory {joined} not found")))
        }
        Err(e) => Err(Error::io("stat", Path::new(&joined), &e)),
    }
}

/// The scheme of charts beside this one.
const LOCAL: &str = "file://";

fn is_local(dependency: &Dependency) -> bool {
    dependency.repository.starts_with(LOCAL)
}
