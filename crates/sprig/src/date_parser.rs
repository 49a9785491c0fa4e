//! Reading dates by Go layouts.

use jiff::tz::TimeZone;

use crate::calendar::{DAY, date_of, days_in, days_of};
use crate::datetime::{Time, Zone, moment_of, offset_of};
use crate::layout::{MONTHS, Part, WEEKDAYS, next_part};

/// A text that does not fit its layout, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parsing time {value}{problem}")]
pub(crate) struct DateError {
    value: String,
    problem: String,
}

/// A text as Go's package for time quotes it, which has a way of its own: what is not printable ASCII is shown byte by byte.
pub(crate) fn quoted(text: impl AsRef<[u8]>) -> String {
    let mut out = String::from("\"");
    for byte in text.as_ref() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=0x7f => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out + "\""
}

/// What the text has told so far.
#[derive(Default)]
struct Found {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i64>,
    zone: String,
}

/// Why a part cannot be read.
enum Trouble {
    /// It is not what the layout says.
    Mismatch,
    /// It is a number that does not exist.
    Range(&'static str),
}

type Read<'v, T> = Result<(T, &'v str), Trouble>;

/// Reads a date by a layout; without a zone in it, the date is in `local`.
pub(crate) fn parse(layout: &str, value: &str, local: &TimeZone) -> Result<Time, DateError> {
    let error = |problem: String| DateError { value: quoted(value), problem };
    let mismatch = |element: &str, rest: &str| {
        error(format!(" as {}: cannot parse {} as {}", quoted(layout), quoted(rest), quoted(element)))
    };
    let (mut found, mut rest, mut left) = (Found::default(), value, layout);
    loop {
        let next = next_part(left);
        let before = next.map_or(left, |(before, ..)| before);
        rest = skip(rest, before).map_err(|rest| mismatch(before, rest))?;
        let Some((_, part, written, after)) = next else { break };
        let here = rest;
        rest = match read(part, written, after, rest, &mut found) {
            Ok(rest) => rest,
            Err(Trouble::Mismatch) => return Err(mismatch(written, here)),
            Err(Trouble::Range(what)) => return Err(error(format!(": {what} out of range"))),
        };
        left = after;
    }
    if !rest.is_empty() {
        return Err(error(format!(": extra text: {}", quoted(rest))));
    }
    let days = found.date().map_err(|what| error(format!(": {what} out of range")))?;
    Ok(found.moment(days, local))
}

/// Skips the literal text of a layout; a blank in it stands for any number of blanks.
fn skip<'v>(mut value: &'v str, prefix: &str) -> Result<&'v str, &'v str> {
    let mut rest = prefix;
    while let Some(c) = rest.chars().next() {
        if c == ' ' {
            if !value.is_empty() && !value.starts_with(' ') {
                return Err(value);
            }
            rest = rest.trim_start_matches(' ');
            value = value.trim_start_matches(' ');
            continue;
        }
        value = value.strip_prefix(c).ok_or(value)?;
        rest = &rest[c.len_utf8()..];
    }
    Ok(value)
}

/// One or two digits, or exactly two.
fn two(value: &str, exact: bool) -> Read<'_, i64> {
    let bytes = value.as_bytes();
    match bytes {
        [a, b, ..] if a.is_ascii_digit() && b.is_ascii_digit() => {
            Ok((i64::from((a - b'0') * 10 + (b - b'0')), &value[2..]))
        }
        [a, ..] if a.is_ascii_digit() && !exact => Ok((i64::from(a - b'0'), &value[1..])),
        _ => Err(Trouble::Mismatch),
    }
}

fn digits(value: &str, count: usize) -> Read<'_, i64> {
    let head = value.get(..count).filter(|head| head.bytes().all(|b| b.is_ascii_digit()));
    match head.and_then(|head| head.parse().ok()) {
        Some(number) => Ok((number, &value[count..])),
        None => Err(Trouble::Mismatch),
    }
}

/// One of the names, in any case, cut to `length` letters when given.
fn name<'v>(names: &[&str], value: &'v str, length: Option<usize>) -> Read<'v, i64> {
    for (i, name) in names.iter().enumerate() {
        let name = &name[..length.unwrap_or(name.len())];
        if value.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)) {
            return Ok((i as i64, &value[name.len()..]));
        }
    }
    Err(Trouble::Mismatch)
}

fn within(number: i64, limits: std::ops::Range<i64>, what: &'static str) -> Result<i64, Trouble> {
    if limits.contains(&number) { Ok(number) } else { Err(Trouble::Range(what)) }
}

