//! A whole cluster: a network for it, the control plane, a registry, and nodes.

use crate::images::{self, oci::Image};
use crate::kubernetes::binaries;
use crate::kubernetes::control_plane::{ControlPlane, Place, SERVICE_ADDRESS};
use crate::kubernetes::daemon::{Daemon, wait_for};
use crate::kubernetes::files::{Files, inside};
use crate::kubernetes::machine::{Machine, REGISTRY, name};
use crate::kubernetes::runtime::Kind;
use crate::programs::{on_path, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The control plane's network namespace.
const NAMESPACE: &str = "husk-control";
const ADDRESS: &str = "10.77.0.1";
/// The port of the server of files.
const FILES: u16 = 8080;
/// Where disks and logs are; fixed, so that what a killed run left is found.
const PLACE: &str = "/run/husk-kubernetes";
/// As many machines as addresses were thought of.
pub(crate) const MOST_NODES: usize = 8;
/// In KiB, for the compiler of the largest package and, later, a control plane with two nodes.
const LEAST_MEMORY: u64 = 6 << 20;
/// What a kubelet sets for the whole machine, and what is put back.
const SYSCTLS: [&str; 5] = [
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// The file with their values from before.
const SYSCTLS_BEFORE: &str = "sysctls";

/// A cluster that runs. Fields are dropped from the first to the last.
pub(crate) struct Cluster {
    /// Its machines.
    pub(crate) machines: Vec<Machine>,
    /// Its control plane.
    pub(crate) plane: ControlPlane,
    /// What nodes may fetch.
    pub(crate) files: Files,
    _registry: Daemon,
    kubernetes: PathBuf,
    /// The programs of each kind that it was started for, where no package brings them.
    runtimes: BTreeMap<Kind, Option<PathBuf>>,
    place: PathBuf,
    _network: Network,
}

/// What this machine lacks for nodes, in words.
pub(crate) enum Lack {
    /// Something that a package brings.
    Program(String),
    /// A right, or a kernel's feature.
    Privilege(String),
}

/// Why nodes cannot be had here, if so.
pub(crate) fn lacking(kinds: &[Kind]) -> Option<Lack> {
    let user = run(Command::new("id").arg("-u")).map(|output| output.stdout).unwrap_or_default();
    if user != b"0\n" {
        return Some(Lack::Privilege("nodes are namespaces and mounts, which takes root".to_owned()));
    }
    let common = ["ip", "unshare", "nsenter", "setpriv", "iptables", "containerd", "runc", "docker-registry"];
    for program in common.into_iter().chain(kinds.iter().filter_map(|kind| kind.needs())) {
        if on_path(program).is_none() {
            return Some(Lack::Program(format!("{program} is not installed")));
        }
    }
    for file in ["/lib/systemd/systemd", "/usr/lib/cni/bridge"] {
        if !Path::new(file).exists() {
            return Some(Lack::Program(format!("{file} is not there")));
        }
    }
    if !Path::new("/sys/fs/cgroup/memory/cgroup.procs").exists() {
        return Some(Lack::Privilege("machines are made for cgroup v1, which this one does not have".to_owned()));
    }
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    let total: u64 = total.and_then(|kibibytes| kibibytes.parse().ok()).unwrap_or_default();
    if total < LEAST_MEMORY {
        return Some(Lack::Privilege(format!("it takes {} GiB of memory, with disks", LEAST_MEMORY >> 20)));
    }
    let tried = try_machine();
    tried.err().map(|why| Lack::Privilege(format!("this machine may not make others: {why}")))
}

/// Does once what every machine takes: networks and their rules, cgroups, mounts, devices, namespaces.
fn try_machine() -> Result<(), String> {
    clean()?;
    let place = Path::new(PLACE);
    std::fs::create_dir_all(place).map_err(|error| format!("{PLACE}: {error}"))?;
    let _network = Network::make()?;
    run(Command::new("ip").args(["netns", "exec", NAMESPACE, "iptables", "--table", "nat", "--list-rules"]))?;
    Machine::try_one(NAMESPACE, place)
}

impl Cluster {
    /// Starts one node for each kind, with these images in its registry, and waits until all are ready.
    pub(crate) fn start(kinds: &[Kind], images: &[Image]) -> Result<Cluster, String> {
        let kubernetes = binaries::directory()?;
        let runtimes = kinds.iter().map(|kind| Ok((*kind, kind.programs()?))).collect::<Result<_, String>>()?;
        clean()?;
        let place = PathBuf::from(PLACE);
        std::fs::create_dir_all(&place).map_err(|error| format!("{PLACE}: {error}"))?;
        let network = Network::make()?;
        let registry = registry(&place)?;
        let files = Files::serve(NAMESPACE, &format!("{ADDRESS}:{FILES}"))?;
        // For every node that may join later.
        let names: Vec<String> = (1..=MOST_NODES).map(name).collect();
        let plane = ControlPlane::start(Place::namespace(NAMESPACE, ADDRESS), &kubernetes, &place, &names)?;
        let mut cluster = Cluster {
            machines: Vec::new(),
            plane,
            files,
            _registry: registry,
            kubernetes,
            runtimes,
            place,
            _network: network,
        };
        cluster.push(images)?;
        for kind in kinds.iter().take(MOST_NODES) {
            cluster.add(*kind)?;
        }
        cluster.wait_nodes()?;
        Ok(cluster)
    }

    /// The kinds of its machines.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.machines.iter().map(|machine| machine.kind).collect()
    }

    /// Adds a machine; its kubelet makes it a node.
    pub(crate) fn add(&mut self, kind: Kind) -> Result<(), String> {
        let index = self.machines.len() + 1;
        let runtime = self.runtimes.get(&kind).cloned().flatten();
        let machine = Machine::start(index, kind, runtime.as_deref(), &self.kubernetes, &self.plane, &self.place)?;
        self.machines.push(machine);
        Ok(())
    }

    /// Waits until every machine is a node that is ready.
    pub(crate) fn wait_nodes(&self) -> Result<(), String> {
        let wanted = self.machines.len();
        wait_for("the nodes are ready", Duration::from_secs(120), || {
            let nodes = self.get(&["nodes"])?;
            let items = nodes["items"].as_array().cloned().unwrap_or_default();
            let ready = |node: &&Value| condition(node, "Ready") == Some("True");
            Ok((items.iter().filter(ready).count() == wanted).then_some(()))
        })
    }

    /// Puts images into the registry.
    pub(crate) fn push(&self, images: &[Image]) -> Result<(), String> {
        inside(NAMESPACE, || images::push(images, REGISTRY, true))
    }

    /// Asks the API server for objects.
    pub(crate) fn get(&self, what: &[&str]) -> Result<Value, String> {
        let output = run(self.plane.kubectl(&["get", "-o", "json"]).args(what))?;
        serde_json::from_slice(&output.stdout).map_err(|error| format!("kubectl get {what:?}: {error}"))
    }
}

/// The status of a node's or pod's condition.
pub(crate) fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)?["status"].as_str()
}

