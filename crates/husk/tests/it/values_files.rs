//! Real values files, each on a sandbox that is shaped after it. `down` compares every host with what it was at first.

use crate::harness::{Place, assert_converged, values};

fn works(chart: &[&str], file: &str) {
    let place = Place::new();
    let file = values(file);
    let report = place.json(&[&["up", "--sandbox", "--values", file.to_str().unwrap()][..], chart].concat());
    assert!(assert_converged(&report) > 0, "{report}");
    place.ok(&[&["down", "--sandbox"][..], chart].concat());
}

/// Only containerd is switched: no runtimes, no marks on Nodes.
#[test]
fn umbrella_14() {
    let place = Place::new();
    let file = values("umbrella/14-containerd-only.yaml");
    let up = ["up", "--sandbox", "--values", file.to_str().unwrap()];
    let report = place.json(&up);
    let nodes = report["nodes"].as_array().unwrap();
    assert!(!nodes.is_empty());
    for node in nodes {
        assert_eq!((&node["stage"], &node["state"]), (&"cri".into(), &"done".into()), "{node}");
        assert_eq!(node["runtime"], "containerd://2.1.5", "{node}");
    }
    assert_eq!(report["classes"].as_array().map(Vec::len), Some(0));
    place.json(&up);
    place.ok(&["down", "--sandbox"]);
}

macro_rules! umbrella {
    ($($test:ident: $file:literal)*) => {
        $(#[test] fn $test() { works(&[], concat!("umbrella/", $file, ".yaml")); })*
    };
}

macro_rules! kata_deploy {
    ($($test:ident: $file:literal)*) => {
        $(#[test] fn $test() { works(&["--chart", "kata-deploy"], concat!("kata-deploy/", $file, ".yaml")); })*
    };
}

umbrella! {
    umbrella_01: "01-defaults"
    umbrella_02: "02-x86-tee-only"
    umbrella_03: "03-s390x"
    umbrella_04: "04-aarch64"
    umbrella_05: "05-remote-peer-pods"
    umbrella_06: "06-k3s-debug-selector"
    umbrella_07: "07-custom-containerd-single"
    umbrella_08: "08-custom-containerd-multiarch"
    umbrella_10: "10-private-registry-digest"
    umbrella_11: "11-force-guest-pull"
    umbrella_12: "12-multi-install"
    umbrella_13: "13-job-mode-tee-keys"
    umbrella_15: "15-legacy-env-ignored"
}

kata_deploy! {
    kata_deploy_01: "01-defaults"
    kata_deploy_02: "02-daemonset-single-shim"
    kata_deploy_15: "15-shim-knobs"
    kata_deploy_16: "16-custom-runtimes"
    kata_deploy_18: "18-job-defaults"
    kata_deploy_19: "19-job-full"
}
