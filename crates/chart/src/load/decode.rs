//! `Chart.yaml` and its kin as Go decodes them: numbers and booleans become text where text is expected, unknown keys are
//! ignored, keys match in any case.

use crate::{Dependency, Error, Lock, Maintainer, Metadata};
use goyaml::number::go_float32;
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// Where in which file decoding stands, for its complaints.
struct Reader<'a> {
    file: &'a str,
}

/// `apiVersion` alone, to tell which kind of chart this is.
pub(super) fn api_version(data: &[u8]) -> Result<String, Error> {
    let reader = Reader { file: "Chart.yaml" };
    let object = reader.object(data, "loader.chartBase")?;
    Ok(reader.text(&object, "chartBase", "apiVersion")?.unwrap_or_default())
}

/// Reads `Chart.yaml` or `requirements.yaml` into `metadata`; what the file does not mention stays.
pub(super) fn metadata(data: &[u8], file: &str, metadata: &mut Metadata) -> Result<(), Error> {
    let reader = Reader { file };
    let object = reader.object(data, "v2.Metadata")?;
    let fields: [(&str, &mut String); 11] = [
        ("name", &mut metadata.name),
        ("home", &mut metadata.home),
        ("version", &mut metadata.version),
        ("description", &mut metadata.description),
        ("icon", &mut metadata.icon),
        ("apiVersion", &mut metadata.api_version),
        ("condition", &mut metadata.condition),
        ("tags", &mut metadata.tags),
        ("appVersion", &mut metadata.app_version),
        ("kubeVersion", &mut metadata.kube_version),
        ("type", &mut metadata.r#type),
    ];
    for (name, field) in fields {
        if let Some(text) = reader.text(&object, "Metadata", name)? {
            *field = text;
        }
    }
    if let Some(list) = reader.texts(&object, "Metadata", "sources")? {
        metadata.sources = list;
    }
    if let Some(list) = reader.texts(&object, "Metadata", "keywords")? {
        metadata.keywords = list;
    }
    match get(&object, "deprecated") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(b)) => metadata.deprecated = *b,
        Some(other) => return Err(reader.mismatch(other, "Metadata.deprecated", "bool")),
    }
    match get(&object, "annotations") {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            for key in map.keys() {
                let text = reader.text(map, "Metadata.annotations", key)?.unwrap_or_default();
                metadata.annotations.insert(key.clone(), text);
            }
        }
        Some(other) => return Err(reader.mismatch(other, "Metadata.annotations", "map[string]string")),
    }
    match get(&object, "maintainers") {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) => {
            metadata.maintainers = items.iter().map(|item| reader.maintainer(item)).collect::<Result<_, _>>()?;
        }
        Some(other) => return Err(reader.mismatch(other, "Metadata.maintainers", "[]*v2.Maintainer")),
    }
    if let Some(list) = reader.dependencies(&object, "Metadata")? {
        metadata.dependencies = list;
    }
    Ok(())
}

/// Reads `Chart.lock` or `requirements.lock`.
pub(super) fn lock(data: &[u8], file: &str) -> Result<Lock, Error> {
    let reader = Reader { file };
    let object = reader.object(data, "v2.Lock")?;
    Ok(Lock {
        generated: reader.text(&object, "Lock", "generated")?.unwrap_or_default(),
        digest: reader.text(&object, "Lock", "digest")?.unwrap_or_default(),
        dependencies: reader.dependencies(&object, "Lock")?.unwrap_or_default(),
    })
}

fn get<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

impl Reader<'_> {
    fn object(&self, data: &[u8], go_type: &str) -> Result<Object, Error> {
        let text = String::from_utf8_lossy(data);
        match goyaml::parse(&text) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(Value::Null) => Ok(Object::new()),
            Ok(other) => Err(Error::Load(format!(
                "cannot load {}: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of \
                 type {go_type}",
                self.file,
                json_kind(&other)
            ))),
            Err(e) => Err(Error::Load(format!("cannot load {}: {}", self.file, e.in_conversion()))),
        }
    }

    fn mismatch(&self, found: &Value, field: &str, go_type: &str) -> Error {
        Error::Load(format!(
            "cannot load {}: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go struct field \
             {field} of type {go_type}",
            self.file,
            json_kind(found)
        ))
    }

    fn text(&self, object: &Object, of: &str, name: &str) -> Result<Option<String>, Error> {
        match get(object, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.as_text(value, &format!("{of}.{name}")).map(Some),
        }
    }

    fn as_text(&self, value: &Value, field: &str) -> Result<String, Error> {
        Ok(match value {
            Value::String(s) => s.clone(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) if n.is_f64() => go_float32(n.as_f64().unwrap_or(0.0)),
            Value::Number(n) => n.to_string(),
            Value::Null => String::new(),
            other => return Err(self.mismatch(other, field, "string")),
        })
    }

    fn texts(&self, object: &Object, of: &str, name: &str) -> Result<Option<Vec<String>>, Error> {
        let field = format!("{of}.{name}");
        match get(object, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => {
                items.iter().map(|item| self.as_text(item, &field)).collect::<Result<_, _>>().map(Some)
            }
            Some(other) => Err(self.mismatch(other, &field, "[]string")),
        }
    }

    fn maintainer(&self, item: &Value) -> Result<Maintainer, Error> {
        let text = |map: &Object, name: &str| Ok(self.text(map, "Maintainer", name)?.unwrap_or_default());
        match item {
            Value::Object(map) => {
                Ok(Maintainer { name: text(map, "name")?, email: text(map, "email")?, url: text(map, "url")? })
            }
            Value::Null => Err(Error::Validation("maintainers must not contain empty or null nodes".into())),
            other => Err(self.mismatch(other, "Metadata.maintainers", "v2.Maintainer")),
        }
    }

    fn dependencies(&self, object: &Object, of: &str) -> Result<Option<Vec<Dependency>>, Error> {
        let field = format!("{of}.dependencies");
        match get(object, "dependencies") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => {
                items.iter().map(|item| self.dependency(item, &field)).collect::<Result<_, _>>().map(Some)
            }
            Some(other) => Err(self.mismatch(other, &field, "[]*v2.Dependency")),
        }
    }

    fn dependency(&self, item: &Value, field: &str) -> Result<Dependency, Error> {
        let map = match item {
            Value::Object(map) => map,
            Value::Null => {
                return Err(Error::Validation("dependencies must not contain empty or null nodes".into()));
            }
            other => return Err(self.mismatch(other, field, "v2.Dependency")),
        };
        let text = |name: &str| Ok(self.text(map, "Dependency", name)?.unwrap_or_default());
        Ok(Dependency {
            name: text("name")?,
            version: text("version")?,
            repository: text("repository")?,
            condition: text("condition")?,
            tags: self.texts(map, "Dependency", "tags")?.unwrap_or_default(),
            enabled: get(map, "enabled").and_then(Value::as_bool).unwrap_or(false),
            import_values: match get(map, "import-values") {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(items)) => items.iter().cloned().map(goyaml::with_float_numbers).collect(),
                Some(other) => return Err(self.mismatch(other, "Dependency.import-values", "[]interface {}")),
            },
            alias: text("alias")?,
        })
    }
}

fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
