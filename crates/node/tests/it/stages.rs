//! What stages do on hosts of each kind, and what they refuse.

use crate::host::{CONFIG, TestHost, payload};
use contract::Code;
use std::fs;

#[test]
fn containerd_1_7_is_configured_in_its_main_file_with_one_restart() {
    let host = TestHost::containerd("1.7.24", Some(CONFIG));
    let first = host.picture();
    let (changes, restarted) = host.install().unwrap();
    assert!(changes > 0 && restarted);
    assert_eq!(host.machine.borrow().restarts, 1);
    assert_eq!(host.machine.borrow().handlers, ["kata-qemu", "kata-qemu-snp", "runc"]);
    let text = host.host.text("/etc/containerd/config.toml").unwrap();
    assert!(text.starts_with(CONFIG), "comments and order stay:\n{text}");
    assert!(
        host.host
            .text("/opt/kata/share/defaults/kata-containers/configuration-qemu.toml")
            .unwrap()
            .starts_with("# A copy")
    );
    let before = host.picture();
    assert_eq!(host.install().unwrap(), (0, false));
    assert_eq!(host.picture(), before, "a second run writes nothing");
    host.remove().unwrap();
    assert_eq!(host.picture(), first);
    assert_eq!(host.machine.borrow().restarts, 2);
}

#[test]
fn the_drop_in_goes_where_the_version_reads_it() {
    for (version, config, path) in [
        ("2.0.5", Some("version = 3\n"), "/etc/containerd/config.d/kata-deploy.toml"),
        ("2.1.4", None, "/etc/containerd/config.d/kata-deploy.toml"),
        (
            "2.2.0",
            Some("version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n"),
            "/etc/containerd/conf.d/kata-deploy.toml",
        ),
        ("2.2.0", Some("version = 2\n"), "/etc/containerd/config.d/kata-deploy.toml"),
    ] {
        let host = TestHost::containerd(version, config);
        let first = host.picture();
        host.install().unwrap();
        let text = host.host.text(path).unwrap_or_else(|| panic!("{version}: no {path}"));
        let plugin =
            if config == Some("version = 2\n") { "io.containerd.grpc.v1.cri" } else { "io.containerd.cri.v1.runtime" };
        assert!(text.contains(plugin), "{text}");
        assert_eq!(host.install().unwrap(), (0, false));
        host.remove().unwrap();
        assert_eq!(host.picture(), first, "{version}");
    }
}

