//! Maps.

use std::collections::HashSet;

use gotemplate::{CallResult, FuncError, Functions, List, Map, Type, Value};

use crate::args::{any, map, rest, text};
use crate::merge::merge;
use crate::text::to_text;

const A: Type = Type::Any;
const S: Type = Type::Str;
const M: Type = Type::ANY_MAP;

pub(crate) fn register(table: &mut Functions) {
    table.variadic("dict", &[], A, |_, args| {
        let map = Map::new();
        for pair in args.chunks(2) {
            map.insert(to_text(&pair[0]), pair.get(1).cloned().unwrap_or_else(|| "".into()));
        }
        Ok(map.into())
    });
    entries(table);
    selections(table);
    for (name, overwrite) in [("merge", false), ("mergeOverwrite", true)] {
        table.variadic(name, &[M], M, move |_, args| Ok(merged(args, overwrite).unwrap_or_else(|_| "".into())));
    }
    for (name, overwrite) in [("mustMerge", false), ("mustMergeOverwrite", true)] {
        table.variadic(name, &[M], M, move |_, args| merged(args, overwrite));
    }
    for name in ["deepCopy", "mustDeepCopy"] {
        table.fixed(name, &[A], |_, args| match any(args, 0) {
            Value::Nil => Err("reflect: call of reflect.Value.Type on zero Value".into()),
            value => deep_copy(value),
        });
    }
    table.variadic("dig", &[], A, |_, args| dig(args));
}

fn entries(table: &mut Functions) {
    table.fixed("get", &[M, S], |_, args| {
        Ok(map(args, 0).and_then(|map| map.get(text(args, 1))).unwrap_or_else(|| "".into()))
    });
    table.fixed("set", &[M, S, A], |_, args| {
        let map = map(args, 0).filter(|map| !map.is_nil());
        map.ok_or("assignment to entry in nil map")?.insert(text(args, 1), any(args, 2).clone());
        Ok(any(args, 0).clone())
    });
    table.fixed("unset", &[M, S], |_, args| {
        // There is no nil map here; an empty one stands for it.
        let map = map(args, 0).cloned().unwrap_or_default();
        map.remove(text(args, 1));
        Ok(map.into())
    });
    table.fixed("hasKey", &[M, S], |_, args| Ok(map(args, 0).is_some_and(|map| map.contains(text(args, 1))).into()));
}

fn selections(table: &mut Functions) {
    table.variadic("pluck", &[S], M, |_, args| {
        let maps = rest(args, 1).iter().filter_map(Value::as_map);
        Ok(maps.filter_map(|map| map.get(text(args, 0))).collect::<Vec<_>>().into())
    });
    // Go gives keys and values in random order; sorted is one of the possible ones.
    table.variadic("keys", &[], M, |_, args| {
        Ok(List::strings(args.iter().filter_map(Value::as_map).flat_map(Map::keys)).into())
    });
    table.fixed("values", &[M], |_, args| {
        let entries = map(args, 0).map(Map::entries).unwrap_or_default();
        Ok(entries.into_iter().map(|(_, value)| value).collect::<Vec<_>>().into())
    });
    table.variadic("pick", &[M], S, |_, args| {
        let picked = Map::new();
        for key in rest(args, 1).iter().filter_map(Value::as_str) {
            if let Some(value) = map(args, 0).and_then(|map| map.get(&key)) {
                picked.insert(key, value);
            }
        }
        Ok(picked.into())
    });
    table.variadic("omit", &[M], S, |_, args| {
        let left = map(args, 0).map(|map| map.retyped(M).shallow_copy()).unwrap_or_default();
        for key in rest(args, 1).iter().filter_map(Value::as_str) {
            left.remove(key);
        }
        Ok(left.into())
    });
}

fn merged(args: &[Value], overwrite: bool) -> CallResult {
    let target = match map(args, 0) {
        Some(target) => target.clone(),
        None => Map::new(),
    };
    for source in rest(args, 1).iter().filter_map(Value::as_map) {
        merge(&target, source, overwrite).map_err(|error| error.to_string())?;
    }
    Ok(target.into())
}

fn dig(args: &[Value]) -> CallResult {
    let [path @ .., default, map] = args else {
        return Err("dig needs at least three arguments".into());
    };
    if path.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let not_a = |value: &Value, wanted: &str| -> FuncError {
        let is = if value.is_nil() { "nil".to_owned() } else { value.type_name() };
        format!("interface conversion: interface {{}} is {is}, not {wanted}").into()
    };
    let plain = |value: &Value| match value {
        Value::Map(map) if map.ty() == M => Ok(map.clone()),
        other => Err(not_a(other, "map[string]interface {}")),
    };
    let mut map = plain(map)?;
    let keys: Result<Vec<_>, FuncError> = path
        .iter()
        .map(|key| match key {
            Value::Str(key) => Ok(key.clone()),
            other => Err(not_a(other, "string")),
        })
        .collect();
    let keys = keys?;
    for (i, key) in keys.iter().enumerate() {
        match map.get(key) {
            None => return Ok(default.clone()),
            Some(value) if i + 1 == keys.len() => return Ok(value),
            Some(value) => map = plain(&value)?,
        }
    }
    Ok(default.clone())
}

/// Copies a value with all that it contains. Maps that occur more than once are copied once.
///
/// # Errors
/// When a map contains itself: Go would recurse until it runs out of stack.
pub fn deep_copy(value: &Value) -> CallResult {
    copy(value, &mut HashSet::new())
}

/// A map that has two names in the original is two maps in the copy, as in Go's. `around` has the maps that are being
/// copied.
fn copy(value: &Value, around: &mut HashSet<usize>) -> CallResult {
    gotemplate::grow_stack(|| match value {
        Value::List(list) if !list.is_nil() => {
            let items: Result<Vec<_>, _> = list.items().iter().map(|item| copy(item, around)).collect();
            Ok(List::typed(list.ty(), items?).into())
        }
        Value::Map(map) => {
            if !around.insert(map.identity()) {
                return Err("deepCopy error: the map contains itself".into());
            }
            let copied = if map.is_nil() { Map::nil(map.ty()) } else { Map::typed(map.ty()) };
            for (key, item) in map.entries() {
                copied.insert(key, copy(&item, around)?);
            }
            around.remove(&map.identity());
            Ok(copied.into())
        }
        Value::Object(object) => Ok(object.copied().unwrap_or_else(|| value.clone())),
        other => Ok(other.clone()),
    })
}
