//! The parsed form of template text, and its printed form in error messages.
//!
//! One [`Source`] holds all nodes of one text, those of each sort side by side in one list. Where nodes nest, they refer to
//! each other by index rather than by pointer: a large text takes few pieces of memory, and freeing them never recurses
//! however deep the text nests.

use std::sync::Arc;

use crate::bytestr::Str;
use crate::function::Function;
use crate::number::Number;

/// A byte offset into the text.
pub(crate) type Pos = u32;

/// Index of a [`Pipe`] in its [`Source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PipeId(pub(crate) u32);

/// Index of a [`Block`] in its [`Source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockId(pub(crate) u32);

/// Index of a name in its [`Source`]: a variable's or a template's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word(pub(crate) u32);

/// The name of the variable that holds a template's data, `$`: the first word of every source.
pub(crate) const DOLLAR: Word = Word(0);

/// Neighbours in one of the lists of a [`Source`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    fn of<T>(self, list: &[T]) -> &[T] {
        &list[self.start as usize..self.end as usize]
    }
}

/// Moves what is on top of a stack into a list, where it stays.
pub(crate) fn settle<T: Copy>(stack: &mut Vec<T>, from: usize, list: &mut Vec<T>) -> Span {
    let start = list.len() as u32;
    list.extend_from_slice(&stack[from..]);
    stack.truncate(from);
    Span { start, end: list.len() as u32 }
}

/// A named template: the text of a file, or a `define` or `block` in it.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) name: Arc<str>,
    pub(crate) source: Arc<Source>,
    pub(crate) root: BlockId,
}

/// A parsed text.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The name it was parsed under.
    pub(crate) name: Arc<str>,
    /// Valid UTF-8.
    pub(crate) text: Str,
    /// Which nodes are executed one after the other.
    pub(crate) blocks: Vec<Span>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pipes: Vec<Pipe>,
    /// The variables that pipelines set.
    pub(crate) variables: Vec<Word>,
    pub(crate) commands: Vec<Command>,
    pub(crate) operands: Vec<Operand>,
    pub(crate) fields: Vec<Str>,
    pub(crate) words: Vec<Arc<str>>,
    /// String constants.
    pub(crate) texts: Vec<Str>,
    pub(crate) numbers: Vec<Number>,
    /// The functions that are called, each of them once.
    pub(crate) callees: Vec<Callee>,
}

/// One piece of a template.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    /// Text to copy, as a range of the source's text.
    Text {
        start: Pos,
        end: Pos,
    },
    /// `{{ pipeline }}`
    Action {
        pos: Pos,
        pipe: PipeId,
    },
    If(Branch),
    With(Branch),
    Range(Branch),
    /// `{{ template "name" pipeline }}`
    Template {
        pos: Pos,
        name: Word,
        pipe: Option<PipeId>,
    },
    Break,
    Continue,
}

/// What `if`, `with` and `range` have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch {
    pub(crate) pos: Pos,
    pub(crate) pipe: PipeId,
    pub(crate) body: BlockId,
    pub(crate) otherwise: Option<BlockId>,
}

/// `$x, $y := command | command`
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) pos: Pos,
    /// The variables are assigned (`=`) rather than declared (`:=`).
    pub(crate) assign: bool,
    /// Of the [`Source::variables`].
    pub(crate) variables: Span,
    /// Of the [`Source::commands`].
    pub(crate) commands: Span,
}

/// Operands of which the first is the function or value and the rest its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    pub(crate) pos: Pos,
    /// Of the [`Source::operands`].
    pub(crate) operands: Span,
}

/// An operand and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    pub(crate) pos: Pos,
    pub(crate) expr: Expr,
}

/// What an operand is. Numbers that are not places are indices into the list that the name tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expr {
    Dot,
    Nil,
    Bool(bool),
    Number(u32),
    /// A string constant: what it means, and where its text ends, which begins at the operand's place.
    Text {
        end: Pos,
        value: u32,
    },
    /// `.a.b`
    Field(Span),
    /// `$x.a.b`: the variable with its dollar, then fields.
    Variable(Word, Span),
    /// `(…).a.b` or `function.a.b`: an operand, then fields.
    Chain(u32, Span),
    /// A function.
    Function(u32),
    /// A parenthesised pipeline.
    Pipe(PipeId),
}

