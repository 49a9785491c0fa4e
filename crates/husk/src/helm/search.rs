//! `helm search repo`: charts in the repositories that a user has added.

use super::flags::{Flag, Kind, Parsed};
use super::output::{Format, OUTPUT, clipped, table};
use super::remote::{paths, to_out};
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use registry::repository::{self, Query};
use serde_json::{Value, json};

pub(super) const REPO: Verb = Verb {
    names: &["repo"],
    path: "search repo",
    arguments: "[keyword]",
    about: "Search the repositories.",
    arity: Arity::Any,
    flags: &[OUTPUT, FLAGS],
    run: search,
};

const FLAGS: &[Flag] = &[
    Flag::new("devel", Kind::Switch),
    Flag::new("fail-on-no-result", Kind::Switch),
    Flag::new("max-col-width", Kind::Number),
    Flag::new("regexp", Kind::Switch).short('r'),
    Flag::new("version", Kind::Text),
    Flag::new("versions", Kind::Switch).short('l'),
];

fn search(parsed: &Parsed, _: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    let query = Query {
        text: parsed.arguments.join(" "),
        regexp: parsed.on("regexp"),
        all_versions: parsed.on("versions"),
        version: parsed.text("version").unwrap_or_default().to_owned(),
        devel: parsed.on("devel"),
    };
    let found = repository::search(&query, &paths(parsed), &mut to_out).map_err(|error| error.to_string())?;
    if found.is_empty() && parsed.on("fail-on-no-result") {
        return Err("no results found".to_owned());
    }
    if found.is_empty() && format == Format::Table {
        super::out("No results found\n");
        return Ok(());
    }
    let element = |found: &repository::Found| {
        let about = &found.chart.metadata;
        json!({
            "name": found.name,
            "version": about.version,
            "app_version": about.app_version,
            "description": about.description,
        })
    };
    let value: Value = found.iter().map(element).collect();
    let width = parsed.number("max-col-width").unwrap_or(50);
    format.emit(&value, || {
        let mut rows = vec![["NAME", "CHART VERSION", "APP VERSION", "DESCRIPTION"].map(str::to_owned).to_vec()];
        rows.extend(found.into_iter().map(|found| {
            let about = found.chart.metadata;
            vec![found.name, about.version, about.app_version, about.description]
        }));
        table(&clipped(rows, width))
    })
}
