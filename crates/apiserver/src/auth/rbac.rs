//! Role-based access control: which rules a user has, and whether they allow a request.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::User;
use crate::selector::LabelSelector;
use crate::store::{Key, Selection, Store};

const ROLES: &str = "roles.rbac.authorization.k8s.io";
const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const ROLE_BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";

/// What somebody wants to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Action {
    /// `get`, `list`, `create`, …
    pub verb: String,
    /// API group of the resource.
    pub group: String,
    /// Plural name, with `/subresource` when there is one; empty for paths outside the resources.
    pub resource: String,
    /// Namespace, empty for all or none.
    pub namespace: String,
    /// Name, empty when the request is not about one object.
    pub name: String,
    /// Path of a request that is about no resource.
    pub path: String,
}

impl Action {
    /// Why it is not allowed, in the real server's words (after the colon).
    pub fn denied(&self, user: &User) -> String {
        if self.resource.is_empty() {
            return format!("User {:?} cannot {} path {:?}", user.name, self.verb, self.path);
        }
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_string()
        } else {
            format!("in the namespace {:?}", self.namespace)
        };
        let (verb, resource, group) = (&self.verb, &self.resource, &self.group);
        format!("User {:?} cannot {verb} resource {resource:?} in API group {group:?} {place}", user.name)
    }
}

fn contains(list: &Value, wanted: &str) -> bool {
    list.as_array().into_iter().flatten().any(|v| v == "*" || v.as_str() == Some(wanted))
}

fn resource_matches(list: &Value, wanted: &str) -> bool {
    let subresource = wanted.split_once('/').map(|(_, s)| format!("*/{s}"));
    contains(list, wanted) || subresource.is_some_and(|s| list.as_array().into_iter().flatten().any(|v| v == &s))
}

/// Whether one rule allows an action.
pub fn rule_allows(rule: &Value, action: &Action) -> bool {
    if !contains(&rule["verbs"], &action.verb) {
        return false;
    }
    if action.resource.is_empty() {
        return rule["nonResourceURLs"].as_array().into_iter().flatten().filter_map(Value::as_str).any(|url| {
            url == action.path || url.strip_suffix('*').is_some_and(|prefix| action.path.starts_with(prefix))
        });
    }
    let names = rule["resourceNames"].as_array().filter(|names| !names.is_empty());
    contains(&rule["apiGroups"], &action.group)
        && resource_matches(&rule["resources"], &action.resource)
        && names.is_none_or(|names| names.iter().any(|n| n.as_str() == Some(&action.name)))
}

