//! Our lines in files that may be other people's: setting values in TOML with comments and order kept, and taking exactly ours
//! out again.

use crate::image::Image;
use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

/// Which part of a file is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ours {
    /// All of it; whoever changed it since keeps it.
    Whole,
    /// Single values of a TOML document.
    Toml {
        /// Values set.
        values: Vec<Line>,
        /// Values set because others' lines, not only ours, would mean something else without them: the schema version, the
        /// default handler. They leave with the last line that needs them, whosever it is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        support: Vec<Line>,
        /// Entries added to the top-level array `imports`.
        imports: Vec<String>,
    },
    /// A run of lines, between a first and a last line of ours.
    Block {
        /// The lines.
        text: String,
        /// What a file holds that was only made to hold such lines.
        head: String,
    },
}

/// One value that we set in a TOML document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The keys that lead to it.
    pub path: Vec<String>,
    /// What it was before, as TOML; `None` when it was absent.
    pub before: Option<String>,
    /// What we wrote, as TOML.
    pub after: String,
}

/// A value to set: keys and value.
pub type Setting = (Vec<String>, Value);

/// Makes a setting.
pub fn setting<const N: usize>(path: [&str; N], value: impl Into<Value>) -> Setting {
    (path.iter().map(|key| (*key).to_owned()).collect(), value.into())
}

/// Why a document cannot take our values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not TOML; the message names line and column.
    #[error("{0}")]
    Syntax(String),
    /// A key on the way is not a table.
    #[error("`{0}` is not a table")]
    NotATable(String),
    /// A key that shall have a value is a table.
    #[error("`{0}` is a table")]
    NotAValue(String),
    /// `imports` is not an array of strings.
    #[error("`imports` is not an array of strings")]
    Imports,
}

/// Parses a document; the error is one line.
pub fn parse(text: &str) -> Result<DocumentMut, Unfit> {
    text.parse::<DocumentMut>().map_err(|error| {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        let reason = error.message().lines().collect::<Vec<_>>().join(", ");
        Unfit::Syntax(format!("line {line}, column {column}: {reason}"))
    })
}

/// A document that may be a template whose `${NAME}` a shell fills in, in names of tables too, where TOML has no `$`.
struct Fillable {
    document: DocumentMut,
    encoded: bool,
}

/// How `${` and `}` are spelled while a template is TOML.
const OPEN: &str = "husk-placeholder-";
const CLOSE: &str = "-husk";

impl Fillable {
    fn parse(text: &str) -> Result<Fillable, Unfit> {
        match (parse(text), text.contains("${")) {
            (Ok(document), _) => Ok(Fillable { document, encoded: false }),
            (Err(error), false) => Err(error),
            (Err(_), true) => Ok(Fillable { document: parse(&encoded(text))?, encoded: true }),
        }
    }

    fn text(&self) -> String {
        let text = self.document.to_string();
        if self.encoded { decoded(&text) } else { text }
    }
}

/// Parses a template whose `${NAME}` a shell fills in: these are words like others in the document.
pub fn parse_fillable(text: &str) -> Result<DocumentMut, Unfit> {
    Fillable::parse(text).map(|fillable| fillable.document)
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let length = after.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        if length > 0 && after[length..].starts_with('}') {
            out.extend([OPEN, &after[..length], CLOSE]);
            rest = &after[length + 1..];
        } else {
            out.push_str("${");
            rest = after;
        }
    }
    out + rest
}

fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        out.push_str(before);
        match after.split_once(CLOSE) {
            Some((name, after)) => {
                out.extend(["${", name, "}"]);
                rest = after;
            }
            None => {
                out.push_str(OPEN);
                rest = after;
            }
        }
    }
    out + rest
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    (line, column)
}

/// Sets values and adds imports. Returns the new text and what of it is ours. `support` are values on which others' lines may come
/// to depend.
pub fn set(text: &str, support: &[Setting], settings: &[Setting], imports: &[String]) -> Result<(String, Ours), Unfit> {
    let mut fillable = Fillable::parse(text)?;
    let document = &mut fillable.document;
    let support = set_values(document, support)?;
    let values = set_values(document, settings)?;
    let mut added = Vec::new();
    for import in imports {
        if add_import(document, import)? {
            added.push(import.clone());
        }
    }
    Ok((fillable.text(), Ours::Toml { values, support, imports: added }))
}

