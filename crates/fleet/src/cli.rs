//! The command line of `husk-dispatcher`. The charts render every call; `--name=value`, one word each.

use crate::cluster::{connect, in_container, namespace, read};
use crate::error::Error;
use crate::pace::{Amount, Pace, Sandboxes};
use crate::plan::Settings;
use crate::run::Run;
use crate::selection::Rules;
use crate::selector::Selector;
use crate::template::{JobTemplate, Owner, OwnerKind};
use crate::{finish_removal, verbs, verify};
use clap::{Args, Parser, Subcommand};
use contract::{FleetReport, label, pod};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Milliseconds that silent nodes are waited for once all others are through.
const ABSENT_WAIT: u64 = 60_000;
/// The exit status of a program that SIGTERM ended.
const TERMINATED: u8 = 128 + 15;

/// Rolls Husk's node installer out over the nodes of a cluster: one Job a node, paced.
#[derive(Parser)]
#[command(name = "husk-dispatcher", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs on every selected node; cleans nodes that left the selection first.
    Dispatch(Dispatch),
    /// Removes from every selected node.
    Cleanup(Cleanup),
    /// Goes on for ever: installs on nodes that are new, were replaced or have drifted.
    Watch(Dispatch),
    /// Waits for the rollout and proves that a pod runs.
    Verify(verify::Verify),
    /// Waits for the node pods to have undone their work, then deletes their credentials.
    FinishRemoval(finish_removal::FinishRemoval),
}

#[derive(Args)]
pub(crate) struct Rollout {
    /// File with the per-node Job, without a name.
    #[arg(long, value_name = "FILE")]
    job_template: String,
    /// Prefix of the per-node Jobs' names.
    #[arg(long)]
    name_prefix: String,
    /// The Job, or for `watch` the Deployment, that this runs in; it owns the per-node Jobs.
    #[arg(long)]
    owner_job_name: String,
    /// Other owners of per-node Jobs of this release: what they have at work on a node is ended first. A watcher makes way
    /// for them instead.
    #[arg(long, value_delimiter = ',')]
    other_owners: Vec<String>,
    /// Namespace of the Jobs; default: the pod's own.
    #[arg(long)]
    pub(crate) namespace: Option<String>,
    /// Jobs at once: a number or a percentage of the selected nodes.
    #[arg(long, default_value = "100")]
    parallelism: Amount,
    /// Label selector; of several, a node must match one.
    #[arg(long, value_name = "SELECTOR")]
    node_selector: Vec<String>,
    /// Nodes by name, instead of selectors.
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<String>,
    /// Taints, as `key` or `key:effect`, that new nodes carry until they are installed: they keep no Job away.
    #[arg(long, value_delimiter = ',')]
    startup_taints: Vec<String>,
    /// Also take nodes whose taints the per-node pods do not tolerate.
    #[arg(long)]
    ignore_node_taints: bool,
    /// Suffix of this installation, when several live side by side.
    #[arg(long, default_value = "")]
    multi_install_suffix: String,
    #[command(flatten)]
    pacing: Pacing,
}

/// Additions to `--parallelism`, all of them off by default.
#[derive(Args)]
struct Pacing {
    /// Nodes, as a number or a percentage, that go alone first; the others follow when all of them converged.
    #[arg(long)]
    canary: Option<Amount>,
    /// Nodes of a wave, as a number or a percentage; the next wave begins when one is over.
    #[arg(long)]
    wave_size: Option<Amount>,
    /// Nodes of a zone, as a number or a percentage, that may be in flight or not Ready at once.
    #[arg(long)]
    max_unavailable: Option<Amount>,
    /// Servers of a control plane come after all others, one at a time.
    #[arg(long)]
    control_plane_last: bool,
    /// Begin no further node after so many failures; 0: never.
    #[arg(long, default_value_t = 0)]
    max_failures: usize,
    /// What becomes of a node on which Kata sandboxes run: `allow`, `wait` or `drain`.
    #[arg(long, default_value = "allow")]
    sandboxes: Sandboxes,
    /// How long they get to end; 0: any time that it takes.
    #[arg(long, default_value_t = 0)]
    sandbox_timeout_secs: u64,
    /// Begin no node until the administrator says `resume`.
    #[arg(long)]
    paused: bool,
}

#[derive(Args)]
pub(crate) struct Cleanup {
    #[command(flatten)]
    pub(crate) rollout: Rollout,
    /// A ConfigMap of the release: unless Helm created it, this is not an uninstallation, and nothing is done.
    #[arg(long, value_name = "CONFIGMAP")]
    pub(crate) only_under_helm: Option<String>,
    /// The Deployment of a watcher, which is stopped first: it would install again.
    #[arg(long, value_name = "DEPLOYMENT")]
    pub(crate) stop_watch: Option<String>,
}

