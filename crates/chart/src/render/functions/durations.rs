//! Helm's functions on durations.

use gotemplate::{CallResult, FuncError, Functions, Type, Value};
use sprig::Duration;

const SECOND: i64 = 1_000_000_000;

pub(super) fn register(table: &mut Functions) {
    table
        .fixed("mustToDuration", &[Type::Any], |_, args| read(&args[0]).map(Value::object).map_err(FuncError::Message));
    type Float = fn(Duration) -> f64;
    let floats: [(&str, Float); 5] = [
        ("durationSeconds", Duration::seconds),
        ("durationMinutes", Duration::minutes),
        ("durationHours", Duration::hours),
        ("durationDays", |d| d.hours() / 24.0),
        ("durationWeeks", |d| d.hours() / 24.0 / 7.0),
    ];
    for (name, convert) in floats {
        table.fixed(name, &[Type::Any], move |_, args| Ok(Value::Float(read(&args[0]).map_or(0.0, convert))));
    }
    for (name, unit) in [
        ("durationMilliseconds", SECOND / 1000),
        ("durationMicroseconds", SECOND / 1_000_000),
        ("durationNanoseconds", 1),
    ] {
        table.fixed(name, &[Type::Any], move |_, args| Ok(Value::Int64(read(&args[0]).map_or(0, |d| d.0 / unit))));
    }
    type Fit = fn(Duration, Duration) -> Duration;
    let fits: [(&str, Fit); 2] = [("durationRoundTo", Duration::round), ("durationTruncateTo", Duration::truncate)];
    for (name, fit) in fits {
        table.fixed(name, &[Type::Any, Type::Any], move |_, args| -> CallResult {
            let Ok(duration) = read(&args[0]) else { return Ok(Value::object(Duration(0))) };
            Ok(Value::object(read(&args[1]).map_or(duration, |unit| fit(duration, unit))))
        });
    }
}

/// A duration, a text that names one, or a number of seconds, which may also be written as text.
fn read(value: &Value) -> Result<Duration, String> {
    if let Some(duration) = value.downcast::<Duration>() {
        return Ok(*duration);
    }
    match value {
        Value::Nil => return Err("invalid duration".into()),
        Value::Str(text) => {
            let given = text.lossy();
            let trimmed = given.trim();
            if trimmed.is_empty() {
                return Err("empty duration".into());
            }
            if let Some(duration) = Duration::parse(trimmed) {
                return Ok(duration);
            }
            return match special(trimmed).or_else(|| gotemplate::number::parse_float(trimmed)) {
                Some(seconds) => from_seconds(seconds),
                None => Err(format!("could not parse duration {}", gotemplate::quote::quoted(text))),
            };
        }
        _ => {}
    }
    if let Some(seconds) = value.as_int() {
        return seconds.checked_mul(SECOND).map(Duration).ok_or(format!("duration seconds overflow: {seconds}"));
    }
    if let Some(seconds) = value.as_uint() {
        let overflow = || format!("duration seconds overflow: {seconds}");
        let seconds = i64::try_from(seconds).map_err(|_| overflow())?;
        return seconds.checked_mul(SECOND).map(Duration).ok_or_else(overflow);
    }
    match value.as_float() {
        Some(seconds) => from_seconds(seconds),
        None => Err(format!("unsupported duration type {}", value.type_name())),
    }
}

/// The floats that are words.
fn special(text: &str) -> Option<f64> {
    let (negative, word) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    match word.to_ascii_lowercase().as_str() {
        "nan" if word == text => Some(f64::NAN),
        "inf" | "infinity" => Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ => None,
    }
}

fn from_seconds(seconds: f64) -> Result<Duration, String> {
    let shown = goyaml::number::go_float(seconds);
    if !seconds.is_finite() {
        return Err(format!("invalid duration seconds: {shown}"));
    }
    let nanoseconds = seconds * SECOND as f64;
    if nanoseconds.abs() > i64::MAX as f64 {
        return Err(format!("duration seconds overflow: {shown}"));
    }
    Ok(Duration(nanoseconds as i64))
}
