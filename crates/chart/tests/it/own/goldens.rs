//! Values files of users of the older charts, rendered here and compared with what those charts made of them, case by case.
//!
//! `own.golden.jsonl` has the facts that upstream's charts (`kata-deploy` 4.1.0, `confidential-containers` 0.16.0 on it, and on
//! 3.22.0 in `pinned/`) came to. What differs on purpose is listed here, told in `charts/DIFFERENCES.md`, and must differ.

use super::facts::facts;
use super::{first, objects, own, read, values_files, whole};
use serde_json::Value;
use std::collections::BTreeSet;

/// A difference on purpose: the case (empty: any), the place, why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("", "/env/HUSK_RELEASE", "the release's name in records"),
    ("", "/env/CONTAINERD_CONFIG_DIR", "the directory itself, where upstream mounts it at a fixed place"),
    ("", "/env/K8S_DISTRIBUTION", "found out on each node unless it is declared"),
    (
        "kata-deploy/14-enabled-null-false-true",
        "/classes/kata-made-up-shim",
        "a shim without a known overhead gets a class without one",
    ),
    (
        "kata-deploy/16-custom-runtimes",
        "/files/custom-runtimes.list",
        "handlers are read from the YAML: quotes are not part of them",
    ),
    ("kata-deploy/51-nfd-crd-present", "/classes/kata-qemu-snp/nodes", "NFD's API is what tells that NFD is there"),
    ("kata-deploy/51-nfd-crd-present", "/classes/kata-qemu-tdx/nodes", "NFD's API is what tells that NFD is there"),
    ("kata-deploy/56-job-zero-means-default", "/cleanup/deadline", "0 is off"),
    ("kata-deploy/56-job-zero-means-default", "/install/deadline", "0 is off"),
    ("kata-deploy/56-job-zero-means-default", "/installer/call", "0 is off"),
    ("kata-deploy/57-large-integers", "/cleanup/ttl", "whole numbers keep their digits"),
    ("kata-deploy/57-large-integers", "/install/ttl", "whole numbers keep their digits"),
    ("kata-deploy/57-large-integers", "/installer/call", "whole numbers keep their digits"),
    ("kata-deploy/57-large-integers", "/remover/call", "whole numbers keep their digits"),
    ("kata-deploy/58-custom-runtime-odd-handlers", "/files", "handlers are read from the YAML: comments, flow style"),
    ("kata-deploy/61-nonstring-selectors", "/installer/call", "selectors are text whatever YAML made of them"),
    ("kata-deploy/66-numeric-suffix", "/classes", "a number is its digits"),
    ("kata-deploy/66-numeric-suffix", "/env/DAEMONSET_NAME", "a number is its digits"),
    ("umbrella/01-defaults", "/classes", "the shims that the documentation lists, not all"),
    ("umbrella/01-defaults", "/env", "the shims that the documentation lists, not all"),
    ("umbrella/14-containerd-only", "", "a DaemonSet switches containerd on every node"),
    ("umbrella/15-legacy-env-ignored", "/classes", "the older keys count"),
    ("umbrella/15-legacy-env-ignored", "/env", "the older keys count"),
];

/// Rendered upstream, refused here: the case, what the message names, why.
const REFUSED: &[(&str, &[&str], &str)] = &[
    (
        "kata-deploy/36-legacy-env-keys-ignored",
        &["shims.fc.enabled", "env.shims"],
        "older and newer keys contradict each other",
    ),
    (
        "kata-deploy/59-custom-runtime-broken-yaml",
        &["customRuntimes.runtimes.broken.runtimeClass", "YAML"],
        "the class would be an object of errors",
    ),
    (
        "umbrella/09-custom-containerd-on-k3s",
        &["customContainerd", "k3s"],
        "the distribution brings its own containerd",
    ),
];

fn cases() -> Vec<(String, Value)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/own.golden.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| -> (String, Value) {
        let mut case: Value = serde_json::from_str(line).unwrap();
        (case["case"].as_str().unwrap().to_owned(), whole(case["facts"].take()))
    };
    text.lines().map(line).collect()
}

/// Our objects for a case, or why there are none.
fn ours(case: &str) -> Result<Vec<Value>, String> {
    let chart = if case.starts_with("kata-deploy/") { "kata-deploy" } else { "confidential-containers" };
    let mut options = first(chart);
    match case {
        "kata-deploy/51-nfd-crd-present" => options.capabilities.api_versions.0.push("nfd.k8s-sigs.io/v1alpha1".into()),
        "kata-deploy/53-release-name-long" => {
            options.release_name = "a-release-name-that-is-rather-long-indeed-for-a-helm0".into();
        }
        _ => {}
    }
    let values = read(&values_files().join(format!("{case}.yaml")));
    objects(&own(chart), &values, &options).map_err(|error| error.to_string())
}

/// Every place where two values differ, with both.
fn differences(upstream: &Value, ours: &Value, place: &str, found: &mut Vec<(String, String)>) {
    if let (Value::Object(a), Value::Object(b)) = (upstream, ours) {
        for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let side = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
            differences(&side(a), &side(b), &format!("{place}/{key}"), found);
        }
    } else if upstream != ours {
        found.push((place.to_owned(), format!("upstream {upstream}\n    ours     {ours}")));
    }
}

