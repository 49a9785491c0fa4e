//! The words of the command line.

use crate::phases::{Limit, duration};
use crate::screen::Output;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Confidential Containers on any Kubernetes: checked, installed, proven, upgraded, removed without a trace.
#[derive(Parser)]
#[command(name = "husk", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Install, or bring an installation to what the values say.
    Up(Up),
    /// Show what `up` would change; exit status 2 when something would.
    Plan(Plan),
    /// Show the installation: release, nodes, classes.
    Status(Status),
    /// Check cluster and nodes before anything is touched; reads only, exit status 3 when something forbids to go on.
    Preflight(Preflight),
    /// Propose values from what the nodes are, each choice explained.
    Profile(Profile),
    /// Prove what is installed, step by step, from the handler to the secret.
    Verify(Verify),
    /// Do the same again: the release's own chart and values, from wherever the last run ended.
    Resume(Resume),
    /// Bring a release that was left pending, failed or half removed to its end.
    Recover(Recover),
    /// Show what the installer printed on a node.
    Logs(Logs),
    /// Gather everything that a bug report needs into one archive, secrets removed.
    Sysdump(Sysdump),
    /// Remove the installation from the cluster and from every node.
    Down(Down),
    /// Write man pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory.
        directory: PathBuf,
    },
    /// Bring an earlier revision back, on every node or on one.
    Rollback(Rollback),
    /// Tell a rollout of Job mode that is under way to pause, to go on or to end.
    #[command(subcommand)]
    Rollout(RolloutVerb),
    /// Explain an error code or a topic, or list all codes.
    Explain {
        /// Such as HUSK-2202, or `autoscaling`.
        code: Option<String>,
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Look for mistakes in a chart, and for what does not suit GitOps.
    Lint(Lint),
    /// Print a strict JSON schema for a chart's values, inferred from its defaults and what its templates read.
    Schema {
        /// `confidential-containers`, `kata-deploy`, or the directory or archive of a chart.
        chart: String,
    },
    /// Start, stop and look at the sandbox: a cluster inside this binary.
    #[command(subcommand)]
    Sandbox(Sandbox),
    /// Plan, install, remove and show Kata runtimes on one host, without Kubernetes.
    Node(node::OneHost),
    /// Print the version.
    Version,
    /// Print the completion script for a shell: `husk completion bash`.
    Completion {
        /// bash, fish, powershell or zsh.
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(crate::completion::SHELLS))]
        shell: String,
    },
    /// Helm's own command line.
    #[command(disable_help_flag = true)]
    Helm {
        /// As Helm takes them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<std::ffi::OsString>,
    },
}

/// Which cluster.
#[derive(Args, Clone)]
pub(crate) struct Target {
    /// Use the sandbox; it is started when it does not run.
    #[arg(long)]
    pub(crate) sandbox: bool,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Hosts of a new sandbox, such as `k8s:2,k3s:1,crio:1`. Without it the sandbox is shaped after the values files.
    #[arg(long, value_name = "KIND:COUNT,…", requires = "sandbox")]
    pub(crate) hosts: Option<String>,
    /// Kubeconfig file.
    #[arg(long, env = "KUBECONFIG", conflicts_with = "sandbox", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, conflicts_with = "sandbox")]
    pub(crate) context: Option<String>,
}

/// Where a sandbox lives.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// Directory of the sandbox: hosts, API state, kubeconfig, logs.
    #[arg(long, alias = "dir", env = "HUSK_SANDBOX_DIR", value_name = "DIR")]
    pub(crate) sandbox_dir: Option<PathBuf>,
}

/// Which release of which chart.
#[derive(Args, Clone)]
pub(crate) struct Subject {
    /// `confidential-containers`, `kata-deploy`, or the directory or archive of a chart.
    #[arg(long, default_value = "confidential-containers")]
    pub(crate) chart: String,
    /// Name of the release; by default the chart's name.
    #[arg(long)]
    pub(crate) release: Option<String>,
    /// Namespace; by default `coco-system`, for kata-deploy `kube-system`.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
}

