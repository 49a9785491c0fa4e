//! What Helm has no command for, on small charts: the scan for GitOps, inferred schemas, explanations.

use crate::command::options;
use chart::gitops::{self, Risk};
use chart::{Chart, Values, explain, infer};
use serde_json::json;
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

const CONFIGURED: &[(&str, &str)] = &[
    (
        "values.yaml",
        "replicas: 1\nname: x\nnothing: null\nports: [80]\nimage: {tag: v1}\nresources: {limits: {}}\nsub: {active: true}\n",
    ),
    (
        "templates/a.yaml",
        "{{ with .Values.image }}t: {{ .tag }}{{ .digest }}{{ end }}\nr: {{ .Values.replicas }}\nq: {{ .Values.extra.deep }}\n\
         {{ if .Values.flag }}{{ end }}{{ toYaml .Values.resources }}\n{{ range $k, $v := .Values.env }}{{ $v.from }}{{ end }}\n",
    ),
    ("charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 0.1.0\n"),
    ("charts/sub/values.yaml", "own: text\n"),
];

#[test]
fn a_schema_is_inferred_from_defaults_and_use() {
    let schema = infer::schema(&chart(CONFIGURED), &options("rel", "space")).expect("inferred");
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["additionalProperties"], false);
    let wanted = json!({
        "env": {},
        "extra": {"type": ["object", "null"], "properties": {"deep": {}}, "additionalProperties": false},
        "flag": {},
        "global": {"type": "object"},
        "image": {"type": "object", "properties": {"digest": {}, "tag": {"type": "string"}}, "additionalProperties": false},
        "name": {"type": "string"},
        "nothing": {},
        "ports": {"type": "array", "items": {"type": "integer"}},
        "replicas": {"type": "integer"},
        "resources": {"type": "object", "properties": {"limits": {"type": "object"}}},
        "sub": {
            "type": "object",
            "properties": {"active": {"type": "boolean"}, "global": {"type": "object"}, "own": {"type": "string"}},
            "additionalProperties": false
        },
    });
    assert_eq!(schema["properties"], wanted);
}

#[test]
fn an_inferred_schema_takes_the_defaults_and_refuses_what_has_no_effect() {
    let mut chart = chart(CONFIGURED);
    let schema = infer::schema(&chart, &options("rel", "space")).expect("inferred");
    chart.schema = Some(schema.to_string().into_bytes().into());
    let render = |text: &str| {
        let user: Values = serde_json::from_str(text).expect("values");
        chart::render::render_files(&chart, &user, &options("rel", "space"), &mut chart::Log::default())
    };
    for good in [
        r#"{"extra": {"deep": 1}}"#,
        r#"{"extra": {}, "resources": {"requests": {"cpu": 1}}, "env": {"A": {"from": "b"}}, "global": {"x": 1}}"#,
    ] {
        render(good).expect(good);
    }
    for bad in
        [r#"{"extra": {}, "unknown": 1}"#, r#"{"image": {"tga": "v2"}}"#, r#"{"name": 3}"#, r#"{"sub": {"onw": ""}}"#]
    {
        assert!(matches!(render(bad), Err(chart::Error::Schema(_))), "{bad}");
    }
}

#[test]
fn a_failure_is_explained_with_line_caret_value_and_nearest_name() {
    let explained = |template: &str| {
        let values = ("values.yaml", "image:\n  repository: x\n");
        let chart = chart(&[values, ("templates/a.yaml", template)]);
        let options = options("rel", "space");
        let error = chart::render(&chart, &Values::new(), &options).expect_err(template);
        explain::explain(&chart, &Values::new(), &options, &error.to_string())
    };
    assert_eq!(
        explained("a: 1\n\tb: {{ .Values.imgae.repository }}\n"),
        "top/templates/a.yaml:2\n  2 | \tb: {{ .Values.imgae.repository }}\n    | \t      ^^^^^^^^^^^^^^^^^^^^^^^^\n\
         value `imgae` is not set; did you mean `image`?\n"
    );
    assert_eq!(
        explained("a: {{ .Values.image.repository | qoute }}\n"),
        "top/templates/a.yaml:1\n  1 | a: {{ .Values.image.repository | qoute }}\n    |                                  ^^^^^\n\
         `qoute`: did you mean `quote`?\n"
    );
    assert_eq!(
        explained("a: {{ required \"give one\" .Values.image.tag }}\n"),
        "top/templates/a.yaml:1\n  1 | a: {{ required \"give one\" .Values.image.tag }}\n    |       ^\n\
         value `image.tag` is not set\n"
    );
    let none = explain::explain(&chart(&[]), &Values::new(), &options("rel", "space"), "no place at all");
    assert!(none.is_empty());
}
