//! Every row of the matrix, distribution × version × snapshotter and a few settings more: installed, at rest, removed; and killed before
//! every single effect of installation and removal.

use crate::host::{CONFIG_D_STRANGER, TestHost, fingerprints, payload};
use simhost::{Arch, HostKind, HostSpec};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) spec: HostSpec,
    variables: Vec<(&'static str, &'static str)>,
}

impl Row {
    pub(crate) fn host(&self) -> TestHost {
        let mut host = TestHost::of(self.spec.clone());
        for (name, value) in &self.variables {
            host.set(name, value);
        }
        host
    }
}

const NYDUS: [(&str, &str); 2] =
    [("EXPERIMENTAL_SETUP_SNAPSHOTTER", "nydus"), ("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu-snp:nydus")];
const EROFS: [(&str, &str); 3] = [
    ("EXPERIMENTAL_SETUP_SNAPSHOTTER", "erofs"),
    ("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu-snp:erofs"),
    ("EROFS_DMVERITY", "dmverity"),
];
const BOTH: [(&str, &str); 2] = [
    ("EXPERIMENTAL_SETUP_SNAPSHOTTER", "nydus,erofs"),
    ("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu:erofs,qemu-snp:nydus"),
];
const EVERYTHING: [(&str, &str); 6] = [
    ("DEBUG", "true"),
    ("DEVKIT", "true"),
    ("MULTI_INSTALL_SUFFIX", "dev"),
    ("INSTALLATION_PREFIX", "/opt/site"),
    ("AGENT_HTTPS_PROXY", "http://proxy.example:3128"),
    ("EXPERIMENTAL_FORCE_GUEST_PULL_X86_64", "qemu-snp"),
];

/// Runtime versions of a kind; the first is its usual one.
fn versions(kind: HostKind) -> &'static [&'static str] {
    match kind {
        HostKind::Containerd16 => &["1.6.36", "1.6.20~ds1"],
        HostKind::Containerd22 => &["2.2.0", "2.3.1"],
        HostKind::K3s | HostKind::Rke2Server => &["2.1.5-k3s1", "1.7.27-k3s1"],
        HostKind::K0s => &["1.7.27", "1.6.36"],
        HostKind::Microk8s => &["1.6.36", "1.7.27", "2.1.5"],
        other => std::slice::from_ref(match other {
            HostKind::Containerd17 => &"1.7.27",
            HostKind::Containerd20 => &"2.0.5",
            HostKind::Containerd21 => &"2.1.5",
            HostKind::Crio => &"1.34.0",
            _ => &"2.1.5-k3s1",
        }),
    }
}

fn release(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in HostKind::ALL {
        for version in versions(kind) {
            let mut spec = HostSpec::new("node-1", kind);
            spec.runtime_version = Some((*version).to_owned());
            let mut add = |what: &str, spec: &HostSpec, variables: &[(&'static str, &'static str)]| {
                rows.push(Row {
                    name: format!("{kind} {version} {what}"),
                    spec: spec.clone(),
                    variables: variables.to_vec(),
                });
            };
            let rancher_1 = matches!(kind, HostKind::K3s | HostKind::Rke2Server) && release(version).0 == 1;
            add("plain", &spec, &[]);
            add("everything", &spec, &EVERYTHING);
            // k3s and RKE2 with containerd 1 have no place for it
            if kind != HostKind::Crio && release(version) >= (1, 7) && !rancher_1 {
                add("nydus", &spec, &NYDUS);
            }
            if kind != HostKind::Crio && release(version) >= (2, 1) {
                add("erofs", &spec, &EROFS);
                add("nydus and erofs", &spec, &BOTH);
            }
            if matches!(kind, HostKind::Containerd17 | HostKind::Containerd21 | HostKind::Crio) {
                spec.selinux = true;
                add("selinux", &spec, &[]);
            }
        }
    }
    rows
}

fn row(name: &str) -> Row {
    rows().into_iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"))
}

type Picture = BTreeMap<String, String>;

fn same(after: &Picture, before: &Picture, what: &str) {
    if after == before {
        return;
    }
    let mut lines = Vec::new();
    for path in before.keys().chain(after.keys()) {
        if before.get(path) != after.get(path) {
            lines.push(format!("{path}: {:?} -> {:?}", before.get(path), after.get(path)));
        }
    }
    lines.dedup();
    panic!("{what}:\n{}", lines.join("\n"));
}

/// The ledger counts its transactions; nothing else may tell that there was another run.
fn settled(host: &TestHost) -> Picture {
    let mut picture = host.picture();
    picture.retain(|path, _| !path.ends_with("/ledger.json"));
    picture
}

