//! What a rollout costs, by number of nodes: requests, processor time and memory of the dispatcher as a process of its own,
//! against the API server in this process, whose kubelets end every Job after a moment.
//!
//! `cargo bench -p fleet --bench rollout -- 100 1000 10000`; with `killed 10000` the dispatcher is killed half-way and begun again;
//! with `upgrade 10000` what is measured is a second rollout, over the finished Jobs of the first;
//! with `real 2000` against the API server of `KUBECONFIG`: how fast
//! Jobs come from the dispatcher, and how fast from plain requests for the same.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program for people, which may panic"
)]

#[path = "../tests/it/kubelets.rs"]
#[allow(dead_code, reason = "the tests look at more of it")]
mod kubelets;

use apiserver::{ApiServer, InProcess};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use kube::{Api, Client};
use kubelets::{Kubelets, template};
use serde_json::json;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

const NAMESPACE: &str = "kata";
const OWNER: &str = "kata-deploy-install-dispatcher";
/// How long a node's Job takes: short, so that the dispatcher and not the nodes is measured.
const TAKES: Duration = Duration::from_millis(20);
/// Up to so many nodes every change of stage is written down, which costs more.
const DETAILED: usize = 200;
/// What the dispatcher may need at most.
const MEMORY: u64 = 48 * 1024;
/// What this process, which has the API server, all nodes and their kubelets, may need at most.
const SERVER_MEMORY: u64 = 4 * 1024 * 1024;

struct Row {
    nodes: usize,
    manner: Manner,
    requests: usize,
    seconds: f64,
    processor: f64,
    dispatcher: u64,
    server: u64,
    done: bool,
}

/// What is special about a rollout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Plain,
    Killed,
    Upgrade,
}

/// What a rollout took.
struct Took {
    good: bool,
    seconds: f64,
    processor: f64,
    peak: u64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if std::env::args().any(|word| word == "real") {
        let nodes = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(2_000);
        let good = runtime.block_on(compare(nodes));
        std::process::exit(i32::from(!good));
    }
    let mut sizes: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 1_000, 10_000];
    }
    println!(
        "{:>6}  {:>9}  {:>8}  {:>8}  {:>9}  {:>10}  {:>10}",
        "NODES", "REQUESTS", "A NODE", "TIME", "CPU", "DISPATCHER", "SERVER"
    );
    let mut good = true;
    let said = |wanted: &str| std::env::args().any(|word| word == wanted);
    let manner = match (said("killed"), said("upgrade")) {
        (true, _) => Manner::Killed,
        (_, true) => Manner::Upgrade,
        _ => Manner::Plain,
    };
    for nodes in sizes {
        let row = runtime.block_on(measure(nodes, manner));
        println!(
            "{:>6}  {:>9}  {:>8.2}  {:>6.1} s  {:>7.2} s  {:>6.1} MiB  {:>6.0} MiB{}",
            row.nodes,
            row.requests,
            row.requests as f64 / row.nodes as f64,
            row.seconds,
            row.processor,
            row.dispatcher as f64 / 1024.0,
            row.server as f64 / 1024.0,
            match row.manner {
                Manner::Plain => "",
                Manner::Killed => "  killed half-way",
                Manner::Upgrade => "  over finished Jobs",
            }
        );
        let cheap = row.nodes <= DETAILED || row.manner == Manner::Killed || row.requests <= 4 * row.nodes;
        good &= row.done && row.dispatcher <= MEMORY && row.server <= SERVER_MEMORY && cheap;
    }
    println!(
        "{}",
        if good { "within bounds: 48 MiB, 4 GiB, and 4 requests a node above 200 nodes" } else { "OUT OF BOUNDS" }
    );
    std::process::exit(i32::from(!good));
}

async fn measure(nodes: usize, manner: Manner) -> Row {
    let server = ApiServer::open(apiserver::Options::default()).unwrap();
    let admin = Client::new(server.into_service(), "default");
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(admin.clone());
    namespaces
        .create(&Default::default(), &serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap())
        .await
        .unwrap();
    let kubelets = Kubelets::new(admin.clone(), NAMESPACE, TAKES);
    kubelets.make_nodes(nodes).await;
    let jobs: Api<k8s_openapi::api::batch::v1::Job> = Api::namespaced(admin.clone(), NAMESPACE);
    own(&jobs).await;
    let working = tokio::spawn(kubelets.clone().run());

    let root = tempfile::tempdir().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let (port, authority, serving) = serve(&server, requests.clone()).await;
    lay_out(root.path(), &authority, "any");

    if manner == Manner::Upgrade {
        assert!(roll_out(root.path(), port, nodes, &kubelets, false).await.good, "the first rollout failed");
        jobs.delete(OWNER, &kube::api::DeleteParams::background()).await.unwrap();
        own(&jobs).await;
        requests.store(0, Ordering::Relaxed);
    }
    let took = roll_out(root.path(), port, nodes, &kubelets, manner == Manner::Killed).await;
    working.abort();
    serving.abort();
    let each = if manner == Manner::Upgrade { 2 } else { 1 };
    let once = {
        let seen = kubelets.seen();
        seen.jobs.len() == nodes && seen.jobs.values().all(|jobs| jobs.len() == each)
    };
    let server = status_of(std::process::id(), "VmHWM").unwrap_or(0);
    let requests = requests.load(Ordering::Relaxed);
    let Took { good, seconds, processor, peak } = took;
    Row { nodes, manner, requests, seconds, processor, dispatcher: peak, server, done: good && once }
}

