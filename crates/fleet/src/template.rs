//! The per-node Job: the template from the ConfigMap, pinned to a node.

use crate::job_name::{job_name, node_label};
use crate::node::Node;
use crate::selection::Toleration;
use contract::label;
use serde_json::{Map, Value, json};

/// A Job template as the chart renders it: any `batch/v1` Job without a name.
#[derive(Clone, Debug)]
pub struct JobTemplate {
    job: Value,
}

/// What owns per-node Jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnerKind {
    /// A dispatcher Job.
    #[default]
    Job,
    /// The Deployment of a watcher.
    Deployment,
}

/// Who a per-node Job belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// What it is.
    pub kind: OwnerKind,
    /// Its name; also the value of the owner label.
    pub name: String,
    /// Its identity.
    pub uid: String,
}

/// A template that is not a Job.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Not YAML.
    #[error("{0}")]
    Yaml(String),
    /// YAML, but something else.
    #[error("it is not a batch/v1 Job with a pod template")]
    NotAJob,
}

impl JobTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// When the text is not YAML or not a `batch/v1` Job.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let job: Value = serde_saphyr::from_str(text).map_err(|error| TemplateError::Yaml(error.to_string()))?;
        let is_job = job["apiVersion"] == "batch/v1" && job["kind"] == "Job";
        if !is_job || !job["spec"]["template"]["spec"]["containers"].is_array() {
            return Err(TemplateError::NotAJob);
        }
        Ok(JobTemplate { job })
    }

    /// Returns the tolerations of the template's pods.
    pub fn tolerations(&self) -> Vec<Toleration> {
        serde_json::from_value(self.job["spec"]["template"]["spec"]["tolerations"].clone()).unwrap_or_default()
    }

    /// Lets the template's pods tolerate the taints that new nodes carry until they are installed: `key` or `key:effect`.
    pub fn tolerate(&mut self, taints: &[String]) {
        let spec = object(object_value(object(&mut self.job, "spec"), "template"), "spec");
        let tolerations = spec.entry("tolerations").or_insert(Value::Null);
        if !tolerations.is_array() {
            *tolerations = json!([]);
        }
        let Value::Array(tolerations) = tolerations else { return };
        for taint in taints.iter().filter(|taint| !taint.is_empty()) {
            let (key, effect) = taint.split_once(':').unwrap_or((taint, ""));
            let key = key.split_once('=').map_or(key, |(key, _)| key);
            let mut toleration = json!({"key": key, "operator": "Exists"});
            if !effect.is_empty() {
                toleration["effect"] = effect.into();
            }
            tolerations.push(toleration);
        }
    }

    /// Returns the Job of one node.
    pub fn pinned(&self, node: &Node, prefix: &str, namespace: &str, owner: &Owner) -> Value {
        let mut job = self.job.clone();
        let labels = [(label::JOB_OWNER, owner.name.as_str()), (label::JOB_NODE, &node_label(&node.name))];
        let metadata = object(&mut job, "metadata");
        metadata.insert("name".into(), job_name(prefix, &node.name).into());
        metadata.insert("namespace".into(), namespace.into());
        let (version, kind) = match owner.kind {
            OwnerKind::Job => ("batch/v1", "Job"),
            OwnerKind::Deployment => ("apps/v1", "Deployment"),
        };
        metadata.insert(
            "ownerReferences".into(),
            json!([{"apiVersion": version, "kind": kind, "name": owner.name, "uid": owner.uid,
                    "controller": false, "blockOwnerDeletion": false}]),
        );
        set_all(metadata, "labels", &labels);
        set_all(metadata, "labels", &[(label::RUN, &owner.uid)]);
        set_all(
            metadata,
            "annotations",
            &[(label::NODE_NAME_ANNOTATION, &node.name), (label::NODE_UID_ANNOTATION, &node.uid)],
        );

        let template = object_value(object(&mut job, "spec"), "template");
        set_all(object(template, "metadata"), "labels", &labels);
        let spec = object(template, "spec");
        spec.insert("nodeName".into(), node.name.as_str().into());
        let node_labels = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
        let facts = [
            ("CONTAINER_RUNTIME_VERSION", node.runtime_version.as_str()),
            ("NODE_MACHINE_ID", node.machine_id.as_str()),
            ("NODE_LABELS", node_labels.as_str()),
        ];
        for key in ["initContainers", "containers"] {
            for container in spec.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
                set_environment(container, &facts);
            }
        }
        job
    }
}

