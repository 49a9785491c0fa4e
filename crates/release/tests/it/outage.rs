//! The API server over TLS, through a connection that can be cut: what a restart of the machine below it looks like.

use crate::cluster::{Plain, TestCluster, config_map, deployment, job, no_values, quick};
use release::record::HookEvent::PostInstall;
use release::{Driver, Event, Options, Status, WaitFor};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on to a server until it is aborted; then all of them break.
fn relay(listener: TcpListener, server: SocketAddr) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            connections.spawn(async move {
                if let Ok(mut upstream) = TcpStream::connect(server).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
                }
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_outlives_the_connection() {
    let cluster = TestCluster::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let api = cluster.server.clone();
    tokio::spawn(async move { api.serve_tls(listener).await });
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = door.local_addr().unwrap();
    let first = relay(door, server);

    let text = cluster.server.credentials().kubeconfig("test", &format!("https://{address}")).unwrap();
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    let engine = cluster.engine_over(kube::Client::try_from(config).unwrap(), Driver::Secret);

    let source =
        Plain::new(&[config_map("cfg", "1"), deployment("web", "ok")]).hook(job("seed", "hang"), &[PostInstall], 0);
    let installing = {
        let engine = engine.clone();
        let options = Options { wait: WaitFor::Objects, timeout: Duration::from_secs(60), ..quick() };
        tokio::spawn(async move { engine.install("web", source.arc(), no_values(), &options).await })
    };
    // While the hook is waited for (its Job is there), the connection breaks, and nobody answers for a while.
    let there = || async {
        let request = http::Request::get("/apis/batch/v1/namespaces/prod/jobs/seed").body(vec![]).unwrap();
        cluster.client().request::<Value>(request).await.is_ok()
    };
    while !there().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.abort();
    let _ = first.await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = relay(TcpListener::bind(address).await.unwrap(), server);
    // The hook comes to its end only now.
    let status = json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]});
    let request = http::Request::patch("/apis/batch/v1/namespaces/prod/jobs/seed/status")
        .header("content-type", "application/merge-patch+json")
        .body(json!({"status": status}).to_string().into_bytes())
        .unwrap();
    cluster.client().request::<Value>(request).await.unwrap();

    let release = installing.await.unwrap().unwrap();
    assert_eq!(release.info.status, Status::Deployed);
    let events = cluster.take_events();
    assert!(events.iter().any(|event| matches!(event, Event::ApiLost { .. })));
    assert!(events.iter().any(|event| matches!(event, Event::ApiBack { .. })));
    second.abort();
}
