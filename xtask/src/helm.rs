//! Real Helm, of today and of the line before, as the judge of our charts and of what `husk helm` makes of them.

use crate::go_program::{HELM, HELM_3};
use crate::programs::{husk, on_path, root, run};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The charts, in the order in which they depend on each other.
const CHARTS: [&str; 2] = ["kata-deploy", "confidential-containers"];

pub(crate) fn check(
    given_husk: Option<PathBuf>,
    given_helm: Option<PathBuf>,
    given_helm3: Option<PathBuf>,
) -> Result<(), String> {
    let husk = husk(given_husk)?;
    let helm = match given_helm.or_else(|| on_path("helm")) {
        Some(helm) => helm,
        None => HELM.built()?,
    };
    let helm3 = given_helm3.map_or_else(|| HELM_3.built(), Ok)?;
    let charts = copy_of_charts(&helm)?;
    let charts = charts.path().join("charts");
    let mut failed = Vec::new();
    for program in [&helm, &helm3] {
        println!("{}: {}", program.display(), one_line(program, &["version", "--short"])?);
        failed.extend(judge(program, &husk, &charts)?);
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(failed.join("\n")),
    }
}

/// The charts in a directory of their own, with the dependency where Helm wants it; the working tree stays as it is.
pub(crate) fn copy_of_charts(program: &Path) -> Result<TempDir, String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    run(Command::new("cp").arg("-r").arg(root().join("charts")).arg(place.path()))?;
    let umbrella = place.path().join("charts/confidential-containers");
    let mut build = Command::new(program);
    if program.file_name().is_some_and(|name| name == "husk") {
        build.arg("helm");
    }
    run(build.args(["dependency", "build"]).arg(umbrella))?;
    Ok(place)
}

/// Every values file of the tests, with its chart.
pub(crate) fn values_files() -> Result<Vec<(&'static str, PathBuf)>, String> {
    let data = root().join("crates/husk/tests/data/values");
    let mut files = Vec::new();
    for (folder, chart) in
        [("kata-deploy", "kata-deploy"), ("umbrella", "confidential-containers"), ("pinned", "confidential-containers")]
    {
        let folder = data.join(folder);
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        files.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "yaml")).map(|path| (chart, path)));
    }
    files.sort();
    Ok(files)
}

/// One Helm: `lint --strict` without a word, the same manifests as husk for every values file, the same package.
fn judge(helm: &Path, husk: &Path, charts: &Path) -> Result<Vec<String>, String> {
    let mut failed = Vec::new();
    for chart in CHARTS {
        let said = one_line(helm, &["lint", "--strict", &charts.join(chart).to_string_lossy()]);
        match said {
            Ok(text) if !text.contains("[WARNING]") && !text.contains("[ERROR]") => {}
            Ok(text) | Err(text) => failed.push(format!("lint {chart}: {text}")),
        }
    }
    let older = one_line(helm, &["version", "--short"])?.starts_with("v3.");
    let (mut same, mut cases) = (0, 0);
    for (chart, file) in values_files()? {
        cases += 1;
        let ours = template(husk, &["helm", "template"], &charts.join(chart), &file)?;
        let theirs = template(helm, &["template"], &charts.join(chart), &file)?;
        // Helm 3 has no empty line after a document.
        let alike =
            |text: &str| text.lines().filter(|line| !line.is_empty()).eq(ours.lines().filter(|line| !line.is_empty()));
        if ours == theirs || (older && alike(&theirs)) {
            same += 1;
        } else {
            failed.push(format!("{} differs:\n{}", file.display(), first_difference(&theirs, &ours)));
        }
    }
    for chart in CHARTS {
        let ours = package(husk, &["helm", "package"], &charts.join(chart))?;
        let theirs = package(helm, &["package"], &charts.join(chart))?;
        let names: Vec<&String> = ours.keys().collect();
        if ours.keys().ne(theirs.keys()) {
            failed.push(format!("package {chart}: {names:?} instead of {:?}", theirs.keys()));
        }
        let other = ours.iter().filter(|(name, content)| theirs.get(*name).is_some_and(|theirs| theirs != *content));
        failed.extend(other.map(|(name, _)| format!("package {chart}: {name} is not the same")));
    }
    println!("  lint --strict and package of {} charts; {same} of {cases} renderings are husk's", CHARTS.len());
    Ok(failed)
}

/// What a program says on both streams, which must end well.
fn one_line(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = run(Command::new(program).args(arguments))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// The files of a package. Warnings are errors.
fn package(program: &Path, verb: &[&str], chart: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let output = run(Command::new(program).args(verb).arg(chart).arg("--destination").arg(place.path()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !said.trim().is_empty() {
        return Err(format!("{} package says: {said}", program.display()));
    }
    let archive = std::fs::read_dir(place.path())
        .map_err(|error| error.to_string())?
        .find_map(|entry| entry.ok().map(|entry| entry.path()))
        .ok_or("no package was made")?;
    let file = std::fs::File::open(&archive).map_err(|error| error.to_string())?;
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(GzDecoder::new(file)).entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = entry.path().map_err(|error| error.to_string())?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| error.to_string())?;
        // A dependency that is a package itself has a clock of its own.
        if !name.ends_with(".tgz") {
            files.insert(name, content);
        }
    }
    Ok(files)
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
    // How a refusal is worded changes from one Helm to the next.
    let errors = if output.status.success() { text(&output.stderr) } else { String::new() };
    Ok(format!("{}\n{}{errors}", output.status.success(), text(&output.stdout)))
}

fn first_difference(theirs: &str, ours: &str) -> String {
    let pairs = theirs.lines().zip(ours.lines()).enumerate();
    match pairs.clone().find(|(_, (a, b))| a != b) {
        Some((line, (a, b))) => format!("  line {line}\n  helm: {a}\n  husk: {b}"),
        None => format!("  helm prints {} lines, husk {}", theirs.lines().count(), ours.lines().count()),
    }
}
