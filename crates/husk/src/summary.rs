//! What is true on the cluster at the end: nodes, handlers, classes; as data and as text.

use crate::rollout::{Class, Rollout};
use contract::{Code, NodeRecord, Stage, State, label};
use fleet::node::Node;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// One node as the cluster shows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeSummary {
    pub(crate) name: String,
    /// Whether a rollout selects it.
    pub(crate) selected: bool,
    /// Whether both labels say that it is served; where nothing is labelled, whether its record says that it is done.
    pub(crate) labelled: bool,
    pub(crate) ready: bool,
    pub(crate) runtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) distribution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Code>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// The handlers of this installation that the kubelet reports, or that the runtime proved where it does not.
    pub(crate) handlers: Vec<String>,
    /// Handlers that the installer proved and the kubelet does not report.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// Why no rollout selects it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<String>,
    /// RFC 3339, when its record was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) updated_at: Option<String>,
}

impl NodeSummary {
    /// Tells whether the node is what the installation wants it to be.
    pub(crate) fn converged(&self) -> bool {
        self.labelled && self.missing.is_empty() && self.state != Some(State::Failed)
    }

    /// Tells whether the installer was through and something of it went away since.
    pub(crate) fn has_drifted(&self) -> bool {
        self.selected && !self.converged() && (self.stage, self.state) == (Some(Stage::Label), Some(State::Done))
    }
}

/// One RuntimeClass and how many of the selected nodes serve it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClassSummary {
    pub(crate) name: String,
    pub(crate) handler: String,
    pub(crate) nodes: usize,
}

/// Puts together what the cluster shows of one rollout.
pub(crate) fn nodes(rollout: &Rollout, nodes: &[Node], records: &BTreeMap<String, NodeRecord>) -> Vec<NodeSummary> {
    let mark = label::install_mark(&rollout.install);
    let says = |node: &Node, key: &str| node.labels.get(key).is_some_and(|value| value == "true");
    nodes
        .iter()
        .map(|node| {
            let record = records.get(&node.name);
            let left_out = rollout.rules.left_out(node);
            let proven: BTreeSet<String> = record.iter().flat_map(|record| record.handlers.iter().cloned()).collect();
            let (handlers, missing) = match &node.handlers {
                Some(served) => proven.iter().cloned().partition(|handler| served.contains(handler)),
                None => (proven.iter().cloned().collect(), Vec::new()),
            };
            NodeSummary {
                name: node.name.clone(),
                selected: left_out.is_none(),
                labelled: match rollout.last_stage() {
                    Stage::Label => says(node, &mark) && says(node, label::KATA_RUNTIME),
                    last => record.is_some_and(|record| (record.stage, record.state) == (last, State::Done)),
                },
                ready: node.ready,
                runtime: node.runtime_version.clone(),
                distribution: record.and_then(|record| record.distribution.clone()),
                stage: record.map(|record| record.stage),
                state: record.map(|record| record.state),
                code: record.and_then(|record| record.code),
                message: record.map(|record| record.message.clone()).unwrap_or_default(),
                handlers,
                missing,
                warnings: record.map(|record| record.warnings.clone()).unwrap_or_default(),
                skipped: left_out.map(|reason| reason.to_string()),
                payload: record.and_then(|record| record.payload.clone()),
                updated_at: record.and_then(|record| record.updated_at.clone()),
            }
        })
        .collect()
}

/// Counts the selected nodes that serve each class.
pub(crate) fn classes(classes: &[Class], nodes: &[NodeSummary]) -> Vec<ClassSummary> {
    let serves = |node: &NodeSummary, handler: &str| node.selected && node.handlers.iter().any(|h| h == handler);
    let serving = |handler: &str| nodes.iter().filter(|node| serves(node, handler)).count();
    classes
        .iter()
        .map(|class| ClassSummary {
            name: class.name.clone(),
            handler: class.handler.clone(),
            nodes: serving(&class.handler),
        })
        .collect()
}

/// Most nodes that a table lists when nothing is wrong with them.
const LISTED: usize = 20;

