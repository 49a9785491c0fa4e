//! Who owns which fields: `metadata.managedFields`, kept up to date by every write, and server-side apply on top of it.

use serde_json::{Value, json};

use super::apply::{Difference, merge, remove};
use super::fieldset::FieldSet;
use super::schema::Schema;

/// The way a manager wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Everything else.
    Update,
}

/// A writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Field manager name.
    pub manager: String,
    /// How it writes.
    pub operation: Operation,
    /// API version of its objects.
    pub api_version: String,
    /// Subresource, empty for the object itself.
    pub subresource: String,
}

impl Writer {
    /// Whether the entry is this writer's. Appliers are the same whatever version they apply.
    fn same(&self, other: &Writer) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// As conflicts print it.
    fn shown(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            text += &format!(" using {}", self.api_version);
        }
        text
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    writer: Writer,
    time: String,
    fields: FieldSet,
}

/// The entries of `metadata.managedFields`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Managers(Vec<Entry>);

/// Fields that another manager owns and that an apply without force would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The other manager as the messages print it.
    pub manager: String,
    /// Path such as `.spec.replicas`.
    pub path: String,
}

/// The message and the causes of a 409.
pub fn conflict_status(conflicts: &[Conflict]) -> (String, Vec<Value>) {
    let causes = conflicts
        .iter()
        .map(|c| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", c.manager), "field": c.path}))
        .collect();
    if let [one] = conflicts {
        return (format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.path), causes);
    }
    let mut managers: Vec<&str> = conflicts.iter().map(|c| c.manager.as_str()).collect();
    managers.sort_unstable();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(conflicts.iter().filter(|c| c.manager == manager).map(|c| format!("- {}", c.path)));
    }
    (format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n")), causes)
}

/// Which fields a write can own: never identity and bookkeeping; the status only through its subresource.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// The whole object (kinds without a status subresource).
    Whole,
    /// Everything but the status.
    Main,
    /// The status alone.
    Status,
}

const BOOKKEEPING: &[&str] = &[
    "f:name",
    "f:namespace",
    "f:creationTimestamp",
    "f:selfLink",
    "f:uid",
    "f:clusterName",
    "f:generation",
    "f:managedFields",
    "f:resourceVersion",
];

fn ownable(mut set: FieldSet, part: Part) -> FieldSet {
    if part == Part::Status {
        return set.only("f:status");
    }
    set.remove(&["f:apiVersion"]);
    set.remove(&["f:kind"]);
    for name in BOOKKEEPING {
        set.remove(&["f:metadata", name]);
    }
    if part == Part::Main {
        set.remove(&["f:status"]);
    }
    // Only paths below metadata are owned, never metadata itself.
    let below = set.below("f:metadata").cloned().unwrap_or_default();
    set.remove(&["f:metadata"]);
    set.insert_below("f:metadata", below);
    set
}

impl Managers {
    /// Reads `metadata.managedFields`. `None` when an entry is malformed.
    pub fn parse(value: &Value) -> Option<Managers> {
        let mut entries = Vec::new();
        for entry in value.as_array().into_iter().flatten() {
            let text = |k: &str| entry[k].as_str().unwrap_or_default().to_string();
            let operation = match entry["operation"].as_str() {
                Some("Apply") => Operation::Apply,
                Some("Update") => Operation::Update,
                _ => return None,
            };
            let (manager, api_version, subresource) = (text("manager"), text("apiVersion"), text("subresource"));
            let fields = FieldSet::from_json(&entry["fieldsV1"])?;
            let writer = Writer { manager, operation, api_version, subresource };
            entries.push(Entry { writer, time: text("time"), fields });
        }
        Some(Managers(entries))
    }

    /// The managers of an object; unreadable entries count as none.
    pub fn of(object: &Value) -> Managers {
        Managers::parse(&object["metadata"]["managedFields"]).unwrap_or_default()
    }

    /// Whether nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `metadata.managedFields` form.
    pub fn to_json(&self) -> Value {
        let entry = |e: &Entry| {
            let operation = if e.writer.operation == Operation::Apply { "Apply" } else { "Update" };
            let mut out = json!({"manager": e.writer.manager, "operation": operation, "apiVersion": e.writer.api_version,
                "time": e.time, "fieldsType": "FieldsV1", "fieldsV1": e.fields.to_json()});
            if !e.writer.subresource.is_empty() {
                out["subresource"] = e.writer.subresource.clone().into();
            }
            out
        };
        let mut entries: Vec<&Entry> = self.0.iter().collect();
        // Appliers first, then by time: the order of the real server.
        entries.sort_by(|a, b| {
            let rank = |e: &Entry| (e.writer.operation == Operation::Update, e.time.clone(), e.writer.manager.clone());
            rank(a).cmp(&rank(b))
        });
        entries.into_iter().map(entry).collect()
    }

