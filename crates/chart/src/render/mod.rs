//! From a chart and values to manifests.

mod error;
mod functions;
mod kinds;
mod manifests;
mod objects;
mod post;
mod templates;

pub use kinds::{install_order, uninstall_order};
pub(crate) use manifests::split as split_documents;
pub use manifests::{Documents, documents, sort};

use crate::convert::{map_to_go, map_to_json};
use crate::values::{coalesce, process_dependencies};
use crate::{Chart, Error, Log, LogLevel, RenderOptions, Rendered, Values, schema};
use serde_json::Value;
use std::collections::BTreeMap;

/// Renders a chart with a user's values, as `helm install` and `helm template` do.
///
/// Errors: every kind that [`Error`] has for charts that are loaded.
pub fn render(chart: &Chart, user: &Values, options: &RenderOptions) -> Result<Rendered, Error> {
    render_logged(chart, user, options, &mut Log::default())
}

/// As [`render`]; what was said on the way is in `log` even when the rendering fails.
pub fn render_logged(chart: &Chart, user: &Values, options: &RenderOptions, log: &mut Log) -> Result<Rendered, Error> {
    check(chart, log)?;
    let mut chart = chart.clone();
    let (values, checked) = decide_values(&mut chart, user, options, log)?;
    let kept = match checked {
        Some(Value::Object(found)) => found,
        _ => plain(&values)?,
    };
    if !chart.metadata.kube_version.is_empty() {
        let version = &options.capabilities.kube_version;
        if !version.satisfies(&chart.metadata.kube_version) {
            return Err(Error::KubeVersion { wanted: chart.metadata.kube_version, found: version.version.clone() });
        }
    }
    let mut files = templates::render(&chart, &values, options, log)?;
    let notes = take_notes(&mut files, &chart, options.subchart_notes);
    if let Some(program) = &options.post_render {
        files = post::run(&files, program.as_ref())?;
    }
    let Documents { manifests, hooks } = documents(files, log)?;
    Ok(Rendered { manifests, hooks, notes, crds: chart.crds(), values: kept, chart, log: log.clone() })
}

/// The functions that templates of a rendering may call.
pub(crate) fn template_functions(options: &RenderOptions) -> gotemplate::Functions {
    functions::table(options).0
}

/// What every template file renders to, by its path, before anything is split or sorted.
///
/// Errors: as [`render`], manifests excepted.
pub fn render_files(
    chart: &Chart,
    user: &Values,
    options: &RenderOptions,
    log: &mut Log,
) -> Result<BTreeMap<String, String>, Error> {
    let mut chart = chart.clone();
    let (values, _) = decide_values(&mut chart, user, options, log)?;
    templates::render(&chart, &values, options, log)
}

/// Whether the chart can be installed at all, its dependencies being there.
fn check(chart: &Chart, log: &mut Log) -> Result<(), Error> {
    if chart.is_library() {
        return Err(Error::Unsuitable("library charts are not installable".into()));
    }
    if chart.metadata.deprecated {
        log.add(LogLevel::Warn, "this chart is deprecated", Vec::new());
    }
    let missing = chart.missing_dependencies();
    if missing.is_empty() { Ok(()) } else { Err(Error::MissingDependencies(missing)) }
}

/// Decides the dependencies, then gives the values that the templates see, and what of them was checked against the schemas.
fn decide_values(
    chart: &mut Chart,
    user: &Values,
    options: &RenderOptions,
    log: &mut Log,
) -> Result<(gotemplate::Map, Option<Value>), Error> {
    let user = map_to_go(user);
    process_dependencies(chart, &user, log).map_err(|e| {
        log.add(LogLevel::Error, "chart dependencies processing failed", vec![("error", e.to_string())]);
        Error::Values(format!("chart dependencies processing failed: {e}"))
    })?;
    let values = coalesce::values(chart, &user, log)?;
    if options.skip_schema_validation {
        return Ok((values, None));
    }
    let found = Value::Object(plain(&values)?);
    schema::check(chart, &found, log)?;
    Ok((values, Some(found)))
}

fn plain(values: &gotemplate::Map) -> Result<Values, Error> {
    map_to_json(values).map_err(|e| Error::Values(e.to_string()))
}

/// The values that a chart is rendered with, for showing them (`get values --all`).
///
/// Errors: [`Error::Values`].
pub fn computed_values(chart: &Chart, user: &Values) -> Result<Values, Error> {
    plain(&coalesce::values(chart, &map_to_go(user), &mut Log::default())?)
}

const NOTES: &str = "NOTES.txt";

/// Takes the notes out of the rendered files: those of the chart itself, or all.
fn take_notes(files: &mut BTreeMap<String, String>, chart: &Chart, all: bool) -> String {
    let own = format!("{}/templates/{NOTES}", chart.name());
    let paths: Vec<String> = files.keys().filter(|path| path.ends_with(NOTES)).cloned().collect();
    let mut notes = String::new();
    for path in paths {
        let text = files.remove(&path).unwrap_or_default();
        if all || path == own {
            if !notes.is_empty() {
                notes.push('\n');
            }
            notes.push_str(&text);
        }
    }
    notes
}
