//! [`Time`]: Go's `time.Time`.

use std::fmt;

use gotemplate::{CallResult, Method, NamedType, Object, Run, Signature, Type, Value};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::args::{int, utf8};
use crate::duration::{DURATION, Duration};
use crate::layout::{self, Fields, MONTHS, WEEKDAYS};

/// A moment with the zone that it is shown in.
#[derive(Clone, Debug)]
pub struct Time {
    at: Timestamp,
    zone: Zone,
}

/// A time zone, or an offset that was all a text told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Zone {
    Known(TimeZone),
    Fixed { name: String, offset: i32 },
}

impl Time {
    /// The moment, shown in the zone.
    pub fn new(at: Timestamp, zone: TimeZone) -> Time {
        Time { at, zone: Zone::Known(zone) }
    }

    pub(crate) fn in_fixed(at: Timestamp, name: String, offset: i32) -> Time {
        Time { at, zone: Zone::Fixed { name, offset } }
    }

    /// Seconds since 1970 as a moment in UTC; far away ones are the farthest that there are.
    pub(crate) fn from_unix(seconds: i64, zone: TimeZone) -> Time {
        let limit = |t: Timestamp| t.as_second();
        let seconds = seconds.clamp(limit(Timestamp::MIN), limit(Timestamp::MAX));
        Time::new(Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN), zone)
    }

    /// Go's zero time, the start of year 1.
    pub fn zero() -> Time {
        Time::from_unix(-62_135_596_800, TimeZone::UTC)
    }

    /// The moment.
    pub fn timestamp(&self) -> Timestamp {
        self.at
    }

    /// The same moment, shown in another zone.
    pub(crate) fn shown_in(&self, zone: TimeZone) -> Time {
        Time::new(self.at, zone)
    }

    /// The moment so much later.
    pub(crate) fn plus(&self, duration: Duration) -> Time {
        let nanoseconds = self.at.as_nanosecond() + i128::from(duration.0);
        let limits = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
        let nanoseconds = nanoseconds.clamp(*limits.start(), *limits.end());
        Time { at: Timestamp::from_nanosecond(nanoseconds).unwrap_or(self.at), zone: self.zone.clone() }
    }

    /// How much later this is than another moment; far apart ones are as far apart as a duration can say.
    pub(crate) fn since(&self, other: &Time) -> Duration {
        let n = self.at.as_nanosecond() - other.at.as_nanosecond();
        Duration(n.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    fn zone(&self) -> TimeZone {
        match &self.zone {
            Zone::Known(zone) => zone.clone(),
            Zone::Fixed { offset, .. } => Offset::from_seconds(*offset).map_or(TimeZone::UTC, TimeZone::fixed),
        }
    }

    pub(crate) fn fields(&self) -> Fields {
        let zone = self.zone();
        let civil = zone.to_datetime(self.at);
        let info = zone.to_offset_info(self.at);
        let name = match &self.zone {
            Zone::Known(_) => info.abbreviation().to_owned(),
            Zone::Fixed { name, .. } => name.clone(),
        };
        Fields {
            year: i64::from(civil.year()),
            month: civil.month() as usize,
            day: civil.day() as usize,
            year_day: civil.day_of_year() as usize,
            weekday: civil.weekday().to_sunday_zero_offset() as usize,
            hour: civil.hour() as usize,
            minute: civil.minute() as usize,
            second: civil.second() as usize,
            nanosecond: civil.subsec_nanosecond() as usize,
            offset: info.offset().seconds(),
            zone: name,
        }
    }

    /// The moment by a Go layout.
    pub fn format(&self, layout: &str) -> String {
        layout::format(&self.fields(), layout)
    }

    /// The date so many years, months and days later, by the calendar: the 31st of a short month runs over.
    fn plus_date(&self, years: i64, months: i64, days: i64) -> Option<Time> {
        let zone = self.zone();
        let civil = zone.to_datetime(self.at);
        let month = i64::from(civil.month()) - 1 + months;
        let year = i16::try_from(i64::from(civil.year()) + years + month.div_euclid(12)).ok()?;
        let first = jiff::civil::Date::new(year, month.rem_euclid(12) as i8 + 1, 1).ok()?;
        let span = jiff::Span::new().try_days(i64::from(civil.day()) - 1 + days).ok()?;
        let date = first.checked_add(span).ok()?;
        let at = zone.to_ambiguous_zoned(date.to_datetime(civil.time())).compatible().ok()?.timestamp();
        Some(Time { at, zone: self.zone.clone() })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

impl From<Time> for Value {
    fn from(time: Time) -> Value {
        Value::object(time)
    }
}

impl Object for Time {
    fn named_type(&self) -> &'static NamedType {
        &TIME
    }
    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn marshal(&self) -> Option<Value> {
        Some(self.format("2006-01-02T15:04:05.999999999Z07:00").into())
    }
    fn equals(&self, other: &dyn Object) -> bool {
        let other = (other as &dyn std::any::Any).downcast_ref::<Time>();
        other.is_some_and(|other| self.at == other.at && self.zone == other.zone)
    }
}

/// A month or a weekday: a number with a name.
#[derive(Debug)]
struct Named {
    kind: &'static NamedType,
    number: usize,
    name: &'static str,
}

static MONTH: NamedType = NamedType { name: "time.Month", underlying: Type::Int, methods: NAMED_METHODS };
static WEEKDAY: NamedType = NamedType { name: "time.Weekday", underlying: Type::Int, methods: NAMED_METHODS };

static NAMED_METHODS: &[Method] = &[Method {
    name: "String",
    signature: NONE,
    call: |_, receiver, _| Ok(receiver.downcast::<Named>().map_or("", |named| named.name).into()),
}];

impl Object for Named {
    fn named_type(&self) -> &'static NamedType {
        self.kind
    }
    fn basic(&self) -> Option<Value> {
        Some(Value::Int(self.number as i64))
    }
    fn text(&self) -> Option<String> {
        Some(self.name.to_owned())
    }
    fn marshal(&self) -> Option<Value> {
        self.basic()
    }
    fn equals(&self, other: &dyn Object) -> bool {
        (other as &dyn std::any::Any).downcast_ref::<Named>().is_some_and(|other| {
            std::ptr::eq(self.kind, other.kind) && self.number == other.number
        })
    }
}

/// The type `time.Time`.
pub(crate) static TIME: NamedType = NamedType { name: "time.Time", underlying: Type::Struct, methods: &METHODS };

const NONE: Signature = Signature::fixed(&[]);
const TEXT: Signature = Signature::fixed(&[Type::Str]);
static OTHER_PARAMS: [Type; 1] = [Type::Named(&TIME)];
static SPAN_PARAMS: [Type; 1] = [Type::Named(&DURATION)];
const DATE: Signature = Signature::fixed(&[Type::Int, Type::Int, Type::Int]);

macro_rules! method {
    ($name:literal, $signature:expr, |$time:ident, $args:ident| $body:expr) => {
        Method {
            name: $name,
            signature: $signature,
            call: |_: &mut Run<'_>, receiver: &Value, $args: &[Value]| -> CallResult {
                let $time = receiver.downcast::<Time>().ok_or("not a time")?;
                Ok(Value::from($body))
            },
        }
    };
}

