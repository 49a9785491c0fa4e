//! Who installs: `husk up`, or real Helm with our charts.

use crate::kubernetes::cluster::Cluster;
use crate::programs::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The namespace of every release.
pub(crate) const NAMESPACE: &str = "kube-system";

/// One of the two.
pub(crate) enum Installer {
    /// `husk up` and `husk down`; rollbacks with `husk helm`.
    Husk(PathBuf),
    /// Helm.
    Helm(PathBuf),
}

impl Installer {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Installer::Husk(_) => "husk",
            Installer::Helm(_) => "helm",
        }
    }

    /// Installs or upgrades a release of a chart, and waits for it.
    pub(crate) fn install(&self, cluster: &Cluster, release: &str, chart: &Path, values: &Path) -> Result<(), String> {
        let mut command = match self {
            Installer::Husk(husk) => {
                let mut command = cluster.plane.command(husk);
                command.args(["up", "--timeout=300", "--release", release, "--chart"]).arg(chart);
                command
            }
            Installer::Helm(helm) => {
                let mut command = cluster.plane.command(helm);
                command.args(["upgrade", "--install", release]).arg(chart).args(["--wait", "--timeout=5m"]);
                command
            }
        };
        bounded(command.args(["--namespace", NAMESPACE, "--values"]).arg(values))
    }

    pub(crate) fn rollback(&self, cluster: &Cluster, release: &str) -> Result<(), String> {
        let mut command = self.helm(cluster);
        bounded(command.args(["rollback", release, "--wait", "--timeout=5m", "--namespace", NAMESPACE]))
    }

    /// Removes a release of a chart, and waits until it is gone from the nodes.
    pub(crate) fn uninstall(&self, cluster: &Cluster, release: &str, chart: &Path) -> Result<(), String> {
        let mut command = match self {
            Installer::Husk(husk) => {
                let mut command = cluster.plane.command(husk);
                command.args(["down", "--timeout=300", "--release", release, "--chart"]).arg(chart);
                command
            }
            Installer::Helm(helm) => {
                let mut command = cluster.plane.command(helm);
                command.args(["uninstall", release, "--wait", "--timeout=5m"]);
                command
            }
        };
        bounded(command.args(["--namespace", NAMESPACE]))
    }

    fn helm(&self, cluster: &Cluster) -> Command {
        match self {
            Installer::Husk(husk) => {
                let mut command = cluster.plane.command(husk);
                command.arg("helm");
                command
            }
            Installer::Helm(helm) => cluster.plane.command(helm),
        }
    }
}

/// Runs a command that ends by itself, or else after a while all the same.
fn bounded(command: &mut Command) -> Result<(), String> {
    let mut whole = Command::new("timeout");
    whole.arg("400").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            whole.env(name, value);
        }
    }
    run(&mut whole).map(drop)
}
