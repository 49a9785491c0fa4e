//! `create`, `update` and `patch`.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use rand::RngExt;
use serde_json::{Map, Value, json};

use super::dispatch::{Call, json as answer_json};
use super::render::{self, View};
use super::{State, crd};
use crate::admit::{self, decode};
use crate::auth::User;
use crate::merge::managed::{self, Managers, Operation, Part, Writer, conflict_status};
use crate::merge::patch::{PatchType, patched};
use crate::merge::schema::Schema;
use crate::resource::Resource;
use crate::status::{ApiError, FieldError};
use crate::store::{Key, Stored, WriteError};

/// How often a write that lost a race is tried again when the client did not insist on a version.
const ATTEMPTS: usize = 16;

/// Who writes, and how.
pub(crate) struct Author<'a> {
    pub user: &'a User,
    pub writer: Writer,
    pub dry_run: bool,
}

impl<'a> Author<'a> {
    fn of(call: &'a Call, operation: Operation) -> Self {
        let writer = Writer {
            manager: call.field_manager(),
            operation,
            api_version: call.resource.api_version(),
            subresource: call.path.subresource.clone(),
        };
        Author { user: &call.user, writer, dry_run: call.dry_run() }
    }

    /// The server itself, for things it does on behalf of nobody.
    pub(crate) fn server(user: &'a User, resource: &Resource, dry_run: bool) -> Self {
        let writer = Writer {
            manager: "kube-apiserver".into(),
            operation: Operation::Update,
            api_version: resource.api_version(),
            subresource: String::new(),
        };
        Author { user, writer, dry_run }
    }
}

/// The merge schema of a resource.
pub(crate) fn schema(resource: &Resource) -> Schema<'_> {
    match &resource.custom {
        Some(custom) => Schema::CustomRoot(&custom.schema),
        None => Schema::of_kind(&resource.kind),
    }
}

pub(crate) fn uid() -> String {
    let mut bytes: [u8; 16] = rand::rng().random();
    // Version 4, variant 1 (RFC 9562).
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Five characters as the real server appends to `generateName`.
pub(crate) fn name_suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rng = rand::rng();
    (0..5).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

/// A write error in the API's words.
pub(crate) fn write_error(error: WriteError, resource: &Resource, name: &str) -> ApiError {
    match error {
        WriteError::Exists => ApiError::already_exists(resource, name),
        WriteError::Missing => ApiError::not_found(resource, name),
        WriteError::Changed => ApiError::modified(resource, name),
        WriteError::Log(error) => ApiError::internal(error),
    }
}

/// What a write can own besides the whole object.
fn main_part(resource: &Resource) -> Part {
    if resource.has("status") { Part::Main } else { Part::Whole }
}

fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(map) => map,
        // The assignment above made it an object.
        _ => unreachable!("metadata is an object"),
    }
}

fn named(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

// ---- create ----

pub(crate) fn create(call: &Call, body: &[u8]) -> Result<Response, ApiError> {
    let mut object = decode::object(body, &call.resource)?;
    let warnings = decode::check_fields(&call.resource, &mut object, call.query.get("fieldValidation"))?;
    let author = Author::of(call, Operation::Update);
    let created = create_object(&call.state, &call.resource, call.namespace(), object, &author)?;
    Ok(with_warnings(object_answer(call, &created, StatusCode::CREATED), &warnings))
}

fn object_answer(call: &Call, object: &Stored, code: StatusCode) -> Response {
    answer_json(code, render::object(object, &call.resource, View::of(call), call.state.now()))
}

fn with_warnings(mut response: Response, warnings: &[String]) -> Response {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append("warning", value);
        }
    }
    response
}

