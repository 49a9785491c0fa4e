//! Which node a pod may run on: node selector, node affinity, taints and the RuntimeClass, as the scheduler and the
//! DaemonSet controller both judge it. Pure functions; resources and pod (anti-)affinity are not considered.

use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::ResourceExt;
use std::collections::BTreeMap;

/// Why a node is not for a pod, in the scheduler's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Node selector, affinity or the RuntimeClass's node selector.
    Affinity,
    /// `spec.unschedulable` is set.
    Unschedulable,
    /// The first taint that the pod does not tolerate: key and value.
    Taint(String, String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Affinity => f.write_str("node(s) didn't match Pod's node affinity/selector"),
            Refusal::Unschedulable => f.write_str("node(s) were unschedulable"),
            Refusal::Taint(key, value) => write!(f, "node(s) had untolerated taint {{{key}: {value}}}"),
        }
    }
}

/// Tells whether a pod may be placed on a node.
pub fn fits(spec: &PodSpec, runtime_class: Option<&RuntimeClass>, node: &Node) -> Result<(), Refusal> {
    if !matches_selection(spec, runtime_class, node) {
        return Err(Refusal::Affinity);
    }
    let tolerations = tolerations(spec, runtime_class);
    let node_spec = node.spec.as_ref();
    if node_spec.and_then(|spec| spec.unschedulable).unwrap_or(false) {
        let taint =
            Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Default::default() };
        if !tolerations.iter().any(|toleration| tolerates(toleration, &taint)) {
            return Err(Refusal::Unschedulable);
        }
    }
    match untolerated(node, &tolerations, &["NoSchedule", "NoExecute"]) {
        Some(taint) => Err(Refusal::Taint(taint.key.clone(), taint.value.clone().unwrap_or_default())),
        None => Ok(()),
    }
}

/// Tells whether node selector, required node affinity and the RuntimeClass select a node; taints are not looked at.
pub fn matches_selection(spec: &PodSpec, runtime_class: Option<&RuntimeClass>, node: &Node) -> bool {
    let labels = node.labels();
    let selects =
        |selector: &BTreeMap<String, String>| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    if !spec.node_selector.as_ref().is_none_or(selects) {
        return false;
    }
    let class_selector = runtime_class
        .and_then(|class| class.scheduling.as_ref())
        .and_then(|scheduling| scheduling.node_selector.as_ref());
    if !class_selector.is_none_or(selects) {
        return false;
    }
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|selector| matches_selector(selector, node))
}

/// Returns the node that the pod's affinity names by `metadata.name`, when it names exactly one in every term.
///
/// DaemonSet pods are bound to their node this way; knowing the name saves looking at every node.
pub fn named_node(spec: &PodSpec) -> Option<&str> {
    let required =
        spec.affinity.as_ref()?.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()?;
    let mut name = None;
    for term in &required.node_selector_terms {
        let field =
            term.match_fields.iter().flatten().find(|field| field.key == "metadata.name" && field.operator == "In")?;
        let [only] = field.values.as_deref()? else { return None };
        if name.is_some_and(|name| name != only) {
            return None;
        }
        name = Some(only.as_str());
    }
    name
}

/// A term without requirements selects nothing; terms are alternatives, requirements in a term must all hold.
fn matches_selector(selector: &NodeSelector, node: &Node) -> bool {
    selector.node_selector_terms.iter().any(|term| matches_term(term, node))
}

fn matches_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions.iter().all(|rule| matches_rule(rule, node.labels().get(&rule.key).map(String::as_str)))
        && fields.iter().all(|rule| {
            let value = (rule.key == "metadata.name").then(|| node.name_any());
            matches_rule(rule, value.as_deref())
        })
}

fn matches_rule(rule: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = rule.values.as_deref().unwrap_or_default();
    let among = value.is_some_and(|value| values.iter().any(|candidate| candidate == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let compare =
        |holds: fn(i64, i64) -> bool| match (value.and_then(number), values.first().and_then(|text| number(text))) {
            (Some(value), Some(bound)) => holds(value, bound),
            _ => false,
        };
    match rule.operator.as_str() {
        "In" => among,
        "NotIn" => !among,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|value, bound| value > bound),
        "Lt" => compare(|value, bound| value < bound),
        _ => false,
    }
}

/// Returns the pod's tolerations and those of its RuntimeClass.
pub fn tolerations(spec: &PodSpec, runtime_class: Option<&RuntimeClass>) -> Vec<Toleration> {
    let class = runtime_class
        .and_then(|class| class.scheduling.as_ref())
        .and_then(|scheduling| scheduling.tolerations.as_deref())
        .unwrap_or_default();
    spec.tolerations.iter().flatten().chain(class).cloned().collect()
}

/// Returns the first taint with one of the given effects that none of the tolerations covers.
pub fn untolerated<'n>(node: &'n Node, tolerations: &[Toleration], effects: &[&str]) -> Option<&'n Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints
        .iter()
        .filter(|taint| effects.contains(&taint.effect.as_str()))
        .find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    let key = toleration.key.as_deref().unwrap_or_default();
    if !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" | "" => {
            !key.is_empty()
                && toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
        _ => false,
    }
}

