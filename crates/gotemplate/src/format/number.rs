//! Numbers as Go's strconv writes them.

/// The notation of a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatStyle {
    /// `1.5e+06`
    Exponent,
    /// `1500000`
    Decimal,
    /// Whichever suits: exponents below -4 and from the precision on (6 for the shortest form) are written out.
    General,
}

/// Decimal digits of a finite number: `0.d1d2d3… × 10^point`.
struct Digits {
    digits: Vec<u8>,
    point: i32,
}

impl Digits {
    fn shortest(value: f64) -> Digits {
        Digits::parse(&format!("{:e}", value.abs()))
    }

    /// Rounded to this many digits (at least one).
    fn significant(value: f64, count: usize) -> Digits {
        Digits::parse(&format!("{:.*e}", count.max(1) - 1, value.abs()))
    }

    /// Reads `d.ddde±x`.
    fn parse(text: &str) -> Digits {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
        let zero = digits.iter().all(|d| *d == b'0');
        Digits { digits, point: if zero { 1 } else { exponent.parse::<i32>().unwrap_or(0) + 1 } }
    }

    fn trim(mut self) -> Digits {
        while self.digits.len() > 1 && self.digits.last() == Some(&b'0') {
            self.digits.pop();
        }
        self
    }
}

/// `strconv.FormatFloat(value, style, precision, 64)`; no precision means the shortest text that reads back the same.
pub fn format_float(value: f64, style: FloatStyle, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_infinite() {
        return if sign.is_empty() { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let body = match (style, precision) {
        (FloatStyle::Decimal, None) => decimal(&Digits::shortest(value), None),
        (FloatStyle::Decimal, Some(places)) => format!("{:.*}", places, value.abs()),
        (FloatStyle::Exponent, None) => exponent(&Digits::shortest(value).trim()),
        (FloatStyle::Exponent, Some(places)) => exponent(&Digits::significant(value, places + 1)),
        (FloatStyle::General, precision) => general(value, precision),
    };
    format!("{sign}{body}")
}

fn general(value: f64, precision: Option<usize>) -> String {
    let (digits, threshold) = match precision {
        None => (Digits::shortest(value).trim(), 6),
        Some(precision) => {
            let precision = precision.max(1);
            let digits = Digits::significant(value, precision).trim();
            let count = digits.digits.len();
            let whole = i32::try_from(count).is_ok_and(|n| n >= digits.point);
            let threshold = if precision > count && whole { count } else { precision };
            (digits, threshold)
        }
    };
    let x = digits.point - 1;
    if x < -4 || i64::from(x) >= threshold as i64 { exponent(&digits) } else { decimal(&digits, None) }
}

fn exponent(digits: &Digits) -> String {
    let text = String::from_utf8_lossy(&digits.digits);
    let (first, rest) = text.split_at(1);
    let dot = if rest.is_empty() { "" } else { "." };
    let x = digits.point - 1;
    let sign = if x < 0 { '-' } else { '+' };
    format!("{first}{dot}{rest}e{sign}{:02}", x.abs())
}

fn decimal(digits: &Digits, places: Option<usize>) -> String {
    let mut out = String::new();
    let text: Vec<char> = digits.digits.iter().map(|d| *d as char).collect();
    let point = digits.point;
    for i in 0..point.max(0) {
        out.push(text.get(i as usize).copied().unwrap_or('0'));
    }
    if out.is_empty() {
        out.push('0');
    }
    let fraction = places.unwrap_or_else(|| (text.len() as i64 - i64::from(point)).max(0) as usize);
    let all_zero = text.iter().all(|d| *d == '0');
    if fraction > 0 && !all_zero {
        out.push('.');
        for i in 0..fraction {
            let at = i64::from(point) + i as i64;
            out.push(usize::try_from(at).ok().and_then(|at| text.get(at)).copied().unwrap_or('0'));
        }
    }
    out
}

/// `%x` of a float: `0x1.8p+01`.
pub(super) fn hex_float(value: f64, precision: Option<usize>) -> String {
    if !value.is_finite() {
        return format_float(value, FloatStyle::General, None);
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let bits = value.to_bits();
    let (mut exponent, mut mantissa) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    if exponent == 0 {
        exponent = 1;
    } else {
        mantissa |= 1 << 52;
    }
    exponent -= 1023;
    if mantissa == 0 {
        exponent = 0;
    } else {
        while mantissa >> 52 == 0 {
            mantissa <<= 1;
            exponent -= 1;
        }
    }
    if let Some(places) = precision.filter(|p| *p < 13) {
        // Round half to even at the last kept digit.
        let drop = 52 - places as u32 * 4;
        let half = 1u64 << (drop - 1);
        let rest = mantissa & ((1 << drop) - 1);
        mantissa >>= drop;
        if rest > half || (rest == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= drop;
        if mantissa >> 53 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let lead = mantissa >> 52;
    let mut fraction = format!("{:013x}", mantissa & ((1 << 52) - 1));
    match precision {
        None => fraction.truncate(fraction.trim_end_matches('0').len()),
        Some(places) => {
            fraction.truncate(places);
            while fraction.len() < places {
                fraction.push('0');
            }
        }
    }
    let dot = if fraction.is_empty() { "" } else { "." };
    let direction = if exponent < 0 { '-' } else { '+' };
    format!("{sign}0x{lead}{dot}{fraction}p{direction}{:02}", exponent.abs())
}

/// `%b` of a float: mantissa and exponent of two as integers.
pub(super) fn binary_float(value: f64) -> String {
    if !value.is_finite() {
        return format_float(value, FloatStyle::General, None);
    }
    let bits = value.to_bits();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let (mut exponent, mut mantissa) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    if exponent == 0 {
        exponent = 1;
    } else {
        mantissa |= 1 << 52;
    }
    exponent -= 1023 + 52;
    let plus = if exponent >= 0 { "+" } else { "" };
    format!("{sign}{mantissa}p{plus}{exponent}")
}
