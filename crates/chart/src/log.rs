//! What Helm says on the side: log lines, collected instead of written.

use std::fmt;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Always shown.
    Info,
    /// Always shown.
    Warn,
    /// Always shown.
    Error,
}

/// One line: a message and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// What happened.
    pub message: String,
    /// Names and values, in Helm's order.
    pub fields: Vec<(&'static str, String)>,
}

/// The lines of one operation, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log(pub Vec<LogLine>);

impl Log {
    /// Adds a line.
    pub fn add(&mut self, level: LogLevel, message: impl Into<String>, fields: Vec<(&'static str, String)>) {
        self.0.push(LogLine { level, message: message.into(), fields });
    }

    /// Adds what Helm sends through Go's older `log` package, which comes out as an information.
    pub(crate) fn note(&mut self, message: impl Into<String>) {
        self.add(LogLevel::Info, message, Vec::new());
    }

    /// Adds a warning.
    pub(crate) fn warn(&mut self, message: impl Into<String>, fields: Vec<(&'static str, String)>) {
        self.add(LogLevel::Warn, message, fields);
    }
}

/// Helm's own form, without time: `level=WARN msg="..." key=value`.
impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            LogLevel::Info => "INFO",
            LogLevel::Warn => "WARN",
            LogLevel::Error => "ERROR",
        };
        write!(f, "level={level} msg={}", word(&self.message))?;
        for (name, value) in &self.fields {
            write!(f, " {name}={}", word(value))?;
        }
        Ok(())
    }
}

/// A value as Go's text handler writes it: quoted when it is empty or holds a blank, a quote, `=` or what does not print.
fn word(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_string();
    }
    gotemplate::quote::quoted(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_go_s() {
        let mut log = Log::default();
        log.warn("returned non-bool value", vec![("path", "sub.enabled".into()), ("error", "\"x\" is not".into())]);
        assert_eq!(
            log.0[0].to_string(),
            r#"level=WARN msg="returned non-bool value" path=sub.enabled error="\"x\" is not""#
        );
    }
}
