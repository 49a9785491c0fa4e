//! Short Jobs that ask nodes a question: the installer's own container, one verb, no token, gone afterwards.
//!
//! They live in a namespace of their own that is deleted at the end, so that nothing of the release's is touched.

use crate::cluster::api_failure;
use crate::cut_short::Interrupt;
use crate::error::{Failure, Result, exit};
use contract::{Code, StageReport};
use futures::{StreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How many nodes are asked at a time.
const AT_A_TIME: usize = 16;
/// How often the pods are looked at.
const LOOK: Duration = Duration::from_millis(300);
/// Most bytes of output that are taken from one node.
const MOST: i64 = 1 << 20;
/// The label on everything made here.
const LABEL: &str = "husk/question";

/// A pod of the installer as the chart renders it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodePod {
    spec: Value,
    maps: Vec<Value>,
    /// Whether questions are asked inside the payload's image, as the stages run.
    payload: bool,
}

/// What a node answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// What it printed.
    pub(crate) output: String,
    /// The report that it left.
    pub(crate) report: Option<StageReport>,
    /// Why there is neither.
    pub(crate) trouble: Option<String>,
}

/// Finds the installer's pod among rendered objects: a DaemonSet's, or that of the per-node Job's template.
pub(crate) fn node_pod(objects: &[Value]) -> Option<NodePod> {
    let daemon_sets = objects.iter().filter(|object| object["kind"] == "DaemonSet");
    let mut pods = daemon_sets.map(|object| object["spec"]["template"]["spec"].clone());
    let runs_installer = |spec: &Value| containers(spec).any(is_stage);
    let found = pods.find(runs_installer).or_else(|| {
        let maps = objects.iter().filter(|object| object["kind"] == "ConfigMap");
        let texts = maps.flat_map(|map| map["data"].as_object().into_iter().flatten()).filter_map(|(_, v)| v.as_str());
        let jobs = texts.filter(|text| text.contains("kind: Job")).filter_map(|text| serde_saphyr::from_str(text).ok());
        let pods = jobs.map(|job: Value| job["spec"]["template"]["spec"].clone()).filter(runs_installer);
        let pods: Vec<Value> = pods.collect();
        // A removal's Job has the same containers, but not the one that takes our program into the payload's image.
        pods.iter().find(|pod| containers(pod).any(copies)).or(pods.first()).cloned()
    })?;
    let named = config_maps(&found);
    let maps = objects.iter().filter(|object| {
        object["kind"] == "ConfigMap" && object["metadata"]["name"].as_str().is_some_and(|name| named.contains(&name))
    });
    let maps = maps.cloned().collect();
    Some(NodePod { spec: found, maps, payload: false })
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|key| spec[key].as_array().into_iter().flatten())
}

/// A container that works on the host: it mounts it.
fn is_stage(container: &Value) -> bool {
    let ours = container["command"][0].as_str().is_some_and(|word| word.ends_with("husk-node"));
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    ours && mounts.filter_map(|mount| mount["mountPath"].as_str()).any(|path| path == "/host/etc")
}

/// A container that brings our program to others.
fn copies(container: &Value) -> bool {
    container["command"].as_array().is_some_and(|words| words.iter().any(|word| word == "copy-to"))
}

fn config_maps(spec: &Value) -> Vec<&str> {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let mounted = volumes.filter_map(|volume| volume["configMap"]["name"].as_str());
    let sources = containers(spec).flat_map(|container| container["envFrom"].as_array().into_iter().flatten());
    mounted.chain(sources.filter_map(|source| source["configMapRef"]["name"].as_str())).collect()
}

impl NodePod {
    /// The image of our own programs.
    pub(crate) fn image(&self) -> String {
        self.installer()["image"].as_str().unwrap_or_default().to_owned()
    }

    /// Every image of the pod, once.
    pub(crate) fn images(&self) -> Vec<String> {
        let mut images: Vec<String> =
            containers(&self.spec).filter_map(|it| it["image"].as_str().map(str::to_owned)).collect();
        images.sort();
        images.dedup();
        images
    }

    /// The same, asked inside the payload's image.
    pub(crate) fn with_payload(mut self) -> NodePod {
        self.payload = true;
        self
    }

