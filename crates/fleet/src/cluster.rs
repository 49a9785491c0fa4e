//! The way from a pod to its API server.

use crate::error::Error;
use contract::pod;
use kube::Client;
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
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| Error::Surroundings(format!("{name} is not set: this runs only inside a pod")))
    };
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    let client = connection::from_pod(&in_container("/"), &host, &port).await;
    client.map_err(|error| Error::Surroundings(format!("the pod's credentials cannot be used: {error}")))
}
