//! The command line of `husk-node`.

use crate::container::{self, Container};
use crate::cri_stage;
use crate::daemon::{self, Duty};
use crate::disk::{Disk, NoFaults};
use crate::error::{NodeError, Result};
use crate::local::{self, Local};
use crate::stages::{Bench, is_permanent, print};
use crate::store::{NodeLock, Store};
use crate::systemd::Systemd;
use crate::{dump, witness};
use clap::{Parser, Subcommand};
use contract::{Stage, StageReport, State, label, pod};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime as Tokio;

/// Installs Kata runtimes on one host, proves them, and removes them without a trace.
#[derive(Debug, Parser)]
#[command(name = "husk-node", version, about)]
struct Arguments {
    /// The directory that holds the host's file system, below HUSK_ROOT.
    #[arg(long, visible_alias = "root", global = true, value_name = "DIR")]
    host_root: Option<String>,
    /// How much to tell. Accepted for the charts' sake; lines for people are always printed.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check whether the host can do what is asked; reads only.
    HostCheck,
    /// Put the payload on the host.
    Artifacts,
    /// Configure the container runtime, restart it once, prove that it serves every handler.
    Cri,
    /// Mark the Node as ready.
    Label,
    /// Take the mark off the Node.
    Unlabel,
    /// Take our lines out of the container runtime's configuration.
    RevertCri,
    /// Remove the payload's files.
    RemoveArtifacts,
    /// Run all stages, then serve health until SIGTERM (DaemonSet mode).
    Install,
    /// Switch the host's containerd and nothing else, then serve health until SIGTERM (DaemonSet mode).
    Containerd,
    /// Copy this program to a file, so that it can run inside another image.
    CopyTo {
        /// The file.
        destination: PathBuf,
    },
    /// Take an unfinished change of the container runtime back, without a cluster.
    Undo {
        /// The installation.
        #[arg(long, default_value = label::DEFAULT_INSTALL)]
        install: String,
    },
    /// Print what a bug report needs of this host, as JSON; reads only, secrets removed.
    Dump,
    /// Tell the kernel and the confidential hardware that this container sees.
    Witness {
        /// Ask the guest for evidence that holds this text.
        #[arg(long)]
        runtime_data: Option<String>,
        /// Ask the guest for a key broker's resource, and tell its hash.
        #[arg(long)]
        resource: Option<String>,
    },
    #[command(flatten)]
    Local(Local),
}

/// Runs the command line; what `husk-node` and the multi-call binary start.
///
/// Exit status: 0 done, 1 failed, 2 bad usage or (for `plan`) changes pending, 78 failed in a way that another attempt cannot cure.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let tokio = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(tokio) => tokio,
        Err(error) => return fail(&NodeError::io("starting", "the event loop", &error)),
    };
    run(&arguments, &tokio).unwrap_or_else(|error| fail(&error))
}

/// One host without Kubernetes: `husk node`.
#[derive(Debug, clap::Args)]
pub struct OneHost {
    /// The directory that holds the host's file system.
    #[arg(long, default_value = "/", global = true, value_name = "DIR")]
    root: String,
    #[command(subcommand)]
    verb: Local,
}

