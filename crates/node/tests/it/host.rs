//! A host in a temporary directory: its files, a fake systemd and a fake containerd that reads its configuration at restart.

use node::disk::{Disk, FaultPoint};
use node::host::Host;
use node::session::{Session, Surroundings};
use node::settings::Settings;
use node::units::{Runtime, Sandbox, Served, UnitState, Units};
use node::{NodeError, Result};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Kills the run at the n-th effect, and stays dead.
#[derive(Default)]
pub(crate) struct Killer {
    /// Effects still allowed; `None` for all.
    pub(crate) left: Cell<Option<usize>>,
    /// Effects so far.
    pub(crate) count: Cell<usize>,
    /// The effect that fails once, and how.
    pub(crate) fails: Cell<Option<(usize, std::io::ErrorKind)>>,
}

impl FaultPoint for Killer {
    fn before(&self, effect: &str, path: &str) -> Result<()> {
        match self.left.get() {
            Some(0) => Err(NodeError::new(contract::Code::HOST_IO, format!("killed before {effect} {path}"))),
            left => {
                self.left.set(left.map(|left| left - 1));
                let number = self.count.replace(self.count.get() + 1);
                match self.fails.get() {
                    Some((at, kind))
                        if at == number
                            && !matches!(effect, "restart" | "stop" | "arm" | "disarm" | "daemon-reload") =>
                    {
                        Err(NodeError::io(effect, path, &std::io::Error::from(kind)))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// What runs on the host.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) version: String,
    /// The version of the host's own program while another one runs.
    pub(crate) own: Option<String>,
    pub(crate) unit: String,
    pub(crate) main: String,
    pub(crate) extra_units: Vec<String>,
    pub(crate) restarts: u32,
    pub(crate) clock: u64,
    pub(crate) up: bool,
    pub(crate) handlers: Vec<String>,
    pub(crate) refuses: bool,
    /// With our handlers it comes up and its CRI does not answer.
    pub(crate) mute: bool,
    /// With our handlers its start neither ends nor fails.
    pub(crate) hangs: bool,
    starting: bool,
    pub(crate) armed: BTreeMap<String, Vec<String>>,
    pub(crate) running: Vec<String>,
    pub(crate) calls: Vec<String>,
    pub(crate) sandboxes: Vec<Sandbox>,
}

pub(crate) struct TestHost {
    /// A host of a kind, whose runtime reads its configuration as the real one does.
    pub(crate) still: Option<simhost::Still>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) host: Host,
    pub(crate) machine: Rc<RefCell<Machine>>,
    pub(crate) killer: Killer,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) arch: &'static str,
    /// Files of the container that settings name.
    pub(crate) files: BTreeMap<String, String>,
}

/// A directory in memory where there is one: every write is synced, and a disk would make thousands of runs wait.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

struct FakeUnits<'h>(&'h TestHost);
struct FakeRuntime<'h>(&'h TestHost);

pub(crate) const CONFIG: &str = "# the site's own file\nversion = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    sandbox_image = \"pause:3.9\" # pinned\n  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n    runtime_type = \"io.containerd.runc.v2\"\n";

impl TestHost {
    /// A kubeadm host with containerd of a version and a main file.
    pub(crate) fn containerd(version: &str, config: Option<&str>) -> Self {
        let directory = in_memory();
        let host = Host::new(directory.path().join("host"));
        for path in
            ["/etc/containerd", "/etc/systemd/system", "/var/lib/kubelet", "/opt/cni/bin", "/run/containerd", "/dev"]
        {
            fs::create_dir_all(host.path(path)).unwrap();
        }
        fs::write(host.path("/etc/machine-id"), "abc\n").unwrap();
        fs::write(host.path("/dev/kvm"), "").unwrap();
        fs::write(host.path("/dev/vhost-vsock"), "").unwrap();
        fs::write(host.path("/opt/cni/bin/bridge"), "cni").unwrap();
        if let Some(config) = config {
            fs::write(host.path("/etc/containerd/config.toml"), config).unwrap();
            fs::set_permissions(host.path("/etc/containerd/config.toml"), fs::Permissions::from_mode(0o640)).unwrap();
        }
        let machine = Machine {
            version: version.to_owned(),
            unit: "containerd.service".into(),
            main: "/etc/containerd/config.toml".into(),
            up: true,
            clock: 1,
            handlers: vec!["runc".into()],
            ..Machine::default()
        };
        let variables = [
            ("NODE_NAME", "n1"),
            ("SHIMS_X86_64", "qemu qemu-snp"),
            ("CONTAINER_RUNTIME_VERSION", &format!("containerd://{version}")),
        ];
        let variables = variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let test = TestHost {
            still: None,
            directory,
            host,
            machine: Rc::new(RefCell::new(machine)),
            killer: Killer::default(),
            variables,
            arch: "x86_64",
            files: BTreeMap::new(),
        };
        payload(&test.payload(), "4.1.0");
        test
    }

