//! DaemonSet mode: all stages, then health and waiting; on SIGTERM the removal, if the cluster says that it is meant.

use crate::cluster::Cluster;
use crate::container::{self, variable};
use crate::error::{NodeError, Result};
use crate::marks::Mark;
use crate::selection;
use crate::settings::Settings;
use crate::stages::{Bench, is_permanent, print};
use contract::{NodeRecord, Stage, StageReport, State};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The pause before the stages are tried again after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause, and the only one when another attempt is unlikely to help.
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// What a DaemonSet is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// The runtimes: every stage.
    Runtimes,
    /// Another containerd and nothing else: no payload, no handlers, no marks on the Node.
    Containerd,
}

impl Duty {
    fn install(self) -> &'static [Stage] {
        match self {
            Duty::Runtimes => &Stage::INSTALL,
            Duty::Containerd => &[Stage::Cri],
        }
    }

    fn remove(self) -> &'static [Stage] {
        match self {
            Duty::Runtimes => &Stage::REMOVE,
            // the last one finds nothing, and tells in the record that nothing is left
            Duty::Containerd => &[Stage::RevertCri, Stage::RemoveArtifacts],
        }
    }
}

/// Runs until SIGTERM. Returns the report that decides the exit status.
pub fn run(bench: &Bench, mut asked: Settings, duty: Duty) -> Result<StageReport> {
    let (sender, terminated) = channel();
    let ready = Arc::new(AtomicBool::new(false));
    watch(sender, Arc::clone(&ready))?;
    let cluster = bench.cluster()?;
    let node = cluster.node(&asked.node)?;
    if asked.runtime_version.is_none() {
        asked.runtime_version = node["status"]["nodeInfo"]["containerRuntimeVersion"].as_str().map(str::to_owned);
    }
    if asked.node_labels.is_none() {
        asked.node_labels = serde_json::from_value(node["metadata"]["labels"].clone()).ok();
    }
    let mut scribe = Scribe::new(&cluster, &asked.node, asked.install());
    let pending = || match was_served(&node, &asked) {
        true => Ok(()),
        false => cluster.mark(&asked.node, asked.install(), Mark::Pending).map(drop),
    };
    let mut pause = FIRST_PAUSE;
    // A failure does not end the container: one that waits to be started again is not told when its DaemonSet goes, and
    // nobody would take away what it had put on the host.
    let last = loop {
        let report = carry_out(bench, &asked, duty.install(), &mut scribe, &pending)?;
        let failed = report.state == State::Failed;
        ready.store(!failed, Ordering::Release);
        if !failed {
            container::say("ready; waiting");
            // an error means that the watcher is gone, and with it the reason to stay
            let _ = terminated.recv();
            break report;
        }
        let wait = if report.code.is_some_and(is_permanent) { LAST_PAUSE } else { pause };
        container::say(&format!("trying again in {} s", wait.as_secs()));
        match terminated.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(LAST_PAUSE),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break report,
        }
    };
    if !leaves(&cluster, &asked) {
        container::say("terminated, but this node is still selected: everything stays");
        return Ok(last);
    }
    carry_out(bench, &asked, duty.remove(), &mut scribe, &|| Ok(()))
}

/// Leaves in the node's record what kept every stage from running. Where that cannot be written, the pod's status tells it.
pub fn tell(bench: &Bench, report: &StageReport) {
    match bench.cluster() {
        Ok(cluster) => Scribe::new(&cluster, &report.node, &report.install).end(report),
        Err(error) => container::say(&format!("warning: {error}")),
    }
}

/// Runs stages up to the first that fails; returns the last one's report. `announce` is called before the first stage that
/// changes the host.
fn carry_out(
    bench: &Bench,
    asked: &Settings,
    stages: &[Stage],
    scribe: &mut Scribe<'_, '_>,
    announce: &dyn Fn() -> Result<()>,
) -> Result<StageReport> {
    let mut last = None;
    for stage in stages {
        scribe.start(*stage);
        if *stage == Stage::Artifacts {
            announce()?;
        }
        let report = bench.run(*stage, asked);
        scribe.end(&report);
        bench.container.leave(&report);
        print(&report);
        let failed = report.state == State::Failed;
        last = Some(report);
        if failed {
            break;
        }
    }
    last.ok_or_else(|| NodeError::new(contract::Code::BAD_SETTINGS, "no stage ran"))
}

