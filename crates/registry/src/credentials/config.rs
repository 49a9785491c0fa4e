//! One `config.json` in Docker's format. What this crate does not know in it is kept.

use super::Credential;
use crate::error::os_text;
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A credential file is not larger than this, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// The file's content.
#[derive(Debug, Clone)]
pub(super) struct Config {
    path: PathBuf,
    content: BTreeMap<String, Value>,
}

impl Config {
    /// Reads the file; a missing or empty one is an empty configuration.
    ///
    /// # Errors
    /// [`Error::Config`] when it is unreadable or malformed.
    pub(super) fn load(path: &Path) -> Result<Config> {
        let failed = |why: &str| {
            Error::Config(format!("failed to decode config file {}: invalid config format: {why}", path.display()))
        };
        let text = match std::fs::read(path) {
            Ok(text) if text.len() as u64 > MAX_SIZE => return Err(failed("the file is too large")),
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => {
                let path = path.display();
                return Err(Error::Config(format!(
                    "failed to open config file at {path}: open {path}: {}",
                    os_text(&e)
                )));
            }
        };
        let content: BTreeMap<String, Value> = if text.trim_ascii().is_empty() {
            BTreeMap::new()
        } else {
            serde_json::from_slice(&text).map_err(|e| failed(&e.to_string()))?
        };
        let shape = |name: &str, fits: fn(&Value) -> bool, what: &str| match content.get(name) {
            Some(value) if !value.is_null() && !fits(value) => {
                Err(Error::Config(format!("failed to unmarshal {what} field: invalid config format")))
            }
            _ => Ok(()),
        };
        shape("credsStore", Value::is_string, "creds store")?;
        shape("credHelpers", Value::is_object, "cred helpers")?;
        shape("auths", Value::is_object, "auths")?;
        Ok(Config { path: path.into(), content })
    }

    /// Whether the file says anything about credentials.
    pub(super) fn is_configured(&self) -> bool {
        let filled = |name: &str| self.content.get(name).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
        filled("auths") || filled("credHelpers") || self.creds_store().is_some()
    }

    /// The helper for a registry: its own, else the one for all.
    pub(super) fn helper(&self, server: &str) -> Option<&str> {
        let own = self.content.get("credHelpers").and_then(|helpers| helpers.get(server)).and_then(Value::as_str);
        own.filter(|name| !name.is_empty()).or_else(|| self.creds_store())
    }

