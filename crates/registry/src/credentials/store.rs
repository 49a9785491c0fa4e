//! Where credentials are looked for: Helm's file, then Docker's; in each a helper before the file itself.

use super::config::Config;
use super::helper::{Helper, default_helper};
use super::{Credential, server_address};
use crate::{Paths, Result};
use std::path::PathBuf;

/// The credentials that a user has stored.
#[derive(Debug)]
pub struct Store {
    helm: Source,
    docker: Option<Source>,
    programs: Vec<PathBuf>,
}

#[derive(Debug)]
struct Source {
    config: Config,
    /// The system's helper, taken when the file says nothing at all.
    detected: Option<&'static str>,
}

impl Source {
    fn helper(&self, server: &str) -> Option<&str> {
        self.config.helper(server).or(self.detected)
    }

    async fn get(&self, server: &str, programs: &[PathBuf]) -> Result<Credential> {
        match self.helper(server) {
            Some(name) => Helper::find(name, programs)?.get(server).await,
            None => self.config.get(server),
        }
    }
}

impl Store {
    /// Reads both files.
    ///
    /// # Errors
    /// [`crate::Error::Config`] when one is malformed.
    pub fn open(paths: &Paths) -> Result<Store> {
        let source = |config: Config| {
            let detected = if config.is_configured() { None } else { default_helper(&paths.programs) };
            Source { config, detected }
        };
        Ok(Store {
            helm: source(Config::load(&paths.registry_config)?),
            docker: paths.docker_config.as_deref().map(Config::load).transpose()?.map(source),
            programs: paths.programs.clone(),
        })
    }

    /// The credential for a registry (`host[:port]`); empty when none is stored.
    ///
    /// # Errors
    /// [`crate::Error::Credentials`] when an entry is malformed or a helper fails.
    pub async fn get(&self, registry: &str) -> Result<Credential> {
        let server = server_address(registry);
        let credential = self.helm.get(server, &self.programs).await?;
        match &self.docker {
            Some(docker) if credential.is_empty() => docker.get(server, &self.programs).await,
            _ => Ok(credential),
        }
    }

    /// Keeps a credential, in Helm's file or with its helper.
    ///
    /// # Errors
    /// [`crate::Error::Config`] or [`crate::Error::Credentials`].
    pub async fn put(&mut self, registry: &str, credential: &Credential) -> Result<()> {
        let server = server_address(registry);
        match self.helm.helper(server) {
            Some(name) => Helper::find(name, &self.programs)?.store(server, credential).await?,
            None => self.helm.config.put(server, credential)?,
        }
        match self.helm.detected {
            Some(name) => self.helm.config.set_creds_store(name),
            None => Ok(()),
        }
    }

    /// Forgets a registry.
    ///
    /// # Errors
    /// [`crate::Error::Config`] or [`crate::Error::Credentials`].
    pub async fn delete(&mut self, registry: &str) -> Result<()> {
        let server = server_address(registry);
        match self.helm.helper(server) {
            Some(name) => Helper::find(name, &self.programs)?.erase(server).await,
            None => self.helm.config.delete(server),
        }
    }
}
