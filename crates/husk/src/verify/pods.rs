//! Pods that bear witness: one for each class and node, in a namespace of their own that is deleted at the end.

use crate::cluster::api_failure;
use crate::error::{Failure, Result};
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use node::witness::{SCHEMA, Witness};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(300);
/// A sandbox that could not be made is tried again by the kubelet; after so long nobody expects it any more.
const PATIENCE_WITH_SANDBOX: Duration = Duration::from_secs(20);

/// What a pod is asked.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    pub(super) image: &'a str,
    pub(super) pull_secrets: &'a Value,
    pub(super) node: &'a str,
    /// No class: the runtime's default, for negative tests.
    pub(super) class: Option<&'a str>,
    /// Goes into the evidence that is asked for.
    pub(super) runtime_data: Option<&'a str>,
    pub(super) resource: Option<&'a str>,
    pub(super) patience: Duration,
}

impl Question<'_> {
    fn pod(&self, name: &str) -> Value {
        let mut command = vec!["/usr/bin/husk-node".to_owned(), "witness".to_owned()];
        command.extend(self.runtime_data.map(|data| format!("--runtime-data={data}")));
        command.extend(self.resource.map(|resource| format!("--resource={resource}")));
        let mut spec = json!({
            "nodeName": self.node, "restartPolicy": "Never", "automountServiceAccountToken": false,
            "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 1,
            // We give up before the kubelet does: what it said until then is worth more.
            "activeDeadlineSeconds": self.patience.as_secs() + 30,
            "containers": [{
                "name": "witness", "image": self.image, "command": command,
                "resources": {"requests": {"cpu": "25m", "memory": "64Mi"}},
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"}}}],
        });
        if let Some(class) = self.class {
            spec["runtimeClassName"] = class.into();
        }
        if self.pull_secrets.is_array() {
            spec["imagePullSecrets"] = self.pull_secrets.clone();
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"husk/verify": "true"}}, "spec": spec})
    }
}

/// A namespace for pods that bear witness.
pub(super) struct Place {
    client: Client,
    pub(super) namespace: String,
}

impl Place {
    pub(super) async fn make(client: &Client) -> Result<Place> {
        let namespace = format!("husk-verify-{:08x}", rand::random::<u32>());
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace,
            "labels": {"husk/verify": "true"}}});
        let object: Namespace = serde_json::from_value(object).map_err(Failure::plain)?;
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &object).await.map_err(api_failure)?;
        Ok(Place { client: client.clone(), namespace })
    }

    /// Deletes the namespace with everything in it.
    pub(super) async fn leave(&self) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.delete(&self.namespace, &DeleteParams::background()).await.map(drop).map_err(api_failure)
    }

    /// Runs a pod to its end; the inner error says why it bore no witness.
    pub(super) async fn ask(
        &self,
        name: &str,
        question: &Question<'_>,
    ) -> Result<std::result::Result<Witness, String>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pod: Pod = serde_json::from_value(question.pod(name)).map_err(Failure::plain)?;
        if let Err(error) = pods.create(&PostParams::default(), &pod).await {
            return match error {
                kube::Error::Api(status) => Ok(Err(status.message.clone())),
                error => Err(api_failure(error)),
            };
        }
        let begun = Instant::now();
        let outcome = loop {
            let pod = pods.get(name).await.map_err(api_failure)?;
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
            if matches!(phase.as_str(), "Succeeded" | "Failed") {
                break match pods.logs(name, &Default::default()).await {
                    Ok(log) => read(&log, &phase),
                    // One that never ran has no log.
                    Err(kube::Error::Api(status)) => {
                        Err(self.refusal(name).await?.unwrap_or_else(|| status.message.clone()))
                    }
                    Err(error) => return Err(api_failure(error)),
                };
            }
            if let Some(trouble) = crate::status::pod_trouble(&pod) {
                break Err(format!("{}: {}", trouble.reason, trouble.message));
            }
            if begun.elapsed() >= PATIENCE_WITH_SANDBOX.min(question.patience)
                && let Some(why) = self.refusal(name).await?
            {
                break Err(why);
            }
            if begun.elapsed() >= question.patience {
                break Err(format!(
                    "the pod is still {} after {}; `--timeout` gives it longer",
                    phase.to_lowercase(),
                    crate::phases::spell(question.patience)
                ));
            }
            tokio::time::sleep(LOOK).await;
        };
        // One place on the node at a time: the next pod may need the memory.
        let _ = pods.delete(name, &DeleteParams::default().grace_period(0)).await;
        Ok(outcome)
    }

    /// What the kubelet says about a sandbox that it could not make.
    async fn refusal(&self, pod: &str) -> Result<Option<String>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let about = ListParams::default().fields(&format!("involvedObject.name={pod}"));
        let list = events.list(&about).await.map_err(api_failure)?;
        let mut refused =
            list.items.into_iter().filter(|event| event.reason.as_deref() == Some("FailedCreatePodSandBox"));
        Ok(refused.next_back().and_then(|event| event.message))
    }
}

fn read(log: &str, phase: &str) -> std::result::Result<Witness, String> {
    let mut witnesses = log.lines().filter_map(|line| serde_json::from_str::<Witness>(line).ok());
    let last = log.lines().last().unwrap_or_default();
    witnesses.rfind(|witness| witness.schema == SCHEMA).ok_or_else(|| format!("the pod {phase}: {last}"))
}
