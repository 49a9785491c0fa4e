//! The command line of `husk-dispatcher`. The charts render every call; `--name=value`, one word each.

use crate::cluster::{connect, in_container, namespace, read};
use crate::error::Error;
use crate::pace::{Amount, Pace};
use crate::plan::Settings;
use crate::run::{Run, perform};
use crate::selection::Rules;
use crate::selector::Selector;
use crate::template::{JobTemplate, Owner};
use crate::{finish_removal, verify};
use clap::{Args, Parser, Subcommand};
use contract::{FleetReport, label, pod};
use futures::TryStreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// The annotation that Helm puts on every object of a release.
const HELM_RELEASE: &str = "meta.helm.sh/release-name";

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
    /// Waits for the rollout and proves that a pod runs.
    Verify(verify::Verify),
    /// Waits for the node pods to have undone their work, then deletes their credentials.
    FinishRemoval(finish_removal::FinishRemoval),
}

#[derive(Args)]
struct Rollout {
    /// File with the per-node Job, without a name.
    #[arg(long, value_name = "FILE")]
    job_template: String,
    /// Prefix of the per-node Jobs' names.
    #[arg(long)]
    name_prefix: String,
    /// The Job that this runs in; it owns the per-node Jobs.
    #[arg(long)]
    owner_job_name: String,
    /// Namespace of the Jobs; default: the pod's own.
    #[arg(long)]
    namespace: Option<String>,
    /// Jobs at once: a number or a percentage of the selected nodes.
    #[arg(long, default_value = "100")]
    parallelism: Amount,
    /// Label selector; of several, a node must match one.
    #[arg(long, value_name = "SELECTOR")]
    node_selector: Vec<String>,
    /// Nodes by name, instead of selectors.
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<String>,
    /// Also take nodes whose taints the per-node pods do not tolerate.
    #[arg(long)]
    ignore_node_taints: bool,
    /// Suffix of this installation, when several live side by side.
    #[arg(long, default_value = "")]
    multi_install_suffix: String,
    /// Nodes that go alone first; the others follow when all of them converged.
    #[arg(long, default_value_t = 0)]
    canary: usize,
    /// Begin no further node after so many failures; 0: never.
    #[arg(long, default_value_t = 0)]
    halt_after_failures: usize,
}

#[derive(Args)]
struct Cleanup {
    #[command(flatten)]
    rollout: Rollout,
    /// A ConfigMap of the release: unless Helm created it, this is not an uninstallation, and nothing is done.
    #[arg(long, value_name = "CONFIGMAP")]
    only_under_helm: Option<String>,
}

#[derive(Args)]
struct Dispatch {
    #[command(flatten)]
    rollout: Rollout,
    /// File with the per-node removal Job, for nodes that left the selection.
    #[arg(long, value_name = "FILE")]
    cleanup_job_template: Option<String>,
    /// How long to wait for a first node; 0: the set is taken as it is.
    #[arg(long, default_value_t = 0)]
    wait_for_nodes_secs: u64,
    /// How long the set must not have changed.
    #[arg(long, default_value_t = 15)]
    node_settle_secs: u64,
    /// How long a node may take to be Ready after its Job; 0: not waited for.
    #[arg(long, default_value_t = 0)]
    wait_node_ready_secs: u64,
    /// Handlers that the kubelet must report.
    #[arg(long, value_delimiter = ',')]
    require_node_handlers: Vec<String>,
    /// Label a node as being worked on before its Job is made.
    #[arg(long)]
    claim_node_pending: bool,
}

/// Runs `husk-dispatcher` and returns its exit status: 0 when every node converged, 1 otherwise, 2 for a wrong call.
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
    let report = match runtime.block_on(carry_out(cli.command)) {
        Ok(report) => report,
        Err(error) => {
            print(&format!("{}: {error}", error.code()));
            FleetReport { code: Some(error.code()), message: error.to_string(), ..FleetReport::new() }
        }
    };
    let failed = report.code.is_some();
    // Outside a pod there is no such file, and nobody who would read it.
    let _ = std::fs::write(in_container(pod::TERMINATION_LOG), report.to_termination_message());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

pub(crate) fn print(line: &str) {
    // A reader that went away is no reason to stop a rollout.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn carry_out(command: Command) -> Result<FleetReport, Error> {
    let client = connect().await?;
    match command {
        Command::Dispatch(dispatch) => install(&client, dispatch).await,
        Command::Cleanup(cleanup) => remove(&client, cleanup).await,
        Command::Verify(verify) => verify::perform(&client, verify).await,
        Command::FinishRemoval(finish) => finish_removal::perform(&client, finish).await,
    }
}

