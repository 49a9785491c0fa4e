//! Hooks: objects that run at a point of an operation and are no part of the release afterwards.

use crate::apply::{ApplyOptions, Item, apply_all, resolve, targets};
use crate::cluster::{Cascade, Cluster, Selector};
use crate::error::{Error, HookFailure, PodLog, Result};
use crate::event::Event;
use crate::object::{ObjectId, parse_manifest};
use crate::options::Options;
use crate::readiness::Rules;
use crate::reason::{containers, core, pod_state, pods_of};
use crate::record::{Hook, HookEvent, HookRun, Release, Time};
use crate::storage::Storage;
use crate::wait::{Goal, wait};
use serde_json::Value;
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// Delete policy and output policy: when the hook succeeded.
pub const SUCCEEDED: &str = "hook-succeeded";
/// Delete policy and output policy: when the hook failed.
pub const FAILED: &str = "hook-failed";
/// Delete policy: before the hook is created again; the default.
pub const BEFORE_CREATION: &str = "before-hook-creation";

/// Lines of output that are kept of each container of a failed hook.
const FAILURE_LINES: u32 = 40;
/// How often the pods of a running hook are looked at.
const POD_ROUND: Duration = Duration::from_secs(1);

/// Runs the hooks of a release.
pub struct HookRunner<'a> {
    /// Where they run.
    pub cluster: &'a Cluster,
    /// Where their progress is recorded.
    pub storage: &'a Storage,
    /// How long each may take.
    pub options: &'a Options,
    /// Only hooks for which this returns true run (tests can be selected by name).
    pub filter: &'a (dyn Fn(&Hook) -> bool + Send + Sync),
}

/// Returns the places of the hooks of an event in the order in which they run: by weight, then by name.
pub fn order(hooks: &[Hook], event: HookEvent) -> Vec<usize> {
    let mut places: Vec<usize> = (0..hooks.len()).filter(|place| hooks[*place].events.contains(&event)).collect();
    places.sort_by(|a, b| (hooks[*a].weight, &hooks[*a].name).cmp(&(hooks[*b].weight, &hooks[*b].name)));
    places
}

/// Does a hook ask for something at a point? Without any delete policy it is deleted before it is created again.
pub fn has_policy(hook: &Hook, policy: &str) -> bool {
    hook.delete_policies.iter().any(|own| own == policy)
        || (policy == BEFORE_CREATION && hook.delete_policies.is_empty())
}

