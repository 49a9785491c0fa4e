//! The life of an installation on real nodes: installed, used, upgraded, rolled back, grown, removed without a trace.

use crate::kubernetes::cluster::{Cluster, condition};
use crate::kubernetes::daemon::wait_for;
use crate::kubernetes::disk::Snapshot;
use crate::kubernetes::installer::{Installer, NAMESPACE};
use crate::kubernetes::machine::{Machine, REGISTRY};
use crate::kubernetes::report::{Found, Report};
use crate::programs::{root, run};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The handlers that the values ask for.
pub(super) const HANDLERS: [&str; 3] = ["kata-clh", "kata-qemu", "kata-qemu-runtime-rs"];
/// Pods come and go within this.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
pub(super) const RELEASE: &str = "kata-deploy";

/// One telling of the scenario.
pub(super) struct Telling<'c> {
    pub(super) cluster: &'c mut Cluster,
    pub(super) installer: &'c Installer,
    pub(super) place: tempfile::TempDir,
    disks: BTreeMap<String, Snapshot>,
    /// Starts of the runtime by machine.
    starts: BTreeMap<String, usize>,
}

/// Tells the scenario with an installer.
pub(crate) fn tell(cluster: &mut Cluster, installer: &Installer, report: &mut Report) -> Result<(), String> {
    let kinds = cluster.kinds();
    let mut telling = Telling::begin(cluster, installer)?;
    let who = installer.name();
    let mut step = report.steps(who.to_owned(), kinds);
    let mut times = Vec::new();

    step("a pod runs before", &mut || telling.pods("before", None));
    telling.remember()?;
    let mut took = Duration::ZERO;
    let installed = step("install in job mode", &mut || {
        let begun = Instant::now();
        let done = telling.install(&[]);
        took = begun.elapsed();
        done.map(|()| telling.every(|_| Ok(())))
    });
    times.push(("install of all nodes".to_owned(), seconds(took)));
    if !installed {
        let why = telling.explanation();
        return Err(format!("{who} could not install:\n{why}"));
    }
    times.extend(telling.stage_times());
    step("label and served handlers", &mut || telling.served(true));
    step("no container of ours was privileged", &mut || telling.unprivileged());
    step("one restart of the runtime", &mut || telling.restarted(1));
    for machine in &telling.cluster.machines {
        times.push((format!("runtime down on {} ({})", machine.name, machine.kind), downtime(machine)?));
    }
    step("a pod with a RuntimeClass runs on the payload's shim", &mut || telling.kata("first"));
    if matches!(telling.installer, Installer::Husk(_)) {
        step("verify finds the handler, and that the stand-in is no virtual machine", &mut || telling.verified());
    }
    step("the pod from before survived", &mut || telling.alive("before"));
    step("the same again changes nothing", &mut || {
        telling.remember_starts()?;
        telling.install(&[])?;
        telling.restarted(0)
    });
    step("upgrade while a pod runs", &mut || {
        telling.install(&["image.tag=4.2.0"])?;
        telling.version("4.2.0")
    });
    step("the pod of the first version survived", &mut || telling.alive("first"));
    step("a pod runs on the second version", &mut || telling.kata("second"));
    step("rollback", &mut || {
        telling.installer.rollback(telling.cluster, RELEASE)?;
        telling.version("4.1.0")
    });
    step("pods survived the rollback", &mut || {
        let mut all = telling.alive("first")?;
        all.extend(telling.alive("second")?);
        Ok(all)
    });
    step("a payload without its shim is refused, nothing changes", &mut || {
        telling.remember_starts()?;
        if telling.install(&["image.tag=4.3.0"]).is_ok() {
            return Err("the installation says that it went well".to_owned());
        }
        telling.install(&[])?;
        let mut all = telling.version("4.1.0")?;
        all.extend(telling.restarted(0)?);
        Ok(all)
    });
    step("removal", &mut || {
        telling.delete_pods(&["first", "second"])?;
        telling.uninstall(RELEASE)?;
        telling.served(false)
    });
    step("the pod from before survived the removal", &mut || telling.alive("before"));
    step("the disk is as it was", &mut || telling.disks());
    telling.delete_pods(&["before"])?;
    drop(step);
    for (row, value) in times {
        report.time(&row, who, value);
    }
    Ok(())
}

