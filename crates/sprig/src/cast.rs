//! Lax conversions to numbers: what cannot be converted is 0.

use gotemplate::{Value, number};

/// Any value as an integer: floats are cut, strings read as Go constants (`0x1f`, `017`, a tail of `.0` allowed),
/// truth values are 0 and 1.
pub fn to_int(value: &Value) -> i64 {
    match value {
        Value::Bool(b) => i64::from(*b),
        Value::Float(f) => float_to_int(*f),
        Value::Str(s) => number::parse_int(without_zero_decimals(&s.lossy())).unwrap_or(0),
        Value::Object(_) if !converts(value) => 0,
        other => other.as_int().or_else(|| other.as_uint().map(|n| n as i64)).unwrap_or(0),
    }
}

/// Any value as a float.
pub fn to_float(value: &Value) -> f64 {
    match value {
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Float(f) => *f,
        Value::Str(s) => parse_float(&s.lossy()).unwrap_or(0.0),
        Value::Object(_) if !converts(value) => 0.0,
        other => match (other.as_int(), other.as_uint()) {
            (Some(n), _) => n as f64,
            (_, Some(n)) => n as f64,
            _ => 0.0,
        },
    }
}

/// Of the named numbers, only months and weekdays count as numbers.
fn converts(value: &Value) -> bool {
    matches!(value.type_name().as_str(), "time.Month" | "time.Weekday")
}

/// Go on 64-bit machines: what does not fit becomes the least integer.
fn float_to_int(f: f64) -> i64 {
    if f.is_nan() || f >= 9_223_372_036_854_775_808.0 { i64::MIN } else { f as i64 }
}

/// A float as Go's parser reads it: besides constants also infinities and NaN.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let (negative, body) = match lower.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, lower.strip_prefix('+').unwrap_or(&lower)),
    };
    match body {
        "inf" | "infinity" if negative => Some(f64::NEG_INFINITY),
        "inf" | "infinity" => Some(f64::INFINITY),
        "nan" if lower == "nan" => Some(f64::NAN),
        _ => number::parse_float(text),
    }
}

/// `12.00` without its `.00`.
fn without_zero_decimals(text: &str) -> &str {
    match text.rsplit_once('.') {
        Some((whole, decimals)) if !decimals.is_empty() && decimals.bytes().all(|b| b == b'0') => whole,
        _ => text,
    }
}
