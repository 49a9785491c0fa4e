//! Whether a DaemonSet still wants its pod on a node: its node selector and required node affinity.

use serde_json::Value;

/// Whether a DaemonSet (as JSON) selects a node (as JSON).
pub fn selects(daemon_set: &Value, node: &Value) -> bool {
    let spec = &daemon_set["spec"]["template"]["spec"];
    let label = |key: &str| node["metadata"]["labels"][key].as_str();
    let plain = spec["nodeSelector"].as_object().into_iter().flatten().all(|(key, value)| label(key) == value.as_str());
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = required["nodeSelectorTerms"].as_array();
    plain && terms.is_none_or(|terms| terms.iter().any(|term| matches_term(term, node)))
}

fn matches_term(term: &Value, node: &Value) -> bool {
    let list = |key: &str| term[key].as_array().cloned().unwrap_or_default();
    let (expressions, fields) = (list("matchExpressions"), list("matchFields"));
    // an empty term matches nothing
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|rule| {
            let key = rule["key"].as_str().unwrap_or_default();
            holds(rule, node["metadata"]["labels"][key].as_str())
        })
        && fields.iter().all(|rule| rule["key"] == "metadata.name" && holds(rule, node["metadata"]["name"].as_str()))
}

fn holds(rule: &Value, actual: Option<&str>) -> bool {
    let values: Vec<&str> = rule["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let number = |text: &str| text.parse::<i64>().ok();
    let compare = |wanted: std::cmp::Ordering| {
        let (actual, value) = (actual.and_then(number), values.first().copied().and_then(number));
        matches!((actual, value), (Some(actual), Some(value)) if actual.cmp(&value) == wanted)
    };
    match rule["operator"].as_str().unwrap_or_default() {
        "In" => actual.is_some_and(|actual| values.contains(&actual)),
        "NotIn" => actual.is_none_or(|actual| !values.contains(&actual)),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compare(std::cmp::Ordering::Greater),
        "Lt" => compare(std::cmp::Ordering::Less),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selector_and_affinity_must_both_hold() {
        let node = json!({"metadata": {"name": "n1", "labels": {"a": "1", "zone": "x"}}});
        let set = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
        let affinity = |rules: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": rules}}}});
        assert!(selects(&set(json!({})), &node));
        assert!(selects(&set(json!({"nodeSelector": {"a": "1"}})), &node));
        assert!(!selects(&set(json!({"nodeSelector": {"a": "2"}})), &node));
        for (rule, expected) in [
            (json!({"key": "zone", "operator": "In", "values": ["x", "y"]}), true),
            (json!({"key": "zone", "operator": "NotIn", "values": ["x"]}), false),
            (json!({"key": "b", "operator": "NotIn", "values": ["x"]}), true),
            (json!({"key": "b", "operator": "Exists"}), false),
            (json!({"key": "b", "operator": "DoesNotExist"}), true),
            (json!({"key": "a", "operator": "Gt", "values": ["0"]}), true),
            (json!({"key": "a", "operator": "Lt", "values": ["1"]}), false),
            (json!({"key": "a", "operator": "Like", "values": ["1"]}), false),
        ] {
            assert_eq!(selects(&set(affinity(json!([{"matchExpressions": [rule]}]))), &node), expected, "{rule}");
        }
        assert!(!selects(&set(affinity(json!([{}]))), &node));
        assert!(selects(
            &set(affinity(
                json!([{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}])
            )),
            &node
        ));
    }
}
