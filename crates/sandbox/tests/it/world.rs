//! A cluster for one test, and waiting with an end.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use sandbox::{Cluster, Options, parse_hosts};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

/// The program that containers run.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sandbox-fixture");
/// The longest that anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    pub(crate) dir: TempDir,
    hosts: String,
}

pub(crate) fn options(dir: &std::path::Path, hosts: &str) -> Options {
    let mut options = Options::new(dir, PROGRAM);
    options.hosts = parse_hosts(hosts).unwrap();
    options.backoff_millis = 100;
    options
}

impl World {
    pub(crate) async fn new(hosts: &str) -> World {
        if std::env::var_os("HUSK_LOG").is_some() {
            sandbox::daemon::log_to_stderr();
        }
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(options(dir.path(), hosts)).await.unwrap();
        World { client: cluster.client(), cluster, dir, hosts: hosts.to_owned() }
    }

    /// Pulls the plug and starts again in the same directory.
    pub(crate) async fn restart(self) -> World {
        let World { cluster, client, dir, hosts } = self;
        drop(client);
        cluster.shutdown().await;
        let cluster = Cluster::start(options(dir.path(), &hosts)).await.unwrap();
        World { client: cluster.client(), cluster, dir, hosts }
    }

    pub(crate) fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), "default", &resource(kind))
    }

    pub(crate) fn api_in(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }

    pub(crate) fn all(&self, kind: &str) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource(kind))
    }

    pub(crate) async fn create(&self, object: Value) -> Value {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let api = match &object.metadata.namespace {
            Some(namespace) => self.api_in(namespace, &kind),
            None if kind == "Namespace" || kind == "RuntimeClass" => self.all(&kind),
            None => self.api(&kind),
        };
        serde_json::to_value(api.create(&PostParams::default(), &object).await.unwrap()).unwrap()
    }

    /// Waits until an object satisfies a condition and returns it.
    pub(crate) async fn until(&self, api: &Api<DynamicObject>, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let wait = async {
            loop {
                last =
                    api.get_opt(name).await.unwrap().map_or(Value::Null, |found| serde_json::to_value(found).unwrap());
                if holds(&last) {
                    return last.clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(found) => found,
            Err(_) => panic!("{name} did not become what was waited for:\n{last:#}\n{}", self.story().await),
        }
    }

    /// Waits until the list of a kind satisfies a condition and returns it.
    pub(crate) async fn until_all(&self, api: &Api<DynamicObject>, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let wait = async {
            loop {
                let found = list(api).await;
                if holds(&found) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(found) => found,
            Err(_) => panic!("the list did not become what was waited for\n{}", self.story().await),
        }
    }

    /// All Events, for the messages of failing tests.
    pub(crate) async fn story(&self) -> String {
        let events = list(&self.all("Event")).await;
        let line =
            |event: &Value| format!("{} {}: {}", event["involvedObject"]["name"], event["reason"], event["message"]);
        events.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

pub(crate) async fn list(api: &Api<DynamicObject>) -> Vec<Value> {
    let found = api.list(&Default::default()).await.unwrap();
    found.items.into_iter().map(|item| serde_json::to_value(item).unwrap()).collect()
}

fn resource(kind: &str) -> ApiResource {
    use kube::core::GroupVersionKind;
    let (group, version) = match kind {
        "Job" => ("batch", "v1"),
        "DaemonSet" | "Deployment" | "ReplicaSet" => ("apps", "v1"),
        "RuntimeClass" => ("node.k8s.io", "v1"),
        "Lease" => ("coordination.k8s.io", "v1"),
        _ => ("", "v1"),
    };
    let plural = match kind {
        "RuntimeClass" => "runtimeclasses".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}

/// A container that runs one verb of the test program.
pub(crate) fn container(name: &str, words: &[&str]) -> Value {
    let command: Vec<&str> = std::iter::once("/usr/bin/husk-node").chain(words.iter().copied()).collect();
    json!({"name": name, "image": "example.org/husk-node:1", "command": command})
}

/// A Job of one pod.
pub(crate) fn job(name: &str, spec: Value, pod: Value) -> Value {
    let mut pod = pod;
    if pod.get("restartPolicy").is_none() {
        pod["restartPolicy"] = json!("Never");
    }
    let mut spec = spec;
    spec["template"] = json!({"spec": pod});
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})
}

pub(crate) fn has_condition(object: &Value, kind: &str) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == kind && condition["status"] == "True")
}
