//! [`Rendered`]: what came out of a chart, in the order in which it is installed.

use crate::{Chart, CrdFile, Log, Values};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One document of a rendered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Path of its template with the charts' names in front: `top/charts/sub/templates/x.yaml`.
    pub path: String,
    /// `apiVersion`; empty for a document of comments.
    pub api_version: String,
    /// `kind`
    pub kind: String,
    /// `metadata.name`
    pub name: String,
    /// The document's text, without separator and source line.
    pub content: String,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEvent {
    /// Before anything is created.
    PreInstall,
    /// After everything was created.
    PostInstall,
    /// Before anything is deleted.
    PreDelete,
    /// After everything was deleted.
    PostDelete,
    /// Before anything is changed.
    PreUpgrade,
    /// After everything was changed.
    PostUpgrade,
    /// Before an old revision comes back.
    PreRollback,
    /// After an old revision came back.
    PostRollback,
    /// On `helm test`.
    Test,
}

/// When a hook's object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletePolicy {
    /// Once it has succeeded.
    HookSucceeded,
    /// Once it has failed.
    HookFailed,
    /// Just before it is created anew, which is the default.
    BeforeHookCreation,
}

/// When a hook's log is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputLogPolicy {
    /// Once it has succeeded.
    HookSucceeded,
    /// Once it has failed.
    HookFailed,
}

/// An object that is created at a certain moment instead of with the release. The serialised form is that of release
/// records, where the release room adds `last_run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// `metadata.name`
    #[serde(default)]
    pub name: String,
    /// `kind`
    #[serde(default)]
    pub kind: String,
    /// Path of its template, as in [`Manifest::path`].
    #[serde(default)]
    pub path: String,
    /// The document's text.
    #[serde(default)]
    pub manifest: String,
    /// When it runs.
    #[serde(default)]
    pub events: Vec<HookEvent>,
    /// Order among the hooks of one event, smaller first.
    #[serde(default)]
    pub weight: i64,
    /// When its object is deleted. Empty means [`DeletePolicy::BeforeHookCreation`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete_policies: Vec<DeletePolicy>,
    /// When its log is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_log_policies: Vec<OutputLogPolicy>,
}

/// A rendered chart.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Documents in install order.
    pub manifests: Vec<Manifest>,
    /// Hooks in install order of their kinds. Sort those of one event by weight and name before running them.
    pub hooks: Vec<Hook>,
    /// The rendered `NOTES.txt`.
    pub notes: String,
    /// Custom resource definitions, not templated.
    pub crds: Vec<CrdFile>,
    /// The chart with its dependencies decided and their values imported, which is what a release record keeps.
    pub chart: Chart,
    /// The values that the templates saw, before any template changed them.
    pub values: Values,
    /// What was said on the way.
    pub log: Log,
}

/// The text of one document within a release's manifest.
fn framed(path: &str, content: &str) -> String {
    format!("---\n# Source: {path}\n{content}\n")
}

impl Manifest {
    /// The document with its separator and source line.
    pub fn framed(&self) -> String {
        framed(&self.path, &self.content)
    }
}

impl Hook {
    /// The document with its separator and source line.
    pub fn framed(&self) -> String {
        framed(&self.path, &self.manifest)
    }

    /// Whether it runs at this moment.
    pub fn runs_on(&self, event: HookEvent) -> bool {
        self.events.contains(&event)
    }
}

impl Rendered {
    /// The text that Helm stores as the release's manifest.
    pub fn manifest(&self) -> String {
        self.manifests.iter().map(Manifest::framed).collect()
    }
}

impl HookEvent {
    /// The name in annotations and records.
    pub fn as_str(self) -> &'static str {
        match self {
            HookEvent::PreInstall => "pre-install",
            HookEvent::PostInstall => "post-install",
            HookEvent::PreDelete => "pre-delete",
            HookEvent::PostDelete => "post-delete",
            HookEvent::PreUpgrade => "pre-upgrade",
            HookEvent::PostUpgrade => "post-upgrade",
            HookEvent::PreRollback => "pre-rollback",
            HookEvent::PostRollback => "post-rollback",
            HookEvent::Test => "test",
        }
    }
}

impl fmt::Display for HookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
