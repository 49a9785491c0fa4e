//! The objects that templates find at their root.

use crate::convert::to_go;
use crate::glob::Glob;
use crate::{File, Metadata, RenderOptions};
use gotemplate::{CallResult, List, Map, Method, NamedType, Object, Run, Signature, Str, Type, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The type of `.Values` and of the root itself, which is why `dig` refuses it.
pub(super) const VALUES: Type = Type::Named(&VALUES_TYPE);

static VALUES_TYPE: NamedType = NamedType {
    name: "common.Values",
    underlying: Type::ANY_MAP,
    methods: &[
        Method { name: "YAML", signature: Signature::fixed(&[]), call: values_yaml },
        Method { name: "AsMap", signature: Signature::fixed(&[]), call: values_as_map },
        Method { name: "Table", signature: Signature::fixed(&[Type::Str]), call: values_table },
        Method { name: "PathValue", signature: Signature::fixed(&[Type::Str]), call: values_path_value },
    ],
};

fn values_yaml(_: &mut Run<'_>, receiver: &Value, _: &[Value]) -> CallResult {
    let value = crate::convert::to_json(receiver).map_err(|e| e.to_string())?;
    Ok(Value::from(goyaml::to_yaml(&value).map_err(|e| e.to_string())?))
}

fn values_as_map(_: &mut Run<'_>, receiver: &Value, _: &[Value]) -> CallResult {
    let map = receiver.as_map().filter(|map| !map.is_empty());
    Ok(Value::Map(map.map_or_else(Map::new, |map| map.retyped(Type::ANY_MAP))))
}

/// The map at a path of names with dots between them.
fn table(values: &Map, path: &str) -> Result<Map, String> {
    path.split('.').try_fold(values.clone(), |map, name| match map.get(name) {
        Some(Value::Map(inner)) => Ok(inner),
        _ => Err(format!("{} is not a table", gotemplate::quote::quoted(name.as_bytes()))),
    })
}

fn values_table(_: &mut Run<'_>, receiver: &Value, args: &[Value]) -> CallResult {
    let (values, path) = (receiver.as_map().cloned().unwrap_or_default(), args[0].as_str().unwrap_or_default());
    Ok(Value::Map(table(&values, &path.lossy())?.retyped(VALUES)))
}

fn values_path_value(_: &mut Run<'_>, receiver: &Value, args: &[Value]) -> CallResult {
    let (values, path) = (receiver.as_map().cloned().unwrap_or_default(), args[0].as_str().unwrap_or_default());
    let path = path.lossy();
    if path.is_empty() {
        return Err("YAML path cannot be empty".into());
    }
    let (holder, name) = match path.rsplit_once('.') {
        Some((holder, name)) => (table(&values, holder).ok(), name),
        None => (Some(values), &*path),
    };
    match holder.and_then(|map| map.get(name)).filter(|value| !matches!(value, Value::Map(_))) {
        Some(value) => Ok(value),
        None => Err(format!("{} is not a value", gotemplate::quote::quoted(name.as_bytes())).into()),
    }
}

/// `.Release`
pub(super) fn release(options: &RenderOptions) -> Value {
    Value::Map(Map::from_iter([
        ("Name", Value::from(options.release_name.as_str())),
        ("Namespace", Value::from(options.namespace.as_str())),
        ("IsInstall", Value::Bool(options.is_install)),
        ("IsUpgrade", Value::Bool(options.is_upgrade)),
        ("Revision", Value::Int(options.revision)),
        ("Service", Value::from("Helm")),
    ]))
}

/// `.Template`
pub(super) fn template(name: &str, base: &str) -> Value {
    let entries = Map::from_iter([("Name", name), ("BasePath", base)]);
    Value::Map(entries.retyped(VALUES))
}

fn texts(list: &[String]) -> Value {
    Value::List(List::new(list.iter().map(|s| Value::from(s.as_str())).collect()))
}

/// `.Chart`: a map keyed by the names of Go's fields.
pub(super) fn metadata(metadata: &Metadata, is_root: bool) -> Value {
    let text = |s: &str| Value::from(s);
    let maintainers = metadata.maintainers.iter().map(|m| {
        Value::Map(Map::from_iter([("Name", text(&m.name)), ("Email", text(&m.email)), ("URL", text(&m.url))]))
    });
    let dependencies = metadata.dependencies.iter().map(|d| {
        Value::Map(Map::from_iter([
            ("Name", text(&d.name)),
            ("Version", text(&d.version)),
            ("Repository", text(&d.repository)),
            ("Condition", text(&d.condition)),
            ("Tags", texts(&d.tags)),
            ("Enabled", Value::Bool(d.enabled)),
            ("ImportValues", Value::List(List::new(d.import_values.iter().map(to_go).collect()))),
            ("Alias", text(&d.alias)),
        ]))
    });
    let annotations: BTreeMap<Str, Value> =
        metadata.annotations.iter().map(|(k, v)| (Str::from(k.as_str()), text(v))).collect();
    let annotations = match annotations.is_empty() {
        true => Map::nil(Type::STRING_MAP),
        false => Map::from_entries(Type::STRING_MAP, annotations),
    };
    Value::Map(Map::from_iter([
        ("Name", text(&metadata.name)),
        ("Home", text(&metadata.home)),
        ("Sources", texts(&metadata.sources)),
        ("Version", text(&metadata.version)),
        ("Description", text(&metadata.description)),
        ("Keywords", texts(&metadata.keywords)),
        ("Maintainers", Value::List(List::new(maintainers.collect()))),
        ("Icon", text(&metadata.icon)),
        ("APIVersion", text(&metadata.api_version)),
        ("Condition", text(&metadata.condition)),
        ("Tags", text(&metadata.tags)),
        ("AppVersion", text(&metadata.app_version)),
        ("Deprecated", Value::Bool(metadata.deprecated)),
        ("Annotations", Value::Map(annotations)),
        ("KubeVersion", text(&metadata.kube_version)),
        ("Dependencies", Value::List(List::new(dependencies.collect()))),
        ("Type", text(&metadata.r#type)),
        ("IsRoot", Value::Bool(is_root)),
    ]))
}

/// `.Files`: a map from names to bytes, with methods.
pub(super) fn files(files: &[File]) -> Value {
    let entries = files.iter().map(|f| (Str::from(f.name.as_str()), Value::Bytes(f.data.clone())));
    Value::Map(Map::from_entries(FILES, entries))
}

const FILES: Type = Type::Named(&FILES_TYPE);

static FILES_TYPE: NamedType = NamedType {
    name: "engine.files",
    underlying: Type::Map(&Type::BYTES),
    methods: &[
        Method { name: "Get", signature: Signature::fixed(&[Type::Str]), call: files_get },
        Method { name: "GetBytes", signature: Signature::fixed(&[Type::Str]), call: files_get_bytes },
        Method { name: "Glob", signature: Signature::fixed(&[Type::Str]), call: files_glob },
        Method { name: "Lines", signature: Signature::fixed(&[Type::Str]), call: files_lines },
        Method { name: "AsConfig", signature: Signature::fixed(&[]), call: files_as_config },
        Method { name: "AsSecrets", signature: Signature::fixed(&[]), call: files_as_secrets },
    ],
};

fn bytes_of(receiver: &Value, name: &Value) -> Arc<[u8]> {
    let found = receiver.as_map().and_then(|map| map.get(name.as_str().unwrap_or_default()));
    match found {
        Some(Value::Bytes(bytes)) => bytes,
        _ => Arc::from(&b""[..]),
    }
}

fn files_get_bytes(_: &mut Run<'_>, receiver: &Value, args: &[Value]) -> CallResult {
    Ok(Value::Bytes(bytes_of(receiver, &args[0])))
}

fn files_get(_: &mut Run<'_>, receiver: &Value, args: &[Value]) -> CallResult {
    Ok(Value::Str(Str::from(&*bytes_of(receiver, &args[0]))))
}

/// What a line in a list takes.
const LINE: usize = 48;

fn files_lines(run: &mut Run<'_>, receiver: &Value, args: &[Value]) -> CallResult {
    let bytes = bytes_of(receiver, &args[0]);
    if bytes.is_empty() {
        return Ok(Value::List(List::typed(Type::STRING_LIST, Vec::new())));
    }
    let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    run.work(bytes.len() as u64 / 8)?;
    run.claim(LINE * body.iter().filter(|b| **b == b'\n').count())?;
    Ok(Value::List(List::strings(body.split(|b| *b == b'\n').map(Str::from))))
}

fn files_glob(run: &mut Run<'_>, receiver: &Value, args: &[Value]) -> CallResult {
    let pattern = args[0].as_str().unwrap_or_default();
    // A pattern that does not parse matches everything.
    let glob = Glob::parse(&pattern.lossy());
    let entries = receiver.as_map().map(Map::entries).unwrap_or_default();
    // A pattern's stars multiply what comparing takes.
    run.work((entries.len() * (1 + pattern.len())) as u64)?;
    let kept = entries.into_iter().filter(|(name, _)| glob.as_ref().is_none_or(|g| g.matches(&name.lossy())));
    Ok(Value::Map(Map::from_entries(FILES, kept)))
}

fn flat_yaml(run: &mut Run<'_>, receiver: &Value, text: impl Fn(&[u8]) -> String) -> CallResult {
    run.survey(std::slice::from_ref(receiver))?;
    let mut flat = serde_json::Map::new();
    for (name, value) in receiver.as_map().map(Map::entries).unwrap_or_default() {
        if let Value::Bytes(bytes) = value {
            let name = name.lossy();
            let base = name.rsplit('/').next().unwrap_or(&name).to_string();
            flat.insert(base, serde_json::Value::String(text(&bytes)));
        }
    }
    let yaml = goyaml::to_yaml(&serde_json::Value::Object(flat)).unwrap_or_default();
    Ok(Value::from(yaml.strip_suffix('\n').unwrap_or(&yaml)))
}

fn files_as_config(run: &mut Run<'_>, receiver: &Value, _: &[Value]) -> CallResult {
    flat_yaml(run, receiver, |bytes| gotemplate::lossy(bytes).into_owned())
}

fn files_as_secrets(run: &mut Run<'_>, receiver: &Value, _: &[Value]) -> CallResult {
    use base64::Engine;
    flat_yaml(run, receiver, |bytes| base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// `.Capabilities`
pub(super) fn capabilities(options: &RenderOptions) -> Value {
    let own = &options.capabilities;
    let versions = own.api_versions.0.iter().map(|v| Value::from(v.as_str())).collect();
    let text = |s: &str| Value::from(s);
    Value::object(Record {
        named: &CAPABILITIES_TYPE,
        fields: vec![
            ("KubeVersion", Value::object(KubeVersionObject(own.kube_version.clone()))),
            ("APIVersions", Value::List(List::typed(Type::Named(&VERSION_SET_TYPE), versions))),
            (
                "HelmVersion",
                Value::object(Record {
                    named: &BUILD_INFO_TYPE,
                    fields: vec![
                        ("Version", text(&own.helm_version.version)),
                        ("GitCommit", text(&own.helm_version.git_commit)),
                        ("GitTreeState", text(&own.helm_version.git_tree_state)),
                        ("GoVersion", text(&own.helm_version.go_version)),
                        ("KubeClientVersion", text(&own.helm_version.kube_client_version)),
                    ],
                }),
            ),
        ],
    })
}

static CAPABILITIES_TYPE: NamedType = NamedType {
    name: "*common.Capabilities",
    underlying: Type::Pointer,
    methods: &[Method { name: "Copy", signature: Signature::fixed(&[]), call: |_, receiver, _| Ok(receiver.clone()) }],
};
static BUILD_INFO_TYPE: NamedType = NamedType { name: "version.BuildInfo", underlying: Type::Struct, methods: &[] };
static VERSION_SET_TYPE: NamedType = NamedType {
    name: "common.VersionSet",
    underlying: Type::STRING_LIST,
    methods: &[Method { name: "Has", signature: Signature::fixed(&[Type::Str]), call: version_set_has }],
};
static KUBE_VERSION_TYPE: NamedType = NamedType {
    name: "common.KubeVersion",
    underlying: Type::Struct,
    methods: &[
        Method { name: "String", signature: Signature::fixed(&[]), call: kube_version_string },
        Method { name: "GitVersion", signature: Signature::fixed(&[]), call: kube_version_git_version },
    ],
};

fn version_set_has(_: &mut Run<'_>, receiver: &Value, args: &[Value]) -> CallResult {
    let wanted = args[0].as_str();
    let items = receiver.to_items().unwrap_or_default();
    Ok(Value::Bool(items.iter().any(|item| item.as_str() == wanted)))
}

fn kube_version_string(_: &mut Run<'_>, receiver: &Value, _: &[Value]) -> CallResult {
    let version = receiver.downcast::<KubeVersionObject>();
    Ok(Value::from(version.map_or("", |v| v.0.normalized.as_str())))
}

fn kube_version_git_version(_: &mut Run<'_>, receiver: &Value, _: &[Value]) -> CallResult {
    let version = receiver.downcast::<KubeVersionObject>();
    Ok(Value::from(version.map_or("", |v| v.0.version.as_str())))
}

/// A struct without behaviour.
#[derive(Debug)]
struct Record {
    named: &'static NamedType,
    fields: Vec<(&'static str, Value)>,
}

impl Object for Record {
    fn named_type(&self) -> &'static NamedType {
        self.named
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        self.fields.clone()
    }

    fn copied(&self) -> Option<Value> {
        let copy = |value: &Value| match value {
            Value::Object(object) => object.copied().unwrap_or_else(|| value.clone()),
            other => other.clone(),
        };
        let fields = self.fields.iter().map(|(name, value)| (*name, copy(value))).collect();
        Some(Value::object(Record { named: self.named, fields }))
    }

    fn json_fields(&self) -> Vec<(&'static str, Value)> {
        if !std::ptr::eq(self.named, &BUILD_INFO_TYPE) {
            return self.fields();
        }
        // Here Go's JSON has names of its own, and leaves out what is empty.
        let names = ["version", "git_commit", "git_tree_state", "go_version", "kube_client_version"];
        let entries = names.into_iter().zip(self.fields.iter().map(|(_, value)| value.clone()));
        entries.filter(|(name, value)| value.truth() || *name == "kube_client_version").collect()
    }

    fn equals(&self, other: &dyn Object) -> bool {
        // There is one of each kind in a rendering.
        std::ptr::eq(self.named, other.named_type())
    }
}

/// `.Capabilities.KubeVersion`, whose own text form belongs to its address: an action prints the normalised version, a
/// function that gets a copy sees the bare struct.
#[derive(Debug)]
struct KubeVersionObject(crate::KubeVersion);

impl Object for KubeVersionObject {
    fn named_type(&self) -> &'static NamedType {
        &KUBE_VERSION_TYPE
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Version", Value::from(self.0.version.as_str())),
            ("Major", Value::from(self.0.major.as_str())),
            ("Minor", Value::from(self.0.minor.as_str())),
        ]
    }

    fn printed_fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields = self.fields();
        fields.insert(1, ("normalizedVersion", Value::from(self.0.normalized.as_str())));
        fields
    }

    fn text(&self) -> Option<String> {
        let v = &self.0;
        Some(format!("{{{} {} {} {}}}", v.version, v.normalized, v.major, v.minor))
    }

    fn addressed_text(&self) -> Option<String> {
        let v = &self.0;
        Some(if v.normalized.is_empty() { v.version.clone() } else { v.normalized.clone() })
    }

    fn copied(&self) -> Option<Value> {
        let copy = crate::KubeVersion { normalized: String::new(), ..self.0.clone() };
        Some(Value::object(KubeVersionObject(copy)))
    }

    fn equals(&self, other: &dyn Object) -> bool {
        std::ptr::eq(&KUBE_VERSION_TYPE, other.named_type())
    }
}
