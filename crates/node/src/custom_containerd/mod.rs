//! Another containerd than the host's own, from a tarball of the user's choice.
//!
//! It is unpacked into a directory of ours, `<prefix>/opt/kata.d/containerd-<digest>`, and switched to by a drop-in of the
//! host's unit as part of the `cri` transaction: one restart brings the other program and our configuration, which is computed
//! for its version. Nothing of the host's own containerd is touched, so switching back is taking the drop-in away.
//!
//! [`wish`] is what is asked for, [`aim`] decides what that means on a host, [`fetch`] brings the program, [`unit`] writes the
//! drop-in, and [`fetch::collect`] removes what no drop-in names any more.

mod archive;
pub mod fetch;
mod program;
pub mod unit;
pub mod wish;

use crate::distribution::{Distribution, Found, RuntimeKind};
use crate::error::{NodeError, Result};
use crate::host::{Host, file_name};
use crate::image::Image;
use crate::ledger::Ledger;
use crate::settings::Settings;
use crate::wanted::{Wanted, Wishes};
use contract::Code;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wish::Source;

/// A containerd of ours that the unit shall run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Where it comes from.
    pub source: Source,
    /// The directory that it is, or will be, unpacked into.
    pub tree: String,
    /// Its version when it is on the host; until then nobody knows for certain.
    pub version: Option<String>,
}

impl Switch {
    /// What is to be said of a tarball that nobody gave a checksum for.
    pub fn unverified(&self, host: &Host) -> Option<String> {
        let note = note(host, &self.tree).filter(|_| self.source.sha256.is_none())?;
        let (url, sum) = (note.url, note.sha256);
        Some(format!("containerd from {url} was not verified; give its sha256, which was {sum} when it was fetched"))
    }
}

/// Which containerd a host shall run, and what follows for its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// What was found, with the version that will run. As long as the tarball was not fetched this is what its name says.
    pub found: Found,
    /// The containerd that takes the place of the host's own.
    pub switch: Option<Switch>,
}

impl Aim {
    /// The version that must answer after the restart; `None` where any will do.
    pub fn version(&self) -> Option<&str> {
        self.switch.as_ref().and_then(|switch| switch.version.as_deref())
    }

    /// The drop-in of the unit.
    pub fn wishes(&self, asked: &Settings, host: &Host) -> Wishes {
        let mut wishes = Wishes::new();
        if let Some(switch) = &self.switch {
            let path = drop_in(asked, &self.found.unit);
            let text = unit::drop_in(host, &self.found.unit, &path, &switch.tree);
            wishes.insert(path, Wanted::Whole(Image::text(text, 0o644)));
        }
        wishes
    }
}

/// What is remembered of a fetched containerd, in a file inside of its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Where it came from.
    pub url: String,
    /// The tarball's SHA-256.
    pub sha256: String,
    /// Its version.
    pub version: String,
    /// The version of the host's own containerd when this one was fetched.
    pub own: String,
}

const NOTE: &str = "husk.json";

/// Decides which containerd a host shall run. `known` says what is ours on the host.
///
/// # Errors
/// [`Code::CONTAINERD_NOT_REPLACEABLE`] where the distribution brings its own containerd or CRI-O runs;
/// [`Code::BAD_SETTINGS`] when it cannot be told whether this node is meant, or from where to fetch.
pub fn aim(asked: &Settings, found: &Found, host: &Host, known: &Ledger) -> Result<Aim> {
    let mut found = found.clone();
    let source = match &asked.custom_containerd {
        Some(wish) if wish.selects(asked.node_labels.as_ref())? => wish.source(asked.arch)?,
        _ => {
            // The configuration is for the host's own again once our drop-in has left.
            found.version = own_version(asked, &found, host, known);
            return Ok(Aim { found, switch: None });
        }
    };
    check_replaceable(&found)?;
    let tree = tree(asked, source)?;
    let fetched = Some(&tree).filter(|tree| known.trees.contains_key(*tree)).and_then(|tree| note(host, tree));
    let version = fetched.map(|note| note.version);
    if let Some(version) = version.clone().or_else(|| source.version_of_name()) {
        found.version = version;
    }
    Ok(Aim { found, switch: Some(Switch { source: source.clone(), tree, version }) })
}

/// The version of the host's own containerd: of what runs, unless that is one of ours, which remembers it.
fn own_version(asked: &Settings, found: &Found, host: &Host, known: &Ledger) -> String {
    let drop_in = drop_in(asked, &found.unit);
    let used = known.files.contains_key(&drop_in).then(|| host.text(&drop_in)).flatten().unwrap_or_default();
    let mut trees = known.trees.keys().filter(|tree| is_tree(tree) && used.contains(*tree));
    trees.find_map(|tree| note(host, tree)).map_or_else(|| found.version.clone(), |note| note.own)
}

fn check_replaceable(found: &Found) -> Result<()> {
    let why = match (found.runtime, found.distribution) {
        (RuntimeKind::Crio, _) => "this node runs CRI-O".to_owned(),
        (_, Distribution::K8s) => return Ok(()),
        (_, other) => format!("{other} brings its own containerd, which {} runs", found.unit),
    };
    let message = format!(
        "`customContainerd` cannot be used here: {why}; leave this node out with `customContainerd.nodeSelector`"
    );
    Err(NodeError::new(Code::CONTAINERD_NOT_REPLACEABLE, message))
}

