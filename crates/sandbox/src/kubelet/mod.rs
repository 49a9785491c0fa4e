//! The kubelets: one for each simulated host. Each registers its Node and runs the pods bound to it as child processes.
//!
//! Containers here isolate nothing: they are processes of the user who runs the sandbox, and what plays a container's
//! root is a directory of links. Lifecycle hooks, devices, resource limits and security contexts have no effect.

mod containers;
pub mod environment;
pub mod hollow;
pub mod logs;
mod node;
mod pod;
pub mod probes;
pub mod process;
mod sandboxes;
mod serve;
pub mod status;
pub mod tree;
pub mod volumes;

use crate::controllers::Context;
use crate::faults::Board;
use crate::store::Key;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use logs::Logs;
use process::Spawner;
pub use sandboxes::Sandboxes;
pub use serve::Endpoint;
use simhost::{Host, RuntimeStatus};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tree::Mount;

/// A simulated host as its kubelet sees it.
#[derive(Debug)]
pub struct Machine {
    /// The Node's name.
    pub name: String,
    /// The directory that is the host's root.
    pub root: PathBuf,
    /// The directory for the pods of this host.
    pub pods: PathBuf,
    /// The address of the node.
    pub address: Ipv4Addr,
    /// Labels beside those that every kubelet sets.
    pub labels: BTreeMap<String, String>,
    /// How many hosts the sandbox has.
    pub hosts: usize,
    /// The processor, by Kubernetes' name for it.
    pub architecture: &'static str,
    /// `/etc/machine-id` of the host.
    pub machine_id: String,
    /// The kernel's version.
    pub kernel: String,
    /// The operating system's name for people.
    pub os_image: String,
    /// Changes with every boot.
    pub boot_id: String,
    /// The kubelet's version, such as `v1.34.4` or `v1.34.4+k3s1`.
    pub version: String,
    /// What the runtime serves.
    pub served: watch::Receiver<RuntimeStatus>,
    /// The host itself.
    pub host: Weak<Host>,
    /// The pod sandboxes that its runtime lists.
    pub sandboxes: Sandboxes,
}

impl Machine {
    /// The directory of a pod.
    fn directory(&self, pod: &Pod) -> PathBuf {
        self.pods.join(pod.uid().unwrap_or_default())
    }
}

/// What all kubelets share.
pub struct Kubelets {
    context: Context,
    machines: HashMap<String, Arc<Machine>>,
    /// What every image holds: program and payload at their paths.
    image: Vec<Mount>,
    /// Where logs are kept.
    log_directory: PathBuf,
    /// The port of the API server on 127.0.0.1.
    api_port: u16,
    /// What every container's environment has.
    environment: Vec<(String, String)>,
    faults: Board,
    logs: Logs,
    spawner: Spawner,
    addresses: Mutex<Addresses>,
    workers: Mutex<HashMap<String, watch::Sender<Option<Arc<Pod>>>>>,
    /// Pods that were brought to their end here. News of them that was under way meanwhile is older than that end.
    over: Mutex<HashSet<String>>,
    /// How many containers run.
    running: Arc<watch::Sender<usize>>,
}

impl std::fmt::Debug for Kubelets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelets").field("machines", &self.machines.len()).finish_non_exhaustive()
    }
}

/// What the kubelets are made of.
#[derive(Debug)]
pub struct Parts {
    /// The hosts.
    pub machines: Vec<Machine>,
    /// What every image holds.
    pub image: Vec<Mount>,
    /// Where logs are kept.
    pub log_directory: PathBuf,
    /// The port of the API server on 127.0.0.1.
    pub api_port: u16,
    /// What every container's environment has beside what tells of the API server; a container may have it otherwise.
    pub environment: Vec<(String, String)>,
    /// The faults in force.
    pub faults: Board,
}

