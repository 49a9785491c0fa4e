//! Slash-separated paths. The `os` variants are those of Linux, which are the same.

use gotemplate::{Functions, Type, Value};

use crate::args::utf8;

pub(crate) fn register(table: &mut Functions) {
    let mut add = |names: [&str; 2], part: fn(&str) -> Value| {
        for name in names {
            table.fixed(name, &[Type::Str], move |_, args| Ok(part(&utf8(args, 0))));
        }
    };
    add(["base", "osBase"], |path| base(path).into());
    add(["dir", "osDir"], |path| dir(path).into());
    add(["clean", "osClean"], |path| clean(path).into());
    add(["ext", "osExt"], |path| ext(path).into());
    add(["isAbs", "osIsAbs"], |path| path.starts_with('/').into());
}

/// The last element.
fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let path = path.trim_end_matches('/');
    if path.is_empty() { "/" } else { path.rsplit('/').next().unwrap_or(path) }
}

/// All but the last element.
fn dir(path: &str) -> String {
    clean(&path[..path.rfind('/').map_or(0, |at| at + 1)])
}

/// The suffix from the last dot of the last element.
fn ext(path: &str) -> &str {
    let last = path.rsplit('/').next().unwrap_or(path);
    last.rfind('.').map_or("", |at| &last[at..])
}

/// The shortest path that means the same by its letters.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
