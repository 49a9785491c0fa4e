//! Checking values against the JSON schemas of charts, with findings worded as Helm words them.
//!
//! The validator is by the author of the one that Helm uses and finds the same things in the same order; only the words are
//! ours to choose.

use crate::{Chart, Error, Log, accept, deadline};
use boon::{Compiler, ErrorKind, Schemas, UrlLoader, ValidationError};
use goyaml::number::{go_float, number_text};
use serde_json::{Number, Value};
use std::cell::RefCell;
use std::io::Read as _;
use std::rc::Rc;
use std::time::Duration;

/// Checks the values of a chart (an object), and the part of them that belongs to each chart below, against their schemas. Numbers are
/// numbers here, whether YAML or `--set` gave them.
///
/// Errors: [`Error::Schema`].
pub fn check(chart: &Chart, values: &Value, log: &mut Log) -> Result<(), Error> {
    if accepted(chart, values) {
        return Ok(());
    }
    let values = goyaml::with_json_numbers(values.clone());
    let mut findings = String::new();
    check_chart(chart, &values, &mut findings, log);
    if findings.is_empty() { Ok(()) } else { Err(Error::Schema(findings)) }
}

/// Whether all schemas are simple and satisfied.
fn accepted(chart: &Chart, values: &Value) -> bool {
    let own = chart.schema.as_ref().is_none_or(|schema| accept::accepts(schema, values));
    own && chart.dependencies.iter().all(|below| match values.get(below.name()) {
        None | Some(Value::Null) => true,
        Some(own @ Value::Object(_)) => accepted(below, own),
        Some(_) => false,
    })
}

fn check_chart(chart: &Chart, values: &Value, findings: &mut String, log: &mut Log) {
    if let Some(schema) = &chart.schema
        && let Err(text) = check_one(schema, values, log)
    {
        findings.push_str(&format!("{}:\n{text}", chart.name()));
    }
    for below in &chart.dependencies {
        match values.get(below.name()) {
            None | Some(Value::Null) => {}
            Some(own @ Value::Object(_)) => check_chart(below, own, findings, log),
            Some(other) => {
                let kind = crate::convert::to_go(other).type_name();
                findings.push_str(&format!(
                    "{}:\ninvalid type for values: expected object (map), got {kind}\n",
                    below.name()
                ));
            }
        }
    }
}

/// How long a schema may be: 4 MiB, four times as long as that of all of Kubernetes.
pub(crate) const MAX_SCHEMA: usize = 4 << 20;

/// How long checking may take: schemas that refer to each other can ask the same question more often than a machine can
/// answer it. More where the program is not optimised.
const MOST_TIME: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });

fn too_long() -> String {
    format!("schema is longer than {MAX_SCHEMA} bytes")
}

/// The name that a schema goes by while it is compiled; relative references start here.
const URL: &str = "file:///values.schema.json";

/// Checks values against one schema.
///
/// Errors: the findings, one a line, or why the schema itself is no good.
pub(crate) fn check_one(schema: &[u8], values: &Value, log: &mut Log) -> Result<(), String> {
    if accept::accepts(schema, values) { Ok(()) } else { findings(schema, values, log) }
}

/// As [`check_one`], without the short cut for what is simple and right.
pub(crate) fn findings(schema: &[u8], values: &Value, log: &mut Log) -> Result<(), String> {
    if schema.len() > MAX_SCHEMA {
        return Err(too_long());
    }
    let (schema, values) = (schema.to_vec(), values.clone());
    let found = deadline::within(MOST_TIME, move || {
        let mut log = Log::default();
        let found = validate(&schema, &values, &mut log);
        (found, log)
    });
    match found {
        Some((found, said)) => {
            log.0.extend(said.0);
            found
        }
        None => Err(format!("checking takes more than {} s of processor time", MOST_TIME.as_secs())),
    }
}

