//! The process' own container: where its files are, what its environment says, how it speaks.

use crate::disk::{Disk, NoFaults};
use crate::error::Result;
use crate::host::Host;
use crate::settings::Settings;
use contract::{StageReport, pod};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Variable: seconds that the container runtime may take to come back after a restart.
pub const PATIENCE_VARIABLE: &str = "HUSK_RESTART_TIMEOUT";
/// How long that is when nobody says.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The container's `/` and environment.
#[derive(Clone, Debug)]
pub struct Container {
    /// What stands for the container's `/`.
    pub root: PathBuf,
}

impl Container {
    /// Reads [`pod::ROOT_VARIABLE`].
    pub fn from_environment() -> Self {
        Container { root: variable(pod::ROOT_VARIABLE).map_or_else(|| PathBuf::from("/"), PathBuf::from) }
    }

    /// Where an absolute path of the container is.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The settings that the environment asks for.
    pub fn settings(&self) -> Result<Settings> {
        Settings::read(&variable, &self.machine(), &|path| std::fs::read_to_string(self.path(path)).ok())
    }

    /// The machine's architecture: as the kernel shows it in `/proc`, which a simulated host has too, or as it says itself.
    pub fn machine(&self) -> String {
        let shown = std::fs::read_to_string(self.path("/proc/sys/kernel/arch")).map(|text| text.trim().to_owned());
        shown.unwrap_or_else(|_| rustix::system::uname().machine().to_string_lossy().into_owned())
    }

    /// Leaves a report where Kubernetes looks for it. Outside of a pod there may be no such place, which is fine.
    pub fn leave(&self, report: &StageReport) {
        let path = self.path(pod::TERMINATION_LOG);
        if path.parent().is_some_and(Path::is_dir) {
            let _ = std::fs::write(path, report.to_termination_message());
        }
    }
}

/// An environment variable that is set to something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Prints a line for people. A closed pipe is nobody's failure.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// How long the runtime may take to come back.
pub fn patience() -> Duration {
    variable(PATIENCE_VARIABLE).and_then(|text| text.parse().ok()).map_or(PATIENCE, Duration::from_secs)
}

/// A hand that nothing stops.
pub fn disk(host: &Host) -> Disk<'_> {
    Disk::new(host, &NoFaults)
}
