//! Upgrades that are killed, interrupted, or meet another one: nothing is lost, and the release is brought to its end.

use super::kubelet;
use super::world::World;
use crate::programs::{husk, root};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Moments of one upgrade at which it is killed, and at which it is interrupted.
const MOMENTS: u32 = 20;
/// How often two upgrades start at once.
const MEETINGS: u32 = 5;
const NAMESPACE: &str = "lifecycle-k";

struct Husk<'a> {
    program: PathBuf,
    kubeconfig: &'a Path,
    home: tempfile::TempDir,
}

impl Husk<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).args(["--namespace", NAMESPACE]).arg("--kubeconfig").arg(self.kubeconfig);
        command.env("HOME", self.home.path());
        command
    }

    async fn output(&self, words: &[&str]) -> Result<Output, String> {
        let mut command = self.command(words);
        let ended = tokio::task::spawn_blocking(move || command.output());
        ended.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    async fn ok(&self, words: &[&str]) -> Result<String, String> {
        let output = self.output(words).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(format!("husk {}: {}\n{}{}", words.join(" "), output.status, text(&output.stdout), text(&output.stderr)))
    }

    fn upgrade(&self, version: u32, color: &str) -> Result<Child, String> {
        let chart = root().join(format!("xtask/data/lifecycle/v{}", 1 + version % 2)).display().to_string();
        let color = format!("color={color}");
        self.command(&["helm", "upgrade", "a", &chart, "--set", &color, "--wait", "--timeout", "60s"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())
    }

    /// The newest revision is the one that is deployed, and the cluster has what it says.
    async fn is_sound(&self, world: &World) -> Result<(), String> {
        let history = self.ok(&["helm", "history", "a", "-o", "json"]).await?;
        let history: Vec<Value> = serde_json::from_str(&history).map_err(|error| error.to_string())?;
        let deployed: Vec<&Value> = history.iter().filter(|entry| entry["status"] == "deployed").collect();
        let newest = history.last().map(|entry| &entry["revision"]);
        if deployed.len() != 1 || Some(&deployed[0]["revision"]) != newest {
            return Err(format!("not exactly the newest revision is deployed: {history:?}"));
        }
        let wanted = self.ok(&["helm", "get", "values", "a", "--all", "-o", "json"]).await?;
        let wanted: Value = serde_json::from_str(&wanted).map_err(|error| error.to_string())?;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/a-config");
        let live = world.find(&path).await?.unwrap_or_default();
        if live["data"]["color"] == wanted["color"] {
            Ok(())
        } else {
            Err(format!("the record says {} and the cluster has {}", wanted["color"], live["data"]["color"]))
        }
    }
}

pub(crate) fn check(kubeconfig: &Path, given_husk: Option<PathBuf>) -> Result<(), String> {
    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let husk = Husk { program: husk(given_husk)?, kubeconfig, home };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let client = super::client(kubeconfig).await?;
        World { client: client.clone(), namespace: NAMESPACE.to_owned() }.clean().await?;
        let world = World::prepare(client, NAMESPACE).await?;
        let kubelet = tokio::spawn(kubelet::serve(world.clone()));
        let done = interrupt(&husk, &world).await;
        kubelet.abort();
        world.clean().await?;
        done
    })
}

async fn interrupt(husk: &Husk<'_>, world: &World) -> Result<(), String> {
    let chart = root().join("xtask/data/lifecycle/v1").display().to_string();
    husk.ok(&["helm", "install", "a", &chart, "--wait", "--timeout", "60s"]).await?;
    let begun = Instant::now();
    wait(husk.upgrade(1, "whole")?).await?;
    let whole = begun.elapsed();
    for signal in ["-KILL", "-INT"] {
        let mut found: Vec<String> = Vec::new();
        for moment in 0..MOMENTS {
            let context = |error| format!("{signal} at moment {moment} of {MOMENTS}: {error}");
            let upgrade = husk.upgrade(moment, &format!("c{moment}"))?;
            tokio::time::sleep(whole.mul_f64(f64::from(moment) / f64::from(MOMENTS))).await;
            // One that is through has no process any more.
            let _ = Command::new("kill").args([signal, &upgrade.id().to_string()]).stderr(Stdio::null()).status();
            wait(upgrade).await?;
            let status = husk.ok(&["helm", "status", "a", "-o", "json"]).await.map_err(context)?;
            let status: Value = serde_json::from_str(&status).map_err(|error| error.to_string())?;
            let state = status["info"]["status"].as_str().unwrap_or_default().to_owned();
            if signal == "-INT" && state.starts_with("pending") {
                return Err(context(format!("an interrupt left the release {state}")));
            }
            if state.starts_with("pending") {
                let refused = wait(husk.upgrade(moment, "refused")?).await?;
                if !refused.contains("another operation") || !refused.contains("husk recover --release a") {
                    return Err(context(format!("the next command does not say what to do: {refused}")));
                }
            }
            found.push(state);
            husk.ok(&["recover", "--release", "a"]).await.map_err(context)?;
            husk.is_sound(world).await.map_err(context)?;
        }
        found.sort();
        let kinds: Vec<String> = found
            .chunk_by(|a, b| a == b)
            .map(|same| format!("{} {}", same.len(), same.first().map_or("", String::as_str)))
            .collect();
        println!("{signal} at {MOMENTS} moments of {whole:.1?}: found {}; all brought to their end", kinds.join(", "));
    }
    let mut refused = 0;
    for meeting in 0..MEETINGS {
        let pair = [husk.upgrade(0, &format!("left{meeting}"))?, husk.upgrade(1, &format!("right{meeting}"))?];
        let mut well = 0;
        for upgrade in pair {
            match wait(upgrade).await? {
                told if told.is_empty() => well += 1,
                told if told.contains("another operation") || told.contains("already exists") => refused += 1,
                told => return Err(format!("two upgrades at once: {told}")),
            }
        }
        if well == 0 {
            return Err("two upgrades at once: both were refused".to_owned());
        }
        husk.is_sound(world).await?;
    }
    println!("two upgrades at once, {MEETINGS} times: {refused} were refused, the others are whole");
    Ok(())
}

/// Waits for a process and returns the errors that it told; nothing when it went well.
async fn wait(child: Child) -> Result<String, String> {
    let ended =
        tokio::time::timeout(Duration::from_secs(120), tokio::task::spawn_blocking(move || child.wait_with_output()));
    let output = ended.await.map_err(|_| "an upgrade does not end".to_owned())?;
    let output = output.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    Ok(if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() })
}