fn validate(schema: &[u8], values: &Value, log: &mut Log) -> Result<(), String> {
    let parsed: Value = serde_json::from_slice(schema).map_err(|e| json_error(schema, &e))?;
    let unresolved = Rc::new(RefCell::new(Vec::new()));
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(Loader { unresolved: unresolved.clone() }));
    compiler.add_resource(URL, parsed).map_err(|e| compile_error(&e))?;
    let mut schemas = Schemas::new();
    let index = compiler.compile(URL, &mut schemas).map_err(|e| compile_error(&e))?;
    for urn in unresolved.take() {
        log.warn("unresolved URN reference ignored; using permissive schema", vec![("urn", urn)]);
    }
    schemas.validate(values, index).map_err(|e| {
        let mut text = String::new();
        describe(&e, 0, &mut text);
        text.push('\n');
        text
    })
}

/// A text that is no JSON, in the words of Go's reader.
fn json_error(text: &[u8], fallback: &serde_json::Error) -> String {
    match sprig::json::decode(text) {
        Err(e) => e.to_string(),
        Ok(_) => fallback.to_string(),
    }
}

/// Finds what schemas refer to: files by absolute path. What only a network could answer is refused, and names without a
/// place (`urn:`) mean that anything goes.
struct Loader {
    unresolved: Rc<RefCell<Vec<String>>>,
}

impl UrlLoader for Loader {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        if url.starts_with("urn:") {
            self.unresolved.borrow_mut().push(url.to_string());
            return Ok(Value::Bool(true));
        }
        let Some(path) = url.strip_prefix("file://") else {
            return Err("schemas are not fetched over the network here".into());
        };
        let mut data = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_SCHEMA as u64 + 1).read_to_end(&mut data))
            .map_err(|e| format!("open {path}: {}", crate::load::os_error(&e)))?;
        if data.len() > MAX_SCHEMA {
            return Err(too_long().into());
        }
        Ok(serde_json::from_slice(&data).map_err(|e| json_error(&data, &e))?)
    }
}

fn compile_error(error: &boon::CompileError) -> String {
    use boon::CompileError as E;
    let quoted = |text: &str| gotemplate::quote::quoted(text.as_bytes());
    match error {
        E::LoadUrlError { url, src } => format!("failing loading {}: {src}", quoted(url)),
        E::UnsupportedUrlScheme { url } => format!("no URLLoader registered for {}", quoted(url)),
        E::InvalidMetaSchemaUrl { url, src } => format!("invalid $schema in {}: {src}", quoted(url)),
        E::UnsupportedDraft { url } => format!("draft {} is not supported", quoted(url)),
        E::MetaSchemaCycle { url } => format!("cycle in resolving $schema in {}", quoted(url)),
        E::AnchorNotFound { url, reference } => {
            format!("anchor in {} not found in schema {}", quoted(reference), quoted(url))
        }
        E::InvalidRegex { url, regex, src } => format!("invalid regex {} at {}: {src}", quoted(regex), quoted(url)),
        E::ValidationError { url, src } => {
            let mut text = format!("{} is not valid against metaschema: ", quoted(url));
            describe(src, 0, &mut text);
            text
        }
        other => other.to_string(),
    }
}

/// Writes a finding and those that it consists of, indented below it.
fn describe(error: &ValidationError, depth: usize, text: &mut String) {
    let bare_reference = error.causes.len() == 1 && matches!(error.kind, ErrorKind::Reference { .. });
    let mut depth = depth;
    if !bare_reference {
        if !matches!(error.kind, ErrorKind::Schema { .. }) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&"  ".repeat(depth.saturating_sub(1)));
            text.push_str("- at ");
            text.push_str(&quote(&error.instance_location.to_string()));
            text.push_str(": ");
            text.push_str(&words(&error.kind));
        }
        depth += 1;
    }
    for cause in &error.causes {
        describe(cause, depth, text);
    }
}

