//! Evaluates pipelines, commands, fields and calls.

use crate::ast::{At, Command, Expr, Operand, PipeId, Span, Target, Word};
use crate::builtins::Builtin;
use crate::bytestr::Str;
use crate::error::{Error, FuncError};
use crate::exec::Exec;
use crate::function::Signature;
use crate::number::Number;
use crate::set::MissingKey;
use crate::types::Type;
use crate::value::Value;

/// A value and what Go's reflection would know about where it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Datum {
    pub(crate) value: Value,
    /// It was found where anything may be (`interface {}`): an element of a list or map. Messages name that type
    /// rather than the value's own, and nil found there is not the same as no value.
    pub(crate) boxed: bool,
}

impl Datum {
    pub(crate) fn plain(value: Value) -> Datum {
        Datum { value, boxed: false }
    }

    /// No value at all.
    fn is_invalid(&self) -> bool {
        !self.boxed && self.value.is_nil()
    }

    /// The static type's name.
    fn type_name(&self) -> String {
        if self.boxed { Type::Any.to_string() } else { self.value.type_name() }
    }
}

/// What a command is applied to: the operands behind the first, and the value of the pipeline's previous command.
#[derive(Clone)]
struct Args<'t> {
    operands: &'t [Operand],
    piped: Option<Datum>,
}

impl Args<'_> {
    const NONE: Args<'static> = Args { operands: &[], piped: None };

    fn any(&self) -> bool {
        !self.operands.is_empty() || self.piped.is_some()
    }
}

