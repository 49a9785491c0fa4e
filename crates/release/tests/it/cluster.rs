//! A cluster for tests: the API server, a service that can stop answering, and sources of plain data.

use crate::controllers::{Controllers, OUTCOME};
use apiserver::{ApiServer, InProcess, Kubelets, LogQuery};
use axum::body::Body;
use release::cluster::{Apply, Cluster, Selector};
use release::object::ObjectId;
use release::record::Hook;
use release::source::{Bundle, Crd, RenderInput, Source};
use release::{Driver, Engine, Event, Options, Progress};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub(crate) struct TestCluster {
    pub(crate) server: ApiServer,
    pub(crate) api: Cluster,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    controllers: JoinHandle<()>,
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.controllers.abort();
    }
}

impl TestCluster {
    pub(crate) async fn start() -> TestCluster {
        let server = ApiServer::open(apiserver::Options::default()).unwrap();
        server.set_kubelets(Arc::new(TestKubelets));
        let client = kube::Client::new(server.into_service(), "default");
        let api = Cluster::new(client.clone());
        let controllers = tokio::spawn(Controllers { api: api.clone(), client }.run());
        let cluster = TestCluster { server, api, events: Arc::default(), controllers };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}});
        cluster.put(namespace).await;
        cluster
    }

    pub(crate) fn client(&self) -> kube::Client {
        kube::Client::new(self.server.into_service(), "default")
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine_over(self.client(), Driver::Secret)
    }

    pub(crate) fn engine_over(&self, client: kube::Client, driver: Driver) -> Engine {
        let events = self.events.clone();
        let listener = Progress::new(move |event| events.lock().unwrap().push(event));
        Engine::with(Cluster::new(client), "prod", driver).with_progress(listener)
    }

    /// Returns the events so far and forgets them.
    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    pub(crate) async fn put(&self, object: Value) -> Value {
        self.put_as(object, "somebody").await
    }

    pub(crate) async fn put_as(&self, object: Value, manager: &str) -> Value {
        let id = id_of(&object);
        let resource = self.api.resource(&id.api_version, &id.kind).await.unwrap().unwrap();
        let mut api = self.api.clone();
        api.field_manager = manager.to_owned();
        api.apply(&resource, &id, &object, Apply { force: true, dry_run: false }).await.unwrap()
    }

    pub(crate) async fn get(&self, api_version: &str, kind: &str, name: &str) -> Option<Value> {
        let resource = self.api.resource(api_version, kind).await.unwrap()?;
        self.api.get(&resource, "prod", name).await.unwrap()
    }

    pub(crate) async fn config_map(&self, name: &str) -> Option<Value> {
        self.get("v1", "ConfigMap", name).await
    }

    pub(crate) async fn names(&self, api_version: &str, kind: &str) -> Vec<String> {
        let resource = self.api.resource(api_version, kind).await.unwrap().unwrap();
        let items = self.api.list(&resource, "prod", &Selector::default()).await.unwrap().items;
        let mut names: Vec<String> =
            items.iter().filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect();
        names.retain(|name| name != "kube-root-ca.crt" && name != "default");
        names.sort();
        names
    }
}

fn id_of(object: &Value) -> ObjectId {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let namespace = if text("/kind") == "Namespace" { "" } else { "prod" };
    ObjectId::new(text("/apiVersion"), text("/kind"), namespace, text("/metadata/name"))
}

struct TestKubelets;

impl Kubelets for TestKubelets {
    fn logs(
        &self,
        pod: Value,
        query: LogQuery,
    ) -> Pin<Box<dyn Future<Output = Result<Body, apiserver::status::ApiError>> + Send>> {
        let text = format!("{} of {} says no\n", query.container, pod["metadata"]["name"].as_str().unwrap_or_default());
        Box::pin(async move { Ok(Body::from(text)) })
    }

    fn proxy(
        &self,
        _: Value,
        _: String,
        _: HashMap<String, String>,
    ) -> Pin<Box<dyn Future<Output = Result<Body, apiserver::status::ApiError>> + Send>> {
        Box::pin(async { Ok(Body::empty()) })
    }
}

/// A source of plain data.
#[derive(Clone, Default)]
pub(crate) struct Plain {
    pub(crate) manifest: String,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) crds: Vec<Crd>,
    /// Renders the values as a ConfigMap of this name too.
    pub(crate) values_map: Option<&'static str>,
}

impl Source for Plain {
    fn crds(&self, _: &Map<String, Value>) -> Result<Vec<Crd>, String> {
        Ok(self.crds.clone())
    }

    fn render(&self, input: RenderInput) -> Result<Bundle, String> {
        let mut manifest = self.manifest.clone();
        if let Some(name) = self.values_map {
            let data = Value::Object(input.values.clone());
            let shown = json!({"values": data.to_string(), "revision": input.revision.to_string(), "upgrade": input.is_upgrade.to_string()});
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": shown});
            manifest.push_str(&format!("---\n# Source: plain/values.yaml\n{object}\n"));
        }
        let chart = json!({"metadata": {"name": "plain", "version": "1.0.0", "apiVersion": "v2"}, "values": {"d": 1}});
        Ok(Bundle { chart, manifest, hooks: self.hooks.clone(), notes: "Enjoy.".to_owned() })
    }
}

impl Plain {
    pub(crate) fn new(objects: &[Value]) -> Self {
        let document = |object: &Value| format!("---\n# Source: plain/x.yaml\n{object}\n");
        Plain { manifest: objects.iter().map(document).collect(), ..Plain::default() }
    }

    pub(crate) fn hook(mut self, object: Value, events: &[release::record::HookEvent], weight: i64) -> Self {
        self.hooks.push(Hook {
            name: object["metadata"]["name"].as_str().unwrap().to_owned(),
            kind: object["kind"].as_str().unwrap().to_owned(),
            path: "plain/templates/hook.yaml".to_owned(),
            manifest: object.to_string(),
            events: events.to_vec(),
            weight,
            ..Hook::default()
        });
        self
    }

    pub(crate) fn arc(self) -> Arc<dyn Source> {
        Arc::new(self)
    }
}

pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}})
}

pub(crate) fn job(name: &str, outcome: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": {OUTCOME: outcome}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}}
    })
}

pub(crate) fn deployment(name: &str, outcome: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "annotations": {OUTCOME: outcome}},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
        }
    })
}

pub(crate) fn no_values() -> Map<String, Value> {
    Map::new()
}

pub(crate) fn quick() -> Options {
    Options { timeout: Duration::from_secs(10), ..Options::default() }
}

/// A service that answers a number of requests that change something and then never again, like a process that was
/// killed. With `after` the last of them still takes effect.
#[derive(Clone)]
pub(crate) struct Mortal {
    pub(crate) inner: InProcess,
    pub(crate) left: Arc<AtomicUsize>,
    pub(crate) dead: Arc<Notify>,
    pub(crate) after: bool,
}

impl tower::Service<http::Request<kube::client::Body>> for Mortal {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<kube::client::Body>) -> Self::Future {
        let writes = request.method() != http::Method::GET;
        let alive =
            !writes || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let (dead, after) = (self.dead.clone(), self.after);
        let mut inner = self.inner.clone();
        Box::pin(async move {
            if alive {
                return tower::Service::call(&mut inner, request).await;
            }
            if after {
                let _ = tower::Service::call(&mut inner, request).await;
            }
            dead.notify_one();
            std::future::pending().await
        })
    }
}
