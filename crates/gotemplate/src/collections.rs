//! [`Map`] and [`List`]: the two containers of a [`Value`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::bytestr::Str;
use crate::types::Type;
use crate::value::Value;

/// A Go map with string keys. Clones share the entries, so a change through one is seen through all of them, which
/// templates rely on. Entries come in the order of the keys' bytes.
#[derive(Clone)]
pub struct Map {
    /// The type under which this clone looks at the entries.
    ty: Type,
    nil: bool,
    shared: Arc<Shared>,
}

struct Shared(RwLock<Entries>);

/// Entries sorted by key: few of them side by side, which takes the least room and time; many in a tree, so that one more
/// stays cheap.
#[derive(Clone)]
enum Entries {
    Few(Vec<(Str, Value)>),
    Many(BTreeMap<Str, Value>),
}

/// Maps with more entries than this are trees.
const FEW: usize = 32;

impl Default for Entries {
    fn default() -> Entries {
        Entries::Few(Vec::new())
    }
}

impl FromIterator<(Str, Value)> for Entries {
    /// Of entries with the same key the last one counts.
    fn from_iter<I: IntoIterator<Item = (Str, Value)>>(entries: I) -> Entries {
        let mut few: Vec<(Str, Value)> = entries.into_iter().collect();
        if few.len() > FEW {
            return Entries::Many(few.into_iter().collect());
        }
        if !few.is_sorted_by(|(a, _), (b, _)| a < b) {
            few.sort_by(|(a, _), (b, _)| a.cmp(b));
            few.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(&mut later.1, &mut kept.1);
                }
                same
            });
        }
        Entries::Few(few)
    }
}

impl Entries {
    fn place(few: &[(Str, Value)], key: &[u8]) -> Result<usize, usize> {
        few.binary_search_by(|(known, _)| known.as_bytes().cmp(key))
    }

    fn get(&self, key: &[u8]) -> Option<&Value> {
        match self {
            Entries::Few(few) => Entries::place(few, key).ok().map(|at| &few[at].1),
            Entries::Many(many) => many.get(key),
        }
    }

    fn insert(&mut self, key: Str, value: Value) -> Option<Value> {
        match self {
            Entries::Few(few) => match Entries::place(few, &key) {
                Ok(at) => return Some(std::mem::replace(&mut few[at].1, value)),
                Err(at) if few.len() < FEW => few.insert(at, (key, value)),
                Err(_) => {
                    let mut many: BTreeMap<Str, Value> = std::mem::take(few).into_iter().collect();
                    many.insert(key, value);
                    *self = Entries::Many(many);
                }
            },
            Entries::Many(many) => return many.insert(key, value),
        }
        None
    }

    fn remove(&mut self, key: &[u8]) -> Option<Value> {
        match self {
            Entries::Few(few) => Entries::place(few, key).ok().map(|at| few.remove(at).1),
            Entries::Many(many) => many.remove(key),
        }
    }

    fn len(&self) -> usize {
        match self {
            Entries::Few(few) => few.len(),
            Entries::Many(many) => many.len(),
        }
    }

    fn each(&self, mut look: impl FnMut(&Str, &Value)) {
        match self {
            Entries::Few(few) => few.iter().for_each(|(key, value)| look(key, value)),
            Entries::Many(many) => many.iter().for_each(|(key, value)| look(key, value)),
        }
    }

    fn listed<T>(&self, mut make: impl FnMut(&Str, &Value) -> T) -> Vec<T> {
        let mut list = Vec::with_capacity(self.len());
        self.each(|key, value| list.push(make(key, value)));
        list
    }
}

impl Map {
    /// An empty `map[string]interface {}`.
    pub fn new() -> Map {
        Map::typed(Type::ANY_MAP)
    }

    /// An empty map of the given type, which must be a map type or a name for one.
    pub fn typed(ty: Type) -> Map {
        Map::from_entries(ty, [])
    }

    /// A map of the given type with these entries.
    pub fn from_entries(ty: Type, entries: impl IntoIterator<Item = (Str, Value)>) -> Map {
        Map::of(ty, entries.into_iter().collect())
    }

    fn of(ty: Type, entries: Entries) -> Map {
        Map { ty, nil: false, shared: Arc::new(Shared(RwLock::new(entries))) }
    }

    /// The nil map of a map type: empty, but written as `null` in JSON.
    pub fn nil(ty: Type) -> Map {
        Map { nil: true, ..Map::typed(ty) }
    }

    /// Is it the nil map? One that entries were added to is not.
    pub fn is_nil(&self) -> bool {
        self.nil && self.is_empty()
    }

    /// The same map, with its entries shared, under another type.
    pub fn retyped(&self, ty: Type) -> Map {
        Map { ty, nil: self.nil, shared: self.shared.clone() }
    }