/// Creates an object that the server itself needs (namespaces, default roles); the resource is the preferred one of its kind.
pub(crate) fn create_internal(state: &State, object: Value) -> Result<Arc<Stored>, ApiError> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let catalogue = state.catalogue();
    let resource = catalogue.all().iter().find(|r| r.kind == kind && r.api_version() == api_version);
    let resource = resource.cloned().ok_or_else(ApiError::no_such_path)?;
    let key = Key::of(&object);
    if state.store.get(&resource.storage(), &key).is_some() {
        return Err(ApiError::already_exists(&resource, &key.name));
    }
    let namespace = key.namespace;
    let user = User::admin();
    create_object(state, &resource, &namespace, object, &Author::server(&user, &resource, false))
}

/// Creates an object: metadata, defaults, admission, validation, managed fields.
pub(crate) fn create_object(
    state: &State,
    resource: &Resource,
    namespace: &str,
    mut object: Value,
    author: &Author<'_>,
) -> Result<Arc<Stored>, ApiError> {
    let now = state.now_text();
    admit::metadata::check_namespace(state, resource, namespace, &mut object)?;
    let metadata = metadata_mut(&mut object);
    if metadata.get("resourceVersion").is_some_and(|v| v.as_str().is_some_and(|v| !v.is_empty())) {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation", "resourceVersion"] {
        metadata.shift_remove(field);
    }
    let claimed = metadata.shift_remove("managedFields").unwrap_or_default();
    let given = metadata.get("name").and_then(Value::as_str).filter(|n| !n.is_empty());
    let prefix = metadata.get("generateName").and_then(Value::as_str).filter(|p| !p.is_empty() && given.is_none());
    let generated = prefix.map(|p| format!("{p}{}", name_suffix()));
    if let Some(name) = generated {
        metadata.insert("name".into(), name.into());
    }
    metadata.insert("uid".into(), uid().into());
    metadata.insert("creationTimestamp".into(), now.clone().into());
    if resource.has_generation() {
        metadata.insert("generation".into(), 1.into());
    }
    if resource.has("status")
        && let Some(map) = object.as_object_mut()
        && !resource.is("", "nodes")
    {
        // The status of a new object is the server's to say. (Nodes are registered with theirs.)
        map.shift_remove("status");
    }
    admit::default(resource, &mut object);
    // The writer owns what it wrote and the defaults of that, but not what admission adds after this.
    let mut managers = Managers::default();
    if author.writer.operation == Operation::Apply {
        managers = Managers::parse(&claimed).unwrap_or_default();
    } else {
        managers.record_update(&json!({}), &object, &author.writer, main_part(resource), schema(resource), &now);
    }
    admit::create(state, resource, &mut object, author.user)?;
    decode::drop_nulls(&mut object);
    if !managers.is_empty() {
        metadata_mut(&mut object).insert("managedFields".into(), managers.to_json());
    }
    let name = named(&object).to_string();
    let key = Key::of(&object);
    if author.dry_run {
        if state.store.get(&resource.storage(), &key).is_some() {
            return Err(ApiError::already_exists(resource, &name));
        }
        return Ok(Arc::new(Stored::unsaved(object)));
    }
    let created = state.store.create(&resource.storage(), object).map_err(|e| write_error(e, resource, &name))?;
    after_write(state, resource, &created)?;
    Ok(created)
}

/// What follows from a write of some kinds.
fn after_write(state: &State, resource: &Resource, object: &Stored) -> Result<(), ApiError> {
    if resource.is("apiextensions.k8s.io", "customresourcedefinitions") {
        crd::refresh(state);
    }
    if resource.is("", "namespaces") && object.value()["metadata"]["deletionTimestamp"].is_null() {
        admit::namespace::furnish(state, &object.key.name)?;
    }
    Ok(())
}

// ---- update ----

