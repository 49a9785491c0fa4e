//! A verb at work on a rollout: the release engine's part, the nodes' part, the kubelets' part; shown while they last,
//! bounded phase by phase, and left in good order when the user interrupts.

use crate::cluster::{self, Cluster, api_failure};
use crate::convergence::{self, is_open};
use crate::cut_short::{self, Interrupt, Left};
use crate::error::{Failure, Result};
use crate::phases::{Clock, Phase};
use crate::preflight;
use crate::rollout::{Mode, Rollout};
use crate::rollout_watch::{self, Ending, Watch};
use crate::screen::Screen;
use crate::subject::Names;
use crate::summary::NodeSummary;
use crate::told::Told;
use contract::State;
use std::time::Duration;

/// How often nodes are read until their kubelets report what the runtimes have proven.
const LOOK: Duration = Duration::from_millis(200);
/// How long finding the cause of a delay may take.
const DIAGNOSIS: Duration = Duration::from_secs(10);

/// A verb at work.
pub(crate) struct RolloutRun<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) names: &'a Names,
    pub(crate) rollouts: &'a [Rollout],
    /// How many nodes the rollouts select, where that is known.
    pub(crate) selected: Option<usize>,
    /// The command that goes on when this one is cut short.
    pub(crate) again: String,
    pub(crate) clock: Clock,
    pub(crate) told: Told,
    pub(crate) interrupt: Interrupt,
    pub(crate) watch: Watch,
}

