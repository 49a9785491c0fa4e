//! systemd as the installer uses it.

use crate::bus::{Systemd, append, start, until};
use simhost::HostKind;
use std::os::unix::fs::PermissionsExt;
use zbus::Variant;

const UNIT: &str = "[Unit]\nDescription=A snapshotter\nBefore=containerd.service\n\n[Service]\nExecStart=/opt/kata/bin/snapshotter --address /run/snap/snap.sock\nRestart=always\n\n[Install]\nWantedBy=multi-user.target containerd.service\n";

#[tokio::test]
async fn a_unit_of_ours_is_enabled_runs_and_leaves_no_trace() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd17, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    let before = host.manifest().unwrap();

    let missing = systemd.manager.start_unit("snap.service", "replace").await.unwrap_err();
    assert!(missing.to_string().contains("NoSuchUnit"), "{missing}");
    append(&host, "/etc/systemd/system/snap.service", UNIT);
    systemd.manager.reload().await.unwrap();
    // The program is not there yet.
    assert_eq!(systemd.restart("snap.service").await, "failed");
    assert_eq!(host.unit_state("snap.service"), Some(("activating", "auto-restart")));
    assert_eq!(systemd.property::<String>("snap.service", "Service", "Result").await, "exit-code");
    assert_eq!(systemd.property::<i32>("snap.service", "Service", "ExecMainStatus").await, 203);

    append(&host, "/opt/kata/bin/snapshotter", "#!/bin/sh\n");
    let (install, changes) = systemd.manager.enable_unit_files(&["snap.service"], false, true).await.unwrap();
    assert!(install);
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].0, "symlink");
    assert!(host.root().join("etc/systemd/system/containerd.service.wants/snap.service").is_symlink());
    // Starting containerd pulls it in.
    assert_eq!(systemd.restart("containerd.service").await, "done");
    assert_eq!(systemd.active("snap.service").await, "active");
    assert!(host.path("/run/snap/snap.sock").exists());
    let rows = systemd.manager.list_units_by_names(&["snap.service", "nope.service"]).await.unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row.2.as_str(), row.3.as_str(), row.4.as_str())).collect();
    assert_eq!(shown, [("loaded", "active", "running"), ("not-found", "inactive", "dead")]);

    let changes = systemd.manager.disable_unit_files(&["snap.service"], false).await.unwrap();
    assert_eq!(changes.len(), 2);
    systemd.manager.stop_unit("snap.service", "replace").await.unwrap();
    until("the unit stops", async || systemd.active("snap.service").await == "inactive").await;
    std::fs::remove_file(host.path("/etc/systemd/system/snap.service")).unwrap();
    std::fs::remove_dir_all(host.path("/opt/kata")).unwrap();
    systemd.manager.reload().await.unwrap();
    assert!(systemd.manager.get_unit("snap.service").await.is_err());
    assert_eq!(before.diff(&host.manifest().unwrap()), []);
}

