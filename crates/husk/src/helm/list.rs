//! `helm list`.

use super::flags::{Flag, Kind, Parsed};
use super::operation::on_cluster;
use super::output::{Format, OUTPUT, go_time, table};
use super::selector;
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use regex::Regex;
use release::Status;
use release::record::Time;
use release::storage::{ChartName, Summary, newest};
use serde_json::{Value, json};
use std::cmp::Reverse;

pub(super) const LIST: Verb = Verb {
    names: &["list", "ls"],
    path: "list",
    arguments: "",
    about: "List releases.",
    arity: Arity::None,
    flags: &[OUTPUT, FLAGS],
    run,
};

const FLAGS: &[Flag] = &[
    Flag::new("all-namespaces", Kind::Switch).short('A'),
    Flag::new("date", Kind::Switch).short('d'),
    Flag::new("deployed", Kind::Switch),
    Flag::new("failed", Kind::Switch),
    Flag::new("filter", Kind::Text).short('f'),
    Flag::new("max", Kind::Number).short('m'),
    Flag::new("no-headers", Kind::Switch),
    Flag::new("offset", Kind::Number),
    Flag::new("pending", Kind::Switch),
    Flag::new("reverse", Kind::Switch).short('r'),
    Flag::new("selector", Kind::Text).short('l'),
    Flag::new("short", Kind::Switch).short('q'),
    Flag::new("superseded", Kind::Switch),
    Flag::new("time-format", Kind::Text),
    Flag::new("uninstalled", Kind::Switch),
    Flag::new("uninstalling", Kind::Switch),
];

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    let filter = parsed
        .text("filter")
        .filter(|text| !text.is_empty())
        .map(Regex::new)
        .transpose()
        .map_err(|error| error.to_string())?;
    let terms = parsed.text("selector").map(selector::parse).transpose()?.unwrap_or_default();
    let states = states(parsed);
    let everywhere = parsed.on("all-namespaces");
    on_cluster(settings, async |engine| {
        // A cluster that is not there says so at the first of the two; the other would be patient.
        let both = futures::future::try_join(engine.cluster.version(), engine.storage.index(everywhere)).await;
        let (_, mut entries) = both.map_err(|error| error.to_string())?;
        let among: Vec<Status> = entries.iter().map(|entry| entry.status).collect();
        // Revisions that another one took the place of are the newest of no release.
        if states != [Status::Superseded] {
            entries = newest(entries);
        }
        entries.retain(|entry| {
            filter.as_ref().is_none_or(|filter| filter.is_match(&entry.name))
                && (states.is_empty() || states.contains(&entry.status))
                && terms.iter().all(|term| term.accepts(&entry.labels))
        });
        let limit = |name| parsed.number(name).and_then(|number| usize::try_from(number).ok());
        let (offset, most) = (limit("offset").unwrap_or(0), limit("max").unwrap_or(256));
        let most = if most == 0 { usize::MAX } else { most };
        let reverse = parsed.on("reverse");
        let read = async |entries| engine.storage.summaries(entries, &among).await.map_err(|error| error.to_string());
        let shown = if parsed.on("date") {
            let mut all = read(entries).await?;
            all.sort_by_key(|release| release.last_deployed.map(|time| time.at));
            cut(all, reverse, offset, most)
        } else {
            entries.sort_by(|a, b| {
                (&a.name, &a.namespace, Reverse(a.version)).cmp(&(&b.name, &b.namespace, Reverse(b.version)))
            });
            // Only what is shown is read.
            read(cut(entries, reverse, offset, most)).await?
        };
        print(&shown, format, parsed)
    })
}

/// Turns a sorted list round if that is wanted, and takes a part of it.
fn cut<T>(mut list: Vec<T>, reverse: bool, offset: usize, most: usize) -> Vec<T> {
    if reverse {
        list.reverse();
    }
    list.into_iter().skip(offset).take(most).collect()
}

fn states(parsed: &Parsed) -> Vec<Status> {
    let words: [(&str, &[Status]); 6] = [
        ("deployed", &[Status::Deployed]),
        ("uninstalled", &[Status::Uninstalled]),
        ("uninstalling", &[Status::Uninstalling]),
        ("pending", &[Status::PendingInstall, Status::PendingUpgrade, Status::PendingRollback]),
        ("failed", &[Status::Failed]),
        ("superseded", &[Status::Superseded]),
    ];
    words.iter().filter(|(flag, _)| parsed.on(flag)).flat_map(|(_, states)| states.iter().copied()).collect()
}

fn print(releases: &[Summary], format: Format, parsed: &Parsed) -> Outcome {
    if parsed.on("short") {
        let names: Vec<&str> = releases.iter().map(|release| release.name.as_str()).collect();
        return format.emit(&json!(names), || names.iter().map(|name| format!("{name}\n")).collect());
    }
    let time_format = parsed.text("time-format").filter(|text| !text.is_empty());
    let updated = |time: Option<Time>| match (time, time_format) {
        (None, _) => "-".to_owned(),
        (Some(time), None) => go_time(time),
        (Some(time), Some(layout)) => sprig::Time::new(time.at, time.zoned().time_zone().clone()).format(layout),
    };
    let chart = |release: &Summary, text: fn(&ChartName) -> String| {
        release.chart.as_ref().map_or_else(|| "MISSING".to_owned(), text)
    };
    let rows: Vec<[String; 7]> = releases
        .iter()
        .map(|release| {
            [
                release.name.clone(),
                release.namespace.clone(),
                release.version.to_string(),
                updated(release.last_deployed),
                release.status.to_string(),
                chart(release, |chart| format!("{}-{}", chart.name, chart.version)),
                chart(release, |chart| chart.app_version.clone()),
            ]
        })
        .collect();
    let object = |[name, namespace, revision, updated, status, chart, app_version]: &[String; 7]| {
        json!({
            "name": name, "namespace": namespace, "revision": revision, "updated": updated, "status": status, "chart": chart,
            "app_version": app_version,
        })
    };
    let value = Value::Array(rows.iter().map(object).collect());
    format.emit(&value, || {
        let header = ["NAME", "NAMESPACE", "REVISION", "UPDATED", "STATUS", "CHART", "APP VERSION"].map(str::to_owned);
        let header = (!parsed.on("no-headers")).then(|| header.to_vec());
        table(&header.into_iter().chain(rows.iter().map(|row| row.to_vec())).collect::<Vec<_>>())
    })
}
