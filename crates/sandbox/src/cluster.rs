//! The assembled cluster: API server, controllers, scheduler, hosts and kubelets in one process.

use crate::controllers::{self, Context, Stores};
use crate::events::Recorder;
use crate::faults::{self, Board, Faults};
use crate::kubelet::hollow;
use crate::kubelet::tree::{self, Mount};
use crate::kubelet::{Endpoint, Kubelets, Machine, Parts};
use crate::mirror::Mirror;
use crate::options::Options;
use crate::payload;
use apiserver::{ApiServer, Fault, Outcome};
use kube::Client;
use simhost::{Host, HostKind, HostSpec};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The version of Kubernetes that the sandbox says it is.
pub const KUBERNETES_VERSION: &str = "v1.34.4";
/// The programs that every image has.
const PROGRAMS: [&str; 2] = ["/usr/bin/husk-node", "/usr/bin/husk-dispatcher"];
/// Where every image has the certificate of the mirror's authority.
const CERTIFICATE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The file that says at which port the API server was last.
const PORT_FILE: &str = "port";

/// Why a cluster does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something in the state directory cannot be read or written.
    #[error("{what} ({}): {source}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The API server does not open.
    #[error("API server: {0}")]
    ApiServer(#[from] apiserver::OpenError),
    /// Certificates cannot be made.
    #[error("API server: {0}")]
    Tls(#[from] apiserver::TlsError),
    /// A simulated host does not boot.
    #[error(transparent)]
    Host(#[from] simhost::Error),
    /// The API server asked itself for something and was refused.
    #[error("API server: {0}")]
    Kube(#[from] Box<kube::Error>),
    /// Not within the time that a healthy cluster needs.
    #[error("the sandbox was not ready after {0:?}: {1}")]
    NotReady(Duration, String),
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

/// A cluster that runs in this process. Dropping it is pulling the plug; starting it again in the same directory goes on.
pub struct Cluster {
    client: Client,
    server: ApiServer,
    faults: Board,
    hosts: Vec<Arc<Host>>,
    kubelets: Arc<Kubelets>,
    port: u16,
    dir: PathBuf,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("dir", &self.dir).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts a cluster and returns when every node is registered.
    ///
    /// State lives below `options.dir`: `api/` (objects and keys), `hosts/<name>/root` (simulated disks), `kubeconfig`,
    /// `payload/`, `images/`, `logs/`. Needs a Tokio runtime; one process at a time may use a directory (see
    /// [`crate::daemon`], which sees to that).
    pub async fn start(options: Options) -> Result<Cluster, Error> {
        let dir = std::path::absolute(&options.dir).map_err(failed("cannot resolve the directory", &options.dir))?;
        std::fs::create_dir_all(&dir).map_err(failed("cannot make the directory", &dir))?;
        // Another part of the program may have chosen a provider already; then that one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();

        let payload = dir.join("payload");
        payload::unpack(&payload).map_err(failed("cannot unpack the payload", &payload))?;
        let mut image = make_image(&dir.join("images"), &options.exe, &payload)?;

        let server = ApiServer::open(apiserver::Options {
            data_dir: Some(dir.join("api")),
            version: KUBERNETES_VERSION.to_owned(),
            audit: Some(dir.join("audit.jsonl")),
            ..Default::default()
        })?;
        let (listener, port) = listen(&dir, options.port).await?;
        let kubeconfig = server.credentials().kubeconfig("husk-sandbox", &format!("https://127.0.0.1:{port}"))?;
        write_private(&dir.join("kubeconfig"), &kubeconfig)?;

        let client = Client::new(server.into_service(), "default");
        let faults = Board::default();
        let mut tasks = JoinSet::new();
        let mirror = Mirror::start(&mut tasks).await.map_err(failed("cannot start the mirror", &dir))?;
        image.push(make_certificate(&dir.join("images"), mirror.certificate())?);
        {
            let server = server.clone();
            tasks.spawn(async move {
                if let Err(error) = server.serve_tls(listener).await {
                    tracing::error!(%error, "the API server stopped serving");
                }
            });
        }
        let stores = Arc::new(Stores::default());
        let (hollow, real): (Vec<HostSpec>, Vec<HostSpec>) =
            options.hosts.iter().cloned().partition(|host| host.hollow);
        let (hosts, ()) = tokio::join!(boot(real, &dir), stores.follow(&client, &mut tasks));
        let hosts = hosts?;
        let context = Context {
            client: client.clone(),
            events: Recorder::start(client.clone()),
            stores,
            certificate_authority: server.credentials().ca_pem().into(),
            backoff: Duration::from_millis(options.backoff_millis),
        };
        hollow::register(&context, &hollow)
            .await
            .map_err(|error| Error::NotReady(Duration::ZERO, error.to_string()))?;
        controllers::start(&context, &mut tasks);
        if !hollow.is_empty() {
            tasks.spawn(hollow::run(context.clone(), hollow));
        }

        let machines =
            hosts.iter().enumerate().map(|(index, host)| machine(&dir, (index, hosts.len()), host)).collect();
        let parts = Parts {
            machines,
            image,
            log_directory: dir.join("logs"),
            api_port: port,
            environment: mirror.environment(CERTIFICATE),
            faults: faults.clone(),
        };
        let kubelets = Kubelets::new(context.clone(), parts).map_err(failed("cannot start the kubelets", &dir))?;
        server.set_kubelets(Arc::new(Endpoint(Arc::downgrade(&kubelets))));
        tasks.spawn(kubelets.clone().run());
        tasks.spawn(apply_faults(faults.clone(), server.clone(), hosts.clone()));
        tasks.spawn(watch_file(faults.clone(), dir.join(faults::FILE)));

        let cluster = Cluster { client, server, faults, hosts, kubelets, port, dir, tasks };
        cluster.wait_for_nodes(&context).await?;
        Ok(cluster)
    }

    async fn wait_for_nodes(&self, context: &Context) -> Result<(), Error> {
        const LIMIT: Duration = Duration::from_secs(60);
        let mut changes = context.stores.nodes.subscribe();
        let mut accounts = context.stores.service_accounts.subscribe();
        let account = crate::store::Key::new("default", "default");
        let ready = async {
            // A pod can be created in `default` only when the ServiceAccount is there.
            while context.stores.service_accounts.get(&account).is_none() {
                if accounts.recv().await.is_none() {
                    return;
                }
            }
            let told = |host: &Arc<Host>| {
                let node = context.stores.nodes.get(&crate::store::Key::new("", &host.spec().name));
                node.is_some_and(|node| node.status.as_ref().is_some_and(|status| status.conditions.is_some()))
            };
            let known = || self.hosts.iter().all(told);
            while !known() {
                if changes.recv().await.is_none() {
                    return;
                }
            }
        };
        let late = || Error::NotReady(LIMIT, "not every node was registered".to_owned());
        tokio::time::timeout(LIMIT, ready).await.map_err(|_| late())
    }

    /// Returns a client that acts as the administrator, without a network between.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns the path of the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Returns the port of the API server on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the API server itself.
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Returns the simulated hosts.
    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// Replaces the faults in force. They stay until they are replaced, here or by a change of `faults.json`.
    pub fn set_faults(&self, faults: Faults) {
        self.faults.set(faults);
    }

    /// Ends every container, every host and the API server.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        // Containers are killed with the tasks that own them; their ends are only waited for.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.kubelets.idle()).await;
        for host in self.hosts.drain(..) {
            if let Some(host) = Arc::into_inner(host) {
                host.shutdown().await;
            }
        }
    }
}

/// Binds the port asked for, else the one used last (clients keep their kubeconfig), else any.
async fn listen(dir: &Path, wanted: Option<u16>) -> Result<(TcpListener, u16), Error> {
    let file = dir.join(PORT_FILE);
    let last = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let bound = match (wanted, last) {
        (Some(port), _) => TcpListener::bind(address(port)).await,
        (None, Some(port)) => match TcpListener::bind(address(port)).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(address(0)).await,
        },
        (None, None) => TcpListener::bind(address(0)).await,
    };
    let listener = bound.map_err(failed("cannot listen on 127.0.0.1", dir))?;
    let port = listener.local_addr().map_err(failed("cannot listen on 127.0.0.1", dir))?.port();
    std::fs::write(&file, port.to_string()).map_err(failed("cannot write the port", &file))?;
    Ok((listener, port))
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let fresh = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(failed("cannot write", path))
}

/// Makes the tree that stands for every image: links to the program and to the payload.
fn make_image(directory: &Path, exe: &Path, payload: &Path) -> Result<Vec<Mount>, Error> {
    let exe = std::fs::canonicalize(exe).map_err(failed("cannot find the program", exe))?;
    let mut image = Vec::new();
    for program in PROGRAMS {
        let path = directory.join(program.trim_start_matches('/'));
        let make = || -> io::Result<()> {
            tree::remove(&path)?;
            std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
            // A hard link keeps the running version when the program is replaced; other file systems get a soft one.
            std::fs::hard_link(&exe, &path).or_else(|_| std::os::unix::fs::symlink(&exe, &path))
        };
        make().map_err(failed("cannot make the image", &path))?;
        image.push(Mount { path: program.into(), source: path, own: false });
    }
    image.push(Mount { path: contract::pod::PAYLOAD.into(), source: payload.to_owned(), own: false });
    Ok(image)
}

/// Adds the certificate of the mirror's authority to the tree that stands for every image.
fn make_certificate(directory: &Path, certificate: &str) -> Result<Mount, Error> {
    let path = directory.join(CERTIFICATE.trim_start_matches('/'));
    let make = || -> io::Result<()> {
        std::fs::create_dir_all(path.parent().unwrap_or(directory))?;
        std::fs::write(&path, certificate)
    };
    make().map_err(failed("cannot make the image", &path))?;
    Ok(Mount { path: CERTIFICATE.into(), source: path, own: false })
}

async fn boot(hosts: Vec<HostSpec>, dir: &Path) -> Result<Vec<Arc<Host>>, Error> {
    let mut booting = JoinSet::new();
    for (index, spec) in hosts.into_iter().enumerate() {
        let place = dir.join("hosts").join(&spec.name);
        booting.spawn(async move { (index, Host::start(spec, &place).await) });
    }
    let mut hosts = Vec::new();
    while let Some(result) = booting.join_next().await {
        let (index, host) = result.map_err(|error| Error::NotReady(Duration::ZERO, error.to_string()))?;
        hosts.push((index, Arc::new(host?)));
    }
    hosts.sort_by_key(|(index, _)| *index);
    Ok(hosts.into_iter().map(|(_, host)| host).collect())
}

/// Describes a host, the one of this number among so many, to its kubelet.
fn machine(dir: &Path, (index, hosts): (usize, usize), host: &Arc<Host>) -> Machine {
    let spec = host.spec();
    let suffix = match spec.kind {
        HostKind::K3s | HostKind::K3sAgent => "+k3s1",
        HostKind::Rke2Server | HostKind::Rke2Agent => "+rke2r1",
        HostKind::K0s => "+k0s",
        _ => "",
    };
    let read = |path: &str| std::fs::read_to_string(host.path(path)).unwrap_or_default();
    let release = read("/etc/os-release");
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = Some(read("/proc/sys/kernel/osrelease").trim().to_owned()).filter(|text| !text.is_empty());
    let address = node_address(dir, index);
    Machine {
        name: spec.name.clone(),
        root: host.root().to_owned(),
        pods: dir.join("hosts").join(&spec.name).join("pods"),
        address,
        labels: spec.labels.clone(),
        hosts,
        architecture: spec.arch.name(),
        machine_id: host.machine_id(),
        kernel: kernel.unwrap_or_else(|| "6.12.0-sandbox".to_owned()),
        os_image: pretty.map_or("Linux".to_owned(), |name| name.trim_matches('"').to_owned()),
        boot_id: format!("{:032x}", rand::random::<u128>()),
        version: format!("{KUBERNETES_VERSION}{suffix}"),
        served: host.watch_runtime(),
        host: Arc::downgrade(host),
        sandboxes: Default::default(),
    }
}

/// Returns the address of a node: loopback addresses need no set-up.
///
/// All sandboxes of a machine share 127.32.0.0/11; each has a block of 1024 there, chosen by its directory.
fn node_address(dir: &Path, index: usize) -> Ipv4Addr {
    let hash = crate::fnv::fnv32(dir.as_os_str().as_encoded_bytes());
    let place = (hash % 2048) * 1024 + 1 + u32::try_from(index % 1000).unwrap_or(0);
    Ipv4Addr::from(0x7f20_0000 + place)
}

/// Hands faults on to the API server and the hosts whenever they are replaced.
async fn apply_faults(board: Board, server: ApiServer, hosts: Vec<Arc<Host>>) {
    let mut changes = board.subscribe();
    let mut before = Arc::new(Faults::default());
    loop {
        let now = changes.borrow_and_update().clone();
        if now.api != before.api {
            server.faults().clear();
            for fault in &now.api {
                server.faults().add(Fault {
                    verb: fault.verb.clone(),
                    resource: fault.resource.clone(),
                    name: fault.name.clone(),
                    user: fault.user.clone(),
                    times: fault.times as usize,
                    outcome: match (Fault::server_error(), fault.lose_answer) {
                        (Outcome::Fail(error), true) => Outcome::LoseAnswer(error),
                        (outcome, _) => outcome,
                    },
                });
            }
        }
        for host in &hosts {
            let wanted = now.hosts.get(&host.spec().name).cloned().unwrap_or_default();
            if before.hosts.get(&host.spec().name).cloned().unwrap_or_default() != wanted {
                host.inject(|faults| {
                    faults.refuse_changes = wanted.refuse_changes;
                    faults.stay_down = wanted.stay_down;
                    faults.hang_restart = wanted.hang_restart;
                    faults.slow_restart = Duration::from_millis(wanted.slow_restart_millis);
                    faults.hide_handlers = wanted.hide_handlers;
                });
            }
        }
        before = now;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Reads the file of faults whenever it changes; a file with an error changes nothing.
async fn watch_file(board: Board, path: PathBuf) {
    let mut seen = None;
    loop {
        let stamp = std::fs::metadata(&path).ok().and_then(|found| Some((found.modified().ok()?, found.len())));
        if stamp != seen {
            seen = stamp;
            match faults::read(&path) {
                Ok(faults) => board.set(faults),
                Err(error) => tracing::warn!(%error, "faults not read"),
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
