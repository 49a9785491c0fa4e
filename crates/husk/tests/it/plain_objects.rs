//! `template | apply`: everything that a chart renders, hooks included, created at once and never looked at again.

use crate::harness::{Place, chart};
use crate::host_roots::{Snapshot, differences, snapshot};
use serde_json::Value;
use std::time::{Duration, Instant};

/// One shim is enough to see where a configuration ends up.
const SHIM: &[&str] = &["--set", "shims.disableAll=true,shims.qemu.enabled=true,defaultShim.amd64=qemu"];
/// Nobody waits for a late node here.
const FAST: &[&str] = &["--set", "job.nodeSettleSeconds=0"];
/// What differs from one run to the next: identities, and the installer's own notes with their times.
const OWN: [&str; 2] = ["etc/machine-id", "var/lib/husk"];

/// What is applied: by kind of object, where it lives.
fn path(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind, namespace) = (text("/apiVersion"), text("/kind"), text("/metadata/namespace"));
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let plural = match kind.as_str() {
        "RuntimeClass" => "runtimeclasses".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    let within = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    format!("{root}{within}/{plural}/{}", text("/metadata/name"))
}

/// As `kubectl apply --server-side` does: each object by itself, in the order of the text. What is there may stay.
fn apply(place: &Place, arguments: &[&str]) {
    let chart = chart("kata-deploy");
    let call = ["helm", "template", "kata-deploy", &chart, "--namespace", "kube-system"];
    let manifest = place.ok(&[&call[..], SHIM, FAST, arguments].concat());
    for object in release::object::parse_manifest(&manifest).unwrap() {
        let path = path(&object);
        let status = place.ask("APPLY", &path, &object).0;
        assert_eq!(status, 200, "{path}");
    }
}

/// Waits until every node has, or none has any more, the mark of the installation.
fn until_marked(place: &Place, wanted: bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let (_, nodes) = place.ask("GET", "/api/v1/nodes", &Value::Null);
        let nodes = nodes["items"].as_array().unwrap().clone();
        let mark = |node: &Value| node["metadata"]["labels"]["katacontainers.io/kata-runtime"] == "true";
        if nodes.iter().all(|node| mark(node) == wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "marked: {wanted} never came\n{}", place.logs());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until a host is again as it was.
fn until_clean(place: &Place, host: &str, before: &Snapshot) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let left = differences(before, &snapshot(&place.host(host)));
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{left:?}\n{}", place.logs());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn comparable(all: Snapshot) -> Snapshot {
    all.into_iter().filter(|(path, _)| !OWN.iter().any(|own| path.starts_with(own))).collect()
}

fn same_as_installed(mode: &str) {
    let mode = ["--set", &format!("deploymentMode={mode}")];
    let applied = Place::new();
    applied.ok(&["sandbox", "up", "--hosts", "k8s:1"]);
    let before = snapshot(&applied.host("k8s-1"));
    apply(&applied, &mode);
    until_marked(&applied, true);

    let installed = Place::new();
    installed.ok(&["sandbox", "up", "--hosts", "k8s:1"]);
    installed.ok(&[&["up", "--sandbox", "--chart", "kata-deploy"][..], SHIM, FAST, &mode].concat());
    let (ours, theirs) = (snapshot(&applied.host("k8s-1")), snapshot(&installed.host("k8s-1")));
    assert!(!differences(&comparable(before.clone()), &comparable(ours.clone())).is_empty(), "nothing was installed");
    assert_eq!(differences(&comparable(theirs), &comparable(ours)), Vec::<String>::new());

    // A second time changes nothing, and takes nothing away.
    apply(&applied, &mode);
    until_marked(&applied, true);
    apply(&applied, &[&mode[..], &["--set", "state=absent"]].concat());
    until_marked(&applied, false);
    until_clean(&applied, "k8s-1", &before);
}

#[test]
fn applied_in_daemonset_mode_as_installed() {
    same_as_installed("daemonset");
}

#[test]
fn applied_in_job_mode_as_installed() {
    same_as_installed("job");
}
