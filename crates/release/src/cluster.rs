//! The Kubernetes API as this crate uses it: JSON in, JSON out, a small cache of what kinds there are, and patience.
//!
//! Installing a container runtime can take the API server away for half a minute (it may run on the node whose runtime
//! restarts), so that every request here is tried again until [`Cluster::patience`] has passed. All of them may be
//! repeated: reads, applies, replacements that name a resource version, deletions.

use crate::error::{Error, Result};
use crate::event::{Event, Progress};
use crate::object::ObjectId;
use crate::parallel::side_by_side;
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use http::{Method, Request};
use kube::core::WatchEvent;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The field manager under which objects are applied unless another is chosen: Helm's.
pub const FIELD_MANAGER: &str = "helm";

const REQUEST_LIMIT: Duration = Duration::from_secs(60);
const PAGE: usize = 500;
const PATCH_APPLY: &str = "application/apply-patch+yaml";
const PATCH_MERGE: &str = "application/merge-patch+json";
const PATCH_JSON: &str = "application/json-patch+json";

/// A kind that the cluster serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// `apps/v1`, `v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: String,
    /// Do its objects live in namespaces?
    pub namespaced: bool,
}

impl Resource {
    pub(crate) fn path(&self, namespace: &str) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/{}/namespaces/{}/{}", self.api_version, segment(namespace), self.plural)
        } else {
            format!("{root}/{}/{}", self.api_version, self.plural)
        }
    }

    fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.path(namespace), segment(name))
    }
}

/// How deletion treats what the object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cascade {
    /// The object goes at once, what it owns follows.
    #[default]
    Background,
    /// What it owns goes first.
    Foreground,
    /// What it owns stays.
    Orphan,
}

impl Cascade {
    const fn as_str(self) -> &'static str {
        match self {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        }
    }
}

/// A connection to a cluster. Clones share the cache.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: kube::Client,
    kinds: Arc<Mutex<HashMap<String, Vec<Resource>>>>,
    /// Who owns the fields that are applied.
    pub field_manager: String,
    /// For how long a silent API server is waited for.
    pub patience: Duration,
    /// Who hears of it.
    pub progress: Progress,
}

impl Cluster {
    /// Wraps a client.
    pub fn new(client: kube::Client) -> Self {
        Cluster {
            client,
            kinds: Arc::default(),
            field_manager: FIELD_MANAGER.to_owned(),
            patience: Duration::from_secs(120),
            progress: Progress::default(),
        }
    }

    /// Asks for the version once, without patience: can this cluster be reached at all?
    pub async fn version(&self) -> Result<Value> {
        match self.once(&request(Method::GET, "/version", &[], None, vec![])?).await {
            Err(Error::Api { code, message, .. }) if code >= 500 => Err(Error::Unreachable(message)),
            other => other,
        }
    }

    /// Returns the served kind for an `apiVersion` and `kind`, or nothing when there is none.
    pub async fn resource(&self, api_version: &str, kind: &str) -> Result<Option<Resource>> {
        if let Some(found) = self.cached(api_version, kind) {
            return Ok(Some(found));
        }
        // Not known, or added since: a CRD of this very release, most likely.
        self.discover(api_version).await?;
        Ok(self.cached(api_version, kind))
    }

    fn cached(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.get(api_version)?.iter().find(|resource| resource.kind == kind).cloned()
    }

