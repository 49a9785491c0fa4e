//! What the verbs that change a release have in common: their flags, and the engine that does the work.

use super::flags::{Flag, Kind, Parsed, boolean};
use super::settings::Settings;
use super::verb::Outcome;
use release::{Crds, DryRun, Engine, Error, Event, Options, Progress, Status, WaitFor};
use std::time::Duration;

pub(super) const WAIT: &[Flag] = &[Flag::new("timeout", Kind::Duration), Flag::new("wait", Kind::Bare("watcher"))];

pub(super) const WAIT_FOR_JOBS: &[Flag] = &[Flag::new("wait-for-jobs", Kind::Switch)];

/// What another program or the network has to do with a rendering.
pub(super) const OUTSIDE: &[Flag] = &[
    Flag::new("enable-dns", Kind::Switch),
    Flag::new("post-renderer", Kind::Repeat),
    Flag::new("post-renderer-args", Kind::Repeat),
];

pub(super) const APPLY: &[Flag] = &[
    Flag::new("description", Kind::Text),
    Flag::new("dry-run", Kind::Bare("unset")),
    Flag::new("force", Kind::Switch).deprecated("use --force-replace instead"),
    Flag::new("force-conflicts", Kind::Switch),
    Flag::new("force-replace", Kind::Switch),
    Flag::new("no-hooks", Kind::Switch),
    Flag::new("server-side", Kind::Bare("true")),
];

/// What installations and upgrades share.
pub(super) const RENDER: &[Flag] = &[
    Flag::new("atomic", Kind::Switch).deprecated("use --rollback-on-failure instead"),
    Flag::new("create-namespace", Kind::Switch),
    // The server checks every object; there is no other check to switch off.
    Flag::new("disable-openapi-validation", Kind::Switch),
    Flag::new("hide-notes", Kind::Switch),
    Flag::new("hide-secret", Kind::Switch),
    Flag::new("labels", Kind::Pairs).short('l'),
    Flag::new("render-subchart-notes", Kind::Switch),
    Flag::new("rollback-on-failure", Kind::Switch),
    Flag::new("skip-crds", Kind::Switch),
    Flag::new("skip-schema-validation", Kind::Switch),
    Flag::new("take-ownership", Kind::Switch),
];

/// Reads the flags into options of the engine.
pub(super) fn options(parsed: &Parsed) -> Result<Options, String> {
    for replace in ["force-replace", "force"] {
        if parsed.given(replace) && parsed.given("force-conflicts") {
            return Err(format!(
                "if any flags in the group [{replace} force-conflicts] are set none of the others can be; [force-conflicts {replace}] were all set"
            ));
        }
    }
    match parsed.text("server-side") {
        None | Some("auto") => {}
        Some(word) if boolean(word) == Some(true) => {}
        Some("false") => {
            return Err("husk helm applies on the server only: --server-side=false is not supported".to_owned());
        }
        Some(_) => return Err("invalid/unknown release server-side apply method".to_owned()),
    }
    let default = Options::default();
    let wait = match (wait(parsed)?, parsed.on("wait-for-jobs")) {
        (true, true) => WaitFor::ObjectsAndJobs,
        (true, false) => WaitFor::Objects,
        (false, _) => WaitFor::Hooks,
    };
    let history = parsed.number("history-max").or_else(|| super::settings::variable("HELM_MAX_HISTORY")?.parse().ok());
    Ok(Options {
        timeout: parsed.duration("timeout").unwrap_or(Duration::from_secs(300)),
        wait,
        hooks: !parsed.on("no-hooks"),
        force_conflicts: parsed.on("force-conflicts"),
        force_replace: parsed.on("force-replace") || parsed.on("force"),
        take_ownership: parsed.on("take-ownership"),
        create_namespace: parsed.on("create-namespace"),
        crds: if parsed.on("skip-crds") { Crds::Skip } else { Crds::CreateNew },
        description: parsed.text("description").filter(|text| !text.is_empty()).map(str::to_owned),
        labels: parsed.pairs("labels"),
        history_limit: history.map_or(default.history_limit, |limit| usize::try_from(limit).unwrap_or(0)),
        rollback_on_failure: parsed.on("rollback-on-failure") || parsed.on("atomic"),
        cleanup_on_fail: parsed.on("cleanup-on-fail"),
        replace: parsed.on("replace"),
        root_causes: false,
        supersede_on_failed_rollback: true,
        give_up: None,
        ..default
    })
}

