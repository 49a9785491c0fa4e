//! Who installs: `husk up`, or real Helm with our charts.

use crate::kubernetes::cluster::Cluster;
use crate::programs::run;
use serde_json::Value;
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

    /// What `husk verify` finds of a class, node by node, as JSON; nothing from Helm, which has no such verb.
    pub(crate) fn verify(
        &self,
        cluster: &Cluster,
        release: &str,
        class: &str,
        level: u8,
    ) -> Option<Result<Vec<Value>, String>> {
        let Installer::Husk(husk) = self else { return None };
        let mut command = cluster.plane.command(husk);
        command.args(["verify", "-o", "json", "--namespace", NAMESPACE, "--release", release, "--class", class]);
        command.arg(format!("--level={level}"));
        Some(cells(&mut command))
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

/// The cells of a report, also of one that tells of trouble.
fn cells(command: &mut Command) -> Result<Vec<Value>, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(report["cells"].as_array().cloned().unwrap_or_default())
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
