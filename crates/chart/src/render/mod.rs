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
pub use manifests::{Documents, sort};

use manifests::Reading;
use templates::Templates;

use crate::convert::{map_to_go, map_to_json};
use crate::values::{coalesce, process_dependencies};
use crate::{Chart, Error, Log, LogLevel, RenderOptions, Rendered, Values, schema};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::Scope;

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
    // Where no chart can be left out or be called otherwise, templates are parsed while the values are decided.
    let early = chart.dependencies.is_empty().then(|| Templates::of(&chart, options));
    let reading = Reading::default();
    std::thread::scope(|scope| {
        let mut helper = early.as_ref().map(|templates| Helper::new(scope, templates, &reading));
        let (values, kept) = decide(&mut chart, user, options, log)?;
        let templates = early.unwrap_or_else(|| Templates::of(&chart, options));
        helper.get_or_insert_with(|| Helper::new(scope, &templates, &reading));
        let mut notes = BTreeMap::new();
        let mut to_change = BTreeMap::new();
        templates.render(&chart, &values, options, log, |path, text| match is_notes(&path) {
            true => drop(notes.insert(path, text)),
            false if options.post_render.is_some() => drop(to_change.insert(path, text)),
            false => reading.add(path, text),
        })?;
        if let Some(program) = &options.post_render {
            post::run(&to_change, program.as_ref())?.into_iter().for_each(|(path, text)| reading.add(path, text));
        }
        let Documents { manifests, hooks } = reading.documents(log)?;
        let notes = join_notes(notes, &chart, options.subchart_notes);
        let crds = chart.crds();
        Ok(Rendered { manifests, hooks, notes, crds, values: kept, chart, log: log.clone() })
    })
}

/// A second thread that parses templates and then reads documents. It is sent home when the rendering ends, however that is.
struct Helper<'r> {
    texts: Arc<gotemplate::Texts>,
    reading: &'r Reading,
}

impl<'r> Helper<'r> {
    /// Starts the thread, if there is enough to do. Without it the first one does it all.
    fn new<'s>(scope: &'s Scope<'s, 'r>, templates: &Templates, reading: &'r Reading) -> Helper<'r> {
        let texts = templates.texts.clone();
        if templates.are_many() {
            let texts = texts.clone();
            let help = move || {
                texts.parse();
                reading.read();
            };
            let _ = std::thread::Builder::new().spawn_scoped(scope, help);
        }
        Helper { texts, reading }
    }
}

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        self.texts.stop();
        self.reading.stop();
    }
}

/// Decides the values, and whether the chart fits the cluster: what templates see, and what of it a record keeps.
fn decide(
    chart: &mut Chart,
    user: &Values,
    options: &RenderOptions,
    log: &mut Log,
) -> Result<(gotemplate::Map, Values), Error> {
    let (values, checked) = decide_values(chart, user, options, log)?;
    let kept = match checked {
        Some(Value::Object(found)) => found,
        _ => plain(&values)?,
    };
    let (wanted, version) = (&chart.metadata.kube_version, &options.capabilities.kube_version);
    if wanted.is_empty() || version.satisfies(wanted) {
        return Ok((values, kept));
    }
    Err(Error::KubeVersion { wanted: wanted.clone(), found: version.version.clone() })
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
    let mut files = BTreeMap::new();
    let hand_on = |path, text| drop(files.insert(path, text));
    Templates::of(&chart, options).render(&chart, &values, options, log, hand_on)?;
    Ok(files)
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

fn is_notes(path: &str) -> bool {
    path.ends_with(NOTES)
}

/// The notes of the chart itself, or of all charts.
fn join_notes(files: BTreeMap<String, String>, chart: &Chart, all: bool) -> String {
    let own = format!("{}/templates/{NOTES}", chart.name());
    let mut notes = String::new();
    for (_, text) in files.into_iter().filter(|(path, _)| all || *path == own) {
        if !notes.is_empty() {
            notes.push('\n');
        }
        notes.push_str(&text);
    }
    notes
}
