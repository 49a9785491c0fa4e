//! Every key of our charts, misspelt and of a wrong type: what is refused, and how the message helps.

use super::{failure, load, with_hints};
use crate::charts::entropy;
use chart::{Chart, RenderOptions};
use contract::Code;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

const CHARTS: [&str; 2] = ["kata-deploy", "confidential-containers"];

/// Maps of Kubernetes' own, whose keys its API server checks, and of names that are the user's.
const OPEN: &[&str] = &[
    "job.watch.resources",
    "updateStrategy",
    "resources",
    "monitor.resources",
    "monitor.securityContext",
    "job.cleanup.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
    "node-feature-discovery",
    "global",
    "shims",
];

/// Whether the keys at a place are not this chart's to know.
fn is_open(path: &[String]) -> bool {
    let place = path.join(".");
    let below = |open: &&str| *open != "shims" && place.starts_with(&format!("{open}."));
    OPEN.iter().any(|open| place == *open || below(open)) || path.iter().any(|part| part == "nodeSelector")
}

type Path = Vec<String>;

fn schema(chart: &Chart) -> Value {
    serde_json::from_slice(chart.schema.as_deref().unwrap()).unwrap()
}

/// The maps of a schema that refuse unknown keys, with the keys that they know.
fn closed(schema: &Value) -> Vec<(Path, BTreeSet<String>)> {
    fn walk(root: &Value, node: &Value, path: &Path, found: &mut Vec<(Path, BTreeSet<String>)>) {
        let node = super::resolve(root, node);
        if node["additionalProperties"].is_object() {
            // The user's own names, of shims and runtimes; one that is known stands for them all.
            walk(root, &node["additionalProperties"], &[&path[..], &["qemu".to_owned()]].concat(), found);
        }
        let Some(properties) = node["properties"].as_object() else { return };
        if node["additionalProperties"] == false {
            found.push((path.clone(), properties.keys().cloned().collect()));
        }
        for (key, below) in properties {
            walk(root, below, &[&path[..], std::slice::from_ref(key)].concat(), found);
        }
    }
    let mut found = Vec::new();
    walk(schema, &schema["definitions"]["keys"], &Vec::new(), &mut found);
    found
}

/// The keys of a map of defaults, and of the maps below it.
fn documented(values: &Map<String, Value>) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    let mut maps = vec![(Vec::new(), values)];
    while let Some((path, map)) = maps.pop() {
        for (key, value) in map {
            found.push((path.clone(), key.clone()));
            if let Value::Object(below) = value {
                maps.push(([&path[..], std::slice::from_ref(key)].concat(), below));
            }
        }
    }
    found
}

fn insert(values: &mut Map<String, Value>, path: &[String], key: &str, value: Value) {
    let mut map = values;
    for part in path {
        map = map.entry(part.clone()).or_insert_with(|| json!({})).as_object_mut().unwrap();
    }
    map.insert(key.to_owned(), value);
}

/// The mistakes of a hurried hand: two letters exchanged, one left out, one twice.
fn typos(key: &str) -> Vec<String> {
    let letters: Vec<char> = key.chars().collect();
    let last = letters.len() - 1;
    let mut exchanged = letters.clone();
    exchanged.swap(last - 1, last);
    let mut short = letters.clone();
    short.remove(last / 2);
    let mut double = letters.clone();
    double.insert(last, letters[last]);
    [exchanged, short, double].into_iter().map(String::from_iter).filter(|typo| typo != key).collect()
}

fn options() -> RenderOptions {
    RenderOptions::new("release", "default", SystemTime::now(), entropy())
}

#[test]
fn every_misspelt_key_is_named_beside_the_right_one() {
    for name in CHARTS {
        let chart = load(name).unwrap();
        let closed = closed(&schema(&chart));
        let (mut user, mut wanted) = (Map::new(), Vec::new());
        for (path, known) in &closed {
            for key in known.iter().filter(|key| key.len() > 1) {
                for typo in typos(key).into_iter().filter(|typo| !known.contains(typo)) {
                    insert(&mut user, path, &typo, json!(true));
                    // Two keys can be as near: a letter less makes `am64` of both `amd64` and `arm64`.
                    let near = known.iter().filter(|known| strsim::osa_distance(known, &typo) == 1);
                    let hints = near.map(|known| format!("`{typo}`: did you mean `{known}`?")).collect::<Vec<_>>();
                    wanted.push((typo, hints));
                }
            }
        }
        assert!(wanted.len() > 50, "{name}: {wanted:?}");
        let error = chart::render(&chart, &user, &options()).err().unwrap_or_else(|| panic!("{name} takes everything"));
        let told = with_hints(failure(error), &chart);
        assert_eq!(told.code, Some(Code::UNKNOWN_VALUE));
        let silent: Vec<_> = wanted
            .iter()
            .filter(|(typo, hints)| {
                !told.message.contains(&format!("'{typo}'")) || !hints.iter().any(|hint| told.message.contains(hint))
            })
            .collect();
        assert!(silent.is_empty(), "{name}: {silent:?}");

        user.insert("global".to_owned(), json!({"lenient": true}));
        chart::render(&chart, &user, &options()).unwrap_or_else(|error| panic!("{name}, lenient: {error}"));
    }
}

