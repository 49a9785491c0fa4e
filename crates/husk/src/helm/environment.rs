//! `helm version` and `helm env`: what this program is, and what it is told by its environment.

use super::flags::{Flag, Kind, Parsed};
use super::settings::{Settings, variable};
use super::verb::{Arity, Outcome, Verb};
use chart::HelmVersion;
use std::collections::BTreeMap;

pub(super) const VERSION: Verb = Verb {
    names: &["version"],
    path: "version",
    arguments: "",
    about: "Show the version of Helm that this is like.",
    arity: Arity::None,
    flags: &[&[Flag::new("short", Kind::Switch), Flag::new("template", Kind::Text)]],
    run: version,
};

pub(super) const ENV: Verb = Verb {
    names: &["env"],
    path: "env",
    arguments: "",
    about: "Show the environment that counts.",
    arity: Arity::AtMost(1),
    flags: &[],
    run: environment,
};

fn version(parsed: &Parsed, _: &Settings) -> Outcome {
    let HelmVersion { version, git_commit, git_tree_state, go_version, kube_client_version } = HelmVersion::default();
    if let Some(template) = parsed.text("template").filter(|text| !text.is_empty()) {
        let fields = [
            ("Version", version),
            ("GitCommit", git_commit),
            ("GitTreeState", git_tree_state),
            ("GoVersion", go_version),
            ("KubeClientVersion", kube_client_version),
        ];
        let data = gotemplate::Map::from_iter(fields.map(|(name, text)| (name, gotemplate::Value::from(text))));
        return super::done(&super::go_template::render(template, &gotemplate::Value::Map(data))?);
    }
    if parsed.on("short") {
        super::out(&format!("{version}\n"));
        return Ok(());
    }
    super::out(&format!(
        "version.BuildInfo{{Version:{version:?}, GitCommit:{git_commit:?}, GitTreeState:{git_tree_state:?}, GoVersion:{go_version:?}, \
         KubeClientVersion:{kube_client_version:?}}}\n"
    ));
    Ok(())
}

/// A directory of Helm's: its own variable, that of the desktop standard, or below the home directory.
fn directory(own: &str, standard: &str, below_home: &str) -> String {
    let home = || variable("HOME").unwrap_or_default();
    variable(own)
        .unwrap_or_else(|| format!("{}/helm", variable(standard).unwrap_or_else(|| format!("{}/{below_home}", home()))))
}

/// Where plugins and starters are.
pub(super) fn data_home() -> String {
    directory("HELM_DATA_HOME", "XDG_DATA_HOME", ".local/share")
}

fn environment(parsed: &Parsed, settings: &Settings) -> Outcome {
    let cache = directory("HELM_CACHE_HOME", "XDG_CACHE_HOME", ".cache");
    let config = directory("HELM_CONFIG_HOME", "XDG_CONFIG_HOME", ".config");
    let data = data_home();
    let flag = |flag: &str, name: &str, default: String| {
        parsed
            .text(flag)
            .map(str::to_owned)
            .filter(|text| !text.is_empty())
            .or_else(|| variable(name))
            .unwrap_or(default)
    };
    let none = String::new;
    let number = |name: &str, default: &str| {
        variable(name).filter(|text| text.parse::<i64>().is_ok()).unwrap_or_else(|| default.to_owned())
    };
    let qps = flag("qps", "HELM_QPS", "0".to_owned()).parse::<f32>().unwrap_or(0.0);
    let mut all = BTreeMap::from([
        ("HELM_BIN", std::env::args().next().unwrap_or_default()),
        (
            "HELM_BURST_LIMIT",
            parsed.text("burst-limit").map_or_else(|| number("HELM_BURST_LIMIT", "100"), str::to_owned),
        ),
        ("HELM_CONTENT_CACHE", flag("content-cache", "HELM_CONTENT_CACHE", format!("{cache}/content"))),
        ("HELM_DEBUG", settings.debug.to_string()),
        ("HELM_KUBEAPISERVER", flag("kube-apiserver", "HELM_KUBEAPISERVER", none())),
        ("HELM_KUBEASGROUPS", settings.groups()),
        ("HELM_KUBEASUSER", flag("kube-as-user", "HELM_KUBEASUSER", none())),
        ("HELM_KUBECAFILE", flag("kube-ca-file", "HELM_KUBECAFILE", none())),
        ("HELM_KUBECONTEXT", flag("kube-context", "HELM_KUBECONTEXT", none())),
        ("HELM_KUBEINSECURE_SKIP_TLS_VERIFY", settings.is_insecure().to_string()),
        ("HELM_KUBETLS_SERVER_NAME", flag("kube-tls-server-name", "HELM_KUBETLS_SERVER_NAME", none())),
        ("HELM_KUBETOKEN", flag("kube-token", "HELM_KUBETOKEN", none())),
        ("HELM_MAX_HISTORY", number("HELM_MAX_HISTORY", "10")),
        ("HELM_NAMESPACE", settings.namespace()),
        ("HELM_PLUGINS", variable("HELM_PLUGINS").unwrap_or_else(|| format!("{data}/plugins"))),
        ("HELM_QPS", format!("{qps:.2}")),
        (
            "HELM_REGISTRY_CONFIG",
            flag("registry-config", "HELM_REGISTRY_CONFIG", format!("{config}/registry/config.json")),
        ),
        ("HELM_REPOSITORY_CACHE", flag("repository-cache", "HELM_REPOSITORY_CACHE", format!("{cache}/repository"))),
        (
            "HELM_REPOSITORY_CONFIG",
            flag("repository-config", "HELM_REPOSITORY_CONFIG", format!("{config}/repositories.yaml")),
        ),
        ("HELM_CACHE_HOME", cache),
        ("HELM_CONFIG_HOME", config),
        ("HELM_DATA_HOME", data),
    ]);
    if let Some(file) = parsed.text("kubeconfig").filter(|text| !text.is_empty()) {
        all.insert("KUBECONFIG", file.to_owned());
    }
    match parsed.arguments.first() {
        Some(name) => super::out(&format!("{}\n", all.get(name.as_str()).map_or("", String::as_str))),
        None => all.iter().for_each(|(name, value)| super::out(&format!("{name}=\"{value}\"\n"))),
    }
    Ok(())
}
