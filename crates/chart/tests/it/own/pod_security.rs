//! Every pod of every case against the rules of Kubernetes' Pod Security Standards.
//!
//! What only talks to the API server passes `restricted`. What touches the host needs host paths, and nothing else that
//! `baseline` refuses.

use super::{first, name, objects, own, pods, read, values_files};
use serde_json::Value;

/// Volumes that `restricted` knows.
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
/// Capabilities that `baseline` lets a container add.
const BASELINE: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// What writing other owners' files takes.
const INSTALLER: [&str; 3] = ["CHOWN", "DAC_OVERRIDE", "FOWNER"];

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|key| list(&pod[key]))
}

fn words(value: &Value) -> Vec<&str> {
    list(value).filter_map(Value::as_str).collect()
}

/// What `baseline` refuses in a pod's spec, a line each.
fn against_baseline(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[key] == true {
            found.push(key.to_owned());
        }
    }
    for volume in list(&pod["volumes"]).filter(|volume| !volume["hostPath"].is_null()) {
        found.push(format!("hostPath {}", volume["hostPath"]["path"]));
    }
    let contexts = containers(pod).map(|c| (c["name"].as_str().unwrap_or_default(), &c["securityContext"]));
    for (name, context) in contexts.chain([("the pod", &pod["securityContext"])]) {
        let refused = [
            (context["privileged"] == true, "privileged"),
            (words(&context["capabilities"]["add"]).iter().any(|c| !BASELINE.contains(c)), "capabilities"),
            (!context["seLinuxOptions"].is_null(), "seLinuxOptions"),
            (context["procMount"].as_str().is_some_and(|mount| mount != "Default"), "procMount"),
            (context["seccompProfile"]["type"] == "Unconfined", "seccompProfile"),
            (context["appArmorProfile"]["type"] == "Unconfined", "appArmorProfile"),
            (context["windowsOptions"]["hostProcess"] == true, "hostProcess"),
            (list(&context["sysctls"]).next().is_some(), "sysctls"),
        ];
        found.extend(refused.iter().filter(|(is, _)| *is).map(|(_, what)| format!("{name}: {what}")));
    }
    for port in containers(pod).flat_map(|c| list(&c["ports"])).filter(|port| !port["hostPort"].is_null()) {
        found.push(format!("hostPort {}", port["hostPort"]));
    }
    found
}

/// What `restricted` refuses in a pod's spec beyond that.
fn against_restricted(pod: &Value) -> Vec<String> {
    let mut found = against_baseline(pod);
    for volume in list(&pod["volumes"]) {
        let kinds = volume.as_object().into_iter().flatten().filter(|(key, _)| *key != "name");
        found.extend(kinds.filter(|(key, _)| !VOLUMES.contains(&key.as_str())).map(|(key, _)| format!("volume {key}")));
    }
    for container in containers(pod) {
        let own = &container["securityContext"];
        let of = |key: &str| if own[key].is_null() { &pod["securityContext"][key] } else { &own[key] };
        let refused = [
            (own["allowPrivilegeEscalation"] != false, "allowPrivilegeEscalation"),
            (of("runAsNonRoot") != true, "runAsNonRoot"),
            (*of("runAsUser") == 0, "runAsUser"),
            (!matches!(of("seccompProfile")["type"].as_str(), Some("RuntimeDefault" | "Localhost")), "seccompProfile"),
            (!words(&own["capabilities"]["drop"]).contains(&"ALL"), "capabilities.drop"),
            (words(&own["capabilities"]["add"]).iter().any(|c| *c != "NET_BIND_SERVICE"), "capabilities.add"),
        ];
        let name = container["name"].as_str().unwrap_or_default();
        found.extend(refused.iter().filter(|(is, _)| *is).map(|(_, what)| format!("{name}: {what}")));
    }
    found
}

/// Whether a pod is one of those that touch a host.
fn touches_the_host(pod: &Value) -> bool {
    list(&pod["volumes"]).any(|volume| !volume["hostPath"].is_null())
}

/// The containers that see the credentials of the ServiceAccount.
fn holders(pod: &Value) -> Vec<&str> {
    let mounts = |c: &&Value| list(&c["volumeMounts"]).any(|mount| mount["name"] == "kube-api-access");
    containers(pod).filter(mounts).filter_map(|c| c["name"].as_str()).collect()
}

/// The pods of every values file that renders, with where they come from; the user's own pod for the verification left out.
fn every_pod() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (folder, chart) in [("kata-deploy", "kata-deploy"), ("umbrella", "confidential-containers")] {
        let loaded = own(chart);
        for entry in std::fs::read_dir(values_files().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let Ok(objects) = objects(&loaded, &read(&path), &first(chart)) else { continue };
            let case = path.file_stem().unwrap().to_string_lossy().into_owned();
            for object in objects.iter().filter(|object| !name(object).contains("node-feature-discovery")) {
                let at = format!("{case} {}/{}", object["kind"].as_str().unwrap_or_default(), name(object));
                found.extend(pods(object).into_iter().map(|mut pod| (at.clone(), pod["spec"].take())));
            }
        }
    }
    found
}

#[test]
fn hooks_pass_restricted_and_node_pods_ask_for_host_paths_alone() {
    let (mut hooks, mut nodes) = (0, 0);
    for (at, pod) in every_pod() {
        if !touches_the_host(&pod) {
            hooks += 1;
            assert_eq!(against_restricted(&pod), Vec::<String>::new(), "{at}");
            continue;
        }
        nodes += 1;
        if at.contains("27-monitor-full") && at.contains("kata-monitor") {
            continue; // these values ask for a privileged one
        }
        let beyond: Vec<String> =
            against_baseline(&pod).into_iter().filter(|what| !what.starts_with("hostPath ")).collect();
        assert_eq!(beyond, Vec::<String>::new(), "{at}");
        if at.contains("kata-monitor") {
            continue;
        }
        for container in containers(&pod).filter(|c| c["name"] != "prepare") {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{at}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{at}");
            assert_eq!(words(&context["capabilities"]["drop"]), ["ALL"], "{at}");
            assert_eq!(words(&context["capabilities"]["add"]), INSTALLER, "{at}");
            assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{at}");
        }
        assert_eq!(pod["automountServiceAccountToken"], false, "{at}");
        if at.ends_with("-containerd-removal") {
            assert_eq!(holders(&pod), Vec::<&str>::new(), "{at}: switching back needs no API server");
            continue;
        }
        let [holder] = holders(&pod)[..] else { panic!("{at}: {:?} hold the token", holders(&pod)) };
        assert!(["kube-kata", "label", "unlabel", "containerd"].contains(&holder), "{at}: {holder} holds the token");
    }
    assert!(hooks > 80 && nodes > 80, "{hooks} pods of hooks, {nodes} on nodes");
}

#[test]
fn the_rules_themselves_refuse() {
    let mut pod = serde_json::json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    });
    assert_eq!(against_restricted(&pod), Vec::<String>::new());
    pod["containers"][0]["securityContext"]["runAsUser"] = 0.into();
    assert_eq!(against_restricted(&pod), ["c: runAsUser"]);
    pod["containers"][0]["securityContext"] =
        serde_json::json!({"privileged": true, "capabilities": {"add": ["SYS_ADMIN"]}});
    pod["volumes"] = serde_json::json!([{"name": "v", "hostPath": {"path": "/"}}]);
    assert_eq!(against_baseline(&pod), ["hostPath \"/\"", "c: privileged", "c: capabilities"]);
    assert_eq!(against_restricted(&pod).len(), 7);
}
