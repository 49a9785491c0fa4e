//! What can be known before anything is touched.

pub(crate) mod checks;
pub(crate) mod snapshot;

use crate::cli;
use crate::cluster::api_failure;
use crate::error::{Failure, Result, exit};
use crate::node_jobs::Wanted;
use crate::rollout::{Class, Rollout};
use crate::screen::{Output, Screen, emit};
use crate::subject::Subject;
use checks::{Finding, Outcome};
use contract::Code;
use fleet::node::Node;
use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

/// What is about to be installed.
pub(crate) struct Question<'a> {
    pub(crate) release: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) objects: &'a [Value],
    pub(crate) rollouts: &'a [Rollout],
    pub(crate) classes: &'a [Class],
    /// Kinds that the chart brings itself.
    pub(crate) own_kinds: Vec<String>,
}

/// What `husk preflight -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    release: String,
    namespace: String,
    blocked: bool,
    findings: Vec<Finding>,
}

pub(crate) async fn preflight(call: cli::Preflight) -> Result<()> {
    let mut screen = Screen::open(call.output);
    let subject = Subject::load(&call.subject, &call.values)?;
    let objects = subject.objects()?;
    let (rollouts, classes) = (crate::rollout::rollouts(&objects), crate::rollout::classes(&objects));
    let question = Question {
        release: &subject.release,
        namespace: &subject.namespace,
        objects: &objects,
        rollouts: &rollouts,
        classes: &classes,
        own_kinds: subject.own_kinds(),
    };
    let seen = match &call.from {
        Some(file) => snapshot::read(file)?,
        None => {
            let cluster = crate::cluster::reach(&call.target, &objects, &rollouts, &mut screen).await?;
            let wanted = Wanted::read(call.nodes.as_deref());
            snapshot::take(&cluster, &question, &wanted, call.timeout, &mut screen).await?
        }
    };
    if let Some(file) = &call.save {
        snapshot::write(file, &seen)?;
    }
    let findings = checks::judge(&question, &seen);
    let blocked = findings.iter().any(|finding| finding.outcome == Outcome::Fail);
    let summary = counts(&findings);
    let code = findings.iter().find(|finding| finding.outcome == Outcome::Fail).and_then(|finding| finding.code);
    match call.output {
        Output::Text => emit(&text(&findings)),
        Output::Json => crate::up::print_json(&Report {
            schema: "husk.preflight/v1",
            release: subject.release.clone(),
            namespace: subject.namespace.clone(),
            blocked,
            findings,
        })?,
    }
    if blocked {
        let message = format!("preflight forbids to go on: {summary}");
        let failure = code.map_or_else(|| Failure::plain(&message), |code| Failure::new(code, message.as_str()));
        return Err(failure.exiting(exit::BLOCKED));
    }
    Ok(())
}

fn counts(findings: &[Finding]) -> String {
    let outcomes = [Outcome::Pass, Outcome::Warn, Outcome::Fail, Outcome::Skipped, Outcome::Unknown];
    let count = |outcome: Outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
    outcomes.map(|outcome| format!("{} {}", count(outcome), outcome.word())).join(", ")
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut group = "";
    for finding in findings {
        if finding.group != group {
            let _ = writeln!(text, "{}{}", if group.is_empty() { "" } else { "\n" }, finding.group);
            group = finding.group;
        }
        let mark = match finding.outcome {
            Outcome::Pass => "✓",
            Outcome::Warn => "!",
            Outcome::Fail => "✗",
            Outcome::Skipped => "-",
            Outcome::Unknown => "?",
        };
        let code = finding.code.map(|code| format!("{code} ")).unwrap_or_default();
        let detail = finding.detail.replace('\n', "\n      ");
        let _ = writeln!(text, "  {mark} {:<8} {:<22} {code}{detail}", finding.outcome.word(), finding.name);
        if !finding.hint.is_empty() && finding.outcome != Outcome::Pass {
            let _ = writeln!(text, "             next: {}", finding.hint);
        }
    }
    let _ = writeln!(text, "\n{} checks: {}", findings.len(), counts(findings));
    text
}