pub(crate) fn update(call: &Call, body: &[u8]) -> Result<Response, ApiError> {
    let mut object = decode::object(body, &call.resource)?;
    let warnings = decode::check_fields(&call.resource, &mut object, call.query.get("fieldValidation"))?;
    admit::metadata::check_target(&call.resource, call.namespace(), call.name(), &mut object)?;
    let author = Author::of(call, Operation::Update);
    let updated =
        modify(&call.state, &call.resource, &call.key(), main_part(&call.resource), &author, |_| Ok(object.clone()))?;
    Ok(with_warnings(object_answer(call, &updated, StatusCode::OK), &warnings))
}

/// The part of an object that a path writes.
pub(crate) fn part_of(call: &Call) -> Part {
    if call.path.subresource == "status" { Part::Status } else { main_part(&call.resource) }
}

/// Reads, changes and writes an object; tries again when it lost a race and `change` did not insist on a version.
pub(crate) fn modify(
    state: &State,
    resource: &Resource,
    key: &Key,
    part: Part,
    author: &Author<'_>,
    change: impl Fn(&Value) -> Result<Value, ApiError>,
) -> Result<Arc<Stored>, ApiError> {
    for _ in 0..ATTEMPTS {
        let found = state.store.get(&resource.storage(), key);
        let live = found.ok_or_else(|| ApiError::not_found(resource, &key.name))?;
        let wanted = change(live.value())?;
        let new = prepare(state, resource, &live, wanted, part, author)?;
        if same_but_for_times(live.value(), &new) {
            return Ok(live);
        }
        if author.dry_run {
            return Ok(Arc::new(Stored::unsaved(new)));
        }
        match commit(state, resource, &live, new) {
            Err(WriteError::Changed) => {}
            Err(error) => return Err(write_error(error, resource, &key.name)),
            Ok(stored) => {
                after_write(state, resource, &stored)?;
                return Ok(stored);
            }
        }
    }
    Err(ApiError::modified(resource, &key.name))
}

/// Writes a new state; an object that is being deleted and has nothing left to wait for goes away.
pub(crate) fn commit(state: &State, resource: &Resource, live: &Stored, new: Value) -> Result<Arc<Stored>, WriteError> {
    let storage = resource.storage();
    if super::delete::is_finished(resource, &new) {
        return state.store.remove_as(&storage, &live.key, live.rv, Some(new));
    }
    state.store.update(&storage, live.rv, new)
}

/// Whether two objects are equal, one of their members being compared in a way of its own.
fn equal_but(a: &Value, b: &Value, member: &str, equal: impl Fn(&Value, &Value) -> bool) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    let same = |name: &String, a: &Value, b: &Value| if name == member { equal(a, b) } else { a == b };
    a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(name, value, other)))
}

fn same_but_for_times(live: &Value, new: &Value) -> bool {
    let entries = |a: &Value, b: &Value| {
        let (Value::Array(a), Value::Array(b)) = (a, b) else { return a == b };
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_but(a, b, "time", |_, _| true))
    };
    equal_but(live, new, "metadata", |a, b| equal_but(a, b, "managedFields", entries))
}

fn check_versions(resource: &Resource, live: &Stored, new: &Value) -> Result<(), ApiError> {
    let name = &live.key.name;
    let given = |k: &str| new["metadata"][k].as_str().filter(|v| !v.is_empty());
    if let Some(uid) = given("uid")
        && live.value()["metadata"]["uid"].as_str() != Some(uid)
    {
        let have = live.value()["metadata"]["uid"].as_str().unwrap_or_default();
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {have}");
        return Err(ApiError::conflict(resource, name, why));
    }
    match given("resourceVersion") {
        Some(version) if version != live.rv.to_string() => Err(ApiError::modified(resource, name)),
        Some(_) => Ok(()),
        None if resource.custom.is_some() || resource.is("coordination.k8s.io", "leases") => {
            let error = FieldError::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            Err(ApiError::invalid(resource, name, &[error]))
        }
        None => Ok(()),
    }
}

