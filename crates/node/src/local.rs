//! One host without Kubernetes: plan, apply, revert, status.

use crate::cli::status_of;
use crate::container::{self, Container};
use crate::disk::{Disk, NoFaults};
use crate::edit::Edit;
use crate::error::{NodeError, Result};
use crate::ledger::Part;
use crate::session::Session;
use crate::settings::Settings;
use crate::stages::{Bench, print};
use crate::store::Store;
use crate::{artifacts, cri_plan, custom_containerd, distribution};
use clap::{Args, Subcommand};
use contract::{Code, Stage, State};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use tokio::runtime::Runtime as Tokio;

/// What can be done on one host.
#[derive(Debug, Subcommand)]
pub enum Local {
    /// Print what an installation would change on this host; exit status 2 when there is something.
    Plan(Wish),
    /// Install on this host: check it, put the payload on it, configure its container runtime and prove it.
    Apply(Wish),
    /// Remove everything of an installation from this host.
    Revert(Which),
    /// Show what Husk owns on this host.
    Status(Shown),
}

/// Which installation, and how it is shown.
#[derive(Debug, Args)]
pub struct Which {
    /// The suffix of an installation beside others.
    #[arg(long, value_name = "SUFFIX")]
    install: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

/// How the result is shown.
#[derive(Debug, Args)]
pub struct Shown {
    /// `text` or `json`.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// What is to be installed. Everything else that the charts can set is an environment variable of the same name as in the
/// node's pods.
#[derive(Debug, Args)]
pub struct Wish {
    /// Shims, such as `qemu` or `qemu-snp`; given once for each, or with commas.
    #[arg(long = "shim", value_name = "SHIM", value_delimiter = ',')]
    shims: Vec<String>,
    /// The payload: a directory, an archive, an https:// URL of one, or oci:// and an image.
    #[arg(long, value_name = "PLACE")]
    payload: Option<String>,
    /// The archive's SHA-256.
    #[arg(long, value_name = "DIGEST", requires = "payload")]
    payload_sha256: Option<String>,
    /// A Docker configuration with the registry's password.
    #[arg(long, value_name = "FILE")]
    pull_secret: Option<String>,
    /// The directory above `opt/kata`.
    #[arg(long, value_name = "DIR")]
    prefix: Option<String>,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

/// Runs a verb on a host.
///
/// # Errors
/// Settings that cannot be meant; a stage's failure is in its report and in the exit status.
pub fn run(verb: &Local, container: Container, root: &str, tokio: &Tokio) -> Result<ExitCode> {
    let root = absolute(root)?;
    let mut bench = Bench::new(container, &root, tokio);
    if root != "/" {
        // another host's processes and kernel are not ours
        bench.own_kernel = false;
    }
    match verb {
        Local::Plan(wish) => plan(&bench, &settings(&bench, &wish.which, Some(wish))?, wish.which.shown.output),
        Local::Apply(wish) => {
            let asked = settings(&bench, &wish.which, Some(wish))?;
            chain(&mut bench, &asked, &[Stage::HostCheck, Stage::Artifacts, Stage::Cri], wish.which.shown.output)
        }
        Local::Revert(which) => {
            let asked = settings(&bench, which, None)?;
            chain(&mut bench, &asked, &[Stage::RevertCri, Stage::RemoveArtifacts], which.shown.output)
        }
        Local::Status(shown) => status(&bench, shown.output),
    }
}

fn absolute(path: &str) -> Result<String> {
    let path = std::path::absolute(path).map_err(|error| NodeError::io("finding", path, &error))?;
    Ok(path.to_string_lossy().into_owned())
}

/// Options first, then the variables of the environment. Without a cluster the node has no name.
fn settings(bench: &Bench, which: &Which, wish: Option<&Wish>) -> Result<Settings> {
    let mut given = BTreeMap::new();
    let mut give = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            given.insert(name.to_owned(), value.clone());
        }
    };
    let machine = bench.container_machine();
    give("MULTI_INSTALL_SUFFIX", &which.install);
    if let Some(wish) = wish {
        let place = |text: &String| if text.contains("://") { Ok(text.clone()) } else { absolute(text) };
        give("PAYLOAD_SOURCE", &wish.payload.as_ref().map(place).transpose()?);
        give("PAYLOAD_SHA256", &wish.payload_sha256);
        give("PAYLOAD_PULL_SECRET", &wish.pull_secret.as_deref().map(absolute).transpose()?);
        give("INSTALLATION_PREFIX", &wish.prefix);
        if let (false, Some(arch)) = (wish.shims.is_empty(), crate::shim::Arch::from_machine(&machine)) {
            give(&format!("SHIMS_{}", arch.variable()), &Some(wish.shims.join(" ")));
        }
    }
    let variable = |name: &str| {
        given
            .get(name)
            .cloned()
            .or_else(|| container::variable(name))
            .or_else(|| (name == "NODE_NAME").then(|| "local".to_owned()))
    };
    let file = |path: &str| std::fs::read_to_string(bench.container.path(path)).ok();
    Settings::read(&variable, &machine, &file)
}

/// What an installation would do.
struct Planned {
    edits: Vec<Edit>,
    stop: Vec<String>,
    start: Vec<String>,
    restart: Option<String>,
}

impl Planned {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.edits.iter().map(Edit::describe).collect();
        lines.extend(self.stop.iter().map(|service| format!("stop {service}")));
        lines.extend(self.start.iter().map(|service| format!("start {service}")));
        lines.extend(self.restart.iter().map(|unit| format!("restart {unit}")));
        lines
    }
}

