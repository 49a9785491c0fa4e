//! A control plane: etcd, API server, controllers and scheduler, with a certificate authority and users of its own.

use crate::kubernetes::daemon::{Daemon, wait_for};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The address of the service `kubernetes`.
pub(crate) const SERVICE_ADDRESS: &str = "10.96.0.1";

/// Where a control plane listens.
pub(crate) struct Place {
    /// The network namespace, or this machine's own.
    pub(crate) namespace: Option<String>,
    /// The address that nodes and clients use.
    pub(crate) address: String,
    /// The API server's port.
    pub(crate) port: u16,
    etcd: u16,
    peers: u16,
}

impl Place {
    /// On this machine, reachable from nowhere else, at ports that are free.
    pub(crate) fn loopback() -> Result<Place, String> {
        // All are held until the last is known, so that they differ.
        let listeners: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("no free port: {error}"))?;
        let mut ports = listeners.iter().filter_map(|listener| listener.local_addr().ok()).map(|at| at.port());
        let mut next = || ports.next().ok_or("no free port".to_owned());
        Ok(Place { namespace: None, address: "127.0.0.1".into(), port: next()?, etcd: next()?, peers: next()? })
    }

    /// In a network namespace that has the address and that of the service.
    pub(crate) fn namespace(name: &str, address: &str) -> Place {
        Place { namespace: Some(name.into()), address: address.into(), port: 443, etcd: 2379, peers: 2380 }
    }
}

/// A control plane that runs.
pub(crate) struct ControlPlane {
    /// Where it listens.
    pub(crate) place: Place,
    /// Its files: `ca.crt`, and a kubeconfig for each user.
    pub(crate) directory: PathBuf,
    binaries: PathBuf,
    daemons: Mutex<BTreeMap<&'static str, Daemon>>,
}

impl ControlPlane {
    /// Starts one with empty storage and waits until pods could be made. `nodes` are the kubelets that may join.
    pub(crate) fn start(
        place: Place,
        binaries: &Path,
        directory: &Path,
        nodes: &[String],
    ) -> Result<ControlPlane, String> {
        let plane = ControlPlane {
            place,
            directory: directory.to_path_buf(),
            binaries: binaries.to_path_buf(),
            daemons: Mutex::new(BTreeMap::new()),
        };
        plane.keys()?;
        plane.users(nodes)?;
        plane.start_component("etcd")?;
        plane.start_component("kube-apiserver")?;
        // Controllers end when they may not do their work within ten seconds, and their rights come last.
        plane.wait_until("the API server is ready", &["get", "--raw", "/readyz"])?;
        plane.start_component("kube-controller-manager")?;
        plane.start_component("kube-scheduler")?;
        // Pods are refused until the controllers have made their ServiceAccount.
        plane.wait_until("the controllers are ready", &["get", "serviceaccount", "-n", "default", "default"])?;
        Ok(plane)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.join("admin.kubeconfig")
    }