    /// The secrets with which it is pulled; null when there are none.
    pub(crate) fn pull_secrets(&self) -> &Value {
        &self.spec["imagePullSecrets"]
    }

    /// The container that brings our program: its image holds nothing else.
    fn installer(&self) -> &Value {
        let found = containers(&self.spec).find(|container| copies(container));
        found.or_else(|| containers(&self.spec).find(|container| is_stage(container))).unwrap_or(&Value::Null)
    }

    /// Returns the Job that asks one node: the installer's image and environment, the host read-only, no token.
    fn job(&self, node: &str, index: usize, verb: &[&str], seconds: u64) -> Value {
        let mut spec = self.spec.clone();
        let image = self.installer()["image"].clone();
        let mut container = containers(&self.spec).find(|container| is_stage(container)).cloned().unwrap_or_default();
        let dropped: Vec<String> = spec["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|volume| volume.get("projected").is_some())
            .filter_map(|volume| volume["name"].as_str().map(str::to_owned))
            .collect();
        let is_dropped = |name: &Value| name.as_str().is_some_and(|name| dropped.iter().any(|it| it == name));
        if let Some(volumes) = spec["volumes"].as_array_mut() {
            volumes.retain(|volume| !is_dropped(&volume["name"]));
        }
        if let Some(mounts) = container["volumeMounts"].as_array_mut() {
            mounts.retain(|mount| !is_dropped(&mount["name"]));
            for mount in mounts.iter_mut().filter(|m| m["mountPath"].as_str().is_some_and(|p| p.starts_with("/host"))) {
                mount["readOnly"] = true.into();
            }
        }
        if let Some(fields) = container.as_object_mut() {
            for probe in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "ports"] {
                fields.remove(probe);
            }
            let program = if self.payload { contract::pod::INSTALLER } else { "/usr/bin/husk-node" };
            let words = [program].into_iter().chain(verb.iter().copied());
            fields.insert("command".into(), words.collect::<Vec<_>>().into());
            fields.remove("args");
            fields.insert("name".into(), "ask".into());
            if !self.payload {
                fields.insert("image".into(), image);
            }
            fields.insert("terminationMessagePolicy".into(), "FallbackToLogsOnError".into());
        }
        if let Some(fields) = spec.as_object_mut() {
            for key in ["serviceAccountName", "nodeSelector", "affinity", "priorityClassName"] {
                fields.remove(key);
            }
            let prepare = self.payload.then(|| json!([self.installer()]));
            fields.remove("initContainers");
            fields.extend(prepare.map(|prepare| ("initContainers".to_owned(), prepare)));
            fields.insert("containers".into(), json!([container]));
            fields.insert("nodeName".into(), node.into());
            fields.insert("restartPolicy".into(), "Never".into());
            fields.insert("automountServiceAccountToken".into(), false.into());
            fields.insert("tolerations".into(), json!([{"operator": "Exists"}]));
            fields.insert("terminationGracePeriodSeconds".into(), 1.into());
        }
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": format!("ask-{index}"), "labels": {LABEL: "true"}},
            "spec": {"backoffLimit": 0, "activeDeadlineSeconds": seconds,
                     "template": {"metadata": {"labels": {LABEL: "true"}}, "spec": spec}},
        })
    }
}

/// Asks nodes; what was made for it is deleted again, also when asking fails.
pub(crate) async fn ask(
    client: &Client,
    pod: &NodePod,
    nodes: &[String],
    verb: &[&str],
    patience: Duration,
) -> Result<BTreeMap<String, Answer>> {
    let name = format!("husk-ask-{:08x}", rand::random::<u32>());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {
        LABEL: "true", "pod-security.kubernetes.io/enforce": "privileged", "pod-security.kubernetes.io/warn": "privileged"}}});
    let namespace = serde_json::from_value(namespace).map_err(Failure::plain)?;
    let mut interrupt = Interrupt::listen()?;
    namespaces.create(&PostParams::default(), &namespace).await.map_err(api_failure)?;
    let answers = tokio::select! {
        answers = ask_in(client, pod, nodes, verb, patience, &name) => answers,
        () = interrupt.heard() => {
            let message = "interrupted\n  Nothing was changed; the Jobs that asked are deleted.\n  Next: the same command begins again.";
            Err(Failure::plain(message).exiting(exit::INTERRUPTED))
        }
    };
    let gone = namespaces.delete(&name, &DeleteParams::background()).await;
    // The kubelet of a node that is gone lets nothing go; what asked has nothing to finish.
    let pods: Api<Pod> = Api::namespaced(client.clone(), &name);
    let _ = pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await;
    let answers = answers?;
    gone.map_err(api_failure)?;
    Ok(answers)
}

