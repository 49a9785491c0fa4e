//! Walks trees: text, actions, control structures, templates calling templates.

use std::sync::Arc;

use crate::ast::{At, BlockId, Branch, DOLLAR, Node, Source, Tree, Word};
use crate::bytestr::Str;
use crate::collections::{List, Map};
use crate::error::{CallError, Error, ExecError, FuncError};
use crate::eval::Datum;
use crate::format;
use crate::run::Run;
use crate::set::TemplateSet;
use crate::types::Type;
use crate::value::Value;

/// Executes a template as the outermost one.
pub(crate) fn execute(
    set: &Arc<TemplateSet>,
    tree: &Arc<Tree>,
    data: &Value,
    run: &mut Run<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let dot = Datum::plain(data.clone());
    crate::stack::grow(|| Exec::new(set, tree, 0, &dot, run, out).whole(&dot))
}

/// How a block ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// The execution of one template.
pub(crate) struct Exec<'t, 'e, 's> {
    pub(crate) set: &'e Arc<TemplateSet>,
    tree: &'t Tree,
    pub(crate) source: &'t Source,
    /// The node that errors are reported at.
    pub(crate) at: At<'t>,
    pub(crate) variables: Vec<(Word, Datum)>,
    /// How many `template` actions this one is inside of.
    depth: usize,
    pub(crate) run: &'e mut Run<'s>,
    out: &'e mut Vec<u8>,
}

impl<'t, 'e, 's> Exec<'t, 'e, 's> {
    fn new(
        set: &'e Arc<TemplateSet>,
        tree: &'t Tree,
        depth: usize,
        dot: &Datum,
        run: &'e mut Run<'s>,
        out: &'e mut Vec<u8>,
    ) -> Self {
        let mut variables = run.variables.take();
        variables.push((DOLLAR, dot.clone()));
        Exec { set, tree, source: &tree.source, at: At::Start, variables, depth, run, out }
    }

    /// Executes the template.
    fn whole(mut self, dot: &Datum) -> Result<(), Error> {
        self.block(dot, self.tree.root)?;
        self.run.variables.keep(self.variables);
        Ok(())
    }

