//! Go's date layouts, which show how the moment `Mon Jan 2 15:04:05 MST 2006` would look.

/// A piece of a layout that stands for a part of the date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    Upper,
    Lower,
    ZoneName,
    /// An offset: is UTC a `Z`, with colons, with minutes, with seconds.
    Offset {
        z: bool,
        colon: bool,
        minutes: bool,
        seconds: bool,
    },
    /// A fraction of so many digits; are trailing zeros left out?
    Fraction {
        digits: usize,
        trim: bool,
    },
}

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(crate) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The next part of a layout: the text before it, the part with how it is written, the rest.
pub(crate) fn next_part(layout: &str) -> Option<(&str, Part, &str, &str)> {
    for (at, _) in layout.char_indices() {
        let rest = &layout[at..];
        if let Some((part, length)) = part_at(rest) {
            // `_2006` is an underscore and a year.
            let skip = usize::from(part == Part::LongYear && rest.starts_with('_'));
            let end = at + skip + length;
            return Some((&layout[..at + skip], part, &layout[at + skip..end], &layout[end..]));
        }
    }
    None
}

/// The part that starts here and how long it is.
fn part_at(rest: &str) -> Option<(Part, usize)> {
    const FIXED: [(&str, Part); 23] = [
        ("January", Part::LongMonth),
        ("Monday", Part::LongWeekday),
        ("MST", Part::ZoneName),
        ("01", Part::ZeroMonth),
        ("02", Part::ZeroDay),
        ("03", Part::ZeroHour12),
        ("04", Part::ZeroMinute),
        ("05", Part::ZeroSecond),
        ("06", Part::Year),
        ("002", Part::ZeroYearDay),
        ("15", Part::Hour),
        ("1", Part::NumMonth),
        ("2006", Part::LongYear),
        ("2", Part::Day),
        ("__2", Part::UnderYearDay),
        ("_2", Part::UnderDay),
        ("3", Part::Hour12),
        ("4", Part::Minute),
        ("5", Part::Second),
        ("PM", Part::Upper),
        ("pm", Part::Lower),
        // Three-letter names only count when no small letter follows.
        ("Jan", Part::Month),
        ("Mon", Part::Weekday),
    ];
    if rest.starts_with("_2006") {
        return Some((Part::LongYear, 4));
    }
    if let Some(offset) = offset_at(rest) {
        return Some(offset);
    }
    if let Some(fraction) = fraction_at(rest) {
        return Some(fraction);
    }
    let (text, part) = FIXED.iter().find(|(text, _)| rest.starts_with(text))?;
    let short = matches!(part, Part::Month | Part::Weekday);
    if short && rest[text.len()..].starts_with(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    Some((*part, text.len()))
}

fn offset_at(rest: &str) -> Option<(Part, usize)> {
    let z = match rest.as_bytes().first()? {
        b'-' => false,
        b'Z' => true,
        _ => return None,
    };
    const FORMS: [(&str, bool, bool, bool); 5] = [
        ("070000", false, true, true),
        ("07:00:00", true, true, true),
        ("0700", false, true, false),
        ("07:00", true, true, false),
        ("07", false, false, false),
    ];
    let (form, colon, minutes, seconds) = FORMS.into_iter().find(|(form, ..)| rest[1..].starts_with(form))?;
    Some((Part::Offset { z, colon, minutes, seconds }, form.len() + 1))
}

fn fraction_at(rest: &str) -> Option<(Part, usize)> {
    let bytes = rest.as_bytes();
    let digit = match bytes {
        [b'.' | b',', digit @ (b'0' | b'9'), ..] => *digit,
        _ => return None,
    };
    let digits = bytes[1..].iter().take_while(|b| **b == digit).count();
    if bytes.get(digits + 1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    Some((Part::Fraction { digits, trim: digit == b'9' }, digits + 1))
}

/// A date by its parts, as a layout shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) year: i64,
    pub(crate) month: usize,
    pub(crate) day: usize,
    pub(crate) year_day: usize,
    /// Sunday is 0.
    pub(crate) weekday: usize,
    pub(crate) hour: usize,
    pub(crate) minute: usize,
    pub(crate) second: usize,
    pub(crate) nanosecond: usize,
    /// Seconds east of UTC.
    pub(crate) offset: i64,
    /// The zone's abbreviation; empty when it has none.
    pub(crate) zone: String,
}

/// Writes a date by a layout.
pub(crate) fn format(fields: &Fields, layout: &str) -> String {
    let (mut out, mut rest) = (String::new(), layout);
    while let Some((before, part, written, after)) = next_part(rest) {
        out.push_str(before);
        write_part(fields, part, written, &mut out);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn write_part(fields: &Fields, part: Part, written: &str, out: &mut String) {
    let Fields { year, month, day, year_day, weekday, hour, minute, second, .. } = fields;
    let half = if hour % 12 == 0 { 12 } else { hour % 12 };
    let month_name = MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"");
    let day_name = WEEKDAYS.get(*weekday).unwrap_or(&"");
    let text = match part {
        Part::LongMonth => (*month_name).to_owned(),
        Part::Month => month_name.chars().take(3).collect(),
        Part::NumMonth => month.to_string(),
        Part::ZeroMonth => format!("{month:02}"),
        Part::LongWeekday => (*day_name).to_owned(),
        Part::Weekday => day_name.chars().take(3).collect(),
        Part::Day => day.to_string(),
        Part::UnderDay => format!("{day:2}"),
        Part::ZeroDay => format!("{day:02}"),
        Part::UnderYearDay => format!("{year_day:3}"),
        Part::ZeroYearDay => format!("{year_day:03}"),
        Part::Hour => format!("{hour:02}"),
        Part::Hour12 => half.to_string(),
        Part::ZeroHour12 => format!("{half:02}"),
        Part::Minute => minute.to_string(),
        Part::ZeroMinute => format!("{minute:02}"),
        Part::Second => second.to_string(),
        Part::ZeroSecond => format!("{second:02}"),
        Part::LongYear if *year < 0 => format!("-{:04}", -year),
        Part::LongYear => format!("{year:04}"),
        Part::Year => format!("{:02}", (*year).max(0) % 100),
        Part::Upper => (if *hour >= 12 { "PM" } else { "AM" }).to_owned(),
        Part::Lower => (if *hour >= 12 { "pm" } else { "am" }).to_owned(),
        Part::ZoneName if fields.zone.is_empty() => offset_text(fields.offset, false, true, false),
        Part::ZoneName => fields.zone.clone(),
        Part::Offset { z: true, .. } if fields.offset == 0 => "Z".to_owned(),
        Part::Offset { colon, minutes, seconds, .. } => offset_text(fields.offset, colon, minutes, seconds),
        Part::Fraction { digits, trim } => fraction_text(fields.nanosecond, digits, trim, written),
    };
    out.push_str(&text);
}

fn offset_text(offset: i64, colon: bool, minutes: bool, seconds: bool) -> String {
    let size = offset.unsigned_abs();
    let separator = if colon { ":" } else { "" };
    let mut text = format!("{}{:02}", if offset < 0 { '-' } else { '+' }, size / 3600);
    if minutes {
        text.push_str(&format!("{separator}{:02}", size / 60 % 60));
    }
    if seconds {
        text.push_str(&format!("{separator}{:02}", size % 60));
    }
    text
}

fn fraction_text(nanosecond: usize, digits: usize, trim: bool, written: &str) -> String {
    let nine = format!("{nanosecond:09}");
    let mut text: String = nine.chars().chain(std::iter::repeat('0')).take(digits).collect();
    if trim {
        text.truncate(text.trim_end_matches('0').len());
        if text.is_empty() {
            return text;
        }
    }
    format!("{}{text}", &written[..1])
}
