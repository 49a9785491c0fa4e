//! What a text names without being executed: functions, fields, constants, and where each of them stands.
//!
//! Fields are followed through `with`, `range` and variables as far as the text alone tells, so that `.b` inside of
//! `with .Values.a` is known to be `.Values.a.b`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{BlockId, Branch, Command, DOLLAR, Expr, Node, Operand, PipeId, Pos, Source, Span, Word};
use crate::bytestr::Str;
use crate::error::Error;
use crate::function::Functions;
use crate::parse;

/// The step from a list or map to any of its elements, in [`Mentioned::Path`].
pub const ELEMENT: &str = "*";

/// Something that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in bytes, counted from 0.
    pub column: usize,
    /// What it is.
    pub what: Mentioned,
}

/// What is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mentioned {
    /// A function that is called.
    Function(Arc<str>),
    /// Data, by the fields that lead to it from the data of the template, or from a variable, which is the first then.
    Path {
        /// The fields; [`ELEMENT`] is any element.
        fields: Vec<String>,
        /// How it is looked at.
        access: Access,
    },
    /// Text outside of actions, or a constant in one.
    Text(String),
}

/// How data is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is printed, given to a function or kept: every part of it may matter.
    Whole,
    /// Only whether it is empty.
    Test,
    /// Its elements, one after the other.
    Elements,
}

/// Everything that a text names, in the order of the text within each template.
///
/// # Errors
/// [`Error::Parse`].
pub fn mentions(name: &str, text: &str, functions: &Functions) -> Result<Vec<Mention>, Error> {
    let mut found = Vec::new();
    for tree in parse::parse(name, &Str::from(text), functions, &mut { parse::MAX_PARTS })? {
        let mut walk = Walk { source: &tree.source, variables: HashMap::new(), found: Vec::new() };
        walk.variables.insert(DOLLAR, Some(Vec::new()));
        walk.block(tree.root, &Some(Vec::new()));
        found.append(&mut walk.found);
    }
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let place = |(pos, what): (Pos, Mentioned)| {
        let line = starts.partition_point(|start| *start <= pos as usize);
        Mention { line, column: pos as usize - starts[line - 1], what }
    };
    Ok(found.into_iter().map(place).collect())
}

/// The fields that lead to some data; none when the text does not tell.
type Known = Option<Vec<String>>;

struct Walk<'t> {
    source: &'t Source,
    variables: HashMap<Word, Known>,
    found: Vec<(Pos, Mentioned)>,
}

impl<'t> Walk<'t> {
    fn block(&mut self, block: BlockId, dot: &Known) {
        let nodes = self.source.block(block);
        crate::stack::grow(|| nodes.iter().for_each(|node| self.node(node, dot)));
    }

    fn node(&mut self, node: &'t Node, dot: &Known) {
        match node {
            Node::Text { start, end } => {
                let text = self.source.part(*start, *end).to_owned();
                self.found.push((*start, Mentioned::Text(text)));
            }
            Node::Action { pipe, .. } => {
                self.pipe(*pipe, dot, Access::Whole);
            }
            Node::If(branch) => {
                self.pipe(branch.pipe, dot, Access::Test);
                self.branches(branch, dot, dot);
            }
            Node::With(branch) => {
                let inner = self.pipe(branch.pipe, dot, Access::Test);
                self.branches(branch, &inner, dot);
            }
            Node::Range(branch) => {
                let mut inner = self.pipe(branch.pipe, dot, Access::Elements);
                if let Some(fields) = &mut inner {
                    fields.push(ELEMENT.to_owned());
                }
                // The last variable is the element; one before it is its key.
                let variables = self.source.variables(self.source.pipe(branch.pipe));
                for (i, name) in variables.iter().enumerate() {
                    let value = if i + 1 == variables.len() { inner.clone() } else { None };
                    self.variables.insert(*name, value);
                }
                self.branches(branch, &inner, dot);
            }
            Node::Template { pipe, .. } => {
                if let Some(pipe) = pipe {
                    self.pipe(*pipe, dot, Access::Whole);
                }
            }
            Node::Break | Node::Continue => {}
        }
    }

    fn branches(&mut self, branch: &'t Branch, inner: &Known, outer: &Known) {
        self.block(branch.body, inner);
        if let Some(otherwise) = branch.otherwise {
            self.block(otherwise, outer);
        }
    }

