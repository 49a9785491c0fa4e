//! A real Kubernetes on this machine: its control plane and, as namespaces with a systemd each, its nodes.

mod binaries;
mod control_plane;
mod daemon;

use clap::Subcommand;
use control_plane::{ControlPlane, Place};
use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Builds what is missing.
    Build,
    /// Runs a command with KUBECONFIG set to a fresh control plane, which needs no privileges and has no nodes.
    WithControlPlane {
        /// The command; `KUBECTL` names a kubectl of the same release.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

pub(crate) fn run(verb: Verb) -> Result<(), String> {
    match verb {
        Verb::Build => binaries::directory().map(|place| println!("{}", place.display())),
        Verb::WithControlPlane { command } => with_control_plane(&command),
    }
}

fn with_control_plane(command: &[OsString]) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let binaries = binaries::directory()?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let plane = ControlPlane::start(Place::loopback()?, &binaries, directory.path(), &[])?;
    eprintln!("control plane ready after {:.1} s", begun.elapsed().as_secs_f64());
    let status = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", plane.kubeconfig())
        .env("KUBECTL", binaries.join("kubectl"))
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", program.display())) }
}
