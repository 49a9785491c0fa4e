//! Whole stages on simulated hosts of every kind: D-Bus and CRI over their sockets, configuration read as the daemons read it.

use crate::host::payload;
use contract::{Code, Stage, StageReport, State};
use node::container::Container;
use node::settings::Settings;
use node::stages::Bench;
use simhost::{Host, HostKind, HostSpec};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio::runtime::Runtime;

pub(crate) struct Node {
    directory: tempfile::TempDir,
    /// Runs the host, on threads of its own.
    pub(crate) simulation: Runtime,
    /// Runs what a stage awaits.
    own: Runtime,
    pub(crate) host: Host,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Node {
    pub(crate) fn start(spec: HostSpec) -> Node {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let simulation = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let own = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let name = if spec.kind == HostKind::Crio { "cri-o" } else { "containerd" };
        let version = format!("{name}://{}", spec.runtime_version());
        let root = directory.path().join("machine");
        let host = simulation.block_on(Host::start(spec, &root)).unwrap();
        let container = directory.path().join("container");
        std::fs::create_dir_all(container.join("dev")).unwrap();
        std::fs::create_dir_all(container.join("opt")).unwrap();
        std::os::unix::fs::symlink(host.root(), container.join("host")).unwrap();
        std::os::unix::fs::symlink(host.root().join("proc"), container.join("proc")).unwrap();
        payload(&container.join("opt/kata-artifacts"), "4.1.0");
        let variables = [
            ("NODE_NAME", "node-1".to_owned()),
            ("SHIMS_X86_64", "qemu qemu-snp".to_owned()),
            ("CONTAINER_RUNTIME_VERSION", version),
            ("NODE_MACHINE_ID", host.machine_id()),
        ];
        let variables = variables.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Node { directory, simulation, own, host, variables }
    }

    /// The container's root.
    pub(crate) fn container(&self) -> PathBuf {
        self.directory.path().join("container")
    }

    pub(crate) fn run(&self, stage: Stage) -> StageReport {
        let container = Container { root: self.container() };
        let asked = Settings::read(&|name| self.variables.get(name).cloned(), "x86_64", &|_| None).unwrap();
        let mut bench = Bench::new(container, "/host", &self.own);
        bench.installer = PathBuf::from(env!("CARGO_BIN_EXE_husk-node"));
        bench.say = |_| {};
        bench.run(stage, &asked)
    }

    pub(crate) fn good(&self, stage: Stage) -> StageReport {
        let report = self.run(stage);
        assert_eq!(report.state, State::Done, "{}: {report:?}\n{:?}", self.host.spec().kind, self.journal());
        report
    }

    pub(crate) fn unit(&self) -> &'static str {
        self.host.spec().layout().unit
    }

    fn journal(&self) -> Vec<String> {
        self.host.journal(self.unit())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // a host drops its tasks, which wants a reactor
        let _guard = self.simulation.enter();
    }
}

