//! The fields of the built-in kinds: reading protobuf bodies and checking JSON bodies need them.

pub(crate) mod check;
pub(crate) mod protobuf;

use std::collections::HashMap;
use std::sync::OnceLock;

const TABLE: &str = include_str!("table.txt");

/// The kind of a field's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Boolean,
    Float,
    Bytes,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    /// Any JSON.
    Raw,
    /// A message that is a list in JSON.
    Wrapped(Box<Kind>),
    List(Box<Kind>),
    Map(Box<Kind>),
    Type(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub number: u32,
    /// Name in JSON.
    pub name: &'static str,
    /// The fields of the value stand in the parent.
    pub inline: bool,
    /// Written in JSON even when zero.
    pub always: bool,
    /// Absent and zero are different.
    pub pointer: bool,
    pub kind: Kind,
}

#[derive(Debug, Default)]
pub(crate) struct Types {
    types: HashMap<&'static str, Vec<Field>>,
    /// Type name by API version and kind.
    kinds: HashMap<(&'static str, &'static str), &'static str>,
}

fn kind(text: &'static str) -> Kind {
    if let Some(rest) = text.strip_prefix("[]") {
        return Kind::List(Box::new(kind(rest)));
    }
    if let Some(rest) = text.strip_prefix("map:") {
        return Kind::Map(Box::new(kind(rest)));
    }
    if let Some(rest) = text.strip_prefix("{}") {
        return Kind::Wrapped(Box::new(kind(rest)));
    }
    match text.trim_start_matches('*') {
        "s" => Kind::Text,
        "i" => Kind::Integer,
        "b" => Kind::Boolean,
        "f" => Kind::Float,
        "y" => Kind::Bytes,
        "Q" => Kind::Quantity,
        "I" => Kind::IntOrString,
        "T" => Kind::Time,
        "M" => Kind::MicroTime,
        "R" | "F" => Kind::Raw,
        name => Kind::Type(name),
    }
}

/// The table, parsed once.
pub(crate) fn types() -> &'static Types {
    static PARSED: OnceLock<Types> = OnceLock::new();
    PARSED.get_or_init(|| {
        let mut out = Types::default();
        let mut current = "";
        for line in TABLE.lines().filter(|l| !l.starts_with('#')) {
            let words: Vec<&'static str> = line.split_whitespace().collect();
            match (line.starts_with(' '), words.as_slice()) {
                (false, [name, api_version @ ..]) => {
                    current = name;
                    out.types.entry(current).or_default();
                    if let ([api_version], Some((_, kind))) = (api_version, name.split_once('.')) {
                        out.kinds.insert((api_version, kind), name);
                    }
                }
                (true, [number, name, shape]) => {
                    let field = Field {
                        number: number.parse().unwrap_or(0),
                        name: name.trim_end_matches('!'),
                        inline: *name == "^",
                        always: name.ends_with('!'),
                        pointer: shape.starts_with('*'),
                        kind: kind(shape),
                    };
                    out.types.entry(current).or_default().push(field);
                }
                _ => {}
            }
        }
        out
    })
}

impl Types {
    /// The type of an object by its API version and kind.
    pub(crate) fn of(&self, api_version: &str, kind: &str) -> Option<&'static str> {
        self.kinds.iter().find(|((a, k), _)| *a == api_version && *k == kind).map(|(_, name)| *name)
    }

    pub(crate) fn fields(&self, name: &str) -> &[Field] {
        self.types.get(name).map_or(&[], Vec::as_slice)
    }

    /// The field with a JSON name, also among those of inlined types.
    pub(crate) fn field(&self, owner: &str, name: &str) -> Option<&Field> {
        let fields = self.fields(owner);
        fields.iter().find(|f| !f.inline && f.name == name).or_else(|| {
            fields.iter().filter(|f| f.inline).find_map(|f| match &f.kind {
                Kind::Type(inner) => self.field(inner, name),
                _ => None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_a_field_names_is_there() {
        fn named(kind: &Kind) -> Option<&'static str> {
            match kind {
                Kind::Type(name) => Some(name),
                Kind::List(inner) | Kind::Map(inner) | Kind::Wrapped(inner) => named(inner),
                _ => None,
            }
        }
        let types = types();
        for (owner, fields) in &types.types {
            for field in fields {
                assert!(field.number > 0, "{owner}.{}", field.name);
                if let Some(name) = named(&field.kind) {
                    assert!(types.types.contains_key(name), "{owner}.{} is a {name}", field.name);
                }
            }
        }
        assert_eq!(types.of("batch/v1", "Job"), Some("batchv1.Job"));
        assert!(types.field("corev1.Volume", "hostPath").is_some(), "inlined");
    }

    #[test]
    fn most_built_in_kinds_are_there() {
        let missing: Vec<String> = crate::builtin::resources()
            .iter()
            .filter(|r| types().of(&r.api_version(), &r.kind).is_none())
            .map(|r| r.kind.clone())
            .collect();
        // These two groups are only ever written as JSON by their clients.
        assert_eq!(missing, ["CustomResourceDefinition", "APIService"]);
    }
}
