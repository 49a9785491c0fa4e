//! Node records and Events: what outlives the Jobs and their pods.

use crate::patience::patiently;
use contract::{NodeRecord, State, label};
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// The field manager of everything that the dispatcher applies.
pub(crate) const FIELD_MANAGER: &str = "husk-dispatcher";

/// Records asked for in one request.
const PAGE: u32 = 100;

/// Returns the ConfigMap of a node's record. `through` are the identities of the run and the Node when the run is through
/// with the node: a dispatcher that is started again takes that over even when the Job is gone.
pub(crate) fn config_map(namespace: &str, mut record: NodeRecord, through: Option<&(String, String)>) -> Value {
    record.updated_at = Some(jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let name = label::node_record_name(&record.install, &record.node);
    let mut map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": name, "namespace": namespace,
            "labels": {label::NODE_RECORD: "true", label::INSTALL: record.install,
                       label::JOB_NODE: crate::job_name::node_label(&record.node)},
            "annotations": {label::NODE_NAME_ANNOTATION: record.node},
        },
        "data": {label::NODE_RECORD_KEY: json!(record).to_string()},
    });
    if let Some((run, node)) = through {
        map["metadata"]["labels"][label::RUN] = run.as_str().into();
        map["metadata"]["annotations"][label::NODE_UID_ANNOTATION] = node.as_str().into();
    }
    map
}

/// Writes the ConfigMap of a node's record.
pub(crate) async fn write(client: &Client, namespace: &str, map: &Value) -> kube::Result<()> {
    let name = map["metadata"]["name"].as_str().unwrap_or_default();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_metadata(name, &parameters, &Patch::Apply(map)).await.map(drop)
}

/// Reads the records that match a label selector, each with the Node's identity, which is empty where it is not noted.
pub(crate) async fn matching(client: &Client, namespace: &str, of: &str) -> kube::Result<Vec<(NodeRecord, String)>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut parameters = ListParams::default().labels(of).limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = patiently(|| api.list(&parameters)).await?;
        found.extend(page.items.into_iter().filter_map(|map| {
            let record = serde_json::from_str(map.data.as_ref()?.get(label::NODE_RECORD_KEY)?).ok()?;
            let uid = map.metadata.annotations.and_then(|mut all| all.remove(label::NODE_UID_ANNOTATION));
            Some((record, uid.unwrap_or_default()))
        }));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// Deletes a node's record; one that is not there is fine.
pub(crate) async fn forget(client: &Client, namespace: &str, install: &str, node: &str) -> kube::Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    match api.delete(&label::node_record_name(install, node), &DeleteParams::background()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}

/// Returns an Event about how a Node's part of the run ended. Its name is made here, once, so that trying again doubles nothing.
pub(crate) fn event(record: &NodeRecord, uid: &str, removal: bool) -> Value {
    let now = jiff::Timestamp::now();
    let failed = record.state == State::Failed;
    let reason = match (failed, removal) {
        (true, false) => "HuskInstallFailed",
        (true, true) => "HuskRemovalFailed",
        (false, false) => "HuskInstalled",
        (false, true) => "HuskRemoved",
    };
    let message = match record.code {
        Some(code) => format!("{code} at stage {}: {}", record.stage, record.message),
        None if removal => "every trace was removed".to_owned(),
        None => format!("handlers served: {}", record.handlers.join(", ")),
    };
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "apiVersion": "v1", "kind": "Event",
        // Events about objects without a namespace belong into `default`; the API server insists.
        "metadata": {"namespace": "default", "name": format!("{}.{:x}", record.node, now.as_nanosecond())},
        "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": record.node, "uid": uid},
        "type": if failed { "Warning" } else { "Normal" },
        "reason": reason, "message": message.chars().take(1024).collect::<String>(),
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": time, "lastTimestamp": time, "count": 1,
    })
}

/// Leaves an Event on a Node; one that is there already was left by an attempt whose answer was lost.
pub(crate) async fn announce(client: &Client, event: &Value) -> kube::Result<()> {
    let event: Event = serde_json::from_value(event.clone()).map_err(kube::Error::SerdeError)?;
    match Api::namespaced(client.clone(), "default").create(&PostParams::default(), &event).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}
