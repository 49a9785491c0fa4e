//! Texts as Go's standard library writes them: JSON of structs and times.

use jiff::Zoned;
use serde::Serialize;

/// `value` as `json.Marshal` writes a struct: fields in their order, `<`, `>` and `&` escaped.
pub(crate) fn json(value: &impl Serialize) -> String {
    escape_html(&serde_json::to_string(value).unwrap_or_default())
}

/// As [`json`], each level indented by `indent`.
pub(crate) fn json_indented(value: &impl Serialize, indent: &str) -> String {
    let mut out = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut to = serde_json::Serializer::with_formatter(&mut out, format);
    if value.serialize(&mut to).is_err() {
        out.clear();
    }
    escape_html(&String::from_utf8_lossy(&out))
}

/// Outside of strings these characters do not occur in JSON, so a replacement over the whole text is enough.
fn escape_html(text: &str) -> String {
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}', '\u{7f}']) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

/// RFC 3339 with as many digits of the second as are not zero: how Go writes a time into JSON.
pub(crate) fn time_nano(time: &Zoned) -> String {
    let nanos = format!("{:09}", time.subsec_nanosecond());
    let digits = nanos.trim_end_matches('0');
    let fraction = if digits.is_empty() { String::new() } else { format!(".{digits}") };
    format!("{}{fraction}{}", time.strftime("%Y-%m-%dT%H:%M:%S"), offset(time))
}

/// RFC 3339 in whole seconds.
pub(crate) fn time_seconds(time: &Zoned) -> String {
    format!("{}{}", time.strftime("%Y-%m-%dT%H:%M:%S"), offset(time))
}

fn offset(time: &Zoned) -> String {
    match time.offset().seconds() {
        0 => "Z".into(),
        seconds => {
            let sign = if seconds < 0 { '-' } else { '+' };
            let minutes = seconds.unsigned_abs() / 60;
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
    }
}

/// Go's zero time.
pub(crate) const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_escaped() {
        assert_eq!(json(&serde_json::json!({"a": "<b> & \"c\""})), r#"{"a":"\u003cb\u003e \u0026 \"c\""}"#);
        assert_eq!(
            json_indented(&serde_json::json!({"a": [1], "b": {}}), "\t"),
            "{\n\t\"a\": [\n\t\t1\n\t],\n\t\"b\": {}\n}"
        );
    }

    #[test]
    fn times_end_where_their_digits_end() {
        let at = |text: &str| text.parse::<Zoned>().map(|t| time_nano(&t)).unwrap_or_default();
        assert_eq!(at("2026-11-21T08:31:12.120000000+00:00[UTC]"), "2026-11-21T08:31:12.12Z");
        assert_eq!(at("2026-11-21T08:31:12+02:00[+02:00]"), "2026-11-21T08:31:12+02:00");
        let west: Zoned = "2026-11-21T08:31:12.5-03:30[-03:30]".parse().unwrap();
        assert_eq!(time_seconds(&west), "2026-11-21T08:31:12-03:30");
    }
}