impl HookRunner<'_> {
    /// Runs every hook of an event, one after the other, and records each start and end in the release.
    pub async fn run(&self, release: &mut Release, event: HookEvent) -> Result<()> {
        let order: Vec<usize> =
            order(&release.hooks, event).into_iter().filter(|place| (self.filter)(&release.hooks[*place])).collect();
        for (position, place) in order.iter().copied().enumerate() {
            let outcome = self.run_one(release, place, event).await;
            let hook = &mut release.hooks[place];
            hook.last_run.completed_at = Some(Time::now());
            hook.last_run.phase = if outcome.is_ok() { "Succeeded" } else { "Failed" }.to_owned();
            let Err(error) = outcome else { continue };
            let hooks = std::mem::take(&mut release.hooks);
            let namespace = &release.namespace;
            let mut cleaned = self.clean(&hooks[place], FAILED, namespace).await;
            for earlier in &order[..position] {
                cleaned = cleaned.and(self.clean(&hooks[*earlier], SUCCEEDED, namespace).await);
            }
            release.hooks = hooks;
            if let Err(second) = cleaned {
                self.cluster.progress.warn(format!("a hook could not be deleted: {second}"));
            }
            return Err(error);
        }
        for place in order.into_iter().rev() {
            let hook = &release.hooks[place];
            if hook.output_log_policies.iter().any(|policy| policy == SUCCEEDED) {
                for log in self.logs(hook, &release.namespace, None, false).await {
                    self.tell(hook, &release.namespace, &log);
                }
            }
            self.clean(hook, SUCCEEDED, &release.namespace).await?;
        }
        Ok(())
    }

    async fn run_one(&self, release: &mut Release, place: usize, event: HookEvent) -> Result<()> {
        let namespace = release.namespace.clone();
        if release.hooks[place].delete_policies.is_empty() {
            release.hooks[place].delete_policies = vec![BEFORE_CREATION.to_owned()];
        }
        let hook = release.hooks[place].clone();
        self.clean(&hook, BEFORE_CREATION, &namespace).await?;
        let items = self.items(&hook, &namespace).await.map_err(|error| {
            Error::BadManifest(format!("unable to build kubernetes object for {event} hook {}: {error}", hook.path))
        })?;
        release.hooks[place].last_run =
            HookRun { started_at: Some(Time::now()), completed_at: None, phase: "Running".to_owned() };
        // As in Helm, a record that cannot be written now does not stop the hook: the next one will tell.
        if let Err(error) = self.storage.update(release).await {
            self.cluster.progress.warn(format!("the release record could not be updated: {error}"));
        }
        let object = hook_id(&hook, &items, &namespace);
        self.cluster.progress.send(Event::HookStarted { event, object: object.clone() });
        let started = Instant::now();
        let outcome = self.create_and_wait(&hook, &items, &object).await;
        let succeeded = outcome.is_ok();
        let finished = Event::HookFinished { event, object: object.clone(), succeeded, took: started.elapsed() };
        let Err((refused, source)) = outcome else {
            self.cluster.progress.send(finished);
            return Ok(());
        };
        let logs = if refused { vec![] } else { self.logs(&hook, &namespace, Some(FAILURE_LINES), true).await };
        for log in &logs {
            self.tell(&hook, &namespace, log);
        }
        self.cluster.progress.send(finished);
        let failure =
            HookFailure { event: event.as_str(), object, path: hook.path, refused, source: Box::new(source), logs };
        Err(Box::new(failure).into())
    }

    async fn create_and_wait(&self, hook: &Hook, items: &[Item], object: &ObjectId) -> Result<(), (bool, Error)> {
        let options =
            ApplyOptions { timeout: self.options.patience_with(&hook.name).timeout, ..ApplyOptions::default() };
        apply_all(self.cluster, items, options, &mut Vec::new()).await.map_err(|error| (true, error))?;
        let targets = targets(items);
        let done = wait(self.cluster, &targets, Goal::Ready(Rules::Hooks), self.options.patience_with(&hook.name));
        if !matches!(hook.kind.as_str(), "Job" | "Pod") {
            return done.await.map_err(|error| (false, error));
        }
        // Whoever looks on sees the pods; the wait alone decides.
        tokio::select! {
            done = done => done.map_err(|error| (false, error)),
            never = self.show_pods(items, object) => match never {},
        }
    }

    async fn show_pods(&self, items: &[Item], object: &ObjectId) -> Infallible {
        let mut shown: HashMap<String, String> = HashMap::new();
        let mut round = tokio::time::interval(POD_ROUND);
        loop {
            round.tick().await;
            for pod in self.pods(items).await {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let state = pod_state(&pod);
                if shown.get(&name) != Some(&state) {
                    let event = Event::HookPod { object: object.clone(), pod: name.clone(), state: state.clone() };
                    self.cluster.progress.send(event);
                    shown.insert(name, state);
                }
            }
        }
    }

    async fn pods(&self, items: &[Item]) -> Vec<Value> {
        let mut pods = Vec::new();
        for item in items {
            let selector = pods_of(&item.object).unwrap_or_else(|| Selector::name(&item.id.name));
            if let Ok(list) = self.cluster.list(&core("pods", "Pod"), &item.id.namespace, &selector).await {
                pods.extend(list.items);
            }
        }
        pods
    }

    /// Deletes a hook's objects when its policy says so, and waits until they are gone. Definitions of kinds are never
    /// deleted: every object of that kind would go with them.
    async fn clean(&self, hook: &Hook, policy: &str, namespace: &str) -> Result<()> {
        if hook.kind == "CustomResourceDefinition" || !has_policy(hook, policy) {
            return Ok(());
        }
        let items = self.items(hook, namespace).await?;
        let mut gone = Vec::new();
        for item in items.iter().filter(|item| !item.id.name.is_empty()) {
            if self.cluster.delete(&item.resource, &item.id, Cascade::Background).await? {
                gone.push(item.clone());
            }
        }
        wait(self.cluster, &targets(&gone), Goal::Gone, self.options.patience()).await
    }

    async fn items(&self, hook: &Hook, namespace: &str) -> Result<Vec<Item>> {
        resolve(self.cluster, parse_manifest(&hook.manifest)?, namespace).await
    }

    fn tell(&self, hook: &Hook, namespace: &str, log: &PodLog) {
        let object = hook_id(hook, &[], namespace);
        let PodLog { pod, container, text, .. } = log.clone();
        self.cluster.progress.send(Event::HookLog { object, pod, container, text });
    }

    /// Reads the output of a hook's containers; of a failed hook only of those that failed, unless none did.
    async fn logs(&self, hook: &Hook, namespace: &str, lines: Option<u32>, failed: bool) -> Vec<PodLog> {
        if !matches!(hook.kind.as_str(), "Job" | "Pod") {
            return vec![];
        }
        let Ok(items) = self.items(hook, namespace).await else { return vec![] };
        let pods = self.pods(&items).await;
        let mut logs = Vec::new();
        for pod in &pods {
            for (container, outcome) in containers_to_read(pod, failed) {
                let meta = &pod["metadata"];
                let name = meta["name"].as_str().unwrap_or_default();
                let place = meta["namespace"].as_str().unwrap_or(namespace);
                let text = match self.cluster.logs(place, name, &container, lines).await {
                    Ok(text) => text,
                    // Of a failed hook the output is wanted if there is any; there is a worse error to tell.
                    Err(_) if failed => continue,
                    Err(error) => {
                        let text = format!("the output of pod {name}, container {container} cannot be read: {error}");
                        self.cluster.progress.warn(text);
                        continue;
                    }
                };
                let node = pod["spec"]["nodeName"].as_str().map(str::to_owned);
                logs.push(PodLog { pod: name.to_owned(), container, node, outcome, text });
            }
        }
        logs
    }
}