impl<'t> Exec<'t, '_, '_> {
    pub(crate) fn pipeline(&mut self, dot: &Datum, id: PipeId) -> Result<Datum, Error> {
        self.at = At::Pipe(id);
        let pipe = self.source.pipe(id);
        let mut piped: Option<Datum> = None;
        for (number, command) in self.source.commands(pipe).iter().enumerate() {
            let mut value = self.command(dot, At::Command(id, number), command, piped.take())?;
            value.boxed = false;
            piped = Some(value);
        }
        let value = piped.unwrap_or_default();
        for name in self.source.variables(pipe) {
            if pipe.assign {
                self.assign(*name, value.clone())?;
            } else {
                self.variables.push((*name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Datum, at: At<'t>, command: &'t Command, piped: Option<Datum>) -> Result<Datum, Error> {
        let Some((first, operands)) = self.source.operands(command).split_first() else {
            return Err(self.error("empty command"));
        };
        let args = Args { operands, piped };
        match first.expr {
            Expr::Field(names) => return self.field(dot, first, names, args),
            Expr::Chain(inner, names) => return self.chain(dot, first, inner, names, args),
            Expr::Function(callee) => return self.function(dot, first, at, callee, args),
            Expr::Variable(name, fields) => return self.variable(dot, first, name, fields, args),
            Expr::Pipe(id) => {
                self.no_arguments(first, &args)?;
                return crate::stack::grow(|| self.pipeline(dot, id));
            }
            _ => {}
        }
        self.at = At::Operand(first);
        self.no_arguments(first, &args)?;
        match &first.expr {
            Expr::Dot => Ok(dot.clone()),
            Expr::Nil => Err(self.error("nil is not a command")),
            _ => self.constant(first),
        }
    }

    fn no_arguments(&self, first: &Operand, args: &Args<'_>) -> Result<(), Error> {
        if !args.any() {
            return Ok(());
        }
        let shown = self.source.print(At::Operand(first));
        Err(self.error(format!("can't give argument to non-function {shown}")))
    }

    /// A constant where nothing says which type it should have.
    fn constant(&mut self, operand: &'t Operand) -> Result<Datum, Error> {
        self.at = At::Operand(operand);
        Ok(Datum::plain(match operand.expr {
            Expr::Bool(b) => Value::Bool(b),
            Expr::Text { value, .. } => Value::Str(self.source.constant(value).clone()),
            Expr::Number(number) => return self.ideal(self.source.number(number)),
            _ => Value::Nil,
        }))
    }

    fn ideal(&self, number: &Number) -> Result<Datum, Error> {
        Ok(Datum::plain(match number {
            Number { complex: Some((re, im)), .. } => Value::Complex(*re, *im),
            Number { float: Some(f), .. } if number.looks_float() => Value::Float(*f),
            Number { int: Some(n), .. } => Value::Int(*n),
            _ => return Err(self.error(format!("{} overflows int", number.text))),
        }))
    }

    // Fields.

    fn field(&mut self, dot: &Datum, at: &'t Operand, names: Span, args: Args<'t>) -> Result<Datum, Error> {
        self.at = At::Operand(at);
        self.fields(dot, dot, at, names, args)
    }

    fn chain(&mut self, dot: &Datum, at: &'t Operand, inner: u32, names: Span, args: Args<'t>) -> Result<Datum, Error> {
        self.at = At::Operand(at);
        // Errors about the fields are reported at what was evaluated last inside, as Go does.
        let receiver = self.argument(dot, Type::Any, self.source.inner(inner))?;
        self.fields(dot, &receiver, at, names, args)
    }

    fn variable(
        &mut self,
        dot: &Datum,
        at: &'t Operand,
        name: Word,
        fields: Span,
        args: Args<'t>,
    ) -> Result<Datum, Error> {
        self.at = At::Operand(at);
        let Some((_, value)) = self.variables.iter().rev().find(|(known, _)| *known == name) else {
            return Err(self.error(format!("undefined variable: {}", self.source.word(name))));
        };
        let value = value.clone();
        if fields.is_empty() {
            self.no_arguments(at, &args)?;
            return Ok(value);
        }
        self.fields(dot, &value, at, fields, args)
    }

    fn fields(
        &mut self,
        dot: &Datum,
        receiver: &Datum,
        at: &'t Operand,
        names: Span,
        args: Args<'t>,
    ) -> Result<Datum, Error> {
        let Some((last, path)) = self.source.fields(names).split_last() else {
            return Ok(receiver.clone());
        };
        let Some((first, path)) = path.split_first() else {
            return self.field_of(dot, receiver, at, last, args);
        };
        let mut found = self.field_of(dot, receiver, at, first, Args::NONE)?;
        for name in path {
            found = self.field_of(dot, &found, at, name, Args::NONE)?;
        }
        self.field_of(dot, &found, at, last, args)
    }

    /// One field, method or key of a value.
    fn field_of(
        &mut self,
        dot: &Datum,
        receiver: &Datum,
        at: &'t Operand,
        name: &Str,
        args: Args<'t>,
    ) -> Result<Datum, Error> {
        if receiver.is_invalid() {
            if self.set.missing_key() == MissingKey::Error {
                let name = crate::quote::quoted(name);
                return Err(self.error(format!("nil data; no entry for key {name}")));
            }
            return Ok(Datum::default());
        }
        if receiver.value.is_nil() {
            return Err(self.error(format!("nil pointer evaluating {}.{name}", receiver.type_name())));
        }
        if let Some(Type::Named(named)) = receiver.value.ty()
            && let Some(method) = named.methods.iter().find(|method| *name == method.name)
        {
            let target = receiver.value.clone();
            return self.call(dot, At::Operand(at), &name.lossy(), method.signature, args, |exec, values| {
                (method.call)(exec.run, &target, values)
            });
        }
        match &receiver.value {
            Value::Map(map) => {
                if args.any() {
                    return Err(self.error(format!("{name} is not a method but has arguments")));
                }
                let element = map.element();
                let boxed = element == Type::Any;
                match (map.get(name), self.set.missing_key()) {
                    (Some(value), _) => Ok(Datum { value, boxed }),
                    (None, MissingKey::Default) => Ok(Datum::default()),
                    (None, MissingKey::Zero) => Ok(Datum { value: Value::zero(element), boxed }),
                    (None, MissingKey::Error) => {
                        let name = crate::quote::quoted(name);
                        Err(self.error(format!("map has no entry for key {name}")))
                    }
                }
            }
            Value::Object(object) => {
                let found = object.fields().into_iter().find(|(known, _)| *name == *known);
                match found {
                    Some(_) if args.any() => {
                        Err(self.error(format!("{name} has arguments but cannot be invoked as function")))
                    }
                    Some((_, value)) => Ok(Datum { boxed: value.is_nil(), value }),
                    None => Err(self.no_field(receiver, name)),
                }
            }
            _ => Err(self.no_field(receiver, name)),
        }
    }

    fn no_field(&self, receiver: &Datum, name: &Str) -> Error {
        self.error(format!("can't evaluate field {name} in type {}", receiver.type_name()))
    }

    // Calls.

    fn function(
        &mut self,
        dot: &Datum,
        operand: &'t Operand,
        at: At<'t>,
        callee: u32,
        args: Args<'t>,
    ) -> Result<Datum, Error> {
        self.at = At::Operand(operand);
        let callee = self.source.callee(callee);
        match &callee.target {
            Target::Native(function) => self.call(dot, at, &callee.name, function.signature(), args, |exec, values| {
                function.call(exec.run, values)
            }),
            Target::Builtin(builtin) => self.builtin(dot, at, &callee.name, *builtin, args),
        }
    }

    /// Calls a function of the host with values that fit its signature.
    fn call(
        &mut self,
        dot: &Datum,
        at: At<'t>,
        name: &str,
        signature: Signature,
        args: Args<'t>,
        function: impl FnOnce(&mut Self, &[Value]) -> Result<Value, FuncError>,
    ) -> Result<Datum, Error> {
        let (values, _) = self.arguments(dot, name, signature, args)?;
        self.run.step()?;
        self.run.work(CALL + values.iter().map(weight).sum::<u64>())?;
        match crate::stack::grow(|| function(self, &values)) {
            Ok(value) => {
                self.run.arguments.keep(values);
                if let Value::Str(text) = &value {
                    self.run.work(weight(&value))?;
                    self.run.claim(text.len())?;
                }
                Ok(Datum::plain(value))
            }
            Err(error) => {
                self.at = at;
                Err(self.call_error(name, error))
            }
        }
    }

    fn builtin(
        &mut self,
        dot: &Datum,
        at: At<'t>,
        name: &str,
        builtin: Builtin,
        args: Args<'t>,
    ) -> Result<Datum, Error> {
        let signature = builtin.signature();
        if let Builtin::And | Builtin::Or = builtin {
            return self.short_circuit(dot, name, signature, builtin == Builtin::Or, args);
        }
        let shown = match (builtin, args.operands.first(), &args.piped) {
            (Builtin::Call, Some(first), _) => Some(self.source.print(At::Operand(first))),
            (Builtin::Call, None, Some(piped)) => Some(reflected(&piped.value)),
            _ => None,
        };
        let (values, boxed) = self.arguments(dot, name, signature, args)?;
        self.run.work(1 + values.iter().map(weight).sum::<u64>())?;
        if builtin.writes() {
            self.run.survey(&values)?;
        }
        let result = match (shown, values.first()) {
            // There are no function values, so `call` can only complain.
            (Some(_), Some(first)) if first.is_nil() => Err(FuncError::from("call of nil")),
            (Some(shown), Some(first)) => {
                Err(FuncError::from(format!("non-function {shown} of type {}", first.type_name())))
            }
            _ => builtin.call(&values, boxed),
        };
        let value = result.map_err(|error| {
            self.at = at;
            self.call_error(name, error)
        })?;
        self.run.arguments.keep(values);
        if let Value::Str(text) = &value.value {
            self.run.claim(text.len())?;
        }
        Ok(value)
    }

    /// `and` and `or` evaluate no further than needed.
    fn short_circuit(
        &mut self,
        dot: &Datum,
        name: &str,
        signature: Signature,
        or: bool,
        args: Args<'t>,
    ) -> Result<Datum, Error> {
        self.check_count(name, signature, &args)?;
        let mut value = Datum::default();
        for operand in args.operands {
            value = self.argument(dot, Type::Any, operand)?;
            if value.value.truth() == or {
                return Ok(value);
            }
        }
        Ok(args.piped.unwrap_or(value))
    }

    fn check_count(&self, name: &str, signature: Signature, args: &Args<'_>) -> Result<(), Error> {
        let given = args.operands.len() + usize::from(args.piped.is_some());
        let fixed = signature.params.len();
        if signature.variadic.is_none() && given != fixed {
            return Err(self.error(format!("wrong number of args for {name}: want {fixed} got {given}")));
        }
        if given < fixed {
            let given = args.operands.len();
            return Err(self.error(format!("wrong number of args for {name}: want at least {fixed} got {given}")));
        }
        Ok(())
    }

    /// The arguments, and whether the first was found where anything may be.
    fn arguments(
        &mut self,
        dot: &Datum,
        name: &str,
        signature: Signature,
        args: Args<'t>,
    ) -> Result<(Vec<Value>, bool), Error> {
        self.check_count(name, signature, &args)?;
        let mut values = self.run.arguments.take();
        let mut first_boxed = false;
        for (i, operand) in args.operands.iter().enumerate() {
            let ty = signature.param(i).unwrap_or(Type::Any);
            let datum = self.argument(dot, ty, operand)?;
            first_boxed |= i == 0 && datum.boxed;
            values.push(datum.value);
        }
        if let Some(piped) = args.piped {
            let ty = signature.param(values.len()).unwrap_or(Type::Any);
            let datum = self.fitting(piped, ty)?;
            first_boxed |= values.is_empty() && datum.boxed;
            values.push(datum.value);
        }
        Ok((values, first_boxed))
    }

    /// An operand as an argument of the given type.
    fn argument(&mut self, dot: &Datum, ty: Type, operand: &'t Operand) -> Result<Datum, Error> {
        self.at = At::Operand(operand);
        let value = match operand.expr {
            Expr::Dot => dot.clone(),
            Expr::Nil if ty.can_be_nil() => return Ok(Datum::default()),
            Expr::Nil => return Err(self.error(format!("cannot assign nil to {ty}"))),
            Expr::Field(names) => self.field(dot, operand, names, Args::NONE)?,
            Expr::Variable(name, fields) => self.variable(dot, operand, name, fields, Args::NONE)?,
            Expr::Pipe(id) => crate::stack::grow(|| self.pipeline(dot, id))?,
            Expr::Function(callee) => self.function(dot, operand, At::Operand(operand), callee, Args::NONE)?,
            Expr::Chain(inner, names) => self.chain(dot, operand, inner, names, Args::NONE)?,
            Expr::Bool(_) | Expr::Number(_) | Expr::Text { .. } => return self.constant_of(ty, operand),
        };
        self.fitting(value, ty)
    }

    /// A constant as a value of the given type.
    fn constant_of(&mut self, ty: Type, operand: &'t Operand) -> Result<Datum, Error> {
        let number = match operand.expr {
            Expr::Number(number) => Some(self.source.number(number)),
            _ => None,
        };
        let int = number.and_then(|n| n.int);
        let uint = number.and_then(|n| n.uint);
        let (value, wanted) = match ty.underlying() {
            Type::Any => return self.constant(operand),
            Type::Bool => (if let Expr::Bool(b) = operand.expr { Some(Value::Bool(b)) } else { None }, "bool"),
            Type::Str => {
                let text = match operand.expr {
                    Expr::Text { value, .. } => Some(self.source.constant(value).clone()),
                    _ => None,
                };
                (text.map(Value::Str), "string")
            }
            Type::Int => (int.map(Value::Int), "integer"),
            Type::Int32 => (int.map(|n| Value::Int32(n as i32)), "integer"),
            Type::Int64 => (int.map(Value::Int64), "integer"),
            Type::Uint => (uint.map(Value::Uint), "unsigned integer"),
            Type::Uint8 => (uint.map(|n| Value::Uint8(n as u8)), "unsigned integer"),
            Type::Uint64 => (uint.map(Value::Uint64), "unsigned integer"),
            Type::Float64 => (number.and_then(|n| n.float).map(Value::Float), "float"),
            Type::Complex128 => (number.and_then(|n| n.complex).map(|(re, im)| Value::Complex(re, im)), "complex"),
            Type::List(_) | Type::Map(_) | Type::Struct | Type::Pointer | Type::Named(_) => {
                let shown = self.source.print(At::Operand(operand));
                return Err(self.error(format!("can't handle {shown} for arg of type {ty}")));
            }
        };
        value.map(Datum::plain).ok_or_else(|| {
            let shown = self.source.print(At::Operand(operand));
            self.error(format!("expected {wanted}; found {shown}"))
        })
    }

    /// Checks that a value can be passed where a type is wanted.
    fn fitting(&self, datum: Datum, ty: Type) -> Result<Datum, Error> {
        match datum.value.ty() {
            _ if matches!(ty, Type::Any) => Ok(datum),
            None if !datum.boxed && ty.can_be_nil() => Ok(datum),
            None if !datum.boxed => Err(self.error(format!("invalid value; expected {ty}"))),
            Some(own) if own.assignable_to(ty) => Ok(Datum::plain(match datum.value {
                // A parameter of the unnamed type makes a named map lose its name.
                Value::Map(map) if own != ty => Value::Map(map.retyped(ty)),
                value => value,
            })),
            own => {
                let got = own.unwrap_or(Type::Any);
                Err(self.error(format!("wrong type for value; expected {ty}; got {got}")))
            }
        }
    }
}

/// The steps that a call costs besides what its arguments do.
const CALL: u64 = 3;

/// The steps that looking at an argument costs: functions go through some 150 MB of text a second, and some 100 million
/// items.
fn weight(value: &Value) -> u64 {
    let size = match value {
        Value::Str(text) => text.len() / 8,
        Value::Bytes(bytes) => bytes.len() / 8,
        Value::List(list) => list.len() / 4,
        // Most functions look up one key.
        Value::Map(map) => map.len() / 64,
        _ => 0,
    };
    size as u64
}

/// How Go's reflection shows a value as a string: a string as it is, anything else by its type.
fn reflected(value: &Value) -> String {
    match value {
        Value::Str(s) => s.lossy().into_owned(),
        Value::Nil => "<invalid Value>".to_owned(),
        other => format!("<{} Value>", other.type_name()),
    }
}
