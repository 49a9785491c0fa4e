//! A quick answer to whether values satisfy a JSON schema.
//!
//! Nearly all values do, and then nobody asks for findings. So schemas are first asked here, where nothing is compiled:
//! the text is read into a light tree, its form is checked as its draft's own schema would, and the values are compared
//! with it. The answer is yes, no or undecided; whatever is not in the common subset of the drafts 7, 2019-09 and 2020-12
//! is undecided, and only a yes counts. Findings are the business of [`crate::schema`].

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use sprig::PlainRegexp;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

/// References deeper than this may be a circle.
const DEEPEST: usize = 128;
/// Definitions that use each other twice are many in the end.
const MOST_CHECKS: u32 = 1_000_000;
/// Whole numbers up to this are exact as floats.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether the schema is well formed and the values satisfy it; `false` when that is not so, or not easily told.
pub(crate) fn accepts(schema: &[u8], values: &Value) -> bool {
    if schema.len() > crate::schema::MAX_SCHEMA {
        return false;
    }
    let Ok(root) = serde_json::from_slice::<Node<'_>>(schema) else { return false };
    let Some(draft) = draft(&root) else { return false };
    let reader = Reader { root: &root, draft, left: Cell::new(MOST_CHECKS) };
    reader.is_schema(&root, true) && reader.satisfied(&root, values, 0) == Some(true)
}

/// JSON as it is read, keys in order.
enum Node<'t> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'t, str>),
    List(Vec<Node<'t>>),
    Map(Vec<(Cow<'t, str>, Node<'t>)>),
}

impl<'t> Node<'t> {
    fn get(&self, key: &str) -> Option<&Node<'t>> {
        let Node::Map(entries) = self else { return None };
        let at = entries.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&entries[at].1)
    }

    fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    fn list(&self) -> &[Node<'t>] {
        match self {
            Node::List(items) => items,
            _ => &[],
        }
    }

    fn map(&self) -> &[(Cow<'t, str>, Node<'t>)] {
        match self {
            Node::Map(entries) => entries,
            _ => &[],
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Node::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl<'de: 't, 't> Deserialize<'de> for Node<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node<'t>, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// A text, borrowed where it holds no escapes.
struct Key<'t>(Cow<'t, str>);

impl<'de: 't, 't> Deserialize<'de> for Key<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'t>, D::Error> {
        match deserializer.deserialize_str(NodeVisitor)? {
            Node::Text(text) => Ok(Key(text)),
            _ => Err(D::Error::custom("a key that is no text")),
        }
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Node<'de>, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node<'de>, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node<'de>, E> {
        exact(value).map(Node::Number).ok_or_else(|| E::custom("a number that is not exact"))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node<'de>, A::Error> {
        let mut map: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
        while let Some((Key(key), value)) = entries.next_entry::<Key<'de>, Node<'de>>()? {
            map.push((key, value));
        }
        map.sort_by(|(a, _), (b, _)| a.cmp(b));
        if map.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(A::Error::custom("a key that stands twice"));
        }
        Ok(Node::Map(map))
    }
}

fn exact(number: f64) -> Option<f64> {
    (number.abs() <= EXACT).then_some(number)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Draft {
    Seven,
    /// 2019-09 or 2020-12, which differ in nothing that is decided here.
    Later,
}

fn draft(root: &Node<'_>) -> Option<Draft> {
    let Some(named) = root.get("$schema") else { return Some(Draft::Later) };
    let name = named.text()?;
    let place = name.strip_prefix("http://").or_else(|| name.strip_prefix("https://"))?;
    match place.strip_suffix('#').unwrap_or(place) {
        "json-schema.org/draft-07/schema" => Some(Draft::Seven),
        "json-schema.org/draft/2019-09/schema" | "json-schema.org/draft/2020-12/schema" => Some(Draft::Later),
        _ => None,
    }
}

const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];

struct Reader<'r, 't> {
    root: &'r Node<'t>,
    draft: Draft,
    /// How many more schemas may be held against values.
    left: Cell<u32>,
}

impl<'r, 't> Reader<'r, 't> {
    /// Whether this is a well-formed schema that uses nothing but what is understood here.
    fn is_schema(&self, node: &Node<'t>, is_root: bool) -> bool {
        match node {
            Node::Bool(_) => true,
            Node::Map(entries) => {
                let reference_alone = self.draft == Draft::Later
                    || node.get("$ref").is_none()
                    || entries.iter().all(|(key, _)| matches!(&**key, "$ref" | "title" | "description" | "$comment"));
                reference_alone && entries.iter().all(|(key, value)| self.is_keyword(key, value, is_root))
            }
            _ => false,
        }
    }

