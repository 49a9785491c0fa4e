//! What a stage works with: the settings, the host, the hands that change it, and the surroundings of the process.

use crate::disk::Disk;
use crate::host::Host;
use crate::payload_source::Place;
use crate::settings::Settings;
use crate::store::Store;
use crate::units::{Runtime, Units};
use std::path::PathBuf;
use std::time::Duration;

/// The process' own surroundings: all that is neither a setting nor the host.
pub struct Surroundings<'a> {
    /// What stands for the container's `/`.
    pub root: PathBuf,
    /// The directory with the payload's archives, unless the settings name another place.
    pub payload: PathBuf,
    /// The program that is copied to the host to undo an unfinished change.
    pub installer: PathBuf,
    /// The process table, for finding users of old versions.
    pub processes: PathBuf,
    /// The kernel's own view, `/sys`.
    pub kernel: PathBuf,
    /// Prints a line for people.
    pub say: &'a dyn Fn(&str),
    /// Waits.
    pub pause: &'a dyn Fn(Duration),
    /// How long the runtime may take to come back.
    pub patience: Duration,
}

/// One run of a stage.
pub struct Session<'a> {
    /// What is asked for.
    pub asked: &'a Settings,
    /// The host.
    pub host: &'a Host,
    /// The hand that changes its files.
    pub disk: Disk<'a>,
    /// Its service manager.
    pub units: &'a mut dyn Units,
    /// Its container runtime.
    pub runtime: &'a mut dyn Runtime,
    /// The rest.
    pub around: &'a Surroundings<'a>,
}

impl<'a> Session<'a> {
    /// The files of this installation on the host.
    pub fn store(&self) -> Store<'a> {
        Store::new(self.disk, self.asked.install())
    }

    /// Where an absolute path of the container is.
    pub fn inside(&self, path: &std::path::Path) -> PathBuf {
        self.around.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The directory with the payload; `None` when it has to be fetched.
    pub fn payload(&self) -> Option<PathBuf> {
        match &self.asked.payload.place {
            Place::Image => Some(self.around.payload.clone()),
            Place::Directory(path) => Some(self.inside(path)),
            Place::File(_) | Place::Url(_) | Place::Registry(_) => None,
        }
    }
}

/// What a stage did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// One sentence.
    pub message: String,
    /// How many changes were made; 0 when everything was in place.
    pub changes: u32,
    /// Whether the container runtime was restarted.
    pub restarted: bool,
    /// The handlers seen to be served.
    pub handlers: Vec<String>,
    /// The payload's version.
    pub payload: Option<String>,
    /// Non-fatal findings.
    pub warnings: Vec<String>,
}
