//! Parses what stands inside actions: pipelines, commands, operands.

use super::{Parser, Place, Result};
use crate::ast::*;
use crate::builtins::Builtin;
use crate::bytestr::Str;
use crate::lex::{Kind, Token};
use crate::number::Number;
use std::sync::Arc;

/// How deep parentheses may nest, as in Go.
const MAX_PARENS: usize = 10_000;

impl<'t> Parser<'t> {
    pub(super) fn pipeline(&mut self, place: Place) -> Result<PipeId> {
        let pos = self.peek_non_space().start;
        let start = self.source.variables.len() as u32;
        let variables = Span { start, end: start };
        let mut pipe = Pipe { pos, assign: false, variables, commands: Span::default() };
        while self.declaration(place, &mut pipe)? {}
        let outer = self.commands.len();
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == place.end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.backup();
                    let command = self.command()?;
                    self.commands.push(command);
                }
                _ => return self.unexpected(&token, place.name),
            }
        }
        self.check(&self.commands[outer..], place)?;
        pipe.commands = settle(&mut self.commands, outer, &mut self.source.commands);
        self.source.pipes.push(pipe);
        Ok(PipeId(self.source.pipes.len() as u32 - 1))
    }

    /// Reads one variable being declared or assigned; tells whether another one may follow.
    fn declaration(&mut self, place: Place, pipe: &mut Pipe) -> Result<bool> {
        let variable = self.peek_non_space();
        if variable.kind != Kind::Variable {
            return Ok(false);
        }
        self.next();
        // Blanks are tokens: up to three of them must be read before it is clear what the variable is for.
        let adjacent = self.peek();
        let next = self.peek_non_space();
        let comma = next.kind == Kind::Char && self.value(&next) == ",";
        if !comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
            if adjacent.kind == Kind::Space {
                self.scope.tokens[1] = Some(adjacent);
                self.scope.tokens[2] = Some(variable);
                self.scope.peeked = 3;
            } else {
                self.scope.tokens[1] = Some(variable);
                self.scope.peeked = 2;
            }
            return Ok(false);
        }
        self.next_non_space();
        let name = self.value(&variable);
        let name = self.intern(name);
        self.source.variables.push(name);
        pipe.variables.end += 1;
        self.scope.variables.push(name);
        if !comma {
            pipe.assign = next.kind == Kind::Assign;
            return Ok(false);
        }
        if place.name == "range" && pipe.variables.end - pipe.variables.start < 2 {
            return match self.peek_non_space().kind {
                Kind::Variable | Kind::RightDelim | Kind::RightParen => Ok(true),
                _ => self.error("range can only initialize variables"),
            };
        }
        self.error(format!("too many declarations in {}", place.name))
    }

    fn check(&self, commands: &[Command], place: Place) -> Result<()> {
        if commands.is_empty() {
            return self.error(format!("missing value for {}", place.name));
        }
        for (i, command) in commands.iter().enumerate().skip(1) {
            let constant = self.source.operands(command).first().is_some_and(|first| {
                matches!(first.expr, Expr::Bool(_) | Expr::Dot | Expr::Nil | Expr::Number(_) | Expr::Text { .. })
            });
            if constant {
                return self.error(format!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(())
    }

    /// Operands up to a pipe, which is read, or the end of the pipeline, which is not.
    fn command(&mut self) -> Result<Command> {
        let pos = self.peek_non_space().start;
        let outer = self.operands.len();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                self.operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.backup(),
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if self.operands.len() == outer {
            return self.error("empty command");
        }
        Ok(Command { pos, operands: settle(&mut self.operands, outer, &mut self.source.operands) })
    }

    /// A term with the fields behind it.
    fn operand(&mut self) -> Result<Option<Operand>> {
        self.part()?;
        let Some(term) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let pos = self.peek().start;
        // The fields of the term itself, if it has any, were the last to be read.
        let start = self.source.fields.len() as u32;
        while self.peek().kind == Kind::Field {
            self.part()?;
            let token = self.next();
            self.source.fields.push(Str::from(&self.value(&token)[1..]));
        }
        let end = self.source.fields.len() as u32;
        let expr = match term.expr {
            Expr::Field(own) => Expr::Field(Span { start: own.start, end }),
            Expr::Variable(name, _) => Expr::Variable(name, Span { start, end }),
            Expr::Bool(_) | Expr::Text { .. } | Expr::Number(_) | Expr::Nil | Expr::Dot => {
                let shown = self.source.print(At::Operand(&term));
                return self.error(format!("unexpected . after term {}", crate::quote::quoted(shown.as_bytes())));
            }
            Expr::Chain(..) | Expr::Function(_) | Expr::Pipe(_) => {
                self.source.operands.push(term);
                Expr::Chain(self.source.operands.len() as u32 - 1, Span { start, end })
            }
        };
        Ok(Some(Operand { pos, expr }))
    }

    fn term(&mut self) -> Result<Option<Operand>> {
        let token = self.next_non_space();
        let value = self.value(&token);
        let expr = match token.kind {
            Kind::Identifier => Expr::Function(self.callee(value)?),
            Kind::Dot => Expr::Dot,
            Kind::Nil => Expr::Nil,
            Kind::Variable => self.variable(value)?,
            Kind::Field => {
                let start = self.source.fields.len() as u32;
                self.source.fields.push(Str::from(&value[1..]));
                Expr::Field(Span { start, end: start + 1 })
            }
            Kind::Bool => Expr::Bool(value == "true"),
            Kind::CharConstant => self.number(Number::from_char(value))?,
            Kind::Complex => self.number(Number::from_complex(value))?,
            Kind::Number => self.number(Number::parse(value))?,
            Kind::LeftParen => self.parenthesised()?,
            Kind::String | Kind::RawString => {
                let value = self.unquoted(&token)?;
                self.source.texts.push(value);
                Expr::Text { end: token.end, value: self.source.texts.len() as u32 - 1 }
            }
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(Operand { pos: self.term_pos(&expr, &token), expr }))
    }

    /// A parenthesised pipeline is where its first token is, everything else where its own token is.
    fn term_pos(&self, expr: &Expr, token: &Token) -> Pos {
        match expr {
            Expr::Pipe(id) => self.source.pipe(*id).pos,
            _ => token.start,
        }
    }

    fn parenthesised(&mut self) -> Result<Expr> {
        if self.scope.parens >= MAX_PARENS {
            return self.error("max expression depth exceeded");
        }
        self.scope.parens += 1;
        let inner = Place { name: "parenthesized pipeline", end: Kind::RightParen };
        let pipe = crate::stack::grow(|| self.pipeline(inner))?;
        self.scope.parens -= 1;
        Ok(Expr::Pipe(pipe))
    }

    fn callee(&mut self, name: &'t str) -> Result<u32> {
        if let Some(known) = self.callees.get(name) {
            return Ok(*known);
        }
        let target = match self.functions.get(name) {
            Some(function) => Target::Native(function.clone()),
            None => match Builtin::named(name) {
                Some(builtin) => Target::Builtin(builtin),
                None => return self.error(format!("function {} not defined", crate::quote::quoted(name.as_bytes()))),
            },
        };
        let new = self.source.callees.len() as u32;
        self.source.callees.push(Callee { name: Arc::from(name), target });
        self.callees.insert(name, new);
        Ok(new)
    }

    fn variable(&self, name: &str) -> Result<Expr> {
        match self.words.get(name).filter(|word| self.scope.variables.contains(word)) {
            Some(known) => Ok(Expr::Variable(*known, Span::default())),
            None => self.error(format!("undefined variable {}", crate::quote::quoted(name.as_bytes()))),
        }
    }

    fn number(&mut self, number: std::result::Result<Number, String>) -> Result<Expr> {
        match number {
            Ok(number) => {
                self.source.numbers.push(number);
                Ok(Expr::Number(self.source.numbers.len() as u32 - 1))
            }
            Err(message) => self.error(message),
        }
    }
}
