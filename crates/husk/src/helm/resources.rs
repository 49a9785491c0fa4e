//! The live objects of a release, as `helm status` shows them: the tables of the API server, or the objects.

use kube::Client;
use release::cluster::Resource;
use release::{Engine, Release};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What asks for a table.
const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// Kinds whose pods are shown too.
const WITH_PODS: &[&str] = &["DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"];

/// Objects by `version/Kind`, each kind in the order of the manifest.
pub(super) type Resources = BTreeMap<String, Vec<Value>>;

/// Reads the objects of a release and the pods behind them.
pub(super) async fn of(engine: &Engine, client: &Client, release: &Release, tables: bool) -> Result<Resources, String> {
    let mut found = Resources::new();
    let mut selectors: Vec<String> = Vec::new();
    for live in engine.objects(release).await.map_err(|error| error.to_string())? {
        if live.object.is_null() {
            continue;
        }
        let (version, kind) =
            (live.object["apiVersion"].as_str().unwrap_or_default(), live.object["kind"].as_str().unwrap_or_default());
        let key = format!("{}/{kind}", version.rsplit('/').next().unwrap_or_default());
        let resource = engine.cluster.resource(version, kind).await.map_err(|error| error.to_string())?;
        let Some(resource) = resource else { continue };
        let name = live.object["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = live.object["metadata"]["namespace"].as_str().unwrap_or_default();
        let shown = if tables { table(client, &path(&resource, namespace, name)).await? } else { live.object.clone() };
        found.entry(key).or_default().push(shown);
        let Some(selector) = selector(&live.object).filter(|_| WITH_PODS.contains(&kind)) else { continue };
        if selectors.contains(&selector) {
            continue;
        }
        let pods = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={}", encoded(&selector));
        selectors.push(selector);
        let answer = if tables { table(client, &pods).await? } else { get(client, &pods, "application/json").await? };
        let list = found.entry("v1/Pod(related)".to_owned()).or_default();
        if tables {
            list.push(answer);
        } else if let Value::Array(items) = &answer["items"] {
            let whole = |item: &Value| {
                let mut item = item.clone();
                item["apiVersion"] = "v1".into();
                item["kind"] = "Pod".into();
                item
            };
            list.extend(items.iter().map(whole));
        }
    }
    found.retain(|_, objects| !objects.is_empty());
    Ok(found)
}

fn path(resource: &Resource, namespace: &str, name: &str) -> String {
    let root = if resource.api_version.contains('/') { "/apis" } else { "/api" };
    let place = if resource.namespaced { format!("/namespaces/{namespace}") } else { String::new() };
    format!("{root}/{}{place}/{}/{name}", resource.api_version, resource.plural)
}

fn selector(object: &Value) -> Option<String> {
    let selector = &object["spec"]["selector"];
    let labels = selector.get("matchLabels").unwrap_or(selector).as_object()?;
    let mut pairs: Vec<String> =
        labels.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    pairs.sort();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
        out
    })
}

async fn table(client: &Client, path: &str) -> Result<Value, String> {
    get(client, path, AS_TABLE).await
}

async fn get(client: &Client, path: &str, accept: &str) -> Result<Value, String> {
    let request = http_request(path, accept)?;
    client.request::<Value>(request).await.map_err(|error| error.to_string())
}

fn http_request(path: &str, accept: &str) -> Result<http::Request<Vec<u8>>, String> {
    http::Request::get(path).header("Accept", accept).body(Vec::new()).map_err(|error| error.to_string())
}

/// The tables one below the other.
pub(super) fn print(resources: &Resources) -> String {
    let mut text = String::new();
    for (kind, tables) in resources {
        let _ = writeln!(text, "==> {kind}");
        let mut before: Option<Vec<String>> = None;
        for table in tables {
            let columns = columns(table);
            let mut rows: Vec<Vec<String>> = Vec::new();
            let names: Vec<String> = columns.iter().map(|(_, name)| name.to_uppercase()).collect();
            if before.as_ref() != Some(&names) {
                rows.push(names.clone());
                before = Some(names);
            }
            for row in table["rows"].as_array().into_iter().flatten() {
                rows.push(columns.iter().map(|(place, _)| cell(&row["cells"][*place])).collect());
            }
            aligned(&rows, &mut text);
        }
        text.push('\n');
    }
    text
}

/// The columns of a table that are always shown, with their places.
fn columns(table: &Value) -> Vec<(usize, String)> {
    let columns = table["columnDefinitions"].as_array().into_iter().flatten().enumerate();
    let always = columns.filter(|(_, column)| column["priority"].as_i64().unwrap_or(0) == 0);
    always.map(|(place, column)| (place, column["name"].as_str().unwrap_or_default().to_owned())).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    }
}

/// Writes rows as kubectl does: three blanks between columns, none behind the last.
fn aligned(rows: &[Vec<String>], text: &mut String) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(|column| (width(column) + 3).max(6)).collect();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            if column + 1 == row.len() {
                text.push_str(cell);
            } else {
                let _ = write!(text, "{cell:<width$}", width = widths[column]);
            }
        }
        text.push('\n');
    }
}
