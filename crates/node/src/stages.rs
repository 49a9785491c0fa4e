//! Running stages: each ends in a report, whatever happened.

use crate::cluster::Cluster;
use crate::container::{self, Container};
use crate::distribution::{self, Found};
use crate::error::{NodeError, Result};
use crate::host::Host;
use crate::marks::Mark;
use crate::session::{Outcome, Session, Surroundings};
use crate::settings::Settings;
use crate::store::NodeLock;
use crate::{artifacts, cri_socket::CriSocket, cri_stage, host_check, systemd::Systemd};
use contract::{Code, Stage, StageReport, State, Verdict, label, pod};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime as Tokio;

/// How long a stage waits for another installer on the same node.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);

/// All that stages share in one process.
pub struct Bench<'t> {
    /// The container.
    pub container: Container,
    /// The host.
    pub host: Host,
    /// Runs what is asynchronous.
    pub tokio: &'t Tokio,
    /// The program that is running.
    pub installer: std::path::PathBuf,
    /// Prints a line for people.
    pub say: fn(&str),
    /// Whether `/proc` and `/sys` of the container are those of the host; otherwise the host's root has its own.
    pub own_kernel: bool,
}

impl<'t> Bench<'t> {
    /// The host's root is taken below the container's.
    pub fn new(container: Container, host_root: &str, tokio: &'t Tokio) -> Self {
        let host = Host::new(container.path(host_root));
        let installer = std::env::current_exe().unwrap_or_else(|_| container.path(pod::INSTALLER));
        Bench { container, host, tokio, installer, say: container::say, own_kernel: true }
    }

    /// Calls something with a session on the host.
    pub fn with_session<T>(&self, asked: &Settings, work: impl FnOnce(&mut Session) -> T) -> T {
        let mut units = Systemd::new(&self.host, self.tokio);
        let mut runtime = CriSocket::new(&self.host, self.tokio);
        let around = self.surroundings();
        let mut session = Session {
            asked,
            host: &self.host,
            disk: container::disk(&self.host),
            units: &mut units,
            runtime: &mut runtime,
            around: &around,
        };
        work(&mut session)
    }

    /// The process' surroundings.
    pub fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            root: self.container.root.clone(),
            payload: self.container.path(pod::PAYLOAD),
            installer: self.installer.clone(),
            processes: self.kernel_path("/proc"),
            kernel: self.kernel_path("/sys"),
            say: &self.say,
            pause: &std::thread::sleep,
            patience: container::patience(),
        }
    }

    fn kernel_path(&self, path: &str) -> std::path::PathBuf {
        if self.own_kernel { self.container.path(path) } else { self.host.path(path) }
    }

    /// The machine's architecture, of the host that is worked on.
    pub fn container_machine(&self) -> String {
        let shown = self.host.text("/proc/sys/kernel/arch").filter(|_| !self.own_kernel);
        shown.map_or_else(|| self.container.machine(), |text| text.trim().to_owned())
    }

    /// A client with the pod's ServiceAccount.
    pub fn cluster(&self) -> Result<Cluster<'t>> {
        Cluster::from_pod(&self.container.root, &container::variable, self.tokio)
    }

    /// Runs a stage and returns its report.
    pub fn run(&self, stage: Stage, asked: &Settings) -> StageReport {
        let start = Instant::now();
        let mut report = StageReport::new(&asked.node, asked.install(), stage, State::Running);
        let result = match stage {
            Stage::Label | Stage::Unlabel => self.run_mark(stage, asked),
            _ => self.with_session(asked, |session| run_on_host(stage, session, &mut report)),
        };
        report.millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match result {
            Ok(outcome) => {
                report.state = State::Done;
                report.message = outcome.message;
                report.changes = outcome.changes;
                report.restarted = outcome.restarted;
                report.handlers = outcome.handlers;
                report.payload = outcome.payload;
                report.warnings.extend(outcome.warnings);
            }
            Err(error) => {
                report.state = State::Failed;
                report.code = Some(error.code);
                report.message = error.message;
            }
        }
        report
    }

    fn run_mark(&self, stage: Stage, asked: &Settings) -> Result<Outcome> {
        let cluster = self.cluster()?;
        let mark = if stage == Stage::Label { Mark::Served } else { Mark::Removed };
        let changed = cluster.mark(&asked.node, asked.install(), mark)?;
        let untainted = mark == Mark::Served
            && !asked.startup_taints.is_empty()
            && cluster.untaint(&asked.node, &asked.startup_taints)?;
        let changes = u32::try_from(changed).unwrap_or(u32::MAX) + u32::from(untainted);
        let message = match (mark, changes) {
            (Mark::Served, 0) => "the node was marked already".to_owned(),
            (Mark::Served, _) if untainted => format!("node {} is marked ready and free of startup taints", asked.node),
            (Mark::Served, _) => format!("node {} is marked ready ({}=true)", asked.node, label::KATA_RUNTIME),
            _ => format!("node {} has no mark of this installation", asked.node),
        };
        Ok(Outcome { message, changes, ..Outcome::default() })
    }
}

