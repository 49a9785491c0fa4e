//! What preflight saw of a cluster: plain data, so that it can be saved and judged again elsewhere.

use super::Question;
use crate::cluster::{self, Cluster, api_failure};
use crate::error::{Failure, Result};
use crate::node_jobs::{self, Wanted};
use crate::screen::Screen;
use contract::{Code, StageReport};
use fleet::node::{Node, Taint};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use release::Engine;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const SCHEMA: &str = "husk.preflight-snapshot/v1";
/// Most nodes that are asked when nobody says which.
const SAMPLE: usize = 12;

/// What was seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Snapshot {
    pub(crate) schema: String,
    pub(crate) kubernetes: String,
    /// The kinds that the values need, as `version/Kind`, and whether the cluster serves them.
    pub(crate) kinds: BTreeMap<String, bool>,
    /// `verb resource`, and whether the user may; absent where the cluster did not say.
    pub(crate) permissions: BTreeMap<String, bool>,
    /// The labels of the release's namespace; nothing when there is none yet.
    pub(crate) namespace: Option<BTreeMap<String, String>>,
    /// The newest revision's state and who works on it.
    pub(crate) release: Option<ReleaseSeen>,
    /// RuntimeClasses of the names that the values want: handler, and the release that owns it.
    pub(crate) classes: BTreeMap<String, ClassSeen>,
    pub(crate) nodes: Vec<NodeSeen>,
    /// What the nodes that were asked said.
    pub(crate) answers: BTreeMap<String, AnswerSeen>,
}

/// The release as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReleaseSeen {
    pub(crate) status: String,
    pub(crate) revision: u32,
    pub(crate) holder: Option<String>,
    pub(crate) holder_lives: bool,
}

/// A RuntimeClass as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClassSeen {
    pub(crate) handler: String,
    pub(crate) release: Option<String>,
}

/// A node as the cluster shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeSeen {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<Taint>,
    pub(crate) ready: bool,
    pub(crate) architecture: String,
    pub(crate) runtime: String,
    pub(crate) kernel: String,
    pub(crate) os_image: String,
    pub(crate) kubelet: String,
    /// Extended resources that devices offer, such as `nvidia.com/pgpu`.
    pub(crate) devices: Vec<String>,
    /// Images on the node and their sizes in bytes.
    #[serde(skip)]
    pub(crate) images: Vec<(String, u64)>,
}

/// What a node said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerSeen {
    pub(crate) report: Option<StageReport>,
    pub(crate) trouble: Option<String>,
}

impl NodeSeen {
    /// The node as selection rules see it.
    pub(crate) fn as_node(&self) -> Node {
        Node {
            name: self.name.clone(),
            labels: self.labels.clone(),
            taints: self.taints.clone(),
            ready: self.ready,
            runtime_version: self.runtime.clone(),
            ..Node::default()
        }
    }
}

/// Lists nodes, page by page, and keeps what is looked at here.
pub(crate) async fn nodes(client: &kube::Client) -> Result<Vec<NodeSeen>> {
    let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(client.clone());
    let mut parameters = ListParams::default().limit(crate::status::PAGE);
    let mut nodes = Vec::new();
    loop {
        let page = api.list(&parameters).await.map_err(api_failure)?;
        nodes.extend(page.items.into_iter().map(node));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(nodes),
        }
    }
}

fn node(node: k8s_openapi::api::core::v1::Node) -> NodeSeen {
    let status = node.status.unwrap_or_default();
    let info = status.node_info.unwrap_or_default();
    let taint = |taint: k8s_openapi::api::core::v1::Taint| Taint {
        key: taint.key,
        value: taint.value.unwrap_or_default(),
        effect: taint.effect,
    };
    let ready = |c: &k8s_openapi::api::core::v1::NodeCondition| c.type_ == "Ready" && c.status == "True";
    let images = status.images.unwrap_or_default().into_iter().flat_map(|image| {
        let size = u64::try_from(image.size_bytes.unwrap_or(0)).unwrap_or(0);
        image.names.unwrap_or_default().into_iter().map(move |name| (name, size))
    });
    NodeSeen {
        name: node.metadata.name.unwrap_or_default(),
        labels: node.metadata.labels.unwrap_or_default(),
        taints: node.spec.and_then(|spec| spec.taints).unwrap_or_default().into_iter().map(taint).collect(),
        ready: status.conditions.iter().flatten().any(ready),
        architecture: info.architecture,
        runtime: info.container_runtime_version,
        kernel: info.kernel_version,
        os_image: info.os_image,
        kubelet: info.kubelet_version,
        devices: status.allocatable.into_iter().flatten().map(|(name, _)| name).filter(|n| n.contains('/')).collect(),
        images: images.collect(),
    }
}