    fn is_keyword(&self, key: &str, value: &Node<'t>, is_root: bool) -> bool {
        let schema = |node: &Node<'t>| self.is_schema(node, false);
        match key {
            "$schema" => is_root,
            "title" | "description" | "$comment" | "format" => value.text().is_some(),
            "examples" => matches!(value, Node::List(_)),
            "readOnly" | "writeOnly" | "deprecated" | "uniqueItems" => matches!(value, Node::Bool(_)),
            "default" => true,
            "type" => match value {
                Node::Text(name) => TYPES.contains(&&**name),
                names => is_set(names) && names.list().iter().all(|n| n.text().is_some_and(|n| TYPES.contains(&n))),
            },
            "const" => scalar(value),
            "enum" => is_set(value) && value.list().iter().all(scalar),
            "required" => {
                value.list().is_empty() && matches!(value, Node::List(_)) || {
                    is_set(value) && value.list().iter().all(|name| name.text().is_some())
                }
            }
            "properties" | "definitions" | "$defs" => {
                matches!(value, Node::Map(_)) && value.map().iter().all(|(_, node)| schema(node))
            }
            "patternProperties" => {
                let fits = |(key, node): &(Cow<'t, str>, Node<'t>)| PlainRegexp::new(key).is_some() && schema(node);
                matches!(value, Node::Map(_)) && value.map().iter().all(fits)
            }
            "additionalProperties" | "items" | "not" | "if" | "then" | "else" => schema(value),
            "allOf" | "anyOf" | "oneOf" => !value.list().is_empty() && value.list().iter().all(schema),
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
                value.number().is_some_and(|n| n >= 0.0 && n.fract() == 0.0)
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => value.number().is_some(),
            "pattern" => value.text().is_some_and(|pattern| PlainRegexp::new(pattern).is_some()),
            "$ref" => value.text().is_some_and(|name| self.target(name).is_some()),
            // Keywords of one draft or another that are not understood here.
            "multipleOf"
            | "additionalItems"
            | "prefixItems"
            | "contains"
            | "minContains"
            | "maxContains"
            | "propertyNames"
            | "dependencies"
            | "dependentRequired"
            | "dependentSchemas"
            | "unevaluatedItems"
            | "unevaluatedProperties"
            | "contentEncoding"
            | "contentMediaType"
            | "contentSchema" => false,
            key => !key.starts_with('$'),
        }
    }

    /// What a reference refers to: the whole schema, or one of its definitions.
    fn target(&self, reference: &str) -> Option<&'r Node<'t>> {
        let pointer = reference.strip_prefix('#')?;
        if pointer.is_empty() {
            return Some(self.root);
        }
        let (place, name) = pointer.strip_prefix('/')?.split_once('/')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let found = matches!(place, "definitions" | "$defs") && name.chars().all(plain);
        if found { self.root.get(place)?.get(name) } else { None }
    }

    /// Whether a value satisfies a schema that is well formed; `None` when it is hard to tell.
    fn satisfied(&self, schema: &Node<'t>, value: &Value, depth: usize) -> Option<bool> {
        let entries = match schema {
            Node::Bool(answer) => return Some(*answer),
            schema => schema.map(),
        };
        self.left.set(self.left.get().checked_sub(1)?);
        if depth > DEEPEST {
            return None;
        }
        for (key, wanted) in entries {
            if !self.keyword(schema, key, wanted, value, depth + 1)? {
                return Some(false);
            }
        }
        Some(true)
    }