fn words(kind: &ErrorKind) -> String {
    let list = |names: &[&str]| names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
    let places = |at: &[usize]| at.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
    match kind {
        ErrorKind::Group | ErrorKind::Reference { .. } => "validation failed".into(),
        ErrorKind::Schema { url } => format!("jsonschema validation failed with {}", quote(url)),
        ErrorKind::ContentSchema => "'contentSchema' failed".into(),
        ErrorKind::PropertyName { prop } => format!("invalid propertyName {}", quote(prop)),
        ErrorKind::RefCycle { url, kw_loc1, kw_loc2 } => {
            let url = gotemplate::quote::quoted(url.as_bytes());
            format!("both {kw_loc1} and {kw_loc2} resolve to {url} causing reference cycle")
        }
        ErrorKind::FalseSchema => "false schema".into(),
        ErrorKind::Type { got, want } => {
            let want: Vec<String> = want.iter().map(|t| t.to_string()).collect();
            format!("got {got}, want {}", want.join(" or "))
        }
        ErrorKind::Enum { want } => match want.as_slice() {
            several if several.iter().any(|v| v.is_array() || v.is_object()) => "'enum' failed".into(),
            [one] => format!("value must be {}", shown(one)),
            several => {
                let several: Vec<String> = several.iter().map(shown).collect();
                format!("value must be one of {}", several.join(", "))
            }
        },
        ErrorKind::Const { want } if want.is_array() || want.is_object() => "'const' failed".into(),
        ErrorKind::Const { want } => format!("value must be {}", shown(want)),
        ErrorKind::Format { got, want, err } => format!("{} is not valid {want}: {err}", shown(got)),
        ErrorKind::MinProperties { got, want } => amounts("minProperties", *got, *want),
        ErrorKind::MaxProperties { got, want } => amounts("maxProperties", *got, *want),
        ErrorKind::MinItems { got, want } => amounts("minItems", *got, *want),
        ErrorKind::MaxItems { got, want } => amounts("maxItems", *got, *want),
        ErrorKind::MinLength { got, want } => amounts("minLength", *got, *want),
        ErrorKind::MaxLength { got, want } => amounts("maxLength", *got, *want),
        ErrorKind::AdditionalProperties { got } => {
            let names: Vec<&str> = got.iter().map(AsRef::as_ref).collect();
            format!("additional properties {} not allowed", list(&names))
        }
        ErrorKind::Required { want } if want.len() == 1 => format!("missing property {}", list(want)),
        ErrorKind::Required { want } => format!("missing properties {}", list(want)),
        ErrorKind::Dependency { prop, missing } | ErrorKind::DependentRequired { prop, missing } => {
            format!("properties {} required, if {} exists", list(missing), quote(prop))
        }
        ErrorKind::Contains => "no items match contains schema".into(),
        ErrorKind::MinContains { got, want } if got.is_empty() => {
            format!("min {} items required to match contains schema, but none matched", grouped(&want.to_string()))
        }
        ErrorKind::MinContains { got, want } => format!(
            "min {want} items required to match contains schema, but matched {} items at {}",
            got.len(),
            places(got)
        ),
        ErrorKind::MaxContains { got, want } => format!(
            "max {want} items required to match contains schema, but matched {} items at {}",
            got.len(),
            places(got)
        ),
        ErrorKind::UniqueItems { got: [a, b] } => format!("items at {a} and {b} are equal"),
        ErrorKind::AdditionalItems { got } => format!("last {got} additionalItem(s) not allowed"),
        ErrorKind::Pattern { got, want } => format!("{} does not match pattern {}", quote(got), quote(want)),
        ErrorKind::ContentEncoding { want, err } => format!("value is not {} encoded: {err}", quote(want)),
        ErrorKind::ContentMediaType { want, err, .. } => {
            format!("value is not of mediatype {}: {err}", quote(want))
        }
        ErrorKind::Minimum { got, want } => numbers("minimum", got, want),
        ErrorKind::Maximum { got, want } => numbers("maximum", got, want),
        ErrorKind::ExclusiveMinimum { got, want } => numbers("exclusiveMinimum", got, want),
        ErrorKind::ExclusiveMaximum { got, want } => numbers("exclusiveMaximum", got, want),
        ErrorKind::MultipleOf { got, want } => numbers("multipleOf", got, want),
        ErrorKind::Not => "'not' failed".into(),
        ErrorKind::AllOf => "'allOf' failed".into(),
        ErrorKind::AnyOf => "'anyOf' failed".into(),
        ErrorKind::OneOf(None) => "'oneOf' failed, none matched".into(),
        ErrorKind::OneOf(Some((a, b))) => format!("'oneOf' failed, subschemas {a}, {b} matched"),
    }
}

