//! A chart as the release engine's source of objects.

use crate::charts::entropy;
use chart::{ApiVersions, Capabilities, Chart, KubeVersion, Log, Lookup, RenderOptions};
use release::record::Hook;
use release::source::{Bundle, ClusterFacts, Crd, RenderInput, Source};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::SystemTime;

/// A loaded chart, to be rendered for a cluster.
pub(crate) struct ChartSource(pub(crate) Chart);

impl Source for ChartSource {
    fn crds(&self, values: &Map<String, Value>) -> Result<Vec<Crd>, String> {
        let mut chart = self.0.clone();
        chart::values::process(&mut chart, values, &mut Log::default()).map_err(|error| error.to_string())?;
        let crds = chart.crds().into_iter();
        Ok(crds.map(|crd| Crd { text: crd.file.text().into_owned(), name: crd.filename }).collect())
    }

    fn render(&self, input: RenderInput) -> Result<Bundle, String> {
        let mut chart = self.0.clone();
        if let Some(defaults) = input.defaults {
            chart.values = defaults;
        }
        let mut options = RenderOptions::new(&input.name, &input.namespace, SystemTime::now(), entropy());
        options.revision = i64::from(input.revision);
        options.is_install = !input.is_upgrade;
        options.is_upgrade = input.is_upgrade;
        if let Some(cluster) = input.cluster {
            options.capabilities = capabilities(&cluster)?;
            options.lookup = Some(Arc::new(Live(cluster)));
        }
        let rendered = chart::render(&chart, &input.values, &options).map_err(|error| error.to_string())?;
        let hooks = rendered.hooks.iter().map(hook).collect::<Result<Vec<_>, _>>()?;
        let chart = serde_json::to_value(&rendered.chart).map_err(|error| error.to_string())?;
        Ok(Bundle { chart, manifest: rendered.manifest(), hooks, notes: rendered.notes })
    }
}

fn capabilities(cluster: &ClusterFacts) -> Result<Capabilities, String> {
    Ok(Capabilities {
        kube_version: KubeVersion::parse(&cluster.git_version).map_err(|error| error.to_string())?,
        api_versions: ApiVersions(cluster.api_versions.clone()),
        ..Capabilities::default()
    })
}

/// Both sides keep hooks in the form of Helm's records.
fn hook(hook: &chart::Hook) -> Result<Hook, String> {
    serde_json::to_value(hook).and_then(serde_json::from_value).map_err(|error| error.to_string())
}

/// Answers `lookup` from the cluster.
struct Live(ClusterFacts);

impl Lookup for Live {
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, String> {
        self.0.lookup.get(api_version, kind, namespace, name)
    }
}