    fn keyword(&self, schema: &Node<'t>, key: &str, wanted: &Node<'t>, value: &Value, depth: usize) -> Option<bool> {
        let number = || wanted.number().unwrap_or_default();
        let part = |part: &Node<'t>| self.satisfied(part, value, depth);
        Some(match key {
            "type" => match wanted {
                Node::Text(name) => is_type(value, name),
                names => names.list().iter().filter_map(Node::text).any(|name| is_type(value, name)),
            },
            "const" => equals(wanted, value)?,
            "enum" => any(wanted.list(), |one| equals(one, value))?,
            "$ref" => self.satisfied(self.target(wanted.text()?)?, value, depth)?,
            "not" => !part(wanted)?,
            "allOf" => all(wanted.list(), part)?,
            "anyOf" => any(wanted.list(), part)?,
            "oneOf" => {
                let mut count = 0;
                for one in wanted.list() {
                    count += usize::from(part(one)?);
                }
                count == 1
            }
            "if" => match schema.get(if part(wanted)? { "then" } else { "else" }) {
                Some(branch) => part(branch)?,
                None => true,
            },
            _ => match value {
                Value::Object(map) => match key {
                    "required" => wanted.list().iter().filter_map(Node::text).all(|name| map.contains_key(name)),
                    "minProperties" => map.len() as f64 >= number(),
                    "maxProperties" => map.len() as f64 <= number(),
                    "properties" => all(map, |(name, value)| match wanted.get(name) {
                        Some(schema) => self.satisfied(schema, value, depth),
                        None => Some(true),
                    })?,
                    "patternProperties" => all(map, |(name, value)| {
                        all(wanted.map(), |(pattern, schema)| {
                            match PlainRegexp::new(pattern)?.is_match(name.as_bytes())? {
                                true => self.satisfied(schema, value, depth),
                                false => Some(true),
                            }
                        })
                    })?,
                    "additionalProperties" => all(map, |(name, value)| match is_additional(schema, name)? {
                        true => self.satisfied(wanted, value, depth),
                        false => Some(true),
                    })?,
                    _ => true,
                },
                Value::Array(items) => match key {
                    "items" => all(items, |item| self.satisfied(wanted, item, depth))?,
                    "minItems" => items.len() as f64 >= number(),
                    "maxItems" => items.len() as f64 <= number(),
                    "uniqueItems" => matches!(wanted, Node::Bool(false)) || items.len() < 2 || return None,
                    _ => true,
                },
                Value::String(text) => match key {
                    "minLength" => text.chars().count() as f64 >= number(),
                    "maxLength" => text.chars().count() as f64 <= number(),
                    "pattern" => PlainRegexp::new(wanted.text()?)?.is_match(text.as_bytes())?,
                    // Draft 7 asserts formats.
                    "format" if self.draft == Draft::Seven => return None,
                    _ => true,
                },
                Value::Number(found) => {
                    let found = exact(found.as_f64()?)?;
                    match key {
                        "minimum" => found >= number(),
                        "maximum" => found <= number(),
                        "exclusiveMinimum" => found > number(),
                        "exclusiveMaximum" => found < number(),
                        _ => true,
                    }
                }
                Value::Null | Value::Bool(_) => true,
            },
        })
    }
}

/// Whether a property is neither listed nor matched by a pattern.
fn is_additional(schema: &Node<'_>, name: &str) -> Option<bool> {
    if schema.get("properties").is_some_and(|listed| listed.get(name).is_some()) {
        return Some(false);
    }
    let patterns = schema.get("patternProperties").map_or(&[][..], Node::map);
    any(patterns, |(pattern, _)| PlainRegexp::new(pattern)?.is_match(name.as_bytes())).map(|matched| !matched)
}

/// A list that is not empty and holds nothing twice; of scalars only.
fn is_set(node: &Node<'_>) -> bool {
    let same = |a: &Node<'_>, b: &Node<'_>| match (a, b) {
        (Node::Null, Node::Null) => true,
        (Node::Bool(a), Node::Bool(b)) => a == b,
        (Node::Number(a), Node::Number(b)) => a == b,
        (Node::Text(a), Node::Text(b)) => a == b,
        _ => false,
    };
    let items = node.list();
    !items.is_empty() && items.iter().enumerate().all(|(i, a)| !items[..i].iter().any(|b| same(a, b)))
}

fn scalar(node: &Node<'_>) -> bool {
    !matches!(node, Node::List(_) | Node::Map(_))
}

