//! The container runtime asked over its CRI socket.

use crate::host::Host;
use crate::units::{Runtime, Sandbox, Served};
use std::time::Duration;
use tokio::runtime::Runtime as Tokio;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The runtime behind a host's socket. Every question connects anew, so an answer is never that of a process that is gone.
pub struct CriSocket<'t> {
    host: Host,
    tokio: &'t Tokio,
}

impl<'t> CriSocket<'t> {
    /// Names the host.
    pub fn new(host: &Host, tokio: &'t Tokio) -> Self {
        CriSocket { host: host.clone(), tokio }
    }
}

impl Runtime for CriSocket<'_> {
    fn served(&mut self, socket: &str) -> Result<Served, String> {
        let path = self.host.path(socket);
        let asking = async {
            let client = cri::Client::connect(path, CALL_TIMEOUT).await?;
            let version = client.version().await?;
            let status = client.status(true).await?;
            let ready = status.condition(cri::message::RUNTIME_READY).is_some_and(|condition| condition.status);
            let handlers = cri::handlers::served(&status).map(|names| names.into_iter().collect());
            Ok(Served { name: version.runtime_name, version: version.runtime_version, ready, handlers })
        };
        self.tokio.block_on(asking).map_err(|error: cri::Error| error.to_string())
    }

    fn sandboxes(&mut self, socket: &str) -> Result<Vec<Sandbox>, String> {
        let path = self.host.path(socket);
        let asking = async {
            let client = cri::Client::connect(path, CALL_TIMEOUT).await?;
            client.pod_sandboxes(Some(cri::message::PodSandboxState::Ready)).await
        };
        let all = self.tokio.block_on(asking).map_err(|error: cri::Error| error.to_string())?;
        Ok(all
            .into_iter()
            .map(|sandbox| {
                let pod = sandbox.metadata.unwrap_or_default();
                Sandbox { pod: format!("{}/{}", pod.namespace, pod.name), handler: sandbox.runtime_handler }
            })
            .collect())
    }
}
