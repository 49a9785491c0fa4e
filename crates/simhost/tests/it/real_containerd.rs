//! Asks a real containerd what it makes of every case, and compares with what the simulation is tested for.
//!
//! Needs root and a `containerd` program. Run with `HUSK_REAL_CONTAINERD=containerd` (a name on the path, or a path).

use crate::bus::Systemd;
use crate::cases::{CASES, Outcome, outcome};
use cri::{Client, Code, Error, handlers};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use simhost::{Host, HostKind, HostSpec};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[tokio::test]
#[ignore = "needs root and containerd; run with HUSK_REAL_CONTAINERD=containerd and --ignored"]
async fn real_containerd_does_what_simulated_hosts_do() {
    let (program, version) = program();
    let mut wrong = Vec::new();
    for case in CASES {
        let (found, log) = ask(&program, case.config, case.drop_in).await;
        let expected = case.expected(&version);
        if found != expected {
            wrong.push(format!("{}: {found:?}, not {expected:?}\n{log}", case.name));
        }
    }
    assert!(wrong.is_empty(), "containerd {version}:\n{}", wrong.join("\n"));
}

fn program() -> (String, String) {
    let program = std::env::var("HUSK_REAL_CONTAINERD").expect("HUSK_REAL_CONTAINERD names the program");
    let version = Command::new(&program).arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let version = version.split_whitespace().nth(2).unwrap().trim_start_matches('v').to_owned();
    (program, version)
}

/// A main file and a drop-in, made of pieces that interact.
fn configurations() -> impl Strategy<Value = (String, String)> {
    let plugin = prop_oneof![
        3 => Just("'io.containerd.grpc.v1.cri'"),
        3 => Just("'io.containerd.cri.v1.runtime'"),
        1 => Just("'io.containerd.cri.v1.images'"),
        1 => Just("cri"),
    ];
    let setting = prop_oneof![
        4 => "[a-c]|runc".prop_map(|name| format!(".containerd.runtimes.{name}]\nruntime_type = 'x'")),
        1 => "[a-c]|runc|".prop_map(|name| format!(".containerd]\ndefault_runtime_name = '{name}'")),
        1 => "overlayfs|native|nope|nydus".prop_map(|name| format!(".containerd]\nsnapshotter = '{name}'")),
        1 => "overlayfs|nope".prop_map(|name| format!("]\nsnapshotter = '{name}'")),
        1 => Just(".containerd.runtimes]".to_owned()),
        1 => Just(".containerd]".to_owned()),
        1 => Just(".registry]\nconfig_path = '/x'".to_owned()),
        1 => Just(".registry.mirrors.'a.b']\nendpoint = ['https://x']".to_owned()),
    ];
    let piece = (plugin, setting).prop_map(|(plugin, setting)| format!("[plugins.{plugin}{setting}\n"));
    let other = prop_oneof![
        6 => Just(""),
        1 => Just("disabled_plugins = ['io.containerd.grpc.v1.cri']\n"),
        1 => Just("disabled_plugins = []\n"),
    ];
    let proxy =
        prop_oneof![3 => Just(""), 1 => Just("[proxy_plugins.nydus]\ntype = 'snapshot'\naddress = '/x.sock'\n")];
    let version = prop_oneof![1 => Just(""), 4 => Just("version = 2\n"), 3 => Just("version = 3\n")];
    let body = || {
        (version.clone(), other.clone(), prop::collection::btree_set(piece.clone(), 0..5), proxy.clone()).prop_map(
            |(version, other, pieces, proxy)| {
                (format!("{version}{other}"), pieces.into_iter().collect::<String>() + proxy)
            },
        )
    };
    let import = prop_oneof![1 => Just(""), 3 => Just("imports = ['@D@/extra.toml']\n")];
    (body(), import, body()).prop_map(|((top, tables), import, (extra_top, extra_tables))| {
        (format!("{top}{import}{tables}"), format!("{extra_top}{extra_tables}"))
    })
}

#[tokio::test]
#[ignore = "needs root and containerd; run with HUSK_REAL_CONTAINERD=containerd and --ignored"]
async fn real_containerd_agrees_on_configurations_at_random() {
    let (program, version) = program();
    let directory = tempfile::tempdir().unwrap();
    let mut spec = HostSpec::new("node-1", HostKind::Containerd21);
    spec.runtime_version = Some(version.clone());
    let host = Host::start(spec, directory.path()).await.unwrap();
    let systemd = Systemd::connect(&host).await;
    let mut runner = TestRunner::deterministic();
    let (mut wrong, mut seen) = (Vec::new(), [0; 3]);
    for _ in 0..150 {
        let (config, drop_in) = configurations().new_tree(&mut runner).unwrap().current();
        let (real, log) = ask(&program, &config, &drop_in).await;
        let simulated = outcome(&host, &systemd, &config, &drop_in).await;
        seen[match real {
            Outcome::Exits => 0,
            Outcome::NoCri => 1,
            Outcome::Serves(_) => 2,
        }] += 1;
        if real != simulated {
            let log: Vec<_> = log.lines().filter(|line| !line.contains("level=info")).collect();
            wrong.push(format!(
                "real {real:?}, simulated {simulated:?}\n{config}--- drop-in\n{drop_in}--- log\n{}\n",
                log.join("\n")
            ));
        }
    }
    // Whatever differs matters more than how much was covered.
    assert!(wrong.is_empty(), "containerd {version}: {} of 150 differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen.iter().all(|count| *count > 2), "too much alike: {seen:?}");
}

/// A daemon that ends with the test, whatever happens to it.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn ask(program: &str, config: &str, drop_in: &str) -> (Outcome, String) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("config.toml"), config.replace("@D@", &directory.path().display().to_string())).unwrap();
    std::fs::write(at("extra.toml"), drop_in).unwrap();
    let log = std::fs::File::create(at("log")).unwrap();
    let socket = at("containerd.sock");
    let child = Command::new(program)
        .arg("--config")
        .arg(at("config.toml"))
        .arg("--root")
        .arg(at("root"))
        .arg("--state")
        .arg(at("state"))
        .arg("--address")
        .arg(&socket)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut daemon = Daemon(child);
    let read_log = || std::fs::read_to_string(at("log")).unwrap_or_default();
    let begun = Instant::now();
    let outcome = loop {
        if daemon.0.try_wait().unwrap().is_some() {
            break Outcome::Exits;
        }
        if read_log().contains("successfully booted") {
            let client = Client::connect(&socket, Duration::from_secs(20)).await.unwrap();
            break match client.status(true).await {
                Ok(status) => Outcome::Serves(handlers::served(&status).unwrap().into_iter().collect()),
                Err(Error::Refused { status, .. }) if status.code() == Code::Unimplemented => Outcome::NoCri,
                // "server is not initialized yet"
                Err(Error::Refused { status, .. }) if status.code() == Code::Unknown => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                Err(error) => panic!("{error}\n{config}\n{}", read_log()),
            };
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "neither up nor down\n{config}\n{}", read_log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    drop(daemon);
    (outcome, read_log())
}
