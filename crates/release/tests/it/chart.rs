//! A chart, from its files to the cluster.

use crate::cluster::{TestCluster, no_values, quick};
use chart::{File, Log};
use release::{ChartSource, Options, Reuse};
use serde_json::{Value, json};
use std::sync::Arc;

const CFG: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-cfg
data:
  replicas: {{ .Values.replicas | quote }}
  color: {{ .Values.color }}
  first: {{ .Release.IsInstall | quote }}
  revision: {{ .Release.Revision | quote }}
  version: {{ .Capabilities.KubeVersion.Version }}
  jobs: {{ .Capabilities.APIVersions.Has "batch/v1/Job" | quote }}
  before: {{ (lookup "v1" "ConfigMap" .Release.Namespace "seen").data | toJson | quote }}
"#;

const HOOK: &str = r#"apiVersion: batch/v1
kind: Job
metadata:
  name: seed
  annotations:
    "helm.sh/hook": post-install
    "helm.sh/hook-weight": "3"
    "helm.sh/hook-delete-policy": hook-succeeded
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: main, image: x}]}
"#;

fn source(defaults: &str) -> Arc<ChartSource> {
    let files = vec![
        File::new("Chart.yaml", "apiVersion: v2\nname: tiny\nversion: 1.2.3\nkubeVersion: '>=1.30.0-0'\n"),
        File::new("values.yaml", defaults),
        File::new("templates/cfg.yaml", CFG),
        File::new("templates/seed.yaml", HOOK),
        File::new("templates/NOTES.txt", "Thanks for {{ .Release.Name }}."),
    ];
    let chart = chart::load::files(files, &mut Log::default()).unwrap();
    Arc::new(ChartSource::new(chart, Arc::new(|bytes: &mut [u8]| bytes.fill(7))))
}

#[tokio::test]
async fn templates_see_the_cluster_and_the_release() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    cluster
        .put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seen"}, "data": {"a": "b"}}))
        .await;
    let release = engine.install("web", source("replicas: 2\ncolor: red\n"), no_values(), &quick()).await.unwrap();
    assert_eq!(release.info.notes, "Thanks for web.");
    assert!(
        release.manifest.starts_with("---\n# Source: tiny/templates/cfg.yaml\napiVersion: v1\n"),
        "{}",
        release.manifest
    );
    let hook = &release.hooks[0];
    assert_eq!((hook.name.as_str(), hook.weight, hook.path.as_str()), ("seed", 3, "tiny/templates/seed.yaml"));
    assert_eq!(
        (hook.delete_policies.as_slice(), hook.last_run.phase.as_str()),
        (["hook-succeeded".to_owned()].as_slice(), "Succeeded")
    );
    let data = cluster.config_map("web-cfg").await.unwrap()["data"].clone();
    let wanted = json!({
        "replicas": "2", "color": "red", "first": "true", "revision": "1", "version": "v1.34.4", "jobs": "true",
        "before": "{\"a\":\"b\"}"
    });
    assert_eq!(data, wanted);
    let stored = engine.get("web", 1).await.unwrap();
    assert_eq!((stored.chart_field("name"), stored.chart_field("version")), ("tiny", "1.2.3"));
    assert_eq!(stored.chart["templates"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn old_defaults_can_be_kept() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let values = |value: Value| value.as_object().unwrap().clone();
    engine.install("web", source("replicas: 2\ncolor: red\n"), values(json!({"replicas": 5})), &quick()).await.unwrap();
    for (reuse, replicas, color) in
        [(Reuse::WhenNoneGiven, "5", "blue"), (Reuse::WithOldDefaults, "5", "blue"), (Reuse::Never, "3", "blue")]
    {
        let options = Options { reuse, ..quick() };
        engine.upgrade("web", source("replicas: 3\ncolor: blue\n"), no_values(), &options).await.unwrap();
        let data = cluster.config_map("web-cfg").await.unwrap()["data"].clone();
        assert_eq!((data["replicas"].as_str(), data["color"].as_str()), (Some(replicas), Some(color)), "{reuse:?}");
        assert_eq!(data["first"], "false");
    }
    let options = Options { reuse: Reuse::WithOldDefaults, ..quick() };
    let release = engine.upgrade("web", source("replicas: 9\ncolor: green\n"), no_values(), &options).await.unwrap();
    assert_eq!(cluster.config_map("web-cfg").await.unwrap()["data"]["color"], "blue");
    assert!(release.config.is_empty());
}

#[tokio::test]
async fn a_template_that_fails_changes_nothing() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let files = vec![
        File::new("Chart.yaml", "apiVersion: v2\nname: tiny\nversion: 1.2.3\n"),
        File::new("templates/x.yaml", "{{ required \"a color is needed\" .Values.color }}"),
    ];
    let chart = chart::load::files(files, &mut Log::default()).unwrap();
    let source = Arc::new(ChartSource::new(chart, Arc::new(|_: &mut [u8]| {})));
    let error = engine.install("web", source, no_values(), &quick()).await.unwrap_err();
    assert_eq!(error.to_string(), "execution error at (tiny/templates/x.yaml:1:3): a color is needed");
    assert!(engine.history("web").await.is_err());
}