/// Looks at the cluster and, unless that is not wanted, asks nodes.
pub(crate) async fn take(
    cluster: &Cluster,
    question: &Question<'_>,
    wanted: &Wanted,
    patience: Duration,
    screen: &mut Screen,
) -> Result<Snapshot> {
    let client = &cluster.client;
    let mut snapshot = Snapshot { schema: SCHEMA.to_owned(), ..Snapshot::default() };
    snapshot.kubernetes = client.apiserver_version().await.map_err(api_failure)?.git_version;
    let known = release::Engine::new(client.clone(), question.namespace);
    let kinds: BTreeSet<(&str, &str)> = question
        .objects
        .iter()
        .filter_map(|object| Some((object["apiVersion"].as_str()?, object["kind"].as_str()?)))
        .collect();
    for (version, kind) in kinds {
        let there = known.cluster.resource(version, kind).await.map_err(|error| cluster::release_failure(&error))?;
        snapshot.kinds.insert(format!("{version}/{kind}"), there.is_some());
    }
    for (verb, group, resource) in super::checks::PERMISSIONS {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
            "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource}}});
        let review: SelfSubjectAccessReview = serde_json::from_value(review).map_err(Failure::plain)?;
        let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        // A cluster that does not answer this leaves the check unknown.
        if let Ok(answer) = reviews.create(&PostParams::default(), &review).await
            && let Some(status) = answer.status
        {
            snapshot.permissions.insert(format!("{verb} {resource}"), status.allowed);
        }
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces.get_opt(question.namespace).await.map_err(api_failure)?;
    snapshot.namespace = namespace.map(|namespace| namespace.labels().clone());
    snapshot.release = release_seen(&known, question.release).await?;
    let classes: Api<RuntimeClass> = Api::all(client.clone());
    for class in classes.list(&ListParams::default()).await.map_err(api_failure)? {
        if question.classes.iter().any(|wanted| wanted.name == class.name_any()) {
            let release = class.annotations().get("meta.helm.sh/release-name").cloned();
            snapshot.classes.insert(class.name_any(), ClassSeen { handler: class.handler, release });
        }
    }
    snapshot.nodes = nodes(client).await?;
    let asked = chosen(question, &snapshot.nodes, wanted)?;
    if !asked.is_empty()
        && let Some(pod) = node_jobs::node_pod(question.objects)
    {
        screen.step(
            "ask",
            &format!(
                "by short Jobs: {}; {} at most",
                crate::status::names(&asked.iter().map(String::as_str).collect::<Vec<_>>()),
                crate::phases::spell(patience)
            ),
        );
        let answers = node_jobs::ask(client, &pod, &asked, &["host-check"], patience).await?;
        snapshot.answers = answers
            .into_iter()
            .map(|(node, answer)| {
                let silent =
                    answer.report.is_none().then(|| answer.output.lines().last().unwrap_or_default().to_owned());
                (node, AnswerSeen { report: answer.report, trouble: answer.trouble.or(silent) })
            })
            .collect();
    }
    Ok(snapshot)
}

async fn release_seen(engine: &Engine, name: &str) -> Result<Option<ReleaseSeen>> {
    let release = match engine.get(name, 0).await {
        Ok(release) => release,
        Err(release::Error::NotFound) => return Ok(None),
        Err(error) => return Err(cluster::release_failure(&error)),
    };
    let lease = engine.storage.lease(name, release.version).await.map_err(|e| cluster::release_failure(&e))?;
    let now = jiff::Timestamp::now().as_second();
    Ok(Some(ReleaseSeen {
        status: release.info.status.to_string(),
        revision: release.version,
        holder_lives: lease.as_ref().is_some_and(|it| release::lease::judge(it, now) == release::lease::Holder::Alive),
        holder: lease.map(|lease| lease.holder),
    }))
}

/// Returns the nodes to ask: those named, or of the selected ones one of each kind.
fn chosen(question: &Question<'_>, nodes: &[NodeSeen], wanted: &Wanted) -> Result<Vec<String>> {
    let selected = |node: &&NodeSeen| question.rollouts.iter().any(|r| r.rules.left_out(&node.as_node()).is_none());
    Ok(match wanted {
        Wanted::None => Vec::new(),
        Wanted::All => nodes.iter().filter(selected).map(|node| node.name.clone()).collect(),
        Wanted::Sample => sample(nodes.iter().filter(selected).filter(|node| node.ready)),
        Wanted::Named(names) => {
            node_jobs::check_names(names, nodes.iter().map(|node| node.name.as_str()))?;
            names.clone()
        }
    })
}

/// One node of each kind: nodes with equal architecture, runtime, kernel and system are asked once.
pub(crate) fn sample<'a>(nodes: impl Iterator<Item = &'a NodeSeen>) -> Vec<String> {
    let mut kinds: BTreeMap<(&str, &str, &str, &str), String> = BTreeMap::new();
    for node in nodes {
        kinds
            .entry((&node.architecture, &node.runtime, &node.kernel, &node.os_image))
            .or_insert_with(|| node.name.clone());
    }
    kinds.into_values().take(SAMPLE).collect()
}

/// Reads a saved snapshot.
pub(crate) fn read(file: &Path) -> Result<Snapshot> {
    let fail = |why: String| Failure::new(Code::UNREADABLE_FILE, format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
    let snapshot: Snapshot = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
    if snapshot.schema != SCHEMA {
        return Err(fail(format!("its schema is `{}`, not `{SCHEMA}`", snapshot.schema)));
    }
    Ok(snapshot)
}

/// Saves a snapshot.
pub(crate) fn write(file: &Path, snapshot: &Snapshot) -> Result<()> {
    let text = serde_json::to_string_pretty(snapshot).map_err(Failure::plain)?;
    std::fs::write(file, text).map_err(|e| Failure::new(Code::UNREADABLE_FILE, format!("{}: {e}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_nodes_are_asked_once() {
        let node =
            |name: &str, runtime: &str| NodeSeen { name: name.into(), runtime: runtime.into(), ..NodeSeen::default() };
        let nodes = [node("a", "containerd://2"), node("b", "containerd://2"), node("c", "cri-o://1")];
        assert_eq!(sample(nodes.iter()), ["a", "c"]);
    }
}
