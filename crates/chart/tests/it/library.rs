//! The crate as other rooms use it: loading from anywhere, records, properties of merging and of the `--set` grammar.

use crate::command::options;
use chart::values::{UserValues, merge};
use chart::{Chart, DeletePolicy, Error, Hook, HookEvent, Log, Lookup, Values};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn files(list: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    list.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())).collect()
}

fn chart(list: &[(&str, &str)]) -> Chart {
    let mut all = vec![("Chart.yaml", "apiVersion: v2\nname: top\nversion: 0.1.0\n")];
    all.extend_from_slice(list);
    Chart::from_files(files(&all), &|_| Ok(None)).expect("chart")
}

fn render(chart: &Chart) -> Result<chart::Rendered, Error> {
    chart::render(chart, &Values::new(), &options("rel", "space"))
}

#[test]
fn a_dependency_beside_the_chart_is_resolved() {
    let umbrella = "apiVersion: v2\nname: top\nversion: 0.1.0\ndependencies:\n- name: sub\n  version: '*'\n  \
                    repository: file://../sub\n";
    let resolve = |wanted: &chart::Dependency| {
        assert_eq!(wanted.repository, "file://../sub");
        let list = [("Chart.yaml", "apiVersion: v2\nname: sub\nversion: 1.0.0\n"), ("templates/a.yaml", "b: 1\n")];
        Chart::from_files(files(&list), &|_| Ok(None)).map(Some)
    };
    let chart = Chart::from_files(files(&[("Chart.yaml", umbrella)]), &resolve).expect("chart");
    let rendered = render(&chart).expect("rendered");
    assert_eq!(rendered.manifest(), "---\n# Source: top/charts/sub/templates/a.yaml\nb: 1\n\n");
    let alone = Chart::from_files(files(&[("Chart.yaml", umbrella)]), &|_| Ok(None)).expect("chart");
    assert_eq!(render(&alone).expect_err("missing"), Error::MissingDependencies(vec!["sub".into()]));
}

#[test]
fn a_record_keeps_what_helm_keeps() {
    let chart = chart(&[
        ("values.yaml", "a: 1\nb: {c: x}\n"),
        ("templates/a.yaml", "a: {{ .Values.a }}\n"),
        ("values.schema.json", "{}"),
        ("README.md", "hello"),
    ]);
    let record = serde_json::to_value(&chart).expect("record");
    assert_eq!(record["metadata"], json!({"apiVersion": "v2", "name": "top", "version": "0.1.0"}));
    assert_eq!(record["templates"][0], json!({"name": "templates/a.yaml", "data": "YToge3sgLlZhbHVlcy5hIH19Cg=="}));
    assert_eq!((&record["schema"], &record["lock"]), (&json!("e30="), &Value::Null));
    assert_eq!(record["schemamodtime"], "0001-01-01T00:00:00Z");
    let back: Chart = serde_json::from_value(record).expect("chart");
    assert_eq!((back.templates, back.values, back.schema), (chart.templates, chart.values, chart.schema));
    // Helm writes whole floats without a point and reads every number as a float.
    let whole: Chart = serde_json::from_value(json!({"metadata": {}, "values": {"a": 1}})).expect("chart");
    assert!(whole.values["a"].is_f64());
    // What Helm itself writes has nulls where lists are empty.
    let sparse = json!({"metadata": {"name": "x"}, "lock": null, "templates": null, "values": null, "schema": null, "files": null});
    assert!(serde_json::from_value::<Chart>(sparse).is_ok());
}

