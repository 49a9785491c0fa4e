//! The manager: runs units, counts their lives, and keeps what the real one would show of them.

use super::enable;
use super::file::UnitFile;
use super::transient;
use crate::host::Machine;
use crate::runtime;
use crate::toml::host_path;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{broadcast, watch};

/// What a unit is, beside its file.
#[derive(Clone, Debug, Default)]
pub(crate) enum Nature {
    /// Runs from its file.
    #[default]
    File,
    Service(transient::Service),
    Timer(transient::Timer),
}

/// What the manager shows of a unit.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) active: &'static str,
    pub(crate) sub: &'static str,
    pub(crate) result: &'static str,
    /// Exit status of the main process, and whether it was killed (code 2) rather than ended (1).
    pub(crate) exit: (i32, i32),
    pub(crate) main_pid: u32,
    /// Microseconds: since 1970, and since boot.
    pub(crate) active_enter: (u64, u64),
    pub(crate) active_exit: (u64, u64),
    pub(crate) inactive_enter: (u64, u64),
    pub(crate) state_change: (u64, u64),
    /// How often the service was started again by its own `Restart=`.
    pub(crate) auto_restarts: u32,
    /// How often someone asked for a restart that ran.
    pub(crate) restarts: u32,
    /// When a timer last fired.
    pub(crate) last_trigger: (u64, u64),
}

impl Default for State {
    fn default() -> Self {
        State {
            active: "inactive",
            sub: "dead",
            result: "success",
            exit: (0, 0),
            main_pid: 0,
            active_enter: (0, 0),
            active_exit: (0, 0),
            inactive_enter: (0, 0),
            state_change: (0, 0),
            auto_restarts: 0,
            restarts: 0,
            last_trigger: (0, 0),
        }
    }
}

/// A loaded unit.
pub(crate) struct Unit {
    pub(crate) file: UnitFile,
    pub(crate) nature: Nature,
    pub(crate) state: State,
    /// Counts operations: one that finds it changed has been superseded.
    turn: watch::Sender<u64>,
    /// The simulated daemon's listening socket, when it has one.
    listener: Option<tokio::net::UnixListener>,
}

impl Unit {
    fn new(file: UnitFile, nature: Nature) -> Self {
        Unit { file, nature, state: State::default(), turn: watch::Sender::new(0), listener: None }
    }
}

/// A job that ended: identifier, unit, result.
#[derive(Clone, Debug)]
pub(crate) struct JobRemoved {
    pub(crate) id: u32,
    pub(crate) unit: String,
    pub(crate) result: &'static str,
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    NoSuchUnit(String),
    Masked(String),
    Exists(String),
    Property(String),
    Invalid(String),
    Io(String),
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
    TryRestart,
}

pub(crate) struct Manager {
    pub(crate) units: Mutex<BTreeMap<String, Unit>>,
    next_job: std::sync::atomic::AtomicU32,
    pub(crate) jobs: broadcast::Sender<JobRemoved>,
    booted: std::time::Instant,
}

