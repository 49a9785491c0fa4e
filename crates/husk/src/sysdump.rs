//! `husk sysdump`: everything that a bug report needs, in one archive of bounded size, secrets removed.

use crate::cli;
use crate::cluster::{self, Cluster, api_failure};
use crate::error::{Failure, Result};
use crate::node_jobs::{self, Wanted};
use crate::screen::{Output, Screen};
use crate::status::Picture;
use crate::subject::{Names, Subject};
use contract::Code;
use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::api::ListParams;
use node::redact::{REMOVED, redact};
use release::{Engine, Release};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Most nodes whose hosts are read when nobody says which.
const NODES: usize = 12;
/// Lines of each container's log.
const LINES: i64 = 500;
/// Most bytes of the archive's content, and of one file in it.
const ALL: usize = 64 << 20;
const FILE: usize = 4 << 20;
/// Most objects of one kind.
const OBJECTS: u32 = 1000;

/// Files to be packed, and what was left out.
#[derive(Default)]
struct Dump {
    files: BTreeMap<String, String>,
    size: usize,
    left_out: Vec<String>,
}

impl Dump {
    /// Adds a file, cut to the limits; every text passes here, so every text is redacted.
    fn add(&mut self, name: String, text: &str) {
        let mut text = redact(text);
        if text.len() > FILE {
            let mut end = FILE;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            self.left_out.push(format!("{name}: all but its first {FILE} bytes"));
        }
        if self.size + text.len() > ALL {
            self.left_out.push(format!("{name}: the archive would be too large"));
            return;
        }
        self.size += text.len();
        self.files.insert(name, text);
    }

    fn add_json(&mut self, name: &str, value: &Value) {
        self.add(name.to_owned(), &serde_json::to_string_pretty(value).unwrap_or_default());
    }
}

pub(crate) async fn sysdump(call: cli::Sysdump) -> Result<()> {
    let mut screen = Screen::open(call.output);
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let file = call.file.clone().unwrap_or_else(default_name);
    let mut dump = Dump::default();
    // Each part that cannot be had is named in the archive; the others are worth having all the same.
    let picture = match crate::status::look(&cluster, &names).await {
        Ok(picture) => {
            dump.add_json("status.json", &serde_json::to_value(&picture).map_err(Failure::plain)?);
            Some(picture)
        }
        Err(failure) => {
            dump.left_out.push(format!("status: {failure}"));
            None
        }
    };
    let objects = releases(&cluster, &names, &mut dump).await;
    events(&cluster, &names, &mut dump).await?;
    let wanted = Wanted::read(call.nodes.as_deref());
    if let (Wanted::Named(names), Some(picture)) = (&wanted, &picture) {
        node_jobs::check_names(names, picture.nodes.iter().map(|node| node.name.as_str()))?;
    }
    let chosen = chosen(picture.as_ref(), &wanted);
    for name in &chosen {
        match crate::logs::of_node(&cluster, &names.namespace, name, LINES, false).await {
            Ok(text) => dump.add(format!("nodes/{name}/installer.log"), &text),
            Err(failure) => dump.left_out.push(format!("log of {name}: {failure}")),
        }
    }
    if let Some(pod) = node_jobs::node_pod(&objects)
        && !chosen.is_empty()
    {
        let names: Vec<&str> = chosen.iter().map(String::as_str).collect();
        let bound = crate::phases::spell(call.timeout);
        screen.step("ask", &format!("by short Jobs: {}; {bound} at most", crate::status::names(&names)));
        match node_jobs::ask(&cluster.client, &pod, &chosen, &["dump", "--host-root", "/host"], call.timeout).await {
            Ok(answers) => answers.into_iter().for_each(|(name, answer)| host(&name, &answer, &mut dump)),
            Err(failure) => dump.left_out.push(format!("hosts: {failure}")),
        }
    }
    let left_out = dump.left_out.join("\n");
    dump.add("left-out.txt".to_owned(), &left_out);
    let count = dump.files.len();
    let size = pack(&file, &dump.files)?;
    if call.output == Output::Json {
        return crate::up::print_json(
            &json!({"schema": "husk.sysdump/v1", "file": file, "files": count, "bytes": size,
            "nodes": chosen, "leftOut": dump.left_out}),
        );
    }
    let size = crate::blast::bytes(size);
    screen.step(
        "archive",
        &format!("{}: {count} files, {size}; secrets were removed, look it over before you send it", file.display()),
    );
    Ok(())
}

