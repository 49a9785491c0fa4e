//! `helm get`: the parts of a release's record.

use super::flags::{Flag, Kind, Parsed};
use super::go_template;
use super::operation::on_cluster;
use super::output::{Format, OUTPUT, yaml};
use super::settings::Settings;
use super::status::{self, Shown};
use super::verb::{Arity, Outcome, Verb};
use release::storage::{RecordKind, Storage, record_key};
use release::{Engine, Release};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const REVISION: &[Flag] = &[Flag::new("revision", Kind::Number)];

const fn verb(
    names: &'static [&'static str],
    path: &'static str,
    about: &'static str,
    flags: &'static [&'static [Flag]],
    run: fn(&Parsed, &Settings) -> Outcome,
) -> Verb {
    Verb { names, path, arguments: "RELEASE_NAME", about, arity: Arity::Exactly(1), flags, run }
}

const TEMPLATE: &[Flag] = &[Flag::new("template", Kind::Text)];

pub(super) const ALL: Verb =
    verb(&["all"], "get all", "Show everything about a release.", &[REVISION, TEMPLATE], |parsed, settings| {
        with(parsed, settings, |release| {
            if let Some(template) = parsed.text("template").filter(|text| !text.is_empty()) {
                let data = gotemplate::Map::from_iter([("Release", go_template::release(&release)?)]);
                return super::done(&go_template::render(template, &gotemplate::Value::Map(data))?);
            }
            status::emit(&release, Format::Table, Shown { debug: true, recorded: true, hide_notes: false }, "")
        })
    });

pub(super) const HOOKS: Verb =
    verb(&["hooks"], "get hooks", "Show the hooks of a release.", &[REVISION], |parsed, settings| {
        with(parsed, settings, |release| super::done(&status::hooks(&release)))
    });

pub(super) const MANIFEST: Verb =
    verb(&["manifest"], "get manifest", "Show the manifest of a release.", &[REVISION], |parsed, settings| {
        with(parsed, settings, |release| super::done(&format!("{}\n", release.manifest)))
    });

pub(super) const NOTES: Verb =
    verb(&["notes"], "get notes", "Show the notes of a release.", &[REVISION], |parsed, settings| {
        with(parsed, settings, |release| {
            if !release.info.notes.is_empty() {
                super::out(&format!("NOTES:\n{}\n", release.info.notes));
            }
            Ok(())
        })
    });

pub(super) const VALUES: Verb = verb(
    &["values"],
    "get values",
    "Show the values of a release.",
    &[REVISION, OUTPUT, &[Flag::new("all", Kind::Switch).short('a')]],
    values,
);

pub(super) const METADATA: Verb =
    verb(&["metadata"], "get metadata", "Show what a release is.", &[REVISION, OUTPUT], metadata);

/// Reads the release and does something with it.
fn with(parsed: &Parsed, settings: &Settings, work: impl FnOnce(Release) -> Outcome) -> Outcome {
    let revision = super::revision(parsed)?;
    on_cluster(settings, async |engine| work(super::reach_and_get(&engine, &parsed.arguments[0], revision).await?))
}

fn values(parsed: &Parsed, settings: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    with(parsed, settings, |release| {
        let all = parsed.on("all");
        let values = match (all, release.config.is_empty()) {
            (true, _) => status::computed(&release)?,
            (false, true) => Value::Null,
            (false, false) => Value::Object(release.config),
        };
        let header = if all { "COMPUTED VALUES:" } else { "USER-SUPPLIED VALUES:" };
        let text = yaml(&values)?;
        // At the top level a map is a map, whatever its keys are called.
        match format {
            Format::Json => super::done(&format!("{}\n", goyaml::json_text(&values))),
            format => format.emit(&values, || format!("{header}\n{text}")),
        }
    })
}

fn metadata(parsed: &Parsed, settings: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    let revision = super::revision(parsed)?;
    on_cluster(settings, async |engine| {
        let mut release = super::reach_and_get(&engine, &parsed.arguments[0], revision).await?;
        // Helm leaves its own labels out when a revision is named.
        if revision == 0 {
            release.labels = labels(&engine, &release).await?;
        }
        let value = described(&release);
        format.emit(&value, || described_text(&release))
    })
}

