//! What the API server asks kubelets for: logs, and their own endpoints.

use super::Kubelets;
use super::logs::Selection;
use apiserver::status::ApiError;
use apiserver::{Kubelets as Served, LogQuery};
use axum::body::Body;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// The kubelets as the API server knows them; it does not keep them alive, as they in turn hold a client of it.
#[derive(Debug)]
pub struct Endpoint(pub Weak<Kubelets>);

impl Endpoint {
    fn kubelets(&self) -> Result<Arc<Kubelets>, ApiError> {
        self.0.upgrade().ok_or_else(|| ApiError::internal("the sandbox is shutting down"))
    }
}

impl Served for Endpoint {
    fn logs(&self, pod: Value, query: LogQuery) -> BoxFuture<'static, Result<Body, ApiError>> {
        let kubelets = self.kubelets();
        Box::pin(async move { kubelets?.read_log(pod, query).await })
    }

    fn proxy(
        &self,
        node: Value,
        path: String,
        _: HashMap<String, String>,
    ) -> BoxFuture<'static, Result<Body, ApiError>> {
        let name = node.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let kubelets = self.kubelets();
        Box::pin(async move {
            if !kubelets?.machines.contains_key(&name) {
                return Err(ApiError::bad_request(format!("no kubelet runs on {name}")));
            }
            match path.as_str() {
                "healthz" => Ok(Body::from("ok")),
                // The one setting that installers ask for; Kubernetes' own default.
                "configz" => {
                    let config = json!({"kubeletconfig": {"runtimeRequestTimeout": "2m0s", "cgroupDriver": "systemd"}});
                    Ok(Body::from(config.to_string()))
                }
                other => Err(ApiError::not_implemented(format!("the sandbox's kubelets do not serve {other}"))),
            }
        })
    }
}

impl Kubelets {
    async fn read_log(&self, pod: Value, query: LogQuery) -> Result<Body, ApiError> {
        let pod: Pod = serde_json::from_value(pod).map_err(ApiError::internal)?;
        let (name, container) = (pod.name_any(), &query.container);
        let directory = self.log_directory(&pod).join(container);
        let mut instances = instances(&directory);
        let path = if query.previous {
            instances.pop();
            instances.pop().ok_or_else(|| {
                ApiError::bad_request(format!(
                    "previous terminated container \"{container}\" in pod \"{name}\" not found"
                ))
            })?
        } else {
            instances.pop().ok_or_else(|| {
                let why = waiting_reason(&pod, container);
                let text = format!("container \"{container}\" in pod \"{name}\" is waiting to start: {why}");
                ApiError::bad_request(text)
            })?
        };
        let since = query.since_seconds.and_then(|seconds| i64::try_from(seconds).ok());
        let selection = Selection {
            follow: query.follow,
            timestamps: query.timestamps,
            tail: query.tail_lines,
            since: since.and_then(|seconds| Timestamp::now().checked_sub(SignedDuration::from_secs(seconds)).ok()),
            limit: query.limit_bytes,
        };
        let pieces = self.logs.read(&path, selection).await.map_err(ApiError::internal)?;
        let stream = futures::stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
        Ok(Body::from_stream(stream))
    }
}

/// The logs of a container's instances, the newest last.
fn instances(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.path();
            Some((path.file_stem()?.to_str()?.parse().ok()?, path))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn waiting_reason(pod: &Pod, container: &str) -> String {
    let status = pod.status.as_ref();
    let lists = status.map(|status| [&status.init_container_statuses, &status.container_statuses]);
    let found = lists.iter().flatten().flat_map(|list| list.iter().flatten()).find(|known| known.name == container);
    let waiting = found.and_then(|known| known.state.as_ref()?.waiting.as_ref()?.reason.clone());
    waiting.unwrap_or_else(|| "ContainerCreating".to_owned())
}
