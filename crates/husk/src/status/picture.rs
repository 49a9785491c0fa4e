//! The picture of an installation: plain data, made from what was observed, and drawn three ways (text, terminal, page).

use super::problems::{self, Problem};
use crate::rollout::{Class, Mode, Rollout};
use crate::summary::{self, ClassSummary, NodeSummary};
use contract::{Stage, State};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The schema of [`Picture`].
pub(crate) const SCHEMA: &str = "husk.status/v1";

/// Everything that `husk status` shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Picture {
    pub(crate) schema: String,
    pub(crate) release: String,
    pub(crate) namespace: String,
    pub(crate) revision: u32,
    /// Helm's word: `deployed`, `failed`, `pending-upgrade`, …
    pub(crate) status: String,
    pub(crate) description: String,
    /// Name and version.
    pub(crate) chart: String,
    /// RFC 3339, when this revision was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deployed_at: Option<String>,
    #[serde(default)]
    pub(crate) versions: Versions,
    /// How the nodes are reached.
    #[serde(default)]
    pub(crate) mode: String,
    #[serde(default)]
    pub(crate) counts: Counts,
    /// How many nodes stand where, stage by stage.
    #[serde(default)]
    pub(crate) stages: Vec<StageCount>,
    pub(crate) nodes: Vec<NodeSummary>,
    pub(crate) classes: Vec<ClassSummary>,
    #[serde(default)]
    pub(crate) snapshotters: Vec<Snapshotter>,
    /// What differs from what was installed.
    #[serde(default)]
    pub(crate) drift: Vec<Drift>,
    #[serde(default)]
    pub(crate) problems: Vec<Problem>,
}

/// Versions of the parts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Versions {
    pub(crate) husk: String,
    pub(crate) kubernetes: String,
    /// The payload that the release wants.
    pub(crate) payload: String,
    /// How many nodes run which container runtime.
    pub(crate) runtimes: BTreeMap<String, usize>,
}

/// How many nodes are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Counts {
    pub(crate) selected: usize,
    pub(crate) converged: usize,
    pub(crate) under_way: usize,
    pub(crate) waiting: usize,
    pub(crate) failed: usize,
    pub(crate) drifted: usize,
    pub(crate) skipped: usize,
}

/// One stage and how many selected nodes are where in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StageCount {
    pub(crate) stage: Stage,
    pub(crate) done: usize,
    pub(crate) running: usize,
    pub(crate) failed: usize,
    pub(crate) waiting: usize,
}

/// A snapshotter that classes use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Snapshotter {
    pub(crate) name: String,
    /// Whether the installer sets it up; otherwise the host has to have it.
    pub(crate) set_up: bool,
    /// The shims whose images it unpacks.
    pub(crate) shims: Vec<String>,
}

/// One difference from what was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Drift {
    /// An object, or `node NAME`.
    pub(crate) what: String,
    /// How it differs.
    pub(crate) how: String,
}

/// What was seen of the release and its cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) release: String,
    pub(crate) namespace: String,
    pub(crate) revision: u32,
    pub(crate) status: String,
    pub(crate) description: String,
    pub(crate) chart: String,
    pub(crate) payload: String,
    pub(crate) kubernetes: String,
    pub(crate) deployed_at: Option<String>,
    /// Who works on a pending release, and whether that process lives.
    pub(crate) holder: Option<Holder>,
    pub(crate) rollouts: Vec<Rollout>,
    pub(crate) classes: Vec<Class>,
    pub(crate) nodes: Vec<NodeSummary>,
    /// Objects that differ from the manifest.
    pub(crate) objects: Vec<Drift>,
    /// Pods of the installation that do not get on.
    pub(crate) pods: Vec<PodTrouble>,
    /// Nodes that carry the mark of the installation and are not selected any more.
    pub(crate) left_behind: Vec<String>,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

/// Whoever works on a release.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) alive: bool,
}

/// A pod that waits for something or keeps failing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodTrouble {
    pub(crate) pod: String,
    pub(crate) node: String,
    pub(crate) container: String,
    /// Kubernetes' word, such as `ImagePullBackOff` or `OOMKilled`.
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) restarts: i32,
}

impl Picture {
    /// Puts the picture together.
    pub(crate) fn of(seen: Seen) -> Picture {
        let problems = problems::find(&seen);
        let counts = count(&seen.nodes);
        let mut runtimes: BTreeMap<String, usize> = BTreeMap::new();
        let mut counted: BTreeSet<&str> = BTreeSet::new(); // two installations share nodes
        for node in seen.nodes.iter().filter(|node| node.selected) {
            if counted.insert(&node.name) {
                *runtimes.entry(node.runtime.replace("://", " ")).or_default() += 1;
            }
        }
        Picture {
            schema: SCHEMA.to_owned(),
            stages: stages(&seen.nodes),
            classes: summary::classes(&seen.classes, &seen.nodes),
            snapshotters: snapshotters(&seen.rollouts),
            drift: drift(&seen),
            mode: mode(&seen.rollouts).to_owned(),
            versions: Versions {
                husk: env!("CARGO_PKG_VERSION").to_owned(),
                kubernetes: seen.kubernetes,
                payload: seen.payload,
                runtimes,
            },
            release: seen.release,
            namespace: seen.namespace,
            revision: seen.revision,
            status: seen.status,
            description: seen.description,
            chart: seen.chart,
            deployed_at: seen.deployed_at,
            counts,
            nodes: seen.nodes,
            problems,
        }
    }
}