impl Manager {
    pub(crate) fn new() -> Self {
        Manager {
            units: Mutex::default(),
            next_job: 1.into(),
            jobs: broadcast::Sender::new(256),
            booted: std::time::Instant::now(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Unit>> {
        // Nothing that holds the lock leaves a unit half changed.
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> (u64, u64) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        // A machine that has just booted has not been up for zero microseconds.
        let up = self.booted.elapsed().as_micros() + 1_000_000;
        (u64::try_from(wall).unwrap_or(u64::MAX), u64::try_from(up).unwrap_or(u64::MAX))
    }

    /// Enters a state, with its times.
    pub(crate) fn enter(&self, name: &str, active: &'static str, sub: &'static str) {
        let now = self.now();
        let mut units = self.lock();
        let Some(unit) = units.get_mut(name) else { return };
        let state = &mut unit.state;
        if state.active != active || state.sub != sub {
            state.state_change = now;
        }
        if active == "active" && state.active != "active" {
            state.active_enter = now;
        }
        if active != "active" && state.active == "active" {
            state.active_exit = now;
        }
        if matches!(active, "inactive" | "failed") && !matches!(state.active, "inactive" | "failed") {
            state.inactive_enter = now;
        }
        state.active = active;
        state.sub = sub;
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut State)) {
        if let Some(unit) = self.lock().get_mut(name) {
            change(&mut unit.state);
        }
    }
}

impl Machine {
    /// Returns a unit's own name, loading its file when that has not been read yet.
    pub(crate) fn load(&self, name: &str) -> Option<String> {
        let mut units = self.manager.lock();
        if units.contains_key(name) {
            return Some(name.to_owned());
        }
        let file = UnitFile::find(&self.root, name)?;
        let id = file.id.clone();
        units.entry(id.clone()).or_insert_with(|| Unit::new(file, Nature::File));
        Some(id)
    }

    /// Reads every unit file again, as `systemctl daemon-reload` does; forgets units that are gone and do not run.
    pub(crate) fn reload(&self) {
        let mut units = self.manager.lock();
        units.retain(|name, unit| {
            if !matches!(unit.nature, Nature::File) {
                return true;
            }
            match UnitFile::find(&self.root, name) {
                Some(file) => {
                    unit.file = file;
                    true
                }
                None => unit.state.active != "inactive",
            }
        });
    }

    /// Queues a job and returns its identifier at once.
    pub(crate) fn submit(self: &Arc<Self>, name: &str, verb: Verb) -> Result<u32, CallError> {
        let id = self.load(name).ok_or_else(|| CallError::NoSuchUnit(name.to_owned()))?;
        if verb != Verb::Stop && self.manager.lock().get(&id).is_some_and(|unit| unit.file.masked) {
            return Err(CallError::Masked(id));
        }
        let job = self.manager.next_job.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let machine = Arc::clone(self);
        self.spawn(async move {
            let result = machine.run(&id, verb).await;
            let _ = machine.manager.jobs.send(JobRemoved { id: job, unit: id, result });
        });
        Ok(job)
    }

    /// Does what a job asks for, and returns its result in systemd's words.
    pub(crate) async fn run(self: &Arc<Self>, name: &str, verb: Verb) -> &'static str {
        let active = self.manager.lock().get(name).map_or("inactive", |unit| unit.state.active);
        match verb {
            Verb::Start => Box::pin(self.start(name)).await,
            Verb::Stop => self.stop(name).await,
            Verb::TryRestart if active == "inactive" => "done",
            Verb::Restart | Verb::TryRestart => {
                self.stop(name).await;
                self.manager.change(name, |state| state.restarts += 1);
                Box::pin(self.start(name)).await
            }
        }
    }

    async fn start(self: &Arc<Self>, name: &str) -> &'static str {
        let (file, nature, turn) = {
            let mut units = self.manager.lock();
            let Some(unit) = units.get_mut(name) else { return "failed" };
            if unit.state.active == "active" {
                return "done";
            }
            unit.turn.send_modify(|turn| *turn += 1);
            let mut turn = unit.turn.subscribe();
            turn.mark_unchanged();
            (unit.file.clone(), unit.nature.clone(), turn)
        };
        if !self.start_dependencies(name, &file).await {
            return "dependency";
        }
        self.manager.change(name, |state| {
            state.result = "success";
            state.exit = (0, 0);
        });
        match nature {
            Nature::Timer(timer) => self.arm(name, &timer, turn),
            Nature::Service(service) => self.run_service(name, service, turn).await,
            Nature::File if name == self.spec.layout().unit => self.start_runtime(name, &file, turn).await,
            Nature::File => self.start_plain(name, &file),
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
            let running = self.manager.lock().get(&id).is_some_and(|unit| unit.state.active == "active");
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
    fn start_plain(&self, name: &str, file: &UnitFile) -> &'static str {
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
            self.log(name, &format!("Failed at step EXEC spawning {program}: No such file or directory"));
            self.manager.change(name, |state| {
                state.result = "exit-code";
                state.exit = (203, 1);
            });
            self.manager.enter(name, "failed", "failed");
            return "failed";
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
            Err(refusal) => {
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
        }
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
            machine.manager.enter(&name, "active", "elapsed");
        });
        "done"
    }

    /// Runs a transient service as a child process, its program taken below the host's root.
    async fn run_service(
        self: &Arc<Self>,
        name: &str,
        service: transient::Service,
        turn: watch::Receiver<u64>,
    ) -> &'static str {
        let oneshot = service.kind == "oneshot";
        self.manager.enter(
            name,
            if oneshot { "activating" } else { "active" },
            if oneshot { "start" } else { "running" },
        );
        let (machine, name) = (Arc::clone(self), name.to_owned());
        let running = async move { machine.run_commands(&name, &service, turn).await };
        if oneshot {
            return running.await;
        }
        self.spawn(async move {
            running.await;
        });
        "done"
    }

    async fn run_commands(
        self: &Arc<Self>,
        name: &str,
        service: &transient::Service,
        mut turn: watch::Receiver<u64>,
    ) -> &'static str {
        for (program, arguments, ignore) in &service.commands {
            let exit = tokio::select! {
                exit = self.run_command(name, program, arguments, &service.environment) => exit,
                _ = turn.changed() => return "canceled",
            };
            if exit.0 != 0 && !ignore {
                self.log(name, &format!("{name}: Main process exited, status={}", exit.0));
                self.manager.change(name, |state| {
                    state.exit = exit;
                    state.main_pid = 0;
                    state.result = if exit.1 == 1 { "exit-code" } else { "signal" };
                });
                self.manager.enter(name, "failed", "failed");
                return "failed";
            }
        }
        self.manager.change(name, |state| {
            state.exit = (0, 1);
            state.main_pid = 0;
        });
        let (active, sub) = if service.remain { ("active", "exited") } else { ("inactive", "dead") };
        self.manager.enter(name, active, sub);
        self.log(name, &format!("{name}: Deactivated successfully."));
        "done"
    }

    async fn run_command(&self, name: &str, program: &str, arguments: &[String], environment: &[String]) -> (i32, i32) {
        use std::os::unix::process::ExitStatusExt;
        let (Ok(stdout), Ok(stderr)) = (self.journal(name), self.journal(name)) else {
            return (209, 1); // systemd's status for an output that cannot be opened
        };
        let mut command = tokio::process::Command::new(host_path(&self.root, program));
        command
            .arg0(arguments.first().map_or(program, String::as_str))
            .args(arguments.iter().skip(1))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
            .env("HUSK_ROOT", &self.root)
            .envs(environment.iter().filter_map(|pair| pair.split_once('=')))
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true);
        match command.spawn() {
            Ok(mut child) => {
                let pid = child.id().unwrap_or(0);
                self.manager.change(name, |state| state.main_pid = pid);
                match child.wait().await {
                    Ok(status) => match (status.code(), status.signal()) {
                        (Some(code), _) => (code, 1),
                        (None, signal) => (signal.unwrap_or(9), 2),
                    },
                    Err(_) => (1, 1),
                }
            }
            Err(error) => {
                self.log(name, &format!("Failed at step EXEC spawning {program}: {error}"));
                (203, 1)
            }
        }
    }

    async fn stop(self: &Arc<Self>, name: &str) -> &'static str {
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
    fn collect(&self, name: &str) {
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

    /// Adds transient units and starts the first.
    pub(crate) fn start_transient(
        self: &Arc<Self>,
        name: &str,
        properties: &[transient::Property],
        auxiliary: &[(String, Vec<transient::Property>)],
    ) -> Result<u32, CallError> {
        let make = |name: &str, properties: &[transient::Property]| -> Result<Unit, CallError> {
            if name.ends_with(".timer") {
                let timer = transient::timer(properties).map_err(CallError::Property)?;
                Ok(Unit::new(timer.unit(name), Nature::Timer(timer)))
            } else if name.ends_with(".service") {
                let service = transient::service(properties).map_err(CallError::Property)?;
                Ok(Unit::new(service.unit(name), Nature::Service(service)))
            } else {
                Err(CallError::Invalid(format!("Unit type of {name} cannot be started transiently.")))
            }
        };
        let mut fresh = vec![(name.to_owned(), make(name, properties)?)];
        for (name, properties) in auxiliary {
            fresh.push((name.clone(), make(name, properties)?));
        }
        let mut units = self.manager.lock();
        for (name, _) in &fresh {
            let known = units.get(name).is_some_and(|unit| unit.state.active != "inactive");
            if known || UnitFile::find(&self.root, name).is_some() {
                return Err(CallError::Exists(name.clone()));
            }
        }
        units.extend(fresh);
        drop(units);
        self.submit(name, Verb::Start)
    }

    /// Forgets that a unit failed.
    pub(crate) fn reset_failed(&self, name: &str) -> Result<(), CallError> {
        let state = self.manager.lock().get(name).map(|unit| unit.state.active);
        match state {
            None => Err(CallError::NoSuchUnit(name.to_owned())),
            Some("failed") => {
                self.manager.enter(name, "inactive", "dead");
                self.manager.change(name, |state| {
                    state.result = "success";
                    state.auto_restarts = 0;
                });
                self.collect(name);
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }
}
