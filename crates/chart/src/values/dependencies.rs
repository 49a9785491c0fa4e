//! Which dependencies take part: aliases, tags, conditions; and what a parent imports from its children's values.

use crate::convert::map_to_json;
use crate::values::coalesce::{Nulls, combine, deep_copy, tables};
use crate::values::path;
use crate::{Chart, Error, Log, version};
use gotemplate::{Map, Value};

/// Decides the dependencies of `chart` and of all charts below it under the user's values, drops those that are off, and
/// imports values into the parents' defaults.
///
/// Errors: [`Error::Values`]: values do not fit the structure of the charts.
pub fn process(chart: &mut Chart, user: &Map, log: &mut Log) -> Result<(), Error> {
    enable(chart, user, "", log)?;
    import(chart, log)
}

fn enable(chart: &mut Chart, values: &Map, prefix: &str, log: &mut Log) -> Result<(), Error> {
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    claim(chart);
    let listed = &mut chart.metadata.dependencies;
    listed.iter_mut().for_each(|d| d.enabled = true);
    let values = combine(chart, values, Nulls::Delete, log)?;
    by_tags(chart, &values, log);
    by_conditions(chart, &values, prefix, log);
    let listed = &mut chart.metadata.dependencies;
    let off: Vec<String> = listed.iter().filter(|d| !d.enabled).map(|d| d.name.clone()).collect();
    listed.retain(|d| !off.contains(&d.name));
    chart.dependencies.retain(|d| !off.contains(&d.metadata.name));
    for below in &mut chart.dependencies {
        let prefix = format!("{prefix}{}.", below.name());
        enable(below, &values, &prefix, log)?;
    }
    Ok(())
}

/// Replaces the charts that are listed by one copy for each listing, under its alias. Charts that nothing lists stay, in
/// front.
fn claim(chart: &mut Chart) {
    let matches = |listed: &crate::Dependency, found: &Chart| {
        found.name() == listed.name && version::in_range(&listed.version, &found.metadata.version)
    };
    let found = std::mem::take(&mut chart.dependencies);
    let listed = &mut chart.metadata.dependencies;
    let mut kept: Vec<Chart> = found.iter().filter(|f| !listed.iter().any(|l| matches(l, f))).cloned().collect();
    for entry in listed.iter_mut() {
        if let Some(below) = found.iter().find(|f| matches(entry, f)) {
            let mut below = below.clone();
            if !entry.alias.is_empty() {
                below.metadata.name = entry.alias.clone();
            }
            kept.push(below);
        }
        if !entry.alias.is_empty() {
            entry.name = entry.alias.clone();
        }
    }
    chart.dependencies = kept;
}

fn by_tags(chart: &mut Chart, values: &Map, log: &mut Log) {
    let Ok(tags) = path::table(values, "tags") else { return };
    for dependency in &mut chart.metadata.dependencies {
        let (mut on, mut off) = (false, false);
        for tag in &dependency.tags {
            match tags.get(tag) {
                Some(Value::Bool(true)) => on = true,
                Some(Value::Bool(false)) => off = true,
                Some(_) => {
                    log.warn("returned non-bool value", vec![("tag", tag.clone()), ("chart", dependency.name.clone())])
                }
                None => {}
            }
        }
        dependency.enabled = on || !off;
    }
}

fn by_conditions(chart: &mut Chart, values: &Map, prefix: &str, log: &mut Log) {
    for dependency in &mut chart.metadata.dependencies {
        let condition = dependency.condition.trim().to_string();
        for candidate in condition.split(',').filter(|c| !c.is_empty()) {
            match path::value(values, &format!("{prefix}{candidate}")) {
                Some(Value::Bool(on)) => {
                    dependency.enabled = on;
                    break;
                }
                Some(_) => log.warn(
                    "returned non-bool value",
                    vec![("path", candidate.to_string()), ("chart", dependency.name.clone())],
                ),
                None => {}
            }
        }
    }
}

fn import(chart: &mut Chart, log: &mut Log) -> Result<(), Error> {
    for below in &mut chart.dependencies {
        import(below, log)?;
    }
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    let defaults = combine(chart, &Map::new(), Nulls::Keep, log)?;
    let imported = Map::new();
    for dependency in &mut chart.metadata.dependencies {
        let mut resolved = Vec::new();
        for wish in &dependency.import_values {
            let (child, parent, missing) = match wish {
                serde_json::Value::String(name) => {
                    (format!("exports.{name}"), ".".to_string(), "ImportValues missing table")
                }
                serde_json::Value::Object(wish) => {
                    let text = |key: &str| {
                        let value = wish.get(key).map_or(Value::Nil, crate::convert::to_go);
                        gotemplate::format::sprintf(b"%v", &[value]).lossy().into_owned()
                    };
                    (text("child"), text("parent"), "ImportValues missing table from chart")
                }
                _ => continue,
            };
            resolved.push(serde_json::json!({"child": child, "parent": parent}));
            match path::table(&defaults, &format!("{}.{child}", dependency.name)) {
                Ok(table) => tables(&imported, &below_path(&parent, table), "", Nulls::Keep, log),
                Err(part) => {
                    let error = format!("{} is not a table", gotemplate::quote::quoted(part.as_bytes()));
                    let mut fields = Vec::new();
                    if wish.is_object() {
                        fields.push(("chart", dependency.name.clone()));
                    }
                    fields.push(("error", error));
                    log.warn(missing, fields);
                }
            }
        }
        dependency.import_values = resolved;
    }
    let own = deep_copy(&defaults);
    tables(&own, &imported, "", Nulls::Keep, log);
    chart.values = map_to_json(&own).map_err(|e| Error::Values(e.to_string()))?;
    Ok(())
}

/// `table` as the value of a dotted path; `.` is the top.
fn below_path(parent: &str, table: Map) -> Map {
    if parent == "." {
        return table;
    }
    parent.split('.').rev().fold(table, |inner, part| Map::from_iter([(part, Value::Map(inner))]))
}
