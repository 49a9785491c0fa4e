//! From rendered files to documents: splitting, telling hooks from the rest, sorting.

use crate::render::kinds::install_order;
use crate::render::templates::is_partial;
use crate::rendered::{DeletePolicy, Hook, HookEvent, Manifest, OutputLogPolicy};
use crate::{Error, Log, LogLevel};
use goyaml::Tree;
use goyaml::number::go_float32;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The documents of a chart, in install order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents {
    /// What the release consists of.
    pub manifests: Vec<Manifest>,
    /// What runs at certain moments.
    pub hooks: Vec<Hook>,
}

/// Bytes for which it is worth to wake a thread: that takes as long as reading a few small files.
const WORTH_WAKING: usize = 16 << 10;

/// Longer files are read when all are rendered, so that the memory that this takes is not needed beside what rendering takes.
const LONG: usize = 256 << 10;

/// Files that are split into documents and read while further ones are rendered, by any number of threads.
#[derive(Default)]
pub(super) struct Reading {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    files: VecDeque<(String, String)>,
    long: Vec<(String, String)>,
    /// Bytes that came since somebody was woken.
    bytes: usize,
    /// There will be no further ones.
    complete: bool,
    /// How many are being read.
    busy: usize,
    /// What is in each file, and what was said about it.
    read: BTreeMap<String, (Result<Documents, Error>, Log)>,
}

impl Reading {
    /// Gives a file to whoever reads next. Files whose name starts with `_` and empty ones do not count.
    pub(super) fn add(&self, path: String, text: String) {
        let mut waiting = self.waiting();
        if text.len() > LONG {
            return waiting.long.push((path, text));
        }
        waiting.bytes += text.len();
        waiting.files.push_back((path, text));
        if waiting.bytes >= WORTH_WAKING {
            waiting.bytes = 0;
            drop(waiting);
            self.changed.notify_one();
        }
    }

    /// Says that nobody wants the documents any more.
    pub(super) fn stop(&self) {
        let mut waiting = self.waiting();
        waiting.files.clear();
        waiting.long.clear();
        waiting.complete = true;
        self.changed.notify_all();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads files until there will be no further ones.
    pub(super) fn read(&self) {
        while let Some((path, text)) = self.next() {
            let _busy = Busy(self);
            let mut log = Log::default();
            let found = unsorted(&path, &text, &mut log);
            self.waiting().read.insert(path, (found, log));
        }
    }

    fn next(&self) -> Option<(String, String)> {
        let none_yet = |waiting: &mut Waiting| waiting.files.is_empty() && !waiting.complete;
        let mut waiting = self.changed.wait_while(self.waiting(), none_yet).unwrap_or_else(PoisonError::into_inner);
        let next = waiting.files.pop_front()?;
        waiting.busy += 1;
        Some(next)
    }

    /// The documents of all files in install order, there being no further ones.
    ///
    /// Errors: [`Error::Manifest`]: a document of the first file of which that is true is no YAML mapping.
    pub(super) fn documents(&self, log: &mut Log) -> Result<Documents, Error> {
        {
            let mut waiting = self.waiting();
            let long = std::mem::take(&mut waiting.long);
            if !long.is_empty() {
                self.changed.notify_all();
            }
            waiting.files.extend(long);
            waiting.complete = true;
        }
        self.read();
        let reading = |waiting: &mut Waiting| waiting.busy > 0;
        let mut waiting = self.changed.wait_while(self.waiting(), reading).unwrap_or_else(PoisonError::into_inner);
        let mut all = Documents::default();
        for (found, mut said) in std::mem::take(&mut waiting.read).into_values() {
            log.0.append(&mut said.0);
            let found = found?;
            all.manifests.extend(found.manifests);
            all.hooks.extend(found.hooks);
        }
        sort(&mut all);
        Ok(all)
    }
}

/// A file that is being read. Whoever waits for it goes on even when that ends in a panic.
struct Busy<'r>(&'r Reading);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.busy -= 1;
        if waiting.complete {
            self.0.changed.notify_all();
        }
    }
}

/// The documents of a file.
fn unsorted(path: &str, text: &str, log: &mut Log) -> Result<Documents, Error> {
    let mut found = Documents::default();
    if is_partial(path) {
        return Ok(found);
    }
    for content in split(text) {
        sort_in(path, content, &mut found, log)?;
    }
    Ok(found)
}

/// Sorts by kind, keeping the order of equals.
pub fn sort(documents: &mut Documents) {
    documents.manifests.sort_by(|a, b| install_order(&a.kind, &b.kind));
    documents.hooks.sort_by(|a, b| install_order(&a.kind, &b.kind));
}