/// Kills a row's installer everywhere; returns how many points there were.
fn killed_everywhere(row: &Row) -> usize {
    let name = &row.name;
    let host = row.host();
    let first = host.picture();
    let plain = host.machine.borrow().handlers.clone();
    host.revive();
    host.install().unwrap_or_else(|error| panic!("{name}: {error}"));
    let effects = host.killer.count.get();
    assert!(effects > 50, "{name}: only {effects} effects");
    let wanted = settled(&host);
    let served = host.machine.borrow().handlers.clone();
    host.revive();
    host.remove().unwrap_or_else(|error| panic!("{name}: {error}"));
    let removals = host.killer.count.get();
    same(&host.picture(), &first, name);
    let kill = |at: usize, work: &dyn Fn() -> bool| {
        host.revive();
        host.killer.left.set(Some(at));
        let finished = work();
        host.revive();
        finished
    };
    let clean = |what: &str| {
        same(&host.picture(), &first, what);
        let machine = host.machine.borrow();
        assert_eq!(machine.handlers, plain, "{what}");
        assert!(machine.up && machine.running.is_empty() && machine.armed.is_empty(), "{what}");
    };
    for at in 0..effects {
        let what = format!("{name}: killed at {at} of {effects}");
        assert!(!kill(at, &|| host.install().is_ok()), "{what}: was not reached");
        host.install().unwrap_or_else(|error| panic!("{what}: {error}"));
        same(&settled(&host), &wanted, &what);
        assert_eq!(host.machine.borrow().handlers, served, "{what}");
        host.revive();
        assert_eq!(host.install().unwrap(), (0, false), "{what}: not at rest");
        assert_eq!(host.killer.count.get(), 0, "{what}: wrote although nothing was to do");
        host.remove().unwrap_or_else(|error| panic!("{what}: {error}"));
        clean(&what);
        let what = format!("{what}, removed at once");
        kill(at, &|| host.install().is_ok());
        host.remove().unwrap_or_else(|error| panic!("{what}: {error}"));
        clean(&what);
    }
    for at in 0..removals {
        let what = format!("{name}: removal killed at {at} of {removals}");
        host.install().unwrap();
        assert!(!kill(at, &|| host.remove().is_ok()), "{what}: was not reached");
        host.remove().unwrap_or_else(|error| panic!("{what}: {error}"));
        clean(&what);
    }
    effects * 2 + removals
}

#[test]
fn a_few_rows_killed_everywhere() {
    let mut points = 0;
    for name in ["microk8s 1.7.27 nydus", "crio 1.34.0 plain"] {
        points += killed_everywhere(&row(name));
    }
    println!("killed at {points} points");
}

