//! The container runtime of a host: from `ExecStart` to answers on the CRI socket.

use crate::containerd;
use crate::daemon;
use crate::host::{Machine, RuntimeStatus};
use crate::layout::Flavour;
use crate::program;
use crate::refusal::{Effective, Refusal};
use crate::systemd::file::UnitFile;
use crate::toml::host_path;
use cri::message::*;
use cri::{RuntimeService, Server, Status};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a start ended.
pub(crate) enum Started {
    /// It serves, and systemd knows.
    Ready,
    /// It runs and will never say that it is ready.
    NeverReady,
}

/// How long a runtime needs from its start to its first answer.
const START: Duration = Duration::from_millis(30);
const STOP: Duration = Duration::from_millis(5);
/// How long containerd 1.x answers, and systemd takes it for started, before its CRI is initialised.
const INITIALISING: Duration = Duration::from_millis(15);

/// Starts the runtime that a unit's file names.
pub(crate) async fn start(machine: &Arc<Machine>, unit: &UnitFile) -> Result<Started, Refusal> {
    let mut faults = machine.faults.subscribe();
    // Closed only when the machine is gone.
    let _ = faults.wait_for(|faults| !faults.hang_restart).await;
    let (slow, down, handed) = {
        let faults = faults.borrow();
        (faults.slow_restart, faults.stay_down, faults.refuse_changes)
    };
    tokio::time::sleep(START + slow).await;
    let result = attempt(machine, unit, down, handed).await;
    if let Err(refusal) = &result {
        machine.publish(|status| {
            status.ready = false;
            status.handlers.clear();
            status.message.clone_from(&refusal.message);
        });
    }
    result
}

async fn attempt(
    machine: &Arc<Machine>,
    unit: &UnitFile,
    down: bool,
    refuse_changes: bool,
) -> Result<Started, Refusal> {
    if down {
        return Err(Refusal::error("fault injected: the container runtime does not come back"));
    }
    let runtime = find_program(machine, unit)?;
    let version = runtime.version.clone();
    let command = unit.command();
    let config = command.iter().position(|word| matches!(word.as_str(), "-c" | "--config"));
    let config = config.and_then(|at| command.get(at + 1)).cloned();
    let worker = Arc::clone(machine);
    let task = tokio::task::spawn_blocking(move || {
        let effective = daemon::start(&worker.root, &worker.spec, &version, config.as_deref())?;
        let digest = digest(&worker, &effective);
        Ok((effective, digest))
    });
    let (effective, digest) = match task.await {
        Ok(result) => result?,
        Err(error) => return Err(Refusal::panic(format!("panic: {error}"))),
    };
    for warning in &effective.warnings {
        machine.log(&unit.id, &format!("level=warning msg={warning:?}"));
    }
    if machine.accept(digest, refuse_changes) {
        return Err(Refusal::error("fault injected: the container runtime refuses any other configuration"));
    }
    let socket = host_path(&machine.root, &effective.socket);
    let bound = socket.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| cri::socket::bind(&socket));
    let listener = bound.map_err(|error| {
        Refusal::error(format!("failed to get listener for main endpoint: {}: {error}", effective.socket))
    })?;
    let waits = effective.cri_off.is_some() && matches!(machine.spec.layout().flavour, Flavour::Rancher | Flavour::K0s);
    let numbers: Vec<u32> = runtime.version.split('.').filter_map(|part| part.parse().ok()).collect();
    let lists = runtime.name != "containerd" || numbers.first().is_some_and(|major| *major >= 2);
    let hidden = machine.faults.borrow().hide_handlers.clone();
    let mut served = effective.clone();
    served.handlers.retain(|name, _| !hidden.contains(name));
    if let Some(shown) = served.config.pointer_mut("/containerd/runtimes").and_then(serde_json::Value::as_object_mut) {
        shown.retain(|name, _| !hidden.contains(name)); // containerd 1.x is asked through what it shows
    }
    machine.publish(|status| {
        *status = RuntimeStatus {
            version_string: format!("{}://{}", runtime.name, runtime.version),
            ready: served.cri_off.is_none(),
            handlers: served.handlers.keys().cloned().collect(),
            shims: served.shims.clone(),
            lists_handlers: lists,
            message: served.cri_off.clone().unwrap_or_default(),
        };
    });
    let since = Instant::now();
    let answers = Answers { machine: Arc::downgrade(machine), effective: served, runtime, lists, since };
    machine.serve(Some((Server::start(listener, answers), socket)));
    Ok(if waits { Started::NeverReady } else { Started::Ready })
}

fn find_program(machine: &Machine, unit: &UnitFile) -> Result<program::Runtime, Refusal> {
    let command = unit.command();
    let Some(path) = command.first() else {
        return Err(Refusal::error("Service has no ExecStart= setting. Refusing."));
    };
    let file = host_path(&machine.root, path);
    let failed =
        |reason: &str| Refusal { message: format!("Failed at step EXEC spawning {path}: {reason}"), status: 203 };
    let metadata = std::fs::metadata(&file).map_err(|_| failed("No such file or directory"))?;
    if !metadata.is_file() || std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 == 0 {
        return Err(failed("Permission denied"));
    }
    program::runtime(&file).ok_or_else(|| failed("Exec format error: not a program that a simulated host can run"))
}