    /// The map's type.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// The type of the entries' values.
    pub fn element(&self) -> Type {
        self.ty.element().unwrap_or(Type::Any)
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.read().get(key.as_ref()).cloned()
    }

    /// Is there such a key?
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.read().get(key.as_ref()).is_some()
    }

    /// Sets a key, for every clone of this map.
    pub fn insert(&self, key: impl Into<Str>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        self.write().insert(key, value)
    }

    /// Removes a key, for every clone of this map.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.write().remove(key.as_ref())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Is the map empty?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys as they are now, sorted.
    pub fn keys(&self) -> Vec<Str> {
        self.read().listed(|key, _| key.clone())
    }

    /// The entries as they are now, sorted by key.
    pub fn entries(&self) -> Vec<(Str, Value)> {
        self.read().listed(|key, value| (key.clone(), value.clone()))
    }

    /// Looks at each entry in the order of the keys. The map must not be changed meanwhile.
    pub fn visit(&self, look: impl FnMut(&Str, &Value)) {
        self.read().each(look);
    }

    /// A map of the same type with the same entries that no longer shares them; the values themselves are shared.
    pub fn shallow_copy(&self) -> Map {
        Map::of(self.ty, self.read().clone())
    }

    /// Are both the same map, not merely equal ones?
    pub fn same(&self, other: &Map) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// A number that tells this map from every other living one.
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared).cast::<u8>() as usize
    }

    // A panic while the lock is held cannot leave the tree half changed, so a poisoned lock is still good.
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.shared.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.shared.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Map {
    fn default() -> Self {
        Map::new()
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries()).finish()
    }
}

impl<K: Into<Str>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Map::from_entries(Type::ANY_MAP, entries.into_iter().map(|(k, v)| (k.into(), v.into())))
    }
}

/// A Go slice. Immutable; clones share the items.
#[derive(Clone)]
pub struct List(Arc<ListInner>);

struct ListInner {
    ty: Type,
    items: Vec<Value>,
    nil: bool,
}

impl List {
    /// A `[]interface {}` of these items.
    pub fn new(items: Vec<Value>) -> List {
        List::typed(Type::ANY_LIST, items)
    }

    /// A list of the given type, which must be a list type or a name for one.
    pub fn typed(ty: Type, items: Vec<Value>) -> List {
        List(Arc::new(ListInner { ty, items, nil: false }))
    }

    /// A `[]string`.
    pub fn strings<S: Into<Str>>(items: impl IntoIterator<Item = S>) -> List {
        List::typed(Type::STRING_LIST, items.into_iter().map(|s| Value::Str(s.into())).collect())
    }

    /// The nil slice of a list type: empty, but written as `null` in JSON.
    pub fn nil(ty: Type) -> List {
        List(Arc::new(ListInner { ty, items: Vec::new(), nil: true }))
    }

    /// Is it the nil slice?
    pub fn is_nil(&self) -> bool {
        self.0.nil
    }

    /// The list's type.
    pub fn ty(&self) -> Type {
        self.0.ty
    }

    /// The type of the items.
    pub fn element(&self) -> Type {
        self.0.ty.element().unwrap_or(Type::Any)
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        &self.0.items
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.0.items.len()
    }

    /// Is the list empty?
    pub fn is_empty(&self) -> bool {
        self.0.items.is_empty()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.items()).finish()
    }
}

// A template can nest containers deeper than the native stack could follow when they are freed one inside the other,
// so containers of a container being freed are put aside and freed one after the other.
thread_local! {
    static FREEING: Cell<bool> = const { Cell::new(false) };
    static ASIDE: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
}

fn is_container(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Map(_))
}

fn free(values: impl Iterator<Item = Value>) {
    let containers = values.filter(is_container);
    // During thread exit the aside list may be gone already: then plain dropping has to do.
    let put_aside = ASIDE.try_with(|aside| aside.try_borrow_mut().map(|mut a| a.extend(containers)).is_ok());
    if !put_aside.unwrap_or(false) || FREEING.replace(true) {
        return;
    }
    while let Some(value) = ASIDE.with(|aside| aside.borrow_mut().pop()) {
        drop(value);
    }
    FREEING.set(false);
}

impl Drop for Shared {
    fn drop(&mut self) {
        let entries = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        entries.each(|_, value| any |= is_container(value));
        if any {
            match std::mem::take(entries) {
                Entries::Few(few) => free(few.into_iter().map(|(_, value)| value)),
                Entries::Many(many) => free(many.into_values()),
            }
        }
    }
}

impl Drop for ListInner {
    fn drop(&mut self) {
        if self.items.iter().any(is_container) {
            free(std::mem::take(&mut self.items).into_iter());
        }
    }
}
