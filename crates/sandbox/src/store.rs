//! What is known of one kind of object: a watch keeps it fresh, indexes find objects, subscribers hear of changes.
//!
//! A controller that has just written an object hands the answer to [`Store::observe`], so that its next decision sees
//! what it did even when the watch has not brought it yet.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Namespace (empty for cluster-wide objects) and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace, or nothing.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// Returns the key of an object.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Key {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }

    /// Returns the key of a namespaced object.
    pub fn new(namespace: &str, name: &str) -> Self {
        Key { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// A change of one object: `old` is absent when it was added, `new` when it is gone.
#[derive(Debug)]
pub struct Change<K> {
    /// The object before.
    pub old: Option<Arc<K>>,
    /// The object now.
    pub new: Option<Arc<K>>,
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        Change { old: self.old.clone(), new: self.new.clone() }
    }
}

impl<K> Change<K> {
    /// Returns the object as it is, or as it was last seen.
    pub fn latest(&self) -> Option<&Arc<K>> {
        self.new.as_ref().or(self.old.as_ref())
    }
}

/// Computes the index values of an object.
pub type IndexBy<K> = fn(&K) -> Vec<String>;

/// One index: how it files objects, and what it has filed.
type Index<K> = (IndexBy<K>, HashMap<String, BTreeSet<Key>>);

struct Content<K> {
    objects: HashMap<Key, Arc<K>>,
    indexes: Vec<Index<K>>,
    /// The newest resource version that the watch has brought.
    seen: u64,
}

/// The objects of one kind.
pub struct Store<K> {
    content: RwLock<Content<K>>,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<Change<K>>>>,
    synced: watch::Sender<bool>,
    /// Takes out of an object what nobody asks the store for.
    trim: fn(&mut K),
}

impl<K> Debug for Store<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("objects", &self.read().objects.len()).finish_non_exhaustive()
    }
}

fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl<K> Store<K> {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Content<K>> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribers(&self) -> MutexGuard<'_, Vec<mpsc::UnboundedSender<Change<K>>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns one object.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    /// Returns every object, in no order.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().objects.values().cloned().collect()
    }

    /// Returns the objects that the given index files under a value, ordered by key.
    pub fn by(&self, index: usize, value: &str) -> Vec<Arc<K>> {
        let content = self.read();
        let Some(keys) = content.indexes.get(index).and_then(|(_, map)| map.get(value)) else { return Vec::new() };
        keys.iter().filter_map(|key| content.objects.get(key).cloned()).collect()
    }

    /// Returns how many objects the given index files under a value.
    pub fn count(&self, index: usize, value: &str) -> usize {
        self.read().indexes.get(index).and_then(|(_, map)| map.get(value)).map_or(0, BTreeSet::len)
    }

    /// Returns all changes from now on; objects that are already known come first, as added.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Change<K>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // The lock on the subscribers is held while the known objects are sent, so nothing is missed between.
        let mut subscribers = self.subscribers();
        for object in self.all() {
            let _ = sender.send(Change { old: None, new: Some(object) });
        }
        subscribers.push(sender);
        receiver
    }

    /// Waits until the first list has been read.
    pub async fn ready(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as this store.
        let _ = synced.wait_for(|synced| *synced).await;
    }
}

impl<K: Resource + Clone> Store<K> {
    /// Returns an empty store with the given indexes, which [`Store::by`] names by their place.
    pub fn new(indexes: &[IndexBy<K>]) -> Arc<Self> {
        Store::trimmed(indexes, |_| {})
    }

    /// Returns an empty store that keeps objects without what `trim` takes out of them.
    pub fn trimmed(indexes: &[IndexBy<K>], trim: fn(&mut K)) -> Arc<Self> {
        let indexes = indexes.iter().map(|index| (*index, HashMap::new())).collect();
        Arc::new(Store {
            content: RwLock::new(Content { objects: HashMap::new(), indexes, seen: 0 }),
            subscribers: Mutex::new(Vec::new()),
            synced: watch::Sender::new(false),
            trim,
        })
    }

    /// Takes over an object that the API server returned to a write.
    pub fn observe(&self, object: K) {
        self.change(object, false);
    }

    fn put(&self, key: Key, new: Option<Arc<K>>, keep: impl Fn(&Content<K>, Option<&Arc<K>>) -> bool, seen: u64) {
        // Subscribers are locked first, here and in `subscribe`, so that changes reach them in the order they happen.
        let mut subscribers = self.subscribers();
        let change = {
            let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
            let old = content.objects.get(&key).cloned();
            let keep = keep(&content, old.as_ref());
            content.seen = content.seen.max(seen);
            if keep || (old.is_none() && new.is_none()) {
                return;
            }
            for (index, map) in &mut content.indexes {
                if let Some(old) = &old {
                    for value in index(old) {
                        if let Some(keys) = map.get_mut(&value) {
                            keys.remove(&key);
                            if keys.is_empty() {
                                map.remove(&value);
                            }
                        }
                    }
                }
                if let Some(new) = &new {
                    for value in index(new) {
                        map.entry(value).or_default().insert(key.clone());
                    }
                }
            }
            match &new {
                Some(object) => content.objects.insert(key, object.clone()),
                None => content.objects.remove(&key),
            };
            Change { old, new }
        };
        subscribers.retain(|sender| sender.send(change.clone()).is_ok());
    }