#[test]
fn a_runtime_that_does_not_come_back_gets_its_old_configuration() {
    let host = TestHost::containerd("1.7.24", Some(CONFIG));
    host.machine.borrow_mut().refuses = true;
    let config = host.host.text("/etc/containerd/config.toml");
    let error = host.install().unwrap_err();
    assert_eq!(error.code, Code::RUNTIME_REFUSED);
    assert!(error.message.contains("exit-code"), "{}", error.message);
    assert_eq!(host.host.text("/etc/containerd/config.toml"), config);
    assert!(host.machine.borrow().up && host.machine.borrow().armed.is_empty());
    assert_eq!(host.machine.borrow().restarts, 2);
    assert!(
        !host.host.exists("/var/lib/husk/default/journal/cri") && !host.host.exists("/var/lib/husk/default/husk-node")
    );
    host.machine.borrow_mut().refuses = false;
    assert!(host.install().unwrap().1, "and the next attempt may work");
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    type Spoil = fn(&mut TestHost);
    let cases: [(&str, Spoil, Code); 10] = [
        (
            "unreadable configuration",
            |h| fs::write(h.host.path("/etc/containerd/config.toml"), "version = 2\n[x\n").unwrap(),
            Code::RUNTIME_CONFIG_UNREADABLE,
        ),
        (
            "unknown schema",
            |h| fs::write(h.host.path("/etc/containerd/config.toml"), "version = 9\n").unwrap(),
            Code::RUNTIME_CONFIG_UNREADABLE,
        ),
        (
            "dangling import",
            |h| {
                fs::write(h.host.path("/etc/containerd/config.toml"), "version = 2\nimports = ['/etc/gone.toml']\n")
                    .unwrap()
            },
            Code::RUNTIME_CONFIG_CONFLICT,
        ),
        (
            "CRI disabled",
            |h| {
                fs::write(h.host.path("/etc/containerd/config.toml"), "version = 2\ndisabled_plugins = ['cri']\n")
                    .unwrap()
            },
            Code::RUNTIME_CONFIG_CONFLICT,
        ),
        ("wrong distribution", |h| h.set("K8S_DISTRIBUTION", "k3s"), Code::DISTRIBUTION_MISMATCH),
        ("shim of another architecture", |h| h.set("SHIMS_X86_64", "qemu qemu-se"), Code::SHIM_NOT_FOR_ARCHITECTURE),
        ("no shim", |h| h.set("SHIMS_X86_64", ""), Code::SHIM_NOT_FOR_ARCHITECTURE),
        (
            "archive missing",
            |h| fs::remove_file(h.payload().join("tarballs/kata-static-qemu.tar.zst")).unwrap(),
            Code::PAYLOAD_MISSING,
        ),
        ("somebody's /opt/kata", |h| fs::create_dir(h.host.path("/opt/kata")).unwrap(), Code::PATH_OCCUPIED),
        ("another runtime", |h| h.set("CONTAINER_RUNTIME_VERSION", "docker://27.0"), Code::RUNTIME_UNKNOWN),
    ];
    for (name, spoil, code) in cases {
        let mut host = TestHost::containerd("1.7.24", Some(CONFIG));
        spoil(&mut host);
        let first = host.picture();
        let checks = host.session(|session| {
            let version = session.asked.runtime_version.clone().unwrap();
            let found = node::distribution::detect(session.asked, &version, session.host, session.units);
            node::host_check::run(session, found.as_ref())
        });
        let failed: Vec<Code> = checks
            .iter()
            .filter(|check| check.verdict == contract::Verdict::Fail)
            .filter_map(|check| check.code)
            .collect();
        assert!(failed.contains(&code), "{name}: {checks:?}");
        assert_eq!(host.picture(), first, "{name}");
        assert_eq!(host.machine.borrow().restarts, 0);
    }
}

#[test]
fn a_truncated_archive_leaves_the_old_version_in_use() {
    let host = TestHost::containerd("1.7.24", Some(CONFIG));
    host.install().unwrap();
    payload(&host.payload(), "4.2.0");
    let path = host.payload().join("tarballs/kata-static-qemu.tar.zst");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let before = host.picture();
    assert_eq!(host.install().unwrap_err().code, Code::PAYLOAD_CORRUPT);
    assert_eq!(host.picture(), before);
}

#[test]
fn an_old_version_stays_while_a_process_uses_it() {
    let host = TestHost::containerd("1.7.24", Some(CONFIG));
    host.install().unwrap();
    let old = host.host.names("/opt/kata.d").remove(0);
    let process = host.directory.path().join("proc/77");
    fs::create_dir_all(&process).unwrap();
    fs::write(process.join("cmdline"), format!("/opt/kata.d/{old}/bin/qemu\0-m\02048\0")).unwrap();
    payload(&host.payload(), "4.2.0");
    host.install().unwrap();
    assert_eq!(host.host.names("/opt/kata.d").len(), 2);
    fs::remove_dir_all(&process).unwrap();
    host.install().unwrap();
    assert_eq!(host.host.names("/opt/kata.d").len(), 1);
    assert!(!host.host.names("/opt/kata.d").contains(&old));
}

#[test]
fn containerd_1_6_has_no_snapshotter_for_a_single_handler() {
    let mut host = TestHost::containerd("1.6.36", Some(CONFIG));
    host.set("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu-snp:nydus");
    let warned = |host: &TestHost| {
        host.session(|session| {
            let version = session.asked.runtime_version.clone().unwrap();
            let found = node::distribution::detect(session.asked, &version, session.host, session.units).unwrap();
            node::host_check::run(session, Ok(&found))
                .into_iter()
                .find(|check| check.name == "snapshotters")
                .map(|check| check.verdict)
        })
    };
    assert_eq!(warned(&host), Some(contract::Verdict::Warn));
    host.install().unwrap();
    host.set("CONTAINER_RUNTIME_VERSION", "containerd://1.7.0");
    assert_eq!(warned(&host), None);
    host.set("CONTAINER_RUNTIME_VERSION", "containerd://1.6.36");
    host.set("EXPERIMENTAL_SETUP_SNAPSHOTTER", "nydus");
    assert_eq!(host.install().unwrap_err().code, Code::SNAPSHOTTER_UNAVAILABLE);
}

