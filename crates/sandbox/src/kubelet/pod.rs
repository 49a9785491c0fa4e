//! One pod on its host, from its binding to its end: a task that waits for events and takes the next step.

mod ending;
mod health;

use super::containers::{Launch, Unit};
use super::probes::Finding;
use super::process::{End, Process, exit_code};
use super::status::{Facts, Next, State, next, pod_status, restore};
use super::volumes::{self, Prepared};
use super::{Kubelets, Machine};
use crate::events::Recorder;
use crate::store::Key;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What happened to a container; `usize` is its index among all units, `i32` its instance.
enum Event {
    /// It ended with this code, and its log is complete.
    Ended(usize, i32, i32),
    /// A probe has a verdict.
    Probed(usize, i32, Finding),
}

/// How long a container's log is waited for after its end: a grandchild may still hold the pipe.
const LOG_GRACE: Duration = Duration::from_secs(2);
/// The first pause after the API server or a volume failed.
const RETRY_FIRST: Duration = Duration::from_millis(50);
/// The longest such pause.
const RETRY_LAST: Duration = Duration::from_secs(5);

pub(super) struct Worker {
    kubelets: Arc<Kubelets>,
    machine: Arc<Machine>,
    pod: Arc<Pod>,
    updates: watch::Receiver<Option<Arc<Pod>>>,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    recorder: Recorder,
    /// Init containers first.
    units: Vec<Unit>,
    inits: usize,
    /// The volumes, once the sandbox is ready.
    volumes: Option<BTreeMap<String, Prepared>>,
    address: Option<Ipv4Addr>,
    /// When the sandbox, or tokens in its volumes, are to be made (again).
    sandbox_due: Option<Instant>,
    sandbox_failures: u32,
    evicted: Option<(String, String)>,
    published: Option<PodStatus>,
}

