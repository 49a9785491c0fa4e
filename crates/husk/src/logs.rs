//! `husk logs NODE`: what the installer printed there, also when its pods are gone.

use crate::cli;
use crate::cluster::{self, Cluster, api_failure};
use crate::error::{Failure, Result};
use crate::screen::{Output, emit};
use crate::subject::Subject;
use crate::up::print_json;
use contract::{Code, label};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};
use serde::Serialize;
use std::fmt::Write as _;

/// What `husk logs -o json` prints.
#[derive(Serialize)]
struct Report {
    schema: &'static str,
    node: String,
    /// `pods`, or `record` when they are gone.
    source: &'static str,
    /// Each container's lines below one that names it.
    text: String,
}

pub(crate) async fn logs(call: cli::Logs) -> Result<()> {
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let mut text = of_node(&cluster, &names.namespace, &call.node, call.tail, call.previous).await?;
    let remembered = text.is_empty();
    if remembered {
        text = self::remembered(&cluster, &names.namespace, &call.node).await?;
    }
    match call.output {
        Output::Text => {
            emit(&text);
            Ok(())
        }
        Output::Json => {
            let source = if remembered { "record" } else { "pods" };
            print_json(&Report { schema: "husk.logs/v1", node: call.node, source, text })
        }
    }
}

/// Returns the logs of the installer's pods on a node, each container under a line that names it.
pub(crate) async fn of_node(
    cluster: &Cluster,
    namespace: &str,
    node: &str,
    tail: i64,
    previous: bool,
) -> Result<String> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let list = api.list(&ListParams::default().fields(&format!("spec.nodeName={node}"))).await.map_err(api_failure)?;
    let mut text = String::new();
    for pod in list.items.iter().filter(|pod| is_ours(pod)) {
        let name = pod.name_any();
        let spec = pod.spec.as_ref();
        let init = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
        for container in init.chain(spec.into_iter().flat_map(|spec| &spec.containers)) {
            let parameters = LogParams {
                container: Some(container.name.clone()),
                tail_lines: Some(tail),
                previous,
                ..LogParams::default()
            };
            match api.logs(&name, &parameters).await {
                Ok(log) if log.is_empty() => {}
                Ok(log) => {
                    let _ = writeln!(text, "--- {name} {}\n{}", container.name, log.trim_end());
                }
                // One that has not begun has no log; the rest is worth showing all the same.
                Err(kube::Error::Api(status)) => {
                    let _ = writeln!(text, "--- {name} {}: {}", container.name, status.message);
                }
                Err(error) => return Err(api_failure(error)),
            }
        }
    }
    Ok(text)
}

/// Tells a pod of the installer by the programs that it runs.
fn is_ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.flat_map(|container| container.command.iter().flatten().take(1)).any(|word| word.ends_with("husk-node"))
}

/// What the node's record kept, for when the pods are gone.
async fn remembered(cluster: &Cluster, namespace: &str, node: &str) -> Result<String> {
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let selector = format!("{}=true", label::NODE_RECORD);
    let list = api.list(&ListParams::default().labels(&selector)).await.map_err(api_failure)?;
    let records = list.items.iter().filter_map(crate::records::read).filter(|record| record.node == node);
    let mut text = String::new();
    for record in records {
        let code = record.code.map(|code| format!(" {code}")).unwrap_or_default();
        let _ = writeln!(text, "--- record of {node}, installation {}: {}{code}", record.install, record.stage);
        let _ = writeln!(text, "{}", record.message);
        for line in &record.last_lines {
            let _ = writeln!(text, "{line}");
        }
    }
    if text.is_empty() {
        let message = format!("node {node} has neither a pod of the installer nor a record in namespace {namespace}");
        return Err(Failure::new(Code::NO_SUCH_NODE, message));
    }
    Ok(text)
}