    fn creds_store(&self) -> Option<&str> {
        self.content.get("credsStore").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// The credential that the file itself holds for a registry; empty when there is none. Keys of old files with scheme and
    /// path are understood.
    pub(super) fn get(&self, server: &str) -> Result<Credential> {
        let Some(auths) = self.content.get("auths").and_then(Value::as_object) else {
            return Ok(Credential::default());
        };
        let found = auths.get(server).or_else(|| auths.iter().find(|(key, _)| host_of(key) == server).map(|(_, v)| v));
        found.map_or_else(|| Ok(Credential::default()), credential)
    }

    /// Sets a registry's credential and saves the file.
    pub(super) fn put(&mut self, server: &str, credential: &Credential) -> Result<()> {
        let mut entry = Map::new();
        if !credential.username.is_empty() || !credential.password.is_empty() {
            let text = format!("{}:{}", credential.username, credential.password);
            entry.insert("auth".into(), STANDARD.encode(text).into());
        }
        for (name, token) in [("identitytoken", &credential.refresh_token), ("registrytoken", &credential.access_token)]
        {
            if !token.is_empty() {
                entry.insert(name.into(), token.as_str().into());
            }
        }
        let mut auths = self.auths();
        auths.insert(server.into(), entry.into());
        self.save(auths)
    }

    /// Forgets a registry and saves the file; nothing happens when it is not there.
    pub(super) fn delete(&mut self, server: &str) -> Result<()> {
        let mut auths = self.auths();
        if auths.remove(server).is_none() {
            return Ok(());
        }
        self.save(auths)
    }

    /// Names the helper for all registries and saves the file.
    pub(super) fn set_creds_store(&mut self, helper: &str) -> Result<()> {
        self.content.insert("credsStore".into(), helper.into());
        self.save(self.auths())
    }

    fn auths(&self) -> BTreeMap<String, Value> {
        let auths = self.content.get("auths").and_then(Value::as_object);
        auths.map(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()).unwrap_or_default()
    }

    /// Replaces the file in one step, readable by its owner only.
    fn save(&mut self, auths: BTreeMap<String, Value>) -> Result<()> {
        if self.creds_store().is_none() {
            self.content.remove("credsStore");
        }
        self.content.insert("auths".into(), json!(auths));
        let text = crate::go_text::json_indented(&self.content, "\t");
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let failed = |e: std::io::Error| Error::Config(format!("failed to save config file: {}", os_text(&e)));
        private_directory(directory)
            .map_err(|e| Error::Config(format!("failed to make directory {}: {}", directory.display(), os_text(&e))))?;
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.persist(&self.path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

fn private_directory(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn credential(entry: &Value) -> Result<Credential> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let mut credential = Credential {
        username: text("username"),
        password: text("password"),
        refresh_token: text("identitytoken"),
        access_token: text("registrytoken"),
    };
    let auth = text("auth");
    if !auth.is_empty() {
        let bad = |why: &str| Error::Credentials(format!("failed to decode auth field: invalid config format: {why}"));
        let decoded = STANDARD.decode(&auth).map_err(|e| bad(&e.to_string()))?;
        let decoded = String::from_utf8(decoded).map_err(|_| bad("the text is not UTF-8"))?;
        let (user, password) = decoded
            .split_once(':')
            .ok_or_else(|| bad("the text does not conform the base64(username:password) format"))?;
        credential.username = user.into();
        credential.password = password.into();
    }
    Ok(credential)
}

/// `https://host/v1/` and `host` are the same registry.
fn host_of(key: &str) -> &str {
    let bare = key.strip_prefix("http://").unwrap_or(key);
    let bare = bare.strip_prefix("https://").unwrap_or(bare);
    bare.split('/').next().unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(before: &str, change: impl FnOnce(&mut Config)) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry/config.json");
        if !before.is_empty() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, before).unwrap();
        }
        change(&mut Config::load(&path).unwrap());
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_first_login_makes_the_file() {
        let text = saved("", |config| config.put("localhost:5000", &Credential::basic("me", "pw")).unwrap());
        assert_eq!(text, "{\n\t\"auths\": {\n\t\t\"localhost:5000\": {\n\t\t\t\"auth\": \"bWU6cHc=\"\n\t\t}\n\t}\n}");
    }

    #[test]
    fn what_is_not_ours_stays() {
        let before = r#"{"psFormat":"x","auths":{"b":{"auth":"YTpi","email":"e"},"a":{}},"HttpHeaders":{"z":"<1>"}}"#;
        let text = saved(before, |config| config.delete("a").unwrap());
        let expected = "{\n\t\"HttpHeaders\": {\n\t\t\"z\": \"\\u003c1\\u003e\"\n\t},\n\t\"auths\": {\n\t\t\"b\": {\n\t\t\t\
                        \"auth\": \"YTpi\",\n\t\t\t\"email\": \"e\"\n\t\t}\n\t},\n\t\"psFormat\": \"x\"\n}";
        assert_eq!(text, expected);
        assert_eq!(saved(before, |config| config.delete("unknown").unwrap()), before);
    }

    #[test]
    fn keys_of_old_files_are_understood() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        std::fs::write(
            &path,
            r#"{"auths":{"https://h:1/v2/":{"auth":"dTpw"},"t":{"identitytoken":"x"},"bad":{"auth":"!"}}}"#,
        )
        .unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.get("h:1"), Ok(Credential::basic("u", "p")));
        assert_eq!(config.get("t").map(|c| c.refresh_token), Ok("x".into()));
        assert_eq!(config.get("none"), Ok(Credential::default()));
        assert!(config.get("bad").is_err());
    }

    #[test]
    fn malformed_files_are_refused() {
        for text in ["[]", "{", r#"{"auths":1}"#, r#"{"credsStore":[]}"#, r#"{"credHelpers":"x"}"#] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("c.json");
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Config::load(&path), Err(Error::Config(_))), "{text}");
        }
    }

    #[test]
    fn helpers_by_registry_then_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        std::fs::write(&path, r#"{"credsStore":"all","credHelpers":{"h":"own"}}"#).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!((config.helper("h"), config.helper("i")), (Some("own"), Some("all")));
        assert!(config.is_configured());
    }
}
