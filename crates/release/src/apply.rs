//! Bringing objects to the cluster, and away from it: kind after kind, side by side within a kind.

use crate::cluster::{Apply, Cascade, Cluster, Resource};
use crate::error::{Error, Result};
use crate::event::{Change, Event};
use crate::managed_fields;
use crate::object::ObjectId;
use crate::ownership;
use crate::parallel::side_by_side;
use crate::readiness::Rules;
use crate::survey::{Seen, survey};
use crate::wait::{Goal, Target, wait};
use chart::render::{install_order, uninstall_order};
use futures::FutureExt;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// For how long a new CustomResourceDefinition may take to be served.
const CRD_TIMEOUT: Duration = Duration::from_secs(60);

/// An object with its place on the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What it is; the name is empty when the server is to choose one.
    pub id: ObjectId,
    /// Where it is served.
    pub resource: Resource,
    /// The object as it is to be applied.
    pub object: Value,
}

impl Item {
    fn target(&self) -> Target {
        Target { id: self.id.clone(), resource: self.resource.clone() }
    }

    pub(crate) fn generates_name(&self) -> bool {
        self.id.name.is_empty()
    }
}

/// Returns what to wait for; objects whose name the server chooses are not waited for.
pub fn targets(items: &[Item]) -> Vec<Target> {
    items.iter().filter(|item| !item.generates_name()).map(Item::target).collect()
}

/// How objects are applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyOptions {
    /// Take fields from other managers.
    pub force_conflicts: bool,
    /// Replace whole objects instead of applying.
    pub force_replace: bool,
    /// Delete and create again what cannot be changed in place.
    pub recreate: bool,
    /// How long to wait for an old object to go.
    pub timeout: Duration,
    /// An earlier revision is there, and Helm tells what cannot be created beside it in other words.
    pub updating: bool,
}

/// Finds the place of each object: the kind must be served, or be defined by the manifest itself.
pub async fn resolve(cluster: &Cluster, objects: Vec<Value>, namespace: &str) -> Result<Vec<Item>> {
    resolve_beside(cluster, objects, &[], namespace).await
}

/// The same, with further CustomResourceDefinitions that will be there by the time the objects are applied.
pub async fn resolve_beside(
    cluster: &Cluster,
    objects: Vec<Value>,
    crds: &[Value],
    namespace: &str,
) -> Result<Vec<Item>> {
    let mut defined = defined_kinds(crds);
    defined.extend(defined_kinds(&objects));
    let mut items = Vec::with_capacity(objects.len());
    for mut object in objects {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        let (written_namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let served = match defined.get(&(version.clone(), kind.clone())) {
            Some(resource) => Some(resource.clone()),
            None => cluster.resource(&version, &kind).await?,
        };
        let Some(resource) = served else {
            return Err(Error::UnknownKind { name, namespace: written_namespace, kind, version });
        };
        let place = match (resource.namespaced, written_namespace.is_empty()) {
            (false, _) => "",
            (true, true) => namespace,
            (true, false) => &written_namespace,
        };
        if let Some(meta) = object["metadata"].as_object_mut() {
            if place.is_empty() {
                meta.shift_remove("namespace");
            } else {
                meta.insert("namespace".to_owned(), place.into());
            }
        }
        items.push(Item { id: ObjectId::new(&version, &kind, place, &name), resource, object });
    }
    Ok(items)
}

/// Returns the kinds that the CustomResourceDefinitions among the objects bring along.
fn defined_kinds(objects: &[Value]) -> HashMap<(String, String), Resource> {
    let mut kinds = HashMap::new();
    for object in objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
        let spec = &object["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for version in spec["versions"].as_array().into_iter().flatten() {
            let resource = Resource {
                api_version: format!("{}/{}", text(&spec["group"]), text(&version["name"])),
                kind: text(&spec["names"]["kind"]),
                plural: text(&spec["names"]["plural"]),
                namespaced: spec["scope"] == "Namespaced",
            };
            kinds.insert((resource.api_version.clone(), resource.kind.clone()), resource);
        }
    }
    kinds
}

/// Checks that objects which are new to a release either do not exist or carry its marks.
pub async fn check_adoption(
    cluster: &Cluster,
    items: &[&Item],
    release: &str,
    namespace: &str,
    operation: &'static str,
) -> Result<()> {
    let items: Vec<&Item> = items.iter().copied().filter(|item| !item.generates_name()).collect();
    for (item, live) in items.iter().zip(survey(cluster, &items).await) {
        let Some(live) = live? else { continue };
        if let Err(why) = ownership::check(&live, release, namespace) {
            return Err(Error::NotOurs { operation, text: ownership::refusal(&item.id, &why) });
        }
    }
    Ok(())
}

