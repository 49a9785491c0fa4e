//! What happens on the way and a user may want to see: handed to the caller, never printed here.

use chart::{LogLevel, LogLine};

/// Something to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A line (or several) of the command's own output, without the final line break.
    Line(String),
    /// A log line; Helm sends these to standard error.
    Log(LogLine),
}

/// Takes notices, in the order of their arrival.
pub type Notify<'a> = &'a mut (dyn FnMut(Notice) + Send);

pub(crate) fn warning(message: &str, fields: Vec<(&'static str, String)>) -> Notice {
    Notice::Log(LogLine { level: LogLevel::Warn, message: message.into(), fields })
}

/// Passes on what the chart room had to say.
pub(crate) fn pass_on(log: chart::Log, notify: &mut (dyn FnMut(Notice) + Send)) {
    log.0.into_iter().for_each(|line| notify(Notice::Log(line)));
}