#[test]
fn what_somebody_put_into_config_d_comes_along_to_the_next_version() {
    let host = TestHost::containerd("1.7.24", Some(CONFIG));
    host.install().unwrap();
    let directory = "/opt/kata/share/defaults/kata-containers/runtimes/qemu/config.d";
    fs::create_dir_all(host.host.path(directory)).unwrap();
    fs::write(host.host.path(format!("{directory}/70-site.toml")), "[runtime]\nvfio_mode = 'vfio'\n").unwrap();
    payload(&host.payload(), "4.2.0");
    host.install().unwrap();
    assert!(host.host.text("/opt/kata/bin/qemu").unwrap().contains("4.2.0"));
    assert!(host.host.text(&format!("{directory}/70-site.toml")).unwrap().contains("vfio"));
    assert_eq!(host.install().unwrap(), (0, false));
}

#[test]
fn two_installations_share_a_host_and_leave_one_by_one() {
    let mut host = TestHost::containerd("1.7.24", Some(CONFIG));
    let first = host.picture();
    host.install().unwrap();
    let alone = host.picture();
    host.set("MULTI_INSTALL_SUFFIX", "dev");
    host.install().unwrap();
    assert!(host.machine.borrow().handlers.iter().any(|name| name == "kata-qemu-dev"));
    assert!(host.machine.borrow().handlers.iter().any(|name| name == "kata-qemu"));
    assert_eq!(host.install().unwrap(), (0, false));
    host.set("MULTI_INSTALL_SUFFIX", "");
    assert_eq!(host.install().unwrap(), (0, false), "the other's lines are not ours to judge");
    host.set("MULTI_INSTALL_SUFFIX", "dev");
    host.remove().unwrap();
    assert_eq!(host.picture(), alone);
    host.set("MULTI_INSTALL_SUFFIX", "");
    host.remove().unwrap();
    assert_eq!(host.picture(), first);
}

#[test]
fn the_first_installation_may_leave_before_the_second() {
    for (version, config) in
        [("1.7.24", Some(CONFIG)), ("1.7.24", None), ("2.1.4", None), ("2.1.4", Some("version = 3\n"))]
    {
        let mut host = TestHost::containerd(version, config);
        let first = host.picture();
        host.install().unwrap();
        host.set("MULTI_INSTALL_SUFFIX", "dev");
        host.install().unwrap();
        host.set("MULTI_INSTALL_SUFFIX", "");
        host.remove().unwrap();
        assert!(host.machine.borrow().handlers.iter().any(|name| name == "kata-qemu-dev"));
        assert!(!host.machine.borrow().handlers.iter().any(|name| name == "kata-qemu"));
        host.set("MULTI_INSTALL_SUFFIX", "dev");
        assert_eq!(host.install().unwrap(), (0, false));
        host.remove().unwrap();
        assert_eq!(host.picture(), first, "{version} {config:?}");
    }
}

#[test]
fn a_changed_setting_changes_only_its_lines() {
    let mut host = TestHost::containerd("1.7.24", Some(CONFIG));
    let first = host.picture();
    host.install().unwrap();
    host.set("DEBUG", "true");
    host.set("SHIMS_X86_64", "qemu");
    host.install().unwrap();
    let handlers = host.machine.borrow().handlers.clone();
    assert!(handlers.contains(&"kata-qemu-debug".to_owned()) && !handlers.contains(&"kata-qemu-snp".to_owned()));
    assert!(host.host.text("/etc/containerd/config.toml").unwrap().contains("level = \"debug\""));
    host.set("DEBUG", "false");
    host.install().unwrap();
    assert!(!host.host.text("/etc/containerd/config.toml").unwrap().contains("debug"));
    host.remove().unwrap();
    assert_eq!(host.picture(), first);
}

