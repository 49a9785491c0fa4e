//! A JSON schema for the values of a chart, from its defaults and from what its templates read.
//!
//! The schema is as strict as can be told without running anything: a key is allowed when it has a default or when a template
//! names it, and a value has the type of its default. A map that a template takes as a whole (`toYaml .Values.resources`, a
//! `range`) may have any further keys, because any of them has an effect; only the values as a whole never may, for a misspelt
//! key at the top is what a schema is there to find.

use crate::{Chart, Error, RenderOptions, Values, render};
use gotemplate::Functions;
use gotemplate::mention::{Access, ELEMENT, Mentioned, mentions};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The schema of a chart's values, draft 7, dependencies included.
///
/// Errors: [`Error::Template`]: a template does not parse.
pub fn schema(chart: &Chart, options: &RenderOptions) -> Result<Value, Error> {
    let root = of_chart(chart, &render::template_functions(options))?;
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".into(), json!(chart.name()));
    schema.extend(root.schema(false));
    Ok(Value::Object(schema))
}

/// What is known of one value.
#[derive(Debug, Default)]
struct Known {
    /// Its default, unless that is a map; a null tells nothing.
    scalar: Option<Value>,
    /// Its default is a map.
    is_map: bool,
    /// The keys that have a default or are named by a template.
    keys: BTreeMap<String, Known>,
    /// Further keys have an effect.
    open: bool,
    /// And further keys of everything below.
    whole: bool,
}

fn of_chart(chart: &Chart, functions: &Functions) -> Result<Known, Error> {
    let mut root = Known { is_map: true, ..Known::default() };
    for below in &chart.dependencies {
        let listed: Vec<_> = chart.metadata.dependencies.iter().filter(|listed| listed.name == below.name()).collect();
        let names = listed.iter().map(|listed| if listed.alias.is_empty() { &listed.name } else { &listed.alias });
        let names: Vec<&str> = names.map(String::as_str).collect();
        for name in if names.is_empty() { vec![below.name()] } else { names } {
            root.keys.insert(name.to_owned(), of_chart(below, functions)?);
        }
        // The named templates of a library read the values of whoever calls them.
        if below.is_library() {
            root.read_by(below, functions)?;
        }
    }
    for listed in &chart.metadata.dependencies {
        let name = if listed.alias.is_empty() { &listed.name } else { &listed.alias };
        // One that is not there to be looked at may have any values.
        root.keys.entry(name.clone()).or_insert_with(|| Known { is_map: true, open: true, ..Known::default() });
        for condition in listed.condition.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            let at = condition.split('.').fold(&mut root, |known, key| known.keys.entry(key.to_owned()).or_default());
            at.scalar.get_or_insert(Value::Bool(false));
        }
        for tag in &listed.tags {
            let tags = root.keys.entry("tags".to_owned()).or_default();
            tags.keys.entry(tag.clone()).or_default().scalar = Some(Value::Bool(false));
        }
    }
    root.defaults(&chart.values);
    root.read_by(chart, functions)?;
    // Every chart below may look for something of its own there.
    let global = root.keys.entry("global".to_owned()).or_default();
    (global.is_map, global.open) = (true, true);
    Ok(root)
}

impl Known {
    fn defaults(&mut self, values: &Values) {
        self.is_map = true;
        self.scalar = None;
        for (key, value) in values {
            let known = self.keys.entry(key.clone()).or_default();
            match value {
                Value::Object(map) => known.defaults(map),
                Value::Null => {}
                other => known.scalar = Some(other.clone()),
            }
        }
    }

    /// Adds what the templates of a chart read.
    fn read_by(&mut self, chart: &Chart, functions: &Functions) -> Result<(), Error> {
        for file in &chart.templates {
            let named = mentions(&file.name, &file.text(), functions).map_err(|e| Error::Template(e.to_string()))?;
            for mention in named {
                if let Mentioned::Path { fields, access } = mention.what {
                    self.read(&fields, access);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, fields: &[String], access: Access) {
        // A helper is often given the root as a part of its data: `.context.Values.a`.
        let Some(at) = fields.iter().position(|field| field == "Values") else {
            // Or in a variable that a helper filled: what has the name of a known key is taken for it.
            if let [variable, rest @ ..] = fields
                && variable.starts_with('$')
                && rest.first().is_some_and(|key| self.keys.contains_key(key))
            {
                self.follow(rest, access, false);
            }
            return;
        };
        if fields[0] == "Subcharts" {
            return;
        }
        self.follow(&fields[at + 1..], access, true);
    }

    fn follow(&mut self, fields: &[String], access: Access, top: bool) {
        match fields {
            [] => {
                self.open |= access != Access::Test && !top;
                self.whole |= access == Access::Whole && !top;
            }
            [element, rest @ ..] if element == ELEMENT => {
                self.keys.values_mut().for_each(|known| known.follow(rest, access, false));
            }
            [field, rest @ ..] => self.keys.entry(field.clone()).or_default().follow(rest, access, false),
        }
    }

    /// Writes it down; `within` something that is taken as a whole.
    fn schema(&self, within: bool) -> Map<String, Value> {
        let mut schema = Map::new();
        let whole = within || self.whole;
        if let Some(scalar) = &self.scalar {
            // What is read as a map in some place, though its default is none, may be either.
            if self.keys.is_empty() {
                schema.insert("type".into(), json!(kind(scalar)));
                if let Some(items) = items(scalar) {
                    schema.insert("items".into(), items);
                }
            }
            return schema;
        }
        if !self.is_map && self.keys.is_empty() {
            return schema;
        }
        // Where there is no default, the templates must do without.
        schema.insert("type".into(), if self.is_map { json!("object") } else { json!(["object", "null"]) });
        if !self.keys.is_empty() {
            let properties: Map<String, Value> =
                self.keys.iter().map(|(key, known)| (key.clone(), Value::Object(known.schema(whole)))).collect();
            schema.insert("properties".into(), Value::Object(properties));
        }
        if !self.open && !whole && !self.keys.is_empty() {
            schema.insert("additionalProperties".into(), Value::Bool(false));
        }
        schema
    }
}

/// The type of the items of a default list, when it has any and they agree.
fn items(list: &Value) -> Option<Value> {
    let mut kinds: Vec<&str> = list.as_array()?.iter().map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    match kinds.as_slice() {
        [one] if *one != "null" => Some(json!({ "type": one })),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
