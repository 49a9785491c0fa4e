//! What can go wrong, in the words of Go's text/template.

use std::fmt;
use std::sync::Arc;

/// A failure to parse or execute a template. `Display` gives Go's text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The template text is malformed.
    Parse(Box<ParseError>),
    /// Execution stopped at a place in a template.
    Exec(Box<ExecError>),
    /// There is no template of that name.
    NoTemplate {
        /// The name asked for.
        name: String,
    },
    /// The run was cancelled or used up its budget.
    Limit(LimitError),
}

/// A malformed template.
#[derive(Clone, Debug)]
pub struct ParseError {
    /// The name that the text was parsed under.
    pub template: Arc<str>,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// An execution that stopped at a place in a template.
#[derive(Clone, Debug)]
pub struct ExecError {
    /// The name of the template being executed, which may be a `define` inside `file`.
    pub template: Arc<str>,
    /// The name that the template's text was parsed under.
    pub file: Arc<str>,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in bytes, counted from 0.
    pub column: usize,
    /// The expression, printed the way Go prints it.
    pub context: String,
    /// What went wrong there, including the text of `cause`.
    pub message: String,
    /// The failed call, when a function or method returned the error.
    pub cause: Option<CallError>,
}

/// A function or method that returned an error.
#[derive(Clone, Debug)]
pub struct CallError {
    /// Its name.
    pub function: String,
    /// What it returned.
    pub error: FuncError,
}

/// The error of a function or method.
#[derive(Clone, Debug)]
pub enum FuncError {
    /// A plain message.
    Message(String),
    /// The failure of a template that the function executed or parsed.
    Template(Error),
    /// A message around the failure of a template: the whole text, and the failure inside.
    Wrapped(String, Error),
}

/// A budget that was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// Too many executions inside each other, through functions such as Helm's `tpl`.
    Depth(usize),
    /// More output, in bytes, than allowed.
    Output(usize),
    /// More steps than allowed.
    Steps(u64),
    /// More memory, in bytes, than allowed.
    Memory(usize),
    /// The run was cancelled from outside.
    Cancelled,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitError::Depth(n) => write!(f, "template executions are nested more than {n} deep"),
            LimitError::Output(n) => write!(f, "templates produced more than {n} bytes"),
            LimitError::Steps(n) => write!(f, "templates took more than {n} steps"),
            LimitError::Memory(n) => write!(f, "templates need more than {n} bytes of memory"),
            LimitError::Cancelled => f.write_str("template execution was cancelled"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Parse(e) => write!(f, "template: {}:{}: {}", e.template, e.line, e.message),
            Error::Exec(e) => e.fmt(f),
            Error::NoTemplate { name } => {
                write!(f, "template: no template {} defined", crate::quote::quoted(name.as_bytes()))
            }
            Error::Limit(limit) => write!(f, "template: {limit}"),
        }
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let template = crate::quote::quoted(self.template.as_bytes());
        write!(
            f,
            "template: {}:{}:{}: executing {template} at <{}>: {}",
            self.file, self.line, self.column, self.context, self.message
        )
    }
}

impl fmt::Display for FuncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FuncError::Message(text) | FuncError::Wrapped(text, _) => f.write_str(text),
            FuncError::Template(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Exec(e) => e.cause.as_ref().map(|cause| &cause.error as _),
            _ => None,
        }
    }
}

impl std::error::Error for FuncError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FuncError::Message(_) => None,
            FuncError::Template(error) | FuncError::Wrapped(_, error) => Some(error),
        }
    }
}

impl FuncError {
    /// The failure of a template inside, if there is one.
    pub fn template(&self) -> Option<&Error> {
        match self {
            FuncError::Message(_) => None,
            FuncError::Template(error) | FuncError::Wrapped(_, error) => Some(error),
        }
    }
}

impl From<String> for FuncError {
    fn from(text: String) -> Self {
        FuncError::Message(text)
    }
}

impl From<&str> for FuncError {
    fn from(text: &str) -> Self {
        FuncError::Message(text.to_owned())
    }
}

impl From<Error> for FuncError {
    fn from(error: Error) -> Self {
        FuncError::Template(error)
    }
}

impl From<LimitError> for Error {
    fn from(limit: LimitError) -> Self {
        Error::Limit(limit)
    }
}

impl From<LimitError> for FuncError {
    fn from(limit: LimitError) -> Self {
        FuncError::Template(Error::Limit(limit))
    }
}