fn set_values(document: &mut DocumentMut, settings: &[Setting]) -> Result<Vec<Line>, Unfit> {
    let mut lines = Vec::new();
    for (path, value) in settings {
        let before = get(document, path).and_then(Item::as_value).map(plain);
        let after = plain(value);
        if before.as_deref() == Some(after.as_str()) {
            continue; // somebody else's already, and right
        }
        insert(document.as_table_mut(), path, value.clone())?;
        lines.push(Line { path: path.clone(), before, after });
    }
    Ok(lines)
}

/// A new document with these values alone, under a comment.
pub fn document(comment: &str, settings: &[Setting]) -> Result<(String, Ours), Unfit> {
    let (text, ours) = set("", &[], settings, &[])?;
    Ok((format!("{comment}{text}"), ours))
}

/// Looks a value up.
pub fn get<'d>(document: &'d DocumentMut, path: &[String]) -> Option<&'d Item> {
    let mut item: &Item = document.as_item();
    for key in path {
        item = item.as_table_like()?.get(key)?;
    }
    Some(item)
}

/// The entries of `imports` of a document.
pub fn imports(document: &DocumentMut) -> Vec<String> {
    let array = document.get("imports").and_then(Item::as_array);
    array.map(|array| array.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()).unwrap_or_default()
}

/// Whether a text holds exactly our lines: every setting as wanted, and none that the ledger knows and nobody wants any more.
pub fn satisfied(text: &str, settings: &[Setting], wanted_imports: &[String], ours: &Ours) -> bool {
    let Ok(document) = parse_fillable(text) else { return false };
    let right =
        |(path, value): &Setting| get(&document, path).and_then(Item::as_value).map(plain) == Some(plain(value));
    let present = imports(&document);
    let stale = match ours {
        Ours::Toml { values, imports, .. } => {
            values.iter().any(|line| {
                !settings.iter().any(|(path, _)| *path == line.path) && get(&document, &line.path).is_some()
            }) || imports.iter().any(|import| !wanted_imports.contains(import) && present.contains(import))
        }
        _ => true,
    };
    !stale && settings.iter().all(right) && wanted_imports.iter().all(|import| present.contains(import))
}

/// What a file holds once our lines are out of it, when somebody else has changed it since. `None`: nothing is left.
///
/// Values that somebody changed after us stay as they are; tables stay if they were there before us.
pub fn without_ours(now: Option<&Image>, ours: Option<&Ours>, original: Option<&Image>) -> Option<Image> {
    let now = now?;
    let (Some(text), Some(ours)) = (now.as_text(), ours) else {
        return Some(now.clone());
    };
    let (rest, made_for) = match ours {
        Ours::Whole => return Some(now.clone()),
        Ours::Block { text: block, head } => (text.replacen(block.as_str(), "", 1), head.as_str()),
        Ours::Toml { values, support, imports } => {
            let Ok(mut fillable) = Fillable::parse(text) else { return Some(now.clone()) };
            let document = &mut fillable.document;
            let mut kept = Vec::new();
            let first =
                original.and_then(Image::as_text).and_then(|text| parse_fillable(text).ok()).unwrap_or_default();
            imports.iter().for_each(|import| remove_import(document, import, first.contains_key("imports")));
            values.iter().for_each(|line| unset(document, line, &first, &mut kept));
            for line in support.iter().rev() {
                if !is_needed(document, line) {
                    unset(document, line, &first, &mut kept);
                }
            }
            (kept.concat() + &fillable.text(), "")
        }
    };
    let said = |line: &&str| !line.trim().is_empty() && !is_notice(line);
    let empty = rest.lines().filter(said).eq(made_for.lines().filter(said));
    if original.is_none() && empty { None } else { Some(now.with_text(rest)) }
}

/// Whether a line is the comment under which a file of our own begins.
fn is_notice(line: &str) -> bool {
    line.trim_start().starts_with("# Written by Husk")
}