fn other(args: &[Value]) -> Time {
    args.first().and_then(|arg| arg.downcast::<Time>()).cloned().unwrap_or_else(Time::zero)
}

fn span(args: &[Value]) -> Duration {
    args.first().and_then(|arg| arg.downcast::<Duration>()).copied().unwrap_or(Duration(0))
}

/// Rounds or cuts the time since year 1 to a multiple of a duration.
fn stepped(time: &Time, step: Duration, half_up: bool) -> Time {
    if step.0 <= 0 {
        return time.clone();
    }
    let since = time.at.as_nanosecond() - Time::zero().at.as_nanosecond();
    let step = i128::from(step.0);
    let rest = since.rem_euclid(step);
    let back = if half_up && rest * 2 >= step { rest - step } else { rest };
    time.plus(Duration(-(back as i64)))
}

static METHODS: [Method; 26] = [
    method!("Format", TEXT, |t, args| t.format(&utf8(args, 0))),
    method!("String", NONE, |t, _args| t.to_string()),
    method!("Unix", NONE, |t, _args| Value::Int64(t.at.as_second() - i64::from(t.at.subsec_nanosecond() < 0))),
    method!("UnixMilli", NONE, |t, _args| Value::Int64(t.at.as_nanosecond().div_euclid(1_000_000) as i64)),
    method!("UnixMicro", NONE, |t, _args| Value::Int64(t.at.as_nanosecond().div_euclid(1_000) as i64)),
    method!("UnixNano", NONE, |t, _args| Value::Int64(t.at.as_nanosecond() as i64)),
    method!("Year", NONE, |t, _args| t.fields().year),
    method!("Month", NONE, |t, _args| {
        let month = t.fields().month;
        Value::object(Named { kind: &MONTH, number: month, name: MONTHS.get(month - 1).unwrap_or(&"") })
    }),
    method!("Weekday", NONE, |t, _args| {
        let day = t.fields().weekday;
        Value::object(Named { kind: &WEEKDAY, number: day, name: WEEKDAYS.get(day).unwrap_or(&"") })
    }),
    method!("Day", NONE, |t, _args| t.fields().day as i64),
    method!("YearDay", NONE, |t, _args| t.fields().year_day as i64),
    method!("Hour", NONE, |t, _args| t.fields().hour as i64),
    method!("Minute", NONE, |t, _args| t.fields().minute as i64),
    method!("Second", NONE, |t, _args| t.fields().second as i64),
    method!("Nanosecond", NONE, |t, _args| t.fields().nanosecond as i64),
    method!("UTC", NONE, |t, _args| t.shown_in(TimeZone::UTC)),
    method!("IsZero", NONE, |t, _args| t.at == Time::zero().at),
    method!("Add", Signature::fixed(&SPAN_PARAMS), |t, args| t.plus(span(args))),
    method!("AddDate", DATE, |t, args| {
        t.plus_date(int(args, 0), int(args, 1), int(args, 2)).ok_or("date out of range")?
    }),
    method!("Sub", Signature::fixed(&OTHER_PARAMS), |t, args| t.since(&other(args))),
    method!("Round", Signature::fixed(&SPAN_PARAMS), |t, args| stepped(t, span(args), true)),
    method!("Truncate", Signature::fixed(&SPAN_PARAMS), |t, args| stepped(t, span(args), false)),
    method!("Before", Signature::fixed(&OTHER_PARAMS), |t, args| t.at < other(args).at),
    method!("After", Signature::fixed(&OTHER_PARAMS), |t, args| t.at > other(args).at),
    method!("Equal", Signature::fixed(&OTHER_PARAMS), |t, args| t.at == other(args).at),
    method!("Compare", Signature::fixed(&OTHER_PARAMS), |t, args| t.at.cmp(&other(args).at) as i64),
];
