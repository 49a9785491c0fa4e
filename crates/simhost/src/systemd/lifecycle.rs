//! How units start and stop: container runtimes, other services of files, timers.

use super::enable;
use super::file::UnitFile;
use super::manager::{Nature, Unit};
use super::transient;
use crate::host::Machine;
use crate::refusal::Refusal;
use crate::runtime;
use crate::toml::host_path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

impl Machine {
    pub(super) async fn start(self: &Arc<Self>, name: &str) -> &'static str {
        let (file, nature, turn) = {
            let mut units = self.manager.lock();
            let Some(unit) = units.get_mut(name) else { return "failed" };
            if unit.state.active == "active" {
                return "done";
            }
            unit.starting = true;
            unit.turn.send_modify(|turn| *turn += 1);
            let mut turn = unit.turn.subscribe();
            turn.mark_unchanged();
            (unit.file.clone(), unit.nature.clone(), turn)
        };
        let result = self.start_as(name, &file, nature, turn).await;
        if let Some(unit) = self.manager.lock().get_mut(name) {
            unit.starting = false;
        }
        result
    }

    async fn start_as(
        self: &Arc<Self>,
        name: &str,
        file: &UnitFile,
        nature: Nature,
        turn: watch::Receiver<u64>,
    ) -> &'static str {
        if !self.start_dependencies(name, file).await {
            return "dependency";
        }
        self.manager.change(name, |state| {
            state.result = "success";
            state.exit = (0, 0);
        });
        match nature {
            Nature::Timer(timer) => self.arm(name, &timer, turn),
            Nature::Service(service) => self.run_service(name, service, turn).await,
            Nature::File if name == self.spec.layout().unit => self.start_runtime(name, file, turn).await,
            Nature::File => self.start_plain(name, file, turn),
        }
    }

    /// Starts what a unit wants; those that it requires must come up.
    async fn start_dependencies(self: &Arc<Self>, name: &str, file: &UnitFile) -> bool {
        let mut wanted = enable::linked(&self.root, name);
        wanted.extend(file.words("Unit", "Wants").iter().map(|unit| ((*unit).to_owned(), false)));
        for key in ["Requires", "BindsTo"] {
            wanted.extend(file.words("Unit", key).iter().map(|unit| ((*unit).to_owned(), true)));
        }
        for (unit, required) in wanted {
            let Some(id) = self.load(&unit) else {
                if required && !unit.ends_with(".target") {
                    return false;
                }
                continue;
            };
            let running =
                self.manager.lock().get(&id).is_some_and(|unit| unit.state.active == "active" || unit.starting);
            if !running && id != name {
                let result = Box::pin(self.start(&id)).await;
                if required && result != "done" {
                    return false;
                }
            }
        }
        true
    }

    /// A unit that is no container runtime runs when its program is there; a socket that its command line names is bound.
    fn start_plain(self: &Arc<Self>, name: &str, file: &UnitFile, turn: watch::Receiver<u64>) -> &'static str {
        let command = file.command();
        let Some(program) = command.first() else {
            if name.ends_with(".target") {
                self.manager.enter(name, "active", "active");
                return "done";
            }
            self.manager.change(name, |state| state.result = "resources");
            self.manager.enter(name, "failed", "failed");
            self.log(name, "Service has no ExecStart= setting. Refusing.");
            return "failed";
        };
        if !host_path(&self.root, program).is_file() {
            let message = format!("Failed at step EXEC spawning {program}: No such file or directory");
            return self.fail(name, file, &Refusal { message, status: 203 }, turn);
        }
        let address = command.iter().position(|word| word == "--address").and_then(|at| command.get(at + 1));
        if let Some(address) = address.filter(|address| address.starts_with("/run/")) {
            let path = host_path(&self.root, address);
            let bound = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| cri::socket::bind(&path));
            match bound {
                Ok(listener) => {
                    if let Some(unit) = self.manager.lock().get_mut(name) {
                        unit.listener = Some(listener);
                    }
                }
                Err(error) => self.log(name, &format!("cannot listen on {address}: {error}")),
            }
        }
        let pid = self.next_pid();
        self.manager.change(name, |state| state.main_pid = pid);
        self.manager.enter(name, "active", "running");
        self.log(name, &format!("Started {name}."));
        "done"
    }

    async fn start_runtime(
        self: &Arc<Self>,
        name: &str,
        file: &UnitFile,
        mut turn: watch::Receiver<u64>,
    ) -> &'static str {
        self.manager.enter(name, "activating", "start");
        self.log(name, &format!("Starting {name}..."));
        let outcome = tokio::select! {
            outcome = runtime::start(self, file) => outcome,
            _ = turn.changed() => return "canceled",
        };
        match outcome {
            Ok(runtime::Started::Ready) => {
                let pid = self.next_pid();
                self.manager.change(name, |state| state.main_pid = pid);
                self.manager.enter(name, "active", "running");
                self.log(name, &format!("Started {name}."));
                "done"
            }
            // The unit waits for a readiness that never comes, until someone stops or restarts it.
            Ok(runtime::Started::NeverReady) => {
                let _ = turn.changed().await;
                "canceled"
            }
            Err(refusal) => self.fail(name, file, &refusal, turn),
        }
    }

    /// The main process ended in an error: the unit has failed, or waits for its next try.
    fn fail(
        self: &Arc<Self>,
        name: &str,
        file: &UnitFile,
        refusal: &Refusal,
        turn: watch::Receiver<u64>,
    ) -> &'static str {
        self.log(name, &refusal.message);
        self.log(name, &format!("{name}: Main process exited, code=exited, status={}", refusal.status));
        self.log(name, &format!("{name}: Failed with result 'exit-code'."));
        self.manager.change(name, |state| {
            state.result = "exit-code";
            state.exit = (refusal.status, 1);
            state.main_pid = 0;
        });
        match file.restarts_after() {
            Some(delay) => {
                self.manager.enter(name, "activating", "auto-restart");
                self.restart_later(name, delay, turn);
            }
            None => self.manager.enter(name, "failed", "failed"),
        }
        "failed"
    }

    fn restart_later(self: &Arc<Self>, name: &str, delay: Duration, mut turn: watch::Receiver<u64>) {
        let (machine, name) = (Arc::clone(self), name.to_owned());
        self.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = turn.changed() => return,
            }
            machine.manager.change(&name, |state| state.auto_restarts += 1);
            machine.log(&name, &format!("{name}: Scheduled restart job."));
            Box::pin(machine.start(&name)).await;
        });
    }

    fn arm(self: &Arc<Self>, name: &str, timer: &transient::Timer, mut turn: watch::Receiver<u64>) -> &'static str {
        self.manager.enter(name, "active", "waiting");
        let Some(after) = timer.after else { return "done" };
        let once = timer.once;
        let service = timer.unit.clone().unwrap_or_else(|| name.replace(".timer", ".service"));
        let (machine, name) = (Arc::clone(self), name.to_owned());
        self.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                _ = turn.changed() => return,
            }
            let now = machine.manager.now();
            machine.manager.change(&name, |state| state.last_trigger = now);
            machine.manager.enter(&name, "active", "running");
            machine.log(&name, &format!("Timer fired, starting {service}."));
            Box::pin(machine.start(&service)).await;
            if once {
                machine.manager.enter(&name, "inactive", "dead");
                machine.collect(&name);
            } else {
                machine.manager.enter(&name, "active", "elapsed");
            }
        });
        "done"
    }

    pub(super) async fn stop(self: &Arc<Self>, name: &str) -> &'static str {
        let dependents = {
            let mut units = self.manager.lock();
            let Some(unit) = units.get_mut(name) else { return "done" };
            unit.turn.send_modify(|turn| *turn += 1);
            unit.listener = None;
            if matches!(unit.state.active, "inactive" | "failed") {
                return "done";
            }
            drop(units);
            self.dependents(name)
        };
        for dependent in dependents {
            Box::pin(self.stop(&dependent)).await;
        }
        self.manager.enter(name, "deactivating", "stop-sigterm");
        if name == self.spec.layout().unit {
            self.log(name, &format!("Stopping {name}..."));
            runtime::stop(self).await;
        }
        self.manager.change(name, |state| {
            state.main_pid = 0;
            state.result = "success";
        });
        self.manager.enter(name, "inactive", "dead");
        self.collect(name);
        "done"
    }

    /// Stops a unit for which nothing has to be waited; `false` when that is not so.
    pub(super) fn stop_at_once(&self, name: &str) -> bool {
        {
            let units = self.manager.lock();
            let Some(unit) = units.get(name) else { return false };
            if !matches!(unit.nature, Nature::Timer(_)) || unit.state.active != "active" {
                return false;
            }
            unit.turn.send_modify(|turn| *turn += 1);
        }
        self.manager.enter(name, "inactive", "dead");
        self.collect(name);
        true
    }

    /// Units that require this one and run: they stop with it.
    fn dependents(&self, name: &str) -> Vec<String> {
        let units = self.manager.lock();
        let requires = |id: &String, unit: &Unit| {
            ["Requires", "BindsTo"].iter().any(|key| unit.file.words("Unit", key).contains(&name))
                || enable::linked(&self.root, id).contains(&(name.to_owned(), true))
        };
        let active = units.iter().filter(|(id, unit)| id.as_str() != name && unit.state.active == "active");
        active.filter(|(id, unit)| requires(id, unit)).map(|(id, _)| id.clone()).collect()
    }

    /// Forgets a transient unit that has ended, and the service of a transient timer that will not fire.
    pub(super) fn collect(&self, name: &str) {
        let mut units = self.manager.lock();
        let transient = units.get(name).is_some_and(|unit| !matches!(unit.nature, Nature::File));
        if transient {
            units.remove(name);
            let service = name.replace(".timer", ".service");
            if units.get(&service).is_some_and(|unit| {
                matches!(unit.nature, Nature::Service(_)) && unit.state.active == "inactive" && service != name
            }) {
                units.remove(&service);
            }
        }
    }
}
