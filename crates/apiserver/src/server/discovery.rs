//! Discovery: which groups, versions and resources there are, in the old form and aggregated; `/version`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::State;
use super::dispatch::json as answer_json;
use crate::resource::{Catalogue, Resource};
use crate::status::ApiError;

/// `/version`.
pub(crate) fn version(version: &str) -> Value {
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    json!({"major": major, "minor": minor, "gitVersion": version, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64"})
}

/// `/`: the paths that are served.
pub(crate) fn root(state: &State) -> Value {
    let mut paths = vec!["/api".to_string(), "/api/v1".into(), "/apis".into()];
    for (group, versions) in state.catalogue().groups().iter().filter(|(g, _)| !g.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|v| format!("/apis/{group}/{v}")));
    }
    paths.extend(["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"].map(String::from));
    json!({ "paths": paths })
}

fn api_group(group: &str, versions: &[String]) -> Value {
    let entry = |v: &String| json!({"groupVersion": format!("{group}/{v}"), "version": v});
    json!({"name": group, "versions": versions.iter().map(entry).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(entry)})
}

/// Kind and version of what a subresource takes and gives, where that is not the object itself.
fn subresource_kind(resource: &Resource, subresource: &str) -> (String, String, String) {
    let (group, version, kind) = match subresource {
        "scale" => ("autoscaling", "v1", "Scale"),
        "eviction" => ("policy", "v1", "Eviction"),
        "binding" => ("", "v1", "Binding"),
        "token" => ("authentication.k8s.io", "v1", "TokenRequest"),
        "exec" => ("", "v1", "PodExecOptions"),
        "attach" => ("", "v1", "PodAttachOptions"),
        "portforward" => ("", "v1", "PodPortForwardOptions"),
        "proxy" if resource.is("", "nodes") => ("", "v1", "NodeProxyOptions"),
        "proxy" if resource.is("", "services") => ("", "v1", "ServiceProxyOptions"),
        "proxy" => ("", "v1", "PodProxyOptions"),
        _ => (resource.group.as_str(), resource.version.as_str(), resource.kind.as_str()),
    };
    (group.into(), version.into(), kind.into())
}

fn subresource_verbs(subresource: &str) -> &'static [&'static str] {
    match subresource {
        "status" | "scale" | "approval" | "ephemeralcontainers" | "resize" => &["get", "patch", "update"],
        "finalize" => &["update"],
        "eviction" | "binding" | "token" => &["create"],
        "log" => &["get"],
        "exec" | "attach" | "portforward" => &["create", "get"],
        _ => &["create", "delete", "get", "patch", "update"],
    }
}

fn api_resources(catalogue: &Catalogue, group: &str, version: &str) -> Vec<Value> {
    let mut out = Vec::new();
    for resource in catalogue.of(group, version) {
        let mut entry = json!({"name": resource.plural, "singularName": resource.singular,
            "namespaced": resource.namespaced, "kind": resource.kind, "verbs": resource.verbs()});
        if !resource.short_names.is_empty() {
            entry["shortNames"] = resource.short_names.clone().into();
        }
        if !resource.categories.is_empty() {
            entry["categories"] = resource.categories.clone().into();
        }
        out.push(entry);
        for subresource in &resource.subresources {
            let (group, version, kind) = subresource_kind(resource, subresource);
            let mut entry = json!({"name": format!("{}/{subresource}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": kind, "verbs": subresource_verbs(subresource)});
            if (&group, &version) != (&resource.group, &resource.version) {
                entry["group"] = group.into();
                entry["version"] = version.into();
            }
            out.push(entry);
        }
    }
    out
}

/// `/api/v1`, `/apis/apps/v1`.
pub(crate) fn group_version(state: &State, group: &str, version: &str) -> Result<Response, ApiError> {
    let catalogue = state.catalogue();
    let resources = api_resources(&catalogue, group, version);
    if resources.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let name = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
    let body = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources});
    Ok(answer_json(StatusCode::OK, body.to_string()))
}

fn aggregated(catalogue: &Catalogue, core: bool, api_version: &str) -> Value {
    let groups = catalogue.groups().iter().filter(|(g, _)| g.is_empty() == core);
    let items: Vec<Value> = groups
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = catalogue.of(group, version).map(|r| aggregated_resource(r)).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if group.is_empty() {
                json!({"creationTimestamp": null})
            } else {
                json!({"name": group, "creationTimestamp": null})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items})
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let subresources: Vec<Value> = resource
        .subresources
        .iter()
        .map(|name| {
            let (group, version, k) = subresource_kind(resource, name);
            json!({"subresource": name, "responseKind": kind(&group, &version, &k), "verbs": subresource_verbs(name)})
        })
        .collect();
    let mut out = json!({"resource": resource.plural,
        "responseKind": kind(&resource.group, &resource.version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs()});
    if !resource.short_names.is_empty() {
        out["shortNames"] = resource.short_names.clone().into();
    }
    if !resource.categories.is_empty() {
        out["categories"] = resource.categories.clone().into();
    }
    if !subresources.is_empty() {
        out["subresources"] = subresources.into();
    }
    out
}

/// `/api`, `/apis`, `/apis/GROUP`.
pub(crate) fn answer(state: &State, words: &[&str], accept: &str) -> Result<Response, ApiError> {
    let catalogue = state.catalogue();
    let form = accept.split(',').find(|f| f.contains("as=APIGroupDiscoveryList") && f.contains("json"));
    if let (Some(form), ["api" | "apis"]) = (form, words) {
        let version = if form.contains("v=v2beta1") { "v2beta1" } else { "v2" };
        let api_version = format!("apidiscovery.k8s.io/{version}");
        let body = aggregated(&catalogue, words == ["api"], &api_version);
        let content_type = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        return Ok(([(header::CONTENT_TYPE, content_type)], Body::from(body.to_string())).into_response());
    }
    let groups = || catalogue.groups().iter().filter(|(g, _)| !g.is_empty());
    let body = match words {
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]}),
        ["apis"] => {
            let groups: Vec<Value> = groups().map(|(g, v)| api_group(g, v)).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        ["apis", group] => {
            let (name, versions) = groups().find(|(g, _)| g == group).ok_or_else(ApiError::no_such_path)?;
            let mut body = api_group(name, versions);
            body["kind"] = "APIGroup".into();
            body["apiVersion"] = "v1".into();
            body
        }
        _ => return Err(ApiError::no_such_path()),
    };
    Ok(answer_json(StatusCode::OK, body.to_string()))
}
