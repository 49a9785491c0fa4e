//! TOML as plain data.

use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A table, keys in the order of the file.
pub(crate) type Table = Map<String, Value>;

/// A text that is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Line, from 1.
    pub(crate) row: usize,
    /// Byte in the line, from 1.
    pub(crate) column: usize,
    /// What is wrong, on one line.
    pub(crate) message: String,
}

/// Parses a text. Dates become strings: no setting of a runtime is one.
pub(crate) fn parse(text: &str) -> Result<Table, Malformed> {
    let document: toml_edit::DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.as_bytes().get(..start).unwrap_or_default();
        let row = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        Malformed { row, column, message }
    })?;
    Ok(table(document.as_table()))
}

fn table(table: &dyn toml_edit::TableLike) -> Table {
    table.iter().map(|(key, item)| (key.to_owned(), item_value(item))).collect()
}

fn item_value(item: &toml_edit::Item) -> Value {
    match item {
        toml_edit::Item::None => Value::Null,
        toml_edit::Item::Value(inner) => value(inner),
        toml_edit::Item::Table(inner) => Value::Object(table(inner)),
        toml_edit::Item::ArrayOfTables(tables) => tables.iter().map(|inner| Value::Object(table(inner))).collect(),
    }
}

fn value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::String(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => Value::from(*number.value()),
        toml_edit::Value::Boolean(flag) => Value::Bool(*flag.value()),
        toml_edit::Value::Datetime(date) => Value::String(date.value().to_string()),
        toml_edit::Value::Array(items) => items.iter().map(self::value).collect(),
        toml_edit::Value::InlineTable(inner) => Value::Object(table(inner)),
    }
}

/// Returns TOML's name for a value's type, as error messages of Go programs spell it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "table",
    }
}

/// Looks a value up along a path of keys.
pub(crate) fn at<'v>(table: &'v Table, path: &[&str]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    let mut value = table.get(*first)?;
    for key in rest {
        value = value.get(key)?;
    }
    Some(value)
}

/// Merges `from` into `to`: tables by key and at any depth, everything else replaced.
pub(crate) fn merge_deep(to: &mut Table, from: &Table) {
    for (key, value) in from {
        match (to.get_mut(key), value) {
            (Some(Value::Object(to)), Value::Object(from)) => merge_deep(to, from),
            _ => {
                to.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Writes tables as TOML, for files that a distribution generates.
pub(crate) fn write(root: &Table) -> String {
    let mut document = toml_edit::DocumentMut::new();
    fill(document.as_table_mut(), root);
    document.to_string()
}

fn fill(to: &mut toml_edit::Table, from: &Table) {
    for (key, value) in from {
        match value {
            Value::Object(inner) => {
                let mut table = toml_edit::Table::new();
                table.set_implicit(!inner.is_empty() && inner.values().all(Value::is_object));
                fill(&mut table, inner);
                to.insert(key, toml_edit::Item::Table(table));
            }
            other => {
                if let Some(value) = plain(other) {
                    to.insert(key, toml_edit::Item::Value(value));
                }
            }
        }
    }
}

fn plain(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => toml_edit::Value::Array(items.iter().filter_map(plain).collect()),
        Value::Object(inner) => {
            let pairs = inner.iter().filter_map(|(key, value)| Some((key.as_str(), plain(value)?)));
            toml_edit::Value::InlineTable(pairs.collect())
        }
    })
}

/// Places a path of the host below its root, link by link, so that an absolute link stays inside.
pub(crate) fn host_path(root: &Path, path: &str) -> PathBuf {
    let mut below = PathBuf::new();
    let mut pending: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut links = 0;
    while let Some(part) = pending.pop() {
        match part.as_str() {
            "" | "." => {}
            ".." => {
                below.pop();
            }
            name => {
                let next = below.join(name);
                match std::fs::read_link(root.join(&next)) {
                    Ok(target) if links < 40 => {
                        links += 1;
                        if target.is_absolute() {
                            below = PathBuf::new();
                        }
                        let target = target.to_string_lossy().into_owned();
                        pending.extend(target.split('/').rev().map(str::to_owned));
                    }
                    _ => below = next,
                }
            }
        }
    }
    root.join(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn positions_count_from_one() {
        let error = parse("version = 2\n[plugins").unwrap_err();
        assert_eq!(error.row, 2);
        assert!(parse("version = 2\nversion = 2").unwrap_err().message.contains("duplicate"));
    }

    #[test]
    fn absolute_links_stay_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("opt/kata.d/v1/bin")).unwrap();
        std::os::unix::fs::symlink("/opt/kata.d/v1", root.path().join("opt/kata")).unwrap();
        std::fs::write(root.path().join("opt/kata.d/v1/bin/shim"), "").unwrap();
        assert!(host_path(root.path(), "/opt/kata/bin/shim").exists());
        assert_eq!(host_path(root.path(), "/../../etc"), root.path().join("etc"));
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(any::<i64>().prop_map(Value::from), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-z.\" ]{1,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in prop::collection::btree_map("[a-z]{1,4}", tree(), 0..4)) {
            let table: Table = value.into_iter().collect();
            prop_assert_eq!(parse(&write(&table)).unwrap(), table);
        }

        #[test]
        fn merging_twice_is_merging_once(a in prop::collection::btree_map("[ab]", tree(), 0..3), b in prop::collection::btree_map("[ab]", tree(), 0..3)) {
            let (mut once, b): (Table, Table) = (a.into_iter().collect(), b.into_iter().collect());
            merge_deep(&mut once, &b);
            let mut twice = once.clone();
            merge_deep(&mut twice, &b);
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn no_text_is_a_panic(text in ".{0,80}") {
            let _ = parse(&text);
        }
    }
}