/// Whether others' lines stand beside the table of a supporting one.
fn is_needed(document: &DocumentMut, line: &Line) -> bool {
    let (beside, own) = line.path.split_at(line.path.len().saturating_sub(2));
    let table = get(document, beside).and_then(Item::as_table_like);
    table.is_some_and(|table| table.iter().any(|(key, _)| own.first().is_none_or(|own| own != key)))
}

fn plain(value: &Value) -> String {
    let mut value = value.clone();
    value.decor_mut().clear();
    if let Some(array) = value.as_array_mut() {
        array.fmt(); // layout of an array is not part of its value
    }
    value.to_string()
}

fn insert(table: &mut dyn TableLike, path: &[String], value: Value) -> Result<(), Unfit> {
    match path {
        [] => Ok(()),
        [key] => {
            if table.get(key).is_some_and(|item| !item.is_value()) {
                return Err(Unfit::NotAValue(key.clone()));
            }
            match table.get_mut(key).and_then(Item::as_value_mut) {
                // the comment behind a value stays
                Some(old) => {
                    let decor = old.decor().clone();
                    *old = value;
                    *old.decor_mut() = decor;
                }
                None => {
                    table.insert(key, Item::Value(value));
                }
            }
            Ok(())
        }
        [key, rest @ ..] => {
            if !table.contains_key(key) {
                let mut child = Table::new();
                child.set_implicit(true);
                table.insert(key, Item::Table(child));
            }
            let child = table.get_mut(key).and_then(Item::as_table_like_mut);
            // below an inline table only inline tables can stand
            let child = child.ok_or_else(|| Unfit::NotATable(key.clone()))?;
            insert(child, rest, value)
        }
    }
}

/// Takes a value of ours out. Comments above it are somebody's; they are handed to `kept`.
fn unset(document: &mut DocumentMut, line: &Line, first: &DocumentMut, kept: &mut Vec<String>) {
    let ours = get(document, &line.path).and_then(Item::as_value).map(plain) == Some(line.after.clone());
    if !ours {
        return;
    }
    if let Some(before) = line.before.as_ref().and_then(|text| text.parse::<Value>().ok()) {
        // A path that exists and leads through tables can be set again.
        let _ = insert(document.as_table_mut(), &line.path, before);
        return;
    }
    for depth in (1..=line.path.len()).rev() {
        let (path, last) = line.path[..depth].split_at(depth - 1);
        if depth < line.path.len() {
            let child = get(document, &line.path[..depth]).and_then(Item::as_table_like);
            if child.is_none_or(|child| !child.is_empty()) || get(first, &line.path[..depth]).is_some() {
                return;
            }
        }
        let mut item = document.as_item_mut();
        for key in path {
            match item.as_table_like_mut().and_then(|table| table.get_mut(key)) {
                Some(child) => item = child,
                None => return,
            }
        }
        if let Some(table) = item.as_table_like_mut() {
            let above = match table.get(&last[0]) {
                Some(Item::Table(table)) => table.decor().prefix(),
                _ => table.key(&last[0]).and_then(|key| key.leaf_decor().prefix()),
            };
            let above = above.and_then(toml_edit::RawString::as_str).unwrap_or_default();
            kept.extend(
                above
                    .lines()
                    .filter(|line| line.trim_start().starts_with('#') && !is_notice(line))
                    .map(|line| format!("{line}\n")),
            );
            table.remove(&last[0]);
        }
    }
}

fn add_import(document: &mut DocumentMut, import: &str) -> Result<bool, Unfit> {
    if !document.contains_key("imports") {
        document.insert("imports", Item::Value(Value::Array(toml_edit::Array::new())));
    }
    let array = document["imports"].as_array_mut().ok_or(Unfit::Imports)?;
    if array.iter().any(|value| value.as_str() == Some(import)) {
        return Ok(false);
    }
    array.push(import);
    Ok(true)
}

