//! Where Helm keeps its files.

use std::ffi::OsString;
use std::path::PathBuf;

/// The files and directories that both Helm and Husk use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `repositories.yaml`.
    pub repository_config: PathBuf,
    /// Directory of the cached indexes.
    pub repository_cache: PathBuf,
    /// Helm's own file of registry credentials, `registry/config.json`.
    pub registry_config: PathBuf,
    /// Docker's `config.json`, read when Helm's file does not know a registry. `None` when there is no home directory.
    pub docker_config: Option<PathBuf>,
    /// Directory of downloaded charts by digest.
    pub content_cache: PathBuf,
    /// Directories of `PATH`, where credential helpers are looked for.
    pub programs: Vec<PathBuf>,
}

impl Paths {
    /// The paths that an environment asks for. `variable` looks one up; an empty one counts as not set.
    ///
    /// The rules are Helm's: a variable for each path, else `HELM_CACHE_HOME`/`HELM_CONFIG_HOME`, else
    /// `XDG_*_HOME/helm`, else `~/.cache/helm` and `~/.config/helm`.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Paths {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = set("HOME");
        let base = |helm: &str, xdg: &str, below_home: &str| {
            set(helm)
                .or_else(|| set(xdg).map(|dir| dir.join("helm")))
                .unwrap_or_else(|| home.clone().unwrap_or_default().join(below_home).join("helm"))
        };
        let config = base("HELM_CONFIG_HOME", "XDG_CONFIG_HOME", ".config");
        let cache = base("HELM_CACHE_HOME", "XDG_CACHE_HOME", ".cache");
        let programs = variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        Paths {
            repository_config: set("HELM_REPOSITORY_CONFIG").unwrap_or_else(|| config.join("repositories.yaml")),
            repository_cache: set("HELM_REPOSITORY_CACHE").unwrap_or_else(|| cache.join("repository")),
            registry_config: set("HELM_REGISTRY_CONFIG").unwrap_or_else(|| config.join("registry/config.json")),
            docker_config: set("DOCKER_CONFIG")
                .or_else(|| home.as_ref().map(|home| home.join(".docker")))
                .map(|dir| dir.join("config.json")),
            content_cache: set("HELM_CONTENT_CACHE").unwrap_or_else(|| cache.join("content")),
            programs,
        }
    }

    /// The cached index of a repository.
    pub fn cached_index(&self, repository: &str) -> PathBuf {
        self.repository_cache.join(prefixed(repository, "index.yaml"))
    }

    /// The cached list of a repository's chart names, for completion.
    pub fn cached_names(&self, repository: &str) -> PathBuf {
        self.repository_cache.join(prefixed(repository, "charts.txt"))
    }
}

fn prefixed(repository: &str, name: &str) -> String {
    if repository.is_empty() { name.into() } else { format!("{repository}-{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[(&str, &str)]) -> Paths {
        Paths::from_environment(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v)))
    }

    #[test]
    fn defaults_are_below_home() {
        let paths = with(&[("HOME", "/h"), ("PATH", "/bin:/usr/bin")]);
        assert_eq!(paths.repository_config, PathBuf::from("/h/.config/helm/repositories.yaml"));
        assert_eq!(paths.registry_config, PathBuf::from("/h/.config/helm/registry/config.json"));
        assert_eq!(paths.docker_config, Some(PathBuf::from("/h/.docker/config.json")));
        assert_eq!(paths.content_cache, PathBuf::from("/h/.cache/helm/content"));
        assert_eq!(paths.cached_index("r"), PathBuf::from("/h/.cache/helm/repository/r-index.yaml"));
        assert_eq!(paths.programs.len(), 2);
    }

    #[test]
    fn the_nearest_variable_wins() {
        let paths = with(&[
            ("HOME", "/h"),
            ("XDG_CACHE_HOME", "/xc"),
            ("HELM_CONFIG_HOME", "/hc"),
            ("XDG_CONFIG_HOME", "/no"),
            ("HELM_REPOSITORY_CACHE", "/rc"),
            ("HELM_CONTENT_CACHE", ""),
            ("DOCKER_CONFIG", "/d"),
        ]);
        assert_eq!(paths.repository_config, PathBuf::from("/hc/repositories.yaml"));
        assert_eq!(paths.cached_names("r"), PathBuf::from("/rc/r-charts.txt"));
        assert_eq!(paths.content_cache, PathBuf::from("/xc/helm/content"));
        assert_eq!(paths.docker_config, Some(PathBuf::from("/d/config.json")));
    }
}