/// Runs a verb of [`OneHost`].
///
/// Exit status as of [`main`], but for a failure that another attempt cannot cure, which is a failure like others here.
pub fn one_host(arguments: &OneHost) -> ExitCode {
    let tokio = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(tokio) => tokio,
        Err(error) => return fail(&NodeError::io("starting", "the event loop", &error)),
    };
    match local::run(&arguments.verb, Container::from_environment(), &arguments.root, &tokio) {
        Ok(status) if status == ExitCode::from(pod::EXIT_PERMANENT) => ExitCode::FAILURE,
        Ok(status) => status,
        Err(error) => {
            fail(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, tokio: &Tokio) -> Result<ExitCode> {
    let container = Container::from_environment();
    if let Verb::Local(verb) = &arguments.verb {
        return local::run(verb, container, arguments.host_root.as_deref().unwrap_or("/"), tokio);
    }
    let host_root = arguments.host_root.as_deref().unwrap_or(pod::HOST_MOUNT);
    let bench = Bench::new(container, host_root, tokio);
    let stage = match &arguments.verb {
        Verb::HostCheck => Stage::HostCheck,
        Verb::Artifacts => Stage::Artifacts,
        Verb::Cri => Stage::Cri,
        Verb::Label => Stage::Label,
        Verb::Unlabel => Stage::Unlabel,
        Verb::RevertCri => Stage::RevertCri,
        Verb::RemoveArtifacts => Stage::RemoveArtifacts,
        Verb::Dump => {
            container::say(&serde_json::to_string(&dump::read(&bench.host)).unwrap_or_default());
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Witness { runtime_data, resource } => {
            witness::tell(&witness::look(&bench.container, runtime_data.as_deref(), resource.as_deref()));
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Install => return serve(&bench, Duty::Runtimes),
        Verb::Containerd => return serve(&bench, Duty::Containerd),
        Verb::CopyTo { destination } => return copy_to(&bench, destination),
        Verb::Undo { install } => return undo(&bench, install),
        // done above
        Verb::Local(_) => return Ok(ExitCode::SUCCESS),
    };
    Ok(end(&bench, &report_of(&bench, stage)))
}

/// Runs a stage; settings that cannot be read are a report too.
fn report_of(bench: &Bench, stage: Stage) -> StageReport {
    match bench.container.settings() {
        Ok(asked) => bench.run(stage, &asked),
        Err(error) => failed(stage, &error),
    }
}

fn failed(stage: Stage, error: &NodeError) -> StageReport {
    let node = container::variable("NODE_NAME").unwrap_or_default();
    let suffix = container::variable("MULTI_INSTALL_SUFFIX").unwrap_or_default();
    let mut report = StageReport::new(&node, label::install_name(&suffix), stage, State::Failed);
    report.code = Some(error.code);
    report.message.clone_from(&error.message);
    report
}

fn end(bench: &Bench, report: &StageReport) -> ExitCode {
    print(report);
    bench.container.leave(report);
    status_of(report)
}

pub(crate) fn status_of(report: &StageReport) -> ExitCode {
    match report.code {
        None => ExitCode::SUCCESS,
        Some(code) if is_permanent(code) => ExitCode::from(pod::EXIT_PERMANENT),
        Some(_) => ExitCode::FAILURE,
    }
}

fn fail(error: &NodeError) -> ExitCode {
    container::say(&format!("FAILED {}: {}", error.code, error.message));
    if is_permanent(error.code) { ExitCode::from(pod::EXIT_PERMANENT) } else { ExitCode::FAILURE }
}

fn serve(bench: &Bench, duty: Duty) -> Result<ExitCode> {
    let report = match bench.container.settings().and_then(|asked| daemon::run(bench, asked, duty)) {
        Ok(report) => report,
        Err(error) => {
            let report = failed(Stage::HostCheck, &error);
            print(&report);
            bench.container.leave(&report);
            daemon::tell(bench, &report);
            report
        }
    };
    // a DaemonSet's pod is restarted whatever its status says
    Ok(if report.code.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn copy_to(bench: &Bench, destination: &std::path::Path) -> Result<ExitCode> {
    let to = bench.container.path(destination);
    let failed = |error: std::io::Error| NodeError::io("copying the installer to", &to, &error);
    let partial = to.with_extension("partial");
    std::fs::copy(&bench.installer, &partial).map_err(failed)?;
    std::fs::set_permissions(&partial, std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(failed)?;
    std::fs::rename(&partial, &to).map_err(failed)?;
    container::say(&format!("copied to {}", destination.display()));
    Ok(ExitCode::SUCCESS)
}

fn undo(bench: &Bench, install: &str) -> Result<ExitCode> {
    let _lock = NodeLock::acquire(&bench.host, Duration::from_secs(30), &std::thread::sleep)?;
    let around = bench.surroundings();
    let disk = Disk::new(&bench.host, &NoFaults);
    let mut units = Systemd::new(&bench.host, bench.tokio);
    let mut hands = cri_stage::Hands { units: &mut units, around: &around, disk, install: install.to_owned() };
    let undone = cri_stage::undo(&Store::new(disk, install), &mut hands)?;
    container::say(if undone { "the unfinished change was taken back" } else { "nothing to undo" });
    Ok(ExitCode::SUCCESS)
}
