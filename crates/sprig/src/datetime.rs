//! [`Time`]: Go's `time.Time`.

use std::fmt;

use gotemplate::{CallResult, Method, NamedType, Object, Run, Signature, Type, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::{int, utf8};
use crate::calendar::{DAY, date_of, days_of, weekday_of};
use crate::duration::{DURATION, Duration, SECOND};
use crate::layout::{self, Fields, MONTHS, WEEKDAYS};

/// A moment with the zone that it is shown in.
#[derive(Clone, Debug)]
pub struct Time {
    /// Nanoseconds since 1970.
    at: i128,
    zone: Zone,
}

/// A time zone, or an offset that was all a text told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Zone {
    Known(TimeZone),
    Fixed { name: String, offset: i64 },
}

const NANOSECONDS: i128 = SECOND as i128;

/// Seconds east of UTC that a zone is at a moment, and what it is called then.
pub(crate) fn offset_of(zone: &TimeZone, seconds: i64) -> (i64, String) {
    // Beyond the years that the library knows, zones stay as they are at the end.
    let seconds = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    let info = zone.to_offset_info(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH));
    (i64::from(info.offset().seconds()), info.abbreviation().to_owned())
}

/// The moment at which clocks of a zone show so many seconds since 1970. Of two such moments, and for times that the
/// zone skips, the choice is Go's.
pub(crate) fn moment_of(zone: &TimeZone, shown: i64) -> i64 {
    let (guess, _) = offset_of(zone, shown);
    if guess == 0 {
        return shown;
    }
    let (offset, _) = offset_of(zone, shown - guess);
    shown - offset
}

impl Time {
    /// The moment, shown in the zone.
    pub fn new(at: Timestamp, zone: TimeZone) -> Time {
        Time { at: at.as_nanosecond(), zone: Zone::Known(zone) }
    }

    pub(crate) fn in_zone(seconds: i64, nanoseconds: i64, zone: Zone) -> Time {
        Time { at: i128::from(seconds) * NANOSECONDS + i128::from(nanoseconds), zone }
    }

    /// Seconds since 1970.
    pub(crate) fn from_unix(seconds: i64, zone: TimeZone) -> Time {
        Time::in_zone(seconds, 0, Zone::Known(zone))
    }

    /// Go's zero time, the start of year 1.
    pub fn zero() -> Time {
        Time::from_unix(-62_135_596_800, TimeZone::UTC)
    }

    /// The moment; far away ones are the farthest that a timestamp can hold.
    pub fn timestamp(&self) -> Timestamp {
        let limits = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
        Timestamp::from_nanosecond(self.at.clamp(*limits.start(), *limits.end())).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Whole seconds since 1970.
    pub(crate) fn unix(&self) -> i64 {
        self.at.div_euclid(NANOSECONDS) as i64
    }

    /// The same moment, shown in another zone.
    pub(crate) fn shown_in(&self, zone: TimeZone) -> Time {
        Time { at: self.at, zone: Zone::Known(zone) }
    }

    /// The moment so much later.
    pub(crate) fn plus(&self, duration: Duration) -> Time {
        Time { at: self.at + i128::from(duration.0), zone: self.zone.clone() }
    }

    /// How much later this is than another moment; far apart ones are as far apart as a duration can say.
    pub(crate) fn since(&self, other: &Time) -> Duration {
        let n = self.at - other.at;
        Duration(n.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    /// Seconds east of UTC and the zone's abbreviation.
    fn offset(&self) -> (i64, String) {
        match &self.zone {
            Zone::Known(zone) => offset_of(zone, self.unix()),
            Zone::Fixed { name, offset } => (*offset, name.clone()),
        }
    }

    pub(crate) fn fields(&self) -> Fields {
        let (offset, zone) = self.offset();
        let shown = self.unix() + offset;
        let (days, second) = (shown.div_euclid(DAY), shown.rem_euclid(DAY) as usize);
        let (year, month, day) = date_of(days);
        Fields {
            year,
            month: month as usize,
            day: day as usize,
            year_day: (days - days_of(year, 1, 1) + 1) as usize,
            weekday: weekday_of(days) as usize,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            nanosecond: self.at.rem_euclid(NANOSECONDS) as usize,
            offset,
            zone,
        }
    }

    /// The moment by a Go layout.
    pub fn format(&self, layout: &str) -> String {
        layout::format(&self.fields(), layout)
    }

    /// The date so many years, months and days later, by the calendar: the 31st of a short month runs over.
    fn plus_date(&self, years: i64, months: i64, days: i64) -> Option<Time> {
        let fields = self.fields();
        // Farther than this there are no moments; nearer nothing can overflow.
        let sane = |n: i64| (-1_000_000_000..=1_000_000_000).contains(&n).then_some(n);
        let (years, months, days) = (sane(years)?, sane(months)?, sane(days)?);
        let day = days_of(fields.year + years, fields.month as i64 + months, fields.day as i64 + days);
        let shown = day * DAY + (fields.hour * 3600 + fields.minute * 60 + fields.second) as i64;
        let seconds = match &self.zone {
            Zone::Known(zone) => moment_of(zone, shown),
            Zone::Fixed { offset, .. } => shown - offset,
        };
        Some(Time::in_zone(seconds, fields.nanosecond as i64, self.zone.clone()))
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
        (other as &dyn std::any::Any)
            .downcast_ref::<Named>()
            .is_some_and(|other| std::ptr::eq(self.kind, other.kind) && self.number == other.number)
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
    let since = time.at - Time::zero().at;
    let step = i128::from(step.0);
    let rest = since.rem_euclid(step);
    let back = if half_up && rest * 2 >= step { rest - step } else { rest };
    time.plus(Duration(-(back as i64)))
}

static METHODS: [Method; 26] = [
    method!("Format", TEXT, |t, args| t.format(&utf8(args, 0))),
    method!("String", NONE, |t, _args| t.to_string()),
    method!("Unix", NONE, |t, _args| Value::Int64(t.unix())),
    method!("UnixMilli", NONE, |t, _args| Value::Int64(t.at.div_euclid(1_000_000) as i64)),
    method!("UnixMicro", NONE, |t, _args| Value::Int64(t.at.div_euclid(1_000) as i64)),
    method!("UnixNano", NONE, |t, _args| Value::Int64(t.at as i64)),
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