/// Draws the nodes as a table: those with problems always, the others up to a bound.
pub(crate) fn node_table(nodes: &[NodeSummary]) -> String {
    let mut rows = vec![["NODE", "RUNTIME", "DISTRIBUTION", "STAGE", "STATE", "HANDLERS"].map(str::to_owned)];
    let wrong = |node: &&NodeSummary| node.selected && !node.converged();
    let fine: Vec<&NodeSummary> = nodes.iter().filter(|node| node.selected && node.converged()).collect();
    let shown = nodes.iter().filter(wrong).chain(fine.iter().copied().take(LISTED));
    for node in shown {
        let state = match (node.code, node.state) {
            (Some(code), _) => code.to_string(),
            (None, Some(State::Done)) if node.converged() => "done".to_owned(),
            (None, Some(State::Done)) => "drifted".to_owned(),
            (None, Some(State::Running)) => "running".to_owned(),
            (None, Some(State::Failed)) => "failed".to_owned(),
            (None, Some(State::Pending) | None) => "pending".to_owned(),
        };
        rows.push([
            node.name.clone(),
            node.runtime.replace("://", " "),
            node.distribution.clone().unwrap_or_else(|| "-".to_owned()),
            node.stage.map_or_else(|| "-".to_owned(), |stage| stage.to_string()),
            state,
            node.handlers.len().to_string(),
        ]);
    }
    let mut text = columns(&rows);
    if fine.len() > LISTED {
        let _ = writeln!(text, "and {} more that are done", fine.len() - LISTED);
    }
    for node in nodes.iter().filter(wrong).filter(|node| !node.message.is_empty()) {
        let _ = writeln!(text, "{}: {}", node.name, node.message);
    }
    for node in nodes.iter().filter(|node| !node.missing.is_empty()) {
        let _ = writeln!(text, "{}: the kubelet does not report {}", node.name, node.missing.join(", "));
    }
    text
}

/// Draws classes as a table.
pub(crate) fn class_table(classes: &[ClassSummary]) -> String {
    let head = [["RUNTIMECLASS", "HANDLER", "NODES"].map(str::to_owned)];
    let rows = classes.iter().map(|class| [class.name.clone(), class.handler.clone(), class.nodes.to_string()]);
    columns(&head.into_iter().chain(rows).collect::<Vec<_>>())
}

/// Aligns rows of cells; no spaces at a line's end.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Mode;

    fn node(name: &str, labelled: bool, handlers: Option<&[&str]>) -> Node {
        let mut node = Node { name: name.into(), ready: true, ..Node::default() };
        if labelled {
            node.labels.insert(label::KATA_RUNTIME.into(), "true".into());
            node.labels.insert(label::install_mark("default"), "true".into());
        }
        node.handlers = handlers.map(|list| list.iter().map(|h| (*h).to_owned()).collect());
        node
    }

    fn rollout() -> Rollout {
        Rollout {
            mode: Mode::DaemonSet("kata-deploy".into()),
            install: "default".into(),
            rules: fleet::selection::Rules::default(),
            environment: BTreeMap::new(),
            dispatcher_labels: BTreeMap::new(),
            removal: Vec::new(),
        }
    }

    #[test]
    fn a_node_has_converged_when_labels_and_kubelet_agree_with_its_record() {
        let mut record = NodeRecord::new("a", "default", Stage::Label, State::Done);
        record.handlers = vec!["kata-qemu".into(), "kata-clh".into()];
        let records: BTreeMap<String, NodeRecord> = ["a", "b", "c"]
            .into_iter()
            .map(|name| (name.to_owned(), NodeRecord { node: name.into(), ..record.clone() }))
            .collect();
        let nodes = [
            node("a", true, Some(&["runc", "kata-qemu", "kata-clh"])),
            node("b", true, Some(&["runc", "kata-qemu"])),
            node("c", true, None),
            node("d", false, None),
        ];
        let summary = super::nodes(&rollout(), &nodes, &records);
        let converged: Vec<bool> = summary.iter().map(NodeSummary::converged).collect();
        assert_eq!(converged, [true, false, true, false]);
        assert_eq!(summary[1].missing, ["kata-clh"]);
        let class = Class { name: "kata-clh".into(), handler: "kata-clh".into() };
        assert_eq!(super::classes(&[class], &summary)[0].nodes, 2);
        let table = node_table(&summary);
        assert!(table.contains("b: the kubelet does not report kata-clh"), "{table}");
        assert!(table.lines().nth(1).is_some_and(|line| line.starts_with('b')), "problems come first: {table}");
    }
}
