//! The life of every values file that upstream's charts were rendered with: installed, upgraded to the next one of its kind, removed,
//! on hosts that are made for it. `down` compares them with what they were.

use crate::harness::{Place, assert_converged, values};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// Cases without a life in the sandbox, and why.
const LIFELESS: &[(&str, &str)] = &[
    ("kata-deploy/36-", "refused: its older keys contradict its newer ones"),
    ("kata-deploy/49-", "enables nothing, and every node says so"),
    ("kata-deploy/50-", "as above"),
    ("kata-deploy/59-", "refused: a RuntimeClass of it is not YAML"),
    ("umbrella/09-", "refused: k3s brings its own containerd"),
];

/// Cases that need a word more, and why.
const MORE: &[(&str, &str, &str)] = &[
    ("kata-deploy/03-", "updateStrategy.type=RollingUpdate", "OnDelete waits for somebody who deletes the pods"),
    ("kata-deploy/05-", NFD_STAYS, "no image here has the program with which it takes its labels off"),
    ("kata-deploy/06-", NFD_STAYS, "as above"),
    ("kata-deploy/23-", NFD_STAYS, "as above"),
    ("kata-deploy/14-", "shims.made-up-shim.enabled=false", "no payload has it, and every node says so"),
    ("kata-deploy/20-", "job.cleanup.nodes={w1,w2}", "it wants another node cleaned than those that it installs"),
    ("kata-deploy/25-", "verification.pod=", "its pod runs a program that no image here has"),
    ("kata-deploy/26-", "verification.pod=", "its pod names no program, and no image here has one of its own"),
    ("kata-deploy/31-", "snapshotter.setup=null", "its containerd 1.6 gives no handler a snapshotter of its own"),
    ("kata-deploy/35-", "verification.pod=", "its pod has no container"),
    ("kata-deploy/53-", "verification.pod=", "its pod has no container"),
    (
        "kata-deploy/58-",
        "customRuntimes.runtimes.nobase.baseConfig=qemu",
        "every node refuses a runtime without a base",
    ),
];

const NFD_STAYS: &str = "node-feature-discovery.postDeleteCleanup=false";

