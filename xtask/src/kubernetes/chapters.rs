//! What else happens to an installation: nodes join, it has other forms, and things break while it is made.

use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::daemon::wait_for;
use crate::kubernetes::installer::{Installer, NAMESPACE};
use crate::kubernetes::machine::Machine;
use crate::kubernetes::report::{Found, Report};
use crate::kubernetes::runtime::Kind;
use crate::kubernetes::scenario::{PATIENCE, RELEASE, Telling, starts};
use clap::ValueEnum;
use contract::{NodeRecord, Stage, State, label};
use std::time::Duration;

/// A release beside the first, with handlers of its own.
const CANARY: &str = "kata-canary";
/// How long the API server is away.
const OUTAGE: Duration = Duration::from_secs(30);

/// A part of what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chapter {
    /// From the installation to the removal, with pods that run meanwhile.
    Life,
    /// A DaemonSet instead of Jobs; two installations side by side.
    Forms,
    /// The runtime, the API server or the power fails while an installation is made.
    Breakage,
    /// There is no room on the disk.
    Disk,
    /// Another containerd takes the place of the node's own.
    CustomContainerd,
    /// A node joins; it stays for all that comes after.
    Growth,
}

/// A DaemonSet, then two releases.
pub(crate) fn forms(cluster: &mut Cluster, installer: &Installer, report: &mut Report) -> Result<(), String> {
    let kinds = cluster.kinds();
    let who = installer.name();
    let mut telling = Telling::begin(cluster, installer)?;
    telling.remember()?;
    let mut step = report.steps(who.to_owned(), kinds);
    step("DaemonSet: install", &mut || {
        telling.install(&["deploymentMode=daemonset"])?;
        telling.served(true)
    });
    step("DaemonSet: a pod runs", &mut || telling.kata("set"));
    step("DaemonSet: upgrade", &mut || {
        telling.install(&["deploymentMode=daemonset", "image.tag=4.2.0"])?;
        telling.version("4.2.0")
    });
    step("DaemonSet: the pod survived", &mut || telling.alive("set"));
    step("DaemonSet: removal", &mut || {
        telling.delete_pods(&["set"])?;
        telling.uninstall(RELEASE)?;
        telling.served(false)
    });
    step("DaemonSet: the disk is as it was", &mut || telling.disks());

    step("two side by side: install", &mut || {
        telling.install(&[])?;
        telling.install_as(CANARY, &["env.multiInstallSuffix=canary", "image.tag=4.2.0"])?;
        telling.version("4.1.0")
    });
    step("two side by side: pods of both run", &mut || {
        let mut all = telling.kata_of("stable", "kata-qemu", "/opt/kata.d")?;
        all.extend(telling.kata_of("canary", "kata-qemu-canary", "/opt/kata-canary")?);
        Ok(all)
    });
    step("two side by side: the second stays when the first goes", &mut || {
        telling.delete_pods(&["stable"])?;
        telling.uninstall(RELEASE)?;
        let mut all = telling.alive("canary")?;
        all.extend(telling.kata_of("later", "kata-qemu-canary", "/opt/kata-canary")?);
        Ok(all)
    });
    step("two side by side: removal of the second", &mut || {
        telling.delete_pods(&["canary", "later"])?;
        telling.uninstall(CANARY)?;
        telling.served(false)
    });
    step("two side by side: the disk is as it was", &mut || telling.disks());
    Ok(())
}

/// A node that joins after the installation is taken in by the next call, and the others are left alone.
pub(crate) fn growth(cluster: &mut Cluster, installer: &Installer, report: &mut Report) -> Result<(), String> {
    let who = installer.name();
    let mut telling = Telling::begin(cluster, installer)?;
    telling.install(&[])?;
    let kind = telling.cluster.machines[0].kind;
    telling.cluster.add(kind)?;
    telling.cluster.wait_nodes()?;
    let kinds = telling.cluster.kinds();
    telling.remember_starts()?;
    let mut step = report.steps(who.to_owned(), kinds);
    step("a node joins: it is taken in", &mut || {
        telling.install(&[])?;
        telling.served(true)
    });
    step("a node joins: the others are left alone", &mut || {
        let last = telling.cluster.machines.last().map(|machine| machine.name.clone()).unwrap_or_default();
        Ok(telling.every(|machine| {
            let wanted = usize::from(machine.name == last);
            match telling.starts_since(machine)? {
                count if count == wanted => Ok(()),
                count => Err(format!("{count} restarts, not {wanted}")),
            }
        }))
    });
    step("a node joins: removal from all", &mut || {
        telling.uninstall(RELEASE)?;
        telling.served(false)
    });
    Ok(())
}

