//! The runtime's whole configuration after our edits, checked by the runtime's own rules before anything restarts.

use crate::distribution::{Found, RuntimeKind};
use crate::error::{NodeError, Result};
use crate::host::{Host, file_name, join, parent};
use crate::image::Image;
use crate::lines;
use crate::runtime_layout::{Layout, Route};
use contract::Code;
use std::collections::{BTreeMap, BTreeSet};
use toml_edit::{DocumentMut, Item, Table};

/// A file system to be: the host's files with those of a plan over them.
pub struct Future<'a> {
    /// The host as it is.
    pub host: &'a Host,
    /// What paths will hold; `None` for those that will be gone.
    pub changes: BTreeMap<String, Option<Image>>,
}

impl Future<'_> {
    fn text(&self, path: &str) -> Result<Option<String>> {
        match self.changes.get(path) {
            Some(image) => Ok(image.as_ref().and_then(Image::as_text).map(str::to_owned)),
            None => Ok(self.host.image(&self.host.follow(path))?.as_ref().and_then(Image::as_text).map(str::to_owned)),
        }
    }

    /// The files of a directory and of those below it, in the order in which CRI-O reads them.
    fn below(&self, directory: &str) -> Vec<String> {
        let changed = self.changes.iter().filter(|(path, image)| image.is_some() && parent(path) == directory);
        let names: BTreeSet<String> = (self.host.names(directory).into_iter())
            .chain(changed.map(|(path, _)| file_name(path).to_owned()))
            .filter(|name| self.changes.get(&join(directory, name)).is_none_or(Option::is_some))
            .collect();
        let paths = names.into_iter().map(|name| join(directory, &name));
        paths.flat_map(|path| if self.host.is_directory(&path) { self.below(&path) } else { vec![path] }).collect()
    }

    fn matching(&self, pattern: &str) -> Vec<String> {
        if !pattern.contains('*') {
            return vec![pattern.to_owned()];
        }
        let mut names: BTreeSet<String> = self.host.matching(pattern).into_iter().collect();
        let (head, tail) = pattern.split_once('*').unwrap_or((pattern, ""));
        for (path, image) in &self.changes {
            let fits = parent(path) == parent(pattern)
                && path.starts_with(head)
                && path.ends_with(tail)
                && path.len() >= head.len() + tail.len();
            match (fits, image) {
                (true, Some(_)) => names.insert(path.clone()),
                (true, None) => names.remove(path),
                _ => continue,
            };
        }
        names.into_iter().collect()
    }
}

/// Checks what the runtime will read. `handlers` are those it must then know; empty when everything of ours goes.
///
/// # Errors
/// [`Code::RUNTIME_CONFIG_CONFLICT`] with the file and the rule it breaks.
pub fn check(found: &Found, layout: &Layout, future: &Future, handlers: &[String]) -> Result<()> {
    if found.runtime == RuntimeKind::Crio {
        return check_crio(future, handlers);
    }
    let merged = match &layout.route {
        Route::Template { path, .. } => rendered(layout, path, future)?,
        Route::Fillable(path) => lines::parse_fillable(&future.text(path)?.unwrap_or_default())
            .map_err(|error| conflict(format!("{path}: {error}")))?,
        Route::Merged(path) => match future.text(path)? {
            Some(text) => parse(path, &text)?,
            None => DocumentMut::new(),
        },
        _ => load(&layout.main, found.release().0 >= 2, future)?,
    };
    let plugin = layout.runtime_plugin();
    for name in merged.get("disabled_plugins").and_then(Item::as_array).into_iter().flatten().filter_map(|v| v.as_str())
    {
        if name == "cri" || name == plugin || name == "io.containerd.grpc.v1.cri" {
            return Err(conflict(format!(
                "{} disables containerd's CRI plugin (`disabled_plugins` has `{name}`); Kubernetes cannot run pods with it",
                layout.main
            )));
        }
    }
    for handler in handlers {
        let path = ["plugins", plugin, "containerd", "runtimes", handler, "runtime_type"].map(str::to_owned);
        if lines::get(&merged, &path).and_then(Item::as_str).is_none() {
            return Err(conflict(format!(
                "handler `{handler}` would not be in the configuration that containerd merges from {}",
                layout.main
            )));
        }
    }
    Ok(())
}

fn conflict(message: String) -> NodeError {
    NodeError::new(Code::RUNTIME_CONFIG_CONFLICT, message)
}

fn parse(path: &str, text: &str) -> Result<DocumentMut> {
    lines::parse(text).map_err(|error| conflict(format!("{path}: {error}")))
}

/// Loads a file and what it imports, as containerd does: breadth first, each file once, a missing file that is named without a
/// pattern is an error. containerd 1.x replaces whole plugins by imported ones, 2.x merges them.
fn load(main: &str, merge_plugins: bool, future: &Future) -> Result<DocumentMut> {
    let mut merged = DocumentMut::new();
    let mut seen = BTreeSet::new();
    let mut pending = std::collections::VecDeque::from([main.to_owned()]);
    while let Some(path) = pending.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let text = match future.text(&path)? {
            Some(text) => text,
            None if path == main => continue, // containerd runs on its defaults then
            None => {
                return Err(conflict(format!(
                    "{main} imports {path}, which does not exist; containerd would not start"
                )));
            }
        };
        let document = parse(&path, &text)?;
        for import in lines::imports(&document) {
            pending.extend(future.matching(&join(parent(&path), &import)));
        }
        merge(merged.as_table_mut(), document.as_table(), if merge_plugins { usize::MAX } else { 2 });
    }
    Ok(merged)
}