fn default_name() -> PathBuf {
    PathBuf::from(format!("husk-sysdump-{}.tar.gz", jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S")))
}

/// Adds the release's records without the values of Secrets; returns the newest one's objects.
async fn releases(cluster: &Cluster, names: &Names, dump: &mut Dump) -> Vec<Value> {
    let engine = Engine::new(cluster.client.clone(), &names.namespace);
    let history = match engine.history(&names.release).await {
        Ok(history) => history,
        Err(error) => {
            dump.left_out.push(format!("release records: {error}"));
            return Vec::new();
        }
    };
    let parsed = |release: &Release| {
        crate::subject::parse(&release.manifest, release.hooks.iter().map(|hook| hook.manifest.as_str()))
    };
    for release in &history {
        let objects: Vec<Value> = parsed(release).unwrap_or_default().into_iter().map(without_data).collect();
        let record = json!({
            "name": release.name, "namespace": release.namespace, "revision": release.version,
            "status": release.info.status.to_string(), "description": release.info.description,
            "chart": format!("{} {}", release.chart_field("name"), release.chart_field("version")),
            "values": masked(&Value::Object(release.config.clone())), "objects": objects,
        });
        dump.add_json(&format!("release/revision-{}.json", release.version), &record);
    }
    history.last().map(|release| parsed(release).unwrap_or_default()).unwrap_or_default()
}

/// A Secret without its values.
fn without_data(mut object: Value) -> Value {
    if object["kind"] == "Secret" {
        for key in ["data", "stringData"] {
            for (_, value) in object[key].as_object_mut().into_iter().flatten() {
                *value = REMOVED.into();
            }
        }
    }
    object
}

/// Values whose names say that they are secrets are masked at any depth; line-wise redaction would miss nested ones.
fn masked(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                let lower = key.to_ascii_lowercase();
                let secret =
                    ["password", "token", "secret", "credential", "privatekey"].iter().any(|w| lower.contains(w));
                let kept = !secret || matches!(value, Value::Bool(_) | Value::Null) || lower.ends_with("secrets");
                (key.clone(), if kept { masked(value) } else { REMOVED.into() })
            })
            .collect(),
        Value::Array(items) => items.iter().map(masked).collect(),
        other => other.clone(),
    }
}

async fn events(cluster: &Cluster, names: &Names, dump: &mut Dump) -> Result<()> {
    let parameters = ListParams::default().limit(OBJECTS);
    // Events about Nodes are in `default`.
    for namespace in BTreeSet::from([names.namespace.as_str(), "default"]) {
        let api: Api<Event> = Api::namespaced(cluster.client.clone(), namespace);
        let list = api.list(&parameters).await.map_err(api_failure)?;
        let lines: Vec<String> = list
            .items
            .iter()
            .map(|event| {
                let about = &event.involved_object;
                format!(
                    "{} {} {} {}/{}: {}",
                    event.last_timestamp.as_ref().map(|time| time.0.to_string()).unwrap_or_default(),
                    event.type_.as_deref().unwrap_or_default(),
                    event.reason.as_deref().unwrap_or_default(),
                    about.kind.as_deref().unwrap_or_default(),
                    about.name.as_deref().unwrap_or_default(),
                    event.message.as_deref().unwrap_or_default()
                )
            })
            .collect();
        dump.add(format!("events-{namespace}.txt"), &lines.join("\n"));
    }
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &names.namespace);
    let pods = pods.list(&parameters).await.map_err(api_failure)?;
    let statuses: Vec<Value> = pods
        .items
        .iter()
        .map(|pod| json!({"name": pod.metadata.name, "node": pod.spec.as_ref().map(|s| &s.node_name), "status": pod.status}))
        .collect();
    dump.add_json("pods.json", &Value::Array(statuses));
    Ok(())
}