impl Telling<'_> {
    pub(super) fn begin<'c>(cluster: &'c mut Cluster, installer: &'c Installer) -> Result<Telling<'c>, String> {
        let place = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Telling { cluster, installer, place, disks: BTreeMap::new(), starts: BTreeMap::new() })
    }

    pub(super) fn every(&self, check: impl Fn(&Machine) -> Result<(), String>) -> Found {
        self.cluster.machines.iter().map(|machine| (machine.kind, check(machine))).collect()
    }

    /// Installs with values of which some are set to others: `image.tag=4.2.0`.
    pub(super) fn install(&self, sets: &[&str]) -> Result<(), String> {
        self.install_as(RELEASE, sets)
    }

    /// The same under a release's name.
    pub(super) fn install_as(&self, release: &str, sets: &[&str]) -> Result<(), String> {
        self.install_chart(release, &kata_deploy(), &self.values(sets)?)
    }

    /// Installs any chart with these values.
    pub(super) fn install_chart(&self, release: &str, chart: &Path, values: &Value) -> Result<(), String> {
        let file = self.place.path().join(format!("{release}.json"));
        std::fs::write(&file, values.to_string()).map_err(|error| error.to_string())?;
        self.installer.install(self.cluster, release, chart, &file)
    }

    pub(super) fn uninstall(&self, release: &str) -> Result<(), String> {
        self.installer.uninstall(self.cluster, release, &kata_deploy())
    }

    /// Values of the kata-deploy chart, of which some are set to others.
    pub(super) fn values(&self, sets: &[&str]) -> Result<Value, String> {
        let mut values = json!({
            "deploymentMode": "job",
            "image": { "reference": format!("{REGISTRY}/kata-deploy"), "tag": "4.1.0" },
            "node": { "image": { "reference": format!("{REGISTRY}/husk-node"), "tag": "test" } },
            "job": {
                "dispatcherImage": { "reference": format!("{REGISTRY}/husk-dispatcher"), "tag": "test" },
                "waitForNodesSeconds": 0,
                "nodeSettleSeconds": 0,
            },
            "env": { "multiInstallSuffix": "" },
            "snapshotter": { "setup": [] },
            "shims": {
                "disableAll": true,
                "clh": { "enabled": true },
                "qemu": { "enabled": true },
                "qemu-runtime-rs": { "enabled": true },
            },
        });
        for set in sets {
            let (path, value) = set.split_once('=').ok_or("a value without `=`")?;
            let pointer = format!("/{}", path.replace('.', "/"));
            *values.pointer_mut(&pointer).ok_or_else(|| format!("no value {path}"))? = json!(value);
        }
        Ok(values)
    }

    pub(super) fn remember(&mut self) -> Result<(), String> {
        for machine in &self.cluster.machines {
            let disk = Snapshot::take(&machine.written(), &machine.root())
                .map_err(|error| format!("{}: {error}", machine.name))?;
            self.disks.insert(machine.name.clone(), disk);
        }
        self.remember_starts()
    }

    pub(super) fn remember_starts(&mut self) -> Result<(), String> {
        for machine in &self.cluster.machines {
            self.starts.insert(machine.name.clone(), starts(machine)?);
        }
        Ok(())
    }

    /// The runtime was started this often since it was remembered.
    pub(super) fn restarted(&self, wanted: usize) -> Result<Found, String> {
        Ok(self.every(|machine| {
            let count = self.starts_since(machine)?;
            if count == wanted { Ok(()) } else { Err(format!("{count} restarts, not {wanted}")) }
        }))
    }

    /// How often the runtime was started on a machine since it was remembered.
    pub(super) fn starts_since(&self, machine: &Machine) -> Result<usize, String> {
        let before = self.starts.get(&machine.name).copied().unwrap_or_default();
        Ok(starts(machine)?.saturating_sub(before))
    }

    /// The label, and what the kubelet says that its runtime serves; or none of it.
    pub(super) fn served(&self, there: bool) -> Result<Found, String> {
        Ok(self.every(|machine| {
            wait_for("label and handlers of the node", PATIENCE, || {
                let node = self.cluster.get(&["node", &machine.name])?;
                let label = node["metadata"]["labels"]["katacontainers.io/kata-runtime"].as_str();
                let listed = node["status"]["runtimeHandlers"].as_array().cloned().unwrap_or_default();
                let names: Vec<&str> = listed.iter().filter_map(|handler| handler["name"].as_str()).collect();
                let served = HANDLERS.iter().filter(|handler| names.contains(handler)).count();
                let right = match there {
                    // containerd before 2.0 does not tell its kubelet.
                    true => label == Some("true") && (served == HANDLERS.len() || !machine.kind.tells_handlers()),
                    false => label.is_none() && served == 0,
                };
                Ok(right.then_some(()))
            })
        }))
    }

    /// The pods that worked on each node ran without `privileged`, and none was let have more than it started with.
    fn unprivileged(&self) -> Result<Found, String> {
        let pods = self.cluster.get(&["pods", "-n", NAMESPACE, "-l", "kata-deploy/stage=install"])?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        Ok(self.every(|machine| {
            let own = pods.iter().filter(|pod| pod["spec"]["nodeName"] == machine.name.as_str());
            let keys = ["initContainers", "containers"];
            let all: Vec<&Value> =
                own.flat_map(|pod| keys.iter().filter_map(|key| pod["spec"][*key].as_array()).flatten()).collect();
            let more = |it: &&&Value| {
                let context = &it["securityContext"];
                context["privileged"] == true || context["allowPrivilegeEscalation"] != false
            };
            match all.iter().find(more) {
                Some(container) => Err(format!("{}: {}", container["name"], container["securityContext"])),
                None if all.len() < 5 => Err(format!("only {} containers were seen", all.len())),
                None => Ok(()),
            }
        }))
    }

    /// Levels 0 and 1 of `husk verify`: the stand-in is a handler that is served, and its pods run on the host's kernel.
    fn verified(&self) -> Result<Found, String> {
        let climb = |level| {
            self.installer
                .verify(self.cluster, RELEASE, "kata-qemu", level)
                .unwrap_or_else(|| Err("only husk verifies".to_owned()))
        };
        let levels = [climb(0)?, climb(1)?];
        Ok(self.every(|machine| {
            for (cells, trouble) in levels.iter().zip([None, Some("no virtual machine")]) {
                let cell = cells.iter().find(|cell| cell["node"] == machine.name.as_str());
                let cell = cell.ok_or("nothing was found of it")?;
                let told = cell["trouble"].as_str();
                let right = match trouble {
                    None => told.is_none(),
                    Some(words) => told.is_some_and(|told| told.contains(words)),
                };
                if !right || cell["reached"] != "served" {
                    return Err(cell.to_string());
                }
            }
            Ok(())
        }))
    }

    /// A pod for each node, through the scheduler.
    pub(super) fn pods(&self, name: &str, class: Option<&str>) -> Result<Found, String> {
        for machine in &self.cluster.machines {
            let mut spec = json!({
                "nodeSelector": { "kubernetes.io/hostname": machine.name },
                "terminationGracePeriodSeconds": 1,
                "containers": [{ "name": "pod", "image": format!("{REGISTRY}/pod:1") }],
            });
            if let Some(class) = class {
                spec["runtimeClassName"] = json!(class);
            }
            let pod = json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": { "name": format!("{name}-{}", machine.name), "namespace": "default" },
                "spec": spec,
            });
            let file = self.place.path().join("pod.json");
            std::fs::write(&file, pod.to_string()).map_err(|error| error.to_string())?;
            run(self.cluster.plane.kubectl(&["apply", "-f"]).arg(&file))?;
        }
        Ok(self.every(|machine| {
            let pod = format!("{name}-{}", machine.name);
            let running = wait_for("a pod is ready", PATIENCE, || {
                let object = self.cluster.get(&["pod", &pod])?;
                Ok((condition(&object, "Ready") == Some("True")).then_some(()))
            });
            running.map_err(|why| format!("{why}\n{}", self.events(&pod)))
        }))
    }

    /// A pod with a RuntimeClass, whose shim is the one that was installed.
    pub(super) fn kata(&self, name: &str) -> Result<Found, String> {
        self.kata_of(name, "kata-qemu", "/opt/kata")
    }

    /// A pod with this RuntimeClass, whose shim is below `prefix`.
    pub(super) fn kata_of(&self, name: &str, class: &str, prefix: &str) -> Result<Found, String> {
        let mut all = self.pods(name, Some(class))?;
        all.extend(self.every(|machine| {
            let shims = machine.run(&["pgrep", "--full", "--list-full", "containerd-shim-kata-v2"])?;
            let own = shims.lines().any(|line| line.contains(prefix));
            if own { Ok(()) } else { Err(format!("no shim of the payload runs: {shims}")) }
        }));
        Ok(all)
    }

    /// The pods are the same ones, never restarted.
    pub(super) fn alive(&self, name: &str) -> Result<Found, String> {
        Ok(self.every(|machine| {
            let pod = self.cluster.get(&["pod", &format!("{name}-{}", machine.name)])?;
            let status = &pod["status"]["containerStatuses"][0];
            let running = !status["state"]["running"].is_null();
            match (running, status["restartCount"].as_u64()) {
                (true, Some(0)) => Ok(()),
                _ => Err(format!("the container: {status}")),
            }
        }))
    }

    pub(super) fn delete_pods(&self, names: &[&str]) -> Result<(), String> {
        for name in names {
            for machine in &self.cluster.machines {
                let pod = format!("{name}-{}", machine.name);
                run(&mut self.cluster.plane.kubectl(&["delete", "pod", "--ignore-not-found", "--timeout=60s", &pod]))?;
            }
        }
        Ok(())
    }

    /// The payload's version on each host.
    pub(super) fn version(&self, wanted: &str) -> Result<Found, String> {
        Ok(self.every(|machine| {
            let found = machine.run(&["cat", "/opt/kata/VERSION"])?;
            if found.trim() == wanted { Ok(()) } else { Err(format!("/opt/kata is version {}", found.trim())) }
        }))
    }

    pub(super) fn disks(&self) -> Result<Found, String> {
        Ok(self.every(|machine| {
            let before = self.disks.get(&machine.name).ok_or("nobody looked before")?;
            let differences = before
                .differences(&machine.written(), &machine.root(), Path::new("/"))
                .map_err(|error| error.to_string())?;
            if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
        }))
    }

    /// How long each stage took on each node, as it says itself.
    fn stage_times(&self) -> Vec<(String, String)> {
        let selector = ["pods", "-n", NAMESPACE, "-l", "kata-deploy/stage=install"];
        let Ok(pods) = self.cluster.get(&selector) else { return Vec::new() };
        let mut times = Vec::new();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let statuses =
                ["initContainerStatuses", "containerStatuses"].map(|key| pod["status"][key].as_array().cloned());
            for status in statuses.into_iter().flatten().flatten() {
                let message = status["state"]["terminated"]["message"].as_str().unwrap_or_default();
                let Ok(report) = serde_json::from_str::<Value>(message) else { continue };
                if let (Some(stage), Some(millis)) = (report["stage"].as_str(), report["millis"].as_u64()) {
                    let node = report["node"].as_str().unwrap_or_default();
                    times.push((format!("stage {stage} on {node}"), seconds(Duration::from_millis(millis))));
                }
            }
        }
        times
    }

    /// What the cluster says when an installation failed.
    pub(super) fn explanation(&self) -> String {
        let ask = |arguments: &[&str]| match run(&mut self.cluster.plane.kubectl(arguments)) {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(why) => why,
        };
        [
            ask(&["get", "pods", "-A", "-o", "wide"]),
            ask(&["get", "events", "-A", "--field-selector=type=Warning"]),
            ask(&[
                "get",
                "pods",
                "-n",
                NAMESPACE,
                "-l",
                "kata-deploy/stage=install",
                "-o",
                "jsonpath={range .items[*]}{.status}{\"\\n\"}{end}",
            ]),
            ask(&[
                "logs",
                "-n",
                NAMESPACE,
                "-l",
                "kata-deploy/stage=install",
                "--all-containers",
                "--prefix",
                "--tail=20",
            ]),
        ]
        .join("\n")
    }

    fn events(&self, pod: &str) -> String {
        let field = format!("--field-selector=involvedObject.name={pod}");
        match run(&mut self.cluster.plane.kubectl(&["get", "events", &field])) {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(why) => why,
        }
    }
}

fn kata_deploy() -> PathBuf {
    root().join("charts/kata-deploy")
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// How often the runtime has come up since the machine was booted.
pub(super) fn starts(machine: &Machine) -> Result<usize, String> {
    let unit = format!("--unit={}", machine.kind.unit());
    let log = machine.run(&["journalctl", "--boot", &unit, "--output=cat", "--no-pager"])?;
    Ok(log.lines().filter(|line| line.contains(machine.kind.booted())).count())
}

/// How long the last restart of the runtime took, from its stop to its readiness.
fn downtime(machine: &Machine) -> Result<String, String> {
    let properties = ["--property=ActiveExitTimestampMonotonic", "--property=ActiveEnterTimestampMonotonic"];
    let text = machine.run(&["systemctl", "show", machine.kind.unit(), properties[0], properties[1]])?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or_default()
    };
    let down = value("ActiveEnterTimestampMonotonic").saturating_sub(value("ActiveExitTimestampMonotonic"));
    Ok(seconds(Duration::from_micros(down)))
}
