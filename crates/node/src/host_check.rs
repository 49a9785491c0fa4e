//! The `host-check` stage: can this host do what the values ask? It reads only, and reads everything before it judges, so that one
//! run names all that is wrong.

use crate::artifacts;
use crate::distribution::{Found, RuntimeKind};
use crate::error::NodeError;
use crate::host::parent;
use crate::session::Session;
use crate::{cri_plan, custom_containerd, snapshotter};
use contract::{Check, Code, Verdict};
use std::os::unix::fs::MetadataExt;

/// All checks of a host, in the order in which they are shown.
pub fn run(session: &mut Session, found: Result<&Found, &NodeError>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |name: &'static str, verdict: Verdict, detail: String, code: Option<Code>| {
        checks.push(Check { name: name.to_owned(), verdict, detail, code });
    };
    let asked = session.asked;
    match found {
        Ok(found) => add("distribution", Verdict::Pass, format!("{} ({})", found.distribution, found.evidence), None),
        Err(error) => add("distribution", Verdict::Fail, error.message.clone(), Some(error.code)),
    }
    match machine(session) {
        Ok(detail) => add(
            "machine id",
            if detail.is_some() { Verdict::Pass } else { Verdict::Skip },
            detail.unwrap_or_else(|| "not given by the dispatcher".into()),
            None,
        ),
        Err(error) => add("machine id", Verdict::Fail, error.message, Some(error.code)),
    }
    // with what an interrupted run has announced: its leftovers are ours
    let ledger = session.store().known();
    // what is checked below is the runtime that will run
    let aim = match (&ledger, found) {
        (Ok(ledger), Ok(found)) => Some(custom_containerd::aim(asked, found, session.host, ledger)),
        _ => None,
    };
    if let (Some(aim), Some(_)) = (&aim, &asked.custom_containerd) {
        let (verdict, detail, code) = match aim.as_ref().map(|aim| &aim.switch) {
            Err(error) => (Verdict::Fail, error.message.clone(), Some(error.code)),
            Ok(None) => (Verdict::Skip, "this node is not selected".to_owned(), None),
            Ok(Some(switch)) => match &switch.version {
                Some(version) => (Verdict::Pass, format!("{version} is in {}", switch.tree), None),
                None => (Verdict::Pass, format!("{} will be fetched", switch.source.url), None),
            },
        };
        add("custom containerd", verdict, detail, code);
    }
    let future = match &aim {
        Some(Ok(aim)) => Ok(&aim.found),
        _ => found,
    };
    match (&ledger, &aim) {
        (Err(error), _) => add("ledger", Verdict::Fail, error.message.clone(), Some(error.code)),
        (Ok(ledger), Some(Ok(aim))) => match cri_plan::install(asked, aim, session.host, ledger) {
            Ok(plan) if plan.is_empty() => {
                add("runtime configuration", Verdict::Pass, "has all of ours already".into(), None)
            }
            Ok(plan) => {
                add("runtime configuration", Verdict::Pass, format!("can take {} edits", plan.edits.len()), None)
            }
            Err(error) => add("runtime configuration", Verdict::Fail, error.message, Some(error.code)),
        },
        (Ok(_), Some(Err(_))) => {
            add("runtime configuration", Verdict::Skip, "the containerd that shall run is not clear".into(), None)
        }
        (Ok(_), None) => add("runtime configuration", Verdict::Skip, "the distribution is not clear".into(), None),
    }
    for custom in &asked.baseless {
        let detail = format!(
            "`{}` is left out: nobody knows its base configuration `{}`; its RuntimeClass will be served by no node",
            custom.handler, custom.base
        );
        add("custom runtimes", Verdict::Warn, detail, None);
    }
    let mapped = asked.handlers().into_iter().find(|handler| handler.snapshotter.is_some());
    if let (Ok(found), Some(handler)) = (future, mapped)
        && found.runtime == RuntimeKind::Containerd
        && found.release() < (1, 7)
    {
        let detail =
            format!("containerd {} ignores the snapshotter of `{}`; 1.7 does not", found.version, handler.name);
        add("snapshotters", Verdict::Warn, detail, None);
    }
    if let (Ok(found), false) = (future, asked.setup_snapshotters.is_empty()) {
        match snapshotter::check(session, found) {
            Ok(()) => add("snapshotters", Verdict::Pass, asked.setup_snapshotters.join(", "), None),
            Err(error) => add("snapshotters", Verdict::Fail, error.message, Some(error.code)),
        }
    }
    if let Ok(found) = found {
        match session.runtime.served(&found.socket) {
            Ok(served) if served.ready => {
                add("runtime", Verdict::Pass, format!("{} {} answers and is ready", served.name, served.version), None)
            }
            Ok(served) => add(
                "runtime",
                Verdict::Warn,
                format!("{} {} answers and says that it is not ready", served.name, served.version),
                None,
            ),
            Err(why) => add("runtime", Verdict::Warn, why, None),
        }
    }
    match artifacts::content(session) {
        Ok(content) => add("payload", Verdict::Pass, content.describe(session), None),
        Err(error) => add("payload", Verdict::Fail, error.message, Some(error.code)),
    }
    if let Ok(ledger) = &ledger {
        match artifacts::plan(session, ledger) {
            Ok(plan) if plan.unpack.is_empty() => {
                add("disk", Verdict::Pass, "the payload is on the host already".into(), None)
            }
            Ok(plan) => match artifacts::check_room(session, &plan) {
                Ok(Some((needed, free))) => {
                    add("disk", Verdict::Pass, format!("needs {} MiB, {} MiB are free", needed >> 20, free >> 20), None)
                }
                Ok(None) => add("disk", Verdict::Skip, "free space could not be read".into(), None),
                Err(error) => add("disk", Verdict::Fail, error.message, Some(error.code)),
            },
            Err(error) if error.code == Code::PATH_OCCUPIED => {
                add("installation path", Verdict::Fail, error.message, Some(error.code))
            }
            Err(_) => add("disk", Verdict::Skip, "the payload is not clear".into(), None),
        }
    }
    for path in [format!("{}/opt", asked.prefix), "/etc".to_owned(), "/var/lib".to_owned()] {
        match writable(session, &path) {
            Ok(()) => add("writable", Verdict::Pass, path, None),
            Err(error) => add("writable", Verdict::Fail, error.message, Some(error.code)),
        }
    }
    let devices = asked.needed_shims().iter().any(|shim| shim != "remote");
    for (device, why) in [
        ("/dev/kvm", "virtual machines cannot run without KVM"),
        ("/dev/vhost-vsock", "the guest's agent is reached through vsock; the kernel module is vhost_vsock"),
    ] {
        match (devices, session.host.exists(device)) {
            (false, _) => add("device", Verdict::Skip, format!("{device} is not needed"), None),
            (true, true) => add("device", Verdict::Pass, device.to_owned(), None),
            (true, false) => add("device", Verdict::Warn, format!("{device} is missing: {why}"), None),
        }
    }
    for (name, verdict, detail) in kernel(session) {
        add(name, verdict, detail, None);
    }
    let (verdict, detail) = kubelet_timeout(session);
    add("kubelet timeout", verdict, detail, None);
    if let Some(default) =
        asked.default_shim.as_ref().filter(|default| !asked.shims.contains(default) && !asked.shims.is_empty())
    {
        add(
            "default shim",
            Verdict::Warn,
            format!("`{default}` is the default shim for {} but is not enabled", asked.arch),
            None,
        );
    }
    checks
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