/// Makes the Job that a dispatcher runs in, which owns the nodes' Jobs.
async fn own(jobs: &Api<k8s_openapi::api::batch::v1::Job>) {
    let mut own = template();
    own["metadata"]["name"] = OWNER.into();
    jobs.create(&Default::default(), &from(own)).await.unwrap();
}

/// Runs a dispatcher to its end; kills it half-way and begins it again if that is wanted.
async fn roll_out(root: &Path, port: u16, nodes: usize, kubelets: &Kubelets, killed: bool) -> Took {
    let begun = Instant::now();
    let mut child = dispatcher(root, "127.0.0.1", port, 100);
    let mut process = child.id().unwrap();
    let (mut peak, mut processor) = (0, 0.0);
    let mut kills = usize::from(killed);
    let status = loop {
        // Both only grow, so the last look before the end is as good as one at the end.
        peak = status_of(process, "VmHWM").unwrap_or(peak);
        processor = processor_of(process).unwrap_or(processor);
        if kills > 0 && kubelets.seen().jobs.len() >= nodes / 2 {
            kills -= 1;
            child.kill().await.unwrap();
            child = dispatcher(root, "127.0.0.1", port, 100);
            process = child.id().unwrap();
        }
        match tokio::time::timeout(Duration::from_millis(20), child.wait()).await {
            Ok(status) => break status.unwrap(),
            Err(_) => assert!(begun.elapsed() < Duration::from_secs(1800), "no end after half an hour"),
        }
    };
    Took { good: status.success(), seconds: begun.elapsed().as_secs_f64(), processor, peak }
}

/// The files of the dispatcher's pod.
fn lay_out(root: &Path, authority: &str, token: &str) {
    let files = root.join("var/run/secrets/kubernetes.io/serviceaccount");
    for (name, text) in [("ca.crt", authority), ("token", token), ("namespace", NAMESPACE)] {
        write(&files.join(name), text);
    }
    write(&root.join("etc/kata-job/install.yaml"), &template().to_string());
    write(&root.join("dev/termination-log"), "");
}

