//! A chart as data: what Helm reads, merges, checks and renders, without a cluster, a network or a clock of its own.
//!
//! The path through this crate is that of a chart. [`load`] turns a directory, an archive or files in memory into a
//! [`Chart`]. [`values`] merges what the user said (`-f`, `--set` and its kin) and lays it over the defaults of the chart
//! and its dependencies. [`render`] decides which dependencies take part, checks the values against the schemas, runs
//! the templates and sorts what comes out into [`Rendered`]: manifests in install order, hooks, notes. [`output`] prints
//! that as `helm template` does. [`schema`] and [`version`] answer the two questions asked on the way. Beside that path,
//! [`lint`], [`show`], [`package`] and [`provenance`] do what Helm's commands of these names do, [`gitops`], [`infer`] and
//! [`explain`] what Helm has no command for.
//!
//! Everything is pure and synchronous. Time, randomness and a cluster's answers to `lookup` are handed in with
//! [`RenderOptions`]. Clusters are the business of the release room, repositories and registries that of the registry room.

mod accept;
mod capabilities;
mod chart;
pub mod convert;
pub mod create;
mod deadline;
mod error;
pub mod explain;
pub mod gitops;
pub mod glob;
pub mod infer;
pub mod lint;
pub mod load;
pub mod log;
mod metadata;
mod options;
pub mod output;
pub mod package;
pub mod provenance;
pub mod render;
mod rendered;
pub mod schema;
pub mod show;
pub mod values;
pub mod version;

pub use chart::{Chart, CrdFile, File};
pub use error::Error;
pub use log::{Log, LogLevel, LogLine};
pub use metadata::{Dependency, Lock, Maintainer, Metadata};
pub use options::{ApiVersions, Capabilities, Entropy, HelmVersion, KubeVersion, Lookup, PostRender, RenderOptions};
pub use output::{OutputFile, TemplateOutput};
pub use render::{render, render_logged};
pub use rendered::{DeletePolicy, Hook, HookEvent, Manifest, OutputLogPolicy, Rendered};

/// Values as Helm holds them: JSON in which a float is what YAML gave and an integer what `--set` gave. The two render
/// differently, so neither is ever turned into the other on the way.
pub type Values = serde_json::Map<String, serde_json::Value>;
