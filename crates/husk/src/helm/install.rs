//! `helm install`.

use super::chart_ref::{self, CHART_PATH, DEPENDENCY_UPDATE};
use super::flags::{Flag, Kind, Parsed};
use super::operation::{self, APPLY, OUTSIDE, RENDER, WAIT, WAIT_FOR_JOBS, on_cluster};
use super::output::{Format, OUTPUT};
use super::plugin;
use super::remote::REMOTE;
use super::settings::Settings;
use super::status::{self, Shown};
use super::values::{self, VALUES};
use super::verb::{Arity, Outcome, Verb};
use chart::{Chart, Log, LogLevel, Values};
use release::{ChartSource, Engine, Error, Options, Release};
use std::sync::Arc;

pub(super) const INSTALL: Verb = Verb {
    names: &["install"],
    path: "install",
    arguments: "[NAME] [CHART]",
    about: "Install a chart as a release.",
    arity: Arity::AtLeast(1),
    flags: &[VALUES, CHART_PATH, DEPENDENCY_UPDATE, REMOTE, RENDER, OUTSIDE, APPLY, WAIT, WAIT_FOR_JOBS, OUTPUT, FLAGS],
    run,
};

const FLAGS: &[Flag] = &[
    Flag::new("generate-name", Kind::Switch).short('g'),
    Flag::new("name-template", Kind::Text),
    Flag::new("replace", Kind::Switch),
];

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    let options = Options { dry_run: operation::dry_run(parsed, false)?, ..operation::options(parsed)? };
    operation::check_hidden(parsed, options.dry_run).map_err(|text| format!("INSTALLATION FAILED: {text}"))?;
    let failed = |text: String| format!("INSTALLATION FAILED: {text}");
    let (name, chart) = chart_ref::name_and_chart(parsed, None).map_err(failed)?;
    let subject = Subject::load(&chart, parsed, settings).map_err(failed)?;
    on_cluster(settings, async |engine| {
        let work = subject.install(&engine, &name, &options);
        let release = operation::interruptible(&engine, &name, work).await.map_err(failed)?;
        status::emit(&release, format, shown(parsed, settings), "")
    })
}

/// What installations and upgrades show at their end.
pub(super) fn shown(parsed: &Parsed, settings: &Settings) -> Shown {
    Shown { debug: settings.debug, recorded: false, hide_notes: parsed.on("hide-notes") }
}

const BUILDING: &str = "unable to build kubernetes objects from release manifest: ";

/// A chart and the values for it.
pub(super) struct Subject {
    pub(super) values: Values,
    source: Arc<ChartSource>,
}

impl Subject {
    pub(super) fn load(chart: &str, parsed: &Parsed, settings: &Settings) -> Result<Subject, String> {
        let located = chart_ref::locate(chart, parsed)?;
        let values = values::gather(parsed)?;
        let chart = installable(chart_ref::complete(&located, parsed, settings.debug)?)?;
        let mut source = ChartSource::new(chart, crate::charts::entropy());
        source.subchart_notes = parsed.on("render-subchart-notes");
        source.skip_schema_validation = parsed.on("skip-schema-validation");
        source.time_zone = jiff::tz::TimeZone::system;
        source.resolve_host = operation::resolver(parsed);
        source.post_render = plugin::post_renderer(parsed)?;
        source.hide_secrets = parsed.on("hide-secret");
        Ok(Subject { values, source: Arc::new(source) })
    }

    pub(super) async fn install(&self, engine: &Engine, name: &str, options: &Options) -> Result<Release, String> {
        let result = engine.install(name, self.source.clone(), self.values.clone(), options).await;
        self.say();
        if let Err(error) = &result {
            operation::advise(engine, name, error).await;
        }
        result.map_err(|error| match error {
            Error::BadName { .. } | Error::NameInUse => name_refused(&error),
            other => other.to_string(),
        })
    }

    pub(super) async fn upgrade(&self, engine: &Engine, name: &str, options: &Options) -> Result<Release, String> {
        let result = engine.upgrade(name, self.source.clone(), self.values.clone(), options).await;
        self.say();
        if let Err(error) = &result {
            operation::advise(engine, name, error).await;
        }
        // Helm checks the manifest of an upgrade before it builds objects from it.
        let plain = |text: String| text.strip_prefix(BUILDING).map(str::to_owned).unwrap_or(text);
        result.map_err(|error| plain(error.to_string()))
    }

    /// Prints what rendering said.
    fn say(&self) {
        super::say(&mut Log(self.source.take_log()));
    }
}

/// Says in the log, too, why a name cannot be used.
pub(super) fn name_refused(error: &Error) -> String {
    let text = error.to_string();
    let cause = text.strip_prefix("release name check failed: ").unwrap_or(&text);
    let mut log = Log::default();
    log.add(LogLevel::Error, "release name check failed", vec![("error", cause.to_owned())]);
    super::say(&mut log);
    format!("release name check failed: {cause}")
}

/// Refuses charts that cannot be installed.
fn installable(chart: Chart) -> Result<Chart, String> {
    if chart.is_library() {
        return Err("library charts are not installable".to_owned());
    }
    let missing = chart.missing_dependencies();
    if missing.is_empty() { Ok(chart) } else { Err(chart::Error::MissingDependencies(missing).to_string()) }
}
