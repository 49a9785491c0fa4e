//! Kubernetes label selectors in their text form: `pool=kata,tee,env notin (dev,qa)`.
//!
//! The API server evaluates the same text in list and watch requests; here it is evaluated again to say *which* rule
//! left a node out. Grammar: the "Labels and Selectors" page of the Kubernetes documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// `key`
    Exists(String),
    /// `!key`
    Missing(String),
    /// `key=value`, `key==value` and `key in (a,b)`
    In(String, BTreeSet<String>),
    /// `key!=value` and `key notin (a,b)`; a node without the key matches
    NotIn(String, BTreeSet<String>),
}

/// A parsed selector: every requirement must hold. The empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

/// A selector that does not follow the grammar.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{selector}` is not a label selector: {problem}")]
pub struct SelectorError {
    selector: String,
    problem: String,
}

impl Selector {
    /// Parses the text form.
    ///
    /// # Errors
    /// When a requirement has no key, an unknown operator or an open parenthesis.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let fail = |problem: String| SelectorError { selector: text.to_owned(), problem };
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text).ok_or_else(|| fail("a parenthesis is not closed".into()))? {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            requirements.push(requirement(part).map_err(fail)?);
        }
        Ok(Selector(requirements))
    }

    /// Returns the first requirement that the labels do not meet, or `None` when the selector matches.
    pub fn unmet(&self, labels: &BTreeMap<String, String>) -> Option<&Requirement> {
        self.0.iter().find(|requirement| !requirement.met(labels))
    }

    /// Tells whether the labels meet every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.unmet(labels).is_none()
    }
}

impl Requirement {
    fn met(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Missing(key) => !labels.contains_key(key),
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
        }
    }

    /// Returns the label key that it speaks of.
    pub fn key(&self) -> &str {
        match self {
            Requirement::Exists(key) | Requirement::Missing(key) => key,
            Requirement::In(key, _) | Requirement::NotIn(key, _) => key,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
        match self {
            Requirement::Exists(key) => f.write_str(key),
            Requirement::Missing(key) => write!(f, "!{key}"),
            Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", list(values)),
            Requirement::In(key, values) => write!(f, "{key} in ({})", list(values)),
            Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", list(values)),
        }
    }
}

fn split_outside_parentheses(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut open) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' => open = true,
            ')' => open = false,
            ',' if !open => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!open).then_some(parts)
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement::Missing(key_of(key)?));
    }
    if let Some((head, rest)) = part.split_once('(') {
        let values = rest.trim_end().strip_suffix(')').ok_or("text after the closing parenthesis")?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let head = head.trim_end();
        if let Some(key) = head.strip_suffix(" notin") {
            return Ok(Requirement::NotIn(key_of(key)?, values));
        }
        if let Some(key) = head.strip_suffix(" in") {
            return Ok(Requirement::In(key_of(key)?, values));
        }
        return Err(format!("`{head}` does not end in `in` or `notin`"));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(key_of(key)?, [value.trim().to_owned()].into()));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(key_of(key)?, [value.trim().to_owned()].into()));
    }
    Ok(Requirement::Exists(key_of(part)?))
}

fn key_of(text: &str) -> Result<String, String> {
    let key = text.trim();
    if key.is_empty() {
        return Err("a requirement has no key".into());
    }
    match key.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_./".contains(*c))) {
        Some(c) => Err(format!("`{c}` cannot be part of the key `{key}`")),
        None => Ok(key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn every_operator_is_understood() {
        let selector =
            Selector::parse("empty.io/label=,pool=kata,os in (linux, lnx),!gone,tee,env notin (dev,qa),a!=b").unwrap();
        let good = labels(&[("empty.io/label", ""), ("pool", "kata"), ("os", "lnx"), ("tee", "snp")]);
        assert_eq!(selector.unmet(&good), None);
        for (key, value, rule) in [
            ("pool", "other", "pool=kata"),
            ("gone", "x", "!gone"),
            ("env", "qa", "env notin (dev,qa)"),
            ("a", "b", "a notin (b)"),
        ] {
            let mut bad = good.clone();
            bad.insert(key.into(), value.into());
            assert_eq!(selector.unmet(&bad).unwrap().to_string(), rule);
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["a in (b", "=x", "!", "a b", "a in (b) c", "a of (b)"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
        assert!(Selector::parse("").unwrap().matches(&BTreeMap::new()));
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(keys in proptest::collection::vec(("[a-z]{1,5}", 0..4u8, "[a-z]{0,3}"), 0..5)) {
            let requirements: Vec<_> = keys.into_iter().map(|(key, kind, value)| match kind {
                0 => Requirement::Exists(key),
                1 => Requirement::Missing(key),
                2 => Requirement::In(key, [value, "x".to_owned()].into()),
                _ => Requirement::NotIn(key, [value].into()),
            }).collect();
            let text = requirements.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            prop_assert_eq!(Selector::parse(&text).unwrap(), Selector(requirements));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = Selector::parse(&text);
        }
    }
}
