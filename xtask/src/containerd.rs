//! Debian's containerd as the judge of what `husk-node` writes.

use crate::go_program::{CONTAINERD_1_7, CONTAINERD_2_1};
use crate::programs::{husk, on_path, root, run};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use toml_edit::{DocumentMut, Item};

const HOST: &str = "k8s-1";

/// Stops a daemon, and the sandbox, whatever happens.
struct Cleanup<F: FnMut()>(F);

impl<F: FnMut()> Drop for Cleanup<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

pub(crate) fn check(given: Option<std::path::PathBuf>) -> Result<(), String> {
    let debian = on_path("containerd").ok_or("containerd is not installed (Debian: apt-get install containerd)")?;
    let newer = CONTAINERD_1_7.built()?;
    let husk = husk(given)?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let sandbox = directory.path().join("sandbox");
    let _stop = Cleanup(|| {
        let _ = Command::new(&husk).args(["sandbox", "down"]).env("HUSK_SANDBOX_DIR", &sandbox).output();
    });
    let up = run(Command::new(&husk)
        .args(["up", "--sandbox", "--hosts", "k8s:1", "-o", "json"])
        .env("HUSK_SANDBOX_DIR", &sandbox))?;
    let report: Value = serde_json::from_slice(&up.stdout).map_err(|error| format!("husk up -o json: {error}"))?;
    let handlers = report["nodes"][0]["handlers"].as_array().into_iter().flatten();
    let wanted: Vec<&str> = handlers.filter_map(Value::as_str).collect();
    if wanted.is_empty() {
        return Err("the node serves no handler".to_owned());
    }
    let config = sandbox.join("hosts").join(HOST).join("root/etc/containerd/config.toml");
    for (containerd, has_snapshotters) in [(&debian, false), (&newer, true)] {
        let version = run(Command::new(containerd).arg("--version"))?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        dump(containerd, &config, &wanted, has_snapshotters)?;
        println!("{version}: config dump shows {} handlers", wanted.len());
        serve(containerd, &config, &wanted)?;
        println!("{version}: starts with the file and serves all of them");
    }
    rows(&[&debian, &newer, &CONTAINERD_2_1.built()?])?;
    println!("all passed");
    Ok(())
}

/// Every row of the installer's matrix, with each of these daemons that is of its line: installed, started, removed, started.
fn rows(containerds: &[&Path]) -> Result<(), String> {
    let names: Vec<String> = containerds.iter().map(|path| path.display().to_string()).collect();
    let words = ["test", "--quiet", "-p", "node", "--test", "it", "--", "--ignored", "--nocapture", "real_containerd"];
    let told =
        run(Command::new(env!("CARGO")).args(words).env("HUSK_REAL_CONTAINERD", names.join(",")).current_dir(root()))?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("rows served and removed")).collect();
    lines.iter().for_each(|line| println!("{line}"));
    if lines.len() == containerds.len() { Ok(()) } else { Err(format!("not every containerd was asked:\n{told}")) }
}

/// `containerd config dump` shows each handler with its type, its configuration and, since 1.7, its snapshotter.
fn dump(containerd: &Path, config: &Path, wanted: &[&str], has_snapshotters: bool) -> Result<(), String> {
    let output = run(Command::new(containerd).arg("--config").arg(config).args(["config", "dump"]))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let document: DocumentMut = text.parse().map_err(|error| format!("config dump is not TOML: {error}"))?;
    let runtimes = &document["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"];
    let written: DocumentMut = std::fs::read_to_string(config)
        .map_err(|error| error.to_string())?
        .parse()
        .map_err(|error| format!("{}: {error}", config.display()))?;
    let ours = &written["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"];
    for handler in wanted {
        let shown = runtimes.get(handler).ok_or_else(|| format!("config dump does not show {handler}"))?;
        let text = |item: &Item, key: &str| item.get(key).and_then(Item::as_str).unwrap_or_default().to_owned();
        let kind = text(shown, "runtime_type");
        if kind != format!("io.containerd.{handler}.v2") {
            return Err(format!("{handler}: runtime_type is {kind:?}"));
        }
        let path = shown.get("options").map(|options| text(options, "ConfigPath")).unwrap_or_default();
        if !path.ends_with(".toml") {
            return Err(format!("{handler}: ConfigPath is {path:?}"));
        }
        let snapshotter = text(&ours[*handler], "snapshotter");
        if snapshotter.is_empty() || (has_snapshotters && text(shown, "snapshotter") != snapshotter) {
            return Err(format!("{handler}: snapshotter is {:?}", text(shown, "snapshotter")));
        }
    }
    Ok(())
}

/// containerd starts with the file and lists the handlers over its CRI socket.
fn serve(containerd: &Path, config: &Path, wanted: &[&str]) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let socket = place.path().join("containerd.sock");
    let log = std::fs::File::create(place.path().join("log")).map_err(|error| error.to_string())?;
    let child = Command::new(containerd)
        .arg("--config")
        .arg(config)
        .arg("--address")
        .arg(&socket)
        .arg("--root")
        .arg(place.path().join("root"))
        .arg("--state")
        .arg(place.path().join("state"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| error.to_string())?;
    let daemon = std::cell::RefCell::new(child);
    let _stop = Cleanup(|| stop(&mut daemon.borrow_mut()));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    loop {
        if let Ok(Some(status)) = daemon.borrow_mut().try_wait() {
            let log = std::fs::read_to_string(place.path().join("log")).unwrap_or_default();
            return Err(format!("containerd ended with {status}:\n{log}"));
        }
        let asked = runtime.block_on(async {
            let client =
                cri::Client::connect(&socket, Duration::from_secs(5)).await.map_err(|error| error.to_string())?;
            let status = client.status(true).await.map_err(|error| error.to_string())?;
            cri::handlers::served(&status).ok_or_else(|| "the status names no handlers".to_owned())
        });
        match asked {
            Ok(served) => {
                let missing: Vec<&&str> = wanted.iter().filter(|handler| !served.contains(**handler)).collect();
                return if missing.is_empty() { Ok(()) } else { Err(format!("not served: {missing:?}")) };
            }
            Err(why) if begun.elapsed() > Duration::from_secs(20) => return Err(why),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
