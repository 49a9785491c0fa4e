//! Waiting for objects by watching them: until they are ready, or until they are gone.

use crate::cluster::{Cluster, Resource, Selector};
use crate::error::{Error, NotReady, Result, Unready};
use crate::event::Event;
use crate::object::ObjectId;
use crate::readiness::{Readiness, Rules, State, is_paused, judge};
use crate::reason::{self, Diagnosis, Outlook};
use futures::StreamExt;
use jiff::Timestamp;
use kube::core::WatchEvent;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How long to wait when no time is given, after Helm.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How often pods and events are asked for reasons.
const DIAGNOSE_EVERY: Duration = Duration::from_secs(3);
/// After how much silence a watch is taken for dead: a server that lost its power closes no connection.
const SILENCE: Duration = Duration::from_secs(60);
/// How often objects are read one by one where listing is not allowed.
const READ_EVERY: Duration = Duration::from_secs(2);
/// How long a question may take.
const DIAGNOSE_LIMIT: Duration = Duration::from_secs(5);
/// How many objects are asked about in one round.
const DIAGNOSE_AT_ONCE: usize = 8;

/// An object to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is.
    pub id: ObjectId,
    /// Where it is served.
    pub resource: Resource,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Until the rules call every object current (or failed for good).
    Ready(Rules),
    /// Until none exists.
    Gone,
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// At the longest. Zero means 30 seconds, as in Helm.
    pub timeout: Duration,
    /// For how long trouble that seldom heals is looked at; with nothing, trouble never ends a wait.
    pub give_up: Option<Duration>,
}

impl From<Duration> for Patience {
    fn from(timeout: Duration) -> Self {
        Patience { timeout, give_up: None }
    }
}

/// What a follower saw.
enum Seen {
    /// All objects of a group as they are now.
    All(usize, Vec<Value>),
    /// One object changed; does it still exist?
    One(Box<Value>, bool),
    /// The group cannot be followed.
    Lost(Error),
}

struct Follower {
    resource: Resource,
    namespace: String,
    names: Vec<String>,
}

impl Follower {
    /// A single object is followed by name.
    fn selector(&self) -> Selector {
        match self.names.as_slice() {
            [one] => Selector::name(one),
            _ => Selector::default(),
        }
    }
}

struct Waited {
    target: Target,
    readiness: Readiness,
    diagnosis: Option<Diagnosis>,
    /// Since when the outlook has been bad.
    ailing: Option<Instant>,
    object: Value,
    seen: bool,
}

/// Waits for every target.
pub async fn wait(cluster: &Cluster, targets: &[Target], goal: Goal, patience: impl Into<Patience>) -> Result<()> {
    wait_with(cluster, targets, goal, patience.into()).await
}

async fn wait_with(cluster: &Cluster, targets: &[Target], goal: Goal, patience: Patience) -> Result<()> {
    let Patience { timeout, give_up } = patience;
    if targets.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + if timeout.is_zero() { DEFAULT_TIMEOUT } else { timeout };
    let unseen = Readiness { state: State::NotFound, message: "Resource not found".into() };
    let mut objects: Vec<Waited> = targets
        .iter()
        .map(|target| Waited {
            target: target.clone(),
            readiness: unseen.clone(),
            diagnosis: None,
            ailing: None,
            object: Value::Null,
            seen: false,
        })
        .collect();
    let (sender, mut seen) = mpsc::unbounded_channel();
    // Dropping the set stops the followers, so that nothing outlives this wait.
    let mut followers = JoinSet::new();
    let groups = group(targets);
    let mut unlisted = groups.len();
    let mut listed = vec![false; groups.len()];
    for (index, follower) in groups.into_iter().enumerate() {
        followers.spawn(follow(cluster.clone(), follower, index, sender.clone()));
    }
    drop(sender);
    let mut tick = tokio::time::interval_at(Instant::now() + DIAGNOSE_EVERY / 3, DIAGNOSE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let news = tokio::select! {
            news = seen.recv() => news,
            _ = tick.tick() => {
                for entry in &mut objects {
                    // Some verdicts depend on the time.
                    let object = std::mem::take(&mut entry.object);
                    update(cluster, entry, (!object.is_null()).then_some(&object), goal);
                }
                if let Some(end) = end(cluster, &mut objects, goal, unlisted).await {
                    return end;
                }
                diagnose(cluster, &mut objects, goal).await;
                if let Some(hopeless) = hopeless(&objects, goal, give_up) {
                    return Err(report(&objects, goal, Ended::GivenUp(hopeless)));
                }
                continue;
            }
            () = tokio::time::sleep_until(deadline) => {
                diagnose(cluster, &mut objects, goal).await;
                return Err(report(&objects, goal, Ended::OutOfTime));
            }
        };
        match news {
            Some(Seen::All(index, items)) => {
                if !std::mem::replace(&mut listed[index], true) {
                    unlisted -= 1;
                }
                let follower = &group(targets)[index];
                for entry in objects.iter_mut().filter(|entry| belongs(follower, &entry.target)) {
                    let found = items.iter().find(|item| is_target(item, &entry.target.id));
                    update(cluster, entry, found, goal);
                }
            }
            Some(Seen::One(object, exists)) => {
                for entry in objects.iter_mut().filter(|entry| is_target(&object, &entry.target.id)) {
                    update(cluster, entry, exists.then_some(&object), goal);
                }
            }
            Some(Seen::Lost(error)) => return Err(error),
            None => return Err(report(&objects, goal, Ended::OutOfTime)),
        }
        if let Some(end) = end(cluster, &mut objects, goal, unlisted).await {
            return end;
        }
    }
}