/// The function that a name stands for.
#[derive(Clone, Debug)]
pub(crate) struct Callee {
    pub(crate) name: Arc<str>,
    pub(crate) target: Target,
}

/// Where a function comes from.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Go's own.
    Builtin(crate::builtins::Builtin),
    /// The table's.
    Native(Arc<Function>),
}

impl Source {
    /// Gives back the room that is not used: trees live as long as the rendering.
    pub(crate) fn shrink(&mut self) {
        self.blocks.shrink_to_fit();
        self.nodes.shrink_to_fit();
        self.pipes.shrink_to_fit();
        self.variables.shrink_to_fit();
        self.commands.shrink_to_fit();
        self.operands.shrink_to_fit();
        self.fields.shrink_to_fit();
        self.words.shrink_to_fit();
        self.texts.shrink_to_fit();
        self.numbers.shrink_to_fit();
        self.callees.shrink_to_fit();
    }

    pub(crate) fn pipe(&self, id: PipeId) -> &Pipe {
        &self.pipes[id.0 as usize]
    }

    /// The nodes of a block.
    pub(crate) fn block(&self, id: BlockId) -> &[Node] {
        self.blocks[id.0 as usize].of(&self.nodes)
    }

    pub(crate) fn variables(&self, pipe: &Pipe) -> &[Word] {
        pipe.variables.of(&self.variables)
    }

    pub(crate) fn commands(&self, pipe: &Pipe) -> &[Command] {
        pipe.commands.of(&self.commands)
    }

    pub(crate) fn operands(&self, command: &Command) -> &[Operand] {
        command.operands.of(&self.operands)
    }

    pub(crate) fn fields(&self, span: Span) -> &[Str] {
        span.of(&self.fields)
    }

    /// The operand that a chain of fields begins with.
    pub(crate) fn inner(&self, index: u32) -> &Operand {
        &self.operands[index as usize]
    }

    pub(crate) fn word(&self, word: Word) -> &Arc<str> {
        &self.words[word.0 as usize]
    }

    pub(crate) fn constant(&self, index: u32) -> &Str {
        &self.texts[index as usize]
    }

    pub(crate) fn number(&self, index: u32) -> &Number {
        &self.numbers[index as usize]
    }

    pub(crate) fn callee(&self, index: u32) -> &Callee {
        &self.callees[index as usize]
    }

    /// A part of the text.
    pub(crate) fn part(&self, start: Pos, end: Pos) -> &str {
        self.text.get(start as usize..end as usize).and_then(|part| std::str::from_utf8(part).ok()).unwrap_or_default()
    }

