//! `Chart.yaml`: what a chart says about itself, and the rules it must keep.

use crate::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The content of `Chart.yaml`. Fields that are not there are empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name; a plain file name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The project's page.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub home: String,
    /// Where the sources are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// A semantic version, loosely read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// One sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Words to find the chart by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Who cares for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maintainers: Vec<Maintainer>,
    /// A picture's URL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub icon: String,
    /// `v1` or `v2`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Unused relic.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Unused relic.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tags: String,
    /// Version of what the chart installs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app_version: String,
    /// Not to be used any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deprecated: bool,
    /// Anything else.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Which Kubernetes versions it is for: a constraint.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kube_version: String,
    /// The charts it needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// `application`, `library` or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub r#type: String,
}

/// A person or group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintainer {
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Mail address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Page.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// A chart that another one needs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dependency {
    /// The chart's name; the alias once dependencies were processed.
    pub name: String,
    /// A version constraint.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Where it comes from: a URL, `@name`, `file://path` or empty.
    pub repository: String,
    /// Paths of values that switch it on or off, the first that exists decides.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Names under `tags:` that switch it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Outcome of condition and tags.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enabled: bool,
    /// What the parent takes from its values: a name under `exports`, or an object with `child` and `parent`.
    #[serde(rename = "import-values", skip_serializing_if = "Vec::is_empty")]
    pub import_values: Vec<Value>,
    /// Another name to use it under.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alias: String,
}

/// `Chart.lock`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lock {
    /// When it was made, RFC 3339; empty when that is not known.
    #[serde(serialize_with = "crate::chart::time_out")]
    pub generated: String,
    /// Digest over the wanted and the locked dependencies.
    pub digest: String,
    /// The versions that were chosen.
    pub dependencies: Vec<Dependency>,
}

impl Metadata {
    /// Cleans the texts as Helm does and checks the rules of a chart.
    ///
    /// Errors: [`Error::Validation`] with the first broken rule.
    pub fn validate(&mut self) -> Result<(), Error> {
        let broken = |text: String| Err(Error::Validation(text));
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            sanitize(text);
        }
        self.sources.iter_mut().chain(&mut self.keywords).for_each(sanitize);
        if self.api_version.is_empty() {
            return broken("chart.metadata.apiVersion is required".into());
        }
        if self.name.is_empty() {
            return broken("chart.metadata.name is required".into());
        }
        let quoted_name = gotemplate::quote::quoted(self.name.as_bytes());
        if self.name == "." || self.name == ".." {
            return broken(format!("chart.metadata.name {quoted_name} is not allowed"));
        }
        if self.name.contains('/') {
            return broken(format!("chart.metadata.name {quoted_name} is invalid"));
        }
        if self.version.is_empty() {
            return broken("chart.metadata.version is required".into());
        }
        if crate::version::Version::parse(&self.version).is_err() {
            let version = gotemplate::quote::quoted(self.version.as_bytes());
            return broken(format!("chart.metadata.version {version} is invalid"));
        }
        if !matches!(self.r#type.as_str(), "" | "application" | "library") {
            return broken("chart.metadata.type must be application or library".into());
        }
        for maintainer in &mut self.maintainers {
            [&mut maintainer.name, &mut maintainer.email, &mut maintainer.url].into_iter().for_each(sanitize);
        }
        let mut seen = std::collections::BTreeSet::new();
        for dependency in &mut self.dependencies {
            dependency.sanitize();
            let alias_ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !dependency.alias.chars().all(alias_ok) {
                let name = gotemplate::quote::quoted(dependency.name.as_bytes());
                return broken(format!("dependency {name} has disallowed characters in the alias"));
            }
            let key = if dependency.alias.is_empty() { &dependency.name } else { &dependency.alias };
            if !seen.insert(key.clone()) {
                let key = gotemplate::quote::quoted(key.as_bytes());
                return broken(format!("more than one dependency with name or alias {key}"));
            }
        }
        Ok(())
    }
}

impl Dependency {
    fn sanitize(&mut self) {
        let texts = [&mut self.name, &mut self.version, &mut self.repository, &mut self.condition];
        texts.into_iter().chain(&mut self.tags).for_each(sanitize);
    }
}

/// White space becomes a blank, what does not print disappears.
fn sanitize(text: &mut String) {
    if text.chars().all(|c| (' '..='~').contains(&c)) {
        return;
    }
    *text = text
        .chars()
        .filter_map(|c| match c {
            c if c.is_whitespace() => Some(' '),
            c if gotemplate::quote::is_printable(c) => Some(c),
            _ => None,
        })
        .collect();
}