impl RolloutRun<'_> {
    /// Lets the release engine work and waits for what follows from it on the nodes; what the engine gave, and where the nodes
    /// stand. A node that is not through is an error.
    pub(crate) async fn through<T>(
        &mut self,
        screen: &mut Screen,
        work: impl Future<Output = release::Result<T>>,
    ) -> Result<(T, Vec<NodeSummary>)> {
        let done = match self.release(screen, work).await? {
            Ok(done) => done,
            Err(error) => {
                let results = self.standing().await.unwrap_or_default();
                return Err(convergence::failure(&results).unwrap_or_else(|| cluster::release_failure(&error)));
            }
        };
        screen.step("apply", &format!("{} {}", self.told.summary(), self.clock.note(Phase::Apply)));
        self.nodes(screen).await?;
        let results = self.ready(screen).await?;
        match convergence::failure(&results) {
            Some(failure) => Err(failure),
            None => Ok((done, results)),
        }
    }

    /// Lets the release engine work. The inner error is the engine's own; that time ran out is told here.
    pub(crate) async fn release<T>(
        &mut self,
        screen: &mut Screen,
        work: impl Future<Output = release::Result<T>>,
    ) -> Result<release::Result<T>> {
        let RolloutRun { watch, clock, interrupt, selected, .. } = self;
        let outcome = tokio::select! {
            outcome = watch.during(clock, *selected, screen, work) => outcome,
            () = interrupt.heard() => return Err(self.interrupted()),
        };
        for text in self.told.warnings() {
            screen.warn(&text);
        }
        match outcome {
            Err(error) if error.is_timeout() && self.clock.read().phase == Phase::Nodes => {
                let what = format!("{} is still at work", self.told.hook().unwrap_or_default());
                Err(self.nodes_out_of_time(&what, &[]).await)
            }
            Err(error) if error.is_timeout() => {
                let open: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
                let what = match self.told.hook() {
                    Some(hook) => format!("{hook} is still at work"),
                    None => "not everything is as it is to be".to_owned(),
                };
                let cause = error.causes().first().cloned();
                Err(cut_short::out_of_time(&self.clock.read(), &what, &open, cause.as_deref(), &self.left()))
            }
            outcome => Ok(outcome),
        }
    }

    /// Does work of another kind, whose phase has begun, within its bound.
    pub(crate) async fn bounded<T>(&mut self, screen: &mut Screen, work: impl Future<Output = Result<T>>) -> Result<T> {
        let RolloutRun { watch, clock, interrupt, selected, .. } = self;
        let left = clock.left();
        tokio::select! {
            outcome = watch.during(clock, *selected, screen, work) => return outcome,
            () = tokio::time::sleep(left) => {}
            () = interrupt.heard() => return Err(self.interrupted()),
        }
        Err(self.nodes_out_of_time("the work goes on", &[]).await)
    }

    /// Waits until every node is through, some perhaps with an error.
    pub(crate) async fn nodes(&mut self, screen: &mut Screen) -> Result<()> {
        let sets = self.rollouts.iter().filter(|rollout| matches!(rollout.mode, Mode::DaemonSet(_)));
        for (index, rollout) in sets.enumerate() {
            if index == 0 {
                self.clock.enter(Phase::Nodes);
            }
            let (client, namespace) = (&self.cluster.client, &self.names.namespace);
            rollout_watch::retry_failed(client, namespace, rollout, &self.watch).await.map_err(api_failure)?;
            let RolloutRun { watch, clock, interrupt, selected, .. } = self;
            let waiting = rollout_watch::daemon_set(client, namespace, rollout, watch, screen, clock, *selected);
            let ending = tokio::select! {
                ending = waiting => ending.map_err(api_failure)?,
                () = interrupt.heard() => return Err(self.interrupted()),
            };
            match ending {
                Ending::Through => {}
                Ending::Stalled(behind) => screen.warn(&format!(
                    "the DaemonSet waits behind what failed: {behind} of its nodes still have what was there before"
                )),
                Ending::Kept(behind) => screen.warn(&format!(
                    "`updateStrategy` is OnDelete: {behind} nodes keep what they have until their pods are deleted"
                )),
                Ending::TimedOut(open) => {
                    let what = match self.selected {
                        Some(all) => {
                            let open = open.iter().filter(|name| !name.starts_with('(')).count();
                            format!("{} of {all} nodes are through", all.saturating_sub(open))
                        }
                        None => "not every node is through".to_owned(),
                    };
                    return Err(self.nodes_out_of_time(&what, &open).await);
                }
            }
        }
        Ok(())
    }

    /// Waits until kubelets report what the runtimes have proven: they ask their runtime every few seconds. Returns how the
    /// nodes stand then; nodes that failed are the caller's to tell.
    pub(crate) async fn ready(&mut self, screen: &mut Screen) -> Result<Vec<NodeSummary>> {
        self.clock.enter(Phase::Ready);
        loop {
            let results = self.standing().await?;
            if !results.iter().any(is_open) {
                return Ok(results);
            }
            if self.clock.left().is_zero() {
                // What failed or was never begun is worse than what is late.
                if results.iter().any(|node| node.selected && node.state.is_none_or(|s| s == State::Failed)) {
                    return Ok(results);
                }
                let open: Vec<&NodeSummary> = results.iter().filter(|node| is_open(node)).collect();
                let lines: Vec<String> = open.iter().map(|node| convergence::line(node)).collect();
                let all = results.iter().filter(|node| node.selected).count();
                let what = format!("{} of {all} nodes are ready", all - open.len());
                return Err(cut_short::out_of_time(&self.clock.read(), &what, &lines, None, &self.left()));
            }
            let RolloutRun { watch, clock, interrupt, selected, .. } = self;
            tokio::select! {
                () = watch.during(clock, *selected, screen, tokio::time::sleep(LOOK)) => {}
                () = interrupt.heard() => return Err(self.interrupted()),
            }
        }
    }

    /// Reads how the nodes stand.
    pub(crate) async fn standing(&self) -> Result<Vec<NodeSummary>> {
        let nodes = preflight::nodes(&self.cluster.client).await?;
        convergence::standing(self.cluster, &self.names.namespace, self.rollouts, &nodes).await
    }

    /// What goes on, and how to go on.
    pub(crate) fn left(&self) -> Left {
        let removes = self.told.removes();
        let rollouts = self.rollouts.iter().filter_map(|rollout| match &rollout.mode {
            Mode::DaemonSet(name) if removes => {
                Some(format!("pods of DaemonSet {name}, which undo their work as they stop"))
            }
            Mode::DaemonSet(name) => Some(format!("DaemonSet {name}")),
            // A dispatcher is a hook, and that is told by the engine.
            Mode::Job(_) => None,
        });
        let flying = self.watch.board.rows().filter(|row| row.begun.is_some() && row.ended.is_none());
        Left {
            goes_on: self.told.hook().into_iter().chain(rollouts).collect(),
            flying: flying.map(|row| row.record.node.clone()).collect(),
            again: self.again.clone(),
        }
    }

    fn interrupted(&self) -> Failure {
        cut_short::interrupted(&self.clock.read(), &self.left())
    }

    /// Says that the nodes' time is up; `open` names those that are not through, where that is known better than from
    /// their records.
    async fn nodes_out_of_time(&self, what: &str, open: &[String]) -> Failure {
        let reading = self.clock.read();
        let asked = tokio::time::timeout(DIAGNOSIS, async {
            (self.standing().await.unwrap_or_default(), crate::status::look(self.cluster, self.names).await.ok())
        });
        let (results, picture) = asked.await.unwrap_or_default();
        let named = |name: &String| {
            let known = results.iter().find(|node| node.name == *name);
            known.map_or_else(|| name.clone(), convergence::line)
        };
        let lines: Vec<String> = match open {
            // The record of a node goes when the node is clean; its labels went before.
            [] if self.told.removes() => self
                .watch
                .board
                .rows()
                .filter(|row| row.ended.is_none() || row.record.state == State::Failed)
                .map(row_line)
                .collect(),
            [] => results.iter().filter(|node| node.selected && !node.converged()).map(convergence::line).collect(),
            open => open.iter().map(named).collect(),
        };
        let cause = picture.and_then(|picture| {
            let problem = picture.problems.into_iter().find(|problem| !problem.nodes.is_empty())?;
            let code = problem.code.map(|code| format!("{code}, ")).unwrap_or_default();
            Some(format!("{code}{}: {}", problem.title, problem.cause))
        });
        cut_short::out_of_time(&reading, what, &lines, cause.as_deref(), &self.left())
    }
}

/// How a node stands by its record alone.
fn row_line(row: &crate::board::Row) -> String {
    let record = &row.record;
    let code = record.code.map(|code| format!("{code} ")).unwrap_or_default();
    let how = match (row.begun, record.state, record.message.as_str()) {
        (None, ..) => return format!("node {}: not begun", record.node),
        (_, State::Running, "") => "running",
        (_, _, "") => "waiting",
        (_, _, message) => message,
    };
    format!("node {}: {code}at stage {}: {how}", record.node, record.stage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Row;
    use contract::{NodeRecord, Stage};

    #[test]
    fn a_node_that_is_being_cleaned_is_told_by_its_record() {
        let record = NodeRecord::new("k8s-1", "default", Stage::RevertCri, State::Running);
        let row = Row { record, begun: Some(1), ended: None };
        assert_eq!(row_line(&row), "node k8s-1: at stage revert-cri: running");
        assert_eq!(row_line(&Row { begun: None, ..row }), "node k8s-1: not begun");
    }
}