#[test]
fn a_stranger_s_change_survives_the_removal() {
    let host = TestHost::containerd("1.7.24", Some(CONFIG));
    host.install().unwrap();
    let path = host.host.path("/etc/containerd/config.toml");
    let text = fs::read_to_string(&path).unwrap().replace("pause:3.9", "pause:3.10");
    fs::write(&path, text).unwrap();
    assert_eq!(host.install().unwrap(), (0, false));
    host.remove().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), CONFIG.replace("pause:3.9", "pause:3.10"));
}

#[test]
fn k3s_gets_its_lines_through_the_template() {
    let mut host = TestHost::containerd("2.1.4", None);
    let directory = "/var/lib/rancher/k3s/agent/etc/containerd";
    fs::create_dir_all(host.host.path(directory)).unwrap();
    fs::write(
        host.host.path(format!("{directory}/config.toml")),
        "version = 3\n[plugins.'io.containerd.cri.v1.images']\nsnapshotter = 'overlayfs'\n",
    )
    .unwrap();
    {
        let mut machine = host.machine.borrow_mut();
        machine.unit = "k3s.service".into();
        machine.main = format!("{directory}/config-v3.toml.tmpl");
    }
    host.set("K8S_DISTRIBUTION", "k3s");
    let first = host.picture();
    host.install().unwrap();
    let text = host.host.text(&format!("{directory}/config-v3.toml.tmpl")).unwrap();
    assert!(text.starts_with("{{ template \"base\" . }}\n"), "{text}");
    assert!(host.machine.borrow().handlers.iter().any(|name| name == "kata-qemu-snp"));
    assert_eq!(host.install().unwrap(), (0, false));
    host.remove().unwrap();
    assert_eq!(host.picture(), first);

    // two installations, leaving in the order in which they came
    host.install().unwrap();
    host.set("MULTI_INSTALL_SUFFIX", "dev");
    host.install().unwrap();
    host.set("MULTI_INSTALL_SUFFIX", "");
    host.remove().unwrap();
    assert!(host.machine.borrow().handlers.iter().any(|name| name == "kata-qemu-dev"));
    host.set("MULTI_INSTALL_SUFFIX", "dev");
    host.remove().unwrap();
    assert_eq!(host.picture(), first);
    host.set("MULTI_INSTALL_SUFFIX", "");

    // lines that a rendered file has already cannot be put behind it
    host.set("EXPERIMENTAL_SETUP_SNAPSHOTTER", "nydus");
    assert_eq!(host.install().unwrap_err().code, Code::DROP_IN_NOT_READ);
    assert!(!host.host.exists(&format!("{directory}/config-v3.toml.tmpl")));
    host.remove().unwrap();

    // a template that imports the drop-in directory takes both
    fs::write(
        host.host.path(format!("{directory}/config.toml")),
        format!("version = 3\nimports = ['{directory}/config-v3.toml.d/*.toml']\n"),
    )
    .unwrap();
    host.machine.borrow_mut().main = format!("{directory}/config.toml");
    host.install().unwrap();
    assert!(host.host.exists(&format!("{directory}/config-v3.toml.d/kata-deploy.toml")));
}

#[test]
fn crio_gets_a_drop_in() {
    let mut host = TestHost::containerd("1.34.0", None);
    fs::create_dir_all(host.host.path("/etc/crio/crio.conf.d")).unwrap();
    {
        let mut machine = host.machine.borrow_mut();
        machine.unit = "crio.service".into();
        machine.main = "/etc/crio/crio.conf".into();
    }
    host.set("CONTAINER_RUNTIME_VERSION", "cri-o://1.34.0");
    host.set("PULL_TYPE_MAPPING_X86_64", "qemu-snp:guest-pull");
    let first = host.picture();
    host.install().unwrap();
    let text = host.host.text("/etc/crio/crio.conf.d/99-kata-deploy").unwrap();
    assert!(
        text.contains("[crio.runtime.runtimes.kata-qemu-snp]") && text.contains("runtime_pull_image = true"),
        "{text}"
    );
    assert_eq!(host.install().unwrap(), (0, false));
    host.remove().unwrap();
    assert_eq!(host.picture(), first);
}