    /// Line (from 1) and byte column (from 0) of an offset.
    pub(crate) fn position(&self, pos: Pos) -> (usize, usize) {
        let before = &self.text[..(pos as usize).min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = before.iter().rev().take_while(|b| **b != b'\n').count();
        (line, column)
    }
}

/// Is there nothing but white space in the template?
pub(crate) fn is_empty(source: &Source, root: BlockId) -> bool {
    source.block(root).iter().all(|node| match node {
        Node::Text { start, end } => source.part(*start, *end).trim().is_empty(),
        _ => false,
    })
}

/// A node that an error message can point at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'t> {
    /// Nothing yet.
    Start,
    /// A block's first text, an action, or anything else that is not one of the others.
    Node(&'t Node),
    Pipe(PipeId),
    /// A command, by its pipe and number.
    Command(PipeId, usize),
    Operand(&'t Operand),
}

impl Source {
    /// Where an error at this node is.
    pub(crate) fn pos_of(&self, at: At<'_>) -> Pos {
        match at {
            At::Start => 0,
            At::Node(node) => match node {
                Node::Text { start, .. } => *start,
                Node::Action { pos, .. } | Node::Template { pos, .. } => *pos,
                Node::If(branch) | Node::With(branch) | Node::Range(branch) => branch.pos,
                Node::Break | Node::Continue => 0,
            },
            At::Pipe(id) => self.pipe(id).pos,
            At::Command(id, number) => self.commands(self.pipe(id))[number].pos,
            At::Operand(operand) => operand.pos,
        }
    }

    /// The node as Go prints it.
    pub(crate) fn print(&self, at: At<'_>) -> String {
        let mut out = String::new();
        match at {
            At::Start => {}
            At::Node(node) => self.print_node(node, &mut out),
            At::Pipe(id) => self.print_pipe(id, &mut out),
            At::Command(id, number) => self.print_command(&self.commands(self.pipe(id))[number], &mut out),
            At::Operand(operand) => self.print_operand(operand, &mut out),
        }
        out
    }

    fn print_block(&self, id: BlockId, out: &mut String) {
        crate::stack::grow(|| {
            for node in self.block(id) {
                self.print_node(node, out);
            }
        });
    }

    fn print_node(&self, node: &Node, out: &mut String) {
        match node {
            Node::Text { start, end } => out.push_str(self.part(*start, *end)),
            Node::Action { pipe, .. } => {
                out.push_str("{{");
                self.print_pipe(*pipe, out);
                out.push_str("}}");
            }
            Node::If(branch) => self.print_branch("if", branch, out),
            Node::With(branch) => self.print_branch("with", branch, out),
            Node::Range(branch) => self.print_branch("range", branch, out),
            Node::Template { name, pipe, .. } => {
                out.push_str("{{template ");
                out.push_str(&crate::quote::quoted(self.word(*name).as_bytes()));
                if let Some(pipe) = pipe {
                    out.push(' ');
                    self.print_pipe(*pipe, out);
                }
                out.push_str("}}");
            }
            Node::Break => out.push_str("{{break}}"),
            Node::Continue => out.push_str("{{continue}}"),
        }
    }

    fn print_branch(&self, keyword: &str, branch: &Branch, out: &mut String) {
        out.push_str("{{");
        out.push_str(keyword);
        out.push(' ');
        self.print_pipe(branch.pipe, out);
        out.push_str("}}");
        self.print_block(branch.body, out);
        if let Some(otherwise) = branch.otherwise {
            out.push_str("{{else}}");
            self.print_block(otherwise, out);
        }
        out.push_str("{{end}}");
    }

    fn print_pipe(&self, id: PipeId, out: &mut String) {
        crate::stack::grow(|| {
            let pipe = self.pipe(id);
            for (i, word) in self.variables(pipe).iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                out.push_str(self.word(*word));
            }
            if !pipe.variables.is_empty() {
                out.push_str(if pipe.assign { " = " } else { " := " });
            }
            for (i, command) in self.commands(pipe).iter().enumerate() {
                if i > 0 {
                    out.push_str(" | ");
                }
                self.print_command(command, out);
            }
        });
    }

    fn print_command(&self, command: &Command, out: &mut String) {
        for (i, operand) in self.operands(command).iter().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            self.print_nested(operand, out);
        }
    }

    /// Prints an operand inside another node, where a pipeline needs its parentheses.
    fn print_nested(&self, operand: &Operand, out: &mut String) {
        if let Expr::Pipe(_) = operand.expr {
            out.push('(');
            self.print_operand(operand, out);
            out.push(')');
        } else {
            self.print_operand(operand, out);
        }
    }

    fn print_operand(&self, operand: &Operand, out: &mut String) {
        match operand.expr {
            Expr::Dot => out.push('.'),
            Expr::Nil => out.push_str("nil"),
            Expr::Bool(b) => out.push_str(if b { "true" } else { "false" }),
            Expr::Number(number) => out.push_str(&self.number(number).text),
            Expr::Text { end, .. } => out.push_str(self.part(operand.pos, end)),
            Expr::Field(fields) => self.print_fields(fields, out),
            Expr::Variable(name, fields) => {
                out.push_str(self.word(name));
                self.print_fields(fields, out);
            }
            Expr::Chain(inner, fields) => {
                self.print_nested(self.inner(inner), out);
                self.print_fields(fields, out);
            }
            Expr::Function(callee) => out.push_str(&self.callee(callee).name),
            Expr::Pipe(id) => self.print_pipe(id, out),
        }
    }

    fn print_fields(&self, fields: Span, out: &mut String) {
        for name in self.fields(fields) {
            out.push('.');
            out.push_str(&name.lossy());
        }
    }
}
