//! What rendered objects are going to do to nodes: read off the manifests, so that it is true for any values file.

use contract::{Stage, label};
use fleet::selection::{Rules, Toleration};
use fleet::selector::{Requirement, Selector};
use fleet::template::JobTemplate;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How a rollout reaches its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A DaemonSet of this name.
    DaemonSet(String),
    /// A dispatcher Job of this name.
    Job(String),
}

/// One rollout of the node installer.
#[derive(Clone, Debug)]
pub(crate) struct Rollout {
    pub(crate) mode: Mode,
    /// The installation's name: `default` or its suffix.
    pub(crate) install: String,
    /// Which nodes it selects.
    pub(crate) rules: Rules,
    /// The installer's environment, as far as it is given literally.
    pub(crate) environment: BTreeMap<String, String>,
    /// Labels that the dispatcher's own pod asks for.
    pub(crate) dispatcher_labels: BTreeMap<String, String>,
    /// The selectors by which a removal finds its nodes, where they are not the installation's own.
    pub(crate) removal: Vec<Selector>,
}

impl Rollout {
    /// The stage that ends it on a node.
    pub(crate) fn last_stage(&self) -> Stage {
        if self.install == label::CONTAINERD_INSTALL { Stage::Cri } else { Stage::Label }
    }
}

/// A RuntimeClass and the handler behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) handler: String,
}

/// Returns the RuntimeClasses among some objects, by name.
pub(crate) fn classes(objects: &[Value]) -> Vec<Class> {
    let mut classes: Vec<Class> = objects
        .iter()
        .filter(|object| object["kind"] == "RuntimeClass")
        .map(|object| Class { name: text(&object["metadata"]["name"]), handler: text(&object["handler"]) })
        .collect();
    classes.sort();
    classes
}

/// Returns the rollouts among some objects, hooks included.
pub(crate) fn rollouts(objects: &[Value]) -> Vec<Rollout> {
    objects.iter().filter_map(|object| daemon_set(object, objects).or_else(|| dispatcher(object, objects))).collect()
}

/// Returns the version of the payload that the objects bring: the tag of its image, else the beginning of its digest.
pub(crate) fn payload(objects: &[Value]) -> Option<String> {
    objects.iter().find_map(|object| match object["kind"].as_str()? {
        "DaemonSet" => payload_image(&object["spec"]["template"]["spec"]),
        "ConfigMap" => {
            let texts = object["data"].as_object()?.values().filter_map(Value::as_str);
            let templates = texts.filter(|text| text.contains(contract::pod::INSTALLER));
            let mut jobs = templates.filter_map(|text| serde_saphyr::from_str::<Value>(text).ok());
            jobs.find_map(|job| payload_image(&job["spec"]["template"]["spec"]))
        }
        _ => None,
    })
}

fn payload_image(pod: &Value) -> Option<String> {
    let runs_in_it =
        |container: &&Value| command(container).first().is_some_and(|word| word == contract::pod::INSTALLER);
    let image = containers(pod).find(runs_in_it)?["image"].as_str()?;
    let (name, digest) = image.split_once('@').unwrap_or((image, ""));
    let last = name.rsplit('/').next()?;
    match last.split_once(':') {
        Some((_, tag)) => Some(tag.to_owned()),
        None if digest.is_empty() => None,
        None => Some(digest.chars().take("sha256:".len() + 12).collect()),
    }
}

fn daemon_set(object: &Value, objects: &[Value]) -> Option<Rollout> {
    if object["kind"] != "DaemonSet" {
        return None;
    }
    let pod = &object["spec"]["template"]["spec"];
    let installer = containers(pod).find(|c| {
        command(c).first().is_some_and(|c| c.ends_with("husk-node"))
            && command(c).iter().any(|w| w == "install" || w == "containerd")
    })?;
    // `state: absent`: it has no nodes, and is not meant to have any.
    if pod["nodeSelector"].get(label::ABSENT).is_some() {
        return None;
    }
    let environment = environment(installer, objects);
    let mut tolerations: Vec<Toleration> = serde_json::from_value(pod["tolerations"].clone()).unwrap_or_default();
    tolerations.extend(added_by_the_controller());
    let rules = Rules { selectors: selectors(pod), tolerations: Some(tolerations), ..Rules::default() };
    Some(Rollout {
        mode: Mode::DaemonSet(text(&object["metadata"]["name"])),
        install: install_name(&environment),
        rules,
        environment,
        dispatcher_labels: BTreeMap::new(),
        removal: Vec::new(),
    })
}

/// The tolerations that the DaemonSet controller gives every pod of its own accord.
fn added_by_the_controller() -> impl Iterator<Item = Toleration> {
    ["not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"].into_iter().map(
        |name| Toleration {
            key: format!("node.kubernetes.io/{name}"),
            operator: "Exists".to_owned(),
            ..Toleration::default()
        },
    )
}

