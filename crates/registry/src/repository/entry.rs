//! `repositories.yaml`: the repositories that a user has added.

use super::remote::{Access, fetch_index};
use crate::error::os_text;
use crate::files::bounded_read;
use crate::http::TlsOptions;
use crate::notice::{Notice, Notify};
use crate::url::quoted;
use crate::{Error, Paths, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file is not larger than this, in bytes.
const MAX_SIZE: u64 = 16 << 20;
/// How long another command may hold the file.
const LOCK_TIME: Duration = Duration::from_secs(30);
/// Repositories that are gone, and where they are now.
const GONE: &[(&str, &str)] = &[
    ("//kubernetes-charts.storage.googleapis.com", "https://charts.helm.sh/stable"),
    ("//kubernetes-charts-incubator.storage.googleapis.com", "https://charts.helm.sh/incubator"),
];

/// One repository.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// The name before the slash in `name/chart`.
    pub name: String,
    /// Where its `index.yaml` is.
    pub url: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Client certificate.
    pub cert_file: String,
    /// Its key.
    pub key_file: String,
    /// Certificate authorities.
    pub ca_file: String,
    /// Take any certificate.
    #[serde(rename = "insecure_skip_tls_verify")]
    pub insecure_skip_tls_verify: bool,
    /// Show the credentials to other hosts too, when the index points there.
    #[serde(rename = "pass_credentials_all")]
    pub pass_credentials_all: bool,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Entry {
    /// How the repository is reached.
    pub fn access(&self) -> Access {
        Access {
            url: self.url.clone(),
            username: self.username.clone(),
            password: self.password.clone(),
            tls: self.tls(),
            pass_credentials_all: self.pass_credentials_all,
            timeout: None,
        }
    }

    /// Its TLS settings.
    pub fn tls(&self) -> TlsOptions {
        TlsOptions::from_texts(&self.cert_file, &self.key_file, &self.ca_file, self.insecure_skip_tls_verify)
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryFile {
    /// Usually empty, as Helm writes it.
    pub api_version: String,
    /// Usually the zero time, as Helm writes it.
    pub generated: String,
    /// The repositories, in the order in which they were added.
    pub repositories: Vec<Entry>,
}

impl RepositoryFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Config`] when it is missing ([`RepositoryFile::load_or_empty`] forgives that) or malformed.
    pub fn load(path: &Path) -> Result<RepositoryFile> {
        let text = match bounded_read(path, MAX_SIZE) {
            Ok(data) => data,
            Err(e @ Error::TooLarge { .. }) => return Err(e),
            Err(e) => return Err(Error::Config(format!("couldn't load repositories file ({}): {e}", path.display()))),
        };
        RepositoryFile::parse(&String::from_utf8_lossy(&text))
    }

    /// Reads the file; a missing one is empty.
    ///
    /// # Errors
    /// [`Error::Config`] when it is malformed.
    pub fn load_or_empty(path: &Path) -> Result<RepositoryFile> {
        match std::fs::symlink_metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(RepositoryFile::default()),
            _ => RepositoryFile::load(path),
        }
    }

    fn parse(text: &str) -> Result<RepositoryFile> {
        let mut object = match goyaml::parse(text) {
            Ok(Value::Object(object)) => object,
            Ok(Value::Null) => return Ok(RepositoryFile::default()),
            Ok(other) => {
                return Err(Error::Config(super::decode::mismatch(&other, "repo.File").to_string()));
            }
            Err(e) => return Err(Error::Config(e.in_conversion())),
        };
        let mut file = RepositoryFile::default();
        let mut take = |name: &str| object.remove(name).unwrap_or(Value::Null);
        file.api_version = super::decode::text(take("apiVersion"))?;
        file.generated = super::decode::text(take("generated"))?;
        if let Value::Array(entries) = take("repositories") {
            for entry in entries {
                let Value::Object(mut entry) = entry else { continue };
                entry.retain(|_, value| !value.is_null());
                for (name, value) in &mut entry {
                    if !matches!(name.as_str(), "insecure_skip_tls_verify" | "pass_credentials_all") {
                        *value = super::decode::text(value.take())?.into();
                    }
                }
                let entry = serde_json::from_value(Value::Object(entry))
                    .map_err(|e| Error::Config(format!("error unmarshaling JSON: while decoding JSON: json: {e}")))?;
                file.repositories.push(entry);
            }
        }
        Ok(file)
    }

    /// The repository of that name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.repositories.iter().find(|entry| entry.name == name)
    }

    /// Replaces the repository of that name, or adds it.
    pub fn put(&mut self, entry: Entry) {
        match self.repositories.iter_mut().find(|known| known.name == entry.name) {
            Some(known) => *known = entry,
            None => self.repositories.push(entry),
        }
    }

    /// Writes the file, for its owner only.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = self.clone();
        if file.generated.is_empty() {
            file.generated = crate::go_text::ZERO_TIME.into();
        }
        let value = serde_json::to_value(&file).map_err(|e| Error::Config(e.to_string()))?;
        let text = goyaml::to_yaml(&value).map_err(|e| Error::Config(e.to_string()))?;
        crate::files::replace(path, text.as_bytes(), 0o600)
    }
}

/// Adds a repository: fetches its index into the cache and writes the file.
///
/// With `force`, a repository of that name is replaced; `allow_gone` lets through the ones that are known to be gone.
/// Nothing is written when the index cannot be fetched.
///
/// # Errors
/// The name is taken or malformed, the index cannot be fetched or read, the file cannot be written.
pub async fn add(
    entry: Entry,
    force: bool,
    allow_gone: bool,
    timeout: Option<Duration>,
    paths: &Paths,
    notify: Notify<'_>,
) -> Result<()> {
    let gone = GONE.iter().find(|(old, _)| !allow_gone && entry.url.contains(old));
    if let Some((_, new)) = gone {
        return Err(Error::Invalid(format!(
            "repo {} is no longer available; try {} instead",
            quoted(&entry.url),
            quoted(new)
        )));
    }
    let _lock = lock(&paths.repository_config).await?;
    let mut file = RepositoryFile::load_or_empty(&paths.repository_config)?;
    if entry.name.contains('/') {
        return Err(Error::Invalid(format!(
            "repository name ({}) contains '/', please specify a different name without '/'",
            entry.name
        )));
    }
    if let Some(known) = file.get(&entry.name).filter(|_| !force) {
        if *known != entry {
            let name = &entry.name;
            return Err(Error::Invalid(format!(
                "repository name ({name}) already exists, please specify a different name"
            )));
        }
        notify(Notice::Line(format!("{} already exists with the same configuration, skipping", quoted(&entry.name))));
        return Ok(());
    }
    let access = Access { timeout, ..entry.access() };
    fetch_index(&entry.name, &access, paths, notify).await.map_err(|e| match e {
        e @ Error::Invalid(_) if e.to_string().starts_with("could not find protocol handler") => e,
        e => {
            e.during(format!("looks like {} is not a valid chart repository or cannot be reached", quoted(&entry.url)))
        }
    })?;
    let name = entry.name.clone();
    file.put(entry);
    file.save(&paths.repository_config)?;
    notify(Notice::Line(format!("{} has been added to your repositories", quoted(&name))));
    Ok(())
}

/// Removes repositories and their cached files, one after the other.
///
/// # Errors
/// There is no such repository (those named before it are gone by then), or a file cannot be written.
pub fn remove(names: &[String], paths: &Paths, notify: Notify<'_>) -> Result<()> {
    let mut file = RepositoryFile::load(&paths.repository_config).unwrap_or_default();
    if file.repositories.is_empty() {
        return Err(Error::NotFound("no repositories configured".into()));
    }
    for name in names {
        let before = file.repositories.len();
        file.repositories.retain(|entry| entry.name != *name);
        if file.repositories.len() == before {
            return Err(Error::NotFound(format!("no repo named {} found", quoted(name))));
        }
        file.save(&paths.repository_config)?;
        for cached in [paths.cached_names(name), paths.cached_index(name)] {
            match std::fs::remove_file(&cached) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("remove", &cached, &e)),
                _ => {}
            }
        }
        notify(Notice::Line(format!("{} has been removed from your repositories", quoted(name))));
    }
    Ok(())
}

/// Helm's lock beside the file: `repositories.lock`. It is held until the value is dropped.
async fn lock(path: &Path) -> Result<File> {
    let lock_path = match path.extension() {
        Some(_) => path.with_extension("lock"),
        None => PathBuf::from(format!("{}.lock", path.display())),
    };
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(|e| Error::io("mkdir", directory, &e))?;
    let failed = |e: &std::io::Error| Error::Io(format!("open {}: {}", lock_path.display(), os_text(e)));
    let file = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(|e| failed(&e))?;
    let deadline = tokio::time::Instant::now() + LOCK_TIME;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Io("context deadline exceeded".into())),
            Err(std::fs::TryLockError::Error(e)) => return Err(failed(&e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry { name: name.into(), url: format!("https://h/{name}"), ..Entry::default() }
    }

    #[test]
    fn the_file_has_helms_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c/repositories.yaml");
        let mut file = RepositoryFile::default();
        file.put(entry("a"));
        file.put(Entry { username: "me".into(), pass_credentials_all: true, ..entry("b") });
        file.put(Entry { ca_file: "/ca".into(), ..entry("a") });
        file.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "apiVersion: \"\"\ngenerated: \"0001-01-01T00:00:00Z\"\nrepositories:\n- caFile: /ca\n  certFile: \"\"\n  \
            insecure_skip_tls_verify: false\n  keyFile: \"\"\n  name: a\n  pass_credentials_all: false\n  password: \"\"\n  \
            url: https://h/a\n  username: \"\"\n- caFile: \"\"\n  certFile: \"\"\n  insecure_skip_tls_verify: false\n  \
            keyFile: \"\"\n  name: b\n  pass_credentials_all: true\n  password: \"\"\n  url: https://h/b\n  username: me\n";
        assert_eq!(text, expected);
        let again = RepositoryFile::load(&path).unwrap();
        assert_eq!(again.repositories, file.repositories);
    }

    #[test]
    fn odd_files() {
        assert_eq!(RepositoryFile::parse("").unwrap(), RepositoryFile::default());
        let file = RepositoryFile::parse("repositories:\n- name: 1\n  url: null\n- null\nextra: x\n").unwrap();
        assert_eq!(file.repositories, [Entry { name: "1".into(), ..Entry::default() }]);
        assert!(RepositoryFile::parse("[]").is_err());
        assert!(RepositoryFile::parse("a: [").is_err());
        let missing = RepositoryFile::load(Path::new("/none/r.yaml")).unwrap_err().to_string();
        assert_eq!(
            missing,
            "couldn't load repositories file (/none/r.yaml): open /none/r.yaml: no such file or directory"
        );
    }
}
