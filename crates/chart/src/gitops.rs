//! What in a chart changes its result between renderings, or without a cluster.
//!
//! Argo CD renders a chart again and again, without a cluster, as `helm template` does, and compares with what is there. Flux
//! installs and upgrades with Helm itself, so templates can ask the cluster, but every upgrade renders anew. [`scan`] finds the
//! places in the templates that make a difference to either, by what is parsed rather than by what the text looks like;
//! [`differences`] renders twice and names the values that differ.

use crate::{Chart, Error, File, Log, RenderOptions, Values, render};
use gotemplate::Functions;
use gotemplate::mention::{Mention, Mentioned, mentions};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// Why a place matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// The cluster is asked.
    Lookup,
    /// The result is random.
    Random,
    /// The result depends on the time.
    Time,
    /// The result depends on a name server.
    Network,
    /// The object is a hook.
    Hook,
    /// Install, upgrade or revision are asked for.
    Release,
    /// The cluster's version or what it serves is asked for.
    Capabilities,
}

impl Risk {
    /// Whether the result can differ although chart and values are the same.
    pub fn is_unstable(self) -> bool {
        matches!(self, Risk::Lookup | Risk::Random | Risk::Time | Risk::Network)
    }

    /// What it means for Argo CD and Flux.
    pub fn why(self) -> &'static str {
        match self {
            Risk::Lookup => {
                "Argo CD renders without a cluster, where this finds nothing; Flux finds what is there at that moment"
            }
            Risk::Random => {
                "every rendering gives another value: Argo CD shows the object as out of sync forever, Flux replaces it with every upgrade"
            }
            Risk::Time => {
                "every rendering gives another value: Argo CD shows the object as out of sync, Flux changes it with every upgrade"
            }
            Risk::Network => "the result is that of the name server which Argo CD or Flux happens to ask",
            Risk::Hook => {
                "Argo CD runs install and upgrade hooks in every sync, as PreSync and PostSync, and never those of rollback and test; \
                 Flux runs hooks as Helm does"
            }
            Risk::Release => {
                "for Argo CD every rendering is a first install with revision 1; Flux tells installs from upgrades as Helm does"
            }
            Risk::Capabilities => {
                "Argo CD passes what it knows of the cluster; rendered anywhere else without --api-versions and --kube-version this \
                 is the default set"
            }
        }
    }

    fn of_function(name: &str) -> Option<Risk> {
        Some(match name {
            "lookup" => Risk::Lookup,
            // Certificates and keys; hashes and ciphers with a random salt.
            "genCA"
            | "genCAWithKey"
            | "genPrivateKey"
            | "genSelfSignedCert"
            | "genSelfSignedCertWithKey"
            | "genSignedCert"
            | "genSignedCertWithKey"
            | "bcrypt"
            | "htpasswd"
            | "encryptAES" => Risk::Random,
            "randAlpha" | "randAlphaNum" | "randAscii" | "randBytes" | "randInt" | "randNumeric" | "shuffle"
            | "uuidv4" => Risk::Random,
            "ago" | "now" => Risk::Time,
            "getHostByName" => Risk::Network,
            _ => return None,
        })
    }

    fn of_path(fields: &[String]) -> Option<Risk> {
        // A helper has the root in a variable.
        let parts: Vec<&str> = fields.iter().map(String::as_str).skip_while(|part| part.starts_with('$')).collect();
        match parts.as_slice() {
            ["Capabilities", "APIVersions" | "KubeVersion", ..] => Some(Risk::Capabilities),
            ["Release", "IsInstall" | "IsUpgrade" | "Revision"] => Some(Risk::Release),
            _ => None,
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Risk::Lookup => "lookup",
            Risk::Random => "random",
            Risk::Time => "time",
            Risk::Network => "network",
            Risk::Hook => "hook",
            Risk::Release => "release",
            Risk::Capabilities => "capabilities",
        })
    }
}

/// A place in a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Path of the file below the chart's directory.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in bytes, counted from 1.
    pub column: usize,
    /// Why it matters.
    pub risk: Risk,
    /// What stands there: the function, the fields, the annotation.
    pub what: String,
}

/// The places in the templates of a chart, and of those below it, that matter to Argo CD or Flux, in the order of the files.
///
/// Errors: [`Error::Template`]: a template does not parse.
pub fn scan(chart: &Chart, options: &RenderOptions) -> Result<Vec<Place>, Error> {
    let functions = render::template_functions(options);
    let mut found = BTreeSet::new();
    scan_below(chart, "", &functions, &mut found)?;
    Ok(found.into_iter().collect())
}

fn scan_below(chart: &Chart, prefix: &str, functions: &Functions, found: &mut BTreeSet<Place>) -> Result<(), Error> {
    for file in &chart.templates {
        scan_file(file, prefix, functions, found)?;
    }
    for below in &chart.dependencies {
        scan_below(below, &format!("{prefix}charts/{}/", below.name()), functions, found)?;
    }
    Ok(())
}

