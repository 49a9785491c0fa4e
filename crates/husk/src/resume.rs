//! `husk resume` and `husk recover`: on from wherever the last run ended.

use crate::cli;
use crate::cluster::{self, Cluster, api_failure};
use crate::cut_short::Interrupt;
use crate::error::{Failure, Result};
use crate::phases::{Bounds, Clock, Phase, Taken};
use crate::rollout::Mode;
use crate::rollout_run::RolloutRun;
use crate::rollout_watch::Watch;
use crate::screen::{Output, Screen, emit};
use crate::subject::{Names, Subject};
use crate::told::Told;
use crate::up::{self, print_json};
use contract::Code;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use release::{Engine, Options, Recovered, Release, Status, WaitFor};
use serde::Serialize;

/// Does the last run again: the chart of this binary, or the one named, with the values that the release's record has.
pub(crate) async fn resume(call: cli::Resume) -> Result<()> {
    let bounds = Bounds::new("resume", &up::PHASES, &call.timeout)?;
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let engine = Engine::new(cluster.client.clone(), &names.namespace);
    let release = newest(&engine, &names).await?;
    if matches!(release.info.status, Status::Uninstalling | Status::Uninstalled) {
        let message = format!("revision {} is {}", release.version, release.info.status);
        return Err(Failure::new(Code::RELEASE_NOT_FOUND, format!("{message}; `husk recover` finishes the removal")));
    }
    let picture = crate::status::look(&cluster, &names).await?;
    let drifted: Vec<&str> =
        picture.nodes.iter().filter(|node| node.has_drifted()).map(|node| node.name.as_str()).collect();
    replace_pods(&cluster, &names.namespace, &release, &drifted).await?;
    again(&call.target, &call.subject, bounds, call.output, release).await
}

/// Gives nodes on which the installer is through, and whose labels or handlers went away since, a new pod: it does all
/// again that is not as it should be. In Job mode the dispatcher sees to that itself.
async fn replace_pods(cluster: &Cluster, namespace: &str, release: &Release, nodes: &[&str]) -> Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    let objects = crate::subject::parse(&release.manifest, release.hooks.iter().map(|hook| hook.manifest.as_str()))?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    for rollout in crate::rollout::rollouts(&objects) {
        let Mode::DaemonSet(name) = &rollout.mode else { continue };
        let list = pods.list(&ListParams::default().labels(&format!("name={name}"))).await.map_err(api_failure)?;
        for pod in list.items {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            if node.is_some_and(|node| nodes.contains(&node)) {
                pods.delete(&pod.name_any(), &DeleteParams::background()).await.map_err(api_failure)?;
            }
        }
    }
    Ok(())
}

async fn newest(engine: &Engine, names: &Names) -> Result<Release> {
    engine.get(&names.release, 0).await.map_err(|error| match error {
        release::Error::NotFound => Failure::new(
            Code::RELEASE_NOT_FOUND,
            format!("there is no release {} in namespace {}", names.release, names.namespace),
        ),
        error => cluster::release_failure(&error),
    })
}

/// Is the release of the chart that is named, in the version that is at hand?
fn is_own(call: &cli::Subject, release: &Release) -> Result<bool> {
    Ok(Subject::recorded(call, release.config.clone())?.chart_title() == title(release))
}

fn title(release: &Release) -> String {
    format!("{} {}", release.chart_field("name"), release.chart_field("version"))
}

async fn again(
    target: &cli::Target,
    call: &cli::Subject,
    bounds: Bounds,
    output: Output,
    release: Release,
) -> Result<()> {
    let recorded = title(&release);
    let subject = Subject::recorded(call, release.config)?;
    if subject.chart_title() != recorded {
        let message = format!(
            "the release is of chart {recorded} and this would be {}: name that chart with --chart, or upgrade with \
             `husk up -f …`",
            subject.chart_title()
        );
        return Err(Failure::new(Code::BAD_CHART, message));
    }
    up::bring(target, bounds, output, subject).await
}

/// What to do about a release, by its newest revision's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is deployed: nothing.
    Nothing,
    /// Finish what was begun.
    Forward,
    /// Return to the newest revision that worked.
    Back,
    /// Finish the removal.
    Remove,
}

/// Decides; `back` is the user's wish, `worked` whether an earlier revision was deployed once.
fn way(status: Status, back: bool, worked: bool) -> Result<Way> {
    Ok(match status {
        Status::Deployed | Status::Superseded => Way::Nothing,
        Status::Uninstalling | Status::Uninstalled => Way::Remove,
        _ if back && worked => Way::Back,
        _ if back => {
            let message = "no earlier revision worked, so there is nothing to go back to; without --back it goes on, \
                           `husk down` removes it";
            return Err(Failure::new(Code::RELEASE_NOT_FOUND, message));
        }
        _ => Way::Forward,
    })
}

/// What `husk recover -o json` prints, unless it went on as `husk up`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    release: String,
    namespace: String,
    found: String,
    done: String,
    phases: Vec<Taken>,
}

