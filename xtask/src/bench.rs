//! Speed against the peer, measured in the same minute. Figures for people; no test depends on them.

use crate::go_program::HELM;
use crate::programs::{husk, on_path, root, run};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs of each program; the median counts.
const RUNS: usize = 15;

pub(crate) fn template(given_husk: Option<PathBuf>, given_helm: Option<PathBuf>) -> Result<(), String> {
    let husk = husk(given_husk)?;
    let helm = match given_helm.or_else(|| on_path("helm")) {
        Some(helm) => helm,
        None => HELM.built()?,
    };
    let charts = tempfile::tempdir().map_err(|error| error.to_string())?;
    run(Command::new("cp").arg("-r").arg(root().join("charts")).arg(charts.path()))?;
    let charts = charts.path().join("charts");
    run(Command::new(&helm).args(["dependency", "build"]).arg(charts.join("confidential-containers")))?;
    println!("{:<26}{:>12}{:>12}{:>8}", "template", "helm", "husk", "ratio");
    for chart in ["kata-deploy", "confidential-containers"] {
        let chart = charts.join(chart);
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        // Taking turns, so that whatever else the machine does meets both.
        for _ in 0..RUNS {
            theirs.push(timed(&helm, &["template", "r"], &chart)?);
            ours.push(timed(&husk, &["helm", "template", "r"], &chart)?);
        }
        let (theirs, ours) = (median(theirs), median(ours));
        let name = chart.file_name().unwrap_or_default().to_string_lossy();
        println!("{name:<26}{theirs:>12.1?}{ours:>12.1?}{:>8.1}", theirs.as_secs_f64() / ours.as_secs_f64());
    }
    Ok(())
}

fn timed(program: &Path, words: &[&str], chart: &Path) -> Result<Duration, String> {
    let begun = Instant::now();
    let status = Command::new(program)
        .args(words)
        .arg(chart)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if status.success() { Ok(begun.elapsed()) } else { Err(format!("{} {status}", program.display())) }
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
