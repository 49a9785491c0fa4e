//! The `host-check` stage: can this host do what the values ask? It reads only, and reads everything before it judges, so that one
//! run names all that is wrong.

mod confidential;
mod kernel;
mod kubelet;
mod processor;
mod verity;
mod view;

use crate::artifacts;
use crate::distribution::{Found, RuntimeKind};
use crate::error::NodeError;
use crate::host::parent;
use crate::ledger::Ledger;
use crate::session::Session;
use crate::{cri_plan, custom_containerd, snapshotter};
use contract::{Check, Code, Verdict};
use std::os::unix::fs::MetadataExt;
use view::View;

/// What was seen.
type Finding = Check;

fn found(name: &str, verdict: Verdict, code: Code, detail: impl Into<String>) -> Finding {
    Check { name: name.to_owned(), verdict, detail: detail.into(), code: Some(code) }
}

fn failed(name: &str, error: &NodeError) -> Finding {
    found(name, Verdict::Fail, error.code, &error.message)
}

/// All checks of a host, in the order in which they are shown. Each has the code that explains it, whatever its result.
pub fn run(session: &mut Session, found: Result<&Found, &NodeError>) -> Vec<Check> {
    let mut checks = Vec::new();
    // with what an interrupted run has announced: its leftovers are ours
    let ledger = session.store().known();
    // what is checked below is the runtime that will run
    let aim = match (&ledger, found) {
        (Ok(ledger), Ok(found)) => Some(custom_containerd::aim(session.asked, found, session.host, ledger)),
        _ => None,
    };
    let future = match &aim {
        Some(Ok(aim)) => Ok(&aim.found),
        _ => found,
    };
    checks.extend(identity(session, found));
    checks.extend(runtime_configuration(session, &ledger, aim.as_ref()));
    checks.extend(shims(session));
    checks.extend(snapshotters(session, future));
    if let Ok(found) = found {
        checks.push(runtime(session, found));
    }
    checks.extend(payload(session, &ledger));
    checks.extend(places(session));
    let view = View::of(session);
    let needed = session.asked.needed_shims();
    // sandboxes of `remote` are machines of another host
    let local = needed.iter().any(|shim| shim != "remote");
    checks.extend(devices(session, local));
    checks.extend(processor::check(&view, session.asked.arch, local));
    checks.extend(confidential::check(&view, &needed, &|device| session.host.exists(device)));
    checks.extend(kernel::check(session, &view));
    checks.push(kubelet::timeout(session));
    checks
}

/// Which distribution and which machine this is.
fn identity(session: &Session, distribution: Result<&Found, &NodeError>) -> [Finding; 2] {
    [
        match distribution {
            Ok(known) => found(
                "distribution",
                Verdict::Pass,
                Code::DISTRIBUTION_MISMATCH,
                format!("{} ({})", known.distribution, known.evidence),
            ),
            Err(error) => failed("distribution", error),
        },
        match machine(session) {
            Ok(Some(id)) => found("machine id", Verdict::Pass, Code::NODE_IDENTITY, id),
            Ok(None) => found("machine id", Verdict::Skip, Code::NODE_IDENTITY, "not given by the dispatcher"),
            Err(error) => failed("machine id", &error),
        },
    ]
}

