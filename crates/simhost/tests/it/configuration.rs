//! What hosts other than plain containerd refuse.

use crate::bus::{Systemd, append, cri, handlers, start, until};
use cri::{Code, Error};
use simhost::HostKind;

#[tokio::test]
async fn crio_ignores_a_broken_handler_and_refuses_broken_toml() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Crio, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    assert_eq!(handlers(&host).await, ["crun", "runc"]);
    let handler = |path: &str, more: &str| {
        format!("[crio.runtime.runtimes.kata]\nruntime_path = \"{path}\"\nruntime_type = \"vm\"\n{more}")
    };
    let drop_in = host.path("/etc/crio/crio.conf.d/99-kata");
    append(&host, "/opt/kata/bin/containerd-shim-kata-v2", "");
    append(&host, "/opt/kata/bin/kata-runtime", "");
    let shim = "/opt/kata/bin/containerd-shim-kata-v2";
    for (text, expected) in [
        (handler("/nonexistent/containerd-shim-kata-v2", ""), &["crun", "runc"][..]),
        (handler("/opt/kata/bin/kata-runtime", ""), &["crun", "runc"]),
        (handler(shim, "runtime_config_path = \"/nonexistent.toml\"\n"), &["crun", "runc"]),
        (handler(shim, "").replace("vm", "frob"), &["crun", "runc"]),
        (handler(shim, ""), &["crun", "kata", "runc"]),
    ] {
        std::fs::write(&drop_in, &text).unwrap();
        assert_eq!(systemd.restart("crio.service").await, "done", "{text}");
        assert_eq!(handlers(&host).await, expected, "{text}");
    }
    for text in [
        "[crio",
        "[crio.runtime]\ndefault_runtime = \"nope\"\n",
        "[crio.runtime.runtimes.crun]\nruntime_path = \"/nonexistent\"\n",
        "[crio.runtime.runtimes.kata]\nruntime_path = 7\n",
        "[crio]\nstorage_option = \"x\"\n",
        "[crio.runtime]\nlog_level = \"loud\"\n",
    ] {
        std::fs::write(&drop_in, text).unwrap();
        assert_eq!(systemd.restart("crio.service").await, "failed", "{text}");
        assert!(!host.runtime().message.is_empty());
    }
    std::fs::remove_file(&drop_in).unwrap();
    assert_eq!(systemd.restart("crio.service").await, "done");
    assert_eq!(handlers(&host).await, ["crun", "runc"]);
}

#[tokio::test]
async fn containerd_without_cri_answers_unimplemented() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd17, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    std::fs::write(host.path("/etc/containerd/config.toml"), "disabled_plugins = [\"cri\"]\n").unwrap();
    assert_eq!(systemd.restart("containerd.service").await, "done");
    match cri(&host).await.version().await {
        Err(Error::Refused { status, .. }) => assert_eq!(status.code(), Code::Unimplemented),
        other => panic!("{other:?}"),
    }
    assert!(!host.runtime().ready);
}

#[tokio::test]
async fn containerd_1_is_not_initialised_at_once() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd17, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    // A busy machine may be too late to see it at the first try.
    until("an answer comes too early", async || {
        assert_eq!(systemd.restart("containerd.service").await, "done");
        let socket = host.path("/run/containerd/containerd.sock");
        let client = cri::Client::connect(socket, crate::bus::PATIENCE).await.unwrap();
        match client.version().await {
            Err(Error::Refused { status, .. }) => {
                assert_eq!((status.code(), status.message()), (Code::Unknown, "server is not initialized yet"));
                true
            }
            other => other.map(|_| false).unwrap(),
        }
    })
    .await;
    assert_eq!(handlers(&host).await, ["runc"]);
}

#[tokio::test]
async fn a_missing_configuration_means_the_defaults() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd22, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    append(
        &host,
        "/etc/containerd/conf.d/x.toml",
        "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.a]\nruntime_type = 'x'\n",
    );
    assert_eq!(systemd.restart("containerd.service").await, "done");
    assert_eq!(handlers(&host).await, ["a", "runc"]);
    // Without a main file nothing imports the drop-ins.
    std::fs::remove_file(host.path("/etc/containerd/config.toml")).unwrap();
    assert_eq!(systemd.restart("containerd.service").await, "done");
    assert_eq!(handlers(&host).await, ["runc"]);
}

#[tokio::test]
async fn k3s_waits_forever_for_a_cri_that_does_not_come() {
    let directory = crate::bus::disk();
    let host = start(HostKind::K3s, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    let drop_in = "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/x.toml";
    append(&host, drop_in, "[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'nope'\n");
    systemd.manager.restart_unit("k3s.service", "replace").await.unwrap();
    until("the CRI is off", async || host.runtime().message.contains("nope")).await;
    assert_eq!(host.unit_state("k3s.service"), Some(("activating", "start")));
    std::fs::remove_file(host.path(drop_in)).unwrap();
    assert_eq!(systemd.restart("k3s.service").await, "done");
    assert!(host.runtime().ready);
}

#[tokio::test]
async fn a_broken_template_keeps_k3s_down() {
    let directory = crate::bus::disk();
    let host = start(HostKind::K3sAgent, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    let template = "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl";
    append(&host, template, "{{ template \"base\" }\n");
    assert_eq!(systemd.restart("k3s-agent.service").await, "failed");
    // A template that is a stale copy replaces the base: whatever it forgets is gone.
    std::fs::write(host.path(template), "version = 3\n").unwrap();
    assert_eq!(systemd.restart("k3s-agent.service").await, "done");
    assert!(host.runtime().ready);
}

#[tokio::test]
async fn k0s_merges_what_configures_the_cri_and_imports_the_rest() {
    let directory = crate::bus::disk();
    let host = start(HostKind::K0s, directory.path()).await;
    let systemd = Systemd::connect(&host).await;
    append(&host, "/etc/k0s/containerd.d/debug.toml", "version = 2\n[debug]\nlevel = 'debug'\n");
    append(
        &host,
        "/etc/k0s/containerd.d/kata.toml",
        "version = 2\n[proxy_plugins.nydus]\ntype = 'snapshot'\naddress = '/run/n.sock'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\nruntime_type = 'x'\n",
    );
    assert_eq!(systemd.restart("k0sworker.service").await, "done");
    assert_eq!(handlers(&host).await, ["kata", "runc"]);
    let main = std::fs::read_to_string(host.path("/etc/k0s/containerd.toml")).unwrap();
    assert!(main.contains("containerd.d/debug.toml") && !main.contains("kata.toml"), "{main}");
    append(&host, "/etc/k0s/containerd.d/bad.toml", "[plugins");
    assert_eq!(systemd.restart("k0sworker.service").await, "failed");
}
