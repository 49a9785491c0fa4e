//! More about a failed rendering than Helm's text says: the line with a caret, the values that it reads, the nearest known names.
//!
//! Everything is read from Helm's text and the chart, so the failure may come from anywhere, a cluster included.

use crate::{Chart, RenderOptions, Values, render};
use gotemplate::mention::{Mention, Mentioned, mentions};
use serde_json::Value;
use std::fmt::Write as _;

/// How alike two names are at least when one is offered for the other.
const ALIKE: f64 = 0.8;

/// Go's own functions, which no table lists.
const BUILTINS: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery",
];

/// Explains the text of a failure; empty when it names no place in a template of the chart.
pub fn explain(chart: &Chart, user: &Values, options: &RenderOptions, text: &str) -> String {
    let mut files = Vec::new();
    collect(chart, chart.name(), &[], &mut files);
    let Some(place) = files.iter().filter_map(|file| Place::find(file, text)).max_by_key(|place| place.at) else {
        return String::new();
    };
    let functions = render::template_functions(options);
    let source = place.file.text.lines().nth(place.line - 1).unwrap_or_default();
    let unknown = between(text, "function \"", "\" not defined");
    let marked = unknown.or_else(|| between(&text[place.at..], "at <", ">"));
    // Go has the place of the second field of several, and shortens long expressions.
    let exact = marked.and_then(|marked| source.find(marked).map(|start| (start, marked.len())));
    let span = exact.or(place.column.map(|column| (column, 1)));
    let mut out = format!("{}:{}\n", place.file.path, place.line);
    let number = place.line.to_string();
    let _ = writeln!(out, "  {number} | {source}");
    if let Some((start, length)) = span {
        // Tabs stay tabs, so that the caret stands below its character.
        let lead: String = source
            .chars()
            .scan(0, |at, c| {
                (*at < start).then(|| {
                    *at += c.len_utf8();
                    if c == '\t' { c } else { ' ' }
                })
            })
            .collect();
        let width = source.get(start..start + length).map_or(1, |marked| marked.chars().count());
        let _ = writeln!(out, "  {} | {lead}{}", " ".repeat(number.len()), "^".repeat(width.max(1)));
    }
    if let Some(name) = unknown {
        if let Some(nearest) = nearest(name, functions.names().chain(BUILTINS.iter().copied())) {
            let _ = writeln!(out, "`{name}`: did you mean `{nearest}`?");
        }
        return out;
    }
    let Ok(values) = render::computed_values(chart, user) else { return out };
    let values = place.file.scope.iter().try_fold(&values, |values, name| values.get(name)?.as_object());
    let named = mentions(&place.file.path, &place.file.text, &functions).unwrap_or_default();
    let mut told = Vec::new();
    for Mention { line, column, what } in named {
        let Mentioned::Path { fields, .. } = what else { continue };
        let inside = exact.is_none_or(|(start, length)| (start..start + length.max(1)).contains(&column));
        if line != place.line
            || !inside
            || fields.first().is_none_or(|first| first != "Values")
            || told.contains(&fields)
        {
            continue;
        }
        let prefix: String = place.file.scope.iter().map(|name| format!("{name}.")).collect();
        if let Some(values) = values {
            let _ = writeln!(out, "{}", state(values, &fields[1..], &prefix));
        }
        told.push(fields);
    }
    out
}

/// A template of a chart or one below.
struct Template {
    path: String,
    text: String,
    /// The keys that lead from the values of the top chart to those of its own.
    scope: Vec<String>,
}

fn collect(chart: &Chart, path: &str, scope: &[String], into: &mut Vec<Template>) {
    for file in &chart.templates {
        let (path, text) = (format!("{path}/{}", file.name), file.text().into_owned());
        into.push(Template { path, text, scope: scope.to_vec() });
    }
    for below in &chart.dependencies {
        let listed = chart.metadata.dependencies.iter().find(|listed| listed.name == below.name());
        let name =
            listed.map(|listed| &listed.alias).filter(|alias| !alias.is_empty()).map_or(below.name(), String::as_str);
        let scope: Vec<String> = scope.iter().cloned().chain([name.to_owned()]).collect();
        collect(below, &format!("{path}/charts/{name}"), &scope, into);
    }
}

/// Where a failure is.
struct Place<'a> {
    file: &'a Template,
    /// Where the text says so; what is said last is innermost.
    at: usize,
    line: usize,
    column: Option<usize>,
}

impl<'a> Place<'a> {
    fn find(file: &'a Template, text: &str) -> Option<Place<'a>> {
        let start = format!("{}:", file.path);
        let at = text.rmatch_indices(&start).map(|(at, _)| at).next()?;
        let mut numbers = text[at + start.len()..].split(|c: char| !c.is_ascii_digit() && c != ':').next()?.split(':');
        let line = numbers.next()?.parse().ok().filter(|line| *line > 0)?;
        Some(Place { file, at, line, column: numbers.next().and_then(|column| column.parse().ok()) })
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

/// What there is at the end of a path, or where the path breaks off.
fn state(values: &Values, fields: &[String], prefix: &str) -> String {
    let mut map = values;
    for (i, field) in fields.iter().enumerate() {
        let path = format!("{prefix}{}", fields[..=i].join("."));
        match map.get(field) {
            Some(Value::Object(below)) => map = below,
            Some(Value::Null) => return format!("value `{path}` is null"),
            Some(other) if i + 1 == fields.len() => return format!("value `{path}` is {other}"),
            Some(other) => return format!("value `{path}` is {other}, not a map"),
            None => {
                let hint = nearest(field, map.keys().map(String::as_str));
                let parent = &path[..path.len() - field.len()];
                let hint = hint.map_or(String::new(), |key| format!("; did you mean `{parent}{key}`?"));
                return format!("value `{path}` is not set{hint}");
            }
        }
    }
    format!("value `{prefix}{}` is a map of {} keys", fields.join("."), map.len())
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|known| (strsim::jaro_winkler(name, known), known)).filter(|(score, _)| *score > ALIKE);
    scored.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1))).map(|(_, known)| known)
}
