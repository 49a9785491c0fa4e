//! Credentials of registries: Docker's files and helper programs, read and written as Helm does.

mod config;
mod helper;
mod store;

pub use store::Store;

/// What a registry is shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credential {
    /// User name; empty together with a token.
    pub username: String,
    /// Password.
    pub password: String,
    /// An identity token, to be exchanged for access tokens.
    pub refresh_token: String,
    /// A token that is sent as it is.
    pub access_token: String,
}

impl Credential {
    /// User and password.
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Credential {
        Credential { username: username.into(), password: password.into(), ..Credential::default() }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Credential::default()
    }
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The key under which a registry's credentials are kept: its host, but Docker Hub has one of its own.
pub fn server_address(registry: &str) -> &str {
    match registry {
        "docker.io" | "registry-1.docker.io" => "https://index.docker.io/v1/",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_no_secret() {
        let credential = Credential { refresh_token: "r-secret".into(), ..Credential::basic("me", "p-secret") };
        let text = format!("{credential:?}");
        assert!(text.contains("me") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn docker_hub_has_its_own_key() {
        assert_eq!(server_address("registry-1.docker.io"), "https://index.docker.io/v1/");
        assert_eq!(server_address("localhost:5000"), "localhost:5000");
    }
}
