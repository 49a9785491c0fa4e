//! Comparison with Go's rules: the same basic kind on both sides, except that integers of either sign meet.

use crate::error::FuncError;
use crate::types::Kind;
use crate::value::Value;

/// A value as the comparisons see it.
enum Basic {
    Bool(bool),
    Complex(f64, f64),
    Int(i64),
    Float(f64),
    Text(crate::bytestr::Str),
    Uint(u64),
    /// Anything else.
    Other,
}

fn basic(value: &Value) -> Basic {
    match value {
        Value::Complex(re, im) => Basic::Complex(*re, *im),
        _ => {
            let kind = value.kind();
            match kind {
                Kind::Bool => value.as_bool().map(Basic::Bool),
                Kind::String => value.as_str().map(Basic::Text),
                Kind::Float64 => value.as_float().map(Basic::Float),
                _ if kind.is_int() => value.as_int().map(Basic::Int),
                _ if kind.is_uint() => value.as_uint().map(Basic::Uint),
                _ => None,
            }
            .unwrap_or(Basic::Other)
        }
    }
}

fn incompatible(a: &Value, b: &Value) -> FuncError {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()).into()
}

/// Does the first equal any of the others?
pub(crate) fn eq(first: &Value, others: &[Value]) -> Result<bool, FuncError> {
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if eq_one(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn eq_one(a: &Value, b: &Value) -> Result<bool, FuncError> {
    Ok(match (basic(a), basic(b)) {
        (Basic::Bool(a), Basic::Bool(b)) => a == b,
        (Basic::Complex(ar, ai), Basic::Complex(br, bi)) => ar == br && ai == bi,
        (Basic::Int(a), Basic::Int(b)) => a == b,
        (Basic::Uint(a), Basic::Uint(b)) => a == b,
        (Basic::Float(a), Basic::Float(b)) => a == b,
        (Basic::Text(a), Basic::Text(b)) => a == b,
        (Basic::Int(a), Basic::Uint(b)) | (Basic::Uint(b), Basic::Int(a)) => u64::try_from(a) == Ok(b),
        (Basic::Other, Basic::Other) => return eq_other(a, b),
        _ if a.is_nil() || b.is_nil() => false,
        _ => return Err(incompatible(a, b)),
    })
}

/// Compares what has no order: only nil and records can be equal.
fn eq_other(a: &Value, b: &Value) -> Result<bool, FuncError> {
    if a.is_nil() || b.is_nil() {
        return Ok(a.is_nil_or_nil_list() && b.is_nil_or_nil_list());
    }
    // Go prints the value by the verb for strings.
    let shown = |value: &Value| crate::format::sprintf(b"%s", std::slice::from_ref(value));
    if a.kind() != b.kind() {
        let second = crate::format::to_string(b);
        let text = format!("non-comparable types {}: {}, {}: {second}", shown(a), a.type_name(), b.type_name());
        return Err(text.into());
    }
    let kind = a.kind();
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if kind == Kind::Pointer => Ok(std::sync::Arc::ptr_eq(a, b)),
        (Value::Object(a), Value::Object(b)) => Ok(a.equals(&**b)),
        _ if a.is_nil_or_nil_list() || b.is_nil_or_nil_list() => Ok(a.is_nil_or_nil_list() == b.is_nil_or_nil_list()),
        _ => Err(format!("non-comparable type {}: {}", shown(b), b.type_name()).into()),
    }
}

/// Is the first less than the second?
pub(crate) fn lt(a: &Value, b: &Value) -> Result<bool, FuncError> {
    const INVALID: &str = "invalid type for comparison";
    Ok(match (basic(a), basic(b)) {
        (Basic::Other, _) | (_, Basic::Other) => return Err(INVALID.into()),
        (Basic::Int(a), Basic::Int(b)) => a < b,
        (Basic::Uint(a), Basic::Uint(b)) => a < b,
        (Basic::Float(a), Basic::Float(b)) => a < b,
        (Basic::Text(a), Basic::Text(b)) => a < b,
        (Basic::Int(a), Basic::Uint(b)) => u64::try_from(a).is_ok_and(|a| a < b) || a < 0,
        (Basic::Uint(a), Basic::Int(b)) => u64::try_from(b).is_ok_and(|b| a < b),
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(..), Basic::Complex(..)) => return Err(INVALID.into()),
        _ => return Err(incompatible(a, b)),
    })
}

/// Is the first less than or equal to the second?
pub(crate) fn le(a: &Value, b: &Value) -> Result<bool, FuncError> {
    Ok(lt(a, b)? || eq_one(a, b)?)
}
