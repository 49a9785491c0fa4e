//! What a host can do to an installer: each fault has its code, and the host is as before.

use crate::host::{CONFIG, TestHost, payload};
use contract::Code;
use node::NodeError;
use node::store::NodeLock;
use node::units::Sandbox;
use std::fs;
use std::io;
use std::time::Duration;

/// Each effect of an installation fails once, as the kernel would let it fail.
#[test]
fn a_full_disk_or_a_read_only_directory_at_any_effect_leaves_the_host_as_it_was() {
    for (kind, code) in
        [(io::ErrorKind::StorageFull, Code::DISK_FULL), (io::ErrorKind::ReadOnlyFilesystem, Code::NOT_WRITABLE)]
    {
        let host = TestHost::containerd("2.1.4", Some("version = 3\n"));
        let first = host.picture();
        host.install().unwrap();
        let effects = host.killer.count.get();
        host.remove().unwrap();
        let mut taken_back = 0;
        for at in 0..effects {
            host.revive();
            host.killer.fails.set(Some((at, kind)));
            let result = host.install();
            host.revive();
            let committed = host
                .host
                .text("/var/lib/husk/default/ledger.json")
                .is_some_and(|text| text.contains("\"cri\": 1") || text.contains("\"artifacts\": 1"));
            match result {
                Err(error) => {
                    // the service manager and the runtime do not write to this disk
                    assert_eq!(error.code, code, "failed at {at}: {}", error.message);
                    if !committed {
                        assert_eq!(host.picture(), first, "failed at {at}: {}", error.message);
                        taken_back += 1;
                    }
                }
                Ok(_) => assert!(committed, "failed at {at} and nobody noticed"),
            }
            assert!(host.machine.borrow().up, "failed at {at}");
            host.install().unwrap_or_else(|error| panic!("failed at {at}, then: {}", error.message));
            host.remove().unwrap();
            assert_eq!(host.picture(), first, "failed at {at}");
        }
        assert!(taken_back > 20, "{taken_back} of {effects}");
    }
}

/// A runtime that hangs in its start, and one that is up and does not answer: both get their old configuration, and another attempt
/// may do better.
#[test]
fn a_runtime_that_stays_silent_gets_its_old_configuration() {
    type Trouble = fn(&mut crate::host::Machine) -> &mut bool;
    let troubles: [(&str, Trouble); 2] =
        [("hangs", |machine| &mut machine.hangs), ("mute", |machine| &mut machine.mute)];
    for (name, trouble) in troubles {
        let host = TestHost::containerd("1.7.24", Some(CONFIG));
        *trouble(&mut host.machine.borrow_mut()) = true;
        let error = host.install().unwrap_err();
        assert_eq!(error.code, Code::RUNTIME_SILENT, "{name}: {}", error.message);
        assert!(!node::stages::is_permanent(error.code), "{name}");
        assert_eq!(host.host.text("/etc/containerd/config.toml").as_deref(), Some(CONFIG), "{name}");
        assert!(!host.host.exists("/var/lib/husk/default/journal/cri"), "{name}");
        {
            let machine = host.machine.borrow();
            assert!(machine.up && machine.armed.is_empty() && machine.restarts == 2, "{name}");
            assert_eq!(machine.handlers, ["runc"], "{name}");
        }
        *trouble(&mut host.machine.borrow_mut()) = false;
        assert!(host.install().unwrap().1, "{name}: the next attempt may work");
    }
}

#[test]
fn two_installers_at_once_do_not_meet() {
    let host = TestHost::containerd("1.7.24", Some(CONFIG));
    let first = NodeLock::acquire(&host.host, Duration::ZERO, &|_| {}).unwrap();
    let second = NodeLock::acquire(&host.host, Duration::ZERO, &|_| {}).map(drop).unwrap_err();
    assert_eq!(second.code, Code::NODE_BUSY);
    drop(first);
    NodeLock::acquire(&host.host, Duration::ZERO, &|_| {}).map(drop).unwrap();
}

fn sandbox(handler: &str) -> Sandbox {
    Sandbox { pod: "shop/web-0".into(), handler: handler.into() }
}

/// A socket is there, so the runtime is asked.
fn with_socket() -> TestHost {
    let host = TestHost::containerd("1.7.24", Some(CONFIG));
    fs::write(host.host.path("/run/containerd/containerd.sock"), "").unwrap();
    host
}

