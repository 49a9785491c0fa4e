//! `husk status`: what is installed, and how the nodes stand.

use crate::cli::Status;
use crate::cluster;
use crate::error::{Failure, Result};
use crate::screen::{Output, emit};
use crate::subject::Subject;
use crate::summary::{self, ClassSummary, NodeSummary};
use crate::up::{collect, print_json};
use contract::Code;
use release::Engine;
use serde::Serialize;

/// What `husk status -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    release: String,
    namespace: String,
    revision: u32,
    status: String,
    description: String,
    chart: String,
    nodes: Vec<NodeSummary>,
    classes: Vec<ClassSummary>,
}

pub(crate) async fn status(call: Status) -> Result<()> {
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let engine = Engine::new(cluster.client.clone(), &names.namespace);
    let release = match engine.get(&names.release, 0).await {
        Ok(release) => release,
        Err(release::Error::NotFound) => {
            let message = format!("there is no release {} in namespace {}", names.release, names.namespace);
            return Err(Failure::new(Code::RELEASE_NOT_FOUND, message));
        }
        Err(error) => return Err(cluster::release_failure(&error)),
    };
    let objects = crate::subject::parse(&release.manifest, release.hooks.iter().map(|hook| hook.manifest.as_str()))?;
    let rollouts = crate::rollout::rollouts(&objects);
    let nodes = collect(&cluster, &names.namespace, &rollouts).await?;
    let classes = summary::classes(&crate::rollout::classes(&objects), &nodes);
    let report = Report {
        schema: "husk.status/v1",
        release: release.name.clone(),
        namespace: release.namespace.clone(),
        revision: release.version,
        status: release.info.status.to_string(),
        description: release.info.description.clone(),
        chart: format!("{} {}", release.chart_field("name"), release.chart_field("version")),
        nodes,
        classes,
    };
    match call.output {
        Output::Json => print_json(&report),
        Output::Text => {
            emit(&format!(
                "{} in {}: {} (revision {}, {})\n{}\n\n{}\n{}",
                report.release,
                report.namespace,
                report.status,
                report.revision,
                report.chart,
                report.description,
                summary::node_table(&report.nodes),
                summary::class_table(&report.classes),
            ));
            Ok(())
        }
    }
}
