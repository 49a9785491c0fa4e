//! The way from a pod to its API server.

use crate::error::Error;
use contract::pod;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kube::{Client, Config};
use std::path::PathBuf;

/// Returns where an absolute path of the container really is; see [`contract::pod`].
pub fn in_container(path: &str) -> PathBuf {
    match std::env::var_os(pod::ROOT_VARIABLE) {
        Some(root) => PathBuf::from(root).join(path.trim_start_matches('/')),
        None => PathBuf::from(path),
    }
}

/// Reads a file of the container.
pub fn read(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(in_container(path)).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Returns the namespace of the pod: `POD_NAMESPACE`, else what its ServiceAccount says.
pub fn namespace() -> Result<String, Error> {
    match std::env::var("POD_NAMESPACE") {
        Ok(namespace) if !namespace.is_empty() => Ok(namespace),
        _ => Ok(read(&format!("{}/namespace", pod::SERVICE_ACCOUNT))?.trim().to_owned()),
    }
}

/// Connects with the pod's ServiceAccount. The token is read again when Kubernetes has renewed it.
pub async fn connect() -> Result<Client, Error> {
    // A second installation of the provider is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| Error::Surroundings(format!("{name} is not set: this runs only inside a pod")))
    };
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let file = |name: &str| in_container(&format!("{}/{name}", pod::SERVICE_ACCOUNT)).to_string_lossy().into_owned();
    let name = || "pod".to_owned();
    let config = Kubeconfig {
        clusters: vec![NamedCluster {
            name: name(),
            cluster: Some(Cluster {
                server: Some(format!("https://{host}:{port}")),
                certificate_authority: Some(file("ca.crt")),
                ..Cluster::default()
            }),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: name(),
            auth_info: Some(AuthInfo { token_file: Some(file("token")), ..AuthInfo::default() }),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: name(),
            context: Some(Context { cluster: name(), user: Some(name()), ..Context::default() }),
            ..NamedContext::default()
        }],
        current_context: Some(name()),
        ..Kubeconfig::default()
    };
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .map_err(|error| Error::Surroundings(format!("the pod's credentials cannot be used: {error}")))?;
    // The proxy of the environment is for the world outside, whatever NO_PROXY says.
    config.proxy_url = None;
    Client::try_from(config).map_err(Error::api("connecting to the API server"))
}