    /// A host of a kind, its runtime started.
    pub(crate) fn of(spec: simhost::HostSpec) -> Self {
        let directory = in_memory();
        let still = simhost::Still::install(spec, &directory.path().join("machine")).unwrap();
        let (layout, version) = (still.spec().layout(), still.spec().runtime_version().to_owned());
        let name = if layout.flavour == simhost::layout::Flavour::Crio { "cri-o" } else { "containerd" };
        let machine = Machine {
            version: version.clone(),
            unit: layout.unit.into(),
            up: true,
            clock: 1,
            handlers: still.start().unwrap(),
            ..Machine::default()
        };
        let variables = [
            ("NODE_NAME", "n1".to_owned()),
            ("SHIMS_X86_64", "qemu qemu-snp".to_owned()),
            ("CONTAINER_RUNTIME_VERSION", format!("{name}://{version}")),
        ];
        let variables = variables.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let host = Host::new(still.root());
        let test = TestHost {
            still: Some(still),
            directory,
            host,
            machine: Rc::new(RefCell::new(machine)),
            killer: Killer::default(),
            variables,
            arch: "x86_64",
            files: BTreeMap::new(),
        };
        payload(&test.payload(), "4.1.0");
        test
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    pub(crate) fn payload(&self) -> PathBuf {
        self.directory.path().join("payload")
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::read(&|name| self.variables.get(name).cloned(), self.arch, &|path| self.files.get(path).cloned())
            .unwrap()
    }

    /// Calls something with a session.
    pub(crate) fn session<T>(&self, work: impl FnOnce(&mut Session) -> T) -> T {
        let asked = self.settings();
        let installer = self.directory.path().join("installer");
        fs::write(&installer, "#!program").unwrap();
        let around = Surroundings {
            root: self.directory.path().to_owned(),
            payload: self.payload(),
            installer,
            processes: match &self.still {
                Some(still) => still.root().join("proc"),
                None => self.directory.path().join("proc"),
            },
            kernel: match &self.still {
                Some(still) => still.root().join("sys"),
                None => self.directory.path().join("sys"),
            },
            say: &|_| {},
            pause: &|_| {},
            patience: Duration::from_millis(20),
        };
        let mut session = Session {
            asked: &asked,
            host: &self.host,
            disk: Disk::new(&self.host, &self.killer),
            units: &mut FakeUnits(self),
            runtime: &mut FakeRuntime(self),
            around: &around,
        };
        work(&mut session)
    }

    /// Both changing stages of an installation.
    pub(crate) fn install(&self) -> Result<(u32, bool)> {
        self.session(|session| {
            let asked = session.asked;
            let version = asked.runtime_version.clone().unwrap();
            let found = node::distribution::detect(asked, &version, session.host, session.units)?;
            // a Job that is tried again checks the host again, leftovers of the last attempt included
            let checks = node::host_check::run(session, Ok(&found));
            if let Some(check) = checks.iter().find(|check| check.verdict == contract::Verdict::Fail) {
                return Err(NodeError::new(check.code.unwrap_or(contract::Code::HOST_UNFIT), check.detail.clone()));
            }
            let one = node::artifacts::install(session, Some(found.distribution))?;
            let two = node::cri_stage::install(session, &found)?;
            Ok((one.changes + two.changes, two.restarted))
        })
    }

    /// Both changing stages of a removal.
    pub(crate) fn remove(&self) -> Result<u32> {
        self.session(|session| {
            let asked = session.asked;
            let version = asked.runtime_version.clone().unwrap();
            let found = node::distribution::detect(asked, &version, session.host, session.units)?;
            let one = node::cri_stage::remove(session, Some(&found))?;
            let two = node::artifacts::remove(session)?;
            Ok(one.changes + two.changes)
        })
    }

    /// What the timer on the host runs.
    pub(crate) fn undo(&self) -> Result<bool> {
        self.session(|session| {
            let install = session.asked.install().to_owned();
            let store = session.store();
            let mut hands =
                node::cri_stage::Hands { units: session.units, around: session.around, disk: session.disk, install };
            node::cri_stage::undo(&store, &mut hands)
        })
    }

    /// Every path of the host with kind, mode, owner and content.
    pub(crate) fn picture(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        walk(&self.host.path("/"), "", &mut all);
        // what a runtime writes of its own while it runs is not on the disk
        all.retain(|path, _| !path.starts_with("/run/"));
        all
    }

    /// Gives the process another life.
    pub(crate) fn revive(&self) {
        self.killer.left.set(None);
        self.killer.fails.set(None);
        self.killer.count.set(0);
    }

    /// The version of the program that a drop-in makes the unit run.
    fn program(&self) -> Option<String> {
        let drop_in = self.host.text("/etc/systemd/system/containerd.service.d/zz-husk-containerd.conf")?;
        let start = drop_in.lines().filter_map(|line| line.strip_prefix("ExecStart=")).next_back()?;
        Some(simhost::program::runtime(&self.host.path(start)).expect("the unit's program is there").version)
    }

    fn start(&self) {
        let mut machine = self.machine.borrow_mut();
        machine.restarts += 1;
        machine.clock += 1;
        match self.program() {
            Some(version) => {
                let before = std::mem::replace(&mut machine.version, version);
                machine.own.get_or_insert(before);
            }
            None => machine.version = machine.own.take().unwrap_or_else(|| machine.version.clone()),
        }
        let read = match &self.still {
            Some(still) => still.start(),
            None => read_handlers(&self.host, &machine),
        };
        machine.starting =
            machine.hangs && matches!(&read, Ok(names) if names.iter().any(|name| name.starts_with("kata")));
        match read {
            Ok(_) if machine.starting => machine.up = false,
            Ok(handlers) if !(machine.refuses && handlers.iter().any(|name| name.starts_with("kata"))) => {
                machine.handlers = handlers;
                machine.up = true;
            }
            _ => machine.up = false,
        }
    }
}

/// Reads the configuration as containerd would, and refuses what it would refuse.
fn read_handlers(host: &Host, machine: &Machine) -> std::result::Result<Vec<String>, String> {
    let mut handlers = vec!["runc".to_owned()];
    let mut pending = vec![machine.main.clone()];
    if machine.unit == "crio.service" {
        pending = host.matching("/etc/crio/crio.conf.d/*");
    }
    while let Some(path) = pending.pop() {
        let Some(text) = host.text(&path) else {
            if path == machine.main { continue } else { return Err(format!("{path} is missing")) }
        };
        let text = text.replace("{{ template \"base\" . }}", "");
        let document: toml_edit::DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
        for import in node::lines::imports(&document) {
            pending.extend(host.matching(&import));
        }
        for plugin in ["cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"] {
            let path = ["plugins", plugin, "containerd", "runtimes"].map(str::to_owned);
            if let Some(table) = node::lines::get(&document, &path).and_then(|item| item.as_table_like()) {
                handlers.extend(table.iter().map(|(key, _)| key.to_owned()));
            }
        }
        let path = ["crio", "runtime", "runtimes"].map(str::to_owned);
        if let Some(table) = node::lines::get(&document, &path).and_then(|item| item.as_table_like()) {
            handlers.extend(table.iter().map(|(key, _)| key.to_owned()));
        }
    }
    handlers.sort();
    handlers.dedup();
    Ok(handlers)
}

fn walk(here: &Path, path: &str, all: &mut BTreeMap<String, String>) {
    let meta = fs::symlink_metadata(here).unwrap();
    let owner = format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
    if meta.is_symlink() {
        all.insert(path.to_owned(), format!("link {}", fs::read_link(here).unwrap().display()));
    } else if meta.is_dir() {
        all.insert(path.to_owned(), owner);
        for entry in fs::read_dir(here).unwrap().flatten() {
            walk(&entry.path(), &format!("{path}/{}", entry.file_name().to_string_lossy()), all);
        }
    } else {
        all.insert(path.to_owned(), format!("{owner} {}", String::from_utf8_lossy(&fs::read(here).unwrap())));
    }
}

impl Units for FakeUnits<'_> {
    fn state(&mut self, unit: &str) -> Result<UnitState> {
        let machine = self.0.machine.borrow();
        let on = |up: bool| UnitState {
            loaded: true,
            active: if up { "active" } else { "failed" }.into(),
            sub: if up { "running" } else { "failed" }.into(),
            result: if up { "success" } else { "exit-code" }.into(),
            since: machine.clock,
            status: String::new(),
        };
        Ok(if unit == machine.unit && machine.starting {
            UnitState { active: "activating".into(), sub: "start".into(), result: "success".into(), ..on(true) }
        } else if unit == machine.unit {
            on(machine.up)
        } else if machine.extra_units.iter().any(|other| other == unit)
            || machine.running.iter().any(|other| other == unit)
        {
            on(true)
        } else {
            UnitState { active: "inactive".into(), ..UnitState::default() }
        })
    }

