//! The container runtimes that nodes have: their names, their programs and their configuration.

use crate::go_program::{CONTAINERD_2_1, CRI_O, own};
use crate::programs::{root, run};
use clap::ValueEnum;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which runtime a node has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// The containerd of the distribution's package.
    #[value(name = "containerd-1.6")]
    Debian,
    /// A containerd 2.x in a directory of its own, whose configuration has schema 3.
    #[value(name = "containerd-2.1")]
    Two,
    /// CRI-O, in a directory of its own.
    #[value(name = "cri-o")]
    CriO,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Debian => "containerd 1.6",
            Kind::Two => "containerd 2.1",
            Kind::CriO => "CRI-O 1.34",
        })
    }
}

impl Kind {
    /// The name of its systemd service.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Kind::Debian | Kind::Two => "containerd",
            Kind::CriO => "crio",
        }
    }

    /// What its service's journal says once for each start that went well.
    pub(crate) fn booted(self) -> &'static str {
        match self {
            Kind::Debian | Kind::Two => "containerd successfully booted",
            // The last but those that tell of this and that.
            Kind::CriO => "Registered SIGHUP reload watcher",
        }
    }

    /// Its socket, as kubelets are told.
    pub(crate) fn endpoint(self) -> &'static str {
        match self {
            Kind::Debian | Kind::Two => "unix:///run/containerd/containerd.sock",
            Kind::CriO => "unix:///var/run/crio/crio.sock",
        }
    }

    /// Whether its kubelet is told which handlers it serves.
    pub(crate) fn tells_handlers(self) -> bool {
        self != Kind::Debian
    }

    /// A program that no other kind needs and that a package brings.
    pub(crate) fn needs(self) -> Option<&'static str> {
        (self == Kind::CriO).then_some("conmon")
    }

    /// A directory with the programs that no package brings, built by the first call.
    pub(crate) fn programs(self) -> Result<Option<PathBuf>, String> {
        match self {
            Kind::Debian => Ok(None),
            Kind::Two => containerd().map(Some),
            Kind::CriO => cri_o().map(Some),
        }
    }

    /// What an administrator writes for it, by path on the node; `registry` is where images come from.
    pub(crate) fn files(self, registry: &str) -> Vec<(String, String)> {
        let file = |path: &str, text: &str| (path.to_owned(), text.replace("REGISTRY", registry));
        match self {
            Kind::Debian | Kind::Two => vec![
                file(&format!("etc/containerd/certs.d/{registry}/hosts.toml"), HOSTS),
                file("etc/containerd/config.toml", if self == Kind::Debian { CONTAINERD_1_6 } else { CONTAINERD_2 }),
            ],
            Kind::CriO => vec![
                file("etc/crio/crio.conf.d/10-crio.conf", CRI_O_DROP_IN),
                file("etc/crio/policy.json", "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}\n"),
                file("etc/systemd/system/crio.service.d/10-node.conf", CRI_O_UNIT),
            ],
        }
    }
}

/// A directory with containerd 2.x. Its shim is the distribution's, which it can talk to.
fn containerd() -> Result<PathBuf, String> {
    let place = directory(CONTAINERD_2_1.name)?;
    copy(&CONTAINERD_2_1.built()?, &place.join("containerd"))?;
    Ok(place)
}

/// A directory with CRI-O, its helper in C, its unit, all from its module; and what stands before runc.
fn cri_o() -> Result<PathBuf, String> {
    let place = directory(CRI_O.name)?;
    copy(&CRI_O.built()?, &place.join("crio"))?;
    copy(&own("runc", "runc", "")?, &place.join("runc"))?;
    let sources = CRI_O.sources()?;
    copy(&sources.join("contrib/systemd/crio.service"), &place.join("crio.service"))?;
    let helper = sources.join("pinns/src");
    run(Command::new("gcc")
        .args(["-std=c99", "-O2", "-static", "-o"])
        .arg(place.join("pinns"))
        .args(["pinns.c", "sysctl.c"].map(|file| helper.join(file))))?;
    Ok(place)
}

fn directory(name: &str) -> Result<PathBuf, String> {
    let place = root().join("target/real").join(format!("{name}-bin"));
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    Ok(place)
}

/// Modules' files cannot be written, and copies of them must be.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", to.display());
    if to.exists() {
        std::fs::remove_file(to).map_err(fail)?;
    }
    std::fs::copy(from, to).map(drop).map_err(fail)
}

/// containerd 1.6 does not take the scheme from `server` alone.
const HOSTS: &str =
    "server = \"http://REGISTRY\"\n\n[host.\"http://REGISTRY\"]\n  capabilities = [\"pull\", \"resolve\"]\n";

/// Pods of an unprivileged machine cannot lower their OOM score, hence the second setting.
const CONTAINERD_1_6: &str = r#"version = 2

# The administrator's own.
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "REGISTRY/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#;

const CONTAINERD_2: &str = r#"version = 3

# The administrator's own.
[plugins."io.containerd.cri.v1.images"]
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "REGISTRY/pause:1"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#;

/// In the file that CRI-O's packages write.
const CRI_O_DROP_IN: &str = r#"# The administrator's own.
[crio.image]
pause_image = "REGISTRY/pause:1"
pause_command = "/pod"
signature_policy = "/etc/crio/policy.json"
insecure_registries = ["REGISTRY"]

[crio.network]
plugin_dirs = ["/usr/lib/cni"]

[crio.runtime]
cgroup_manager = "cgroupfs"
pinns_path = "/usr/lib/husk-runtime/pinns"
default_runtime = "runc"

[crio.runtime.runtimes.runc]
runtime_path = "/usr/lib/husk-runtime/runc"
runtime_root = "/run/runc"
monitor_path = "/usr/bin/conmon"
monitor_cgroup = "pod"
"#;

/// Without systemd as the manager of cgroups, conmon and the shims stay in the service's; see `KillMode=process` of containerd's unit.
const CRI_O_UNIT: &str = "[Service]\nKillMode=process\nDelegate=yes\n";
