//! The environment of a container: values, references to ConfigMaps, Secrets and the pod itself, `$(NAME)` expansion.

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet};

/// The ConfigMaps or Secrets of a namespace by name, each with its keys; one that does not exist is absent.
pub type Sources = BTreeMap<String, BTreeMap<String, String>>;

/// Which objects a container's environment refers to.
#[derive(Debug, Default, PartialEq)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
}

/// Returns what a container's environment refers to.
pub fn references(container: &Container) -> References {
    let mut found = References::default();
    for from in container.env_from.iter().flatten() {
        found.config_maps.extend(from.config_map_ref.as_ref().map(|it| it.name.clone()));
        found.secrets.extend(from.secret_ref.as_ref().map(|it| it.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        found.config_maps.extend(source.config_map_key_ref.as_ref().map(|it| it.name.clone()));
        found.secrets.extend(source.secret_key_ref.as_ref().map(|it| it.name.clone()));
    }
    found
}

/// Computes a container's environment on top of `base`; an error says what is missing, as a kubelet would.
pub fn environment(
    pod: &Pod,
    container: &Container,
    base: &[(String, String)],
    config_maps: &Sources,
    secrets: &Sources,
) -> Result<BTreeMap<String, String>, String> {
    let namespace = pod.namespace().unwrap_or_default();
    let mut result: BTreeMap<String, String> = base.iter().cloned().collect();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (kind, name, optional, sources) = if let Some(source) = &from.config_map_ref {
            ("configmap", &source.name, source.optional, config_maps)
        } else if let Some(source) = &from.secret_ref {
            ("secret", &source.name, source.optional, secrets)
        } else {
            continue;
        };
        match sources.get(name) {
            Some(data) => result.extend(data.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone()))),
            None if optional == Some(true) => {}
            None => return Err(format!("{kind} \"{name}\" not found")),
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(pod, variable, &namespace, &result, config_maps, secrets)? {
            result.insert(variable.name.clone(), value);
        }
    }
    Ok(result)
}

fn value_of(
    pod: &Pod,
    variable: &EnvVar,
    namespace: &str,
    known: &BTreeMap<String, String>,
    config_maps: &Sources,
    secrets: &Sources,
) -> Result<Option<String>, String> {
    let Some(source) = &variable.value_from else {
        return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), known)));
    };
    if let Some(field) = &source.field_ref {
        return match field_value(pod, &field.field_path) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("unsupported fieldPath: {}", field.field_path)),
        };
    }
    let (kind, name, key, optional, sources) = if let Some(it) = &source.config_map_key_ref {
        ("configmap", &it.name, &it.key, it.optional, config_maps)
    } else if let Some(it) = &source.secret_key_ref {
        ("secret", &it.name, &it.key, it.optional, secrets)
    } else {
        return Err(format!("the sandbox cannot resolve valueFrom of {}", variable.name));
    };
    let optional = optional == Some(true);
    match sources.get(name).map(|data| data.get(key)) {
        Some(Some(value)) => Ok(Some(value.clone())),
        _ if optional => Ok(None),
        Some(None) => Err(format!("couldn't find key {key} in {kind} {namespace}/{name}")),
        None => Err(format!("{kind} \"{name}\" not found")),
    }
}

/// Returns a field of the pod, by the path that the downward API uses.
pub fn field_value(pod: &Pod, path: &str) -> Option<String> {
    let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
    let subscript = |prefix: &str| path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']");
    if let Some(key) = subscript("metadata.labels") {
        return Some(pod.labels().get(key).cloned().unwrap_or_default());
    }
    if let Some(key) = subscript("metadata.annotations") {
        return Some(pod.annotations().get(key).cloned().unwrap_or_default());
    }
    let lines = |map: &BTreeMap<String, String>| {
        let lines: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        lines.join("\n")
    };
    let text = match path {
        "metadata.name" => pod.metadata.name.clone(),
        "metadata.namespace" => pod.metadata.namespace.clone(),
        "metadata.uid" => pod.metadata.uid.clone(),
        "metadata.labels" => Some(lines(pod.labels())),
        "metadata.annotations" => Some(lines(pod.annotations())),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.hostIP" | "status.hostIPs" => status.and_then(|status| status.host_ip.clone()),
        "status.podIP" | "status.podIPs" => status.and_then(|status| status.pod_ip.clone()),
        _ => return None,
    };
    Some(text.unwrap_or_default())
}

/// Replaces `$(NAME)` by the variable's value; `$$` stands for `$`, and an unknown name stays as it is.
pub fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match known.get(name) {
                Some(value) => result.push_str(value),
                None => {
                    result.push_str("$(");
                    result.push_str(name);
                    result.push(')');
                }
            }
            rest = after;
        } else {
            result.push('$');
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_expanded_as_kubernetes_does() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("x$(A)y", "x1y"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$A $ $", "$A $ $"),
            ("$(A", "$(A"),
            ("$(A)$(A)", "11"),
            ("ä$(A)ö", "ä1ö"),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns", "labels": {"a/b": "c"}},
            "spec": {"nodeName": "n1", "containers": []}, "status": {"podIP": "127.0.0.9"}}))
        .unwrap()
    }

    #[test]
    fn every_kind_of_value() {
        let container: Container = serde_json::from_value(json!({"name": "c",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "gone", "optional": true}}],
            "env": [
                {"name": "PLAIN", "value": "v"},
                {"name": "TWICE", "value": "$(PLAIN)$(P_k)$(BASE)"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "absent", "optional": true}}}]}))
        .unwrap();
        let map = |name: &str, value: &str| {
            Sources::from([(name.to_owned(), BTreeMap::from([("k".to_owned(), value.to_owned())]))])
        };
        let base = [("BASE".to_owned(), "b".to_owned())];
        let result = environment(&pod(), &container, &base, &map("m", "w"), &map("s", "geheim")).unwrap();
        let expected = [
            ("BASE", "b"),
            ("IP", "127.0.0.9"),
            ("LABEL", "c"),
            ("NODE", "n1"),
            ("PLAIN", "v"),
            ("P_k", "w"),
            ("SECRET", "geheim"),
            ("TWICE", "vwb"),
        ];
        assert_eq!(result.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        let error = environment(&pod(), &container, &base, &map("m", "w"), &Sources::new()).unwrap_err();
        assert_eq!(error, "secret \"s\" not found");
        let error = environment(&pod(), &container, &base, &Sources::new(), &map("s", "x")).unwrap_err();
        assert_eq!(error, "configmap \"m\" not found");
        let refs = references(&container);
        assert_eq!(refs.config_maps, BTreeSet::from(["m".to_owned()]));
        assert_eq!(refs.secrets, BTreeSet::from(["gone".to_owned(), "s".to_owned()]));
    }
}
