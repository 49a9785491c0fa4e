//! The charts' own proof: once the rollout is through, a pod of the administrator's making runs to success.

use crate::cli::print;
use crate::cluster::{namespace, read};
use crate::error::Error;
use clap::Args;
use contract::{Code, FleetReport, NodeRecord, Stage, State, label};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[derive(Args)]
pub(crate) struct Verify {
    /// File with the Pod to run.
    #[arg(long, value_name = "FILE")]
    pod_manifest: String,
    /// Namespace in which it runs.
    #[arg(long, default_value = "default")]
    pod_namespace: String,
    /// Namespace of the installation; default: the pod's own.
    #[arg(long)]
    namespace: Option<String>,
    /// The DaemonSet whose rollout is waited for.
    #[arg(long, conflicts_with = "install_job", required_unless_present = "install_job")]
    daemonset: Option<String>,
    /// The dispatcher Job that is waited for.
    #[arg(long)]
    install_job: Option<String>,
    /// How long the rollout may take.
    #[arg(long, default_value_t = 1200)]
    rollout_timeout_secs: u64,
    /// How long the pod may take.
    #[arg(long, default_value_t = 180)]
    timeout_secs: u64,
    /// Suffix of this installation, when several live side by side.
    #[arg(long, default_value = "")]
    multi_install_suffix: String,
}

const PAUSE: Duration = Duration::from_millis(500);
const DEFAULT_NAME: &str = "kata-deploy-verify";

