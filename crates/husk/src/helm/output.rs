//! How results are printed: tables, JSON and YAML as Helm has them.

use super::flags::{Flag, Kind, Parsed};
use jiff::tz::TimeZone;
use release::record::Time;
use serde_json::Value;
use std::fmt::Write as _;

pub(super) const OUTPUT: &[Flag] = &[Flag::new("output", Kind::Text).short('o')];

/// One of the three formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Table,
    Json,
    Yaml,
}

impl Format {
    /// Reads the flag `-o`.
    pub(super) fn of(parsed: &Parsed) -> Result<Format, String> {
        match parsed.text("output") {
            None | Some("table") => Ok(Format::Table),
            Some("json") => Ok(Format::Json),
            Some("yaml") => Ok(Format::Yaml),
            Some(word) => Err(format!("invalid argument {word:?} for \"-o, --output\" flag: invalid format type")),
        }
    }

    /// Prints a value; the table is made only when it is asked for. Maps are sorted, except for structures in JSON.
    pub(super) fn emit(self, value: &Value, table: impl FnOnce() -> String) -> Result<(), String> {
        super::out(&match self {
            Format::Table => table(),
            Format::Json => format!("{}\n", json(value)),
            Format::Yaml => yaml(value)?,
        });
        Ok(())
    }
}

/// A value as YAML, keys sorted.
pub(super) fn yaml(value: &Value) -> Result<String, String> {
    goyaml::to_yaml(value).map_err(|error| format!("unable to write YAML output: {error}"))
}

/// Members that are maps in Go, whose keys are sorted; all other objects are structures.
const MAPS: &[&str] = &["annotations", "config", "labels", "resources", "values"];

/// A value as Go's encoder prints its structures.
fn json(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                let text = if MAPS.contains(&key.as_str()) { goyaml::json_text(value) } else { json(value) };
                format!("{}:{text}", goyaml::json_text(&Value::String(key.clone())))
            };
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        plain => goyaml::json_text(plain),
    }
}

/// Rows whose columns are padded with blanks and parted by tabs.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.flat_map(|cell| cell.split('\n')).map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let parted = if column == 0 { "" } else { "\t" };
            let width = widths[column];
            let _ = write!(text, "{parted}{:<width$}", clip(cell.clone(), width));
        }
        text.push('\n');
    }
    if text.is_empty() {
        text.push('\n');
    }
    text
}

/// Rows whose longer cells end in dots at a width; 0 is none.
pub(super) fn clipped(rows: Vec<Vec<String>>, width: i64) -> Vec<Vec<String>> {
    let width = usize::try_from(width).unwrap_or(0);
    let clip = |cell: String| if width == 0 { cell } else { clip(cell, width) };
    rows.into_iter().map(|row| row.into_iter().map(clip).collect()).collect()
}

/// A cell that is wider ends in dots. One of several lines is as wide as all of them together, though its column is only as
/// wide as the longest of them: so it is cut, in Helm's tables as here.
fn clip(cell: String, width: usize) -> String {
    match cell.chars().filter(|letter| *letter != '\n').count() > width {
        true => cell.chars().take(width.saturating_sub(3).max(1)).chain("...".chars()).collect(),
        false => cell,
    }
}

/// A time as ANSI C has it.
pub(super) fn ansi_c(time: Option<Time>) -> String {
    match time {
        Some(time) => time.zoned().strftime("%a %b %e %H:%M:%S %Y").to_string(),
        None => "Mon Jan  1 00:00:00 0001".to_owned(),
    }
}

/// A time as Go prints it by itself.
pub(super) fn go_time(time: Time) -> String {
    let zoned = time.zoned();
    let local = TimeZone::system();
    let fraction = zoned.strftime("%9f").to_string();
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let offset = zoned.strftime("%z").to_string();
    let info = local.to_offset_info(time.at);
    let zone = match (info.offset() == time.offset, time.offset.is_zero()) {
        (true, _) => info.abbreviation().to_owned(),
        (false, true) => "UTC".to_owned(),
        (false, false) => offset.clone(),
    };
    format!("{}{dot}{fraction} {offset} {zone}", zoned.strftime("%Y-%m-%d %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn structures_keep_their_order_and_maps_do_not() {
        let value = json!({"name": "a", "info": {"status": "x<y"}, "config": {"b": 1.0, "a": [1.5]}});
        assert_eq!(json(&value), r#"{"name":"a","info":{"status":"x\u003cy"},"config":{"a":[1.5],"b":1}}"#);
    }

    #[test]
    fn cells_are_padded() {
        let rows = [vec!["NAME".to_owned(), "X".to_owned()], vec!["a".to_owned(), "long".to_owned()]];
        assert_eq!(table(&rows), "NAME\tX   \na   \tlong\n");
    }

    #[test]
    fn long_cells_end_in_dots() {
        let row = || vec![vec!["abcdefg".to_owned(), "äöüß".to_owned()]];
        assert_eq!(clipped(row(), 6), [["abc...", "äöüß"]]);
        assert_eq!(clipped(row(), 2), [["a...", "ä..."]]);
        assert_eq!(clipped(row(), 0), row());
    }

    #[test]
    fn times() {
        let time: Time = "2024-05-01T10:00:00.1234+05:30".parse().unwrap();
        assert_eq!(ansi_c(Some(time)), "Wed May  1 10:00:00 2024");
        assert_eq!(go_time(time), "2024-05-01 10:00:00.1234 +0530 +0530");
    }
}
