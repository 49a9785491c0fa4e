//! A real API server as the judge of what our charts render: everything that every values file of the tests gives is applied
//! with `--dry-run=server`, the Jobs of single nodes included, which otherwise the dispatcher creates.

use crate::helm::{copy_of_charts, values_files};
use crate::kubectl::{Kubectl, documents};
use crate::programs::husk;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The values files that are also rendered with `global.state: absent`.
const REMOVED: [&str; 3] = ["01-defaults.yaml", "18-job-defaults.yaml", "14-containerd-only.yaml"];
/// The namespace of the releases.
const NAMESPACE: &str = "husk-charts";

pub(crate) fn check(kubeconfig: &Path, given_husk: Option<PathBuf>) -> Result<(), String> {
    let cluster = Kubectl::find(kubeconfig)?;
    let husk = husk(given_husk)?;
    let charts = copy_of_charts(&husk)?;
    // Kinds and namespaces have to be there for real: a dry run leaves nothing for the next one.
    let mut namespaces = BTreeSet::from(["default".to_owned()]);
    for entry in std::fs::read_dir(charts.path().join("charts/kata-deploy/charts/node-feature-discovery/crds"))
        .map_err(|error| error.to_string())?
        .flatten()
    {
        cluster.apply(&[], &std::fs::read_to_string(entry.path()).map_err(|error| error.to_string())?)?;
    }

    let (mut passed, mut objects, mut failed) = (0, 0, Vec::new());
    for (chart, file) in values_files()? {
        // The removal depends on little of what values say.
        let removal = REMOVED.iter().any(|name| file.ends_with(name));
        for state in if removal { &["present", "absent"][..] } else { &["present"] } {
            let rendered = Command::new(&husk)
                .args(["helm", "template", "release-name"])
                .arg(charts.path().join("charts").join(chart))
                .args(["--namespace", NAMESPACE, "--set", &format!("global.state={state}"), "--values"])
                .arg(&file)
                .output()
                .map_err(|error| error.to_string())?;
            if !rendered.status.success() {
                continue; // refused; the tests know which
            }
            let text = String::from_utf8_lossy(&rendered.stdout).into_owned();
            for namespace in namespaces_of(&text)? {
                if namespaces.insert(namespace.clone()) {
                    cluster
                        .apply(&[], &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"))?;
                }
            }
            let with_nodes = format!("{text}\n{}", node_jobs(&text)?);
            objects += with_nodes.matches("\nkind: ").count();
            match cluster.apply(&["--dry-run=server"], &with_nodes) {
                Ok(()) => passed += 1,
                Err(error) => failed.push(format!("{} ({state}): {error}", file.display())),
            }
        }
    }
    println!("{passed} renderings with {objects} objects accepted, {} refused", failed.len());
    match failed.as_slice() {
        [] if passed > 0 => Ok(()),
        [] => Err("nothing was rendered".to_owned()),
        failed => Err(failed.join("\n")),
    }
}

/// The namespaces that rendered objects are in; not all of them are the release's.
fn namespaces_of(rendered: &str) -> Result<BTreeSet<String>, String> {
    let mut namespaces = BTreeSet::new();
    for object in documents(rendered)? {
        namespaces.extend(object["metadata"]["namespace"].as_str().map(str::to_owned));
    }
    Ok(namespaces)
}

/// The Jobs that the dispatcher makes of the templates in a ConfigMap, as one node would get them.
fn node_jobs(rendered: &str) -> Result<String, String> {
    let mut jobs = String::new();
    for object in documents(rendered)? {
        if object["kind"] != "ConfigMap" {
            continue;
        }
        for (key, text) in object["data"].as_object().into_iter().flatten() {
            let Some(mut job) = text.as_str().and_then(|text| goyaml::to_json(text).ok()) else { continue };
            if job["kind"] != "Job" {
                continue;
            }
            job["metadata"]["name"] = Value::from(format!("node-{}", key.trim_end_matches(".yaml")));
            job["metadata"]["namespace"] = NAMESPACE.into();
            job["spec"]["template"]["spec"]["nodeName"] = "node".into();
            jobs.push_str(&format!(
                "---\nkind: Job\n{}",
                goyaml::to_yaml(&without_kind(job)).map_err(|error| error.to_string())?
            ));
        }
    }
    Ok(jobs)
}

/// `kind` is written first, where objects are counted by it.
fn without_kind(mut job: Value) -> Value {
    if let Some(map) = job.as_object_mut() {
        map.remove("kind");
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_is_seen() {
        let rendered = "kind: A\nmetadata: {namespace: x}\n---\nkind: B\n---\nkind: C\nmetadata:\n  namespace: z\n";
        assert_eq!(namespaces_of(rendered).unwrap().into_iter().collect::<Vec<_>>(), ["x", "z"]);
    }

    #[test]
    fn templates_of_node_jobs_become_jobs() {
        let rendered = "kind: Service\n---\n# Source: x\napiVersion: v1\nkind: ConfigMap\ndata:\n  install.yaml: |\n    apiVersion: batch/v1\n    kind: Job\n    metadata: {}\n    spec: {template: {spec: {}}}\n  other: text\n";
        let jobs = node_jobs(rendered).unwrap();
        assert!(jobs.contains("name: node-install") && jobs.contains("nodeName: node"), "{jobs}");
        assert_eq!(jobs.matches("kind: Job").count(), 1);
    }
}
