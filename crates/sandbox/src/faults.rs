//! Trouble on demand: what a user of the sandbox may let go wrong, from the program or through `faults.json`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The name of the file below the sandbox's directory; it is read again whenever it changes.
pub const FILE: &str = "faults.json";

/// Everything that is to go wrong. Names may contain `*`, which stands for any text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Faults {
    /// Image references that no registry has.
    pub missing_images: Vec<String>,
    /// Containers to kill.
    pub kill: Vec<Kill>,
    /// API requests that fail.
    pub api: Vec<ApiFault>,
    /// What is wrong with hosts, by host name.
    pub hosts: BTreeMap<String, HostFaults>,
}

/// Containers to kill with SIGKILL, running or as soon as they run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kill {
    /// `namespace/name` of the pod.
    pub pod: String,
    /// The container; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// How many containers are killed.
    #[serde(default = "one")]
    pub times: u32,
}

/// API requests that fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiFault {
    /// Only requests with this verb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// Only this resource, by its plural name, with `/subresource` if that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Only objects of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only requests of users whose name starts with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How many requests fail.
    #[serde(default = "one")]
    pub times: u32,
    /// Whether the request is done all the same and only its answer is lost.
    #[serde(default)]
    pub lose_answer: bool,
}

fn one() -> u32 {
    1
}

/// What is wrong with one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostFaults {
    /// The container runtime refuses every configuration but the one that it last ran with.
    pub refuse_changes: bool,
    /// The container runtime does not come back from a start.
    pub stay_down: bool,
    /// A start of the container runtime neither succeeds nor fails.
    pub hang_restart: bool,
    /// A start takes so much longer, in milliseconds.
    pub slow_restart_millis: u64,
    /// Handlers that the container runtime does not serve although they are configured.
    pub hide_handlers: Vec<String>,
}

/// Tells whether a text matches a pattern in which `*` stands for any text.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => match text.strip_prefix(start) {
            None => false,
            Some(tail) => (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| matches(rest, &tail[at..])),
        },
    }
}

/// The faults in force; clones share them.
#[derive(Clone, Debug)]
pub struct Board {
    current: Arc<watch::Sender<Arc<Faults>>>,
    /// How many containers each entry of `kill` has still to kill.
    kills: Arc<Mutex<Vec<u32>>>,
}

impl Default for Board {
    fn default() -> Self {
        Board { current: Arc::new(watch::Sender::new(Arc::default())), kills: Arc::default() }
    }
}

impl Board {
    /// Replaces the faults in force.
    pub fn set(&self, faults: Faults) {
        *self.kills.lock().unwrap_or_else(PoisonError::into_inner) =
            faults.kill.iter().map(|kill| kill.times).collect();
        self.current.send_replace(Arc::new(faults));
    }

    /// Returns the faults in force.
    pub fn get(&self) -> Arc<Faults> {
        self.current.borrow().clone()
    }

    /// Returns a receiver that is told of every replacement.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Faults>> {
        self.current.subscribe()
    }

    /// Tells whether an image cannot be had.
    pub fn is_missing(&self, image: &str) -> bool {
        self.get().missing_images.iter().any(|pattern| matches(pattern, image))
    }

    /// Tells whether a running container is to be killed now, and counts it.
    pub fn take_kill(&self, pod: &str, container: &str) -> bool {
        let faults = self.get();
        let mut kills = self.kills.lock().unwrap_or_else(PoisonError::into_inner);
        for (kill, left) in faults.kill.iter().zip(kills.iter_mut()) {
            let container = kill.container.as_ref().is_none_or(|name| matches(name, container));
            if *left > 0 && container && matches(&kill.pod, pod) {
                *left -= 1;
                return true;
            }
        }
        false
    }
}

/// Reads a file of faults; an absent one means none.
pub fn read(path: &Path) -> Result<Faults, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Faults::default()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a/b", "a/b", true),
            ("a/*", "a/b-1", true),
            ("*-1", "a/b-1", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("a", "ab", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn kills_are_counted() {
        let board = Board::default();
        let faults = r#"{"kill": [{"pod": "ns/a*", "container": "cri", "times": 2}]}"#;
        board.set(serde_json::from_str(faults).unwrap());
        assert!(!board.take_kill("ns/b", "cri") && !board.take_kill("ns/a", "label"));
        assert!(board.take_kill("ns/a", "cri") && board.take_kill("ns/ab", "cri") && !board.take_kill("ns/a", "cri"));
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        assert_eq!(read(&path), Ok(Faults::default()));
        std::fs::write(&path, r#"{"missingImage": []}"#).unwrap();
        assert!(read(&path).unwrap_err().contains("missingImage"));
    }
}
