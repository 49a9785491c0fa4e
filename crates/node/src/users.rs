//! Who runs from a version of the payload: a version goes only when nobody does.
//!
//! A process table that shows the host's processes tells exactly: the program, what it has mapped and what its words name. From
//! inside a pod it may show none of them. The runtime's sandboxes tell then that somebody runs from *some* version, and all
//! are kept.

use crate::ledger::Ledger;
use crate::session::Session;
use crate::store;
use contract::label;
use std::collections::BTreeMap;
use std::path::Path;

/// CRI sockets of all distributions.
use crate::distribution::SOCKETS;

/// Where Kata keeps what it knows of sandboxes that run.
const SANDBOXES: [&str; 2] = ["/run/vc/sbs", "/run/kata"];

/// Those who use a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    by_tree: BTreeMap<String, String>,
    /// Somebody whose version cannot be told.
    somebody: Option<String>,
}

impl Users {
    /// Looks for users of the trees of a ledger.
    pub fn look(session: &mut Session, ledger: &Ledger) -> Users {
        let mut by_tree = BTreeMap::new();
        for entry in std::fs::read_dir(&session.around.processes).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            for tree in ledger.trees.keys().filter(|tree| runs_from(&entry.path(), tree)) {
                by_tree.entry(tree.clone()).or_insert_with(|| format!("process {name} runs from it"));
            }
        }
        let somebody = if by_tree.is_empty() { somebody(session) } else { None };
        Users { by_tree, somebody }
    }

    /// Who uses a tree; one sentence.
    pub fn of(&self, tree: &str) -> Option<&str> {
        self.by_tree.get(tree).or(self.somebody.as_ref()).map(String::as_str)
    }
}

fn runs_from(process: &Path, tree: &str) -> bool {
    let below = format!("{tree}/");
    let program = std::fs::read_link(process.join("exe")).unwrap_or_default();
    if program.to_string_lossy().contains(&below) {
        return true;
    }
    let mentions = |file: &str| {
        let text = std::fs::read(process.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(&below)
    };
    mentions("cmdline") || mentions("maps")
}

/// Tells whether a handler of Kata's belongs to an installation, as far as names tell when others are beside it: the longest
/// suffix wins.
fn is_of<'n>(handler: &str, install: &str, installs: impl Iterator<Item = &'n str>) -> bool {
    let suffix = |install: &str| match install {
        label::DEFAULT_INSTALL | label::CONTAINERD_INSTALL => String::new(),
        other => format!("-{other}"),
    };
    let own = suffix(install);
    let mut others = installs.map(suffix).filter(|other| other.len() > own.len());
    handler.starts_with("kata-") && handler.contains(&own) && !others.any(|other| handler.ends_with(&other))
}

/// A sandbox on one of our handlers, as the runtime tells; as Kata's own files tell where the runtime does not answer.
fn somebody(session: &mut Session) -> Option<String> {
    let handlers = session.asked.handlers();
    let installs = session.host.names(store::BASE);
    let install = session.asked.install();
    // an earlier run may have had other shims
    let ours = |name: &str| {
        handlers.iter().any(|handler| handler.name == name) || is_of(name, install, installs.iter().map(String::as_str))
    };
    let sockets: Vec<&str> = SOCKETS.into_iter().filter(|socket| session.host.exists(socket)).collect();
    for socket in sockets {
        if let Ok(all) = session.runtime.sandboxes(socket) {
            let mut used = all.iter().filter(|sandbox| ours(&sandbox.handler));
            let first = used.next()?;
            let more = match used.count() {
                0 => String::new(),
                count => format!(" and {count} more"),
            };
            return Some(format!("pod {} runs on `{}`{more}", first.pod, first.handler));
        }
    }
    SANDBOXES
        .into_iter()
        .find(|path| !session.host.names(path).is_empty())
        .map(|path| format!("sandboxes run on this node ({path})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_of_an_installation_beside_it_are_not_its_own() {
        let here = ["default", "canary", "old-canary", "containerd"];
        let of = |handler: &str| -> Vec<&str> {
            here[..3].iter().copied().filter(|install| is_of(handler, install, here.into_iter())).collect()
        };
        assert_eq!(of("kata-qemu"), ["default"]);
        assert_eq!(of("kata-qemu-canary"), ["canary"]);
        assert_eq!(of("kata-qemu-old-canary"), ["old-canary"]);
        assert!(of("runc").is_empty());
        // Nobody else is known to have made it.
        assert_eq!(of("kata-qemu-lab"), ["default"]);
    }
}
