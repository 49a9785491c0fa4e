//! The marks on the host's Node: pure decisions about its labels and taints.

use contract::label::{INSTALL_MARK_PREFIX, KATA_RUNTIME, install_mark};
use serde_json::{Map, Value, json};

/// How far an installation on the node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Under way.
    Pending,
    /// Its handlers are served.
    Served,
    /// Gone.
    Removed,
}

/// The label changes that a mark needs: a merge patch's `labels`, empty when all is as it should be.
///
/// The label that all installations share says `true` while any of them is served, `false` while none is but one is under way,
/// and leaves with the last.
pub fn label_changes(node: &Value, install: &str, mark: Mark) -> Map<String, Value> {
    let labels = node["metadata"]["labels"].as_object();
    let own = install_mark(install);
    let others: Vec<&Value> = labels
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.starts_with(INSTALL_MARK_PREFIX) && **key != own)
        .map(|(_, value)| value)
        .collect();
    let own_value = match mark {
        Mark::Pending => json!("false"),
        Mark::Served => json!("true"),
        Mark::Removed => Value::Null,
    };
    let served = mark == Mark::Served || others.iter().any(|value| **value == "true");
    let shared = match (served, mark == Mark::Removed && others.is_empty()) {
        (true, _) => json!("true"),
        (false, true) => Value::Null,
        (false, false) => json!("false"),
    };
    let now = |key: &str| labels.and_then(|labels| labels.get(key)).cloned().unwrap_or(Value::Null);
    [(own, own_value), (KATA_RUNTIME.to_owned(), shared)]
        .into_iter()
        .filter(|(key, value)| now(key) != *value)
        .collect()
}

/// The node's taints without the startup taints; `None` when it has none of them.
pub fn taints_left(node: &Value, startup: &[(String, Option<String>)]) -> Option<Vec<Value>> {
    let taints = node["spec"]["taints"].as_array()?;
    let ours = |taint: &&Value| {
        startup.iter().any(|(key, effect)| {
            taint["key"] == key.as_str() && effect.as_ref().is_none_or(|effect| taint["effect"] == effect.as_str())
        })
    };
    let left: Vec<Value> = taints.iter().filter(|taint| !ours(taint)).cloned().collect();
    (left.len() < taints.len()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(labels: Value, mark: Mark) -> Value {
        Value::Object(label_changes(&json!({"metadata": {"labels": labels}}), "default", mark))
    }

    const OWN: &str = "kata-deploy.katacontainers.io/default";
    const OTHER: &str = "kata-deploy.katacontainers.io/dev";

    #[test]
    fn one_installation_alone() {
        assert_eq!(changes(json!({}), Mark::Pending), json!({OWN: "false", KATA_RUNTIME: "false"}));
        assert_eq!(
            changes(json!({OWN: "false", KATA_RUNTIME: "false"}), Mark::Served),
            json!({OWN: "true", KATA_RUNTIME: "true"})
        );
        assert_eq!(changes(json!({OWN: "true", KATA_RUNTIME: "true"}), Mark::Served), json!({}));
        assert_eq!(
            changes(json!({OWN: "true", KATA_RUNTIME: "true"}), Mark::Removed),
            json!({OWN: null, KATA_RUNTIME: null})
        );
        assert_eq!(changes(json!({}), Mark::Removed), json!({}));
    }

    #[test]
    fn two_installations_share_a_label() {
        assert_eq!(changes(json!({OTHER: "true", KATA_RUNTIME: "true"}), Mark::Pending), json!({OWN: "false"}));
        let both = json!({OWN: "true", OTHER: "true", KATA_RUNTIME: "true"});
        assert_eq!(changes(both, Mark::Removed), json!({OWN: null}));
        let pending = json!({OWN: "true", OTHER: "false", KATA_RUNTIME: "true"});
        assert_eq!(changes(pending, Mark::Removed), json!({OWN: null, KATA_RUNTIME: "false"}));
    }

    #[test]
    fn startup_taints_leave_by_key_and_effect() {
        let node = json!({"spec": {"taints": [
            {"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoSchedule"}
        ]}});
        let left = taints_left(&node, &[("a".into(), Some("NoSchedule".into())), ("b".into(), None)]).unwrap();
        assert_eq!(left, [json!({"key": "a", "effect": "NoExecute"})]);
        assert_eq!(taints_left(&node, &[("c".into(), None)]), None);
        assert_eq!(taints_left(&json!({}), &[("c".into(), None)]), None);
    }
}
