//! Faults, and how a host shows them.

use crate::bus::{Systemd, append, cri, handlers, start, until};
use simhost::HostKind;
use std::time::{Duration, Instant};

const HANDLER: &str = "\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]\nruntime_type = 'x'\n";

#[tokio::test]
async fn a_runtime_may_refuse_whatever_is_new() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd21, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    let before = std::fs::read(host.path("/etc/containerd/config.toml")).unwrap();
    host.inject(|faults| faults.refuse_changes = true);
    assert_eq!(systemd.restart("containerd.service").await, "done");
    append(&host, "/etc/containerd/config.toml", HANDLER);
    assert_eq!(systemd.restart("containerd.service").await, "failed");
    assert!(!host.runtime().ready);
    std::fs::write(host.path("/etc/containerd/config.toml"), before).unwrap();
    assert_eq!(systemd.restart("containerd.service").await, "done");
    assert!(host.runtime().ready);
}

#[tokio::test]
async fn a_runtime_may_stay_down_and_come_back() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Crio, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    let mut watch = host.watch_runtime();
    host.inject(|faults| faults.stay_down = true);
    assert_eq!(systemd.restart("crio.service").await, "failed");
    tokio::time::timeout(crate::bus::PATIENCE, watch.wait_for(|status| !status.ready)).await.unwrap().unwrap();
    assert_eq!(host.unit_state("crio.service"), Some(("activating", "auto-restart")));
    host.inject(|faults| faults.stay_down = false);
    assert_eq!(systemd.restart("crio.service").await, "done");
    assert!(host.runtime().ready);
}

#[tokio::test]
async fn a_restart_may_hang_until_the_fault_is_taken_back() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd17, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    host.inject(|faults| faults.hang_restart = true);
    systemd.manager.restart_unit("containerd.service", "replace").await.unwrap();
    until("the start hangs", async || host.unit_state("containerd.service") == Some(("activating", "start"))).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(host.unit_state("containerd.service"), Some(("activating", "start")));
    host.inject(|faults| faults.hang_restart = false);
    until("it starts after all", async || host.runtime().ready).await;
}

#[tokio::test]
async fn answers_may_be_slow_and_handlers_missing() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd21, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    append(&host, "/etc/containerd/config.toml", HANDLER);
    host.inject(|faults| {
        faults.slow_answers = Duration::from_millis(150);
        faults.hide_handlers = vec!["kata".into()];
    });
    assert_eq!(systemd.restart("containerd.service").await, "done");
    let begun = Instant::now();
    cri(&host).await.version().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(150));
    assert_eq!(handlers(&host).await, ["runc"]);
}
