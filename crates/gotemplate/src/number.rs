//! Number constants, which take the type that the place wants.

/// A number constant: what it would be as each type, where that is possible.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Number {
    /// As written.
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
    pub(crate) complex: Option<(f64, f64)>,
}

impl Number {
    /// A character constant, quotes included.
    pub(crate) fn from_char(text: &str) -> Result<Number, String> {
        let body = text.strip_prefix('\'').unwrap_or(text);
        let (c, tail) = crate::quote::unquote_char(body, '\'').ok_or("invalid syntax")?;
        if tail != "'" {
            return Err(format!("malformed character constant: {text}"));
        }
        let code = match c {
            crate::quote::Unquoted::Byte(b) => u32::from(b),
            crate::quote::Unquoted::Char(c) => c as u32,
        };
        Ok(Number {
            text: text.to_owned(),
            int: Some(i64::from(code)),
            uint: Some(u64::from(code)),
            float: Some(f64::from(code)),
            complex: None,
        })
    }

    /// A complex constant such as `1+2i`.
    pub(crate) fn from_complex(text: &str) -> Result<Number, String> {
        let split = text
            .char_indices()
            .skip(1)
            .filter(|(i, c)| matches!(c, '+' | '-') && !text[..*i].ends_with(['e', 'E', 'p', 'P']));
        let parts = split
            .last()
            .map(|(i, _)| text.split_at(i))
            .and_then(|(re, im)| Some((parse_float(re)?, parse_float(im.strip_suffix('i')?)?)));
        let (re, im) = parts.ok_or("syntax error scanning complex number")?;
        Ok(Number::complex(text, re, im))
    }

    fn complex(text: &str, re: f64, im: f64) -> Number {
        let float = (im == 0.0).then_some(re);
        Number {
            text: text.to_owned(),
            int: float.and_then(exact_int),
            uint: float.and_then(exact_uint),
            float,
            complex: Some((re, im)),
        }
    }

    /// An integer, float or imaginary constant.
    pub(crate) fn parse(text: &str) -> Result<Number, String> {
        if let Some(imaginary) = text.strip_suffix('i').and_then(parse_float) {
            return Ok(Number::complex(text, 0.0, imaginary));
        }
        let int = parse_int(text);
        let mut number = Number { text: text.to_owned(), int, ..Number::default() };
        number.uint = parse_uint(text).or((int == Some(0)).then_some(0));
        if let Some(n) = number.int {
            number.float = Some(n as f64);
        } else if let Some(n) = number.uint {
            number.float = Some(n as f64);
        } else if let Some(f) = parse_float(text) {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", crate::quote::quoted(text.as_bytes())));
            }
            number = Number { float: Some(f), int: exact_int(f), uint: exact_uint(f), ..number };
        } else {
            return Err(format!("illegal number syntax: {}", crate::quote::quoted(text.as_bytes())));
        }
        Ok(number)
    }

    /// Does the way it is written make it a float when nothing else decides?
    pub(crate) fn looks_float(&self) -> bool {
        let text = self.text.as_str();
        let hex = text.len() > 2 && (text.starts_with("0x") || text.starts_with("0X")) && !text.contains(['p', 'P']);
        !hex && !text.starts_with('\'') && text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

fn exact_int(f: f64) -> Option<i64> {
    ((-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&f) && f.trunc() == f).then_some(f as i64)
}

fn exact_uint(f: f64) -> Option<u64> {
    ((0.0..18_446_744_073_709_551_616.0).contains(&f) && f.trunc() == f).then_some(f as u64)
}

/// Reads a Go integer constant, with sign, base prefix and underscores.
pub fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = parse_uint(digits)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Reads an unsigned Go integer constant, with base prefix and underscores.
pub fn parse_uint(text: &str) -> Option<u64> {
    if !underscores_separate_digits(text) {
        return None;
    }
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &text[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &text[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &text[2..]),
        [b'0', _, ..] => (8, &text[1..]),
        _ => (10, text),
    };
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(&digits, radix).ok()
}

/// Reads a Go float constant: decimal or hexadecimal, with sign and underscores.
pub fn parse_float(text: &str) -> Option<f64> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if body.contains('_') && !underscores_separate_digits(body) {
        return None;
    }
    let body = body.replace('_', "");
    if body.starts_with("0x") || body.starts_with("0X") {
        return parse_hex_float(&body[2..]).map(|f| sign * f);
    }
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value: f64 = body.parse().ok()?;
    value.is_finite().then_some(sign * value)
}

/// Reads `1.8p3`; the exponent is required.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // Sixteen digits fill the 64 bits; further ones only decide how to round, which the lowest bit stands for.
    let (mut bits, mut scale, mut sticky) = (0u64, 0i32, false);
    for (i, c) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(c.to_digit(16)?);
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
        } else {
            sticky |= digit != 0;
            scale += 4;
        }
        if i >= whole.len() {
            scale -= 4;
        }
    }
    let value = (bits | u64::from(sticky)) as f64;
    let power = exponent.saturating_add(scale).clamp(-2200, 2200);
    // Two steps, so that neither factor leaves the range of floats on its own.
    let value = value * 2f64.powi(power / 2) * 2f64.powi(power - power / 2);
    value.is_finite().then_some(value)
}

/// Go's rule: an underscore stands between two digits, or after the base prefix.
fn underscores_separate_digits(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let prefixed = matches!(text.as_bytes(), [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..]);
    let hex = matches!(text.as_bytes(), [b'0', b'x' | b'X', ..]);
    let body = if prefixed { &text[2..] } else { text };
    // The prefix counts as a digit; only decimal numbers with underscores need a leading digit of their own.
    let mut before_digit = prefixed;
    let mut after_underscore = false;
    for c in body.chars() {
        let digit = c.is_ascii_digit() || (hex && c.is_ascii_hexdigit());
        match c {
            '_' if !before_digit => return false,
            '_' => (before_digit, after_underscore) = (false, true),
            _ if digit => (before_digit, after_underscore) = (true, false),
            _ if after_underscore => return false,
            _ => before_digit = false,
        }
    }
    !after_underscore
}
