//! Configurations, and what containerd makes of each: asked of the simulation here, of real ones in `real_containerd`.

use crate::bus::{Systemd, start};
use simhost::{Host, HostKind, HostSpec};

/// What a start ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The daemon ends with an error.
    Exits,
    /// The daemon runs, the CRI answers `Unimplemented`.
    NoCri,
    /// The CRI serves these handlers.
    Serves(Vec<String>),
}

/// One configuration. `@D@` stands for its directory, where the drop-in is `extra.toml`.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) config: &'static str,
    pub(crate) drop_in: &'static str,
    old: Expected,
    /// 1.6.20, where it differs from later 1.x.
    lenient: Option<Expected>,
    /// All of 1.6, where it differs from 1.7.
    six: Option<Expected>,
    new: Expected,
    /// 2.2, where it differs from earlier 2.x.
    two_two: Option<Expected>,
}

type Expected = Result<&'static [&'static str], bool>;

const EXITS: Expected = Err(true);
const NO_CRI: Expected = Err(false);
const RUNC: Expected = Ok(&["runc"]);
const WITH_A: Expected = Ok(&["a", "runc"]);

impl Case {
    /// What is expected of a version such as `1.6.20`.
    pub(crate) fn expected(&self, version: &str) -> Outcome {
        let expected = match version {
            version if version.starts_with("2.2.") => self.two_two.unwrap_or(self.new),
            version if version.starts_with("2.") => self.new,
            version if version.starts_with("1.6.20") => self.lenient.or(self.six).unwrap_or(self.old),
            version if version.starts_with("1.6.") => self.six.unwrap_or(self.old),
            _ => self.old,
        };
        match expected {
            Err(true) => Outcome::Exits,
            Err(false) => Outcome::NoCri,
            Ok(handlers) => Outcome::Serves(handlers.iter().map(|name| (*name).to_owned()).collect()),
        }
    }
}

const fn case(name: &'static str, config: &'static str, old: Expected, new: Expected) -> Case {
    Case { name, config, drop_in: "", old, lenient: None, six: None, new, two_two: None }
}

const fn with(name: &'static str, config: &'static str, drop_in: &'static str, old: Expected, new: Expected) -> Case {
    Case { name, config, drop_in, old, lenient: None, six: None, new, two_two: None }
}

