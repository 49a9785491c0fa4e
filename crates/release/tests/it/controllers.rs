//! Controllers just large enough: Jobs get a pod and an end, Deployments their replicas, as annotations tell.

use release::cluster::{Cluster, Resource, Selector};
use serde_json::{Value, json};
use std::time::Duration;

/// Annotation on Jobs: `succeed` (default), `fail`, `hang`. On Deployments: `hang` for pods that cannot start.
pub(crate) const OUTCOME: &str = "test/outcome";

/// What a pod looks like to whoever asks why something does not work.
struct Pod {
    labels: Value,
    phase: &'static str,
    state: Value,
}

pub(crate) struct Controllers {
    pub(crate) api: Cluster,
    pub(crate) client: kube::Client,
}

impl Controllers {
    /// Runs until it is aborted.
    pub(crate) async fn run(self) {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            for job in self.list("batch/v1", "Job").await {
                self.end_job(&job).await;
            }
            for deployment in self.list("apps/v1", "Deployment").await {
                self.scale(&deployment).await;
            }
        }
    }

    async fn list(&self, api_version: &str, kind: &str) -> Vec<Value> {
        let Ok(Some(resource)) = self.api.resource(api_version, kind).await else { return vec![] };
        self.api.list(&resource, "", &Selector::default()).await.unwrap_or_default().items
    }

    async fn end_job(&self, job: &Value) {
        if job["status"]["startTime"].is_string() {
            return;
        }
        let labels = json!({"job-name": job["metadata"]["name"]});
        let ended = |kind: &str| json!([{"type": kind, "status": "True"}]);
        let (phase, state, mut status) = match job["metadata"]["annotations"][OUTCOME].as_str() {
            Some("fail") => (
                "Failed",
                json!({"terminated": {"exitCode": 3, "reason": "Error", "message": "no /dev/kvm"}}),
                json!({"failed": 1, "conditions": ended("Failed")}),
            ),
            Some("hang") => ("Pending", no_image(), json!({"active": 1})),
            _ => (
                "Succeeded",
                json!({"terminated": {"exitCode": 0}}),
                json!({"succeeded": 1, "conditions": ended("Complete")}),
            ),
        };
        status["startTime"] = "2026-01-01T00:00:00Z".into();
        self.make_pod(job, Pod { labels, phase, state }).await;
        self.set_status(job, "jobs", status).await;
    }

    async fn scale(&self, deployment: &Value) {
        let generation = &deployment["metadata"]["generation"];
        if deployment["status"]["observedGeneration"] == *generation {
            return;
        }
        if deployment["metadata"]["annotations"][OUTCOME] == "hang" {
            let labels = deployment["spec"]["selector"]["matchLabels"].clone();
            self.make_pod(deployment, Pod { labels, phase: "Pending", state: no_image() }).await;
            self.set_status(deployment, "deployments", json!({"observedGeneration": generation})).await;
            return;
        }
        let replicas = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        let conditions = json!([
            {"type": "Available", "status": "True"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
        ]);
        let status = json!({
            "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas, "conditions": conditions
        });
        self.set_status(deployment, "deployments", status).await;
    }

    async fn make_pod(&self, owner: &Value, pod: Pod) {
        let name = format!("{}-pod", owner["metadata"]["name"].as_str().unwrap_or_default());
        let reference = json!([{
            "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"]
        }]);
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "prod", "labels": pod.labels, "ownerReferences": reference},
            "spec": {"containers": [{"name": "main", "image": "x"}], "nodeName": "n1"}
        });
        let pods = Resource { api_version: "v1".into(), kind: "Pod".into(), plural: "pods".into(), namespaced: true };
        // One of an earlier run may still be there; then that one is updated.
        let _ = self.api.create(&pods, "prod", &object, false).await;
        let container = json!({
            "name": "main", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": pod.state
        });
        self.set_status(&object, "pods", json!({"phase": pod.phase, "containerStatuses": [container]})).await;
    }

    async fn set_status(&self, object: &Value, plural: &str, status: Value) {
        let version = object["apiVersion"].as_str().unwrap_or_default();
        let root = if version.contains('/') { "apis" } else { "api" };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let request = http::Request::patch(format!("/{root}/{version}/namespaces/prod/{plural}/{name}/status"))
            .header("content-type", "application/merge-patch+json")
            .body(json!({"status": status}).to_string().into_bytes())
            .unwrap();
        // The object may be gone by now.
        let _ = self.client.request::<Value>(request).await;
    }
}

fn no_image() -> Value {
    json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
}
