//! The command line of `husk-node`.

use crate::container::{self, Container};
use crate::cri_stage;
use crate::daemon::{self, Duty};
use crate::disk::{Disk, NoFaults};
use crate::error::{NodeError, Result};
use crate::ledger::Part;
use crate::session::Session;
use crate::settings::Settings;
use crate::stages::{Bench, is_permanent, print};
use crate::store::{NodeLock, Store};
use crate::{artifacts, cri_plan, custom_containerd, distribution, systemd::Systemd, witness};
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
    /// Print what an installation would change on this host.
    Plan,
    /// Install on this host, without a cluster.
    Apply,
    /// Remove everything from this host, without a cluster.
    Revert,
    /// Show what Husk owns on this host.
    Status,
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

fn run(arguments: &Arguments, tokio: &Tokio) -> Result<ExitCode> {
    let container = Container::from_environment();
    let local = matches!(arguments.verb, Verb::Plan | Verb::Apply | Verb::Revert | Verb::Status);
    let host_root = arguments.host_root.as_deref().unwrap_or(if local { "/" } else { pod::HOST_MOUNT });
    let bench = Bench::new(container, host_root, tokio);
    let stage = match &arguments.verb {
        Verb::HostCheck => Stage::HostCheck,
        Verb::Artifacts => Stage::Artifacts,
        Verb::Cri => Stage::Cri,
        Verb::Label => Stage::Label,
        Verb::Unlabel => Stage::Unlabel,
        Verb::RevertCri => Stage::RevertCri,
        Verb::RemoveArtifacts => Stage::RemoveArtifacts,
        Verb::Install => return serve(&bench, Duty::Runtimes),
        Verb::Containerd => return serve(&bench, Duty::Containerd),
        Verb::CopyTo { destination } => return copy_to(&bench, destination),
        Verb::Undo { install } => return undo(&bench, install),
        Verb::Plan => return plan(&bench, &local_settings(&bench)?),
        Verb::Apply => return apply(&bench, &local_settings(&bench)?),
        Verb::Revert => return revert(&bench, &local_settings(&bench)?),
        Verb::Status => return status(&bench),
        Verb::Dump => {
            container::say(&serde_json::to_string(&crate::dump::read(&bench.host)).unwrap_or_default());
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Witness { runtime_data, resource } => {
            witness::tell(&witness::look(&bench.container, runtime_data.as_deref(), resource.as_deref()));
            return Ok(ExitCode::SUCCESS);
        }
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

fn status_of(report: &StageReport) -> ExitCode {
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

/// Without a cluster the node has no name; everything else comes from the same variables.
fn local_settings(bench: &Bench) -> Result<Settings> {
    let variable = |name: &str| container::variable(name).or_else(|| (name == "NODE_NAME").then(|| "local".to_owned()));
    let file = |path: &str| std::fs::read_to_string(bench.container.path(path)).ok();
    Settings::read(&variable, &bench.container.machine(), &file)
}

fn plan(bench: &Bench, asked: &Settings) -> Result<ExitCode> {
    bench.with_session(asked, |session| {
        let lines = planned(session)?;
        lines.iter().for_each(|line| container::say(line));
        if lines.is_empty() {
            container::say("nothing to change");
        }
        Ok(if lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
    })
}

fn planned(session: &mut Session) -> Result<Vec<String>> {
    let version = match &session.asked.runtime_version {
        Some(version) => version.clone(),
        None => distribution::ask(session.host, session.runtime)?,
    };
    let found = distribution::detect(session.asked, &version, session.host, session.units)?;
    let ledger = session.store().known()?;
    let artifacts = artifacts::plan(session, &ledger)?;
    let pending = artifacts::pending(session, &artifacts, Some(found.distribution))?;
    let aim = custom_containerd::aim(session.asked, &found, session.host, &ledger)?;
    let fetched = aim.switch.iter().flat_map(|switch| custom_containerd::fetch::pending(session.host, switch));
    let cri = cri_plan::install(session.asked, &aim, session.host, &ledger)?;
    let edits = pending.iter().cloned().chain(fetched).chain(cri.edits.iter().cloned());
    let mut lines: Vec<String> = edits.map(|edit| edit.describe()).collect();
    lines.extend(cri.stop.iter().map(|service| format!("stop {service}")));
    lines.extend(cri.start.iter().map(|service| format!("start {service}")));
    if cri.restarts() {
        lines.push(format!("restart {}", found.unit));
    }
    Ok(lines)
}

fn apply(bench: &Bench, asked: &Settings) -> Result<ExitCode> {
    chain(bench, asked, &[Stage::HostCheck, Stage::Artifacts, Stage::Cri])
}

fn revert(bench: &Bench, asked: &Settings) -> Result<ExitCode> {
    chain(bench, asked, &[Stage::RevertCri, Stage::RemoveArtifacts])
}

fn chain(bench: &Bench, asked: &Settings, stages: &[Stage]) -> Result<ExitCode> {
    for stage in stages {
        let report = bench.run(*stage, asked);
        print(&report);
        if report.state == State::Failed {
            return Ok(status_of(&report));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn status(bench: &Bench) -> Result<ExitCode> {
    let installs = Store::installs(&bench.host);
    if installs.is_empty() {
        container::say("Husk owns nothing on this host");
    }
    for install in installs {
        let store = Store::new(Disk::new(&bench.host, &NoFaults), &install);
        let ledger = store.ledger()?;
        container::say(&format!("installation {install}"));
        for path in ledger.directories.keys().chain(ledger.files.keys()).chain(ledger.trees.keys()) {
            container::say(&format!("  {path}"));
        }
        for part in [Part::Artifacts, Part::Cri] {
            if let Some(journal) = store.journal(part, &ledger)? {
                let message =
                    format!("{} has an unfinished transaction of {} entries", part.name(), journal.entries.len());
                container::say(&format!("  {message}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