#[test]
fn every_documented_key_is_known_and_its_neighbours_are_not_free() {
    for name in CHARTS {
        let chart = load(name).unwrap();
        let closed = closed(&schema(&chart));
        for (path, key) in documented(&chart.values) {
            let place = path.join(".");
            // What belongs to a chart below is that one's to check.
            if is_open(&path) || path.first().is_some_and(|first| first == "kata-as-coco-runtime" || first == "global")
            {
                continue;
            }
            let mut path = path;
            if path.first().is_some_and(|first| first == "shims") {
                path[1] = "qemu".to_owned();
            }
            let known = closed.iter().find(|(map, _)| *map == path).map(|(_, known)| known);
            assert!(known.is_some_and(|known| known.contains(&key)), "{name}: {place}.{key}");
        }
    }
}

#[test]
fn every_key_of_a_wrong_type_is_named() {
    for name in CHARTS {
        let chart = load(name).unwrap();
        let (mut user, mut wanted) = (Map::new(), Vec::new());
        for (path, key) in documented(&chart.values) {
            if is_open(&path) && path != ["shims"] {
                continue;
            }
            let value =
                path.iter().try_fold(&chart.values, |map, part| map.get(part)?.as_object()).unwrap()[&key].clone();
            let wrong = match value {
                Value::String(_) => json!({"not": "text"}),
                Value::Bool(_) => json!("true"),
                Value::Number(_) => json!({"not": "a number"}),
                Value::Array(_) => json!(7),
                Value::Object(_) | Value::Null => continue,
            };
            insert(&mut user, &path, &key, wrong);
            wanted.push(format!("at '/{}'", [&path[..], std::slice::from_ref(&key)].concat().join("/")));
        }
        assert!(wanted.len() > 10, "{name}: {wanted:?}");
        let error = chart::render(&chart, &user, &options()).err().unwrap_or_else(|| panic!("{name} takes everything"));
        let told = error.to_string();
        // A chart below speaks of its own values.
        let told = told.as_str();
        let silent: Vec<_> = wanted
            .iter()
            .filter(|place| {
                !told.contains(place.as_str()) && !told.contains(&place.replace("/kata-as-coco-runtime", ""))
            })
            .collect();
        assert!(silent.is_empty(), "{name}: {silent:?}\n{told}");
    }
}

#[test]
fn text_in_place_of_every_map_is_named() {
    for name in CHARTS {
        let chart = load(name).unwrap();
        // A map that is text has no maps below it: those of one depth at a time.
        let mut depths: BTreeMap<usize, Vec<Path>> = BTreeMap::new();
        for (path, key) in documented(&chart.values) {
            let whole = [&path[..], &[key]].concat();
            let value = whole.iter().try_fold(&Value::Object(chart.values.clone()), |map, part| map.get(part)).cloned();
            // Maps of others are theirs to check, from the second depth on; charts below are checked as such.
            if value.is_some_and(|value| value.is_object()) && (!is_open(&path) || path == ["shims"]) {
                depths.entry(whole.len()).or_default().push(whole);
            }
        }
        // Values of charts below are spread before any schema is asked; one at a time then.
        let below = ["global", "node-feature-discovery", "kata-as-coco-runtime"];
        let first = depths.get_mut(&1).unwrap();
        let alone: Vec<Path> = first.extract_if(.., |place| below.contains(&place[0].as_str())).collect();
        assert!(!alone.is_empty());
        for place in alone {
            let mut user = Map::new();
            insert(&mut user, &[], &place[0], json!("text"));
            let told = chart::render(&chart, &user, &options()).err().map(|error| error.to_string());
            assert!(told.as_ref().is_some_and(|told| told.contains(&place[0])), "{name}: {place:?}: {told:?}");
        }
        assert!(depths.len() > 2 && depths.values().flatten().count() > 10, "{name}: {depths:?}");
        for places in depths.into_values() {
            let mut user = Map::new();
            for place in &places {
                let (key, path) = place.split_last().unwrap();
                insert(&mut user, path, key, json!("text"));
            }
            let error =
                chart::render(&chart, &user, &options()).err().unwrap_or_else(|| panic!("{name} takes {places:?}"));
            let told = error.to_string();
            let named = |place: &&Path| {
                let place = format!("at '/{}'", place.join("/"));
                told.contains(&place) || told.contains(&place.replace("/kata-as-coco-runtime", ""))
            };
            let silent: Vec<&Path> = places.iter().filter(|place| !named(place)).collect();
            assert!(silent.is_empty(), "{name}: {silent:?}\n{told}");
        }
    }
}

#[test]
fn every_key_is_described() {
    fn walk(root: &Value, node: &Value, path: &str, silent: &mut Vec<String>) {
        let node = super::resolve(root, node);
        for (key, below) in node["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            let described = [below, super::resolve(root, below)]
                .iter()
                .any(|node| node["description"].as_str().is_some_and(|text| text.len() > 3));
            if !described {
                silent.push(path.clone());
            }
            walk(root, below, &path, silent);
        }
    }
    for name in CHARTS {
        let schema = schema(&load(name).unwrap());
        let mut silent = Vec::new();
        walk(&schema, &schema, "", &mut silent);
        assert!(silent.is_empty(), "{name}: {silent:?}");
    }
}
