//! The lives of values files that upstream's charts were rendered with: installed, upgraded to another one of its kind, removed, on
//! hosts that are made for it. `down` compares them with what they were.

use crate::harness::{Place, assert_converged, values};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Mutex;

/// A case and the one that it is upgraded to: of the same mode, suffix and distribution, which a release keeps.
const LIVES: &[(&str, &str)] = &[
    ("kata-deploy/01-defaults", "kata-deploy/02-daemonset-single-shim"),
    ("kata-deploy/02-daemonset-single-shim", "kata-deploy/03-daemonset-placement-and-meta"),
    ("kata-deploy/03-daemonset-placement-and-meta", "kata-deploy/04-affinity-daemonset"),
    ("kata-deploy/07-tee-rule-forced", "kata-deploy/07-tee-rule-forced"),
    ("kata-deploy/19-job-full", "kata-deploy/21-job-cleanup-everywhere"),
    ("kata-deploy/21-job-cleanup-everywhere", "kata-deploy/22-job-cleanup-nodeaffinity-null"),
    ("kata-deploy/24-job-multi-install", "kata-deploy/24-job-multi-install"),
    ("kata-deploy/28-k8s-dist-k3s", "kata-deploy/28-k8s-dist-k3s"),
    ("kata-deploy/30-k8s-dist-k0s", "kata-deploy/30-k8s-dist-k0s"),
    ("kata-deploy/32-k8s-dist-unknown", "kata-deploy/32-k8s-dist-unknown"),
    ("kata-deploy/55-job-affinity-no-required-plus-pod", "kata-deploy/56-job-zero-means-default"),
    ("kata-deploy/56-job-zero-means-default", "kata-deploy/57-large-integers"),
    ("kata-deploy/62-job-dispatcher-toleration-fallback", "kata-deploy/70-job-conflicting-pod-labels"),
    ("kata-deploy/66-numeric-suffix", "kata-deploy/66-numeric-suffix"),
    ("kata-deploy/67-devkit-with-suffix", "kata-deploy/67-devkit-with-suffix"),
    ("kata-deploy/70-job-conflicting-pod-labels", "kata-deploy/18-job-defaults"),
    (
        "kata-deploy/71-custom-runtimes-with-runtimeclasses-off",
        "kata-deploy/71-custom-runtimes-with-runtimeclasses-off",
    ),
    ("kata-deploy/90-nvidia-cpu", "kata-deploy/90-nvidia-gpu"),
    ("umbrella/01-defaults", "umbrella/02-x86-tee-only"),
    ("umbrella/02-x86-tee-only", "umbrella/03-s390x"),
    ("umbrella/03-s390x", "umbrella/04-aarch64"),
    ("umbrella/04-aarch64", "umbrella/05-remote-peer-pods"),
    ("umbrella/05-remote-peer-pods", "umbrella/07-custom-containerd-single"),
    ("umbrella/06-k3s-debug-selector", "umbrella/06-k3s-debug-selector"),
    ("umbrella/07-custom-containerd-single", "umbrella/08-custom-containerd-multiarch"),
    ("umbrella/08-custom-containerd-multiarch", "umbrella/10-private-registry-digest"),
    ("umbrella/10-private-registry-digest", "umbrella/11-force-guest-pull"),
    ("umbrella/11-force-guest-pull", "umbrella/15-legacy-env-ignored"),
    ("umbrella/12-multi-install", "umbrella/12-multi-install"),
    ("umbrella/13-job-mode-tee-keys", "umbrella/13-job-mode-tee-keys"),
    ("umbrella/14-containerd-only", "umbrella/14-containerd-only"),
    ("umbrella/15-legacy-env-ignored", "umbrella/01-defaults"),
];

/// Cases that need a word more, and why.
const MORE: &[(&str, &str, &str)] =
    &[("kata-deploy/03-", "updateStrategy.type=RollingUpdate", "OnDelete waits for somebody who deletes the pods")];

/// A values file and the chart that it is for.
#[derive(Clone, Debug)]
struct Case {
    file: String,
    chart: &'static str,
}

impl Case {
    /// What it says about the runtimes.
    fn own(&self) -> Value {
        let all = goyaml::to_json(&std::fs::read_to_string(values(&self.file)).unwrap()).unwrap();
        if self.chart == "kata-deploy" { all } else { all["kata-as-coco-runtime"].clone() }
    }