/// Puts one table over another; below `depth` levels tables are replaced whole.
fn merge(into: &mut Table, from: &Table, depth: usize) {
    for (key, item) in from {
        match (into.get_mut(key).and_then(Item::as_table_mut), item.as_table()) {
            (Some(old), Some(new)) if depth > 1 => merge(old, new, depth - 1),
            _ => {
                into.insert(key, item.clone());
            }
        }
    }
}

/// k3s and RKE2 render their template at start. The part that is not ours is taken as it was rendered last, so a table that
/// both have is found.
fn rendered(layout: &Layout, template: &str, future: &Future) -> Result<DocumentMut> {
    let now = future.host.text(template).unwrap_or_default();
    let after = future.text(template)?.unwrap_or_default();
    let block = |text: &str| text.find("# husk: begin").map(|start| text[start..].to_owned()).unwrap_or_default();
    let mut base = future.text(&layout.main)?.unwrap_or_default();
    if let Some(start) = base.find("# husk: begin").filter(|_| !block(&now).is_empty()) {
        let end = base[start..]
            .rfind("# husk: end")
            .and_then(|at| base[start + at..].find('\n').map(|n| start + at + n))
            .unwrap_or(base.len());
        base.replace_range(start..end, "");
    }
    let text = format!("{base}\n{}", block(&after));
    lines::parse(&text).map_err(|error| {
        NodeError::new(
            Code::DROP_IN_NOT_READ,
            format!(
                "what is rendered from {template} has a table already that our lines need to open ({error}). {}",
                remedy(layout, template)
            ),
        )
    })
}

/// What an administrator can do about a template that cannot take our lines.
fn remedy(layout: &Layout, template: &str) -> String {
    if layout.schema >= 3 {
        format!(
            "Put `imports = [\"{}/config-v3.toml.d/*.toml\"]` above everything else in it and restart: then we use a drop-in",
            parent(template)
        )
    } else {
        "Releases of k3s and RKE2 with containerd 1 have no drop-ins: upgrade to one with containerd 2, or leave this node out"
            .to_owned()
    }
}

fn check_crio(future: &Future, handlers: &[String]) -> Result<()> {
    let (merged, by) = crio(future)?;
    for handler in handlers {
        let path = ["crio", "runtime", "runtimes", handler, "runtime_path"].map(str::to_owned);
        if lines::get(&merged, &path).is_none() {
            let why = match by.get(handler) {
                Some(file) => format!("{file} has a table for handler `{handler}` that takes the place of ours whole"),
                None => format!("handler `{handler}` would not be in the configuration that CRI-O merges"),
            };
            return Err(conflict(why));
        }
    }
    Ok(())
}

/// What CRI-O makes of its files, and the last of them that has a table for each handler: that table replaces earlier ones whole.
fn crio(future: &Future) -> Result<(DocumentMut, BTreeMap<String, String>)> {
    let mut merged = DocumentMut::new();
    let mut by = BTreeMap::new();
    let path = ["crio", "runtime", "runtimes"].map(str::to_owned);
    for file in std::iter::once("/etc/crio/crio.conf".to_owned()).chain(future.below("/etc/crio/crio.conf.d")) {
        let Some(text) = future.text(&file)? else { continue };
        let document = parse(&file, &text)?;
        let handlers = lines::get(&document, &path).and_then(Item::as_table_like).into_iter();
        for (handler, _) in handlers.flat_map(|table| table.iter()) {
            by.insert(handler.to_owned(), file.clone());
            let mut old = merged.as_table_mut().get_mut("crio");
            for key in ["runtime", "runtimes"] {
                old = old.and_then(|item| item.as_table_like_mut()?.get_mut(key));
            }
            if let Some(table) = old.and_then(Item::as_table_like_mut) {
                table.remove(handler);
            }
        }
        merge(merged.as_table_mut(), document.as_table(), usize::MAX);
    }
    Ok((merged, by))
}

/// What CRI-O will do with the file systems of containers: the directory where it mounts them, and whether it leaves that
/// directory as it is, without a mount of its own that hides what is mounted below.
///
/// # Errors
/// [`Code::RUNTIME_CONFIG_CONFLICT`] when a file is not TOML.
pub fn crio_storage(future: &Future) -> Result<(String, bool)> {
    const SKIPS: &str = "overlay.skip_mount_home=true";
    let get = |document: &DocumentMut, path: &[&str]| {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        lines::get(document, &path).cloned()
    };
    let mut root = "/var/lib/containers/storage".to_owned();
    let mut skips = false;
    let library = ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"];
    for file in library {
        let Some(text) = future.text(file)? else { continue };
        let document = parse(file, &text)?;
        if let Some(graph) = get(&document, &["storage", "graphroot"]).as_ref().and_then(Item::as_str) {
            root = graph.to_owned();
        }
        let option = get(&document, &["storage", "options", "overlay", "skip_mount_home"]);
        skips = option.as_ref().and_then(Item::as_str) == Some("true");
        // the distribution's is read only without an administrator's
        break;
    }
    let own = std::iter::once("/etc/crio/crio.conf".to_owned()).chain(future.below("/etc/crio/crio.conf.d"));
    for file in own {
        let Some(text) = future.text(&file)? else { continue };
        let document = parse(&file, &text)?;
        if let Some(named) = get(&document, &["crio", "root"]).as_ref().and_then(Item::as_str) {
            root = named.to_owned();
        }
        // options add up
        let options = get(&document, &["crio", "storage_option"]);
        let options = options.as_ref().and_then(Item::as_array).into_iter().flat_map(|all| all.iter());
        skips |= options.filter_map(toml_edit::Value::as_str).any(|option| option == SKIPS);
    }
    Ok((format!("{root}/overlay"), skips))
}