impl Kubelets {
    /// Returns the kubelets, which do nothing before [`Kubelets::run`]. Must be called inside a Tokio runtime.
    pub fn new(context: Context, parts: Parts) -> std::io::Result<Arc<Self>> {
        let machines = parts.machines.into_iter().map(|machine| (machine.name.clone(), Arc::new(machine))).collect();
        Ok(Arc::new(Kubelets {
            context,
            machines,
            image: parts.image,
            addresses: Mutex::new(Addresses::of(&parts.log_directory)),
            log_directory: parts.log_directory,
            api_port: parts.api_port,
            environment: parts.environment,
            faults: parts.faults,
            logs: Logs::default(),
            spawner: Spawner::start()?,
            workers: Mutex::default(),
            over: Mutex::default(),
            running: Arc::new(watch::Sender::new(0)),
        }))
    }

    /// Runs for ever: registers the nodes and runs their pods.
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for machine in self.machines.values() {
            tasks.spawn(node::run(self.context.client.clone(), machine.clone()));
        }
        for pod in self.context.stores.pods.all() {
            self.lock_addresses().keep(&pod);
        }
        self.sweep();
        let mut changes = self.context.stores.pods.subscribe();
        let mut pods = JoinSet::new();
        while let Some(change) = changes.recv().await {
            let node = change.latest().and_then(|pod| pod.spec.as_ref()?.node_name.as_deref());
            let Some(machine) = node.and_then(|node| self.machines.get(node)).cloned() else { continue };
            // Another pod may have taken the name of one that is gone.
            if let Some(old) = &change.old
                && change.new.as_ref().is_none_or(|new| new.metadata.uid != old.metadata.uid)
            {
                let uid = old.uid().unwrap_or_default();
                self.lock_over().remove(&uid);
                let worked_on = self.tell(&uid, None);
                if !worked_on {
                    self.clear(&machine, old);
                }
            }
            if let Some(new) = change.new {
                self.route(machine, new, &mut pods);
            }
            while pods.try_join_next().is_some() {}
        }
    }

    /// Waits until no container runs any more; they are killed when the task of [`Kubelets::run`] is dropped.
    pub async fn idle(&self) {
        let mut running = self.running.subscribe();
        let _ = running.wait_for(|count| *count == 0).await;
    }

    fn lock_over(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, uid: &str, pod: Option<Arc<Pod>>) -> bool {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.get(uid).is_some_and(|worker| worker.send(pod).is_ok())
    }

    fn route(self: &Arc<Self>, machine: Arc<Machine>, pod: Arc<Pod>, pods: &mut JoinSet<()>) {
        let uid = pod.uid().unwrap_or_default();
        if self.tell(&uid, Some(pod.clone())) {
            return;
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let over = matches!(phase, "Succeeded" | "Failed") || self.lock_over().contains(&uid);
        if over && pod.metadata.deletion_timestamp.is_none() {
            return; // it is over and kept for its status
        }
        if pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds == Some(0) {
            return; // its end was reported; only others' finalizers keep it
        }
        let (sender, receiver) = watch::channel(Some(pod.clone()));
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone(), sender);
        let kubelets = self.clone();
        pods.spawn(async move {
            let key = Key::of(&pod.metadata);
            pod::Worker::new(kubelets.clone(), machine.clone(), pod.clone(), receiver.clone()).run().await;
            tracing::debug!(%key, "pod left to itself");
            if receiver.borrow().is_some() {
                kubelets.lock_over().insert(uid.clone());
            }
            // Kept until the end of this look: a closed channel no longer tells what it holds unseen.
            let _channel = kubelets.workers.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
            // A change that came between the worker's last look and its removal must not be lost.
            let unseen = receiver.has_changed().unwrap_or(false);
            let last = receiver.borrow().clone();
            match last {
                _ if !unseen => {}
                None => kubelets.clear(&machine, &pod),
                Some(pod) if pod.metadata.deletion_timestamp.is_some() => {
                    let (_sender, receiver) = watch::channel(Some(pod.clone()));
                    pod::Worker::new(kubelets, machine, pod, receiver).run().await;
                }
                Some(_) => {}
            }
        });
    }

    /// Removes what pods left behind that no longer exist.
    fn sweep(&self) {
        let alive: HashSet<String> = self.context.stores.pods.all().iter().filter_map(|pod| pod.uid()).collect();
        for machine in self.machines.values() {
            for entry in std::fs::read_dir(&machine.pods).into_iter().flatten().flatten() {
                if !entry.file_name().to_str().is_some_and(|uid| alive.contains(uid)) {
                    let _ = tree::remove(&entry.path());
                }
            }
        }
        for entry in std::fs::read_dir(&self.log_directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let uid = name.to_str().and_then(|name| name.rsplit('_').next());
            if !uid.is_some_and(|uid| alive.contains(uid)) {
                let _ = tree::remove(&entry.path());
            }
        }
    }

    /// Removes what a pod left behind.
    fn clear(&self, machine: &Machine, pod: &Pod) {
        for path in [machine.directory(pod), self.log_directory(pod)] {
            if let Err(error) = tree::remove(&path) {
                tracing::warn!(path = %path.display(), %error, "left behind");
            }
        }
    }

    fn lock_addresses(&self) -> std::sync::MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory of a pod's logs.
    fn log_directory(&self, pod: &Pod) -> PathBuf {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        self.log_directory.join(format!("{namespace}_{name}_{}", pod.uid().unwrap_or_default()))
    }
}