fn mode(rollouts: &[Rollout]) -> &'static str {
    match rollouts.first().map(|rollout| &rollout.mode) {
        Some(Mode::DaemonSet(_)) => "DaemonSet mode",
        Some(Mode::Job(_)) => "Job mode",
        None => "no node installer",
    }
}

/// How one node stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Failed,
    Drifted,
    UnderWay,
    Waiting,
    Converged,
    Skipped,
}

impl Standing {
    pub(crate) fn of(node: &NodeSummary) -> Standing {
        match node.state {
            _ if !node.selected => Standing::Skipped,
            Some(State::Failed) => Standing::Failed,
            Some(State::Running) => Standing::UnderWay,
            _ if node.converged() => Standing::Converged,
            Some(State::Done) if node.stage == Some(Stage::Label) => Standing::Drifted,
            Some(State::Done) => Standing::UnderWay,
            Some(State::Pending) | None => Standing::Waiting,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Standing::Failed => "failed",
            Standing::Drifted => "drifted",
            Standing::UnderWay => "under way",
            Standing::Waiting => "waiting",
            Standing::Converged => "converged",
            Standing::Skipped => "skipped",
        }
    }
}

/// Where a node stands in one stage.
pub(crate) fn at_stage(node: &NodeSummary, stage: Stage) -> Option<State> {
    let at = node.stage?;
    if !Stage::INSTALL.contains(&at) {
        return None; // a removal is under way: nothing is installed any more
    }
    match at.cmp(&stage) {
        std::cmp::Ordering::Greater => Some(State::Done),
        std::cmp::Ordering::Equal => node.state,
        std::cmp::Ordering::Less => None,
    }
}

fn count(nodes: &[NodeSummary]) -> Counts {
    let mut counts = Counts::default();
    for node in nodes {
        counts.selected += usize::from(node.selected);
        match Standing::of(node) {
            Standing::Failed => counts.failed += 1,
            Standing::Drifted => counts.drifted += 1,
            Standing::UnderWay => counts.under_way += 1,
            Standing::Waiting => counts.waiting += 1,
            Standing::Converged => counts.converged += 1,
            Standing::Skipped => counts.skipped += 1,
        }
    }
    counts
}

fn stages(nodes: &[NodeSummary]) -> Vec<StageCount> {
    Stage::INSTALL
        .into_iter()
        .map(|stage| {
            let mut count = StageCount { stage, done: 0, running: 0, failed: 0, waiting: 0 };
            for node in nodes.iter().filter(|node| node.selected) {
                match at_stage(node, stage) {
                    Some(State::Done) => count.done += 1,
                    Some(State::Running) => count.running += 1,
                    Some(State::Failed) => count.failed += 1,
                    Some(State::Pending) | None => count.waiting += 1,
                }
            }
            count
        })
        .collect()
}

/// Reads snapshotters off the installer's environment: `SNAPSHOTTER_HANDLER_MAPPING_*` has `shim:snapshotter,…`.
fn snapshotters(rollouts: &[Rollout]) -> Vec<Snapshotter> {
    let mut found: BTreeMap<String, Snapshotter> = BTreeMap::new();
    for rollout in rollouts {
        let set_up: Vec<&str> = rollout
            .environment
            .get("EXPERIMENTAL_SETUP_SNAPSHOTTER")
            .map(|text| text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect())
            .unwrap_or_default();
        let mappings = rollout.environment.iter().filter(|(key, _)| key.starts_with("SNAPSHOTTER_HANDLER_MAPPING"));
        let pairs = mappings.flat_map(|(_, text)| text.split(',')).filter_map(|item| item.trim().split_once(':'));
        for (shim, name) in pairs {
            let entry = found.entry(name.to_owned()).or_insert_with(|| Snapshotter {
                name: name.to_owned(),
                set_up: false,
                shims: Vec::new(),
            });
            if !entry.shims.iter().any(|known| known == shim) {
                entry.shims.push(shim.to_owned());
            }
        }
        for name in set_up {
            found
                .entry(name.to_owned())
                .or_insert_with(|| Snapshotter { name: name.to_owned(), set_up: true, shims: Vec::new() })
                .set_up = true;
        }
    }
    found.into_values().collect()
}

