//! What a rollout costs in the whole product, by number of nodes: `husk up` on a sandbox of its own with hollow nodes, where the
//! dispatcher is the one that the chart runs, and the requests are those that the sandbox's API server counted.
//!
//! `HUSK=target/release/husk cargo bench -p fleet --bench sandbox -- 100 1000 10000`; with `upgrade 1000` a second `husk up`
//! with other values follows, over the Jobs of the first.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program for people, which may panic"
)]

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Up to so many nodes every change of stage is written down, which costs more.
const DETAILED: usize = 200;
/// Bounds in KiB: the dispatcher, and the sandbox with its API server, controllers and kubelets.
const MEMORY: (u64, u64) = (48 * 1024, 4 * 1024 * 1024);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(200);

const VALUES: &str = "deploymentMode: job
shims: {disableAll: true, qemu: {enabled: true}}
job: {ttlSecondsAfterFinished: 600}
";

/// One rollout.
struct Row {
    seconds: f64,
    /// Requests of the dispatcher.
    requests: u64,
    /// Requests a second in the first and in the second half of them.
    rates: (f64, f64),
    dispatcher: Process,
    sandbox: Process,
    /// Bytes of the newest release record.
    record: usize,
    good: bool,
}

/// Processor time in seconds and the peak of memory in KiB.
#[derive(Clone, Copy, Default)]
struct Process {
    seconds: f64,
    peak: u64,
}

struct Sandbox {
    husk: PathBuf,
    place: tempfile::TempDir,
    client: Client,
    pid: u32,
    /// Requests of dispatchers in earlier rollouts.
    before: u64,
}

fn main() {
    let husk = std::env::var_os("HUSK").unwrap_or_else(|| "target/release/husk".into());
    let husk = std::fs::canonicalize(PathBuf::from(&husk))
        .or_else(|_| std::fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&husk)))
        .expect("HUSK names a program");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let upgrade = std::env::args().any(|word| word == "upgrade");
    let mut sizes: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 1_000, 10_000];
    }
    println!(
        "{:>6}  {:>8}  {:>7}  {:>13}  {:>19}  {:>21}  {:>8}",
        "NODES", "TIME", "A NODE", "A SECOND", "DISPATCHER", "SANDBOX", "RECORD"
    );
    let mut good = true;
    for nodes in sizes {
        let mut sandbox = runtime.block_on(Sandbox::start(husk.clone(), nodes));
        let values = if upgrade { vec!["3", "2"] } else { vec!["3"] };
        for backoff in values {
            let row = runtime.block_on(sandbox.roll_out(backoff));
            let each = row.requests as f64 / (nodes + 1) as f64;
            println!(
                "{nodes:>6}  {:>6.1} s  {each:>7.2}  {:>5.0}, {:>5.0}  {:>6.1} s  {:>5.1} MiB  {:>7.1} s  {:>6.0} MiB  {:>6.1} K",
                row.seconds,
                row.rates.0,
                row.rates.1,
                row.dispatcher.seconds,
                row.dispatcher.peak as f64 / 1024.0,
                row.sandbox.seconds,
                row.sandbox.peak as f64 / 1024.0,
                row.record as f64 / 1024.0
            );
            let small = row.dispatcher.peak <= MEMORY.0 && row.sandbox.peak <= MEMORY.1;
            good &= row.good && small && (nodes <= DETAILED || each <= 4.0);
        }
    }
    println!("{}", if good { "within bounds: 48 MiB, 4 GiB, 4 requests a node" } else { "OUT OF BOUNDS" });
    std::process::exit(i32::from(!good));
}

impl Sandbox {
    async fn start(husk: PathBuf, nodes: usize) -> Sandbox {
        // In memory where there is such a place: the log of ten thousand Jobs is a gigabyte.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        std::fs::write(place.path().join("values.yaml"), VALUES).unwrap();
        let dir = place.path().join("sandbox");
        let up = Command::new(&husk)
            .args(["sandbox", "up", "--hosts", &format!("k8s:1,hollow:{nodes}")])
            .env("HUSK_SANDBOX_DIR", &dir)
            .stdout(Stdio::null())
            .status();
        assert!(up.unwrap().success(), "the sandbox does not start");
        let kubeconfig = Kubeconfig::read_from(dir.join("kubeconfig")).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let pid =
            find(|_, words| words.iter().any(|word| word == "serve") && words.iter().any(|w| Path::new(w) == dir));
        let (client, pid) = (connection::client(config).unwrap(), pid.expect("the sandbox runs"));
        Sandbox { husk, place, client, pid, before: 0 }
    }

