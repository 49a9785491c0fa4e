//! The stages that talk to the API server, and DaemonSet mode, as the program itself does them.

use crate::simulated::{Node, until};
use apiserver::{ApiServer, Options};
use contract::{NodeRecord, Stage, State, label};
use serde_json::{Value, json};
use simhost::{HostKind, HostSpec};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

const NAMESPACE: &str = "kata";

/// An API server, and a node that it knows.
struct Cluster {
    node: Node,
    server: ApiServer,
    port: u16,
}

impl Cluster {
    fn start() -> Cluster {
        let node = Node::start(HostSpec::new("node-1", HostKind::Containerd21));
        let server = ApiServer::open(Options::default()).unwrap();
        let listener = node.simulation.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = server.clone();
        node.simulation.spawn(async move { serving.serve_tls(listener).await });
        let cluster = Cluster { node, server, port };
        let version = cluster.node.variables["CONTAINER_RUNTIME_VERSION"].clone();
        cluster.create(
            "/api/v1/nodes",
            json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-1", "labels": {"pool": "a"}},
            "spec": {"taints": [{"key": "kata/starting", "effect": "NoSchedule"}]}}),
        );
        cluster.patch(
            "/api/v1/nodes/node-1/status",
            json!({"status": {"nodeInfo": {"containerRuntimeVersion": version}}}),
        );
        cluster.create(
            "/api/v1/namespaces",
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": NAMESPACE}}),
        );
        cluster.create(
            &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
            json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "husk"}}),
        );
        cluster.create(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            json!({
            "kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "husk"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "husk", "namespace": NAMESPACE}]}),
        );
        let account = cluster.node.container().join("var/run/secrets/kubernetes.io/serviceaccount");
        std::fs::create_dir_all(&account).unwrap();
        let token = cluster.server.service_account_token(NAMESPACE, "husk", 3600).unwrap();
        std::fs::write(account.join("token"), token).unwrap();
        std::fs::write(account.join("ca.crt"), cluster.server.credentials().ca_pem()).unwrap();
        cluster
    }

    fn request(&self, method: &str, path: &str, content: &str, body: &Value) -> Result<Value, kube::Error> {
        let _reactor = self.node.simulation.enter();
        let client = kube::Client::new(self.server.into_service(), "default");
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request =
            http::Request::builder().method(method).uri(path).header("Content-Type", content).body(body).unwrap();
        self.node.simulation.block_on(client.request(request))
    }

    fn create(&self, path: &str, object: Value) {
        self.request("POST", path, "application/json", &object).unwrap();
    }

    fn patch(&self, path: &str, patch: Value) {
        self.request("PATCH", path, "application/merge-patch+json", &patch).unwrap();
    }

    fn get(&self, path: &str) -> Value {
        self.request("GET", path, "application/json", &Value::Null).unwrap()
    }

    fn labels(&self) -> Value {
        self.get("/api/v1/nodes/node-1")["metadata"]["labels"].clone()
    }

    fn record(&self) -> Option<NodeRecord> {
        let name = label::node_record_name(label::DEFAULT_INSTALL, "node-1");
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{name}");
        let map = self.request("GET", &path, "application/json", &Value::Null).ok()?;
        assert_eq!(map["metadata"]["labels"][label::NODE_RECORD], "true");
        serde_json::from_str(map["data"][label::NODE_RECORD_KEY].as_str()?).ok()
    }

    /// Starts the program as a container would.
    fn program(&self, words: &[&str], extra: &[(&str, String)]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_husk-node"))
            .args(words)
            .env_clear()
            .envs(self.node.variables.iter().filter(|(key, _)| *key != "CONTAINER_RUNTIME_VERSION"))
            .envs(extra.iter().map(|(key, value)| (*key, value.as_str())))
            .env("HUSK_ROOT", self.node.container())
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", self.port.to_string())
            .env("POD_NAMESPACE", NAMESPACE)
            .env("STARTUP_TAINTS", "kata/starting:NoSchedule")
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn stage(&self, stage: Stage) {
        assert!(self.program(&[stage.name()], &[]).wait().unwrap().success(), "{stage}");
        let report = std::fs::read_to_string(self.node.container().join("dev/termination-log")).unwrap();
        let report = contract::StageReport::from_termination_message(&report).unwrap();
        assert_eq!((report.stage, report.state), (stage, State::Done));
    }

    fn daemon_set(&self) {
        let template = json!({"metadata": {"labels": {"name": "kata-deploy"}},
            "spec": {"nodeSelector": {"pool": "a"}, "containers": [{"name": "kube-kata", "image": "example.org/x"}]}});
        self.create(
            &format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"),
            json!({
            "kind": "DaemonSet", "apiVersion": "apps/v1", "metadata": {"name": "kata-deploy"},
            "spec": {"selector": {"matchLabels": {"name": "kata-deploy"}}, "template": template}}),
        );
    }

    fn install(&self) -> (Child, u16) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let extra = [
            ("POD_IP", "127.0.0.1".to_owned()),
            ("HEALTH_PORT", port.to_string()),
            ("DAEMONSET_NAME", "kata-deploy".to_owned()),
            ("HOSTNAME", "kata-deploy-x".to_owned()),
        ];
        (self.program(&["--log-level=debug", "install"], &extra), port)
    }
}