/// Prints a report for people.
pub fn print(report: &StageReport) {
    for check in &report.checks {
        // what is fine needs no explanation
        let shown = check.code.filter(|_| !matches!(check.verdict, Verdict::Pass | Verdict::Skip));
        let code = shown.map(|code| format!(" {code}")).unwrap_or_default();
        container::say(&format!("{:7} {:22} {}{code}", check.verdict.word(), check.name, check.detail));
    }
    for warning in &report.warnings {
        container::say(&format!("warning: {warning}"));
    }
    match report.code {
        None => container::say(&format!("{}: {}", report.stage, report.message)),
        Some(code) => {
            container::say(&format!("FAILED {} {code}: {}", report.stage, report.message));
            if let Some(entry) = contract::code::entry(code) {
                container::say(&format!("  {}", entry.done));
                container::say(&format!("  Next: {}", entry.next));
            }
        }
    }
}

/// Whether another attempt cannot cure an error: the host, the payload or the values have to change first.
pub fn is_permanent(code: Code) -> bool {
    matches!(
        code,
        Code::DISTRIBUTION_MISMATCH
            | Code::SHIM_NOT_FOR_ARCHITECTURE
            | Code::BAD_SETTINGS
            | Code::HOST_UNFIT
            | Code::NOT_WRITABLE
            | Code::NODE_IDENTITY
            | Code::RUNTIME_UNKNOWN
            | Code::PAYLOAD_MISSING
            | Code::PAYLOAD_CORRUPT
            | Code::PAYLOAD_INCOMPLETE
            | Code::PATH_OCCUPIED
            | Code::RUNTIME_CONFIG_UNREADABLE
            | Code::RUNTIME_CONFIG_CONFLICT
            | Code::DROP_IN_NOT_READ
            // a runtime that reads the same again refuses it again, and each attempt restarts it twice
            | Code::RUNTIME_REFUSED
            | Code::RUNTIME_DOWN
            | Code::SNAPSHOTTER_UNAVAILABLE
            | Code::CONTAINERD_NOT_REPLACEABLE
            | Code::CONTAINERD_UNFIT
            | Code::LEDGER_UNREADABLE
    )
}

fn run_on_host(stage: Stage, session: &mut Session, report: &mut StageReport) -> Result<Outcome> {
    let found = find(session);
    if let Ok(found) = &found {
        report.runtime = Some(found.runtime_text());
        report.distribution = Some(found.distribution.name().to_owned());
    }
    if stage == Stage::HostCheck {
        return check(session, found.as_ref(), report);
    }
    host_check::machine(session)?;
    let _lock = NodeLock::acquire(session.host, LOCK_PATIENCE, session.around.pause)?;
    match stage {
        Stage::Artifacts => artifacts::install(session, Some(found?.distribution)),
        Stage::Cri => {
            let found = found?;
            let outcome = cri_stage::install(session, &found)?;
            if let (Some(_), Ok(served)) = (&session.asked.custom_containerd, session.runtime.served(&found.socket)) {
                report.runtime = Some(format!("{} {}", served.name, served.version.trim_start_matches('v')));
            }
            Ok(outcome)
        }
        // what is undone is in the ledger; a host that cannot be recognised any more can still be cleaned
        Stage::RevertCri => cri_stage::remove(session, found.ok().as_ref()),
        Stage::RemoveArtifacts => artifacts::remove(session),
        Stage::HostCheck | Stage::Label | Stage::Unlabel => {
            Err(NodeError::new(Code::BAD_SETTINGS, format!("{stage} is not a stage of the host")))
        }
    }
}

fn find(session: &mut Session) -> Result<Found> {
    let version = match &session.asked.runtime_version {
        Some(version) => version.clone(),
        None => distribution::ask(session.host, session.runtime)?,
    };
    distribution::detect(session.asked, &version, session.host, session.units)
}

fn check(
    session: &mut Session,
    found: std::result::Result<&Found, &NodeError>,
    report: &mut StageReport,
) -> Result<Outcome> {
    let checks = host_check::run(session, found);
    let count = |verdict: Verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let summary = format!(
        "{} checks: {} pass, {} warn, {} fail, {} skip, {} unknown",
        checks.len(),
        count(Verdict::Pass),
        count(Verdict::Warn),
        count(Verdict::Fail),
        count(Verdict::Skip),
        count(Verdict::Unknown)
    );
    let failed = checks.iter().find(|check| check.verdict == Verdict::Fail).cloned();
    let warnings = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Warn)
        .map(|check| format!("{}: {}", check.name, check.detail));
    let warnings: Vec<String> = warnings.collect();
    let others = count(Verdict::Fail).saturating_sub(1);
    report.checks = checks;
    match failed {
        None => Ok(Outcome { message: summary, warnings, ..Outcome::default() }),
        Some(check) => {
            report.warnings = warnings;
            let more = if others > 0 { format!(" (and {others} more failed checks)") } else { String::new() };
            Err(NodeError::new(check.code.unwrap_or(Code::HOST_UNFIT), format!("{}{more}", check.detail)))
        }
    }
}
