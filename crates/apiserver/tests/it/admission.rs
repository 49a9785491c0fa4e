//! Defaults, admission and validation.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::{message, raw, server};

fn pod(name: &str, extra: Value) -> Pod {
    let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "busybox:1"}]}});
    json_patch::merge(&mut pod, &extra);
    serde_json::from_value(pod).unwrap()
}

#[tokio::test]
async fn a_pod_gets_what_a_real_cluster_gives_it() {
    let (_server, client) = server();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let made = pods.create(&PostParams::default(), &pod("a", json!({}))).await.unwrap();
    let spec = made.spec.unwrap();
    assert_eq!(spec.service_account_name.as_deref(), Some("default"));
    assert_eq!((spec.restart_policy.as_deref(), spec.dns_policy.as_deref()), (Some("Always"), Some("ClusterFirst")));
    assert_eq!(spec.termination_grace_period_seconds, Some(30));
    let volume = &spec.volumes.unwrap()[0];
    assert!(volume.name.starts_with("kube-api-access-"), "{volume:?}");
    assert_eq!(spec.containers[0].volume_mounts.as_ref().unwrap()[0].name, volume.name);
    assert_eq!(spec.tolerations.unwrap().len(), 2);
    let status = made.status.unwrap();
    assert_eq!((status.phase.as_deref(), status.qos_class.as_deref()), (Some("Pending"), Some("BestEffort")));
    let off = pod("b", json!({"spec": {"automountServiceAccountToken": false}}));
    let made = pods.create(&PostParams::default(), &off).await.unwrap();
    assert_eq!(made.spec.unwrap().volumes, None);
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    let patch = Patch::Merge(json!({"automountServiceAccountToken": false}));
    accounts.patch("default", &PatchParams::default(), &patch).await.unwrap();
    let made = pods.create(&PostParams::default(), &pod("c", json!({}))).await.unwrap();
    assert_eq!(made.spec.unwrap().volumes, None);
}

#[tokio::test]
async fn a_runtime_class_must_exist_and_brings_its_overhead() {
    let (_server, client) = server();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let wants = pod("a", json!({"spec": {"runtimeClassName": "kata"}}));
    let (code, text) = message(pods.create(&PostParams::default(), &wants).await);
    assert_eq!((code, text.as_str()), (403, "pods \"a\" is forbidden: pod rejected: RuntimeClass \"kata\" not found"));
    let classes: Api<RuntimeClass> = Api::all(client);
    let class = |handler: &str| -> RuntimeClass {
        serde_json::from_value(json!({"metadata": {"name": "kata"}, "handler": handler,
            "overhead": {"podFixed": {"memory": "130Mi", "cpu": "250m"}},
            "scheduling": {"nodeSelector": {"kata": "true"}, "tolerations": [{"key": "x", "operator": "Exists"}]}}))
        .unwrap()
    };
    let (code, text) = message(classes.create(&PostParams::default(), &class("Bad_Handler")).await);
    assert!(code == 422 && text.starts_with("RuntimeClass.node.k8s.io \"kata\" is invalid: handler: Invalid value: \"Bad_Handler\": a lowercase RFC 1123 label"), "{text}");
    classes.create(&PostParams::default(), &class("kata")).await.unwrap();
    let (code, text) =
        message(classes.patch("kata", &PatchParams::default(), &Patch::Merge(json!({"handler": "other"}))).await);
    assert!(code == 422 && text.ends_with("handler: Invalid value: \"other\": field is immutable"), "{text}");
    let made = pods.create(&PostParams::default(), &wants).await.unwrap().spec.unwrap();
    assert_eq!(made.overhead.unwrap()["memory"].0, "130Mi");
    assert_eq!(made.node_selector.unwrap()["kata"], "true");
    assert!(made.tolerations.unwrap().iter().any(|t| t.key.as_deref() == Some("x")));
}