/// Applies objects in the order of their kinds; a kind starts when the one before is through. As with Helm, an object
/// that cannot be created ends it (what comes later may need it), and one that cannot be changed does not. What was
/// created, also before an error, is in `created`.
pub async fn apply_all(
    cluster: &Cluster,
    items: &[Item],
    options: ApplyOptions,
    created: &mut Vec<Item>,
) -> Result<()> {
    let mut sorted: Vec<&Item> = items.iter().collect();
    sorted.sort_by(|a, b| install_order(&a.id.kind, &b.id.kind));
    let mut errors = Vec::new();
    for kind in sorted.chunk_by(|a, b| a.id.kind == b.id.kind) {
        let mut tasks = Vec::new();
        for (item, live) in kind.iter().zip(survey(cluster, kind).await) {
            tasks.push(apply_and_tell(cluster, item, live, options).boxed());
        }
        let results = side_by_side(tasks).await;
        let mut missing = false;
        for (item, result) in kind.iter().copied().zip(results) {
            match result {
                Ok(Change::Created) => created.push(item.clone()),
                Ok(_) => {}
                Err(Refusal { error, exists: true }) => errors.push(error),
                Err(Refusal { error, exists: false }) => {
                    missing = true;
                    errors.push(if options.updating { Error::NotCreated(Box::new(error)) } else { error });
                }
            }
        }
        if missing {
            break;
        }
        if kind.iter().any(|item| item.id.kind == "CustomResourceDefinition") {
            let crds: Vec<Target> = kind.iter().map(|item| item.target()).collect();
            wait(cluster, &crds, Goal::Ready(Rules::Objects), CRD_TIMEOUT).await?;
        }
    }
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(Error::Several(errors)),
    }
}

/// An object could not be applied.
struct Refusal {
    error: Error,
    /// It is on the cluster as it was.
    exists: bool,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { error, exists: false }
    }
}

async fn apply_and_tell(
    cluster: &Cluster,
    item: &Item,
    live: Seen,
    options: ApplyOptions,
) -> std::result::Result<Change, Refusal> {
    let change = apply_one(cluster, item, live?, options).await?;
    cluster.progress.send(Event::Applied { object: item.id.clone(), change });
    Ok(change)
}

/// Applies an object of whose live form at least the metadata is known.
async fn apply_one(
    cluster: &Cluster,
    item: &Item,
    mut live: Option<Value>,
    options: ApplyOptions,
) -> std::result::Result<Change, Refusal> {
    let Item { id, resource, object } = item;
    if item.generates_name() {
        cluster.create(resource, &id.namespace, object, false).await?;
        return Ok(Change::Created);
    }
    if live.as_ref().is_some_and(is_terminating) {
        // Whatever is changed now would go with the old object.
        wait(cluster, &[item.target()], Goal::Gone, options.timeout).await?;
        live = None;
    }
    let Some(live) = live else {
        cluster.apply(resource, id, object, Apply { force: options.force_conflicts, dry_run: false }).await?;
        return Ok(Change::Created);
    };
    let stays = |error| Refusal { error, exists: true };
    if options.force_replace {
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        let new = cluster.replace(resource, id, &object).await.map_err(stays)?;
        return Ok(change(&live, &new));
    }
    if let Some(patch) = managed_fields::migration(&live, &cluster.field_manager) {
        cluster.patch(resource, id, &patch).await.map_err(stays)?;
    }
    match cluster.apply(resource, id, object, Apply { force: options.force_conflicts, dry_run: false }).await {
        Ok(new) => Ok(change(&live, &new)),
        Err(error) if options.recreate && is_immutable(&error) => {
            cluster.delete(resource, id, Cascade::Background).await?;
            wait(cluster, &[item.target()], Goal::Gone, options.timeout).await?;
            cluster.apply(resource, id, object, Apply { force: options.force_conflicts, dry_run: false }).await?;
            Ok(Change::Recreated)
        }
        Err(error) => Err(stays(error)),
    }
}

fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn change(old: &Value, new: &Value) -> Change {
    if old["metadata"]["resourceVersion"] == new["metadata"]["resourceVersion"] {
        Change::Unchanged
    } else {
        Change::Configured
    }
}

