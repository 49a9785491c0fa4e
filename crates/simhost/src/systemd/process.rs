//! Transient services: real child processes, their programs taken below the host's root.

use super::transient;
use crate::host::Machine;
use crate::toml::host_path;
use std::process::Stdio;
use std::sync::Arc;
use tokio::sync::watch;

impl Machine {
    /// Runs a transient service as a child process, its program taken below the host's root.
    pub(super) async fn run_service(
        self: &Arc<Self>,
        name: &str,
        service: transient::Service,
        turn: watch::Receiver<u64>,
    ) -> &'static str {
        let oneshot = service.kind == "oneshot";
        self.manager.enter(
            name,
            if oneshot { "activating" } else { "active" },
            if oneshot { "start" } else { "running" },
        );
        let (machine, name) = (Arc::clone(self), name.to_owned());
        let running = async move { machine.run_commands(&name, &service, turn).await };
        if oneshot {
            return running.await;
        }
        self.spawn(async move {
            running.await;
        });
        "done"
    }

    async fn run_commands(
        self: &Arc<Self>,
        name: &str,
        service: &transient::Service,
        mut turn: watch::Receiver<u64>,
    ) -> &'static str {
        for (program, arguments, ignore) in &service.commands {
            let exit = tokio::select! {
                exit = self.run_command(name, program, arguments, &service.environment) => exit,
                _ = turn.changed() => return "canceled",
            };
            if exit.0 != 0 && !ignore {
                self.log(name, &format!("{name}: Main process exited, status={}", exit.0));
                self.manager.change(name, |state| {
                    state.exit = exit;
                    state.main_pid = 0;
                    state.result = if exit.1 == 1 { "exit-code" } else { "signal" };
                });
                self.manager.enter(name, "failed", "failed");
                return "failed";
            }
        }
        self.manager.change(name, |state| {
            state.exit = (0, 1);
            state.main_pid = 0;
        });
        let (active, sub) = if service.remain { ("active", "exited") } else { ("inactive", "dead") };
        self.manager.enter(name, active, sub);
        self.log(name, &format!("{name}: Deactivated successfully."));
        "done"
    }

    async fn run_command(&self, name: &str, program: &str, arguments: &[String], environment: &[String]) -> (i32, i32) {
        use std::os::unix::process::ExitStatusExt;
        let (Ok(stdout), Ok(stderr)) = (self.journal(name), self.journal(name)) else {
            return (209, 1); // systemd's status for an output that cannot be opened
        };
        let mut command = tokio::process::Command::new(host_path(&self.root, program));
        command
            .arg0(arguments.first().map_or(program, String::as_str))
            .args(arguments.iter().skip(1))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
            .env("HUSK_ROOT", &self.root)
            .envs(environment.iter().filter_map(|pair| pair.split_once('=')))
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true);
        match command.spawn() {
            Ok(mut child) => {
                let pid = child.id().unwrap_or(0);
                self.manager.change(name, |state| state.main_pid = pid);
                match child.wait().await {
                    Ok(status) => match (status.code(), status.signal()) {
                        (Some(code), _) => (code, 1),
                        (None, signal) => (signal.unwrap_or(9), 2),
                    },
                    Err(_) => (1, 1),
                }
            }
            Err(error) => {
                self.log(name, &format!("Failed at step EXEC spawning {program}: {error}"));
                (203, 1)
            }
        }
    }
}
