//! What a sandbox is to be: where it lives, which hosts it has, which program its containers run.

use serde::{Deserialize, Serialize};
use simhost::{HostKind, HostSpec};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The hosts of a sandbox for which none were asked: two kubeadm nodes, a k3s server, a CRI-O node.
pub const DEFAULT_HOSTS: &str = "k8s:2,k3s:1,crio:1";

/// How to start a sandbox. Written to `options.json` in its directory, so that a daemon finds it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// The directory of all state.
    pub dir: PathBuf,
    /// The simulated hosts; see [`parse_hosts`].
    pub hosts: Vec<HostSpec>,
    /// The husk program: what `/usr/bin/husk-node` and `/usr/bin/husk-dispatcher` are in every container.
    pub exe: PathBuf,
    /// The port of the API server on 127.0.0.1; without one, the last one used, or any free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The first delay before something that failed is tried again. Kubernetes waits ten seconds; the sandbox one.
    #[serde(default = "default_backoff")]
    pub backoff_millis: u64,
}

fn default_backoff() -> u64 {
    1000
}

impl Options {
    /// Returns options with the default hosts.
    pub fn new(dir: impl Into<PathBuf>, exe: impl Into<PathBuf>) -> Self {
        let hosts = parse_hosts(DEFAULT_HOSTS).unwrap_or_default();
        Options { dir: dir.into(), hosts, exe: exe.into(), port: None, backoff_millis: default_backoff() }
    }

    /// Reads the options of the sandbox in a directory; `None` when there is none.
    pub fn load(dir: &std::path::Path) -> std::io::Result<Option<Self>> {
        match std::fs::read_to_string(dir.join(FILE)) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(std::io::Error::other),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the options into their directory.
    pub fn save(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        let fresh = self.dir.join("options.json.new");
        std::fs::write(&fresh, text)?;
        std::fs::rename(fresh, self.dir.join(FILE))
    }
}

/// The file with a sandbox's options.
const FILE: &str = "options.json";
/// More hosts than this are refused: each is a directory and several tasks.
const HOST_LIMIT: usize = 1000;
/// More hollow ones than this are refused: each is an object.
const HOLLOW_LIMIT: usize = 20_000;

/// What is wrong with a list of hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostsError {
    /// A kind that is not known.
    #[error("unknown kind of host `{0}`; known are k8s, containerd17, containerd2, crio, k3s, rke2, k0s, microk8s, {names} and hollow", names = all_names())]
    Kind(String),
    /// Not a number.
    #[error("`{0}` is not a number of hosts")]
    Count(String),
    /// None at all, or too many.
    #[error("between 1 and {HOST_LIMIT} hosts are possible, not {0}; of hollow ones, {HOLLOW_LIMIT} beside them")]
    Total(usize),
    /// Nothing would run what the cluster itself needs.
    #[error("hollow hosts run nothing: name one other host too, such as `k8s:1,hollow:1000`")]
    Hollow,
}

fn all_names() -> String {
    HostKind::ALL.map(HostKind::name).join(", ")
}

/// Reads a list of hosts such as `k8s:2,k3s:1,crio` (a kind without a number is one host).
///
/// `k8s` alternates between kubeadm on containerd 1.7 and on containerd 2.1. Hosts are named after their kind and
/// numbered: `k8s-1`, `k8s-2`, `k3s-1`. Servers of k3s and RKE2 carry the control-plane role, untainted as in reality; in
/// a cluster without them no node carries it. `hollow` is a Node without a host behind it: see [`crate::kubelet::hollow`].
pub fn parse_hosts(text: &str) -> Result<Vec<HostSpec>, HostsError> {
    let mut hosts: Vec<HostSpec> = Vec::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (word, count) = part.split_once(':').unwrap_or((part, "1"));
        let count: usize = count.trim().parse().map_err(|_| HostsError::Count(count.to_owned()))?;
        let hollow = word.trim() == "hollow";
        let known = hosts.iter().filter(|host| host.hollow == hollow).count();
        if known.saturating_add(count) > if hollow { HOLLOW_LIMIT } else { HOST_LIMIT } {
            return Err(HostsError::Total(known.saturating_add(count)));
        }
        for _ in 0..count {
            let number = numbers.entry(word.to_owned()).or_insert(0);
            *number += 1;
            let kind = kind_of(word.trim(), *number)?;
            // A dot separates labels of a name; the kinds' own names have dots in versions.
            let mut host = HostSpec::new(format!("{}-{number}", word.trim().replace('.', "")), kind);
            host.hollow = hollow;
            if matches!(kind, HostKind::K3s | HostKind::Rke2Server) {
                host.labels.insert("node-role.kubernetes.io/control-plane".to_owned(), "true".to_owned());
            }
            hosts.push(host);
        }
    }
    match hosts.iter().all(|host| host.hollow) {
        _ if hosts.is_empty() => Err(HostsError::Total(0)),
        true => Err(HostsError::Hollow),
        false => Ok(hosts),
    }
}