    /// An error at the current node.
    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        self.error_with(message.into(), None)
    }

    /// The error of a function that was called at the current node.
    pub(crate) fn call_error(&self, function: &str, error: FuncError) -> Error {
        match error {
            // Used-up budgets stop the run; they are not the template's doing.
            FuncError::Template(error @ Error::Limit(_)) => error,
            error => {
                let message = format!("error calling {function}: {error}");
                self.error_with(message, Some(CallError { function: function.to_owned(), error }))
            }
        }
    }

    fn error_with(&self, message: String, cause: Option<CallError>) -> Error {
        let (line, column) = self.source.position(self.source.pos_of(self.at));
        Error::Exec(Box::new(ExecError {
            template: self.tree.name.clone(),
            file: self.source.name.clone(),
            line,
            column,
            context: self.source.print(self.at),
            message,
            cause,
        }))
    }

    fn write(&mut self, from: usize) -> Result<(), Error> {
        self.run.claim(self.out.len() - from)?;
        Ok(())
    }

    fn block(&mut self, dot: &Datum, id: BlockId) -> Result<Flow, Error> {
        for node in self.source.block(id) {
            let flow = self.node(dot, node)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, dot: &Datum, node: &'t Node) -> Result<Flow, Error> {
        self.run.step()?;
        self.at = At::Node(node);
        match node {
            Node::Text { start, end } => {
                let text = &self.source.text[*start as usize..*end as usize];
                self.out.extend_from_slice(text);
                self.run.claim(text.len())?;
            }
            Node::Action { pipe, .. } => {
                let value = self.pipeline(dot, *pipe)?;
                if self.source.pipe(*pipe).variables.is_empty() {
                    self.at = At::Node(node);
                    self.print(&value.value)?;
                }
            }
            Node::If(branch) => return self.condition(dot, branch, false),
            Node::With(branch) => return self.condition(dot, branch, true),
            Node::Range(branch) => return crate::stack::grow(|| self.range(dot, branch)),
            Node::Template { name, pipe, .. } => {
                let name = self.source.word(*name);
                let Some(tree) = self.set.lookup(name).cloned() else {
                    let name = crate::quote::quoted(name.as_bytes());
                    return Err(self.error(format!("template {name} not defined")));
                };
                let limit = self.run.limits().template_depth;
                if self.depth >= limit {
                    return Err(self.error(format!("exceeded maximum template depth ({limit})")));
                }
                let dot = match pipe {
                    Some(pipe) => self.pipeline(dot, *pipe)?,
                    None => Datum::plain(Value::Nil),
                };
                crate::stack::grow(|| {
                    Exec::new(self.set, &tree, self.depth + 1, &dot, self.run, self.out).whole(&dot)
                })?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, value: &Value) -> Result<(), Error> {
        let from = self.out.len();
        match value {
            Value::Nil => self.out.extend_from_slice(b"<no value>"),
            Value::Object(object) => match object.addressed_text() {
                Some(text) => self.out.extend_from_slice(text.as_bytes()),
                None => format::append_pointed(value, self.out),
            },
            Value::List(_) | Value::Map(_) => {
                self.run.survey(std::slice::from_ref(value))?;
                format::append_value(value, self.out);
            }
            _ => format::append_value(value, self.out),
        }
        self.write(from)
    }

    /// `if` and `with`.
    fn condition(&mut self, dot: &Datum, branch: &'t Branch, with: bool) -> Result<Flow, Error> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, branch.pipe)?;
        let flow = crate::stack::grow(|| {
            if value.value.truth() {
                self.block(if with { &value } else { dot }, branch.body)
            } else {
                branch.otherwise.map_or(Ok(Flow::On), |otherwise| self.block(dot, otherwise))
            }
        });
        self.variables.truncate(mark);
        flow
    }

    fn range(&mut self, dot: &Datum, branch: &'t Branch) -> Result<Flow, Error> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, branch.pipe)?.value;
        let count = self.source.variables(self.source.pipe(branch.pipe)).len();
        let ran = match &value {
            Value::Nil => false,
            Value::List(list) => self.range_list(list, branch)?,
            Value::Map(map) => self.range_map(map, branch)?,
            Value::Bytes(bytes) => {
                for (i, b) in bytes.iter().enumerate() {
                    if self.iteration(branch, Value::Int(i as i64), Datum::plain(Value::Uint8(*b)))? == Flow::Break {
                        break;
                    }
                }
                !bytes.is_empty()
            }
            _ => self.range_number(&value, count, branch)?,
        };
        self.variables.truncate(mark);
        match branch.otherwise {
            Some(otherwise) if !ran => self.block(dot, otherwise),
            _ => Ok(Flow::On),
        }
    }

    fn range_list(&mut self, list: &List, branch: &'t Branch) -> Result<bool, Error> {
        let boxed = list.element() == Type::Any;
        for (i, item) in list.items().iter().enumerate() {
            if self.iteration(branch, Value::Int(i as i64), Datum { value: item.clone(), boxed })? == Flow::Break {
                break;
            }
        }
        Ok(!list.is_empty())
    }

    fn range_map(&mut self, map: &Map, branch: &'t Branch) -> Result<bool, Error> {
        let boxed = map.element() == Type::Any;
        let entries = map.entries();
        let any = !entries.is_empty();
        for (key, value) in entries {
            if self.iteration(branch, Value::Str(key), Datum { value, boxed })? == Flow::Break {
                break;
            }
        }
        Ok(any)
    }

    fn range_number(&mut self, value: &Value, variables: usize, branch: &'t Branch) -> Result<bool, Error> {
        let shown = || {
            let mut text = Vec::new();
            format::append_pointed(value, &mut text);
            Str::from(text)
        };
        let make: fn(u64) -> Value = match value.ty().map(Type::underlying) {
            Some(Type::Int) => |n| Value::Int(n as i64),
            Some(Type::Int32) => |n| Value::Int32(n as i32),
            Some(Type::Int64) => |n| Value::Int64(n as i64),
            Some(Type::Uint) => Value::Uint,
            Some(Type::Uint8) => |n| Value::Uint8(n as u8),
            Some(Type::Uint64) => Value::Uint64,
            _ => return Err(self.error(format!("range can't iterate over {}", shown()))),
        };
        if variables > 1 {
            return Err(self.error(format!("can't use {} to iterate over more than one variable", shown())));
        }
        let end = value.as_int().map(|n| n.max(0) as u64).or(value.as_uint()).unwrap_or(0);
        for n in 0..end {
            if self.iteration(branch, Value::Nil, Datum::plain(make(n)))? == Flow::Break {
                break;
            }
        }
        Ok(end > 0)
    }

    fn iteration(&mut self, branch: &'t Branch, index: Value, item: Datum) -> Result<Flow, Error> {
        self.run.step()?;
        let pipe = self.source.pipe(branch.pipe);
        let mark = self.variables.len();
        match *self.source.variables(pipe) {
            [] => {}
            [only] if pipe.assign => self.assign(only, item.clone())?,
            [first, second, ..] if pipe.assign => {
                self.assign(first, Datum::plain(index))?;
                self.assign(second, item.clone())?;
            }
            // Declared ones are on top of the stack, in the order of their declaration.
            [_] => self.set_top(1, item.clone()),
            [_, _, ..] => {
                self.set_top(1, item.clone());
                self.set_top(2, Datum::plain(index));
            }
        }
        let flow = self.block(&item, branch.body);
        self.variables.truncate(mark);
        flow
    }

    fn set_top(&mut self, from_top: usize, value: Datum) {
        if let Some(slot) = self.variables.iter_mut().nth_back(from_top - 1) {
            slot.1 = value;
        }
    }

    pub(crate) fn assign(&mut self, name: Word, value: Datum) -> Result<(), Error> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some(slot) => {
                slot.1 = value;
                Ok(())
            }
            None => Err(self.error(format!("undefined variable: {}", self.source.word(name)))),
        }
    }
}
