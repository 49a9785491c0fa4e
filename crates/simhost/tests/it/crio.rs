//! Configurations of CRI-O, and what it makes of each: asked of the simulation here, of a real one in `real_crio`.

use crate::bus::Systemd;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use simhost::{Host, HostKind, HostSpec};
use std::path::Path;

/// The handlers that are served, or nothing when the daemon ends.
pub(crate) type Outcome = Option<Vec<String>>;

/// One configuration: `crio.conf`, and files of `crio.conf.d`. `@D@` stands for a directory with the files of [`FILES`].
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) main: &'static str,
    pub(crate) drop_ins: &'static [(&'static str, &'static str)],
    expected: Option<&'static [&'static str]>,
}

/// Programs and configurations that handlers may name.
pub(crate) const FILES: [&str; 5] =
    ["containerd-shim-kata-v2", "old-containerd-shim-kata-v2.1", "containerd-shim--v2", "kata-runtime", "kata.toml"];

impl Case {
    pub(crate) fn expected(&self) -> Outcome {
        self.expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect())
    }
}

const EXITS: Option<&[&str]> = None;
const CRUN: Option<&[&str]> = Some(&["crun"]);
const KATA: Option<&[&str]> = Some(&["crun", "kata"]);

const fn case(name: &'static str, main: &'static str, expected: Option<&'static [&'static str]>) -> Case {
    Case { name, main, drop_ins: &[], expected }
}

const fn with(
    name: &'static str,
    drop_ins: &'static [(&'static str, &'static str)],
    expected: Option<&'static [&'static str]>,
) -> Case {
    Case { name, main: "", drop_ins, expected }
}

const GOOD: &str = "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim-kata-v2'\nruntime_type = 'vm'\n";
const BAD: &str = "[crio.runtime.runtimes.kata]\nruntime_path = '/nonexistent'\n";
const TYPE_ONLY: &str = "[crio.runtime.runtimes.kata]\nruntime_type = 'vm'\n";