/// The documents of a text. Every line that starts with three dashes separates, wherever it stands; what follows the dashes
/// belongs to the next document. Blank documents are dropped.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim_start();
    // A separator is three dashes at the start of the text or of a line.
    let dashes = memchr::memmem::find_iter(text.as_bytes(), b"---");
    let mut separators = dashes.filter(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n');
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let from = next?;
        let after = separators.next();
        next = after.map(|at| at + 3);
        Some(&text[from..after.unwrap_or(text.len())])
    })
    .filter(|part| !part.trim().is_empty())
    .map(str::trim_start)
}

/// What Helm looks at in a document.
#[derive(Debug, Default)]
struct Head {
    api_version: String,
    kind: String,
    name: String,
    annotations: BTreeMap<String, String>,
}

const HOOK: &str = "helm.sh/hook";
const WEIGHT: &str = "helm.sh/hook-weight";
const DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
const OUTPUT_LOG_POLICY: &str = "helm.sh/hook-output-log-policy";

fn sort_in(path: &str, content: &str, found: &mut Documents, log: &mut Log) -> Result<(), Error> {
    let head = head(content).map_err(|e| Error::Manifest(format!("YAML parse error on {path}: {e}")))?;
    let Some(wanted) = head.annotations.get(HOOK) else {
        found.manifests.push(Manifest {
            path: path.to_string(),
            api_version: head.api_version,
            kind: head.kind,
            name: head.name,
            content: content.to_string(),
        });
        return Ok(());
    };
    let events: Option<Vec<HookEvent>> = words(wanted).map(|word| event(&word)).collect();
    let Some(events) = events else {
        log.add(LogLevel::Info, "skipping unknown hooks", vec![("hookTypes", wanted.clone())]);
        return Ok(());
    };
    let annotation = |name: &str| head.annotations.get(name).map(String::as_str).unwrap_or_default();
    found.hooks.push(Hook {
        weight: annotation(WEIGHT).parse().unwrap_or(0),
        delete_policies: words(annotation(DELETE_POLICY)).filter_map(|w| delete_policy(&w)).collect(),
        output_log_policies: words(annotation(OUTPUT_LOG_POLICY)).filter_map(|w| output_log_policy(&w)).collect(),
        name: head.name,
        kind: head.kind,
        path: path.to_string(),
        manifest: content.to_string(),
        events,
    });
    Ok(())
}

fn words(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(|word| word.trim().to_lowercase())
}

fn event(word: &str) -> Option<HookEvent> {
    Some(match word {
        "pre-install" => HookEvent::PreInstall,
        "post-install" => HookEvent::PostInstall,
        "pre-delete" => HookEvent::PreDelete,
        "post-delete" => HookEvent::PostDelete,
        "pre-upgrade" => HookEvent::PreUpgrade,
        "post-upgrade" => HookEvent::PostUpgrade,
        "pre-rollback" => HookEvent::PreRollback,
        "post-rollback" => HookEvent::PostRollback,
        "test" | "test-success" => HookEvent::Test,
        _ => return None,
    })
}

fn delete_policy(word: &str) -> Option<DeletePolicy> {
    Some(match word {
        "hook-succeeded" => DeletePolicy::HookSucceeded,
        "hook-failed" => DeletePolicy::HookFailed,
        "before-hook-creation" => DeletePolicy::BeforeHookCreation,
        _ => return None,
    })
}

fn output_log_policy(word: &str) -> Option<OutputLogPolicy> {
    Some(match word {
        "hook-succeeded" => OutputLogPolicy::HookSucceeded,
        "hook-failed" => OutputLogPolicy::HookFailed,
        _ => return None,
    })
}

/// The struct that Go decodes `metadata` into, as its messages spell it.
const METADATA_TYPE: &str =
    "struct { Name string \"json:\\\"name\\\"\"; Annotations map[string]string \"json:\\\"annotations\\\"\" }";

