//! Every kind of host: boots, serves, takes a handler, forgets it without a trace, survives a power cut.

use crate::bus::{Systemd, append, cri, handlers, start};
use simhost::layout::Flavour;
use simhost::{Host, HostKind, HostSpec};

const V1: &str = "\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata-test]\nruntime_type = \"io.containerd.kata-test.v2\"\n";
const V3: &str = "\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata-test]\nruntime_type = 'io.containerd.kata-test.v2'\n";

/// Where a handler is added on a host, and the text that adds it.
fn handler_file(host: &Host) -> (String, String) {
    let layout = host.spec().layout();
    let version_1 = host.spec().runtime_version().starts_with("1.");
    let at = |name: &str| format!("{}/{name}", layout.directory);
    match layout.flavour {
        Flavour::Containerd if version_1 => (at("config.toml"), V1.into()),
        Flavour::Containerd if host.spec().kind == HostKind::Containerd22 => {
            (at("conf.d/kata.toml"), format!("version = 3\n{V3}"))
        }
        Flavour::Containerd => (at("config.toml"), V3.into()),
        Flavour::Rancher => (at("config-v3.toml.d/kata.toml"), V3.into()),
        Flavour::K0s => (at("containerd.d/kata.toml"), format!("version = 2\n{V1}")),
        Flavour::Microk8s => (at("containerd-template.toml"), V1.into()),
        Flavour::Crio => {
            let text = "[crio.runtime.runtimes.kata-test]\nruntime_path = \"/opt/kata/bin/containerd-shim-kata-v2\"\nruntime_type = \"vm\"\n";
            (at("crio.conf.d/99-kata"), text.into())
        }
    }
}

async fn take_and_forget_a_handler(kind: HostKind) {
    let directory = crate::bus::disk();
    let host = start(kind, directory.path()).await;
    let layout = host.spec().layout();
    let status = host.runtime();
    assert!(status.ready, "{kind}: {status:?} {:?}", host.journal(layout.unit));
    let name = if kind == HostKind::Crio { "cri-o" } else { "containerd" };
    assert_eq!(status.version_string, format!("{name}://{}", kind.runtime_version()), "{kind}");
    let client = cri(&host).await;
    let version = client.version().await.unwrap();
    assert_eq!(version.runtime_name, name);
    assert_eq!(version.runtime_version.trim_start_matches('v'), kind.runtime_version());
    let listed = client.status(false).await.unwrap().runtime_handlers;
    let lists = !kind.runtime_version().starts_with("1.6.") && !kind.runtime_version().starts_with("1.7.");
    assert_eq!((!listed.is_empty(), status.lists_handlers), (lists, lists), "{kind}");
    let first = handlers(&host).await;
    assert!(first.contains(&"runc".to_owned()), "{kind}: {first:?}");
    assert_eq!(first, status.handlers);
    let before = host.manifest().unwrap();

    let systemd = Systemd::connect(&host).await;
    assert_eq!(systemd.active(layout.unit).await, "active");
    let (file, text) = handler_file(&host);
    let existed = host.path(&file).exists();
    let shim = host.path("/opt/kata/bin/containerd-shim-kata-v2");
    std::fs::create_dir_all(shim.parent().unwrap()).unwrap();
    std::fs::write(&shim, "").unwrap();
    let old = std::fs::read(host.path(&file)).unwrap_or_default();
    let made = !host.path(&file).parent().unwrap().exists();
    append(&host, &file, &text);
    assert_eq!(handlers(&host).await, first, "{kind}: configuration is read at a start only");
    let entered: u64 = systemd.property(layout.unit, "Unit", "ActiveEnterTimestamp").await;
    assert_eq!(systemd.restart(layout.unit).await, "done", "{kind}: {:?}", host.journal(layout.unit));
    let again: u64 = systemd.property(layout.unit, "Unit", "ActiveEnterTimestamp").await;
    assert!(again > entered, "{kind}");
    let served = handlers(&host).await;
    assert!(served.contains(&"kata-test".to_owned()) && served.contains(&"runc".to_owned()), "{kind}: {served:?}");
    assert_eq!(host.restarts(layout.unit), 1);

    // A power cut and a boot on the same disk.
    let (spec, id) = (host.spec().clone(), host.machine_id());
    drop(host);
    let host = Host::start(spec, directory.path()).await.unwrap();
    assert_eq!(host.machine_id(), id);
    assert_eq!(handlers(&host).await, served, "{kind}");

    if existed {
        std::fs::write(host.path(&file), old).unwrap();
    } else {
        std::fs::remove_file(host.path(&file)).unwrap();
        if made {
            std::fs::remove_dir(host.path(&file).parent().unwrap()).unwrap();
        }
    }
    std::fs::remove_dir_all(host.path("/opt/kata")).unwrap();
    let systemd = Systemd::connect(&host).await;
    assert_eq!(systemd.restart(layout.unit).await, "done");
    assert_eq!(handlers(&host).await, first);
    assert_eq!(before.diff(&host.manifest().unwrap()), [], "{kind}");
    host.shutdown().await;
}

