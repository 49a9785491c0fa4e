//! What can go wrong with a chart, in Helm's words.

/// A chart could not be loaded, merged, checked or rendered. `Display` is what Helm prints after `Error: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Files are missing or unreadable, or an archive is not one.
    #[error("{0}")]
    Load(String),
    /// `Chart.yaml` does not describe a chart.
    #[error("validation: {0}")]
    Validation(String),
    /// Values do not parse or do not fit the chart's structure.
    #[error("{0}")]
    Values(String),
    /// A listed dependency is not there.
    #[error(
        "an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to fetch missing \
         dependencies: found in Chart.yaml, but missing in charts/ directory: {}", .0.join(", ")
    )]
    MissingDependencies(Vec<String>),
    /// Values break a schema. One entry for each finding, schema by schema, as Helm prints them.
    #[error("values don't meet the specifications of the schema(s) in the following chart(s):\n{0}")]
    Schema(String),
    /// The chart is not one to install.
    #[error("{0}")]
    Unsuitable(String),
    /// The cluster is too old or too new for the chart.
    #[error("chart requires kubeVersion: {wanted} which is incompatible with Kubernetes {found}")]
    KubeVersion {
        /// The chart's constraint.
        wanted: String,
        /// The cluster's version.
        found: String,
    },
    /// A template does not parse or fails. The text names template, line and column.
    #[error("{0}")]
    Template(String),
    /// Rendered text is not a manifest.
    #[error("{0}")]
    Manifest(String),
    /// Asked for a template that rendered nothing.
    #[error("could not find template {0} in chart")]
    NoSuchTemplate(String),
    /// An argument has no meaning, as with a malformed version.
    #[error("{0}")]
    Argument(String),
}

impl Error {
    /// Whether Helm adds its hint that `--debug` shows the rendered text.
    pub fn has_debug_hint(&self) -> bool {
        matches!(self, Error::Template(_) | Error::Manifest(_) | Error::KubeVersion { .. })
    }
}