/// A digest of everything that the runtime read.
fn digest(machine: &Machine, effective: &Effective) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for path in &effective.files {
        hasher.update(path.as_bytes());
        hasher.update(std::fs::read(host_path(&machine.root, path)).unwrap_or_default());
    }
    hasher.finalize().into()
}

/// Stops answering: connections break and the socket goes.
pub(crate) async fn stop(machine: &Arc<Machine>) {
    tokio::time::sleep(STOP).await;
    machine.serve(None);
    machine.publish(|status| {
        status.ready = false;
        status.handlers.clear();
        status.message = "the container runtime is stopped".to_owned();
    });
}

/// The CRI of one life of the runtime.
struct Answers {
    machine: std::sync::Weak<Machine>,
    effective: Effective,
    runtime: program::Runtime,
    lists: bool,
    since: Instant,
}

impl Answers {
    async fn enter(&self) -> Result<Arc<Machine>, Status> {
        if self.effective.cri_off.is_some() {
            return Err(Status::unimplemented("unknown service runtime.v1.RuntimeService"));
        }
        if !self.lists && self.since.elapsed() < INITIALISING {
            return Err(Status::unknown("server is not initialized yet"));
        }
        let machine = self.machine.upgrade().ok_or_else(|| Status::unavailable("the host is shutting down"))?;
        let slow = machine.faults.borrow().slow_answers;
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        Ok(machine)
    }

    fn is_crio(&self) -> bool {
        self.runtime.name != "containerd"
    }

    fn handlers(&self) -> Vec<RuntimeHandler> {
        let handler = |name: &str, like: &str| {
            let full = matches!(like, "runc" | "crun");
            let features = RuntimeHandlerFeatures { recursive_read_only_mounts: full, user_namespaces: full };
            // containerd asks the shim, and says nothing of a shim that does not tell.
            RuntimeHandler { name: name.to_owned(), features: (full || self.is_crio()).then_some(features) }
        };
        let default = handler("", &self.effective.default_handler);
        let named = self.effective.handlers.keys().map(|name| handler(name, name));
        std::iter::once(default).chain(named).collect()
    }
}

impl RuntimeService for Answers {
    async fn version(&self, _request: VersionRequest) -> Result<VersionResponse, Status> {
        self.enter().await?;
        let prefix = if self.is_crio() { "" } else { "v" };
        Ok(VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: self.runtime.name.clone(),
            runtime_version: format!("{prefix}{}", self.runtime.version),
            runtime_api_version: "v1".to_owned(),
        })
    }

    async fn status(&self, request: StatusRequest) -> Result<StatusResponse, Status> {
        let machine = self.enter().await?;
        let condition =
            |kind: &str, status: bool| RuntimeCondition { r#type: kind.to_owned(), status, ..Default::default() };
        let networks = std::fs::read_dir(host_path(&machine.root, "/etc/cni/net.d"));
        let network =
            networks.is_ok_and(|mut entries| entries.next().is_some()) || machine.spec.kind.owns_its_containerd();
        let mut conditions = vec![condition(RUNTIME_READY, true), condition(NETWORK_READY, network)];
        if !network && let Some(condition) = conditions.last_mut() {
            condition.reason = "NetworkPluginNotReady".to_owned();
            condition.message = "Network plugin returns error: cni plugin not initialized".to_owned();
        }
        let version = containerd::Version::parse(&self.runtime.version);
        if !self.is_crio() && !version.is_some_and(containerd::Version::is_lenient_1_6) {
            conditions.push(condition("ContainerdHasNoDeprecationWarnings", true));
        }
        let mut info = std::collections::BTreeMap::new();
        if request.verbose {
            info.insert("config".to_owned(), self.effective.config.to_string());
            if !self.is_crio() {
                info.insert("golang".to_owned(), "\"go1.24.6\"".to_owned());
                info.insert("lastCNILoadStatus".to_owned(), "OK".to_owned());
            }
        }
        Ok(StatusResponse {
            status: Some(RuntimeStatusMessage { conditions }),
            info,
            runtime_handlers: if self.lists { self.handlers() } else { Vec::new() },
            features: self.lists.then_some(RuntimeFeatures { supplemental_groups_policy: true }),
        })
    }

    async fn runtime_config(&self, _request: RuntimeConfigRequest) -> Result<RuntimeConfigResponse, Status> {
        self.enter().await?;
        if !self.lists {
            return Err(Status::unimplemented("unknown method RuntimeConfig for service runtime.v1.RuntimeService"));
        }
        let driver = if self.effective.systemd_cgroup { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs };
        Ok(RuntimeConfigResponse { linux: Some(LinuxRuntimeConfiguration { cgroup_driver: driver.into() }) })
    }

    async fn list_pod_sandbox(&self, request: ListPodSandboxRequest) -> Result<ListPodSandboxResponse, Status> {
        let machine = self.enter().await?;
        let mut items = machine.sandboxes();
        if let Some(filter) = request.filter {
            items.retain(|item| {
                (filter.id.is_empty() || item.id.starts_with(&filter.id))
                    && filter.state.is_none_or(|state| item.state == state.state)
                    && filter.label_selector.iter().all(|(key, value)| item.labels.get(key) == Some(value))
            });
        }
        Ok(ListPodSandboxResponse { items })
    }
}

use cri::message::RuntimeStatus as RuntimeStatusMessage;
