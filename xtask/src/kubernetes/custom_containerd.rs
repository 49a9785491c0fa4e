//! Another containerd than the node's own: taken back when it does not start, in use when it does, gone with the installation.

use crate::go_program::CONTAINERD_2_1;
use crate::images::oci::{Tree, tar};
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::daemon::wait_for;
use crate::kubernetes::installer::Installer;
use crate::kubernetes::machine::Machine;
use crate::kubernetes::report::{Found, Report};
use crate::kubernetes::runtime::Kind;
use crate::kubernetes::scenario::{HANDLERS, PATIENCE, Telling};
use crate::programs::{on_path, root, run};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

const RELEASE: &str = "confidential-containers";
/// What a containerd is that never starts.
const BROKEN: &[u8] = b"#!/bin/sh\nexit 1\n";

/// A tarball as containerd publishes it, served to nodes.
struct Tarball {
    url: String,
    sha256: String,
}

/// Tells it with an installer.
pub(crate) fn tell(cluster: &mut Cluster, installer: &Installer, report: &mut Report) -> Result<(), String> {
    let kinds = cluster.kinds();
    if kinds.contains(&Kind::CriO) {
        println!("another containerd: not told, for one of the nodes has none");
        return Ok(());
    }
    let who = installer.name();
    let good = std::fs::read(CONTAINERD_2_1.built()?).map_err(|error| error.to_string())?;
    let good = tarball(cluster, "containerd-2.1.9-linux-amd64.tar.gz", good)?;
    let broken = tarball(cluster, "containerd-2.1.10-linux-amd64.tar.gz", BROKEN.to_vec())?;
    let mut telling = Telling::begin(cluster, installer)?;
    let chart = telling.umbrella()?;
    telling.pods("before", None)?;
    telling.remember()?;
    let before = telling.runtimes()?;
    let mut step = report.steps(format!("{who}: another containerd"), kinds);
    step("one that does not start is taken back", &mut || {
        if telling.install_umbrella(&chart, &broken).is_ok() {
            return Err("the installation says that it went well".to_owned());
        }
        telling.runs(&before)
    });
    step("the pod from before survived", &mut || telling.alive("before"));
    let mut ours = Vec::new();
    step("install", &mut || {
        telling.install_umbrella(&chart, &good)?;
        telling.served(true)
    });
    step("it runs, and tells of its handlers", &mut || {
        ours = telling.runtimes()?;
        let mut all = telling.all_handlers();
        all.extend(telling.every(|machine| match program(machine)? {
            path if path.starts_with("/opt/kata.d/containerd-") => Ok(()),
            path => Err(format!("{path} runs")),
        }));
        Ok(all)
    });
    step("a pod with a RuntimeClass runs", &mut || telling.kata("first"));
    step("the pod from before survived that too", &mut || telling.alive("before"));
    step("an upgrade to one that does not start is taken back", &mut || {
        if telling.install_umbrella(&chart, &broken).is_ok() {
            return Err("the installation says that it went well".to_owned());
        }
        let mut all = telling.runs(&ours)?;
        all.extend(telling.alive("first")?);
        Ok(all)
    });
    step("removal brings the node's own back", &mut || {
        telling.delete_pods(&["first"])?;
        telling.installer.uninstall(telling.cluster, RELEASE, &chart)?;
        let mut all = telling.runs(&before)?;
        all.extend(telling.served(false)?);
        Ok(all)
    });
    step("the pod from before survived the removal", &mut || telling.alive("before"));
    step("the disk is as it was", &mut || telling.disks());
    telling.delete_pods(&["before"])
}

/// Packs a containerd with the distribution's shim, and serves it.
fn tarball(cluster: &Cluster, name: &str, containerd: Vec<u8>) -> Result<Tarball, String> {
    let fail = |error: std::io::Error| format!("{name}: {error}");
    let shim = on_path("containerd-shim-runc-v2").ok_or("containerd-shim-runc-v2 is not installed")?;
    let shim = std::fs::read(shim).map_err(fail)?;
    let files = Tree::from([
        ("bin/containerd".to_owned(), (containerd, 0o755)),
        ("bin/containerd-shim-runc-v2".to_owned(), (shim, 0o755)),
    ]);
    // Not packed any further: what is fetched within one machine costs less than that.
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    packed.write_all(&tar("", &files).map_err(fail)?).map_err(fail)?;
    let packed = packed.finish().map_err(fail)?;
    let digest = registry::oci::digest(&packed);
    let sha256 = digest.strip_prefix("sha256:").unwrap_or(&digest).to_owned();
    Ok(Tarball { url: cluster.files.publish(name, packed), sha256 })
}

/// The program that is the machine's containerd.
fn program(machine: &Machine) -> Result<String, String> {
    let main = machine.run(&["systemctl", "show", "containerd", "--property=MainPID", "--value"])?;
    Ok(machine.run(&["readlink", &format!("/proc/{}/exe", main.trim())])?.trim().to_owned())
}

impl Telling<'_> {
    /// The chart of charts with the other inside, as `helm dependency build` makes it.
    fn umbrella(&self) -> Result<PathBuf, String> {
        let chart = self.place.path().join("umbrella");
        run(Command::new("cp").arg("-r").arg(root().join("charts/confidential-containers")).arg(&chart))?;
        let below = chart.join("charts");
        let _ = std::fs::remove_dir_all(&below);
        std::fs::create_dir(&below).map_err(|error| format!("{}: {error}", below.display()))?;
        run(Command::new("cp").arg("-r").arg(root().join("charts/kata-deploy")).arg(&below))?;
        Ok(chart)
    }

    fn install_umbrella(&self, chart: &std::path::Path, tarball: &Tarball) -> Result<(), String> {
        let values = json!({
            "customContainerd": { "enabled": true, "tarballUrl": tarball.url, "sha256": tarball.sha256 },
            "kata-as-coco-runtime": self.values(&[])?,
        });
        self.install_chart(RELEASE, chart, &values)
    }

    /// Which containerd runs on each machine, in their order.
    fn runtimes(&self) -> Result<Vec<String>, String> {
        self.cluster.machines.iter().map(program).collect()
    }

    /// The same runs, soon at least: systemd waits before it starts a service again.
    fn runs(&self, wanted: &[String]) -> Result<Found, String> {
        let one =
            |machine: &Machine, wanted: &String| {
                wait_for(&format!("{wanted} runs"), PATIENCE, || {
                    Ok((program(machine).as_ref() == Ok(wanted)).then_some(()))
                })
            };
        Ok(self.cluster.machines.iter().zip(wanted).map(|(it, wanted)| (it.kind, one(it, wanted))).collect())
    }

    /// What containerd 2 tells its kubelet, and that tells us.
    fn all_handlers(&self) -> Found {
        self.every(|machine| {
            wait_for("the handlers are told", PATIENCE, || {
                let node = self.cluster.get(&["node", &machine.name])?;
                let listed = node["status"]["runtimeHandlers"].as_array().cloned().unwrap_or_default();
                let names: Vec<&str> = listed.iter().filter_map(|it: &Value| it["name"].as_str()).collect();
                Ok(HANDLERS.iter().all(|handler| names.contains(handler)).then_some(()))
            })
        })
    }
}