/// Names hosts for people: hollow ones by their number.
pub fn describe(hosts: &[HostSpec]) -> String {
    let named = hosts.iter().filter(|host| !host.hollow).map(|host| format!("{} ({})", host.name, host.kind));
    let hollow = hosts.iter().filter(|host| host.hollow).count();
    let hollow = (hollow > 0).then(|| format!("{hollow} hollow nodes"));
    named.chain(hollow).collect::<Vec<_>>().join(", ")
}

fn kind_of(word: &str, number: usize) -> Result<HostKind, HostsError> {
    Ok(match word {
        "k8s" | "kubeadm" if number % 2 == 1 => HostKind::Containerd17,
        "k8s" | "kubeadm" => HostKind::Containerd21,
        "containerd16" => HostKind::Containerd16,
        "containerd17" => HostKind::Containerd17,
        "containerd2" | "containerd21" => HostKind::Containerd21,
        "containerd20" => HostKind::Containerd20,
        "containerd22" => HostKind::Containerd22,
        "rke2" => HostKind::Rke2Server,
        // Its runtime tells no handlers to the kubelet, so what the installer reports counts.
        "hollow" => HostKind::Containerd17,
        other => other.parse().map_err(|_| HostsError::Kind(other.to_owned()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hollow_hosts_are_many_and_never_alone() {
        let hosts = parse_hosts("k8s:2,hollow:10000").unwrap();
        assert_eq!(hosts.iter().filter(|host| host.hollow).count(), 10_000);
        assert_eq!(hosts[10_001].name, "hollow-10000");
        assert_eq!(describe(&hosts), "k8s-1 (containerd-1.7), k8s-2 (containerd-2.1), 10000 hollow nodes");
        assert_eq!(parse_hosts("hollow:10").unwrap_err(), HostsError::Hollow);
        assert_eq!(parse_hosts("k8s,hollow:20001").unwrap_err(), HostsError::Total(20_001));
        assert_eq!(parse_hosts("k8s:1001,hollow:1").unwrap_err(), HostsError::Total(1001));
    }

    #[test]
    fn hosts_are_named_after_their_kind() {
        let hosts = parse_hosts("k8s:2, k3s,crio:1").unwrap();
        let shown: Vec<(&str, HostKind)> = hosts.iter().map(|host| (host.name.as_str(), host.kind)).collect();
        let expected = [
            ("k8s-1", HostKind::Containerd17),
            ("k8s-2", HostKind::Containerd21),
            ("k3s-1", HostKind::K3s),
            ("crio-1", HostKind::Crio),
        ];
        assert_eq!(shown, expected);
        assert!(hosts[2].labels.contains_key("node-role.kubernetes.io/control-plane"));
        assert_eq!(parse_hosts("containerd-2.2").unwrap()[0].name, "containerd-22-1");
    }

    #[test]
    fn bad_lists_are_refused() {
        assert_eq!(parse_hosts("").unwrap_err(), HostsError::Total(0));
        assert_eq!(parse_hosts("k8s:0").unwrap_err(), HostsError::Total(0));
        assert_eq!(parse_hosts("k8s:x").unwrap_err(), HostsError::Count("x".into()));
        assert!(matches!(parse_hosts("k8s:99999"), Err(HostsError::Total(_))));
        assert!(parse_hosts("docker").unwrap_err().to_string().contains("k3s"));
    }

    #[test]
    fn options_survive_being_written() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Options::load(directory.path()).unwrap().is_none());
        let options = Options::new(directory.path(), "/usr/bin/husk");
        options.save().unwrap();
        assert_eq!(Options::load(directory.path()).unwrap(), Some(options));
    }
}
