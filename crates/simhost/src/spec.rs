//! What a simulated host is to be: its distribution, its runtime, its hardware.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A host to simulate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostSpec {
    /// The Node's name, also the host name.
    pub name: String,
    /// Distribution and container runtime.
    pub kind: HostKind,
    /// The processor.
    #[serde(default)]
    pub arch: Arch,
    /// Labels of the Node, beside those that every kubelet sets.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Another version of the runtime than the kind's own, such as `1.7.27` or `2.1.5-k3s1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_version: Option<String>,
    /// Where the unit of a containerd that is the host's own says that its configuration is, instead of
    /// `/etc/containerd/config.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containerd_config: Option<String>,
    /// Whether `/dev/kvm` is there.
    #[serde(default = "yes")]
    pub kvm: bool,
    /// Whether `/dev/vhost-vsock` is there.
    #[serde(default = "yes")]
    pub vsock: bool,
    /// The confidential-computing hardware that the firmware and kernel have switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tee: Option<Tee>,
    /// Whether SELinux is enforcing.
    #[serde(default)]
    pub selinux: bool,
    /// Whether the host is itself a virtual machine.
    #[serde(default)]
    pub in_machine: bool,
    /// Whether the host is itself a container, as with kind.
    #[serde(default)]
    pub in_container: bool,
    /// Whether it has the first version of control groups.
    #[serde(default)]
    pub cgroups_v1: bool,
    /// Whether it is a Node and nothing else: no disk, no services, no runtime. Whoever keeps hosts never starts such a one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hollow: bool,
}

fn yes() -> bool {
    true
}

impl HostSpec {
    /// Returns an x86_64 host with KVM and vsock, without a TEE, with the kind's usual runtime version.
    pub fn new(name: impl Into<String>, kind: HostKind) -> Self {
        HostSpec {
            name: name.into(),
            kind,
            arch: Arch::Amd64,
            labels: BTreeMap::new(),
            runtime_version: None,
            containerd_config: None,
            kvm: true,
            vsock: true,
            tee: None,
            selinux: false,
            in_machine: false,
            in_container: false,
            cgroups_v1: false,
            hollow: false,
        }
    }

    /// Returns the runtime's version as it is after installation, without a leading `v`.
    pub fn runtime_version(&self) -> &str {
        self.runtime_version.as_deref().unwrap_or(self.kind.runtime_version()).trim_start_matches('v')
    }
}

/// Distribution and container runtime of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HostKind {
    /// kubeadm on containerd 1.6.
    #[serde(rename = "containerd-1.6")]
    Containerd16,
    /// kubeadm on containerd 1.7.
    #[serde(rename = "containerd-1.7")]
    Containerd17,
    /// kubeadm on containerd 2.0.
    #[serde(rename = "containerd-2.0")]
    Containerd20,
    /// kubeadm on containerd 2.1.
    #[serde(rename = "containerd-2.1")]
    Containerd21,
    /// kubeadm on containerd 2.2, whose configuration imports `/etc/containerd/conf.d`.
    #[serde(rename = "containerd-2.2")]
    Containerd22,
    /// kubeadm on CRI-O.
    #[serde(rename = "crio")]
    Crio,
    /// A k3s server.
    #[serde(rename = "k3s")]
    K3s,
    /// A k3s agent.
    #[serde(rename = "k3s-agent")]
    K3sAgent,
    /// An RKE2 server.
    #[serde(rename = "rke2-server")]
    Rke2Server,
    /// An RKE2 agent.
    #[serde(rename = "rke2-agent")]
    Rke2Agent,
    /// A k0s worker.
    #[serde(rename = "k0s")]
    K0s,
    /// A MicroK8s node.
    #[serde(rename = "microk8s")]
    Microk8s,
}

impl HostKind {
    /// Every kind.
    pub const ALL: [HostKind; 12] = [
        HostKind::Containerd16,
        HostKind::Containerd17,
        HostKind::Containerd20,
        HostKind::Containerd21,
        HostKind::Containerd22,
        HostKind::Crio,
        HostKind::K3s,
        HostKind::K3sAgent,
        HostKind::Rke2Server,
        HostKind::Rke2Agent,
        HostKind::K0s,
        HostKind::Microk8s,
    ];

    /// Returns the name used in options and files, such as `containerd-1.7` or `k3s`.
    pub const fn name(self) -> &'static str {
        match self {
            HostKind::Containerd16 => "containerd-1.6",
            HostKind::Containerd17 => "containerd-1.7",
            HostKind::Containerd20 => "containerd-2.0",
            HostKind::Containerd21 => "containerd-2.1",
            HostKind::Containerd22 => "containerd-2.2",
            HostKind::Crio => "crio",
            HostKind::K3s => "k3s",
            HostKind::K3sAgent => "k3s-agent",
            HostKind::Rke2Server => "rke2-server",
            HostKind::Rke2Agent => "rke2-agent",
            HostKind::K0s => "k0s",
            HostKind::Microk8s => "microk8s",
        }
    }

    /// Returns the version of the runtime that this kind has unless told otherwise.
    pub const fn runtime_version(self) -> &'static str {
        match self {
            HostKind::Containerd16 => "1.6.36",
            HostKind::Containerd17 => "1.7.27",
            HostKind::Containerd20 => "2.0.5",
            HostKind::Containerd21 => "2.1.5",
            HostKind::Containerd22 => "2.2.0",
            HostKind::Crio => "1.34.0",
            HostKind::K3s | HostKind::K3sAgent => "2.1.5-k3s1",
            HostKind::Rke2Server | HostKind::Rke2Agent => "2.1.5-k3s1",
            HostKind::K0s => "1.7.27",
            HostKind::Microk8s => "1.6.36",
        }
    }

    /// Whether the distribution runs containerd on its own terms, with its own files and units.
    pub const fn owns_its_containerd(self) -> bool {
        !matches!(
            self,
            HostKind::Containerd16
                | HostKind::Containerd17
                | HostKind::Containerd20
                | HostKind::Containerd21
                | HostKind::Containerd22
                | HostKind::Crio
        )
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HostKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        HostKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names: Vec<_> = HostKind::ALL.iter().map(|kind| kind.name()).collect();
            format!("unknown kind of host `{text}`; known are {}", names.join(", "))
        })
    }
}

/// A processor, by Kubernetes' name for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86_64.
    #[default]
    Amd64,
    /// aarch64.
    Arm64,
    /// IBM Z.
    S390x,
    /// POWER, little endian.
    Ppc64le,
}

impl Arch {
    /// Returns Kubernetes' name, as in the label `kubernetes.io/arch`.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
            Arch::S390x => "s390x",
            Arch::Ppc64le => "ppc64le",
        }
    }

    /// Returns the kernel's name, as `uname -m` prints it.
    pub const fn machine(self) -> &'static str {
        match self {
            Arch::Amd64 => "x86_64",
            Arch::Arm64 => "aarch64",
            Arch::S390x => "s390x",
            Arch::Ppc64le => "ppc64le",
        }
    }
}

/// Confidential-computing hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tee {
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
    /// IBM Secure Execution.
    Se,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_one_name_everywhere() {
        for kind in HostKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert!("containerd-3".parse::<HostKind>().unwrap_err().contains("containerd-1.7"));
    }

    #[test]
    fn a_specification_needs_only_a_name_and_a_kind() {
        let spec: HostSpec = serde_json::from_str(r#"{"name":"n1","kind":"k3s"}"#).unwrap();
        assert_eq!(spec, HostSpec::new("n1", HostKind::K3s));
    }
}