    fn fields_of(&self, writer: &Writer) -> Option<&FieldSet> {
        self.0.iter().find(|e| e.writer.same(writer)).map(|e| &e.fields)
    }

    fn set(&mut self, writer: &Writer, fields: FieldSet, now: &str) {
        match self.0.iter_mut().find(|e| e.writer.same(writer)) {
            Some(entry) => {
                if entry.fields != fields {
                    now.clone_into(&mut entry.time);
                }
                (entry.fields, entry.writer) = (fields, writer.clone());
            }
            None => self.0.push(Entry { writer: writer.clone(), time: now.into(), fields }),
        }
        self.0.retain(|e| !e.fields.is_empty());
    }

    /// Takes from the other managers what changed; with `force` false, the conflicts instead.
    fn take_from_others(&mut self, writer: &Writer, change: &Difference, force: bool) -> Result<(), Vec<Conflict>> {
        let wrote = change.modified.union(&change.added);
        if !force {
            let mut conflicts = Vec::new();
            for entry in self.0.iter().filter(|e| !e.writer.same(writer)) {
                let manager = entry.writer.shown();
                let paths = entry.fields.intersection(&wrote).paths();
                conflicts.extend(paths.into_iter().map(|path| Conflict { manager: manager.clone(), path }));
            }
            if !conflicts.is_empty() {
                return Err(conflicts);
            }
        }
        for entry in self.0.iter_mut().filter(|e| !e.writer.same(writer)) {
            entry.fields = entry.fields.difference(&wrote).difference(&change.removed);
        }
        self.0.retain(|e| !e.fields.is_empty());
        Ok(())
    }

    /// Records a write that is not an apply: the writer owns what it changed, the others lose it.
    pub fn record_update(
        &mut self,
        live: &Value,
        new: &Value,
        writer: &Writer,
        part: Part,
        schema: Schema<'_>,
        now: &str,
    ) {
        let change = Difference::between(live, new, schema);
        let change = Difference {
            removed: ownable(change.removed, part),
            modified: ownable(change.modified, part),
            added: ownable(change.added, part),
        };
        if change.is_empty() {
            return;
        }
        // Without force there could only be conflicts, which updates do not have.
        let _ = self.take_from_others(writer, &change, true);
        let before = self.fields_of(writer).cloned().unwrap_or_default();
        let fields = before.difference(&change.removed).union(&change.modified).union(&change.added);
        self.set(writer, fields, now);
    }
}

/// Server-side apply: `config` merged over `live`, minus what the same manager applied before and does not any more.
/// Gives the new object with its `managedFields`.
///
/// # Errors
/// The conflicts, when fields of other managers would change and `force` is false.
pub fn apply(
    live: &Value,
    config: &Value,
    writer: &Writer,
    part: Part,
    force: bool,
    schema: Schema<'_>,
    now: &str,
) -> Result<Value, Vec<Conflict>> {
    let mut managers = Managers::of(live);
    if managers.is_empty() && live["metadata"]["uid"].is_string() {
        // An object from before managers were recorded: its fields belong to nobody in particular.
        let nobody = Writer {
            manager: "before-first-apply".into(),
            operation: Operation::Update,
            api_version: writer.api_version.clone(),
            subresource: String::new(),
        };
        managers.set(&nobody, ownable(FieldSet::of_object(live, schema), part), now);
    }
    let last = managers.fields_of(writer).cloned().unwrap_or_default();
    let given = FieldSet::of_object(config, schema);
    managers.set(writer, ownable(given.clone(), part), now);

    let mut merged = merge(live, config, schema);
    if !last.is_empty() {
        // The configuration keeps also what nobody can own, such as the name, and with that its parents.
        let mut owned = given;
        managers.0.iter().for_each(|e| owned = owned.union(&e.fields));
        let gone = last.with_named_parents(schema).difference(&owned.with_named_parents(schema));
        merged = remove(&merged, &gone, schema);
    }
    let change = Difference::between(live, &merged, schema);
    let change = Difference {
        removed: ownable(change.removed, part),
        modified: ownable(change.modified, part),
        added: ownable(change.added, part),
    };
    managers.take_from_others(writer, &change, force)?;
    if let Some(metadata) = merged.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".into(), managers.to_json());
    }
    Ok(merged)
}
