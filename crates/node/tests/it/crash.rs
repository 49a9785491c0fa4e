//! The installer killed before every single effect, then run again, undone, or removed: what the matrix does not have, which is
//! another containerd, the host's timer, upgrades, and removals that are turned around.

use crate::host::{CONFIG, TestHost, payload};

fn kubeadm() -> TestHost {
    TestHost::containerd("1.7.24", Some(CONFIG))
}

/// A host that gets another containerd beside everything else.
fn replaced() -> TestHost {
    let mut host = kubeadm();
    let (url, sum) = crate::custom_containerd::lasting_mirror();
    host.set("CUSTOM_CONTAINERD_URL", &url);
    host.set("CUSTOM_CONTAINERD_SHA256", &sum);
    host
}

fn everything() -> TestHost {
    let mut host = TestHost::containerd("2.1.4", None);
    host.set("EXPERIMENTAL_SETUP_SNAPSHOTTER", "nydus");
    host.set("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu-snp:nydus");
    host.set("DEBUG", "true");
    host.set("SHIMS_X86_64", "qemu-snp");
    host
}

fn effects(host: &TestHost, work: impl Fn(&TestHost)) -> usize {
    host.revive();
    work(host);
    host.killer.count.get()
}

type Picture = std::collections::BTreeMap<String, String>;

fn same(host: &TestHost, before: &Picture, what: &str) {
    same_pictures(&host.picture(), before, what);
}

