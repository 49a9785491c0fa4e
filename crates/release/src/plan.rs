//! A plan: what an operation would do, object by object. Plain data, made from observations by a pure function.

use crate::apply::is_immutable;
use crate::diff::{FieldChange, diff};
use crate::error::Error;
use crate::object::ObjectId;
use crate::operation::Situation;
use crate::ownership;
use contract::Code;
use serde::Serialize;
use serde_json::Value;

/// What bringing a release to a chart and values would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The release.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// In what state it was found.
    pub situation: Situation,
    /// The revision that would be made.
    pub revision: u32,
    /// Every object of the new revision and those that would go, in the order of application.
    pub objects: Vec<Planned>,
    /// The hooks that would run, in order.
    pub hooks: Vec<PlannedHook>,
}

/// An object and what would happen to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// The object.
    pub object: ObjectId,
    /// What would happen.
    #[serde(flatten)]
    pub action: Action,
}

/// What would happen to an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Action {
    /// It would be created.
    Create,
    /// It would change.
    Change {
        /// How.
        fields: Vec<FieldChange>,
    },
    /// It would be deleted and created again.
    Recreate {
        /// The server's reason.
        why: String,
    },
    /// It would be deleted.
    Delete,
    /// It would be left although the release no longer has it.
    Keep {
        /// The reason.
        why: String,
    },
    /// Nothing.
    Unchanged,
    /// The operation would fail here.
    Blocked {
        /// The entry of the error catalogue.
        code: Code,
        /// The reason.
        why: String,
    },
}

/// A hook that would run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedHook {
    /// When.
    pub event: &'static str,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The file that it comes from.
    pub path: String,
}

/// How many objects fare how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Created.
    pub create: usize,
    /// Changed or recreated.
    pub change: usize,
    /// Deleted.
    pub delete: usize,
    /// Left as they are.
    pub unchanged: usize,
    /// In the way.
    pub blocked: usize,
}

impl Plan {
    /// Counts the objects.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for planned in &self.objects {
            match planned.action {
                Action::Create => counts.create += 1,
                Action::Change { .. } | Action::Recreate { .. } => counts.change += 1,
                Action::Delete => counts.delete += 1,
                Action::Keep { .. } | Action::Unchanged => counts.unchanged += 1,
                Action::Blocked { .. } => counts.blocked += 1,
            }
        }
        counts
    }

    /// Would nothing change? (Hooks would run nevertheless.)
    pub fn is_empty(&self) -> bool {
        let Counts { create, change, delete, blocked, .. } = self.counts();
        create + change + delete + blocked == 0
    }
}

/// What was seen of an object that the new revision has.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The object as it is; nothing when there is none.
    pub live: Option<&'a Value>,
    /// The server's answer to applying it without effect.
    pub rehearsal: Result<&'a Value, &'a Error>,
    /// Must it carry the marks of the release if it exists?
    pub must_be_ours: bool,
    /// May it be recreated when it cannot be changed?
    pub recreate: bool,
}

/// Decides what would happen to an object of the new revision.
pub fn decide(id: &ObjectId, observed: &Observed<'_>, release: &str, namespace: &str) -> Action {
    let Observed { live, rehearsal, must_be_ours, recreate } = observed;
    if let Some(live) = live
        && *must_be_ours
        && let Err(why) = ownership::check(live, release, namespace)
    {
        return Action::Blocked { code: Code::NOT_OURS, why: ownership::refusal(id, &why) };
    }
    match (rehearsal, live) {
        (Ok(_), None) => Action::Create,
        // Its namespace or its kind comes with the release itself.
        (Err(Error::Refused { code: 404, .. }), None) => Action::Create,
        (Ok(after), Some(live)) => match diff(live, after) {
            fields if fields.is_empty() => Action::Unchanged,
            fields => Action::Change { fields },
        },
        (Err(error), Some(_)) if *recreate && is_immutable(error) => Action::Recreate { why: error.to_string() },
        (Err(error), _) => Action::Blocked { code: error.code(), why: error.to_string() },
    }
}

/// Decides what would happen to an object that the new revision no longer has; nothing when it is gone already.
pub fn decide_unwanted(recorded: &Value, live: Option<&Value>, release: &str, namespace: &str) -> Option<Action> {
    let live = live?;
    if ownership::is_kept(recorded) || ownership::is_kept(live) {
        return Some(Action::Keep { why: "resource policy".to_owned() });
    }
    if ownership::check(live, release, namespace).is_err() {
        return Some(Action::Keep { why: "not owned by this release".to_owned() });
    }
    Some(Action::Delete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id() -> ObjectId {
        ObjectId::new("v1", "ConfigMap", "n", "a")
    }

    fn ours(data: &str) -> Value {
        let mut object = json!({"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": data}});
        ownership::stamp(&mut object, "web", "n");
        object
    }

    fn decided(live: Option<&Value>, rehearsal: Result<&Value, &Error>, must_be_ours: bool, recreate: bool) -> Action {
        decide(&id(), &Observed { live, rehearsal, must_be_ours, recreate }, "web", "n")
    }

    #[test]
    fn each_observation_has_its_action() {
        let (old, new) = (ours("1"), ours("2"));
        let refused = |code, message: &str| Error::Refused { object: id(), code, message: message.into() };
        assert_eq!(decided(None, Ok(&new), true, false), Action::Create);
        assert_eq!(decided(None, Err(&refused(404, "namespaces \"n\" not found")), true, false), Action::Create);
        assert_eq!(decided(Some(&new), Ok(&new), true, false), Action::Unchanged);
        assert!(
            matches!(decided(Some(&old), Ok(&new), true, false), Action::Change { fields } if fields[0].path == "data.k")
        );
        let immutable = refused(422, "field is immutable");
        assert!(matches!(decided(Some(&old), Err(&immutable), true, true), Action::Recreate { .. }));
        assert!(matches!(
            decided(Some(&old), Err(&immutable), true, false),
            Action::Blocked { code: Code::OBJECT_REFUSED, .. }
        ));
        let foreign = json!({"metadata": {"name": "a"}});
        assert!(matches!(decided(Some(&foreign), Ok(&new), true, false), Action::Blocked { code: Code::NOT_OURS, .. }));
        assert!(matches!(decided(Some(&foreign), Ok(&new), false, false), Action::Change { .. }));
    }

    #[test]
    fn what_is_no_longer_wanted_goes_unless_it_must_stay() {
        let mut kept = ours("1");
        kept["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep".into();
        assert_eq!(decide_unwanted(&json!({}), Some(&ours("1")), "web", "n"), Some(Action::Delete));
        assert!(matches!(decide_unwanted(&json!({}), Some(&kept), "web", "n"), Some(Action::Keep { .. })));
        assert!(matches!(decide_unwanted(&json!({}), Some(&json!({})), "web", "n"), Some(Action::Keep { .. })));
        assert_eq!(decide_unwanted(&json!({}), None, "web", "n"), None);
    }

    #[test]
    fn a_plan_is_empty_when_nothing_would_change() {
        let planned = |action| Planned { object: id(), action };
        let mut plan = Plan {
            name: "web".into(),
            namespace: "n".into(),
            situation: Situation::Deployed,
            revision: 2,
            objects: vec![planned(Action::Unchanged), planned(Action::Keep { why: "x".into() })],
            hooks: vec![],
        };
        assert!(plan.is_empty());
        plan.objects.push(planned(Action::Delete));
        assert!(!plan.is_empty());
        assert_eq!(serde_json::to_value(&plan).unwrap()["objects"][2]["action"], "delete");
    }
}