/// A kubeadm host with CRI-O, of which containers see these mounts.
fn crio(mounts: &[&str]) -> TestHost {
    let mut host = TestHost::containerd("1.34.0", None);
    fs::create_dir_all(host.host.path("/etc/crio/crio.conf.d")).unwrap();
    {
        let mut machine = host.machine.borrow_mut();
        machine.unit = "crio.service".into();
        machine.main = "/etc/crio/crio.conf".into();
    }
    host.set("CONTAINER_RUNTIME_VERSION", "cri-o://1.34.0");
    let info = host.directory.path().join("proc/self/mountinfo");
    fs::create_dir_all(info.parent().unwrap()).unwrap();
    let line = |path: &&str| format!("36 35 0:40 / {} rw - tmpfs x rw\n", host.host.path(path).display());
    fs::write(info, mounts.iter().map(line).collect::<String>()).unwrap();
    host
}

/// Both halves of a stage: its warnings, and how often the runtime was restarted.
fn crio_stage(host: &TestHost, installs: bool) -> (Vec<String>, u32) {
    let before = host.machine.borrow().restarts;
    let outcome = host.session(|session| {
        let version = session.asked.runtime_version.clone().unwrap();
        let found = node::distribution::detect(session.asked, &version, session.host, session.units).unwrap();
        match installs {
            true => node::cri_stage::install(session, &found),
            false => node::cri_stage::remove(session, Some(&found)),
        }
    });
    (outcome.unwrap().warnings, host.machine.borrow().restarts - before)
}

const STORAGE: &str = "/var/lib/containers/storage/overlay";

#[test]
fn crio_that_hides_its_containers_is_told_of_until_the_next_boot() {
    let container = format!("{STORAGE}/0a1b/merged");
    let host = crio(&["/var/lib", STORAGE, &container]);
    let (warnings, restarts) = crio_stage(&host, true);
    assert!(warnings.len() == 1 && warnings[0].contains("with the node's next boot"), "{warnings:?}");
    assert_eq!((restarts, crio_stage(&host, false)), (1, (Vec::new(), 1)));
}

#[test]
fn crio_that_would_hide_containers_that_run_is_not_restarted_by_a_removal() {
    let container = format!("{STORAGE}/0a1b/merged");
    let host = crio(&["/var/lib", &container]);
    let first = host.picture();
    assert_eq!(crio_stage(&host, true), (Vec::new(), 1));
    let (warnings, restarts) = crio_stage(&host, false);
    assert!(warnings.len() == 1 && warnings[0].contains("was not restarted"), "{warnings:?}");
    assert!(warnings[0].contains("1 running containers") && restarts == 0, "{warnings:?}");
    assert_eq!(host.machine.borrow().calls.last().map(String::as_str), Some("reload crio.service"));
    assert_eq!(host.picture(), first);
    assert_eq!(crio_stage(&host, false), (Vec::new(), 0));

    // where somebody else has the same setting, nothing changes for containers
    for (path, text) in [
        ("/etc/crio/crio.conf.d/10-site", "[crio]\nstorage_option = ['overlay.skip_mount_home=true']\n"),
        ("/etc/containers/storage.conf", "[storage.options.overlay]\nskip_mount_home = 'true'\n"),
    ] {
        fs::create_dir_all(host.host.path(path).parent().unwrap()).unwrap();
        fs::write(host.host.path(path), text).unwrap();
        assert_eq!(crio_stage(&host, true), (Vec::new(), 1));
        assert_eq!(crio_stage(&host, false), (Vec::new(), 1), "{path}");
        fs::remove_file(host.host.path(path)).unwrap();
    }
    // another directory
    fs::write(host.host.path("/etc/crio/crio.conf.d/10-site"), "[crio]\nroot = '/var/lib/elsewhere'\n").unwrap();
    assert_eq!(crio_stage(&host, true), (Vec::new(), 1));
    assert_eq!(crio_stage(&host, false), (Vec::new(), 1));
}