/// What the runtime's configuration can take, and another containerd where one is asked for.
fn runtime_configuration(
    session: &Session,
    ledger: &crate::Result<Ledger>,
    aim: Option<&crate::Result<custom_containerd::Aim>>,
) -> Vec<Finding> {
    let mut all = Vec::new();
    let asked = session.asked;
    if let (Some(aim), Some(_)) = (aim, &asked.custom_containerd) {
        let say = |verdict, detail: String| found("custom containerd", verdict, Code::CONTAINERD_UNFIT, detail);
        all.push(match aim.as_ref().map(|aim| &aim.switch) {
            Err(error) => failed("custom containerd", error),
            Ok(None) => say(Verdict::Skip, "this node is not selected".to_owned()),
            Ok(Some(switch)) => match &switch.version {
                Some(version) => say(Verdict::Pass, format!("{version} is in {}", switch.tree)),
                None => say(Verdict::Pass, format!("{} will be fetched", switch.source.url)),
            },
        });
    }
    let name = "runtime configuration";
    let say = |verdict, detail: String| found(name, verdict, Code::RUNTIME_CONFIG_CONFLICT, detail);
    all.push(match (ledger, aim) {
        (Err(error), _) => failed("ledger", error),
        (Ok(ledger), Some(Ok(aim))) => match cri_plan::install(asked, aim, session.host, ledger) {
            Ok(plan) if plan.is_empty() => say(Verdict::Pass, "has all of ours already".to_owned()),
            Ok(plan) => say(Verdict::Pass, format!("can take {} edits", plan.edits.len())),
            Err(error) => failed(name, &error),
        },
        (Ok(_), Some(Err(_))) => say(Verdict::Skip, "the containerd that shall run is not clear".to_owned()),
        (Ok(_), None) => say(Verdict::Skip, "the distribution is not clear".to_owned()),
    });
    all
}

/// Shims that are asked for in a way that cannot be meant.
fn shims(session: &Session) -> Vec<Finding> {
    let asked = session.asked;
    let mut all = Vec::new();
    for custom in &asked.baseless {
        let detail = format!(
            "`{}` is left out: nobody knows its base configuration `{}`; its RuntimeClass will be served by no node",
            custom.handler, custom.base
        );
        all.push(found("custom runtimes", Verdict::Warn, Code::UNKNOWN_SHIM, detail));
    }
    let missing = |default: &&String| !asked.shims.contains(default) && !asked.shims.is_empty();
    if let Some(default) = asked.default_shim.as_ref().filter(missing) {
        let detail = format!("`{default}` is the default shim for {} but is not enabled", asked.arch);
        all.push(found("default shim", Verdict::Warn, Code::BAD_SETTINGS, detail));
    }
    all
}

fn snapshotters(session: &Session, future: Result<&Found, &NodeError>) -> Vec<Finding> {
    let (name, code, asked) = ("snapshotters", Code::SNAPSHOTTER_UNAVAILABLE, session.asked);
    let Ok(runtime) = future else { return Vec::new() };
    let mut all = Vec::new();
    let mapped = asked.handlers().into_iter().find(|handler| handler.snapshotter.is_some());
    if let Some(handler) = mapped
        && runtime.runtime == RuntimeKind::Containerd
        && runtime.release() < (1, 7)
    {
        let detail =
            format!("containerd {} ignores the snapshotter of `{}`; 1.7 does not", runtime.version, handler.name);
        all.push(found(name, Verdict::Warn, code, detail));
    }
    if !asked.setup_snapshotters.is_empty() {
        all.push(match snapshotter::check(session, runtime) {
            Ok(()) => found(name, Verdict::Pass, code, asked.setup_snapshotters.join(", ")),
            Err(error) => failed(name, &error),
        });
        all.extend(verity::check(session, runtime));
    }
    all
}

/// Whether the runtime answers now.
fn runtime(session: &mut Session, known: &Found) -> Finding {
    let (verdict, detail) = match session.runtime.served(&known.socket) {
        Ok(served) if served.ready => {
            (Verdict::Pass, format!("{} {} answers and is ready", served.name, served.version))
        }
        Ok(served) => {
            (Verdict::Warn, format!("{} {} answers and says that it is not ready", served.name, served.version))
        }
        Err(why) => (Verdict::Warn, why),
    };
    found("runtime", verdict, Code::RUNTIME_NOT_READY, detail)
}

