//! Running the templates of a chart and of the charts below it.

use crate::render::{error, functions, objects};
use crate::{Chart, Error, Log, RenderOptions};
use gotemplate::{Limits, Map, MemoryLimit, MissingKey, Run, Str, TemplateSet, Value};
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

/// A template file and what it is rendered with.
struct Template {
    text: Str,
    /// The root of its data, shared by all files of a chart.
    data: Map,
    /// `templates` directory of its chart.
    base: String,
}

/// What every file renders to, by its path.
pub(super) fn render(
    chart: &Chart,
    values: &Map,
    options: &RenderOptions,
    log: &mut Log,
) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    let scope = Scope { path: chart.name().to_string(), values: values.clone(), is_root: true };
    let shared = Shared { release: objects::release(options), capabilities: objects::capabilities(options) };
    collect(chart, scope, &shared, &mut found);
    let order = order(&found);

    let (table, messages) = functions::table(options);
    let missing = if options.strict { MissingKey::Error } else { MissingKey::Zero };
    let mut set = TemplateSet::new(Arc::new(table)).with_missing_key(missing);
    let texts: Vec<(&str, &Str)> = order.iter().map(|path| (path.as_str(), &found[path].text)).collect();
    set.parse_all(&texts).map_err(|(at, e)| Error::Template(error::parse_error(&order[at], &e)))?;
    let set = Arc::new(set);
    let memory = Some(MemoryLimit { bytes: MOST_MEMORY, in_use: memory_in_use });
    let limits =
        Limits { execution_depth: MAX_NESTING, claim: MOST_AT_ONCE, steps: MOST_STEPS, memory, ..Limits::default() };
    let mut run = Run::new(limits);
    let mut rendered = BTreeMap::new();
    let mut left = MOST_TEXT;
    for path in order {
        if path.rsplit('/').next().is_some_and(|name| name.starts_with('_')) {
            continue;
        }
        let template = &found[&path];
        template.data.insert("Template", objects::template(&path, &template.base));
        let data = Value::Map(template.data.retyped(objects::VALUES));
        let mut text = Vec::new();
        let result = set.execute_into(&path, &data, &mut run, &mut text);
        log.0.append(&mut messages.take());
        result.map_err(|e| Error::Template(error::execution_error(&e)))?;
        let mut text = String::from_utf8(text).unwrap_or_else(|e| gotemplate::lossy(e.as_bytes()).into_owned());
        // Go writes this for a missing value whatever one tells it; Helm takes it out wherever it comes from.
        if text.contains(NO_VALUE) {
            text = text.replace(NO_VALUE, "");
        }
        text.shrink_to_fit();
        left = left.checked_sub(text.len()).ok_or_else(|| {
            Error::Template(format!("template: all files together are longer than {MOST_TEXT} bytes"))
        })?;
        rendered.insert(path, text);
    }
    Ok(rendered)
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

/// Collects the templates of a chart and those below, and gives the root of its data.
fn collect(chart: &Chart, scope: Scope, shared: &Shared, into: &mut BTreeMap<String, Template>) -> Map {
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
    for file in &chart.templates {
        let partial = file.name.rsplit('/').next().is_some_and(|name| name.starts_with('_'));
        if chart.is_library() && !partial {
            continue;
        }
        let template = Template {
            text: Str::from(file.data.clone()),
            data: data.clone(),
            base: format!("{}/templates", scope.path),
        };
        into.insert(format!("{}/{}", scope.path, file.name), template);
    }
    data
}

/// The order of parsing and rendering: deepest paths first, and backwards by name, so that the definitions of outer charts
/// and of earlier files win.
fn order(found: &BTreeMap<String, Template>) -> Vec<String> {
    let mut paths: Vec<String> = found.keys().cloned().collect();
    paths.sort_by_key(|path| Reverse((path.matches('/').count(), path.clone())));
    paths
}
