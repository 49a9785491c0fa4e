//! Sets of field paths, as `managedFields` writes them (FieldsV1).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::schema::{FieldSchema, Schema, Shape};

/// A set of paths. Path elements are kept in their written form: `f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldSet {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Node {
    /// Whether the path that ends here is in the set.
    member: bool,
    children: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

/// JSON with sorted object keys, so that equal elements have equal path elements.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let parts: Vec<String> =
                sorted.iter().map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical(v))).collect();
            format!("{{{}}}", parts.join(","))
        }
        other => other.to_string(),
    }
}

/// The path element of a list element found by keys; `None` when a key without default is missing.
pub fn key_element(item: &Value, keys: &[(String, Option<Value>)]) -> Option<String> {
    let mut parts = Map::new();
    for (key, default) in keys {
        let value = item.get(key).filter(|v| !v.is_null()).or(default.as_ref())?;
        parts.insert(key.clone(), value.clone());
    }
    Some(format!("k:{}", canonical(&parts.into())))
}

/// The path element of an element of a set of scalars.
pub fn value_element(item: &Value) -> String {
    format!("v:{}", canonical(item))
}

/// The path element of a field.
pub fn field_element(name: &str) -> String {
    format!("f:{name}")
}

impl FieldSet {
    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether the one-element path is in the set.
    pub fn has(&self, element: &str) -> bool {
        self.nodes.get(element).is_some_and(|n| n.member)
    }

    /// The set below one element.
    pub fn below(&self, element: &str) -> Option<&FieldSet> {
        self.nodes.get(element).map(|n| &n.children)
    }

    /// Puts the one-element path into the set.
    pub fn insert(&mut self, element: &str) {
        self.nodes.entry(element.to_string()).or_default().member = true;
    }

    /// Adds a set below an element.
    pub fn insert_below(&mut self, element: &str, set: FieldSet) {
        if !set.is_empty() {
            let node = self.nodes.entry(element.to_string()).or_default();
            node.children = node.children.union(&set);
        }
    }