fn subject_is(subject: &Value, user: &User, namespace: &str) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => user.name == name,
        Some("Group") => user.is_in(name),
        Some("ServiceAccount") => {
            let namespace = subject["namespace"].as_str().filter(|n| !n.is_empty()).unwrap_or(namespace);
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

/// Adds the rules of a Role or ClusterRole; an aggregated ClusterRole has those of the roles it selects, and theirs.
fn collect_rules(store: &Store, role: &Value, seen: &mut BTreeSet<String>, out: &mut Vec<Value>) {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array().filter(|s| !s.is_empty());
    let Some(selectors) = selectors else {
        out.extend(role["rules"].as_array().into_iter().flatten().cloned());
        return;
    };
    for selector in selectors {
        let selection = Selection { labels: LabelSelector::from_object(selector), ..Selection::default() };
        for other in store.list(CLUSTER_ROLES, &selection, None, None).items {
            if seen.insert(other.key.name.clone()) {
                collect_rules(store, other.value(), seen, out);
            }
        }
    }
}

/// The rules of the role that a `roleRef` names; `None` when the role does not exist.
pub fn role_rules(store: &Store, role_ref: &Value, namespace: &str) -> Option<Vec<Value>> {
    let name = role_ref["name"].as_str().unwrap_or_default();
    let role = match role_ref["kind"].as_str() {
        Some("ClusterRole") => store.get(CLUSTER_ROLES, &Key::new("", name)),
        Some("Role") => store.get(ROLES, &Key::new(namespace, name)),
        _ => None,
    }?;
    let (mut seen, mut rules) = (BTreeSet::from([role.key.name.clone()]), Vec::new());
    collect_rules(store, role.value(), &mut seen, &mut rules);
    Some(rules)
}

fn visit(store: &Store, user: &User, namespace: &str, mut rule: impl FnMut(Value) -> bool) -> bool {
    let mut through = |binding: &Arc<crate::store::Stored>, at: &str| {
        let subjects = binding.value()["subjects"].as_array().into_iter().flatten();
        let mut subjects = subjects.filter(|s| subject_is(s, user, at));
        subjects.next().is_some()
            && role_rules(store, &binding.value()["roleRef"], at).into_iter().flatten().any(&mut rule)
    };
    let everywhere = Selection::default();
    if store.list(CLUSTER_ROLE_BINDINGS, &everywhere, None, None).items.iter().any(|b| through(b, "")) {
        return true;
    }
    if namespace.is_empty() {
        return false;
    }
    let here = Selection { namespace: Some(namespace.into()), ..Selection::default() };
    store.list(ROLE_BINDINGS, &here, None, None).items.iter().any(|b| through(b, namespace))
}

/// Whether the user may do it.
pub fn allowed(store: &Store, user: &User, action: &Action) -> bool {
    user.is_in("system:masters") || visit(store, user, &action.namespace, |rule| rule_allows(&rule, action))
}

/// All rules that a user has in a namespace.
pub fn rules(store: &Store, user: &User, namespace: &str) -> Vec<Value> {
    let mut all = Vec::new();
    if user.is_in("system:masters") {
        all.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        all.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    visit(store, user, namespace, |rule| {
        all.push(rule);
        false
    });
    all
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect()
}

/// Whether the rules `held` cover everything in `wanted`: nobody may grant what they do not have.
pub fn covers(held: &[Value], wanted: &Value) -> bool {
    let verbs = strings(&wanted["verbs"]);
    let urls = strings(&wanted["nonResourceURLs"]);
    let names = strings(&wanted["resourceNames"]);
    let names = if names.is_empty() { vec![String::new()] } else { names };
    let allowed = |action: &Action| held.iter().any(|rule| rule_allows(rule, action));
    for verb in &verbs {
        for url in &urls {
            if !allowed(&Action { verb: verb.clone(), path: url.clone(), ..Action::default() }) {
                return false;
            }
        }
        for group in strings(&wanted["apiGroups"]) {
            for resource in strings(&wanted["resources"]) {
                for name in &names {
                    let (verb, group, resource) = (verb.clone(), group.clone(), resource.clone());
                    if !allowed(&Action { verb, group, resource, name: name.clone(), ..Action::default() }) {
                        return false;
                    }
                }
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(verb: &str, resource: &str, name: &str) -> Action {
        Action { verb: verb.into(), resource: resource.into(), name: name.into(), ..Action::default() }
    }

    #[test]
    fn rules_and_what_they_allow() {
        let rule = json!({"verbs": ["get", "patch"], "apiGroups": [""], "resources": ["pods", "*/status"], "resourceNames": ["a"]});
        assert!(rule_allows(&rule, &action("get", "pods", "a")));
        assert!(rule_allows(&rule, &action("patch", "nodes/status", "a")));
        assert!(!rule_allows(&rule, &action("get", "pods", "b")));
        assert!(!rule_allows(&rule, &action("get", "pods/log", "a")));
        assert!(!rule_allows(&rule, &action("list", "pods", "")));
        let urls = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/apis/*"]});
        let get = |path: &str| Action { verb: "get".into(), path: path.into(), ..Action::default() };
        assert!(rule_allows(&urls, &get("/healthz")));
        assert!(rule_allows(&urls, &get("/apis/x")));
        assert!(!rule_allows(&urls, &get("/metrics")));
    }

    #[test]
    fn nobody_grants_what_they_do_not_have() {
        let held = [json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]})];
        assert!(covers(&held, &json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]})));
        assert!(covers(
            &held,
            &json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]})
        ));
        assert!(!covers(&held, &json!({"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods"]})));
        assert!(!covers(&held, &json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})));
        assert!(covers(
            &[json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})],
            &json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
        ));
    }
}