    /// Labels that a node needs to be selected.
    fn labels(&self) -> serde_json::Map<String, Value> {
        let own = self.own();
        let mut labels = serde_json::Map::new();
        let job = &own["job"];
        for selector in [&own["nodeSelector"], &job["nodeSelector"], &job["dispatcherNodeSelector"]] {
            let pairs = selector.as_object().into_iter().flatten();
            labels.extend(pairs.map(|(key, value)| match value {
                Value::String(_) => (key.clone(), value.clone()),
                other => (key.clone(), other.to_string().into()),
            }));
        }
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let terms = [&own["affinity"]["nodeAffinity"][required], &job["nodeAffinity"][required]];
        let first = terms.iter().map(|terms| &terms["nodeSelectorTerms"][0]["matchExpressions"]);
        let expressions = first.chain([&job["nodeSelectorExpressions"]]).filter_map(Value::as_array).flatten();
        for wanted in expressions {
            let key = wanted["key"].as_str().unwrap_or_default().to_owned();
            let value = wanted["values"][0].as_str().unwrap_or_default();
            let value = match wanted["operator"].as_str() {
                Some("In" | "Exists") => value.to_owned(),
                Some("Gt") => (value.parse::<u64>().unwrap() + 1).to_string(),
                _ => continue,
            };
            labels.entry(key).or_insert_with(|| value.into());
        }
        if own["node-feature-discovery"]["enabled"] == true {
            labels.insert("feature.node.kubernetes.io/cpu-cpuid.VMX".into(), "true".into());
        }
        labels.retain(|key, _| !key.starts_with("kubernetes.io/"));
        labels
    }
}

/// What a release keeps for its life, and what hosts are: cases that agree can follow each other.
fn kind(case: &Case) -> (&'static str, [String; 5]) {
    let own = &case.own();
    let word = |value: &Value, default: &str| match value {
        Value::Null => default.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let runtimes = word(&own["enabled"], "true");
    let mode = format!("{}{runtimes}", word(&own["deploymentMode"], "daemonset"));
    let suffix = word(&own["env"]["multiInstallSuffix"], "");
    let nodes = word(&own["job"]["nodes"], "");
    // Not every containerd has this snapshotter.
    let erofs = own["snapshotter"]["setup"].to_string().contains("erofs").to_string();
    (case.chart, [mode, suffix, word(&own["k8sDistribution"], "auto"), nodes, erofs])
}

fn case(name: &str) -> Case {
    let chart = if name.starts_with("kata-deploy/") { "kata-deploy" } else { "confidential-containers" };
    Case { file: format!("{name}.yaml"), chart }
}

fn lives() -> VecDeque<(Case, Case)> {
    LIVES.iter().map(|(first, second)| (case(first), case(second))).collect()
}

fn life(first: &Case, second: &Case) -> Result<(), String> {
    let place = Place::new();
    // One host is enough where any will do; the others are made after the values.
    let (_, [_, _, distribution, nodes, erofs]) = kind(first);
    if ["auto", "k8s"].contains(&distribution.as_str()) && nodes.is_empty() && erofs == "false" {
        place.ok(&["sandbox", "up", "--hosts", "k8s:1"]);
    }
    for case in [first, second] {
        for host in place.existing_hosts() {
            let labels = serde_json::json!({"metadata": {"labels": case.labels()}});
            assert_eq!(place.ask("PATCH", &format!("/api/v1/nodes/{host}"), &labels).0, 200);
        }
        if let Some(name) = case.own()["verification"]["namespace"].as_str()
            && !place.existing_hosts().is_empty()
        {
            let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            assert_eq!(place.ask("APPLY", &format!("/api/v1/namespaces/{name}"), &namespace).0, 200);
        }
        let file = values(&case.file);
        let mut up = vec!["up", "--sandbox", "--chart", case.chart, "--values", file.to_str().unwrap()];
        up.extend(["--timeout", "120", "-o", "json"]);
        for (_, more, _) in MORE.iter().filter(|(name, ..)| case.file.contains(name)) {
            up.extend(["--set", more]);
        }
        let ended = place.husk(&up);
        if ended.code != Some(0) {
            return Err(format!("{}: {ended}", case.file));
        }
        let report: Value = serde_json::from_str(&ended.out).map_err(|error| error.to_string())?;
        if kind(case).1[0] != "daemonsetfalse" && report["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty()) {
            assert_converged(&report);
        }
    }
    let ended = place.husk(&["down", "--sandbox", "--chart", first.chart, "-o", "json"]);
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_default();
    let hosts = report["hosts"].as_array().cloned().unwrap_or_default();
    let clean = hosts.iter().all(|host| host["differences"].as_array().is_some_and(Vec::is_empty));
    match ended.code == Some(0) && !hosts.is_empty() && clean {
        true => Ok(()),
        false => Err(format!("down: {ended}")),
    }
}

#[test]
fn a_case_is_upgraded_to_the_next_and_removed() {
    let (first, second) =
        (case("kata-deploy/02-daemonset-single-shim"), case("kata-deploy/03-daemonset-placement-and-meta"));
    life(&first, &second).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
#[ignore = "takes many minutes; .ci/long runs it"]
#[allow(clippy::print_stderr, reason = "a long test says how far it is")]
fn every_pair_has_a_whole_life() {
    let (left, failed) = (Mutex::new(lives()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(4) {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop_front();
                    let Some((first, second)) = next else { break };
                    let lived = std::panic::catch_unwind(|| life(&first, &second))
                        .unwrap_or_else(|_| Err("it did not converge".to_owned()));
                    eprintln!("{} to {}: {}", first.file, second.file, if lived.is_ok() { "lived" } else { "FAILED" });
                    if let Err(error) = lived {
                        failed.lock().unwrap().push(format!("{} to {}: {error}", first.file, second.file));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
}
