//! The D-Bus interfaces of the manager and of units.

use super::bus::{BusError, check_mode, expose, job_path};
use super::enable;
use super::file::UnitFile;
use super::manager::{CallError, Nature, State, Verb};
use super::transient::Property;
use crate::host::Machine;
use std::sync::Arc;
use zbus::{Connection, OwnedObjectPath};

/// `org.freedesktop.systemd1.Manager`.
pub(crate) struct Manager {
    pub(crate) machine: Arc<Machine>,
}

/// A row of `ListUnits`: name, description, load, active and sub state, what it follows, path, job, its type, its path.
type Row = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

fn root_path() -> zbus::Result<OwnedObjectPath> {
    OwnedObjectPath::try_from("/")
}

impl Manager {
    async fn row(&self, connection: &Connection, name: &str) -> Result<Row, BusError> {
        let path = expose(connection, &self.machine, name).await?;
        let unit = Unit { machine: Arc::clone(&self.machine), name: name.to_owned() };
        let state = unit.state();
        Ok((
            name.to_owned(),
            unit.description(),
            unit.load_state().to_owned(),
            state.active.to_owned(),
            state.sub.to_owned(),
            String::new(),
            path,
            0,
            String::new(),
            root_path()?,
        ))
    }
}

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    async fn get_unit(
        &self,
        name: &str,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        let loaded = self.machine.manager.lock().contains_key(name);
        let id = if loaded { Some(name.to_owned()) } else { self.machine.load(name) };
        let id = id.ok_or_else(|| CallError::NoSuchUnit(name.to_owned()))?;
        Ok(expose(connection, &self.machine, &id).await?)
    }

    async fn load_unit(
        &self,
        name: &str,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        let id = self.machine.load(name).unwrap_or_else(|| name.to_owned());
        Ok(expose(connection, &self.machine, &id).await?)
    }

    fn start_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.job(name, mode, Verb::Start)
    }

    fn stop_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.job(name, mode, Verb::Stop)
    }

    fn restart_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.job(name, mode, Verb::Restart)
    }

    fn try_restart_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, BusError> {
        self.job(name, mode, Verb::TryRestart)
    }

    fn reload(&self) {
        self.machine.reload();
    }

    fn subscribe(&self) {}

    fn unsubscribe(&self) {}

    fn enable_unit_files(
        &self,
        files: Vec<String>,
        _runtime: bool,
        _force: bool,
    ) -> Result<(bool, Vec<enable::Change>), BusError> {
        enable::enable(&self.machine.root, &files).map_err(|error| match error {
            enable::Error::Missing(name) => CallError::NoSuchUnit(name).into(),
            enable::Error::Io(error) => CallError::Io(error.to_string()).into(),
        })
    }

    fn disable_unit_files(&self, files: Vec<String>, _runtime: bool) -> Result<Vec<enable::Change>, BusError> {
        enable::disable(&self.machine.root, &files).map_err(|error| CallError::Io(error.to_string()).into())
    }

    fn get_unit_file_state(&self, file: &str) -> Result<String, BusError> {
        match enable::state(&self.machine.root, file) {
            "" => Err(CallError::NoSuchUnit(file.to_owned()).into()),
            state => Ok(state.to_owned()),
        }
    }

    async fn list_units(&self, #[zbus(connection)] connection: &Connection) -> Result<Vec<Row>, BusError> {
        let names: Vec<String> = self.machine.manager.lock().keys().cloned().collect();
        self.list_units_by_names(names, connection).await
    }

    async fn list_units_by_names(
        &self,
        names: Vec<String>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<Row>, BusError> {
        let mut rows = Vec::new();
        for name in names {
            let id = self.machine.load(&name).unwrap_or(name);
            rows.push(self.row(connection, &id).await?);
        }
        Ok(rows)
    }

    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: Vec<Property>,
        auxiliary: Vec<(String, Vec<Property>)>,
    ) -> Result<OwnedObjectPath, BusError> {
        check_mode(mode)?;
        Ok(job_path(self.machine.start_transient(name, &properties, &auxiliary)?)?)
    }

    fn reset_failed_unit(&self, name: &str) -> Result<(), BusError> {
        Ok(self.machine.reset_failed(name)?)
    }

    fn reset_failed(&self) -> Result<(), BusError> {
        let names: Vec<String> = self.machine.manager.lock().keys().cloned().collect();
        for name in names {
            // A transient unit may be gone by now; then nothing is left to reset.
            let _ = self.machine.reset_failed(&name);
        }
        Ok(())
    }

    #[zbus(property)]
    fn version(&self) -> &'static str {
        "257 (simulated)"
    }

    #[zbus(property)]
    fn system_state(&self) -> &'static str {
        let units = self.machine.manager.lock();
        if units.values().any(|unit| unit.state.active == "failed") { "degraded" } else { "running" }
    }
}

/// `org.freedesktop.systemd1.Unit` of one unit.
pub(crate) struct Unit {
    pub(crate) machine: Arc<Machine>,
    pub(crate) name: String,
}

impl Unit {
    fn state(&self) -> State {
        self.machine.manager.lock().get(&self.name).map(|unit| unit.state.clone()).unwrap_or_default()
    }

    fn file(&self) -> UnitFile {
        self.machine.manager.lock().get(&self.name).map(|unit| unit.file.clone()).unwrap_or_default()
    }