/// Returns the outcome once every object has come to an end.
async fn end(cluster: &Cluster, objects: &mut [Waited], goal: Goal, unlisted: usize) -> Option<Result<()>> {
    if unlisted > 0 || !objects.iter().all(|entry| is_final(&entry.readiness, goal)) {
        return None;
    }
    if objects.iter().all(|entry| is_reached(&entry.readiness, goal)) {
        return Some(Ok(()));
    }
    diagnose(cluster, objects, goal).await;
    Some(Err(report(objects, goal, Ended::AllFinal)))
}

fn is_reached(readiness: &Readiness, goal: Goal) -> bool {
    match goal {
        Goal::Ready(_) => readiness.state == State::Current,
        Goal::Gone => readiness.state == State::NotFound,
    }
}

fn is_final(readiness: &Readiness, goal: Goal) -> bool {
    is_reached(readiness, goal) || (goal != Goal::Gone && readiness.state == State::Failed)
}

/// Why a wait ended without its goal.
enum Ended {
    AllFinal,
    OutOfTime,
    /// The reason.
    GivenUp(String),
}

/// Returns why waiting on makes no sense, if that is so.
fn hopeless(objects: &[Waited], goal: Goal, give_up: Option<Duration>) -> Option<String> {
    let limit = give_up?;
    objects.iter().filter(|entry| !is_reached(&entry.readiness, goal)).find_map(|entry| {
        let diagnosis = entry.diagnosis.as_ref()?;
        let over = diagnosis.outlook == Outlook::CannotHeal || entry.ailing?.elapsed() >= limit;
        over.then(|| diagnosis.reason.clone())
    })
}

fn report(objects: &[Waited], goal: Goal, ended: Ended) -> Error {
    let unready = objects.iter().filter(|entry| !is_reached(&entry.readiness, goal)).map(|entry| Unready {
        object: entry.target.id.clone(),
        status: entry.readiness.state.as_str(),
        message: entry.readiness.message.clone(),
        reason: entry.diagnosis.as_ref().map(|diagnosis| diagnosis.reason.clone()),
    });
    let objects = unready.collect();
    let timed_out = matches!(ended, Ended::OutOfTime);
    let given_up = if let Ended::GivenUp(reason) = ended { Some(reason) } else { None };
    NotReady { objects, timed_out, given_up, deleting: goal == Goal::Gone }.into()
}

fn update(cluster: &Cluster, entry: &mut Waited, object: Option<&Value>, goal: Goal) {
    let readiness = match (object, goal) {
        (None, _) => Readiness { state: State::NotFound, message: "Resource not found".into() },
        (Some(object), Goal::Ready(_)) if is_paused(object) => {
            Readiness { state: State::Current, message: "Deployment is paused".into() }
        }
        (Some(object), Goal::Ready(rules)) => judge(object, rules, Timestamp::now().as_second()),
        (Some(object), Goal::Gone) => judge(object, Rules::Objects, Timestamp::now().as_second()),
    };
    entry.object = object.cloned().unwrap_or_default();
    if std::mem::replace(&mut entry.seen, true) && readiness == entry.readiness {
        return;
    }
    let object = entry.target.id.clone();
    let message = readiness.message.clone();
    if is_reached(&readiness, goal) {
        if goal != Goal::Gone {
            cluster.progress.send(Event::Ready { object, message });
        }
    } else {
        cluster.progress.send(Event::Waiting { object, reason: message });
    }
    entry.readiness = readiness;
}

