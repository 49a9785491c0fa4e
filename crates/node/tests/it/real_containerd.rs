//! Real containerds read what each row of the matrix has written, start with it and serve every handler; and again after the removal.
//!
//! Needs root. `HUSK_REAL_CONTAINERD` names the programs, with commas between.

use crate::host::TestHost;
use crate::matrix::{Row, rows};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon that ends with the test, whatever happens to it.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Program {
    path: PathBuf,
    /// `1.7`.
    line: String,
}

fn programs() -> Vec<Program> {
    let names = std::env::var("HUSK_REAL_CONTAINERD").expect("HUSK_REAL_CONTAINERD names programs");
    let ask = |name: &str| {
        let told = Command::new(name).arg("--version").output().unwrap_or_else(|error| panic!("{name}: {error}"));
        let told = String::from_utf8(told.stdout).unwrap();
        let version = told.split_whitespace().nth(2).unwrap().trim_start_matches('v').to_owned();
        let line = version.split('.').take(2).collect::<Vec<_>>().join(".");
        Program { path: name.into(), line }
    };
    names.split(',').filter(|name| !name.is_empty()).map(ask).collect()
}

/// Rows that a program of this line can be asked about. The first 2.x at hand stands for all of them.
fn fits(row: &Row, line: &str) -> bool {
    let version = row.spec.runtime_version();
    row.spec.layout().unit != "crio.service"
        && match line.split_once('.') {
            Some(("1", _)) => version.starts_with(&format!("{line}.")),
            _ => version.starts_with("2."),
        }
}

#[test]
#[ignore = "needs root and containerds; run with HUSK_REAL_CONTAINERD=containerd,… and --ignored"]
fn real_containerds_serve_every_row() {
    for program in programs() {
        let mut count = 0;
        for row in rows().iter().filter(|row| fits(row, &program.line)) {
            let host = row.host();
            let plain = served(&program.path, &host).unwrap_or_else(|why| panic!("{} before: {why}", row.name));
            host.install().unwrap();
            let found = served(&program.path, &host).unwrap_or_else(|why| panic!("{} with ours: {why}", row.name));
            let simulated: BTreeSet<String> = host.machine.borrow().handlers.iter().cloned().collect();
            assert_eq!(found, simulated, "{}: the simulated host serves others", row.name);
            assert!(found.iter().any(|name| name.starts_with("kata-qemu")), "{}: {found:?}", row.name);
            host.remove().unwrap();
            assert_eq!(served(&program.path, &host), Ok(plain), "{}: after the removal", row.name);
            count += 1;
        }
        assert!(count > 0, "no row is for containerd {}", program.line);
        println!("containerd {}: {count} rows served and removed", program.line);
    }
}

/// Starts a containerd with a host's configuration and returns the handlers that it serves.
fn served(program: &Path, host: &TestHost) -> Result<BTreeSet<String>, String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let root = place.path().join("host");
    let still = host.still.as_ref().ok_or("not a whole host")?;
    copy(still.root(), &root, &root)?;
    let socket = place.path().join("containerd.sock");
    let log = std::fs::File::create(place.path().join("log")).map_err(|error| error.to_string())?;
    let config = std::fs::canonicalize(simhost_path(&root, still.spec().layout().config));
    let config = config.unwrap_or_else(|_| root.join("none.toml"));
    if !config.exists() {
        std::fs::write(&config, "").map_err(|error| error.to_string())?;
    }
    // the erofs plugin wants mkfs.erofs, which the simulated host has
    let own = std::env::var("PATH").unwrap_or_default();
    let mut daemon = Daemon(
        Command::new(program)
            .env("PATH", format!("{own}:{}", still.root().join("usr/bin").display()))
            .arg("--config")
            .arg(config)
            .arg("--address")
            .arg(&socket)
            .arg("--root")
            .arg(place.path().join("root"))
            .arg("--state")
            .arg(place.path().join("state"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?,
    );
    handlers(&mut daemon.0, &socket, &place.path().join("log"))
}

/// Waits until a daemon answers at its socket and returns the handlers that it serves; if it ends, what it logged.
pub(crate) fn handlers(process: &mut Child, socket: &Path, log: &Path) -> Result<BTreeSet<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    let log = || std::fs::read_to_string(log).unwrap_or_default();
    loop {
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("it ended with {status}:\n{}", log()));
        }
        let asked = runtime.block_on(async {
            let client = cri::Client::connect(socket, Duration::from_secs(20)).await.map_err(|e| e.to_string())?;
            let status = client.status(true).await.map_err(|error| error.to_string())?;
            cri::handlers::served(&status).ok_or_else(|| "the status names no handlers".to_owned())
        });
        match asked {
            Ok(served) => return Ok(served.into_iter().collect()),
            Err(why) if begun.elapsed() > Duration::from_secs(60) => return Err(format!("{why}\n{}", log())),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A path of the host, below the copy of its root, with the host's own links on the way.
fn simhost_path(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Copies configuration files, with every absolute path in them taken below the copy.
fn copy(from: &Path, to: &Path, root: &Path) -> Result<(), String> {
    std::fs::create_dir_all(to).map_err(|error| error.to_string())?;
    for entry in std::fs::read_dir(from).map_err(|error| error.to_string())?.flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| error.to_string())?;
        if kind.is_dir() {
            copy(&source, &target, root)?;
        } else if kind.is_symlink() {
            let link = std::fs::read_link(&source).map_err(|error| error.to_string())?;
            let link = if link.is_absolute() { root.join(link.strip_prefix("/").unwrap()) } else { link };
            std::os::unix::fs::symlink(link, &target).map_err(|error| error.to_string())?;
        } else if source.extension().is_some_and(|ending| ending == "toml") {
            let text = std::fs::read_to_string(&source).map_err(|error| error.to_string())?;
            let root = root.display();
            let text = text.replace("\"/", &format!("\"{root}/")).replace("'/", &format!("'{root}/"));
            // whether the file system below can do this is the machine's business, and containerd does not start where it cannot
            let text = text.replace("enable_fsverity = true", "enable_fsverity = false");
            std::fs::write(&target, text).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
