//! A running host: its root directory, its systemd, its container runtime, and the faults one may inject.

use crate::manifest::{self, Manifest};
use crate::populate::{self, Tree};
use crate::spec::HostSpec;
use crate::systemd::bus;
use crate::systemd::manager::{Manager, Verb};
use crate::toml::host_path;
use cri::message::PodSandbox;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the host cannot be written or read.
    #[error("host {host}: {}: {source}", path.display())]
    Io {
        /// The host's name.
        host: String,
        /// What was being worked on.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory already holds another host.
    #[error("{} holds the host {found}, not {wanted}", path.display())]
    Other {
        /// The directory.
        path: PathBuf,
        /// The host in it.
        found: String,
        /// The host asked for.
        wanted: String,
    },
}

/// What the container runtime is at a moment; what a kubelet would report of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// As in `node.status.nodeInfo.containerRuntimeVersion`: `containerd://1.7.27`. Empty before the first start.
    pub version_string: String,
    /// Whether the CRI answers.
    pub ready: bool,
    /// The handlers served, by name, without the default's empty one.
    pub handlers: Vec<String>,
    /// What a pod of each handler is started with.
    pub shims: std::collections::BTreeMap<String, crate::Shim>,
    /// Whether the runtime tells the kubelet its handlers, so that they show in `node.status.runtimeHandlers`.
    pub lists_handlers: bool,
    /// Why it is not ready, in the daemon's words.
    pub message: String,
}

/// What is to go wrong on a host. Each fault stays until it is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The runtime refuses every configuration but the one that it last ran with.
    pub refuse_changes: bool,
    /// The runtime does not come back from a start, whatever its configuration.
    pub stay_down: bool,
    /// A start neither succeeds nor fails.
    pub hang_restart: bool,
    /// A start takes this much longer.
    pub slow_restart: Duration,
    /// Each CRI answer takes this much longer.
    pub slow_answers: Duration,
    /// Handlers that the runtime does not serve although they are configured.
    pub hide_handlers: Vec<String>,
}

/// The parts that the running tasks share.
pub(crate) struct Machine {
    pub(crate) root: PathBuf,
    pub(crate) spec: HostSpec,
    pub(crate) manager: Manager,
    pub(crate) faults: watch::Sender<Faults>,
    status: watch::Sender<RuntimeStatus>,
    server: Mutex<Option<(cri::Server, PathBuf)>>,
    accepted: Mutex<Option<[u8; 32]>>,
    sandboxes: Mutex<Vec<PodSandbox>>,
    tasks: Mutex<Option<JoinSet<()>>>,
    pids: AtomicU32,
}

