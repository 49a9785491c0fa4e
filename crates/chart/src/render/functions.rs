//! Helm's own template functions, on top of Sprig's.

mod data;
mod durations;
mod flow;
mod toml;

use crate::{LogLine, RenderOptions};
use gotemplate::Functions;
use std::sync::{Arc, Mutex, PoisonError};

/// Log lines that functions leave behind, to be fetched after each template.
#[derive(Clone, Default)]
pub(super) struct Messages(Arc<Mutex<Vec<LogLine>>>);

impl Messages {
    /// Takes all lines.
    pub(super) fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, line: LogLine) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// All functions of one rendering.
pub(super) fn table(options: &RenderOptions) -> (Functions, Messages) {
    let messages = Messages::default();
    let (now, zone) = (options.now, options.time_zone);
    let instant = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let entropy = options.entropy.clone();
    let env = sprig::Env::new(move || instant.to_zoned(zone()), move |bytes| entropy(bytes));
    let mut table = sprig::functions(&env);
    for name in ["env", "expandenv"] {
        table.remove(name);
    }
    data::register(&mut table);
    durations::register(&mut table);
    toml::register(&mut table);
    flow::register(&mut table, options, &messages);
    (table, messages)
}
