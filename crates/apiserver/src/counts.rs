//! How many requests came, by who sent them and what they were about: `GET /metrics`, as Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use crate::auth::User;
use crate::auth::rbac::Action;

/// The counters; the key is user, verb, group and resource.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<[String; 4], u64>>);

impl Counts {
    /// Counts a request.
    pub(crate) fn note(&self, user: &User, action: &Action) {
        let key = [&user.name, &action.verb, &action.group, &action.resource].map(Clone::clone);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
    }

    /// All of them.
    pub(crate) fn text(&self) -> String {
        let mut text = "# TYPE apiserver_request_total counter\n".to_owned();
        for ([user, verb, group, resource], count) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "apiserver_request_total{{user={user:?},verb={verb:?},group={group:?},resource={resource:?}}} {count}"
            );
        }
        text
    }
}