fn head(content: &str) -> Result<Head, String> {
    let tree = goyaml::parse_tree(content).map_err(|e| e.in_conversion())?;
    let decode = |found: &Tree<'_>, target: &str| {
        let kind = found.kind();
        format!("error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {kind} into Go {target}")
    };
    match &tree {
        Tree::Map(_) => {}
        Tree::Null => return Ok(Head::default()),
        other => return Err(decode(other, "value of type util.SimpleHead")),
    }
    let text = |found: Option<&Tree<'_>>, field: &str| -> Result<String, String> {
        Ok(match found {
            None | Some(Tree::Null) => String::new(),
            Some(Tree::Text(s)) => s.to_string(),
            Some(Tree::Bool(b)) => b.to_string(),
            Some(Tree::Float(f)) => go_float32(*f),
            Some(Tree::Int(i)) => i.to_string(),
            Some(Tree::Uint(u)) => u.to_string(),
            Some(other) => return Err(decode(other, &format!("struct field {field} of type string"))),
        })
    };
    let mut head = Head {
        api_version: text(tree.get("apiVersion"), "SimpleHead.apiVersion")?,
        kind: text(tree.get("kind"), "SimpleHead.kind")?,
        ..Head::default()
    };
    let metadata = match tree.get("metadata") {
        None | Some(Tree::Null) => return Ok(head),
        Some(metadata @ Tree::Map(_)) => metadata,
        Some(other) => {
            return Err(decode(other, &format!("struct field SimpleHead.metadata of type {METADATA_TYPE}")));
        }
    };
    head.name = text(metadata.get("name"), ".metadata.name")?;
    match metadata.get("annotations") {
        None | Some(Tree::Null) => {}
        Some(Tree::Map(annotations)) => {
            for (key, value) in annotations {
                let value = text(Some(value), ".metadata.annotations")?;
                head.annotations.insert(key.to_string(), value);
            }
        }
        Some(other) => {
            let field = "struct field .metadata.annotations of type map[string]string";
            return Err(decode(other, field));
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_at_the_start_of_a_line_always_separate() {
        let parts = |text| split(text).collect::<Vec<_>>();
        assert_eq!(parts("\n---\na: 1\n--- \n\n---b: 2\n"), ["a: 1\n", "b: 2\n"]);
        assert_eq!(parts("a: |\n---\n x----\n------\n"), ["a: |\n", "x----\n", "---\n"]);
        assert_eq!(parts(" \n"), Vec::<&str>::new());
    }

    fn documents(files: BTreeMap<String, String>, log: &mut Log) -> Result<Documents, Error> {
        let reading = Reading::default();
        std::thread::scope(|scope| {
            scope.spawn(|| reading.read());
            files.into_iter().rev().for_each(|(path, text)| reading.add(path, text));
            let documents = reading.documents(log);
            reading.stop();
            documents
        })
    }

    #[test]
    fn documents_keep_the_order_of_their_files_and_the_first_error_counts() {
        let file = |i: usize, text: &str| (format!("f{i:02}"), text.to_owned());
        let hook = |i: usize| format!("kind: Job\nmetadata: {{name: n{i}, annotations: {{helm.sh/hook: bogus{i}}}}}\n");
        let mut files: BTreeMap<String, String> =
            (0..60).map(|i| file(i, &format!("kind: Secret\nmetadata: {{name: n{i}}}\n---\n{}", hook(i)))).collect();
        // Long files come last to be read, and keep their places.
        for text in files.values_mut().step_by(7) {
            text.push_str(&format!("# {}\n", "x".repeat(LONG)));
        }
        let mut log = Log::default();
        let found = documents(files.clone(), &mut log).expect("documents");
        let names: Vec<String> = found.manifests.iter().map(|m| m.name.clone()).collect();
        assert_eq!(names, (0..60).map(|i| format!("n{i}")).collect::<Vec<_>>());
        let said: Vec<String> = log.0.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 60);
        assert!(said.iter().enumerate().all(|(i, line)| line.ends_with(&format!("hookTypes=bogus{i}"))), "{said:?}");
        files.extend([file(50, "- 1\n"), file(3, "- 1\n")]);
        let error = documents(files, &mut Log::default()).expect_err("a list").to_string();
        assert!(error.contains("YAML parse error on f03: "), "{error}");
    }

    #[test]
    fn a_hook_with_one_unknown_event_vanishes() {
        let text =
            |events: &str| format!("kind: Job\nmetadata:\n  name: x\n  annotations:\n    helm.sh/hook: {events}\n");
        let files = BTreeMap::from([("a".into(), text("pre-install, Test")), ("b".into(), text("pre-install,bogus"))]);
        let mut log = Log::default();
        let found = documents(files, &mut log).expect("documents");
        assert_eq!(found.hooks.len(), 1);
        assert_eq!(found.hooks[0].events, [HookEvent::PreInstall, HookEvent::Test]);
        assert!(found.manifests.is_empty());
        assert_eq!(log.0[0].to_string(), "level=INFO msg=\"skipping unknown hooks\" hookTypes=pre-install,bogus");
    }
}
