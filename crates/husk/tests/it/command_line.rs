//! What needs no cluster: help, versions, wrong calls, explanations.

use crate::harness::{Ended, Place};

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
fn as_a_plugin_of_kubectl_it_is_the_same_program_under_kubectls_name() {
    let place = Place::new();
    let directory = place.file("bin-made", "").with_file_name("bin");
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_husk"), directory.join("kubectl-husk")).unwrap();
    let plugin = |arguments: &[&str]| {
        let mut command = place.command();
        let own = command.get_envs().map(|(key, value)| (key.to_owned(), value.map(ToOwned::to_owned)));
        let own: Vec<_> = own.collect();
        command = std::process::Command::new(directory.join("kubectl-husk"));
        command.env_clear().envs(own.into_iter().filter_map(|(key, value)| Some((key, value?))));
        Ended::from(command.args(arguments).output().unwrap())
    };
    let help = plugin(&["up", "--help"]);
    assert!(help.code == Some(0) && help.out.contains("Usage: kubectl husk up"), "{help}");
    assert!(plugin(&["--help"]).out.contains("Usage: kubectl husk <COMMAND>"));
    let wrong = plugin(&["plan", "--nonsense"]);
    assert!(wrong.code == Some(1) && wrong.err.contains("kubectl husk plan"), "{wrong}");
    assert_eq!(plugin(&["explain", "HUSK-2202"]).out, place.ok(&["explain", "HUSK-2202"]));
    assert!(place.ok(&["up", "--help"]).contains("Usage: husk up"));
}

#[test]
fn what_a_phase_may_take_is_checked_before_anything_is_done() {
    let place = Place::new();
    for (arguments, part) in [
        (&["up", "--timeout", "node=5m"][..], "the phases are preflight, apply, remove, nodes, ready"),
        (&["down", "--timeout", "ready=5m"][..], "`husk down` has no phase `ready`"),
        (&["rollback", "--timeout", "soon"][..], "say `30s`, `10m` or `1h30m`"),
        (&["verify", "--timeout", "0"][..], "in no time"),
    ] {
        let ended = place.husk(arguments);
        assert!(ended.code == Some(1) && ended.err.contains(part), "{arguments:?}: {ended}");
    }
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
