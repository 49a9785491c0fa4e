//! An index as Helm lays it out: one block of lines a chart, below `entries:`.

use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;

/// How many charts an index may have: ten times as many as all public repositories together. Twice as many are more than the
/// parser takes.
const MAX_CHARTS: usize = 250_000;

/// An index cut into its lines' blocks.
pub(super) struct Blocks {
    /// The lines that are no entries.
    pub(super) head: String,
    /// Where the lines of each chart are, the one with its name included.
    pub(super) charts: BTreeMap<String, Range<usize>>,
}

impl Blocks {
    /// Cuts a text; `None` when it is not laid out as Helm writes indexes.
    pub(super) fn cut(text: &str) -> Option<Blocks> {
        let mut blocks = Blocks { head: String::new(), charts: BTreeMap::new() };
        let (mut inside, mut seen) = (false, false);
        let mut indent = None;
        let mut current: Option<(String, usize)> = None;
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            let start = offset;
            offset += line.len();
            let content = line.trim_start_matches(' ');
            let depth = line.len() - content.len();
            if content.trim().is_empty() || content.starts_with('#') {
                continue;
            }
            if depth == 0 {
                if let Some((name, from)) = current.take() {
                    blocks.add(name, from..start)?;
                }
                let is_marker = line.starts_with("---") || line.starts_with("...") || line.starts_with(['%', '\t']);
                let at_start = blocks.head.is_empty() && !seen && line.trim_end() == "---";
                if at_start {
                    continue;
                }
                if is_marker || (inside && line.starts_with('-')) {
                    return None;
                }
                inside = line.trim_end() == "entries:";
                if inside && std::mem::replace(&mut seen, true) {
                    return None;
                }
                if !inside {
                    blocks.head.push_str(line);
                }
            } else if !inside {
                blocks.head.push_str(line);
            } else {
                let indent = *indent.get_or_insert(depth);
                let is_item = content.starts_with("- ") || content.trim_end() == "-";
                if depth < indent || (depth == indent && !is_item) {
                    if depth < indent {
                        return None;
                    }
                    if let Some((name, from)) = current.take() {
                        blocks.add(name, from..start)?;
                    }
                    current = Some((chart_name(content)?, start));
                } else if current.is_none() {
                    return None;
                }
            }
        }
        if let Some((name, from)) = current {
            blocks.add(name, from..text.len())?;
        }
        Some(blocks)
    }

    /// A name that occurs twice, or one too many, is for the parser to complain about.
    fn add(&mut self, name: String, range: Range<usize>) -> Option<()> {
        if self.charts.len() >= MAX_CHARTS {
            return None;
        }
        self.charts.insert(name, range).is_none().then_some(())
    }
}

/// The name in a line `name:`.
fn chart_name(line: &str) -> Option<String> {
    let key = line.trim_end().strip_suffix(':')?;
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.len() > 5
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if plain {
        return Some(key.into());
    }
    // Short or odd names may be anything: a number, a boolean, quoted.
    match goyaml::parse(&format!("{key}: 0")) {
        Ok(Value::Object(object)) if object.len() == 1 => object.keys().next().cloned(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Option<Vec<(String, &str)>> {
        let blocks = Blocks::cut(text)?;
        Some(blocks.charts.into_iter().map(|(name, range)| (name, &text[range])).collect())
    }

    #[test]
    fn more_charts_than_there_can_be_are_refused() {
        let text: String = (0..=MAX_CHARTS).map(|i| format!("  chart{i}:\n")).collect();
        let text = format!("apiVersion: v1\nentries:\n{text}");
        assert_eq!(cut(&text), None);
        assert!(goyaml::parse_strict(&text).is_err(), "nor are they read whole");
    }

    #[test]
    fn blocks_end_where_the_next_begins() {
        let text = "---\na: 1\nentries:\n  # first\n  one:\n  - x: 1\n\n    y: 2\n  \"1.5\":\n    - z\nb: 2\n";
        let expected = vec![("1.5".into(), "  \"1.5\":\n    - z\n"), ("one".into(), "  one:\n  - x: 1\n\n    y: 2\n")];
        assert_eq!(cut(text), Some(expected));
        assert_eq!(Blocks::cut(text).map(|blocks| blocks.head), Some("a: 1\nb: 2\n".into()));
    }

    #[test]
    fn other_layouts_are_left_to_the_parser() {
        for text in [
            "entries:\n- a\n",
            "entries:\n  a:\n  - x\nentries:\n  b:\n",
            "entries:\n  a:\n  - x\n  a:\n  - y\n",
            "entries:\n    a:\n    - x\n  b:\n  - y\n",
            "entries:\n  a: [x]\n",
            "entries:\n  - x\n",
            "entries:\n  a:\n  - x\n---\nb: 1\n",
            "%YAML 1.1\n---\na: 1\n",
        ] {
            assert!(cut(text).is_none(), "{text}");
        }
    }
}
