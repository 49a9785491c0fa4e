//! `helm lint`: what is wrong or unusual about charts.

use super::flags::{Flag, Kind, Parsed};
use super::settings::Settings;
use super::template;
use super::values::{self, VALUES};
use super::verb::{Arity, Outcome, Verb};
use chart::lint::{LintOptions, Severity};
use chart::{KubeVersion, Log};
use std::fmt::Write as _;
use std::path::Path;

pub(super) const LINT: Verb = Verb {
    names: &["lint"],
    path: "lint",
    arguments: "PATH",
    about: "Look for mistakes in charts.",
    arity: Arity::AtLeast(1),
    flags: &[VALUES, FLAGS],
    run,
};

const FLAGS: &[Flag] = &[
    Flag::new("kube-version", Kind::Text),
    Flag::new("quiet", Kind::Switch),
    Flag::new("skip-schema-validation", Kind::Switch),
    Flag::new("strict", Kind::Switch),
    Flag::new("with-subcharts", Kind::Switch),
];

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let version = parsed.text("kube-version").filter(|text| !text.is_empty());
    let kube_version = version.map(KubeVersion::parse).transpose().map_err(|error| error.to_string())?;
    let mut paths = parsed.arguments.clone();
    if parsed.on("with-subcharts") {
        for path in &parsed.arguments {
            paths.extend(chart::lint::subcharts(Path::new(path)).iter().map(|below| below.display().to_string()));
        }
    }
    let user = values::gather(parsed)?;
    let mut render = template::options("test-release", settings);
    render.skip_schema_validation = parsed.on("skip-schema-validation");
    let options = LintOptions { render, kube_version };
    let least = if parsed.on("strict") { Severity::Warning } else { Severity::Error };
    let quiet = parsed.on("quiet");
    let (mut text, mut failed, mut remarkable) = (String::new(), 0, 0);
    for path in &paths {
        let mut log = Log::default();
        let result = chart::lint::lint(Path::new(path), &user, &options, &mut log);
        super::say(&mut log);
        let (findings, error) = match result {
            Ok(findings) => (findings, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let failing = error.is_some() || findings.iter().any(|finding| finding.severity >= least);
        let loud = failing || findings.iter().any(|finding| finding.severity > Severity::Info);
        remarkable += usize::from(loud);
        if quiet && !loud {
            continue;
        }
        let _ = writeln!(text, "==> Linting {path}");
        if let Some(error) = error {
            let _ = writeln!(text, "Error {error}");
        }
        for finding in findings.iter().filter(|finding| !quiet || finding.severity > Severity::Info) {
            let _ = writeln!(text, "{finding}");
        }
        failed += usize::from(failing);
        text.push('\n');
    }
    super::out(&text);
    let summary = format!("{} chart(s) linted, {failed} chart(s) failed", paths.len());
    if failed > 0 {
        return Err(summary);
    }
    if !quiet || remarkable > 0 {
        super::out(&format!("{summary}\n"));
    }
    Ok(())
}
