//! The Kubernetes API, as far as a node's installer needs it: its own Node, its DaemonSet, its node record.

use crate::error::{NodeError, Result};
use crate::marks::{self, Mark};
use contract::{Code, NodeRecord, label};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime as Tokio;

const ATTEMPTS: u32 = 10;
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A client with the pod's own ServiceAccount.
pub struct Cluster<'t> {
    tokio: &'t Tokio,
    client: kube::Client,
}

impl<'t> Cluster<'t> {
    /// Connects with the token that is mounted into the container; `root` is the container's `/`.
    pub fn from_pod(root: &Path, variable: &dyn Fn(&str) -> Option<String>, tokio: &'t Tokio) -> Result<Self> {
        let fail = |why: String| NodeError::new(Code::LABEL_FAILED, why);
        let host = variable("KUBERNETES_SERVICE_HOST")
            .ok_or_else(|| fail("KUBERNETES_SERVICE_HOST is not set: this is not a pod".into()))?;
        let port = variable("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
        let client = tokio
            .block_on(connection::from_pod(root, &host, &port))
            .map_err(|why| fail(format!("cannot use the pod's ServiceAccount: {why}")))?;
        Ok(Cluster { tokio, client })
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> std::result::Result<Value, kube::Error> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", content)
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .map_err(kube::Error::HttpError)?;
        self.tokio.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), self.client.request::<Value>(request))
                .await
                .unwrap_or_else(|_| Err(kube::Error::Service("no answer within 30 s".into())))
        })
    }

    /// Tries until it works; conflicts and an API server that is away for a moment are part of the day.
    fn persist<T>(&self, doing: &str, mut attempt: impl FnMut() -> std::result::Result<T, kube::Error>) -> Result<T> {
        let mut last = String::new();
        for round in 0..ATTEMPTS {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(kube::Error::Api(status)) if !(status.code == 409 || status.code == 429 || status.code >= 500) => {
                    return Err(NodeError::new(Code::LABEL_FAILED, format!("{doing}: {}", status.message)));
                }
                Err(error) => last = error.to_string(),
            }
            let wait = Duration::from_millis(100 << round.min(6));
            self.tokio.block_on(tokio::time::sleep(wait));
        }
        Err(NodeError::new(Code::LABEL_FAILED, format!("{doing}: {last} ({ATTEMPTS} attempts)")))
    }

    /// Reads a Node.
    pub fn node(&self, name: &str) -> Result<Value> {
        self.persist(&format!("reading node {name}"), || {
            self.request("GET", &format!("/api/v1/nodes/{name}"), MERGE, None)
        })
    }

    /// Sets a mark on a Node; returns how many of its labels changed.
    pub fn mark(&self, node: &str, install: &str, mark: Mark) -> Result<usize> {
        let path = format!("/api/v1/nodes/{node}");
        self.persist(&format!("labelling node {node}"), || {
            let now = self.request("GET", &path, MERGE, None)?;
            let changes = marks::label_changes(&now, install, mark);
            let count = changes.len();
            if count > 0 {
                // the precondition keeps two installations from each missing the other's mark
                let version = &now["metadata"]["resourceVersion"];
                let patch = json!({"metadata": {"resourceVersion": version, "labels": changes}});
                self.request("PATCH", &path, MERGE, Some(&patch))?;
            }
            Ok(count)
        })
    }

    /// Removes the startup taints from a Node; returns whether it had any.
    pub fn untaint(&self, node: &str, startup: &[(String, Option<String>)]) -> Result<bool> {
        let path = format!("/api/v1/nodes/{node}");
        self.persist(&format!("removing startup taints from node {node}"), || {
            let now = self.request("GET", &path, MERGE, None)?;
            let Some(left) = marks::taints_left(&now, startup) else { return Ok(false) };
            let version = &now["metadata"]["resourceVersion"];
            let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": left}});
            self.request("PATCH", &path, MERGE, Some(&patch)).map(|_| true)
        })
    }

    /// Reads a DaemonSet; `None` when it does not exist.
    pub fn daemon_set(&self, namespace: &str, name: &str) -> Result<Option<Value>> {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}");
        self.persist(&format!("reading DaemonSet {name}"), || match self.request("GET", &path, MERGE, None) {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            other => other.map(Some),
        })
    }

    /// Writes the node's record.
    pub fn write_record(&self, namespace: &str, record: &NodeRecord) -> Result<()> {
        let name = label::node_record_name(&record.install, &record.node);
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}?fieldManager=husk-node&force=true");
        let text =
            serde_json::to_string(record).map_err(|error| NodeError::new(Code::LABEL_FAILED, error.to_string()))?;
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {label::NODE_RECORD: "true", label::INSTALL: record.install},
                "annotations": {label::NODE_NAME_ANNOTATION: record.node},
            },
            "data": {label::NODE_RECORD_KEY: text},
        });
        self.persist("writing the node record", || self.request("PATCH", &path, APPLY, Some(&object)).map(drop))
    }
}
