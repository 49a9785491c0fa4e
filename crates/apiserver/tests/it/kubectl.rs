//! Real kubectl over TLS.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use apiserver::{ApiServer, Options};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

struct Kubectl {
    dir: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Kubectl {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A server on a free port and a kubeconfig for it; `None`, with a message, when there is no kubectl.
async fn kubectl() -> Option<Kubectl> {
    let found =
        std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|d| d.join("kubectl").is_file()));
    if !found {
        #[allow(clippy::print_stderr, reason = "whoever runs the tests should know that these did not run")]
        {
            eprintln!("skipped: kubectl is not on PATH");
        }
        return None;
    }
    let server = ApiServer::open(Options::default()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kubeconfig"), server.credentials().kubeconfig("test", &url).unwrap()).unwrap();
    let serving = tokio::spawn(async move { server.serve_tls(listener).await.unwrap() });
    Some(Kubectl { dir, serving })
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command.args(args).env("KUBECONFIG", dir.join("kubeconfig")).env("HOME", dir).current_dir(dir).kill_on_drop(true);
    command
}

impl Kubectl {
    async fn run(&self, args: &[&str], input: &str) -> (bool, String) {
        let mut child = command(self.dir.path(), args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
        (output.status.success(), text)
    }

    async fn ok(&self, args: &[&str], input: &str) -> String {
        let (success, text) = self.run(args, input).await;
        assert!(success, "kubectl {args:?}: {text}");
        text
    }
}

const NODE: &str = r#"
apiVersion: v1
kind: Node
metadata:
  name: n1
  labels: {node-role.kubernetes.io/worker: ""}
status:
  conditions: [{type: Ready, status: "True"}]
  capacity: {cpu: "2", memory: 4Gi}
  allocatable: {cpu: "2", memory: 4Gi}
  nodeInfo: {kubeletVersion: v1.34.4, containerRuntimeVersion: "containerd://2.1.9"}
"#;

const SET: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: d, labels: {first: "1"}}
spec:
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec:
      containers:
      - {name: c, image: "one:1", ports: [{containerPort: 80}]}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_describe_and_explain() {
    let Some(k) = kubectl().await else { return };
    k.ok(&["create", "-f", "-"], NODE).await;
    let nodes = k.ok(&["get", "nodes", "-o", "wide"], "").await;
    assert!(nodes.contains("n1     Ready    worker") && nodes.contains("containerd://2.1.9"), "{nodes}");
    k.ok(&["run", "p", "--image=busybox:1", "--overrides", r#"{"spec":{"nodeName":"n1"}}"#], "").await;
    let described = k.ok(&["describe", "node", "n1"], "").await;
    assert!(described.contains("Non-terminated Pods:          (1 in total)"), "{described}");
    let pods = k.ok(&["get", "pods", "--field-selector", "spec.nodeName=n1", "-o", "name"], "").await;
    assert_eq!(pods, "pod/p\n");
    assert!(k.ok(&["explain", "pod.spec.containers"], "").await.contains("terminationMessagePath"));
    let (success, text) = k.run(&["get", "pod", "nope"], "").await;
    assert!(!success && text == "Error from server (NotFound): pods \"nope\" not found\n", "{text}");
    let short = k.ok(&["get", "rc,rs,ds,cm,sa,ns,cj,pdb,sc,pvc,crd", "-A"], "").await;
    assert!(short.contains("configmap/kube-root-ca.crt"), "{short}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_diff_patch_delete() {
    let Some(k) = kubectl().await else { return };
    assert_eq!(k.ok(&["apply", "-f", "-"], SET).await, "daemonset.apps/d created\n");
    assert_eq!(k.ok(&["apply", "-f", "-"], SET).await, "daemonset.apps/d unchanged\n");
    let changed = SET.replace("one:1", "two:2").replace("first: \"1\"", "second: \"2\"");
    let (success, diff) = k.run(&["diff", "-f", "-"], &changed).await;
    assert!(!success && diff.contains("-      - image: one:1") && diff.contains("+      - image: two:2"), "{diff}");
    assert_eq!(k.ok(&["apply", "-f", "-"], &changed).await, "daemonset.apps/d configured\n");
    let labels = k.ok(&["get", "ds", "d", "-o", "jsonpath={.metadata.labels}"], "").await;
    assert_eq!(labels, r#"{"second":"2"}"#, "the label that left the manifest left the object");
    let (success, text) = k.run(&["apply", "--server-side", "--field-manager=other", "-f", "-"], SET).await;
    assert!(!success && text.contains("Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.template.spec.containers[name=\"c\"].image"), "{text}");
    k.ok(&["apply", "--server-side", "--force-conflicts", "-f", "-"], SET).await;
    k.ok(
        &[
            "patch",
            "ds",
            "d",
            "-p",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"three:3"}]}}}}"#,
        ],
        "",
    )
    .await;
    k.ok(
        &["patch", "ds", "d", "--type=json", "-p", r#"[{"op":"add","path":"/metadata/labels/third","value":"3"}]"#],
        "",
    )
    .await;
    let image = k.ok(&["get", "ds", "d", "-o", "jsonpath={.spec.template.spec.containers[0].image}"], "").await;
    assert_eq!(image, "three:3");
    let typo = SET.replace("selector:", "selektor:");
    let (success, text) = k.run(&["apply", "-f", "-"], &typo).await;
    assert!(!success && text.contains("strict decoding error: unknown field \"spec.selektor\""), "{text}");
    assert_eq!(k.ok(&["delete", "ds", "d"], "").await, "daemonset.apps \"d\" deleted\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protobuf_bodies_of_the_imperative_commands() {
    let Some(k) = kubectl().await else { return };
    k.ok(&["create", "ns", "x"], "").await;
    k.ok(&["create", "configmap", "a", "-n", "x", "--from-literal=k=v"], "").await;
    assert_eq!(k.ok(&["get", "cm", "a", "-n", "x", "-o", "jsonpath={.data.k}"], "").await, "v");
    k.ok(&["create", "secret", "generic", "s", "--from-literal=k=v"], "").await;
    assert_eq!(k.ok(&["get", "secret", "s", "-o", "jsonpath={.data.k}"], "").await, "dg==");
    k.ok(&["create", "job", "j", "--image=busybox:1", "--", "true"], "").await;
    k.ok(&["create", "sa", "robot"], "").await;
    k.ok(&["create", "role", "r", "--verb=get,list", "--resource=pods"], "").await;
    k.ok(&["create", "rolebinding", "b", "--role=r", "--serviceaccount=default:robot"], "").await;
    let robot = "--as=system:serviceaccount:default:robot";
    assert_eq!(k.ok(&["auth", "can-i", "list", "pods", robot], "").await, "yes\n");
    assert_eq!(k.run(&["auth", "can-i", "delete", "pods", robot], "").await, (false, "no\n".into()));
    let token = k.ok(&["create", "token", "robot"], "").await;
    assert_eq!(token.trim().split('.').count(), 3);
    assert!(k.ok(&["auth", "whoami"], "").await.contains("kubernetes-admin"));
    k.ok(&["create", "-f", "-"], NODE).await;
    k.ok(&["cordon", "n1"], "").await;
    assert!(k.ok(&["drain", "n1"], "").await.contains("node/n1 drained"));
    k.ok(&["delete", "pods", "--all"], "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_with_watch_prints_changes() {
    let Some(k) = kubectl().await else { return };
    let mut watch = command(k.dir.path(), &["get", "cm", "-w", "--no-headers", "--field-selector=metadata.name=a"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    k.ok(&["create", "configmap", "a", "--from-literal=k=v"], "").await;
    k.ok(&["patch", "cm", "a", "--type=merge", "-p", r#"{"data":{"l":"w"}}"#], "").await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap().unwrap();
        seen.push(line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    }
    // The watch may start after the first change; then it begins with the second state.
    assert_eq!(seen.last().unwrap(), "a 2", "{seen:?}");
    watch.kill().await.unwrap();
}