/// Every case; put to CRI-O 1.34.0.
#[rustfmt::skip]
pub(crate) static CASES: &[Case] = &[
    case("nothing", "", CRUN),
    // Files
    with("a drop-in", &[("99-kata.conf", GOOD)], KATA),
    with("any suffix", &[("99-kata", GOOD)], KATA),
    with("a backup counts too", &[("99-kata.conf.bak", GOOD)], KATA),
    with("a hidden file", &[(".99-kata.swp", GOOD)], KATA),
    with("a file in a directory", &[("99.d/kata/x", GOOD)], KATA),
    with("the last by name wins, the bad one", &[("10-a", GOOD), ("20-b", BAD)], CRUN),
    with("the last by name wins, the good one", &[("10-a", BAD), ("20-b", GOOD)], KATA),
    with("a directory stands by its own name", &[("10/z", BAD), ("10.conf", GOOD)], KATA),
    with("a directory stands by its own name, the other way", &[("10/z", GOOD), ("10.conf", BAD)], CRUN),
    with("a handler is replaced whole", &[("10-a", GOOD), ("20-b", TYPE_ONLY)], CRUN),
    with("a backup of an older version wins", &[("99-kata", GOOD), ("99-kata.bak", BAD)], CRUN),
    Case { main: GOOD, ..with("a drop-in over the main file", &[("99", BAD)], CRUN) },
    Case { main: GOOD, ..with("a drop-in beside the main file's", &[("99", "[crio.runtime.runtimes.other]\nruntime_path = '@D@/kata-runtime'\n")], Some(&["crun", "kata", "other"])) },
    with("a broken drop-in", &[("99-kata", "[crio")], EXITS),
    with("a broken backup", &[("99-kata", GOOD), ("README", "Put files here.\n")], EXITS),
    with("an empty drop-in", &[("99-kata", "")], CRUN),
    // Text
    case("crio.conf that is not TOML", "[crio", EXITS),
    case("a table twice in crio.conf", "[crio.runtime]\n[crio.runtime]\n", EXITS),
    case("a key twice in crio.conf", "[crio.runtime]\nlog_level = 'info'\nlog_level = 'info'\n", EXITS),
    case("unknown keys and tables", "x = 1\n[frob]\ny = 2\n[crio]\nz = 3\n[crio.runtime]\nfrob = true\n[crio.frob]\n", CRUN),
    case("lines of crio.conf that end as on Windows", "[crio.runtime.runtimes.kata]\r\nruntime_path = '@D@/containerd-shim-kata-v2'\r\nruntime_type = 'vm'\r\n", KATA),
    case("an inline handler of crio.conf", "[crio.runtime.runtimes]\nkata = {runtime_path = '@D@/containerd-shim-kata-v2', runtime_type = 'vm'}\n", KATA),
    case("a table of handlers without any", "[crio.runtime.runtimes]\n", CRUN),
    // Types
    case("crio that is no table", "crio = 1\n", EXITS),
    case("handlers of crio.conf that are no table", "[crio.runtime]\nruntimes = 1\n", CRUN),
    case("handlers of crio.conf as a list of tables", "[[crio.runtime.runtimes]]\nruntime_type = 'vm'\n", CRUN),
    case("a handler that is no table", "[crio.runtime.runtimes]\nkata = 'x'\n", EXITS),
    case("a path that is no text", "[crio.runtime.runtimes.kata]\nruntime_path = 7\n", EXITS),
    case("a type of CRI-O's that is no text", "[crio.runtime.runtimes.kata]\nruntime_type = true\n", EXITS),
    case("a switch that is text", "[crio.runtime.runtimes.kata]\nprivileged_without_host_devices = 'true'\n", EXITS),
    case("pulling that is text", "[crio.runtime.runtimes.kata]\nruntime_pull_image = 'true'\n", EXITS),
    case("allowed annotations that are no list", "[crio.runtime.runtimes.kata]\nallowed_annotations = 'x'\n", EXITS),
    case("a storage option that is no list", "[crio]\nstorage_option = 'x'\n", EXITS),
    case("a storage option that is no text", "[crio]\nstorage_option = [1]\n", EXITS),
    // Settings
    case("our storage option", "[crio]\nstorage_option = ['overlay.skip_mount_home=true']\n", CRUN),
    with("our storage option twice", &[("10", "[crio]\nstorage_option = ['overlay.skip_mount_home=true']\n"), ("20", "[crio]\nstorage_option = ['overlay.skip_mount_home=true']\n")], CRUN),
    case("an unknown storage option", "[crio]\nstorage_option = ['overlay.frob=1']\n", EXITS),
    case("a log level that CRI-O does not know", "[crio.runtime]\nlog_level = 'loud'\n", EXITS),
    case("debug", "[crio.runtime]\nlog_level = 'debug'\n", CRUN),
    case("an empty default handler", "[crio.runtime]\ndefault_runtime = ''\n", CRUN),
    case("a default handler that crio.conf lacks", "[crio.runtime]\ndefault_runtime = 'nope'\n", EXITS),
    case("a default handler that is invalid", "[crio.runtime]\ndefault_runtime = 'kata'\n[crio.runtime.runtimes.kata]\nruntime_path = '/nonexistent'\n", EXITS),
    case("a default handler of ours", "[crio.runtime]\ndefault_runtime = 'kata'\n[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim-kata-v2'\nruntime_type = 'vm'\n", KATA),
    with("a default handler whose drop-in went", &[("10", "[crio.runtime]\ndefault_runtime = 'kata'\n")], EXITS),
    case("the built-in one made invalid", "[crio.runtime.runtimes.crun]\nruntime_path = '/nonexistent'\n", EXITS),
    // Handlers
    case("a path that is not there", "[crio.runtime.runtimes.kata]\nruntime_path = '/nonexistent/containerd-shim-kata-v2'\nruntime_type = 'vm'\n", CRUN),
    case("a path that is a directory", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@'\n", KATA),
    case("no path, and no program of the name", "[crio.runtime.runtimes.kata]\nruntime_type = 'oci'\n", CRUN),
    case("no path, and a program of the name", "[crio.runtime.runtimes.runc]\nruntime_type = 'oci'\n", Some(&["crun", "runc"])),
    case("a machine that is no shim", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/kata-runtime'\nruntime_type = 'vm'\n", CRUN),
    case("a machine whose file name has a shim's within", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/old-containerd-shim-kata-v2.1'\nruntime_type = 'vm'\n", KATA),
    case("a machine whose shim has no name", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim--v2'\nruntime_type = 'vm'\n", CRUN),
    case("a shim that is no machine", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim-kata-v2'\n", KATA),
    case("an unknown type", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/kata-runtime'\nruntime_type = 'frob'\n", CRUN),
    case("a type in capitals", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim-kata-v2'\nruntime_type = 'VM'\n", CRUN),
    case("a pod", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/kata-runtime'\nruntime_type = 'pod'\n", KATA),
    case("a configuration", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim-kata-v2'\nruntime_type = 'vm'\nruntime_config_path = '@D@/kata.toml'\n", KATA),
    case("a configuration that is not there", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim-kata-v2'\nruntime_type = 'vm'\nruntime_config_path = '/nonexistent'\n", CRUN),
    case("a configuration of what is no machine", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/kata-runtime'\nruntime_type = 'oci'\nruntime_config_path = '@D@/kata.toml'\n", CRUN),
    case("a machine that pulls, without host devices", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim-kata-v2'\nruntime_type = 'vm'\nruntime_root = '/run/vc'\nprivileged_without_host_devices = true\nruntime_pull_image = true\n", KATA),
    case("a monitor that is not there", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/kata-runtime'\nmonitor_path = '/nonexistent'\n", EXITS),
    case("a machine's monitor that is not there", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim-kata-v2'\nruntime_type = 'vm'\nmonitor_path = '/nonexistent'\n", KATA),
    case("a monitor of an invalid handler", "[crio.runtime.runtimes.kata]\nruntime_path = '/nonexistent'\nmonitor_path = '/nonexistent'\n", CRUN),
    case("the like of the default one", "[crio.runtime.runtimes.kata]\ninherit_default_runtime = true\n", KATA),
    case("a machine's log that is not synced", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/containerd-shim-kata-v2'\nruntime_type = 'vm'\nno_sync_log = true\n", CRUN),
    case("a least memory that is none", "[crio.runtime.runtimes.kata]\nruntime_path = '@D@/kata-runtime'\ncontainer_min_memory = 'much'\n", KATA),
];

/// A main file and two drop-ins, made of pieces that interact.
fn configurations() -> impl Strategy<Value = [String; 3]> {
    let path = prop_oneof![
        4 => Just("runtime_path = '@D@/containerd-shim-kata-v2'\n"),
        2 => Just("runtime_path = '@D@/kata-runtime'\n"),
        1 => Just("runtime_path = '/nonexistent'\n"),
        1 => Just(""),
    ];
    let kind = prop_oneof![4 => Just("runtime_type = 'vm'\n"), 1 => Just("runtime_type = 'oci'\n"), 1 => Just(""), 1 => Just("runtime_type = 'x'\n")];
    let more = prop_oneof![
        4 => Just(""),
        1 => Just("runtime_config_path = '@D@/kata.toml'\n"),
        1 => Just("runtime_config_path = '/nonexistent'\n"),
        1 => Just("inherit_default_runtime = true\n"),
        1 => Just("monitor_path = '/nonexistent'\n"),
    ];
    let name = prop_oneof![3 => Just("a"), 3 => Just("b"), 1 => Just("runc"), 1 => Just("crun")];
    let handlers = prop::collection::btree_map(name, (path, kind, more), 0..3);
    let default = prop_oneof![6 => Just(""), 1 => Just("default_runtime = 'a'\n"), 1 => Just("default_runtime = 'runc'\n"), 1 => Just("default_runtime = ''\n")];
    let file = (default, handlers).prop_map(|(default, handlers)| {
        let tables = handlers
            .into_iter()
            .map(|(name, (path, kind, more))| format!("[crio.runtime.runtimes.{name}]\n{path}{kind}{more}"));
        format!("[crio.runtime]\n{default}{}", tables.collect::<String>())
    });
    prop::array::uniform3(file)
}

/// Configurations at random, the same ones in each run.
pub(crate) fn at_random(count: usize) -> Vec<[String; 3]> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| configurations().new_tree(&mut runner).unwrap().current()).collect()
}

/// Writes a configuration below `directory`, which is `crio.conf` and `crio.conf.d`; handlers' files are in `files`.
pub(crate) fn write(directory: &Path, files: &str, main: &str, drop_ins: &[(&str, &str)]) {
    let below = directory.join("crio.conf.d");
    let _ = std::fs::remove_dir_all(&below);
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(directory.join("crio.conf"), main.replace("@D@", files)).unwrap();
    for (name, text) in drop_ins {
        let path = below.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("@D@", files)).unwrap();
    }
}

/// A simulated host with the files that handlers may name.
pub(crate) struct Simulated {
    host: Host,
    systemd: Systemd,
}

impl Simulated {
    pub(crate) async fn start(directory: &Path) -> Simulated {
        let host = Host::start(HostSpec::new("node-1", HostKind::Crio), directory).await.unwrap();
        let place = host.path("/opt/case");
        std::fs::create_dir_all(&place).unwrap();
        for name in FILES {
            std::fs::write(place.join(name), "").unwrap();
        }
        let systemd = Systemd::connect(&host).await;
        Simulated { host, systemd }
    }

    pub(crate) fn path(&self, path: &str) -> std::path::PathBuf {
        self.host.path(path)
    }

    pub(crate) async fn ask(&self, main: &str, drop_ins: &[(&str, &str)]) -> Outcome {
        write(&self.host.path("/etc/crio"), "/opt/case", main, drop_ins);
        (self.systemd.restart("crio.service").await == "done").then(|| self.host.runtime().handlers)
    }
}

#[tokio::test]
async fn crio_serves_what_is_valid_and_ends_for_the_rest() {
    let directory = crate::bus::disk();
    let host = Simulated::start(directory.path()).await;
    let mut wrong = Vec::new();
    for case in CASES {
        let (found, expected) = (host.ask(case.main, case.drop_ins).await, case.expected());
        if found != expected {
            wrong.push(format!("{}: {found:?}, not {expected:?}: {}", case.name, host.host.runtime().message));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