fn remove_import(document: &mut DocumentMut, import: &str, was_there: bool) {
    let Some(array) = document.get_mut("imports").and_then(Item::as_array_mut) else { return };
    array.retain(|value| value.as_str() != Some(import));
    if array.is_empty() && !was_there {
        document.remove("imports");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = r#"# site file
version = 2   # keep

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "pause:3.9" # ours
    [plugins."io.containerd.grpc.v1.cri".containerd]
      disable_snapshot_annotations = true
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"

[grpc]
  address = "/run/x.sock"
"#;

    fn settings() -> Vec<Setting> {
        let cri = "io.containerd.grpc.v1.cri";
        vec![
            setting(
                ["plugins", cri, "containerd", "runtimes", "kata-qemu", "runtime_type"],
                "io.containerd.kata-qemu.v2",
            ),
            setting(
                ["plugins", cri, "containerd", "runtimes", "kata-qemu", "options", "ConfigPath"],
                "/opt/kata/c.toml",
            ),
            setting(["plugins", cri, "containerd", "disable_snapshot_annotations"], false),
        ]
    }

    #[test]
    fn values_are_set_and_everything_else_stays() {
        let (text, ours) = set(MAIN, &[], &settings(), &["/etc/x.toml".into()]).unwrap();
        for line in MAIN.lines().filter(|line| !line.contains("disable_snapshot")) {
            assert!(text.lines().any(|other| other == line), "lost: {line}\n{text}");
        }
        assert!(text.contains("disable_snapshot_annotations = false"));
        assert!(satisfied(&text, &settings(), &["/etc/x.toml".into()], &ours));
        assert_eq!(set(&text, &[], &settings(), &["/etc/x.toml".into()]).unwrap().0, text);
    }

    #[test]
    fn our_lines_leave_a_file_that_somebody_else_changed() {
        let (text, ours) = set(MAIN, &[], &settings(), &["/etc/x.toml".into()]).unwrap();
        let changed = format!("{text}\n[timeouts]\n  a = \"1s\"\n");
        let left =
            without_ours(Some(&Image::text(changed, 0o644)), Some(&ours), Some(&Image::text(MAIN, 0o644))).unwrap();
        assert_eq!(left.as_text().unwrap(), format!("{MAIN}\n[timeouts]\n  a = \"1s\"\n"));
    }

    #[test]
    fn a_value_changed_after_us_is_not_ours_any_more() {
        let (text, ours) = set(MAIN, &[], &settings(), &[]).unwrap();
        let changed = text.replace("/opt/kata/c.toml", "/my/c.toml");
        let left =
            without_ours(Some(&Image::text(changed, 0o644)), Some(&ours), Some(&Image::text(MAIN, 0o644))).unwrap();
        assert!(left.as_text().unwrap().contains("/my/c.toml"));
        assert!(!left.as_text().unwrap().contains("io.containerd.kata-qemu.v2"));
    }

    #[test]
    fn a_file_of_ours_alone_vanishes_unless_somebody_added_to_it() {
        let (text, ours) = document("# Written by Husk.\n", &settings()).unwrap();
        let image = Image::text(text.clone(), 0o644);
        assert_eq!(without_ours(Some(&image), Some(&ours), None), None);
        let more = Image::text(format!("{text}\n[debug]\nlevel = \"info\"\n"), 0o644);
        let left = without_ours(Some(&more), Some(&ours), None).unwrap();
        let left = parse(left.as_text().unwrap()).unwrap();
        assert_eq!(left.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["debug"]);
    }

    #[test]
    fn a_template_that_a_shell_fills_in_takes_values_into_tables_that_it_has() {
        let template = "version = 2 # kept\n[plugins.cri.containerd]\n  snapshotter = \"${SNAPSHOTTER}\"\n\
                        [plugins.cri.containerd.runtimes.${RUNTIME}]\n  runtime_type = \"${RUNTIME_TYPE}\"\n[x]\na = \"${\"\n";
        assert!(parse(template).is_err(), "it is no TOML");
        let settings = vec![
            setting(["plugins", "cri", "containerd", "disable_snapshot_annotations"], false),
            setting(["plugins", "cri", "containerd", "runtimes", "kata-qemu", "runtime_type"], "k"),
        ];
        let (text, ours) = set(template, &[], &settings, &[]).unwrap();
        for line in template.lines() {
            assert!(text.lines().any(|other| other == line), "lost: {line}\n{text}");
        }
        assert_eq!(text.matches("disable_snapshot_annotations = false").count(), 1);
        assert!(satisfied(&text, &settings, &[], &ours));
        let changed = Image::text(text.replace("# kept", "# theirs"), 0o644);
        let left = without_ours(Some(&changed), Some(&ours), Some(&Image::text(template, 0o644))).unwrap();
        assert_eq!(left.as_text().unwrap(), template.replace("# kept", "# theirs"));
        assert_eq!(decoded(&encoded("${A}-${}-${B C}-${")), "${A}-${}-${B C}-${");
    }

    #[test]
    fn bad_documents_are_named_by_line() {
        let error = set("version = 2\n[a\n", &[], &settings(), &[]).unwrap_err();
        assert!(error.to_string().starts_with("line 2"), "{error}");
        assert_eq!(set("plugins = 1\n", &[], &settings(), &[]).unwrap_err(), Unfit::NotATable("plugins".into()));
        assert_eq!(set("imports = 1\n", &[], &[], &["/x".into()]).unwrap_err(), Unfit::Imports);
    }

    mod property {
        use super::super::*;
        use proptest::prelude::*;

        fn site_file() -> impl Strategy<Value = String> {
            let key = "[a-c]{1,2}";
            let value = prop_oneof![
                Just("1".to_owned()),
                Just("'x'".to_owned()),
                Just("[1, 2]".to_owned()),
                Just("true".to_owned())
            ];
            let line = (key, value).prop_map(|(key, value)| format!("{key} = {value} # site"));
            let table =
                (prop::collection::vec(key, 1..4), prop::collection::vec(line, 0..3)).prop_map(|(path, lines)| {
                    format!(
                        "[{}]\n{}",
                        path.join("."),
                        lines.iter().map(|line| format!("  {line}\n")).collect::<String>()
                    )
                });
            prop::collection::vec(table, 0..5).prop_map(|tables| tables.join("\n"))
        }

        fn ours() -> impl Strategy<Value = Vec<Setting>> {
            let path = prop::collection::vec("[a-d]{1,2}", 1..5);
            prop::collection::vec((path, 0i64..3).prop_map(|(path, value)| (path, Value::from(value))), 1..4)
        }

        proptest! {
            /// Whatever the site's file and our values: they are all there afterwards, setting them again changes nothing, and
            /// taking them out of a file that somebody has added to leaves what the site had, and the addition.
            #[test]
            fn our_lines_come_and_go(text in site_file(), settings in ours()) {
                prop_assume!(parse(&text).is_ok());
                let Ok((after, lines)) = set(&text, &[], &settings, &[]) else { return Ok(()) };
                // of two settings where one is inside the other, or of equal ones, the later wins
                prop_assume!(settings.iter().all(|(path, value)| get(&parse(&after).unwrap(), path).and_then(Item::as_value).map(plain) == Some(plain(value))));
                prop_assert_eq!(&set(&after, &[], &settings, &[]).unwrap().0, &after);
                let changed = Image::text(format!("{after}\n[zz]\nadded = 1\n"), 0o644);
                let left = without_ours(Some(&changed), Some(&lines), Some(&Image::text(&text, 0o644))).unwrap();
                let expected = parse(&format!("{text}\n[zz]\nadded = 1\n")).unwrap();
                let left = parse(left.as_text().unwrap()).unwrap();
                prop_assert_eq!(values(&left), values(&expected));
            }
        }

        /// All values with their paths, whatever their order.
        fn values(document: &DocumentMut) -> std::collections::BTreeMap<String, String> {
            fn walk(item: &Item, path: &str, all: &mut std::collections::BTreeMap<String, String>) {
                match (item.as_table_like(), item.as_value()) {
                    (_, Some(value)) => drop(all.insert(path.to_owned(), plain(value))),
                    (Some(table), None) => {
                        table.iter().for_each(|(key, item)| walk(item, &format!("{path}.{key}"), all))
                    }
                    (None, None) => {}
                }
            }
            let mut all = std::collections::BTreeMap::new();
            walk(document.as_item(), "", &mut all);
            all
        }
    }
}
