//! What ServiceAccounts ask for: a file with one line of JSON for each different call, written when it is made for the first time.
//!
//! It answers whether roles grant more than is used. Calls of people and of the cluster's own components are not in it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::auth::User;
use crate::auth::rbac::Action;

/// More different calls than this are not told apart any more; a program that makes them asks for ever new names.
const LIMIT: usize = 100_000;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Call {
    /// Who: `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// `get`, `list`, `create`, …
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural name, with `/subresource` when there is one.
    pub resource: String,
    /// Namespace, empty for all or none.
    pub namespace: String,
    /// Name, empty when the call is not about one object.
    pub name: String,
    /// Whether a role allowed it.
    pub allowed: bool,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Audit(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    seen: HashSet<Call>,
}

impl Audit {
    /// Opens or creates the file and remembers what is in it.
    pub(crate) fn open(path: &Path) -> io::Result<Audit> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let lines = BufReader::new(&file).lines().map_while(Result::ok);
        // The last line is torn when the process was killed while it was written.
        let seen = lines.filter_map(|line| serde_json::from_str(&line).ok()).collect();
        Ok(Audit(Mutex::new(Inner { file, seen })))
    }

    /// Notes a call.
    pub(crate) fn note(&self, user: &User, action: &Action, allowed: bool) {
        if !user.is_in("system:serviceaccounts") {
            return;
        }
        let call = Call {
            user: user.name.clone(),
            verb: action.verb.clone(),
            group: action.group.clone(),
            resource: action.resource.clone(),
            namespace: action.namespace.clone(),
            name: action.name.clone(),
            allowed,
        };
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.seen.len() >= LIMIT || inner.seen.contains(&call) {
            return;
        }
        let mut line = serde_json::to_vec(&call).unwrap_or_default();
        line.push(b'\n');
        if let Err(error) = inner.file.write_all(&line) {
            tracing::warn!(%error, "a call was not noted");
            return;
        }
        inner.seen.insert(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_noted_once_also_over_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/audit.jsonl");
        let user = User::service_account("ns", "robot", "");
        let action = Action { verb: "get".into(), resource: "pods".into(), name: "a".into(), ..Action::default() };
        let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
        let audit = Audit::open(&path).unwrap();
        audit.note(&user, &action, true);
        audit.note(&user, &action, true);
        audit.note(&User::admin(), &action, true);
        assert_eq!(lines(), 1);
        audit.note(&user, &action, false);
        assert_eq!(lines(), 2);
        drop(audit);
        Audit::open(&path).unwrap().note(&user, &action, true);
        assert_eq!(lines(), 2);
    }
}