#[test]
#[ignore = "takes minutes; CI runs it"]
fn every_row_killed_everywhere() {
    let rows = rows();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let points: usize = std::thread::scope(|scope| {
        let work = || {
            let mut points = 0;
            while let Some(row) = rows.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                points += killed_everywhere(row);
            }
            points
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{} rows, killed at {points} points", rows.len());
}

#[test]
fn every_row_is_installed_at_rest_and_removed() {
    let mut slowest = Duration::ZERO;
    let rows = rows();
    for row in &rows {
        let (host, name) = (row.host(), &row.name);
        let first = host.picture();
        let (_, restarted) = host.install().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(restarted && host.machine.borrow().restarts == 1, "{name}: one restart");
        let suffix = if row.variables.iter().any(|(key, _)| *key == "MULTI_INSTALL_SUFFIX") { "-dev" } else { "" };
        for shim in ["qemu", "qemu-snp"] {
            let handler = format!("kata-{shim}{suffix}");
            assert!(host.machine.borrow().handlers.contains(&handler), "{name}: no {handler}");
        }
        let broken = host.still.as_ref().unwrap().broken().unwrap();
        assert!(broken.iter().all(|line| !line.starts_with("kata-")), "{name}: pods would not start: {broken:?}");
        let installed = host.picture();
        host.revive();
        let begun = Instant::now();
        assert_eq!(host.install().unwrap(), (0, false), "{name}");
        slowest = slowest.max(begun.elapsed());
        assert_eq!(host.killer.count.get(), 0, "{name}: a second run writes nothing");
        assert_eq!(host.machine.borrow().restarts, 1, "{name}");
        same(&host.picture(), &installed, name);
        host.remove().unwrap();
        same(&host.picture(), &first, name);
        assert_eq!(host.machine.borrow().restarts, 2, "{name}");
    }
    println!("{} rows; the slowest second run took {} ms", rows.len(), slowest.as_millis());
    assert!(slowest < Duration::from_secs(2), "a run that does nothing takes {slowest:?}");
}

/// Settings come and go, and an administrator edits every file in between.
#[test]
fn every_row_follows_settings_and_keeps_an_administrators_edit() {
    for row in rows() {
        let name = row.name.clone();
        let mut host = row.host();
        let debug = host.variables.get("DEBUG").cloned().unwrap_or_else(|| "false".to_owned());
        let first = host.picture();
        host.install().unwrap();
        let plain = settled(&host);
        payload(&host.payload(), "4.2.0");
        host.install().unwrap_or_else(|error| panic!("{name}: {error}"));
        let stale: Vec<String> = host.picture().into_values().filter(|content| content.contains("4.1.0")).collect();
        assert!(stale.is_empty(), "{name}: of the old version: {stale:?}");
        payload(&host.payload(), "4.1.0");
        host.install().unwrap_or_else(|error| panic!("{name}: {error}"));
        same(&settled(&host), &plain, &format!("{name}: another version there and back"));
        host.set("DEBUG", if debug == "true" { "false" } else { "true" });
        host.set("SHIMS_X86_64", "qemu-snp");
        host.install().unwrap_or_else(|error| panic!("{name}: {error}"));
        host.set("SHIMS_X86_64", "qemu qemu-snp");
        host.install().unwrap_or_else(|error| panic!("{name}: {error}"));
        host.set("DEBUG", &debug);
        host.install().unwrap_or_else(|error| panic!("{name}: {error}"));
        // trees of other selections are other directories; everything else is as if nothing had happened
        same(&settled(&host), &plain, &format!("{name}: debug and shims there and back"));
        let stranger = CONFIG_D_STRANGER;
        let edited = host.edit_configuration(stranger);
        assert!(!edited.is_empty(), "{name}: nothing to edit");
        assert_eq!(host.install().unwrap(), (0, false), "{name}: an edit around our lines is not ours to judge");
        host.remove().unwrap_or_else(|error| panic!("{name}: {error}"));
        let left = host.picture();
        // MicroK8s has a link on the way
        let real: Vec<String> =
            edited.iter().map(|path| path.replace("/microk8s/current/", "/microk8s/8511/")).collect();
        for path in &edited {
            let text = host.host.text(path);
            assert!(
                text.is_some_and(|text| text.contains(stranger) && !text.contains("kata-qemu")),
                "{name}: {path}: {:?}",
                host.host.text(path)
            );
        }
        let rest = |picture: &Picture| -> Picture {
            let kept = |path: &str| real.iter().any(|edited| edited == path || edited.starts_with(&format!("{path}/")));
            let rendered =
                host.still.as_ref().unwrap().spec().layout().config.replace("/microk8s/current/", "/microk8s/8511/");
            picture
                .iter()
                .filter(|(path, _)| !kept(path) && **path != rendered)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        same(&rest(&left), &rest(&first), &name);
    }
}

/// The exact bytes that each row writes to the runtime's configuration and to systemd, by digest; a change shows here first.
#[test]
fn every_row_writes_exactly_what_is_recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/matrix.txt");
    let mut found = String::new();
    for row in rows() {
        let host = row.host();
        host.install().unwrap();
        found.push_str(&format!("{}\n", row.name));
        for (path, digest) in fingerprints(&host) {
            found.push_str(&format!("  {digest} {path}\n"));
        }
    }
    let recorded = std::fs::read_to_string(path).unwrap_or_default();
    if recorded != found && std::env::var_os("HUSK_RECORD").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).unwrap();
        std::fs::write(path, &found).unwrap();
        return;
    }
    let mut wrong = recorded.lines().zip(found.lines()).filter(|(a, b)| a != b);
    assert!(recorded == found, "HUSK_RECORD=1 records anew; first difference: {:?}", wrong.next());
}

/// The rules of other processors.
#[test]
fn every_architecture_takes_its_own_shims() {
    for (arch, machine, variable, shim) in [
        (Arch::Amd64, "x86_64", "SHIMS_X86_64", "qemu-snp"),
        (Arch::Arm64, "aarch64", "SHIMS_AARCH64", "qemu"),
        (Arch::S390x, "s390x", "SHIMS_S390X", "qemu-se"),
        (Arch::Ppc64le, "ppc64le", "SHIMS_PPC64LE", "qemu"),
    ] {
        let mut spec = HostSpec::new("node-1", HostKind::Containerd21);
        spec.arch = arch;
        let mut host = TestHost::of(spec);
        host.arch = machine;
        for other in ["SHIMS_X86_64", "SHIMS_AARCH64", "SHIMS_S390X", "SHIMS_PPC64LE"] {
            host.set(other, "clh");
        }
        host.set(variable, shim);
        assert_eq!(host.host.text("/proc/sys/kernel/arch").unwrap().trim(), machine);
        let first = host.picture();
        host.install().unwrap_or_else(|error| panic!("{machine}: {error}"));
        assert_eq!(host.machine.borrow().handlers, [&format!("kata-{shim}"), "runc"], "{machine}");
        host.remove().unwrap();
        same(&host.picture(), &first, machine);
        host.set(variable, "qemu-tdx");
        assert_eq!(host.install().unwrap_err().code, contract::Code::SHIM_NOT_FOR_ARCHITECTURE, "{machine}");
    }
}
