//! Containers as child processes: started by one thread that lives as long as the program, ended as a group.

use rustix::process::{Pid, Signal};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc as blocking;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

/// What to run.
#[derive(Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// The arguments after the program's name.
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// The working directory.
    pub directory: PathBuf,
}

type Answer = oneshot::Sender<io::Result<Child>>;

/// Starts child processes, each with the leave to live only as long as this program.
///
/// Linux ties "die when your parent dies" to the *thread* that forked, and the threads of an async runtime come and go.
/// So all children are started by one thread that ends only with the program.
#[derive(Clone, Debug)]
pub struct Spawner {
    orders: blocking::Sender<(Program, Answer)>,
}

impl Spawner {
    /// Starts the thread. Must be called inside a Tokio runtime, which then watches over the children.
    pub fn start() -> io::Result<Self> {
        let (orders, receiver) = blocking::channel::<(Program, Answer)>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            let _guard = runtime.enter();
            while let Ok((program, answer)) = receiver.recv() {
                // The asker may have been cancelled: then the child is killed when it is dropped here.
                let _ = answer.send(spawn(program));
            }
            // The children outlive the last asker only for the moment until this thread ends.
        })?;
        Ok(Spawner { orders })
    }

    /// Starts a program with pipes for its output.
    pub async fn spawn(&self, program: Program) -> io::Result<Child> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the sandbox is shutting down");
        self.orders.send((program, answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn spawn(program: Program) -> io::Result<Child> {
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .env_clear()
        .envs(program.environment)
        .current_dir(&program.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above took effect; then nobody would ever end this process.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::other("the sandbox has ended"));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe work is allowed. `prepare` makes two system calls (prctl and
    // getppid) through rustix, which allocate nothing and take no lock; the error is built without allocation on the
    // path that succeeds, and on the other one the child only reports it and exits.
    unsafe {
        command.pre_exec(prepare);
    }
    command.spawn()
}

/// How to end a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Ask it: SIGTERM.
    Ask,
    /// Make it: SIGKILL.
    Force,
}

/// The handle of a running process, which is killed when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Process {
    orders: mpsc::UnboundedSender<End>,
}

impl Process {
    /// Watches over a child; `ended` is called with its exit status once it and its group are gone.
    pub fn watch<F, Fut>(mut child: Child, ended: F) -> Self
    where
        F: FnOnce(io::Result<ExitStatus>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let (orders, mut receiver) = mpsc::unbounded_channel();
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        tokio::spawn(async move {
            let signal = |signal: Signal| {
                // A group that is gone already needs no signal.
                let _ = group.map(|group| rustix::process::kill_process_group(group, signal));
            };
            let status = loop {
                tokio::select! {
                    status = child.wait() => break status,
                    order = receiver.recv() => match order {
                        Some(End::Ask) => signal(Signal::TERM),
                        Some(End::Force) => signal(Signal::KILL),
                        // Nobody is left who could end it later.
                        None => {
                            signal(Signal::KILL);
                            break child.wait().await;
                        }
                    },
                }
            };
            // A container ends with its first process: whatever that one has started goes too. The group's number
            // cannot have been given away, as it was this child's until a moment ago or still has members.
            signal(Signal::KILL);
            ended(status).await;
        });
        Process { orders }
    }

    /// Ends the process; nothing happens when it has ended already.
    pub fn end(&self, how: End) {
        let _ = self.orders.send(how);
    }
}

/// Returns the exit code as container runtimes report it: 128 + n when signal n ended the process.
pub fn exit_code(status: &ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn program(path: &str, arguments: &[&str]) -> Program {
        Program {
            path: path.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: Vec::new(),
            directory: "/".into(),
        }
    }

    #[tokio::test]
    async fn a_process_ends_when_told_and_reports_the_signal() {
        let spawner = Spawner::start().unwrap();
        let child = spawner.spawn(program("/bin/sleep", &["60"])).await.unwrap();
        let (sender, receiver) = oneshot::channel();
        let process = Process::watch(child, |status| async move {
            let _ = sender.send(exit_code(&status.unwrap()));
        });
        process.end(End::Ask);
        let code = tokio::time::timeout(Duration::from_secs(5), receiver).await.unwrap().unwrap();
        assert_eq!(code, 143);
    }

    #[tokio::test]
    async fn a_missing_program_is_an_error() {
        let spawner = Spawner::start().unwrap();
        let error = spawner.spawn(program("/no/such/program", &[])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
