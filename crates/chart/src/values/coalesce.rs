//! Laying user values over the defaults of a chart and of the charts below it.
//!
//! The work is done on the maps that templates will see, not on plain data, because Helm's result is a graph: what stands
//! deeper than one level inside a `global` map is one object that several charts share, and templates can tell when they
//! change it.

use crate::convert::map_to_go;
use crate::{Chart, Error, Log};
use gotemplate::{Map, Value};

/// The key whose mapping flows down to all charts below.
pub const GLOBAL: &str = "global";

/// What nulls mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// A null removes the default that it stands over.
    Delete,
    /// Nulls are kept, to be decided later.
    Keep,
}

/// The values that the templates of `chart` and of the charts below it see: `user` over their defaults.
///
/// Errors: [`Error::Values`]: something else than a mapping stands where a dependency's values belong.
pub fn values(chart: &Chart, user: &Map, log: &mut Log) -> Result<Map, Error> {
    combine(chart, user, Nulls::Delete, log)
}

/// As [`values`], for either meaning of null. `user` is not changed.
pub(crate) fn combine(chart: &Chart, user: &Map, nulls: Nulls, log: &mut Log) -> Result<Map, Error> {
    let result = deep_copy(user);
    coalesce(chart, &result, "", nulls, log)?;
    Ok(result)
}

/// Puts the entries of `src` below those of `dst`, nulls deleting, as for the values of one chart alone.
pub(crate) fn merge_tables(dst: &Map, src: &Map, log: &mut Log) {
    tables(dst, src, "", Nulls::Delete, log);
}

/// A map that shares nothing with `map`.
pub(crate) fn deep_copy(map: &Map) -> Map {
    Map::from_entries(map.ty(), map.entries().into_iter().map(|(k, v)| (k, deep_copy_value(&v))))
}

fn deep_copy_value(value: &Value) -> Value {
    match value {
        Value::Map(map) => Value::Map(deep_copy(map)),
        Value::List(list) if !list.is_nil() => {
            Value::List(gotemplate::List::typed(list.ty(), list.items().iter().map(deep_copy_value).collect()))
        }
        other => other.clone(),
    }
}

fn path(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") }
}

fn shown(value: &Value) -> String {
    gotemplate::format::to_string(value).lossy().into_owned()
}

fn coalesce(chart: &Chart, dest: &Map, prefix: &str, nulls: Nulls, log: &mut Log) -> Result<(), Error> {
    defaults(chart, dest, prefix, nulls, log);
    for below in &chart.dependencies {
        let name = below.name();
        let own = match dest.get(name) {
            None => {
                let own = Map::new();
                dest.insert(name, own.clone());
                own
            }
            Some(Value::Map(own)) => own,
            Some(other) => {
                // Go asks for a truth value here, whatever it has got, and says so.
                let shown = gotemplate::format::sprintf(b"%t", &[other]);
                return Err(Error::Values(format!("type mismatch on {name}: {}", shown.lossy())));
            }
        };
        let prefix = path(prefix, chart.name());
        globals(&own, dest, &prefix, log);
        coalesce(below, &own, &prefix, nulls, log)?;
    }
    Ok(())
}

/// Gives the map of a dependency the globals of the map around it.
fn globals(own: &Map, around: &Map, prefix: &str, log: &mut Log) {
    let of = |map: &Map| match map.get(GLOBAL) {
        None => Some(Map::new()),
        Some(Value::Map(globals)) => Some(globals),
        Some(_) => None,
    };
    let Some(to) = of(own) else {
        log.note(format!("warning: skipping globals because destination {GLOBAL} is not a table."));
        return;
    };
    let Some(from) = of(around) else {
        log.note(format!("warning: skipping globals because source {GLOBAL} is not a table."));
        return;
    };
    for (key, value) in from.entries() {
        let name = key.lossy();
        match (value, to.get(&key)) {
            (Value::Map(table), None) => {
                to.insert(key, table.shallow_copy());
            }
            (Value::Map(table), Some(Value::Map(existing))) => {
                // The other way round: here the outer one wins.
                let copy = table.shallow_copy();
                tables(&copy, &existing, &path(prefix, &name), Nulls::Keep, log);
                to.insert(key, copy);
            }
            (Value::Map(_), Some(_)) => {
                let name = gotemplate::quote::quoted(name.as_bytes());
                log.note(format!("Conflict: cannot merge map onto non-map for {name}. Skipping."));
            }
            (_, Some(Value::Map(_))) => log.note(format!("key {name} is table. Skipping")),
            (value, _) => {
                to.insert(key, value);
            }
        }
    }
    own.insert(GLOBAL, to);
}

/// Puts a chart's own defaults below what is in `dest`.
fn defaults(chart: &Chart, dest: &Map, prefix: &str, nulls: Nulls, log: &mut Log) {
    let prefix = path(prefix, chart.name());
    for (key, default) in map_to_go(&chart.values).entries() {
        let name = key.lossy();
        match dest.get(&key) {
            Some(Value::Nil) => {
                if nulls == Nulls::Delete {
                    dest.remove(&key);
                }
            }
            Some(Value::Map(own)) => match default {
                Value::Map(default) => {
                    // For a dependency's values it is too early to say what a null deletes.
                    let for_dependency = chart.dependencies.iter().any(|d| d.name().as_bytes() == key.as_bytes());
                    let nulls = if for_dependency { Nulls::Keep } else { nulls };
                    if nulls == Nulls::Delete {
                        drop_nulls(&default);
                    }
                    tables(&own, &default, &path(&prefix, &name), nulls, log);
                }
                Value::Nil => {}
                _ => log.note(format!("warning: skipped value for {prefix}.{name}: Not a table.")),
            },
            Some(_) => {}
            None => {
                if nulls == Nulls::Delete {
                    match &default {
                        Value::Nil => continue,
                        Value::Map(table) => drop_nulls(table),
                        _ => {}
                    }
                }
                dest.insert(key, default);
            }
        }
    }
}

fn drop_nulls(map: &Map) {
    for (key, value) in map.entries() {
        match value {
            Value::Nil => {
                map.remove(&key);
            }
            Value::Map(inner) => drop_nulls(&inner),
            _ => {}
        }
    }
}

/// Puts the entries of `src` below those of `dst`, at every depth. `src` may be changed too.
pub(crate) fn tables(dst: &Map, src: &Map, prefix: &str, nulls: Nulls, log: &mut Log) {
    let non_null: Vec<_> = src.entries().into_iter().filter(|(_, v)| !v.is_nil()).map(|(k, _)| k).collect();
    for (key, value) in dst.entries() {
        if value.is_nil() {
            src.insert(key, Value::Nil);
        }
    }
    for (key, value) in src.entries() {
        let full = || path(prefix, &key.lossy());
        match (dst.get(&key), value) {
            (Some(Value::Nil), _) if nulls == Nulls::Delete && non_null.contains(&key) => {
                dst.remove(&key);
            }
            (None, value) => {
                dst.insert(key, value);
            }
            (Some(Value::Map(own)), Value::Map(below)) => tables(&own, &below, &full(), nulls, log),
            (Some(_), Value::Map(below)) => log.note(format!(
                "warning: cannot overwrite table with non table for {} ({})",
                full(),
                shown(&Value::Map(below))
            )),
            (Some(Value::Map(_)), value) if !value.is_nil() => log.note(format!(
                "warning: destination for {} is a table. Ignoring non-table value ({})",
                full(),
                shown(&value)
            )),
            _ => {}
        }
    }
}