/// A node that is served already is not marked as pending while a second run finds that nothing is to do.
fn was_served(node: &serde_json::Value, asked: &Settings) -> bool {
    node["metadata"]["labels"][contract::label::install_mark(asked.install())] == "true"
}

/// Whether the cluster says that the installation shall leave this node. Silence is no reason to remove anything.
fn leaves(cluster: &Cluster, asked: &Settings) -> bool {
    let (Some(namespace), Some(name)) = (variable("POD_NAMESPACE"), variable("DAEMONSET_NAME")) else { return false };
    match cluster.daemon_set(&namespace, &name) {
        Ok(None) => true,
        Ok(Some(set)) if !set["metadata"]["deletionTimestamp"].is_null() => true,
        Ok(Some(set)) => cluster.node(&asked.node).is_ok_and(|node| !selection::selects(&set, &node)),
        Err(error) => {
            container::say(&format!("warning: {error}"));
            false
        }
    }
}

/// Keeps the node's record. A record that cannot be written stops nothing.
struct Scribe<'c, 't> {
    cluster: &'c Cluster<'t>,
    namespace: Option<String>,
    record: NodeRecord,
}

impl<'c, 't> Scribe<'c, 't> {
    fn new(cluster: &'c Cluster<'t>, node: &str, install: &str) -> Self {
        let mut record = NodeRecord::new(node, install, Stage::HostCheck, State::Pending);
        record.pod = variable("POD_NAME").or_else(|| variable("HOSTNAME"));
        Scribe { cluster, namespace: variable("POD_NAMESPACE"), record }
    }

    fn start(&mut self, stage: Stage) {
        self.record.stage = stage;
        self.record.state = State::Running;
        self.record.code = None;
        self.record.message.clear();
        self.write();
    }

    fn end(&mut self, report: &StageReport) {
        self.record.absorb(report);
        self.write();
    }

    fn write(&mut self) {
        self.record.updated_at = Some(jiff::Timestamp::now().to_string());
        if let Some(namespace) = &self.namespace
            && let Err(error) = self.cluster.write_record(namespace, &self.record)
        {
            container::say(&format!("warning: {error}"));
        }
    }
}

/// Serves health and listens for SIGTERM, on a thread of its own because stages block.
fn watch(sender: Sender<()>, ready: Arc<AtomicBool>) -> Result<()> {
    let failed = |error: std::io::Error| NodeError::io("starting the health service of", "the pod", &error);
    let address = variable("POD_IP").and_then(|ip| ip.parse().ok()).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let port: Option<u16> = variable("HEALTH_PORT").and_then(|port| port.parse().ok());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // bound and armed before anything else happens, so that neither a probe nor a signal is lost
    let listener = match port {
        Some(port) => Some(tokio.block_on(TcpListener::bind((address, port))).map_err(failed)?),
        None => None,
    };
    let mut terminate = tokio.block_on(async { signal(SignalKind::terminate()) }).map_err(failed)?;
    let mut interrupt = tokio.block_on(async { signal(SignalKind::interrupt()) }).map_err(failed)?;
    std::thread::spawn(move || {
        tokio.block_on(async {
            tokio::spawn(serve(listener, ready));
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            let _ = sender.send(());
            // health goes on while the removal runs
            std::future::pending::<()>().await;
        });
    });
    Ok(())
}

async fn serve(listener: Option<TcpListener>, ready: Arc<AtomicBool>) {
    let Some(listener) = listener else { return };
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let ready = ready.load(Ordering::Acquire);
        tokio::spawn(async move {
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let answer = answer(&request[..read], ready);
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        });
    }
}

fn answer(request: &[u8], ready: bool) -> String {
    let line = String::from_utf8_lossy(request);
    let path = line.split_whitespace().nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let (status, body) = match path.as_str() {
        "/healthz" => ("200 OK", "ok"),
        "/readyz" if ready => ("200 OK", "ok"),
        "/readyz" => ("503 Service Unavailable", "stages are running"),
        _ => ("404 Not Found", "not found"),
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_get_their_answers() {
        assert!(answer(b"GET /healthz HTTP/1.1\r\n", false).starts_with("HTTP/1.1 200"));
        assert!(answer(b"GET /readyz HTTP/1.1\r\n", false).starts_with("HTTP/1.1 503"));
        assert!(answer(b"GET /readyz?x HTTP/1.1\r\n", true).starts_with("HTTP/1.1 200"));
        assert!(answer(b"garbage", true).starts_with("HTTP/1.1 404"));
    }
}
