//! The objects: in memory, versioned, indexed, with the recent history that watches read, and a log behind them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use crate::log::{Log, Record};
use crate::selector::{FieldSelector, LabelSelector, LabelTerm, field_text};

/// How many events of one resource are kept for watches that resume.
pub const HISTORY: usize = 16_384;
/// How much JSON they hold at most, where a log makes it.
const HISTORY_BYTES: usize = 24 << 20;
/// So many are kept whatever their size: whoever watches is not behind by more.
const HISTORY_LEAST: usize = 1_024;
/// After so many further changes of its resource an object is kept as text only: in memory its tree takes about ten times that.
const WARM: usize = 256;

/// Namespace (empty for cluster scope) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Key { namespace: namespace.into(), name: name.into() }
    }

    /// The key that an object's metadata says.
    pub fn of(object: &Value) -> Self {
        let text = |k: &str| object["metadata"][k].as_str().unwrap_or_default();
        Key::new(text("namespace"), text("name"))
    }
}

/// One version of one object: as a tree, as JSON, or both; either is made of the other when first needed.
#[derive(Debug)]
pub struct Stored {
    /// Where it lives.
    pub key: Key,
    /// Resource version.
    pub rv: u64,
    api_version: Box<str>,
    value: OnceLock<Value>,
    json: OnceLock<Bytes>,
}

impl Stored {
    fn new(key: Key, rv: u64, mut value: Value) -> Self {
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".into(), rv.to_string().into());
        }
        Stored::of(key, rv, value)
    }

    fn of(key: Key, rv: u64, value: Value) -> Self {
        let api_version = value["apiVersion"].as_str().unwrap_or_default().into();
        Stored { key, rv, api_version, value: value.into(), json: OnceLock::new() }
    }

    /// A version that is not in the store: the answer to a dry run.
    pub(crate) fn unsaved(value: Value) -> Self {
        let version = value["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok());
        Stored::of(Key::of(&value), version.unwrap_or(0), value)
    }

    fn known_bytes(&self) -> usize {
        self.json.get().map_or(0, Bytes::len)
    }

    /// The same version as text only.
    fn cold(&self) -> Arc<Stored> {
        let (key, api_version) = (self.key.clone(), self.api_version.clone());
        Arc::new(Stored { key, rv: self.rv, api_version, value: OnceLock::new(), json: self.json().into() })
    }

    /// The object.
    pub fn value(&self) -> &Value {
        // The text was made of an object here, so it is one.
        self.value
            .get_or_init(|| self.json.get().and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default())
    }

    /// The API version in which it was stored.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// The object as JSON text.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| self.value().to_string().into()).clone()
    }
}

/// An object for somebody to look at. The tree that is made of a mere text for that goes away with it again.
fn handed(object: &Arc<Stored>) -> Arc<Stored> {
    if object.value.get().is_some() { object.clone() } else { object.cold() }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was created.
    Added,
    /// It was changed.
    Modified,
    /// It was removed; the event's object is its last state with the resource version of the removal.
    Deleted,
}

/// One entry of the history.
#[derive(Debug)]
pub struct Event {
    /// Resource version of the change.
    pub rv: u64,
    /// What happened.
    pub kind: EventKind,
    /// The object after the change.
    pub object: Arc<Stored>,
    /// The object before the change.
    pub previous: Option<Arc<Stored>>,
    /// Bytes of the object's JSON when the event was recorded; 0 when nobody had needed it.
    pub bytes: usize,
}

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The name is taken.
    #[error("already exists")]
    Exists,
    /// There is no such object.
    #[error("not found")]
    Missing,
    /// The object is not at the expected resource version any more.
    #[error("changed in between")]
    Changed,
    /// The log cannot be written.
    #[error("cannot write the log: {0}")]
    Log(#[from] io::Error),
}

/// Which objects a list asks for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Label terms.
    pub labels: LabelSelector,
    /// Field terms.
    pub fields: FieldSelector,
}

