//! What renderers without a cluster, and clusters without delete hooks, need of our charts.

use super::{CHARTS, first, name, objects, own, parse};
use chart::gitops;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn nothing_asks_a_cluster_a_clock_or_chance() {
    for chart in CHARTS {
        let (own, options) = (own(chart), first(chart));
        let unstable: Vec<_> =
            gitops::scan(&own, &options).unwrap().into_iter().filter(|place| place.risk.is_unstable()).collect();
        assert!(unstable.is_empty(), "{chart}: {unstable:?}");
        let mut later = options.clone();
        later.now += Duration::from_secs(400 * 24 * 3600);
        later.entropy = Arc::new(|bytes| bytes.fill(7));
        let values = parse("kata-as-coco-runtime: {deploymentMode: job}");
        for values in [parse(""), if chart == "kata-deploy" { parse("deploymentMode: job") } else { values }] {
            assert!(gitops::differences(&own, &values, [&options, &later]).unwrap().is_empty(), "{chart}");
        }
    }
}

/// An upgrade and a later revision render as the first installation does.
#[test]
fn an_upgrade_renders_as_an_installation_does() {
    for chart in CHARTS {
        let own = own(chart);
        let mut upgrade = first(chart);
        (upgrade.is_install, upgrade.is_upgrade, upgrade.revision) = (false, true, 7);
        assert_eq!(objects(&own, &parse(""), &first(chart)).unwrap(), objects(&own, &parse(""), &upgrade).unwrap());
    }
}

fn hook(object: &Value) -> &str {
    object["metadata"]["annotations"]["helm.sh/hook"].as_str().unwrap_or_default()
}

fn absent(chart: &str, values: &str) -> Vec<Value> {
    let objects = objects(&own(chart), &parse(values), &first(chart)).unwrap();
    for object in &objects {
        assert!(!hook(object).contains("delete"), "{} waits for a delete hook", name(object));
        assert!(object["metadata"]["annotations"]["helm.sh/resource-policy"].is_null(), "{} would stay", name(object));
        assert!(!["RuntimeClass", "NodeFeatureRule"].contains(&object["kind"].as_str().unwrap()), "{}", name(object));
    }
    objects
}

fn find<'a>(objects: &'a [Value], kind: &str, wanted: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind && name(object) == wanted)
}

#[test]
fn absent_in_daemonset_mode_leaves_a_daemonset_without_nodes() {
    let objects = absent(
        "kata-deploy",
        "{state: absent, nodeSelector: {a: b}, nodeFeatureRules: {create: true}, monitor: {enabled: true}}",
    );
    let set = find(&objects, "DaemonSet", "kata-deploy").unwrap();
    assert_eq!(set["spec"]["template"]["spec"]["nodeSelector"], serde_json::json!({"husk/absent": "true"}));
    assert!(find(&objects, "DaemonSet", "kata-monitor").is_none());
    let wait = find(&objects, "Job", "kata-deploy-removal").unwrap();
    assert_eq!(hook(wait), "post-install,post-upgrade,post-rollback");
    let command = wait["spec"]["template"]["spec"]["containers"][0]["command"].to_string();
    assert!(command.contains("finish-removal") && !command.contains("--delete"), "{command}");
}

#[test]
fn absent_in_job_mode_cleans_where_it_would_install() {
    for (chart, values, stem) in [
        ("kata-deploy", "{state: absent, deploymentMode: job}", "kata-deploy"),
        (
            "confidential-containers",
            "{global: {state: absent}, kata-as-coco-runtime: {deploymentMode: job}}",
            "kata-as-coco-runtime",
        ),
        (
            "confidential-containers",
            "kata-as-coco-runtime: {deploymentMode: job, state: absent}",
            "kata-as-coco-runtime",
        ),
    ] {
        let objects = absent(chart, values);
        assert!(find(&objects, "Job", &format!("{stem}-install-dispatcher")).is_none());
        let job = find(&objects, "Job", &format!("{stem}-removal-dispatcher")).unwrap();
        assert_eq!(hook(job), "post-install,post-upgrade,post-rollback");
        let command = job["spec"]["template"]["spec"]["containers"][0]["command"].to_string();
        assert!(command.contains("\"cleanup\"") && !command.contains("only-under-helm"), "{command}");
    }
}

#[test]
fn absent_without_runtimes_switches_containerd_back() {
    let values = "{global: {state: absent}, customContainerd: {enabled: true, tarballUrl: https://a/b.tgz}, kata-as-coco-runtime: {enabled: false}}";
    let objects = absent("confidential-containers", values);
    let set = find(&objects, "DaemonSet", "coco-containerd").unwrap();
    assert_eq!(set["spec"]["template"]["spec"]["nodeSelector"], serde_json::json!({"husk/absent": "true"}));
}

/// Another tarball and nothing else: the pods that read of it have to start anew.
#[test]
fn pods_follow_the_custom_containerd() {
    let chart = own("confidential-containers");
    let checksum = |url: &str, mode: &str| {
        let values = parse(&format!(
            "{{customContainerd: {{enabled: true, tarballUrl: '{url}'}}, kata-as-coco-runtime: {{deploymentMode: {mode}, podAnnotations: {{own: kept}}}}}}"
        ));
        let objects = objects(&chart, &values, &first("confidential-containers")).unwrap();
        let pods: Vec<Value> = objects.iter().flat_map(super::pods).collect();
        let annotated = |pod: &&Value| pod["metadata"]["annotations"]["own"] == "kept";
        let pod = pods.iter().find(annotated).expect("a pod with the user's annotation");
        pod["metadata"]["annotations"]["checksum/custom-containerd"].as_str().expect("a checksum").to_owned()
    };
    for mode in ["daemonset", "job"] {
        assert_eq!(checksum("https://a/1.tgz", mode), checksum("https://a/1.tgz", mode));
        assert_ne!(checksum("https://a/1.tgz", mode), checksum("https://a/2.tgz", mode));
    }
}