#[test]
fn hooks_carry_their_annotations() {
    let hook = "kind: Job\nmetadata:\n  name: j\n  annotations:\n    helm.sh/hook: pre-install,post-upgrade\n    \
                helm.sh/hook-weight: \"-5\"\n    helm.sh/hook-delete-policy: hook-succeeded, before-hook-creation\n";
    let rendered = render(&chart(&[("templates/h.yaml", hook)])).expect("rendered");
    assert!(rendered.manifests.is_empty());
    let Hook { name, weight, events, delete_policies, .. } = &rendered.hooks[0];
    assert_eq!((name.as_str(), *weight), ("j", -5));
    assert_eq!(events, &[HookEvent::PreInstall, HookEvent::PostUpgrade]);
    assert_eq!(delete_policies, &[DeletePolicy::HookSucceeded, DeletePolicy::BeforeHookCreation]);
    let json = serde_json::to_value(&rendered.hooks[0]).expect("json");
    assert_eq!(json["events"], json!(["pre-install", "post-upgrade"]));
    assert_eq!(serde_json::from_value::<Hook>(json).expect("hook"), rendered.hooks[0]);
}

#[test]
fn notes_are_rendered_but_no_manifest() {
    let list = [("templates/NOTES.txt", "{{ .Release.Name }}!"), ("templates/a.yaml", "a: 1")];
    let rendered = render(&chart(&list)).expect("rendered");
    assert_eq!((rendered.notes.as_str(), rendered.manifests.len()), ("rel!", 1));
}

struct Cluster;

impl Lookup for Cluster {
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, String> {
        match name {
            "broken" => Err("no answer".into()),
            _ => Ok(json!({"at": format!("{api_version}/{kind}/{namespace}/{name}"), "n": 3})),
        }
    }
}

#[test]
fn lookup_asks_the_cluster() {
    let ask = |text: &str| {
        let mut with = options("rel", "space");
        with.lookup = Some(Arc::new(Cluster));
        chart::render(&chart(&[("templates/a.yaml", text)]), &Values::new(), &with)
    };
    let found = ask("a: {{ (lookup \"v1\" \"Secret\" \"ns\" \"x\").at }}").expect("rendered");
    assert_eq!(found.manifests[0].content, "a: v1/Secret/ns/x");
    let failed = ask("a: {{ lookup \"v1\" \"Secret\" \"ns\" \"broken\" }}").expect_err("failure").to_string();
    assert!(failed.contains("error calling lookup: no answer"), "{failed}");
}

#[test]
fn a_text_that_runs_itself_ends() {
    let list = [("values.yaml", "t: '{{ tpl .Values.t . }}'\n"), ("templates/a.yaml", "a: {{ tpl .Values.t . }}\n")];
    assert!(render(&chart(&list)).expect_err("recursion").to_string().contains("nested more than"));
}

#[test]
fn a_text_of_nothing_but_definitions_may_stand_in_another() {
    let text = "a: {{ tpl \"{{ tpl `{{ define \\\"x\\\" }}y{{ end }}` . }}|\" . | quote }}\n";
    assert_eq!(render(&chart(&[("templates/a.yaml", text)])).expect("rendered").manifests[0].content, "a: \"|\"\n");
}

#[cfg(unix)]
#[test]
fn links_in_a_directory_are_followed_and_mentioned() {
    let directory = tempfile::tempdir().expect("directory");
    let root = directory.path().join("top");
    std::fs::create_dir_all(root.join("templates")).expect("directory");
    std::fs::write(root.join("Chart.yaml"), "apiVersion: v2\nname: top\nversion: 0.1.0\n").expect("file");
    std::fs::write(directory.path().join("outside.yaml"), "\u{feff}a: 1\n").expect("file");
    std::os::unix::fs::symlink(directory.path().join("outside.yaml"), root.join("templates/a.yaml")).expect("link");
    let mut log = Log::default();
    let loaded = chart::load::path(&root, &mut log).expect("chart");
    assert_eq!(*loaded.templates[0].data, *b"a: 1\n");
    assert!(log.0[0].message.starts_with("found symbolic link in path"));
    // A circle ends in an error instead of never.
    std::os::unix::fs::symlink(&root, root.join("circle")).expect("link");
    assert!(chart::load::path(&root, &mut Log::default()).is_err());
}