impl Selection {
    /// Whether the object is asked for.
    pub fn matches(&self, object: &Stored) -> bool {
        self.namespace.as_ref().is_none_or(|ns| *ns == object.key.namespace)
            && (self.labels.0.is_empty() || self.labels.matches(object.value()))
            && (self.fields.0.is_empty() || self.fields.matches(object.value()))
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// The objects in key order.
    pub items: Vec<Arc<Stored>>,
    /// The store's resource version at the time of reading.
    pub rv: u64,
    /// The last key of this page when there is more.
    pub next: Option<Key>,
    /// How many more match, when that is known for free.
    pub remaining: Option<usize>,
}

/// What a watch reads next.
#[derive(Debug)]
pub enum Since {
    /// The events after the asked version, oldest first (maybe none).
    Events(Vec<Arc<Event>>),
    /// The asked version is older than the history; the oldest that can be asked is given.
    TooOld(u64),
}

/// Fields that lists select often enough to index, besides labels.
const INDEXED_FIELDS: &[(&str, &str)] = &[("pods", "spec.nodeName"), ("events", "involvedObject.name")];

#[derive(Debug)]
struct Bucket {
    objects: BTreeMap<Key, Arc<Stored>>,
    index: HashMap<String, BTreeSet<Key>>,
    indexed_field: Option<&'static str>,
    history: VecDeque<Arc<Event>>,
    /// The sum of [`Event::bytes`] over the history.
    history_bytes: usize,
    /// Watches may start at this version or later.
    floor: u64,
    last: u64,
    tick: watch::Sender<u64>,
}

impl Bucket {
    fn new(storage: &str, floor: u64) -> Self {
        Bucket {
            objects: BTreeMap::new(),
            index: HashMap::new(),
            indexed_field: INDEXED_FIELDS.iter().find(|(s, _)| *s == storage).map(|(_, f)| *f),
            history: VecDeque::new(),
            history_bytes: 0,
            floor,
            last: floor,
            tick: watch::Sender::new(floor),
        }
    }

    fn terms(&self, object: &Value) -> Vec<String> {
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        let mut terms: Vec<String> = labels.filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?))).collect();
        if let Some(path) = self.indexed_field {
            terms.push(format!("@{path}={}", field_text(object, path)));
        }
        terms
    }

    /// Puts or takes out an object and keeps the index in step.
    fn replace(&mut self, key: &Key, object: Option<Arc<Stored>>) -> Option<Arc<Stored>> {
        let before = match &object {
            Some(object) => self.objects.insert(key.clone(), object.clone()),
            None => self.objects.remove(key),
        };
        let old = before.as_ref().map(|b| self.terms(handed(b).value())).unwrap_or_default();
        let new = object.as_ref().map(|o| self.terms(o.value())).unwrap_or_default();
        for term in old.iter().filter(|t| !new.contains(t)) {
            if let Some(keys) = self.index.get_mut(term) {
                keys.remove(key);
                if keys.is_empty() {
                    self.index.remove(term);
                }
            }
        }
        for term in new.into_iter().filter(|t| !old.contains(t)) {
            self.index.entry(term).or_default().insert(key.clone());
        }
        before
    }

    fn record(&mut self, event: Event) {
        self.last = event.rv;
        self.tick.send_replace(event.rv);
        self.history_bytes += event.bytes;
        self.history.push_back(Arc::new(event));
        self.cool();
        while (self.history.len() > HISTORY
            || (self.history_bytes > HISTORY_BYTES && self.history.len() > HISTORY_LEAST))
            && let Some(old) = self.history.pop_front()
        {
            self.history_bytes -= old.bytes;
            self.floor = old.rv;
        }
    }

    /// Lets go of the trees of what changed a while ago.
    fn cool(&mut self) {
        let Some(event) = self.history.len().checked_sub(WARM + 1).and_then(|at| self.history.get_mut(at)) else {
            return;
        };
        let object = event.object.cold();
        if let Some(live) = self.objects.get_mut(&object.key).filter(|live| live.rv == object.rv) {
            *live = object.clone();
        }
        let previous = event.previous.as_ref().map(|previous| previous.cold());
        *event = Arc::new(Event { object, previous, ..**event });
    }

    /// The smallest indexed candidate set for a selection, or `None` when everything must be looked at.
    fn candidates(&self, selection: &Selection) -> Option<Option<&BTreeSet<Key>>> {
        let labels = selection.labels.0.iter().filter_map(|t| match t {
            LabelTerm::Equals(k, v) => Some(format!("{k}={v}")),
            _ => None,
        });
        let field = self.indexed_field.and_then(|p| Some(format!("@{p}={}", selection.fields.exact(p)?)));
        labels.chain(field).map(|term| self.index.get(&term)).min_by_key(|set| set.map_or(0, BTreeSet::len))
    }
}

struct Inner {
    rv: u64,
    /// The version at which the store was opened: nothing is known of the changes before it.
    opened: u64,
    buckets: HashMap<String, Bucket>,
    log: Option<Log>,
}

/// The store. All methods are quick; nothing waits but [`Store::subscribe`]'s receiver.
pub struct Store {
    inner: RwLock<Inner>,
}