    async fn discover(&self, api_version: &str) -> Result<()> {
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        let answer = match self.json(request(Method::GET, &format!("{root}/{api_version}"), &[], None, vec![])?).await {
            Err(error) if error.is_not_found() => json!({}),
            other => other?,
        };
        let resources = answer["resources"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let plural = entry["name"].as_str()?;
                (!plural.contains('/')).then(|| Resource {
                    api_version: api_version.to_owned(),
                    kind: entry["kind"].as_str().unwrap_or_default().to_owned(),
                    plural: plural.to_owned(),
                    namespaced: entry["namespaced"].as_bool().unwrap_or(false),
                })
            })
            .collect();
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(api_version.to_owned(), resources);
        Ok(())
    }

    /// Returns what templates may ask of a cluster: its version and every `group/version` and `group/version/Kind`.
    pub async fn capabilities(&self) -> Result<(Value, Vec<String>)> {
        let version = self.version().await?;
        let mut groups = vec!["v1".to_owned()];
        let answer = self.json(request(Method::GET, "/apis", &[], None, vec![])?).await?;
        for group in answer["groups"].as_array().into_iter().flatten() {
            let versions = group["versions"].as_array().into_iter().flatten();
            groups.extend(versions.filter_map(|version| version["groupVersion"].as_str().map(str::to_owned)));
        }
        let mut tasks = Vec::new();
        for group in &groups {
            tasks.push(self.discover(group).boxed());
        }
        for answer in side_by_side(tasks).await {
            match answer {
                // A group whose extension server is down must not stop an installation that does not need it.
                Err(Error::Api { code, .. }) if code >= 500 => {}
                other => other?,
            }
        }
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = groups.clone();
        for group in &groups {
            let mut served: Vec<String> =
                kinds.get(group).into_iter().flatten().map(|kind| format!("{group}/{}", kind.kind)).collect();
            served.dedup();
            names.extend(served);
        }
        Ok((version, names))
    }

    /// Reads an object.
    pub async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Option<Value>> {
        let path = resource.object_path(namespace, name);
        match self.json(request(Method::GET, &path, &[], None, vec![])?).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists objects page by page; the list's own metadata is that of the last page.
    pub async fn list(&self, resource: &Resource, namespace: &str, selector: &Selector) -> Result<List> {
        let mut list = List::default();
        let accumulate = |first, mut page: List| {
            if first {
                list = List::default();
            }
            list.items.append(&mut page.items);
            list.resource_version = page.resource_version;
        };
        self.pages(resource, namespace, selector, JSON, accumulate).await?;
        Ok(list)
    }

    /// Lists the metadata of objects alone, whatever room they take.
    pub async fn list_metadata(&self, resource: &Resource, namespace: &str, selector: &Selector) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let accumulate = |first, mut page: List| {
            if first {
                items.clear();
            }
            items.append(&mut page.items);
        };
        self.pages(resource, namespace, selector, METADATA, accumulate).await?;
        Ok(items)
    }

    /// Gives the objects of a list to `each`, page by page. `true` marks the first page: it comes again when the server
    /// forgot the moment of the list on the way.
    async fn pages(
        &self,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
        accept: &'static str,
        mut each: impl FnMut(bool, List) + Send,
    ) -> Result<()> {
        let mut next = String::new();
        let mut paged = true;
        loop {
            let mut query = selector.query();
            if paged {
                query.push(("limit", PAGE.to_string()));
            }
            if !next.is_empty() {
                query.push(("continue", next.clone()));
            }
            let (list, further) = match self.page(resource, namespace, &query, accept).await {
                // The pages outlived the server's memory of that moment: once more, in one piece.
                Err(Error::Api { code: 410, .. }) if paged && !next.is_empty() => {
                    (next, paged) = (String::new(), false);
                    continue;
                }
                answer => answer?,
            };
            each(next.is_empty(), list);
            next = further;
            if next.is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads the metadata of the first objects of a kind in a namespace, and whether these are all.
    pub(crate) async fn first_metadata(
        &self,
        resource: &Resource,
        namespace: &str,
        limit: usize,
    ) -> Result<(Vec<Value>, bool)> {
        let query = [("limit", limit.to_string())];
        let (list, further) = self.page(resource, namespace, &query, METADATA).await?;
        Ok((list.items, further.is_empty()))
    }

    /// Reads a page of a list, and the mark of the next one: empty after the last.
    async fn page(
        &self,
        resource: &Resource,
        namespace: &str,
        query: &[(&'static str, String)],
        accept: &'static str,
    ) -> Result<(List, String)> {
        let mut request = request(Method::GET, &resource.path(namespace), query, None, vec![])?;
        request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
        let mut page = self.json(request).await?;
        let mut items = match page["items"].take() {
            Value::Array(items) => items,
            _ => vec![],
        };
        for item in &mut items {
            // Items of a list come without their type.
            item["apiVersion"] = resource.api_version.clone().into();
            item["kind"] = resource.kind.clone().into();
        }
        let text = |field: &str| page["metadata"][field].as_str().unwrap_or_default().to_owned();
        Ok((List { items, resource_version: text("resourceVersion") }, text("continue")))
    }

    /// Follows changes from a resource version on. The stream ends when the server ends it.
    pub async fn watch(
        &self,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
        from: &str,
    ) -> Result<BoxStream<'static, Result<WatchEvent<Value>>>> {
        let mut query = selector.query();
        query.push(("watch", "true".to_owned()));
        query.push(("allowWatchBookmarks", "true".to_owned()));
        query.push(("timeoutSeconds", "270".to_owned()));
        query.push(("resourceVersion", from.to_owned()));
        let request = request(Method::GET, &resource.path(namespace), &query, None, vec![])?;
        let stream = self.client.request_events::<Value>(request).await?;
        Ok(stream.map(|event| event.map_err(Error::from)).boxed())
    }

    /// Applies an object on the server's side.
    pub async fn apply(&self, resource: &Resource, id: &ObjectId, object: &Value, options: Apply) -> Result<Value> {
        let mut query = vec![
            ("fieldManager", self.field_manager.clone()),
            ("fieldValidation", "Strict".to_owned()),
            ("force", options.force.to_string()),
        ];
        if options.dry_run {
            query.push(("dryRun", "All".to_owned()));
        }
        let path = resource.object_path(&id.namespace, &id.name);
        let request = request(Method::PATCH, &path, &query, Some(PATCH_APPLY), bytes(object)?)?;
        self.retrying_quota(request).await.map_err(|error| apply_error(id, error))
    }

    /// Creates an object; with `generateName` the server chooses the name.
    pub async fn create(&self, resource: &Resource, namespace: &str, object: &Value, dry_run: bool) -> Result<Value> {
        let mut query = vec![("fieldManager", self.field_manager.clone()), ("fieldValidation", "Strict".to_owned())];
        if dry_run {
            query.push(("dryRun", "All".to_owned()));
        }
        let path = resource.path(namespace);
        self.json(request(Method::POST, &path, &query, Some("application/json"), bytes(object)?)?).await
    }

    /// Puts an object in the place of another.
    pub async fn replace(&self, resource: &Resource, id: &ObjectId, object: &Value) -> Result<Value> {
        let path = resource.object_path(&id.namespace, &id.name);
        let query = [("fieldManager", self.field_manager.clone())];
        self.json(request(Method::PUT, &path, &query, Some("application/json"), bytes(object)?)?).await
    }

    /// Changes an object by a JSON merge patch, or by a JSON patch when the value is a list.
    pub async fn patch(&self, resource: &Resource, id: &ObjectId, patch: &Value) -> Result<Value> {
        let path = resource.object_path(&id.namespace, &id.name);
        let kind = if patch.is_array() { PATCH_JSON } else { PATCH_MERGE };
        let query = [("fieldManager", self.field_manager.clone())];
        self.json(request(Method::PATCH, &path, &query, Some(kind), bytes(patch)?)?).await
    }

    /// Deletes an object; returns whether it was there.
    pub async fn delete(&self, resource: &Resource, id: &ObjectId, cascade: Cascade) -> Result<bool> {
        let path = resource.object_path(&id.namespace, &id.name);
        let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": cascade.as_str()});
        match self.json(request(Method::DELETE, &path, &[], Some("application/json"), bytes(&body)?)?).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the last lines of a container.
    pub async fn logs(&self, namespace: &str, pod: &str, container: &str, lines: Option<u32>) -> Result<String> {
        let mut query = vec![("container", container.to_owned())];
        if let Some(lines) = lines {
            query.push(("tailLines", lines.to_string()));
        }
        let path = format!("/api/v1/namespaces/{}/pods/{}/log", segment(namespace), segment(pod));
        let request = request(Method::GET, &path, &query, None, vec![])?;
        match tokio::time::timeout(REQUEST_LIMIT, self.client.request_text(request)).await {
            Ok(text) => Ok(text?),
            Err(_) => Err(Error::Unreachable(format!("no output of pod {pod} within 60s"))),
        }
    }

    async fn retrying_quota(&self, request: Request<Vec<u8>>) -> Result<Value> {
        let mut attempt = 0;
        loop {
            match self.json(request.clone()).await {
                // The quota controller and we wrote the same quota at once; that passes.
                Err(Error::Api { code: 409, message, .. })
                    if attempt < 5
                        && message.contains("Operation cannot be fulfilled on resourcequotas")
                        && message.contains("the object has been modified") =>
                {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
                }
                other => return other,
            }
        }
    }

    async fn once(&self, request: &Request<Vec<u8>>) -> Result<Value> {
        in_time(request, self.client.request::<Value>(request.clone())).await
    }

    /// Sends a request, again and again while the API server is away.
    async fn json(&self, request: Request<Vec<u8>>) -> Result<Value> {
        let mut patience = Patience::default();
        loop {
            if let Some(end) = patience.judge(self, self.once(&request).await).await {
                return end;
            }
        }
    }
}

/// How long the API server has been away already.
pub(crate) struct Patience {
    lost: Option<Instant>,
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { lost: None, pause: Duration::from_millis(100) }
    }
}

impl Patience {
    /// Returns the answer if it is final. If not, a while has passed and the request is to be sent again.
    pub(crate) async fn judge<T>(&mut self, cluster: &Cluster, answer: Result<T>) -> Option<Result<T>> {
        let error = match answer {
            Err(error) if is_passing(&error) => error,
            answer => {
                if let Some(lost) = self.lost {
                    cluster.progress.send(Event::ApiBack { away: lost.elapsed() });
                }
                return Some(answer);
            }
        };
        let since = self.lost.get_or_insert_with(Instant::now).elapsed();
        if since + self.pause > cluster.patience {
            return Some(Err(error));
        }
        cluster.progress.send(Event::ApiLost { error: error.to_string(), since });
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Duration::from_secs(2));
        None
    }
}

/// Waits for an answer as long as a single one may take.
pub(crate) async fn in_time<T>(
    request: &Request<Vec<u8>>,
    answer: impl Future<Output = std::result::Result<T, kube::Error>>,
) -> Result<T> {
    match tokio::time::timeout(REQUEST_LIMIT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Unreachable(format!("no answer to {} within 60s", request.uri().path()))),
    }
}