    fn reload(&mut self) -> Result<()> {
        self.0.killer.before("daemon-reload", "")?;
        self.0.machine.borrow_mut().calls.push("reload".into());
        Ok(())
    }

    fn restart(&mut self, unit: &str) -> Result<()> {
        self.0.killer.before("restart", unit)?;
        let own = self.0.machine.borrow().unit.clone();
        self.0.machine.borrow_mut().calls.push(format!("restart {unit}"));
        if unit == own {
            self.0.start();
        } else {
            let mut machine = self.0.machine.borrow_mut();
            machine.running.retain(|other| other != unit);
            machine.running.push(unit.to_owned());
        }
        Ok(())
    }

    fn reload_service(&mut self, unit: &str) -> Result<()> {
        self.0.machine.borrow_mut().calls.push(format!("reload {unit}"));
        Ok(())
    }

    fn stop(&mut self, unit: &str) -> Result<()> {
        self.0.killer.before("stop", unit)?;
        self.0.machine.borrow_mut().running.retain(|other| other != unit);
        Ok(())
    }

    fn arm(&mut self, name: &str, _after: Duration, program: &[String]) -> Result<()> {
        self.0.killer.before("arm", name)?;
        assert!(self.0.host.exists(&program[0]), "the timer's program must be on the host");
        self.0.machine.borrow_mut().armed.insert(name.to_owned(), program.to_vec());
        Ok(())
    }

