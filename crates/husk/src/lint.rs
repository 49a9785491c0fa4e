//! `husk lint CHART`: Helm's findings, and with `--gitops` what Argo CD and Flux would stumble over.

use crate::error::{Failure, Result};
use crate::{charts, cli, screen, subject};
use chart::gitops::{self, Difference, Place};
use chart::lint::{LintOptions, Severity};
use chart::{Log, RenderOptions};
use contract::Code;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How far apart the clocks of the two renderings are: every part of a date differs, with the day of the week.
const LATER: Duration = Duration::from_secs(397 * 24 * 3600 + 3600 + 61);

pub(crate) fn lint(call: &cli::Lint) -> Result<()> {
    let user = subject::gather(&call.values)?;
    let options = RenderOptions::new("test-release", "default", SystemTime::now(), charts::entropy());
    let mut failing = 0;
    let path = Path::new(&call.chart);
    if path.exists() {
        let options = LintOptions { render: options.clone(), kube_version: None };
        let findings = chart::lint::lint(path, &user, &options, &mut Log::default()).map_err(charts::failure)?;
        findings.iter().for_each(|finding| screen::emit(&format!("{finding}\n")));
        failing += findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    } else if !call.gitops {
        // Loading tells why there is nothing to look at; our own charts have no files for Helm's rules.
        charts::load(&call.chart)?;
        let message = format!("{} is embedded: only --gitops looks at it; give a directory or an archive", call.chart);
        return Err(Failure::new(Code::UNREADABLE_FILE, message));
    }
    if call.gitops {
        let chart = charts::load(&call.chart)?;
        let places = gitops::scan(&chart, &options).map_err(charts::failure)?;
        let later = RenderOptions { now: options.now + LATER, ..options.clone() };
        let differences = gitops::differences(&chart, &user, [&options, &later])
            .map_err(|error| charts::with_hints(charts::failure(error), &chart))?;
        let root = if path.is_dir() { call.chart.trim_end_matches('/') } else { chart.name() };
        screen::emit(&report(root, &places, &differences));
        failing += places.iter().filter(|place| place.risk.is_unstable()).count() + differences.len();
    }
    match failing {
        0 => Ok(()),
        n => Err(Failure::plain(format_args!("{n} finding(s) in {}", call.chart))),
    }
}

/// The places, those of one reason with that reason once, and what two renderings do not agree on.
fn report(root: &str, places: &[Place], differences: &[Difference]) -> String {
    let mut text = String::new();
    let mut risks: Vec<_> = places.iter().map(|place| place.risk).collect();
    risks.sort_unstable();
    risks.dedup();
    for risk in risks {
        let level = if risk.is_unstable() { "WARNING" } else { "INFO" };
        let _ = writeln!(text, "[{level}] {risk}: {}", risk.why());
        for place in places.iter().filter(|place| place.risk == risk) {
            let _ = writeln!(text, "  {root}/{}:{}:{}: {}", place.path, place.line, place.column, place.what);
        }
    }
    if differences.is_empty() {
        text.push_str("Rendered twice with another clock and other random bytes: no value differs.\n");
        return text;
    }
    let _ = writeln!(text, "[WARNING] Rendered twice with another clock and other random bytes, these values differ:");
    for Difference { path, object, field } in differences {
        let field = if field.is_empty() { "the whole object" } else { field };
        let _ = writeln!(text, "  {path}: {object}: {field}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use chart::gitops::Risk;

    #[test]
    fn each_reason_is_told_once_above_its_places() {
        let place =
            |line, risk, what: &str| Place { path: "templates/a".into(), line, column: 2, risk, what: what.into() };
        let places = [place(1, Risk::Hook, "h"), place(2, Risk::Random, "r"), place(3, Risk::Random, "s")];
        let differences =
            [Difference { path: "c/templates/a".into(), object: "Secret/s".into(), field: "data.k".into() }];
        let text = report("./c", &places, &differences);
        let wanted = ["[WARNING] random: ", "  ./c/templates/a:2:2: r", "  ./c/templates/a:3:2: s", "[INFO] hook: "];
        let found = wanted.map(|line| text.find(line).expect(line));
        assert!(found.is_sorted(), "{text}");
        assert!(text.ends_with("these values differ:\n  c/templates/a: Secret/s: data.k\n"), "{text}");
        assert!(report("c", &[], &[]).contains("no value differs"));
    }
}
