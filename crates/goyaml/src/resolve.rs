//! Which kind of value a scalar is: YAML 1.1's words and numbers as go-yaml reads them.

use crate::Error;
use std::borrow::Cow;

/// A scalar after resolution, with the tag that it resolved to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// A date or time; it stays text but must be quoted when it is meant as text.
    Timestamp,
    Str,
}

const PREFIX: &str = "tag:yaml.org,2002:";

impl Scalar {
    fn tag(&self) -> &'static str {
        match self {
            Scalar::Null => "null",
            Scalar::Bool(_) => "bool",
            Scalar::Int(_) | Scalar::Uint(_) => "int",
            Scalar::Float(_) => "float",
            Scalar::Timestamp => "timestamp",
            Scalar::Str => "str",
        }
    }
}

fn word(text: &str) -> Option<Scalar> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

/// The value of a plain scalar without a tag.
pub(crate) fn resolve_plain(text: &str) -> Scalar {
    resolve_words_and_numbers(text, true)
}

fn resolve_words_and_numbers(text: &str, timestamps: bool) -> Scalar {
    let Some(first) = text.bytes().next() else { return Scalar::Null };
    match first {
        b'+' | b'-' | b'0'..=b'9' => {
            if let Some(found) = word(text) {
                return found;
            }
            if timestamps && is_timestamp(text) {
                return Scalar::Timestamp;
            }
            number(text).unwrap_or(Scalar::Str)
        }
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text).unwrap_or(Scalar::Str),
        b'.' => word(text).or_else(|| dotted_float(text).map(Scalar::Float)).unwrap_or(Scalar::Str),
        _ => Scalar::Str,
    }
}

/// The value of a scalar that carries a tag. `None` means a tag this reader does not know: the text stays as it is.
///
/// Errors: the text is not what the tag says.
pub(crate) fn resolve_tagged(tag: &str, text: &str) -> Result<Option<Scalar>, Error> {
    let Some(short) = tag.strip_prefix(PREFIX) else { return Ok(None) };
    if !matches!(short, "str" | "bool" | "int" | "float" | "null" | "timestamp") {
        return Ok(None);
    }
    if short == "str" {
        return Ok(Some(Scalar::Str));
    }
    let found = resolve_words_and_numbers(text, short == "timestamp");
    match (short, found) {
        ("float", Scalar::Int(i)) => Ok(Some(Scalar::Float(i as f64))),
        (short, found) if short == found.tag() => Ok(Some(found)),
        (short, found) => Err(Error::Yaml(format!("cannot decode !!{} `{text}` as a !!{short}", found.tag()))),
    }
}

/// Whether `tag` is the long form of `!!name`.
pub(crate) fn is_tag(tag: &str, name: &str) -> bool {
    tag.strip_prefix(PREFIX) == Some(name)
}

/// Go's `ParseInt(text, 0, 64)` on text without underscores, as sign and magnitude.
fn integer(text: &str) -> Option<(bool, u64)> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match body.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &body[2..]),
        [b'0', b'b' | b'B', ..] => (2, &body[2..]),
        [b'0', b'o' | b'O', ..] => (8, &body[2..]),
        // A character beyond ASCII is no digit of any kind.
        [b'0', _, ..] => (8, &body[1..]),
        _ => (10, body),
    };
    if digits.is_empty() || !digits.bytes().all(|b| (b as char).is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok().map(|magnitude| (negative, magnitude))
}

fn number(text: &str) -> Option<Scalar> {
    let plain = match text.contains('_') {
        true => Cow::Owned(text.replace('_', "")),
        false => Cow::Borrowed(text),
    };
    if let Some((negative, magnitude)) = integer(&plain) {
        if let Ok(i) = i64::try_from(magnitude) {
            return Some(Scalar::Int(if negative { -i } else { i }));
        }
        if negative && magnitude == 1 << 63 {
            return Some(Scalar::Int(i64::MIN));
        }
        // Go's ParseUint takes no sign at all.
        if !plain.starts_with(['+', '-']) {
            return Some(Scalar::Uint(magnitude));
        }
    }
    if is_yaml_float(&plain) { finite(&plain).map(Scalar::Float) } else { None }
}

/// Optional sign, digits with at most one point and at least one digit, optional exponent.
fn is_yaml_float(text: &str) -> bool {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    mantissa_ok && exponent_ok
}

