//! Findings about `Chart.yaml`.

use super::{Findings, Folder, Severity};
use crate::load;
use crate::version::Version;
use serde_json::Value;

const FILE: &str = "Chart.yaml";

pub(super) fn check(folder: &Folder, findings: &mut Findings) {
    let Some(file) = folder.file(FILE) else { return };
    let metadata = match load::read_metadata(&file.data) {
        Ok(metadata) => metadata,
        Err(e) => return findings.add(Severity::Error, FILE, format!("unable to parse YAML\n\t{e}")),
    };
    let text = file.text();
    if let Err(e) = strict(&text) {
        findings.add(Severity::Warning, FILE, format!("failed to strictly parse chart metadata file\n\t{e}"));
    }
    let raw = goyaml::unmarshal(&text).unwrap_or(Value::Null);
    let error = |findings: &mut Findings, text: String| findings.add(Severity::Error, FILE, text);
    if metadata.name.is_empty() {
        error(findings, "name is required".into());
    } else if metadata.name.contains('/') {
        let name = gotemplate::quote::quoted(metadata.name.as_bytes());
        error(findings, format!("chart name {name} is invalid"));
    }
    match metadata.api_version.as_str() {
        "v1" | "v2" => {}
        "" => error(findings, "apiVersion is required. The value must be either \"v1\" or \"v2\"".into()),
        other => {
            error(findings, format!("apiVersion '{other}' is not valid. The value must be either \"v1\" or \"v2\""))
        }
    }
    findings.check(Severity::Error, FILE, is_text(&raw, "version"));
    findings.check(Severity::Error, FILE, version(&metadata.version));
    findings.check(Severity::Error, FILE, is_text(&raw, "appVersion"));
    for maintainer in &metadata.maintainers {
        let complaint = if maintainer.name.is_empty() {
            "each maintainer requires a name".into()
        } else if !maintainer.email.is_empty() && !is_email(&maintainer.email) {
            format!("invalid email '{}' for maintainer '{}'", maintainer.email, maintainer.name)
        } else if !maintainer.url.is_empty() && !is_url(&maintainer.url) {
            format!("invalid url '{}' for maintainer '{}'", maintainer.url, maintainer.name)
        } else {
            continue;
        };
        error(findings, complaint);
        break;
    }
    if let Some(source) = metadata.sources.iter().find(|s| !is_request_url(s)) {
        error(findings, format!("invalid source URL '{source}'"));
    }
    if metadata.icon.is_empty() {
        findings.add(Severity::Info, FILE, "icon is recommended");
    } else if !is_request_url(&metadata.icon) {
        error(findings, format!("invalid icon URL '{}'", metadata.icon));
    }
    if metadata.api_version != "v2" {
        let found = &metadata.api_version;
        if !metadata.r#type.is_empty() {
            error(findings, format!("chart type is not valid in apiVersion '{found}'. It is valid in apiVersion 'v2'"));
        }
        if !metadata.dependencies.is_empty() {
            error(
                findings,
                format!(
                    "dependencies are not valid in the Chart file with apiVersion '{found}'. They are valid in apiVersion \
                     'v2'"
                ),
            );
        }
    }
    if Version::parse_strict(&metadata.version).is_err() {
        let text = format!("version '{}' is not a valid SemVerV2", metadata.version);
        findings.add(Severity::Warning, FILE, text);
    }
}

fn version(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("version is required".into());
    }
    match Version::parse(text) {
        Err(_) => Err(format!("version '{text}' is not a valid SemVer")),
        Ok(v) if v.compare(&Version::parse("0.0.0-0").map_err(|e| e.to_string())?).is_le() => {
            Err(format!("version {text} is less than or equal to 0.0.0-0"))
        }
        Ok(_) => Ok(()),
    }
}

fn is_text(raw: &Value, key: &str) -> Result<(), String> {
    let found = match raw.get(key) {
        None | Some(Value::String(_)) => return Ok(()),
        Some(Value::Null) => "<nil>",
        Some(Value::Bool(_)) => "bool",
        Some(Value::Number(_)) => "float64",
        Some(Value::Array(_)) => "[]interface {}",
        Some(Value::Object(_)) => "map[string]interface {}",
    };
    Err(format!("{key} should be of type string but it's of type {found}"))
}

const KEYS: &[&str] = &[
    "name",
    "home",
    "sources",
    "version",
    "description",
    "keywords",
    "maintainers",
    "icon",
    "apiVersion",
    "condition",
    "tags",
    "appVersion",
    "deprecated",
    "annotations",
    "kubeVersion",
    "dependencies",
    "type",
];
const MAINTAINER_KEYS: &[&str] = &["name", "email", "url"];
const DEPENDENCY_KEYS: &[&str] =
    &["name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias"];

/// Refuses keys that stand twice and keys that mean nothing.
fn strict(text: &str) -> Result<(), String> {
    let value = goyaml::parse_strict(text).map_err(|e| e.in_conversion())?;
    let unknown = |value: &Value, known: &[&str]| {
        let key = value.as_object()?.keys().find(|k| !known.iter().any(|n| n.eq_ignore_ascii_case(k)))?;
        let key = gotemplate::quote::quoted(key.as_bytes());
        Some(format!("error unmarshaling JSON: while decoding JSON: json: unknown field {key}"))
    };
    let items = |key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let below = items("dependencies").into_iter().find_map(|d| unknown(&d, DEPENDENCY_KEYS));
    let people = items("maintainers").into_iter().find_map(|m| unknown(&m, MAINTAINER_KEYS));
    unknown(&value, KEYS).or(below).or(people).map_or(Ok(()), Err)
}

fn is_email(text: &str) -> bool {
    let local_ok = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    match text.rsplit_once('@') {
        Some((local, domain)) => {
            !local.is_empty()
                && local.chars().all(local_ok)
                && !local.starts_with('.')
                && !local.ends_with('.')
                && !local.contains("..")
                && domain.contains('.')
                && is_host(domain)
        }
        None => false,
    }
}

fn is_host(host: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    host.split('.').all(label)
}

/// An address that a browser would take, with or without scheme.
fn is_url(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    let host = host.split(':').next().unwrap_or("");
    let plain = !text.contains(char::is_whitespace) && text.len() > 3 && !text.starts_with('.');
    plain && is_host(host) && (host.contains('.') || host == "localhost")
}

/// Go's notion of an absolute address: a scheme and something behind it.
fn is_request_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    scheme_ok && !rest.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert!(is_request_url("https://x.example/i.png") && !is_request_url("nota url"));
        assert!(is_email("e@x.io") && !is_email("broken") && !is_email("a@b"));
        assert!(is_url("https://example.com/x") && !is_url("no spaces here.com"));
    }

    #[test]
    fn strictness() {
        assert_eq!(strict("name: a\nversion: 1\n"), Ok(()));
        assert!(strict("name: a\nname: b\n").expect_err("twice").contains("already set"));
        assert!(strict("maintainers: [{name: x, bogus: y}]").expect_err("unknown").contains("\"bogus\""));
    }
}
