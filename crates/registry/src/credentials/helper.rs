//! Docker's credential helpers: a program `docker-credential-NAME` that is called with `get`, `store` or `erase`.

use super::Credential;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A helper may ask a user, but not for ever.
const TIME: Duration = Duration::from_secs(120);
/// The user name that stands for "the secret is an identity token".
const TOKEN_USER: &str = "<token>";
/// What helpers print when they know nothing, with status 1.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// A helper program.
pub(super) struct Helper {
    program: PathBuf,
}

impl Helper {
    /// Finds the program of a helper in the directories of `PATH`.
    pub(super) fn find(name: &str, programs: &[PathBuf]) -> Result<Helper> {
        let file = format!("docker-credential-{name}");
        match locate(&file, programs) {
            Some(program) if !name.contains('/') => Ok(Helper { program }),
            _ => Err(Error::Credentials(format!(
                "exec: {}: executable file not found in $PATH",
                crate::url::quoted(&file)
            ))),
        }
    }

    /// The credential of a registry; empty when the helper has none.
    pub(super) async fn get(&self, server: &str) -> Result<Credential> {
        let answer = match self.run("get", server.as_bytes()).await {
            Err(Error::Credentials(why)) if why == NOT_FOUND => return Ok(Credential::default()),
            answer => answer?,
        };
        let entry: Entry = serde_json::from_slice(&answer)
            .map_err(|e| Error::Credentials(format!("{}: malformed answer: {e}", self.program.display())))?;
        Ok(if entry.username == TOKEN_USER {
            Credential { refresh_token: entry.secret, ..Credential::default() }
        } else {
            Credential::basic(entry.username, entry.secret)
        })
    }

    /// Hands a credential over for keeping.
    pub(super) async fn store(&self, server: &str, credential: &Credential) -> Result<()> {
        let (username, secret) = if credential.refresh_token.is_empty() {
            (credential.username.clone(), credential.password.clone())
        } else {
            (TOKEN_USER.into(), credential.refresh_token.clone())
        };
        let entry = Entry { server_url: server.into(), username, secret };
        self.run("store", crate::go_text::json(&entry).as_bytes()).await.map(drop)
    }

    /// Has a credential forgotten.
    pub(super) async fn erase(&self, server: &str) -> Result<()> {
        self.run("erase", server.as_bytes()).await.map(drop)
    }

    async fn run(&self, verb: &str, input: &[u8]) -> Result<Vec<u8>> {
        let failed = |why: String| Error::Credentials(format!("{}: {why}", self.program.display()));
        let mut child = Command::new(&self.program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read its input still has the last word: its status and output.
            let _ = stdin.write_all(input).await;
        }
        let output = tokio::time::timeout(TIME, child.wait_with_output())
            .await
            .map_err(|_| failed(format!("no answer within {} seconds", TIME.as_secs())))?
            .map_err(|e| failed(e.to_string()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Err(Error::Credentials(if said.is_empty() { output.status.to_string() } else { said }))
    }
}

/// The helper that Linux desktops bring along, if one is installed.
pub(super) fn default_helper(programs: &[PathBuf]) -> Option<&'static str> {
    let name = if locate("pass", programs).is_some() { "pass" } else { "secretservice" };
    locate(&format!("docker-credential-{name}"), programs).map(|_| name)
}

fn locate(file: &str, programs: &[PathBuf]) -> Option<PathBuf> {
    programs.iter().map(|directory| directory.join(file)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