#[derive(Args)]
pub(crate) struct Dispatch {
    #[command(flatten)]
    pub(crate) rollout: Rollout,
    /// File with the per-node removal Job, for nodes that left the selection.
    #[arg(long, value_name = "FILE")]
    pub(crate) cleanup_job_template: Option<String>,
    /// How long to wait for a first node; 0: the set is taken as it is.
    #[arg(long, default_value_t = 0)]
    pub(crate) wait_for_nodes_secs: u64,
    /// How long the set must not have changed.
    #[arg(long, default_value_t = 15)]
    pub(crate) node_settle_secs: u64,
    /// How long a node may take to be Ready after its Job; 0: not waited for.
    #[arg(long, default_value_t = 0)]
    pub(crate) wait_node_ready_secs: u64,
    /// Handlers that the kubelet must report.
    #[arg(long, value_delimiter = ',')]
    pub(crate) require_node_handlers: Vec<String>,
    /// Label a node as being worked on before its Job is made.
    #[arg(long)]
    pub(crate) claim_node_pending: bool,
}

/// What a rollout is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Install,
    Remove,
    Watch,
}

/// Runs `husk-dispatcher` and returns its exit status: 0 when every node converged, 1 otherwise, 2 for a wrong call, 143 when
/// it was told to stop.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print(&format!("the async runtime cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = carry_out(cli.command) => Some(ended),
            () = told_to_stop() => None,
        }
    });
    let report = match ended {
        None => {
            print("told to stop: what is at work on nodes goes on, and the next dispatcher takes it up");
            return ExitCode::from(TERMINATED);
        }
        Some(Ok(report)) => report,
        Some(Err(error)) => {
            print(&format!("{}: {error}", error.code()));
            FleetReport { code: Some(error.code()), message: error.to_string(), ..FleetReport::new() }
        }
    };
    let failed = report.code.is_some();
    // Outside a pod there is no such file, and nobody who would read it.
    let _ = std::fs::write(in_container(pod::TERMINATION_LOG), report.to_termination_message());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Waits for the kubelet's request to end, which the first process of a container would not heed by itself: it would be
/// killed half a minute later, and its successor would find it at work.
async fn told_to_stop() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

pub(crate) fn print(line: &str) {
    // A reader that went away is no reason to stop a rollout.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn carry_out(command: Command) -> Result<FleetReport, Error> {
    let client = connect().await?;
    match command {
        Command::Dispatch(dispatch) => verbs::install(&client, dispatch).await,
        Command::Cleanup(cleanup) => verbs::remove(&client, cleanup).await,
        Command::Watch(watch) => verbs::watch(&client, watch).await,
        Command::Verify(verify) => verify::perform(&client, verify).await,
        Command::FinishRemoval(finish) => finish_removal::perform(&client, finish).await,
    }
}

pub(crate) fn template(path: &str) -> Result<JobTemplate, Error> {
    JobTemplate::parse(&read(path)?).map_err(|source| Error::Template { path: path.to_owned(), source })
}

impl Rollout {
    pub(crate) async fn run(self, client: &Client, purpose: Purpose) -> Result<Run, Error> {
        let namespace = match self.namespace {
            Some(namespace) => namespace,
            None => namespace()?,
        };
        let mut template = template(&self.job_template)?;
        template.tolerate(&self.startup_taints);
        let selectors = self.node_selector.iter().map(|text| Selector::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let name = self.owner_job_name;
        let doing = Error::api(format!("reading {name}, which owns the Jobs"));
        let (kind, uid) = match purpose {
            Purpose::Watch => {
                let api: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
                (OwnerKind::Deployment, api.get_metadata(&name).await.map_err(doing)?.uid())
            }
            Purpose::Install | Purpose::Remove => {
                let api: Api<Job> = Api::namespaced(client.clone(), &namespace);
                (OwnerKind::Job, api.get_metadata(&name).await.map_err(doing)?.uid())
            }
        };
        let settings = Settings {
            rules: Rules {
                nodes: self.nodes.into_iter().filter(|name| !name.is_empty()).collect(),
                selectors,
                also: BTreeSet::new(),
                tolerations: (!self.ignore_node_taints).then(|| template.tolerations()),
            },
            prefix: self.name_prefix,
            owner: Owner { kind, name, uid: uid.unwrap_or_default() },
            pace: Pace {
                parallelism: self.parallelism,
                canary: self.pacing.canary,
                wave: self.pacing.wave_size,
                unavailable: self.pacing.max_unavailable,
                control_plane_last: self.pacing.control_plane_last,
                halt_after: self.pacing.max_failures,
                sandboxes: self.pacing.sandboxes,
                sandbox_wait: self.pacing.sandbox_timeout_secs.saturating_mul(1000),
            },
            removal: purpose == Purpose::Remove,
            install: label::install_name(&self.multi_install_suffix).to_owned(),
            handlers: Vec::new(),
            ready_wait: 0,
            absent_wait: ABSENT_WAIT,
            late: None,
        };
        Ok(Run {
            paused: self.pacing.paused,
            other_owners: self.other_owners,
            ..Run::new(settings, template, namespace)
        })
    }
}