/// Reads the flag `--wait`: is more than hooks waited for?
fn wait(parsed: &Parsed) -> Result<bool, String> {
    let deprecated = |word: &str, strategy: &str| {
        super::warn(&format!("--wait={word} is deprecated (boolean value) and can be replaced with --wait={strategy}"))
    };
    match parsed.text("wait") {
        None | Some("hookOnly") => Ok(false),
        // One set of rules says when an object is ready, whatever the strategy.
        Some("watcher" | "legacy") => Ok(true),
        Some("true") => {
            deprecated("true", "watcher");
            Ok(true)
        }
        Some("false") => {
            deprecated("false", "hookOnly");
            Ok(false)
        }
        Some(word) => Err(format!(
            "invalid argument {word:?} for \"--wait\" flag: invalid wait input {word:?}. Valid inputs are watcher, hookOnly, and legacy"
        )),
    }
}

/// Reads the flag `--dry-run`. Rendering alone is always a dry run.
pub(super) fn dry_run(parsed: &Parsed, rendering: bool) -> Result<DryRun, String> {
    let otherwise = if rendering { DryRun::Client } else { DryRun::No };
    let Some(word) = parsed.text("dry-run") else { return Ok(otherwise) };
    let refused = |words: &str| Err(format!("invalid dry-run value ({word:?}). Must be {words}"));
    match (word, boolean(word)) {
        ("client", _) => Ok(DryRun::Client),
        ("server", _) => Ok(DryRun::Server),
        ("unset", _) => {
            super::warn("--dry-run is deprecated and should be replaced with '--dry-run=client'");
            Ok(DryRun::Client)
        }
        ("none", _) | (_, Some(false)) if rendering => refused("\"server\" or \"client\""),
        ("none", _) => Ok(DryRun::No),
        (_, None) => refused("\"none\", \"server\", or \"client\""),
        (word, Some(on)) => {
            let (run, name) = if on { (DryRun::Client, "client") } else { (DryRun::No, "none") };
            super::warn(&format!(
                "boolean '--dry-run={word}' flag is deprecated and must be replaced with '--dry-run={name}'"
            ));
            Ok(run)
        }
    }
}

/// Secrets can be hidden only where nothing is made of the text.
pub(super) fn check_hidden(parsed: &Parsed, dry_run: DryRun) -> Outcome {
    if !parsed.on("hide-secret") || dry_run != DryRun::No {
        return Ok(());
    }
    let text = "hiding Kubernetes secrets requires a dry-run mode";
    let mut log = chart::Log::default();
    log.add(chart::LogLevel::Error, text, Vec::new());
    super::say(&mut log);
    Err(text.to_owned())
}

/// How `getHostByName` finds addresses, if it may.
pub(super) fn resolver(parsed: &Parsed) -> Option<fn(&str) -> Option<String>> {
    fn address(host: &str) -> Option<String> {
        use std::net::ToSocketAddrs as _;
        let addresses: Vec<_> = (host, 0).to_socket_addrs().ok()?.map(|address| address.ip().to_string()).collect();
        // Sprig takes any of them.
        addresses.into_iter().next()
    }
    parsed.on("enable-dns").then_some(address as fn(&str) -> Option<String>)
}

/// Waits for an operation unless the user interrupts it: then says so, as Helm does, and leaves no release pending.
pub(super) async fn interruptible<T>(
    engine: &Engine,
    name: &str,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        done = work => return done,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    super::out(&format!("Release {name} has been cancelled.\n"));
    // An API server that does not answer leaves the record to the next operation.
    let _ = tokio::time::timeout(Duration::from_secs(10), engine.abandon(name)).await;
    Err("context canceled".to_owned())
}

/// Says what to do about a release that an earlier operation left unfinished, when that is why a verb was refused.
pub(super) async fn advise(engine: &Engine, name: &str, error: &Error) {
    if !matches!(error, Error::Busy { .. } | Error::NameInUse | Error::RevisionExists) {
        return;
    }
    let Ok(Some(last)) = engine.storage.last(name).await else { return };
    let status = last.info.status;
    if status.is_pending() || status == Status::Uninstalling {
        let holder = match error {
            Error::Busy { holder: Some(holder), .. } => format!(" by {holder}"),
            _ => String::new(),
        };
        super::warn(&format!(
            "release {name} is {status}{holder}; when nobody works on it any more, `husk recover --release {name} \
             --namespace {}` brings it to its end",
            engine.namespace
        ));
    }
}

/// Runs something on the cluster, in the namespace of the settings.
pub(super) fn on_cluster(settings: &Settings, work: impl AsyncFnOnce(Engine) -> Outcome) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let engine = settings.engine(&settings.namespace()).await?;
        work(engine.with_progress(Progress::new(listen))).await
    })
}

/// Says what Helm says while it works: warnings, and the output of hooks.
fn listen(event: Event) {
    match event {
        Event::Warning { text } => super::warn(&text),
        Event::UpgradeFailed { name, error } => {
            let mut log = chart::Log::default();
            log.add(chart::LogLevel::Warn, "upgrade failed", vec![("name", name), ("error", error)]);
            super::say(&mut log);
        }
        Event::HookLog { text, .. } => super::err(text.trim_end_matches('\n')),
        _ => {}
    }
}
