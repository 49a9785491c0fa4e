//! The cluster that a verb works on: a kubeconfig's, or the sandbox.

use crate::cli::{Place, Target};
use crate::error::{Failure, Result};
use crate::fit;
use crate::furnish::furnish;
use crate::rollout::Rollout;
use crate::screen::Screen;
use contract::Code;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use sandbox::{HostSpec, daemon, parse_hosts};
use serde::Serialize;
use serde_json::Value;
use simhost::Manifest;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A cluster, reached.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) sandbox: Option<SandboxPlace>,
}

/// Where a sandbox's things are.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SandboxPlace {
    pub(crate) directory: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

impl SandboxPlace {
    /// Says where to look and how to go on.
    pub(crate) fn hint(&self) -> String {
        let directory = self.directory.display();
        format!(
            "hosts      {directory}/hosts/<name>/root\nkubeconfig {}\nremove     husk down --sandbox",
            self.kubeconfig.display()
        )
    }
}

/// What a removal left on one simulated host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostTrace {
    pub(crate) name: String,
    /// What differs from the host as it was at first; empty when nothing does.
    pub(crate) differences: Vec<String>,
}

/// Returns the directory of the sandbox: the one given, else `husk/sandbox` in the user's state directory.
pub(crate) fn directory(place: &Place) -> Result<PathBuf> {
    if let Some(directory) = &place.sandbox_dir {
        return std::path::absolute(directory).map_err(Failure::plain);
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    let state =
        state.ok_or_else(|| Failure::plain("HOME is not set; say where the sandbox lives with --sandbox-dir"))?;
    Ok(state.join("husk/sandbox"))
}

/// Reaches the cluster of `up` and `plan`; a sandbox is started, shaped after the rollouts when it is new, and given what
/// the objects take for granted.
pub(crate) async fn reach(
    target: &Target,
    objects: &[Value],
    rollouts: &[Rollout],
    screen: &mut Screen,
) -> Result<Cluster> {
    if !target.sandbox {
        return from_kubeconfig(target).await;
    }
    let directory = directory(&target.place)?;
    let hosts = match &target.hosts {
        Some(text) => Some(hosts(text)?),
        None if is_new(&directory)? => Some(fit::hosts(rollouts)),
        None => None,
    };
    let (place, specs) = start(&directory, hosts).await?;
    screen.step("sandbox", &sandbox::describe(&specs));
    let client = client(&place.kubeconfig, None).await?;
    furnish(&client, objects, screen).await?;
    Ok(Cluster { client, sandbox: Some(place) })
}

/// Reaches the cluster of `status` and `down`, which find an installation or nothing.
///
/// A sandbox that was stopped or killed is started again: what is on its hosts can be asked and undone only while it runs.
pub(crate) async fn existing(target: &Target) -> Result<Cluster> {
    if !target.sandbox {
        return from_kubeconfig(target).await;
    }
    let directory = directory(&target.place)?;
    if is_new(&directory)? {
        let message = format!("there is no sandbox in {}; `husk up --sandbox` makes one", directory.display());
        return Err(Failure::new(Code::NO_SANDBOX, message));
    }
    let (place, _) = start(&directory, None).await?;
    Ok(Cluster { client: client(&place.kubeconfig, None).await?, sandbox: Some(place) })
}

impl Cluster {
    /// After a removal: compares the hosts of a sandbox with what they were at first.
    pub(crate) async fn finish(&self, screen: &mut Screen) -> Result<Option<Vec<HostTrace>>> {
        let Some(place) = &self.sandbox else { return Ok(None) };
        let traces = traces(&place.directory)?;
        if traces.iter().all(|trace| trace.differences.is_empty()) {
            screen.step("hosts", &format!("{} hosts are what they were, byte for byte", traces.len()));
        }
        Ok(Some(traces))
    }
}

/// Reads a list of hosts.
pub(crate) fn hosts(text: &str) -> Result<Vec<HostSpec>> {
    parse_hosts(text).map_err(|error| Failure::new(Code::SANDBOX_HOSTS, error.to_string()))
}

fn is_new(directory: &Path) -> Result<bool> {
    let known = sandbox::Options::load(directory).map_err(|error| unusable(directory, &error))?;
    Ok(known.is_none())
}

/// Starts the sandbox of a directory, or finds it running; returns its place and hosts.
pub(crate) async fn start(directory: &Path, hosts: Option<Vec<HostSpec>>) -> Result<(SandboxPlace, Vec<HostSpec>)> {
    let exe = std::env::current_exe().map_err(Failure::plain)?;
    let owned = directory.to_owned();
    let ensure = move || {
        let running = daemon::ensure(&owned, &exe, hosts.clone())?;
        if !running.reused || is_same_program(running.pid, &exe) {
            return Ok(running);
        }
        // Another build of husk started it; its containers would go on being that build.
        daemon::stop(&owned)?;
        daemon::ensure(&owned, &exe, hosts)
    };
    let running =
        tokio::task::spawn_blocking(ensure).await.map_err(Failure::plain)?.map_err(|error| sandbox_failure(&error))?;
    let options = sandbox::Options::load(directory)
        .map_err(|error| unusable(directory, &error))?
        .ok_or_else(|| unusable(directory, &"its options are gone"))?;
    for host in options.hosts.iter().filter(|host| !host.hollow) {
        remember(&directory.join("hosts").join(&host.name))?;
    }
    let place = SandboxPlace { directory: directory.to_owned(), kubeconfig: running.kubeconfig };
    Ok((place, options.hosts))
}

/// Tells whether a process runs this very file; a file that was replaced since is another one.
fn is_same_program(pid: u32, exe: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    let running = identity(Path::new(&format!("/proc/{pid}/exe")));
    running.is_some() && running == identity(exe)
}

/// Translates an error of the sandbox's process.
pub(crate) fn sandbox_failure(error: &daemon::Error) -> Failure {
    let code = match error {
        daemon::Error::OtherHosts { .. } => Code::SANDBOX_HOSTS,
        _ => Code::SANDBOX_UNUSABLE,
    };
    Failure::new(code, error.to_string())
}

fn unusable(directory: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::SANDBOX_UNUSABLE, format!("{}: {why}", directory.display()))
}