/// What fails while an installation is made; each time the end is as if nothing had.
pub(crate) fn breakage(cluster: &mut Cluster, installer: &Installer, report: &mut Report) -> Result<(), String> {
    let kinds = cluster.kinds();
    let who = installer.name();
    let mut telling = Telling::begin(cluster, installer)?;
    telling.remember()?;
    let mut step = report.steps(who.to_owned(), kinds);
    step("the runtime is killed in the transaction", &mut || {
        let telling = &telling;
        std::thread::scope(|scope| {
            let killers: Vec<_> =
                telling.cluster.machines.iter().map(|it| scope.spawn(move || kill_once(it))).collect();
            let installed = telling.install(&[]);
            for killer in killers {
                killer.join().map_err(|_| "a thread panicked".to_owned())??;
            }
            // Undone or finished; what was undone is done by the same command.
            if installed.is_err() {
                telling.install(&[])?;
            }
            telling.served(true)
        })
    });
    step("… and the removal leaves nothing", &mut || telling.removed());
    for stage in [Stage::Artifacts, Stage::Cri] {
        step(&format!("a node loses its power in stage {stage}"), &mut || {
            telling.lose_power_in(stage)?;
            telling.served(true)
        });
        step("… and the removal leaves nothing", &mut || telling.removed());
    }
    if telling.cluster.machines.iter().any(|machine| machine.kind == Kind::CriO) {
        // After that boot the removal reloaded it: see `crio_storage` of the installer.
        step("… and CRI-O serves nothing of ours", &mut || telling.served(false));
        step("… nor after its next boot", &mut || {
            let machines = || telling.cluster.machines.iter().filter(|machine| machine.kind == Kind::CriO);
            for machine in machines() {
                machine.power_off();
                machine.boot()?;
            }
            for machine in machines() {
                // The Node's status may still be from before.
                wait_for("CRI-O tells its configuration", PATIENCE, || {
                    match machine.run(&["crio", "status", "config"]) {
                        Ok(told) if told.contains("kata") => Err(format!("it has a handler of ours:\n{told}")),
                        told => Ok(told.ok()),
                    }
                })?;
            }
            telling.cluster.wait_nodes()?;
            telling.served(false)
        });
    }
    step("the API server is away in mid-rollout", &mut || {
        telling.lose_the_server()?;
        telling.served(true)
    });
    step("… and the removal leaves nothing", &mut || telling.removed());
    Ok(())
}

/// Without room nothing changes and the reason is told; with room the same command installs.
pub(crate) fn disk(cluster: &mut Cluster, installer: &Installer, report: &mut Report) -> Result<(), String> {
    let kinds = cluster.kinds();
    let who = installer.name();
    let mut telling = Telling::begin(cluster, installer)?;
    telling.remember()?;
    let mut step = report.steps(who.to_owned(), kinds);
    step("the disk is full", &mut || {
        for machine in &telling.cluster.machines {
            machine.run(&["mount", "-t", "tmpfs", "-o", "size=64k", "full", "/opt"])?;
        }
        let installed = telling.install(&[]);
        for machine in &telling.cluster.machines {
            // Pods that ended may still be taken down by the kubelet.
            wait_for("the disk is free", PATIENCE, || Ok(machine.run(&["umount", "/opt"]).ok()))?;
        }
        match installed {
            Ok(()) => Err("the installation says that it went well".to_owned()),
            Err(why) if who == "husk" && !why.contains("HUSK-2103") => Err(format!("another reason: {why}")),
            Err(_) => telling.restarted(0),
        }
    });
    step("… and with room it is installed, and removed without a trace", &mut || {
        telling.install(&[])?;
        let mut all = telling.served(true)?;
        all.extend(telling.removed()?);
        Ok(all)
    });
    Ok(())
}

/// Waits until the runtime has been started once more, and kills it at once.
fn kill_once(machine: &Machine) -> Result<(), String> {
    let before = starts(machine)?;
    wait_for("the runtime restarts", PATIENCE * 2, || Ok((starts(machine)? > before).then_some(())))?;
    machine.run(&["systemctl", "kill", "--kill-who=main", "--signal=KILL", machine.kind.unit()]).map(drop)
}

impl Telling<'_> {
    /// Removes the first release; the disks are as they were remembered.
    fn removed(&self) -> Result<Found, String> {
        self.uninstall(RELEASE)?;
        self.disks()
    }

    /// Waits until the first machine is in a stage, or a later one.
    fn when_in(&self, stage: Stage) -> Result<(), String> {
        let machine = &self.cluster.machines[0];
        let selector = format!("{},{}={}", label::NODE_RECORD, label::INSTALL, label::DEFAULT_INSTALL);
        wait_for(&format!("stage {stage}"), PATIENCE * 2, || {
            let records = self.cluster.get(&["configmaps", "-n", NAMESPACE, "-l", &selector])?;
            let texts = records["items"].as_array().into_iter().flatten();
            let mut records = texts.filter_map(|map| {
                serde_json::from_str::<NodeRecord>(map["data"][label::NODE_RECORD_KEY].as_str()?).ok()
            });
            let there = |record: &NodeRecord| {
                record.node == machine.name && record.stage >= stage && record.state == State::Running
            };
            Ok(records.any(|record| there(&record)).then_some(()))
        })
    }

    /// Installs; the first machine is switched off and on again when it is in this stage.
    fn lose_power_in(&self, stage: Stage) -> Result<(), String> {
        self.disturbed(stage, || {
            let machine = &self.cluster.machines[0];
            machine.power_off();
            machine.boot()
        })
    }

    /// Installs; when the first machine has its files, the API server is away for a while.
    fn lose_the_server(&self) -> Result<(), String> {
        self.disturbed(Stage::Artifacts, || {
            self.cluster.plane.stop_component("kube-apiserver");
            std::thread::sleep(OUTAGE);
            self.cluster.plane.start_component("kube-apiserver")
        })
    }

    /// Installs, and disturbs that in a stage. Who installs may give up; the same again must bring it to its end.
    fn disturbed(&self, stage: Stage, disturb: impl Fn() -> Result<(), String>) -> Result<(), String> {
        std::thread::scope(|scope| {
            let installation = scope.spawn(|| self.install(&[]));
            self.when_in(stage)?;
            disturb()?;
            match installation.join().map_err(|_| "a thread panicked".to_owned())? {
                Ok(()) => Ok(()),
                Err(why) => {
                    println!("     not in one go: {why}\n{}", self.explanation());
                    self.cluster.wait_nodes()?;
                    self.install(&[])
                }
            }
        })
    }
}