/// Pulling and unpacking inside a guest takes longer than the kubelet's default patience of two minutes.
fn kubelet_timeout(session: &Session) -> (Verdict, String) {
    let asked = session.asked;
    if asked.force_guest_pull.is_empty() && asked.guest_pull.is_empty() && asked.setup_snapshotters.is_empty() {
        return (Verdict::Skip, "no shim pulls images in the guest".to_owned());
    }
    let Some(text) = session.host.text("/var/lib/kubelet/config.yaml") else {
        return (Verdict::Skip, "/var/lib/kubelet/config.yaml is not there".to_owned());
    };
    let value = text.lines().find_map(|line| line.trim().strip_prefix("runtimeRequestTimeout:"));
    let value = value.map(|value| value.trim().trim_matches('"')).filter(|value| *value != "0s");
    let shown = value.map_or_else(|| "2m, the default".to_owned(), str::to_owned);
    match value.map_or(Some(120), seconds) {
        Some(600..) => (Verdict::Pass, shown),
        _ => (Verdict::Warn, format!("runtimeRequestTimeout is {shown}; images pulled in the guest may need 10m")),
    }
}

/// Confidential hardware that the shims want, and what enforces access rules.
fn kernel(session: &Session) -> Vec<(&'static str, Verdict, String)> {
    let read = |path: &str| {
        let text = std::fs::read_to_string(session.around.kernel.join(path)).ok()?;
        Some(matches!(text.trim(), "Y" | "y" | "1"))
    };
    let mut checks = Vec::new();
    let shims = session.asked.needed_shims();
    for (word, what, path) in [
        ("snp", "SEV-SNP", "module/kvm_amd/parameters/sev_snp"),
        ("tdx", "TDX", "module/kvm_intel/parameters/tdx"),
        ("se", "Secure Execution", "firmware/uv/prot_virt_host"),
    ] {
        if let Some(shim) = shims.iter().find(|shim| shim.split('-').any(|part| part == word)) {
            match read(path) {
                Some(true) => checks.push(("tee", Verdict::Pass, format!("{what} is on, as `{shim}` needs"))),
                _ => checks.push((
                    "tee",
                    Verdict::Warn,
                    format!("`{shim}` needs {what}, which this host does not have on (/sys/{path})"),
                )),
            }
        }
    }
    match read("fs/selinux/enforce") {
        Some(true) => checks.push((
            "selinux",
            Verdict::Warn,
            "SELinux enforces; programs below the installation need the type bin_t (`semanage fcontext`, `restorecon`) to be started by the runtime".to_owned(),
        )),
        _ => checks.push(("selinux", Verdict::Pass, "does not enforce".to_owned())),
    }
    checks
}

/// Reads a duration as Go writes it: `1h2m3s`.
fn seconds(text: &str) -> Option<u64> {
    let mut total = 0;
    let mut number = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' => number.push(c),
            'h' | 'm' | 's' => {
                let value: f64 = number.parse().ok()?;
                total += (value
                    * match c {
                        'h' => 3600.0,
                        'm' => 60.0,
                        _ => 1.0,
                    }) as u64;
                number.clear();
            }
            _ => return None,
        }
    }
    number.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(seconds("2m0s"), Some(120));
        assert_eq!(seconds("1h10m"), Some(4200));
        assert_eq!(seconds("600s"), Some(600));
        assert_eq!(seconds("ten"), None);
        assert_eq!(seconds("10"), None);
    }
}
