//! `helm search`: charts in the repositories that a user has added, and in a hub.

use super::flags::{Flag, Kind, Parsed};
use super::output::{Format, OUTPUT, clipped, table};
use super::remote::{paths, to_out, wait};
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use registry::repository::{self, Access, Query};
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

pub(super) const HUB: Verb = Verb {
    names: &["hub"],
    path: "search hub",
    arguments: "[KEYWORD]",
    about: "Search a hub of charts.",
    arity: Arity::Any,
    flags: &[OUTPUT, HUB_FLAGS],
    run: hub,
};

const HUB_FLAGS: &[Flag] = &[
    Flag::new("endpoint", Kind::Text),
    Flag::new("fail-on-no-result", Kind::Switch),
    Flag::new("list-repo-url", Kind::Switch),
    Flag::new("max-col-width", Kind::Number),
];

/// Answers of a hub are not larger than this, in bytes.
const MAX_ANSWER: u64 = 64 << 20;

/// Asks a hub by the interface that Monocular once had and Artifact Hub has.
fn hub(parsed: &Parsed, _: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    let endpoint = parsed.text("endpoint").unwrap_or("https://hub.helm.sh");
    let refused = |why: &str| format!("unable to create connection to {endpoint:?}: {why}");
    let url = registry::url::Url::parse(endpoint).map_err(|error| refused(&error.to_string()))?;
    if url.host.is_empty() {
        return Err(refused("no hostname provided"));
    }
    let query = registry::url::query_value(&parsed.arguments.join(" "));
    let target = format!("{}/api/chartsvc/v1/charts/search?q={query}", endpoint.trim_end_matches('/'));
    let access = Access { url: endpoint.to_owned(), ..Access::default() };
    let answer = wait(async || access.fetch(&target, None, MAX_ANSWER).await)
        .map_err(|_| format!("unable to perform search against {endpoint:?}"))?;
    // As with Helm, an answer that is no JSON has no results.
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let found: Vec<Value> =
        answer["data"].as_array().into_iter().flatten().map(|one| hub_chart(endpoint, one)).collect();
    if found.is_empty() && parsed.on("fail-on-no-result") {
        return Err("no results found".to_owned());
    }
    if found.is_empty() && format == Format::Table {
        return super::done("No results found\n");
    }
    let cell = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let with_url = parsed.on("list-repo-url");
    let width = parsed.number("max-col-width").unwrap_or(50);
    format.emit(&Value::Array(found.clone()), || {
        let row = |cells: [String; 5]| cells.into_iter().take(if with_url { 5 } else { 4 }).collect::<Vec<_>>();
        let mut rows = vec![row(["URL", "CHART VERSION", "APP VERSION", "DESCRIPTION", "REPO URL"].map(str::to_owned))];
        rows.extend(found.iter().map(|one| {
            let cells =
                [&one["url"], &one["version"], &one["app_version"], &one["description"], &one["repository"]["url"]];
            row(cells.map(cell))
        }));
        table(&clipped(rows, width))
    })
}

fn hub_chart(endpoint: &str, one: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let package = text(&one["artifactHub"]["packageUrl"]);
    let url = if package.is_empty() { format!("{endpoint}/charts/{}", text(&one["id"])) } else { package };
    let (about, latest) = (&one["attributes"], &one["relationships"]["latestChartVersion"]["data"]);
    json!({
        "url": url,
        "version": text(&latest["version"]),
        "app_version": text(&latest["app_version"]),
        "description": text(&about["description"]),
        "repository": {"url": text(&about["repo"]["url"]), "name": text(&about["repo"]["name"])},
    })
}

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
