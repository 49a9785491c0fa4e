//! Running the templates of a chart and of the charts below it.

use crate::render::{error, functions, objects};
use crate::{Chart, Error, File, Log, RenderOptions};
use gotemplate::{Limits, Map, MemoryLimit, MissingKey, Run, Str, TemplateSet, Texts, Value};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many templates may be in progress inside each other through `include` and `tpl`. Helm stops a template that includes
/// itself at a thousand; one that runs itself through `tpl` ends Helm for want of memory, and here at this number.
const MAX_NESTING: usize = 1200;

/// What templates may take, so that a hostile chart ends soon and with a clear error. The largest of the well-known charts
/// need less than a hundredth of it.
const MOST_MEMORY: usize = 96 << 20;
const MOST_AT_ONCE: usize = 16 << 20;
const MOST_STEPS: u64 = 30_000_000;

/// How long all files together may become.
const MOST_TEXT: usize = 64 << 20;

/// The process's resident memory, where the system tells.
fn memory_in_use() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split(' ').nth(1)?.parse::<usize>().ok()?.checked_mul(4096)
}

/// What an action prints for a value that is not there.
const NO_VALUE: &str = "<no value>";

/// Bytes of templates that take longer to parse and render than a thread takes to start, many times over.
const WORTH_A_THREAD: usize = 32 << 10;

/// The templates of a chart and of those below it, to be parsed and rendered.
pub(super) struct Templates {
    pub(super) texts: Arc<Texts>,
    /// Their paths in the order of parsing and rendering.
    order: Vec<String>,
    messages: functions::Messages,
}

impl Templates {
    pub(super) fn of(chart: &Chart, options: &RenderOptions) -> Templates {
        let mut found = BTreeMap::new();
        collect_texts(chart, chart.name(), &mut found);
        let order = order(&found);
        let (table, messages) = functions::table(options);
        let texts = order.iter().filter_map(|path| found.remove_entry(path)).collect();
        Templates { texts: Arc::new(Texts::new(Arc::new(table), texts)), order, messages }
    }

    /// Whether there is enough to do for a second thread.
    pub(super) fn are_many(&self) -> bool {
        self.texts.bytes() >= WORTH_A_THREAD
    }

    /// Renders every file and hands it on with its path.
    pub(super) fn render(
        self,
        chart: &Chart,
        values: &Map,
        options: &RenderOptions,
        log: &mut Log,
        mut hand_on: impl FnMut(String, String),
    ) -> Result<(), Error> {
        let Templates { texts, order, messages } = self;
        let scope = Scope { path: chart.name().to_string(), values: values.clone(), is_root: true };
        let shared = Shared { release: objects::release(options), capabilities: objects::capabilities(options) };
        let mut places = BTreeMap::new();
        collect(chart, scope, &shared, &mut places);

        let missing = if options.strict { MissingKey::Error } else { MissingKey::Zero };
        let set = TemplateSet::of(&texts).map_err(|(path, e)| Error::Template(error::parse_error(&path, &e)))?;
        let set = Arc::new(set.with_missing_key(missing));
        let memory = Some(MemoryLimit { bytes: MOST_MEMORY, in_use: memory_in_use });
        let limits = Limits {
            execution_depth: MAX_NESTING,
            claim: MOST_AT_ONCE,
            steps: MOST_STEPS,
            memory,
            ..Limits::default()
        };
        let mut run = Run::new(limits);
        let mut left = MOST_TEXT;
        // Each file's text is copied out of it, at its size.
        let mut output = Vec::new();
        for path in order {
            if is_partial(&path) {
                continue;
            }
            let Some(place) = places.get(&path) else { continue };
            place.data.insert("Template", objects::template(&path, &place.base));
            let data = Value::Map(place.data.retyped(objects::VALUES));
            output.clear();
            let result = set.execute_into(&path, &data, &mut run, &mut output);
            log.0.append(&mut messages.take());
            result.map_err(|e| Error::Template(error::execution_error(&e)))?;
            let mut text = gotemplate::lossy(&output).into_owned();
            // Go writes this for a missing value whatever one tells it; Helm takes it out wherever it comes from.
            if memchr::memmem::find(text.as_bytes(), NO_VALUE.as_bytes()).is_some() {
                text = text.replace(NO_VALUE, "");
            }
            left = left.checked_sub(text.len()).ok_or_else(|| {
                Error::Template(format!("template: all files together are longer than {MOST_TEXT} bytes"))
            })?;
            hand_on(path, text);
        }
        Ok(())
    }
}

/// Where in the tree of charts a chart stands.
struct Scope {
    path: String,
    values: Map,
    is_root: bool,
}

/// What all charts of one rendering see.
struct Shared {
    release: Value,
    capabilities: Value,
}

/// What a template file is rendered with.
struct Place {
    /// The root of its data, shared by all files of a chart.
    data: Map,
    /// `templates` directory of its chart.
    base: String,
}

/// The template files of a chart that count: libraries have named templates only.
fn files(chart: &Chart) -> impl Iterator<Item = &File> {
    let library = chart.is_library();
    chart.templates.iter().filter(move |file| !library || is_partial(&file.name))
}

/// Whether the file is for its named templates only.
pub(super) fn is_partial(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with('_'))
}

/// Collects the texts of a chart's templates and of those below.
fn collect_texts(chart: &Chart, path: &str, into: &mut BTreeMap<String, Str>) {
    for below in &chart.dependencies {
        collect_texts(below, &format!("{path}/charts/{}", below.name()), into);
    }
    into.extend(files(chart).map(|file| (format!("{path}/{}", file.name), Str::from(file.data.clone()))));
}

/// Collects what the templates of a chart and of those below are rendered with, and gives the root of its data.
fn collect(chart: &Chart, scope: Scope, shared: &Shared, into: &mut BTreeMap<String, Place>) -> Map {
    let subcharts = Map::new();
    let data = Map::from_iter([
        ("Chart", objects::metadata(&chart.metadata, scope.is_root)),
        ("Files", objects::files(&chart.files)),
        ("Release", shared.release.clone()),
        ("Capabilities", shared.capabilities.clone()),
        ("Values", Value::Map(scope.values.retyped(objects::VALUES))),
        ("Subcharts", Value::Map(subcharts.clone())),
    ]);
    for below in &chart.dependencies {
        let values = match scope.values.get(below.name()) {
            Some(Value::Map(values)) => values,
            _ => Map::new(),
        };
        let path = format!("{}/charts/{}", scope.path, below.name());
        let inner = collect(below, Scope { path, values, is_root: false }, shared, into);
        subcharts.insert(below.name(), Value::Map(inner));
    }
    let place = || Place { data: data.clone(), base: format!("{}/templates", scope.path) };
    into.extend(files(chart).map(|file| (format!("{}/{}", scope.path, file.name), place())));
    data
}

/// The order of parsing and rendering: deepest paths first, and backwards by name, so that the definitions of outer charts
/// and of earlier files win.
fn order(found: &BTreeMap<String, Str>) -> Vec<String> {
    let mut paths: Vec<String> = found.keys().cloned().collect();
    paths.sort_by_cached_key(|path| Reverse((path.matches('/').count(), path.clone())));
    paths
}