fn scan_file(file: &File, prefix: &str, functions: &Functions, found: &mut BTreeSet<Place>) -> Result<(), Error> {
    let path = format!("{prefix}{}", file.name);
    let text = file.text();
    let named = mentions(&path, &text, functions).map_err(|error| Error::Template(error.to_string()))?;
    for Mention { line, column, what } in named {
        let place = |risk, what: String| Place { path: path.clone(), line, column: column + 1, risk, what };
        match what {
            Mentioned::Function(name) => {
                found.extend(Risk::of_function(&name).map(|risk| place(risk, name.to_string())))
            }
            Mentioned::Path { fields, .. } => {
                found.extend(Risk::of_path(&fields).map(|risk| place(risk, shown(&fields))));
            }
            Mentioned::Text(text) => found.extend(hooks(&text).into_iter().map(|(lines, at, what)| Place {
                line: line + lines,
                column: if lines == 0 { column + at + 1 } else { at + 1 },
                ..place(Risk::Hook, what)
            })),
        }
    }
    Ok(())
}

fn shown(fields: &[String]) -> String {
    let joined = fields.join(".");
    if joined.starts_with('$') { joined } else { format!(".{joined}") }
}

const HOOK: &str = "helm.sh/hook";

/// The hook annotations in a text: lines before, bytes before in the line, and what the annotation says.
fn hooks(text: &str) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        let Some(at) = line.find(HOOK).filter(|_| !line.trim_start().starts_with('#')) else { continue };
        let rest = &line[at + HOOK.len()..];
        // `helm.sh/hook-weight` and the like only say more about a hook.
        if rest.starts_with('-') {
            continue;
        }
        let events = rest.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ':'));
        found.push((number, at, format!("{HOOK} {events}").trim_end().to_string()));
    }
    found
}

/// A value that two renderings do not agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Path of the template, with the charts' names in front.
    pub path: String,
    /// `kind/name` of the object.
    pub object: String,
    /// The value's place in the object, `spec.template.metadata.annotations["a/b"]`; empty for the whole object.
    pub field: String,
}

/// Renders twice and names what differs. Give two `options` that differ in nothing but clock and randomness.
///
/// Errors: those of [`crate::render`].
pub fn differences(chart: &Chart, user: &Values, options: [&RenderOptions; 2]) -> Result<Vec<Difference>, Error> {
    let documents = |options: &RenderOptions| -> Result<Vec<(String, String, Value)>, Error> {
        let rendered = render::render_logged(chart, user, options, &mut Log::default())?;
        let read = |path: &str, content: &str| {
            let value = goyaml::parse(content)
                .map_err(|error| Error::Manifest(format!("{path}: {}", error.in_conversion())))?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = format!("{}/{}", text(&value["kind"]), text(&value["metadata"]["name"]));
            Ok((path.to_owned(), object, value))
        };
        let manifests = rendered.manifests.iter().map(|manifest| read(&manifest.path, &manifest.content));
        manifests.chain(rendered.hooks.iter().map(|hook| read(&hook.path, &hook.manifest))).collect()
    };
    let (first, second) = (documents(options[0])?, documents(options[1])?);
    let mut found = Vec::new();
    if first.len() != second.len() {
        // Objects come and go: each that only one side has is named whole.
        for (one, other) in [(&first, &second), (&second, &first)] {
            for (path, object, _) in
                one.iter().filter(|(path, object, _)| !other.iter().any(|o| o.0 == *path && o.1 == *object))
            {
                found.push(Difference { path: path.clone(), object: object.clone(), field: String::new() });
            }
        }
        return Ok(found);
    }
    for ((path, object, one), (_, _, other)) in first.iter().zip(&second) {
        let mut fields = Vec::new();
        compare(one, other, "", &mut fields);
        found.extend(fields.into_iter().map(|field| Difference { path: path.clone(), object: object.clone(), field }));
    }
    Ok(found)
}

fn compare(one: &Value, other: &Value, at: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let place = join(at, key);
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => compare(a, b, &place, found),
                    _ => found.push(place),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().for_each(|(i, (a, b))| compare(a, b, &format!("{at}[{i}]"), found));
        }
        (a, b) if a == b => {}
        _ => found.push(at.to_owned()),
    }
}

fn join(at: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    match (plain, at) {
        (true, "") => key.to_owned(),
        (true, at) => format!("{at}.{key}"),
        (false, at) => format!("{at}[{}]", gotemplate::quote::quoted(key.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_annotation_that_makes_a_hook_counts() {
        let text = "a: 1\n    \"helm.sh/hook\": pre-install,post-upgrade\n    \"helm.sh/hook-weight\": \"1\"\n# helm.sh/hook: x\n";
        assert_eq!(hooks(text), [(1, 5, "helm.sh/hook pre-install,post-upgrade".to_owned())]);
    }

    #[test]
    fn values_that_differ_are_named_by_their_place() {
        let (one, other) =
            (json!({"a": {"b/c": 1, "d": [1, {"e": 2}]}}), json!({"a": {"b/c": 2, "d": [1, {"e": 3}], "f": 1}}));
        let mut found = Vec::new();
        compare(&one, &other, "", &mut found);
        assert_eq!(found, ["a[\"b/c\"]", "a.d[1].e", "a.f"]);
    }
}
