//! What a rendering is told about the release and the cluster, and what it may ask.

use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Answers the template function `lookup`.
pub trait Lookup: Send + Sync {
    /// The object, a list when `name` is empty, or an empty object when there is none.
    ///
    /// Errors: a message; the rendering fails with it.
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, String>;
}

/// Gives the rendering its random bytes (passwords, certificates).
pub type Entropy = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// A program that gets all documents of a rendering as one stream and gives back those that count.
pub type PostRender = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// A Kubernetes version as templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeVersion {
    /// With whatever the vendor added: `v1.29.3-gke.100`.
    pub version: String,
    /// Without it: `v1.29.3`. Constraints are checked against this one.
    pub normalized: String,
    /// `1`
    pub major: String,
    /// `29`
    pub minor: String,
}

/// The API versions that the cluster serves: `v1`, `apps/v1`, and `apps/v1/Deployment` where known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersions(pub Vec<String>);

/// The version that `.Capabilities.HelmVersion` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmVersion {
    /// `v4.3`
    pub version: String,
    /// Empty when not known.
    pub git_commit: String,
    /// `clean`, `dirty` or empty.
    pub git_tree_state: String,
    /// The Go release that Helm was built with.
    pub go_version: String,
    /// The Kubernetes client library's version.
    pub kube_client_version: String,
}

/// `.Capabilities`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The cluster's version.
    pub kube_version: KubeVersion,
    /// What it serves.
    pub api_versions: ApiVersions,
    /// The engine's version.
    pub helm_version: HelmVersion,
}

/// Everything a rendering depends on besides the chart and the values.
#[derive(Clone)]
pub struct RenderOptions {
    /// `.Release.Name`
    pub release_name: String,
    /// `.Release.Namespace`
    pub namespace: String,
    /// `.Release.Revision`
    pub revision: i64,
    /// `.Release.IsInstall`
    pub is_install: bool,
    /// `.Release.IsUpgrade`
    pub is_upgrade: bool,
    /// `.Capabilities`
    pub capabilities: Capabilities,
    /// The notes of dependencies count too.
    pub subchart_notes: bool,
    /// Do not check the values against the schemas.
    pub skip_schema_validation: bool,
    /// Rendering for a lint: `required` and `fail` do not stop it.
    pub lint: bool,
    /// A missing key is an error instead of no value.
    pub strict: bool,
    /// The cluster behind `lookup`; none means that nothing is ever found.
    pub lookup: Option<Arc<dyn Lookup>>,
    /// What `now` says.
    pub now: SystemTime,
    /// The local time zone of date functions.
    pub time_zone: fn() -> jiff::tz::TimeZone,
    /// Where random bytes come from.
    pub entropy: Entropy,
    /// The address of a host, for `getHostByName`; without it, nothing is looked up.
    pub resolve_host: Option<fn(&str) -> Option<String>>,
    /// Changes all documents before they are sorted.
    pub post_render: Option<PostRender>,
}

impl RenderOptions {
    /// A first install into a cluster of the default kind, at `now` (and in UTC), with random bytes from `entropy`.
    pub fn new(
        release_name: impl Into<String>,
        namespace: impl Into<String>,
        now: SystemTime,
        entropy: Entropy,
    ) -> RenderOptions {
        RenderOptions {
            release_name: release_name.into(),
            namespace: namespace.into(),
            revision: 1,
            is_install: true,
            is_upgrade: false,
            capabilities: Capabilities::default(),
            subchart_notes: false,
            skip_schema_validation: false,
            lint: false,
            strict: false,
            lookup: None,
            now,
            time_zone: || jiff::tz::TimeZone::UTC,
            entropy,
            resolve_host: None,
            post_render: None,
        }
    }
}

impl fmt::Debug for RenderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenderOptions")
            .field("release_name", &self.release_name)
            .field("namespace", &self.namespace)
            .field("revision", &self.revision)
            .field("is_install", &self.is_install)
            .field("is_upgrade", &self.is_upgrade)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}