/// Directories that the kubelet makes for pods of these cases; on real hosts, too, nobody takes them away.
const LEFT: &[(&str, &str)] = &[
    ("kata-deploy/05-", "/etc/kubernetes/node-feature-discovery"),
    ("kata-deploy/06-", "/etc/kubernetes/node-feature-discovery"),
    ("kata-deploy/23-", "/etc/kubernetes/node-feature-discovery"),
    ("kata-deploy/69-", "/data"),
];

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
        let (job, cleanup) = (&own["job"], &own["job"]["cleanup"]);
        let selectors = [&own["nodeSelector"], &job["nodeSelector"], &job["dispatcherNodeSelector"]];
        for selector in selectors.into_iter().chain([&cleanup["nodeSelector"]]) {
            let pairs = selector.as_object().into_iter().flatten();
            labels.extend(pairs.map(|(key, value)| match value {
                Value::String(_) => (key.clone(), value.clone()),
                other => (key.clone(), other.to_string().into()),
            }));
        }
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let affinities = [&own["affinity"]["nodeAffinity"], &job["nodeAffinity"], &cleanup["nodeAffinity"]];
        let terms = affinities.map(|affinity| &affinity[required]);
        let first = terms.iter().map(|terms| &terms["nodeSelectorTerms"][0]["matchExpressions"]);
        let expressions = first.chain([&job["nodeSelectorExpressions"]]).filter_map(Value::as_array).flatten();
        for wanted in expressions {
            let key = wanted["key"].as_str().unwrap_or_default().to_owned();
            let value = match &wanted["values"][0] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            let value = match wanted["operator"].as_str() {
                Some("In" | "Exists") => value,
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
    // Not every containerd has this snapshotter, or drop-ins, or its configuration in another place.
    let containerd = &own["containerd"];
    let erofs = own["snapshotter"]["setup"].to_string().contains("erofs");
    let special = [word(&containerd["configDir"], ""), word(&containerd["configFileName"], "")].concat();
    let special = if erofs || containerd["userDropIn"].is_string() { format!("new{special}") } else { special };
    (case.chart, [mode, suffix, word(&own["k8sDistribution"], "auto"), nodes, special])
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (folder, chart) in [("kata-deploy", "kata-deploy"), ("umbrella", "confidential-containers")] {
        for entry in std::fs::read_dir(values(folder)).unwrap().flatten() {
            all.push(Case { file: format!("{folder}/{}", entry.file_name().to_string_lossy()), chart });
        }
    }
    all.retain(|case| !LIFELESS.iter().any(|(name, _)| case.file.contains(name)));
    all.sort_by(|a, b| a.file.cmp(&b.file));
    all
}

/// Every case with the next one of its kind; the last one is followed by the first.
fn lives() -> VecDeque<(Case, Case)> {
    let mut kinds: BTreeMap<_, Vec<Case>> = BTreeMap::new();
    for case in cases() {
        kinds.entry(kind(&case)).or_default().push(case);
    }
    let next = |group: Vec<Case>| {
        let followers: Vec<Case> = group.iter().cycle().skip(1).take(group.len()).cloned().collect();
        group.into_iter().zip(followers)
    };
    kinds.into_values().flat_map(next).collect()
}

fn life(first: &Case, second: &Case) -> Result<(), String> {
    let place = Place::new();
    // One host is enough where any will do; the others are made after the values.
    let (_, [_, _, distribution, nodes, special]) = kind(first);
    if ["auto", "k8s"].contains(&distribution.as_str()) && nodes.is_empty() && special.is_empty() {
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
    let left: Vec<&str> =
        hosts.iter().filter_map(|host| host["differences"].as_array()).flatten().filter_map(Value::as_str).collect();
    let told = |line: &&str| {
        let of_these = |file: &str| [first, second].iter().any(|case| case.file.contains(file));
        let mut explained = LEFT.iter().filter(|(file, _)| of_these(file));
        explained
            .any(|(_, directory)| *line == format!("{directory}: added") || line.starts_with(&format!("{directory}/")))
    };
    let clean = left.iter().all(told) && (ended.code == Some(0) || !left.is_empty());
    if clean && !hosts.is_empty() { Ok(()) } else { Err(format!("down: {ended}")) }
}

#[test]
fn a_case_is_upgraded_to_the_next_and_removed() {
    let lives = lives();
    assert!(lives.len() > 65, "{}", lives.len());
    let (first, second) = lives.iter().find(|(first, _)| first.file.contains("kata-deploy/02-")).unwrap();
    assert_ne!(first.file, second.file);
    life(first, second).unwrap_or_else(|error| panic!("{} to {}: {error}", first.file, second.file));
}

/// `HUSK_LIVES=05-,18-` asks for those only.
#[test]
#[ignore = "takes many minutes; .ci/long runs it"]
#[allow(clippy::print_stderr, reason = "a long test says how far it is")]
fn every_case_has_a_whole_life() {
    let only = std::env::var("HUSK_LIVES").unwrap_or_default();
    let mut lives = lives();
    lives.retain(|(first, _)| only.split(',').any(|name| first.file.contains(name)));
    let (count, left, failed) = (lives.len(), Mutex::new(lives), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(4) {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop_front();
                    let Some((first, second)) = next else { break };
                    let lived = std::panic::catch_unwind(|| life(&first, &second))
                        .unwrap_or_else(|_| Err("it did not converge".to_owned()));
                    let names = format!("{} to {}", first.file, second.file);
                    match lived {
                        Ok(()) => eprintln!("{names}: lived"),
                        Err(error) => {
                            eprintln!("{names}: FAILED\n{error}");
                            failed.lock().unwrap().push(names);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {count} failed\n{}", failed.len(), failed.join("\n"));
}
