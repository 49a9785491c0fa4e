//! What simulated runtimes do with their configuration, rule by rule, and where each rule was learnt.
//!
//! The code that follows a rule is in `containerd`, `crio`, `daemon` and `systemd`; this table is for people who wonder
//! whether the simulation may be trusted. Rules name the cases of the integration test that show them; the same cases are put
//! to real daemons (`cargo test -p simhost -- --ignored`, with `HUSK_REAL_CONTAINERD` and `HUSK_REAL_CRIO`).

/// Where a rule was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Seen: the case was put to real daemons of these versions.
    Seen(&'static str),
    /// Read in the source of this version.
    Source(&'static str),
    /// Read in the project's documentation, or told by its users.
    Told(&'static str),
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it applies to.
    pub runtime: &'static str,
    /// What happens.
    pub rule: &'static str,
    /// How we know.
    pub source: Source,
    /// Cases of the integration test that show it.
    pub cases: &'static [&'static str],
}

const fn rule(runtime: &'static str, rule: &'static str, source: Source, cases: &'static [&'static str]) -> Rule {
    Rule { runtime, rule, source, cases }
}

const BOTH: Source = Source::Seen("1.6.20, 1.6.36, 1.7.27, 2.1.9, 2.2.0");

const CRIO: Source = Source::Seen("1.34.0");

