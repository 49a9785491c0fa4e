//! systemd over D-Bus, peer to peer on its private socket: no bus daemon is needed and no program of the host is run.

use crate::error::{NodeError, Result};
use crate::host::Host;
use crate::systemd_socket::SystemdSocket;
use crate::units::{UnitState, Units};
use contract::Code;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Runtime as Tokio;
use zbus::Connection;
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PATH: &str = "/org/freedesktop/systemd1";
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The host's systemd. Connects at the first call, and anew when the connection is lost.
pub struct Systemd<'t> {
    socket: PathBuf,
    tokio: &'t Tokio,
    connection: Option<Connection>,
}

/// Properties of a transient unit: name and value.
type Properties<'v> = Vec<(&'static str, Variant<'v>)>;

impl<'t> Systemd<'t> {
    /// Names the host; nothing is connected yet.
    pub fn new(host: &Host, tokio: &'t Tokio) -> Self {
        Systemd { socket: host.path("/run/systemd/private"), tokio, connection: None }
    }

    fn connect(&mut self) -> Result<Connection> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let socket = self.socket.clone();
        let connecting = async {
            let short = cri::socket::Short::of(&socket)?;
            let socket = SystemdSocket(tokio::net::UnixStream::connect(&short.path).await?);
            let builder = zbus::connection::Builder::socket(socket).p2p().method_timeout(CALL_TIMEOUT);
            tokio::time::timeout(CALL_TIMEOUT, builder.build())
                .await
                .map_err(|_| std::io::Error::other("no answer to the handshake"))?
                .map_err(std::io::Error::other)
        };
        let connection = self.tokio.block_on(connecting).map_err(|error| {
            NodeError::new(
                Code::SYSTEMD_UNREACHABLE,
                format!("cannot reach systemd at {}: {error}", self.socket.display()),
            )
        })?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    fn call<B, R>(&mut self, path: &str, interface: &str, method: &str, body: &B) -> Result<R>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
        R: for<'d> serde::Deserialize<'d> + zbus::zvariant::Type,
    {
        let connection = self.connect()?;
        let calling = async {
            let reply = connection.call_method(None::<&str>, path, Some(interface), method, body).await?;
            reply.body().deserialize::<R>()
        };
        self.tokio.block_on(calling).map_err(|error| {
            if !matches!(error, zbus::Error::MethodError(..) | zbus::Error::FDO(_)) {
                self.connection = None; // systemd may have been re-executed
            }
            NodeError::new(Code::SYSTEMD_UNREACHABLE, format!("systemd refused {method}: {error}"))
        })
    }

    fn properties(&mut self, path: &str, interface: &str) -> Result<HashMap<String, OwnedVariant>> {
        self.call(path, "org.freedesktop.DBus.Properties", "GetAll", &(interface,))
    }

    fn job(&mut self, method: &str, unit: &str) -> Result<()> {
        self.call::<_, OwnedObjectPath>(PATH, MANAGER, method, &(unit, "replace")).map(drop)
    }
}

impl Units for Systemd<'_> {
    fn state(&mut self, unit: &str) -> Result<UnitState> {
        let path: OwnedObjectPath = self.call(PATH, MANAGER, "LoadUnit", &(unit,))?;
        let mut all = self.properties(path.as_str(), "org.freedesktop.systemd1.Unit")?;
        // Result and StatusText belong to the service interface; a host may answer without it
        if let Ok(service) = self.properties(path.as_str(), "org.freedesktop.systemd1.Service") {
            all.extend(service);
        }
        let text =
            |name: &str| all.get(name).and_then(|value| <&str>::try_from(value).ok()).unwrap_or_default().to_owned();
        let since = all.get("ActiveEnterTimestamp").and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        Ok(UnitState {
            loaded: text("LoadState") == "loaded",
            active: text("ActiveState"),
            sub: text("SubState"),
            result: text("Result"),
            status: text("StatusText"),
            since,
        })
    }

    fn reload(&mut self) -> Result<()> {
        self.call(PATH, MANAGER, "Reload", &())
    }

    fn restart(&mut self, unit: &str) -> Result<()> {
        // a unit that failed too often would refuse to start
        let _ = self.call::<_, ()>(PATH, MANAGER, "ResetFailedUnit", &(unit,));
        self.job("RestartUnit", unit)
    }

    fn reload_service(&mut self, unit: &str) -> Result<()> {
        self.job("ReloadUnit", unit)
    }

    fn stop(&mut self, unit: &str) -> Result<()> {
        if !self.state(unit)?.loaded {
            return Ok(());
        }
        self.job("StopUnit", unit)
    }

    fn arm(&mut self, name: &str, after: Duration, program: &[String]) -> Result<()> {
        self.disarm(name)?;
        let (timer, service) = (format!("{name}.timer"), format!("{name}.service"));
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let Some(executable) = program.first() else {
            return Err(NodeError::new(Code::SYSTEMD_UNREACHABLE, "a timer without a program"));
        };
        let timer_properties: Properties = vec![
            ("Description", Variant::from("Husk: takes an unfinished change of the container runtime back")),
            ("TimersMonotonic", Variant::from(vec![("OnActiveSec", micros)])),
            ("AccuracyUSec", Variant::from(1_000_000u64)),
            ("RemainAfterElapse", Variant::from(false)),
        ];
        let service_properties: Properties = vec![
            ("Description", Variant::from("Husk: takes an unfinished change of the container runtime back")),
            ("Type", Variant::from("oneshot")),
            ("ExecStart", Variant::from(vec![(executable.as_str(), program.to_vec(), false)])),
        ];
        let aux = vec![(service.as_str(), service_properties)];
        let body = (timer.as_str(), "replace", timer_properties, aux);
        self.call::<_, OwnedObjectPath>(PATH, MANAGER, "StartTransientUnit", &body).map(drop)
    }

    fn disarm(&mut self, name: &str) -> Result<()> {
        let timer = format!("{name}.timer");
        if self.state(&timer)?.loaded {
            self.job("StopUnit", &timer)?;
        }
        Ok(())
    }
}