const MANIFEST: &str = "manifest.json";

/// Writes down what a host is before anything is installed on it; once.
fn remember(host: &Path) -> Result<()> {
    let file = host.join(MANIFEST);
    if file.exists() {
        return Ok(());
    }
    let fail = |error: &dyn std::fmt::Display| unusable(&file, error);
    let manifest = simhost::manifest::scan(&host.join("root")).map_err(|error| fail(&error))?;
    let text = serde_json::to_string(&manifest).map_err(|error| fail(&error))?;
    let fresh = host.join("manifest.json.new");
    std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &file)).map_err(|error| fail(&error))
}

fn traces(directory: &Path) -> Result<Vec<HostTrace>> {
    let options = sandbox::Options::load(directory).map_err(|error| unusable(directory, &error))?;
    let mut traces = Vec::new();
    for host in options.iter().flat_map(|options| &options.hosts) {
        let place = directory.join("hosts").join(&host.name);
        let fail = |error: &dyn std::fmt::Display| unusable(&place, error);
        let text = std::fs::read_to_string(place.join(MANIFEST)).map_err(|error| fail(&error))?;
        let before: Manifest = serde_json::from_str(&text).map_err(|error| fail(&error))?;
        let now = simhost::manifest::scan(&place.join("root")).map_err(|error| fail(&error))?;
        let differences = before.diff(&now).iter().map(ToString::to_string).collect();
        traces.push(HostTrace { name: host.name.clone(), differences });
    }
    Ok(traces)
}

async fn from_kubeconfig(target: &Target) -> Result<Cluster> {
    let client = match &target.kubeconfig {
        Some(file) => client(file, target.context.clone()).await?,
        None => {
            let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
            let config = match Config::from_kubeconfig(&options).await {
                Ok(config) => config,
                Err(error) => {
                    let message = format!("no cluster: {error}; name one with --kubeconfig, or try `--sandbox`");
                    return Err(Failure::new(Code::CLUSTER_UNREACHABLE, message));
                }
            };
            connect(config)?
        }
    };
    Ok(Cluster { client, sandbox: None })
}

async fn client(kubeconfig: &Path, context: Option<String>) -> Result<Client> {
    let fail = |error: &dyn std::fmt::Display| {
        Failure::new(Code::CLUSTER_UNREACHABLE, format!("{}: {error}", kubeconfig.display()))
    };
    let file = Kubeconfig::read_from(kubeconfig).map_err(|error| fail(&error))?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file, &options).await.map_err(|error| fail(&error))?;
    connect(config)
}

fn connect(mut config: Config) -> Result<Client> {
    // The client takes HTTPS_PROXY for every server; what NO_PROXY excepts, and this machine itself, is reached directly.
    let exceptions = ["NO_PROXY", "no_proxy"].iter().filter_map(|name| std::env::var(name).ok()).collect::<Vec<_>>();
    if config.cluster_url.host().is_some_and(|host| is_direct(host, &exceptions.join(","))) {
        config.proxy_url = None;
    }
    connection::client(config).map_err(api_failure)
}

/// Tells whether a host is reached without a proxy: this machine, or a name or domain that NO_PROXY lists.
fn is_direct(host: &str, exceptions: &str) -> bool {
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    exceptions
        .split(',')
        .map(|entry| entry.trim().trim_start_matches('.'))
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry == "*" || entry == host || host.strip_suffix(entry).is_some_and(|rest| rest.ends_with('.')))
}

/// Translates an error of a request.
pub(crate) fn api_failure(error: kube::Error) -> Failure {
    Failure::new(Code::CLUSTER_UNREACHABLE, error.to_string())
}

/// Translates an error of the release engine.
pub(crate) fn release_failure(error: &release::Error) -> Failure {
    let message = error.to_string();
    // What a chart refuses by itself is about the values, not about the chart.
    let code = if message.starts_with("execution error at") { Code::BAD_VALUES } else { error.code() };
    Failure::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::is_direct;

    #[test]
    fn this_machine_and_what_no_proxy_lists_is_reached_directly() {
        for (host, list, direct) in [
            ("127.0.0.1", "", true),
            ("[::1]", "", true),
            ("localhost", "", true),
            ("api.example.org", "", false),
            ("api.example.org", "x, .example.org", true),
            ("api.example.org", "api.example.org", true),
            ("notexample.org", "example.org", false),
            ("10.0.0.1", "*", true),
        ] {
            assert_eq!(is_direct(host, list), direct, "{host} with {list:?}");
        }
    }
}
