//! `husk verify`: a ladder from the handler to the secret, climbed by real pods; a table of nodes and classes at the end.

mod evidence;
mod ladder;
mod pods;

use crate::cli;
use crate::cluster;
use crate::cut_short::Interrupt;
use crate::error::{Failure, Result, exit};
use crate::node_jobs;
use crate::phases::spell;
use crate::preflight::snapshot;
use crate::screen::{Output, Screen, emit};
use crate::subject::Subject;
use crate::up::print_json;
use contract::Code;
use futures::{StreamExt, stream};
use ladder::{Cell, Rung, Wish};
use pods::{Place, Question};
use release::Engine;
use serde::Serialize;
use std::collections::BTreeMap;

/// How many pods run at a time.
const AT_A_TIME: usize = 4;
/// Most nodes that are looked at when nobody says which.
const NODES: usize = 8;

/// What `husk verify -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    release: String,
    namespace: String,
    level: u8,
    cells: Vec<Cell>,
}

pub(crate) async fn verify(call: cli::Verify) -> Result<()> {
    let mut screen = Screen::open(call.output);
    if call.level >= 3 && call.resource.is_none() {
        return Err(Failure::plain(
            "levels 3 and 4 ask a key broker for a secret: name one of its resources, such as --resource default/husk/verify",
        ));
    }
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let engine = Engine::new(cluster.client.clone(), &names.namespace);
    let release = engine.get(&names.release, 0).await.map_err(|error| cluster::release_failure(&error))?;
    let objects = crate::subject::parse(&release.manifest, release.hooks.iter().map(|hook| hook.manifest.as_str()))?;
    let picture = crate::status::look(&cluster, &names).await?;
    let classes = crate::rollout::classes(&objects);
    node_jobs::check_names(&call.node, picture.nodes.iter().map(|node| node.name.as_str()))?;
    let wish = Wish { classes: &call.class, nodes: &call.node, most: NODES };
    let mut cells =
        ladder::cells(&picture.nodes, &classes, &wish).map_err(|why| Failure::new(Code::BAD_VALUES, why))?;
    screen.step(
        "verify",
        &format!("level 0: {} of {} served", cells.iter().filter(|cell| cell.reached.is_some()).count(), cells.len()),
    );

    if call.level >= 1 {
        let Some(pod) = node_jobs::node_pod(&objects) else {
            return Err(Failure::plain("the release has no installer, so there is no image to start pods with"));
        };
        let kernels: BTreeMap<String, String> =
            snapshot::nodes(&cluster.client).await?.into_iter().map(|node| (node.name, node.kernel)).collect();
        let mut interrupt = Interrupt::listen()?;
        let place = Place::make(&cluster.client).await?;
        let bound = spell(call.timeout);
        screen.step(
            "pods",
            &format!("one for each pair of node and class, {AT_A_TIME} at a time, each for {bound} at most"),
        );
        let climbing = climb(&place, &pod, &kernels, &call, cells, &mut screen);
        let climbed = tokio::select! {
            climbed = climbing => climbed,
            () = interrupt.heard() => {
                let next = "Next: the same command begins again.";
                let message = format!("interrupted\n  The pods that were started are deleted.\n  {next}");
                Err(Failure::plain(message).exiting(exit::INTERRUPTED))
            }
        };
        let left = place.leave().await;
        cells = climbed?;
        left?;
    }

    let failed = cells.iter().filter(|cell| cell.trouble.is_some()).count();
    let table = ladder::table(&cells);
    let open = call.level < 2 && cells.iter().any(|cell| cell.confidential && cell.trouble.is_none());
    let report = Report {
        schema: "husk.verify/v1",
        release: names.release,
        namespace: names.namespace,
        level: call.level,
        cells,
    };
    match call.output {
        Output::Json => print_json(&report)?,
        Output::Text => {
            emit(&format!("\n{table}"));
            if open {
                emit("That guests are confidential is proven from level 2 on: husk verify --level 2\n");
            }
        }
    }
    if failed > 0 {
        let all = report.cells.len();
        let pairs = if all == 1 { "pair" } else { "pairs" };
        let message = format!("{failed} of {all} {pairs} of node and class did not reach level {}", call.level);
        let status = if failed < report.cells.len() { exit::PARTLY } else { exit::ERROR };
        return Err(Failure::new(Code::VERIFICATION_FAILED, message).exiting(status));
    }
    Ok(())
}

async fn climb(
    place: &Place,
    pod: &node_jobs::NodePod,
    kernels: &BTreeMap<String, String>,
    call: &cli::Verify,
    cells: Vec<Cell>,
    screen: &mut Screen,
) -> Result<Vec<Cell>> {
    let image = pod.image();
    let climbs = cells.into_iter().enumerate().map(|(index, mut cell)| {
        let (image, secrets) = (&image, pod.pull_secrets());
        async move {
            if cell.trouble.is_some() {
                return Ok(cell);
            }
            let data: String = (0..6).map(|_| format!("{:08x}", rand::random::<u32>())).collect();
            let deep = cell.confidential && call.level >= 2;
            let question = Question {
                image,
                pull_secrets: secrets,
                node: &cell.node.clone(),
                class: Some(&cell.class.clone()),
                runtime_data: deep.then_some(data.as_str()),
                resource: call.resource.as_deref().filter(|_| deep && call.level >= 3),
                patience: call.timeout,
            };
            let witness = place.ask(&format!("witness-{index}"), &question).await?;
            let host = kernels.get(&cell.node).map(String::as_str).unwrap_or_default();
            ladder::judge(&mut cell, witness.as_ref().map_err(String::as_str), host, &data, call.level);
            if call.level >= 4 && cell.reached == Some(Rung::Secret) {
                // The same question where it must not be answered: outside of a TEE, on the same node.
                let outside = Question { class: None, runtime_data: None, ..question.clone() };
                let witness = place.ask(&format!("outside-{index}"), &outside).await?;
                ladder::judge_outside(&mut cell, witness.as_ref().map_err(String::as_str));
            }
            Ok(cell)
        }
    });
    let mut done = Vec::new();
    let mut running = stream::iter(climbs).buffered(AT_A_TIME);
    while let Some(cell) = running.next().await {
        let cell: Cell = cell?;
        screen.step("pod", &cell.line());
        done.push(cell);
    }
    Ok(done)
}