/// Returns the member `key` as an object, made anew when it is missing or something else.
fn object<'a>(parent: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !parent.is_object() {
        *parent = json!({});
    }
    let Value::Object(map) = parent else { unreachable!("made an object above") };
    as_object(map.entry(key).or_insert(Value::Null))
}

fn object_value<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Value {
    map.entry(key).or_insert(Value::Null)
}

fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    let Value::Object(map) = value else { unreachable!("made an object above") };
    map
}

fn set_all(parent: &mut Map<String, Value>, key: &str, entries: &[(&str, &str)]) {
    let map = as_object(parent.entry(key).or_insert(Value::Null));
    for (name, value) in entries {
        map.insert((*name).to_owned(), (*value).into());
    }
}

fn set_environment(container: &mut Value, entries: &[(&str, &str)]) {
    let Value::Object(container) = container else { return };
    let environment = container.entry("env").or_insert(Value::Null);
    if !environment.is_array() {
        *environment = json!([]);
    }
    let Value::Array(environment) = environment else { return };
    environment.retain(|entry| !entries.iter().any(|(name, _)| entry["name"] == *name));
    environment.extend(entries.iter().map(|(name, value)| json!({"name": name, "value": value})));
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "
apiVersion: batch/v1
kind: Job
metadata: {labels: {app.kubernetes.io/name: kata-deploy}}
spec:
  backoffLimit: 3
  template:
    metadata: {labels: {kata-deploy/stage: install}}
    spec:
      tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
      initContainers: [{name: cri, image: i, env: [{name: NODE_MACHINE_ID, value: stale}, {name: DEBUG, value: 'true'}]}]
      containers: [{name: label, image: i}]
";

    #[test]
    fn a_job_is_pinned_owned_labelled_and_told_of_its_node() {
        let template = JobTemplate::parse(TEMPLATE).unwrap();
        assert_eq!(template.tolerations()[0].key, "gpu");
        let node = Node {
            name: "n1".into(),
            runtime_version: "containerd://2.1.4".into(),
            machine_id: "m".into(),
            ..Node::default()
        };
        let owner = Owner { kind: OwnerKind::Job, name: "dispatcher".into(), uid: "u".into() };
        let job = template.pinned(&node, "kata-deploy-install", "kube-system", &owner);
        assert_eq!(job["metadata"]["name"], "kata-deploy-install-n1");
        assert_eq!(job["metadata"]["labels"]["app.kubernetes.io/name"], "kata-deploy");
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(job["metadata"]["ownerReferences"][0]["controller"], false);
        let pod = &job["spec"]["template"];
        assert_eq!(pod["metadata"]["labels"][label::JOB_OWNER], "dispatcher");
        assert_eq!(pod["spec"]["nodeName"], "n1");
        let init = pod["spec"]["initContainers"][0]["env"].as_array().unwrap();
        assert_eq!(init.len(), 4);
        assert!(init.contains(&json!({"name": "NODE_MACHINE_ID", "value": "m"})));
        assert_eq!(pod["spec"]["containers"][0]["env"][0]["value"], "containerd://2.1.4");
    }

    #[test]
    fn startup_taints_are_tolerated() {
        let mut template = JobTemplate::parse(TEMPLATE).unwrap();
        template.tolerate(&["a/b:NoSchedule".to_owned(), "c".to_owned(), String::new()]);
        let tolerations = template.tolerations();
        assert_eq!(tolerations.len(), 3);
        assert_eq!((tolerations[1].key.as_str(), tolerations[1].effect.as_str()), ("a/b", "NoSchedule"));
        assert_eq!((tolerations[2].key.as_str(), tolerations[2].effect.as_str()), ("c", ""));
    }

    #[test]
    fn what_is_not_a_job_is_refused() {
        assert!(matches!(JobTemplate::parse("kind: Pod"), Err(TemplateError::NotAJob)));
        assert!(matches!(JobTemplate::parse("{{"), Err(TemplateError::Yaml(_))));
    }
}
