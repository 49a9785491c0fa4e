//! Where the objects of a release come from. The engine asks a source to render; how charts work is not its business.

use crate::record::Hook;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Something that can be rendered for a cluster: a chart, in general.
pub trait Source: Send + Sync + 'static {
    /// Returns the CustomResourceDefinitions that are installed before anything is rendered (the `crds/` folder), with
    /// the dependencies that the values ask for. The error is shown to the user as it is.
    fn crds(&self, values: &Map<String, Value>) -> Result<Vec<Crd>, String>;

    /// Renders. Called on a thread that may block; the error is shown to the user as it is.
    fn render(&self, input: RenderInput) -> Result<Bundle, String>;
}

/// A file of CustomResourceDefinitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crd {
    /// Its name within the chart.
    pub name: String,
    /// YAML, one document or more.
    pub text: String,
}

/// What a source may know about the release and the cluster.
#[derive(Clone)]
pub struct RenderInput {
    /// Name of the release.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The revision that is made.
    pub revision: u32,
    /// Is it an upgrade, as opposed to an installation?
    pub is_upgrade: bool,
    /// The user's values.
    pub values: Map<String, Value>,
    /// Takes the place of the chart's default values.
    pub defaults: Option<Map<String, Value>>,
    /// The cluster; nothing when rendering must do without.
    pub cluster: Option<ClusterFacts>,
}

/// What templates may learn about a cluster.
#[derive(Clone)]
pub struct ClusterFacts {
    /// `v1.34.1`.
    pub git_version: String,
    /// `1`.
    pub major: String,
    /// `34`, possibly with a `+`.
    pub minor: String,
    /// Every `group/version` and `group/version/Kind`.
    pub api_versions: Vec<String>,
    /// Reads live objects.
    pub lookup: Lookup,
}

/// Reads live objects from a template: `apiVersion`, kind, namespace, name (empty for a list). Blocks.
#[derive(Clone)]
pub struct Lookup(Arc<LookupFn>);

type LookupFn = dyn Fn(&str, &str, &str, &str) -> Result<Value, String> + Send + Sync;

impl Lookup {
    /// Wraps a function.
    pub fn new(function: impl Fn(&str, &str, &str, &str) -> Result<Value, String> + Send + Sync + 'static) -> Self {
        Lookup(Arc::new(function))
    }

    /// Returns the object, a `List` when `name` is empty, or an empty map when there is none.
    pub fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, String> {
        (self.0)(api_version, kind, namespace, name)
    }
}

/// A rendered release.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bundle {
    /// The chart in Helm's JSON form, as it is stored.
    pub chart: Value,
    /// The documents without hooks, in the order of installation.
    pub manifest: String,
    /// The hooks.
    pub hooks: Vec<Hook>,
    /// The notes.
    pub notes: String,
}