fn dispatcher(root: &Path, host: &str, port: u16, parallelism: usize) -> tokio::process::Child {
    // Another build of it, such as the one in the images, may be measured as well.
    let program = std::env::var_os("HUSK_DISPATCHER").unwrap_or_else(|| env!("CARGO_BIN_EXE_husk-dispatcher").into());
    tokio::process::Command::new(program)
        .args(["dispatch", "--job-template=/etc/kata-job/install.yaml", "--name-prefix=kata-deploy-install"])
        .args([&format!("--parallelism={parallelism}"), "--claim-node-pending", "--ignore-node-taints"])
        .args([&format!("--owner-job-name={OWNER}"), &format!("--namespace={NAMESPACE}")])
        .env("HUSK_ROOT", root)
        .env("KUBERNETES_SERVICE_HOST", host)
        .env("KUBERNETES_SERVICE_PORT", port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Compares the rates at a real API server: the same label patch and Job for each node, as plain requests, a hundred at a time,
/// and by the dispatcher. The pods are made by the real controller, both times, and stay pending.
async fn compare(nodes: usize) -> bool {
    let config = kube::Config::infer().await.expect("KUBECONFIG names a cluster");
    let (host, port) = (config.cluster_url.host().unwrap().to_owned(), config.cluster_url.port_u16().unwrap_or(443));
    let admin = Client::try_from(config).unwrap();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(admin.clone());
    namespaces.create(&Default::default(), &from(json!({"metadata": {"name": NAMESPACE}}))).await.unwrap();
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(admin.clone(), NAMESPACE);
    accounts.create(&Default::default(), &from(json!({"metadata": {"name": "dispatcher"}}))).await.unwrap();
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(admin.clone());
    let binding = json!({"metadata": {"name": "dispatcher"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "dispatcher", "namespace": NAMESPACE}]});
    bindings.create(&Default::default(), &from(binding)).await.unwrap();
    let ask = from(json!({"metadata": {}, "spec": {"audiences": null, "expirationSeconds": 3600}}));
    let token = accounts.create_token_request("dispatcher", &Default::default(), &ask).await.unwrap();
    let token = token.status.unwrap().token;
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(admin.clone(), NAMESPACE);
    let authority = loop {
        match maps.get_opt("kube-root-ca.crt").await.unwrap() {
            Some(map) => break map.data.unwrap()["ca.crt"].clone(),
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let kubelets = Kubelets::new(admin.clone(), NAMESPACE, TAKES);
    kubelets.make_nodes(nodes).await;
    let jobs: Api<k8s_openapi::api::batch::v1::Job> = Api::namespaced(admin.clone(), NAMESPACE);
    let mut own = template();
    own["metadata"]["name"] = OWNER.into();
    own["spec"]["suspend"] = true.into();
    jobs.create(&Default::default(), &from(own)).await.unwrap();
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path(), &authority, &token);

    // Before and after, so that a machine that becomes slower meanwhile favours nobody.
    let before = bare(&admin, nodes, 1).await;
    let counting = tokio::spawn(kubelets.clone().count());
    let mut child = dispatcher(root.path(), &host, port, nodes);
    let dispatched = rate(&kubelets, nodes).await;
    child.kill().await.unwrap();
    counting.abort();
    clear(&jobs).await;
    let after = bare(&admin, nodes, 2).await;
    let bare = 2.0 / (1.0 / before + 1.0 / after);
    let share = 100.0 * dispatched / bare;
    println!(
        "{nodes} nodes: {bare:.0} a second by plain requests ({before:.0} before, {after:.0} after), {dispatched:.0} by the \
         dispatcher: {share:.0}%"
    );
    share >= 80.0
}

/// How many nodes a second get the label patch and the Job by plain requests.
async fn bare(admin: &Client, nodes: usize, round: usize) -> f64 {
    let jobs: Api<k8s_openapi::api::batch::v1::Job> = Api::namespaced(admin.clone(), NAMESPACE);
    let all: Api<k8s_openapi::api::core::v1::Node> = Api::all(admin.clone());
    let seen = Kubelets::new(admin.clone(), NAMESPACE, TAKES);
    let counting = tokio::spawn(seen.clone().count());
    let making = (0..nodes).map(|number| {
        let (jobs, all) = (jobs.clone(), all.clone());
        async move {
            let node = format!("node-{number:05}");
            let patch = json!({"metadata": {"labels": {"bare": format!("{round}"), "bare-too": format!("{round}")}}});
            let patch = kube::api::Patch::Merge(patch);
            all.patch_metadata(&node, &Default::default(), &patch).await.unwrap();
            let mut job = template();
            let labels = json!({contract::label::JOB_OWNER: "bare", contract::label::JOB_NODE: node});
            job["metadata"] = json!({"name": format!("bare-{node}"), "labels": labels});
            job["spec"]["template"]["metadata"] = json!({"labels": labels});
            job["spec"]["template"]["spec"]["nodeName"] = node.into();
            jobs.create(&Default::default(), &from(job)).await.unwrap();
        }
    });
    let making = futures::StreamExt::for_each_concurrent(futures::stream::iter(making), 100, |made| made);
    let ((), rate) = tokio::join!(making, rate(&seen, nodes));
    counting.abort();
    clear(&jobs).await;
    rate
}

/// How many Jobs a second come, from the first to the last.
async fn rate(seen: &Kubelets, nodes: usize) -> f64 {
    let begun = Instant::now();
    let mut first = None;
    loop {
        let made = seen.seen().jobs.len();
        match first {
            None if made > 0 => first = Some((Instant::now(), made)),
            Some((first, before)) if made == nodes => return (nodes - before) as f64 / first.elapsed().as_secs_f64(),
            _ => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(600), "only {made} Jobs came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Deletes the nodes' Jobs and waits until they are gone.
async fn clear(jobs: &Api<k8s_openapi::api::batch::v1::Job>) {
    let ours = kube::api::ListParams::default().labels(contract::label::JOB_OWNER);
    let gone = kube::api::DeleteParams::background().grace_period(0);
    let begun = Instant::now();
    // A request that deletes thousands may be cut off half-way.
    while !jobs.list_metadata(&ours.clone().limit(1)).await.unwrap().items.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(600), "the Jobs do not go");
        let _ = jobs.delete_collection(&gone, &ours).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn from<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Kibibytes of a line of `/proc/PID/status`.
fn status_of(process: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Seconds of processor time of a process; the clock of `/proc` ticks a hundred times a second.
fn processor_of(process: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// Serves HTTPS on a port of this machine and counts; returns the port and the authority's certificate.
async fn serve(server: &ApiServer, requests: Arc<AtomicUsize>) -> (u16, String, tokio::task::JoinHandle<()>) {
    let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let service: InProcess = server.into_service();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service, requests) = (acceptor.clone(), service.clone(), requests.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let counted = service.map_request(move |request: axum::http::Request<hyper::body::Incoming>| {
                    requests.fetch_add(1, Ordering::Relaxed);
                    request
                });
                let counted = TowerToHyperService::new(counted);
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), counted).await;
            });
        }
    });
    (port, identity.cert.pem(), serving)
}