fn amounts(keyword: &str, got: usize, want: usize) -> String {
    format!("{keyword}: got {}, want {}", grouped(&got.to_string()), grouped(&want.to_string()))
}

fn numbers(keyword: &str, got: &Number, want: &Number) -> String {
    format!("{keyword}: got {}, want {}", localized(got), localized(want))
}

/// A number as Go's English printer shows it: groups of three digits, powers of ten written out.
fn localized(number: &Number) -> String {
    let text = number.as_f64().map(go_float).unwrap_or_else(|| number.to_string());
    match text.split_once('e') {
        None => grouped(&text),
        Some((mantissa, exponent)) => {
            let raised: String = exponent
                .chars()
                .filter_map(|c| match c {
                    '-' => Some('\u{207b}'),
                    '0' => Some('\u{2070}'),
                    '1' => Some('\u{b9}'),
                    '2' => Some('\u{b2}'),
                    '3' => Some('\u{b3}'),
                    '4'..='9' => char::from_u32(0x2070 + c as u32 - '0' as u32),
                    _ => None,
                })
                .collect();
            format!("{mantissa} \u{d7} 10{raised}")
        }
    }
}

fn grouped(text: &str) -> String {
    let (sign, body) = text.strip_prefix('-').map_or(("", text), |b| ("-", b));
    let (whole, fraction) = body.split_once('.').map_or((body, None), |(w, f)| (w, Some(f)));
    let mut out = String::from(sign);
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A primitive value.
fn shown(value: &Value) -> String {
    match value {
        Value::String(s) => quote(s),
        Value::Array(_) | Value::Object(_) => "value".into(),
        Value::Null => "<nil>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => number_text(n),
    }
}

/// Text in single quotes, escaped as Go does.
fn quote(text: &str) -> String {
    let quoted = gotemplate::quote::quoted(text.as_bytes());
    let inner = quoted[1..quoted.len() - 1].replace("\\\"", "\"").replace('\'', "\\'");
    format!("'{inner}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn findings(schema: Value, values: Value) -> String {
        check_one(schema.to_string().as_bytes(), &values, &mut Log::default()).expect_err("findings")
    }

    #[test]
    fn numbers_are_spelled_in_english() {
        let schema = json!({"properties": {"a": {"maximum": 1000}, "d": {"minimum": 1e7}, "i": {"maximum": 0.00001}}});
        assert_eq!(findings(schema.clone(), json!({"a": 12345.25})), "- at '/a': maximum: got 12,345.25, want 1,000\n");
        assert_eq!(findings(schema.clone(), json!({"d": 1})), "- at '/d': minimum: got 1, want 1 × 10⁰⁷\n");
        assert_eq!(findings(schema, json!({"i": 1})), "- at '/i': maximum: got 1, want 1 × 10⁻⁰⁵\n");
    }

    #[test]
    fn nested_findings_are_indented() {
        let schema = json!({"properties": {"a": {"anyOf": [{"type": "string"}, {"const": 2}]}}});
        assert_eq!(
            findings(schema, json!({"a": 1})),
            "- at '/a': 'anyOf' failed\n  - at '/a': got number, want string\n  - at '/a': value must be 2\n"
        );
    }
}
