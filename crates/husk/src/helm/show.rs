//! `helm show`: what a chart says about itself.

use super::chart_ref::{self, CHART_PATH};
use super::flags::{Flag, Kind, Parsed};
use super::remote::REMOTE;
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use chart::Log;
use chart::show::Part;

const fn verb(
    names: &'static [&'static str],
    path: &'static str,
    about: &'static str,
    flags: &'static [&'static [Flag]],
    run: fn(&Parsed, &Settings) -> Outcome,
) -> Verb {
    Verb { names, path, arguments: "[CHART]", about, arity: Arity::Exactly(1), flags, run }
}

pub(super) const ALL: Verb =
    verb(&["all"], "show all", "Show all of the following.", &[CHART_PATH, REMOTE], |parsed, _| {
        show(parsed, Part::All)
    });
pub(super) const CHART: Verb =
    verb(&["chart"], "show chart", "Show Chart.yaml.", &[CHART_PATH, REMOTE], |parsed, _| show(parsed, Part::Chart));
pub(super) const CRDS: Verb =
    verb(&["crds"], "show crds", "Show custom resource definitions.", &[CHART_PATH, REMOTE], |parsed, _| {
        show(parsed, Part::Crds)
    });
pub(super) const README: Verb =
    verb(&["readme"], "show readme", "Show the readme.", &[CHART_PATH, REMOTE], |parsed, _| show(parsed, Part::Readme));
pub(super) const VALUES: Verb = verb(
    &["values"],
    "show values",
    "Show values.yaml.",
    &[CHART_PATH, REMOTE, &[Flag::new("jsonpath", Kind::Text)]],
    |parsed, _| show(parsed, Part::Values),
);

fn show(parsed: &Parsed, part: Part) -> Outcome {
    let located = chart_ref::locate(&parsed.arguments[0], parsed)?;
    let mut log = Log::default();
    let chart = chart_ref::load(&located, &mut log);
    super::say(&mut log);
    if let Some(template) = parsed.text("jsonpath").filter(|text| !text.is_empty()) {
        let values = chart.map_err(|error| error.to_string())?.values;
        let path = crate::jsonpath::Template::parse(template)
            .map_err(|error| format!("error parsing jsonpath {template}: {error}"))?;
        // As with Helm, a path that leads nowhere is no failure.
        return super::done(&path.render(&serde_json::Value::Object(values)));
    }
    let text = chart.and_then(|chart| chart::show::show(&chart, part)).map_err(|error| error.to_string())?;
    super::out(&text);
    Ok(())
}
