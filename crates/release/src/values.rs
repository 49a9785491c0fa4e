//! Which values an upgrade uses: those of the user, those of the last revision, or both.

use serde_json::{Map, Value};

/// What an upgrade does with the values of the revision before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reuse {
    /// Take them when the user gives none.
    #[default]
    WhenNoneGiven,
    /// Forget them (`--reset-values`).
    Never,
    /// Keep them and the old chart's defaults (`--reuse-values`).
    WithOldDefaults,
    /// Keep them over the new chart's defaults (`--reset-then-reuse-values`).
    OverNewDefaults,
}

/// The values of an upgrade.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chosen {
    /// What is stored as the user's values.
    pub config: Map<String, Value>,
    /// What takes the place of the chart's defaults, when they are not the chart's own.
    pub defaults: Option<Map<String, Value>>,
}

/// Chooses the values of an upgrade. Numbers of the record are floats, as they are for Helm, which reads it as JSON.
pub fn choose(reuse: Reuse, given: Map<String, Value>, old: &Map<String, Value>, old_chart: &Value) -> Chosen {
    let old = &with_floats(old);
    match reuse {
        Reuse::Never => Chosen { config: given, defaults: None },
        Reuse::WhenNoneGiven if given.is_empty() => Chosen { config: old.clone(), defaults: None },
        Reuse::WhenNoneGiven => Chosen { config: given, defaults: None },
        Reuse::OverNewDefaults => Chosen { config: coalesce(given, old), defaults: None },
        Reuse::WithOldDefaults => {
            let defaults = old_chart["values"].as_object().map(with_floats).unwrap_or_default();
            Chosen { config: coalesce(given, old), defaults: Some(coalesce(old.clone(), &without_nulls(&defaults))) }
        }
    }
}

/// Fills `upper` with what only `lower` has. A null of `upper` removes a key that `lower` has a value for.
pub fn coalesce(mut upper: Map<String, Value>, lower: &Map<String, Value>) -> Map<String, Value> {
    for (key, below) in lower {
        match upper.get_mut(key) {
            None => {
                upper.insert(key.clone(), below.clone());
            }
            Some(Value::Null) if !below.is_null() => {
                upper.shift_remove(key);
            }
            Some(Value::Object(above)) => {
                if let Value::Object(below) = below {
                    *above = coalesce(std::mem::take(above), below);
                }
            }
            Some(_) => {}
        }
    }
    upper
}

fn with_floats(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter().map(|(key, value)| (key.clone(), goyaml::with_float_numbers(value.clone()))).collect()
}

fn without_nulls(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| match value {
            Value::Object(inner) => (key.clone(), Value::Object(without_nulls(inner))),
            other => (key.clone(), other.clone()),
        })
        .collect()
}

/// Labels of the revision before and labels that were given; the word `null` takes one away.
pub fn merge_labels(
    old: &std::collections::BTreeMap<String, String>,
    given: &std::collections::BTreeMap<String, String>,
) -> std::collections::BTreeMap<String, String> {
    let mut labels = old.clone();
    labels.extend(given.clone());
    labels.retain(|_, value| value != "null");
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn each_way_of_reuse() {
        let given = map(json!({"a": {"x": 1}, "gone": null}));
        let old = map(json!({"a": {"x": 0, "y": 2}, "gone": 5, "b": 3}));
        let floats = map(json!({"a": {"x": 0.0, "y": 2.0}, "gone": 5.0, "b": 3.0}));
        let chart = json!({"values": {"b": 0, "c": 4, "n": null}});
        let pick = |reuse, given: &Map<String, Value>| choose(reuse, given.clone(), &old, &chart);
        let both = map(json!({"a": {"x": 1, "y": 2.0}, "b": 3.0}));
        assert_eq!(pick(Reuse::Never, &given).config, given);
        assert_eq!(pick(Reuse::WhenNoneGiven, &given).config, given);
        assert_eq!(pick(Reuse::WhenNoneGiven, &Map::new()).config, floats);
        assert_eq!(pick(Reuse::OverNewDefaults, &given), Chosen { config: both.clone(), defaults: None });
        let kept = pick(Reuse::WithOldDefaults, &given);
        assert_eq!(kept.config, both);
        assert_eq!(kept.defaults, Some(map(json!({"a": {"x": 0.0, "y": 2.0}, "gone": 5.0, "b": 3.0, "c": 4.0}))));
    }

    fn values() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), Just(json!([1]))];
        let value = leaf.prop_recursive(3, 16, 4, |inner| {
            proptest::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        proptest::collection::btree_map("[a-d]", value, 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_above_wins_and_nothing_below_is_lost(upper in values(), lower in values()) {
            let both = coalesce(upper.clone(), &lower);
            for (key, value) in &upper {
                match value {
                    Value::Null => prop_assert!(!both.contains_key(key) || lower.get(key).is_none_or(Value::is_null)),
                    Value::Object(_) => prop_assert!(both[key].is_object()),
                    other => prop_assert_eq!(&both[key], other),
                }
            }
            for (key, value) in &lower {
                if !upper.contains_key(key) {
                    prop_assert_eq!(&both[key], value);
                }
            }
        }
    }

    #[test]
    fn tables_and_scalars_do_not_mix() {
        assert_eq!(coalesce(map(json!({"a": 1})), &map(json!({"a": {"b": 2}}))), map(json!({"a": 1})));
        assert_eq!(coalesce(map(json!({"a": {"b": 2}})), &map(json!({"a": 1}))), map(json!({"a": {"b": 2}})));
        assert_eq!(coalesce(map(json!({"a": null})), &map(json!({"a": null}))), map(json!({"a": null})));
    }

    #[test]
    fn labels_can_be_taken_away() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let merged = merge_labels(&labels(&[("a", "1"), ("b", "2")]), &labels(&[("b", "null"), ("c", "3")]));
        assert_eq!(merged, labels(&[("a", "1"), ("c", "3")]));
    }
}