/// Values, in Helm's words.
#[derive(Args, Clone, Default)]
pub(crate) struct Values {
    /// Values file (repeatable; later ones win).
    #[arg(long = "values", short = 'f', value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Set values: `key=value,key2=value2`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Set values as text.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set_string: Vec<String>,
    /// Set values from JSON.
    #[arg(long, value_name = "KEY=JSON")]
    pub(crate) set_json: Vec<String>,
    /// Set values from files.
    #[arg(long, value_name = "KEY=FILE")]
    pub(crate) set_file: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    #[command(flatten)]
    pub(crate) values: Values,
    /// How long each phase may take, such as `10m` or `nodes=1h` (repeatable): preflight (2m unless said otherwise), apply and
    /// each hook (5m), nodes (30m), ready (1m).
    #[arg(long, value_name = "[PHASE=]DURATION", value_delimiter = ',')]
    pub(crate) timeout: Vec<Limit>,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    #[command(flatten)]
    pub(crate) values: Values,
    /// Ask these nodes, by short Jobs with the payload's image, which files would be edited: names, or `all`.
    #[arg(long, value_name = "NODES")]
    pub(crate) ask: Option<String>,
    /// How long they may take to answer, such as `90s` or `10m`.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = duration, requires = "ask")]
    pub(crate) timeout: Duration,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Show it full screen and keep it up to date; `q` ends it.
    #[arg(long, conflicts_with_all = ["html", "output"])]
    pub(crate) watch: bool,
    /// How often `--watch` asks the cluster, in seconds.
    #[arg(long, default_value_t = 2, value_name = "SECONDS", requires = "watch")]
    pub(crate) interval: u64,
    /// Write one self-contained page with the same picture.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Show what an earlier `status -o json` saved, instead of asking a cluster.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sandbox", "kubeconfig", "context"])]
    pub(crate) from: Option<PathBuf>,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// How long each phase may take, such as `10m` or `nodes=1h` (repeatable): preflight (2m unless said otherwise), apply and
    /// each hook (5m), nodes (30m), ready (1m).
    #[arg(long, value_name = "[PHASE=]DURATION", value_delimiter = ',')]
    pub(crate) timeout: Vec<Limit>,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// Go back to the newest revision that worked, instead of on.
    #[arg(long)]
    pub(crate) back: bool,
    /// How long each phase may take, such as `10m` or `nodes=1h` (repeatable): preflight (2m unless said otherwise), apply and
    /// each hook (5m), nodes (30m), ready (1m).
    #[arg(long, value_name = "[PHASE=]DURATION", value_delimiter = ',')]
    pub(crate) timeout: Vec<Limit>,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// The node.
    pub(crate) node: String,
    /// How many lines of each container, counted from the end.
    #[arg(long, default_value_t = 200, value_name = "LINES")]
    pub(crate) tail: i64,
    /// Show the containers' runs before the present ones.
    #[arg(long, short)]
    pub(crate) previous: bool,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Preflight {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    #[command(flatten)]
    pub(crate) values: Values,
    /// Nodes to look at: `none`, `all`, names separated by commas; by default one of each kind, at most 12.
    #[arg(long, value_name = "NODES")]
    pub(crate) nodes: Option<String>,
    /// Judge what an earlier `--save` saw, instead of asking a cluster.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sandbox", "kubeconfig", "context", "save"])]
    pub(crate) from: Option<PathBuf>,
    /// Save what was seen, to be judged again elsewhere.
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// How long the nodes may take, such as `90s` or `5m`.
    #[arg(long, default_value = "3m", value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Profile {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Take the nodes from what `preflight --save` saved.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sandbox", "kubeconfig", "context"])]
    pub(crate) from: Option<PathBuf>,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// How far to climb: 0 handler served, 1 pod boots in a kernel of its own, 2 TEE evidence in the guest, 3 secret
    /// released by a key broker, 4 and to nobody else.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=4))]
    pub(crate) level: u8,
    /// RuntimeClass to prove (repeatable); by default all of the release.
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Vec<String>,
    /// Node to prove them on (repeatable); by default every node that serves a class, at most 8.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Vec<String>,
    /// The key broker's resource for levels 3 and 4, such as `default/husk/verify`.
    #[arg(long, value_name = "REPOSITORY/TYPE/TAG")]
    pub(crate) resource: Option<String>,
    /// How long one pod may take, such as `90s` or `5m`.
    #[arg(long, default_value = "3m", value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Sysdump {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// The archive; by default `husk-sysdump-<time>.tar.gz` here.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Nodes to look at: `none`, `all`, names separated by commas; by default those with problems and one other, at most 12.
    #[arg(long, value_name = "NODES")]
    pub(crate) nodes: Option<String>,
    /// How long the nodes may take, such as `90s` or `5m`.
    #[arg(long, default_value = "2m", value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// How long each phase may take, such as `10m` or `nodes=1h` (repeatable): remove and each hook (5m unless said otherwise),
    /// nodes (30m).
    #[arg(long, value_name = "[PHASE=]DURATION", value_delimiter = ',')]
    pub(crate) timeout: Vec<Limit>,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// The revision; by default the newest before the current one that was in force.
    #[arg(value_name = "REVISION")]
    pub(crate) revision: Option<u32>,
    /// Only this node, in Job mode: the release stays as it is.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// How long each phase may take, such as `10m` or `nodes=1h` (repeatable): apply and each hook (5m unless said otherwise),
    /// nodes (30m), ready (1m).
    #[arg(long, value_name = "[PHASE=]DURATION", value_delimiter = ',')]
    pub(crate) timeout: Vec<Limit>,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Subcommand)]