fn command<'a>(program: &'a str, arguments: &[&'a str]) -> Variant<'a> {
    Variant::from(vec![(program, arguments.to_vec(), false)])
}

#[tokio::test]
async fn a_transient_timer_runs_a_program_of_the_host() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd21, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    append(
        &host,
        "/var/lib/husk/default/undo",
        "#!/bin/sh\necho \"$0 $*\" > \"$HUSK_ROOT/var/undone\"\necho said; exit 3\n",
    );
    let program = host.path("/var/lib/husk/default/undo");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let arm = async |name: &str, micros: u64| {
        let service = format!("{name}.service");
        let run = command("/var/lib/husk/default/undo", &["undo", "--host-root", "/"]);
        systemd
            .manager
            .start_transient_unit(
                &format!("{name}.timer"),
                "fail",
                vec![
                    ("TimersMonotonic", Variant::from(vec![("OnActiveSec", micros)])),
                    ("Description", Variant::from("undo")),
                ],
                vec![(&service, vec![("ExecStart", run), ("Type", Variant::from("oneshot"))])],
            )
            .await
    };

    // Disarmed in time, nothing happens, and the name is free again.
    arm("husk-undo", 60_000_000).await.unwrap();
    assert_eq!(systemd.active("husk-undo.timer").await, "active");
    let twice = arm("husk-undo", 60_000_000).await.unwrap_err();
    assert!(twice.to_string().contains("UnitExists"), "{twice}");
    systemd.manager.stop_unit("husk-undo.timer", "replace").await.unwrap();
    until("the timer is gone", async || host.unit_state("husk-undo.timer").is_none()).await;
    assert!(!host.path("/var/undone").exists());

    arm("husk-undo", 30_000).await.unwrap();
    until("the program has run", async || host.unit_state("husk-undo.service") == Some(("failed", "failed"))).await;
    let told = std::fs::read_to_string(host.path("/var/undone")).unwrap();
    assert_eq!(told.trim_end(), format!("{} --host-root /", program.display()));
    assert_eq!(systemd.property::<i32>("husk-undo.service", "Service", "ExecMainStatus").await, 3);
    assert!(host.journal("husk-undo.service").contains(&"said".to_owned()));
    systemd.manager.reset_failed_unit("husk-undo.service").await.unwrap();
    assert_eq!(host.unit_state("husk-undo.service"), None);
}

#[tokio::test]
async fn a_property_that_systemd_does_not_know_is_refused() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd21, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    let error = systemd
        .manager
        .start_transient_unit("x.timer", "fail", vec![("OnActiveSeconds", Variant::from(1_u64))], vec![])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("OnActiveSeconds"), "{error}");
    let error = systemd
        .manager
        .start_transient_unit("x.service", "fail", vec![("ExecStart", command("relative", &["x"]))], vec![])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("absolute"), "{error}");
    assert!(systemd.manager.restart_unit("containerd.service", "now").await.is_err());
}

#[tokio::test]
async fn another_containerd_runs_when_a_drop_in_names_it() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd17, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    append(
        &host,
        "/opt/containerd/bin/containerd",
        &simhost::program::text("containerd", Some(("containerd", "2.1.5"))),
    );
    let program = host.path("/opt/containerd/bin/containerd");
    append(
        &host,
        "/etc/systemd/system/containerd.service.d/50-custom.conf",
        "[Service]\nExecStart=\nExecStart=/opt/containerd/bin/containerd\n",
    );
    // Not before systemd has read the drop-in.
    assert_eq!(systemd.restart("containerd.service").await, "done");
    assert_eq!(host.runtime().version_string, "containerd://1.7.27");
    assert!(systemd.property::<bool>("containerd.service", "Unit", "NeedDaemonReload").await);
    systemd.manager.reload().await.unwrap();
    // Nor while the file is not executable.
    assert_eq!(systemd.restart("containerd.service").await, "failed");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(systemd.restart("containerd.service").await, "done");
    assert_eq!(host.runtime().version_string, "containerd://2.1.5");
    assert_eq!(host.runtime().handlers, ["runc"]);
}

/// zbus takes only unique names as senders: whoever cannot read a real systemd cannot read this one either.
#[tokio::test]
async fn a_client_that_wants_unique_senders_understands_nothing() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd17, directory.path()).await;
    let short = cri::socket::Short::of(&host.root().join("run/systemd/private")).unwrap();
    let stream = std::os::unix::net::UnixStream::connect(&short.path).unwrap();
    let connection = zbus::connection::Builder::unix_stream(stream).p2p().build().await.unwrap();
    let (path, manager) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
    let call = connection.call_method(None::<&str>, path, Some(manager), "GetUnit", &("containerd.service",));
    let answer = tokio::time::timeout(std::time::Duration::from_secs(60), call).await;
    assert!(!matches!(answer, Ok(Ok(_))), "{answer:?}");
}
