//! The `husk` binary. Called as `husk-node`, `husk-dispatcher` or `helm` it is these programs: the sandbox needs one file only.

mod autoscaling;
mod blast;
mod board;
mod charts;
mod cli;
mod cluster;
mod completion;
mod convergence;
mod cut_short;
mod down;
mod error;
mod explain;
mod explain_render;
mod fit;
mod furnish;
mod helm;
mod jsonpath;
mod lint;
mod logs;
mod man;
mod node_jobs;
mod pacing;
mod phases;
mod plan;
mod preflight;
mod profile;
mod records;
mod resume;
mod rollback;
mod rollout;
mod rollout_run;
mod rollout_watch;
mod sandbox_verbs;
mod schema;
mod screen;
mod status;
mod subject;
mod summary;
mod sysdump;
mod told;
mod up;
mod verify;

use clap::{CommandFactory, FromArgMatches};
use cli::{Cli, Command};
use error::{Failure, Result};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// What `husk version` prints.
const VERSION: &str = concat!("husk ", env!("CARGO_PKG_VERSION"), "\n");

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let name = arguments.first().and_then(|name| Path::new(name).file_name()).unwrap_or_default().to_owned();
    match name.to_str() {
        Some("husk-node") => return node::main(arguments.into_iter()),
        Some("husk-dispatcher") => return fleet::cli::main(arguments),
        Some("helm") => return helm::main(&arguments[1..]),
        _ => {}
    }
    log_if_asked(&arguments);
    // What scripts call hundreds of times does not pay for the description of everything else.
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("helm") => return helm::main(&arguments[2..]),
        Some("version" | "--version" | "-V") if arguments.len() == 2 => {
            screen::emit(VERSION);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let words = Cli::command().bin_name(program(&name));
    let parsed = words.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let call = match parsed {
        Ok(cli) => cli.command,
        Err(error) => {
            let _ = error.print();
            // clap says 2 for a wrong call; here 2 means "changes pending".
            return if error.use_stderr() { ExitCode::from(error::exit::ERROR) } else { ExitCode::SUCCESS };
        }
    };
    if let Command::Completion { shell } = &call {
        return cli::completion(shell);
    }
    if let Command::Helm { arguments } = call {
        return helm::main(&arguments);
    }
    if let Command::Node(call) = call {
        return node::one_host(&call);
    }
    match run(call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            ExitCode::from(failure.exit)
        }
    }
}

/// What the user typed to call us: kubectl finds its plugins by the name of their file.
fn program(file: &std::ffi::OsStr) -> &'static str {
    if Path::new(file).file_stem().is_some_and(|stem| stem == "kubectl-husk") { "kubectl husk" } else { "husk" }
}

/// Begins to log: always for the sandbox's server, otherwise when `HUSK_LOG` says what.
fn log_if_asked(arguments: &[OsString]) {
    let serving =
        arguments.get(1).is_some_and(|word| word == "sandbox") && arguments.get(2).is_some_and(|word| word == "serve");
    if serving {
        sandbox::daemon::log_to_stderr();
    }
    if std::env::var_os("HUSK_LOG").is_some()
        && let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("HUSK_LOG")
    {
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
}

fn run(call: Command) -> Result<()> {
    let asynchronous = match call {
        Command::Explain { code, output: screen::Output::Json } => {
            return up::print_json(&explain::json(code.as_deref())?);
        }
        Command::Explain { code, output: screen::Output::Text } => {
            screen::emit(&explain::explain(code.as_deref())?);
            return Ok(());
        }
        Command::Version => {
            screen::emit(VERSION);
            return Ok(());
        }
        Command::Lint(call) => return lint::lint(&call),
        Command::Schema { chart } => return schema::print(&chart),
        Command::Sandbox(verb) => return sandbox_verbs::run(verb),
        Command::Man { directory } => return man::write(&directory),
        other => other,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::plain)?;
    runtime.block_on(async {
        match asynchronous {
            Command::Up(call) => up::up(call).await,
            Command::Plan(call) => plan::plan(call).await,
            Command::Status(call) => status::status(call).await,
            Command::Down(call) => down::down(call).await,
            Command::Preflight(call) => preflight::preflight(call).await,
            Command::Profile(call) => profile::profile(call).await,
            Command::Resume(call) => resume::resume(call).await,
            Command::Recover(call) => resume::recover(call).await,
            Command::Logs(call) => logs::logs(call).await,
            Command::Verify(call) => verify::verify(call).await,
            Command::Sysdump(call) => sysdump::sysdump(call).await,
            Command::Rollback(call) => rollback::rollback(call).await,
            Command::Rollout(verb) => pacing::order(verb).await,
            Command::Explain { .. }
            | Command::Version
            | Command::Lint(_)
            | Command::Man { .. }
            | Command::Schema { .. }
            | Command::Node(_)
            | Command::Sandbox(_)
            | Command::Completion { .. }
            | Command::Helm { .. } => unreachable!("handled above"),
        }
    })
}
