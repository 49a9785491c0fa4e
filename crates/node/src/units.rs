//! The host's service manager, as far as an installation needs it.

use crate::error::Result;
use std::time::Duration;

/// How a unit is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitState {
    /// Whether systemd knows a unit file of this name.
    pub loaded: bool,
    /// `active`, `activating`, `failed`, …
    pub active: String,
    /// `running`, `dead`, `auto-restart`, …
    pub sub: String,
    /// Why it ended: `success`, `exit-code`, `signal`, …
    pub result: String,
    /// When it became active last, in microseconds of the host's clock; 0 for never.
    pub since: u64,
    /// A line of its own about what it does or why it failed, when it gives one.
    pub status: String,
}

impl UnitState {
    /// Whether it runs.
    pub fn is_active(&self) -> bool {
        self.active == "active"
    }

    /// Whether it has ended badly, an automatic restart included.
    pub fn has_failed(&self) -> bool {
        self.active == "failed" || self.sub == "auto-restart"
    }
}

/// What an installation asks of systemd. Every call may fail with [`contract::Code::SYSTEMD_UNREACHABLE`].
pub trait Units {
    /// How a unit is doing; a unit that does not exist is not loaded.
    fn state(&mut self, unit: &str) -> Result<UnitState>;
    /// Reads unit files again.
    fn reload(&mut self) -> Result<()>;
    /// Starts, or restarts what runs. Returns when the job is queued.
    fn restart(&mut self, unit: &str) -> Result<()>;
    /// Lets what runs read its configuration again. Returns when the job is queued.
    fn reload_service(&mut self, unit: &str) -> Result<()>;
    /// Stops; an unknown unit is fine.
    fn stop(&mut self, unit: &str) -> Result<()>;
    /// Runs a program of the host after a delay, unless disarmed. Replaces an earlier one of the same name.
    fn arm(&mut self, name: &str, after: Duration, program: &[String]) -> Result<()>;
    /// Takes [`Units::arm`] back; not armed is fine.
    fn disarm(&mut self, name: &str) -> Result<()>;
}

/// What a container runtime says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// `containerd`, `cri-o`.
    pub name: String,
    /// `1.7.24`.
    pub version: String,
    /// Whether its condition RuntimeReady is true.
    pub ready: bool,
    /// The handlers it serves; `None` when this version does not tell.
    pub handlers: Option<Vec<String>>,
}

/// The container runtime's CRI socket.
pub trait Runtime {
    /// Asks for name, version, readiness and handlers. The socket is a path of the host. An error is one sentence.
    fn served(&mut self, socket: &str) -> std::result::Result<Served, String>;
    /// Asks for the sandboxes that run.
    fn sandboxes(&mut self, socket: &str) -> std::result::Result<Vec<Sandbox>, String>;
}

/// A pod's sandbox that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// `namespace/name` of its pod.
    pub pod: String,
    /// The handler that it runs on; empty for the default one.
    pub handler: String,
}
