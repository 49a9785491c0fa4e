//! What a cluster holds after a step: objects and release records, with what may differ between two runs taken out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

/// The collections that are compared, below the namespace.
const COLLECTIONS: &[&str] = &[
    "/api/v1/{}/configmaps",
    "/api/v1/{}/secrets",
    "/api/v1/{}/services",
    "/api/v1/{}/serviceaccounts",
    "/apis/apps/v1/{}/deployments",
    "/apis/batch/v1/{}/jobs",
    "/apis/lifecycle.husk.dev/v1/{}/beacons",
];
const NODE: &str = "/api/v1/nodes/lifecycle";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/beacons.lifecycle.husk.dev";

/// A namespace of its own on a cluster.
#[derive(Clone)]
pub(super) struct World {
    pub(super) client: kube::Client,
    pub(super) namespace: String,
}

impl World {
    /// Makes the namespace and the node that the pods are bound to.
    pub(super) async fn prepare(client: kube::Client, namespace: &str) -> Result<World, String> {
        let world = World { client, namespace: namespace.to_owned() };
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        world.ask(Method::POST, "/api/v1/namespaces", Some(&object)).await?;
        if world.find(NODE).await?.is_none() {
            let taint = json!([{"key": "lifecycle", "effect": "NoSchedule"}]);
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "lifecycle"},
                "spec": {"taints": taint}});
            world.ask(Method::POST, "/api/v1/nodes", Some(&node)).await?;
        }
        Ok(world)
    }

    /// Takes everything away again, and waits until it is.
    pub(super) async fn clean(&self) -> Result<(), String> {
        for path in [CRD, NODE, &format!("/api/v1/namespaces/{}", self.namespace)] {
            if self.find(path).await?.is_some() {
                self.ask(Method::DELETE, path, None).await?;
            }
            let deadline = Instant::now() + Duration::from_secs(60);
            while self.find(path).await?.is_some() {
                if Instant::now() > deadline {
                    return Err(format!("{path} does not go away"));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Sets one key of a ConfigMap as another field manager, by force.
    pub(super) async fn edit(&self, name: &str, key: &str, value: &str) -> Result<(), String> {
        let path = format!("/api/v1/namespaces/{}/configmaps/{name}?fieldManager=somebody&force=true", self.namespace);
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: value}});
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", Some(&object)).await.map(|_| ())
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), String> {
        self.ask(Method::DELETE, &format!("/api/v1/namespaces/{}/{path}", self.namespace), None).await.map(|_| ())
    }

    /// Everything that is compared, by kind and name.
    pub(super) async fn snapshot(&self) -> Result<BTreeMap<String, Value>, String> {
        let mut all = BTreeMap::new();
        for collection in COLLECTIONS {
            let path = collection.replace("{}", &format!("namespaces/{}", self.namespace));
            let Some(list) = self.find(&path).await? else { continue };
            for item in list["items"].as_array().into_iter().flatten() {
                let name = item["metadata"]["name"].as_str().unwrap_or_default();
                if name == "kube-root-ca.crt" || name == "default" {
                    continue;
                }
                let kind = path.rsplit('/').next().unwrap_or_default();
                let object = match item["type"].as_str() {
                    Some("helm.sh/release.v1") => record(item)?,
                    _ => item.clone(),
                };
                all.insert(format!("{kind}/{name}"), self.comparable(object));
            }
        }
        Ok(all)
    }

    /// Replaces the namespace's name.
    pub(super) fn without_namespace(&self, text: &str) -> String {
        text.replace(&self.namespace, "NAMESPACE")
    }

    /// Takes out what the server gives each object anew, and what Helm and we write differently on purpose: the names
    /// and times of field managers.
    fn comparable(&self, mut object: Value) -> Value {
        let uid = object["metadata"]["uid"].as_str().unwrap_or("(none)").to_owned();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for key in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
                metadata.remove(key);
            }
        }
        if let Some(top) = object.as_object_mut() {
            top.remove("status");
        }
        if let Some(spec) = object["spec"].as_object_mut() {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        let text = self.without_namespace(&object.to_string()).replace(&uid, "UID");
        serde_json::from_str(&text).unwrap_or(object)
    }

    /// Returns an object or a list; None when there is none.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>, String> {
        let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(format!("{path}: {error}")),
        }
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        self.send(method, path, "application/json", body).await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .body(body)
            .map_err(|error| error.to_string())?;
        self.client.request::<Value>(request).await.map_err(|error| format!("{path}: {error}"))
    }
}

/// Returns a release's record as readable data: its labels, and the release without its moments and its chart's files.
fn record(secret: &Value) -> Result<Value, String> {
    let data = secret["data"]["release"].as_str().unwrap_or_default();
    let inner = STANDARD.decode(data).map_err(|error| error.to_string())?;
    let packed = STANDARD.decode(&inner).map_err(|error| error.to_string())?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let mut release: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    without_times(&mut release);
    let mut labels = secret["metadata"]["labels"].clone();
    if let Some(labels) = labels.as_object_mut() {
        labels.remove("createdAt");
        labels.remove("modifiedAt");
    }
    Ok(json!({"metadata": {"labels": labels}, "type": secret["type"], "release": release}))
}

fn without_times(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let times = ["first_deployed", "last_deployed", "deleted", "started_at", "completed_at", "modtime"];
            for (key, inner) in map.iter_mut() {
                if times.contains(&key.as_str()) {
                    *inner = Value::from(if inner == "" { "none" } else { "a time" });
                } else {
                    without_times(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Says where two values differ: the first path, and both values.
pub(super) fn first_difference(path: &str, theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeMap<&String, ()> = a.keys().chain(b.keys()).map(|key| (key, ())).collect();
            let null = Value::Null;
            keys.keys().find_map(|key| {
                let (a, b) = (field(a, key, &null), field(b, key, &null));
                first_difference(&format!("{path}.{key}"), a, b)
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(index, (a, b))| first_difference(&format!("{path}[{index}]"), a, b))
        }
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path}: {a} against {b}")),
    }
}

fn field<'a>(map: &'a Map<String, Value>, key: &str, null: &'a Value) -> &'a Value {
    map.get(key).unwrap_or(null)
}