/// Takes a release over from whoever is gone, and brings it to an end.
pub(crate) async fn recover(call: cli::Recover) -> Result<()> {
    let bounds = Bounds::new("recover", &Phase::ALL, &call.timeout)?;
    let mut screen = Screen::open(call.output);
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let engine = Engine::new(cluster.client.clone(), &names.namespace);
    let history = engine.history(&names.release).await.map_err(|error| match error {
        release::Error::NotFound => Failure::new(
            Code::RELEASE_NOT_FOUND,
            format!("there is no release {} in namespace {}: nothing to recover", names.release, names.namespace),
        ),
        error => cluster::release_failure(&error),
    })?;
    let Some(last) = history.last().cloned() else { return Err(Failure::plain("the history is empty")) };
    let good = history.iter().rev().find(|r| matches!(r.info.status, Status::Deployed | Status::Superseded));
    let found = last.info.status.to_string();
    let way = way(last.info.status, call.back, good.is_some())?;
    screen.step("found", &format!("revision {} is {found}", last.version));
    if matches!(way, Way::Forward | Way::Back) {
        // Refuses while the holder lives, and names it.
        engine.abandon(&names.release).await.map_err(|error| cluster::release_failure(&error))?;
    }
    if way == Way::Forward && is_own(&call.subject, &last)? {
        return again(&call.target, &call.subject, bounds, call.output, last).await;
    }
    let meant = match (way, good) {
        (Way::Back, Some(good)) => good,
        _ => &last,
    };
    let objects = crate::subject::parse(&meant.manifest, meant.hooks.iter().map(|hook| hook.manifest.as_str()))?;
    let (rollouts, node_hooks) = (crate::rollout::rollouts(&objects), crate::rollout::node_hooks(&objects));
    let base = if way == Way::Remove { Phase::Remove } else { Phase::Apply };
    let clock = Clock::start(bounds, base);
    let told = Told::new(&clock, base, node_hooks.clone());
    let engine = engine.with_progress(told.listener());
    let options = Options {
        timeout: clock.bound(base),
        hook_timeouts: node_hooks.into_iter().map(|name| (name, clock.bound(Phase::Nodes))).collect(),
        force_conflicts: true,
        wait: WaitFor::Objects,
        takeover: release::Takeover::WhenGone,
        ..Options::default()
    };
    let mut run = RolloutRun {
        cluster: &cluster,
        names: &names,
        rollouts: &rollouts,
        selected: None,
        again: if call.back { "husk recover --back" } else { "husk recover" }.to_owned(),
        clock: clock.clone(),
        told,
        interrupt: Interrupt::listen()?,
        watch: Watch::begin(&cluster.client, &names.namespace, &rollouts).await,
    };
    let failed = |error: release::Error| cluster::release_failure(&error);
    let name = &names.release;
    let done = match way {
        Way::Nothing => {
            run.release(&mut screen, engine.recover(name, &options)).await?.map_err(failed)?;
            "nothing had to be done".to_owned()
        }
        // Another chart, or another version than this binary has: the record has all that is needed.
        Way::Forward => match run.release(&mut screen, engine.recover(name, &options)).await?.map_err(failed)? {
            Recovered::Finished(release) => format!("what was begun is deployed as revision {}", release.version),
            Recovered::Sound(release) => format!("revision {} is deployed", release.version),
            Recovered::Removed => "the removal is finished".to_owned(),
        },
        Way::Back => {
            let to = meant.version;
            let release = run.release(&mut screen, engine.rollback(name, to, &options)).await?.map_err(failed)?;
            format!("went back to revision {to}; that is revision {} now", release.version)
        }
        Way::Remove => {
            let options = Options { keep_history: false, ..options };
            match run.release(&mut screen, engine.uninstall(name, &options)).await? {
                Ok(_) | Err(release::Error::NotFound) => {}
                Err(error) => return Err(failed(error)),
            }
            cluster.finish(&mut Screen::open(Output::Json)).await?;
            "the removal is finished".to_owned()
        }
    };
    let report = Report {
        schema: "husk.recover/v1",
        release: names.release,
        namespace: names.namespace,
        found,
        done,
        phases: clock.taken(),
    };
    match call.output {
        Output::Json => print_json(&report)?,
        Output::Text => emit(&format!("{}: {}\n", report.release, report.done)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_release_has_a_way_out() {
        use Status::{Deployed, Failed, PendingInstall, PendingRollback, PendingUpgrade, Uninstalling};
        for (status, back, worked, expected) in [
            (Deployed, false, true, Way::Nothing),
            (Failed, false, false, Way::Forward),
            (PendingInstall, false, false, Way::Forward),
            (PendingUpgrade, true, true, Way::Back),
            (PendingRollback, false, true, Way::Forward),
            (Uninstalling, true, true, Way::Remove),
        ] {
            assert_eq!(way(status, back, worked).unwrap(), expected, "{status}");
        }
        assert!(way(PendingInstall, true, false).unwrap_err().message.contains("husk down"));
    }
}