fn plan(bench: &Bench, asked: &Settings, output: Output) -> Result<ExitCode> {
    bench.with_session(asked, |session| {
        let planned = planned(session)?;
        let lines = planned.lines();
        match output {
            Output::Text => {
                lines.iter().for_each(|line| container::say(line));
                if lines.is_empty() {
                    container::say("nothing to change");
                }
            }
            Output::Json => container::say(
                &json!({
                    "schema": "husk.node-plan/v1",
                    "install": session.asked.install(),
                    "changes": planned.edits.iter().map(Edit::describe).collect::<Vec<_>>(),
                    "stop": planned.stop,
                    "start": planned.start,
                    "restart": planned.restart,
                })
                .to_string(),
            ),
        }
        Ok(if lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
    })
}

fn planned(session: &mut Session) -> Result<Planned> {
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
    let restart = cri.restarts().then(|| found.unit.clone());
    let edits = pending.into_iter().chain(fetched).chain(cri.edits).collect();
    Ok(Planned { edits, stop: cri.stop, start: cri.start, restart })
}

fn chain(bench: &mut Bench, asked: &Settings, stages: &[Stage], output: Output) -> Result<ExitCode> {
    if output == Output::Json {
        bench.say = |_| {};
    }
    let mut reports = Vec::new();
    let mut status = ExitCode::SUCCESS;
    for stage in stages {
        let report = bench.run(*stage, asked);
        if output == Output::Text {
            print(&report);
        }
        let failed = report.state == State::Failed;
        if failed {
            status = status_of(&report);
        }
        reports.push(report);
        if failed {
            break;
        }
    }
    if output == Output::Json {
        let text = serde_json::to_string(&json!({"schema": "husk.node-run/v1", "stages": reports}));
        container::say(&text.map_err(|error| NodeError::new(Code::BAD_SETTINGS, error.to_string()))?);
    }
    Ok(status)
}

fn status(bench: &Bench, output: Output) -> Result<ExitCode> {
    let installs = Store::installs(&bench.host);
    let mut all = Vec::new();
    for install in &installs {
        let store = Store::new(Disk::new(&bench.host, &NoFaults), install);
        let ledger = store.ledger()?;
        let mut open = Vec::new();
        for part in [Part::Artifacts, Part::Cri] {
            if let Some(journal) = store.journal(part, &ledger)? {
                open.push((part.name(), journal.entries.len()));
            }
        }
        let paths: Vec<&String> =
            ledger.directories.keys().chain(ledger.files.keys()).chain(ledger.trees.keys()).collect();
        if output == Output::Text {
            container::say(&format!("installation {install}"));
            paths.iter().for_each(|path| container::say(&format!("  {path}")));
            for (part, entries) in &open {
                container::say(&format!("  {part} has an unfinished transaction of {entries} entries"));
            }
        }
        all.push(json!({
            "install": install,
            "payload": ledger.payload,
            "unit": ledger.unit,
            "services": ledger.services,
            "paths": paths,
            "unfinished": open.iter().map(|(part, entries)| json!({"part": part, "entries": entries})).collect::<Vec<_>>(),
        }));
    }
    match output {
        Output::Text if installs.is_empty() => container::say("Husk owns nothing on this host"),
        Output::Text => {}
        Output::Json => container::say(&json!({"schema": "husk.node-status/v1", "installs": all}).to_string()),
    }
    Ok(ExitCode::SUCCESS)
}
