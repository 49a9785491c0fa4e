//! The kernel and what it enforces: its release, control groups, SELinux, and whether the host is a machine at all.

use super::view::View;
use super::{Finding, found};
use crate::host::Host;
use crate::selinux::Policy;
use crate::session::Session;
use contract::{Code, Verdict};

/// Releases that Kubernetes still starts on begin here.
const OLDEST: (u32, u32) = (4, 19);
/// Controllers that a sandbox is held in.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// All of them.
pub(super) fn check(session: &Session, view: &View) -> Vec<Finding> {
    vec![
        release(view),
        cgroups(view),
        selinux(view, session.host, Policy::of(session).is_some()),
        container(session.host),
    ]
}

fn release(view: &View) -> Finding {
    let seen = view.read("/proc/sys/kernel/osrelease");
    let say = |verdict, detail: String| found("kernel", verdict, Code::KERNEL_OLD, detail);
    let Some(text) = seen.text() else {
        return say(Verdict::Unknown, format!("/proc/sys/kernel/osrelease {}", seen.why()));
    };
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST => say(Verdict::Pass, text.to_owned()),
        (Some(Ok(_)), Some(Ok(_))) => say(Verdict::Warn, format!("{text} is older than {}.{}", OLDEST.0, OLDEST.1)),
        _ => say(Verdict::Unknown, format!("`{text}` does not begin with two numbers")),
    }
}

fn cgroups(view: &View) -> Finding {
    let say = |verdict, detail: String| found("cgroups", verdict, Code::CGROUPS, detail);
    let seen = view.read("/sys/fs/cgroup/cgroup.controllers");
    if let Some(text) = seen.text() {
        let missing: Vec<&str> =
            CONTROLLERS.into_iter().filter(|wanted| !text.split_whitespace().any(|had| had == *wanted)).collect();
        return if missing.is_empty() {
            say(Verdict::Pass, "v2".to_owned())
        } else {
            say(Verdict::Warn, format!("v2, without the controllers {}", missing.join(", ")))
        };
    }
    let old = view.is_directory("/sys/fs/cgroup/memory") || view.is_directory("/sys/fs/cgroup/cpu");
    match (old, view.is_directory("/sys/fs/cgroup/unified")) {
        (true, false) => say(Verdict::Warn, "v1, which newer kubelets refuse".to_owned()),
        (true, true) => say(Verdict::Warn, "v1 with v2 beside it, which newer kubelets refuse".to_owned()),
        _ => say(Verdict::Unknown, format!("/sys/fs/cgroup/cgroup.controllers {}", seen.why())),
    }
}

/// `has_policy` tells whether SELinux is on and the host's policy can be read, so that files get its labels.
fn selinux(view: &View, host: &Host, has_policy: bool) -> Finding {
    let say = |verdict, detail: &str| found("selinux", verdict, Code::SELINUX, detail);
    let config = host.text("/etc/selinux/config").unwrap_or_default();
    let mode = config.lines().find_map(|line| line.trim().strip_prefix("SELINUX=")).map(str::trim);
    match (view.read("/sys/fs/selinux/enforce").on(), mode) {
        (Some(false), _) => say(Verdict::Pass, "does not enforce"),
        (Some(true), _) if has_policy => say(Verdict::Pass, "enforces; files get the labels of the host's policy"),
        (Some(true), _) => say(
            Verdict::Warn,
            "SELinux enforces and the host shows no policy; programs below the installation need the type bin_t to be started by the runtime",
        ),
        // a container has no selinuxfs; that it has a label, and what the host booted with, is all that can be seen
        (None, _) if has_policy => say(Verdict::Pass, "is on; files get the labels of the host's policy"),
        (None, Some(mode @ ("enforcing" | "permissive"))) => say(
            Verdict::Unknown,
            &format!("/sys/fs/selinux is not shown here; /etc/selinux/config of the host says {mode}"),
        ),
        (None, _) => say(Verdict::Pass, "is not on"),
    }
}

/// systemd, Docker and Podman leave marks in the containers that they start.
fn container(host: &Host) -> Finding {
    let (name, code) = ("container", Code::HOST_IS_CONTAINER);
    if !host.is_directory("/run") {
        return found(name, Verdict::Unknown, code, "the host's /run is not shown here");
    }
    let kind = host.text("/run/systemd/container").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let mark = ["/run/.containerenv", "/.dockerenv"].into_iter().find(|path| host.exists(path));
    match kind.or(mark.map(str::to_owned)) {
        Some(kind) => found(
            name,
            Verdict::Warn,
            code,
            format!("this host is itself a container ({kind}); its devices and modules are another machine's"),
        ),
        None => found(name, Verdict::Pass, code, "the host is a machine of its own"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::kernel;
    use super::*;
    use Verdict::{Pass, Unknown, Warn};

    #[test]
    fn releases_are_compared_as_numbers() {
        for (text, wanted) in [
            ("6.12.48-generic\n", Pass),
            ("4.19.0", Pass),
            ("4.18.0-553.el8", Warn),
            ("3.10.0", Warn),
            ("next", Unknown),
        ] {
            let root = kernel(&[("proc/sys/kernel/osrelease", text)]);
            assert_eq!(release(&View::below(root.path())).verdict, wanted, "{text}");
        }
        assert_eq!(release(&View::below(kernel(&[]).path())).verdict, Unknown);
    }

    #[test]
    fn cgroups_are_told_by_their_files() {
        let v2 = "sys/fs/cgroup/cgroup.controllers";
        for (files, wanted) in [
            (&[(v2, "cpuset cpu io memory pids misc\n")][..], Pass),
            (&[(v2, "cpuset cpu io\n")], Warn),
            (&[("sys/fs/cgroup/memory/tasks", "")], Warn),
            (&[("sys/fs/cgroup/memory/tasks", ""), ("sys/fs/cgroup/unified/cgroup.procs", "")], Warn),
            (&[], Unknown),
        ] {
            let root = kernel(files);
            assert_eq!(cgroups(&View::below(root.path())).verdict, wanted, "{files:?}");
        }
    }

    #[test]
    fn what_a_container_cannot_see_of_selinux_is_unknown() {
        let (kernel_says, host_says) = ("sys/fs/selinux/enforce", "host/etc/selinux/config");
        for (files, policy, wanted) in [
            (&[(kernel_says, "1"), (host_says, "SELINUX=enforcing\n")][..], true, Pass),
            (&[(kernel_says, "1")], false, Warn),
            (&[(kernel_says, "0"), (host_says, "SELINUX=enforcing\n")], false, Pass),
            (&[(host_says, "# SELINUX= is one of\nSELINUX=enforcing\n")], true, Pass),
            (&[(host_says, "# SELINUX= is one of\nSELINUX=enforcing\n")], false, Unknown),
            (&[(host_says, "SELINUX=disabled\n")], false, Pass),
            (&[], false, Pass),
        ] {
            let root = kernel(files);
            let host = Host::new(root.path().join("host"));
            assert_eq!(selinux(&View::below(root.path()), &host, policy).verdict, wanted, "{files:?}");
        }
    }

    #[test]
    fn containers_are_known_by_their_marks() {
        for (files, wanted) in [
            (&[("run/systemd/container", "docker\n")][..], Warn),
            (&[("run/.containerenv", "")], Warn),
            (&[("run/systemd/private", "")], Pass),
            (&[("etc/hosts", "")], Unknown),
        ] {
            let root = kernel(files);
            assert_eq!(container(&Host::new(root.path())).verdict, wanted, "{files:?}");
        }
    }
}