    /// Walks a pipeline, and gives the fields when it is nothing but fields.
    fn pipe(&mut self, id: PipeId, dot: &Known, access: Access) -> Known {
        let source = self.source;
        crate::stack::grow(|| {
            let pipe = source.pipe(id);
            let commands = source.commands(pipe);
            let alone = commands.iter().skip(1).all(|command| is_copy(source, command))
                && !commands.last().is_some_and(|last| calls(source, last, &["toJson", "toYaml"]));
            // What a variable holds counts where the variable is used.
            let keeps = !pipe.variables.is_empty() && !pipe.assign && access == Access::Whole;
            let access = if keeps { Access::Test } else { access };
            let mut values = Vec::new();
            for command in commands {
                values.push(self.command(command, dot, if alone { access } else { Access::Whole }));
            }
            let value = if alone { values.swap_remove(0) } else { None };
            for name in source.variables(pipe) {
                let known = if pipe.assign { None } else { value.clone() };
                let before = self.variables.insert(*name, known).flatten();
                // From here on the text no longer tells what the variable is, so what it was may be used in any way.
                if let (true, Some(fields)) = (pipe.assign, before) {
                    self.found.push((pipe.pos, Mentioned::Path { fields, access: Access::Whole }));
                }
            }
            value
        })
    }

    fn command(&mut self, command: &'t Command, dot: &Known, access: Access) -> Known {
        let source = self.source;
        let [first, arguments @ ..] = source.operands(command) else { return None };
        let Expr::Function(callee) = first.expr else {
            // A method's arguments, if there are any.
            arguments.iter().for_each(|argument| drop(self.operand(argument, dot, Access::Whole)));
            return self.operand(first, dot, access);
        };
        let callee = source.callee(callee);
        self.found.push((first.pos, Mentioned::Function(callee.name.clone())));
        if matches!(&*callee.name, "index" | "get" | "hasKey")
            && let [map, keys @ ..] = arguments
            && let Some(mut fields) = self.fields(map, dot)
            && let Some(keys) = keys.iter().map(|key| constant(source, key)).collect::<Option<Vec<String>>>()
        {
            fields.extend(keys);
            let access = if &*callee.name == "hasKey" { Access::Test } else { access };
            self.found.push((self.start(map.pos), Mentioned::Path { fields: fields.clone(), access }));
            return Some(fields);
        }
        // What is a copy, or there in most cases, is looked at as the thing itself.
        if let [others @ .., data] = arguments
            && matches!((&*callee.name, others.len()), ("default", 1) | ("deepCopy" | "mustDeepCopy", 0))
        {
            others.iter().for_each(|other| drop(self.operand(other, dot, Access::Whole)));
            return self.operand(data, dot, access);
        }
        let logic = matches!(&*callee.name, "and" | "or" | "not" | "empty" | "kindIs");
        let access = match logic && (access == Access::Test || matches!(&*callee.name, "not" | "empty" | "kindIs")) {
            true => Access::Test,
            false => Access::Whole,
        };
        arguments.iter().for_each(|argument| drop(self.operand(argument, dot, access)));
        None
    }

    fn operand(&mut self, operand: &'t Operand, dot: &Known, access: Access) -> Known {
        let source = self.source;
        match operand.expr {
            Expr::Pipe(id) => return self.pipe(id, dot, access),
            Expr::Function(callee) => {
                self.found.push((operand.pos, Mentioned::Function(source.callee(callee).name.clone())));
            }
            Expr::Text { value, .. } => {
                self.found.push((operand.pos, Mentioned::Text(source.constant(value).lossy().into_owned())));
            }
            Expr::Chain(inner, names) => {
                let mut fields = self.operand(source.inner(inner), dot, Access::Test)?;
                fields.extend(source.fields(names).iter().map(|name| name.lossy().into_owned()));
                self.found.push((operand.pos, Mentioned::Path { fields: fields.clone(), access }));
                return Some(fields);
            }
            _ => {
                let fields = self.fields(operand, dot)?;
                self.found.push((self.start(operand.pos), Mentioned::Path { fields: fields.clone(), access }));
                return Some(fields);
            }
        }
        None
    }

    /// Where fields begin; Go has the place of the second one for those of several.
    fn start(&self, pos: Pos) -> Pos {
        let before = &self.source.text[..pos as usize];
        let part = |b: &&u8| b.is_ascii_alphanumeric() || **b >= 0x80 || matches!(**b, b'_' | b'.' | b'$');
        pos - before.iter().rev().take_while(part).count() as Pos
    }

