//! What concerns every command: the global flags, and the environment behind them.

use super::flags::{Flag, Kind, Parsed, boolean};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use release::cluster::Cluster;
use release::{Driver, Engine};
use std::path::PathBuf;

pub(super) const GLOBAL: &[Flag] = &[
    Flag::new("burst-limit", Kind::Number),
    Flag::new("color", Kind::Text),
    Flag::new("colour", Kind::Text),
    Flag::new("content-cache", Kind::Text),
    Flag::new("debug", Kind::Switch),
    Flag::new("kube-apiserver", Kind::Text),
    Flag::new("kube-as-group", Kind::Repeat),
    Flag::new("kube-as-user", Kind::Text),
    Flag::new("kube-ca-file", Kind::Text),
    Flag::new("kube-context", Kind::Text),
    Flag::new("kube-insecure-skip-tls-verify", Kind::Switch),
    Flag::new("kube-tls-server-name", Kind::Text),
    Flag::new("kube-token", Kind::Text),
    Flag::new("kubeconfig", Kind::Text),
    Flag::new("namespace", Kind::Text).short('n'),
    Flag::new("qps", Kind::Text),
    Flag::new("registry-config", Kind::Text),
    Flag::new("repository-cache", Kind::Text),
    Flag::new("repository-config", Kind::Text),
];

/// The settings of one call.
pub(super) struct Settings {
    namespace: Option<String>,
    context: Option<String>,
    kubeconfig: Option<String>,
    api_server: Option<String>,
    token: Option<String>,
    as_user: Option<String>,
    as_groups: Vec<String>,
    ca_file: Option<String>,
    tls_server_name: Option<String>,
    insecure: bool,
    /// `--debug`
    pub(super) debug: bool,
}

/// A variable that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Settings {
    pub(super) fn new(parsed: &Parsed) -> Result<Settings, String> {
        let text = |flag: &str, name: &str| {
            parsed.text(flag).map(str::to_owned).filter(|text| !text.is_empty()).or_else(|| variable(name))
        };
        let switch = |flag: &str, name: &str| match parsed.given(flag) {
            true => parsed.on(flag),
            false => variable(name).and_then(|word| boolean(&word)).unwrap_or(false),
        };
        for flag in ["color", "colour"] {
            match parsed.text(flag) {
                None | Some("never" | "auto") => {}
                Some("always") => return Err(format!("husk helm has no colors: --{flag} is never or auto")),
                Some(other) => {
                    return Err(format!("invalid color mode {other:?}: must be one of: never, auto, always"));
                }
            }
        }
        let groups = || variable("HELM_KUBEASGROUPS").map(|list| list.split(',').map(str::to_owned).collect());
        Ok(Settings {
            namespace: text("namespace", "HELM_NAMESPACE"),
            context: text("kube-context", "HELM_KUBECONTEXT"),
            kubeconfig: parsed.text("kubeconfig").map(str::to_owned).filter(|text| !text.is_empty()),
            api_server: text("kube-apiserver", "HELM_KUBEAPISERVER"),
            token: text("kube-token", "HELM_KUBETOKEN"),
            as_user: text("kube-as-user", "HELM_KUBEASUSER"),
            as_groups: if parsed.given("kube-as-group") {
                parsed.all("kube-as-group")
            } else {
                groups().unwrap_or_default()
            },
            ca_file: text("kube-ca-file", "HELM_KUBECAFILE"),
            tls_server_name: text("kube-tls-server-name", "HELM_KUBETLS_SERVER_NAME"),
            insecure: switch("kube-insecure-skip-tls-verify", "HELM_KUBEINSECURE_SKIP_TLS_VERIFY"),
            debug: switch("debug", "HELM_DEBUG"),
        })
    }

    fn file(&self) -> Result<Option<Kubeconfig>, String> {
        let read = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(PathBuf::from(file)).map(Some),
            // Where there is none, which is usual where charts are only looked at, that is known without reading anything.
            None if std::env::var_os("KUBECONFIG").is_none() && !default_file_exists() => Ok(None),
            None => match Kubeconfig::from_env() {
                Ok(Some(file)) => Ok(Some(file)),
                Ok(None) => Ok(Kubeconfig::read().ok()),
                Err(error) => Err(error),
            },
        };
        read.map_err(|error| error.to_string())
    }

    /// The namespace: flag, environment, context, `default`.
    pub(super) fn namespace(&self) -> String {
        let of_context = || {
            let file = self.file().ok()??;
            let name = self.context.clone().or(file.current_context)?;
            file.contexts.into_iter().find(|context| context.name == name)?.context?.namespace
        };
        let given = self.namespace.clone().or_else(of_context).filter(|name| !name.is_empty());
        given.unwrap_or_else(|| "default".to_owned())
    }

    /// The groups to act as, with commas.
    pub(super) fn groups(&self) -> String {
        self.as_groups.join(",")
    }

    /// Is the server's certificate taken as it is?
    pub(super) fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// The connection.
    pub(super) async fn client(&self) -> Result<Client, String> {
        let mut config = match self.file()? {
            Some(file) => {
                let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(file, &options).await.map_err(|error| error.to_string())?
            }
            None => match Config::incluster() {
                Ok(config) if self.api_server.is_none() => config,
                _ => Config::new("http://localhost:8080".parse().map_err(|_| "localhost has no address".to_owned())?),
            },
        };
        if let Some(server) = &self.api_server {
            config.cluster_url = server.parse().map_err(|error| format!("--kube-apiserver {server}: {error}"))?;
        }
        if let Some(file) = &self.ca_file {
            let pem = std::fs::read(file).map_err(|error| format!("--kube-ca-file {file}: {error}"))?;
            config.root_cert =
                Some(certificates(&pem).ok_or_else(|| format!("--kube-ca-file {file}: no certificates in it"))?);
        }
        if let Some(token) = &self.token {
            config.auth_info.token = Some(token.clone().into());
        }
        if self.as_user.is_some() {
            config.auth_info.impersonate.clone_from(&self.as_user);
        }
        if !self.as_groups.is_empty() {
            config.auth_info.impersonate_groups = Some(self.as_groups.clone());
        }
        if self.tls_server_name.is_some() {
            config.tls_server_name.clone_from(&self.tls_server_name);
        }
        config.accept_invalid_certs |= self.insecure;
        connection::client(config).map_err(|error| error.to_string())
    }

    /// The engine of a namespace.
    pub(super) async fn engine(&self, namespace: &str) -> Result<Engine, String> {
        let driver = match variable("HELM_DRIVER").as_deref() {
            None | Some("secret" | "secrets") => Driver::Secret,
            Some("configmap" | "configmaps") => Driver::ConfigMap,
            Some(other) => return Err(format!("husk helm has no storage driver {other:?}: secret and configmap")),
        };
        let cluster = Cluster::new(self.client().await?);
        let engine = Engine::with(cluster, namespace, driver);
        let in_parts = variable("HUSK_RECORD_PARTS").is_some_and(|word| boolean(&word) == Some(true));
        Ok(if in_parts { engine.with_records_in_parts() } else { engine })
    }
}

/// The certificates of a PEM file in DER form.
fn certificates(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let found: Vec<Vec<u8>> =
        CertificateDer::pem_slice_iter(pem).map(|one| one.map(|der| der.to_vec())).collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

fn default_file_exists() -> bool {
    std::env::home_dir().is_some_and(|home| home.join(".kube/config").exists())
}
