//! From trouble to its end by the operator's seat alone: inject, look, follow the advice, converged.

use crate::harness::Place;
use serde_json::Value;
use std::time::{Duration, Instant};

struct Seat {
    place: Place,
}

impl Seat {
    fn inject(&self, faults: &str) {
        std::fs::write(self.place.sandbox().join("faults.json"), faults).unwrap();
    }

    fn problems(&self) -> Vec<Value> {
        let status = self.place.json(&["status", "--sandbox"]);
        status["problems"].as_array().unwrap().clone()
    }

    /// Waits until `status` tells of a problem with this code, and returns it.
    fn told(&self, code: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let problems = self.problems();
            if let Some(problem) = problems.iter().find(|problem| problem["code"] == code) {
                return problem.clone();
            }
            assert!(Instant::now() < deadline, "no {code} in {problems:?}\n{}", self.place.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until `status` tells of a problem of this node's own, and returns it.
    fn of_node(&self, node: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let problems = self.problems();
            let own =
                |problem: &&Value| problem["nodes"] == serde_json::json!([node]) && problem["code"] != "HUSK-3007";
            if let Some(problem) = problems.iter().find(own) {
                return problem.clone();
            }
            assert!(Instant::now() < deadline, "nothing of {node} in {problems:?}\n{}", self.place.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Calls the command that an error of a phase that was out of time names, and expects that all is well.
    fn wait_longer(&self, error: &str) {
        let (_, rest) = error.split_once("To wait longer: `husk ").unwrap_or_else(|| panic!("no advice in {error}"));
        let advice = rest.split_once('`').unwrap().0;
        assert_eq!(advice, "resume --timeout nodes=10m");
        self.place.ok(&advice.split(' ').chain(["--sandbox"]).collect::<Vec<_>>());
        self.all_is_well();
    }

    fn all_is_well(&self) {
        let status = self.place.json(&["status", "--sandbox"]);
        assert_eq!(status["problems"], Value::Array(Vec::new()), "{status}");
        assert_eq!(status["counts"]["converged"], status["counts"]["selected"], "{status}");
    }

    /// The next command must be `husk resume`; does what it says and expects that all is well.
    fn follow(&self, problem: &Value) {
        let next = problem["next"].as_str().unwrap();
        assert!(next.contains("`husk resume`"), "{problem}");
        self.inject("{}");
        self.place.ok(&["resume", "--sandbox"]);
        self.all_is_well();
    }
}

#[test]
fn each_fault_leads_from_status_to_its_cause_and_its_end() {
    let seat = Seat { place: Place::new() };
    let place = &seat.place;
    place.ok(&["sandbox", "up", "--hosts", "k8s:1,k3s:1"]);

    // An image that no registry has: the nodes' time runs out, and what to do then is said.
    seat.inject(r#"{"missingImages": ["*/kata-deploy:*"]}"#);
    let ended = place.husk(&["up", "--sandbox", "--timeout", "nodes=5s"]);
    assert_eq!(ended.code, Some(5), "{ended}");
    for part in ["HUSK-4016: phase nodes is out of time after 5 s: 0 of 2 nodes", "node k3s-1", "goes on: DaemonSet "] {
        assert!(ended.err.contains(part), "{part} is missing in {ended}");
    }
    assert!(
        ended.out.contains("apply ") && ended.out.contains(" of 5 min)"),
        "each phase is shown with its bound: {ended}"
    );
    let problem = seat.told("HUSK-3004");
    let cause = problem["cause"].as_str().unwrap();
    assert!(cause.contains("ImagePull") && cause.contains("kata-deploy:"), "{problem}");
    assert!(problem["next"].as_str().unwrap().contains("`husk resume`"), "{problem}");
    seat.inject("{}");
    seat.wait_longer(&ended.err);

    // A runtime that does not come back with the new configuration: the node repairs itself, and says so.
    seat.inject(r#"{"hosts": {"k8s-1": {"refuseChanges": true}}}"#);
    let ended = place.husk(&["up", "--sandbox", "--set", "kata-as-coco-runtime.debug=true", "--set", NEWER]);
    assert_eq!(ended.code, Some(4), "{ended}");
    let problem = seat.told("HUSK-2202");
    assert_eq!(problem["nodes"], serde_json::json!(["k8s-1"]));
    assert!(!problem["cause"].as_str().unwrap().is_empty(), "{problem}");
    let text = place.ok(&["status", "--sandbox"]);
    assert!(text.contains("✗ HUSK-2202 k8s-1") && text.contains("cause") && text.contains("next"), "{text}");
    seat.follow(&problem);

    // A label that somebody took away.
    let config = place.sandbox().join("kubeconfig");
    seat.unlabel(&config, "k3s-1");
    let problem = seat.told("HUSK-2301");
    assert!(problem["cause"].as_str().unwrap().contains("changed the node's labels"), "{problem}");
    seat.follow(&problem);

    // Whoever asks for the logs of a node gets those of its installer.
    assert!(place.ok(&["logs", "k8s-1", "--sandbox", "--tail", "50"]).contains("kube-kata"));
    let recovered = place.ok(&["recover", "--sandbox"]);
    assert!(recovered.contains("nothing had to be done"), "{recovered}");

    // Before anything: what cluster and hosts say, and nothing is left of the question.
    let checked = place.json(&["preflight", "--sandbox", "--nodes", "k8s-1,k3s-1"]);
    assert_eq!(checked["blocked"], false, "{checked}");
    let hosts = checked["findings"].as_array().unwrap().iter().filter(|finding| finding["group"] == "hosts");
    assert!(hosts.count() > 3, "{checked}");

    // Levels 0 and 1 for real, as far as processes can play virtual machines.
    let class = "kata-qemu-coco-dev";
    let proven = place.json(&["verify", "--sandbox", "--level", "1", "--class", class]);
    let cells = proven["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2, "{proven}");
    assert!(cells.iter().all(|cell| cell["reached"] == "booted" && cell["confidential"] == false), "{proven}");
    // A shim that somebody took away: the handler is still served, and a pod tells.
    let shim = place.host("k8s-1").join("opt/kata/bin/containerd-shim-kata-v2");
    let away = shim.with_extension("away");
    std::fs::rename(&shim, &away).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let broken = place.husk(&["verify", "--sandbox", "--class", class, "--node", "k8s-1", "--timeout", "2s"]);
        assert!(broken.code == Some(1) && broken.err.contains("HUSK-3010"), "{broken}");
        if broken.out.contains("failed to start shim") {
            break;
        }
        assert!(Instant::now() < deadline, "the kubelet's words are missing: {broken}");
    }
    std::fs::rename(&away, &shim).unwrap();
    let deep = place.husk(&["verify", "--sandbox", "--level", "2", "--class", "kata-qemu-snp", "--node", "k8s-1"]);
    assert!(deep.code == Some(1) && deep.out.contains("gave no evidence"), "there is no TEE here: {deep}");

    // Everything for a bug report, without secrets.
    let archive = place.file("dump.tar.gz", "");
    place.ok(&["sysdump", "--sandbox", "--file", archive.to_str().unwrap(), "--nodes", "k8s-1"]);
    let listing = std::process::Command::new("tar").args(["-tzf"]).arg(&archive).output().unwrap();
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    for part in ["status.json", "release/revision-1.json", "k8s-1/host/var/lib/husk", "k8s-1/installer.log"] {
        assert!(listing.contains(part), "{part} is missing in\n{listing}");
    }
}

#[test]
fn in_job_mode_too_each_fault_leads_to_its_cause_or_heals() {
    let seat = Seat { place: Place::new() };
    let place = &seat.place;
    place.ok(&["sandbox", "up", "--hosts", "k8s:1"]);
    let up_with = |more: &str, shim: &str| {
        let shim = format!("kata-as-coco-runtime.shims.qemu.enabled={shim}");
        let values = format!("kata-as-coco-runtime.deploymentMode=job{more}");
        place.husk(&["up", "--sandbox", "--set", &values, "--set", &shim])
    };
    let up = |shim| up_with("", shim);

    // An installer that is killed now and then, and answers that get lost, need nobody.
    seat.inject(
        r#"{"kill": [{"pod": "*", "container": "cri"}],
            "api": [{"verb": "create", "resource": "jobs", "times": 3, "loseAnswer": true}]}"#,
    );
    let ended = up("false");
    assert_eq!(ended.code, Some(0), "{ended}\n{}", place.logs());
    assert_eq!(seat.problems(), Vec::<Value>::new());

    // One that is killed every time.
    seat.inject(r#"{"kill": [{"pod": "*", "container": "cri", "times": 100}]}"#);
    assert_ne!(up("true").code, Some(0));
    let problem = seat.told("HUSK-3005");
    seat.follow(&seat.of_node("k8s-1"));
    assert!(problem["cause"].as_str().unwrap().contains("status 137"), "{problem}");

    // A handler that the runtime reads and does not serve.
    seat.inject(r#"{"hosts": {"k8s-1": {"hideHandlers": ["kata-qemu-snp"]}}}"#);
    assert_ne!(up("false").code, Some(0));
    let problem = seat.of_node("k8s-1");
    assert_eq!(problem["code"], "HUSK-2202", "{problem}");
    assert!(problem["cause"].as_str().unwrap().contains("does not serve kata-qemu-snp"), "{problem}");
    seat.follow(&problem);

    // A restart that neither succeeds nor fails.
    seat.inject(r#"{"hosts": {"k8s-1": {"hangRestart": true}}}"#);
    let once = ",kata-as-coco-runtime.node.restartTimeoutSeconds=5,kata-as-coco-runtime.job.backoffLimit=0";
    assert_ne!(up_with(once, "true").code, Some(0));
    let problem = seat.of_node("k8s-1");
    assert!(matches!(problem["code"].as_str(), Some("HUSK-2210" | "HUSK-2211")), "{problem}");
    seat.follow(&problem);

    // A runtime that stays down whatever it reads: that is said as such.
    seat.inject(r#"{"hosts": {"k8s-1": {"stayDown": true}}}"#);
    assert_ne!(up("false").code, Some(0));
    let problem = seat.of_node("k8s-1");
    assert_eq!(problem["code"], "HUSK-2211", "{problem}");
    assert!(problem["next"].as_str().unwrap().contains("journalctl -u containerd"), "{problem}");
    seat.follow(&problem);
}

/// A change that reaches the runtime's configuration.
const NEWER: &str = "kata-as-coco-runtime.shims.qemu.enabled=true";

impl Seat {
    fn unlabel(&self, config: &std::path::Path, node: &str) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let label = serde_json::json!({"metadata": {"labels": {"katacontainers.io/kata-runtime": null}}});
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let kubeconfig = kube::config::Kubeconfig::read_from(config).unwrap();
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
            config.proxy_url = None;
            let nodes: kube::Api<k8s_openapi::api::core::v1::Node> =
                kube::Api::all(kube::Client::try_from(config).unwrap());
            nodes.patch(node, &Default::default(), &kube::api::Patch::Merge(label)).await.unwrap();
        });
    }
}
