//! One container of a pod: what it takes to start it, and what is remembered of it.

use super::environment::{Sources, environment, expand, references};
use super::process::{Process, Program};
use super::status::{Ended, State, View};
use super::tree::{self, Mount};
use super::volumes::Prepared;
use super::{Kubelets, Machine};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::ResourceExt;
use kube::api::Api;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Child;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The longest pause before a container is started again.
const LAST_BACKOFF: Duration = Duration::from_secs(300);
/// A container that ran for so long starts with the first pause again.
const STEADY: Duration = Duration::from_secs(600);
/// Bytes that Kubernetes keeps of a termination message.
const MESSAGE_LIMIT: usize = contract::report::TERMINATION_MESSAGE_LIMIT;

/// A container of a pod.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) spec: Container,
    pub(super) init: bool,
    pub(super) view: View,
    pub(super) process: Option<Process>,
    /// Not to be started before.
    pub(super) not_before: Option<Instant>,
    /// How often it failed in a row, to be started or to go on.
    pub(super) failures: u32,
    /// Probes that are running.
    pub(super) probes: Vec<AbortHandle>,
}

/// Why a container cannot be started: the reason of its waiting state, and the message.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Unit {
    pub(super) fn new(spec: Container, init: bool) -> Self {
        let view = View {
            name: spec.name.clone(),
            image: spec.image.clone().unwrap_or_default(),
            state: State::Waiting("ContainerCreating".to_owned(), String::new()),
            last: None,
            restarts: 0,
            started: false,
            ready: false,
        };
        Unit { spec, init, view, process: None, not_before: None, failures: 0, probes: Vec::new() }
    }

    /// Counts a failure to start and sets when to try again.
    pub(super) fn back_off(&mut self, first: Duration) -> Duration {
        let delay = self.pause(first, self.failures);
        self.failures += 1;
        delay
    }

    /// Counts an end that is followed by a restart. The first restart comes at once, the others after a growing pause.
    pub(super) fn crashed(&mut self, first: Duration) -> Option<Duration> {
        let earlier = self.failures;
        self.failures += 1;
        (earlier > 0).then(|| self.pause(first, earlier - 1))
    }

    fn pause(&mut self, first: Duration, doublings: u32) -> Duration {
        let delay = first.saturating_mul(1 << doublings.min(16)).min(LAST_BACKOFF);
        self.not_before = Some(Instant::now() + delay);
        delay
    }

    /// Notes that the container has ended.
    pub(super) fn ended(&mut self, code: i32, message: String) {
        for probe in self.probes.drain(..) {
            probe.abort();
        }
        let finished = Timestamp::now();
        let started = if let State::Running(since) = self.view.state { since } else { finished };
        if Duration::try_from(finished.duration_since(started)).is_ok_and(|lived| lived >= STEADY) {
            self.failures = 0;
        }
        let reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
        self.view.state = State::Ended(Ended { code, reason, message, started, finished });
        (self.view.ready, self.view.started, self.process) = (false, false, None);
    }

    /// The log of the present instance.
    pub(super) fn log_file(&self, directory: &Path) -> PathBuf {
        directory.join(&self.spec.name).join(format!("{}.log", self.view.restarts))
    }

    /// Reads the termination message.
    pub(super) fn termination_message(&self, root: &Path, logs: &Path, code: i32) -> String {
        let path = self.spec.termination_message_path.as_deref().unwrap_or(contract::pod::TERMINATION_LOG);
        let bytes = tree::below_root(Path::new(path)).ok().and_then(|path| std::fs::read(root.join(path)).ok());
        let mut bytes = bytes.unwrap_or_default();
        bytes.truncate(MESSAGE_LIMIT);
        let message = String::from_utf8_lossy(&bytes).into_owned();
        let fallback = self.spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        if message.is_empty() && fallback && code != 0 {
            super::logs::last_lines(&self.log_file(logs))
        } else {
            message
        }
    }
}