/// Returns the containers of a pod whose output is of interest, each with how it ended.
fn containers_to_read(pod: &Value, failed: bool) -> Vec<(String, Option<String>)> {
    let named = |container: &Value| container["name"].as_str().map(str::to_owned);
    let troubled: Vec<_> = containers(pod)
        .filter_map(|container| Some((named(container)?, Some(crate::reason::container_trouble(container)?))))
        .filter(|(_, trouble)| trouble.as_deref().is_some_and(|trouble| trouble.contains("exit code")))
        .collect();
    if failed && !troubled.is_empty() {
        return troubled;
    }
    let specified = pod["spec"]["containers"].as_array().into_iter().flatten();
    specified.filter_map(|container| Some((named(container)?, None))).collect()
}

fn hook_id(hook: &Hook, items: &[Item], namespace: &str) -> ObjectId {
    match items.first() {
        Some(item) => item.id.clone(),
        None => ObjectId::new(if hook.kind == "Job" { "batch/v1" } else { "v1" }, &hook.kind, namespace, &hook.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hook(name: &str, weight: i64, events: &[HookEvent]) -> Hook {
        Hook { name: name.into(), weight, events: events.to_vec(), ..Hook::default() }
    }

    #[test]
    fn hooks_run_by_weight_then_name() {
        use HookEvent::{PostInstall, PreInstall};
        let hooks = [
            hook("b", 5, &[PreInstall]),
            hook("z", -1, &[PreInstall, PostInstall]),
            hook("a", 5, &[PreInstall]),
            hook("x", 0, &[PostInstall]),
        ];
        assert_eq!(order(&hooks, PreInstall), [1, 2, 0]);
        assert_eq!(order(&hooks, PostInstall), [1, 3]);
    }

    #[test]
    fn the_default_policy_is_deletion_before_creation() {
        let mut hook = hook("h", 0, &[]);
        assert!(has_policy(&hook, BEFORE_CREATION));
        hook.delete_policies = vec![SUCCEEDED.into()];
        assert!(!has_policy(&hook, BEFORE_CREATION) && has_policy(&hook, SUCCEEDED));
    }

    #[test]
    fn the_container_that_failed_is_read() {
        let pod = json!({
            "spec": {"containers": [{"name": "main"}, {"name": "side"}]},
            "status": {"containerStatuses": [
                {"name": "main", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}},
                {"name": "side", "state": {"terminated": {"exitCode": 0}}}
            ]}
        });
        assert_eq!(containers_to_read(&pod, true), [("main".to_owned(), Some("exit code 2 (Error)".to_owned()))]);
        assert_eq!(containers_to_read(&pod, false).len(), 2);
    }
}
