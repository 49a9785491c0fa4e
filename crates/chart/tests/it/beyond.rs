//! What Helm has no command for: the scan for GitOps, on small charts.

use crate::command::options;
use chart::gitops::{self, Risk};
use chart::{Chart, Values};
use std::sync::Arc;
use std::time::Duration;

fn chart(list: &[(&str, &str)]) -> Chart {
    let head = ("Chart.yaml", "apiVersion: v2\nname: top\nversion: 0.1.0\n");
    let files = std::iter::once(&head).chain(list).map(|(name, text)| (name.to_string(), text.as_bytes().to_vec()));
    Chart::from_files(files.collect(), &|_| Ok(None)).expect("chart")
}

const UNSTABLE: &[(&str, &str)] = &[
    (
        "templates/secret.yaml",
        "{{- /* now lookup */}}\nkind: Secret\nmetadata:\n  name: s\n  annotations:\n    at/time: {{ now | date \"2006\" | quote }}\n\
         data:\n  password: {{ randAlphaNum 8 | b64enc }}\n  old: {{ (lookup \"v1\" \"Secret\" \"n\" \"s\").data | toYaml | b64enc }}\n",
    ),
    (
        "templates/job.yaml",
        "kind: Job\nmetadata:\n  name: j\n  annotations:\n    helm.sh/hook: pre-install\n    helm.sh/hook-weight: \"1\"\n\
         install: {{ .Release.IsInstall }}\n",
    ),
    ("charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 0.1.0\n"),
    ("charts/sub/templates/_id.tpl", "{{ define \"id\" }}\n{{ uuidv4 }}{{ end }}"),
];

#[test]
fn every_place_is_found_with_line_and_column() {
    let found = gitops::scan(&chart(UNSTABLE), &options("rel", "space")).expect("scanned");
    let shown: Vec<String> =
        found.iter().map(|p| format!("{}:{}:{} {} {}", p.path, p.line, p.column, p.risk, p.what)).collect();
    let wanted = [
        "charts/sub/templates/_id.tpl:2:4 random uuidv4",
        "templates/job.yaml:5:5 hook helm.sh/hook pre-install",
        "templates/job.yaml:7:13 release .Release.IsInstall",
        "templates/secret.yaml:6:17 time now",
        "templates/secret.yaml:8:16 random randAlphaNum",
        "templates/secret.yaml:9:12 lookup lookup",
    ];
    assert_eq!(shown, wanted);
    assert!(Risk::Random.is_unstable() && !Risk::Hook.is_unstable());
}

#[test]
fn two_renderings_show_what_really_differs() {
    let mut first = options("rel", "space");
    first.entropy = Arc::new(|bytes| bytes.fill(1));
    let mut second = first.clone();
    second.entropy = Arc::new(|bytes| bytes.fill(2));
    second.now += Duration::from_secs(400 * 24 * 3600);
    let found = gitops::differences(&chart(UNSTABLE), &Values::new(), [&first, &second]).expect("rendered");
    let shown: Vec<String> = found.iter().map(|d| format!("{} {} {}", d.path, d.object, d.field)).collect();
    assert_eq!(
        shown,
        [
            "top/templates/secret.yaml Secret/s data.password",
            "top/templates/secret.yaml Secret/s metadata.annotations[\"at/time\"]"
        ]
    );
    let none = gitops::differences(&chart(UNSTABLE), &Values::new(), [&first, &first]).expect("rendered");
    assert!(none.is_empty());
}
