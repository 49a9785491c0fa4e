//! What a verb is about: a chart, the user's values, a release name and a namespace; rendered without a cluster, to know
//! beforehand what it is going to do.

use crate::charts;
use crate::cli;
use crate::error::{Failure, Result};
use chart::values::UserValues;
use chart::{Chart, RenderOptions};
use contract::Code;
use serde_json::{Map, Value};
use std::io::Read as _;
use std::sync::Arc;
use std::time::SystemTime;

/// The names of a release.
pub(crate) struct Names {
    pub(crate) release: String,
    pub(crate) namespace: String,
}

/// A chart with values, ready to be installed.
pub(crate) struct Subject {
    pub(crate) release: String,
    pub(crate) namespace: String,
    pub(crate) values: Map<String, Value>,
    chart: Chart,
}

impl Subject {
    /// Returns the names alone, for verbs that need no chart.
    pub(crate) fn names(call: &cli::Subject) -> Names {
        let chart = call.chart.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let kata = chart == "kata-deploy";
        let namespace = if kata { "kube-system" } else { "coco-system" };
        Names {
            release: call.release.clone().unwrap_or_else(|| chart.to_owned()),
            namespace: call.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
        }
    }

    /// Loads chart and values.
    pub(crate) fn load(call: &cli::Subject, values: &cli::Values) -> Result<Subject> {
        let names = Subject::names(call);
        let chart = charts::load(&call.chart)?;
        Ok(Subject { release: names.release, namespace: names.namespace, values: gather(values)?, chart })
    }

    /// Takes the values from a release's record instead of the command line.
    pub(crate) fn recorded(call: &cli::Subject, values: Map<String, Value>) -> Result<Subject> {
        let names = Subject::names(call);
        let chart = charts::load(&call.chart)?;
        Ok(Subject { release: names.release, namespace: names.namespace, values, chart })
    }

    /// Returns the chart as a source for the release engine.
    pub(crate) fn source(&self) -> Arc<dyn release::source::Source> {
        Arc::new(release::ChartSource::new(self.chart.clone(), charts::entropy()))
    }

    /// Renders without a cluster: every object, hooks included.
    pub(crate) fn objects(&self) -> Result<Vec<Value>> {
        let options = RenderOptions::new(&self.release, &self.namespace, SystemTime::now(), charts::entropy());
        let rendered = chart::render::render(&self.chart, &self.values, &options)
            .map_err(|error| charts::with_hints(charts::failure(error), &self.chart))?;
        parse(&rendered.manifest(), rendered.hooks.iter().map(|hook| hook.manifest.as_str()))
    }

    /// Returns the kinds that the chart's own CustomResourceDefinitions bring, as `group/version/Kind`.
    pub(crate) fn own_kinds(&self) -> Vec<String> {
        let texts = self.chart.crds().into_iter().map(|crd| crd.file.text().into_owned()).collect::<Vec<_>>();
        let objects = texts.iter().flat_map(|text| release::object::parse_manifest(text).unwrap_or_default());
        objects
            .flat_map(|object| {
                let kind = object["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
                let group = object["spec"]["group"].as_str().unwrap_or_default().to_owned();
                let versions = object["spec"]["versions"].as_array().cloned().unwrap_or_default();
                versions
                    .into_iter()
                    .filter_map(move |version| Some(format!("{group}/{}/{kind}", version["name"].as_str()?)))
            })
            .collect()
    }

    /// Returns name and version of the chart.
    pub(crate) fn chart_title(&self) -> String {
        format!("{} {}", self.chart.metadata.name, self.chart.metadata.version)
    }

    /// Returns the version of the payload: what its image says among the rendered objects, else what the chart stands for.
    pub(crate) fn payload(&self, objects: &[Value]) -> String {
        crate::rollout::payload(objects).unwrap_or_else(|| self.chart.metadata.app_version.clone())
    }
}

/// Reads values files and `--set` arguments.
pub(crate) fn gather(values: &cli::Values) -> Result<Map<String, Value>> {
    let user = UserValues {
        files: values.files.iter().map(|file| file.to_string_lossy().into_owned()).collect(),
        set: values.set.clone(),
        string: values.set_string.clone(),
        json: values.set_json.clone(),
        file: values.set_file.clone(),
        ..UserValues::default()
    };
    let read = |name: &str| {
        let mut bytes = Vec::new();
        let result = match name {
            "-" => std::io::stdin().read_to_end(&mut bytes).map(drop),
            name => std::fs::read(name).map(|read| bytes = read),
        };
        result.map(|()| bytes).map_err(|error| format!("{name}: {error}"))
    };
    user.resolve(read).map_err(|error| Failure::new(Code::UNREADABLE_FILE, error.to_string()))
}

/// Parses a release's manifest and its hooks.
pub(crate) fn parse<'a>(manifest: &str, hooks: impl Iterator<Item = &'a str>) -> Result<Vec<Value>> {
    let bad = |error: release::Error| Failure::new(Code::BAD_CHART, error.to_string());
    let mut objects = release::object::parse_manifest(manifest).map_err(bad)?;
    for hook in hooks {
        objects.extend(release::object::parse_manifest(hook).map_err(bad)?);
    }
    Ok(objects)
}
