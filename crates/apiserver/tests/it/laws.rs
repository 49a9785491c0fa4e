//! Laws of patches and of server-side apply, on random objects.

use apiserver::merge::apply::{Difference, merge};
use apiserver::merge::fieldset::FieldSet;
use apiserver::merge::managed::{Managers, Operation, Part, Writer, apply};
use apiserver::merge::patch::{PatchType, patched};
use apiserver::merge::schema::Schema;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T00:00:00Z";

fn writer(manager: &str) -> Writer {
    Writer {
        manager: manager.into(),
        operation: Operation::Apply,
        api_version: "v1".into(),
        subresource: String::new(),
    }
}

fn apply_as(
    manager: &str,
    live: &Value,
    config: &Value,
    force: bool,
) -> Result<Value, Vec<apiserver::merge::managed::Conflict>> {
    apply(live, config, &writer(manager), Part::Main, force, Schema::of_kind("Pod"), NOW)
}

/// Pod-like objects with maps, keyed lists, sets and atomic lists; never an empty list or map below a list element.
fn pods() -> impl Strategy<Value = Value> {
    let text = || "[a-c]";
    let env = btree_map("[A-C]", text(), 0..3);
    let container = (text(), proptest::option::of(text()), env).prop_map(|(name, image, env)| {
        let mut out = json!({ "name": name });
        if let Some(image) = image {
            out["image"] = image.into();
        }
        if !env.is_empty() {
            out["env"] = env.into_iter().map(|(k, v)| json!({"name": k, "value": v})).collect();
        }
        out
    });
    let labels = btree_map(text(), text(), 0..3);
    let finalizers = proptest::collection::btree_set(text(), 0..3);
    (labels, finalizers, vec(container, 0..4), proptest::option::of(text()), vec(text(), 0..3)).prop_map(
        |(labels, finalizers, containers, host, tolerations)| {
            let mut out = json!({"metadata": {"name": "x"}});
            if !labels.is_empty() {
                out["metadata"]["labels"] = json!(labels);
            }
            if !finalizers.is_empty() {
                out["metadata"]["finalizers"] = json!(finalizers);
            }
            let mut names = std::collections::BTreeSet::new();
            let containers: Vec<Value> =
                containers.into_iter().filter(|c| names.insert(c["name"].as_str().unwrap().to_string())).collect();
            if !containers.is_empty() {
                out["spec"]["containers"] = containers.into();
            }
            if let Some(host) = host {
                out["spec"]["hostname"] = host.into();
            }
            if !tolerations.is_empty() {
                out["spec"]["tolerations"] = tolerations.into_iter().map(|k| json!({ "key": k })).collect();
            }
            out
        },
    )
}

fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"].as_object_mut().unwrap().shift_remove("managedFields");
    object
}

/// The same objects whatever the order of keyed lists and sets.
fn same(a: &Value, b: &Value) -> bool {
    Difference::between(a, b, Schema::of_kind("Pod")).is_empty()
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(live in pods(), config in pods()) {
        let once = apply_as("m", &live, &config, true).unwrap();
        let twice = apply_as("m", &once, &config, true).unwrap();
        prop_assert_eq!(&once, &twice);
    }

    #[test]
    fn what_was_applied_is_there(live in pods(), config in pods()) {
        let after = apply_as("m", &live, &config, true).unwrap();
        let schema = Schema::of_kind("Pod");
        prop_assert!(same(&merge(&after, &config, schema), &after));
    }

    #[test]
    fn applying_something_else_leaves_nothing_behind(first in pods(), second in pods()) {
        let base = json!({"metadata": {"name": "x"}});
        let after = apply_as("m", &apply_as("m", &base, &first, false).unwrap(), &second, false).unwrap();
        let fresh = apply_as("m", &base, &second, false).unwrap();
        prop_assert!(same(&bare(&after), &bare(&fresh)), "{}\n{}", after, fresh);
    }

    #[test]
    fn two_managers_keep_out_of_each_others_way(one in pods(), two in pods()) {
        let base = json!({"metadata": {"name": "x"}});
        let first = apply_as("one", &base, &one, false).unwrap();
        match apply_as("two", &first, &two, false) {
            Err(conflicts) => prop_assert!(!conflicts.is_empty()),
            Ok(both) => {
                // No conflict: what the first wrote is all still there, and when the second leaves, only its part goes.
                prop_assert!(same(&merge(&both, &one, Schema::of_kind("Pod")), &both));
                let left = apply_as("two", &both, &json!({"metadata": {"name": "x"}}), false).unwrap();
                prop_assert!(same(&bare(&left), &bare(&first)), "{}\n{}", left, first);
            }
        }
        // By force the second has its way.
        let forced = apply_as("two", &first, &two, true).unwrap();
        prop_assert!(same(&merge(&forced, &two, Schema::of_kind("Pod")), &forced));
    }

    #[test]
    fn an_update_owns_exactly_what_it_changed(live in pods(), new in pods()) {
        let who = Writer { operation: Operation::Update, ..writer("u") };
        let mut managers = Managers::default();
        managers.record_update(&live, &new, &who, Part::Main, Schema::of_kind("Pod"), NOW);
        let mut with = new.clone();
        with["metadata"]["managedFields"] = managers.to_json();
        prop_assert_eq!(Managers::of(&with), managers.clone());
        let change = Difference::between(&live, &new, Schema::of_kind("Pod"));
        prop_assert_eq!(managers.is_empty(), change.added.union(&change.modified).is_empty());
    }

    #[test]
    fn field_sets_are_sets(a in pods(), b in pods()) {
        let schema = Schema::of_kind("Pod");
        let (a, b) = (FieldSet::of_object(&a, schema), FieldSet::of_object(&b, schema));
        prop_assert_eq!(FieldSet::from_json(&a.to_json()), Some(a.clone()));
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b).union(&a.difference(&b)), a.clone());
        prop_assert!(a.difference(&a).is_empty());
    }

    #[test]
    fn merge_patches_are_idempotent(live in pods(), patch in pods()) {
        let schema = Schema::of_kind("Pod");
        for kind in [PatchType::Merge, PatchType::Strategic] {
            let once = patched(&live, &patch, kind, schema).unwrap();
            prop_assert_eq!(patched(&once, &patch, kind, schema).unwrap(), once);
        }
    }

    #[test]
    fn a_strategic_merge_of_plain_objects_is_an_apply_without_owners(live in pods(), patch in pods()) {
        let schema = Schema::of_kind("Pod");
        let strategic = patched(&live, &patch, PatchType::Strategic, schema).unwrap();
        prop_assert!(same(&strategic, &merge(&live, &patch, schema)));
    }
}