    fn fields(&self, operand: &Operand, dot: &Known) -> Known {
        let (base, names) = match operand.expr {
            Expr::Dot => (dot.clone(), Span::default()),
            Expr::Field(names) => (dot.clone(), names),
            // A variable that the text does not tell about stands for itself.
            Expr::Variable(name, names) => {
                let known = self.variables.get(&name).cloned().flatten();
                let itself = || (!names.is_empty()).then(|| vec![self.source.word(name).to_string()]);
                (known.or_else(itself), names)
            }
            _ => return None,
        };
        let mut fields = base?;
        fields.extend(self.source.fields(names).iter().map(|name| name.lossy().into_owned()));
        Some(fields)
    }
}

/// Does the command pass its data on as it is, there and back?
fn is_copy(source: &Source, command: &Command) -> bool {
    calls(source, command, &["default", "deepCopy", "fromJson", "fromYaml", "mustDeepCopy", "toJson", "toYaml"])
}

fn calls(source: &Source, command: &Command, names: &[&str]) -> bool {
    match source.operands(command).first() {
        Some(Operand { expr: Expr::Function(callee), .. }) => names.contains(&&*source.callee(*callee).name),
        _ => false,
    }
}

fn constant(source: &Source, operand: &Operand) -> Option<String> {
    match operand.expr {
        Expr::Text { value, .. } => Some(source.constant(value).lossy().into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Access::{Elements, Test, Whole};

    fn paths(text: &str) -> Vec<(String, Access)> {
        let found = mentions("t", text, &Functions::new()).expect("parsed");
        let path = |mention: Mention| match mention.what {
            Mentioned::Path { fields, access } => Some((fields.join("."), access)),
            _ => None,
        };
        found.into_iter().filter_map(path).collect()
    }

    #[test]
    fn fields_are_followed_through_with_range_and_variables() {
        let text = "{{ with .Values.a }}{{ .b }}{{ $.Values.c }}{{ end }}{{ $x := .Values.d }}{{ if not $x.e }}{{ end }}\
                    {{ range $k, $v := .Values.f }}{{ $v.g }}{{ $k }}{{ $k.l }}{{ .h }}{{ end }}{{ index .Values \"i\" \"j\" }}";
        let wanted = [
            ("Values.a", Test),
            ("Values.a.b", Whole),
            ("Values.c", Whole),
            ("Values.d", Test),
            ("Values.d.e", Test),
            ("Values.f", Elements),
            ("Values.f.*.g", Whole),
            ("$k.l", Whole),
            ("Values.f.*.h", Whole),
            ("Values.i.j", Whole),
        ];
        assert_eq!(paths(text), wanted.map(|(path, access)| (path.to_owned(), access)));
    }

    #[test]
    fn a_copy_is_the_thing_itself() {
        let mut functions = Functions::new();
        for name in ["default", "toJson", "fromJson", "dict"] {
            functions.variadic(name, &[], crate::Type::Any, |_, _| Ok(crate::Value::Nil));
        }
        let text = "{{ (.a | default dict).b }}{{ $c := .c | toJson | fromJson }}{{ $c.d }}{{ (default dict .e).f }}{{ .g | toJson }}";
        let found = mentions("t", text, &functions).expect("parsed");
        let whole: Vec<String> = found
            .into_iter()
            .filter_map(|mention| match mention.what {
                Mentioned::Path { fields, access: Whole } => Some(fields.join(".")),
                _ => None,
            })
            .collect();
        assert_eq!(whole, ["a.b", "c.d", "e.f", "g"]);
    }

    #[test]
    fn places_are_those_of_the_text_and_comments_do_not_count() {
        let text = "{{/* len */}}a: b\n  {{ .x | len }}\n{{ define \"d\" }}\n{{ len .y }}{{ end }}";
        let found = mentions("t", text, &Functions::new()).expect("parsed");
        let mut calls: Vec<(usize, usize)> = found
            .iter()
            .filter(|mention| mention.what == Mentioned::Function("len".into()))
            .map(|mention| (mention.line, mention.column))
            .collect();
        calls.sort_unstable();
        assert_eq!(calls, [(2, 10), (4, 3)]);
        assert!(mentions("t", "{{ nope }}", &Functions::new()).is_err());
    }
}