/// Asks pods and events why objects are not ready; tells when the answer is new.
async fn diagnose(cluster: &Cluster, objects: &mut [Waited], goal: Goal) {
    if goal == Goal::Gone {
        return;
    }
    let waiting = objects.iter_mut().filter(|entry| !is_reached(&entry.readiness, goal) && !entry.object.is_null());
    for entry in waiting.take(DIAGNOSE_AT_ONCE) {
        // A reason is good to have; the wait itself goes on without.
        let asked = tokio::time::timeout(DIAGNOSE_LIMIT, reason::diagnose(cluster, &entry.object)).await;
        let Ok(found) = asked else { return };
        let bad = found.as_ref().is_some_and(|diagnosis| diagnosis.outlook > Outlook::MayHeal);
        entry.ailing = if bad { entry.ailing.or_else(|| Some(Instant::now())) } else { None };
        let Some(diagnosis) = found else { continue };
        if entry.diagnosis.as_ref() != Some(&diagnosis) {
            let text = format!("{} ({})", entry.readiness.message, diagnosis.reason);
            cluster.progress.send(Event::Waiting { object: entry.target.id.clone(), reason: text });
            entry.diagnosis = Some(diagnosis);
        }
    }
}

/// One follower for each kind and namespace.
fn group(targets: &[Target]) -> Vec<Follower> {
    let mut groups: BTreeMap<(String, String, String), Vec<&Target>> = BTreeMap::new();
    for target in targets {
        let Resource { api_version, plural, .. } = &target.resource;
        groups.entry((api_version.clone(), plural.clone(), target.id.namespace.clone())).or_default().push(target);
    }
    groups
        .into_values()
        .map(|members| Follower {
            resource: members[0].resource.clone(),
            namespace: members[0].id.namespace.clone(),
            names: members.iter().map(|member| member.id.name.clone()).collect(),
        })
        .collect()
}

fn belongs(follower: &Follower, target: &Target) -> bool {
    follower.resource == target.resource && follower.namespace == target.id.namespace
}

fn is_target(object: &Value, id: &ObjectId) -> bool {
    object["kind"] == *id.kind
        && object["metadata"]["name"] == *id.name
        && object["metadata"]["namespace"].as_str().unwrap_or_default() == id.namespace
        && object["apiVersion"].as_str().unwrap_or_default() == id.api_version
}

/// Lists, then watches from there; lists again whenever the watch ends, until the receiver is gone.
async fn follow(cluster: Cluster, follower: Follower, index: usize, sender: UnboundedSender<Seen>) {
    let Follower { resource, namespace, names } = &follower;
    let selector = &follower.selector();
    loop {
        let list = match cluster.list(resource, namespace, selector).await {
            Ok(list) => list,
            // Whoever may not list may still be allowed to read what it made.
            Err(Error::Api { code: 403, .. }) => {
                let mut items = Vec::new();
                for name in names {
                    match cluster.get(resource, namespace, name).await {
                        Ok(object) => items.extend(object),
                        Err(error) => {
                            let _ = sender.send(Seen::Lost(error));
                            return;
                        }
                    }
                }
                if sender.send(Seen::All(index, items)).is_err() {
                    return;
                }
                tokio::time::sleep(READ_EVERY).await;
                continue;
            }
            // The kind itself is gone, with its definition.
            Err(error) if error.is_not_found() => Default::default(),
            Err(error) => {
                let _ = sender.send(Seen::Lost(error));
                return;
            }
        };
        if sender.send(Seen::All(index, list.items)).is_err() {
            return;
        }
        if !list.resource_version.is_empty()
            && let Ok(mut events) = cluster.watch(resource, namespace, selector, &list.resource_version).await
        {
            while let Ok(Some(Ok(event))) = tokio::time::timeout(SILENCE, events.next()).await {
                let seen = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => Seen::One(object.into(), true),
                    WatchEvent::Deleted(object) => Seen::One(object.into(), false),
                    WatchEvent::Bookmark(_) => continue,
                    // Too old a version, most likely: list again.
                    WatchEvent::Error(_) => break,
                };
                if sender.send(seen).is_err() {
                    return;
                }
            }
        }
        // A server that ends every watch at once must not be asked in a tight loop.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: &str, plural: &str, name: &str) -> Target {
        let resource =
            Resource { api_version: "v1".into(), kind: kind.into(), plural: plural.into(), namespaced: true };
        Target { id: ObjectId::new("v1", kind, "n", name), resource }
    }

    #[test]
    fn a_single_object_is_followed_by_name() {
        let groups = group(&[target("Pod", "pods", "a"), target("Secret", "secrets", "s"), target("Pod", "pods", "b")]);
        let selectors: Vec<_> = groups.iter().map(|group| group.selector().fields).collect();
        assert_eq!(selectors, ["", "metadata.name=s"]);
        assert!(belongs(&groups[0], &target("Pod", "pods", "b")));
    }

    #[test]
    fn failure_ends_waiting_for_readiness_but_not_for_removal() {
        let failed = Readiness { state: State::Failed, message: String::new() };
        assert!(is_final(&failed, Goal::Ready(Rules::Objects)));
        assert!(!is_final(&failed, Goal::Gone));
    }
}
