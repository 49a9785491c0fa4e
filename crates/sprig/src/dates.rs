//! Date functions.

use gotemplate::{CallResult, Functions, Str, Type, Value};
use jiff::tz::TimeZone;

use crate::args::{any, text, utf8};
use crate::date_parser::{parse, quoted};
use crate::datetime::{TIME, Time};
use crate::duration::{Duration, SECOND};
use crate::env::Env;

const A: Type = Type::Any;
const S: Type = Type::Str;
const T: Type = Type::Named(&TIME);

pub(crate) fn register(table: &mut Functions, env: &Env) {
    let clock = env.clone();
    table.fixed("now", &[], move |_, _| Ok(now(&clock).into()));
    formats(table, env);
    changes(table, env);
    spans(table, env);
}

fn now(env: &Env) -> Time {
    let now = env.now();
    Time::new(now.timestamp(), now.time_zone().clone())
}

/// The moment that an argument means: a time, seconds since 1970, and now for anything else.
fn moment(value: &Value, env: &Env) -> Time {
    match value {
        Value::Int(seconds) | Value::Int64(seconds) => Time::from_unix(*seconds, TimeZone::UTC),
        Value::Int32(seconds) => Time::from_unix(i64::from(*seconds), TimeZone::UTC),
        other => other.downcast::<Time>().cloned().unwrap_or_else(|| now(env)),
    }
}

/// A time zone by its name; UTC when there is none of that name.
fn zone(name: &str, env: &Env) -> TimeZone {
    match name {
        "" | "UTC" => TimeZone::UTC,
        "Local" => env.now().time_zone().clone(),
        name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    }
}

fn formats(table: &mut Functions, env: &Env) {
    const DAY: &str = "2006-01-02";
    let clock = env.clone();
    table.fixed("date", &[S, A], move |_, args| {
        Ok(moment(any(args, 1), &clock).shown_in(zone("Local", &clock)).format(&utf8(args, 0)).into())
    });
    let clock = env.clone();
    table.fixed("htmlDate", &[A], move |_, args| {
        Ok(moment(any(args, 0), &clock).shown_in(zone("Local", &clock)).format(DAY).into())
    });
    for name in ["dateInZone", "date_in_zone"] {
        let clock = env.clone();
        table.fixed(name, &[S, A, S], move |_, args| {
            let time = moment(any(args, 1), &clock).shown_in(zone(&utf8(args, 2), &clock));
            Ok(time.format(&utf8(args, 0)).into())
        });
    }
    let clock = env.clone();
    table.fixed("htmlDateInZone", &[A, S], move |_, args| {
        Ok(moment(any(args, 0), &clock).shown_in(zone(&utf8(args, 1), &clock)).format(DAY).into())
    });
    table.fixed("unixEpoch", &[T], |_, args| {
        let time = any(args, 0).downcast::<Time>().cloned().unwrap_or_else(Time::zero);
        Ok(time.unix().to_string().into())
    });
}

fn changes(table: &mut Functions, env: &Env) {
    let modified = |args: &[Value]| -> Option<Value> {
        let time = any(args, 1).downcast::<Time>()?;
        Some(time.plus(Duration::parse(&utf8(args, 0))?).into())
    };
    for name in ["dateModify", "date_modify"] {
        table.fixed(name, &[S, T], move |_, args| Ok(modified(args).unwrap_or_else(|| any(args, 1).clone())));
    }
    for name in ["mustDateModify", "must_date_modify"] {
        table.fixed(name, &[S, T], move |_, args| -> CallResult {
            modified(args).ok_or_else(|| invalid_duration(&text(args, 0)).into())
        });
    }
    let clock = env.clone();
    table.fixed("toDate", &[S, S], move |_, args| {
        let local = zone("Local", &clock);
        Ok(parse(&utf8(args, 0), &utf8(args, 1), &local).unwrap_or_else(|_| Time::zero()).into())
    });
    let clock = env.clone();
    table.fixed("mustToDate", &[S, S], move |_, args| {
        let local = zone("Local", &clock);
        Ok(parse(&utf8(args, 0), &utf8(args, 1), &local).map_err(|error| error.to_string())?.into())
    });
}

/// Go's complaint about a text that is no duration.
fn invalid_duration(text: &Str) -> String {
    let shown = quoted(text);
    let text = &*text.lossy();
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = body.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &body[..body.len() - digits.len()];
    if number.is_empty() || number.chars().all(|c| c == '.') {
        return format!("time: invalid duration {shown}");
    }
    let unit = &digits[..digits.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(digits.len())];
    match unit {
        "" => format!("time: missing unit in duration {shown}"),
        "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h" => format!("time: invalid duration {shown}"),
        unit => {
            let unit = quoted(unit);
            format!("time: unknown unit {unit} in duration {shown}")
        }
    }
}

fn spans(table: &mut Functions, env: &Env) {
    let clock = env.clone();
    table.fixed("ago", &[A], move |_, args| {
        let since = now(&clock).since(&moment(any(args, 0), &clock));
        Ok(since.round(Duration(SECOND)).to_string().into())
    });
    table.fixed("duration", &[A], |_, args| {
        let seconds = match any(args, 0) {
            Value::Int64(seconds) => *seconds,
            Value::Str(text) => text.lossy().parse().unwrap_or(0),
            _ => 0,
        };
        Ok(Duration(seconds.wrapping_mul(SECOND)).to_string().into())
    });
    let clock = env.clone();
    table.fixed("durationRound", &[A], move |_, args| {
        let duration = match any(args, 0) {
            Value::Int64(nanoseconds) => Duration(*nanoseconds),
            Value::Str(text) => Duration::parse(&text.lossy()).unwrap_or(Duration(0)),
            other => other.downcast::<Time>().map_or(Duration(0), |time| now(&clock).since(time)),
        };
        Ok(rounded(duration).into())
    });
}

/// A duration in its largest unit: `2h`, `3mo`.
fn rounded(duration: Duration) -> String {
    const HOUR: u64 = 3_600_000_000_000;
    const UNITS: [(u64, &str); 6] = [
        (HOUR * 24 * 365, "y"),
        (HOUR * 24 * 30, "mo"),
        (HOUR * 24, "d"),
        (HOUR, "h"),
        (HOUR / 60, "m"),
        (HOUR / 3600, "s"),
    ];
    let size = duration.0.unsigned_abs();
    let unit = UNITS.iter().find(|(unit, _)| size > *unit);
    unit.map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", size / unit))
}