fn finite(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|f| f.is_finite())
}

/// A float that starts with its point; underscores may stand between digits.
fn dotted_float(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let separates =
        |i: usize| i > 0 && bytes[i - 1].is_ascii_digit() && bytes.get(i + 1).is_some_and(u8::is_ascii_digit);
    if bytes.iter().enumerate().any(|(i, b)| *b == b'_' && !separates(i)) {
        return None;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if is_yaml_float(&plain) { finite(&plain) } else { None }
}

/// Reads a number of one or two digits.
fn short_number(text: &str) -> Option<(u32, &str)> {
    let count = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if count == 0 { None } else { Some((text[..count].parse().ok()?, &text[count..])) }
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Whether go-yaml reads `text` as a time: `2006-1-2`, with a time of day after `T` or `t` and a zone, or after a blank
/// and without one.
pub(crate) fn is_timestamp(text: &str) -> bool {
    timestamp(text).is_some()
}

fn timestamp(text: &str) -> Option<()> {
    let year_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if year_digits != 4 {
        return None;
    }
    let year: u32 = text[..4].parse().ok()?;
    let rest = text[4..].strip_prefix('-')?;
    let (month, rest) = short_number(rest)?;
    let rest = rest.strip_prefix('-')?;
    let (day, rest) = short_number(rest)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    if rest.is_empty() {
        return Some(());
    }
    let zoned = match rest.bytes().next()? {
        b'T' | b't' => true,
        b' ' => false,
        _ => return None,
    };
    // Go skips any run of blanks where its layout has one.
    let rest = if zoned { &rest[1..] } else { rest.trim_start_matches(' ') };
    let (hour, rest) = short_number(rest)?;
    let (minute, rest) = short_number(rest.strip_prefix(':')?)?;
    let (second, rest) = short_number(rest.strip_prefix(':')?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = match rest.as_bytes() {
        [b'.' | b',', d, ..] if d.is_ascii_digit() => rest[1..].trim_start_matches(|c: char| c.is_ascii_digit()),
        _ => rest,
    };
    if !zoned {
        return rest.is_empty().then_some(());
    }
    if rest == "Z" {
        return Some(());
    }
    let zone = rest.strip_prefix(['+', '-'])?;
    let (hours, minutes) = zone.split_once(':')?;
    let two =
        |s: &str| if s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit()) { s.parse::<u32>().ok() } else { None };
    (two(hours)? <= 24 && two(minutes)? < 60).then_some(())
}

/// Whether `text` is a number in base 60, which old parsers read as such and this writer therefore quotes.
pub(crate) fn is_base60(text: &str) -> bool {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = body.split(':');
    let Some(first) = parts.next() else { return false };
    if !first.starts_with(|c: char| c.is_ascii_digit()) || !first.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return false;
    }
    let sixty = |s: &str| match s.as_bytes() {
        [d] => d.is_ascii_digit(),
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    };
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    middle.iter().all(|s| sixty(s)) && sixty(last) && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        for yes in
            ["2001-01-01", "2001-1-1", "2001-12-14T21:59:43.10Z", "2001-12-14t1:2:3+01:00", "2001-12-14 21:59:43"]
        {
            assert!(is_timestamp(yes), "{yes}");
        }
        for no in ["2001-13-01", "2001-02-30", "01-01-01", "2001-01-01x", "2001-12-14T21:59:43", "2001-12-14 21:59:43Z"]
        {
            assert!(!is_timestamp(no), "{no}");
        }
    }

    #[test]
    fn base60() {
        assert!(is_base60("1:30") && is_base60("190:20:30") && is_base60("-1:5.5_"));
        assert!(!is_base60("1:60:1") && !is_base60("1:") && !is_base60("a:1") && !is_base60("12"));
    }

    #[test]
    fn tagged_scalars_must_fit_their_tag() {
        assert_eq!(resolve_tagged("tag:yaml.org,2002:int", "3"), Ok(Some(Scalar::Int(3))));
        assert_eq!(resolve_tagged("tag:yaml.org,2002:float", "3"), Ok(Some(Scalar::Float(3.0))));
        assert_eq!(resolve_tagged("!other", "3"), Ok(None));
        assert_eq!(
            resolve_tagged("tag:yaml.org,2002:int", "x"),
            Err(Error::Yaml("cannot decode !!str `x` as a !!int".into()))
        );
    }
}