/// The loopback addresses of pods: 127.64.0.0/10.
///
/// All sandboxes of a machine share them, so each begins at a place of its own.
#[derive(Debug)]
struct Addresses {
    next: u32,
    used: HashSet<u32>,
}

const FIRST: u32 = 0x7f40_0000;
const COUNT: u32 = 1 << 22;

impl Addresses {
    /// Returns the pool of one sandbox. Where it begins comes from the sandbox's place: several on one machine share the
    /// loopback network, and two pods must not listen at one address.
    fn of(place: &Path) -> Self {
        let hash = crate::fnv::fnv32(place.as_os_str().as_encoded_bytes());
        Addresses { next: hash % COUNT, used: HashSet::new() }
    }

    fn take(&mut self) -> Ipv4Addr {
        loop {
            self.next = (self.next + 1) % COUNT;
            let last = self.next & 0xff;
            // 0 and 255 look like network and broadcast addresses to people.
            if last != 0 && last != 255 && self.used.insert(self.next) {
                return Ipv4Addr::from(FIRST + self.next);
            }
        }
    }

    fn keep(&mut self, pod: &Pod) {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()?.parse::<Ipv4Addr>().ok());
        if let Some(number) = address.and_then(|address| u32::from(address).checked_sub(FIRST)).filter(|it| *it < COUNT)
        {
            self.used.insert(number);
        }
    }

    fn give_back(&mut self, address: Ipv4Addr) {
        if let Some(number) = u32::from(address).checked_sub(FIRST) {
            self.used.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sandboxes_begin_at_different_addresses() {
        let first = |place: &str| Addresses::of(Path::new(place)).take();
        assert_eq!(first("/a/logs"), first("/a/logs"));
        assert_ne!(first("/a/logs"), first("/b/logs"));
    }

    #[test]
    fn addresses_are_given_once() {
        let mut addresses = Addresses { next: 0, used: HashSet::new() };
        let pod = serde_json::json!({"status": {"podIP": "127.64.0.2"}});
        addresses.keep(&serde_json::from_value(pod).unwrap());
        assert_eq!(addresses.take(), Ipv4Addr::new(127, 64, 0, 1));
        assert_eq!(addresses.take(), Ipv4Addr::new(127, 64, 0, 3));
        let many: HashSet<Ipv4Addr> = (0..600).map(|_| addresses.take()).collect();
        assert_eq!(many.len(), 600);
    }
}