    fn description(&self) -> String {
        self.file().value("Unit", "Description").unwrap_or(&self.name).to_owned()
    }

    fn load_state(&self) -> &'static str {
        match self.machine.manager.lock().get(&self.name) {
            Some(unit) if unit.file.masked => "masked",
            Some(_) => "loaded",
            None => "not-found",
        }
    }
}

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    fn start(&self, mode: &str) -> Result<OwnedObjectPath, BusError> {
        Manager { machine: Arc::clone(&self.machine) }.job(&self.name, mode, Verb::Start)
    }

    fn stop(&self, mode: &str) -> Result<OwnedObjectPath, BusError> {
        Manager { machine: Arc::clone(&self.machine) }.job(&self.name, mode, Verb::Stop)
    }

    fn restart(&self, mode: &str) -> Result<OwnedObjectPath, BusError> {
        Manager { machine: Arc::clone(&self.machine) }.job(&self.name, mode, Verb::Restart)
    }

    fn reset_failed(&self) -> Result<(), BusError> {
        Ok(self.machine.reset_failed(&self.name)?)
    }

    #[zbus(property, name = "Id")]
    fn id_property(&self) -> String {
        self.name.clone()
    }

    #[zbus(property)]
    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    #[zbus(property, name = "Description")]
    fn description_property(&self) -> String {
        self.description()
    }

    #[zbus(property, name = "LoadState")]
    fn load_state_property(&self) -> &'static str {
        self.load_state()
    }

    #[zbus(property)]
    fn active_state(&self) -> &'static str {
        self.state().active
    }

    #[zbus(property)]
    fn sub_state(&self) -> &'static str {
        self.state().sub
    }

    #[zbus(property)]
    fn fragment_path(&self) -> String {
        self.file().fragment
    }

    #[zbus(property)]
    fn unit_file_state(&self) -> &'static str {
        enable::state(&self.machine.root, &self.name)
    }

    #[zbus(property)]
    fn need_daemon_reload(&self) -> bool {
        let units = self.machine.manager.lock();
        let Some(unit) = units.get(&self.name) else { return false };
        matches!(unit.nature, Nature::File)
            && UnitFile::find(&self.machine.root, &self.name).as_ref() != Some(&unit.file)
    }

    #[zbus(property)]
    fn transient(&self) -> bool {
        self.machine.manager.lock().get(&self.name).is_some_and(|unit| !matches!(unit.nature, Nature::File))
    }

    #[zbus(property)]
    fn active_enter_timestamp(&self) -> u64 {
        self.state().active_enter.0
    }

    #[zbus(property)]
    fn active_enter_timestamp_monotonic(&self) -> u64 {
        self.state().active_enter.1
    }

    #[zbus(property)]
    fn active_exit_timestamp(&self) -> u64 {
        self.state().active_exit.0
    }

    #[zbus(property)]
    fn inactive_enter_timestamp(&self) -> u64 {
        self.state().inactive_enter.0
    }

    #[zbus(property)]
    fn state_change_timestamp(&self) -> u64 {
        self.state().state_change.0
    }
}

/// `org.freedesktop.systemd1.Service` of one service.
pub(crate) struct Service {
    pub(crate) machine: Arc<Machine>,
    pub(crate) name: String,
}

impl Service {
    fn state(&self) -> State {
        self.machine.manager.lock().get(&self.name).map(|unit| unit.state.clone()).unwrap_or_default()
    }
}

#[zbus::interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property)]
    fn result(&self) -> &'static str {
        self.state().result
    }

    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        self.state().exit.0
    }

    #[zbus(property)]
    fn exec_main_code(&self) -> i32 {
        self.state().exit.1
    }

    #[zbus(property)]
    fn status_text(&self) -> &'static str {
        "" // neither containerd nor CRI-O tells systemd anything
    }

    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> u32 {
        self.state().main_pid
    }

    #[zbus(property, name = "NRestarts")]
    fn automatic_restarts(&self) -> u32 {
        self.state().auto_restarts
    }

    #[zbus(property)]
    fn restart(&self) -> String {
        let units = self.machine.manager.lock();
        let policy = units.get(&self.name).and_then(|unit| unit.file.value("Service", "Restart").map(str::to_owned));
        policy.unwrap_or_else(|| "no".to_owned())
    }
}

/// `org.freedesktop.systemd1.Timer` of one timer.
pub(crate) struct Timer {
    pub(crate) machine: Arc<Machine>,
    pub(crate) name: String,
}

#[zbus::interface(name = "org.freedesktop.systemd1.Timer")]
impl Timer {
    #[zbus(property)]
    fn result(&self) -> &'static str {
        "success"
    }

    #[zbus(property)]
    fn unit(&self) -> String {
        match self.machine.manager.lock().get(&self.name).map(|unit| unit.nature.clone()) {
            Some(Nature::Timer(timer)) if timer.unit.is_some() => timer.unit.unwrap_or_default(),
            _ => self.name.replace(".timer", ".service"),
        }
    }

    #[zbus(property, name = "LastTriggerUSec")]
    fn last_trigger(&self) -> u64 {
        self.machine.manager.lock().get(&self.name).map_or(0, |unit| unit.state.last_trigger.0)
    }
}