/// Nodes to look at: those that are not converged first, and one other to compare with.
fn chosen(picture: Option<&Picture>, wanted: &Wanted) -> Vec<String> {
    let nodes = picture.map(|picture| picture.nodes.as_slice()).unwrap_or_default();
    let selected = || nodes.iter().filter(|node| node.selected);
    match wanted {
        Wanted::None => Vec::new(),
        Wanted::Named(names) => names.clone(),
        Wanted::All => selected().map(|node| node.name.clone()).collect(),
        Wanted::Sample => {
            let bad = selected().filter(|node| !node.converged()).take(NODES - 1);
            let good = selected().filter(|node| node.converged()).take(1);
            bad.chain(good).map(|node| node.name.clone()).collect()
        }
    }
}

/// Unpacks what a host said: one file for each of its files.
fn host(name: &str, answer: &node_jobs::Answer, dump: &mut Dump) {
    match serde_json::from_str::<BTreeMap<String, String>>(answer.output.trim()) {
        Ok(files) => {
            for (path, text) in files {
                // Paths come from a host: nothing of them may point out of the archive.
                let clean =
                    path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect::<Vec<_>>().join("/");
                dump.add(format!("nodes/{name}/host/{clean}"), &text);
            }
        }
        Err(_) => {
            let why = answer.trouble.clone().unwrap_or_else(|| answer.output.chars().take(300).collect());
            dump.left_out.push(format!("host {name}: {why}"));
        }
    }
}

/// Writes the archive; returns its size.
fn pack(file: &Path, files: &BTreeMap<String, String>) -> Result<u64> {
    let fail = |error: std::io::Error| Failure::new(Code::UNREADABLE_FILE, format!("{}: {error}", file.display()));
    let root = file.file_name().and_then(|name| name.to_str()).unwrap_or("husk-sysdump");
    let root = root.split('.').next().unwrap_or("husk-sysdump").to_owned();
    let out = std::fs::File::create(file).map_err(fail)?;
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("{root}/{name}"), text.as_bytes()).map_err(fail)?;
    }
    archive.into_inner().and_then(GzEncoder::finish).map_err(fail)?;
    std::fs::metadata(file).map(|metadata| metadata.len()).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_leave_values_objects_and_texts() {
        let values = json!({"a": {"registryPassword": "x", "imagePullSecrets": [{"name": "n"}], "token": false}});
        let masked = masked(&values);
        assert_eq!(masked["a"]["registryPassword"], REMOVED);
        assert_eq!(masked["a"]["imagePullSecrets"][0]["name"], "n");
        let secret = without_data(json!({"kind": "Secret", "data": {"k": "c2VjcmV0"}}));
        assert_eq!(secret["data"]["k"], REMOVED);
        let mut dump = Dump::default();
        dump.add("f".into(), "token: abc");
        assert!(!dump.files["f"].contains("abc"));
    }

    #[test]
    fn the_archive_is_bounded_and_paths_stay_inside() {
        let mut dump = Dump::default();
        dump.add("big".into(), &"x\n".repeat(FILE));
        assert!(dump.files["big"].len() <= FILE && dump.left_out.len() == 1);
        let answer = node_jobs::Answer { output: r#"{"/../../etc/x": "y"}"#.into(), ..Default::default() };
        host("n", &answer, &mut dump);
        assert!(dump.files.contains_key("nodes/n/host/etc/x"), "{:?}", dump.files.keys());
        let directory = tempfile::tempdir().unwrap();
        let size = pack(&directory.path().join("d.tar.gz"), &dump.files).unwrap();
        assert!(size > 0 && size < 1 << 20);
    }
}