#[test]
fn what_sandboxes_run_from_is_not_removed() {
    let host = with_socket();
    host.install().unwrap();
    host.machine.borrow_mut().sandboxes = vec![sandbox("runc"), sandbox("kata-qemu"), sandbox("kata-qemu-snp")];
    let error = host.remove().unwrap_err();
    assert_eq!(error.code, Code::PAYLOAD_IN_USE);
    assert!(error.message.contains("shop/web-0") && error.message.contains("and 1 more"), "{}", error.message);
    assert!(host.host.exists("/opt/kata/bin/containerd-shim-kata-v2"), "what runs keeps its files");
    assert_eq!(host.host.text("/etc/containerd/config.toml").as_deref(), Some(CONFIG), "everything else is gone");
    host.machine.borrow_mut().sandboxes = vec![sandbox("runc"), sandbox("")];
    host.remove().unwrap();
    assert!(!host.host.exists("/opt/kata") && !host.host.exists("/var/lib/husk"));
}

#[test]
fn an_upgrade_keeps_every_file_of_a_running_machine() {
    let host = with_socket();
    host.install().unwrap();
    let old = format!("/opt/kata.d/{}", host.host.names("/opt/kata.d").remove(0));
    let picture = |host: &TestHost| -> Vec<(String, String)> {
        host.picture().into_iter().filter(|(path, _)| path.starts_with(&old)).collect()
    };
    let before = picture(&host);
    host.machine.borrow_mut().sandboxes = vec![sandbox("kata-qemu")];
    payload(&host.payload(), "4.2.0");
    host.install().unwrap();
    assert!(host.host.text("/opt/kata/bin/qemu").unwrap().contains("4.2.0"), "new machines are of the new version");
    assert_eq!(picture(&host), before, "nothing below a running machine is replaced");
    host.machine.borrow_mut().sandboxes.clear();
    host.install().unwrap();
    assert_eq!(host.host.names("/opt/kata.d").len(), 1, "then the old version goes");
}

#[test]
fn a_process_table_tells_which_version_is_used() {
    let host = with_socket();
    host.install().unwrap();
    let old = host.host.names("/opt/kata.d").remove(0);
    let process = host.directory.path().join("proc/77");
    fs::create_dir_all(&process).unwrap();
    fs::write(
        process.join("maps"),
        format!("7f00-7f01 r--p 0 00:1 9 /opt/kata.d/{old}/share/kata-containers/kata.img\n"),
    )
    .unwrap();
    payload(&host.payload(), "4.2.0");
    host.install().unwrap();
    let middle = host.host.names("/opt/kata.d").into_iter().find(|name| *name != old).unwrap();
    payload(&host.payload(), "4.3.0");
    host.install().unwrap();
    let names = host.host.names("/opt/kata.d");
    assert!(names.contains(&old) && !names.contains(&middle) && names.len() == 2, "{names:?}");
    let error = host.remove().unwrap_err();
    assert_eq!(error.code, Code::PAYLOAD_IN_USE);
    assert!(error.message.contains("process 77"), "{}", error.message);
}

#[test]
fn a_node_error_says_its_sentence() {
    let error = NodeError::io("writing", "/x", &io::Error::from(io::ErrorKind::StorageFull));
    assert_eq!((error.code, error.to_string().contains("/x")), (Code::DISK_FULL, true));
}

/// Where SELinux is on, files get the labels that the host's policy has for them.
#[test]
fn files_are_labelled_as_the_policy_says() {
    let mut spec = simhost::HostSpec::new("node-1", simhost::HostKind::Containerd21);
    spec.selinux = true;
    let host = TestHost::of(spec);
    let config = host.host.path("/etc/containerd/config.toml");
    let set = |label: &str| {
        rustix::fs::lsetxattr(&config, "security.selinux", label.as_bytes(), rustix::fs::XattrFlags::empty())
    };
    if set("system_u:object_r:container_config_t:s0\0").is_err() {
        println!("labels cannot be set here");
        return;
    }
    let of = |path: &str| {
        let mut label = [0; 256];
        let length = rustix::fs::lgetxattr(host.host.path(path), "security.selinux", &mut label).unwrap_or(0);
        String::from_utf8_lossy(&label[..length])
            .trim_end_matches('\0')
            .split(':')
            .nth(2)
            .unwrap_or_default()
            .to_owned()
    };
    host.install().unwrap();
    assert_eq!(of("/opt/kata/bin/containerd-shim-kata-v2"), "bin_t");
    assert_eq!(of("/opt/kata/share/defaults/kata-containers/shipped/configuration-qemu.toml"), "usr_t");
    assert_eq!(of("/etc/containerd/config.toml"), "container_config_t", "an edited file keeps its own");
    host.remove().unwrap();
    assert_eq!(of("/etc/containerd/config.toml"), "container_config_t");
}