    /// Calls a program with the administrator's credentials, in the place where the API server can be reached.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = match &self.place.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Calls kubectl.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(self.binaries.join("kubectl"));
        command.args(arguments);
        command
    }

    /// Waits until kubectl succeeds in this.
    fn wait_until(&self, what: &str, arguments: &[&str]) -> Result<(), String> {
        wait_for(what, Duration::from_secs(180), || {
            if let Some(why) = self.running().values_mut().find_map(Daemon::ended) {
                return Err(why);
            }
            let answer = self.kubectl(arguments).output().map_err(|error| format!("kubectl: {error}"))?;
            Ok(answer.status.success().then_some(()))
        })
    }

    /// Ends a component, as a crash would.
    pub(crate) fn stop_component(&self, name: &str) {
        self.running().remove(name);
    }

    /// Starts a component with what it had before, if anything.
    pub(crate) fn start_component(&self, name: &'static str) -> Result<(), String> {
        let arguments = match name {
            "etcd" => self.etcd(),
            "kube-apiserver" => self.api_server(),
            "kube-controller-manager" => self.controllers(),
            _ => self.scheduler(),
        };
        let program = self.binaries.join(name);
        let daemon = Daemon::start(&self.directory, name, self.place.namespace.as_deref(), &program, &arguments)?;
        self.running().insert(name, daemon);
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<&'static str, Daemon>> {
        self.daemons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn etcd(&self) -> Vec<String> {
        let clients = format!("http://127.0.0.1:{}", self.place.etcd);
        let peers = format!("http://127.0.0.1:{}", self.place.peers);
        vec![
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            // What is lost in a power cut is a test.
            "--unsafe-no-fsync".into(),
            "--log-level=warn".into(),
        ]
    }

    fn api_server(&self) -> Vec<String> {
        let place = &self.place;
        let alone = place.namespace.is_none();
        vec![
            format!("--etcd-servers=http://127.0.0.1:{}", place.etcd),
            format!("--bind-address={}", if alone { "127.0.0.1" } else { "0.0.0.0" }),
            format!("--secure-port={}", place.port),
            format!("--advertise-address={}", place.address),
            // A loopback address cannot be an endpoint.
            format!("--endpoint-reconciler-type={}", if alone { "none" } else { "lease" }),
            format!("--tls-cert-file={}", self.path("apiserver.crt")),
            format!("--tls-private-key-file={}", self.path("apiserver.key")),
            format!("--service-account-key-file={}", self.path("accounts.pub")),
            format!("--service-account-signing-key-file={}", self.path("accounts.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--authorization-mode=Node,RBAC".into(),
            format!("--token-auth-file={}", self.path("tokens.csv")),
            "--enable-admission-plugins=NodeRestriction".into(),
            "--kubelet-preferred-address-types=InternalIP".into(),
            "--allow-privileged=true".into(),
        ]
    }

    fn controllers(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.path("kube-controller-manager.kubeconfig")),
            format!("--service-account-private-key-file={}", self.path("accounts.key")),
            format!("--root-ca-file={}", self.path("ca.crt")),
            "--use-service-account-credentials=true".into(),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
            // A node that is gone is noticed within the patience of a check.
            "--node-monitor-grace-period=20s".into(),
        ]
    }

    fn scheduler(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.path("kube-scheduler.kubeconfig")),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
        ]
    }

    /// The authority, the API server's certificate and the key that signs ServiceAccount tokens.
    fn keys(&self) -> Result<(), String> {
        let fail = |error: rcgen::Error| format!("certificates: {error}");
        let mut authority = CertificateParams::new(Vec::new()).map_err(fail)?;
        authority.distinguished_name.push(DnType::CommonName, "husk-test-ca");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(fail)?;
        self.write("ca.crt", &authority.self_signed(&key).map_err(fail)?.pem())?;
        let issuer = Issuer::new(authority, key);

        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "127.0.0.1",
            SERVICE_ADDRESS,
            &self.place.address,
        ];
        let mut server = CertificateParams::new(names.map(str::to_owned)).map_err(fail)?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        let key = KeyPair::generate().map_err(fail)?;
        self.write("apiserver.crt", &server.signed_by(&key, &issuer).map_err(fail)?.pem())?;
        self.write("apiserver.key", &key.serialize_pem())?;

        let accounts = KeyPair::generate().map_err(fail)?;
        self.write("accounts.key", &accounts.serialize_pem())?;
        self.write("accounts.pub", &accounts.public_key_pem())
    }

    /// A token for each user; they guard a control plane that lives for minutes.
    fn users(&self, nodes: &[String]) -> Result<(), String> {
        let mut users = vec![
            ("admin".to_owned(), "admin".to_owned(), "\"system:masters\""),
            ("kube-controller-manager".into(), "system:kube-controller-manager".into(), ""),
            ("kube-scheduler".into(), "system:kube-scheduler".into(), ""),
        ];
        users.extend(nodes.iter().map(|node| (node.clone(), format!("system:node:{node}"), "\"system:nodes\"")));
        let mut tokens = String::new();
        for (file, user, groups) in users {
            // A private key's last digits are as random as anything.
            let token: String = KeyPair::generate()
                .map_err(|error| error.to_string())?
                .serialize_der()
                .iter()
                .rev()
                .take(32)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            tokens.push_str(&format!("{token},{user},{user},{groups}\n"));
            self.write(&format!("{file}.kubeconfig"), &self.config(&token))?;
        }
        self.write("tokens.csv", &tokens)
    }

    fn config(&self, token: &str) -> String {
        let Place { address, port, .. } = &self.place;
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: real\n\
             clusters:\n- name: real\n  cluster:\n    server: https://{address}:{port}\n    certificate-authority: {}\n\
             users:\n- name: user\n  user:\n    token: {token}\n\
             contexts:\n- name: real\n  context:\n    cluster: real\n    user: user\n",
            self.path("ca.crt"),
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.directory.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}
