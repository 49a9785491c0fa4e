//! Hosts that kubeadm made a node of: a packaged runtime and a kubelet beside it.

use super::Tree;
use crate::spec::HostKind;
use std::io;

pub(super) fn containerd(tree: &Tree<'_>) -> io::Result<()> {
    let layout = tree.spec.layout();
    let version = tree.spec.runtime_version();
    tree.program(layout.program, "containerd", Some(("containerd", version)))?;
    for name in ["containerd-shim-runc-v2", "ctr"] {
        tree.program(&format!("/usr/bin/{name}"), name, None)?;
    }
    tree.program("/usr/sbin/runc", "runc 1.3.3", None)?;
    let path = tree.spec.containerd_config.as_deref().unwrap_or(layout.config);
    tree.file(path, config(tree.spec.kind))?;
    if tree.spec.kind == HostKind::Containerd22 {
        tree.directory("/etc/containerd/conf.d")?;
    }
    tree.file("/etc/containerd/certs.d/docker.io/hosts.toml", "server = \"https://registry-1.docker.io\"\n")?;
    tree.directory("/var/lib/containerd")?;
    let command = match &tree.spec.containerd_config {
        Some(path) => format!("{} --config {path}", layout.program),
        None => layout.program.to_owned(),
    };
    let unit = CONTAINERD_UNIT.replace("ExecStart=/usr/bin/containerd", &format!("ExecStart={command}"));
    tree.file("/usr/lib/systemd/system/containerd.service", &unit)?;
    tree.enable("containerd.service", "/usr/lib/systemd/system/containerd.service")?;
    kubelet(tree)
}

fn config(kind: HostKind) -> &'static str {
    match kind {
        HostKind::Containerd16 | HostKind::Containerd17 => CONFIG_1,
        HostKind::Containerd22 => CONFIG_22,
        _ => CONFIG_2,
    }
}

pub(super) fn crio(tree: &Tree<'_>) -> io::Result<()> {
    let layout = tree.spec.layout();
    tree.program(layout.program, "crio", Some(("cri-o", tree.spec.runtime_version())))?;
    for name in ["crun 1.24", "runc 1.3.3", "conmon 2.1.13", "pinns"] {
        let file = name.split(' ').next().unwrap_or(name);
        tree.program(&format!("/usr/libexec/crio/{file}"), name, None)?;
    }
    tree.file(layout.config, CRIO)?;
    tree.file("/etc/crio/crio.conf.d/10-crio.conf", CRIO_DROP_IN)?;
    tree.directory("/var/lib/containers/storage")?;
    tree.file("/etc/containers/registries.conf", "unqualified-search-registries = [\"docker.io\"]\n")?;
    tree.file("/usr/lib/systemd/system/crio.service", CRIO_UNIT)?;
    tree.enable("crio.service", "/usr/lib/systemd/system/crio.service")?;
    tree.link("/etc/systemd/system/cri-o.service", "/usr/lib/systemd/system/crio.service")?;
    kubelet(tree)
}

fn kubelet(tree: &Tree<'_>) -> io::Result<()> {
    let socket = tree.spec.layout().socket;
    tree.program("/usr/bin/kubelet", "kubelet v1.34.2", None)?;
    tree.file("/usr/lib/systemd/system/kubelet.service", KUBELET_UNIT)?;
    tree.file(
        "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
        "[Service]\nEnvironment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"\n",
    )?;
    tree.enable("kubelet.service", "/usr/lib/systemd/system/kubelet.service")?;
    let config = format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncgroupDriver: systemd\n\
         clusterDNS:\n- 10.96.0.10\nclusterDomain: cluster.local\ncontainerRuntimeEndpoint: unix://{socket}\n\
         runtimeRequestTimeout: 0s\nstaticPodPath: /etc/kubernetes/manifests\n"
    );
    tree.file("/var/lib/kubelet/config.yaml", &config)?;
    tree.file("/var/lib/kubelet/kubeadm-flags.env", "KUBELET_KUBEADM_ARGS=\"\"\n")?;
    tree.mode("/etc/kubernetes/kubelet.conf", "apiVersion: v1\nkind: Config\nclusters: []\n", 0o600)?;
    tree.directory("/etc/kubernetes/manifests")?;
    tree.directory("/etc/kubernetes/pki")
}