/// How to apply.
#[derive(Debug, Clone, Copy, Default)]
pub struct Apply {
    /// Take fields from other managers.
    pub force: bool,
    /// Only ask what would happen.
    pub dry_run: bool,
}

/// The form of a list: what is sent of each object.
const JSON: &str = "application/json";
/// The form of a list: the metadata alone.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// What to list or watch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// By labels, empty for all.
    pub labels: String,
    /// By fields, empty for all.
    pub fields: String,
}

impl Selector {
    /// Selects one name.
    pub fn name(name: &str) -> Self {
        Selector { fields: format!("metadata.name={name}"), ..Selector::default() }
    }

    /// Selects by labels.
    pub fn labels(labels: impl Into<String>) -> Self {
        Selector { labels: labels.into(), ..Selector::default() }
    }

    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if !self.labels.is_empty() {
            query.push(("labelSelector", self.labels.clone()));
        }
        if !self.fields.is_empty() {
            query.push(("fieldSelector", self.fields.clone()));
        }
        query
    }
}

/// The answer to a list.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// The objects, each with its type.
    pub items: Vec<Value>,
    /// The point in time from which a watch continues.
    pub resource_version: String,
}

/// Will the same request probably work a little later?
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Unreachable(_) | Error::Api { code: 429 | 502..=504, .. } => true,
        // The server is there and its store is not; other errors of this number are defects that stay.
        Error::Api { code: 500, message, .. } => message.contains("etcdserver:"),
        _ => false,
    }
}

