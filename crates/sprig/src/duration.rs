//! [`Duration`]: Go's `time.Duration`, a number of nanoseconds.

use std::fmt;

use gotemplate::{CallResult, Method, NamedType, Object, Run, Signature, Type, Value};

/// A span of time in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

impl Duration {
    /// Reads Go's notation: `1h15m30.5s`, `-1.5h`, `300ms`.
    pub fn parse(text: &str) -> Option<Duration> {
        let (negative, mut rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(Duration(0));
        }
        if rest.is_empty() {
            return None;
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(number_end);
            let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let unit = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => MICROSECOND,
                "ms" => MILLISECOND,
                "s" => SECOND,
                "m" => MINUTE,
                "h" => HOUR,
                _ => return None,
            };
            total = total.checked_add(scaled(number, unit)?)?;
            if total > 1 << 63 {
                return None;
            }
            rest = tail;
        }
        i64::try_from(if negative { -total } else { total }).ok().map(Duration)
    }

    /// Rounded to a multiple of `unit`, half away from zero; as it is for a unit that is not positive.
    pub fn round(self, unit: Duration) -> Duration {
        if unit.0 <= 0 {
            return self;
        }
        let (n, unit) = (i128::from(self.0), i128::from(unit.0));
        let rest = (n % unit).abs();
        let toward_zero = n - n % unit;
        let rounded = if rest * 2 < unit { toward_zero } else { toward_zero + unit * n.signum() };
        Duration(rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    /// Cut to a multiple of `unit`, toward zero; as it is for a unit that is not positive.
    pub fn truncate(self, unit: Duration) -> Duration {
        if unit.0 <= 0 { self } else { Duration(self.0 - self.0 % unit.0) }
    }

    fn in_units(self, unit: i64) -> f64 {
        (self.0 / unit) as f64 + (self.0 % unit) as f64 / unit as f64
    }

    /// As a number of seconds.
    pub fn seconds(self) -> f64 {
        self.in_units(SECOND)
    }

    /// As a number of minutes.
    pub fn minutes(self) -> f64 {
        self.in_units(MINUTE)
    }

    /// As a number of hours.
    pub fn hours(self) -> f64 {
        self.in_units(HOUR)
    }
}

/// A decimal number times a unit, cut to whole nanoseconds.
fn scaled(number: &str, unit: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    let mut sum = whole * i128::from(unit);
    let mut scale = f64::from(1u8);
    let mut value: u64 = 0;
    for digit in fraction.bytes() {
        // Further digits are beyond a nanosecond.
        if value > (1 << 63) / 10 {
            break;
        }
        value = value * 10 + u64::from(digit - b'0');
        scale *= 10.0;
    }
    sum += (value as f64 * (unit as f64 / scale)) as i128;
    Some(sum)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let below = |unit: u64, digits: usize| fraction(n % unit, digits);
        match n {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{sign}{n}ns"),
            1_000..1_000_000 => write!(f, "{sign}{}{}µs", n / 1_000, below(1_000, 3)),
            1_000_000..1_000_000_000 => write!(f, "{sign}{}{}ms", n / 1_000_000, below(1_000_000, 6)),
            _ => {
                let total = n / 1_000_000_000;
                let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
                f.write_str(sign)?;
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if total >= 60 {
                    write!(f, "{minutes}m")?;
                }
                write!(f, "{seconds}{}s", below(1_000_000_000, 9))
            }
        }
    }
}

/// `.25`, without trailing zeros; nothing for 0.
fn fraction(n: u64, digits: usize) -> String {
    if n == 0 {
        return String::new();
    }
    format!(".{n:0digits$}").trim_end_matches('0').to_owned()
}

const NONE: Signature = Signature::fixed(&[]);
static UNIT_PARAMS: [Type; 1] = [Type::Named(&DURATION)];

/// The type `time.Duration`.
pub(crate) static DURATION: NamedType = NamedType { name: "time.Duration", underlying: Type::Int64, methods: &METHODS };

macro_rules! method {
    ($name:literal, $signature:expr, |$duration:ident, $args:ident| $body:expr) => {
        Method {
            name: $name,
            signature: $signature,
            call: |_: &mut Run<'_>, receiver: &Value, $args: &[Value]| -> CallResult {
                let $duration = receiver.downcast::<Duration>().copied().ok_or("not a duration")?;
                Ok(Value::from($body))
            },
        }
    };
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Value {
        Value::object(duration)
    }
}

fn unit(args: &[Value]) -> Duration {
    args.first().and_then(|arg| arg.downcast::<Duration>()).copied().unwrap_or(Duration(0))
}

static METHODS: [Method; 10] = [
    method!("Hours", NONE, |d, _args| d.hours()),
    method!("Minutes", NONE, |d, _args| d.minutes()),
    method!("Seconds", NONE, |d, _args| d.seconds()),
    method!("Milliseconds", NONE, |d, _args| Value::Int64(d.0 / MILLISECOND)),
    method!("Microseconds", NONE, |d, _args| Value::Int64(d.0 / MICROSECOND)),
    method!("Nanoseconds", NONE, |d, _args| Value::Int64(d.0)),
    method!("Abs", NONE, |d, _args| Duration(d.0.saturating_abs())),
    method!("String", NONE, |d, _args| d.to_string()),
    method!("Round", Signature::fixed(&UNIT_PARAMS), |d, args| d.round(unit(args))),
    method!("Truncate", Signature::fixed(&UNIT_PARAMS), |d, args| d.truncate(unit(args))),
];

impl Object for Duration {
    fn named_type(&self) -> &'static NamedType {
        &DURATION
    }
    fn basic(&self) -> Option<Value> {
        Some(Value::Int64(self.0))
    }
    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn marshal(&self) -> Option<Value> {
        self.basic()
    }
    fn equals(&self, other: &dyn Object) -> bool {
        (other as &dyn std::any::Any).downcast_ref::<Duration>() == Some(self)
    }
}
