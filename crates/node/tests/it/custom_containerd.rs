//! Another containerd on simulated hosts: fetched, switched to, proven, and gone again without a trace.

use crate::simulated::Node;
use contract::{Code, Stage, State};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use simhost::{HostKind, HostSpec};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::OnceLock;

/// A release tarball whose program answers as this version of containerd.
fn release(version: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let programs = [
        ("bin/containerd", simhost::program::text("containerd", Some(("containerd", version)))),
        ("bin/containerd-shim-runc-v2", simhost::program::text("containerd-shim-runc-v2", None)),
        ("bin/ctr", simhost::program::text("ctr", None)),
    ];
    for (path, text) in programs {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&tar.into_inner().unwrap()).unwrap();
    gz.finish().unwrap()
}

/// Serves a body under every path, and returns the address.
fn mirror(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    format!("http://{address}")
}

/// One tarball on one address, for tests that compare hosts: address and checksum.
pub(crate) fn lasting_mirror() -> (String, String) {
    static MIRROR: OnceLock<(String, String)> = OnceLock::new();
    let start = || {
        let body = release("2.1.4");
        let sum = hex::encode(Sha256::digest(&body));
        (format!("{}/{NAME}", mirror(body)), sum)
    };
    MIRROR.get_or_init(start).clone()
}

fn ask(node: &mut Node, name: &str, body: Vec<u8>) {
    let sum = hex::encode(Sha256::digest(&body));
    node.variables.insert("CUSTOM_CONTAINERD_URL".into(), format!("{}/{name}", mirror(body)));
    node.variables.insert("CUSTOM_CONTAINERD_SHA256".into(), sum);
}

const NAME: &str = "containerd-2.1.4-linux-amd64.tar.gz";
const DROP_IN: &str = "/etc/systemd/system/containerd.service.d/zz-husk-containerd.conf";

fn version(node: &Node) -> String {
    node.host.runtime().version_string
}

