//! The sandbox in the background: started once, found again, replaced when dead, stopped, removed.
//!
//! Whether a sandbox lives is told by the lock that its process holds on `lock` in the directory, which the kernel takes
//! back when the process ends in whatever way. Once it is ready it answers on the socket `control` with its [`Status`];
//! a process that is just being killed answers nobody.

use crate::cluster::{Cluster, Error as ClusterError};
use crate::options::{Options, describe};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use simhost::HostSpec;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a sandbox may take to become ready.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How long it may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// The socket on which a sandbox answers.
const CONTROL: &str = "control";
/// How often something outside this process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A sandbox that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The port of the API server on 127.0.0.1.
    pub port: u16,
}

/// What [`ensure`] found or started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The process.
    pub pid: u32,
    /// Whether it was running already.
    pub reused: bool,
}

/// What can go wrong with a sandbox in the background.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the sandbox cannot be read or written, or its process not started.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The cluster does not start.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Another process runs a sandbox in the directory.
    #[error("a sandbox is running in {} already", .0.display())]
    Busy(PathBuf),
    /// The sandbox in the directory has other hosts than those asked for.
    #[error("the sandbox in {} has the hosts {found}; remove it first to have {wanted}", dir.display())]
    OtherHosts {
        /// The directory.
        dir: PathBuf,
        /// Its hosts.
        found: String,
        /// Those asked for.
        wanted: String,
    },
    /// It ended, or did not become ready in time.
    #[error("the sandbox did not start: {why}; the last lines of {}:\n{lines}", log.display())]
    NotStarted {
        /// What happened.
        why: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        lines: String,
    },
    /// The directory holds something, but no sandbox.
    #[error("{} is not a sandbox's directory; nothing was removed", .0.display())]
    NotASandbox(PathBuf),
}

impl Error {
    /// Returns the entry of the error catalogue.
    pub fn code(&self) -> contract::Code {
        match self {
            Error::OtherHosts { .. } => contract::Code::SANDBOX_HOSTS,
            Error::NotASandbox(_) => contract::Code::NO_SANDBOX,
            Error::Io { .. } | Error::Cluster(_) | Error::Busy(_) | Error::NotStarted { .. } => {
                contract::Code::SANDBOX_UNUSABLE
            }
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

fn open_lock(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(failed(path))
}

/// Runs a sandbox in this process until SIGTERM or SIGINT; for the hidden verb `sandbox serve`.
pub fn serve(options: Options) -> Result<(), Error> {
    std::fs::create_dir_all(&options.dir).map_err(failed(&options.dir))?;
    let path = options.dir.join("lock");
    let lock = open_lock(&path)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| Error::Busy(options.dir.clone()))?;
    options.save().map_err(failed(&options.dir))?;
    let socket = options.dir.join(CONTROL);
    remove_file(&socket)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed(&options.dir))?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(failed(&options.dir))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed(&options.dir))?;
        let started = Instant::now();
        let start = Cluster::start(options.clone());
        let cluster = tokio::select! {
            cluster = start => cluster?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        let status = Status { pid: std::process::id(), kubeconfig: cluster.kubeconfig(), port: cluster.port() };
        let text = serde_json::to_string(&status).unwrap_or_default();
        let listener = bind(&options.dir).map_err(failed(&socket))?;
        let answering = tokio::spawn(answer(listener, text));
        tracing::info!(took = ?started.elapsed(), port = status.port, "the sandbox is ready");
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
        }
        answering.abort();
        cluster.shutdown().await;
        remove_file(&socket)
    })?;
    // Connections that clients keep open must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

/// Tells whether a process holds the sandbox of a directory.
fn is_held(dir: &Path) -> Result<bool, Error> {
    let path = dir.join("lock");
    if !path.exists() {
        return Ok(false);
    }
    let lock = open_lock(&path)?;
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(failed(&path)(error.into())),
    }
}

/// Returns a path to the control socket that is short enough for a socket's address, and the directory that it needs open.
fn control(dir: &Path) -> io::Result<(File, PathBuf)> {
    let open = File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{CONTROL}", open.as_raw_fd()));
    Ok((open, path))
}

fn bind(dir: &Path) -> io::Result<tokio::net::UnixListener> {
    let (_open, path) = control(dir)?;
    tokio::net::UnixListener::bind(path)
}

/// Answers every connection with the status.
async fn answer(listener: tokio::net::UnixListener, status: String) {
    use tokio::io::AsyncWriteExt;
    while let Ok((mut stream, _)) = listener.accept().await {
        // Whoever asks and does not listen misses the answer.
        let _ = stream.write_all(status.as_bytes()).await;
    }
}

/// Returns the sandbox that runs in a directory and is ready.
pub fn status(dir: &Path) -> Result<Option<Status>, Error> {
    if !is_held(dir)? {
        return Ok(None);
    }
    let ask = || -> io::Result<Status> {
        let (_open, path) = control(dir)?;
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        serde_json::from_str(&text).map_err(io::Error::from)
    };
    // Not there yet, or not any more: whoever waits asks again.
    Ok(ask().ok())
}

