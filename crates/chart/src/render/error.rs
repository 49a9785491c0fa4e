//! The errors of templates as Helm re-words them.
//!
//! Helm reads the one-line texts of Go's template engine back and decides by what it finds: a message from `required` or
//! `fail` stands alone, a chain of template errors is spread over lines, and as soon as a plain error is part of the chain
//! the one line stays as it is.

use gotemplate::{Error, FuncError};

/// Marks a message that is to be shown without the chain that led to it.
const START: &str = "HELM_ERR_START";
const END: &str = "HELM_ERR_END";

/// A message of `required` or `fail`.
pub(super) fn marked(message: &str) -> String {
    format!("{START}{message}{END}")
}

/// A text that does not parse: where, and the last part of what is wrong.
pub(super) fn parse_error(path: &str, error: &Error) -> String {
    let text = error.to_string();
    let parts: Vec<&str> = text.split(": ").collect();
    match parts.as_slice() {
        [_, location, .., last] => format!("parse error at ({location}): {last}"),
        [_, location] => format!("parse error at ({location}): {location}"),
        _ => format!("parse error in ({path}): {text}"),
    }
}

/// A template that failed.
pub(super) fn execution_error(error: &Error) -> String {
    let text = error.to_string();
    if !matches!(error, Error::Exec(_)) {
        return text;
    }
    let mut parts = text.splitn(3, ": ");
    let (Some(_), Some(location), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return format!("execution error in ({text}): {text}");
    };
    if let (Some(start), Some(end)) = (rest.find(START), rest.rfind(END))
        && start + START.len() <= end
    {
        return format!("execution error at ({location}): {}", &rest[start + START.len()..end]);
    }
    let mut traces: Vec<Trace> = Vec::new();
    for link in chain(error) {
        match Trace::parse(&link) {
            Some(trace) if traces.last() != Some(&trace) => traces.push(trace),
            Some(_) => {}
            None => return text,
        }
    }
    traces.iter().map(Trace::to_string).collect::<String>().trim().to_string()
}

/// The texts of an error and of those that it wraps, outermost first.
fn chain(error: &Error) -> Vec<String> {
    let mut texts = Vec::new();
    let mut current = Some(error);
    while let Some(error) = current.take() {
        texts.push(error.to_string());
        if let Error::Exec(exec) = error
            && let Some(cause) = &exec.cause
        {
            match &cause.error {
                FuncError::Template(inner) => current = Some(inner),
                plain => texts.push(plain.to_string()),
            }
        }
    }
    texts
}

/// One link of the chain, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    location: String,
    executing: String,
    message: String,
}

impl Trace {
    fn parse(text: &str) -> Option<Trace> {
        let rest = text.strip_prefix("template: ")?;
        if rest.starts_with("no template ") {
            return Some(Trace { location: String::new(), executing: String::new(), message: text.to_string() });
        }
        let uncut = |message: &str| message.split(" template:").next().unwrap_or(message).to_string();
        if let Some((location, after)) = rest.split_once(": executing ")
            && let Some((function, after)) = after.strip_prefix('"').and_then(|a| a.split_once('"'))
            && let Some((node, message)) = after.strip_prefix(" at <").and_then(|a| a.split_once(">: "))
        {
            return Some(Trace {
                location: location.to_string(),
                executing: format!("executing \"{function}\" at <{node}>:"),
                message: uncut(message),
            });
        }
        let (location, message) = rest.rsplit_once(": ")?;
        Some(Trace { location: location.to_string(), executing: String::new(), message: uncut(message) })
    }
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.location.is_empty() {
            write!(f, "{}\n  ", self.location)?;
        }
        if !self.executing.is_empty() {
            write!(f, "{}\n    ", self.executing)?;
        }
        if !self.message.is_empty() {
            writeln!(f, "{}", self.message)?;
        }
        Ok(())
    }
}