#[test]
fn every_case_that_renders_upstream_means_the_same_here() {
    let (mut used, mut wrong) = (BTreeSet::new(), Vec::new());
    let mut compared = 0;
    for (case, upstream) in cases().into_iter().filter(|(case, _)| !case.starts_with("pinned/")) {
        let refused = REFUSED.iter().find(|(refused, ..)| *refused == case);
        let objects = match (ours(&case), refused) {
            (Ok(objects), None) => objects,
            (Err(error), Some((_, parts, _))) => {
                wrong.extend(
                    parts.iter().filter(|part| !error.contains(**part)).map(|part| format!("{case}: {part}: {error}")),
                );
                continue;
            }
            (Ok(_), Some(_)) => {
                wrong.push(format!("{case}: is not refused"));
                continue;
            }
            (Err(error), None) => {
                wrong.push(format!("{case}: {error}"));
                continue;
            }
        };
        compared += 1;
        let mut found = Vec::new();
        differences(&upstream, &facts(&objects), "", &mut found);
        for (place, both) in found {
            let known = |(of, at, _): &&(&str, &str, &str)| (of.is_empty() || *of == case) && place.starts_with(at);
            match DIFFERENCES.iter().position(|difference| known(&difference)) {
                Some(index) => drop(used.insert(index)),
                None => wrong.push(format!("{case} {place}\n    {both}")),
            }
        }
    }
    let unused = DIFFERENCES.iter().enumerate().filter(|(index, _)| !used.contains(index));
    wrong.extend(unused.map(|(_, (case, place, why))| format!("{case} {place} does not differ any more ({why})")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(compared, 71);
}

/// `auto` is all that differs without being asked for, and only where nothing was declared.
#[test]
fn a_declared_distribution_reaches_the_node() {
    for (case, upstream) in cases().into_iter().filter(|(case, _)| case.contains("k8s-dist-")) {
        let wanted = &upstream["env"]["K8S_DISTRIBUTION"];
        let found = &facts(&ours(&case).unwrap())["env"]["K8S_DISTRIBUTION"];
        // `kubeadm` is accepted there as every word is, and means k8s in both.
        let means = if wanted == "kubeadm" { "k8s" } else { wanted.as_str().unwrap() };
        assert!(found == means, "{case}: {found} instead of {wanted}");
    }
    let k3s = facts(&ours("kata-deploy/28-k8s-dist-k3s").unwrap());
    assert_eq!(k3s["env"]["K8S_DISTRIBUTION"], "k3s");
}

/// The shims that an old file means for an architecture.
fn listed<'a>(environment: &'a Value, arch: &str) -> BTreeSet<&'a str> {
    let words = |key: &str| environment[key].as_str().unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    let exact: BTreeSet<&str> = words(&format!("SHIMS_{arch}")).collect();
    if exact.is_empty() { words("SHIMS").collect() } else { exact }
}

/// Cases of 3.22 whose values have newer keys, which 3.22 did not know and we do; and the one without an installer.
const NEWER: [&str; 3] =
    ["pinned/07-custom-containerd-single", "pinned/08-custom-containerd-multiarch", "pinned/14-containerd-only"];

#[test]
fn files_for_the_chart_of_3_22_mean_the_same_shims() {
    let mut compared = 0;
    for (case, upstream) in cases() {
        if !case.starts_with("pinned/") || NEWER.contains(&case.as_str()) {
            continue;
        }
        compared += 1;
        let ours = facts(&ours(&case).unwrap_or_else(|error| panic!("{case}: {error}")));
        let (theirs, env) = (&upstream["env"], &ours["env"]);
        assert_eq!(ours["nodes"]["nodeSelector"], upstream["nodeSelector"], "{case}");
        for key in ["DEBUG", "EXPERIMENTAL_SETUP_SNAPSHOTTER"] {
            assert_eq!(env[key], theirs[key], "{case} {key}");
        }
        let mut installed = BTreeSet::new();
        for arch in ["X86_64", "AARCH64", "S390X", "PPC64LE"] {
            let wanted = listed(theirs, arch);
            let found: BTreeSet<&str> = env[format!("SHIMS_{arch}")].as_str().unwrap_or_default().split(' ').collect();
            let found: BTreeSet<&str> = found.into_iter().filter(|shim| !shim.is_empty()).collect();
            // 3.22 gave every node every shim; what an architecture has no shim for is left out here.
            assert!(found.is_subset(&wanted), "{case} {arch}: {found:?} instead of {wanted:?}");
            installed.extend(found);
            let mapping = |env: &Value, key: &str| {
                env[key].as_str().unwrap_or_default().split(',').map(str::to_owned).collect::<BTreeSet<_>>()
            };
            let snapshotters = mapping(env, &format!("SNAPSHOTTER_HANDLER_MAPPING_{arch}"));
            let all = mapping(theirs, "SNAPSHOTTER_HANDLER_MAPPING");
            assert!(snapshotters.iter().all(|pair| pair.is_empty() || all.contains(pair)), "{case} {arch}");
        }
        let everywhere: BTreeSet<&str> =
            ["X86_64", "AARCH64", "S390X", "PPC64LE"].iter().flat_map(|a| listed(theirs, a)).collect();
        assert_eq!(installed, everywhere, "{case}: every shim is installed somewhere");
        let classes = ours["classes"].as_object().unwrap();
        if theirs["CREATE_RUNTIMECLASSES"] == "false" {
            assert!(classes.is_empty(), "{case}");
            continue;
        }
        let suffix = theirs["MULTI_INSTALL_SUFFIX"].as_str().map(|suffix| format!("-{suffix}")).unwrap_or_default();
        for shim in installed {
            assert!(classes.contains_key(&format!("kata-{shim}{suffix}")), "{case}: no class for {shim}");
        }
        assert_eq!(classes.contains_key("kata"), theirs["CREATE_DEFAULT_RUNTIMECLASS"] == "true", "{case}");
    }
    assert_eq!(compared, 7);
}