/// What is to be unpacked, and whether there is room for it.
fn payload(session: &Session, ledger: &crate::Result<Ledger>) -> Vec<Finding> {
    let mut all = vec![match artifacts::content(session) {
        Ok(content) => found("payload", Verdict::Pass, Code::PAYLOAD_MISSING, content.describe(session)),
        Err(error) => failed("payload", &error),
    }];
    let Ok(ledger) = ledger else { return all };
    let disk = |verdict, detail: String| found("disk", verdict, Code::DISK_FULL, detail);
    all.push(match artifacts::plan(session, ledger) {
        Ok(plan) if plan.unpack.is_empty() => disk(Verdict::Pass, "the payload is on the host already".to_owned()),
        Ok(plan) => match artifacts::check_room(session, &plan) {
            Ok(Some((needed, free))) => {
                disk(Verdict::Pass, format!("needs {} MiB, {} MiB are free", needed >> 20, free >> 20))
            }
            Ok(None) => disk(Verdict::Unknown, "free space could not be read".to_owned()),
            Err(error) => failed("disk", &error),
        },
        Err(error) if error.code == Code::PATH_OCCUPIED => failed("installation path", &error),
        Err(_) => disk(Verdict::Skip, "the payload is not clear".to_owned()),
    });
    all
}

/// The directories that are written to.
fn places(session: &Session) -> Vec<Finding> {
    let places = [format!("{}/opt", session.asked.prefix), "/etc".to_owned(), "/var/lib".to_owned()];
    let judge = |path: String| match writable(session, &path) {
        Ok(()) => found("writable", Verdict::Pass, Code::NOT_WRITABLE, path),
        Err(error) => failed("writable", &error),
    };
    places.into_iter().map(judge).collect()
}

fn devices(session: &Session, needed: bool) -> [Finding; 2] {
    [
        ("/dev/kvm", Code::NO_VIRTUALIZATION, "virtual machines cannot run without KVM"),
        (
            "/dev/vhost-vsock",
            Code::NO_VSOCK,
            "the guest's agent is reached through vsock; the kernel module is vhost_vsock",
        ),
    ]
    .map(|(device, code, why)| match (needed, session.host.exists(device)) {
        (false, _) => found("device", Verdict::Skip, code, format!("{device} is not needed")),
        (true, true) => found("device", Verdict::Pass, code, device),
        // a node has devices; where none is shown, this one need not be missing
        (true, false) if !session.host.exists("/dev") => {
            found("device", Verdict::Unknown, code, format!("the host's /dev is not shown here: {why}"))
        }
        (true, false) => found("device", Verdict::Warn, code, format!("{device} is missing: {why}")),
    })
}

/// Compares the host's machine id with the one that the dispatcher saw.
pub fn machine(session: &Session) -> Result<Option<String>, NodeError> {
    let Some(wanted) = &session.asked.machine_id else { return Ok(None) };
    let own = session.host.text("/etc/machine-id").unwrap_or_default();
    let own = own.trim();
    if own == wanted {
        return Ok(Some(own.to_owned()));
    }
    let message = format!(
        "the host's machine id is `{own}`, the Node's was `{wanted}`: another machine has taken the name {}",
        session.asked.node
    );
    Err(NodeError::new(Code::NODE_IDENTITY, message))
}

fn writable(session: &Session, path: &str) -> Result<(), NodeError> {
    let mut at = path;
    while !session.host.exists(at) && at != "/" {
        at = parent(at);
    }
    let here = session.host.path(at);
    let refuse = |why: &str| NodeError::new(Code::NOT_WRITABLE, format!("{path} {why}"));
    let meta = std::fs::metadata(&here).map_err(|error| refuse(&format!("cannot be read: {error}")))?;
    if !meta.is_dir() {
        return Err(refuse("is not a directory"));
    }
    let stat = rustix::fs::statvfs(&here).map_err(|error| refuse(&format!("cannot be read: {error}")))?;
    if stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Err(refuse("is on a read-only file system"));
    }
    if rustix::process::geteuid().as_raw() != meta.uid() && !rustix::process::geteuid().is_root() {
        return Err(refuse("belongs to another user, and this is not root"));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    /// A directory with these files in it: what a kernel shows, for tests.
    pub(super) fn kernel(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }
}
