//! The main job, both ways, and its reverse.

use crate::harness::{Place, assert_converged};
use crate::host_roots::{differences, snapshot};
use serde_json::Value;

#[test]
fn up_serves_every_handler_and_down_leaves_every_host_as_it_was() {
    let place = Place::new();
    place.ok(&["sandbox", "up"]);
    let hosts = place.hosts();
    assert_eq!(hosts, ["crio-1", "k3s-1", "k8s-1", "k8s-2"]);
    let before: Vec<_> = hosts.iter().map(|host| snapshot(&place.host(host))).collect();

    let report = place.json(&["up", "--sandbox"]);
    assert_eq!(assert_converged(&report), 4);
    let classes = report["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 5, "{classes:?}");
    assert!(classes.iter().all(|class| class["nodes"] == 4), "{classes:?}");

    let again = place.json(&["up", "--sandbox"]);
    assert_eq!(assert_converged(&again), 4);
    assert_eq!(again["revision"], 2);

    let status = place.ok(&["status", "--sandbox"]);
    assert!(status.contains("deployed") && status.contains("k3s-1"), "{status}");

    place.ok(&["down", "--sandbox"]);
    for (host, before) in hosts.iter().zip(&before) {
        assert_eq!(differences(before, &snapshot(&place.host(host))), Vec::<String>::new(), "host {host}");
    }
}

#[test]
fn plan_tells_what_up_would_do_and_nothing_once_it_is_done() {
    let place = Place::new();
    let first = place.husk(&["plan", "--sandbox", "--hosts", "k8s:1"]);
    assert_eq!(first.code, Some(2), "{first}");
    assert!(first.out.contains("create   DaemonSet") || first.out.contains("DaemonSet"), "{first}");
    assert!(first.out.contains("nodes selected: k8s-1"), "{first}");
    let status = place.husk(&["status", "--sandbox"]);
    assert_eq!(status.code, Some(1), "a plan installs nothing: {status}");
    place.ok(&["up", "--sandbox"]);
    let second = place.husk(&["plan", "--sandbox"]);
    assert_eq!(second.code, Some(0), "{second}");
    let changed = place.husk(&["plan", "--sandbox", "--set", "kata-as-coco-runtime.debug=true"]);
    assert_eq!(changed.code, Some(2), "{changed}");

    // The node itself is asked: what it would edit, and that it edits nothing when nothing changes.
    let edits = edits_on(&place.json(&["plan", "--sandbox", "--ask", "k8s-1"]), "k8s-1");
    assert_eq!(edits, ["nothing to change"]);
    let another = ["--set", "kata-as-coco-runtime.shims.qemu.enabled=true"];
    let asked = place.husk(&[&["plan", "--sandbox", "--ask", "all", "-o", "json"], &another[..]].concat());
    assert_eq!(asked.code, Some(2), "{asked}");
    let edits = edits_on(&serde_json::from_str(&asked.out).unwrap(), "k8s-1");
    for part in ["/etc/containerd/", "restart containerd.service"] {
        assert!(edits.iter().any(|line| line.contains(part)), "{part} is missing in {edits:?}");
    }
    let unknown = place.husk(&["plan", "--sandbox", "--ask", "nobody"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("HUSK-3014"), "{unknown}");
    let namespaces = place.ask("GET", "/api/v1/namespaces", &Value::Null).1;
    let left: Vec<&Value> = namespaces["items"].as_array().unwrap().iter().filter(|it| is_question(it)).collect();
    assert!(left.is_empty(), "what asked is deleted: {left:?}");
}

/// Is this the namespace of a question that is not being deleted?
fn is_question(namespace: &Value) -> bool {
    let metadata = &namespace["metadata"];
    metadata["name"].as_str().is_some_and(|name| name.starts_with("husk-ask-"))
        && metadata["deletionTimestamp"].is_null()
}

fn edits_on(plan: &Value, node: &str) -> Vec<String> {
    let lines = plan["edits"][node].as_array().unwrap_or_else(|| panic!("no edits on {node} in {plan}"));
    lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[test]
fn job_mode_does_the_same() {
    let place = Place::new();
    place.ok(&["sandbox", "up", "--hosts", "k8s:1,crio:1"]);
    let hosts = place.hosts();
    let before: Vec<_> = hosts.iter().map(|host| snapshot(&place.host(host))).collect();
    let job = ["--set", "kata-as-coco-runtime.deploymentMode=job"];
    let report = place.json(&[&["up", "--sandbox"][..], &job].concat());
    assert_eq!(assert_converged(&report), 2);
    let phases: Vec<&Value> = report["phases"].as_array().unwrap().iter().map(|it| &it["phase"]).collect();
    assert_eq!(phases, ["preflight", "apply", "nodes", "ready"], "the dispatcher's hook is the nodes' phase");
    let asked = place.json(&[&["plan", "--sandbox", "--ask", "k8s-1"][..], &job].concat());
    assert_eq!(edits_on(&asked, "k8s-1"), ["nothing to change"]);
    // Values are what a call says, not what an earlier one said; and the mode cannot change under a release.
    let other = place.husk(&["up", "--sandbox"]);
    assert_eq!(other.code, Some(1), "{other}");
    assert!(other.err.contains("HUSK-1003") && other.err.contains("deploymentMode is immutable"), "{other}");
    place.ok(&["down", "--sandbox"]);
    for (host, before) in hosts.iter().zip(&before) {
        assert_eq!(differences(before, &snapshot(&place.host(host))), Vec::<String>::new(), "host {host}");
    }
}

#[test]
fn plain_output_has_a_line_for_every_stage_of_every_node_and_a_summary() {
    let place = Place::new();
    let out = place.ok(&["up", "--sandbox", "--hosts", "k8s:1"]);
    for part in ["values ", "plan ", "node      k8s-1", "verify ", "payload 4.1.0", "kata-qemu", "1 node in"] {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
    assert!(!out.contains('\x1b'), "no control codes outside a terminal: {out:?}");
}
