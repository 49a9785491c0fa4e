//! Go's own template functions.

use crate::bytestr::Str;
use crate::collections::List;
use crate::compare;
use crate::error::FuncError;
use crate::escape;
use crate::eval::Datum;
use crate::format;
use crate::function::Signature;
use crate::types::{Kind, Type};
use crate::value::Value;

/// One of Go's own functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    And,
    Or,
    Not,
    Len,
    Index,
    Slice,
    Print,
    Printf,
    Println,
    Html,
    Js,
    Urlquery,
    Call,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Builtin {
    /// The function of that name.
    pub(crate) fn named(name: &str) -> Option<Builtin> {
        Some(match name {
            "and" => Builtin::And,
            "or" => Builtin::Or,
            "not" => Builtin::Not,
            "len" => Builtin::Len,
            "index" => Builtin::Index,
            "slice" => Builtin::Slice,
            "print" => Builtin::Print,
            "printf" => Builtin::Printf,
            "println" => Builtin::Println,
            "html" => Builtin::Html,
            "js" => Builtin::Js,
            "urlquery" => Builtin::Urlquery,
            "call" => Builtin::Call,
            "eq" => Builtin::Eq,
            "ne" => Builtin::Ne,
            "lt" => Builtin::Lt,
            "le" => Builtin::Le,
            "gt" => Builtin::Gt,
            "ge" => Builtin::Ge,
            _ => return None,
        })
    }

    /// What the function takes.
    pub(crate) fn signature(self) -> Signature {
        const ANY: Type = Type::Any;
        match self {
            Builtin::Not | Builtin::Len => Signature::fixed(&[ANY]),
            Builtin::Ne | Builtin::Lt | Builtin::Le | Builtin::Gt | Builtin::Ge => Signature::fixed(&[ANY, ANY]),
            Builtin::Print | Builtin::Println | Builtin::Html | Builtin::Js | Builtin::Urlquery => {
                Signature::variadic(&[], ANY)
            }
            Builtin::Printf => Signature::variadic(&[Type::Str], ANY),
            Builtin::And | Builtin::Or | Builtin::Index | Builtin::Slice | Builtin::Call | Builtin::Eq => {
                Signature::variadic(&[ANY], ANY)
            }
        }
    }

    /// Does the function write its arguments out as text, whatever they are?
    pub(crate) fn writes(self) -> bool {
        use Builtin::{Html, Js, Print, Printf, Println, Urlquery};
        matches!(self, Print | Printf | Println | Html | Js | Urlquery)
    }

    /// Calls the function. `and`, `or` and `call` are the evaluator's business and never come here with effect.
    /// `boxed` says that the first argument was found where anything may be.
    pub(crate) fn call(self, args: &[Value], boxed: bool) -> Result<Datum, FuncError> {
        let typed_nil = boxed && args.first().is_some_and(Value::is_nil);
        let value = match (self, args) {
            (Builtin::And | Builtin::Or | Builtin::Call, _) => Value::Nil,
            (Builtin::Not, [arg]) => Value::Bool(!arg.truth()),
            (Builtin::Len, [arg]) => len(arg, typed_nil)?,
            (Builtin::Index, [item, indexes @ ..]) => return index(item, indexes),
            (Builtin::Slice, [item, indexes @ ..]) => slice(item, indexes)?,
            (Builtin::Print, args) => Value::Str(format::sprint(args)),
            (Builtin::Println, args) => Value::Str(format::sprintln(args)),
            (Builtin::Printf, [format, args @ ..]) => {
                Value::Str(format::sprintf(&format.as_str().unwrap_or_default(), args))
            }
            (Builtin::Html, args) => Value::Str(escape::html(&text_of(args))),
            (Builtin::Js, args) => Value::Str(escape::js(&text_of(args))),
            (Builtin::Urlquery, args) => Value::Str(escape::url_query(&text_of(args))),
            (Builtin::Eq, [first, others @ ..]) => Value::Bool(compare::eq(first, others)?),
            (Builtin::Ne, [a, b]) => Value::Bool(!compare::eq(a, std::slice::from_ref(b))?),
            (Builtin::Lt, [a, b]) => Value::Bool(compare::lt(a, b)?),
            (Builtin::Le, [a, b]) => Value::Bool(compare::le(a, b)?),
            (Builtin::Gt, [a, b]) => Value::Bool(!compare::le(a, b)?),
            (Builtin::Ge, [a, b]) => Value::Bool(!compare::lt(a, b)?),
            // The evaluator has checked the number of arguments.
            _ => return Err("wrong number of arguments".into()),
        };
        Ok(Datum::plain(value))
    }
}