    fn dir(&self) -> PathBuf {
        self.place.path().join("sandbox")
    }

    async fn text(&self, path: &str) -> String {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.client.request_text(request).await.unwrap()
    }

    /// How many requests of dispatchers the API server has counted.
    async fn counted(&self) -> u64 {
        let metrics = self.text("/metrics").await;
        let theirs = metrics.lines().filter(|line| line.contains("dispatcher") && !line.starts_with('#'));
        theirs.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    async fn roll_out(&mut self, backoff: &str) -> Row {
        let (begun, before) = (Instant::now(), process(self.pid).unwrap_or_default());
        let dir = self.dir();
        let mut up = tokio::process::Command::new(&self.husk)
            .args(["up", "--sandbox", "--chart", "kata-deploy", "--timeout", "7200", "-f"])
            .arg(self.place.path().join("values.yaml"))
            .args(["--set", &format!("job.backoffLimit={backoff}")])
            .env("HUSK_SANDBOX_DIR", &dir)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut dispatcher, mut pid) = (Process::default(), None);
        let mut counts = Vec::new();
        let status = loop {
            pid = pid.or_else(|| {
                let ours = |words: &[String]| words.iter().any(|word| word.ends_with("husk-dispatcher"));
                // There may be others on this machine.
                find(|pid, words| {
                    ours(words)
                        && words.get(1).is_some_and(|word| word == "dispatch")
                        && environment(pid).contains(&*dir.to_string_lossy())
                })
            });
            dispatcher = pid.and_then(process).unwrap_or(dispatcher);
            counts.push((begun.elapsed().as_secs_f64(), self.counted().await - self.before));
            if let Ok(status) = tokio::time::timeout(LOOK, up.wait()).await {
                break status.unwrap();
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        let requests = self.counted().await - self.before;
        self.before += requests;
        let after = process(self.pid).unwrap_or_default();
        let records: Value =
            serde_json::from_str(&self.text("/api/v1/secrets?fieldSelector=type%3Dhelm.sh%2Frelease.v1").await)
                .unwrap();
        let sizes = records["items"].as_array().into_iter().flatten();
        let record =
            sizes.filter_map(|secret| Some(secret["data"]["release"].as_str()?.len())).next_back().unwrap_or(0);
        Row {
            seconds,
            requests,
            rates: rates(&counts, requests),
            dispatcher,
            sandbox: Process { seconds: after.seconds - before.seconds, peak: after.peak },
            record,
            good: status.success(),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let mut down = Command::new(&self.husk);
        down.args(["sandbox", "down"]).env("HUSK_SANDBOX_DIR", self.dir()).stdout(Stdio::null());
        let _ = down.status();
    }
}

/// Requests a second until half of them were made, and from then on until all of them were.
fn rates(counts: &[(f64, u64)], requests: u64) -> (f64, f64) {
    let at =
        |wanted: u64| counts.iter().find(|(_, count)| *count >= wanted).or(counts.last()).copied().unwrap_or_default();
    let (first, half, last) = (at(1), at(requests / 2), at(requests));
    let rate = |from: (f64, u64), to: (f64, u64)| (to.1 - from.1) as f64 / (to.0 - from.0).max(0.001);
    (rate(first, half), rate(half, last))
}

/// Returns the process whose number and command line are such.
fn find(is: impl Fn(u32, &[String]) -> bool) -> Option<u32> {
    let pids = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is(*pid, &line.split('\0').map(str::to_owned).collect::<Vec<_>>())
    })
}

fn environment(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default()
}

fn process(pid: u32) -> Option<Process> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM"))?.split_whitespace().nth(1)?.parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // The clock of `/proc` ticks a hundred times a second.
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(Process { seconds: ticks / 100.0, peak })
}
