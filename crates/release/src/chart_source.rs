//! A chart as a source of releases.

use crate::source::{Bundle, ClusterFacts, Crd, Lookup, RenderInput, Source};
use chart::{
    ApiVersions, Capabilities, Chart, Entropy, KubeVersion, Log, LogLine, PostRender, RenderOptions, TemplateOutput,
};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// A loaded chart with the choices that concern its rendering.
pub struct ChartSource {
    chart: Chart,
    entropy: Entropy,
    clock: fn() -> SystemTime,
    /// The notes of dependencies count too (`--render-subchart-notes`).
    pub subchart_notes: bool,
    /// Do not check values against schemas (`--skip-schema-validation`).
    pub skip_schema_validation: bool,
    /// The local time zone of date functions.
    pub time_zone: fn() -> TimeZone,
    /// The address of a host, for `getHostByName` (`--enable-dns`).
    pub resolve_host: Option<fn(&str) -> Option<String>>,
    /// Changes all documents before they are sorted (`--post-renderer`).
    pub post_render: Option<PostRender>,
    /// Say that a Secret would be here instead of showing it (`--hide-secret`); for dry runs only.
    pub hide_secrets: bool,
    /// What templates see when there is no cluster (`--dry-run=client`).
    pub offline: Capabilities,
    log: Mutex<Log>,
}

impl ChartSource {
    /// Wraps a chart; random bytes for its templates come from `entropy`, the time from the system.
    pub fn new(chart: Chart, entropy: Entropy) -> Self {
        ChartSource {
            chart,
            entropy,
            clock: SystemTime::now,
            subchart_notes: false,
            skip_schema_validation: false,
            time_zone: || TimeZone::UTC,
            resolve_host: None,
            post_render: None,
            hide_secrets: false,
            offline: Capabilities::default(),
            log: Mutex::default(),
        }
    }

    /// Sets what `now` says in templates.
    #[must_use]
    pub fn with_clock(mut self, clock: fn() -> SystemTime) -> Self {
        self.clock = clock;
        self
    }

    /// Returns what rendering said on the way, and forgets it.
    pub fn take_log(&self) -> Vec<LogLine> {
        std::mem::take(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    fn keep(&self, log: Log) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).0.extend(log.0);
    }
}

impl Source for ChartSource {
    fn crds(&self, values: &Map<String, Value>) -> Result<Vec<Crd>, String> {
        let mut chart = self.chart.clone();
        // Said again, and then kept, when the chart is rendered.
        let mut log = Log::default();
        chart::values::process_dependencies(&mut chart, &chart::convert::map_to_go(values), &mut log)
            .map_err(|error| error.to_string())?;
        let crd = |file: chart::CrdFile| Crd { text: file.file.text().into_owned(), name: file.filename };
        Ok(chart.crds().into_iter().map(crd).collect())
    }

    fn render(&self, input: RenderInput) -> Result<Bundle, String> {
        let mut options = RenderOptions::new(&input.name, &input.namespace, (self.clock)(), self.entropy.clone());
        options.revision = input.revision.into();
        options.is_install = !input.is_upgrade;
        options.is_upgrade = input.is_upgrade;
        options.subchart_notes = self.subchart_notes;
        options.skip_schema_validation = self.skip_schema_validation;
        options.time_zone = self.time_zone;
        options.resolve_host = self.resolve_host;
        options.post_render.clone_from(&self.post_render);
        options.capabilities = self.offline.clone();
        if let Some(cluster) = &input.cluster {
            look_at(cluster, &mut options).map_err(|error| error.to_string())?;
        }
        let mut log = Log::default();
        let rendered = match input.defaults {
            None => chart::render_logged(&self.chart, &input.values, &options, &mut log),
            Some(defaults) => {
                let chart = Chart { values: defaults, ..self.chart.clone() };
                chart::render_logged(&chart, &input.values, &options, &mut log)
            }
        };
        self.keep(log);
        let rendered = rendered.map_err(|error| error.to_string())?;
        let hooks = serde_json::to_value(&rendered.hooks).and_then(serde_json::from_value);
        Ok(Bundle {
            manifest: rendered
                .release_text(&TemplateOutput { hide_secrets: self.hide_secrets, ..TemplateOutput::default() }),
            hooks: hooks.map_err(|error| error.to_string())?,
            chart: as_recorded(serde_json::to_value(&rendered.chart).map_err(|error| error.to_string())?),
            notes: rendered.notes,
        })
    }
}

/// Gives a chart the form of Go's JSON to the letter: lists that were never filled are null, and a time that is not known
/// is Go's zero time. Helm cannot read a record in which a time is an empty text.
fn as_recorded(mut chart: Value) -> Value {
    for list in ["templates", "files"] {
        if chart[list].as_array().is_some_and(Vec::is_empty) {
            chart[list] = Value::Null;
        }
    }
    if chart["schemamodtime"] == "" {
        chart["schemamodtime"] = "0001-01-01T00:00:00Z".into();
    }
    chart
}

/// Lets templates see a cluster.
///
/// Errors: [`chart::Error::Argument`] when the cluster's version is none.
pub fn look_at(cluster: &ClusterFacts, options: &mut RenderOptions) -> Result<(), chart::Error> {
    options.capabilities = capabilities(cluster)?;
    options.lookup = Some(Arc::new(LiveLookup(cluster.lookup.clone())));
    Ok(())
}

fn capabilities(cluster: &ClusterFacts) -> Result<Capabilities, chart::Error> {
    let parsed = KubeVersion::parse(&cluster.git_version)?;
    let kube_version = KubeVersion {
        version: cluster.git_version.clone(),
        major: cluster.major.clone(),
        minor: cluster.minor.clone(),
        ..parsed
    };
    Ok(Capabilities {
        kube_version,
        api_versions: ApiVersions(cluster.api_versions.clone()),
        ..Capabilities::default()
    })
}

struct LiveLookup(Lookup);

impl chart::Lookup for LiveLookup {
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, String> {
        self.0.get(api_version, kind, namespace, name)
    }
}