#[test]
fn a_file_that_takes_the_place_of_our_handler_in_crio_is_found_before_anything_changes() {
    let host = crio(&[]);
    let later = "/etc/crio/crio.conf.d/99-kata-deploy.d/local";
    fs::create_dir_all(host.host.path("/etc/crio/crio.conf.d/99-kata-deploy.d")).unwrap();
    fs::write(host.host.path(later), "[crio.runtime.runtimes.kata-qemu]\nruntime_pull_image = true\n").unwrap();
    let before = host.picture();
    let error = host.session(|session| {
        let found = node::distribution::detect(session.asked, "cri-o://1.34.0", session.host, session.units).unwrap();
        node::cri_stage::install(session, &found).unwrap_err()
    });
    assert_eq!(error.code, Code::RUNTIME_CONFIG_CONFLICT);
    assert!(error.message.contains(later), "{error}");
    assert_eq!(host.picture(), before);
}

#[test]
fn nydus_runs_as_a_service_of_its_own_and_leaves() {
    let mut host = TestHost::containerd("1.7.24", Some(CONFIG));
    host.set("EXPERIMENTAL_SETUP_SNAPSHOTTER", "nydus");
    host.set("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu-snp:nydus");
    let first = host.picture();
    host.install().unwrap();
    assert_eq!(host.machine.borrow().running, ["nydus-for-kata-tee.service"]);
    assert!(host.host.exists("/opt/kata/nydus-for-kata-tee/containerd-nydus-grpc"));
    assert!(host.host.text("/etc/containerd/config.toml").unwrap().contains("[proxy_plugins.nydus-for-kata-tee]"));
    assert_eq!(host.install().unwrap(), (0, false));
    host.remove().unwrap();
    assert_eq!(host.picture(), first);
    assert!(host.machine.borrow().running.is_empty());

    fs::remove_file(host.payload().join("nydus-snapshotter/containerd-nydus-grpc")).unwrap();
    let error = host.install().unwrap_err();
    assert_eq!(error.code, Code::PAYLOAD_INCOMPLETE);
    assert!(error.message.contains("containerd-nydus-grpc"));
}

/// What `host-check` says of a host.
fn checks(host: &TestHost) -> Vec<contract::Check> {
    host.session(|session| {
        let version = session.asked.runtime_version.clone().unwrap();
        let found = node::distribution::detect(session.asked, &version, session.host, session.units);
        node::host_check::run(session, found.as_ref())
    })
}

