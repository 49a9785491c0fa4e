//! The value side of server-side apply: merging a configuration in, taking paths out, comparing two versions.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::fieldset::{FieldSet, field_element, key_element, value_element};
use super::schema::{FieldSchema, Schema, Shape};

/// Merges an applied configuration over the live object.
pub fn merge(live: &Value, config: &Value, schema: Schema<'_>) -> Value {
    let (Value::Object(live), Value::Object(config)) = (live, config) else { return config.clone() };
    let mut out = live.clone();
    for (name, wanted) in config {
        let merged = match live.get(name) {
            Some(have) => merge_field(have, wanted, &schema.field(name)),
            None => wanted.clone(),
        };
        out.insert(name.clone(), merged);
    }
    out.into()
}

fn merge_field(live: &Value, config: &Value, field: &FieldSchema<'_>) -> Value {
    match (field.shape_of(config), live, config) {
        (Shape::Object { .. }, Value::Object(_), Value::Object(_)) => merge(live, config, field.of),
        (Shape::Keyed(keys), Value::Array(have), Value::Array(want)) => {
            merge_list(have, want, |i| key_element(i, &keys), |a, b| merge(a, b, field.of))
        }
        (Shape::Set, Value::Array(have), Value::Array(want)) => {
            merge_list(have, want, |i| Some(value_element(i)), |_, b| b.clone())
        }
        _ => config.clone(),
    }
}

/// Elements of the configuration keep their order; elements that only the live list has stay where they were relative to
/// their live neighbours.
fn merge_list(
    live: &[Value],
    config: &[Value],
    key: impl Fn(&Value) -> Option<String>,
    both: impl Fn(&Value, &Value) -> Value,
) -> Value {
    let live_keys: Vec<Option<String>> = live.iter().map(&key).collect();
    let config_keys: Vec<Option<String>> = config.iter().map(&key).collect();
    let wanted: HashSet<&String> = config_keys.iter().flatten().collect();
    let mut place: HashMap<&String, usize> = HashMap::new();
    for (i, k) in live_keys.iter().enumerate() {
        if let Some(k) = k {
            place.entry(k).or_insert(i);
        }
    }
    let mut out = Vec::with_capacity(live.len() + config.len());
    let (mut l, mut done) = (0, HashSet::new());
    for (item, k) in config.iter().zip(&config_keys) {
        let counterpart = k.as_ref().and_then(|k| place.get(k).copied());
        // Live-only elements that come before the counterpart go first, unless it was passed already.
        while counterpart.is_some_and(|c| l < c) {
            if live_keys[l].as_ref().is_none_or(|k| !wanted.contains(k)) {
                out.push(live[l].clone());
            }
            l += 1;
        }
        match counterpart {
            Some(c) => {
                if l == c {
                    l += 1;
                }
                // A key given twice merges into one element.
                if done.insert(c) {
                    out.push(both(&live[c], item));
                }
            }
            None => out.push(item.clone()),
        }
    }
    for (item, k) in live.iter().zip(&live_keys).skip(l) {
        if k.as_ref().is_none_or(|k| !wanted.contains(k)) {
            out.push(item.clone());
        }
    }
    out.into()
}

/// Takes the paths of a set out of an object. What becomes empty by that disappears too.
pub fn remove(value: &Value, set: &FieldSet, schema: Schema<'_>) -> Value {
    let Value::Object(map) = value else { return value.clone() };
    let mut out = Map::new();
    for (name, child) in map {
        let element = field_element(name);
        if set.has(&element) {
            continue;
        }
        match set.below(&element) {
            Some(below) if !below.is_empty() => {
                let kept = remove_field(child, below, &schema.field(name));
                let emptied = match &kept {
                    Value::Object(m) => m.is_empty(),
                    Value::Array(a) => a.is_empty(),
                    _ => false,
                };
                if !emptied || kept == *child {
                    out.insert(name.clone(), kept);
                }
            }
            _ => {
                out.insert(name.clone(), child.clone());
            }
        }
    }
    out.into()
}

fn remove_field(value: &Value, set: &FieldSet, field: &FieldSchema<'_>) -> Value {
    match (field.shape_of(value), value) {
        (Shape::Object { .. }, _) => remove(value, set, field.of),
        (Shape::Keyed(keys), Value::Array(items)) => items
            .iter()
            .filter_map(|item| match key_element(item, &keys) {
                Some(key) if set.has(&key) => None,
                Some(key) => Some(set.below(&key).map_or_else(|| item.clone(), |below| remove(item, below, field.of))),
                None => Some(item.clone()),
            })
            .collect(),
        (Shape::Set, Value::Array(items)) => {
            items.iter().filter(|item| !set.has(&value_element(item))).cloned().collect()
        }
        _ => value.clone(),
    }
}

/// What differs between two versions of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// Paths that only the old one has.
    pub removed: FieldSet,
    /// Paths with different values.
    pub modified: FieldSet,
    /// Paths that only the new one has.
    pub added: FieldSet,
}

impl Difference {
    /// Compares two objects.
    pub fn between(old: &Value, new: &Value, schema: Schema<'_>) -> Difference {
        let mut difference = Difference::default();
        let empty = Map::new();
        let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
        for (name, value) in new {
            let field = schema.field(name);
            match old.get(name) {
                Some(before) => difference.field(&field_element(name), before, value, &field),
                None => difference.added.add(&field_element(name), value, &field),
            }
        }
        for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            let element = field_element(name);
            difference.removed.add(&element, value, &schema.field(name));
            difference.removed.insert(&element);
        }
        difference
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    fn below(&mut self, element: &str, inner: Difference) {
        self.removed.insert_below(element, inner.removed);
        self.modified.insert_below(element, inner.modified);
        self.added.insert_below(element, inner.added);
    }

    fn field(&mut self, element: &str, old: &Value, new: &Value, field: &FieldSchema<'_>) {
        if old == new {
            return;
        }
        match (field.shape_of(new), old, new) {
            (Shape::Object { .. }, Value::Object(_), Value::Object(_)) => {
                self.below(element, Difference::between(old, new, field.of));
            }
            (Shape::Keyed(keys), Value::Array(old), Value::Array(new)) => {
                let index = |items: &[Value]| -> HashMap<String, Value> {
                    items.iter().filter_map(|i| Some((key_element(i, &keys)?, i.clone()))).collect()
                };
                let (before, after) = (index(old), index(new));
                let mut inner = Difference::default();
                for (key, value) in &after {
                    match before.get(key) {
                        Some(was) if was == value => {}
                        Some(was) => inner.below(key, Difference::between(was, value, field.of)),
                        None => {
                            inner.added.insert(key);
                            inner.added.insert_below(key, FieldSet::of_object(value, field.of));
                        }
                    }
                }
                for (key, value) in before.iter().filter(|(k, _)| !after.contains_key(*k)) {
                    inner.removed.insert(key);
                    inner.removed.insert_below(key, FieldSet::of_object(value, field.of));
                }
                self.below(element, inner);
            }
            (Shape::Set, Value::Array(old), Value::Array(new)) => {
                let elements = |items: &[Value]| {
                    let mut set = FieldSet::default();
                    items.iter().for_each(|i| set.insert(&value_element(i)));
                    set
                };
                let (before, after) = (elements(old), elements(new));
                self.added.insert_below(element, after.difference(&before));
                self.removed.insert_below(element, before.difference(&after));
            }
            _ => self.modified.insert(element),
        }
    }
}