#[tokio::test]
async fn a_job_gets_labels_and_selector_and_keeps_its_template() {
    let (_server, client) = server();
    let jobs: Api<Job> = Api::namespaced(client, "default");
    let job = |policy: Option<&str>| -> Job {
        serde_json::from_value(json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
            "restartPolicy": policy, "containers": [{"name": "c", "image": "x"}]}}}}))
        .unwrap()
    };
    let (code, text) = message(jobs.create(&PostParams::default(), &job(None)).await);
    assert_eq!(code, 422);
    assert_eq!(
        text,
        "Job.batch \"j\" is invalid: spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""
    );
    let made = jobs.create(&PostParams::default(), &job(Some("Never"))).await.unwrap();
    let uid = made.metadata.uid.unwrap();
    let spec = made.spec.unwrap();
    assert_eq!((spec.backoff_limit, spec.completions, spec.parallelism), (Some(6), Some(1), Some(1)));
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    for (key, value) in
        [("batch.kubernetes.io/controller-uid", uid.as_str()), ("batch.kubernetes.io/job-name", "j"), ("job-name", "j")]
    {
        assert_eq!(labels[key], value);
    }
    assert_eq!(spec.selector.unwrap().match_labels.unwrap()["batch.kubernetes.io/controller-uid"], uid);
    let change = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "y"}]}}}});
    let (code, text) = message(jobs.patch("j", &PatchParams::default(), &Patch::Strategic(change)).await);
    assert!(
        code == 422 && text.contains("spec.template: Invalid value") && text.ends_with("field is immutable"),
        "{text}"
    );
    // The same Job applied a second time changes nothing, though the server added labels to it.
    let again = job(Some("Never"));
    let mut again = serde_json::to_value(again).unwrap();
    again["apiVersion"] = "batch/v1".into();
    again["kind"] = "Job".into();
    let params = PatchParams::apply("t").force();
    jobs.patch("j", &params, &Patch::Apply(&again)).await.unwrap();
    let labels = jobs.get("j").await.unwrap().spec.unwrap().template.metadata.unwrap().labels.unwrap();
    assert_eq!(labels["job-name"], "j");
}

#[tokio::test]
async fn unknown_fields_warn_or_fail() {
    let (server, _client) = server();
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "dta": {"k": "v"}});
    let path = "/api/v1/namespaces/default/configmaps";
    let (code, _, answer) = raw(&server, "POST", &format!("{path}?fieldValidation=Strict"), &[], body.clone()).await;
    assert_eq!(code, 400);
    assert_eq!(
        answer["message"],
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"dta\""
    );
    let (code, headers, answer) = raw(&server, "POST", path, &[], body).await;
    assert_eq!((code, headers["warning"].to_str().unwrap()), (201, "299 - \"unknown field \\\"dta\\\"\""));
    assert!(answer.get("dta").is_none());
    let wrong = json!({"metadata": {"name": "b"}, "data": {"k": 1}});
    let (code, _, answer) = raw(&server, "POST", path, &[], wrong).await;
    assert!(code == 400 && answer["message"].as_str().unwrap().contains("cannot unmarshal number"), "{answer}");
}

#[tokio::test]
async fn names_and_labels_are_checked() {
    let (server, _client) = server();
    for (path, body, expected) in [
        (
            "/api/v1/namespaces",
            json!({"metadata": {"name": "a.b"}}),
            "Namespace \"a.b\" is invalid: metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label",
        ),
        (
            "/api/v1/namespaces/default/configmaps",
            json!({"metadata": {"name": "A"}}),
            "ConfigMap \"A\" is invalid: metadata.name",
        ),
        (
            "/api/v1/namespaces/default/configmaps",
            json!({"metadata": {}}),
            "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            "/api/v1/namespaces/default/configmaps",
            json!({"metadata": {"name": "a", "labels": {"x": "-"}}}),
            "metadata.labels: Invalid value: \"-\"",
        ),
        (
            "/api/v1/namespaces/default/configmaps",
            json!({"metadata": {"name": "a"}, "data": {"a/b": ""}}),
            "data[a/b]: Invalid value",
        ),
        (
            "/api/v1/namespaces/default/configmaps",
            json!({"metadata": {"name": "a", "namespace": "other"}}),
            "the namespace of the provided object does not match",
        ),
        (
            "/apis/apps/v1/namespaces/default/daemonsets",
            json!({"metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
            "`selector` does not match template `labels`",
        ),
    ] {
        let (code, _, answer) = raw(&server, "POST", path, &[], body).await;
        let text = answer["message"].as_str().unwrap_or_default();
        assert!(matches!(code, 400 | 422) && text.contains(expected), "{path}: {code} {text}");
    }
}

#[tokio::test]
async fn secrets_fold_their_text_and_immutable_ones_stay() {
    let (_server, client) = server();
    let secrets: Api<Secret> = Api::namespaced(client, "default");
    let secret: Secret = serde_json::from_value(
        json!({"metadata": {"generateName": "s-"}, "stringData": {"a": "b"}, "immutable": true}),
    )
    .unwrap();
    let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
    let name = made.metadata.name.unwrap();
    assert!(name.starts_with("s-") && name.len() == 7, "{name}");
    assert_eq!((made.type_.as_deref(), made.data.unwrap()["a"].0.as_slice()), (Some("Opaque"), &b"b"[..]));
    let patch = Patch::Merge(json!({"stringData": {"a": "c"}}));
    let (code, text) = message(secrets.patch(&name, &PatchParams::default(), &patch).await);
    assert!(code == 422 && text.contains("field is immutable when `immutable` is set"), "{text}");
}