pub(crate) enum RolloutVerb {
    /// Begin no further node; those in flight are finished.
    Pause(RolloutOrder),
    /// Go on.
    Resume(RolloutOrder),
    /// Begin no further node, and end when those in flight are finished.
    Abort(RolloutOrder),
}

#[derive(Args)]
pub(crate) struct RolloutOrder {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) subject: Subject,
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args)]
pub(crate) struct Lint {
    /// `confidential-containers`, `kata-deploy`, or the directory or archive of a chart.
    pub(crate) chart: String,
    /// Report what changes its result between renderings or without a cluster: `lookup`, hooks, randomness, time.
    #[arg(long)]
    pub(crate) gitops: bool,
    #[command(flatten)]
    pub(crate) values: Values,
}

#[derive(Subcommand)]
pub(crate) enum Sandbox {
    /// Start it.
    Up {
        #[command(flatten)]
        place: Place,
        /// Its hosts, such as `k8s:2,k3s:1,crio:1`.
        #[arg(long, value_name = "KIND:COUNT,…")]
        hosts: Option<String>,
    },
    /// Stop it and delete everything that it kept.
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// Stop it; its state stays.
    Stop {
        #[command(flatten)]
        place: Place,
    },
    /// Print the kubeconfig's path.
    Kubeconfig {
        #[command(flatten)]
        place: Place,
    },
    /// Tell whether it runs, and where everything is.
    Status {
        #[command(flatten)]
        place: Place,
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Be the sandbox (what `up` starts in the background).
    #[command(hide = true)]
    Serve {
        #[command(flatten)]
        place: Place,
    },
}

/// Prints the completion script of a shell: for these words, and for those of Helm behind `helm`.
pub(crate) fn completion(shell: &str) -> std::process::ExitCode {
    use std::io::Write as _;
    let mut words = crate::helm::completion::words("helm");
    offer(&<Cli as clap::CommandFactory>::command(), "", &mut words);
    let script = crate::completion::script(shell, "husk", &words, true).unwrap_or_default();
    match std::io::stdout().write_all(script.as_bytes()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}

fn offer(command: &clap::Command, place: &str, words: &mut crate::completion::Words) {
    let about = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string).unwrap_or_default();
    let shown = |hidden: bool, name: &str| !hidden && name != "help";
    let below: Vec<&clap::Command> =
        command.get_subcommands().filter(|one| shown(one.is_hide_set(), one.get_name())).collect();
    let here = words.entry(place.to_owned()).or_default();
    here.extend(below.iter().map(|one| (one.get_name().to_owned(), about(one.get_about()))));
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        if let Some(long) = argument.get_long() {
            here.push((format!("--{long}"), about(argument.get_help())));
        }
    }
    for one in below {
        offer(one, format!("{place} {}", one.get_name()).trim(), words);
    }
}