/// Before `up`: the cluster is judged, hosts judge themselves as their first stage. Warnings are returned.
pub(crate) async fn before_up(
    cluster: &crate::cluster::Cluster,
    question: &Question<'_>,
    screen: &mut Screen,
) -> Result<Vec<String>> {
    let seen = snapshot::take(cluster, question, &Wanted::None, Duration::ZERO, screen).await?;
    let findings = checks::judge(question, &seen);
    // What the engine looks at itself, and tells better, is left to it: the release's state and the owners of objects.
    let ours = |finding: &&Finding| finding.group != "release" && !matches!(finding.name.as_str(), "classes" | "kinds");
    let failed: Vec<&Finding> = findings.iter().filter(ours).filter(|f| f.outcome == Outcome::Fail).collect();
    if let Some(first) = failed.first() {
        let lines = failed.iter().map(|finding| format!("{}: {}", finding.name, finding.detail));
        let message = lines.collect::<Vec<_>>().join("\n");
        let failure = first.code.map_or_else(|| Failure::plain(&message), |code| Failure::new(code, message.as_str()));
        return Err(failure.exiting(exit::BLOCKED));
    }
    let warned = findings.iter().filter(ours).filter(|finding| finding.outcome == Outcome::Warn);
    Ok(warned.map(|finding| format!("{}: {}", finding.name, finding.detail)).collect())
}

/// Lists every Node.
pub(crate) async fn nodes(client: &Client) -> Result<Vec<Node>> {
    fleet::node::list(client, "").try_collect().await.map_err(api_failure)
}

/// Refuses rollouts that select no node.
pub(crate) fn check(rollouts: &[Rollout], nodes: &[Node]) -> Result<()> {
    for rollout in rollouts {
        if nodes.iter().all(|node| rollout.rules.left_out(node).is_some()) {
            let message = fleet::selection::explain_nothing(&rollout.rules, nodes.iter());
            return Err(Failure::new(Code::NO_NODE_SELECTED, message).exiting(exit::BLOCKED));
        }
    }
    Ok(())
}

/// Refuses objects that the cluster would refuse or could not bear, which the charts do not look for while rendering.
pub(crate) async fn objects(client: &Client, objects: &[Value], namespace: &str) -> Result<()> {
    identity(client, objects, namespace).await?;
    feature_discovery(client, objects).await
}

/// What a release is on its nodes cannot change: the ConfigMap that says so is immutable.
async fn identity(client: &Client, objects: &[Value], namespace: &str) -> Result<()> {
    let fixed = |object: &&Value| object["kind"] == "ConfigMap" && object["immutable"] == true;
    for wanted in objects.iter().filter(fixed) {
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
        let place = wanted["metadata"]["namespace"].as_str().unwrap_or(namespace);
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), place);
        let Some(live) = maps.get_opt(name).await.map_err(api_failure)? else { continue };
        for (key, value) in wanted["data"].as_object().into_iter().flatten() {
            let was = live.data.as_ref().and_then(|data| data.get(key)).map(String::as_str).unwrap_or_default();
            if value.as_str() != Some(was) {
                let message = format!(
                    "{key} is immutable: the release was installed with \"{was}\" (ConfigMap {name}), the values say {value}. \
                     Uninstall it first, or install a second release"
                );
                return Err(Failure::new(Code::BAD_VALUES, message).exiting(exit::ERROR));
            }
        }
    }
    Ok(())
}

const FEATURE_DISCOVERY: &str = "app.kubernetes.io/name=node-feature-discovery";

/// Two installations of Node Feature Discovery label the same nodes and delete each other's labels.
async fn feature_discovery(client: &Client, objects: &[Value]) -> Result<()> {
    let ours = |object: &&Value| {
        object["kind"] == "DaemonSet"
            && object["metadata"]["labels"]["app.kubernetes.io/name"] == "node-feature-discovery"
    };
    let Some(ours) = objects.iter().find(ours) else { return Ok(()) };
    let sets: Api<DaemonSet> = Api::all(client.clone());
    let there = sets.list_metadata(&ListParams::default().labels(FEATURE_DISCOVERY)).await.map_err(api_failure)?;
    let own = ours["metadata"]["labels"]["app.kubernetes.io/instance"].as_str();
    for set in there {
        if set.labels().get("app.kubernetes.io/instance").map(String::as_str) != own {
            let namespace = set.namespace().unwrap_or_default();
            let message = format!(
                "Node Feature Discovery is already installed in namespace {namespace} (DaemonSet {}): set \
                 node-feature-discovery.enabled to false, it is found by itself",
                set.name_any()
            );
            return Err(Failure::new(Code::BAD_VALUES, message).exiting(exit::ERROR));
        }
    }
    Ok(())
}
