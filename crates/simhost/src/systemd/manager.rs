//! The manager: runs units, counts their lives, and keeps what the real one would show of them.

use super::file::UnitFile;
use super::transient;
use crate::host::Machine;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
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
    pub(super) turn: watch::Sender<u64>,
    /// The simulated daemon's listening socket, when it has one.
    pub(super) listener: Option<tokio::net::UnixListener>,
    /// Whether a start is under way, so that units that want each other do not go in circles.
    pub(super) starting: bool,
}

impl Unit {
    fn new(file: UnitFile, nature: Nature) -> Self {
        Unit { file, nature, state: State::default(), turn: watch::Sender::new(0), listener: None, starting: false }
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

    pub(super) fn now(&self) -> (u64, u64) {
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

    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut State)) {
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
        // What takes no time has happened before the next call is read.
        let done = verb == Verb::Stop && self.stop_at_once(&id);
        self.spawn(async move {
            let result = if done { "done" } else { machine.run(&id, verb).await };
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
