//! The runtime's whole configuration after our edits, checked by the runtime's own rules before anything restarts.

use crate::distribution::{Found, RuntimeKind};
use crate::error::{NodeError, Result};
use crate::host::{Host, join, parent};
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
    let mut merged = DocumentMut::new();
    let files = std::iter::once("/etc/crio/crio.conf".to_owned()).chain(future.matching("/etc/crio/crio.conf.d/*"));
    for path in files {
        if let Some(text) = future.text(&path)? {
            merge(merged.as_table_mut(), parse(&path, &text)?.as_table(), usize::MAX);
        }
    }
    for handler in handlers {
        let path = ["crio", "runtime", "runtimes", handler, "runtime_path"].map(str::to_owned);
        if lines::get(&merged, &path).is_none() {
            return Err(conflict(format!("handler `{handler}` would not be in the configuration that CRI-O merges")));
        }
    }
    Ok(())
}
