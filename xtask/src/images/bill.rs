//! What is in a program: a software bill of materials in CycloneDX's JSON, from what cargo has resolved.

use crate::programs::{root, run};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The bill of a workspace member for a target: every crate that is linked into it.
pub(crate) fn of(package: &str, target: &str) -> Result<Vec<u8>, String> {
    let output = run(Command::new("cargo")
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", target])
        .current_dir(root()))?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    let bill = from(&metadata, &checksums(&lock)?, package)?;
    serde_json::to_vec_pretty(&bill).map_err(|error| error.to_string())
}

/// `name version` to the checksum of the crate's archive.
fn checksums(lock: &str) -> Result<BTreeMap<String, String>, String> {
    let lock: toml_edit::DocumentMut = lock.parse().map_err(|error| format!("Cargo.lock: {error}"))?;
    let packages = lock.get("package").and_then(|packages| packages.as_array_of_tables()).into_iter().flatten();
    let text = |table: &toml_edit::Table, key: &str| table.get(key).and_then(|item| item.as_str()).map(str::to_owned);
    Ok(packages
        .filter_map(|table| {
            let name = format!("{} {}", text(table, "name")?, text(table, "version")?);
            Some((name, text(table, "checksum")?))
        })
        .collect())
}

fn from(metadata: &Value, checksums: &BTreeMap<String, String>, package: &str) -> Result<Value, String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|package| (text(&package["id"]), package)).collect();
    let edges: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            // `null` is an ordinary dependency; the others are for building and testing.
            let linked = |dependency: &&Value| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            let dependencies = list(&node["deps"]);
            (text(&node["id"]), dependencies.iter().filter(linked).map(|dependency| text(&dependency["pkg"])).collect())
        })
        .collect();
    let own = packages
        .iter()
        .find(|(_, value)| value["name"] == package && value["source"].is_null())
        .map(|(id, _)| id.clone())
        .ok_or_else(|| format!("no package `{package}` in the workspace"))?;
    let mut seen = BTreeSet::from([own.clone()]);
    let mut left = vec![own.clone()];
    while let Some(id) = left.pop() {
        for next in edges.get(&id).into_iter().flatten() {
            if seen.insert(next.clone()) {
                left.push(next.clone());
            }
        }
    }
    let component = |id: &String| {
        let package = packages.get(id)?;
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        let mut component = json!({
            "type": "library",
            "bom-ref": format!("{name}@{version}"),
            "name": name,
            "version": version,
            "purl": format!("pkg:cargo/{name}@{version}"),
        });
        if let Some(licence) = package["license"].as_str() {
            // Some old crates write `A/B` for `A OR B`.
            component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
        }
        if let Some(checksum) = checksums.get(&format!("{name} {version}")) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        Some(component)
    };
    let mut main = component(&own).ok_or("the package is not described")?;
    main["type"] = json!("application");
    seen.remove(&own);
    let mut components: Vec<Value> = seen.iter().filter_map(component).collect();
    components.sort_by_key(|component| text(&component["bom-ref"]));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": main },
        "components": components,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_with_its_checksum_and_what_tests_need_is_not() {
        let package = |id: &str, source: Value| json!({"id": id, "name": id, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source});
        let needs = |package: &str, kind: Value| json!({"pkg": package, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("own", Value::Null), package("direct", json!("registry")), package("deep", json!("registry")),
                package("tested", json!("registry"))],
            "resolve": {"nodes": [
                {"id": "own", "deps": [needs("direct", Value::Null), needs("tested", json!("dev"))]},
                {"id": "direct", "deps": [needs("deep", Value::Null)]},
                {"id": "deep", "deps": []},
                {"id": "tested", "deps": []},
            ]},
        });
        let lock = "[[package]]\nname = \"deep\"\nversion = \"1.0.0\"\nchecksum = \"abc\"\n";
        let bill = from(&metadata, &checksums(lock).unwrap(), "own").unwrap();
        let names: Vec<&str> =
            bill["components"].as_array().unwrap().iter().filter_map(|component| component["name"].as_str()).collect();
        assert_eq!(names, ["deep", "direct"]);
        assert_eq!(bill["components"][0]["hashes"][0]["content"], "abc");
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["metadata"]["component"]["name"], "own");
        assert!(from(&metadata, &BTreeMap::new(), "stranger").is_err());
    }
}