fn is_type(value: &Value, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(n) => {
            name == "number" || name == "integer" && (!n.is_f64() || n.as_f64().is_some_and(|n| n.fract() == 0.0))
        }
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

fn equals(scalar: &Node<'_>, value: &Value) -> Option<bool> {
    Some(match (scalar, value) {
        (Node::Null, Value::Null) => true,
        (Node::Bool(a), Value::Bool(b)) => a == b,
        (Node::Number(a), Value::Number(b)) => *a == exact(b.as_f64()?)?,
        (Node::Text(a), Value::String(b)) => a == b,
        _ => false,
    })
}

fn all<T>(items: impl IntoIterator<Item = T>, mut test: impl FnMut(T) -> Option<bool>) -> Option<bool> {
    for item in items {
        if !test(item)? {
            return Some(false);
        }
    }
    Some(true)
}

fn any<T>(items: impl IntoIterator<Item = T>, mut test: impl FnMut(T) -> Option<bool>) -> Option<bool> {
    for item in items {
        if test(item)? {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Log;
    use proptest::prelude::*;
    use serde_json::json;

    fn quickly(schema: &Value, values: &Value) -> bool {
        accepts(schema.to_string().as_bytes(), values)
    }

    #[test]
    fn common_schemas_are_decided() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}},
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {
                "a": {"$ref": "#/definitions/port"}, "b": {"enum": ["x", null]}, "c": {"pattern": "^[0-9]+%$"},
                "d": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
            },
        });
        assert!(quickly(&schema, &json!({"a": 80.0, "b": null, "c": "25%", "d": {"k": "v"}})));
        for bad in [
            json!({}),
            json!({"a": 0}),
            json!({"a": 1, "c": "x"}),
            json!({"a": 1, "d": {"k": 1}}),
            json!({"a": 1, "e": 1}),
        ] {
            assert!(!quickly(&schema, &bad), "{bad}");
        }
    }

    #[test]
    fn malformed_and_uncommon_schemas_are_not() {
        for schema in [
            json!({"type": "text"}),
            json!({"$ref": "#/definitions/none"}),
            json!({"properties": {"a": 1}}),
            json!({"required": ["a", "a"]}),
            json!({"$id": "urn:x"}),
            json!({"$schema": "http://json-schema.org/draft-04/schema#"}),
            json!({"contains": {}}),
            json!({"pattern": "(?=a)"}),
            json!({"$ref": "#"}),
            json!({"enum": []}),
            json!(1),
        ] {
            assert!(!quickly(&schema, &json!({})), "{schema}");
        }
        assert!(!accepts(b"{\"type\": \"object\", \"type\": \"object\"}", &json!({})));
        assert!(!accepts(b"{", &json!({})));
    }

    fn scalars() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!(null)),
            Just(json!(true)),
            Just(json!(0)),
            Just(json!(1.5)),
            Just(json!(3.0)),
            Just(json!(-2)),
            Just(json!("")),
            Just(json!("a")),
            Just(json!("ab1")),
            Just(json!([])),
            Just(json!({})),
        ]
    }

    fn instances() -> impl Strategy<Value = Value> {
        scalars().prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                proptest::collection::vec(("[ab]", inner), 0..3)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    fn schemas() -> impl Strategy<Value = Value> {
        let simple = prop_oneof![
            Just(json!(true)),
            Just(json!(false)),
            Just(json!({})),
            Just(json!({"$ref": "#/definitions/d"})),
            proptest::sample::select(TYPES).prop_map(|name| json!({"type": name})),
            Just(json!({"type": ["string", "null"]})),
            Just(json!({"minimum": 1})),
            Just(json!({"exclusiveMaximum": 3, "format": "ipv4"})),
            Just(json!({"maxLength": 1})),
            Just(json!({"pattern": "^[a-z]+$"})),
            Just(json!({"minItems": 1})),
            Just(json!({"required": ["a"]})),
            Just(json!({"maxProperties": 1})),
            Just(json!({"uniqueItems": true})),
            Just(json!({"enum": ["a", 3, null]})),
            Just(json!({"$ref": "#/definitions/d", "type": "string"})),
            scalars().prop_map(|value| json!({"const": value})),
        ];
        simple.prop_recursive(3, 24, 3, |inner| {
            let two = proptest::collection::vec(inner.clone(), 1..3);
            prop_oneof![
                (inner.clone(), inner.clone())
                    .prop_map(|(a, b)| json!({"properties": {"a": a}, "additionalProperties": b})),
                (inner.clone(), inner.clone())
                    .prop_map(|(a, b)| json!({"patternProperties": {"^a": a}, "additionalProperties": b})),
                inner.clone().prop_map(|a| json!({"items": a})),
                inner.clone().prop_map(|a| json!({"not": a})),
                two.clone().prop_map(|list| json!({"allOf": list})),
                two.clone().prop_map(|list| json!({"anyOf": list})),
                two.prop_map(|list| json!({"oneOf": list})),
                (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn whatever_is_accepted_is_valid(schema in schemas(), definition in schemas(), draft in 0..3, value in instances()) {
            let named = ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema", ""][draft as usize];
            let mut whole = json!({"definitions": {"d": definition}, "properties": {"v": schema}});
            if !named.is_empty() {
                whole["$schema"] = json!(named);
            }
            let values = json!({"v": value});
            if quickly(&whole, &values) {
                let found = crate::schema::findings(whole.to_string().as_bytes(), &values, &mut Log::default());
                prop_assert_eq!(found, Ok(()));
            }
        }
    }
}