macro_rules! kinds {
    ($($test:ident $kind:ident)*) => {
        $(#[tokio::test]
        async fn $test() {
            take_and_forget_a_handler(HostKind::$kind).await;
        })*

        #[test]
        fn no_kind_is_forgotten() {
            let mut tested = vec![$(HostKind::$kind),*];
            tested.sort();
            assert_eq!(tested, HostKind::ALL);
        }
    };
}

kinds! {
    containerd_1_6 Containerd16
    containerd_1_7 Containerd17
    containerd_2_0 Containerd20
    containerd_2_1 Containerd21
    containerd_2_2 Containerd22
    crio Crio
    k3s_server K3s
    k3s_agent K3sAgent
    rke2_server Rke2Server
    rke2_agent Rke2Agent
    k0s_worker K0s
    microk8s Microk8s
}

#[tokio::test]
async fn an_old_k3s_takes_a_handler_through_a_template_only() {
    let directory = crate::bus::disk();
    let mut spec = HostSpec::new("node-1", HostKind::K3s);
    spec.runtime_version = Some("1.7.27-k3s1".into());
    let host = Host::start(spec, directory.path()).await.unwrap();
    let before = host.manifest().unwrap();
    let (at, systemd) = ("/var/lib/rancher/k3s/agent/etc/containerd", Systemd::connect(&host).await);
    let rendered = || std::fs::read_to_string(host.path(&format!("{at}/config.toml"))).unwrap();
    assert!(!rendered().contains("imports"));

    append(&host, &format!("{at}/config.toml.d/kata.toml"), V1);
    assert_eq!(systemd.restart("k3s.service").await, "done");
    assert_eq!(handlers(&host).await, ["runc"]);
    append(&host, &format!("{at}/config.toml.tmpl"), &format!("{{{{ template \"base\" . }}}}\n{V1}"));
    assert_eq!(systemd.restart("k3s.service").await, "done");
    assert_eq!(handlers(&host).await, ["kata-test", "runc"]);
    assert!(rendered().contains("kata-test"));

    std::fs::remove_file(host.path(&format!("{at}/config.toml.tmpl"))).unwrap();
    std::fs::remove_dir_all(host.path(&format!("{at}/config.toml.d"))).unwrap();
    assert_eq!(systemd.restart("k3s.service").await, "done");
    assert_eq!(before.diff(&host.manifest().unwrap()), []);
}

#[tokio::test]
async fn a_template_of_the_newer_schema_wins() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Rke2Agent, directory.path()).await;
    let (at, systemd) = ("/var/lib/rancher/rke2/agent/etc/containerd", Systemd::connect(&host).await);
    append(
        &host,
        &format!("{at}/config.toml.tmpl"),
        &format!("{{{{ template \"base\" . }}}}\n{}", V1.replace("kata-test", "old")),
    );
    assert_eq!(systemd.restart("rke2-agent.service").await, "done");
    assert_eq!(handlers(&host).await, ["old", "runc"]);
    append(&host, &format!("{at}/config-v3.toml.tmpl"), &format!("{{{{ template \"base\" . }}}}\n{V3}"));
    assert_eq!(systemd.restart("rke2-agent.service").await, "done");
    assert_eq!(handlers(&host).await, ["kata-test", "runc"]);
}

#[tokio::test]
async fn a_directory_keeps_its_host() {
    let directory = crate::bus::disk();
    let host = start(HostKind::Containerd17, directory.path()).await;
    host.shutdown().await;
    for other in [HostSpec::new("node-2", HostKind::Containerd17), HostSpec::new("node-1", HostKind::Crio)] {
        let refused = Host::start(other, directory.path()).await;
        assert!(refused.unwrap_err().to_string().contains("holds the host node-1 (containerd-1.7)"));
    }
    // Even a disk that lost its files is not installed anew.
    std::fs::remove_dir_all(directory.path().join("root/etc")).unwrap();
    let host = start(HostKind::Containerd17, directory.path()).await;
    assert_eq!(host.machine_id(), "");
    assert!(!host.path("/etc/hostname").exists());
}

#[tokio::test]
async fn many_hosts_run_side_by_side() {
    let directory = crate::bus::disk();
    let mut hosts = Vec::new();
    for (index, kind) in HostKind::ALL.iter().cycle().take(24).enumerate() {
        let spec = HostSpec::new(format!("node-{index}"), *kind);
        hosts.push(Host::start(spec, &directory.path().join(index.to_string())).await.unwrap());
    }
    let ids: std::collections::BTreeSet<String> = hosts.iter().map(Host::machine_id).collect();
    assert_eq!(ids.len(), hosts.len());
    assert!(hosts.iter().all(|host| host.runtime().ready));
}
