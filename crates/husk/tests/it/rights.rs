//! Every right that our charts ask for is used, and nothing beyond them is tried: what each ServiceAccount asked of the API
//! server over a whole life, held against its roles.

use crate::harness::{Place, assert_converged, chart, values};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Rights that none of the lives below uses: the end of the account's name, verb, resource, and why they are there.
const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    ("dispatcher-sa", "get", "nodes", "a Node that changed or went while its Job was made"),
    ("dispatcher-sa", "delete", "jobs", "Jobs of a run that was interrupted"),
    ("dispatcher-sa", "deletecollection", "jobs", "many of them"),
    ("dispatcher-sa", "get", "pods/log", "the last lines of a container that failed"),
    ("dispatcher-sa", "create", "configmaps", "a real API server wants it where a server-side apply creates"),
    ("kata-deploy-sa", "create", "configmaps", "as above"),
    ("-sa-cleanup", "create", "configmaps", "as above"),
    ("-removal", "create", "configmaps", "as above"),
    ("-sa-cleanup", "delete", "jobs", "Jobs of a run that was interrupted"),
    ("-removal", "delete", "jobs", "as above"),
    ("-sa-cleanup", "deletecollection", "jobs", "many of them"),
    ("-removal", "deletecollection", "jobs", "as above"),
    ("-sa-cleanup", "get", "nodes", "the record of a Node that is gone"),
    ("-removal", "get", "nodes", "as above"),
    ("-sa-cleanup", "get", "pods/log", "the last lines of a container that failed"),
    ("-removal", "get", "pods/log", "as above"),
    ("-containerd", "create", "configmaps", "as above"),
    ("-verification", "get", "pods/log", "why the pod failed"),
    ("-verification", "list", "events", "why the pod failed"),
];

/// A line of the sandbox's `audit.jsonl`.
#[derive(Debug, Deserialize)]
struct Call {
    user: String,
    verb: String,
    group: String,
    resource: String,
    namespace: String,
    name: String,
    allowed: bool,
}

/// One verb on one resource, for one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    account: String,
    verb: String,
    group: String,
    resource: String,
    /// Empty: anywhere.
    namespace: String,
    /// Empty: of any name.
    name: String,
}