pub(crate) async fn perform(client: &Client, options: Verify) -> Result<FleetReport, Error> {
    let namespace = match &options.namespace {
        Some(namespace) => namespace.clone(),
        None => namespace()?,
    };
    let path = &options.pod_manifest;
    let mut manifest: Value = serde_saphyr::from_str(&read(path)?)
        .map_err(|error| Error::Surroundings(format!("{path} is not YAML: {error}")))?;
    manifest["metadata"]["namespace"] = options.pod_namespace.as_str().into();
    if manifest["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        manifest["metadata"]["name"] = DEFAULT_NAME.into();
    }
    let pod: Pod = serde_json::from_value(manifest)
        .map_err(|error| Error::Surroundings(format!("{path} is not a Pod: {error}")))?;

    let deadline = Instant::now() + Duration::from_secs(options.rollout_timeout_secs);
    while let Some(missing) = unfinished(client, &options, &namespace).await? {
        if Instant::now() > deadline {
            return Ok(failed(format!("the rollout is not through: {missing}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
    print("the rollout is through");

    let api: Api<Pod> = Api::namespaced(client.clone(), &options.pod_namespace);
    let name = pod.metadata.name.clone().unwrap_or_default();
    remove(&api, &name).await?;
    api.create(&PostParams::default(), &pod).await.map_err(Error::api(format!("creating the pod {name}")))?;
    let verdict = judge(&api, &name, Duration::from_secs(options.timeout_secs)).await;
    if !matches!(verdict, Ok(None)) {
        show(client, &options.pod_namespace, &name).await;
    }
    remove(&api, &name).await?;
    match verdict? {
        None => {
            print(&format!("pod {name} ran to success"));
            Ok(FleetReport::new())
        }
        Some(why) => Ok(failed(format!("pod {name} {why}"))),
    }
}

fn failed(message: String) -> FleetReport {
    print(&message);
    FleetReport { code: Some(Code::VERIFICATION_FAILED), message, ..FleetReport::new() }
}

/// Returns what the rollout still lacks, or `None` when it is through.
async fn unfinished(client: &Client, options: &Verify, namespace: &str) -> Result<Option<String>, Error> {
    let mark = label::install_mark(label::install_name(&options.multi_install_suffix));
    let marked = ListParams::default().labels(&format!("{mark}=true"));
    let served = Api::<Node>::all(client.clone()).list_metadata(&marked).await.map_err(Error::api("listing nodes"))?;
    let served: BTreeSet<String> = served.items.into_iter().filter_map(|node| node.metadata.name).collect();

    if let Some(name) = &options.daemonset {
        let api: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
        let set = api.get(name).await.map_err(Error::api(format!("reading the DaemonSet {name}")))?;
        let generation = set.metadata.generation;
        let status = set.status.unwrap_or_default();
        let wanted = status.desired_number_scheduled;
        let observed = status.observed_generation == generation;
        if !observed || status.updated_number_scheduled.unwrap_or(0) < wanted || status.number_ready < wanted {
            return Ok(Some(format!("{} of {wanted} pods of {name} are ready", status.number_ready)));
        }
        let labelled = served.len();
        let enough = usize::try_from(wanted).is_ok_and(|wanted| labelled >= wanted);
        return Ok((!enough).then(|| format!("{labelled} of {wanted} nodes are labelled")));
    }

    let name = options.install_job.as_deref().unwrap_or_default();
    let job = Api::<Job>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(Error::api(format!("reading the Job {name}")))?;
    let conditions = job.and_then(|job| job.status).and_then(|status| status.conditions).unwrap_or_default();
    let holds = |kind: &str| conditions.iter().any(|c| c.type_ == kind && c.status == "True");
    if holds("Failed") {
        return Err(Error::Surroundings(format!("the Job {name} failed; `husk status` shows the nodes")));
    }
    if !holds("Complete") {
        return Ok(Some(format!("the Job {name} is at work")));
    }
    let records: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let install = label::install_name(&options.multi_install_suffix);
    let ours = ListParams::default().labels(&format!("{}=true,{}={install}", label::NODE_RECORD, label::INSTALL));
    let records = records.list(&ours).await.map_err(Error::api("listing the node records"))?;
    let installed: Vec<String> = records
        .into_iter()
        .filter_map(|map| map.data?.remove(label::NODE_RECORD_KEY))
        .filter_map(|text| serde_json::from_str::<NodeRecord>(&text).ok())
        .filter(|record| record.stage == Stage::Label && record.state == State::Done)
        .map(|record| record.node)
        .collect();
    let missing = installed.iter().find(|node| !served.contains(*node));
    Ok(match (installed.is_empty(), missing) {
        (true, _) => Some("no node has a record of a finished installation".to_owned()),
        (false, missing) => missing.map(|node| format!("node {node} is not labelled")),
    })
}

/// Waits for the pod's end: `None` when it succeeded, otherwise what became of it.
async fn judge(api: &Api<Pod>, name: &str, patience: Duration) -> Result<Option<String>, Error> {
    let deadline = Instant::now() + patience;
    loop {
        let pod = api.get(name).await.map_err(Error::api(format!("reading the pod {name}")))?;
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
        match phase.as_str() {
            "Succeeded" => return Ok(None),
            "Failed" => return Ok(Some("failed".to_owned())),
            _ if Instant::now() > deadline => {
                return Ok(Some(format!("is still {phase} after {} s", patience.as_secs())));
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Prints what helps to understand a pod that failed; nothing here may hide the failure itself.
async fn show(client: &Client, namespace: &str, name: &str) {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
    match events.list(&about).await {
        Ok(list) => {
            for event in list {
                let (reason, message) = (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
                print(&format!("  event {reason}: {message}"));
            }
        }
        Err(error) => print(&format!("  (its Events cannot be read: {error})")),
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match pods.logs(name, &LogParams { tail_lines: Some(20), ..LogParams::default() }).await {
        Ok(text) => text.lines().for_each(|line| print(&format!("  log {line}"))),
        Err(error) => print(&format!("  (its log cannot be read: {error})")),
    }
}

async fn remove(api: &Api<Pod>, name: &str) -> Result<(), Error> {
    loop {
        match api.delete(name, &DeleteParams::background().grace_period(0)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(source) => return Err(Error::Api { doing: format!("deleting the pod {name}"), source }),
            Ok(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