/// Every rule.
#[rustfmt::skip]
pub static RULES: &[Rule] = &[
    // The files
    rule("containerd", "text that is not TOML ends the daemon, in the main file and in imports alike", BOTH,
        &["not TOML", "a table twice", "a key twice", "a comma too many", "a broken import", "lines that end as on Windows"]),
    rule("containerd", "a setting of the wrong type ends the daemon; a table of handlers that is none makes 2.x panic", BOTH,
        &["schema as text", "imports that are no list", "handlers that are no table", "a type that is no text", "annotations that are no list", "a root that is no text", "schema as a fraction", "handlers as a list of tables"]),
    rule("containerd", "settings and plugins that it does not know are ignored, with a warning in 2.x", BOTH,
        &["unknown key", "unknown plugin", "unknown key of the CRI"]),
    rule("containerd 1.x", "a plugin whose settings are no table ends the daemon; 2.x minds only those that it knows", BOTH,
        &["an unknown plugin that is no table", "an unknown plugin that is no table, without schema"]),
    rule("containerd", "an import without `*` must exist; one with `*` may match nothing", BOTH,
        &["a missing import", "an import that matches nothing", "an import that is a directory"]),
    rule("containerd", "an import is relative to the importing file; a file is read once, so circles are harmless", BOTH,
        &["imports in a circle", "an import replaces a plugin whole in 1.x"]),
    rule("containerd 1.6.20", "a relative import with `*` is looked for in the daemon's working directory instead", Source::Seen("1.6.20; 1.6.36 no longer does"),
        &["a pattern relative to the file"]),
    rule("containerd", "without a main file the defaults serve, and no drop-in is imported, in 2.2 neither", Source::Source("2.1.9, 2.2.0"), &[]),
    // Schemas
    rule("containerd 1.x", "no `version`, or 1: plugins go by short names, full names are ignored", Source::Seen("1.6.20, 1.6.36, 1.7.27"),
        &["empty", "full plugin name without schema", "short plugin name without schema", "short plugin name without schema, with runc"]),
    rule("containerd 1.x", "schema 2: short names in `plugins` and in `disabled_plugins` end the daemon", Source::Seen("1.6.20, 1.6.36, 1.7.27"),
        &["short plugin name in schema 2", "the CRI disabled by its short name"]),
    rule("containerd 1.x", "schema 3 and above ends the daemon; 1.6.20 and before take it for schema 2", Source::Seen("1.6.20, 1.6.36, 1.7.27"),
        &["schema 3", "schema 4"]),
    rule("containerd 2.x", "schema 4 and above ends the daemon; the last file that names a schema decides for all", Source::Seen("2.1.9, 2.2.0"),
        &["schema 4", "schema 3 with a drop-in of schema 2"]),
    rule("containerd 2.x", "a file of schema 1 has its plugins renamed and nothing more: its handlers are not served", Source::Seen("2.1.9, 2.2.0"),
        &["short plugin name without schema", "full plugin name without schema"]),
    rule("containerd 2.x", "schema 2 is migrated after all files are merged, so a drop-in of schema 3 leaves a main file of schema 2 unmigrated: its handlers are lost", Source::Seen("2.1.9, 2.2.0"),
        &["schema 2 with a drop-in of schema 3 loses its own handlers", "schema 1 imports schema 2"]),
    rule("containerd 2.x", "migrating from 2 to 3, `snapshotter` moves only when handlers are configured too", Source::Seen("2.1.9, 2.2.0"),
        &["an unknown snapshotter", "an unknown snapshotter and a handler"]),
    // Merging
    rule("containerd 1.x", "a later file replaces a plugin's table whole: a drop-in with one handler forgets the others, runc included", Source::Seen("1.6.20, 1.6.36, 1.7.27"),
        &["an import replaces a plugin whole in 1.x", "an import with all that is needed"]),
    rule("containerd 2.x", "tables of plugins merge at any depth, lists and values are replaced; a drop-in needs no `version` when the main file has 3", Source::Seen("2.1.9, 2.2.0"),
        &["an import with all that is needed", "schema 3 with a drop-in of schema 3", "schema 3 with a drop-in without schema"]),
    // The CRI plugin
    rule("containerd 1.x", "configured handlers replace the built-in runc; without runc the default handler is missing and the CRI is off", Source::Seen("1.6.20, 1.6.36, 1.7.27"),
        &["a handler without runc", "a handler with runc", "an inline handler"]),
    rule("containerd 2.x", "configured handlers are added to the built-in runc", Source::Seen("2.1.9, 2.2.0"), &["a handler without runc"]),
    rule("containerd", "a CRI plugin that refuses its settings leaves the daemon running; every CRI call answers Unimplemented", BOTH,
        &["a default handler that is not there", "mirrors and hosts", "an unknown snapshotter and a handler", "a base specification that is missing", "an import with an empty default handler", "an unknown snapshotter in schema 3"]),
    rule("containerd 1.x", "settings that belong into the CRI's `containerd` table count beside it too when there is no such table", Source::Seen("1.6.20, 1.6.36, 1.7.27"),
        &["a snapshotter beside the table that it belongs into"]),
    rule("containerd 2.2", "`registry.config_path` has a default, so `mirrors` alone turn the CRI off", Source::Seen("2.2.0"), &["mirrors alone"]),
    rule("containerd", "a handler's type, snapshotter and paths are not looked at before a pod asks for it", BOTH,
        &["a handler without a type", "a handler with an unknown snapshotter"]),
    rule("containerd 1.6.20", "`runtime_path` is read and not used: a pod's shim is looked for by its type, whose last two words name the program, or which is the path itself", Source::Told("pods on Debian 12, whose containerd is 1.6.20; 1.6.21 uses it"), &[]),
    rule("containerd", "a disabled CRI leaves the daemon running; Docker's package ships it so", BOTH,
        &["the CRI disabled", "the CRI disabled as Docker's package does", "the runtime half of the CRI disabled", "the images half of the CRI disabled", "an import disables the CRI too", "an import takes nothing off a list"]),
    rule("containerd", "a required plugin that is unknown or fails ends the daemon", BOTH,
        &["a required plugin that is unknown", "a required CRI that fails"]),
    rule("containerd", "all host devices for a handler that is not without host devices turn the CRI off; 1.6 does not know the setting", BOTH,
        &["all devices without host devices"]),
    rule("containerd", "a proxied snapshotter need not run; a proxy of unknown type makes the daemon panic", BOTH,
        &["a proxied snapshotter that does not run", "a proxy without address", "a proxy of unknown type"]),
    rule("containerd", "an unknown log level and a time span that is none end the daemon", BOTH, &["an unknown log level", "a time span that is none"]),
    rule("containerd 1.x", "Status lists no handlers; verbose Status shows the configuration", Source::Seen("1.6.20, 1.6.36, 1.7.27"), &[]),
    rule("containerd 2.x", "Status lists the handlers, the default one again under the empty name", Source::Seen("2.1.9, 2.2.0"), &[]),
    rule("containerd 1.x", "for a moment after systemd takes it for started, the CRI answers Unknown, `server is not initialized yet`", Source::Seen("1.6.20"), &[]),
    rule("containerd 1.x", "RuntimeConfig is Unimplemented", Source::Seen("1.6.20, 1.6.36, 1.7.27"), &[]),
    // CRI-O
    rule("CRI-O", "`crio.conf`, then every file below `crio.conf.d` in name order, whatever its suffix, backups and hidden files too; a directory stands by its own name", CRIO,
        &["nothing", "a drop-in", "any suffix", "a backup counts too", "a hidden file", "a file in a directory", "the last by name wins, the bad one", "the last by name wins, the good one", "a directory stands by its own name", "a directory stands by its own name, the other way", "a drop-in over the main file", "a drop-in beside the main file's", "an empty drop-in", "lines of crio.conf that end as on Windows"]),
    rule("CRI-O", "a later file replaces a handler's table whole, all other tables merge by key", CRIO,
        &["a handler is replaced whole", "a backup of an older version wins"]),
    rule("CRI-O", "text that is not TOML, in whatever file of the directory, and a wrong type end the daemon", CRIO,
        &["a broken drop-in", "a broken backup", "crio.conf that is not TOML", "a table twice in crio.conf", "a key twice in crio.conf", "crio that is no table", "a handler that is no table", "a path that is no text", "a type of CRI-O's that is no text", "a switch that is text", "pulling that is text", "allowed annotations that are no list", "a storage option that is no list", "a storage option that is no text"]),
    rule("CRI-O", "unknown settings are ignored, and so are `runtimes` that are no table", CRIO,
        &["unknown keys and tables", "handlers of crio.conf that are no table", "handlers of crio.conf as a list of tables", "an inline handler of crio.conf", "a table of handlers without any"]),
    rule("CRI-O", "an unknown option of the storage and an unknown log level end the daemon", CRIO,
        &["our storage option", "our storage option twice", "an unknown storage option", "a log level that CRI-O does not know", "debug"]),
    rule("CRI-O", "crun is built in and the default; a default handler that is missing or invalid ends the daemon", CRIO,
        &["an empty default handler", "a default handler that crio.conf lacks", "a default handler that is invalid", "a default handler of ours", "a default handler whose drop-in went", "the built-in one made invalid"]),
    rule("CRI-O", "another handler that is invalid is left out with a warning: a path or a runtime_config_path that is not there, a `vm` whose file name has no containerd-shim-NAME-v2 in it, a configuration of what is no `vm`, an unknown type", CRIO,
        &["a path that is not there", "a path that is a directory", "no path, and no program of the name", "no path, and a program of the name", "a machine that is no shim", "a machine whose file name has a shim's within", "a machine whose shim has no name", "a shim that is no machine", "an unknown type", "a type in capitals", "a pod", "a configuration", "a configuration that is not there", "a configuration of what is no machine", "a machine that pulls, without host devices", "a machine's log that is not synced", "a least memory that is none"]),
    rule("CRI-O", "a monitor_path that is not there ends the daemon, if its handler is valid and of type `oci`", CRIO,
        &["a monitor that is not there", "a machine's monitor that is not there", "a monitor of an invalid handler"]),
    rule("CRI-O", "inherit_default_runtime takes over the default handler's program, type and configuration", CRIO, &["the like of the default one"]),
    rule("CRI-O", "each handler's program is called with `--version` and `features` at the start; what it answers decides nothing", Source::Seen("1.34.0, on real nodes"), &[]),
    rule("CRI-O", "a reload (SIGHUP) serves other handlers and leaves the storage as it is; the simulation does not reload", Source::Seen("1.34.0"), &[]),
    rule("CRI-O", "it mounts its storage on itself unless told `overlay.skip_mount_home=true`, leaves a mount that is there, and so hides containers when the setting goes after a boot with it; the simulation mounts nothing", Source::Seen("1.34.0, on real nodes"), &[]),
    rule("CRI-O", "Status lists the handlers, the default one again under the empty name; RuntimeConfig is answered", Source::Seen("1.34.0"), &[]),
    // Distributions
    rule("k3s, RKE2", "`config.toml` is rendered at every start from `config-v3.toml.tmpl`, else from `config.toml.tmpl` (schema 2), else from the built-in base of schema 3", Source::Source("k3s main, 2026"), &[]),
    rule("k3s, RKE2", "the base imports `config-v3.toml.d` or `config.toml.d`; releases with containerd 1.x have one schema and no imports", Source::Told("users of k3s; upstream's installer refuses when the import is missing"), &[]),
    rule("k3s, RKE2, k0s", "the unit is ready only when the CRI answers: a CRI that is off leaves the unit starting for ever", Source::Told("k3s' log line about waiting for containerd"), &[]),
    rule("k0s", "files of `containerd.d` that configure the CRI are merged into /run/k0s/containerd-cri.toml, others are imported; `containerd.toml` is rewritten while it carries the managed mark", Source::Told("k0s' documentation"), &[]),
    rule("MicroK8s", "`containerd.toml` is filled in from `containerd-template.toml` at every start", Source::Told("MicroK8s' documentation"), &[]),
    // systemd
    rule("systemd", "on its private socket it signs what it says with its well-known name, which is no unique name as a bus would give", Source::Source("systemd's dbus.c, sd_bus_set_sender"), &[]),
    rule("systemd", "a failed unit with `Restart=` is `activating (auto-restart)`, not `failed`; `Result` and `ExecMainStatus` tell", Source::Told("systemd's manual"), &[]),
    rule("systemd", "unit files and drop-ins are read again at a reload only; `NeedDaemonReload` tells", Source::Told("systemd's manual"), &[]),
];