impl Store {
    /// An empty store, or the one that `dir` holds.
    ///
    /// # Errors
    /// Any I/O error of the log.
    pub fn open(dir: Option<&Path>) -> io::Result<Store> {
        let mut inner = Inner { rv: 1, opened: 0, buckets: HashMap::new(), log: None };
        if let Some(dir) = dir {
            let log = Log::open(dir, |record| inner.replay(record))?;
            inner.log = Some(log);
            let rv = inner.rv;
            inner.opened = rv;
            for bucket in inner.buckets.values_mut() {
                (bucket.floor, bucket.last) = (rv, rv);
                bucket.tick.send_replace(rv);
                if bucket.objects.len() > WARM {
                    bucket.objects.values_mut().for_each(|object| *object = object.cold());
                }
            }
        }
        Ok(Store { inner: RwLock::new(inner) })
    }

    // A panic while the lock is held leaves the maps whole (they change by single inserts), so poison is ignored.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resource version of the last write.
    pub fn version(&self) -> u64 {
        self.read().rv
    }

    /// The version of the last write to one resource; changes whenever its objects do.
    pub fn version_of(&self, storage: &str) -> u64 {
        self.read().buckets.get(storage).map_or(0, |b| b.last)
    }

    /// Reads one object.
    pub fn get(&self, storage: &str, key: &Key) -> Option<Arc<Stored>> {
        self.read().buckets.get(storage)?.objects.get(key).map(handed)
    }

    /// Reads the objects that a selection asks for, at most `limit` of them, after the key `after`.
    pub fn list(&self, storage: &str, selection: &Selection, after: Option<&Key>, limit: Option<usize>) -> Page {
        let inner = self.read();
        let mut page = Page { items: Vec::new(), rv: inner.rv, next: None, remaining: None };
        let Some(bucket) = inner.buckets.get(storage) else { return page };
        let take = |found: &mut dyn Iterator<Item = &Arc<Stored>>| {
            for object in found.map(handed).filter(|o| selection.matches(o)) {
                if limit.is_some_and(|limit| page.items.len() == limit) {
                    page.next = page.items.last().map(|o| o.key.clone());
                    break;
                }
                page.items.push(object);
            }
        };
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let first = selection.namespace.as_ref().map(|ns| Key::new(ns.clone(), ""));
        let start = match (after, &first) {
            (Some(after), _) => Excluded(after),
            (None, Some(first)) => Included(first),
            (None, None) => Unbounded,
        };
        let same_namespace = |key: &Key| selection.namespace.as_ref().is_none_or(|ns| *ns == key.namespace);
        let mut take = take;
        match bucket.candidates(selection) {
            Some(None) => {}
            Some(Some(keys)) => {
                let keys = keys.range::<Key, _>((start, Unbounded)).take_while(|k| same_namespace(k));
                take(&mut keys.filter_map(|k| bucket.objects.get(k)));
            }
            None => {
                let range = bucket.objects.range::<Key, _>((start, Unbounded));
                take(&mut range.take_while(|(k, _)| same_namespace(k)).map(|(_, o)| o));
            }
        }
        let whole = selection.labels.0.is_empty() && selection.fields.0.is_empty() && selection.namespace.is_none();
        if page.next.is_some() && whole && after.is_none() {
            page.remaining = Some(bucket.objects.len() - page.items.len());
        }
        page
    }

    /// Creates an object and gives it its resource version.
    ///
    /// # Errors
    /// [`WriteError::Exists`], [`WriteError::Log`].
    pub fn create(&self, storage: &str, value: Value) -> Result<Arc<Stored>, WriteError> {
        let mut inner = self.write();
        let key = Key::of(&value);
        if inner.bucket(storage).objects.contains_key(&key) {
            return Err(WriteError::Exists);
        }
        inner.put(storage, key, value, EventKind::Added)
    }

    /// Replaces an object that must be at version `expected`.
    ///
    /// # Errors
    /// [`WriteError::Missing`], [`WriteError::Changed`], [`WriteError::Log`].
    pub fn update(&self, storage: &str, expected: u64, value: Value) -> Result<Arc<Stored>, WriteError> {
        let mut inner = self.write();
        let key = Key::of(&value);
        inner.check(storage, &key, expected)?;
        inner.put(storage, key, value, EventKind::Modified)
    }

    /// Removes an object that must be at version `expected`; gives its last state.
    ///
    /// # Errors
    /// As [`Store::update`].
    pub fn remove(&self, storage: &str, key: &Key, expected: u64) -> Result<Arc<Stored>, WriteError> {
        self.remove_as(storage, key, expected, None)
    }