/// What a container is started with.
pub(super) struct Launch<'a> {
    pub(super) kubelets: &'a Kubelets,
    pub(super) machine: &'a Machine,
    pub(super) pod: &'a Pod,
    pub(super) volumes: &'a BTreeMap<String, Prepared>,
    /// The directory that becomes the container's root.
    pub(super) root: PathBuf,
    /// Where what the kernel of a virtual machine shows is kept; nothing for containers on the host's own kernel.
    pub(super) guest: Option<PathBuf>,
}

/// The kernel that simulated virtual machines run.
const GUEST_KERNEL: &str = "6.12.47-kata-guest";

/// Makes what a guest's kernel shows under `/proc` and `/sys`; returns the directory that holds both. There is no
/// confidential hardware in it: nothing here could vouch for a guest.
fn guest(directory: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(directory.join("proc/sys/kernel"))?;
    std::fs::create_dir_all(directory.join("sys"))?;
    std::fs::write(directory.join("proc/sys/kernel/osrelease"), format!("{GUEST_KERNEL}\n"))?;
    std::fs::write(directory.join("proc/version"), format!("Linux version {GUEST_KERNEL} (simulated guest)\n"))?;
    std::fs::write(directory.join("proc/cpuinfo"), "processor\t: 0\nflags\t\t: fpu hypervisor\n")?;
    Ok(directory.to_owned())
}

