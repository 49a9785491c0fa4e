//! What a user says about values: files and the five kinds of `--set`, merged in the order that Helm has.

use crate::values::set;
use crate::{Error, Values};
use goyaml::Expect;
use serde_json::Value;

/// The arguments of one command, each in the order given. The kind decides who wins, not the place on the command line:
/// files first, then `json`, `set`, `string`, `file` and `literal`, later ones over earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserValues {
    /// `-f`, `--values`: names of YAML files.
    pub files: Vec<String>,
    /// `--set-json`: `key=JSON` pairs, or a whole object.
    pub json: Vec<String>,
    /// `--set`: `key=value` pairs whose values are typed by their looks.
    pub set: Vec<String>,
    /// `--set-string`: the same, but all values are text.
    pub string: Vec<String>,
    /// `--set-file`: the same, but values are names of files whose content is meant.
    pub file: Vec<String>,
    /// `--set-literal`: one pair each, taken as it is.
    pub literal: Vec<String>,
}

impl UserValues {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == UserValues::default()
    }

    /// Merges everything into one mapping. Nulls stay: they are a wish to delete. `read` fetches a file by the name that
    /// the user gave (`-` is the standard input).
    ///
    /// Errors: [`Error::Values`] in Helm's words; what `read` reports is passed on.
    pub fn resolve(&self, mut read: impl FnMut(&str) -> Result<Vec<u8>, String>) -> Result<Values, Error> {
        let mut base = Values::new();
        for name in &self.files {
            let data = read(name).map_err(Error::Values)?;
            let values = parse(&data).map_err(|e| Error::Values(format!("failed to parse {name}: {e}")))?;
            base = merge(base, values);
        }
        for argument in &self.json {
            if argument.trim().starts_with('{') {
                let refused = || Error::Values(format!("failed parsing --set-json data JSON: {argument}"));
                let object: Value = serde_json::from_str(argument.trim()).map_err(|_| refused())?;
                match goyaml::with_float_numbers(object) {
                    Value::Object(map) => base = merge(base, map),
                    _ => return Err(refused()),
                }
            } else {
                set::json(argument, &mut base)
                    .map_err(|_| Error::Values(format!("failed parsing --set-json data {argument}")))?;
            }
        }
        let refused = |flag: &str, e: set::SetError| Error::Values(format!("failed parsing --{flag} data: {e}"));
        for argument in &self.set {
            set::typed(argument, &mut base).map_err(|e| refused("set", e))?;
        }
        for argument in &self.string {
            set::string(argument, &mut base).map_err(|e| refused("set-string", e))?;
        }
        for argument in &self.file {
            set::file(argument, &mut base, &mut read).map_err(|e| refused("set-file", e))?;
        }
        for argument in &self.literal {
            set::literal(argument, &mut base).map_err(|e| refused("set-literal", e))?;
        }
        Ok(base)
    }
}

/// How long a values file may be: 5 MiB, which versions 3.17 and 3.18 of Helm allowed for any file of a chart.
const MAX_VALUES: usize = 5 << 20;

/// Reads a values file: one or more YAML documents, later ones over earlier ones. All numbers are floats.
///
/// Errors: [`Error::Values`]: a document is not YAML or not a mapping.
pub fn parse(data: &[u8]) -> Result<Values, Error> {
    if data.len() > MAX_VALUES {
        return Err(Error::Values(format!("values are longer than {MAX_VALUES} bytes")));
    }
    let mut text = String::from_utf8_lossy(data);
    // As Helm does before it reads; the line that an error names may be the one after.
    if !text.is_empty() && !text.ends_with('\n') {
        text.to_mut().push('\n');
    }
    let mut values = Values::new();
    for_each_document(&text, |document| {
        let map = parse_document(document);
        let map = map.map_err(|e| Error::Values(format!("cannot unmarshal yaml document: {e}")))?;
        values = merge(std::mem::take(&mut values), map);
        Ok(())
    })?;
    Ok(values)
}

/// Reads one YAML document of values.
///
/// Errors: [`Error::Values`]: it is not YAML or not a mapping.
pub(crate) fn parse_document(text: &str) -> Result<Values, Error> {
    match goyaml::unmarshal_as(text, Expect::Map) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Ok(Values::new()),
        Err(e) => Err(Error::Values(e.in_conversion())),
    }
}

/// Splits at lines that start with three dashes, behind which only a comment may stand. What is wrong with a document comes
/// before what is wrong with a line behind it.
fn for_each_document(text: &str, mut each: impl FnMut(&str) -> Result<(), Error>) -> Result<(), Error> {
    let mut current = String::new();
    for line in text.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("---") {
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                return Err(Error::Values(format!(
                    "error reading yaml document: invalid Yaml document separator: {rest}"
                )));
            }
            if !current.is_empty() {
                each(&current)?;
                current.clear();
                continue;
            }
        }
        current.push_str(line);
    }
    if current.is_empty() { Ok(()) } else { each(&current) }
}

/// Lays `over` on `base`: mappings are merged at every depth, everything else is replaced.
pub fn merge(mut base: Values, over: Values) -> Values {
    for (key, value) in over {
        let merged = match (base.remove(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => Value::Object(merge(below, above)),
            (_, value) => value,
        };
        base.insert(key, merged);
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_thing_that_is_wrong_is_told() {
        let told = |text: &str| parse(text.as_bytes()).expect_err("wrong").to_string();
        assert!(told("1\n---\n---x").contains("cannot unmarshal number"));
        assert!(told("1\n---x").contains("invalid Yaml document separator: x"));
    }

    #[test]
    fn documents_are_merged() {
        let values = parse(b"---\na: {x: 1, y: 2}\n--- # next\na: {y: null}\nb: 0x10\n").expect("values");
        assert_eq!(Value::Object(values), json!({"a": {"x": 1.0, "true": null}, "b": 16.0}));
        assert!(parse(b"a: 1\n--- b\n").is_err());
        assert!(parse(b"- a\n").is_err());
        assert_eq!(parse(b""), Ok(Values::new()));
    }
}
