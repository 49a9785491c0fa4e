//! `helm status`, and the account of a release that other verbs end with.

use super::flags::{Flag, Kind, Parsed};
use super::operation::on_cluster;
use super::output::{Format, OUTPUT, ansi_c, yaml};
use super::resources;
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use release::Release;
use release::record::HookEvent;
use serde_json::Value;
use std::fmt::Write as _;

pub(super) const STATUS: Verb = Verb {
    names: &["status"],
    path: "status",
    arguments: "RELEASE_NAME",
    about: "Show a release: status, resources, tests, notes.",
    arity: Arity::Exactly(1),
    flags: &[&[Flag::new("revision", Kind::Number)], OUTPUT],
    run,
};

/// What is shown besides the usual.
#[derive(Clone, Copy, Default)]
pub(super) struct Shown {
    /// Values, hooks and manifest too.
    pub(super) debug: bool,
    /// It was read from its record: the chart's name and versions too.
    pub(super) recorded: bool,
    pub(super) hide_notes: bool,
}

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    on_cluster(settings, async |engine| {
        let mut release = super::reach_and_get(&engine, &parsed.arguments[0], super::revision(parsed)?).await?;
        release.chart = Value::Null;
        let client = settings.client().await?;
        let resources = resources::of(&engine, &client, &release, format == Format::Table).await?;
        let shown = if format == Format::Table { resources::print(&resources) } else { String::new() };
        if format != Format::Table && !resources.is_empty() {
            let by_kind = resources.into_iter().map(|(kind, objects)| (kind, Value::Array(objects))).collect();
            release.info.other.insert("resources".to_owned(), Value::Object(by_kind));
        }
        emit(&release, format, Shown::default(), &shown)
    })
}

/// Prints a release in one of the formats.
pub(super) fn emit(release: &Release, format: Format, shown: Shown, resources: &str) -> Outcome {
    let value = serde_json::to_value(release).map_err(|error| error.to_string())?;
    let text = if format == Format::Table { text(release, shown, resources)? } else { String::new() };
    format.emit(&value, || text)
}

fn text(release: &Release, shown: Shown, resources: &str) -> Result<String, String> {
    let mut text = format!("NAME: {}\n", release.name);
    if release.info.last_deployed.is_some() {
        let _ = writeln!(text, "LAST DEPLOYED: {}", ansi_c(release.info.last_deployed));
    }
    let _ = writeln!(
        text,
        "NAMESPACE: {}\nSTATUS: {}\nREVISION: {}",
        release.namespace, release.info.status, release.version
    );
    if shown.recorded {
        let field = |name| release.chart_field(name);
        let _ = writeln!(
            text,
            "CHART: {}\nVERSION: {}\nAPP_VERSION: {}",
            field("name"),
            field("version"),
            field("appVersion")
        );
    }
    let _ = writeln!(text, "DESCRIPTION: {}", release.info.description);
    if !resources.is_empty() {
        let _ = writeln!(text, "RESOURCES:\n{resources}");
    }
    text.push_str(&tests(release));
    if shown.debug {
        let computed = computed(release)?;
        // A record leaves out what is empty.
        let absent = shown.recorded && release.config.is_empty();
        let config = if absent { Value::Null } else { Value::Object(release.config.clone()) };
        let _ = writeln!(text, "USER-SUPPLIED VALUES:\n{}\nCOMPUTED VALUES:\n{}", yaml(&config)?, yaml(&computed)?);
    }
    if shown.debug || release.info.description.eq_ignore_ascii_case("Dry run complete") {
        text.push_str("HOOKS:\n");
        text.push_str(&hooks(release));
        let _ = writeln!(text, "MANIFEST:\n{}", release.manifest);
    }
    if !shown.hide_notes && !release.info.notes.is_empty() {
        let _ = writeln!(text, "NOTES:\n{}", release.info.notes.trim());
    }
    Ok(text)
}

fn tests(release: &Release) -> String {
    let mut tests = release.hooks.iter().filter(|hook| hook.events.contains(&HookEvent::Test)).peekable();
    if tests.peek().is_none() {
        return "TEST SUITE: None\n".to_owned();
    }
    let mut text = String::new();
    for hook in tests.filter(|hook| hook.last_run.started_at.is_some()) {
        let run = &hook.last_run;
        let _ = writeln!(
            text,
            "TEST SUITE:     {}\nLast Started:   {}\nLast Completed: {}\nPhase:          {}",
            hook.name,
            ansi_c(run.started_at),
            ansi_c(run.completed_at),
            run.phase
        );
    }
    text
}

/// The hooks with their separators and source lines.
pub(super) fn hooks(release: &Release) -> String {
    release.hooks.iter().map(|hook| format!("---\n# Source: {}\n{}\n", hook.path, hook.manifest)).collect()
}

/// The values that templates see: the user's over the defaults of the recorded chart.
pub(super) fn computed(release: &Release) -> Result<Value, String> {
    let chart = serde_json::from_value::<chart::Chart>(release.chart.clone()).map_err(|error| error.to_string())?;
    let values = chart::render::computed_values(&chart, &release.config).map_err(|error| error.to_string())?;
    Ok(Value::Object(values))
}
