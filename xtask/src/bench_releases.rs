//! Installing many objects and listing many releases, against real Helm on one cluster. Figures for people.

use crate::bench::median;
use crate::go_program::HELM;
use crate::programs::{husk, on_path, run};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::Request;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Objects of the chart that is installed.
const OBJECTS: usize = 500;
/// Releases that are listed.
const RELEASES: usize = 1000;
/// Runs of each program; the median counts.
const RUNS: usize = 5;
const NAMESPACE: &str = "bench-releases";

pub(crate) fn releases(
    kubeconfig: &Path,
    given_husk: Option<PathBuf>,
    given_helm: Option<PathBuf>,
) -> Result<(), String> {
    let helm = match given_helm.or_else(|| on_path("helm")) {
        Some(helm) => helm,
        None => HELM.built()?,
    };
    let programs = [("helm", helm, vec![]), ("husk", husk(given_husk)?, vec!["helm"])];
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let chart = place.path().join("many");
    write_chart(&chart).map_err(|error| error.to_string())?;
    let call = |program: &Path, first: &[&str], words: &[&str]| {
        let mut command = Command::new(program);
        command.args(first).args(words).arg("--kubeconfig").arg(kubeconfig).env("HOME", place.path());
        command
    };
    let chart_word = chart.display().to_string();

    println!("{:<28}{:>12}{:>12}{:>8}", "", "helm", "husk", "ratio");
    // A namespace for each, so that neither finds what the other made; once each: Helm takes long.
    let mut installs = Vec::new();
    for (name, program, first) in &programs {
        let namespace = format!("{NAMESPACE}-{name}");
        let words = ["install", "many", &chart_word, "-n", &namespace, "--create-namespace"];
        installs.push(measured(&mut call(program, first, &words))?);
    }
    print(&format!("install {OBJECTS} objects"), &installs[0], &installs[1]);

    let (_, helm, first) = &programs[0];
    let demo = place.path().join("demo");
    run(call(helm, first, &["create"]).arg(&demo))?;
    let demo_word = demo.display().to_string();
    run(&mut call(helm, first, &["install", "demo-0", &demo_word, "-n", NAMESPACE, "--create-namespace"]))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(multiply(kubeconfig))?;
    for (title, words) in
        [("list, first page", vec!["list", "-n", NAMESPACE]), ("list all", vec!["list", "-n", NAMESPACE, "-m", "0"])]
    {
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            for ((_, program, first), figures) in programs.iter().zip(&mut figures) {
                figures.push(measured(&mut call(program, first, &words))?);
            }
        }
        let middle = |all: &[Measured]| Measured {
            took: median(all.iter().map(|one| one.took).collect()),
            peak: all.iter().map(|one| one.peak).max().unwrap_or(0),
        };
        print(&format!("{title} of {RELEASES} releases"), &middle(&figures[0]), &middle(&figures[1]));
    }
    for name in [NAMESPACE.to_owned(), format!("{NAMESPACE}-helm"), format!("{NAMESPACE}-husk")] {
        let path = format!("/api/v1/namespaces/{name}");
        runtime
            .block_on(async { ask(&crate::lifecycle::client(kubeconfig).await?, Request::delete(path), None).await })?;
    }
    Ok(())
}

fn print(title: &str, theirs: &Measured, ours: &Measured) {
    let ratio = theirs.took.as_secs_f64() / ours.took.as_secs_f64();
    println!("{title:<28}{:>12.2?}{:>12.2?}{ratio:>8.1}", theirs.took, ours.took);
    println!("{:<28}{:>9} kB{:>9} kB", "  peak memory", theirs.peak, ours.peak);
}

/// What a run took: wall time, and memory in kB.
struct Measured {
    took: Duration,
    peak: u64,
}

fn measured(command: &mut Command) -> Result<Measured, String> {
    let begun = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // The kernel's own high-water mark, read until the process is gone.
        let text = std::fs::read_to_string(&status_file).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak = peak.max(mark.unwrap_or(0));
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(Measured { took: begun.elapsed(), peak }),
            Some(status) => return Err(format!("{command:?}: {status}")),
            None => std::thread::sleep(Duration::from_millis(3)),
        }
    }
}

fn write_chart(chart: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(chart.join("templates"))?;
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: many\nversion: 1.0.0\n")?;
    let template = format!(
        "{{{{- range $i := until {OBJECTS} }}}}\n---\napiVersion: v1\nkind: {{{{ ternary \"ConfigMap\" \"Secret\" (eq 0 (mod $i 2)) }}}}\n\
         metadata:\n  name: many-{{{{ $i }}}}\n{{{{- if eq 0 (mod $i 2) }}}}\ndata:\n  k: {{{{ $i | quote }}}}\n\
         {{{{- else }}}}\nstringData:\n  k: {{{{ $i | quote }}}}\n{{{{- end }}}}\n{{{{- end }}}}\n"
    );
    std::fs::write(chart.join("templates/all.yaml"), template)
}

/// Makes records of many releases out of the one that is there.
async fn multiply(kubeconfig: &Path) -> Result<(), String> {
    let client = crate::lifecycle::client(kubeconfig).await?;
    let secrets = format!("/api/v1/namespaces/{NAMESPACE}/secrets");
    let first = ask(&client, Request::get(format!("{secrets}/sh.helm.release.v1.demo-0.v1")), None).await?;
    let data = STANDARD.decode(first["data"]["release"].as_str().unwrap_or_default()).map_err(|e| e.to_string())?;
    let packed = STANDARD.decode(data).map_err(|error| error.to_string())?;
    let mut text = String::new();
    GzDecoder::new(packed.as_slice()).read_to_string(&mut text).map_err(|error| error.to_string())?;
    for number in 1..RELEASES {
        let name = format!("demo-{number}");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.replace("demo-0", &name).as_bytes()).map_err(|error| error.to_string())?;
        let packed = gzip.finish().map_err(|error| error.to_string())?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
            "metadata": {"name": format!("sh.helm.release.v1.{name}.v1"),
                "labels": {"name": name, "owner": "helm", "status": "deployed", "version": "1"}},
            "data": {"release": STANDARD.encode(STANDARD.encode(packed))},
        });
        ask(&client, Request::post(&secrets).header("content-type", "application/json"), Some(secret)).await?;
    }
    Ok(())
}

async fn ask(client: &kube::Client, request: http::request::Builder, body: Option<Value>) -> Result<Value, String> {
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = request.body(body).map_err(|error| error.to_string())?;
    client.request::<Value>(request).await.map_err(|error| error.to_string())
}
