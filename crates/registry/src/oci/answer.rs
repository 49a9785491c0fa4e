//! Answers of registries that are no success, in the words of Helm's registry library.

use crate::Error;
use crate::http::Received;
use crate::url::quoted;
use http::Method;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Body {
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: Value,
}

/// The error of an answer: `GET "URL": response status code 404: name unknown: ...`.
pub(super) fn failure(method: &Method, answer: &Received) -> Error {
    let entries = serde_json::from_slice::<Body>(&answer.body).map(|body| body.errors).unwrap_or_default();
    let why = if entries.is_empty() {
        answer.status.canonical_reason().unwrap_or("").to_owned()
    } else {
        entries.iter().map(entry_text).collect::<Vec<_>>().join("; ")
    };
    let code = answer.status.as_u16();
    let text = format!("{method} {}: response status code {code}: {why}", quoted(&answer.url.to_string()));
    Error::Status { code, text }
}

fn entry_text(entry: &Entry) -> String {
    let code = entry.code.replace('_', " ").to_lowercase();
    match (entry.message.as_str(), &entry.detail) {
        ("", _) => code,
        (message, Value::Null) => format!("{code}: {message}"),
        (message, detail) => format!("{code}: {message}: {}", go_value(detail)),
    }
}

/// A decoded JSON value as Go's `%v` prints it.
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => goyaml::number::go_float(number.as_f64().unwrap_or(0.0)),
        Value::Bool(b) => b.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let entries: Vec<_> =
                entries.into_iter().map(|(key, value)| format!("{key}:{}", go_value(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::Url;

    fn text(status: u16, body: &str) -> String {
        let answer = Received {
            url: Url::parse("http://h/v2/").unwrap(),
            status: http::StatusCode::from_u16(status).unwrap(),
            reason: String::new(),
            headers: Default::default(),
            body: body.to_owned().into(),
        };
        failure(&Method::GET, &answer).to_string()
    }

    #[test]
    fn texts() {
        assert_eq!(text(503, "<html>"), "GET \"http://h/v2/\": response status code 503: Service Unavailable");
        let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"not known","detail":{"name":"x","n":[1,true]}}]}"#;
        assert_eq!(
            text(404, body),
            "GET \"http://h/v2/\": response status code 404: name unknown: not known: map[n:[1 true] name:x]"
        );
        let two = r#"{"errors":[{"code":"A"},{"code":"B_C","message":"m"}]}"#;
        assert_eq!(text(400, two), "GET \"http://h/v2/\": response status code 400: a; b c: m");
    }
}
