//! Floating point numbers and JSON text as Go spells them.
//!
//! Go has two shortest forms: `strconv`'s `g` form (exponents from 1e+06 on), used by YAML and by `%v`, and the form of
//! `encoding/json` (exponents below 1e-6 and from 1e21 on).

use serde_json::Value;

/// The shortest decimal digits of `f` and the position of the decimal point, for a finite number that is not negative.
fn digits(f: f64) -> (String, i32) {
    // Rust's exponent form has the shortest digits that read back as the same number, as Go's has.
    let text = format!("{f:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    (digits, exponent.parse::<i32>().unwrap_or(0) + 1)
}

fn plain(digits: &str, point: i32) -> String {
    let count = digits.len() as i32;
    if point <= 0 {
        return format!("0.{}{digits}", "0".repeat(-point as usize));
    }
    if point >= count {
        return format!("{digits}{}", "0".repeat((point - count) as usize));
    }
    format!("{}.{}", &digits[..point as usize], &digits[point as usize..])
}

fn scientific(digits: &str, point: i32, min_exponent_digits: usize) -> String {
    let exponent = point - 1;
    let sign = if exponent < 0 { '-' } else { '+' };
    let (first, rest) = digits.split_at(1);
    let dot = if rest.is_empty() { "" } else { "." };
    format!("{first}{dot}{rest}e{sign}{:0min_exponent_digits$}", exponent.unsigned_abs())
}

/// `f` as `strconv.FormatFloat(f, 'g', -1, 64)` spells it: `1e+06`, `0.0001`, `+Inf`.
pub fn go_float(f: f64) -> String {
    if f.is_nan() {
        return "NaN".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let sign = if f.is_sign_negative() { "-" } else { "" };
    if f == 0.0 {
        return format!("{sign}0");
    }
    let (digits, point) = digits(f.abs());
    let exponent = point - 1;
    let body = if (-4..6).contains(&exponent) { plain(&digits, point) } else { scientific(&digits, point, 2) };
    format!("{sign}{body}")
}

/// `f` as `strconv.FormatFloat(f, 'g', -1, 32)` spells it, which is how a number becomes text where text is expected.
pub fn go_float32(f: f64) -> String {
    let narrow = f as f32;
    if !narrow.is_finite() {
        return go_float(f64::from(narrow));
    }
    // The shortest digits of the narrow number, read back at full width, have the same digits.
    go_float(format!("{narrow:e}").parse().unwrap_or(f))
}

/// `f` as `encoding/json` spells it: `1000000`, `1e+21`, `1e-07`. The number must be finite.
pub fn json_float(f: f64) -> String {
    let sign = if f.is_sign_negative() { "-" } else { "" };
    if f == 0.0 {
        return format!("{sign}0");
    }
    let (digits, point) = digits(f.abs());
    let body = if (1e-6..1e21).contains(&f.abs()) { plain(&digits, point) } else { scientific(&digits, point, 1) };
    format!("{sign}{body}")
}

/// Writes `text` as a JSON string the way `encoding/json` does; `html` also escapes `<`, `>` and `&`, its default.
pub fn json_string(out: &mut String, text: &str, html: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' if html => out.push_str(&format!("\\u{:04x}", c as u32)),
            '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_value(out: &mut String, value: &Value, html: bool, indent: Option<usize>) {
    let newline = |out: &mut String, level: Option<usize>| {
        if let Some(level) = level {
            out.push('\n');
            out.push_str(&"  ".repeat(level));
        }
    };
    let inner = indent.map(|i| i + 1);
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&number_text(n)),
        Value::String(s) => json_string(out, s, html),
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                newline(out, inner);
                write_value(out, item, html, inner);
            }
            newline(out, indent);
            out.push(']');
        }
        Value::Object(map) if map.is_empty() => out.push_str("{}"),
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                newline(out, inner);
                json_string(out, key, html);
                out.push_str(if indent.is_some() { ": " } else { ":" });
                write_value(out, &map[key], html, inner);
            }
            newline(out, indent);
            out.push('}');
        }
    }
}

/// A number as `encoding/json` spells it, whichever of the three kinds it is.
pub fn number_text(n: &serde_json::Number) -> String {
    match (n.as_i64(), n.as_u64(), n.as_f64()) {
        (Some(i), _, _) if !n.is_f64() => i.to_string(),
        (_, Some(u), _) if !n.is_f64() => u.to_string(),
        (_, _, Some(f)) => json_float(f),
        _ => n.to_string(),
    }
}

/// `value` as compact JSON with sorted keys, the text of Go's `json.Marshal`.
pub fn json_text(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, true, None);
    out
}

/// `value` as JSON indented by two blanks, the text of Go's `json.MarshalIndent(v, "", "  ")`.
pub fn json_text_pretty(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, true, Some(0));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_float_switches_to_exponents_where_strconv_does() {
        for (f, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (999999.0, "999999"),
            (1e6, "1e+06"),
            (123456.5, "123456.5"),
            (1234567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e20, "1e+20"),
            (1e100, "1e+100"),
            (-1.25, "-1.25"),
            (12345678.5, "1.23456785e+07"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(go_float(f), text);
        }
    }

    #[test]
    fn json_float_switches_later() {
        for (f, text) in [
            (1e6, "1000000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-10, "1.5e-10"),
            (2.5, "2.5"),
            (-0.0, "-0"),
        ] {
            assert_eq!(json_float(f), text);
        }
    }

    #[test]
    fn narrow_floats_keep_their_short_form() {
        assert_eq!(go_float32(1.2), "1.2");
        assert_eq!(go_float32(1.1), "1.1");
        assert_eq!(go_float32(16777217.0), "1.6777216e+07");
    }

    #[test]
    fn json_text_sorts_and_escapes() {
        let v = serde_json::json!({"b": 1.0, "a": "<\u{2028}\n\u{1}\u{7f}"});
        assert_eq!(json_text(&v), "{\"a\":\"\\u003c\\u2028\\n\\u0001\u{7f}\",\"b\":1}");
        assert_eq!(
            json_text_pretty(&serde_json::json!({"a": [], "b": [1]})),
            "{\n  \"a\": [],\n  \"b\": [\n    1\n  ]\n}"
        );
    }
}