    /// As [`Store::remove`], with a last state that watchers see in the removal and that was never stored.
    ///
    /// # Errors
    /// As [`Store::update`].
    pub fn remove_as(
        &self,
        storage: &str,
        key: &Key,
        expected: u64,
        last_state: Option<Value>,
    ) -> Result<Arc<Stored>, WriteError> {
        let mut inner = self.write();
        let last = inner.check(storage, key, expected)?;
        let rv = inner.rv + 1;
        if let Some(log) = &mut inner.log {
            log.remove(rv, storage, &key.namespace, &key.name)?;
        }
        inner.rv = rv;
        let object = Arc::new(Stored::new(key.clone(), rv, last_state.unwrap_or_else(|| last.value().clone())));
        let bucket = inner.bucket(storage);
        let previous = bucket.replace(key, None);
        let bytes = object.known_bytes();
        bucket.record(Event { rv, kind: EventKind::Deleted, object: object.clone(), previous, bytes });
        inner.compact_if_due();
        Ok(object)
    }

    /// A receiver that changes with every event of the resource.
    pub fn subscribe(&self, storage: &str) -> watch::Receiver<u64> {
        self.write().bucket(storage).tick.subscribe()
    }

    /// The events of a resource after version `rv`.
    pub fn since(&self, storage: &str, rv: u64) -> Since {
        let inner = self.read();
        let bucket = inner.buckets.get(storage);
        let floor = bucket.map_or(inner.opened, |b| b.floor);
        if rv < floor {
            return Since::TooOld(floor);
        }
        let Some(bucket) = bucket else { return Since::Events(Vec::new()) };
        let start = bucket.history.partition_point(|e| e.rv <= rv);
        Since::Events(bucket.history.range(start..).cloned().collect())
    }

    /// Forgets the history of every resource, as compaction of etcd would: older versions cannot be watched any more.
    pub fn forget_history(&self) {
        let mut inner = self.write();
        let rv = inner.rv;
        for bucket in inner.buckets.values_mut() {
            bucket.history.clear();
            bucket.history_bytes = 0;
            bucket.floor = rv;
        }
    }
}

impl Inner {
    fn bucket(&mut self, storage: &str) -> &mut Bucket {
        let opened = self.opened;
        self.buckets.entry(storage.to_string()).or_insert_with(|| Bucket::new(storage, opened))
    }

    fn check(&mut self, storage: &str, key: &Key, expected: u64) -> Result<Arc<Stored>, WriteError> {
        match self.bucket(storage).objects.get(key) {
            None => Err(WriteError::Missing),
            Some(live) if live.rv != expected => Err(WriteError::Changed),
            Some(live) => Ok(handed(live)),
        }
    }

    fn put(&mut self, storage: &str, key: Key, value: Value, kind: EventKind) -> Result<Arc<Stored>, WriteError> {
        let rv = self.rv + 1;
        let object = Arc::new(Stored::new(key.clone(), rv, value));
        if let Some(log) = &mut self.log {
            log.put(rv, storage, &object.json())?;
        }
        self.rv = rv;
        let bucket = self.bucket(storage);
        let previous = bucket.replace(&key, Some(object.clone()));
        let bytes = object.known_bytes();
        bucket.record(Event { rv, kind, object: object.clone(), previous, bytes });
        self.compact_if_due();
        Ok(object)
    }

    fn replay(&mut self, record: Record) {
        match record {
            Record::Put { rv, storage, object } => {
                self.rv = self.rv.max(rv);
                let object = Arc::new(Stored::new(Key::of(&object), rv, object));
                let key = object.key.clone();
                self.bucket(&storage).replace(&key, Some(object));
            }
            Record::Remove { rv, storage, namespace, name } => {
                self.rv = self.rv.max(rv);
                if !storage.is_empty() {
                    self.bucket(&storage).replace(&Key::new(namespace, name), None);
                }
            }
        }
    }