/// Sees to it that a sandbox runs in a directory: finds it, or starts it detached (`exe sandbox serve --dir DIR`) and waits
/// until it is ready.
///
/// A sandbox that was there before keeps its hosts; asking for others is an error. State that a killed sandbox left behind
/// is taken up where it stopped.
pub fn ensure(dir: &Path, exe: &Path, hosts: Option<Vec<HostSpec>>) -> Result<Running, Error> {
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let dir = std::path::absolute(dir).map_err(failed(dir))?;
    let exe = std::path::absolute(exe).map_err(failed(exe))?;
    // One caller at a time decides; the others then find what the first one started.
    let path = dir.join("ensure.lock");
    let turn = open_lock(&path)?;
    flock(&turn, FlockOperation::LockExclusive).map_err(|error| failed(&path)(error.into()))?;

    let mut options = Options::new(&dir, &exe);
    if let Some(known) = Options::load(&dir).map_err(failed(&dir.join("options.json")))? {
        if let Some(wanted) = hosts.as_ref().filter(|wanted| **wanted != known.hosts) {
            return Err(Error::OtherHosts { dir, found: describe(&known.hosts), wanted: describe(wanted) });
        }
        options = Options { exe: exe.clone(), dir: dir.clone(), ..known };
    } else if let Some(hosts) = hosts {
        options.hosts = hosts;
    }
    let deadline = Instant::now() + START_LIMIT;
    if is_held(&dir)? {
        // Alive; perhaps still on its way up, or going down.
        while Instant::now() < deadline {
            if let Some(Status { pid, kubeconfig, .. }) = status(&dir)? {
                return Ok(Running { kubeconfig, pid, reused: true });
            }
            if !is_held(&dir)? {
                break;
            }
            std::thread::sleep(LOOK);
        }
    }
    options.save().map_err(failed(&dir))?;
    start(&dir, &exe, deadline)
}

fn start(dir: &Path, exe: &Path, deadline: Instant) -> Result<Running, Error> {
    let log = dir.join("daemon.log");
    let output = OpenOptions::new().create(true).append(true).open(&log).map_err(failed(&log))?;
    let errors = output.try_clone().map_err(failed(&log))?;
    let mut command = Command::new(exe);
    command.args(["sandbox", "serve", "--dir"]).arg(dir).current_dir(dir);
    // Of many heaps side by side each keeps what it once needed; with ten thousand nodes that counts.
    command.env("MALLOC_ARENA_MAX", "2");
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    // SAFETY: between fork and exec only async-signal-safe work is allowed; setsid is one system call, made through
    // rustix without allocation or lock.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(io::Error::from));
    }
    let mut child = command.spawn().map_err(failed(exe))?;
    let not_started = |why: String| {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let lines = lines[lines.len().saturating_sub(10)..].join("\n");
        Err(Error::NotStarted { why, log: log.clone(), lines })
    };
    while Instant::now() < deadline {
        if let Some(Status { pid, kubeconfig, .. }) = status(dir)?
            && pid == child.id()
        {
            return Ok(Running { kubeconfig, pid, reused: false });
        }
        if let Some(status) = child.try_wait().map_err(failed(exe))? {
            return not_started(format!("it ended with {status}"));
        }
        std::thread::sleep(LOOK);
    }
    let _ = child.kill();
    let _ = child.wait();
    not_started(format!("it was not ready after {START_LIMIT:?}"))
}

/// Stops the sandbox of a directory, with all its containers; says whether one was running. Its state stays.
pub fn stop(dir: &Path) -> Result<bool, Error> {
    if !is_held(dir)? {
        return Ok(false);
    }
    let deadline = Instant::now() + STOP_LIMIT;
    let mut asked = false;
    let mut pid = None;
    while Instant::now() < deadline {
        if !is_held(dir)? {
            return Ok(true);
        }
        if !asked && let Some(found) = status(dir)? {
            pid = i32::try_from(found.pid).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // It may end in this very moment; the lock tells.
                let _ = kill_process(pid, Signal::TERM);
            }
            asked = true;
        }
        std::thread::sleep(LOOK);
    }
    if let Some(pid) = pid.filter(|_| is_held(dir).unwrap_or(false)) {
        let _ = kill_process(pid, Signal::KILL);
        while is_held(dir)? && Instant::now() < deadline + Duration::from_secs(5) {
            std::thread::sleep(LOOK);
        }
    }
    if is_held(dir)? { Err(Error::Busy(dir.to_owned())) } else { Ok(true) }
}

/// Stops the sandbox of a directory and removes its state; says whether there was any.
pub fn purge(dir: &Path) -> Result<bool, Error> {
    let entries = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed(dir)(error)),
    };
    if !entries {
        return Ok(false);
    }
    if Options::load(dir).map_err(failed(dir))?.is_none() {
        return Err(Error::NotASandbox(dir.to_owned()));
    }
    stop(dir)?;
    std::fs::remove_dir_all(dir).map_err(failed(dir))?;
    Ok(true)
}

/// Sets up the daemon's log on standard error: the level comes from `HUSK_LOG`, such as `debug` or `sandbox=trace`.
pub fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HUSK_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A program that has set up its own log keeps it.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).try_init();
    let _ = io::stderr().flush();
}
