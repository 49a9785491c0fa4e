//! Our own charts, rendered and looked at.

mod examples;
mod facts;
mod gitops;
mod goldens;
mod notes;
mod oldest_helm;
mod payload;
mod pod_security;
mod refusals;

use crate::command::options;
use chart::{Chart, Error, Log, RenderOptions, Values};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const CHARTS: [&str; 2] = ["kata-deploy", "confidential-containers"];

/// The charts' directory.
fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts")
}

/// Values files that real users of the older charts could have.
fn values_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../husk/tests/data/values")
}

/// One of the two charts with what it depends on.
fn own(name: &str) -> Chart {
    static BOTH: LazyLock<[Chart; 2]> = LazyLock::new(|| [load("kata-deploy"), load("confidential-containers")]);
    BOTH.iter().find(|chart| chart.name() == name).expect("one of ours").clone()
}

fn load(name: &str) -> Chart {
    let mut log = Log::default();
    let mut chart = chart::load::path(&charts().join(name), &mut log).unwrap();
    if name == "confidential-containers" {
        chart.dependencies.retain(|below| below.name() != "kata-deploy");
        chart.dependencies.push(load("kata-deploy"));
    }
    chart
}

fn parse(text: &str) -> Values {
    chart::values::parse(text.as_bytes()).unwrap()
}

fn read(path: &Path) -> Values {
    parse(&std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// A first installation into an ordinary cluster.
fn first(chart: &str) -> RenderOptions {
    match chart {
        "kata-deploy" => options("kata-deploy", "kube-system"),
        _ => options("coco", "coco-system"),
    }
}

/// Every object, hooks included.
fn objects(chart: &Chart, values: &Values, options: &RenderOptions) -> Result<Vec<Value>, Error> {
    let rendered = chart::render(chart, values, options)?;
    let texts = rendered.manifests.iter().map(|m| &m.content).chain(rendered.hooks.iter().map(|h| &h.manifest));
    Ok(texts.map(|text| whole(goyaml::parse(text).unwrap())).filter(|object| !object["kind"].is_null()).collect())
}

/// Whole numbers as such, whatever YAML made of them.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(n) => match n.as_f64() {
            Some(f) if f.fract() == 0.0 && f.abs() < 1e15 => Value::from(f as i64),
            _ => Value::Number(n),
        },
        Value::Array(list) => list.into_iter().map(whole).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, whole(value))).collect()),
        other => other,
    }
}

/// The pod of an object that makes pods, and of the templates in a ConfigMap of ours.
fn pods(object: &Value) -> Vec<Value> {
    match object["kind"].as_str().unwrap_or_default() {
        "DaemonSet" | "Deployment" | "Job" => vec![object["spec"]["template"].clone()],
        "ConfigMap" => {
            let data = object["data"].as_object().into_iter().flatten();
            let jobs = data.filter_map(|(_, text)| goyaml::parse(text.as_str()?).ok().map(whole));
            jobs.filter(|job| job["kind"] == "Job").map(|job| job["spec"]["template"].clone()).collect()
        }
        _ => Vec::new(),
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
