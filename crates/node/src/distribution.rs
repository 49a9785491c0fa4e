//! Which Kubernetes distribution and container runtime a host has, by evidence.

use crate::error::{NodeError, Result};
use crate::host::Host;
use crate::settings::Settings;
use crate::units::{Runtime, Units};
use contract::Code;
use std::fmt;

/// A Kubernetes distribution, as far as it decides where the runtime's configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// kubeadm and everything else that runs containerd or CRI-O as a unit of its own.
    K8s,
    /// k3s.
    K3s,
    /// RKE2.
    Rke2,
    /// k0s.
    K0s,
    /// MicroK8s.
    Microk8s,
}

impl Distribution {
    /// The name used in values and reports.
    pub fn name(self) -> &'static str {
        match self {
            Distribution::K8s => "k8s",
            Distribution::K3s => "k3s",
            Distribution::Rke2 => "rke2",
            Distribution::K0s => "k0s",
            Distribution::Microk8s => "microk8s",
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which container runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// containerd.
    Containerd,
    /// CRI-O.
    Crio,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The distribution.
    pub distribution: Distribution,
    /// The runtime.
    pub runtime: RuntimeKind,
    /// Its version, such as `1.7.24`.
    pub version: String,
    /// The unit that runs it.
    pub unit: String,
    /// Its CRI socket, a path of the host.
    pub socket: String,
    /// Why we think so, for people.
    pub evidence: String,
}

impl Found {
    /// Major and minor version.
    pub fn release(&self) -> (u32, u32) {
        let (major, minor, _) = self.numbers();
        (major, minor)
    }

    /// Major, minor and patch version; Debian's `~ds1` and the like are not part of it.
    pub fn numbers(&self) -> (u32, u32, u32) {
        let mut parts = self.version.split(['.', '-', '+', '~']).map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// `containerd 1.7.24`, as reports show it.
    pub fn runtime_text(&self) -> String {
        let name = if self.runtime == RuntimeKind::Crio { "cri-o" } else { "containerd" };
        format!("{name} {}", self.version)
    }
}

/// Units that tell a distribution, in the order in which they count.
const UNITS: [(&str, Distribution); 7] = [
    ("snap.microk8s.daemon-containerd.service", Distribution::Microk8s),
    ("rke2-agent.service", Distribution::Rke2),
    ("rke2-server.service", Distribution::Rke2),
    ("k3s-agent.service", Distribution::K3s),
    ("k3s.service", Distribution::K3s),
    ("k0scontroller.service", Distribution::K0s),
    ("k0sworker.service", Distribution::K0s),
];

/// Finds distribution and runtime: active units first, then what the Node says of its runtime.
///
/// `version_text` is `containerd://2.1.4` as the Node object shows it. A value of `k8sDistribution` other than `auto` is an
/// assertion: it must agree, except on CRI-O hosts, whose configuration is in one place whatever the distribution.
pub fn detect(settings: &Settings, version_text: &str, host: &Host, units: &mut dyn Units) -> Result<Found> {
    let unknown = |why: String| NodeError::new(Code::RUNTIME_UNKNOWN, why);
    let (name, version) = version_text.split_once("://").ok_or_else(|| {
        unknown(format!("the runtime's version `{version_text}` does not look like `containerd://1.7.24`"))
    })?;
    let runtime = match name {
        "containerd" => RuntimeKind::Containerd,
        "cri-o" | "crio" => RuntimeKind::Crio,
        other => return Err(unknown(format!("the node runs `{other}`; Husk configures containerd and CRI-O"))),
    };
    let mut seen = None;
    for (unit, distribution) in UNITS {
        if runtime == RuntimeKind::Crio {
            break;
        }
        if units.state(unit)?.is_active() {
            seen = Some((unit, distribution));
            break;
        }
    }
    let plain = if runtime == RuntimeKind::Crio { "crio.service" } else { "containerd.service" };
    let (unit, distribution) = seen.unwrap_or((plain, Distribution::K8s));
    let evidence = match seen {
        Some((unit, _)) => format!("unit {unit} is active"),
        None => format!("no unit of k3s, RKE2, k0s or MicroK8s is active and the node runs {version_text}"),
    };
    if let Some(declared) = settings.distribution.as_deref()
        && declared != distribution.name()
        && runtime != RuntimeKind::Crio
    {
        let message = format!(
            "`k8sDistribution: {declared}` was declared but this host is {distribution} ({evidence}); set `k8sDistribution: {distribution}` or `auto`"
        );
        return Err(NodeError::new(Code::DISTRIBUTION_MISMATCH, message));
    }
    let version = version.to_owned();
    let socket = socket(distribution, runtime, host);
    let found = Found { distribution, runtime, version, unit: unit.to_owned(), socket, evidence };
    if runtime == RuntimeKind::Containerd && found.release() < (1, 6) {
        return Err(unknown(format!(
            "containerd {} is older than 1.6, the oldest that Husk configures",
            found.version
        )));
    }
    Ok(found)
}

/// Sockets on which a runtime may answer, those of distributions that bring their own first.
pub const SOCKETS: [&str; 5] = [
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/crio/crio.sock",
    "/run/containerd/containerd.sock",
];

/// Asks the runtime itself for its version, for hosts whose Node nobody has looked at.
pub fn ask(host: &Host, runtime: &mut dyn Runtime) -> Result<String> {
    let mut last = "no socket of a container runtime was found".to_owned();
    for socket in SOCKETS.into_iter().filter(|socket| host.exists(socket)) {
        match runtime.served(socket) {
            Ok(served) => return Ok(format!("{}://{}", served.name, served.version.trim_start_matches('v'))),
            Err(why) => last = why,
        }
    }
    Err(NodeError::new(Code::RUNTIME_UNKNOWN, last))
}

fn socket(distribution: Distribution, runtime: RuntimeKind, host: &Host) -> String {
    let candidates: &[&str] = match (runtime, distribution) {
        (RuntimeKind::Crio, _) => &["/run/crio/crio.sock"],
        (_, Distribution::K3s | Distribution::Rke2) => &["/run/k3s/containerd/containerd.sock"],
        (_, Distribution::K0s) => &["/run/k0s/containerd.sock"],
        (_, Distribution::Microk8s) => &["/var/snap/microk8s/common/run/containerd.sock"],
        (_, Distribution::K8s) => &["/run/containerd/containerd.sock"],
    };
    let found = candidates.iter().find(|path| host.exists(path)).or(candidates.first());
    found.map(|path| (*path).to_owned()).unwrap_or_default()
}