fn apply_error(id: &ObjectId, error: Error) -> Error {
    let object = id.clone();
    match error {
        Error::Api { code: 409, message, .. } => Error::FieldConflict { object, message },
        Error::Api { code: 415, .. } => {
            Error::Unsupported("server-side apply not available on the server: it is older than Kubernetes 1.22".into())
        }
        Error::Api { code, message, .. } => Error::Refused { object, code, message },
        other => other,
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::BadManifest(error.to_string()))
}

pub(crate) fn request(
    method: Method,
    path: &str,
    query: &[(&'static str, String)],
    content_type: Option<&str>,
    body: Vec<u8>,
) -> Result<Request<Vec<u8>>> {
    let mut uri = path.to_owned();
    for (place, (key, value)) in query.iter().enumerate() {
        uri.push(if place == 0 { '?' } else { '&' });
        let _ = write!(uri, "{key}={}", segment(value));
    }
    let mut builder = Request::builder().method(method).uri(uri).header(http::header::ACCEPT, "application/json");
    if let Some(content_type) = content_type {
        builder = builder.header(http::header::CONTENT_TYPE, content_type);
    }
    builder.body(body).map_err(|error| Error::BadManifest(format!("{path}: {error}")))
}

/// Encodes what stands between two slashes. Names come from templates: whatever is in them must stay in its place.
fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~:".contains(&byte) || (byte == b'.' && !matches!(text, "." | "..")) {
            encoded.push(byte as char);
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_group_and_scope() {
        let resource = |api_version: &str, namespaced| Resource {
            api_version: api_version.into(),
            kind: "X".into(),
            plural: "xs".into(),
            namespaced,
        };
        assert_eq!(resource("v1", true).path("n"), "/api/v1/namespaces/n/xs");
        assert_eq!(resource("apps/v1", true).path(""), "/apis/apps/v1/xs");
        assert_eq!(resource("apps/v1", false).path("n"), "/apis/apps/v1/xs");
    }

    #[test]
    fn names_cannot_leave_their_place() {
        let resource =
            Resource { api_version: "v1".into(), kind: "Pod".into(), plural: "pods".into(), namespaced: true };
        assert_eq!(resource.object_path("n", "a/../b?c#d e"), "/api/v1/namespaces/n/pods/a%2F..%2Fb%3Fc%23d%20e");
        assert_eq!(resource.object_path("..", "."), "/api/v1/namespaces/%2E%2E/pods/%2E");
        let query = [("labelSelector", "owner=helm,name in (a,b)".to_owned())];
        let request = request(Method::GET, "/api/v1/pods", &query, None, vec![]).unwrap();
        assert_eq!(request.uri().query(), Some("labelSelector=owner%3Dhelm%2Cname%20in%20%28a%2Cb%29"));
    }
}
