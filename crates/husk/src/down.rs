//! `husk down`: the reverse of `up`, and the proof that nothing is left.

use crate::cli::Down;
use crate::cluster;
use crate::cut_short::Interrupt;
use crate::error::{Failure, Result, exit};
use crate::phases::{Bounds, Clock, Phase, Taken};
use crate::rollout_run::RolloutRun;
use crate::rollout_watch::Watch;
use crate::screen::{Output, Screen};
use crate::subject::Subject;
use crate::told::Told;
use crate::up::print_json;
use contract::{Code, State};
use release::record::Release;
use release::{Engine, Options, WaitFor};
use serde::Serialize;
use std::time::Instant;

/// What `husk down -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    release: String,
    namespace: String,
    removed: bool,
    seconds: f64,
    phases: Vec<Taken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<Vec<cluster::HostTrace>>,
}

pub(crate) async fn down(call: Down) -> Result<()> {
    let begun = Instant::now();
    let bounds = Bounds::new("down", &[Phase::Remove, Phase::Nodes], &call.timeout)?;
    let mut screen = Screen::open(call.output);
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let clock = Clock::start(bounds, Phase::Remove);
    let found = Engine::new(cluster.client.clone(), &names.namespace).get(&names.release, 0).await;
    let removed = match found {
        Ok(release) => {
            remove(&cluster, &names, &release, &clock, &mut screen).await?;
            true
        }
        Err(release::Error::NotFound) => {
            screen.step("remove", &format!("there is no release {} in namespace {}", names.release, names.namespace));
            false
        }
        Err(error) => return Err(cluster::release_failure(&error)),
    };
    let phases = clock.taken();
    let hosts = cluster.finish(&mut screen).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let clean = hosts.as_ref().is_none_or(|hosts| hosts.iter().all(|host| host.differences.is_empty()));
    let (release, namespace) = (names.release, names.namespace);
    let report = Report { schema: "husk.down/v1", release, namespace, removed, seconds, phases, hosts };
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

async fn remove(
    cluster: &cluster::Cluster,
    names: &crate::subject::Names,
    release: &Release,
    clock: &Clock,
    screen: &mut Screen,
) -> Result<()> {
    let objects = crate::subject::parse(&release.manifest, release.hooks.iter().map(|hook| hook.manifest.as_str()))?;
    let rollouts = crate::rollout::rollouts(&objects);
    let node_hooks = crate::rollout::node_hooks(&objects);
    let options = Options {
        timeout: clock.bound(Phase::Remove),
        hook_timeouts: node_hooks.iter().map(|name| (name.clone(), clock.bound(Phase::Nodes))).collect(),
        wait: WaitFor::Objects,
        ..Options::default()
    };
    let told = Told::new(clock, Phase::Remove, node_hooks);
    let engine = Engine::new(cluster.client.clone(), &names.namespace).with_progress(told.listener());
    let mut run = RolloutRun {
        cluster,
        names,
        rollouts: &rollouts,
        selected: None,
        again: "husk down".to_owned(),
        clock: clock.clone(),
        told: told.clone(),
        interrupt: Interrupt::listen()?,
        watch: Watch::begin(&cluster.client, &names.namespace, &rollouts).await,
    };
    let known = run.watch.board.rows().count();
    if let Err(error) = run.release(screen, engine.uninstall(&names.release, &options)).await? {
        let failed: Vec<String> = run
            .watch
            .board
            .rows()
            .filter(|row| row.record.state == State::Failed)
            .map(|row| {
                let code = row.record.code.map(|code| format!("{code} ")).unwrap_or_default();
                format!("  node {}: {code}at stage {}: {}", row.record.node, row.record.stage, row.record.message)
            })
            .collect();
        if failed.is_empty() {
            return Err(cluster::release_failure(&error));
        }
        let message = format!("{} nodes could not be cleaned\n{}", failed.len(), failed.join("\n"));
        return Err(Failure::new(Code::NODES_FAILED, message).exiting(exit::PARTLY));
    }
    // What the removal of nodes took is of use where it happened; elsewhere they have nothing to do.
    screen.step("remove", &format!("{} {}", told.summary(), clock.note(Phase::Remove)));
    if clock.taken().len() > 1 {
        // The record of a node goes when the node is clean.
        let cleaned = known.saturating_sub(run.watch.board.rows().count());
        screen.step("nodes", &format!("{cleaned} cleaned {}", clock.note(Phase::Nodes)));
    }
    Ok(())
}