#[test]
fn every_kind_of_host_is_installed_twice_and_removed_without_a_trace() {
    for kind in HostKind::ALL {
        let node = Node::start(HostSpec::new("node-1", kind));
        let first = node.host.manifest().unwrap();
        let before = node.host.restarts(node.unit());
        let check = node.good(Stage::HostCheck);
        assert_eq!(node.host.manifest().unwrap(), first, "{kind}: host-check wrote something");
        assert!(check.checks.len() > 8 && check.runtime.is_some());
        assert!(node.good(Stage::Artifacts).changes > 0);
        let cri = node.good(Stage::Cri);
        assert!(cri.restarted);
        assert_eq!(node.host.restarts(node.unit()), before + 1, "{kind}: one restart");
        let served = node.host.runtime().handlers;
        for handler in ["kata-qemu", "kata-qemu-snp"] {
            assert!(served.iter().any(|name| name == handler), "{kind}: {served:?}");
        }
        let installed = node.host.manifest().unwrap();
        let check = node.good(Stage::HostCheck);
        assert!(check.checks.iter().any(|check| check.detail == "has all of ours already"), "{kind}: {check:?}");
        assert_eq!((node.good(Stage::Artifacts).changes, node.good(Stage::Cri).changes), (0, 0), "{kind}");
        assert_eq!(installed.diff(&node.host.manifest().unwrap()), [], "{kind}: the second run wrote something");
        assert_eq!(node.host.restarts(node.unit()), before + 1);
        node.good(Stage::RevertCri);
        node.good(Stage::RemoveArtifacts);
        let left: Vec<String> = first.diff(&node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
        assert!(!node.host.runtime().handlers.iter().any(|name| name.starts_with("kata")), "{kind}");
    }
}

#[test]
fn a_runtime_that_refuses_is_put_back() {
    for kind in [HostKind::Containerd17, HostKind::Containerd21, HostKind::Crio] {
        let node = Node::start(HostSpec::new("node-1", kind));
        node.good(Stage::Artifacts);
        let before = node.host.manifest().unwrap();
        node.host.inject(|faults| faults.refuse_changes = true);
        let report = node.run(Stage::Cri);
        assert_eq!(report.code, Some(Code::RUNTIME_REFUSED), "{kind}: {report:?}");
        let left: Vec<String> = before.diff(&node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
        assert_eq!(node.host.unit_state(node.unit()).unwrap().0, "active", "{kind}: {report:?}");
        node.host.inject(|faults| faults.refuse_changes = false);
        node.good(Stage::Cri);
    }
}

#[test]
fn a_handler_that_is_not_served_is_no_success() {
    let node = Node::start(HostSpec::new("node-1", HostKind::Containerd21));
    node.good(Stage::Artifacts);
    node.host.inject(|faults| faults.hide_handlers = vec!["kata-qemu-snp".into()]);
    let report = node.run(Stage::Cri);
    assert_eq!(report.code, Some(Code::RUNTIME_REFUSED));
    assert!(report.message.contains("does not serve kata-qemu-snp"), "{}", report.message);
    assert!(!node.host.path("/etc/containerd/config.d").exists());
}

#[test]
fn nydus_is_served_on_simulated_hosts() {
    for kind in [HostKind::Containerd17, HostKind::Containerd22] {
        let mut node = Node::start(HostSpec::new("node-1", kind));
        node.variables.insert("EXPERIMENTAL_SETUP_SNAPSHOTTER".into(), "nydus".into());
        node.variables.insert("SNAPSHOTTER_HANDLER_MAPPING_X86_64".into(), "qemu-snp:nydus".into());
        let first = node.host.manifest().unwrap();
        node.good(Stage::Artifacts);
        node.good(Stage::Cri);
        assert_eq!(node.host.unit_state("nydus-for-kata-tee.service").map(|state| state.0), Some("active"));
        assert_eq!(node.good(Stage::Cri).changes, 0);
        node.good(Stage::RevertCri);
        node.good(Stage::RemoveArtifacts);
        let left: Vec<String> = first.diff(&node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
}

#[test]
fn an_installer_that_dies_is_cleaned_up_after_by_the_host_itself() {
    let node = Node::start(HostSpec::new("node-1", HostKind::Containerd17));
    node.good(Stage::Artifacts);
    let before = node.host.manifest().unwrap();
    node.host.inject(|faults| faults.hang_restart = true);
    let mut installer = std::process::Command::new(env!("CARGO_BIN_EXE_husk-node"))
        .arg("cri")
        .env_clear()
        .envs(&node.variables)
        .env("HUSK_ROOT", node.container())
        .env("HUSK_RESTART_TIMEOUT", "1")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the restart is under way", || node.host.restarts(node.unit()) > 0);
    installer.kill().unwrap();
    installer.wait().unwrap();
    assert!(node.host.path("/var/lib/husk/default/journal/cri").exists());
    node.host.inject(|faults| faults.hang_restart = false);
    until("the timer has run", || !node.host.path("/var/lib/husk/default/husk-node").exists());
    let left: Vec<String> = before.diff(&node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
    assert!(left.is_empty(), "{left:?}");
    until("the runtime is back", || node.host.unit_state(node.unit()).is_some_and(|state| state.0 == "active"));
    node.good(Stage::Cri);
}

#[test]
fn an_installer_killed_by_its_own_restart_finds_its_work_done() {
    let node = Node::start(HostSpec::new("node-1", HostKind::Containerd21));
    node.good(Stage::Artifacts);
    node.host.inject(|faults| faults.slow_restart = std::time::Duration::from_millis(600));
    let mut installer = std::process::Command::new(env!("CARGO_BIN_EXE_husk-node"))
        .arg("cri")
        .env_clear()
        .envs(&node.variables)
        .env("HUSK_ROOT", node.container())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the restart is under way", || node.host.restarts(node.unit()) > 0);
    installer.kill().unwrap();
    installer.wait().unwrap();
    until("the runtime is back", || node.host.runtime().handlers.iter().any(|name| name == "kata-qemu"));
    let report = node.good(Stage::Cri);
    assert!(report.message.contains("interrupted run"), "{}", report.message);
    assert_eq!(node.host.restarts(node.unit()), 1);
    assert_eq!(node.host.unit_state("husk-undo-default.timer"), None);
    assert!(!node.host.path("/var/lib/husk/default/husk-node").exists());
}

pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "not in time: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Runs a verb for one host and returns its exit status and what it prints.
fn local(node: &Node, words: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_husk-node"))
        .args(words)
        .arg("--root")
        .arg(node.host.root())
        .env_clear()
        .env("HUSK_RESTART_TIMEOUT", "60")
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn one_host_without_a_cluster_is_planned_installed_shown_and_cleaned() {
    for kind in [HostKind::Containerd22, HostKind::Microk8s, HostKind::Crio] {
        let node = Node::start(HostSpec::new("node-1", kind));
        let first = node.host.manifest().unwrap();
        let payload = node.container().join("opt/kata-artifacts").display().to_string();
        let wish = ["--shim", "qemu,qemu-snp", "--payload", &payload];
        let with = |verb: &'static str| [&[verb], &wish[..]].concat();
        // A runtime that has just been started does not answer for a moment.
        let mut planned = local(&node, &with("plan"));
        for _ in 0..100 {
            if planned.0 == 2 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            planned = local(&node, &with("plan"));
        }
        let (status, text) = planned;
        assert_eq!(status, 2, "{kind}: {text}");
        assert!(
            text.contains("+ link /opt/kata -> ") && text.contains(&format!("restart {}", node.unit())),
            "{kind}: {text}"
        );
        assert!(first.diff(&node.host.manifest().unwrap()).is_empty(), "{kind}: a plan writes nothing");
        let (status, text) = local(&node, &with("apply"));
        assert_eq!(status, 0, "{kind}: {text}");
        assert!(node.host.runtime().handlers.iter().any(|name| name == "kata-qemu-snp"), "{kind}: {text}");
        let (status, text) = local(&node, &with("plan"));
        assert_eq!((status, text.trim()), (0, "nothing to change"), "{kind}");
        let (status, text) = local(&node, &["status", "-o", "json"]);
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &told["installs"][0]["payload"]), (0, &serde_json::json!("4.1.0")), "{kind}: {text}");
        assert_eq!(told["installs"][0]["unit"], node.unit(), "{kind}");
        let (status, text) = local(&node, &["revert"]);
        assert_eq!(status, 0, "{kind}: {text}");
        let left: Vec<String> = first.diff(&node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
        let (_, text) = local(&node, &["status"]);
        assert_eq!(text.trim(), "Husk owns nothing on this host", "{kind}");
    }
}

#[test]
fn microk8s_takes_nydus_into_the_tables_that_its_template_has() {
    for version in ["1.7.27", "2.1.5"] {
        let mut spec = HostSpec::new("node-1", HostKind::Microk8s);
        spec.runtime_version = Some(version.to_owned());
        let mut node = Node::start(spec);
        node.variables.insert("EXPERIMENTAL_SETUP_SNAPSHOTTER".into(), "nydus".into());
        node.variables.insert("SNAPSHOTTER_HANDLER_MAPPING_X86_64".into(), "qemu-snp:nydus".into());
        let first = node.host.manifest().unwrap();
        node.good(Stage::HostCheck);
        node.good(Stage::Artifacts);
        node.good(Stage::Cri);
        let text = std::fs::read_to_string(node.host.path("/var/snap/microk8s/current/args/containerd-template.toml"))
            .unwrap();
        assert!(
            text.contains("runtimes.${RUNTIME}]") && text.contains("disable_snapshot_annotations = false"),
            "{text}"
        );
        assert_eq!(node.good(Stage::Cri).changes, 0, "{version}");
        node.good(Stage::RevertCri);
        node.good(Stage::RemoveArtifacts);
        let left: Vec<String> = first.diff(&node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "{version}: {left:?}");
    }
}
