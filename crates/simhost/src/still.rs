//! A host that does not run: its disk, and what its runtime would make of it at a start. No tasks, no sockets; for those who need ten
//! thousand starts.

use crate::host::{self, Error};
use crate::populate::{self, Tree};
use crate::refusal::Effective;
use crate::spec::HostSpec;
use crate::{daemon, program};
use std::path::{Path, PathBuf};

/// The disk of a host, in `<dir>/root`.
#[derive(Clone, Debug)]
pub struct Still {
    root: PathBuf,
    spec: HostSpec,
}

impl Still {
    /// Installs a host and fills in what its kernel shows after a boot.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written.
    pub fn install(spec: HostSpec, dir: &Path) -> Result<Still, Error> {
        let root = dir.join("root");
        let failed = |source| Error::Io { host: spec.name.clone(), path: root.clone(), source };
        host::install(&spec, dir, &root).map_err(failed)?;
        populate::boot(&Tree { root: &root, spec: &spec }).map_err(failed)?;
        Ok(Still { root, spec })
    }

    /// The directory that is the host's `/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the host was made from.
    pub fn spec(&self) -> &HostSpec {
        &self.spec
    }

    /// Handlers whose pods could not be started, with the runtime's words for it.
    ///
    /// # Errors
    /// As of [`Still::start`].
    pub fn broken(&self) -> Result<Vec<String>, String> {
        let effective = self.effective()?;
        let trouble = |(name, shim): (String, crate::Shim)| Some(format!("{name}: {}", shim.trouble(&self.root)?));
        Ok(effective.shims.into_iter().filter_map(trouble).collect())
    }

    /// Does what distribution and runtime do at a start, and returns the handlers that would be served.
    ///
    /// # Errors
    /// The daemon's words when it would not start, or would not serve the CRI.
    pub fn start(&self) -> Result<Vec<String>, String> {
        let effective = self.effective()?;
        match effective.cri_off {
            Some(why) => Err(why),
            None => Ok(effective.handlers.into_keys().collect()),
        }
    }

    fn effective(&self) -> Result<Effective, String> {
        let layout = self.spec.layout();
        let installed = program::runtime(&crate::toml::host_path(&self.root, layout.program));
        let version = installed.map_or_else(|| self.spec.runtime_version().to_owned(), |runtime| runtime.version);
        daemon::start(&self.root, &self.spec, &version, self.spec.containerd_config.as_deref())
            .map_err(|refusal| refusal.to_string())
    }
}