fn dispatcher(object: &Value, objects: &[Value]) -> Option<Rollout> {
    if object["kind"] != "Job" {
        return None;
    }
    let pod = &object["spec"]["template"]["spec"];
    let words = dispatcher_call(object, "dispatch")?;
    let options = |name: &str| options(&words, name);
    let file = options("job-template").pop()?;
    let key = file.rsplit('/').next().unwrap_or_default().to_owned();
    let source =
        objects.iter().filter(|object| object["kind"] == "ConfigMap").find_map(|map| map["data"][&key].as_str())?;
    let template: Value = serde_saphyr::from_str(source).ok()?;
    let mut parsed_template = JobTemplate::parse(source).ok()?;
    let startup: Vec<String> =
        options("startup-taints").iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
    parsed_template.tolerate(&startup);
    let tolerations = parsed_template.tolerations();
    let node_pod = &template["spec"]["template"]["spec"];
    let environment = containers(node_pod)
        .map(|container| environment(container, objects))
        .find(|e| !e.is_empty())
        .unwrap_or_default();
    let nodes = options("nodes").iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
    let rules = Rules {
        nodes,
        selectors: parsed(&options("node-selector")),
        tolerations: (!words.iter().any(|word| word == "--ignore-node-taints")).then_some(tolerations),
        ..Rules::default()
    };
    let cleanup = objects.iter().find_map(|object| dispatcher_call(object, "cleanup")).unwrap_or_default();
    Some(Rollout {
        mode: Mode::Job(text(&object["metadata"]["name"])),
        install: install_name(&environment),
        rules,
        environment,
        dispatcher_labels: serde_json::from_value(pod["nodeSelector"].clone()).unwrap_or_default(),
        removal: parsed(&self::options(&cleanup, "node-selector")),
    })
}

/// Returns the names of Jobs in which the dispatcher waits for nodes: as hooks they take as long as the nodes take.
pub(crate) fn node_hooks(objects: &[Value]) -> BTreeSet<String> {
    let calls = |object: &&Value| {
        let mut commands = containers(&object["spec"]["template"]["spec"]).map(command);
        object["kind"] == "Job"
            && commands.any(|words| words.first().is_some_and(|word| word.ends_with("husk-dispatcher")))
    };
    objects.iter().filter(calls).map(|object| text(&object["metadata"]["name"])).collect()
}

/// Returns the words with which a Job calls the dispatcher, when it does so with this verb.
fn dispatcher_call(object: &Value, verb: &str) -> Option<Vec<String>> {
    if object["kind"] != "Job" {
        return None;
    }
    containers(&object["spec"]["template"]["spec"]).map(command).find(|words| {
        words.first().is_some_and(|word| word.ends_with("husk-dispatcher"))
            && words.get(1).is_some_and(|word| word == verb)
    })
}

fn options(words: &[String], name: &str) -> Vec<String> {
    let prefix = format!("--{name}=");
    words.iter().filter_map(|word| word.strip_prefix(&prefix).map(str::to_owned)).collect()
}

fn parsed(selectors: &[String]) -> Vec<Selector> {
    selectors.iter().filter_map(|text| Selector::parse(text).ok()).collect()
}

fn install_name(environment: &BTreeMap<String, String>) -> String {
    let suffix = environment.get("MULTI_INSTALL_SUFFIX").map(String::as_str).unwrap_or_default();
    contract::label::install_name(suffix).to_owned()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|key| pod[key].as_array().into_iter().flatten())
}

fn command(container: &Value) -> Vec<String> {
    let words = ["command", "args"].into_iter().flat_map(|key| container[key].as_array().into_iter().flatten());
    words.map(text).collect()
}