/// What the escaping functions escape: the arguments as an action would print them, one after the other.
fn text_of(args: &[Value]) -> Str {
    let printable: Vec<Value> = args
        .iter()
        .map(|arg| match arg {
            Value::Nil => Value::from("<no value>"),
            other => other.clone(),
        })
        .collect();
    format::sprint(&printable)
}

fn len(arg: &Value, typed_nil: bool) -> Result<Value, FuncError> {
    if typed_nil {
        return Err("len of nil pointer".into());
    }
    match (arg.length(), arg.ty()) {
        (Some(length), _) => Ok(Value::Int(length as i64)),
        // A pointer is followed first.
        (None, Some(ty)) => Err(format!("len of type {}", ty.to_string().trim_start_matches('*')).into()),
        (None, None) => Err("reflect: call of reflect.Value.Type on zero Value".into()),
    }
}

/// An index into something of this length, or one that may point at its end.
fn index_of(index: &Value, capacity: usize) -> Result<usize, FuncError> {
    let number = match (index.as_int(), index.as_uint()) {
        (Some(n), _) => n,
        (_, Some(n)) => n as i64,
        _ if index.is_nil() => return Err("cannot index slice/array with nil".into()),
        _ => return Err(format!("cannot index slice/array with type {}", index.type_name()).into()),
    };
    match usize::try_from(number).ok().filter(|n| *n <= capacity) {
        Some(n) => Ok(n),
        None => Err(format!("index out of range: {number}").into()),
    }
}

fn index(item: &Value, indexes: &[Value]) -> Result<Datum, FuncError> {
    if item.is_nil() {
        return Err("index of untyped nil".into());
    }
    let mut item = Datum::plain(item.clone());
    for index in indexes {
        item = index_once(&item.value, index)?;
    }
    Ok(item)
}

fn index_once(item: &Value, index: &Value) -> Result<Datum, FuncError> {
    // An index right behind the last item passes the check and then fails in Go's reflection.
    let past_end = |what: &str| FuncError::Message(format!("reflect: {what} index out of range"));
    match item {
        Value::Nil => Err("index of nil pointer".into()),
        Value::List(list) => {
            let i = index_of(index, list.len())?;
            let found = list.items().get(i).cloned().ok_or_else(|| past_end("slice"))?;
            Ok(Datum { value: found, boxed: list.element() == Type::Any })
        }
        Value::Bytes(bytes) => {
            let i = index_of(index, bytes.len())?;
            bytes.get(i).map(|b| Datum::plain(Value::Uint8(*b))).ok_or_else(|| past_end("slice"))
        }
        Value::Map(map) => {
            let key = match (index.as_str(), index.ty()) {
                (Some(key), Some(Type::Str)) => key,
                (_, Some(ty)) => return Err(format!("value has type {ty}; should be string").into()),
                (_, None) => return Err("value is nil; should be of type string".into()),
            };
            let element = map.element();
            let found = map.get(&key).unwrap_or_else(|| Value::zero(element));
            Ok(Datum { value: found, boxed: element == Type::Any })
        }
        other => match other.as_str() {
            Some(text) => {
                let i = index_of(index, text.len())?;
                text.get(i).map(|b| Datum::plain(Value::Uint8(*b))).ok_or_else(|| past_end("string"))
            }
            None => Err(format!("can't index item of type {}", other.type_name()).into()),
        },
    }
}

fn slice(item: &Value, indexes: &[Value]) -> Result<Value, FuncError> {
    if item.is_nil() {
        return Err("slice of untyped nil".into());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let length = match item.kind() {
        Kind::String if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Kind::String | Kind::Slice => item.length().unwrap_or(0),
        _ => return Err(format!("can't slice item of type {}", item.type_name()).into()),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = index_of(index, length)?;
    }
    let [from, to, capacity] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}").into());
    }
    if to > capacity {
        return Err(format!("invalid slice index: {to} > {capacity}").into());
    }
    Ok(match item {
        Value::List(list) => Value::List(List::typed(list.ty(), list.items()[from..to].to_vec())),
        Value::Bytes(bytes) => Value::Bytes(bytes[from..to].into()),
        other => Value::Str(Str::from(&other.as_str().unwrap_or_default()[from..to])),
    })
}
