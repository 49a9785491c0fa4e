//! A client of a host's systemd and of its CRI.

use cri::Client;
use simhost::{Host, HostKind, HostSpec};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(crate) trait Manager {
    fn get_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload(&self) -> zbus::Result<()>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    #[allow(clippy::type_complexity)]
    fn enable_unit_files(
        &self,
        files: &[&str],
        runtime: bool,
        force: bool,
    ) -> zbus::Result<(bool, Vec<(String, String, String)>)>;
    fn disable_unit_files(&self, files: &[&str], runtime: bool) -> zbus::Result<Vec<(String, String, String)>>;
    #[allow(clippy::type_complexity)]
    fn list_units_by_names(
        &self,
        names: &[&str],
    ) -> zbus::Result<
        Vec<(String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath)>,
    >;
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: Vec<(&str, zbus::Variant<'_>)>,
        auxiliary: Vec<(&str, Vec<(&str, zbus::Variant<'_>)>)>,
    ) -> zbus::Result<OwnedObjectPath>;
}

/// A socket to systemd, for zbus: what systemd says is signed with its well-known name, which becomes a unique one here.
#[derive(Debug)]
struct Peer(tokio::net::UnixStream);

#[derive(Debug)]
struct Reader {
    stream: tokio::net::unix::OwnedReadHalf,
    /// The bytes seen last.
    last: [u8; 8],
}

#[derive(Debug)]
struct Writer(tokio::net::unix::OwnedWriteHalf);

impl Socket for Peer {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (stream, write) = self.0.into_split();
        Split::new(Reader { stream, last: [0; 8] }, Writer(write))
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> std::io::Result<(usize, Vec<OwnedFd>)> {
        let count = self.stream.read(buffer).await?;
        for byte in &mut buffer[..count] {
            // a text of 24 bytes in the field SENDER
            if self.last == [7, 1, b's', 0, 24, 0, 0, 0] && *byte == b'o' {
                *byte = b':';
            }
            self.last.rotate_left(1);
            self.last[7] = *byte;
        }
        Ok((count, Vec::new()))
    }
}

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], _fds: &[BorrowedFd<'_>]) -> std::io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn close(&mut self) -> std::io::Result<()> {
        self.0.shutdown().await
    }
}

/// A connection to a host's systemd.
pub(crate) struct Systemd {
    pub(crate) connection: Connection,
    pub(crate) manager: ManagerProxy<'static>,
}

impl Systemd {
    pub(crate) async fn connect(host: &Host) -> Systemd {
        let short = cri::socket::Short::of(&host.root().join("run/systemd/private")).unwrap();
        let stream = tokio::net::UnixStream::connect(&short.path).await.unwrap();
        let connection = zbus::connection::Builder::socket(Peer(stream)).p2p().build().await.unwrap();
        let manager = ManagerProxy::new(&connection).await.unwrap();
        Systemd { connection, manager }
    }

    /// Reads a property of a unit's interface `Unit`, `Service` or `Timer`.
    pub(crate) async fn property<T: TryFrom<OwnedVariant>>(&self, unit: &str, interface: &str, name: &str) -> T {
        let path = self.manager.load_unit(unit).await.unwrap();
        let body = (format!("org.freedesktop.systemd1.{interface}"), name);
        let reply = self
            .connection
            .call_method(None::<&str>, path.as_str(), Some("org.freedesktop.DBus.Properties"), "Get", &body)
            .await
            .unwrap();
        let value: OwnedVariant = reply.body().deserialize().unwrap();
        T::try_from(value).ok().unwrap()
    }

    pub(crate) async fn active(&self, unit: &str) -> String {
        self.property(unit, "Unit", "ActiveState").await
    }

    /// Restarts a unit and waits for the job's result.
    pub(crate) async fn restart(&self, unit: &str) -> String {
        use futures::StreamExt;
        // a proxy would take signals of its own service's unique name only, which nobody has here
        let mut said = zbus::MessageStream::from(&self.connection);
        let job = self.manager.restart_unit(unit, "replace").await.unwrap();
        let wait = async {
            while let Some(Ok(message)) = said.next().await {
                if message.header().member().is_some_and(|member| member == "JobRemoved") {
                    let (_, removed, _, result): (u32, OwnedObjectPath, String, String) =
                        message.body().deserialize().unwrap();
                    if removed == job {
                        return result;
                    }
                }
            }
            panic!("the connection ended");
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the job does not end")
    }
}

/// A directory for a host, in memory where that is possible: hosts are many small files.
pub(crate) fn disk() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) async fn start(kind: HostKind, dir: &Path) -> Host {
    Host::start(HostSpec::new("node-1", kind), dir).await.unwrap()
}

/// Connects to a host's runtime, and waits until it is initialised: containerd 1.x is a moment late.
pub(crate) async fn cri(host: &Host) -> Client {
    let client = Client::connect(host.path(host.spec().layout().socket), PATIENCE).await.unwrap();
    until("the CRI is initialised", async || match client.version().await {
        Err(cri::Error::Refused { status, .. }) => status.code() != cri::Code::Unknown,
        _ => true,
    })
    .await;
    client
}

pub(crate) async fn handlers(host: &Host) -> Vec<String> {
    let status = cri(host).await.status(true).await.unwrap();
    cri::handlers::served(&status).map(|names| names.into_iter().collect()).unwrap_or_default()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Appends to a file of the host, or makes it.
pub(crate) fn append(host: &Host, path: &str, text: &str) {
    let path = host.path(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, old + text).unwrap();
}