    fn disarm(&mut self, name: &str) -> Result<()> {
        self.0.killer.before("disarm", name)?;
        self.0.machine.borrow_mut().armed.remove(name);
        Ok(())
    }
}

impl Runtime for FakeRuntime<'_> {
    fn served(&mut self, _socket: &str) -> std::result::Result<Served, String> {
        let machine = self.0.machine.borrow();
        if !machine.up {
            return Err("connection refused".into());
        }
        if machine.mute && machine.handlers.iter().any(|name| name.starts_with("kata")) {
            return Err("no answer in time".into());
        }
        Ok(Served {
            name: "containerd".into(),
            version: machine.version.clone(),
            ready: true,
            handlers: Some(machine.handlers.clone()),
        })
    }

    fn sandboxes(&mut self, _socket: &str) -> std::result::Result<Vec<Sandbox>, String> {
        Ok(self.0.machine.borrow().sandboxes.clone())
    }
}

/// A comment that somebody else writes into a configuration.
pub(crate) const CONFIG_D_STRANGER: &str = "# kept by the administrator\n";

impl TestHost {
    /// The files of the runtime's configuration and of systemd that an installation has written, as the ledger tells.
    fn configuration(&self) -> Vec<String> {
        let install = self.settings().install().to_owned();
        let text = self.host.text(&format!("/var/lib/husk/{install}/ledger.json")).expect("a ledger");
        let ledger: node::ledger::Ledger = serde_json::from_str(&text).unwrap();
        let ours = |(path, owned): (&String, &node::ledger::Owned)| {
            (owned.part == node::ledger::Part::Cri).then(|| path.clone())
        };
        ledger.files.iter().filter_map(ours).collect()
    }

