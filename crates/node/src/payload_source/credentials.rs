//! Pull secrets: Docker's `config.json`, which Kubernetes mounts as `.dockerconfigjson`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// What registries are shown, by registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, Secret>);

/// A user's password, or a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    /// `user:password`.
    Basic(String),
    /// A token that is sent as it is.
    Token(String),
}

/// Secrets stay out of logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    registrytoken: String,
    #[serde(default)]
    identitytoken: String,
}

impl Credentials {
    /// Reads a file.
    ///
    /// # Errors
    /// One sentence, without any secret.
    pub fn parse(text: &str) -> Result<Credentials, String> {
        let file: File = serde_json::from_str(text).map_err(|error| {
            format!("not a Docker configuration (line {}, column {})", error.line(), error.column())
        })?;
        let mut all = BTreeMap::new();
        for (registry, entry) in file.auths {
            let secret = if !entry.registrytoken.is_empty() {
                Secret::Token(entry.registrytoken)
            } else if !entry.identitytoken.is_empty() {
                return Err(format!("{registry} has an identity token; a user and a password are needed"));
            } else if !entry.username.is_empty() {
                Secret::Basic(format!("{}:{}", entry.username, entry.password))
            } else if entry.auth.is_empty() {
                continue;
            } else {
                let pair = decode(&entry.auth).filter(|pair| pair.contains(':'));
                Secret::Basic(pair.ok_or_else(|| format!("`auth` of {registry} is not user and password in base64"))?)
            };
            all.insert(host_of(&registry).to_owned(), secret);
        }
        Ok(Credentials(all))
    }

    pub(super) fn of(&self, registry: &str) -> Option<&Secret> {
        self.0.get(host_of(registry))
    }
}

/// Docker Hub has several names; old files have schemes and paths.
fn host_of(key: &str) -> &str {
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    match key.split('/').next().unwrap_or(key) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_under_all_names_of_a_registry() {
        let text = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dXNlcjpwOnc="}, "quay.io": {"username": "u", "password": "p"},
            "t.example": {"registrytoken": "tok"}, "empty.example": {}}}"#;
        let all = Credentials::parse(text).unwrap();
        assert!(all.of("docker.io") == Some(&Secret::Basic("user:p:w".into())));
        assert!(all.of("quay.io") == Some(&Secret::Basic("u:p".into())));
        assert!(all.of("t.example") == Some(&Secret::Token("tok".into())));
        assert!(all.of("empty.example").is_none());
        assert!(!format!("{all:?}").contains("p:w"));
    }

    #[test]
    fn what_cannot_be_used_is_told_without_secrets() {
        for (text, word) in [
            ("{", "Docker configuration"),
            (r#"{"auths": {"a.io": {"auth": "!!!"}}}"#, "base64"),
            (r#"{"auths": {"a.io": {"identitytoken": "s3cret"}}}"#, "identity token"),
        ] {
            let why = Credentials::parse(text).unwrap_err();
            assert!(why.contains(word) && !why.contains("s3cret"), "{why}");
        }
    }
}