/// Each kind of hardware and surroundings that a simulated host can have, and what is said of it.
#[test]
fn hardware_and_surroundings_are_judged_each_with_its_code() {
    use contract::Verdict::{Pass, Skip, Unknown, Warn};
    use simhost::{HostKind, HostSpec, Tee};
    type Make = fn(&mut HostSpec);
    type Change = fn(&TestHost);
    type Wanted = &'static [(&'static str, contract::Verdict, Code)];
    let cases: [(&str, &str, Make, Change, Wanted); 9] = [
        (
            "plain",
            "qemu",
            |_| {},
            |_| {},
            &[
                ("virtualization", Pass, Code::NO_VIRTUALIZATION),
                ("nested virtualization", Pass, Code::NESTED_VIRTUALIZATION),
                ("tee", Skip, Code::TEE_OFF),
                ("cgroups", Pass, Code::CGROUPS),
                ("kernel", Pass, Code::KERNEL_OLD),
                ("container", Pass, Code::HOST_IS_CONTAINER),
                ("selinux", Pass, Code::SELINUX),
            ],
        ),
        (
            "no kvm",
            "qemu",
            |spec| (spec.kvm, spec.vsock) = (false, false),
            |_| {},
            &[
                ("device", Warn, Code::NO_VIRTUALIZATION),
                ("device", Warn, Code::NO_VSOCK),
                ("virtualization", Warn, Code::NO_VIRTUALIZATION),
            ],
        ),
        (
            "a virtual machine",
            "qemu",
            |spec| spec.in_machine = true,
            |_| {},
            &[("nested virtualization", Warn, Code::NESTED_VIRTUALIZATION)],
        ),
        (
            "a container",
            "qemu",
            |spec| spec.in_container = true,
            |_| {},
            &[("container", Warn, Code::HOST_IS_CONTAINER)],
        ),
        ("old cgroups", "qemu", |spec| spec.cgroups_v1 = true, |_| {}, &[("cgroups", Warn, Code::CGROUPS)]),
        (
            "no SNP",
            "qemu-snp",
            |_| {},
            |_| {},
            &[("cpu features", Warn, Code::TEE_OFF), ("tee", Warn, Code::TEE_OFF), ("tee keys", Skip, Code::TEE_KEYS)],
        ),
        (
            "SNP",
            "qemu-snp",
            |spec| spec.tee = Some(Tee::Snp),
            |_| {},
            &[("cpu features", Pass, Code::TEE_OFF), ("tee", Pass, Code::TEE_OFF), ("tee keys", Pass, Code::TEE_KEYS)],
        ),
        (
            "SNP without keys left",
            "qemu-snp",
            |spec| spec.tee = Some(Tee::Snp),
            |host| fs::write(host.host.path("/sys/fs/cgroup/misc.current"), "sev 0\nsev_es 99\n").unwrap(),
            &[("tee keys", Warn, Code::TEE_KEYS)],
        ),
        (
            "as a container sees it",
            "qemu-snp",
            |spec| spec.tee = Some(Tee::Snp),
            |host| {
                for path in ["/sys/fs/cgroup/misc.capacity", "/proc/cpuinfo", "/proc/sys/kernel/osrelease"] {
                    fs::remove_file(host.host.path(path)).unwrap();
                }
            },
            &[
                ("cpu features", Unknown, Code::TEE_OFF),
                ("tee", Pass, Code::TEE_OFF),
                ("tee keys", Unknown, Code::TEE_KEYS),
                ("virtualization", Unknown, Code::NO_VIRTUALIZATION),
                ("nested virtualization", Unknown, Code::NESTED_VIRTUALIZATION),
                ("kernel", Unknown, Code::KERNEL_OLD),
            ],
        ),
    ];
    for (name, shim, make, change, wanted) in cases {
        let mut spec = HostSpec::new("node-1", HostKind::Containerd21);
        make(&mut spec);
        let mut host = TestHost::of(spec);
        host.set("SHIMS_X86_64", shim);
        change(&host);
        let found = checks(&host);
        for (check, verdict, code) in wanted {
            let here = |one: &&contract::Check| one.name == *check && one.code == Some(*code);
            let one = found.iter().find(here).unwrap_or_else(|| panic!("{name}: no {check}: {found:?}"));
            assert_eq!(one.verdict, *verdict, "{name}: {one:?}");
        }
        for check in &found {
            let code = check.code.unwrap_or_else(|| panic!("{name}: {check:?} has no code"));
            assert!(contract::code::entry(code).is_some() && !check.detail.is_empty(), "{name}: {check:?}");
        }
    }
}

/// Where nothing can have fs-verity, erofs is warned of before its transaction has to be taken back.
#[test]
fn erofs_is_warned_of_where_there_is_no_verity() {
    let mut host = TestHost::of(simhost::HostSpec::new("node-1", simhost::HostKind::Containerd21));
    assert!(checks(&host).iter().all(|check| check.name != "fs-verity"), "nobody asks for erofs");
    host.set("EXPERIMENTAL_SETUP_SNAPSHOTTER", "erofs");
    fs::create_dir_all(host.host.path("/var/lib/containerd")).unwrap();
    let found = checks(&host);
    let verity = found.iter().find(|check| check.name == "fs-verity").unwrap();
    // tests have their hosts in memory, where they can
    if host.directory.path().starts_with("/dev/shm") {
        assert_eq!(verity.verdict, contract::Verdict::Warn, "{verity:?}");
    }
    assert_eq!(verity.code, Some(Code::SNAPSHOTTER_UNAVAILABLE));
}
