//! What needs no cluster: help, versions, wrong calls, explanations.

use crate::harness::Place;

#[test]
fn a_code_is_explained() {
    let place = Place::new();
    let out = place.ok(&["explain", "HUSK-2202"]);
    assert!(out.contains("put back, byte for byte"), "{out}");
    assert_eq!(place.husk(&["explain", "HUSK-0000"]).code, Some(1));
}

#[test]
fn a_wrong_call_is_no_pending_change() {
    let place = Place::new();
    let ended = place.husk(&["plan", "--nonsense"]);
    assert_eq!(ended.code, Some(1), "2 means that changes are pending: {ended}");
    assert_eq!(place.husk(&["--version"]).code, Some(0));
}

#[test]
fn without_a_sandbox_and_without_a_kubeconfig_the_way_on_is_named() {
    let place = Place::new();
    let status = place.husk(&["status", "--sandbox"]);
    assert_eq!(status.code, Some(1));
    assert!(status.err.contains("husk up --sandbox"), "{status}");
    let nowhere = place.husk(&["status", "--kubeconfig", "nowhere.yaml"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.err.contains("nowhere.yaml"), "{nowhere}");
}