/// The drop-in of an installation, named so that it comes after others.
fn drop_in(asked: &Settings, unit: &str) -> String {
    format!("/etc/systemd/system/{unit}.d/{}.conf", asked.suffixed("zz-husk-containerd"))
}

/// The directory of a tarball: named after its checksum, or after its address where there is none.
fn tree(asked: &Settings, source: &Source) -> Result<String> {
    let versions = asked.versions();
    if !versions.chars().all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c)) {
        let message = format!("`{versions}` cannot be written into a unit file; choose another installation prefix");
        return Err(NodeError::new(Code::BAD_SETTINGS, message));
    }
    let digest = source.sha256.clone().unwrap_or_else(|| hex::encode(Sha256::digest(&source.url)));
    Ok(format!("{versions}/{TREE}{}", &digest[..16]))
}

const TREE: &str = "containerd-";

/// Whether a directory of the ledger is a containerd of ours, not a payload.
pub fn is_tree(path: &str) -> bool {
    file_name(path).starts_with(TREE)
}

fn note(host: &Host, tree: &str) -> Option<Note> {
    serde_json::from_str(&host.text(&format!("{tree}/{NOTE}"))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(extra: &[(&str, &str)]) -> Settings {
        let variable = |name: &str| {
            let base = [("NODE_NAME", "n"), ("SHIMS_X86_64", "qemu"), ("NODE_LABELS", "tee=snp,zone=a")];
            base.iter().chain(extra).rfind(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&variable, "x86_64", &|_| None).unwrap()
    }

    fn found(distribution: Distribution, runtime: RuntimeKind) -> Found {
        Found {
            distribution,
            runtime,
            version: "1.7.24".into(),
            unit: "containerd.service".into(),
            socket: "/run/containerd/containerd.sock".into(),
            evidence: String::new(),
        }
    }

    const URL: (&str, &str) = ("CUSTOM_CONTAINERD_URL", "https://m.example/containerd-2.1.4-linux-amd64.tar.gz");

    #[test]
    fn the_configuration_is_for_the_version_to_come() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        let found = found(Distribution::K8s, RuntimeKind::Containerd);
        let aim = aim(&asked(&[URL]), &found, &host, &Ledger::new("default")).unwrap();
        assert_eq!(aim.found.version, "2.1.4", "what the name says");
        assert_eq!(aim.version(), None, "but only the program itself proves it");
        let switch = aim.switch.as_ref().unwrap();
        assert!(switch.tree.starts_with("/opt/kata.d/containerd-"), "{}", switch.tree);
        let wishes = aim.wishes(&asked(&[URL]), &host);
        assert_eq!(
            wishes.keys().collect::<Vec<_>>(),
            ["/etc/systemd/system/containerd.service.d/zz-husk-containerd.conf"]
        );
    }

    #[test]
    fn only_selected_nodes_switch() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        for (selector, selected) in
            [("tee=snp", true), ("tee=snp,zone=a", true), ("tee=tdx", false), ("other=x", false)]
        {
            let asked = asked(&[URL, ("CUSTOM_CONTAINERD_NODE_SELECTOR", selector)]);
            let found = found(Distribution::K8s, RuntimeKind::Containerd);
            let aim = aim(&asked, &found, &host, &Ledger::new("default")).unwrap();
            assert_eq!(aim.switch.is_some(), selected, "{selector}");
        }
    }

    #[test]
    fn distributions_with_a_containerd_of_their_own_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        for (distribution, runtime) in [
            (Distribution::K3s, RuntimeKind::Containerd),
            (Distribution::Rke2, RuntimeKind::Containerd),
            (Distribution::K0s, RuntimeKind::Containerd),
            (Distribution::Microk8s, RuntimeKind::Containerd),
            (Distribution::K8s, RuntimeKind::Crio),
        ] {
            let found = found(distribution, runtime);
            let error = aim(&asked(&[URL]), &found, &host, &Ledger::new("default")).unwrap_err();
            assert_eq!(error.code, Code::CONTAINERD_NOT_REPLACEABLE, "{distribution}");
            let elsewhere = asked(&[URL, ("CUSTOM_CONTAINERD_NODE_SELECTOR", "tee=tdx")]);
            assert!(aim(&elsewhere, &found, &host, &Ledger::new("default")).is_ok());
        }
    }

    #[test]
    fn the_same_checksum_from_another_place_is_the_same_directory() {
        let sum = ("CUSTOM_CONTAINERD_SHA256", "aa".repeat(32));
        let of = |url: &str, sum: Option<&(&str, String)>| {
            let mut extra = vec![("CUSTOM_CONTAINERD_URL", url)];
            extra.extend(sum.map(|(name, value)| (*name, value.as_str())));
            let asked = asked(&extra);
            tree(&asked, asked.custom_containerd.as_ref().unwrap().source(asked.arch).unwrap()).unwrap()
        };
        assert_eq!(of("https://a/x.tar.gz", Some(&sum)), of("https://b/y.tar.gz", Some(&sum)));
        assert_ne!(of("https://a/x.tar.gz", None), of("https://b/y.tar.gz", None));
    }
}
