//! Whether the selected nodes are what the installation wants them to be, and the words for those that are not.

use crate::cluster::{self, Cluster};
use crate::error::{Failure, Result, exit};
use crate::rollout::Rollout;
use crate::summary::{self, NodeSummary};
use contract::{Code, State};
use std::collections::BTreeSet;

/// Reads what the cluster shows of every rollout on these nodes.
pub(crate) async fn standing(
    cluster: &Cluster,
    namespace: &str,
    rollouts: &[Rollout],
    nodes: &[fleet::node::Node],
) -> Result<Vec<NodeSummary>> {
    let mut all = Vec::new();
    for rollout in rollouts {
        let records =
            crate::records::list(&cluster.client, namespace, &rollout.install).await.map_err(cluster::api_failure)?;
        all.extend(summary::nodes(rollout, nodes, &records));
    }
    Ok(all)
}

/// Is the node selected, and neither what it is to be nor failed?
pub(crate) fn is_open(node: &NodeSummary) -> bool {
    node.selected && !node.converged() && node.state != Some(State::Failed)
}

/// How a node that is not done stands, in one line.
pub(crate) fn line(node: &NodeSummary) -> String {
    let code = node.code.map(|code| format!("{code} ")).unwrap_or_default();
    let Some(stage) = node.stage else { return format!("node {}: {code}not begun", node.name) };
    let message = match (node.message.as_str(), node.state) {
        ("", Some(State::Running)) => "running".to_owned(),
        ("", Some(State::Pending)) => "waiting".to_owned(),
        ("", _) if !node.missing.is_empty() => format!("the kubelet does not report {}", node.missing.join(", ")),
        ("", _) => "not labelled".to_owned(),
        (message, _) => message.to_owned(),
    };
    format!("node {}: {code}at stage {stage}: {message}", node.name)
}

/// Returns the failure that nodes make together; exit 4 when some of them converged all the same.
pub(crate) fn failure(results: &[NodeSummary]) -> Option<Failure> {
    let selected: Vec<&NodeSummary> = results.iter().filter(|node| node.selected).collect();
    let bad: Vec<&NodeSummary> = selected.iter().copied().filter(|node| !node.converged()).collect();
    let failed: Vec<&NodeSummary> = bad.iter().copied().filter(|node| node.state == Some(State::Failed)).collect();
    if bad.is_empty() || (failed.is_empty() && bad.iter().all(|node| node.state.is_none())) {
        return None; // nothing was begun anywhere: whoever did not begin says why
    }
    let mut lines: Vec<String> = bad.iter().take(20).map(|node| format!("  {}", line(node))).collect();
    if bad.len() > 20 {
        lines.push(format!("  and {} more", bad.len() - 20));
    }
    // One cause for all: say it as such, so that `husk explain` helps at once.
    let codes: BTreeSet<Code> = failed.iter().filter_map(|node| node.code).collect();
    let code = match (codes.len(), codes.first()) {
        (1, Some(code)) if failed.len() == bad.len() => *code,
        _ => Code::NODES_FAILED,
    };
    let all = selected.len();
    let counts = match (failed.len(), bad.len() - failed.len()) {
        (0, open) => format!("{open} of {all} nodes are not through; the cluster goes on with them"),
        (failed, 0) => format!("{failed} of {all} nodes failed"),
        (failed, open) => format!("{failed} of {all} nodes failed, {open} more are not through"),
    };
    let message = format!("{counts}\n{}", lines.join("\n"));
    let status = if bad.len() < selected.len() { exit::PARTLY } else { exit::ERROR };
    Some(Failure::new(code, message).exiting(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Stage;

    fn node(name: &str, stage: Stage, state: State) -> NodeSummary {
        let labelled = (stage, state) == (Stage::Label, State::Done);
        NodeSummary {
            name: name.into(),
            selected: true,
            labelled,
            stage: Some(stage),
            state: Some(state),
            ..NodeSummary::default()
        }
    }

    #[test]
    fn nodes_that_failed_are_told_from_those_still_at_work() {
        let done = node("a", Stage::Label, State::Done);
        let busy = node("b", Stage::Artifacts, State::Running);
        let failed = node("c", Stage::Cri, State::Failed);
        let told = |nodes: &[&NodeSummary]| {
            let nodes: Vec<NodeSummary> = nodes.iter().map(|node| (*node).clone()).collect();
            failure(&nodes).map(|failure| failure.to_string().lines().next().unwrap_or_default().to_owned())
        };
        assert_eq!(told(&[&done]), None);
        assert!(
            told(&[&done, &busy]).unwrap().ends_with("1 of 2 nodes are not through; the cluster goes on with them")
        );
        assert!(told(&[&done, &failed]).unwrap().ends_with("1 of 2 nodes failed"));
        assert!(told(&[&busy, &failed]).unwrap().ends_with("1 of 2 nodes failed, 1 more are not through"));
        assert_eq!([&done, &busy, &failed].map(is_open), [false, true, false]);
    }

    #[test]
    fn a_line_says_where_a_node_stands() {
        let busy = node("b", Stage::Artifacts, State::Running);
        assert_eq!(line(&busy), "node b: at stage artifacts: running");
        let silent = NodeSummary { name: "a".into(), selected: true, ..NodeSummary::default() };
        assert_eq!(line(&silent), "node a: not begun");
        let mut unseen = node("c", Stage::Label, State::Done);
        unseen.missing = vec!["kata-qemu".into()];
        assert_eq!(line(&unseen), "node c: at stage label: the kubelet does not report kata-qemu");
    }
}