async fn install(client: &Client, dispatch: Dispatch) -> Result<FleetReport, Error> {
    let mut run = dispatch.rollout.run(client, false).await?;
    run.wait_for_nodes = Duration::from_secs(dispatch.wait_for_nodes_secs);
    run.settle = Duration::from_secs(dispatch.node_settle_secs);
    run.claim = dispatch.claim_node_pending;
    run.settings.ready_wait = dispatch.wait_node_ready_secs.saturating_mul(1000);
    run.settings.handlers = dispatch.require_node_handlers;
    if let Some(path) = &dispatch.cleanup_job_template {
        let left = left_behind(client, &run.settings.rules, &run.settings.install).await?;
        if !left.is_empty() {
            print(&format!("{} nodes left the selection and are cleaned first", left.len()));
            let rules = Rules { nodes: left, ..Rules::default() };
            let prefix = run.settings.prefix.strip_suffix("-install").unwrap_or(&run.settings.prefix).to_owned();
            let settings =
                Settings { rules, removal: true, prefix: format!("{prefix}-cleanup"), ..run.settings.clone() };
            let cleanup = Run {
                settings,
                template: template(path)?,
                namespace: run.namespace.clone(),
                wait_for_nodes: Duration::ZERO,
                settle: Duration::ZERO,
                claim: false,
            };
            let report = finish(client, &cleanup).await?;
            if report.code.is_some() {
                return Ok(report);
            }
        }
    }
    finish(client, &run).await
}

async fn remove(client: &Client, cleanup: Cleanup) -> Result<FleetReport, Error> {
    if let Some(name) = &cleanup.only_under_helm {
        // Whoever applies a rendered chart as it is also creates this Job, which Helm creates before a removal only. Helm
        // leaves its mark on every object of a release.
        let namespace = cleanup.rollout.namespace.clone().map_or_else(namespace, Ok)?;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        let map = maps.get_metadata_opt(name).await.map_err(Error::api(format!("reading ConfigMap {name}")))?;
        if map.is_some_and(|map| !map.annotations().contains_key(HELM_RELEASE)) {
            print(&format!("ConfigMap {name} was not created by Helm: this is no removal, nothing is to be done"));
            return Ok(FleetReport::new());
        }
    }
    let run = cleanup.rollout.run(client, true).await?;
    finish(client, &run).await
}

async fn finish(client: &Client, run: &Run) -> Result<FleetReport, Error> {
    let report = perform(client, run, &mut |line| print(&line)).await?;
    print(&format!("{} of {} nodes done", report.done, report.selected));
    Ok(report)
}

/// Returns the nodes that carry this installation's mark although the rules no longer select them.
async fn left_behind(client: &Client, rules: &Rules, install: &str) -> Result<BTreeSet<String>, Error> {
    let mut left = BTreeSet::new();
    let nodes = crate::node::list(client, &label::install_mark(install));
    let mut nodes = std::pin::pin!(nodes);
    while let Some(node) = nodes.try_next().await.map_err(Error::api("listing the nodes of this installation"))? {
        if rules.outside(&node).is_some() {
            left.insert(node.name);
        }
    }
    Ok(left)
}

fn template(path: &str) -> Result<JobTemplate, Error> {
    JobTemplate::parse(&read(path)?).map_err(|source| Error::Template { path: path.to_owned(), source })
}

impl Rollout {
    async fn run(self, client: &Client, removal: bool) -> Result<Run, Error> {
        let namespace = match self.namespace {
            Some(namespace) => namespace,
            None => namespace()?,
        };
        let template = template(&self.job_template)?;
        let selectors = self.node_selector.iter().map(|text| Selector::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
        let owner = jobs
            .get_metadata(&self.owner_job_name)
            .await
            .map_err(Error::api(format!("reading the dispatcher's own Job {}", self.owner_job_name)))?;
        let settings = Settings {
            rules: Rules {
                nodes: self.nodes.into_iter().filter(|name| !name.is_empty()).collect(),
                selectors,
                tolerations: (!self.ignore_node_taints).then(|| template.tolerations()),
            },
            prefix: self.name_prefix,
            owner: Owner { name: self.owner_job_name, uid: owner.uid().unwrap_or_default() },
            pace: Pace { parallelism: self.parallelism, canary: self.canary, halt_after: self.halt_after_failures },
            removal,
            install: label::install_name(&self.multi_install_suffix).to_owned(),
            handlers: Vec::new(),
            ready_wait: 0,
        };
        Ok(Run { settings, template, namespace, wait_for_nodes: Duration::ZERO, settle: Duration::ZERO, claim: false })
    }
}
