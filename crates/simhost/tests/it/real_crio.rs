//! Asks a real CRI-O what it makes of every case, and compares with what the simulation is tested for.
//!
//! Needs root, runc and conmon. Run with `HUSK_REAL_CRIO`: a directory with `crio` and `pinns`, as `cargo xtask real crio` builds.

use crate::crio::{CASES, FILES, Outcome, Simulated, at_random, write};
use cri::{Client, handlers};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The directory; nothing where only containerd is to be asked.
fn programs() -> Option<PathBuf> {
    std::env::var_os("HUSK_REAL_CRIO").map(PathBuf::from)
}

#[tokio::test]
#[ignore = "needs root and CRI-O; run with HUSK_REAL_CRIO=… and --ignored"]
async fn real_crio_does_what_simulated_hosts_do() {
    let Some(programs) = programs() else { return };
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
    let Some(programs) = programs() else { return };
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

#[tokio::test]
#[ignore = "needs root and CRI-O; run with HUSK_REAL_CRIO=… and --ignored"]
async fn real_crio_answers_as_simulated_hosts_do() {
    let Some(programs) = programs() else { return };
    let drop_ins = [("10", "[crio.runtime]\ncgroup_manager = 'cgroupfs'\n")];
    let directory = crate::bus::disk();
    let host = Simulated::start(directory.path()).await;
    // No network either, as for the real one.
    std::fs::remove_dir_all(host.path("/etc/cni/net.d")).unwrap();
    host.ask("", &drop_ins).await.unwrap();
    let mut daemon = Daemon::start(&programs, "", &drop_ins);
    let real = daemon.client().await.expect("it serves");
    let simulated = Client::connect(&host.path("/run/crio/crio.sock"), Duration::from_secs(20)).await.unwrap();
    assert_eq!(real.version().await.unwrap(), simulated.version().await.unwrap());
    assert_eq!(real.runtime_config().await.unwrap(), simulated.runtime_config().await.unwrap());
    assert_eq!(real.pod_sandboxes(None).await.unwrap(), simulated.pod_sandboxes(None).await.unwrap());
    let [mut real, mut simulated] = [real.status(true).await.unwrap(), simulated.status(true).await.unwrap()];
    for status in [&mut real, &mut simulated] {
        let config: serde_json::Value = serde_json::from_str(&status.info.remove("config").unwrap()).unwrap();
        assert!(config["sandboxImage"].is_string() && config["crio"]["DefaultRuntime"] == "crun", "{config}");
        for condition in &mut status.status.as_mut().unwrap().conditions {
            condition.message.clear();
        }
        // What runc on this machine can do is another matter.
        status.runtime_handlers.iter_mut().for_each(|handler| handler.features = None);
        status.runtime_handlers.sort_by(|one, other| one.name.cmp(&other.name));
    }
    assert_eq!(real, simulated);
}

/// A daemon that ends with the test, whatever happens to it, and its files.
struct Daemon {
    process: std::process::Child,
    directory: tempfile::TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The storage is a mount of its own.
        let _ = Command::new("umount").arg(self.directory.path().join("root/overlay")).output();
    }
}

/// What the daemon serves with a configuration; and its warnings and errors.
async fn ask(programs: &Path, main: &str, drop_ins: &[(&str, &str)]) -> (Outcome, String) {
    let mut daemon = Daemon::start(programs, main, drop_ins);
    let outcome = match daemon.client().await {
        None => None,
        Some(client) => {
            let status = client.status(true).await.unwrap();
            Some(handlers::served(&status).unwrap().into_iter().collect())
        }
    };
    (outcome, daemon.log())
}

impl Daemon {
    fn start(programs: &Path, main: &str, drop_ins: &[(&str, &str)]) -> Daemon {
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
        let process = command
            .args(["--storage-driver=overlay", "--enable-nri=false", "--cgroup-manager=cgroupfs", "--pinns-path"])
            .arg(programs.join("pinns"))
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        Daemon { process, directory }
    }

    /// A client, when it is up; nothing when it has ended.
    async fn client(&mut self) -> Option<Client> {
        let socket = self.directory.path().join("crio.sock");
        let begun = Instant::now();
        loop {
            if self.process.try_wait().unwrap().is_some() {
                return None;
            }
            if let Ok(client) = Client::connect(&socket, Duration::from_secs(20)).await
                && client.version().await.is_ok()
            {
                return Some(client);
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "neither up nor down\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let told = log.lines().filter(|line| !line.contains("level=info") && !line.contains("level=debug"));
        told.collect::<Vec<_>>().join("\n")
    }
}