/// All labels of a record's object, Helm's own included.
async fn labels(engine: &Engine, release: &Release) -> Result<BTreeMap<String, String>, String> {
    let Storage::Cluster(store) = &engine.storage else { return Ok(release.labels.clone()) };
    let kind = match store.kind {
        RecordKind::Secret => "Secret",
        RecordKind::ConfigMap => "ConfigMap",
    };
    let failed = |error: release::Error| error.to_string();
    let Some(resource) = engine.cluster.resource("v1", kind).await.map_err(failed)? else { return Ok(BTreeMap::new()) };
    let key = record_key(&release.name, release.version);
    let object = engine.cluster.get(&resource, &store.namespace, &key).await.map_err(failed)?;
    let labels = object.map(|mut object| object["metadata"]["labels"].take());
    Ok(labels.and_then(|labels| serde_json::from_value(labels).ok()).unwrap_or_default())
}

fn annotations(release: &Release) -> BTreeMap<String, String> {
    serde_json::from_value(release.chart["metadata"]["annotations"].clone()).unwrap_or_default()
}

fn deployed_at(release: &Release) -> String {
    match release.info.last_deployed {
        Some(time) => match time.offset.is_zero() {
            true => time.zoned().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            false => time.zoned().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        },
        None => "0001-01-01T00:00:00Z".to_owned(),
    }
}

fn described(release: &Release) -> Value {
    let mut value = Map::new();
    let field = |name: &str| Value::String(release.chart_field(name).to_owned());
    value.insert("name".into(), release.name.as_str().into());
    value.insert("chart".into(), field("name"));
    value.insert("version".into(), field("version"));
    value.insert("appVersion".into(), field("appVersion"));
    let mut map = |name: &str, entries: &BTreeMap<String, String>| {
        if !entries.is_empty() {
            value.insert(
                name.into(),
                entries.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect(),
            );
        }
    };
    map("annotations", &annotations(release));
    map("labels", &release.labels);
    let dependencies = &release.chart["metadata"]["dependencies"];
    if dependencies.as_array().is_some_and(|list| !list.is_empty()) {
        value.insert("dependencies".into(), dependencies.clone());
    }
    value.insert("namespace".into(), release.namespace.as_str().into());
    value.insert("revision".into(), release.version.into());
    value.insert("status".into(), release.info.status.as_str().into());
    value.insert("deployedAt".into(), deployed_at(release).into());
    if !release.apply_method.is_empty() {
        value.insert("applyMethod".into(), release.apply_method.as_str().into());
    }
    Value::Object(value)
}

fn described_text(release: &Release) -> String {
    let set = |entries: &BTreeMap<String, String>| {
        entries.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    let dependencies = release.chart["metadata"]["dependencies"].as_array().into_iter().flatten();
    let mut dependencies: Vec<&str> = dependencies.filter_map(|dependency| dependency["name"].as_str()).collect();
    dependencies.sort_unstable();
    let method = match release.apply_method.as_str() {
        "" => "client-side apply (defaulted)".to_owned(),
        "csa" => "client-side apply".to_owned(),
        "ssa" => "server-side apply".to_owned(),
        other => format!("unknown ({other:?})"),
    };
    let lines = [
        ("NAME", release.name.clone()),
        ("CHART", release.chart_field("name").to_owned()),
        ("VERSION", release.chart_field("version").to_owned()),
        ("APP_VERSION", release.chart_field("appVersion").to_owned()),
        ("ANNOTATIONS", set(&annotations(release))),
        ("LABELS", set(&release.labels)),
        ("DEPENDENCIES", dependencies.join(",")),
        ("NAMESPACE", release.namespace.clone()),
        ("REVISION", release.version.to_string()),
        ("STATUS", release.info.status.to_string()),
        ("DEPLOYED_AT", deployed_at(release)),
        ("APPLY_METHOD", method),
    ];
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}: {value}");
        text
    })
}
