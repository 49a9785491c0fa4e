//! Nobody grants rights that they do not have themselves.

use serde_json::{Value, json};

use crate::auth::User;
use crate::auth::rbac::{Action, allowed, covers, role_rules, rules};
use crate::resource::Resource;
use crate::server::State;
use crate::status::ApiError;

/// Refuses roles and bindings that would give more than the user has.
pub(crate) fn check(state: &State, resource: &Resource, object: &Value, user: &User) -> Result<(), ApiError> {
    if user.is_in("system:masters") {
        return Ok(());
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let special = |verb: &str, resource: &str, name: &str| Action {
        verb: verb.into(),
        group: "rbac.authorization.k8s.io".into(),
        resource: resource.into(),
        namespace: namespace.into(),
        name: name.into(),
        path: String::new(),
    };
    let wanted = if resource.plural.ends_with("bindings") {
        let role = &object["roleRef"];
        let role_name = role["name"].as_str().unwrap_or_default();
        let plural = if role["kind"] == "ClusterRole" { "clusterroles" } else { "roles" };
        if allowed(&state.store, user, &special("bind", plural, role_name)) {
            return Ok(());
        }
        let found = role_rules(&state.store, role, namespace);
        found.ok_or_else(|| {
            let kind = if plural == "roles" { "role" } else { "clusterrole" };
            let missing = Resource { plural: plural.into(), ..resource.clone() };
            ApiError {
                message: format!("{kind}.rbac.authorization.k8s.io {role_name:?} not found"),
                ..ApiError::not_found(&missing, role_name)
            }
        })?
    } else {
        if allowed(&state.store, user, &special("escalate", &resource.plural, name)) {
            return Ok(());
        }
        object["rules"].as_array().cloned().unwrap_or_default()
    };
    let held = rules(&state.store, user, namespace);
    let missing: Vec<String> = wanted.iter().filter(|rule| !covers(&held, rule)).map(shown).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|g| format!("{g:?}")).collect();
    let why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        missing.join("\n")
    );
    Err(ApiError::forbidden(resource, name, why))
}

/// A rule as the real server prints it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
fn shown(rule: &Value) -> String {
    let list = |key: &str| rule.get(key).filter(|v| **v != json!([])).map(|v| v.to_string().replace("\",\"", "\" \""));
    let parts: Vec<String> = [
        ("APIGroups", "apiGroups"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("Resources", "resources"),
        ("ResourceNames", "resourceNames"),
        ("Verbs", "verbs"),
    ]
    .iter()
    .filter_map(|(title, key)| Some(format!("{title}:{}", list(key)?)))
    .collect();
    format!("{{{}}}", parts.join(", "))
}
