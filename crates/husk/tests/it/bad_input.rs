//! Wrong input of every kind: a code, a place, the right exit status, and nothing touched that need not be.

use crate::harness::{Ended, Place};
use crate::host_roots::{Snapshot, differences, snapshot};
use std::path::Path;

/// A sandbox whose hosts are remembered.
struct Untouched {
    place: Place,
    before: Vec<(String, Snapshot)>,
}

impl Untouched {
    fn new(hosts: &str) -> Untouched {
        let place = Place::new();
        place.ok(&["sandbox", "up", "--hosts", hosts]);
        let before = place.hosts().into_iter().map(|host| (host.clone(), snapshot(&place.host(&host)))).collect();
        Untouched { place, before }
    }

    fn assert_hosts_as_before(&self, what: &str) {
        for (host, before) in &self.before {
            assert_eq!(
                differences(before, &snapshot(&self.place.host(host))),
                Vec::<String>::new(),
                "{what}: host {host}"
            );
        }
    }

    fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) -> Ended {
        let ended = self.place.husk(&[&["up", "--sandbox"][..], arguments].concat());
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended}\n{}", self.place.logs());
        for word in words {
            assert!(ended.err.contains(word), "{word} is missing: {ended}");
        }
        ended
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused_before_anything_happens() {
    let sandbox = Untouched::new("k8s:1");
    sandbox.refuses(&["--set", "kata-as-coco-runtime.shims.qemu-snp.enabeld=true"], 1, &["HUSK-1001", "enabeld"]);
    sandbox.refuses(&["--set", "kata-as-coco-runtime.shim.qemu.enabled=true"], 1, &["HUSK-1001", "shim"]);
    sandbox.refuses(&["--set", "kata-as-coco-runtime.shims.qemu-snpp.enabled=true"], 1, &["HUSK-1002", "qemu-snpp"]);
    sandbox.refuses(&["--set", "kata-as-coco-runtime.deploymentMode=sometimes"], 1, &["HUSK-1003", "deploymentMode"]);
    sandbox.refuses(&["--values", "no-such-file.yaml"], 1, &["HUSK-1005", "no-such-file.yaml"]);
    let broken = sandbox.place.file("broken.yaml", "a: [1\nb: 2\n");
    sandbox.refuses(&["--values", broken.to_str().unwrap()], 1, &["HUSK-1005", "broken.yaml"]);
    sandbox.assert_hosts_as_before("bad values");
}

#[test]
fn a_selection_without_nodes_lists_each_node_with_its_rule() {
    let sandbox = Untouched::new("k8s:1,crio:1");
    for mode in ["daemonset", "job"] {
        let mode = format!("kata-as-coco-runtime.deploymentMode={mode}");
        sandbox.refuses(
            &["--set", "kata-as-coco-runtime.nodeSelector.pool=kata", "--set", &mode],
            3,
            &["HUSK-3001", "k8s-1 does not meet pool=kata", "crio-1 does not meet pool=kata"],
        );
    }
    sandbox.assert_hosts_as_before("no node selected");
}

#[test]
fn a_shim_that_the_payload_lacks_for_the_architecture_is_refused_by_the_host() {
    let sandbox = Untouched::new("k8s:1");
    for mode in ["daemonset", "job"] {
        let mode = format!("kata-as-coco-runtime.deploymentMode={mode}");
        sandbox.refuses(
            &[
                "--set",
                "kata-as-coco-runtime.shims.qemu-se.enabled=true",
                "--set",
                "kata-as-coco-runtime.shims.qemu-se.supportedArches={amd64}",
                "--set",
                &mode,
            ],
            1,
            &["HUSK-2002", "qemu-se", "k8s-1", "host-check"],
        );
        sandbox.place.ok(&["down", "--sandbox"]);
        sandbox.place.ok(&["sandbox", "up"]);
    }
    sandbox.assert_hosts_as_before("shim for another architecture");
}

#[test]
fn a_payload_with_a_missing_or_a_truncated_archive_is_refused() {
    let sandbox = Untouched::new("k8s:1");
    let archive = find(&sandbox.place.sandbox(), "kata-static-qemu.tar.zst");
    let whole = std::fs::read(&archive).unwrap();

    std::fs::remove_file(&archive).unwrap();
    sandbox.refuses(&[], 1, &["HUSK-2101", "kata-static-qemu.tar.zst", "k8s-1"]);
    sandbox.assert_hosts_as_before("missing archive");

    std::fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    sandbox.refuses(&[], 1, &["HUSK-2102", "kata-static-qemu.tar.zst", "k8s-1"]);

    std::fs::write(&archive, &whole).unwrap();
    sandbox.place.ok(&["up", "--sandbox"]);
    sandbox.place.ok(&["down", "--sandbox"]);
    sandbox.assert_hosts_as_before("after the payload was repaired");
}

#[test]
fn an_unreadable_runtime_configuration_is_refused_and_left_alone() {
    let sandbox = Untouched::new("k8s:1,crio:1");
    let config = sandbox.place.host("k8s-1").join("etc/containerd/config.toml");
    let good = std::fs::read(&config).unwrap();
    let bad = [&good[..], b"\n[plugins\n"].concat();
    std::fs::write(&config, &bad).unwrap();
    // The other host is done all the same.
    sandbox.refuses(&[], 4, &["HUSK-2201", "config.toml", "k8s-1"]);
    assert_eq!(std::fs::read(&config).unwrap(), bad, "the administrator's file is not ours to change");
    std::fs::write(&config, &good).unwrap();
    sandbox.place.ok(&["up", "--sandbox"]);
    sandbox.place.ok(&["down", "--sandbox"]);
    sandbox.assert_hosts_as_before("after the configuration was repaired");
}

#[test]
fn a_runtime_that_refuses_the_new_configuration_gets_its_old_one_back() {
    let sandbox = Untouched::new("k8s:1,k3s:1");
    let faults = r#"{"hosts": {"k8s-1": {"refuseChanges": true}}}"#;
    std::fs::write(sandbox.place.sandbox().join("faults.json"), faults).unwrap();
    let config = sandbox.place.host("k8s-1").join("etc/containerd/config.toml");
    let before = std::fs::read(&config).unwrap();
    sandbox.refuses(&[], 4, &["HUSK-2202", "k8s-1", "cri"]);
    assert_eq!(std::fs::read(&config).unwrap(), before, "the old configuration is back, byte for byte");
    std::fs::write(sandbox.place.sandbox().join("faults.json"), "{}").unwrap();
    sandbox.place.ok(&["up", "--sandbox"]);
    sandbox.place.ok(&["down", "--sandbox"]);
    sandbox.assert_hosts_as_before("after the refusal");
}

fn find(directory: &Path, name: &str) -> std::path::PathBuf {
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            } else if path.file_name().is_some_and(|file| file == name) {
                return path;
            }
        }
    }
    panic!("there is no {name} below {}", directory.display());
}