/// What a container's environment says literally, or takes from ConfigMaps among the objects.
fn environment(container: &Value, objects: &[Value]) -> BTreeMap<String, String> {
    let sources = container["envFrom"].as_array().into_iter().flatten();
    let maps = sources.filter_map(|source| {
        let name = source["configMapRef"]["name"].as_str()?;
        objects.iter().find(|object| object["kind"] == "ConfigMap" && object["metadata"]["name"] == name)
    });
    let data = maps.filter_map(|map| map["data"].as_object()).flatten();
    let mut result: BTreeMap<String, String> =
        data.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    let entries = container["env"].as_array().into_iter().flatten();
    result.extend(entries.filter_map(|entry| Some((text(&entry["name"]), entry["value"].as_str()?.to_owned()))));
    result
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the selectors of a pod: its `nodeSelector` joined with each required term of its node affinity.
///
/// A term with something that labels cannot express (`Gt`, `Lt`, `matchFields`) counts as selecting every node: the
/// cluster decides then.
fn selectors(pod: &Value) -> Vec<Selector> {
    let own: Vec<Requirement> = pod["nodeSelector"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| Requirement::In(key.clone(), [text(value)].into()))
        .collect();
    let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let terms: Vec<Vec<Requirement>> = terms
        .as_array()
        .into_iter()
        .flatten()
        .map(|term| term["matchExpressions"].as_array().into_iter().flatten().filter_map(requirement).collect())
        .collect();
    if terms.is_empty() {
        return if own.is_empty() { Vec::new() } else { vec![Selector(own)] };
    }
    terms.into_iter().map(|term| Selector(own.iter().cloned().chain(term).collect())).collect()
}

fn requirement(expression: &Value) -> Option<Requirement> {
    let key = text(&expression["key"]);
    let values = expression["values"].as_array().into_iter().flatten().map(text).collect();
    match expression["operator"].as_str()? {
        "Exists" => Some(Requirement::Exists(key)),
        "DoesNotExist" => Some(Requirement::Missing(key)),
        "In" => Some(Requirement::In(key, values)),
        "NotIn" => Some(Requirement::NotIn(key, values)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_daemon_set_selects_by_selector_and_affinity() {
        let object = json!({"kind": "DaemonSet", "metadata": {"name": "kata-deploy"}, "spec": {"template": {"spec": {
            "nodeSelector": {"pool": "kata"},
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "tee", "operator": "Exists"}]},
                {"matchExpressions": [{"key": "os", "operator": "In", "values": ["a", "b"]}]}]}}},
            "containers": [{"image": "i", "command": ["/husk/husk-node", "install"],
                            "env": [{"name": "MULTI_INSTALL_SUFFIX", "value": "canary"}, {"name": "N", "valueFrom": {}}]}]}}}});
        let rollout = &rollouts(&[object])[0];
        assert_eq!(rollout.install, "canary");
        assert_eq!(rollout.mode, Mode::DaemonSet("kata-deploy".into()));
        let selectors: Vec<String> = rollout
            .rules
            .selectors
            .iter()
            .map(|s| s.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            .collect();
        assert_eq!(selectors, ["pool=kata,tee", "pool=kata,os in (a,b)"]);
        let node = fleet::node::Node {
            labels: [("pool".to_owned(), "kata".to_owned()), ("tee".to_owned(), String::new())].into(),
            taints: vec![fleet::node::Taint {
                key: "node.kubernetes.io/unschedulable".into(),
                effect: "NoSchedule".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(rollout.rules.left_out(&node), None);
    }

    #[test]
    fn the_payload_is_what_its_image_says() {
        let set = |image: &str| {
            json!({"kind": "DaemonSet", "spec": {"template": {"spec": {
                "initContainers": [{"image": "node:9", "command": ["/usr/bin/husk-node"]}],
                "containers": [{"image": image, "command": ["/husk/husk-node", "install"]}]}}}})
        };
        assert_eq!(payload(&[set("reg:5000/kata:4.2.0")]).as_deref(), Some("4.2.0"));
        assert_eq!(payload(&[set("reg:5000/kata:4.2.0@sha256:abc")]).as_deref(), Some("4.2.0"));
        assert_eq!(payload(&[set("reg:5000/kata@sha256:0123456789abcdef")]).as_deref(), Some("sha256:0123456789ab"));
        assert_eq!(payload(&[set("reg:5000/kata")]), None);
        let job =
            "{spec: {template: {spec: {initContainers: [{image: 'k:4.3.0', command: [/husk/husk-node, artifacts]}]}}}}";
        assert_eq!(payload(&[json!({"kind": "ConfigMap", "data": {"i": job}})]).as_deref(), Some("4.3.0"));
    }

    #[test]
    fn a_dispatcher_is_read_off_its_command_and_template() {
        let template = "{apiVersion: batch/v1, kind: Job, spec: {template: {spec: {tolerations: [{operator: Exists}],
            containers: [{image: node, env: [{name: K8S_DISTRIBUTION, value: k3s}]}]}}}}";
        let objects = [
            json!({"kind": "ConfigMap", "data": {"install.yaml": template}}),
            json!({"kind": "Job", "metadata": {"name": "d"}, "spec": {"template": {"spec": {
                "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
                "containers": [{"image": "dispatcher", "command": ["/usr/bin/husk-dispatcher", "dispatch",
                    "--job-template=/etc/kata-job/install.yaml", "--node-selector=a,b=1", "--node-selector=c"]}]}}}}),
            json!({"kind": "Job", "metadata": {"name": "c"}, "spec": {"template": {"spec": {"containers": [
                {"command": ["/usr/bin/husk-dispatcher", "cleanup", "--node-selector=mine"]}]}}}}),
            json!({"kind": "Job", "metadata": {"name": "other"}, "spec": {"template": {"spec": {"containers": []}}}}),
        ];
        assert_eq!(node_hooks(&objects), ["d".to_owned(), "c".to_owned()].into());
        let rollouts = rollouts(&objects);
        assert_eq!(rollouts.len(), 1);
        assert_eq!(rollouts[0].mode, Mode::Job("d".into()));
        assert_eq!(rollouts[0].rules.selectors.len(), 2);
        assert_eq!(rollouts[0].environment["K8S_DISTRIBUTION"], "k3s");
        assert_eq!(rollouts[0].removal, [Selector::parse("mine").unwrap()]);
        assert!(rollouts[0].dispatcher_labels.contains_key("node-role.kubernetes.io/control-plane"));
    }
}
