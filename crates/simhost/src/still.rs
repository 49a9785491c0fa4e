//! A host that does not run: its disk, and what its runtime would make of it at a start. No tasks, no sockets; for those who need ten
//! thousand starts.

use crate::host::{self, Error};
use crate::populate::{self, Tree};
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

    /// Does what distribution and runtime do at a start, and returns the handlers that would be served.
    ///
    /// # Errors
    /// The daemon's words when it would not start, or would not serve the CRI.
    pub fn start(&self) -> Result<Vec<String>, String> {
        let layout = self.spec.layout();
        let installed = program::runtime(&crate::toml::host_path(&self.root, layout.program));
        let version = installed.map_or_else(|| self.spec.runtime_version().to_owned(), |runtime| runtime.version);
        let effective = daemon::start(&self.root, &self.spec, &version).map_err(|refusal| refusal.to_string())?;
        match effective.cri_off {
            Some(why) => Err(why),
            None => Ok(effective.handlers.into_keys().collect()),
        }
    }
}