impl Worker {
    pub(super) fn new(
        kubelets: Arc<Kubelets>,
        machine: Arc<Machine>,
        pod: Arc<Pod>,
        updates: watch::Receiver<Option<Arc<Pod>>>,
    ) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let inits = spec.init_containers.unwrap_or_default();
        let count = inits.len();
        let mut units: Vec<Unit> = inits.into_iter().map(|it| Unit::new(it, true)).collect();
        units.extend(spec.containers.into_iter().map(|it| Unit::new(it, false)));
        let status = pod.status.clone().unwrap_or_default();
        let now = Timestamp::now();
        for unit in &mut units {
            let list = if unit.init { &status.init_container_statuses } else { &status.container_statuses };
            if let Some(known) = list.iter().flatten().find(|known| known.name == unit.spec.name) {
                restore(&mut unit.view, known, now);
            }
            let initializing = !unit.init && count > 0;
            if let State::Waiting(reason, _) = &mut unit.view.state
                && initializing
            {
                *reason = "PodInitializing".to_owned();
            }
        }
        let address = status.pod_ip.as_deref().and_then(|ip| ip.parse().ok());
        let recorder = kubelets.context.events.of("kubelet", &machine.name);
        Worker {
            kubelets,
            machine,
            published: pod.status.clone(),
            pod,
            updates,
            events: mpsc::unbounded_channel(),
            recorder,
            units,
            inits: count,
            volumes: None,
            address,
            sandbox_due: None,
            sandbox_failures: 0,
            evicted: None,
        }
    }

    /// Runs until the pod is over or gone.
    pub(super) async fn run(mut self) {
        let mut served = self.machine.served.clone();
        let mut faults = self.kubelets.faults.subscribe();
        loop {
            let update = self.updates.borrow_and_update().clone();
            match update {
                None => return self.abandon().await,
                Some(pod) => self.pod = pod,
            }
            if self.pod.metadata.deletion_timestamp.is_some() {
                return self.terminate().await;
            }
            if self.past_deadline() {
                self.evict("DeadlineExceeded", "Pod was active on the node longer than the specified deadline").await;
            }
            if self.evicted.is_some() {
                return self.finish().await;
            }
            served.mark_unchanged();
            faults.mark_unchanged();
            self.apply_kills();
            let policy = self.policy();
            let views: Vec<_> = self.units.iter().map(|unit| unit.view.clone()).collect();
            let due = |unit: &Unit| unit.not_before.is_none_or(|moment| moment <= Instant::now());
            match next(&policy, &views[..self.inits], &views[self.inits..]) {
                Next::Over(_) => return self.finish().await,
                Next::StartInit(index) => {
                    if self.sandbox().await && due(&self.units[index]) {
                        self.start(index).await;
                    }
                }
                Next::Start(list) => {
                    if !list.is_empty() && self.sandbox().await {
                        let first = self.inits;
                        for index in list.into_iter().map(|index| first + index) {
                            if due(&self.units[index]) {
                                self.start(index).await;
                            }
                        }
                    } else if self.volumes.is_some() {
                        self.sandbox().await; // refreshes tokens when they are due
                    }
                }
            }
            self.publish(false).await;
            let wake = self.next_wake();
            tokio::select! {
                changed = self.updates.changed() => if changed.is_err() { return self.abandon().await },
                Some(event) = self.events.1.recv() => self.handle(event),
                _ = served.changed() => {},
                _ = faults.changed() => {},
                () = sleep_until(wake) => {},
            }
            while let Ok(event) = self.events.1.try_recv() {
                self.handle(event);
            }
        }
    }

    fn policy(&self) -> String {
        let policy = self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.clone());
        policy.unwrap_or_else(|| "Always".to_owned())
    }

    fn root(&self, unit: &Unit) -> PathBuf {
        self.machine.directory(&self.pod).join("containers").join(&unit.spec.name).join("root")
    }

    fn past_deadline(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Timestamp::now())
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.pod.spec.as_ref()?.active_deadline_seconds?;
        let start = self.published.as_ref()?.start_time.as_ref()?.0;
        Some(start + SignedDuration::from_secs(seconds))
    }

    fn next_wake(&self) -> Option<Instant> {
        let deadline = self.deadline().map(|deadline| {
            let left = Duration::try_from(deadline.duration_since(Timestamp::now())).unwrap_or_default();
            Instant::now() + left + Duration::from_millis(1)
        });
        let now = Instant::now();
        let restarts = self.units.iter().filter_map(|unit| unit.not_before).filter(|moment| *moment > now);
        restarts.chain(self.sandbox_due).chain(deadline).min()
    }

    /// Makes the sandbox (runtime, address, volumes) ready; `false` means that it is not, and when to try again is set.
    async fn sandbox(&mut self) -> bool {
        let due = self.sandbox_due.is_none_or(|due| due <= Instant::now());
        if self.volumes.is_some() && !(self.sandbox_due.is_some() && due) {
            return true;
        }
        let handler = match self.runtime_takes_it().and_then(|handler| self.shim_starts(handler)) {
            Ok(handler) => handler,
            Err(message) => {
                // Told again only after a pause, but tried again as soon as the runtime changes.
                if due {
                    self.recorder.say(self.pod.as_ref(), "Warning", "FailedCreatePodSandBox", message);
                    self.retry_sandbox();
                }
                return false;
            }
        };
        if self.address.is_none() {
            let host_network = self.pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
            let address = if host_network { self.machine.address } else { self.kubelets.lock_addresses().take() };
            self.address = Some(address);
        }
        let directory = self.machine.directory(&self.pod).join("volumes");
        let mut ready = BTreeMap::new();
        let mut refresh: Option<Duration> = None;
        let pod = self.shown_pod();
        for volume in self.pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default() {
            let client = &self.kubelets.context.client;
            match volumes::prepare(client, &pod, volume, &directory, &self.machine.root).await {
                Ok(prepared) => {
                    refresh = refresh.into_iter().chain(prepared.refresh).min();
                    ready.insert(volume.name.clone(), prepared);
                }
                Err(error) => {
                    self.recorder.say(self.pod.as_ref(), "Warning", "FailedMount", error.to_string());
                    self.retry_sandbox();
                    return self.volumes.is_some();
                }
            }
        }
        if self.volumes.is_none() {
            self.machine.enter_sandbox(&self.pod, &handler);
            if self.units.iter().any(|unit| unit.spec.lifecycle.is_some()) {
                let text = "the sandbox does not run lifecycle hooks; they are skipped";
                self.recorder.say(self.pod.as_ref(), "Warning", "NotSupported", text);
            }
        }
        self.volumes = Some(ready);
        self.sandbox_failures = 0;
        self.sandbox_due = refresh.map(|refresh| Instant::now() + refresh);
        true
    }

    fn retry_sandbox(&mut self) {
        let delay =
            (self.kubelets.context.backoff / 4).max(RETRY_FIRST).saturating_mul(1 << self.sandbox_failures.min(12));
        self.sandbox_failures += 1;
        self.sandbox_due = Some(Instant::now() + delay.min(Duration::from_secs(120)));
    }

    /// The pod with the addresses that its status will show.
    fn shown_pod(&self) -> Pod {
        let mut pod = self.pod.as_ref().clone();
        let status = pod.status.get_or_insert_default();
        status.pod_ip = self.address.map(|address| address.to_string());
        status.host_ip = Some(self.machine.address.to_string());
        pod
    }

    /// Asks whether the host's runtime would make this pod's sandbox and returns its handler; the error is what the runtime
    /// would say.
    fn runtime_takes_it(&self) -> Result<String, String> {
        let failed = |why: String| format!("Failed to create pod sandbox: {why}");
        let handler = match self.pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref()) {
            None | Some("") => String::new(),
            Some(class) => match self.kubelets.context.stores.runtime_classes.get(&Key::new("", class)) {
                Some(class) => class.handler.clone(),
                None => return Err(failed(format!("runtimeclass.node.k8s.io \"{class}\" not found"))),
            },
        };
        let served = self.machine.served.borrow();
        if !served.ready {
            let why = "rpc error: code = Unavailable desc = connection error: the container runtime does not answer";
            return Err(failed(format!("{why}: {}", served.message)));
        }
        if handler.is_empty() || served.handlers.contains(&handler) {
            return Ok(handler);
        }
        Err(failed(if served.version_string.starts_with("cri-o:") {
            let known = served.handlers.join(" ");
            format!(
                "rpc error: code = Unknown desc = failed to find runtime handler {handler} from runtime list [{known}]"
            )
        } else {
            format!(
                "rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for \"{handler}\" is configured"
            )
        }))
    }

    /// Runtimes look for a handler's program only now, not when they read their configuration.
    fn shim_starts(&self, handler: String) -> Result<String, String> {
        let served = self.machine.served.borrow();
        match served.shims.get(&handler).and_then(|shim| shim.trouble(&self.machine.root)) {
            None => Ok(handler),
            Some(why) => Err(format!(
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create containerd task: \
                 failed to start shim: failed to resolve runtime path: {why}"
            )),
        }
    }

    /// Whether its class runs pods in virtual machines: all of Kata's do.
    fn in_guest(&self) -> bool {
        self.runtime_takes_it().is_ok_and(|handler| handler.starts_with("kata"))
    }

    async fn start(&mut self, index: usize) {
        if !self.machine.served.borrow().ready {
            return; // its next change wakes this pod
        }
        let (backoff, image) = (self.kubelets.context.backoff, self.units[index].view.image.clone());
        let name = self.units[index].spec.name.clone();
        let pod = self.pod.clone();
        // An earlier instance becomes the last one.
        let view = &mut self.units[index].view;
        if let State::Ended(ended) = &view.state {
            view.last = Some(ended.clone());
            view.state = State::Waiting("ContainerCreating".to_owned(), String::new());
        }
        if self.kubelets.faults.is_missing(&image) {
            let unit = &mut self.units[index];
            let again = unit.failures > 0;
            let delay = unit.back_off(backoff);
            let (reason, message) = if again {
                ("ImagePullBackOff", format!("Back-off pulling image \"{image}\": retry in {delay:?}"))
            } else {
                ("ErrImagePull", format!("failed to pull and unpack image \"{image}\": not found"))
            };
            unit.view.state = State::Waiting(reason.to_owned(), message.clone());
            let event = if again { "BackOff" } else { "Failed" };
            let event_text = if again {
                format!("Back-off pulling image \"{image}\"")
            } else {
                format!("Failed to pull image \"{image}\": {message}")
            };
            self.recorder.say(pod.as_ref(), if again { "Normal" } else { "Warning" }, event, event_text);
            return;
        }
        let volumes = self.volumes.take().unwrap_or_default();
        let root = self.root(&self.units[index]);
        let shown = self.shown_pod();
        let launch = Launch {
            kubelets: &self.kubelets,
            machine: &self.machine,
            pod: &shown,
            volumes: &volumes,
            root: root.clone(),
            guest: self.in_guest().then(|| self.machine.directory(&self.pod).join("guest")),
        };
        let result = launch.start(&self.units[index].spec).await;
        self.volumes = Some(volumes);
        let unit = &mut self.units[index];
        match result {
            Err(obstacle) => {
                unit.back_off(backoff);
                self.recorder.say(pod.as_ref(), "Warning", "Failed", format!("Error: {}", obstacle.message));
                unit.view.state = State::Waiting(obstacle.reason.to_owned(), obstacle.message);
            }
            Ok(mut child) => {
                if unit.view.last.is_some() {
                    unit.view.restarts += 1;
                } else {
                    unit.failures = 0; // attempts to start it do not count as restarts
                }
                let instance = unit.view.restarts;
                let log = unit.log_file(&self.kubelets.log_directory(&pod));
                let writer = match (child.stdout.take(), child.stderr.take()) {
                    (Some(output), Some(errors)) => self.kubelets.logs.write(log, output, errors).await.ok(),
                    _ => None,
                };
                let events = self.events.0.clone();
                let running = self.kubelets.running.clone();
                running.send_modify(|count| *count += 1);
                unit.process = Some(Process::watch(child, move |status| async move {
                    running.send_modify(|count| *count -= 1);
                    if let Some(writer) = writer {
                        let _ = tokio::time::timeout(LOG_GRACE, writer).await;
                    }
                    let code = status.as_ref().map_or(255, exit_code);
                    let _ = events.send(Event::Ended(index, instance, code));
                }));
                unit.not_before = None;
                unit.view.state = State::Running(Timestamp::now());
                self.watch_health(index);
                for (reason, text) in [
                    ("Pulled", format!("Container image \"{image}\" already present on machine")),
                    ("Created", format!("Created container: {name}")),
                    ("Started", format!("Started container {name}")),
                ] {
                    self.recorder.say(pod.as_ref(), "Normal", reason, text);
                }
                self.apply_kills();
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Ended(index, instance, code) if self.units[index].view.restarts == instance => {
                let (root, logs) = (self.root(&self.units[index]), self.kubelets.log_directory(&self.pod));
                let message = self.units[index].termination_message(&root, &logs, code);
                let policy = self.policy();
                let backoff = self.kubelets.context.backoff;
                let unit = &mut self.units[index];
                unit.ended(code, message);
                let again = match policy.as_str() {
                    "Never" => false,
                    "Always" => !unit.init || code != 0,
                    _ => code != 0,
                };
                if again && let Some(delay) = unit.crashed(backoff) {
                    self.crash_loop(index, delay);
                }
            }
            Event::Probed(index, instance, finding)
                if self.units[index].view.restarts == instance && self.units[index].process.is_some() =>
            {
                self.probed(index, finding);
            }
            _ => {}
        }
    }

    fn crash_loop(&mut self, index: usize, delay: Duration) {
        let pod = &self.pod;
        let unit = &mut self.units[index];
        let name = &unit.spec.name;
        let which =
            format!("{}_{}({})", pod.name_any(), pod.namespace().unwrap_or_default(), pod.uid().unwrap_or_default());
        let message = format!("back-off {delay:?} restarting failed container={name} pod={which}");
        self.recorder.say(
            pod.as_ref(),
            "Warning",
            "BackOff",
            format!("Back-off restarting failed container {name} in pod {which}"),
        );
        let waiting = State::Waiting("CrashLoopBackOff".to_owned(), message);
        if let State::Ended(ended) = std::mem::replace(&mut unit.view.state, waiting) {
            unit.view.last = Some(ended);
        }
    }

    fn apply_kills(&self) {
        let pod = Key::of(&self.pod.metadata).to_string();
        for unit in &self.units {
            if let Some(process) = &unit.process
                && self.kubelets.faults.take_kill(&pod, &unit.spec.name)
            {
                process.end(End::Force);
            }
        }
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.kubelets.context.client.clone(), &self.pod.namespace().unwrap_or_default())
    }

    /// Writes the status when it has changed; tries until it is written or the pod is gone.
    async fn publish(&mut self, terminated: bool) {
        let views: Vec<_> = self.units.iter().map(|unit| unit.view.clone()).collect();
        let facts = Facts {
            host_ip: self.machine.address.to_string(),
            pod_ip: self.address.map(|address| address.to_string()),
            sandbox: self.volumes.is_some(),
            evicted: self.evicted.clone(),
            terminated,
        };
        let mut pod = self.pod.as_ref().clone();
        // Transition times and others' conditions come from what was written last.
        if let Some(published) = &self.published {
            pod.status = Some(published.clone());
        }
        let status = pod_status(&pod, &views[..self.inits], &views[self.inits..], &facts, Timestamp::now());
        if self.published.as_ref() == Some(&status) {
            return;
        }
        let patch = Patch::Merge(json!({"metadata": {"uid": self.pod.uid()}, "status": status}));
        let mut delay = RETRY_FIRST;
        loop {
            match self.api().patch_status(&self.pod.name_any(), &PatchParams::default(), &patch).await {
                Ok(written) => {
                    if written.metadata.deletion_timestamp.is_none() {
                        self.kubelets.context.stores.pods.observe(written);
                    }
                    break;
                }
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {
                    tracing::debug!(pod = self.pod.name_any(), status = %status.message, "status not taken");
                    break;
                }
                Err(error) => tracing::debug!(%error, pod = self.pod.name_any(), "status not written yet"),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_LAST);
        }
        self.published = Some(status);
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