/// Reads one part and returns what follows it.
fn read<'v>(part: Part, written: &str, after: &str, value: &'v str, found: &mut Found) -> Result<&'v str, Trouble> {
    let rest = match part {
        Part::Year => {
            let (year, rest) = two(value, true)?;
            found.year = if year >= 69 { year + 1900 } else { year + 2000 };
            rest
        }
        Part::LongYear => {
            let (year, rest) = digits(value, 4)?;
            found.year = year;
            rest
        }
        Part::Month | Part::LongMonth => {
            let (month, rest) = name(&MONTHS, value, (part == Part::Month).then_some(3))?;
            found.month = Some(month + 1);
            rest
        }
        Part::NumMonth | Part::ZeroMonth => {
            let (month, rest) = two(value, part == Part::ZeroMonth)?;
            found.month = Some(within(month, 1..13, "month")?);
            rest
        }
        Part::Weekday | Part::LongWeekday => name(&WEEKDAYS, value, (part == Part::Weekday).then_some(3))?.1,
        Part::Day | Part::UnderDay | Part::ZeroDay => {
            let value = if part == Part::UnderDay { value.strip_prefix(' ').unwrap_or(value) } else { value };
            let (day, rest) = two(value, part == Part::ZeroDay)?;
            // Whether the month has such a day is seen at the end.
            found.day = Some(day);
            rest
        }
        Part::UnderYearDay | Part::ZeroYearDay => {
            let blanks = if part == Part::UnderYearDay { value.len() - value.trim_start_matches(' ').len() } else { 0 };
            let (day, rest) = digits(&value[blanks.min(2)..], 3 - blanks.min(2))?;
            found.year_day = Some(day);
            rest
        }
        Part::Hour => {
            let (hour, rest) = two(value, false)?;
            found.hour = within(hour, 0..24, "hour")?;
            rest
        }
        Part::Hour12 | Part::ZeroHour12 => {
            let (hour, rest) = two(value, part == Part::ZeroHour12)?;
            found.hour = within(hour, 0..13, "hour")?;
            rest
        }
        Part::Minute | Part::ZeroMinute => {
            let (minute, rest) = two(value, part == Part::ZeroMinute)?;
            found.minute = within(minute, 0..60, "minute")?;
            rest
        }
        Part::Second | Part::ZeroSecond => {
            let (second, rest) = two(value, part == Part::ZeroSecond)?;
            found.second = within(second, 0..60, "second")?;
            unasked_fraction(rest, after, found)
        }
        Part::Upper | Part::Lower => {
            let (morning, evening) = if part == Part::Upper { ("AM", "PM") } else { ("am", "pm") };
            let head = value.get(..2).ok_or(Trouble::Mismatch)?;
            found.afternoon = Some(match head {
                head if head == evening => true,
                head if head == morning => false,
                _ => return Err(Trouble::Mismatch),
            });
            &value[2..]
        }
        Part::ZoneName => zone_name(value, found)?,
        Part::Offset { z, colon, minutes, seconds } => {
            if let Some(rest) = value.strip_prefix('Z').filter(|_| z) {
                found.utc = true;
                return Ok(rest);
            }
            offset(value, colon, minutes, seconds, found)?
        }
        Part::Fraction { digits: count, trim: false } => {
            let (fraction, rest) = (value.get(..count + 1), value.get(count + 1..));
            let (Some(fraction), Some(rest)) = (fraction, rest) else { return Err(Trouble::Mismatch) };
            let well = fraction.starts_with(['.', ',']) && fraction[1..].bytes().all(|b| b.is_ascii_digit());
            if !well || written.len() != fraction.len() {
                return Err(Trouble::Mismatch);
            }
            found.nanosecond = nanoseconds(&fraction[1..]);
            rest
        }
        Part::Fraction { trim: true, .. } => fraction(value, found),
    };
    Ok(rest)
}

fn nanoseconds(digits: &str) -> i64 {
    let nine: String = digits.chars().chain(std::iter::repeat('0')).take(9).collect();
    nine.parse().unwrap_or(0)
}

/// A fraction, if there is one.
fn fraction<'v>(value: &'v str, found: &mut Found) -> &'v str {
    let bytes = value.as_bytes();
    if !matches!(bytes, [b'.' | b',', digit, ..] if digit.is_ascii_digit()) {
        return value;
    }
    let count = bytes[1..].iter().take_while(|b| b.is_ascii_digit()).count();
    found.nanosecond = nanoseconds(&value[1..=count]);
    &value[count + 1..]
}

/// A fraction behind the seconds is accepted even when the layout has none.
fn unasked_fraction<'v>(value: &'v str, after: &str, found: &mut Found) -> &'v str {
    match next_part(after) {
        Some(("", Part::Fraction { .. }, ..)) => value,
        _ => fraction(value, found),
    }
}