fn probe(port: u16, path: &str) -> Option<u16> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

fn terminate(child: &mut Child) -> std::process::ExitStatus {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap()
}

#[test]
fn the_node_is_marked_freed_of_startup_taints_and_unmarked() {
    let cluster = Cluster::start();
    let first = cluster.labels();
    cluster.stage(Stage::Label);
    let labels = cluster.labels();
    assert_eq!(
        (&labels[label::KATA_RUNTIME], &labels[label::install_mark("default")]),
        (&json!("true"), &json!("true"))
    );
    let taints = cluster.get("/api/v1/nodes/node-1")["spec"]["taints"].clone();
    assert!(
        taints.as_array().is_none_or(|taints| taints.iter().all(|taint| taint["key"] != "kata/starting")),
        "{taints}"
    );
    let version = cluster.get("/api/v1/nodes/node-1")["metadata"]["resourceVersion"].clone();
    cluster.stage(Stage::Label);
    assert_eq!(
        cluster.get("/api/v1/nodes/node-1")["metadata"]["resourceVersion"],
        version,
        "a second run writes nothing"
    );
    cluster.stage(Stage::Unlabel);
    assert_eq!(cluster.labels(), first);
}

#[test]
fn a_daemon_set_s_pod_installs_waits_and_removes_only_when_it_is_meant() {
    let cluster = Cluster::start();
    cluster.daemon_set();
    let first = cluster.node.host.manifest().unwrap();
    let (mut pod, port) = cluster.install();
    until("health", || probe(port, "/healthz") == Some(200));
    until("readiness", || probe(port, "/readyz") == Some(200));
    assert_eq!(cluster.labels()[label::KATA_RUNTIME], "true");
    let record = cluster.record().unwrap();
    assert_eq!((record.stage, record.state, record.pod.as_deref()), (Stage::Label, State::Done, Some("kata-deploy-x")));
    assert_eq!(record.handlers, ["kata-qemu", "kata-qemu-snp"]);

    // a rolling update: the node is still selected
    assert!(terminate(&mut pod).success());
    assert_eq!(cluster.labels()[label::KATA_RUNTIME], "true");
    assert!(cluster.node.host.runtime().handlers.iter().any(|name| name == "kata-qemu"));
    assert_eq!(cluster.node.host.restarts("containerd.service"), 1);

    // the next pod finds everything in place; then the node leaves the selection
    let (mut pod, port) = cluster.install();
    until("readiness", || probe(port, "/readyz") == Some(200));
    assert_eq!(cluster.node.host.restarts("containerd.service"), 1);
    cluster.patch("/api/v1/nodes/node-1", json!({"metadata": {"labels": {"pool": "b"}}}));
    assert!(terminate(&mut pod).success());
    let left: Vec<String> =
        first.diff(&cluster.node.host.manifest().unwrap()).iter().map(ToString::to_string).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(cluster.labels().get(label::KATA_RUNTIME).is_none());
    assert_eq!(cluster.record().unwrap().stage, Stage::RemoveArtifacts);
}

#[test]
fn settings_that_cannot_be_read_are_in_the_record() {
    let cluster = Cluster::start();
    let unknown = [("EXPERIMENTAL_SETUP_SNAPSHOTTER", "zfs".to_owned())];
    assert!(!cluster.program(&["install"], &unknown).wait().unwrap().success());
    let record = cluster.record().unwrap();
    assert_eq!((record.state, record.code), (State::Failed, Some(contract::Code::BAD_SETTINGS)));
    assert!(record.message.contains("zfs"), "{}", record.message);
}