/// The new state of an object: what the client may change from `wanted`, the rest from `live`.
fn prepare(
    state: &State,
    resource: &Resource,
    live: &Stored,
    mut wanted: Value,
    part: Part,
    author: &Author<'_>,
) -> Result<Value, ApiError> {
    check_versions(resource, live, &wanted)?;
    let now = state.now_text();
    let claimed = metadata_mut(&mut wanted).shift_remove("managedFields");
    let mut new = match part {
        Part::Status => {
            let mut new = live.value().clone();
            new["status"] = wanted.get("status").cloned().unwrap_or_else(|| json!({}));
            new
        }
        Part::Main | Part::Whole => {
            let mut new = wanted;
            new["apiVersion"] = live.value()["apiVersion"].clone();
            new["kind"] = live.value()["kind"].clone();
            if let (Part::Main, Some(map)) = (part, new.as_object_mut()) {
                match live.value().get("status") {
                    Some(status) => map.insert("status".into(), status.clone()),
                    None => map.shift_remove("status"),
                };
            }
            admit::metadata::keep_identity(resource, live.value(), &mut new)?;
            new
        }
    };
    if part != Part::Status {
        admit::default(resource, &mut new);
    }
    let managers = if author.writer.operation == Operation::Apply {
        claimed.as_ref().and_then(Managers::parse).unwrap_or_default()
    } else {
        let mut managers = base_managers(live, claimed.as_ref(), part);
        managers.record_update(live.value(), &new, &author.writer, part, schema(resource), &now);
        managers
    };
    admit::update(state, resource, live.value(), &mut new, part, author.user)?;
    // Merges and reading by index leave nulls behind, which mean nothing.
    decode::drop_nulls(&mut new);
    if part != Part::Status && resource.has_generation() && admit::metadata::spec_changed(resource, live.value(), &new)
    {
        let generation = live.value()["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        metadata_mut(&mut new).insert("generation".into(), generation.into());
    }
    let metadata = metadata_mut(&mut new);
    metadata.shift_remove("managedFields");
    if !managers.is_empty() {
        metadata.insert("managedFields".into(), managers.to_json());
    }
    Ok(new)
}

/// The managers that an update starts from: the live ones, unless the client sent others.
fn base_managers(live: &Stored, claimed: Option<&Value>, part: Part) -> Managers {
    match claimed.and_then(Value::as_array).map(Vec::as_slice) {
        // An empty list, or a list of one empty entry, is how clients reset the managers.
        Some([]) => Managers::default(),
        Some([one]) if one.as_object().is_some_and(Map::is_empty) => Managers::default(),
        Some(_) if part != Part::Status => {
            claimed.and_then(Managers::parse).unwrap_or_else(|| Managers::of(live.value()))
        }
        _ => Managers::of(live.value()),
    }
}

// ---- patch ----

/// A patch's body.
pub(crate) fn parse_patch(call: &Call, body: &Bytes) -> Result<(PatchType, Value), ApiError> {
    let content_type = call.header(CONTENT_TYPE);
    const TYPES: &str = "application/json-patch+json, application/merge-patch+json, \
         application/strategic-merge-patch+json, application/apply-patch+yaml";
    let kind = PatchType::from_content_type(content_type).ok_or_else(|| ApiError::unsupported_media_type(TYPES))?;
    if kind == PatchType::Strategic && call.resource.custom.is_some() {
        return Err(ApiError::unsupported_media_type(
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        ));
    }
    let patch = serde_json::from_slice(body).map_err(|e| match kind {
        PatchType::Apply => ApiError::bad_request(format!(
            "error decoding YAML: {e} (this server reads apply configurations in JSON form only)"
        )),
        _ => ApiError::bad_request(format!("error decoding patch: {e}")),
    })?;
    Ok((kind, patch))
}

pub(crate) fn patch(call: &Call, body: &Bytes) -> Result<Response, ApiError> {
    let (kind, mut patch) = parse_patch(call, body)?;
    let validation = call.query.get("fieldValidation");
    let mut warnings = Vec::new();
    if kind == PatchType::Apply {
        warnings = decode::check_fields(&call.resource, &mut patch, validation)?;
        let (object, created) = apply(call, patch)?;
        let code = if created { StatusCode::CREATED } else { StatusCode::OK };
        return Ok(with_warnings(object_answer(call, &object, code), &warnings));
    }
    let author = Author::of(call, Operation::Update);
    let seen = std::sync::Mutex::new(&mut warnings);
    let object = modify(&call.state, &call.resource, &call.key(), part_of(call), &author, |live| {
        let mut new = patched(live, &patch, kind, schema(&call.resource))?;
        let found = decode::check_fields(&call.resource, &mut new, validation)?;
        **seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = found;
        admit::metadata::check_target(&call.resource, call.namespace(), call.name(), &mut new)?;
        Ok(new)
    })?;
    Ok(with_warnings(object_answer(call, &object, StatusCode::OK), &warnings))
}

/// Server-side apply; says whether the object is new.
fn apply(call: &Call, mut config: Value) -> Result<(Arc<Stored>, bool), ApiError> {
    let resource = &call.resource;
    if call.query.get("fieldManager").is_none() {
        let message =
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
        return Err(ApiError::new(422, "Invalid", message));
    }
    if config["metadata"]["managedFields"].as_array().is_some_and(|m| !m.is_empty()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    decode::check_kind(&config, resource)?;
    admit::metadata::check_target(resource, call.namespace(), call.name(), &mut config)?;
    if resource.is("", "secrets") {
        decode::fold_string_data(&mut config);
    }
    let author = Author::of(call, Operation::Apply);
    let force = call.query.flag("force");
    let part = part_of(call);
    let now = call.state.now_text();
    let conflicts = |conflicts: Vec<managed::Conflict>| {
        let (message, causes) = conflict_status(&conflicts);
        ApiError { details: json!({"causes": causes}), ..ApiError::new(409, "Conflict", message) }
    };
    for _ in 0..ATTEMPTS {
        if call.state.store.get(&resource.storage(), &call.key()).is_some() || part == Part::Status {
            let updated = modify(&call.state, resource, &call.key(), part, &author, |live| {
                let mut base = live.clone();
                let version = base["metadata"]["resourceVersion"].take();
                let mut new = managed::apply(&base, &config, &author.writer, part, force, schema(resource), &now)
                    .map_err(conflicts)?;
                if new["metadata"]["resourceVersion"].is_null() {
                    new["metadata"]["resourceVersion"] = version;
                }
                Ok(new)
            });
            match updated {
                Err(error) if error.reason == "NotFound" && part != Part::Status => continue,
                other => return other.map(|object| (object, false)),
            }
        }
        if config["metadata"]["uid"].is_string() {
            let why = "uid mismatch: the provided object specified uid, and no existing object was found";
            return Err(ApiError::conflict(resource, call.name(), why));
        }
        let identity = json!({"metadata": {}});
        let object = managed::apply(&identity, &config, &author.writer, part, force, schema(resource), &now)
            .map_err(conflicts)?;
        match create_object(&call.state, resource, call.namespace(), object, &author) {
            Err(error) if error.reason == "AlreadyExists" => {}
            other => return other.map(|object| (object, true)),
        }
    }
    Err(ApiError::modified(resource, call.name()))
}

/// `PUT` and `PATCH` of `…/status`.
pub(crate) fn write_status(call: &Call, body: &Bytes) -> Result<Response, ApiError> {
    if call.verb == "patch" {
        return patch(call, body);
    }
    let mut object = decode::object(body, &call.resource)?;
    admit::metadata::check_target(&call.resource, call.namespace(), call.name(), &mut object)?;
    let author = Author::of(call, Operation::Update);
    let updated = modify(&call.state, &call.resource, &call.key(), Part::Status, &author, |_| Ok(object.clone()))?;
    Ok(object_answer(call, &updated, StatusCode::OK))
}