impl Machine {
    /// Runs a task that ends with the host.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = lock(&self.tasks).as_mut() {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    pub(crate) fn publish(&self, change: impl FnOnce(&mut RuntimeStatus)) {
        self.status.send_modify(change);
    }

    /// Replaces what serves the CRI; `None` closes it and removes the socket.
    pub(crate) fn serve(&self, server: Option<(cri::Server, PathBuf)>) {
        let mut slot = lock(&self.server);
        if let Some((old, path)) = slot.take() {
            drop(old);
            if server.is_none() {
                let _ = fs::remove_file(path);
            }
        }
        *slot = server;
    }

    /// Remembers the configuration that runs; `true` when it is another and changes are to be refused.
    pub(crate) fn accept(&self, digest: [u8; 32], refuse_changes: bool) -> bool {
        let mut accepted = lock(&self.accepted);
        if refuse_changes && accepted.is_some_and(|known| known != digest) {
            return true;
        }
        *accepted = Some(digest);
        false
    }

    pub(crate) fn sandboxes(&self) -> Vec<PodSandbox> {
        lock(&self.sandboxes).clone()
    }

    pub(crate) fn next_pid(&self) -> u32 {
        self.pids.fetch_add(7, Ordering::Relaxed)
    }

    fn journal_path(&self, unit: &str) -> PathBuf {
        self.root.join("run/log").join(format!("{unit}.log"))
    }

    /// Opens a unit's journal to append to.
    pub(crate) fn journal(&self, unit: &str) -> io::Result<File> {
        fs::create_dir_all(self.root.join("run/log"))?;
        File::options().create(true).append(true).open(self.journal_path(unit))
    }

    /// Adds a line to a unit's journal. A full disk loses it, as it would on a real host.
    pub(crate) fn log(&self, unit: &str, line: &str) {
        tracing::debug!(host = %self.spec.name, unit, "{line}");
        if let Ok(mut file) = self.journal(unit) {
            let _ = writeln!(file, "{line}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No holder panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A simulated host that runs. Dropping it is pulling the plug; starting it again in the same directory is a boot.
pub struct Host {
    machine: Arc<Machine>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("spec", &self.machine.spec).field("root", &self.machine.root).finish()
    }
}

impl Host {
    /// Boots a host. Its disk is `<dir>/root`, installed first when it is not there yet.
    ///
    /// Returns when the units that are enabled have been started, which includes a runtime that failed to: see
    /// [`Host::runtime`]. Needs a tokio runtime.
    pub async fn start(spec: HostSpec, dir: &Path) -> Result<Host, Error> {
        let failed =
            |path: &Path, source: io::Error| Error::Io { host: spec.name.clone(), path: path.to_owned(), source };
        fs::create_dir_all(dir).map_err(|source| failed(dir, source))?;
        let dir = std::path::absolute(dir).map_err(|source| failed(dir, source))?;
        let root = dir.join("root");
        if root.symlink_metadata().is_ok() {
            let describe = |spec: &HostSpec| format!("{} ({})", spec.name, spec.kind);
            let path = dir.join(SPEC);
            let text = fs::read(&path).map_err(|source| failed(&path, source))?;
            let found: HostSpec =
                serde_json::from_slice(&text).map_err(|error| failed(&path, io::Error::other(error)))?;
            if (&found.name, found.kind) != (&spec.name, spec.kind) {
                return Err(Error::Other { path: dir, found: describe(&found), wanted: describe(&spec) });
            }
        } else {
            install(&spec, &dir, &root).map_err(|source| failed(&root, source))?;
        }
        populate::boot(&Tree { root: &root, spec: &spec }).map_err(|source| failed(&root, source))?;

        let machine = Arc::new(Machine {
            root,
            spec,
            manager: Manager::new(),
            faults: watch::Sender::default(),
            status: watch::Sender::default(),
            server: Mutex::default(),
            accepted: Mutex::default(),
            sandboxes: Mutex::default(),
            tasks: Mutex::new(Some(JoinSet::new())),
            pids: AtomicU32::new(812),
        });
        let host = Host { machine };
        bus::listen(&host.machine).map_err(|source| Error::Io {
            host: host.spec().name.clone(),
            path: host.root().join("run/systemd/private"),
            source,
        })?;
        host.boot_units().await;
        Ok(host)
    }

    async fn boot_units(&self) {
        let Some(target) = self.machine.load("multi-user.target") else { return };
        let (started, up) = tokio::sync::oneshot::channel();
        let machine = Arc::clone(&self.machine);
        self.machine.spawn(async move {
            machine.run(&target, Verb::Start).await;
            let _ = started.send(());
        });
        // Units that hang do not keep the machine from being up.
        let _ = tokio::time::timeout(Duration::from_secs(2), up).await;
    }

    /// The directory that is the host's `/`.
    pub fn root(&self) -> &Path {
        &self.machine.root
    }

    /// What the host was made from.
    pub fn spec(&self) -> &HostSpec {
        &self.machine.spec
    }

    /// Places a path of the host below [`Host::root`], following the host's own links.
    pub fn path(&self, path: &str) -> PathBuf {
        host_path(&self.machine.root, path)
    }

    /// What the container runtime is now.
    pub fn runtime(&self) -> RuntimeStatus {
        self.machine.status.borrow().clone()
    }

    /// Tells of every change of [`Host::runtime`].
    pub fn watch_runtime(&self) -> watch::Receiver<RuntimeStatus> {
        self.machine.status.subscribe()
    }

    /// The content of `/etc/machine-id`; empty when someone removed it.
    pub fn machine_id(&self) -> String {
        fs::read_to_string(self.path("/etc/machine-id")).unwrap_or_default().trim().to_owned()
    }

    /// How often a unit was restarted on request since the boot.
    pub fn restarts(&self, unit: &str) -> u32 {
        self.machine.manager.lock().get(unit).map_or(0, |unit| unit.state.restarts)
    }

    /// A unit's `ActiveState` and `SubState`; `None` when no such unit is loaded.
    pub fn unit_state(&self, unit: &str) -> Option<(&'static str, &'static str)> {
        self.machine.manager.lock().get(unit).map(|unit| (unit.state.active, unit.state.sub))
    }

    /// What a unit has written to its journal since the boot, oldest line first.
    pub fn journal(&self, unit: &str) -> Vec<String> {
        let text = fs::read_to_string(self.machine.journal_path(unit)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Changes what is to go wrong.
    pub fn inject(&self, change: impl FnOnce(&mut Faults)) {
        self.machine.faults.send_modify(change);
    }

    /// Sets the pod sandboxes that the runtime lists.
    pub fn set_sandboxes(&self, sandboxes: Vec<PodSandbox>) {
        *lock(&self.machine.sandboxes) = sandboxes;
    }

    /// Lists what is on the host's disk: see [`manifest::scan`].
    pub fn manifest(&self) -> io::Result<Manifest> {
        manifest::scan(&self.machine.root)
    }

    /// Stops everything on the host and waits for it.
    pub async fn shutdown(self) {
        self.machine.serve(None);
        let tasks = lock(&self.machine.tasks).take();
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.machine.serve(None);
        // Dropping the set ends every task, and with them the children that they wait for.
        drop(lock(&self.machine.tasks).take());
    }
}

/// What a directory's host was made from, beside its root.
const SPEC: &str = "host.json";

/// Installs beside the final place and renames, so that a host is either there or not.
pub(crate) fn install(spec: &HostSpec, dir: &Path, root: &Path) -> io::Result<()> {
    let fresh = dir.join("root.installing");
    match fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(&fresh)?,
    }
    fs::create_dir_all(dir)?;
    fs::write(dir.join(SPEC), serde_json::to_vec_pretty(spec)?)?;
    let tree = Tree { root: &fresh, spec };
    populate::install(&tree, &machine_id(spec, dir))?;
    fs::rename(&fresh, root)
}

/// A machine installed anew is another machine, even under the same name.
fn machine_id(spec: &HostSpec, dir: &Path) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let digest = Sha256::digest(format!("{}\0{}\0{now}", spec.name, dir.display()));
    hex::encode(&digest[..16])
}