#[test]
fn every_kubeadm_containerd_is_replaced_with_one_restart_and_comes_back() {
    for kind in [
        HostKind::Containerd16,
        HostKind::Containerd17,
        HostKind::Containerd20,
        HostKind::Containerd21,
        HostKind::Containerd22,
    ] {
        let mut node = Node::start(HostSpec::new("node-1", kind));
        let (first, own) = (node.host.manifest().unwrap(), version(&node));
        ask(&mut node, NAME, release("2.1.4"));
        let before = node.host.restarts(node.unit());
        let check = node.good(Stage::HostCheck);
        assert!(check.checks.iter().any(|check| check.name == "custom containerd"), "{check:?}");
        assert_eq!(node.host.manifest().unwrap(), first, "{kind}: host-check wrote something");
        node.good(Stage::Artifacts);
        let cri = node.good(Stage::Cri);
        assert_eq!(version(&node), "containerd://2.1.4", "{kind}");
        assert_eq!(cri.runtime.as_deref(), Some("containerd 2.1.4"));
        assert!(cri.warnings.is_empty(), "it was verified: {cri:?}");
        assert_eq!(node.host.restarts(node.unit()), before + 1, "{kind}: one restart for program and configuration");
        assert!(node.host.runtime().handlers.iter().any(|name| name == "kata-qemu-snp"), "{kind}");

        let installed = node.host.manifest().unwrap();
        assert_eq!((node.good(Stage::Artifacts).changes, node.good(Stage::Cri).changes), (0, 0), "{kind}");
        assert_eq!(installed.diff(&node.host.manifest().unwrap()), [], "{kind}: the second run wrote something");

        node.good(Stage::RevertCri);
        node.good(Stage::RemoveArtifacts);
        let left: Vec<String> = first.diff(&node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
        assert_eq!(version(&node), own, "{kind}");
    }
}

#[test]
fn a_containerd_that_does_not_come_back_gives_way_to_the_old_one() {
    // one that says another version than it serves, one that ends at once, and one whose configuration is too new for it
    type Break = fn(&mut Node);
    let cases: [(HostKind, &str, Break); 3] = [
        (HostKind::Containerd17, "2.1.4", |node| node.host.inject(|faults| faults.refuse_changes = true)),
        (HostKind::Containerd17, "2.1.4", |node| {
            node.host.inject(|faults| faults.hide_handlers = vec!["kata-qemu".into()].into_iter().collect());
        }),
        (HostKind::Containerd22, "1.7.27", |_| {}),
    ];
    for (kind, new, spoil) in cases {
        let mut node = Node::start(HostSpec::new("node-1", kind));
        let own = version(&node);
        node.good(Stage::Artifacts);
        let before = node.host.manifest().unwrap();
        ask(&mut node, "containerd-linux-amd64.tar.gz", release(new));
        spoil(&mut node);
        let report = node.run(Stage::Cri);
        assert_eq!(report.state, State::Failed, "{kind} {new}");
        let expected = if new == "1.7.27" { Code::RUNTIME_CONFIG_UNREADABLE } else { Code::RUNTIME_REFUSED };
        assert_eq!(report.code, Some(expected), "{report:?}");
        assert_eq!(version(&node), own);
        assert!(node.host.runtime().ready);
        let left: Vec<String> = before.diff(&node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
        assert!(left.is_empty(), "{kind} {new}: {left:?}");
    }
}

#[test]
fn a_wrong_tarball_changes_nothing() {
    let mut node = Node::start(HostSpec::new("node-1", HostKind::Containerd17));
    let before = node.host.manifest().unwrap();
    ask(&mut node, NAME, release("2.1.4"));
    node.variables.insert("CUSTOM_CONTAINERD_SHA256".into(), "00".repeat(32));
    let report = node.run(Stage::Cri);
    assert_eq!(report.code, Some(Code::CONTAINERD_UNFIT), "{report:?}");
    assert!(report.message.contains("SHA-256"), "{}", report.message);
    ask(&mut node, NAME, b"<html>404</html>".to_vec());
    let report = node.run(Stage::Cri);
    assert_eq!(report.code, Some(Code::CONTAINERD_UNFIT), "{report:?}");
    ask(&mut node, "latest.tar.gz", release("1.5.9"));
    let report = node.run(Stage::Cri);
    assert!(report.message.contains("older than 1.6"), "{}", report.message);
    let left: Vec<String> = before.diff(&node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn another_version_takes_over_and_the_hosts_own_returns_when_none_is_asked_for() {
    let mut node = Node::start(HostSpec::new("node-1", HostKind::Containerd17));
    let own = version(&node);
    ask(&mut node, NAME, release("2.1.4"));
    node.good(Stage::Artifacts);
    node.good(Stage::Cri);
    ask(&mut node, "containerd-2.2.0-linux-amd64.tar.gz", release("2.2.0"));
    node.variables.insert("CONTAINER_RUNTIME_VERSION".into(), version(&node));
    node.good(Stage::Cri);
    assert_eq!(version(&node), "containerd://2.2.0");
    let trees = |node: &Node| {
        let names = std::fs::read_dir(node.host.path("/opt/kata.d")).unwrap().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("containerd-")).count()
    };
    assert_eq!(trees(&node), 1, "the first one is gone");
    node.variables.remove("CUSTOM_CONTAINERD_URL");
    node.variables.insert("CONTAINER_RUNTIME_VERSION".into(), version(&node));
    node.good(Stage::Cri);
    assert_eq!(version(&node), own);
    assert_eq!(trees(&node), 0);
    assert!(!node.host.path(DROP_IN).exists());
    assert!(
        node.host.runtime().handlers.iter().any(|name| name == "kata-qemu"),
        "configured for the old version again"
    );
}

#[test]
fn a_kubernetes_distribution_keeps_its_own() {
    for kind in [HostKind::K3s, HostKind::Rke2Agent, HostKind::K0s, HostKind::Microk8s, HostKind::Crio] {
        let mut node = Node::start(HostSpec::new("node-1", kind));
        let before = node.host.manifest().unwrap();
        ask(&mut node, NAME, release("2.1.4"));
        for stage in [Stage::HostCheck, Stage::Cri] {
            let report = node.run(stage);
            assert_eq!(report.code, Some(Code::CONTAINERD_NOT_REPLACEABLE), "{kind}: {report:?}");
        }
        assert_eq!(node.host.manifest().unwrap(), before, "{kind}");
        node.variables.insert("CUSTOM_CONTAINERD_NODE_SELECTOR".into(), "containerd=new".into());
        node.variables.insert("NODE_LABELS".into(), "kubernetes.io/os=linux".into());
        node.good(Stage::Artifacts);
        node.good(Stage::Cri);
    }
}
