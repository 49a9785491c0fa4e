//! `helm upgrade`, with `--install`.

use super::chart_ref::{CHART_PATH, DEPENDENCY_UPDATE};
use super::flags::{Flag, Kind, Parsed};
use super::install::{Subject, shown};
use super::operation::{self, APPLY, OUTSIDE, RENDER, WAIT, WAIT_FOR_JOBS, on_cluster};
use super::output::{Format, OUTPUT};
use super::remote::REMOTE;
use super::settings::Settings;
use super::status;
use super::values::VALUES;
use super::verb::{Arity, Outcome, Verb};
use release::{Engine, Error, Options, Reuse, Status};

pub(super) const UPGRADE: Verb = Verb {
    names: &["upgrade"],
    path: "upgrade",
    arguments: "[RELEASE] [CHART]",
    about: "Upgrade a release.",
    arity: Arity::Exactly(2),
    flags: &[VALUES, CHART_PATH, DEPENDENCY_UPDATE, REMOTE, RENDER, OUTSIDE, APPLY, WAIT, WAIT_FOR_JOBS, OUTPUT, FLAGS],
    run,
};

const FLAGS: &[Flag] = &[
    Flag::new("cleanup-on-fail", Kind::Switch),
    Flag::new("history-max", Kind::Number),
    Flag::new("install", Kind::Switch).short('i'),
    Flag::new("reset-then-reuse-values", Kind::Switch),
    Flag::new("reset-values", Kind::Switch),
    Flag::new("reuse-values", Kind::Switch),
];

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    let mut options = Options { dry_run: operation::dry_run(parsed, false)?, ..operation::options(parsed)? };
    operation::check_hidden(parsed, options.dry_run).map_err(|text| format!("UPGRADE FAILED: {text}"))?;
    options.reuse = match () {
        () if parsed.on("reset-values") => Reuse::Never,
        () if parsed.on("reuse-values") => Reuse::WithOldDefaults,
        () if parsed.on("reset-then-reuse-values") => Reuse::OverNewDefaults,
        () => Reuse::WhenNoneGiven,
    };
    let (name, chart) = (&parsed.arguments[0], &parsed.arguments[1]);
    let table = format == Format::Table;
    on_cluster(settings, async |engine| {
        if parsed.on("install")
            && let Some(gone) = missing(&engine, name).await?
        {
            if table {
                super::out(&format!("Release {name:?} does not exist. Installing it now.\n"));
            }
            options.replace = gone;
            let subject = Subject::load(chart, parsed, settings)?;
            let work = subject.install(&engine, name, &options);
            let release = operation::interruptible(&engine, name, work).await?;
            return status::emit(&release, format, shown(parsed, settings), "");
        }
        let subject = Subject::load(chart, parsed, settings)?;
        // The namespace is made for installations only.
        options.create_namespace = false;
        let work = subject.upgrade(&engine, name, &options);
        let failed = |text: String| format!("UPGRADE FAILED: {text}");
        let release = operation::interruptible(&engine, name, work).await.map_err(failed)?;
        if table {
            super::out(&format!("Release {name:?} has been upgraded. Happy Helming!\n"));
        }
        status::emit(&release, format, shown(parsed, settings), "")
    })
}

/// Returns whether there is an uninstalled release of this name, or nothing when there is one to upgrade.
async fn missing(engine: &Engine, name: &str) -> Result<Option<bool>, String> {
    engine.cluster.version().await.map_err(|error| error.to_string())?;
    match engine.history(name).await {
        Err(Error::NotFound) => Ok(Some(false)),
        Err(error) => Err(error.to_string()),
        Ok(history) => {
            let uninstalled = history.last().is_some_and(|release| release.info.status == Status::Uninstalled);
            Ok(uninstalled.then_some(true))
        }
    }
}