impl Launch<'_> {
    /// Starts a container.
    pub(super) async fn start(&self, spec: &Container) -> Result<Child, Obstacle> {
        let config = |message: String| Obstacle { reason: "CreateContainerConfigError", message };
        let create = |message: String| Obstacle { reason: "CreateContainerError", message };
        if spec.restart_policy.as_deref() == Some("Always") {
            return Err(create("the sandbox has no sidecars: init containers with restartPolicy Always".to_owned()));
        }
        let base = self.base_environment();
        let wanted = references(spec);
        let config_maps = self.config_maps(wanted.config_maps).await.map_err(|error| config(error.to_string()))?;
        let secrets = self.secrets(wanted.secrets).await.map_err(|error| config(error.to_string()))?;
        let mut known = environment(self.pod, spec, &base, &config_maps, &secrets).map_err(config)?;

        let mounts = self.mounts(spec, &known).map_err(config)?;
        let mut image = self.kubelets.image.clone();
        let kernel = match &self.guest {
            Some(directory) => guest(directory).map_err(|error| create(error.to_string()))?,
            None => self.machine.root.clone(),
        };
        for path in ["/proc", "/sys"] {
            image.push(Mount { path: path.into(), source: kernel.join(&path[1..]), own: false });
        }
        let entries = tree::plan(&self.root, &["/dev", "/tmp", "/usr/bin"], &image, &mounts).map_err(create)?;
        tree::make(&self.root, &entries).map_err(|error| create(error.to_string()))?;
        self.prepare_termination_log(spec).map_err(create)?;

        let mut words =
            spec.command.iter().flatten().chain(spec.args.iter().flatten()).map(|word| expand(word, &known));
        let Some(first) = words.next().filter(|_| spec.command.as_ref().is_some_and(|command| !command.is_empty()))
        else {
            return Err(create(
                "no command specified: the sandbox's images have no entry point of their own".to_owned(),
            ));
        };
        let arguments: Vec<OsString> = words.map(OsString::from).collect();
        let working = spec.working_dir.as_deref().unwrap_or("/");
        let directory = self.root.join(tree::below_root(Path::new(working)).map_err(create)?);
        std::fs::create_dir_all(&directory).map_err(|error| create(error.to_string()))?;
        let path = self.find(&first, &directory).ok_or_else(|| {
            let image = spec.image.as_deref().unwrap_or_default();
            create(format!(
                "exec: \"{first}\": not in the image: the sandbox stands in for every image ({image} too) with its own \
                 programs {} and runs nothing else",
                self.programs().join(", ")
            ))
        })?;
        // A container cannot choose these: they say where it is.
        known.insert(contract::pod::ROOT_VARIABLE.to_owned(), self.root.display().to_string());
        let program = Program { path, arguments, environment: known.into_iter().collect(), directory };
        self.kubelets
            .spawner
            .spawn(program)
            .await
            .map_err(|error| Obstacle { reason: "RunContainerError", message: format!("exec: \"{first}\": {error}") })
    }

    fn programs(&self) -> Vec<String> {
        self.kubelets
            .image
            .iter()
            .filter(|it| it.path.starts_with("/usr/bin"))
            .map(|it| it.path.display().to_string())
            .collect()
    }

    fn base_environment(&self) -> Vec<(String, String)> {
        let port = self.kubelets.api_port.to_string();
        let address = format!("tcp://127.0.0.1:{port}");
        [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("HOSTNAME", self.pod.name_any()),
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()),
            ("KUBERNETES_SERVICE_PORT", port.clone()),
            ("KUBERNETES_SERVICE_PORT_HTTPS", port),
            ("KUBERNETES_PORT", address),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .chain(self.kubelets.environment.iter().cloned())
        .collect()
    }

    async fn config_maps(&self, names: impl IntoIterator<Item = String>) -> Result<Sources, kube::Error> {
        let client = self.kubelets.context.client.clone();
        let api: Api<ConfigMap> = Api::namespaced(client, &self.pod.namespace().unwrap_or_default());
        let mut sources = Sources::new();
        for name in names {
            if let Some(found) = api.get_opt(&name).await? {
                sources.insert(name, found.data.unwrap_or_default());
            }
        }
        Ok(sources)
    }

    async fn secrets(&self, names: impl IntoIterator<Item = String>) -> Result<Sources, kube::Error> {
        let client = self.kubelets.context.client.clone();
        let api: Api<Secret> = Api::namespaced(client, &self.pod.namespace().unwrap_or_default());
        let mut sources = Sources::new();
        for name in names {
            if let Some(found) = api.get_opt(&name).await? {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let data = found.data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, text(bytes.0)));
                sources.insert(name, data.collect());
            }
        }
        Ok(sources)
    }

    fn mounts(&self, spec: &Container, known: &BTreeMap<String, String>) -> Result<Vec<Mount>, String> {
        let mut mounts = Vec::new();
        for mount in spec.volume_mounts.iter().flatten() {
            let volume = self.volumes.get(&mount.name).ok_or_else(|| format!("no volume \"{}\"", mount.name))?;
            let inner = match (&mount.sub_path, &mount.sub_path_expr) {
                (_, Some(expression)) => expand(expression, known),
                (Some(path), None) => path.clone(),
                (None, None) => String::new(),
            };
            let mut source = volume.path.clone();
            if !inner.is_empty() {
                source.push(tree::below_root(Path::new(&inner))?);
                // A kubelet makes the directory when it is absent.
                if volume.own && !source.exists() {
                    std::fs::create_dir_all(&source).map_err(|error| error.to_string())?;
                }
            }
            let own = volume.own && mount.read_only != Some(true);
            mounts.push(Mount { path: mount.mount_path.clone().into(), source, own });
        }
        if spec.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
            return Err("the sandbox has no block volumes".to_owned());
        }
        Ok(mounts)
    }

    fn prepare_termination_log(&self, spec: &Container) -> Result<(), String> {
        let path = spec.termination_message_path.as_deref().unwrap_or(contract::pod::TERMINATION_LOG);
        let path = self.root.join(tree::below_root(Path::new(path))?);
        let create = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, ""));
        create.map_err(|error| format!("termination message file: {error}"))
    }

    /// Finds a program as a container runtime would, below the container's root.
    fn find(&self, word: &str, directory: &Path) -> Option<PathBuf> {
        let candidates: Vec<PathBuf> = if word.starts_with('/') {
            vec![self.root.join(tree::below_root(Path::new(word)).ok()?)]
        } else if word.contains('/') {
            vec![directory.join(tree::below_root(Path::new(word)).ok()?)]
        } else {
            ["usr/local/bin", "usr/bin", "bin"].map(|place| self.root.join(place).join(word)).into()
        };
        candidates.into_iter().find(|path| path.is_file())
    }
}