/// Says why no node fits, as the scheduler does: `0/3 nodes are available: 2 node(s) …, 1 node(s) ….`
pub fn explain(refusals: &[Refusal]) -> String {
    if refusals.is_empty() {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for refusal in refusals {
        *counts.entry(refusal.to_string()).or_default() += 1;
    }
    let mut reasons: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    format!("0/{} nodes are available: {}.", refusals.len(), reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, labels: serde_json::Value, taints: serde_json::Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}}))
            .unwrap()
    }

    fn spec(value: serde_json::Value) -> PodSpec {
        let mut value = value;
        value["containers"] = json!([]);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn selector_and_affinity_operators() {
        let node = node("n1", json!({"arch": "amd64", "rank": "7"}), json!([]));
        let cases = [
            (json!({"key": "arch", "operator": "In", "values": ["arm64", "amd64"]}), true),
            (json!({"key": "arch", "operator": "NotIn", "values": ["amd64"]}), false),
            (json!({"key": "none", "operator": "NotIn", "values": ["amd64"]}), true),
            (json!({"key": "arch", "operator": "Exists"}), true),
            (json!({"key": "arch", "operator": "DoesNotExist"}), false),
            (json!({"key": "rank", "operator": "Gt", "values": ["6"]}), true),
            (json!({"key": "rank", "operator": "Lt", "values": ["6"]}), false),
            (json!({"key": "arch", "operator": "Gt", "values": ["6"]}), false),
        ];
        for (rule, expected) in cases {
            let spec = spec(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": [rule.clone()]}]}}}}));
            assert_eq!(fits(&spec, None, &node).is_ok(), expected, "{rule}");
        }
        let empty_term = spec(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{}]}}}}));
        assert_eq!(fits(&empty_term, None, &node), Err(Refusal::Affinity));
    }

    #[test]
    fn taints_need_a_toleration_of_their_effect() {
        let node = node("n1", json!({}), json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]));
        let refusal = Err(Refusal::Taint("k".into(), "v".into()));
        assert_eq!(fits(&spec(json!({})), None, &node), refusal);
        assert_eq!(fits(&spec(json!({"tolerations": [{"key": "k", "value": "other"}]})), None, &node), refusal);
        let wrong_effect = json!({"tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"}]});
        assert_eq!(fits(&spec(wrong_effect), None, &node), refusal);
        for right in [
            json!({"key": "k", "value": "v"}),
            json!({"operator": "Exists"}),
            json!({"key": "k", "operator": "Exists"}),
        ] {
            assert_eq!(fits(&spec(json!({"tolerations": [right]})), None, &node), Ok(()));
        }
    }

    #[test]
    fn a_runtime_class_narrows_and_tolerates() {
        let class: RuntimeClass = serde_json::from_value(json!({"metadata": {"name": "kata"}, "handler": "kata",
            "scheduling": {"nodeSelector": {"kata": "true"}, "tolerations": [{"key": "k", "operator": "Exists"}]}}))
        .unwrap();
        let taints = json!([{"key": "k", "effect": "NoSchedule"}]);
        assert_eq!(fits(&spec(json!({})), Some(&class), &node("n", json!({}), taints.clone())), Err(Refusal::Affinity));
        assert_eq!(fits(&spec(json!({})), Some(&class), &node("n", json!({"kata": "true"}), taints)), Ok(()));
    }

    #[test]
    fn refusals_are_counted_in_the_message() {
        let refusals =
            [Refusal::Affinity, Refusal::Taint("a".into(), String::new()), Refusal::Affinity, Refusal::Unschedulable];
        assert_eq!(
            explain(&refusals),
            "0/4 nodes are available: 1 node(s) had untolerated taint {a: }, 1 node(s) were unschedulable, \
             2 node(s) didn't match Pod's node affinity/selector."
        );
    }

    #[test]
    fn a_pod_names_its_node_only_when_every_term_does() {
        let term = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        let with = |terms: serde_json::Value| {
            spec(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": terms}}}}))
        };
        assert_eq!(named_node(&with(json!([term("a"), term("a")]))), Some("a"));
        assert_eq!(named_node(&with(json!([term("a"), term("b")]))), None);
        assert_eq!(named_node(&spec(json!({}))), None);
    }
}
