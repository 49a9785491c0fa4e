//! Go's text/template: lexer, parser, evaluator and values, with the text of its errors.
//!
//! What lives here: the language of Go 1.26's `text/template` with its own functions, the value model that templates
//! can see (Go's types, kinds and formatting verbs), and the table through which a host adds functions. What does not:
//! any function beyond Go's own, YAML, Helm, Kubernetes, files, clocks.
//!
//! The walk: [`TemplateSet::parse`] turns text into trees (`lex`, `parse`, `ast`), and [`Texts`] does so with many of them
//! on several threads; [`TemplateSet::execute`] walks the trees
//! (`exec`) and evaluates their pipelines (`eval`) over [`Value`]s. Host functions are [`Function`]s in a
//! [`Functions`] table; they receive the [`Run`], which is their way to the host's state and back into the engine.
//!
//! ```
//! use std::sync::Arc;
//! use gotemplate::{Functions, Map, Run, TemplateSet, Type, Value};
//!
//! let mut functions = Functions::new();
//! functions.fixed("shout", &[Type::Str], |_, args| {
//!     Ok(Value::from(args[0].as_str().unwrap_or_default().lossy().to_uppercase()))
//! });
//! let mut set = TemplateSet::new(Arc::new(functions));
//! set.parse("greeting", "Hello {{ .name | shout }}!").unwrap();
//! let data = Value::Map(Map::from_iter([("name", "husk")]));
//! let output = Arc::new(set).execute("greeting", &data, &mut Run::default()).unwrap();
//! assert_eq!(output, "Hello HUSK!");
//! ```

mod ast;
mod builtins;
mod bytestr;
mod collections;
mod compare;
mod error;
mod escape;
mod eval;
mod exec;
pub mod format;
mod function;
mod hash;
mod lex;
pub mod mention;
pub mod number;
mod parse;
pub mod quote;
mod run;
mod set;
mod stack;
mod survey;
mod texts;
mod types;
mod utf8;
mod value;

pub use bytestr::Str;
pub use collections::{List, Map};
pub use error::{CallError, Error, ExecError, FuncError, LimitError, ParseError};
pub use function::{CallResult, Function, Functions, Method, Signature};
pub use run::{Limits, MemoryLimit, Run};
pub use set::{MissingKey, TemplateSet};
pub use stack::grow as grow_stack;
pub use texts::Texts;
pub use types::{Kind, NamedType, Type};
pub use utf8::lossy;
pub use value::{Object, Value};
