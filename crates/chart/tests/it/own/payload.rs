//! The payload that the installer fetches itself: what its containers are told.

use super::{first, objects, own, parse, pods};
use serde_json::{Value, json};

/// The containers of all pods that touch nodes, by name.
fn containers(values: &str) -> Vec<Value> {
    let all = objects(&own("kata-deploy"), &parse(values), &first("kata-deploy")).unwrap();
    let pods = all.iter().flat_map(pods);
    let of = |pod: &Value, key: &str| pod["spec"][key].as_array().cloned().unwrap_or_default();
    pods.flat_map(|pod| [of(&pod, "initContainers"), of(&pod, "containers")].concat()).collect()
}

fn named<'c>(all: &'c [Value], name: &str) -> &'c Value {
    all.iter().find(|container| container["name"] == name).unwrap_or_else(|| panic!("no container {name}"))
}

/// What one variable is set to, or from.
fn variable(container: &Value, name: &str) -> Value {
    let all = container["env"].as_array().unwrap();
    let one = all.iter().find(|variable| variable["name"] == name);
    one.map_or(Value::Null, |one| if one["value"].is_null() { one["valueFrom"].clone() } else { one["value"].clone() })
}

const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn a_registry_is_told_with_mirrors_digest_and_secret() {
    let values = format!(
        "image: {{reference: quay.io/site/kata, tag: 4.1.0}}\npayload:\n  source: registry\n  digest: sha256:{SUM}\n  mirrors: {{quay.io: [m.example:5000/quay, other.example], docker.io: [m.example]}}\n  pullSecret: opens-it\n"
    );
    for (mode, needs, needs_not) in [
        ("job", vec!["host-check", "artifacts"], vec!["cri", "label", "revert-cri"]),
        ("daemonset", vec!["kube-kata"], vec![]),
    ] {
        let all = containers(&format!("deploymentMode: {mode}\n{values}"));
        for name in needs {
            let container = named(&all, name);
            let told = |name: &str| variable(container, name);
            assert_eq!(told("PAYLOAD_SOURCE"), format!("oci://quay.io/site/kata:4.1.0@sha256:{SUM}"), "{name}");
            assert_eq!(told("PAYLOAD_MIRRORS"), "docker.io=m.example;quay.io=m.example:5000/quay,other.example");
            assert_eq!(told("PAYLOAD_SHA256"), Value::Null, "the name has the digest");
            let secret = json!({"secretKeyRef": {"name": "opens-it", "key": ".dockerconfigjson"}});
            assert_eq!(told("PAYLOAD_PULL_SECRET"), secret);
            assert_eq!(container["command"][0], "/usr/bin/husk-node", "{name}");
        }
        for name in needs_not {
            assert_eq!(variable(named(&all, name), "PAYLOAD_SOURCE"), Value::Null, "{name}");
        }
        let pulled = all.iter().filter_map(|container| container["image"].as_str());
        assert_eq!(pulled.filter(|image| image.contains("site/kata")).count(), 0, "{mode}: no pod pulls the payload");
    }
}

#[test]
fn an_archive_is_told_with_its_sum_and_an_image_with_nothing() {
    let all = containers(&format!("payload: {{source: 'http://files.example/p.tar.zst', digest: 'sha256:{SUM}'}}\n"));
    let container = named(&all, "kube-kata");
    assert_eq!(variable(container, "PAYLOAD_SOURCE"), "http://files.example/p.tar.zst");
    assert_eq!(variable(container, "PAYLOAD_SHA256"), format!("sha256:{SUM}"));
    let all = containers("image: {reference: quay.io/site/kata}\n");
    let container = named(&all, "kube-kata");
    assert_eq!(variable(container, "PAYLOAD_SOURCE"), Value::Null);
    assert_eq!(container["command"][0], "/husk/husk-node");
    assert!(container["image"].as_str().unwrap().starts_with("quay.io/site/kata:"));
}

#[test]
fn what_contradicts_itself_is_refused_by_its_key() {
    for (values, key) in [
        ("payload: {pullSecret: x}", "payload.pullSecret"),
        ("payload: {mirrors: {quay.io: [m.example]}}", "payload.mirrors"),
        ("payload: {source: 'http://files.example/p.tar'}", "payload.digest"),
        ("payload: {source: ftp}", "source"),
        ("payload: {source: registry, digest: 'sha256:12'}", "digest"),
        ("payload: {source: registry, mirrors: {quay.io: ['a,b']}}", "quay.io"),
        ("payload: {source: registry, mirror: {}}", "mirror"),
    ] {
        let error = objects(&own("kata-deploy"), &parse(values), &first("kata-deploy")).unwrap_err().to_string();
        assert!(error.contains(key), "{values}: {error}");
    }
    let twice = format!(
        "image: {{reference: 'quay.io/x@sha256:{SUM}'}}\npayload: {{source: registry, digest: 'sha256:{SUM}'}}"
    );
    let error = objects(&own("kata-deploy"), &parse(&twice), &first("kata-deploy")).unwrap_err().to_string();
    assert!(error.contains("payload.digest and image.reference"), "{error}");
}