    /// Puts a line into every file that we have written into, and returns those of them that were somebody's before.
    pub(crate) fn edit_configuration(&self, line: &str) -> Vec<String> {
        let mut edited = Vec::new();
        for path in self.configuration().into_iter().filter(|path| {
            [".toml", ".tmpl"].iter().any(|ending| path.ends_with(ending)) || path.starts_with("/etc/crio/")
        }) {
            let text = self.host.text(&path).unwrap();
            fs::write(
                self.host.path(&path),
                format!("{line}{text}[timeouts]\n  \"io.containerd.timeout.x\" = \"1s\"\n"),
            )
            .unwrap();
            edited.push(path);
        }
        edited
    }
}

/// The digest of everything that an installation has written to configuration files.
pub(crate) fn fingerprints(host: &TestHost) -> Vec<(String, String)> {
    let digest = |path: String| {
        let image = host.host.image(&path).unwrap().unwrap();
        let short: String = image.digest().chars().take(23).collect();
        (path, short)
    };
    host.configuration().into_iter().map(digest).collect()
}

/// A small payload of upstream's layout.
pub(crate) fn payload(directory: &Path, version: &str) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory.join("tarballs")).unwrap();
    fs::create_dir_all(directory.join("nydus-snapshotter")).unwrap();
    for name in node::snapshotter::NYDUS_FILES {
        fs::write(directory.join("nydus-snapshotter").join(name), format!("{name} {version}")).unwrap();
    }
    let index = r#"{"shims": {
        "qemu": {"x86_64": ["shim-v2-go", "qemu"], "aarch64": ["shim-v2-go", "qemu"], "ppc64le": ["shim-v2-go", "qemu"]},
        "qemu-snp": {"x86_64": ["shim-v2-go", "qemu", "ovmf-sev"]},
        "qemu-se": {"s390x": ["shim-v2-go"]}
    }}"#;
    fs::write(directory.join("shim-components.json"), index).unwrap();
    fs::write(directory.join("VERSION"), version).unwrap();
    let config = |shim: &str| {
        format!(
            "# {shim} {version}\n[hypervisor.qemu]\npath = \"/opt/kata/bin/qemu\"\nenable_annotations = [\"enable_iommu\"]\nkernel_params = \"\"\n[runtime]\nname = \"{shim}\"\n"
        )
    };
    let defaults = "opt/kata/share/defaults/kata-containers";
    archive(
        directory,
        "shim-v2-go",
        &[
            ("opt/kata/bin/containerd-shim-kata-v2", format!("shim {version}")),
            (&format!("{defaults}/configuration-qemu.toml"), config("qemu")),
            (&format!("{defaults}/configuration-qemu-snp.toml"), config("qemu-snp")),
            (&format!("{defaults}/configuration-qemu-se.toml"), config("qemu-se")),
        ],
    );
    archive(directory, "qemu", &[("opt/kata/bin/qemu", format!("qemu {version}"))]);
    archive(directory, "ovmf-sev", &[("opt/kata/share/ovmf/AMDSEV.fd", format!("ovmf {version}"))]);
}

fn archive(directory: &Path, component: &str, files: &[(&str, String)]) {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(if path.contains("/bin/") { 0o755 } else { 0o644 });
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let bytes = zstd::encode_all(&tar.into_inner().unwrap()[..], 3).unwrap();
    fs::write(directory.join("tarballs").join(format!("kata-static-{component}.tar.zst")), bytes).unwrap();
}
