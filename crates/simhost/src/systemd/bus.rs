//! systemd's private socket: D-Bus without a bus, one peer a connection.

use super::manager::{CallError, JobRemoved, Verb};
use super::objects::{Manager, Service, Timer, Unit};
use super::signed::Signed;
use crate::host::Machine;
use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use zbus::names::ErrorName;
use zbus::{Connection, OwnedObjectPath};

/// Where systemd listens.
const SOCKET: &str = "run/systemd/private";
pub(crate) const MANAGER: &str = "/org/freedesktop/systemd1";

/// Serves the private socket for as long as the machine runs.
pub(crate) fn listen(machine: &Arc<Machine>) -> io::Result<()> {
    let path = machine.root.join(SOCKET);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let listener = cri::socket::bind(&path)?;
    let shared = Arc::clone(machine);
    machine.spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let machine = Arc::clone(&shared);
                    shared.spawn(async move {
                        if let Err(error) = serve(machine, stream).await {
                            tracing::debug!(%error, "a D-Bus peer left");
                        }
                    });
                }
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    });
    Ok(())
}

async fn serve(machine: Arc<Machine>, stream: tokio::net::UnixStream) -> zbus::Result<()> {
    let mut jobs = machine.manager.jobs.subscribe();
    let connection = zbus::connection::Builder::socket(Signed(stream))
        .server(zbus::Guid::generate())
        .p2p()
        .serve_at(MANAGER, Manager { machine: Arc::clone(&machine) })
        .build()
        .await?;
    // A client may name an object that it asked for over an earlier connection.
    let known: Vec<String> = machine.manager.lock().keys().cloned().collect();
    for name in known {
        expose(&connection, &machine, &name).await?;
    }
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Ok(job) => announce(&connection, &job).await?,
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(()),
            },
            () = connection.closed() => return Ok(()),
        }
    }
}

async fn announce(connection: &Connection, job: &JobRemoved) -> zbus::Result<()> {
    let body = (job.id, job_path(job.id)?, job.unit.as_str(), job.result);
    connection.emit_signal(None::<&str>, MANAGER, "org.freedesktop.systemd1.Manager", "JobRemoved", &body).await
}

pub(crate) fn job_path(id: u32) -> zbus::Result<OwnedObjectPath> {
    OwnedObjectPath::try_from(format!("{MANAGER}/job/{id}"))
}

/// Makes a unit's object visible on a connection, and returns its path.
pub(crate) async fn expose(
    connection: &Connection,
    machine: &Arc<Machine>,
    name: &str,
) -> zbus::Result<OwnedObjectPath> {
    let path = OwnedObjectPath::try_from(format!("{MANAGER}/unit/{}", escape(name)))?;
    let server = connection.object_server();
    let (machine, name) = (Arc::clone(machine), name.to_owned());
    if name.ends_with(".service") {
        server.at(&path, Service { machine: Arc::clone(&machine), name: name.clone() }).await?;
    }
    if name.ends_with(".timer") {
        server.at(&path, Timer { machine: Arc::clone(&machine), name: name.clone() }).await?;
    }
    server.at(&path, Unit { machine, name }).await?;
    Ok(path)
}

/// Escapes a unit's name as systemd does for object paths: `containerd_2eservice`.
pub(crate) fn escape(name: &str) -> String {
    let mut out = String::new();
    for (index, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit()) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("_{byte:02x}"));
        }
    }
    out
}

/// A D-Bus error of systemd's own.
#[derive(Debug)]
pub(crate) struct BusError {
    name: &'static str,
    message: String,
}

impl std::fmt::Display for BusError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for BusError {}

impl zbus::DBusError for BusError {
    fn create_reply(&self, message: &zbus::message::Header<'_>) -> zbus::Result<zbus::Message> {
        zbus::Message::error(message, self.name).build(&(self.message.as_str(),))
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.name)
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}

impl From<CallError> for BusError {
    fn from(error: CallError) -> Self {
        let (name, message): (_, Cow<'_, str>) = match &error {
            CallError::NoSuchUnit(unit) => {
                ("org.freedesktop.systemd1.NoSuchUnit", format!("Unit {unit} not found.").into())
            }
            CallError::Masked(unit) => {
                ("org.freedesktop.systemd1.UnitMasked", format!("Unit {unit} is masked.").into())
            }
            CallError::Exists(unit) => (
                "org.freedesktop.systemd1.UnitExists",
                format!("Unit {unit} was already loaded or has a fragment file.").into(),
            ),
            CallError::Property(message) => ("org.freedesktop.DBus.Error.PropertyReadOnly", message.as_str().into()),
            CallError::Invalid(message) => ("org.freedesktop.DBus.Error.InvalidArgs", message.as_str().into()),
            CallError::Io(message) => ("org.freedesktop.DBus.Error.IOError", message.as_str().into()),
        };
        BusError { name, message: message.into_owned() }
    }
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        BusError { name: "org.freedesktop.DBus.Error.Failed", message: error.to_string() }
    }
}

/// The job mode is accepted when systemd knows it; all modes act alike here.
pub(crate) fn check_mode(mode: &str) -> Result<(), BusError> {
    match mode {
        "replace" | "fail" | "isolate" | "ignore-dependencies" | "ignore-requirements" | "replace-irreversibly" => {
            Ok(())
        }
        _ => Err(CallError::Invalid(format!("Job mode {mode} invalid")).into()),
    }
}

impl Manager {
    pub(crate) fn job(&self, name: &str, mode: &str, verb: Verb) -> Result<OwnedObjectPath, BusError> {
        check_mode(mode)?;
        Ok(job_path(self.machine.submit(name, verb)?)?)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_escaped_as_systemd_does() {
        assert_eq!(super::escape("containerd.service"), "containerd_2eservice");
        assert_eq!(
            super::escape("snap.microk8s.daemon-containerd.service"),
            "snap_2emicrok8s_2edaemon_2dcontainerd_2eservice"
        );
        assert_eq!(super::escape("9p.service"), "_39p_2eservice");
    }
}
