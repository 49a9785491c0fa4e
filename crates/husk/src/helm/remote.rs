//! How repositories and registries are reached: flags, Helm's files, and what is said on the way.

use super::flags::{Flag, Kind, Parsed};
use super::verb::Outcome;
use registry::credentials::Credential;
use registry::download::{self, Provenance};
use registry::http::TlsOptions;
use registry::repository::Access;
use registry::{Notice, Paths, oci};
use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;

/// Certificates, and who is asking.
pub(super) const REMOTE: &[Flag] = &[
    Flag::new("ca-file", Kind::Text),
    Flag::new("cert-file", Kind::Text),
    Flag::new("insecure-skip-tls-verify", Kind::Switch),
    Flag::new("key-file", Kind::Text),
    Flag::new("password", Kind::Text),
    Flag::new("plain-http", Kind::Switch),
    Flag::new("username", Kind::Text),
];

fn filled(parsed: &Parsed, name: &str) -> String {
    parsed.text(name).unwrap_or_default().to_owned()
}

/// Helm's files, as the flags and the environment place them.
pub(super) fn paths(parsed: &Parsed) -> Paths {
    let mut paths = Paths::from_environment(|name| std::env::var_os(name));
    for (flag, path) in [
        ("content-cache", &mut paths.content_cache),
        ("registry-config", &mut paths.registry_config),
        ("repository-cache", &mut paths.repository_cache),
        ("repository-config", &mut paths.repository_config),
    ] {
        if let Some(given) = parsed.text(flag).filter(|text| !text.is_empty()) {
            *path = given.into();
        }
    }
    paths
}

/// The TLS settings of the flags.
pub(super) fn tls(parsed: &Parsed) -> TlsOptions {
    TlsOptions::from_texts(
        &filled(parsed, "cert-file"),
        &filled(parsed, "key-file"),
        &filled(parsed, "ca-file"),
        parsed.on("insecure-skip-tls-verify") || parsed.on("insecure"),
    )
}

/// How registries are talked to.
pub(super) fn registry(parsed: &Parsed) -> oci::Options {
    oci::Options {
        plain_http: parsed.on("plain-http"),
        tls: tls(parsed),
        credential: Credential::basic(filled(parsed, "username"), filled(parsed, "password")),
        ..oci::Options::default()
    }
}

/// How charts are fetched.
pub(super) fn options(parsed: &Parsed) -> download::Options {
    let access = Access {
        url: filled(parsed, "repo"),
        username: filled(parsed, "username"),
        password: filled(parsed, "password"),
        tls: tls(parsed),
        pass_credentials_all: parsed.on("pass-credentials"),
        timeout: None,
    };
    let provenance = match () {
        () if parsed.on("verify") => Provenance::Always,
        () if parsed.on("prov") => Provenance::Later,
        () => Provenance::Never,
    };
    let verifier = parsed.on("verify").then(|| super::provenance::verifier(parsed));
    download::Options { access, registry: registry(parsed), provenance, verifier }
}

/// The version that is wanted; empty means the newest release.
pub(super) fn version(parsed: &Parsed) -> String {
    match filled(parsed, "version") {
        version if version.is_empty() && parsed.on("devel") => ">0.0.0-0".to_owned(),
        version => version,
    }
}

/// Prints what is said on the way as part of the result.
pub(super) fn to_out(notice: Notice) {
    match notice {
        Notice::Line(line) => super::out(&format!("{line}\n")),
        Notice::Log(line) => super::err(&line.to_string()),
    }
}

/// Prints what is said on the way beside the result.
pub(super) fn to_err(notice: Notice) {
    match notice {
        Notice::Line(line) => super::err(&line),
        Notice::Log(line) => super::err(&line.to_string()),
    }
}

/// Does work that waits for others. It has a thread of its own, because some verbs find their chart when they are on the
/// cluster already.
pub(super) fn wait<T: Send>(work: impl AsyncFnOnce() -> registry::Result<T> + Send) -> Result<T, String> {
    let run = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        runtime.block_on(work()).map_err(|error| error.to_string())
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// A password from the standard input, without its line break.
pub(super) fn password_from_stdin() -> Result<String, String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Asks the user for a line, which is not shown when it is secret.
pub(super) fn ask(prompt: &str, secret: bool) -> Result<String, String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    super::out(prompt);
    let stdin = std::io::stdin();
    let mut line = String::new();
    if !secret {
        stdin.lock().read_line(&mut line).map_err(|error| error.to_string())?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    if !stdin.is_terminal() {
        return Err("inappropriate ioctl for device".to_owned());
    }
    let before = tcgetattr(&stdin).map_err(|error| error.to_string())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &silent).map_err(|error| error.to_string())?;
    let read = stdin.lock().read_line(&mut line);
    let restored = tcsetattr(&stdin, OptionalActions::Now, &before);
    super::out("\n");
    read.map_err(|error| error.to_string())?;
    restored.map_err(|error| error.to_string())?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// What is done to the dependencies of a chart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    /// What the lock says.
    Build,
    /// The newest that fits.
    Update,
}

/// Fills the `charts/` of a chart.
pub(super) fn fill(chart: &Path, parsed: &Parsed, fill: Fill, debug: bool, say: fn(Notice)) -> Outcome {
    // Elsewhere the flag `--verify` speaks of the chart itself.
    let verify = !parsed.given("dependency-update");
    let paths = paths(parsed);
    let pack = |chart: &chart::Chart| match chart::package::package(chart, None) {
        Ok(packed) => Ok(packed.data),
        Err(error) => Err(error.to_string()),
    };
    // The repository of the command line is that of the chart itself.
    let mut download = options(parsed);
    download.access.url.clear();
    if fill == Fill::Build && download.provenance == Provenance::Always {
        download.provenance = Provenance::IfPossible;
    }
    if !verify {
        download.provenance = Provenance::Never;
    }
    let manager = registry::dependency::Manager {
        chart,
        paths: &paths,
        download,
        skip_refresh: parsed.on("skip-refresh"),
        debug,
        pack: &pack,
        now: jiff::Zoned::now(),
    };
    wait(async || match fill {
        Fill::Build => manager.build(&mut { say }).await,
        Fill::Update => manager.update(&mut { say }).await,
    })
}
