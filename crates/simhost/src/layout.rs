//! Where each distribution keeps its container runtime's files, as paths on the host.

use crate::spec::{HostKind, HostSpec};

/// What runs containers on a host, and how it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// containerd that reads the file itself.
    Containerd,
    /// k3s or RKE2: renders the file from a template, or from its own base, at every start.
    Rancher,
    /// k0s: merges `containerd.d` into a generated file, at every start.
    K0s,
    /// MicroK8s: fills in a template at every start.
    Microk8s,
    /// CRI-O.
    Crio,
}

/// Where a host keeps its runtime's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What runs containers.
    pub flavour: Flavour,
    /// The unit that runs it.
    pub unit: &'static str,
    /// The unit of the kubelet, when that is a separate one.
    pub kubelet: Option<&'static str>,
    /// The directory of the configuration.
    pub directory: &'static str,
    /// The file that the runtime reads first.
    pub config: &'static str,
    /// The program that the unit runs.
    pub program: &'static str,
    /// The CRI socket.
    pub socket: &'static str,
    /// Whether the API server lives on this host and vanishes with the unit.
    pub serves_api: bool,
}

const PLAIN: Layout = Layout {
    flavour: Flavour::Containerd,
    unit: "containerd.service",
    kubelet: Some("kubelet.service"),
    directory: "/etc/containerd",
    config: "/etc/containerd/config.toml",
    program: "/usr/bin/containerd",
    socket: "/run/containerd/containerd.sock",
    serves_api: false,
};

const K3S: Layout = Layout {
    flavour: Flavour::Rancher,
    unit: "k3s.service",
    kubelet: None,
    directory: "/var/lib/rancher/k3s/agent/etc/containerd",
    config: "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    program: "/usr/local/bin/k3s",
    socket: "/run/k3s/containerd/containerd.sock",
    serves_api: true,
};

const RKE2: Layout = Layout {
    unit: "rke2-server.service",
    directory: "/var/lib/rancher/rke2/agent/etc/containerd",
    config: "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
    program: "/usr/local/bin/rke2",
    ..K3S
};

impl Layout {
    /// Returns the layout of a kind of host.
    pub const fn of(kind: HostKind) -> Layout {
        match kind {
            HostKind::Containerd16
            | HostKind::Containerd17
            | HostKind::Containerd20
            | HostKind::Containerd21
            | HostKind::Containerd22 => PLAIN,
            HostKind::Crio => Layout {
                flavour: Flavour::Crio,
                unit: "crio.service",
                directory: "/etc/crio",
                config: "/etc/crio/crio.conf",
                program: "/usr/bin/crio",
                socket: "/run/crio/crio.sock",
                ..PLAIN
            },
            HostKind::K3s => K3S,
            HostKind::K3sAgent => Layout { unit: "k3s-agent.service", serves_api: false, ..K3S },
            HostKind::Rke2Server => RKE2,
            HostKind::Rke2Agent => Layout { unit: "rke2-agent.service", serves_api: false, ..RKE2 },
            HostKind::K0s => Layout {
                flavour: Flavour::K0s,
                unit: "k0sworker.service",
                kubelet: None,
                directory: "/etc/k0s",
                config: "/etc/k0s/containerd.toml",
                program: "/usr/local/bin/k0s",
                socket: "/run/k0s/containerd.sock",
                serves_api: false,
            },
            HostKind::Microk8s => Layout {
                flavour: Flavour::Microk8s,
                unit: "snap.microk8s.daemon-containerd.service",
                kubelet: Some("snap.microk8s.daemon-kubelite.service"),
                directory: "/var/snap/microk8s/current/args",
                config: "/var/snap/microk8s/current/args/containerd.toml",
                program: "/snap/microk8s/current/bin/containerd",
                socket: "/var/snap/microk8s/common/run/containerd.sock",
                serves_api: false,
            },
        }
    }
}

impl HostSpec {
    /// Returns where this host keeps its runtime's files.
    pub fn layout(&self) -> Layout {
        Layout::of(self.kind)
    }
}
