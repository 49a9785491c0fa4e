//! Which nodes get a Job, and by which rule each of the others does not.

use crate::node::{Node, Taint};
use crate::selector::Selector;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// The rules of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Nodes by name; when not empty nothing else is looked at.
    pub nodes: BTreeSet<String>,
    /// A node that matches any of them is selected; none at all selects every node.
    pub selectors: Vec<Selector>,
    /// Nodes that are selected besides.
    pub also: BTreeSet<String>,
    /// The tolerations of the per-node pods; `None` when taints are not looked at.
    pub tolerations: Option<Vec<Toleration>>,
}

/// One toleration of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Toleration {
    /// The taint's key; empty with `Exists` tolerates every key.
    pub key: String,
    /// `Equal` (also when empty) or `Exists`.
    pub operator: String,
    /// The taint's value, for `Equal`.
    pub value: String,
    /// The taint's effect; empty tolerates every effect.
    pub effect: String,
}

impl Toleration {
    fn covers(&self, taint: &Taint) -> bool {
        if !self.effect.is_empty() && self.effect != taint.effect {
            return false;
        }
        match self.operator.as_str() {
            "Exists" => self.key.is_empty() || self.key == taint.key,
            _ => self.key == taint.key && self.value == taint.value,
        }
    }
}

/// Why a node is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It is not among the named nodes.
    NotNamed,
    /// No selector matches; the first requirement that failed, for each selector.
    NotSelected(Vec<String>),
    /// A taint that the per-node pods do not tolerate.
    Tainted(Taint),
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LeftOut::NotNamed => f.write_str("is not among the named nodes"),
            LeftOut::NotSelected(unmet) => write!(f, "does not meet {}", unmet.join(", nor ")),
            LeftOut::Tainted(taint) => {
                let value = if taint.value.is_empty() { String::new() } else { format!("={}", taint.value) };
                write!(f, "has the taint {}{value}:{}, which `tolerations` does not cover", taint.key, taint.effect)
            }
        }
    }
}

impl Rules {
    /// Returns why a node gets no Job, or `None` when it gets one.
    pub fn left_out(&self, node: &Node) -> Option<LeftOut> {
        self.outside(node).or_else(|| {
            if !self.nodes.is_empty() {
                return None;
            }
            let tolerations = self.tolerations.as_ref()?;
            node.taints
                .iter()
                .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
                .find(|taint| !tolerations.iter().any(|toleration| toleration.covers(taint)))
                .map(|taint| LeftOut::Tainted(taint.clone()))
        })
    }

    /// Returns why names and selectors exclude a node, whatever its taints.
    pub fn outside(&self, node: &Node) -> Option<LeftOut> {
        if !self.nodes.is_empty() {
            return (!self.nodes.contains(&node.name)).then_some(LeftOut::NotNamed);
        }
        if self.selectors.is_empty() || self.also.contains(&node.name) {
            return None;
        }
        let mut unmet = Vec::new();
        for selector in &self.selectors {
            match selector.unmet(&node.labels) {
                None => return None,
                Some(requirement) => unmet.push(requirement.to_string()),
            }
        }
        Some(LeftOut::NotSelected(unmet))
    }
}

/// How many nodes an explanation lists before it only counts.
const LISTED: usize = 20;
/// How many rules it names for those that it counts.
const RULES: usize = 10;

/// Explains a selection without nodes: each node with the rule that leaves it out; of many nodes, how many each rule does.
pub fn explain_nothing(rules: &Rules, nodes: impl Iterator<Item = impl Borrow<Node>>) -> String {
    let mut lines = Vec::new();
    let mut total = 0;
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes {
        let node = node.borrow();
        if let Some(reason) = rules.left_out(node) {
            total += 1;
            if lines.len() < LISTED {
                lines.push(format!("  {} {reason}", node.name));
            } else {
                *others.entry(reason.to_string()).or_default() += 1;
            }
        }
    }
    if total == 0 {
        return "the cluster has no nodes".to_owned();
    }
    if total > LISTED {
        lines.push(format!("  and {} more:", total - LISTED));
        let mut rules: Vec<(String, usize)> = others.into_iter().collect();
        rules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let unnamed: usize = rules.iter().skip(RULES).map(|(_, count)| count).sum();
        rules.truncate(RULES);
        lines.extend(rules.iter().map(|(reason, count)| format!("    {count}: {reason}")));
        if unnamed > 0 {
            lines.push(format!("    {unnamed}: other rules"));
        }
    }
    format!("no node is selected:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, labels: &[(&str, &str)], taints: &[(&str, &str, &str)]) -> Node {
        Node {
            name: name.into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            taints: taints
                .iter()
                .map(|(key, value, effect)| Taint {
                    key: (*key).into(),
                    value: (*value).into(),
                    effect: (*effect).into(),
                })
                .collect(),
            ..Node::default()
        }
    }

    #[test]
    fn names_win_over_selectors_and_taints() {
        let rules = Rules {
            nodes: ["a".to_owned()].into(),
            selectors: vec![Selector::parse("x").unwrap()],
            tolerations: Some(vec![]),
            ..Rules::default()
        };
        assert_eq!(rules.left_out(&node("a", &[], &[("t", "", "NoSchedule")])), None);
        assert_eq!(rules.left_out(&node("b", &[("x", "")], &[])), Some(LeftOut::NotNamed));
    }

    #[test]
    fn any_selector_selects_and_each_says_why_not() {
        let rules = Rules {
            selectors: vec![Selector::parse("a,b=1").unwrap(), Selector::parse("c").unwrap()],
            ..Rules::default()
        };
        assert_eq!(rules.left_out(&node("n", &[("c", "")], &[])), None);
        let reason = rules.left_out(&node("n", &[("a", "")], &[])).unwrap();
        assert_eq!(reason.to_string(), "does not meet b=1, nor c");
    }

    #[test]
    fn only_hard_taints_without_a_toleration_exclude() {
        let rules = Rules {
            tolerations: Some(vec![Toleration {
                key: "gpu".into(),
                operator: "Exists".into(),
                ..Toleration::default()
            }]),
            ..Rules::default()
        };
        assert_eq!(rules.left_out(&node("n", &[], &[("gpu", "x", "NoSchedule"), ("s", "", "PreferNoSchedule")])), None);
        let reason = rules.left_out(&node("n", &[], &[("cp", "", "NoExecute")])).unwrap();
        assert_eq!(reason.to_string(), "has the taint cp:NoExecute, which `tolerations` does not cover");
        let all = Rules { tolerations: None, ..Rules::default() };
        assert_eq!(all.left_out(&node("n", &[], &[("cp", "", "NoExecute")])), None);
    }

    #[test]
    fn an_empty_selection_lists_nodes_up_to_a_bound() {
        let rules = Rules { selectors: vec![Selector::parse("pool=kata").unwrap()], ..Rules::default() };
        let nodes: Vec<Node> = (0..30).map(|n| node(&format!("n{n}"), &[], &[])).collect();
        let text = explain_nothing(&rules, nodes.iter());
        assert!(
            text.contains("n0 does not meet pool=kata")
                && text.ends_with("and 10 more:\n    10: does not meet pool=kata"),
            "{text}"
        );
        assert_eq!(explain_nothing(&rules, std::iter::empty::<Node>()), "the cluster has no nodes");
    }
}