/// Takes away what a killed run left.
pub(crate) fn clean() -> Result<(), String> {
    if Path::new(PLACE).is_dir() {
        for index in 1..=MOST_NODES {
            Machine::remove_leftovers(index, NAMESPACE, Path::new(PLACE))?;
        }
        // What that run found before its kubelets set theirs.
        if let Ok(text) = std::fs::read_to_string(Path::new(PLACE).join(SYSCTLS_BEFORE)) {
            for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
                let _ = std::fs::write(Path::new("/proc/sys").join(name), value);
            }
        }
        std::fs::remove_dir_all(PLACE).map_err(|error| format!("{PLACE}: {error}"))?;
    }
    if Path::new("/run/netns").join(NAMESPACE).exists() {
        run(Command::new("ip").args(["netns", "del", NAMESPACE]))?;
    }
    Ok(())
}

/// The control plane's network, with the bridge that nodes are plugged into; and the sysctls from before.
struct Network;

impl Network {
    fn make() -> Result<Network, String> {
        let sysctls: String = SYSCTLS
            .iter()
            .filter_map(|name| {
                let value = std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
                Some(format!("{name}={}\n", value.trim()))
            })
            .collect();
        let file = Path::new(PLACE).join(SYSCTLS_BEFORE);
        std::fs::write(&file, sysctls).map_err(|error| format!("{}: {error}", file.display()))?;
        let network = Network;
        run(Command::new("ip").args(["netns", "add", NAMESPACE]))?;
        let service = format!("{SERVICE_ADDRESS}/32");
        let address = format!("{ADDRESS}/24");
        for arguments in [
            &["link", "set", "lo", "up"][..],
            &["addr", "add", &service, "dev", "lo"],
            &["link", "add", "nodes", "type", "bridge"],
            &["addr", "add", &address, "dev", "nodes"],
            &["link", "set", "nodes", "up"],
        ] {
            run(Command::new("ip").args(["-n", NAMESPACE]).args(arguments))?;
        }
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = clean();
    }
}

/// Debian's registry, empty.
fn registry(place: &Path) -> Result<Daemon, String> {
    let config = place.join("registry.yml");
    let storage = place.join("registry");
    let text = format!(
        "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {REGISTRY}\n",
        storage.display()
    );
    std::fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
    let program = on_path("docker-registry").ok_or("docker-registry is not installed")?;
    let arguments = ["serve".to_owned(), config.display().to_string()];
    Daemon::start(place, "registry", Some(NAMESPACE), &program, &arguments)
}
