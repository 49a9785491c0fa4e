//! Probes of a pod's containers: started with them, and what follows from their verdicts.

use super::{Event, Worker};
use crate::kubelet::probes::{self, Finding};
use crate::kubelet::process::End;
use tokio::sync::mpsc;

impl Worker {
    /// Starts the probes of a container that has just started, or of which the startup probe has succeeded.
    pub(super) fn watch_health(&mut self, index: usize) {
        let Some(address) = self.address else { return };
        let unit = &mut self.units[index];
        for probe in unit.probes.drain(..) {
            probe.abort();
        }
        if unit.init {
            unit.view.started = true;
            return;
        }
        let startup = unit.spec.startup_probe.clone().filter(|_| !unit.view.started);
        unit.view.started |= startup.is_none();
        let list = match startup {
            Some(probe) => vec![(probes::Kind::Startup, probe)],
            None => {
                unit.view.ready = unit.spec.readiness_probe.is_none();
                let liveness = unit.spec.liveness_probe.clone().map(|probe| (probes::Kind::Liveness, probe));
                let readiness = unit.spec.readiness_probe.clone().map(|probe| (probes::Kind::Readiness, probe));
                liveness.into_iter().chain(readiness).collect()
            }
        };
        for (kind, probe) in list {
            let (sender, mut findings) = mpsc::unbounded_channel();
            let (events, instance) = (self.events.0.clone(), unit.view.restarts);
            let ask = probes::watch(kind, probe, unit.spec.clone(), address.into(), sender);
            let task = tokio::spawn(async move {
                let forward = async {
                    while let Some(finding) = findings.recv().await {
                        let _ = events.send(Event::Probed(index, instance, finding));
                    }
                };
                tokio::join!(ask, forward);
            });
            unit.probes.push(task.abort_handle());
        }
    }

    pub(super) fn probed(&mut self, index: usize, finding: Finding) {
        let pod = self.pod.clone();
        let unit = &mut self.units[index];
        if !finding.healthy {
            let what = match finding.kind {
                probes::Kind::Startup => "Startup",
                probes::Kind::Liveness => "Liveness",
                probes::Kind::Readiness => "Readiness",
            };
            self.recorder.say(
                pod.as_ref(),
                "Warning",
                "Unhealthy",
                format!("{what} probe failed: {}", finding.message),
            );
        }
        match finding.kind {
            probes::Kind::Readiness => unit.view.ready = finding.healthy,
            probes::Kind::Startup if finding.healthy => {
                unit.view.started = true;
                self.watch_health(index);
            }
            _ if finding.healthy => {}
            kind => {
                let which = if kind == probes::Kind::Startup { "startup" } else { "liveness" };
                let message = format!("Container {} failed {which} probe, will be restarted", unit.spec.name);
                self.recorder.say(pod.as_ref(), "Normal", "Killing", message);
                if let Some(process) = &unit.process {
                    process.end(End::Ask);
                    let (process, grace) = (process.clone(), self.grace());
                    tokio::spawn(async move {
                        tokio::time::sleep(grace).await;
                        process.end(End::Force);
                    });
                }
            }
        }
    }
}