/// Every case; put to containerd 1.6.20, 1.6.36, 1.7.27, 2.1.9 and 2.2.0.
#[rustfmt::skip]
pub(crate) static CASES: &[Case] = &[
    case("not TOML", "version = 2\n[plugins", EXITS, EXITS),
    case("a table twice", "version = 2\n[plugins.'io.containerd.grpc.v1.cri']\n[plugins.'io.containerd.grpc.v1.cri']", EXITS, EXITS),
    case("a key twice", "version = 2\nversion = 2", EXITS, EXITS),
    case("a comma too many", "version = 2\nimports = [, '/x']", EXITS, EXITS),
    Case { lenient: Some(RUNC), ..case("schema 3", "version = 3", EXITS, RUNC) },
    Case { lenient: Some(RUNC), ..case("schema 4", "version = 4", EXITS, EXITS) },
    case("schema as text", "version = '2'", EXITS, EXITS),
    case("empty", "", RUNC, RUNC),
    case("unknown key", "version = 2\nfrobnicate = true", RUNC, RUNC),
    case("unknown plugin", "version = 2\n[plugins.'io.containerd.foo.v1.bar']\nx = 1", RUNC, RUNC),
    case("an unknown plugin that is no table", "version = 2\n[plugins]\na = 1", EXITS, RUNC),
    case("an unknown plugin that is no table, without schema", "[plugins]\na = 1", EXITS, RUNC),
    case("unknown key of the CRI", "version = 2\n[plugins.'io.containerd.grpc.v1.cri']\nx = 1", RUNC, RUNC),
    case("short plugin name in schema 2", "version = 2\n[plugins.cri.containerd.runtimes.a]\nruntime_type = 'x'", EXITS, RUNC),
    case("full plugin name without schema", "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'", RUNC, RUNC),
    case("short plugin name without schema", "[plugins.cri.containerd.runtimes.a]\nruntime_type = 'x'", NO_CRI, RUNC),
    case("short plugin name without schema, with runc", "[plugins.cri.containerd.runtimes.a]\nruntime_type = 'x'\n[plugins.cri.containerd.runtimes.runc]\nruntime_type = 'x'", WITH_A, RUNC),
    case("a handler without runc", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'", NO_CRI, WITH_A),
    case("a handler with runc", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'", WITH_A, WITH_A),
    case("a handler without a type", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_path = '/x'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'", WITH_A, WITH_A),
    case("a handler with an unknown snapshotter", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'\nsnapshotter = 'nope'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'", WITH_A, WITH_A),
    case("handlers that are no table", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\nruntimes = 1", EXITS, EXITS),
    case("a type that is no text", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 7", EXITS, EXITS),
    case("annotations that are no list", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'\npod_annotations = 'y'", EXITS, EXITS),
    case("a default handler that is not there", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name = 'nope'", NO_CRI, NO_CRI),
    case("an unknown snapshotter", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\nsnapshotter = 'nope'", NO_CRI, RUNC),
    case("an unknown snapshotter and a handler", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\nsnapshotter = 'nope'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'", NO_CRI, NO_CRI),
    case("a proxied snapshotter that does not run", "version = 2\n[proxy_plugins.nydus]\ntype = 'snapshot'\naddress = '/nonexistent.sock'\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\nsnapshotter = 'nydus'", RUNC, RUNC),
    case("a proxy without address", "version = 2\n[proxy_plugins.nydus]\ntype = 'snapshot'", RUNC, RUNC),
    case("a proxy of unknown type", "version = 2\n[proxy_plugins.nydus]\ntype = 'frob'\naddress = '/x.sock'", EXITS, EXITS),
    case("the CRI disabled", "version = 2\ndisabled_plugins = ['io.containerd.grpc.v1.cri']", NO_CRI, NO_CRI),
    case("the CRI disabled by its short name", "version = 2\ndisabled_plugins = ['cri']", EXITS, EXITS),
    case("the CRI disabled as Docker's package does", "disabled_plugins = ['cri']", NO_CRI, NO_CRI),
    case("mirrors and hosts", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = '/x'\n[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'docker.io']\nendpoint = ['https://x']", NO_CRI, NO_CRI),
    case("a required plugin that is unknown", "version = 2\nrequired_plugins = ['io.containerd.grpc.v1.nope']", EXITS, EXITS),
    case("a required CRI that fails", "version = 2\nrequired_plugins = ['io.containerd.grpc.v1.cri']\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name = 'nope'", EXITS, EXITS),
    case("an unknown log level", "version = 2\n[debug]\nlevel = 'loud'", EXITS, EXITS),
    case("a missing import", "version = 2\nimports = ['/nonexistent/x.toml']", EXITS, EXITS),
    case("an import that matches nothing", "version = 2\nimports = ['/nonexistent/*.toml']", RUNC, RUNC),
    case("imports that are no list", "version = 2\nimports = '/x'", EXITS, EXITS),
    with("a broken import", "version = 2\nimports = ['@D@/extra.toml']", "[plugins", EXITS, EXITS),
    with("an import replaces a plugin whole in 1.x", "version = 2\nimports = ['extra.toml']\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.main]\nruntime_type = 'x'", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'", NO_CRI, Ok(&["a", "main", "runc"])),
    with("an import with all that is needed", "version = 2\nimports = ['extra.toml']\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.main]\nruntime_type = 'x'", "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'", WITH_A, Ok(&["a", "main", "runc"])),
    Case { lenient: Some(RUNC), ..with("a pattern relative to the file", "version = 2\nimports = ['ext*.toml']", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'", WITH_A, WITH_A) },
    with("imports in a circle", "version = 2\nimports = ['extra.toml']", "version = 2\nimports = ['config.toml']", RUNC, RUNC),
    with("schema 1 imports schema 2", "imports = ['@D@/extra.toml']\n[plugins.cri.containerd.runtimes.main]\nruntime_type = 'x'", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'", EXITS, Ok(&["a", "main", "runc"])),
    Case { lenient: Some(RUNC), ..with("schema 3 with a drop-in of schema 3", "version = 3\nimports = ['@D@/extra.toml']", "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.a]\nruntime_type = 'x'", EXITS, WITH_A) },
    Case { lenient: Some(RUNC), ..with("schema 3 with a drop-in without schema", "version = 3\nimports = ['@D@/extra.toml']", "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.a]\nruntime_type = 'x'", EXITS, WITH_A) },
    Case { lenient: Some(Ok(&["main", "runc"])), ..with("schema 2 with a drop-in of schema 3 loses its own handlers", "version = 2\nimports = ['@D@/extra.toml']\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.main]\nruntime_type = 'x'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'", "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.a]\nruntime_type = 'x'", EXITS, WITH_A) },
    with("schema 3 with a drop-in of schema 2", "version = 3\nimports = ['@D@/extra.toml']\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.main]\nruntime_type = 'x'", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'", WITH_A, Ok(&["main", "runc"])),
    case("a base specification that is missing", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'\nbase_runtime_spec = '/nonexistent.json'", NO_CRI, NO_CRI),
    Case { six: Some(RUNC), ..case("all devices without host devices", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'x'\nprivileged_without_host_devices_all_devices_allowed = true", NO_CRI, NO_CRI) },
    case("a time span that is none", "version = 2\n[timeouts]\n'io.containerd.timeout.shim.cleanup' = 'soon'", EXITS, EXITS),
    Case { lenient: Some(RUNC), ..case("the runtime half of the CRI disabled", "version = 3\ndisabled_plugins = ['io.containerd.cri.v1.runtime']", EXITS, NO_CRI) },
    Case { lenient: Some(RUNC), ..case("the images half of the CRI disabled", "version = 3\ndisabled_plugins = ['io.containerd.cri.v1.images']", EXITS, NO_CRI) },
    Case { lenient: Some(RUNC), ..case("an unknown snapshotter in schema 3", "version = 3\n[plugins.'io.containerd.cri.v1.images']\nsnapshotter = 'nope'", EXITS, NO_CRI) },
    case("a root that is no text", "version = 2\nroot = 7", EXITS, EXITS),
    case("schema as a fraction", "version = 2.0", EXITS, EXITS),
    case("an import that is a directory", "version = 2\nimports = ['@D@']", EXITS, EXITS),
    case("lines that end as on Windows", "version = 2\r\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\r\nruntime_type = 'x'\r\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\r\nruntime_type = 'x'\r\n", WITH_A, WITH_A),
    case("an inline handler", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes]\na = {runtime_type = 'x'}\nrunc = {runtime_type = 'x'}", WITH_A, WITH_A),
    case("handlers as a list of tables", "version = 2\n[[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes]]\nruntime_type = 'x'", EXITS, EXITS),
    case("a snapshotter beside the table that it belongs into", "version = 2\n[plugins.'io.containerd.grpc.v1.cri']\nsnapshotter = 'nope'", NO_CRI, RUNC),
    Case { lenient: Some(RUNC), two_two: Some(NO_CRI), ..case("mirrors alone", "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'docker.io']\nendpoint = ['https://x']", EXITS, RUNC) },
    with("an import disables the CRI too", "version = 2\nimports = ['extra.toml']\ndisabled_plugins = ['io.containerd.snapshotter.v1.zfs']", "version = 2\ndisabled_plugins = ['io.containerd.grpc.v1.cri']", NO_CRI, NO_CRI),
    with("an import takes nothing off a list", "version = 2\nimports = ['extra.toml']\ndisabled_plugins = ['io.containerd.grpc.v1.cri']", "version = 2\ndisabled_plugins = []", NO_CRI, NO_CRI),
    with("an import with an empty default handler", "version = 2\nimports = ['extra.toml']\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name = 'a'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.a]\nruntime_type = 'x'", "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndefault_runtime_name = ''", NO_CRI, NO_CRI),
];

/// Asks a simulated host.
pub(crate) async fn outcome(host: &Host, systemd: &Systemd, config: &str, drop_in: &str) -> Outcome {
    let at = |name: &str| host.path(&format!("/etc/containerd/{name}"));
    std::fs::write(at("config.toml"), config.replace("@D@", "/etc/containerd")).unwrap();
    std::fs::write(at("extra.toml"), drop_in).unwrap();
    let result = systemd.restart("containerd.service").await;
    let status = host.runtime();
    match (result.as_str(), status.ready) {
        ("done", true) => Outcome::Serves(status.handlers),
        ("done", false) => Outcome::NoCri,
        _ => Outcome::Exits,
    }
}

async fn all_cases(version: &str, kind: HostKind) {
    let directory = crate::bus::disk();
    let mut spec = HostSpec::new("node-1", kind);
    spec.runtime_version = Some(version.to_owned());
    let host = Host::start(spec, directory.path()).await.unwrap();
    let systemd = Systemd::connect(&host).await;
    let mut wrong = Vec::new();
    for case in CASES {
        let (found, expected) = (outcome(&host, &systemd, case.config, case.drop_in).await, case.expected(version));
        if found != expected {
            wrong.push(format!("{}: {found:?}, not {expected:?}", case.name));
        }
    }
    let log = host.journal("containerd.service").join("\n");
    assert!(wrong.is_empty(), "containerd {version}:\n{}\n{log}", wrong.join("\n"));
}

#[tokio::test]
async fn containerd_1_6_20_is_lenient() {
    all_cases("1.6.20", HostKind::Containerd16).await;
}

#[tokio::test]
async fn later_containerd_1_6_is_strict() {
    all_cases("1.6.36", HostKind::Containerd16).await;
}

#[tokio::test]
async fn containerd_1_7_is_strict() {
    all_cases("1.7.27", HostKind::Containerd17).await;
}

#[tokio::test]
async fn containerd_2_1_merges_and_migrates() {
    all_cases("2.1.9", HostKind::Containerd21).await;
}

#[tokio::test]
async fn containerd_2_2_has_directories_of_hosts() {
    all_cases("2.2.0", HostKind::Containerd22).await;
}

#[tokio::test]
async fn a_failed_start_leaves_the_daemons_words_and_is_tried_again() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd17, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    let good = std::fs::read(host.path("/etc/containerd/config.toml")).unwrap();
    std::fs::write(host.path("/etc/containerd/config.toml"), "version = 2\n[plugins").unwrap();
    assert_eq!(systemd.restart("containerd.service").await, "failed");
    // The unit says Restart=always, so systemd shows a restart that is due, not a failure.
    assert_eq!(systemd.active("containerd.service").await, "activating");
    assert_eq!(systemd.property::<String>("containerd.service", "Unit", "SubState").await, "auto-restart");
    assert_eq!(systemd.property::<String>("containerd.service", "Service", "Result").await, "exit-code");
    assert_eq!(systemd.property::<i32>("containerd.service", "Service", "ExecMainStatus").await, 1);
    let status = host.runtime();
    assert!(!status.ready && status.handlers.is_empty());
    assert!(
        status.message.starts_with("containerd: failed to load TOML: /etc/containerd/config.toml: (2, "),
        "{}",
        status.message
    );
    assert!(host.journal("containerd.service").contains(&status.message));
    assert!(!host.path("/run/containerd/containerd.sock").exists());

    std::fs::write(host.path("/etc/containerd/config.toml"), good).unwrap();
    assert_eq!(systemd.restart("containerd.service").await, "done");
    assert_eq!(systemd.active("containerd.service").await, "active");
    assert_eq!(systemd.property::<String>("containerd.service", "Service", "Result").await, "success");
    assert!(host.runtime().ready);
}

#[test]
fn every_case_shows_a_rule_and_every_rule_has_its_cases() {
    let shown: Vec<_> = simhost::rules::RULES.iter().flat_map(|rule| rule.cases).copied().collect();
    let names = names();
    for name in &names {
        assert!(shown.contains(name), "no rule names the case `{name}`");
    }
    for name in shown {
        assert!(names.contains(&name), "there is no case `{name}`");
    }
}

/// Of containerd's cases, then of CRI-O's.
fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).chain(crate::crio::CASES.iter().map(|case| case.name)).collect()
}

#[test]
fn names_of_cases_are_unique() {
    let mut names = names();
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
}