fn zone_name<'v>(value: &'v str, found: &mut Found) -> Result<&'v str, Trouble> {
    if let Some(rest) = value.strip_prefix("UTC") {
        found.utc = true;
        return Ok(rest);
    }
    // Three to five capital letters; GMT may carry an offset, which belongs to the name.
    let mut length = value.bytes().take_while(u8::is_ascii_uppercase).count();
    let known = match length {
        3 => true,
        4 => value.as_bytes()[3] == b'T' || value.starts_with("WITA"),
        5 => value.as_bytes()[4] == b'T',
        _ => false,
    };
    if value.starts_with("GMT") && length == 3 {
        let signed = value[3..].starts_with(['+', '-']);
        let digits = value.bytes().skip(4).take_while(u8::is_ascii_digit).count();
        if signed && digits > 0 {
            length = 4 + digits;
        }
    } else if !known {
        let signed = value.starts_with(['+', '-']) && value.len() >= 3;
        let digits = value.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        if !signed || digits == 0 {
            return Err(Trouble::Mismatch);
        }
        length = 1 + digits;
    }
    found.zone = value[..length].to_owned();
    Ok(&value[length..])
}

fn offset<'v>(
    value: &'v str,
    colon: bool,
    minutes: bool,
    seconds: bool,
    found: &mut Found,
) -> Result<&'v str, Trouble> {
    let sign = match value.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(Trouble::Mismatch),
    };
    let separated = |rest: &'v str| {
        if colon { rest.strip_prefix(':').ok_or(Trouble::Mismatch) } else { Ok(rest) }
    };
    let (hour, mut rest) = two(&value[1..], true)?;
    let (mut minute, mut second) = (0, 0);
    if minutes {
        (minute, rest) = two(separated(rest)?, true)?;
    }
    if seconds {
        (second, rest) = two(separated(rest)?, true)?;
    }
    within(hour, 0..25, "time zone offset hour")?;
    within(minute, 0..60, "time zone offset minute")?;
    within(second, 0..60, "time zone offset second")?;
    found.offset = Some(sign * (hour * 3600 + minute * 60 + second));
    Ok(rest)
}

impl Found {
    /// Days since 1970 of the date; the error is what is out of range.
    fn date(&self) -> Result<i64, &'static str> {
        if let Some(year_day) = self.year_day {
            let first = days_of(self.year, 1, 1);
            if !(1..=days_of(self.year + 1, 1, 1) - first).contains(&year_day) {
                return Err("day-of-year");
            }
            let days = first + year_day - 1;
            let (_, month, day) = date_of(days);
            if self.month.is_some_and(|m| m != month) || self.day.is_some_and(|d| d != day) {
                return Err("day-of-year does not match");
            }
            return Ok(days);
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if !(1..=days_in(self.year, month)).contains(&day) {
            return Err("day");
        }
        Ok(days_of(self.year, month, day))
    }

    /// The moment on that date.
    fn moment(&self, days: i64, local: &TimeZone) -> Time {
        let hour = match (self.afternoon, self.hour) {
            (Some(true), hour) if hour < 12 => hour + 12,
            (Some(false), 12) => 0,
            (_, hour) => hour,
        };
        let shown = days * DAY + hour * 3600 + self.minute * 60 + self.second;
        let known = |seconds: i64, zone: &TimeZone| Time::in_zone(seconds, self.nanosecond, Zone::Known(zone.clone()));
        let fixed = |offset: i64| {
            let zone = Zone::Fixed { name: self.zone.clone(), offset };
            Time::in_zone(shown - offset, self.nanosecond, zone)
        };
        if self.utc {
            return known(shown, &TimeZone::UTC);
        }
        if let Some(offset) = self.offset {
            // The local zone, when it could have written this.
            let (here, name) = offset_of(local, shown - offset);
            let is_local = here == offset && (self.zone.is_empty() || name == self.zone);
            return if is_local { known(shown - offset, local) } else { fixed(offset) };
        }
        let moment = moment_of(local, shown);
        if self.zone.is_empty() || offset_of(local, moment).1 == self.zone {
            return known(moment, local);
        }
        // An abbreviation says nothing about the offset. Behind GMT it is shown, but the time counts as UTC all the same.
        let hours: i64 = self.zone.strip_prefix("GMT").and_then(|hours| hours.parse().ok()).unwrap_or(0);
        let zone = Zone::Fixed { name: self.zone.clone(), offset: hours * 3600 };
        Time::in_zone(shown, self.nanosecond, zone)
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn quoted_as_by_the_package_for_time() {
        assert_eq!(quoted("a\n\"\\é\u{7f}"), "\"a\\x0a\\\"\\\\\\xc3\\xa9\u{7f}\"");
        assert_eq!(quoted(b"\xff"), "\"\\xff\"");
    }
}
