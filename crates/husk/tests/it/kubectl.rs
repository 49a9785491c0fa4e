//! Real kubectl against the sandbox, where there is one.

use crate::harness::{Ended, Place};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

fn kubectl(kubeconfig: &str) -> Command {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig);
    command
}

fn run(kubeconfig: &str, arguments: &[&str]) -> String {
    let ended = Ended::from(kubectl(kubeconfig).args(arguments).output().unwrap());
    assert_eq!(ended.code, Some(0), "kubectl {}: {ended}", arguments.join(" "));
    ended.out
}

#[test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn kubectl_finds_what_it_expects() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|directory| Path::new(&directory).join("kubectl").is_file()) {
        eprintln!("skipped: there is no kubectl on the PATH");
        return;
    }
    let place = Place::new();
    place.ok(&["up", "--sandbox", "--hosts", "k8s:1,k3s:1", "--set", "kata-as-coco-runtime.deploymentMode=job"]);
    let config = place.ok(&["sandbox", "kubeconfig"]);
    let config = config.trim();

    let all = run(config, &["get", "nodes,runtimeclasses,jobs,pods", "-A"]);
    for part in
        ["node/k8s-1", "Ready", "runtimeclass.node.k8s.io/kata-qemu-snp", "job.batch/", "Complete", "pod/", "Completed"]
    {
        assert!(all.contains(part), "{part} is missing in\n{all}");
    }
    let node = run(config, &["describe", "node", "k3s-1"]);
    for part in ["katacontainers.io/kata-runtime=true", "Container Runtime Version", "HuskInstalled"] {
        assert!(node.contains(part), "{part} is missing in\n{node}");
    }
    let pods = run(config, &["get", "pods", "-n", "coco-system", "-o", "name", "-l", "kata-deploy/stage=install"]);
    let pod = pods.lines().next().unwrap();
    let log = run(config, &["logs", "-n", "coco-system", pod, "-c", "cri"]);
    assert!(!log.trim().is_empty());

    let manifest = place
        .file("map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, namespace: default}\ndata: {a: b}\n");
    let manifest = manifest.to_str().unwrap();
    assert!(run(config, &["apply", "-f", manifest]).contains("created"));
    assert!(run(config, &["apply", "-f", manifest]).contains("unchanged"));

    let mut watch = kubectl(config)
        .args(["get", "configmaps", "-n", "default", "-w", "-o", "name"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert!(lines.next().is_some());
    run(config, &["create", "configmap", "later", "-n", "default", "--from-literal=x=y"]);
    assert!(lines.map_while(Result::ok).any(|line| line == "configmap/later"));
    let _ = watch.kill();
    let _ = watch.wait();

    run(config, &["delete", "-f", manifest]);
    assert!(!run(config, &["get", "configmaps", "-n", "default", "-o", "name"]).contains("configmap/own"));
}
