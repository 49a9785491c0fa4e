//! Asks a real containerd what it makes of every case, and compares with what the simulation is tested for.
//!
//! Needs root and a `containerd` program. Run with `HUSK_REAL_CONTAINERD=containerd` (a name on the path, or a path).

use crate::cases::{CASES, Case, Outcome};
use cri::{Client, handlers};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[tokio::test]
#[ignore = "needs root and containerd; run with HUSK_REAL_CONTAINERD=containerd and --ignored"]
async fn real_containerd_does_what_simulated_hosts_do() {
    let program = std::env::var("HUSK_REAL_CONTAINERD").expect("HUSK_REAL_CONTAINERD names the program");
    let version = Command::new(&program).arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let version = version.split_whitespace().nth(2).unwrap().trim_start_matches('v').to_owned();
    let mut wrong = Vec::new();
    for case in CASES {
        let (found, log) = ask(&program, case).await;
        let expected = case.expected(&version);
        if found != expected {
            wrong.push(format!("{}: {found:?}, not {expected:?}\n{log}", case.name));
        }
    }
    assert!(wrong.is_empty(), "containerd {version}:\n{}", wrong.join("\n"));
}

async fn ask(program: &str, case: &Case) -> (Outcome, String) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("config.toml"), case.config.replace("@D@", &directory.path().display().to_string())).unwrap();
    std::fs::write(at("extra.toml"), case.drop_in).unwrap();
    let log = std::fs::File::create(at("log")).unwrap();
    let socket = at("containerd.sock");
    let mut child = Command::new(program)
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
    let read_log = || std::fs::read_to_string(at("log")).unwrap_or_default();
    let begun = Instant::now();
    let outcome = loop {
        if child.try_wait().unwrap().is_some() {
            break Outcome::Exits;
        }
        if read_log().contains("successfully booted") {
            let client = Client::connect(&socket, Duration::from_secs(5)).await.unwrap();
            break match client.status(true).await {
                Ok(status) => Outcome::Serves(handlers::served(&status).unwrap().into_iter().collect()),
                Err(_) => Outcome::NoCri,
            };
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{}: neither up nor down\n{}", case.name, read_log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let _ = child.kill();
    let _ = child.wait();
    (outcome, read_log())
}