async fn ask_in(
    client: &Client,
    pod: &NodePod,
    nodes: &[String],
    verb: &[&str],
    patience: Duration,
    namespace: &str,
) -> Result<BTreeMap<String, Answer>> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for map in &pod.maps {
        let copy = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map["metadata"]["name"]},
                          "data": map["data"], "binaryData": map["binaryData"]});
        let copy: ConfigMap = serde_json::from_value(copy).map_err(Failure::plain)?;
        maps.create(&PostParams::default(), &copy).await.map_err(api_failure)?;
    }
    let deadline = Instant::now() + patience;
    let questions = nodes.iter().enumerate().map(|(index, node)| {
        let job = pod.job(node, index, verb, patience.as_secs().max(1));
        async move { Ok((node.clone(), ask_one(client, namespace, index, job, deadline).await?)) }
    });
    let answers: Vec<Result<(String, Answer)>> = stream::iter(questions).buffer_unordered(AT_A_TIME).collect().await;
    answers.into_iter().collect()
}

async fn ask_one(client: &Client, namespace: &str, index: usize, job: Value, deadline: Instant) -> Result<Answer> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let job: Job = serde_json::from_value(job).map_err(Failure::plain)?;
    let refused = |error: kube::Error| match error {
        // One node's trouble, told with that node.
        kube::Error::Api(status) => Ok(Answer { trouble: Some(status.message.clone()), ..Answer::default() }),
        error => Err(api_failure(error)),
    };
    if let Err(error) = jobs.create(&PostParams::default(), &job).await {
        return refused(error);
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = ListParams::default().labels(&format!("job-name=ask-{index}"));
    loop {
        let list = pods.list(&selector).await.map_err(api_failure)?;
        let mut waiting_for = "its Job has no pod yet".to_owned();
        for pod in &list.items {
            let status = pod.status.as_ref();
            let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
            if matches!(phase, "Succeeded" | "Failed") {
                return answer(&pods, pod).await;
            }
            match crate::status::pod_trouble(pod) {
                Some(trouble) if trouble.reason.contains("Image") || trouble.reason.contains("Create") => {
                    let trouble = format!("{}: {}", trouble.reason, trouble.message);
                    return Ok(Answer { trouble: Some(trouble), ..Answer::default() });
                }
                Some(trouble) => waiting_for = format!("{}: {}", trouble.reason, trouble.message),
                None => waiting_for = format!("its pod is {phase}"),
            }
        }
        if Instant::now() >= deadline {
            let trouble = Some(format!("no answer in time (`--timeout` gives more); {waiting_for}"));
            return Ok(Answer { trouble, ..Answer::default() });
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn answer(pods: &Api<Pod>, pod: &Pod) -> Result<Answer> {
    let parameters = LogParams { limit_bytes: Some(MOST), ..LogParams::default() };
    let output = match pods.logs(&pod.name_any(), &parameters).await {
        Ok(output) => output,
        Err(kube::Error::Api(status)) => format!("(no log: {})", status.message),
        Err(error) => return Err(api_failure(error)),
    };
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let ended = statuses.filter_map(|status| status.state.as_ref()?.terminated.as_ref()).next();
    let message = ended.and_then(|ended| ended.message.as_deref()).unwrap_or_default();
    let report = StageReport::from_termination_message(message);
    let trouble = match (ended, &report) {
        (None, None) => Some(pod.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default()),
        _ => None,
    };
    Ok(Answer { output, report, trouble })
}

/// Which nodes the user wants asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// As many as make sense.
    Sample,
    None,
    All,
    Named(Vec<String>),
}

/// Refuses names that no node has.
pub(crate) fn check_names<'a>(names: &[String], nodes: impl Iterator<Item = &'a str>) -> Result<()> {
    let known: BTreeSet<&str> = nodes.collect();
    match names.iter().find(|name| !known.contains(name.as_str())) {
        Some(name) => Err(Failure::new(Code::NO_SUCH_NODE, format!("there is no node {name}"))),
        None => Ok(()),
    }
}

impl Wanted {
    pub(crate) fn read(text: Option<&str>) -> Wanted {
        match text {
            None => Wanted::Sample,
            Some("none") => Wanted::None,
            Some("all") => Wanted::All,
            Some(names) => Wanted::Named(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Vec<Value> {
        vec![
            json!({"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"A": "1"}}),
            json!({"kind": "ConfigMap", "metadata": {"name": "other"}, "data": {}}),
            json!({"kind": "DaemonSet", "spec": {"template": {"spec": {
                "serviceAccountName": "sa", "nodeSelector": {"a": "b"},
                "initContainers": [{"name": "prepare", "image": "node:1", "command": ["/usr/bin/husk-node", "copy-to", "/x"]}],
                "containers": [{"name": "kube-kata", "image": "payload:2", "command": ["/husk/husk-node", "install"],
                    "env": [{"name": "SHIMS", "value": "qemu"}], "envFrom": [{"configMapRef": {"name": "settings"}}],
                    "livenessProbe": {}, "volumeMounts": [{"name": "etc", "mountPath": "/host/etc"},
                        {"name": "token", "mountPath": "/var/run/secrets"}]}],
                "volumes": [{"name": "etc", "hostPath": {"path": "/etc"}}, {"name": "token", "projected": {}}]}}}}),
        ]
    }

    #[test]
    fn the_question_has_the_installers_environment_and_can_change_nothing() {
        let pod = node_pod(&objects()).unwrap();
        assert_eq!(pod.maps.len(), 1);
        let job = pod.job("n1", 3, &["host-check"], 60);
        let spec = &job["spec"]["template"]["spec"];
        assert_eq!(spec["nodeName"], "n1");
        assert!(spec.get("serviceAccountName").is_none() && spec.get("initContainers").is_none());
        assert_eq!(spec["volumes"], json!([{"name": "etc", "hostPath": {"path": "/etc"}}]));
        let container = &spec["containers"][0];
        assert_eq!(container["image"], "node:1");
        assert_eq!(container["command"], json!(["/usr/bin/husk-node", "host-check"]));
        assert_eq!(container["env"][0]["value"], "qemu");
        assert_eq!(container["volumeMounts"], json!([{"name": "etc", "mountPath": "/host/etc", "readOnly": true}]));
        assert!(container.get("livenessProbe").is_none());
    }

    #[test]
    fn the_template_of_a_per_node_job_is_found_too() {
        let template = "apiVersion: batch/v1\nkind: Job\nspec: {template: {spec: {containers: [{image: i, \
                        command: [/husk/husk-node, cri], volumeMounts: [{name: e, mountPath: /host/etc}]}]}}}\n";
        let objects = [json!({"kind": "ConfigMap", "metadata": {"name": "t"}, "data": {"install.yaml": template}})];
        assert!(node_pod(&objects).is_some());
        let install = template.replace(
            "containers:",
            "initContainers: [{image: own, command: [/usr/bin/husk-node, copy-to, /x]}], containers:",
        );
        let both = json!({"kind": "ConfigMap", "metadata": {"name": "t"}, "data": {"cleanup.yaml": template, "install.yaml": install}});
        assert_eq!(node_pod(&[both]).unwrap().image(), "own", "not the removal's");
        assert_eq!(node_pod(&[json!({"kind": "DaemonSet"})]), None);
    }

    #[test]
    fn which_nodes_is_read_from_words() {
        assert_eq!(Wanted::read(None), Wanted::Sample);
        assert_eq!(Wanted::read(Some("a, b")), Wanted::Named(vec!["a".into(), "b".into()]));
        assert_eq!(Wanted::read(Some("all")), Wanted::All);
    }
}
