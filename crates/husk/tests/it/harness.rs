//! A sandbox of a test's own, and the binary in it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A place for one sandbox; everything of it is stopped and deleted at the end.
pub(crate) struct Place {
    directory: TempDir,
}

/// What a call printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { directory: tempfile::Builder::new().prefix("husk-it-").tempdir().unwrap() }
    }

    /// The sandbox's directory.
    pub(crate) fn sandbox(&self) -> PathBuf {
        self.directory.path().join("sandbox")
    }

    /// A file with this content.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The binary, ready to be called, in an environment of its own.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_husk"));
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.directory.path());
        command.env("HUSK_SANDBOX_DIR", self.sandbox());
        command.current_dir(self.directory.path());
        command
    }

    /// The umbrella chart with its dependency where `husk helm` wants it.
    pub(crate) fn umbrella(&self) -> String {
        let copy = self.directory.path().join("umbrella");
        let copied = Command::new("cp").arg("-r").arg(chart("confidential-containers")).arg(&copy).status().unwrap();
        assert!(copied.success());
        let _ = std::fs::remove_dir_all(copy.join("charts"));
        std::fs::create_dir(copy.join("charts")).unwrap();
        let below = Command::new("cp").arg("-r").arg(chart("kata-deploy")).arg(copy.join("charts")).status().unwrap();
        assert!(below.success());
        copy.to_string_lossy().into_owned()
    }

    /// Calls the binary.
    pub(crate) fn husk(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.command().args(arguments).output().unwrap())
    }

    /// Calls the binary and expects success.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.husk(arguments);
        assert_eq!(ended.code, Some(0), "husk {}: {ended}\n{}", arguments.join(" "), self.logs());
        ended.out
    }

    /// Calls the binary with `-o json` and expects success.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// The root of a simulated host.
    pub(crate) fn host(&self, name: &str) -> PathBuf {
        self.sandbox().join("hosts").join(name).join("root")
    }

    /// The names of the simulated hosts, of which there are some.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let names = self.existing_hosts();
        assert!(!names.is_empty(), "there are no hosts");
        names
    }

    /// The names of the simulated hosts; before there is a sandbox there are none.
    pub(crate) fn existing_hosts(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.sandbox().join("hosts"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// What the sandbox is to do wrong from now on.
    pub(crate) fn inject(&self, faults: &str) {
        std::fs::write(self.sandbox().join("faults.json"), faults).unwrap();
    }

    /// A path of the sandbox's API, asked for as its administrator; `APPLY` is a server-side apply. Returns the status and the
    /// answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let kubeconfig = kube::config::Kubeconfig::read_from(self.sandbox().join("kubeconfig")).unwrap();
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
            config.proxy_url = None;
            let client = kube::Client::try_from(config).unwrap();
            let (method, kind) = match method {
                "APPLY" => ("PATCH", "application/apply-patch+yaml"),
                "PATCH" => ("PATCH", "application/merge-patch+json"),
                other => (other, "application/json"),
            };
            let path =
                if kind.contains("apply") { format!("{path}?fieldManager=test&force=true") } else { path.to_owned() };
            let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            let request = http::Request::builder().method(method).uri(&path).header("Content-Type", kind);
            match client.request::<Value>(request.body(body).unwrap()).await {
                Ok(answer) => (200, answer),
                Err(kube::Error::Api(status)) => (status.code, Value::Null),
                Err(error) => panic!("{method} {path}: {error}"),
            }
        })
    }

    /// The ends of the sandbox's logs, for failure messages.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(self.sandbox().join("logs")).into_iter().flatten().flatten() {
            if let Ok(log) = std::fs::read_to_string(entry.path()) {
                let tail: Vec<&str> = log.lines().rev().take(20).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                text.push_str(&format!("--- {}\n{}\n", entry.path().display(), tail.join("\n")));
            }
        }
        text
    }

    /// Kills every process that belongs to this place, as a power cut would.
    pub(crate) fn kill_everything(&self) -> usize {
        let mark = self.directory.path().to_string_lossy().into_owned();
        let mut killed = 0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            if pid == std::process::id().cast_signed() {
                continue;
            }
            let belongs = ["environ", "cmdline"].iter().any(|file| {
                std::fs::read(entry.path().join(file)).is_ok_and(|bytes| contains(&bytes, mark.as_bytes()))
            });
            if belongs && let Some(pid) = rustix::process::Pid::from_raw(pid) {
                killed += usize::from(rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok());
            }
        }
        killed
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.command().args(["sandbox", "down"]).output();
        self.kill_everything();
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err)
    }
}

/// A values file of the test data.
pub(crate) fn values(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/values").join(name)
}

/// One of our charts as a directory, which `husk helm` asks for.
pub(crate) fn chart(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts").join(name).to_string_lossy().into_owned()
}

/// Asserts that an installation converged on every node that it selects, and returns how many there are.
pub(crate) fn assert_converged(report: &Value) -> usize {
    let nodes: Vec<&Value> =
        report["nodes"].as_array().unwrap().iter().filter(|node| node["selected"] == true).collect();
    for node in &nodes {
        assert_eq!(node["labelled"], true, "{node}");
        assert_eq!(node["state"], "done", "{node}");
        assert_eq!(node["stage"], "label", "{node}");
        assert!(node.get("missing").is_none(), "{node}");
    }
    nodes.len()
}
