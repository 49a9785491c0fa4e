//! Real Helm as the judge of what `husk helm template` prints.

use crate::go_program::HELM;
use crate::programs::{husk, on_path, root, run};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn check(given_husk: Option<PathBuf>, given_helm: Option<PathBuf>) -> Result<(), String> {
    let husk = husk(given_husk)?;
    let helm = match given_helm.or_else(|| on_path("helm")) {
        Some(helm) => helm,
        None => HELM.built()?,
    };
    let charts = tempfile::tempdir().map_err(|error| error.to_string())?;
    // Real Helm wants dependencies below charts/; a copy leaves the working tree as it is.
    run(Command::new("cp").arg("-r").arg(root().join("charts")).arg(charts.path()))?;
    let charts = charts.path().join("charts");
    run(Command::new(&helm).args(["dependency", "build"]).arg(charts.join("confidential-containers")))?;

    let mut counts = (0, 0);
    let data = root().join("crates/husk/tests/data/values");
    for (chart, folder) in [("kata-deploy", "kata-deploy"), ("confidential-containers", "umbrella")] {
        let mut files: Vec<PathBuf> = std::fs::read_dir(data.join(folder))
            .map_err(|error| format!("{folder}: {error}"))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        files.sort();
        for file in files {
            let ours = template(&husk, &["helm", "template"], &charts.join(chart), &file)?;
            let theirs = template(&helm, &["template"], &charts.join(chart), &file)?;
            if ours == theirs {
                counts.0 += 1;
                continue;
            }
            counts.1 += 1;
            println!("{} differs:\n{}", file.display(), first_difference(&theirs, &ours));
        }
    }
    println!("{} passed, {} failed", counts.0, counts.1);
    if counts.1 == 0 && counts.0 > 0 { Ok(()) } else { Err("husk and helm do not print the same".to_owned()) }
}

/// Returns what a `template` call prints, or how it fails: exit status and standard error.
fn template(program: &Path, verb: &[&str], chart: &Path, values: &Path) -> Result<String, String> {
    let output = Command::new(program)
        .args(verb)
        .args(["release-name"])
        .arg(chart)
        .args(["--namespace", "coco-system", "--values"])
        .arg(values)
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(format!("{}\n{}{}", output.status.success(), text(&output.stdout), text(&output.stderr)))
}

fn first_difference(theirs: &str, ours: &str) -> String {
    let pairs = theirs.lines().zip(ours.lines()).enumerate();
    match pairs.clone().find(|(_, (a, b))| a != b) {
        Some((line, (a, b))) => format!("  line {line}\n  helm: {a}\n  husk: {b}"),
        None => format!("  helm prints {} lines, husk {}", theirs.lines().count(), ours.lines().count()),
    }
}
