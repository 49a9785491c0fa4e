//! Who asks, and whether they may.

pub mod bootstrap;
pub mod rbac;
pub mod token;

use serde_json::{Value, json};

/// An authenticated (or anonymous) user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name, e.g. `system:serviceaccount:ns:name`.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Uid, empty when there is none.
    pub uid: String,
    /// Extra information (the pod and node of a bound token).
    pub extra: Vec<(String, String)>,
}

impl User {
    /// A user with these groups and `system:authenticated`.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> User {
        let mut groups: Vec<String> = groups.iter().map(|g| (*g).to_string()).collect();
        groups.push("system:authenticated".into());
        User { name: name.into(), groups, uid: String::new(), extra: Vec::new() }
    }

    /// The administrator: in `system:masters`, to whom everything is allowed.
    pub fn admin() -> User {
        User::new("kubernetes-admin", &["system:masters"])
    }

    /// Somebody without credentials.
    pub fn anonymous() -> User {
        User { groups: vec!["system:unauthenticated".into()], ..User::new("system:anonymous", &[]) }
    }

    /// A ServiceAccount.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> User {
        let groups = ["system:serviceaccounts".to_string(), format!("system:serviceaccounts:{namespace}")];
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        User { uid: uid.into(), ..User::new(format!("system:serviceaccount:{namespace}:{name}"), &groups) }
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// As reviews show it.
    pub fn to_json(&self) -> Value {
        let mut out = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            out["uid"] = self.uid.clone().into();
        }
        if !self.extra.is_empty() {
            let extra = self.extra.iter().map(|(k, v)| (k.clone(), json!([v])));
            out["extra"] = Value::Object(extra.collect());
        }
        out
    }
}