fn values() -> impl Strategy<Value = Values> {
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), "[a-c]{0,2}".prop_map(Value::from)];
    let tree = leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map("[a-d]", inner.clone(), 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
            prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    });
    prop::collection::btree_map("[a-d]", tree, 0..4).prop_map(|m| m.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_keeps_what_is_laid_over(a in values(), b in values()) {
        prop_assert_eq!(merge(a.clone(), a.clone()), a.clone());
        for (key, value) in &b {
            if !value.is_object() {
                prop_assert_eq!(&merge(a.clone(), b.clone())[key], value);
            }
        }
    }

    #[test]
    fn no_argument_of_set_panics(text in "[a-c.=,{}\\[\\]0-9\\\\ \"-]{0,24}") {
        for user in [
            UserValues { set: vec![text.clone()], ..UserValues::default() },
            UserValues { string: vec![text.clone()], ..UserValues::default() },
            UserValues { json: vec![text.clone()], ..UserValues::default() },
            UserValues { literal: vec![text.clone()], ..UserValues::default() },
            UserValues { file: vec![text.clone()], ..UserValues::default() },
        ] {
            let _ = user.resolve(|name| Ok(name.as_bytes().to_vec()));
        }
    }

    #[test]
    fn a_plain_pair_sets_its_path(path in "[a-z]{1,3}(\\.[a-z]{1,3}){0,3}", text in "[a-zA-Z]{4,9}") {
        prop_assume!(!["true", "null", "false"].contains(&text.to_lowercase().as_str()));
        let user = UserValues { set: vec![format!("{path}={text}")], ..UserValues::default() };
        let set = Value::Object(user.resolve(|_| Err("no files".into())).expect("values"));
        let pointer = format!("/{}", path.replace('.', "/"));
        prop_assert_eq!(set.pointer(&pointer), Some(&Value::from(text)));
    }

    #[test]
    fn rendering_arbitrary_values_never_panics(defaults in values(), user in values()) {
        let defaults = Value::Object(defaults).to_string();
        let chart = chart(&[
            ("values.yaml", defaults.as_str()),
            ("charts/a/Chart.yaml", "apiVersion: v2\nname: a\nversion: 0.1.0\n"),
            ("charts/a/values.yaml", "b: {c: 1}\nglobal: {x: {y: 1}}\n"),
            ("templates/a.yaml", "v: {{ .Values | toRawJson }}\n"),
        ]);
        let _ = chart::render(&chart, &user, &options("rel", "space"));
    }
}

#[test]
fn a_created_chart_lints_and_renders_with_everything_on() {
    let directory = tempfile::tempdir().expect("directory");
    for file in chart::create::files("my-app").expect("files") {
        let path = directory.path().join(&file.name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        std::fs::write(path, &file.data).expect("file");
    }
    let user = UserValues {
        set: vec!["ingress.enabled=true,httpRoute.enabled=true,autoscaling.enabled=true,podLabels.a=b".into()],
        ..UserValues::default()
    };
    let user = user.resolve(|_| Err("no files".into())).expect("values");
    let lint_options = chart::lint::LintOptions { render: options("r", "n"), kube_version: None };
    for user in [&user, &Values::new()] {
        let findings = chart::lint::lint(directory.path(), user, &lint_options, &mut Log::default()).expect("chart");
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["[INFO] Chart.yaml: icon is recommended"]);
    }
    let loaded = chart::load::path(directory.path(), &mut Log::default()).expect("chart");
    let kinds = |user: &Values| {
        let rendered = chart::render(&loaded, user, &options("rel", "space")).expect("rendered");
        assert!(rendered.notes.contains("The application answers") && rendered.hooks.len() == 1);
        rendered.manifests.iter().map(|m| m.kind.clone()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&Values::new()), ["ServiceAccount", "Service", "Deployment"]);
    let all = ["ServiceAccount", "Service", "Deployment", "HorizontalPodAutoscaler", "Ingress", "HTTPRoute"];
    assert_eq!(kinds(&user), all);
}