    /// Takes a path (and all below it) out.
    pub fn remove(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => {
                self.nodes.remove(*last);
            }
            [first, rest @ ..] => {
                if let Some(node) = self.nodes.get_mut(*first) {
                    node.children.remove(rest);
                    if node.is_empty() {
                        self.nodes.remove(*first);
                    }
                }
            }
        }
    }

    /// Keeps only what is below one first element.
    pub fn only(&self, element: &str) -> FieldSet {
        FieldSet {
            nodes: self.nodes.iter().filter(|(k, _)| *k == element).map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }

    /// Paths in either set.
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut nodes = self.nodes.clone();
        for (element, theirs) in &other.nodes {
            let node = nodes.entry(element.clone()).or_default();
            node.member |= theirs.member;
            node.children = node.children.union(&theirs.children);
        }
        FieldSet { nodes }
    }

    fn combine(&self, other: &FieldSet, keep: fn(bool, bool) -> bool) -> FieldSet {
        let none = Node::default();
        let mut nodes = BTreeMap::new();
        for (element, ours) in &self.nodes {
            let theirs = other.nodes.get(element).unwrap_or(&none);
            let node = Node {
                member: keep(ours.member, theirs.member),
                children: ours.children.combine(&theirs.children, keep),
            };
            if !node.is_empty() {
                nodes.insert(element.clone(), node);
            }
        }
        FieldSet { nodes }
    }

    /// Paths in both sets.
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |a, b| a && b)
    }

    /// Paths in this set that are not in the other.
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |a, b| a && !b)
    }

    /// The set plus every declared field that leads to a path in it. Keys of free maps and list elements are not added:
    /// they exist in their own right.
    pub fn with_named_parents(&self, schema: Schema<'_>) -> FieldSet {
        self.parents(schema, false)
    }

    fn parents(&self, schema: Schema<'_>, free: bool) -> FieldSet {
        let mut nodes = BTreeMap::new();
        for (element, node) in &self.nodes {
            let mut node = node.clone();
            let field = element.strip_prefix("f:").map(|name| schema.field(name));
            let (below, free_below) = match &field {
                Some(field) => (field.of, field.shape == Some(Shape::Object { free: true })),
                // The schema of a list's field is already that of its elements.
                None => (schema, false),
            };
            if field.is_some() && !free && !free_below && !node.children.is_empty() {
                node.member = true;
            }
            node.children = node.children.parents(below, free_below);
            nodes.insert(element.clone(), node);
        }
        FieldSet { nodes }
    }

    /// The paths as the real server prints them in conflicts, e.g. `.spec.containers[name="a"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect(String::new(), &mut out);
        out
    }

    fn collect(&self, prefix: String, out: &mut Vec<String>) {
        for (element, node) in &self.nodes {
            let shown = match element.split_at(element.len().min(2)) {
                ("f:", name) => format!(".{name}"),
                ("k:", key) => {
                    let key: Value = serde_json::from_str(key).unwrap_or_default();
                    let parts: Vec<String> =
                        key.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
                    format!("[{}]", parts.join(","))
                }
                ("v:", value) => format!("[={value}]"),
                (_, index) => format!("[{index}]"),
            };
            let path = format!("{prefix}{shown}");
            if node.member {
                out.push(path.clone());
            }
            node.children.collect(path, out);
        }
    }

    /// The FieldsV1 form.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        for (element, node) in &self.nodes {
            let mut below = node.children.to_json();
            if node.member
                && !node.children.is_empty()
                && let Some(object) = below.as_object_mut()
            {
                object.shift_insert(0, ".".into(), Value::Object(Map::new()));
            }
            map.insert(element.clone(), below);
        }
        map.into()
    }

    /// Reads FieldsV1. `None` when it is not of that form.
    pub fn from_json(value: &Value) -> Option<FieldSet> {
        let mut nodes = BTreeMap::new();
        for (element, below) in value.as_object()? {
            if element == "." {
                continue;
            }
            let element = match element.split_at_checked(2)? {
                ("f:" | "i:", _) => element.clone(),
                (prefix @ ("k:" | "v:"), rest) => {
                    format!("{prefix}{}", canonical(&serde_json::from_str(rest).ok()?))
                }
                _ => return None,
            };
            let children = FieldSet::from_json(below)?;
            let member = children.is_empty() || below.get(".").is_some();
            nodes.insert(element, Node { member, children });
        }
        Some(FieldSet { nodes })
    }

    /// Every path that an object has: scalars, atomic values, empty objects, elements of keyed lists and sets.
    pub fn of_object(value: &Value, schema: Schema<'_>) -> FieldSet {
        let mut set = FieldSet::default();
        for (name, child) in value.as_object().into_iter().flatten() {
            set.add(&field_element(name), child, &schema.field(name));
        }
        set
    }

    /// Adds a value found under `element`.
    pub fn add(&mut self, element: &str, value: &Value, field: &FieldSchema<'_>) {
        let below = match (field.shape_of(value), value) {
            (Shape::Object { .. }, Value::Object(_)) => FieldSet::of_object(value, field.of),
            (Shape::Keyed(keys), Value::Array(items)) => {
                let mut set = FieldSet::default();
                for item in items {
                    if let Some(key) = key_element(item, &keys) {
                        set.insert(&key);
                        set.insert_below(&key, FieldSet::of_object(item, field.of));
                    }
                }
                set
            }
            (Shape::Set, Value::Array(items)) => {
                let mut set = FieldSet::default();
                items.iter().for_each(|item| set.insert(&value_element(item)));
                set
            }
            _ => FieldSet::default(),
        };
        if below.is_empty() {
            self.insert(element);
        } else {
            self.insert_below(element, below);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn written_as_the_real_server_writes_it_and_read_back() {
        let deployment = json!({"metadata": {"labels": {"app": "x"}}, "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}}}});
        let set = FieldSet::of_object(&deployment, Schema::of_kind("Deployment"));
        let written = set.to_json();
        assert_eq!(
            written,
            json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:selector": {}, "f:template": {"f:spec": {
                "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}, "f:ports": {
                    "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}})
        );
        assert_eq!(FieldSet::from_json(&written), Some(set));
        assert_eq!(FieldSet::from_json(&json!({"x": {}})), None);
    }

    #[test]
    fn paths_are_printed_as_in_conflicts() {
        let set = FieldSet::from_json(&json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}},
            "f:metadata": {"f:finalizers": {"v:\"a\"": {}}}}));
        assert_eq!(set.unwrap().paths(), [".metadata.finalizers[=\"a\"]", ".spec.containers[name=\"c\"].image"]);
    }
}