    fn compact_if_due(&mut self) {
        let rv = self.rv;
        let Some(log) = &mut self.log else { return };
        if !log.wants_compaction() {
            return;
        }
        let objects = self
            .buckets
            .iter()
            .flat_map(|(storage, bucket)| bucket.objects.values().map(move |o| (o.rv, storage.as_str(), o.json())));
        if let Err(error) = log.compact(rv, objects) {
            tracing::warn!(%error, "the log could not be compacted; going on with the long one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(namespace: &str, name: &str, label: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name, "labels": {"app": label}}, "spec": {"nodeName": label}})
    }

    fn names(page: &Page) -> Vec<String> {
        page.items.iter().map(|o| o.key.name.clone()).collect()
    }

    #[test]
    fn large_objects_leave_a_shorter_history() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Some(directory.path())).unwrap();
        let mut wide = object("a", "p", "x");
        wide["spec"]["text"] = "x".repeat(HISTORY_BYTES / HISTORY_LEAST / 4).into();
        let first = store.create("pods", wide.clone()).unwrap().rv;
        let small = store.create("nodes", object("", "n", "x")).unwrap().rv;
        let mut last = first;
        for _ in 0..HISTORY_LEAST * 5 {
            last = store.update("pods", last, wide.clone()).unwrap().rv;
        }
        let Since::TooOld(floor) = store.since("pods", first) else { panic!("everything is kept") };
        let Since::Events(kept) = store.since("pods", floor) else { panic!("{floor} is not kept") };
        assert!(kept.len() > HISTORY_LEAST && kept.len() < HISTORY_LEAST * 5, "{}", kept.len());
        assert!(kept.iter().map(|event| event.bytes).sum::<usize>() <= HISTORY_BYTES);
        assert!(
            matches!(store.since("nodes", small), Since::Events(events) if events.is_empty()),
            "others keep theirs"
        );
    }

    #[test]
    fn lists_use_indexes_and_pages() {
        let store = Store::open(None).unwrap();
        for i in 0..10 {
            store.create("pods", object(if i % 2 == 0 { "a" } else { "b" }, &format!("p{i}"), "x")).unwrap();
        }
        store.create("pods", object("a", "q", "y")).unwrap();
        let by_label = Selection { labels: LabelSelector::parse("app=y").unwrap(), ..Selection::default() };
        assert_eq!(names(&store.list("pods", &by_label, None, None)), ["q"]);
        let by_node = Selection {
            namespace: Some("a".into()),
            fields: FieldSelector::parse("spec.nodeName=x", "pods").unwrap(),
            ..Selection::default()
        };
        assert_eq!(names(&store.list("pods", &by_node, None, None)), ["p0", "p2", "p4", "p6", "p8"]);
        let first = store.list("pods", &Selection::default(), None, Some(4));
        assert_eq!(
            (names(&first), first.remaining),
            (vec!["p0".into(), "p2".into(), "p4".into(), "p6".into()], Some(7))
        );
        let rest = store.list("pods", &Selection::default(), first.next.as_ref(), None);
        assert_eq!(rest.items.len(), 7);
    }

    #[test]
    fn the_index_follows_changes_and_removals() {
        let store = Store::open(None).unwrap();
        let one = store.create("pods", object("a", "p", "x")).unwrap();
        let two = store.update("pods", one.rv, object("a", "p", "y")).unwrap();
        let select = |l: &str| Selection { labels: LabelSelector::parse(l).unwrap(), ..Selection::default() };
        assert_eq!(store.list("pods", &select("app=x"), None, None).items.len(), 0);
        assert_eq!(store.list("pods", &select("app=y"), None, None).items.len(), 1);
        assert!(matches!(store.update("pods", one.rv, object("a", "p", "z")), Err(WriteError::Changed)));
        store.remove("pods", &two.key, two.rv).unwrap();
        assert_eq!(store.list("pods", &select("app=y"), None, None).items.len(), 0);
    }

    #[test]
    fn history_ends_where_it_was_forgotten() {
        let store = Store::open(None).unwrap();
        let one = store.create("pods", object("a", "p", "x")).unwrap();
        store.create("pods", object("a", "q", "x")).unwrap();
        let Since::Events(events) = store.since("pods", one.rv) else { panic!("history is there") };
        assert_eq!(events.len(), 1);
        store.forget_history();
        assert!(matches!(store.since("pods", one.rv), Since::TooOld(_)));
        assert!(matches!(store.since("pods", store.version()), Since::Events(_)));
    }

    #[test]
    fn a_reopened_store_has_the_same_objects_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let before = {
            let store = Store::open(Some(dir.path())).unwrap();
            let a = store.create("pods", object("a", "p", "x")).unwrap();
            store.update("pods", a.rv, object("a", "p", "y")).unwrap();
            let q = store.create("pods", object("a", "q", "x")).unwrap();
            store.remove("pods", &q.key, q.rv).unwrap();
            store.version()
        };
        let store = Store::open(Some(dir.path())).unwrap();
        assert_eq!(store.version(), before);
        let page = store.list("pods", &Selection::default(), None, None);
        assert_eq!(page.items.len(), 1);
        assert_eq!(page.items[0].value()["spec"]["nodeName"], "y");
        assert!(matches!(store.since("pods", before - 1), Since::TooOld(_)));
        assert!(matches!(store.since("never-seen", before - 1), Since::TooOld(_)));
        assert!(matches!(store.since("never-seen", before), Since::Events(_)));
    }
}