/// 1.x names runc explicitly: without it, the first handler that anyone adds would push the built-in one out.
const CONFIG_1: &str = r#"# containerd configuration of the platform team.
# Changed by hand; ask before you let a tool rewrite it.
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = -999   # never the first to go

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "registry.k8s.io/pause:3.9"
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/opt/cni/bin"
      conf_dir = "/etc/cni/net.d"
    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "runc"
      snapshotter = "overlayfs"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes]
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
          runtime_type = "io.containerd.runc.v2"
          [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
            SystemdCgroup = true   # kubeadm's default
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
"#;

const CONFIG_2: &str = r#"# containerd configuration of the platform team.
# Changed by hand; ask before you let a tool rewrite it.
version = 3
root = '/var/lib/containerd'
state = '/run/containerd'
imports = []

[grpc]
  address = '/run/containerd/containerd.sock'

[plugins]
  [plugins.'io.containerd.cri.v1.images']
    snapshotter = 'overlayfs'

    [plugins.'io.containerd.cri.v1.images'.pinned_images]
      sandbox = 'registry.k8s.io/pause:3.10'

    [plugins.'io.containerd.cri.v1.images'.registry]
      config_path = '/etc/containerd/certs.d'

  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'

    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'

      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        SystemdCgroup = true   # kubeadm's default
"#;

const CONFIG_22: &str = r#"# containerd configuration of the platform team.
version = 3
root = '/var/lib/containerd'
state = '/run/containerd'
imports = ['/etc/containerd/conf.d/*.toml']

[grpc]
  address = '/run/containerd/containerd.sock'

[plugins]
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '/etc/containerd/certs.d'

  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'

    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = true   # kubeadm's default
"#;

const CONTAINERD_UNIT: &str = r#"[Unit]
Description=containerd container runtime
Documentation=https://containerd.io
After=network.target local-fs.target

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"#;

const CRIO_UNIT: &str = r#"[Unit]
Description=Container Runtime Interface for OCI (CRI-O)
Documentation=https://github.com/cri-o/cri-o
Wants=network-online.target
Before=kubelet.service
After=network-online.target

[Service]
Type=notify
EnvironmentFile=-/etc/sysconfig/crio
ExecStart=/usr/bin/crio $CRIO_CONFIG_OPTIONS $CRIO_RUNTIME_OPTIONS
ExecReload=/bin/kill -s HUP $MAINPID
KillMode=process
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target
Alias=cri-o.service
"#;

const KUBELET_UNIT: &str = r#"[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
"#;

const CRIO: &str = r#"# The CRI-O configuration file; drop-ins in crio.conf.d win.
[crio]
# log_dir = "/var/log/crio/pods"

[crio.api]
listen = "/var/run/crio/crio.sock"

[crio.runtime]
cgroup_manager = "systemd"
log_level = "info"

[crio.image]
pause_image = "registry.k8s.io/pause:3.10"
"#;

const CRIO_DROP_IN: &str = r#"[crio.image]
signature_policy = "/etc/containers/policy.json"

[crio.runtime]
default_runtime = "crun"

[crio.runtime.runtimes.crun]
runtime_path = "/usr/libexec/crio/crun"
runtime_root = "/run/crun"
monitor_path = "/usr/libexec/crio/conmon"
allowed_annotations = ["io.containers.trace-syscall"]

[crio.runtime.runtimes.runc]
runtime_path = "/usr/libexec/crio/runc"
runtime_root = "/run/runc"
monitor_path = "/usr/libexec/crio/conmon"
"#;
