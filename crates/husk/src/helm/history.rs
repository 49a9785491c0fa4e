//! `helm history`.

use super::flags::{Flag, Kind, Parsed};
use super::operation::on_cluster;
use super::output::{Format, OUTPUT, ansi_c, table};
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use release::Release;
use serde_json::{Map, Value, json};

pub(super) const HISTORY: Verb = Verb {
    names: &["history", "hist"],
    path: "history",
    arguments: "RELEASE_NAME",
    about: "List the revisions of a release.",
    arity: Arity::Exactly(1),
    flags: &[OUTPUT, FLAGS],
    run,
};

const FLAGS: &[Flag] = &[Flag::new("max", Kind::Number), Flag::new("show-rollback-revision", Kind::Switch)];

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    let most = usize::try_from(parsed.number("max").unwrap_or(256)).unwrap_or(0);
    on_cluster(settings, async |engine| {
        engine.cluster.version().await.map_err(|error| error.to_string())?;
        let history = engine.history(&parsed.arguments[0]).await.map_err(|error| error.to_string())?;
        let history = &history[history.len().saturating_sub(most)..];
        let value = Value::Array(history.iter().map(entry).collect());
        format.emit(&value, || table(&rows(history, parsed.on("show-rollback-revision"))))
    })
}

/// `name-version` of a release's chart.
pub(super) fn chart_title(release: &Release) -> String {
    match release.chart["metadata"].is_object() {
        true => format!("{}-{}", release.chart_field("name"), release.chart_field("version")),
        false => "MISSING".to_owned(),
    }
}

/// The version of what the chart installs.
pub(super) fn app_version(release: &Release) -> String {
    if release.chart["metadata"].is_object() {
        release.chart_field("appVersion").to_owned()
    } else {
        "MISSING".to_owned()
    }
}

fn entry(release: &Release) -> Value {
    let mut entry = Map::new();
    entry.insert("revision".into(), release.version.into());
    if let Some(time) = release.info.last_deployed {
        entry.insert("updated".into(), time.to_string().into());
    }
    entry.insert("status".into(), release.info.status.as_str().into());
    entry.insert("chart".into(), chart_title(release).into());
    entry.insert("app_version".into(), app_version(release).into());
    if release.info.rollback_revision > 0 {
        entry.insert("rollback_revision".into(), json!(release.info.rollback_revision));
    }
    entry.insert("description".into(), release.info.description.as_str().into());
    Value::Object(entry)
}

fn rows(history: &[Release], rollbacks: bool) -> Vec<Vec<String>> {
    let row = |cells: [&str; 6], back: &str| {
        let mut row: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
        if rollbacks {
            row.insert(5, back.to_owned());
        }
        row
    };
    let mut rows = vec![row(["REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION", "DESCRIPTION"], "ROLLBACK")];
    for release in history {
        let info = &release.info;
        let back = if info.rollback_revision > 0 { info.rollback_revision.to_string() } else { String::new() };
        let cells = [
            &release.version.to_string(),
            &ansi_c(info.last_deployed),
            info.status.as_str(),
            &chart_title(release),
            &app_version(release),
            info.description.as_str(),
        ];
        rows.push(row(cells, &back));
    }
    rows
}
