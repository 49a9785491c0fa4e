//! `helm dependency`: the charts that a chart needs.

use super::flags::{Flag, Kind, Parsed};
use super::output::{clipped, table};
use super::remote::{Fill, REMOTE, fill, to_out};
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use std::path::Path;

const fn filling(
    names: &'static [&'static str],
    path: &'static str,
    about: &'static str,
    run: fn(&Parsed, &Settings) -> Outcome,
) -> Verb {
    Verb { names, path, arguments: "CHART", about, arity: Arity::AtMost(1), flags: &[REMOTE, FLAGS], run }
}

pub(super) const BUILD: Verb =
    filling(&["build"], "dependency build", "Fill charts/ as Chart.lock says.", |parsed, settings| {
        fill(chart(parsed), parsed, Fill::Build, settings.debug, to_out)
    });

pub(super) const UPDATE: Verb =
    filling(&["update", "up"], "dependency update", "Fill charts/ as Chart.yaml says.", |parsed, settings| {
        fill(chart(parsed), parsed, Fill::Update, settings.debug, to_out)
    });

pub(super) const LIST: Verb = Verb {
    names: &["list", "ls"],
    path: "dependency list",
    arguments: "CHART",
    about: "List the charts that a chart needs.",
    arity: Arity::AtMost(1),
    flags: &[&[Flag::new("max-col-width", Kind::Number)]],
    run: list,
};

const FLAGS: &[Flag] =
    &[Flag::new("keyring", Kind::Text), Flag::new("skip-refresh", Kind::Switch), Flag::new("verify", Kind::Switch)];

fn chart(parsed: &Parsed) -> &Path {
    Path::new(parsed.arguments.first().map_or(".", String::as_str))
}

fn list(parsed: &Parsed, _: &Settings) -> Outcome {
    let listing = registry::dependency::list(chart(parsed), &mut to_out).map_err(|error| error.to_string())?;
    if !listing.rows.is_empty() {
        let mut rows = vec![["NAME", "VERSION", "REPOSITORY", "STATUS"].map(str::to_owned).to_vec()];
        rows.extend(listing.rows.into_iter().map(|row| vec![row.name, row.version, row.repository, row.status.into()]));
        super::out(&format!("{}\n", table(&clipped(rows, parsed.number("max-col-width").unwrap_or(80)))));
    }
    listing.warnings.iter().for_each(|warning| super::out(&format!("{warning}\n")));
    Ok(())
}
