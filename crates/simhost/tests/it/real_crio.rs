//! Asks a real CRI-O what it makes of every case, and compares with what the simulation is tested for.
//!
//! Needs root, runc and conmon. Run with `HUSK_REAL_CRIO`: a directory with `crio` and `pinns`, as `cargo xtask real crio` builds.

use crate::crio::{CASES, FILES, Outcome, Simulated, at_random, write};
use cri::{Client, handlers};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn programs() -> PathBuf {
    std::env::var_os("HUSK_REAL_CRIO").expect("HUSK_REAL_CRIO names a directory").into()
}

#[tokio::test]
#[ignore = "needs root and CRI-O; run with HUSK_REAL_CRIO=… and --ignored"]
async fn real_crio_does_what_simulated_hosts_do() {
    let programs = programs();
    let mut wrong = Vec::new();
    for case in CASES {
        let (found, log) = ask(&programs, case.main, case.drop_ins).await;
        let expected = case.expected();
        if found != expected {
            wrong.push(format!("{}: {found:?}, not {expected:?}\n{log}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
#[ignore = "needs root and CRI-O; run with HUSK_REAL_CRIO=… and --ignored"]
async fn real_crio_agrees_on_configurations_at_random() {
    let programs = programs();
    let directory = crate::bus::disk();
    let host = Simulated::start(directory.path()).await;
    let (mut wrong, mut seen) = (Vec::new(), [0; 2]);
    for [main, first, second] in at_random(150) {
        let drop_ins = [("10-first", first.as_str()), ("99-second", second.as_str())];
        let (real, log) = ask(&programs, &main, &drop_ins).await;
        let simulated = host.ask(&main, &drop_ins).await;
        seen[usize::from(real.is_some())] += 1;
        if real != simulated {
            wrong.push(format!(
                "real {real:?}, simulated {simulated:?}\n{main}--- first\n{first}--- second\n{second}--- log\n{log}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of 150 differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen.iter().all(|count| *count > 10), "too much alike: {seen:?}");
}

/// A daemon that ends with the test, whatever happens to it.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the daemon serves with a configuration; and its warnings and errors.
async fn ask(programs: &Path, main: &str, drop_ins: &[(&str, &str)]) -> (Outcome, String) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("files")).unwrap();
    for name in FILES {
        std::fs::write(at("files").join(name), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(at("files").join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    write(&at("etc"), &at("files").display().to_string(), main, drop_ins);
    // The built-in handler, which Debian 12 has as a package of its own.
    std::fs::create_dir(at("bin")).unwrap();
    std::os::unix::fs::symlink("/usr/sbin/runc", at("bin/crun")).unwrap();
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
    let socket = at("crio.sock");
    let mut command = Command::new(programs.join("crio"));
    for (option, name) in [
        ("--config", "etc/crio.conf"),
        ("--config-dir", "etc/crio.conf.d"),
        ("--root", "root"),
        ("--runroot", "runroot"),
        ("--listen", "crio.sock"),
        ("--version-file", "version"),
        ("--clean-shutdown-file", "clean"),
        ("--container-exits-dir", "exits"),
        ("--container-attach-socket-dir", "attach"),
        ("--namespaces-dir", "namespaces"),
        ("--cni-config-dir", "cni"),
    ] {
        command.arg(option).arg(at(name));
    }
    let child = command
        .args(["--storage-driver=overlay", "--enable-nri=false", "--cgroup-manager=cgroupfs", "--pinns-path"])
        .arg(programs.join("pinns"))
        .env("PATH", path)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(at("log")).unwrap())
        .spawn()
        .unwrap();
    let mut daemon = Daemon(child);
    let read_log = || {
        let log = std::fs::read_to_string(at("log")).unwrap_or_default();
        log.lines()
            .filter(|line| !line.contains("level=info") && !line.contains("level=debug"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let begun = Instant::now();
    let outcome = loop {
        if daemon.0.try_wait().unwrap().is_some() {
            break None;
        }
        if let Ok(client) = Client::connect(&socket, Duration::from_secs(20)).await
            && let Ok(status) = client.status(true).await
        {
            break Some(handlers::served(&status).unwrap().into_iter().collect());
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "neither up nor down\n{main}\n{}", read_log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    drop(daemon);
    // The storage is a mount of its own.
    let _ = Command::new("umount").arg(at("root/overlay")).output();
    (outcome, read_log())
}
