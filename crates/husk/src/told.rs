//! What the release engine tells while it works: counts, warnings, and which hook runs; it moves the clock's phases on.

use crate::phases::{Clock, Phase};
use release::event::Change;
use release::{Event, Progress};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What was told so far; clones share it.
#[derive(Clone)]
pub(crate) struct Told {
    heard: Arc<Mutex<Heard>>,
    clock: Clock,
    /// The phase of everything but the hooks in which nodes do their part.
    base: Phase,
    node_hooks: Arc<BTreeSet<String>>,
}

#[derive(Default)]
struct Heard {
    created: usize,
    changed: usize,
    unchanged: usize,
    deleted: usize,
    hooks: usize,
    running: Option<String>,
    warnings: Vec<String>,
}

impl Told {
    /// Listens to work whose hooks of these names belong to [`Phase::Nodes`] and everything else to `base`.
    pub(crate) fn new(clock: &Clock, base: Phase, node_hooks: BTreeSet<String>) -> Told {
        Told { heard: Arc::default(), clock: clock.clone(), base, node_hooks: Arc::new(node_hooks) }
    }

    /// Where the engine sends its events.
    pub(crate) fn listener(&self) -> Progress {
        let told = self.clone();
        Progress::new(move |event| told.hear(event))
    }

    fn hear(&self, event: Event) {
        let Ok(mut heard) = self.heard.lock() else { return };
        match event {
            Event::Applied { change, .. } => match change {
                Change::Created => heard.created += 1,
                Change::Configured | Change::Recreated => heard.changed += 1,
                Change::Unchanged => heard.unchanged += 1,
            },
            Event::Deleted { .. } => heard.deleted += 1,
            Event::HookStarted { object, .. } => {
                heard.hooks += 1;
                heard.running = Some(format!("{} {}", object.kind, object.name));
                self.clock.enter(if self.node_hooks.contains(&object.name) { Phase::Nodes } else { self.base });
            }
            // One that failed is what the end is about: its phase stays, and it may go on running.
            Event::HookFinished { succeeded: true, .. } => {
                heard.running = None;
                self.clock.enter(self.base);
            }
            Event::Warning { text } => heard.warnings.push(text),
            Event::TakenOver { revision, status, .. } => {
                heard
                    .warnings
                    .push(format!("revision {revision} was left {status} by an interrupted run and is taken over"));
            }
            _ => {}
        }
    }

    /// Takes the warnings away.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.heard.lock().map(|mut heard| std::mem::take(&mut heard.warnings)).unwrap_or_default()
    }

    /// Is this a removal?
    pub(crate) fn removes(&self) -> bool {
        self.base == Phase::Remove
    }

    /// The hook that runs, or that ended badly: `Job kata-deploy-install-dispatcher`.
    pub(crate) fn hook(&self) -> Option<String> {
        self.heard.lock().ok()?.running.clone()
    }

    /// What was done, in counts.
    pub(crate) fn summary(&self) -> String {
        let Ok(heard) = self.heard.lock() else { return String::new() };
        let counts = [
            (heard.created, "created"),
            (heard.changed, "changed"),
            (heard.unchanged, "unchanged"),
            (heard.deleted, "deleted"),
        ];
        let mut parts: Vec<String> =
            counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        match heard.hooks {
            0 => {}
            1 => parts.push("1 hook run".to_owned()),
            many => parts.push(format!("{many} hooks run")),
        }
        if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::Bounds;
    use release::object::ObjectId;
    use release::record::HookEvent;
    use std::time::Duration;

    #[test]
    fn a_dispatcher_is_the_nodes_phase_and_stays_what_it_is_about_when_it_fails() {
        let bounds = Bounds::new("up", &[Phase::Apply, Phase::Nodes], &[]).unwrap();
        let clock = Clock::start(bounds, Phase::Apply);
        let told = Told::new(&clock, Phase::Apply, ["dispatcher".to_owned()].into());
        let object = |name: &str| ObjectId::new("batch/v1", "Job", "n", name);
        let start = |name| told.hear(Event::HookStarted { event: HookEvent::PostInstall, object: object(name) });
        let finish = |name, succeeded| {
            let (event, took) = (HookEvent::PostInstall, Duration::ZERO);
            told.hear(Event::HookFinished { event, object: object(name), succeeded, took });
        };
        start("other");
        assert_eq!(clock.read().phase, Phase::Apply);
        finish("other", true);
        assert_eq!((told.hook(), told.summary()), (None, "1 hook run".to_owned()));
        start("dispatcher");
        assert_eq!(clock.read().phase, Phase::Nodes);
        finish("dispatcher", false);
        assert_eq!(clock.read().phase, Phase::Nodes);
        assert_eq!(told.hook().as_deref(), Some("Job dispatcher"));
    }
}
