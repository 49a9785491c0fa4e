//! Trouble on demand: requests that fail, answers that are lost, watches that break.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::status::ApiError;

/// What happens to a request that a fault hits.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The request is refused before it does anything.
    Fail(ApiError),
    /// The request is done, but the client gets this error instead of the answer.
    LoseAnswer(ApiError),
    /// The request is done after this time.
    Delay(Duration),
}

/// A rule for the next requests that match.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Only requests with this verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …); `None` for all.
    pub verb: Option<String>,
    /// Only this resource (plural name, with `/subresource` if that is meant); `None` for all.
    pub resource: Option<String>,
    /// Only objects with this name; `None` for all.
    pub name: Option<String>,
    /// Only requests of users whose name starts with this; `None` for all.
    pub user: Option<String>,
    /// How many requests are hit.
    pub times: usize,
    /// What happens.
    pub outcome: Outcome,
}

impl Fault {
    /// The next `times` requests with this verb on this resource end this way.
    pub fn on(verb: &str, resource: &str, times: usize, outcome: Outcome) -> Self {
        let (verb, resource) = (Some(verb.to_string()), Some(resource.to_string()));
        Fault { verb, resource, name: None, user: None, times, outcome }
    }

    /// A 500 as an overloaded or restarting API server gives it.
    pub fn server_error() -> Outcome {
        Outcome::Fail(ApiError::internal("etcdserver: request timed out"))
    }

    fn hits(&self, verb: &str, resource: &str, name: &str, user: &str) -> bool {
        let is = |wanted: &Option<String>, have: &str| wanted.as_ref().is_none_or(|w| w == have);
        self.times > 0
            && is(&self.verb, verb)
            && is(&self.resource, resource)
            && is(&self.name, name)
            && self.user.as_ref().is_none_or(|prefix| user.starts_with(prefix))
    }
}

/// The handle through which a test or a chaos run makes trouble.
#[derive(Debug)]
pub struct Faults {
    rules: Mutex<Vec<Fault>>,
    dropped: watch::Sender<Drops>,
}

/// How often watches were dropped.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    all: u64,
    by_resource: BTreeMap<String, u64>,
}

impl Drops {
    /// How often the watches of this resource were.
    pub(crate) fn of(&self, resource: &str) -> u64 {
        self.all + self.by_resource.get(resource).copied().unwrap_or(0)
    }
}

impl Default for Faults {
    fn default() -> Self {
        Faults { rules: Mutex::default(), dropped: watch::Sender::new(Drops::default()) }
    }
}

impl Faults {
    /// Adds a rule. Rules are tried in the order in which they were added.
    pub fn add(&self, fault: Fault) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Ends the watches of one resource (plural name) or of all, as a broken connection would.
    pub fn drop_watches(&self, resource: Option<&str>) {
        self.dropped.send_modify(|drops| match resource {
            Some(resource) => *drops.by_resource.entry(resource.to_string()).or_default() += 1,
            None => drops.all += 1,
        });
    }

    pub(crate) fn watch_drops(&self) -> watch::Receiver<Drops> {
        self.dropped.subscribe()
    }

    /// The outcome for a request, if a rule hits it; uses the rule up by one.
    pub(crate) fn take(&self, verb: &str, resource: &str, name: &str, user: &str) -> Option<Outcome> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = rules.iter_mut().find(|f| f.hits(verb, resource, name, user))?;
        fault.times -= 1;
        let outcome = fault.outcome.clone();
        rules.retain(|f| f.times > 0);
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_as_often_as_it_says() {
        let faults = Faults::default();
        faults.add(Fault::on("get", "pods", 2, Fault::server_error()));
        assert!(faults.take("list", "pods", "", "u").is_none());
        assert!(faults.take("get", "pods", "a", "u").is_some());
        assert!(faults.take("get", "pods", "b", "u").is_some());
        assert!(faults.take("get", "pods", "b", "u").is_none());
    }
}
