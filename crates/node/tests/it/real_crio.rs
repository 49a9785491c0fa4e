//! A real CRI-O reads what each of its rows of the matrix has written, starts with it and serves every handler; and again after the
//! removal.
//!
//! Needs root, runc and conmon. `HUSK_REAL_CRIO` names a directory with `crio` and `pinns`; see `cargo xtask real crio`.

use crate::host::TestHost;
use crate::matrix::rows;
use crate::real_containerd::handlers;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A daemon that ends with the test, whatever happens to it, and its files.
struct Daemon {
    process: Child,
    place: tempfile::TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The storage may be a mount of its own.
        let _ = Command::new("umount").arg(self.place.path().join("root/overlay")).output();
    }
}

#[test]
#[ignore = "needs root and CRI-O; run with HUSK_REAL_CRIO=… and --ignored"]
fn real_crio_serves_every_row() {
    let Some(programs) = std::env::var_os("HUSK_REAL_CRIO").map(PathBuf::from) else { return };
    let mut count = 0;
    for row in rows().iter().filter(|row| row.spec.layout().unit == "crio.service") {
        let host = row.host();
        let plain = served(&programs, &host).unwrap_or_else(|why| panic!("{} before: {why}", row.name));
        host.install().unwrap();
        let found = served(&programs, &host).unwrap_or_else(|why| panic!("{} with ours: {why}", row.name));
        let simulated: BTreeSet<String> = host.machine.borrow().handlers.iter().cloned().collect();
        assert_eq!(found, simulated, "{}: the simulated host serves others", row.name);
        assert!(found.iter().any(|name| name.starts_with("kata-qemu")), "{}: {found:?}", row.name);
        host.remove().unwrap();
        assert_eq!(served(&programs, &host), Ok(plain), "{}: after the removal", row.name);
        count += 1;
    }
    assert!(count > 2, "only {count} rows are for CRI-O");
}

/// Starts a CRI-O with a host's configuration and returns the handlers that it serves.
fn served(programs: &Path, host: &TestHost) -> Result<BTreeSet<String>, String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let still = host.still.as_ref().ok_or("not a whole host")?;
    let root = still.root();
    let at = |name: &str| place.path().join(name);
    std::fs::create_dir_all(at("crio.conf.d")).map_err(|error| error.to_string())?;
    let copy = |from: &Path, to: &Path| {
        let text = std::fs::read_to_string(from).map_err(|error| format!("{}: {error}", from.display()))?;
        // The host's runtimes are made of paper; ours must be there, each at its place.
        let text = text.replace("/usr/libexec/crio/conmon", "/usr/bin/conmon");
        let text = ["crun", "runc"]
            .iter()
            .fold(text, |text, name| text.replace(&format!("/usr/libexec/crio/{name}"), "/usr/sbin/runc"));
        let text = text.replace("\"/opt/", &format!("\"{}/opt/", root.display()));
        std::fs::write(to, text).map_err(|error| error.to_string())
    };
    copy(&root.join("etc/crio/crio.conf"), &at("crio.conf"))?;
    for entry in std::fs::read_dir(root.join("etc/crio/crio.conf.d")).map_err(|error| error.to_string())?.flatten() {
        copy(&entry.path(), &at("crio.conf.d").join(entry.file_name()))?;
    }
    let mut command = Command::new(programs.join("crio"));
    for (option, name) in [
        ("--config", "crio.conf"),
        ("--config-dir", "crio.conf.d"),
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
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(at("log")).map_err(|error| error.to_string())?)
        .spawn()
        .map_err(|error| error.to_string())?;
    let (log, socket) = (at("log"), at("crio.sock"));
    let mut daemon = Daemon { process, place };
    handlers(&mut daemon.process, &socket, &log)
}
