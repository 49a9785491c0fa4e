//! What a rendered chart means for classes, nodes and installers: the part that two charts can be compared by.

use super::{name, pods};
use serde_json::{Map, Value, json};

/// The facts of objects that our charts rendered, as `own.golden.jsonl` has them of upstream's.
pub(super) fn facts(objects: &[Value]) -> Value {
    let mut facts = Map::new();
    let (mut classes, mut files) = (Map::new(), Map::new());
    for object in objects {
        let name = name(object);
        match object["kind"].as_str().unwrap_or_default() {
            "RuntimeClass" => {
                classes.insert(name.to_owned(), class(object));
            }
            "DaemonSet" if name.contains("monitor") => {
                facts.insert("monitor".into(), monitor(&object["spec"]["template"]["spec"]));
            }
            "DaemonSet" => daemon_set(object, &mut facts),
            "ConfigMap" if name.ends_with("job-templates") => templates(object, &mut facts),
            "ConfigMap" if name.contains("custom-configs") || name.contains("user-dropin") => {
                let data = object["data"].as_object().into_iter().flatten();
                files.extend(data.map(|(key, text)| (key.clone(), trimmed(text))));
            }
            "ConfigMap" if !object["data"]["deploymentMode"].is_null() => {
                facts.insert("state".into(), object["data"].clone());
            }
            "ConfigMap" if name.ends_with("verification-spec") => {
                facts.insert("verification".into(), trimmed(&object["data"]["pod-spec.yaml"]));
            }
            "NodeFeatureRule" => {
                facts.insert("rule".into(), json!({"name": name, "rules": object["spec"]["rules"]}));
            }
            "Job" if name.contains("dispatcher") => dispatcher(object, &mut facts),
            _ => {}
        }
    }
    facts.insert("classes".into(), classes.into());
    facts.insert("files".into(), files.into());
    facts.into()
}

fn trimmed(text: &Value) -> Value {
    text.as_str().unwrap_or_default().trim_end().into()
}

fn class(object: &Value) -> Value {
    json!({
        "handler": object["handler"],
        "labels": object["metadata"]["labels"],
        "nodes": object["scheduling"]["nodeSelector"],
        "overhead": object["overhead"]["podFixed"],
    })
}

fn monitor(pod: &Value) -> Value {
    json!({
        "args": pod["containers"][0]["args"],
        "nodeSelector": pod["nodeSelector"],
        "priority": pod["priorityClassName"],
        "tolerations": pod["tolerations"],
    })
}

fn installers(pod: &Value) -> impl Iterator<Item = &Value> {
    let of = |key: &str| pod[key].as_array().into_iter().flatten();
    of("initContainers").chain(of("containers")).filter(|c| c["command"].to_string().contains("husk-node"))
}

/// The literal environment, and the one field that upstream's installer reads.
fn environment(pod: &Value) -> Map<String, Value> {
    let mut found = Map::new();
    for variable in installers(pod).flat_map(|c| c["env"].as_array().into_iter().flatten()) {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        if !variable["value"].is_null() {
            found.insert(name, variable["value"].clone());
        } else if name == "NODE_NAME" {
            let field = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str().unwrap_or_default();
            found.insert(name, format!("field:{field}").into());
        }
    }
    found
}

fn annotations(template: &Value) -> Value {
    let all = template["metadata"]["annotations"].as_object().into_iter().flatten();
    let kept = all.filter(|(key, _)| !key.starts_with("checksum/"));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn daemon_set(object: &Value, facts: &mut Map<String, Value>) {
    let template = &object["spec"]["template"];
    let pod = &template["spec"];
    let environment = environment(pod);
    if environment.is_empty() {
        return;
    }
    facts.insert("mode".into(), "daemonset".into());
    facts.insert("name".into(), name(object).into());
    facts.insert("env".into(), environment.into());
    facts.insert(
        "nodes".into(),
        json!({"affinity": pod["affinity"], "nodeSelector": pod["nodeSelector"], "tolerations": pod["tolerations"]}),
    );
    facts.insert(
        "pods".into(),
        json!({
            "annotations": annotations(template),
            "grace": pod["terminationGracePeriodSeconds"],
            "labels": template["metadata"]["labels"],
            "priority": pod["priorityClassName"],
            "pullSecrets": pod["imagePullSecrets"],
            "update": object["spec"]["updateStrategy"],
        }),
    );
}

fn templates(object: &Value, facts: &mut Map<String, Value>) {
    facts.insert("mode".into(), "job".into());
    for (key, text) in object["data"].as_object().into_iter().flatten() {
        let job = super::whole(goyaml::parse(text.as_str().unwrap_or_default()).unwrap());
        let template = &job["spec"]["template"];
        let stage = if key.starts_with("install") { "install" } else { "cleanup" };
        facts.insert(
            stage.into(),
            json!({
                "annotations": annotations(template),
                "backoffLimit": job["spec"]["backoffLimit"],
                "deadline": job["spec"]["activeDeadlineSeconds"],
                "labels": template["metadata"]["labels"],
                "priority": template["spec"]["priorityClassName"],
                "pullSecrets": template["spec"]["imagePullSecrets"],
                "tolerations": template["spec"]["tolerations"],
                "ttl": job["spec"]["ttlSecondsAfterFinished"],
            }),
        );
        if stage == "install" {
            facts.insert("env".into(), environment(&template["spec"]).into());
        }
    }
}

/// The options that both dispatchers have.
const SHARED: [&str; 10] = [
    "--parallelism",
    "--node-selector",
    "--nodes",
    "--wait-for-nodes-secs",
    "--node-settle-secs",
    "--multi-install-suffix",
    "--claim-node-pending",
    "--wait-node-ready-secs",
    "--require-node-handlers",
    "--ignore-node-taints",
];

fn dispatcher(object: &Value, facts: &mut Map<String, Value>) {
    let Some(template) = pods(object).pop() else { return };
    let pod = &template["spec"];
    let words = pod["containers"][0]["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut call: Vec<&str> =
        words.filter(|word| SHARED.contains(&word.split('=').next().unwrap_or_default())).collect();
    call.sort_unstable();
    let key = if name(object).contains("install-disp") { "installer" } else { "remover" };
    let call = json!({"call": call, "nodeSelector": pod["nodeSelector"], "tolerations": pod["tolerations"]});
    facts.insert(key.into(), call);
}