/// Tells whether a tag is a version as nodes name it; `latest` and digests say nothing about what is in the image.
fn is_version(tag: &str) -> bool {
    let parts: Vec<&str> = tag.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn drift(seen: &Seen) -> Vec<Drift> {
    let mut drift = seen.objects.clone();
    for node in &seen.nodes {
        let what = || format!("node {}", node.name);
        if Standing::of(node) == Standing::Drifted {
            let how = match node.missing.as_slice() {
                [] => "its labels no longer say that it is served".to_owned(),
                missing => format!("its kubelet no longer reports {}", missing.join(", ")),
            };
            drift.push(Drift { what: what(), how });
        }
        let done = node.selected && node.state == Some(State::Done);
        let known = done && is_version(&seen.payload);
        if let Some(payload) = node.payload.as_ref().filter(|payload| known && **payload != seen.payload) {
            drift.push(Drift { what: what(), how: format!("has payload {payload}, not {}", seen.payload) });
        }
    }
    let left = seen.left_behind.iter();
    drift.extend(left.map(|name| Drift {
        what: format!("node {name}"),
        how: "carries the installation's mark and is not selected any more".to_owned(),
    }));
    drift
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn node(name: &str, stage: Stage, state: State) -> NodeSummary {
        let converged = (stage, state) == (Stage::Label, State::Done);
        NodeSummary {
            name: name.into(),
            selected: true,
            labelled: converged,
            ready: true,
            runtime: "containerd://1.7.27".into(),
            distribution: Some("k8s".into()),
            stage: Some(stage),
            state: Some(state),
            handlers: if converged { vec!["kata-qemu-snp".into()] } else { Vec::new() },
            payload: converged.then(|| "4.1.0".to_owned()),
            ..NodeSummary::default()
        }
    }

    pub(crate) fn seen(nodes: Vec<NodeSummary>) -> Seen {
        Seen {
            release: "confidential-containers".into(),
            namespace: "coco-system".into(),
            revision: 3,
            status: "deployed".into(),
            description: "Upgrade complete".into(),
            chart: "confidential-containers 0.1.0".into(),
            payload: "4.1.0".into(),
            kubernetes: "v1.34.4".into(),
            classes: vec![Class { name: "kata-qemu-snp".into(), handler: "kata-qemu-snp".into() }],
            nodes,
            now: 1_000_000,
            ..Seen::default()
        }
    }

    #[test]
    fn nodes_are_counted_by_standing_and_stage() {
        let mut skipped = node("s", Stage::Label, State::Done);
        skipped.selected = false;
        let mut drifted = node("d", Stage::Label, State::Done);
        drifted.missing = vec!["kata-qemu-snp".into()];
        let nodes = vec![
            node("a", Stage::Label, State::Done),
            node("b", Stage::Cri, State::Failed),
            node("c", Stage::Artifacts, State::Running),
            drifted,
            skipped,
            NodeSummary { name: "w".into(), selected: true, ..NodeSummary::default() },
        ];
        let picture = Picture::of(seen(nodes));
        let expected =
            Counts { selected: 5, converged: 1, under_way: 1, waiting: 1, failed: 1, drifted: 1, skipped: 1 };
        assert_eq!(picture.counts, expected);
        let cri = &picture.stages[2];
        assert_eq!((cri.done, cri.running, cri.failed, cri.waiting), (2, 0, 1, 2));
        assert_eq!(picture.drift.len(), 1);
        assert!(picture.drift[0].how.contains("kata-qemu-snp"));
    }

    #[test]
    fn only_a_tag_that_is_a_version_can_be_compared() {
        assert!(is_version("4.1.0") && is_version("3.21.0"));
        assert!(!is_version("latest") && !is_version("4.1") && !is_version("4.1.0-rc1") && !is_version("sha256:4.1.0"));
    }

    #[test]
    fn another_payload_and_a_left_node_are_drift() {
        let mut old = node("a", Stage::Label, State::Done);
        old.payload = Some("4.0.0".into());
        let mut seen = seen(vec![old]);
        seen.left_behind = vec!["z".into()];
        let drift = Picture::of(seen).drift;
        assert_eq!(drift[0], Drift { what: "node a".into(), how: "has payload 4.0.0, not 4.1.0".into() });
        assert!(drift[1].how.contains("not selected"));
    }

    #[test]
    fn snapshotters_are_read_off_the_environment() {
        let environment = [
            ("SNAPSHOTTER_HANDLER_MAPPING_X86_64", "qemu-snp:nydus,qemu-tdx:nydus"),
            ("SNAPSHOTTER_HANDLER_MAPPING_S390X", "qemu-se:erofs, qemu-snp:nydus"),
            ("EXPERIMENTAL_SETUP_SNAPSHOTTER", "nydus"),
        ];
        let rollout = Rollout {
            mode: Mode::Job("d".into()),
            install: "default".into(),
            rules: fleet::selection::Rules::default(),
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            dispatcher_labels: BTreeMap::new(),
            removal: Vec::new(),
        };
        let found = snapshotters(&[rollout]);
        let text: Vec<String> =
            found.iter().map(|s| format!("{} {} {}", s.name, s.set_up, s.shims.join("+"))).collect();
        assert_eq!(text, ["erofs false qemu-se", "nydus true qemu-snp+qemu-tdx"]);
    }
}