fn same_pictures(after: &Picture, before: &Picture, what: &str) {
    let mut differences: Vec<String> = Vec::new();
    for (path, image) in before {
        match after.get(path) {
            None => differences.push(format!("lost {path}")),
            Some(now) if now != image => differences.push(format!("changed {path}:\n{image}\n->\n{now}")),
            _ => {}
        }
    }
    differences.extend(after.keys().filter(|path| !before.contains_key(*path)).map(|path| format!("left over {path}")));
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

fn kill(host: &TestHost, at: usize, work: impl Fn(&TestHost) -> bool) -> bool {
    host.revive();
    host.killer.left.set(Some(at));
    let finished = work(host);
    host.revive();
    finished
}

/// Installs up to the n-th effect, then goes on in the way that `next` says; `next` returns nothing and asserts.
fn at_every_effect_of_an_installation(make: impl Fn() -> TestHost, next: impl Fn(&TestHost, usize)) {
    let total = effects(&make(), |host| {
        host.install().unwrap();
    });
    assert!(total > 60, "only {total} effects");
    for at in 0..total {
        let host = make();
        assert!(!kill(&host, at, |host| host.install().is_ok()), "effect {at} of {total} was not reached");
        next(&host, at);
    }
}

#[test]
fn killed_anywhere_and_run_again_it_converges() {
    {
        let make = replaced;
        let reference = make();
        reference.install().unwrap();
        let wanted = reference.picture();
        let version = reference.machine.borrow().version.clone();
        at_every_effect_of_an_installation(make, |host, at| {
            host.install().unwrap_or_else(|error| panic!("killed at {at}: {error}"));
            let mut now = host.picture();
            let mut wanted = wanted.clone();
            // only the counter in the ledger may tell that there was another run
            for all in [&mut now, &mut wanted] {
                all.remove("/var/lib/husk/default/ledger.json");
            }
            same_pictures(&now, &wanted, &format!("killed at {at}"));
            assert_eq!(host.install().unwrap(), (0, false), "killed at {at}: not at rest");
            assert_eq!(host.machine.borrow().version, version, "killed at {at}");
            assert!(host.machine.borrow().armed.is_empty());
        });
    }
}

#[test]
fn killed_anywhere_and_removed_nothing_is_left() {
    {
        let make = replaced;
        let first = make().picture();
        at_every_effect_of_an_installation(make, |host, at| {
            host.remove().unwrap_or_else(|error| panic!("killed at {at}: {error}"));
            same(host, &first, &format!("killed at {at}"));
            assert_eq!(host.machine.borrow().handlers, ["runc"]);
            assert_eq!(host.machine.borrow().own, None, "killed at {at}: the host's own containerd runs");
            assert!(host.machine.borrow().up && host.machine.borrow().running.is_empty());
        });
    }
}

#[test]
fn killed_anywhere_and_undone_by_the_timer_the_runtime_is_as_before() {
    for make in [kubeadm, everything, replaced] {
        at_every_effect_of_an_installation(make, |host, at| {
            let armed = !host.machine.borrow().armed.is_empty();
            let committed =
                host.host.text("/var/lib/husk/default/ledger.json").is_some_and(|text| text.contains("\"cri\": 1"));
            host.undo().unwrap_or_else(|error| panic!("killed at {at}: {error}"));
            if armed && !committed {
                assert_eq!(host.machine.borrow().handlers, ["runc"], "killed at {at}");
                assert_eq!(host.machine.borrow().own, None, "killed at {at}: the host's own containerd runs");
                assert!(host.machine.borrow().up);
                let now = host.picture();
                assert!(
                    now.keys().all(|path| !path.contains("journal") && !path.contains("husk-node")),
                    "killed at {at}: {now:?}"
                );
                assert_eq!(now.get("/etc/containerd/config.toml"), kept(host, "/etc/containerd/config.toml").as_ref());
            }
            host.install().unwrap_or_else(|error| panic!("killed at {at}, undone: {error}"));
            assert_eq!(host.install().unwrap(), (0, false));
        });
    }
}

/// What a path held on a fresh host of the same kind.
fn kept(host: &TestHost, path: &str) -> Option<String> {
    let fresh = if host.machine.borrow().version.starts_with('1') { kubeadm() } else { everything() };
    fresh.picture().get(path).cloned()
}

#[test]
fn a_removal_killed_anywhere_is_finished_by_the_next() {
    {
        let make = replaced;
        let first = make().picture();
        let host = make();
        host.install().unwrap();
        let total = effects(&host, |host| {
            host.remove().unwrap();
        });
        same(&host, &first, "removal");
        assert!(total > 40, "only {total} effects");
        for at in 0..total {
            let host = make();
            host.install().unwrap();
            assert!(!kill(&host, at, |host| host.remove().is_ok()));
            host.remove().unwrap_or_else(|error| panic!("killed at {at}: {error}"));
            same(&host, &first, &format!("removal killed at {at}"));
            assert_eq!(host.machine.borrow().handlers, ["runc"]);
            assert_eq!(host.remove().unwrap(), 0);
        }
    }
}

#[test]
fn a_removal_killed_anywhere_can_be_turned_into_an_installation() {
    turned_into_an_installation(kubeadm);
    turned_into_an_installation(replaced);
}

fn turned_into_an_installation(make: fn() -> TestHost) {
    let host = make();
    host.install().unwrap();
    let total = effects(&host, |host| {
        host.remove().unwrap();
    });
    for at in 0..total {
        let host = make();
        let first = host.picture();
        host.install().unwrap();
        kill(&host, at, |host| host.remove().is_ok());
        host.install().unwrap_or_else(|error| panic!("killed at {at}: {error}"));
        assert_eq!(host.install().unwrap(), (0, false), "killed at {at}");
        host.remove().unwrap();
        same(&host, &first, &format!("removal killed at {at}, installed, removed"));
    }
}

#[test]
fn an_upgrade_killed_anywhere_converges_and_leaves_cleanly() {
    let first = kubeadm().picture();
    let prepared = || {
        let host = kubeadm();
        host.install().unwrap();
        payload(&host.payload(), "4.2.0");
        host
    };
    let total = effects(&prepared(), |host| {
        host.install().unwrap();
    });
    for at in 0..total {
        let host = prepared();
        kill(&host, at, |host| host.install().is_ok());
        let shim = host.host.text("/opt/kata/bin/containerd-shim-kata-v2").expect("there is a version at any time");
        assert!(shim == "shim 4.1.0" || shim == "shim 4.2.0");
        host.install().unwrap();
        assert_eq!(host.host.text("/opt/kata/bin/containerd-shim-kata-v2").unwrap(), "shim 4.2.0");
        assert_eq!(host.host.names("/opt/kata.d").len(), 1, "killed at {at}: the old version is collected");
        assert_eq!(host.install().unwrap(), (0, false), "killed at {at}");
        host.remove().unwrap();
        same(&host, &first, &format!("upgrade killed at {at}"));
    }
}