impl Right {
    fn covers(&self, call: &Call) -> bool {
        let fits = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        self.account == call.user
            && self.verb == call.verb
            && self.group == call.group
            && self.resource == call.resource
            && fits(&self.namespace, &call.namespace)
            && fits(&self.name, &call.name)
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// The rights that rendered objects give.
fn rights(objects: &[Value]) -> BTreeSet<Right> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let role = |binding: &Value| {
        objects.iter().find(|object| {
            object["kind"] == binding["roleRef"]["kind"]
                && name(object) == binding["roleRef"]["name"].as_str().unwrap_or_default()
                && object["metadata"]["namespace"] == binding["metadata"]["namespace"]
        })
    };
    let mut rights = BTreeSet::new();
    for binding in
        objects.iter().filter(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("RoleBinding")))
    {
        let role = role(binding).unwrap_or_else(|| panic!("{} binds a role that is not rendered", name(binding)));
        for rule in role["rules"].as_array().into_iter().flatten() {
            let names = match texts(&rule["resourceNames"]) {
                names if names.is_empty() => vec![String::new()],
                names => names,
            };
            for subject in binding["subjects"].as_array().into_iter().flatten() {
                let text = |key: &str| subject[key].as_str().unwrap_or_default().to_owned();
                for verb in texts(&rule["verbs"]) {
                    for group in texts(&rule["apiGroups"]) {
                        for resource in texts(&rule["resources"]) {
                            for name in &names {
                                rights.insert(Right {
                                    account: format!("system:serviceaccount:{}:{}", text("namespace"), text("name")),
                                    verb: verb.clone(),
                                    group: group.clone(),
                                    resource: resource.clone(),
                                    namespace: binding["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
                                    name: name.clone(),
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    rights
}

/// What the chart `kata-deploy` renders with these arguments.
fn rendered(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let chart = chart("kata-deploy");
    let call = ["helm", "template", "kata-deploy", &chart, "--namespace", "kube-system"];
    release::object::parse_manifest(&place.ok(&[&call[..], arguments].concat())).unwrap()
}

fn calls(place: &Place) -> Vec<Call> {
    let text = std::fs::read_to_string(place.sandbox().join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Compares what was asked with what may be asked.
fn compare(place: &Place, rights: &BTreeSet<Right>) {
    let calls = calls(place);
    let known: BTreeSet<&str> = rights.iter().map(|right| right.account.as_str()).collect();
    let ours: Vec<&Call> = calls.iter().filter(|call| known.contains(call.user.as_str())).collect();
    assert!(!ours.is_empty(), "{calls:?}");
    let beyond: Vec<_> = ours.iter().filter(|call| !call.allowed).collect();
    assert!(beyond.is_empty(), "beyond the rights: {beyond:#?}");
    let excused = |right: &Right| {
        EXCEPTIONS.iter().any(|(account, verb, resource, _)| {
            right.account.ends_with(account) && right.verb == *verb && right.resource == *resource
        })
    };
    let mut unused: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for right in rights.iter().filter(|right| !excused(right)) {
        if !ours.iter().any(|call| right.covers(call)) {
            unused.entry(&right.account).or_default().push(format!("{} {} {}", right.verb, right.resource, right.name));
        }
    }
    assert!(unused.is_empty(), "never used: {unused:#?}");
}

/// The pod that has to run before the release counts as installed.
const VERIFICATION: &str = "
verification:
  pod: |
    apiVersion: v1
    kind: Pod
    metadata: {name: kata-deploy-verify}
    spec:
      runtimeClassName: kata-qemu
      restartPolicy: Never
      containers: [{name: c, image: busybox, command: [\"/usr/bin/husk-node\", \"--version\"]}]
";

const ONE_SHIM: &str = "
shims: {disableAll: true, qemu: {enabled: true}}
defaultShim: {amd64: qemu, arm64: qemu, s390x: qemu, ppc64le: qemu}
startupTaints: [example.com/not-yet]
";

fn live(place: &Place, mode: &str) {
    let file = place.file("values.yaml", &format!("deploymentMode: {mode}\n{ONE_SHIM}{VERIFICATION}"));
    let file = file.to_str().unwrap();
    place.ok(&["sandbox", "up", "--hosts", "k8s:2"]);
    let up = ["up", "--sandbox", "--chart", "kata-deploy", "--values", file];
    assert_eq!(assert_converged(&place.json(&up)), 2);
    // An upgrade and the way back. In Job mode it leaves a node out, which is cleaned before the others are looked at; in
    // DaemonSet mode the verification could be put on such a node while it is being cleaned.
    let (change, nodes) = match mode {
        "job" => ("nodeSelector.kubernetes\\.io/hostname=k8s-1", 1),
        _ => ("podAnnotations.upgraded=yes", 2),
    };
    assert_eq!(assert_converged(&place.json(&[&up[..], &["--set", change]].concat())), nodes);
    let kubeconfig = place.sandbox().join("kubeconfig").to_string_lossy().into_owned();
    place.ok(&["helm", "rollback", "kata-deploy", "1", "--namespace", "kube-system", "--kubeconfig", &kubeconfig]);
    if mode == "daemonset" {
        // A pod that makes way for another does not clean its node, and the other one never comes.
        place.inject(r#"{"missingImages": ["*/kata-deploy:*"]}"#);
        let ended = place.husk(&[&up[..], &["--set", "podAnnotations.upgraded=again", "--timeout", "5"]].concat());
        assert_ne!(ended.code, Some(0), "{ended}");
    }
    place.ok(&["down", "--sandbox", "--chart", "kata-deploy"]);
    let mut all = rights(&rendered(place, &["--values", file]));
    all.extend(rights(&rendered(place, &["--values", file, "--set", "state=absent"])));
    compare(place, &all);
}

#[test]
fn in_daemonset_mode_every_right_is_used_and_none_is_missing() {
    live(&Place::new(), "daemonset");
}

#[test]
fn in_job_mode_every_right_is_used_and_none_is_missing() {
    live(&Place::new(), "job");
}

/// The umbrella without the runtimes: a DaemonSet that only switches containerd.
#[test]
fn where_only_containerd_is_switched_every_right_is_used_and_none_is_missing() {
    let place = Place::new();
    let file = values("umbrella/14-containerd-only.yaml");
    let file = file.to_str().unwrap();
    place.ok(&["up", "--sandbox", "--hosts", "k8s:2", "--values", file]);
    // Somebody deletes the DaemonSet without its pods, then one of them as it should be and kills the other one, which cannot
    // switch its node back.
    let name = "confidential-containers-containerd";
    let orphan = serde_json::json!({"propagationPolicy": "Orphan"});
    let path = format!("/apis/apps/v1/namespaces/coco-system/daemonsets/{name}");
    assert_eq!(place.ask("DELETE", &path, &orphan).0, 200);
    let pods = "/api/v1/namespaces/coco-system/pods";
    let (_, found) = place.ask("GET", &format!("{pods}?labelSelector=name%3D{name}"), &Value::Null);
    for (number, how) in [Value::Null, serde_json::json!({"gracePeriodSeconds": 0})].iter().enumerate() {
        let pod = found["items"][number]["metadata"]["name"].as_str().unwrap_or_else(|| panic!("no pod in {found}"));
        assert_eq!(place.ask("DELETE", &format!("{pods}/{pod}"), how).0, 200);
    }
    place.ok(&["down", "--sandbox"]);
    let manifest = place.ok(&[
        "helm",
        "template",
        "confidential-containers",
        &place.umbrella(),
        "--namespace",
        "coco-system",
        "--values",
        file,
    ]);
    compare(&place, &rights(&release::object::parse_manifest(&manifest).unwrap()));
}
