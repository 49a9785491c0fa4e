//! A node: namespaces of its own with systemd as PID 1, a container runtime and a kubelet.

use crate::kubernetes::control_plane::ControlPlane;
use crate::kubernetes::daemon::tail;
use crate::kubernetes::runtime::Kind;
use crate::programs::run;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a machine is made, booted and removed; see the file.
const SCRIPT: &str = include_str!("machine.sh");
/// The registry, as nodes name it.
pub(crate) const REGISTRY: &str = "10.77.0.1:5000";

/// A machine; dropping it cuts its power and takes its disk away.
pub(crate) struct Machine {
    /// Its name, also that of its Node.
    pub(crate) name: String,
    /// Its runtime.
    pub(crate) kind: Kind,
    index: usize,
    place: PathBuf,
    kubernetes: PathBuf,
    runtime: Option<PathBuf>,
    control: String,
    running: Mutex<Option<Child>>,
}

impl Machine {
    /// Makes the machine `index` (from 1) with a fresh disk below `place`, and boots it.
    pub(crate) fn start(
        index: usize,
        kind: Kind,
        runtime: Option<&Path>,
        kubernetes: &Path,
        plane: &ControlPlane,
        place: &Path,
    ) -> Result<Machine, String> {
        let mut machine = Machine::bare(index, plane.place.namespace.as_deref().unwrap_or_default(), place)?;
        machine.kind = kind;
        machine.kubernetes = kubernetes.to_path_buf();
        machine.runtime = runtime.map(Path::to_path_buf);
        run(&mut machine.call("make"))?;
        machine.configure(plane)?;
        machine.boot()?;
        Ok(machine)
    }

    /// Makes a machine, boots it into a program that ends at once, and takes it away: whether this machine may do all that.
    pub(crate) fn try_one(control: &str, place: &Path) -> Result<(), String> {
        let mut machine = Machine::bare(1, control, place)?;
        machine.kubernetes = place.to_path_buf(); // no program of which is called
        run(&mut machine.call("make"))?;
        run(machine.call("boot").env("FIRST", "true")).map(drop)
    }

    /// Takes away what a killed run left of machine `index`.
    pub(crate) fn remove_leftovers(index: usize, control: &str, place: &Path) -> Result<(), String> {
        Machine::bare(index, control, place).map(drop)
    }

    /// One that is switched off and has nothing yet.
    fn bare(index: usize, control: &str, place: &Path) -> Result<Machine, String> {
        let machine = Machine {
            name: name(index),
            kind: Kind::Debian,
            index,
            place: place.to_path_buf(),
            kubernetes: PathBuf::new(),
            runtime: None,
            control: control.to_owned(),
            running: Mutex::new(None),
        };
        std::fs::write(machine.script(), SCRIPT).map_err(|error| error.to_string())?;
        Ok(machine)
    }

    /// The disk as the machine sees it, but for `/proc` and the like.
    pub(crate) fn root(&self) -> PathBuf {
        self.disk().join("root")
    }

    /// What differs from this machine's own file system.
    pub(crate) fn written(&self) -> PathBuf {
        self.disk().join("upper")
    }

    /// What systemd and the programs below it have printed.
    pub(crate) fn log(&self) -> PathBuf {
        self.place.join(format!("{}.log", self.name))
    }

    /// Cuts the power.
    pub(crate) fn power_off(&self) {
        if let Some(mut child) = self.held().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Boots from the disk as it is.
    pub(crate) fn boot(&self) -> Result<(), String> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(|error| format!("{}: {error}", self.name))?;
        let again = log.try_clone().map_err(|error| error.to_string())?;
        let child = self
            .call("boot")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.name))?;
        *self.held() = Some(child);
        Ok(())
    }

    /// Runs a program on the machine.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let init = self.init()?;
        let output = run(Command::new("nsenter")
            .args(["--target", &init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"])
            .args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The process that is PID 1 inside.
    fn init(&self) -> Result<String, String> {
        let outer = self.held().as_ref().ok_or_else(|| format!("{} is switched off", self.name))?.id();
        let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"))
            .map_err(|error| format!("{}: {error}\n{}", self.name, tail(&self.log())))?;
        let first = children.split_whitespace().next();
        first.map(str::to_owned).ok_or_else(|| format!("{} has not booted\n{}", self.name, tail(&self.log())))
    }

    /// The process that holds the machine, if it is on.
    fn held(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> PathBuf {
        self.place.join(&self.name)
    }

    fn script(&self) -> PathBuf {
        self.place.join("machine.sh")
    }

    fn address(&self) -> String {
        format!("10.77.0.{}", 10 + self.index)
    }

    fn call(&self, verb: &str) -> Command {
        let mut command = Command::new("bash");
        command
            .arg(self.script())
            .arg(verb)
            .env("NAME", &self.name)
            .env("INDEX", self.index.to_string())
            .env("DISK", self.disk())
            .env("ADDRESS", self.address())
            .env("GATEWAY", "10.77.0.1")
            .env("CONTROL", &self.control)
            .env("KUBERNETES", &self.kubernetes)
            .env("UNIT", self.kind.unit())
            .env("RUNTIME", self.runtime.as_deref().unwrap_or(Path::new("")));
        command
    }

    /// Writes what `kubeadm join` and an administrator write on a node.
    fn configure(&self, plane: &ControlPlane) -> Result<(), String> {
        let root = self.root();
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            let fail = |error: std::io::Error| format!("{}: {error}", path.display());
            std::fs::create_dir_all(path.parent().unwrap_or(&root)).map_err(fail)?;
            std::fs::write(&path, text).map_err(fail)
        };
        let read = |name: &str| {
            let path = plane.directory.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        put("etc/kubernetes/pki/ca.crt", &read("ca.crt")?)?;
        let ours = plane.directory.join("ca.crt").display().to_string();
        let kubeconfig = read(&format!("{}.kubeconfig", self.name))?;
        put("etc/kubernetes/kubelet.conf", &kubeconfig.replace(&ours, "/etc/kubernetes/pki/ca.crt"))?;
        for (path, text) in self.kind.files(REGISTRY) {
            put(&path, &text)?;
        }
        let kubelet = self.disk().join("kubelet/config.yaml");
        let text = KUBELET.replace("ENDPOINT", self.kind.endpoint());
        std::fs::write(&kubelet, text).map_err(|error| format!("{}: {error}", kubelet.display()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
        let _ = self.call("remove").output();
    }
}

/// The name of machine `index`, from 1.
pub(crate) fn name(index: usize) -> String {
    format!("node-{index}")
}

const KUBELET: &str = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous:
    enabled: true
  webhook:
    enabled: false
authorization:
  mode: AlwaysAllow
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
containerRuntimeEndpoint: ENDPOINT
nodeStatusUpdateFrequency: 4s
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard:
  memory.available: 50Mi
  nodefs.available: 1%
  imagefs.available: 1%
  nodefs.inodesFree: 0%
";
