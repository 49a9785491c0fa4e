//! `husk down`: the reverse of `up`, and the proof that nothing is left.

use crate::cli::Down;
use crate::cluster;
use crate::error::{Failure, Result, exit};
use crate::rollout_watch::Watch;
use crate::screen::{Output, Screen};
use crate::subject::Subject;
use crate::up::{Told, print_json};
use contract::{Code, State};
use release::{Engine, Options, WaitFor};
use serde::Serialize;
use std::time::{Duration, Instant};

/// What `husk down -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    release: String,
    namespace: String,
    removed: bool,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<Vec<cluster::HostTrace>>,
}

pub(crate) async fn down(call: Down) -> Result<()> {
    let begun = Instant::now();
    let mut screen = Screen::open(call.output);
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let told = Told::default();
    let engine = Engine::new(cluster.client.clone(), &names.namespace).with_progress(told.listener());
    let removed = match engine.get(&names.release, 0).await {
        Ok(release) => {
            let objects =
                crate::subject::parse(&release.manifest, release.hooks.iter().map(|hook| hook.manifest.as_str()))?;
            let rollouts = crate::rollout::rollouts(&objects);
            let mut watch = Watch::begin(&cluster.client, &names.namespace, &rollouts).await;
            let options =
                Options { timeout: Duration::from_secs(call.timeout), wait: WaitFor::Objects, ..Options::default() };
            let outcome = tokio::select! {
                outcome = watch.during("removal", &mut screen, engine.uninstall(&names.release, &options)) => outcome,
                _ = tokio::signal::ctrl_c() => {
                    return Err(Failure::plain("interrupted: the same command takes up where this ended").exiting(exit::INTERRUPTED));
                }
            };
            if let Err(error) = outcome {
                let failed: Vec<String> = watch
                    .board
                    .rows()
                    .filter(|row| row.record.state == State::Failed)
                    .map(|row| {
                        let code = row.record.code.map(|code| format!("{code} ")).unwrap_or_default();
                        format!(
                            "  node {}: {code}at stage {}: {}",
                            row.record.node, row.record.stage, row.record.message
                        )
                    })
                    .collect();
                if failed.is_empty() {
                    return Err(cluster::release_failure(&error));
                }
                let message = format!("{} nodes could not be cleaned\n{}", failed.len(), failed.join("\n"));
                return Err(Failure::new(Code::NODES_FAILED, message).exiting(exit::PARTLY));
            }
            for text in told.warnings() {
                screen.warn(&text);
            }
            screen.step("remove", &told.summary());
            true
        }
        Err(release::Error::NotFound) => {
            screen.step("remove", &format!("there is no release {} in namespace {}", names.release, names.namespace));
            false
        }
        Err(error) => return Err(cluster::release_failure(&error)),
    };
    let hosts = cluster.finish(&mut screen).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let clean = hosts.as_ref().is_none_or(|hosts| hosts.iter().all(|host| host.differences.is_empty()));
    let report =
        Report { schema: "husk.down/v1", release: names.release, namespace: names.namespace, removed, seconds, hosts };
    match call.output {
        Output::Json => print_json(&report)?,
        Output::Text => screen.block(&format!("{} is gone, in {seconds:.1} s", report.release)),
    }
    if clean {
        return Ok(());
    }
    let lines: Vec<String> = report
        .hosts
        .iter()
        .flatten()
        .flat_map(|host| {
            host.differences.iter().take(10).map(move |difference| format!("  {}: {difference}", host.name))
        })
        .collect();
    Err(Failure::new(Code::HOST_NOT_CLEAN, format!("hosts differ from what they were before\n{}", lines.join("\n"))))
}
