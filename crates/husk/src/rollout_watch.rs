//! Waits until every node of a rollout is through, and keeps the board and the screen up to date meanwhile.

use crate::board::Board;
use crate::phases::Clock;
use crate::records::{self, News};
use crate::rollout::{Mode, Rollout};
use crate::screen::Screen;
use contract::State;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often the live region moves.
const FRAME: Duration = Duration::from_millis(100);
/// How often a DaemonSet and its pods are looked at.
const LOOK: Duration = Duration::from_millis(400);
/// How long a DaemonSet may not get on behind a failed node before it counts as stalled.
const STALL: Duration = Duration::from_secs(10);

/// The node records of some installations, as they change.
pub(crate) struct Watch {
    pub(crate) board: Board,
    news: BoxStream<'static, News>,
    begun: Instant,
}

impl Watch {
    /// Begins to watch, and takes in what is there already.
    pub(crate) async fn begin(client: &Client, namespace: &str, rollouts: &[Rollout]) -> Watch {
        let installs: BTreeSet<&str> = rollouts.iter().map(|rollout| rollout.install.as_str()).collect();
        let streams = installs.iter().map(|install| records::follow(client, namespace, install).boxed());
        let mut watch = Watch {
            board: Board::default(),
            news: futures::stream::select_all(streams).boxed(),
            begun: Instant::now(),
        };
        let mut unlisted = installs.len();
        let patience = tokio::time::sleep(Duration::from_secs(10));
        let mut patience = std::pin::pin!(patience);
        while unlisted > 0 {
            tokio::select! {
                Some(news) = watch.news.next() => match news {
                    News::Record(record) => drop(watch.board.on(*record, 0)),
                    News::Listed => unlisted -= 1,
                    News::Gone(_) | News::Broken(_) => {}
                },
                // Without the first list old records would count as new ones; that is told apart later, by their pods.
                () = &mut patience => break,
            }
        }
        watch.board.listed();
        watch
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Shows what happens on `of` nodes until a future is through, and returns its result.
    pub(crate) async fn during<T>(
        &mut self,
        clock: &Clock,
        of: Option<usize>,
        screen: &mut Screen,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        let mut frames = tokio::time::interval(FRAME);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break result,
                // Counting ten thousand nodes for each of their records would be all that is done.
                _ = frames.tick() => screen.draw(&clock.read(), of, &self.board, self.now()),
                Some(news) = self.news.next() => self.take(news, screen),
            }
        };
        // What has arrived already belongs to the work.
        while let Some(Some(news)) = self.news.next().now_or_never() {
            self.take(news, screen);
        }
        screen.clear();
        result
    }

    fn take(&mut self, news: News, screen: &mut Screen) {
        let now = self.now();
        match news {
            News::Record(record) => {
                if let Some(row) = self.board.on(*record, now) {
                    screen.node(row);
                }
            }
            News::Gone(node) => drop(self.board.gone(&node)),
            News::Listed => {}
            News::Broken(why) => tracing::debug!("the watch on node records broke: {why}"),
        }
    }
}

/// How a DaemonSet's rollout ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every node is through, some perhaps with an error.
    Through,
    /// Nodes that failed hold up the others: so many still have what was there before.
    Stalled(usize),
    /// So many nodes keep what they have until somebody deletes their pods, as the update strategy says.
    Kept(usize),
    /// Time is up; these nodes are not through.
    TimedOut(Vec<String>),
}

/// Gives nodes that failed before another chance at once: their pods are replaced instead of waited for.
pub(crate) async fn retry_failed(
    client: &Client,
    namespace: &str,
    rollout: &Rollout,
    watch: &Watch,
) -> kube::Result<usize> {
    let Mode::DaemonSet(name) = &rollout.mode else { return Ok(0) };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = pods.list(&ListParams::default().labels(&format!("name={name}"))).await?;
    let mut replaced = 0;
    for (node, pod) in current_pods(list.items) {
        let stuck = watch.board.row(&node).is_some_and(|row| {
            row.begun.is_none() && row.record.state == State::Failed && row.record.pod.as_deref() == Some(pod.as_str())
        });
        if stuck {
            pods.delete(&pod, &DeleteParams::background()).await?;
            replaced += 1;
        }
    }
    Ok(replaced)
}

/// Waits for the pods of a DaemonSet, as long as the phase may take: each node must have said, through the pod of the newest
/// revision, how it ended.
pub(crate) async fn daemon_set(
    client: &Client,
    namespace: &str,
    rollout: &Rollout,
    watch: &mut Watch,
    screen: &mut Screen,
    clock: &Clock,
    of: Option<usize>,
) -> kube::Result<Ending> {
    let Mode::DaemonSet(name) = &rollout.mode else { return Ok(Ending::Through) };
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut held: Option<Instant> = None;
    loop {
        let set = sets.get(name).await?;
        let generation = set.metadata.generation;
        let strategy = set.spec.and_then(|spec| spec.update_strategy).and_then(|strategy| strategy.type_);
        let on_delete = strategy.as_deref() == Some("OnDelete");
        let status = set.status.unwrap_or_default();
        let selector = ListParams::default().labels(&format!("name={name}"));
        let mut unfinished = vec!["(the DaemonSet controller)".to_owned()];
        let mut behind = 0;
        if status.observed_generation == generation {
            let wanted = usize::try_from(status.desired_number_scheduled).unwrap_or(0);
            let updated = usize::try_from(status.updated_number_scheduled.unwrap_or(0)).unwrap_or(0);
            let current = current_pods(pods.list(&selector).await?.items);
            unfinished = current
                .iter()
                .filter(|(node, pod)| !through(watch, rollout, node, pod))
                .map(|(node, _)| node.clone())
                .collect();
            let failed = current.keys().any(|node| failed(watch, node));
            if unfinished.is_empty() && failed && current.len() >= wanted {
                behind = wanted.saturating_sub(updated);
            }
            if on_delete && unfinished.is_empty() && current.len() >= wanted && updated < wanted {
                return Ok(Ending::Kept(wanted - updated));
            }
            if current.len() < wanted || updated < wanted {
                unfinished.push(format!("({} of {wanted} pods exist)", current.len().min(updated)));
            }
        }
        if unfinished.is_empty() {
            return Ok(Ending::Through);
        }
        held = if behind > 0 { held.or(Some(Instant::now())) } else { None };
        if held.is_some_and(|since| since.elapsed() >= STALL) {
            return Ok(Ending::Stalled(behind));
        }
        if clock.left().is_zero() {
            return Ok(Ending::TimedOut(unfinished));
        }
        watch.during(clock, of, screen, tokio::time::sleep(LOOK)).await;
    }
}

/// Returns the living pod of each node.
fn current_pods(pods: Vec<Pod>) -> BTreeMap<String, String> {
    pods.into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| Some((pod.spec?.node_name?, pod.metadata.name?)))
        .collect()
}

fn failed(watch: &Watch, node: &str) -> bool {
    watch.board.row(node).is_some_and(|row| row.record.state == State::Failed)
}

fn through(watch: &Watch, rollout: &Rollout, node: &str, pod: &str) -> bool {
    let Some(row) = watch.board.row(node) else { return false };
    let ended = row.record.state == State::Failed
        || (row.record.stage == rollout.last_stage() && row.record.state == State::Done);
    ended && row.record.pod.as_deref().is_none_or(|speaker| speaker == pod)
}