    fn change(&self, mut object: K, from_watch: bool) {
        // Nobody here asks who owns which field, and of ten thousand objects these trees would be most.
        object.meta_mut().managed_fields = None;
        (self.trim)(&mut object);
        let version = version(object.meta());
        let key = Key::of(object.meta());
        let keep = |content: &Content<K>, old: Option<&Arc<K>>| {
            // An answer to a write that the watch has already passed tells nothing new (the object may even be gone).
            (!from_watch && version <= content.seen) || old.is_some_and(|old| self::version(old.meta()) >= version)
        };
        self.put(key, Some(Arc::new(object)), keep, if from_watch { version } else { 0 });
    }

    fn remove(&self, object: &K) {
        let version = version(object.meta());
        let uid = object.meta().uid.clone();
        let keep = move |_: &Content<K>, old: Option<&Arc<K>>| old.is_some_and(|old| old.meta().uid != uid);
        self.put(Key::of(object.meta()), None, keep, version);
    }

    fn replace(&self, objects: Vec<K>, version: u64) {
        let present: HashSet<Key> = objects.iter().map(|object| Key::of(object.meta())).collect();
        let gone: Vec<Key> = self.read().objects.keys().filter(|key| !present.contains(key)).cloned().collect();
        for key in gone {
            let newer =
                move |_: &Content<K>, old: Option<&Arc<K>>| old.is_some_and(|old| self::version(old.meta()) > version);
            self.put(key, None, newer, version);
        }
        for object in objects {
            self.change(object, true);
        }
    }
}

/// How many objects one page of the first list holds.
const PAGE: u32 = 1000;

impl<K> Store<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Keeps the store fresh for ever: lists, then watches; starts again when the watch breaks.
    pub async fn follow(self: Arc<Self>, api: Api<K>) {
        let mut delay = Duration::from_millis(20);
        loop {
            match self.list(&api).await {
                Ok(version) => {
                    self.synced.send_replace(true);
                    delay = Duration::from_millis(20);
                    if let Err(error) = self.watch(&api, version).await {
                        tracing::debug!(%error, "watch ended; listing again");
                    }
                }
                Err(error) => tracing::debug!(%error, "list failed"),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(5));
        }
    }

    async fn list(&self, api: &Api<K>) -> Result<String, kube::Error> {
        let mut params = ListParams::default().limit(PAGE);
        let mut objects = Vec::new();
        loop {
            let page = api.list(&params).await?;
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => {
                    let version = page.metadata.resource_version.unwrap_or_default();
                    self.replace(objects, version.parse().unwrap_or(0));
                    return Ok(version);
                }
            }
        }
    }

    async fn watch(&self, api: &Api<K>, mut version: String) -> Result<(), kube::Error> {
        loop {
            // 290 s: the API server ends a watch then and the next one takes up where it stopped.
            let params = WatchParams::default().timeout(290);
            let mut events = api.watch(&params, &version).await?.boxed();
            while let Some(event) = events.try_next().await? {
                match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        version = object.resource_version().unwrap_or(version);
                        self.change(object, true);
                    }
                    WatchEvent::Deleted(object) => {
                        version = object.resource_version().unwrap_or(version);
                        self.remove(&object);
                    }
                    WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                    WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn config_map(name: &str, version: u64) -> ConfigMap {
        let metadata = ObjectMeta {
            name: Some(name.into()),
            namespace: Some("ns".into()),
            uid: Some(format!("uid-{name}")),
            resource_version: Some(version.to_string()),
            labels: Some([("v".to_owned(), version.to_string())].into()),
            ..Default::default()
        };
        ConfigMap { metadata, ..Default::default() }
    }

    fn by_label(object: &ConfigMap) -> Vec<String> {
        object.labels().values().cloned().collect()
    }

    #[test]
    fn an_old_answer_never_brings_back_what_the_watch_removed() {
        let store = Store::new(&[by_label]);
        store.change(config_map("a", 5), true);
        store.remove(&config_map("a", 6));
        store.observe(config_map("a", 5));
        assert!(store.get(&Key::new("ns", "a")).is_none());
        store.observe(config_map("a", 7));
        assert!(store.get(&Key::new("ns", "a")).is_some(), "a newer answer is taken before the watch brings it");
    }

    #[test]
    fn indexes_follow_changes_and_subscribers_hear_each_once() {
        let store = Store::new(&[by_label]);
        store.change(config_map("a", 1), true);
        let mut changes = store.subscribe();
        store.observe(config_map("a", 2));
        store.change(config_map("a", 2), true);
        assert_eq!(store.count(0, "1"), 0);
        assert_eq!(store.by(0, "2").len(), 1);
        assert!(changes.try_recv().unwrap().old.is_none(), "known objects come first");
        assert_eq!(changes.try_recv().unwrap().new.unwrap().resource_version().as_deref(), Some("2"));
        assert!(changes.try_recv().is_err(), "the watch repeats what was observed: no second change");
    }

    #[test]
    fn a_new_list_removes_what_is_gone() {
        let store = Store::new(&[by_label]);
        store.change(config_map("a", 1), true);
        store.change(config_map("b", 2), true);
        store.replace(vec![config_map("b", 2), config_map("c", 3)], 3);
        let mut names: Vec<String> = store.all().iter().map(|object| object.name_any()).collect();
        names.sort();
        assert_eq!(names, ["b", "c"]);
    }
}