/// Was the change refused because a field cannot be changed after creation?
pub fn is_immutable(error: &Error) -> bool {
    match error {
        Error::Refused { code: 422, message, .. } => {
            let message = message.to_lowercase();
            message.contains("immutable")
                || (message.contains("updates to") && message.contains("are forbidden"))
                || message.contains("may not be changed")
        }
        _ => false,
    }
}

/// What became of objects that were to be deleted.
#[derive(Debug, Default)]
pub struct Removal {
    /// Deleted, or on their way.
    pub deleted: Vec<Target>,
    /// Left in place because they ask for it.
    pub kept: Vec<ObjectId>,
    /// Left in place because they carry another release's marks, or none.
    pub unowned: Vec<ObjectId>,
    /// Left in place because they could not be read: each with the reason.
    pub unverifiable: Vec<(ObjectId, String)>,
    /// Could not be deleted: each with the reason.
    pub failed: Vec<(ObjectId, String)>,
}

/// Deletes the objects of a release in the order of removal; what is not the release's stays, as does what asks for it.
pub async fn remove_all(
    cluster: &Cluster,
    items: Vec<Item>,
    release: &str,
    namespace: &str,
    cascade: Cascade,
) -> Removal {
    let mut removal = Removal::default();
    let mut items = items;
    items.retain(|item| !item.generates_name());
    items.sort_by(|a, b| uninstall_order(&a.id.kind, &b.id.kind));
    for kind in items.chunk_by(|a, b| a.id.kind == b.id.kind) {
        let kind: Vec<&Item> = kind.iter().collect();
        let mut tasks = Vec::new();
        for (item, live) in kind.iter().zip(survey(cluster, &kind).await) {
            tasks.push(remove_one(cluster, item, live, release, namespace, cascade).boxed());
        }
        let outcomes = side_by_side(tasks).await;
        for (item, outcome) in kind.into_iter().zip(outcomes) {
            let object = item.id.clone();
            let kept = |why: &str| Event::Kept { object: object.clone(), why: why.to_owned() };
            match outcome {
                Outcome::Absent => {}
                Outcome::Deleted => {
                    removal.deleted.push(item.target());
                    cluster.progress.send(Event::Deleted { object });
                }
                Outcome::Kept => {
                    cluster.progress.send(kept("resource policy"));
                    removal.kept.push(object);
                }
                Outcome::Unowned => {
                    cluster.progress.send(kept("not owned by this release"));
                    removal.unowned.push(object);
                }
                Outcome::Unverifiable(error) => {
                    cluster.progress.send(kept("ownership could not be verified"));
                    removal.unverifiable.push((object, error.to_string()));
                }
                Outcome::Failed(error) => removal.failed.push((object, error.to_string())),
            }
        }
    }
    removal
}

enum Outcome {
    Absent,
    Deleted,
    Kept,
    Unowned,
    Unverifiable(Error),
    Failed(Error),
}

async fn remove_one(
    cluster: &Cluster,
    item: &Item,
    live: Seen,
    release: &str,
    namespace: &str,
    cascade: Cascade,
) -> Outcome {
    if ownership::is_kept(&item.object) {
        return Outcome::Kept;
    }
    let live = match live {
        Ok(Some(live)) => live,
        Ok(None) => return Outcome::Absent,
        Err(error) => return Outcome::Unverifiable(error),
    };
    if ownership::check(&live, release, namespace).is_err() {
        return Outcome::Unowned;
    }
    if ownership::is_kept(&live) {
        return Outcome::Kept;
    }
    match cluster.delete(&item.resource, &item.id, cascade).await {
        Ok(true) => Outcome::Deleted,
        Ok(false) => Outcome::Absent,
        Err(error) => Outcome::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manifest_may_use_the_kinds_that_it_defines() {
        let crd = json!({"kind": "CustomResourceDefinition", "spec": {
            "group": "x.io", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1"}, {"name": "v2"}]
        }});
        let kinds = defined_kinds(&[crd]);
        assert_eq!(kinds.len(), 2);
        assert_eq!(kinds[&("x.io/v2".to_owned(), "Thing".to_owned())].plural, "things");
    }

    #[test]
    fn immutable_fields_are_recognised() {
        let refused = |message: &str| Error::Refused {
            object: ObjectId::new("batch/v1", "Job", "n", "j"),
            code: 422,
            message: message.to_owned(),
        };
        assert!(is_immutable(&refused(
            "Job.batch \"j\" is invalid: spec.template: Invalid value: {}: field is immutable"
        )));
        assert!(is_immutable(&refused(
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden"
        )));
        assert!(!is_immutable(&refused("spec.replicas: must be positive")));
    }
}
