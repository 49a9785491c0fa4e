//! The sandbox in the background: found again, replaced when killed, removed.

use crate::world::{PROGRAM, container, has_condition, job};
use k8s_openapi::api::batch::v1::Job;
use kube::Client;
use kube::api::{Api, PostParams};
use sandbox::{daemon, parse_hosts};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

async fn client(kubeconfig: &Path) -> Client {
    let config = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn wait_complete(client: &Client, name: &str) {
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    for _ in 0..6000 {
        if let Ok(job) = jobs.get(name).await
            && has_condition(&serde_json::to_value(job).unwrap(), "Complete")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} did not complete");
}

fn alive(pid: u32) -> bool {
    // A zombie of this test process counts as dead.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn children_running(dir: &Path) -> usize {
    let held = |entry: &std::fs::DirEntry| {
        let command = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&format!("HUSK_ROOT={}", dir.display()))
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(held).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sandbox_is_replaced_and_goes_on() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().canonicalize().unwrap();
    let ensure = |hosts: Option<&str>| {
        let (dir, hosts) = (dir.clone(), hosts.map(|hosts| parse_hosts(hosts).unwrap()));
        tokio::task::spawn_blocking(move || daemon::ensure(&dir, Path::new(PROGRAM), hosts))
    };
    let first = ensure(Some("k8s:1")).await.unwrap().unwrap();
    assert!(!first.reused && alive(first.pid));
    let again = ensure(None).await.unwrap().unwrap();
    assert_eq!((again.reused, again.pid), (true, first.pid));
    assert!(matches!(ensure(Some("k3s:1")).await.unwrap(), Err(daemon::Error::OtherHosts { .. })));

    let api = client(&first.kubeconfig).await;
    let jobs: Api<Job> = Api::default_namespaced(api.clone());
    let quick = job("quick", json!({}), json!({"containers": [container("main", &["say", "x"])]}));
    jobs.create(&PostParams::default(), &serde_json::from_value(quick).unwrap()).await.unwrap();
    wait_complete(&api, "quick").await;
    let pod = json!({"containers": [container("main", &["sleep", "2"])]});
    let slow = job("slow", json!({"backoffLimit": 6}), pod);
    jobs.create(&PostParams::default(), &serde_json::from_value(slow).unwrap()).await.unwrap();
    for _ in 0..3000 {
        if children_running(&dir) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(children_running(&dir), 1, "the slow container runs");

    let pid = rustix::process::Pid::from_raw(i32::try_from(first.pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    for _ in 0..500 {
        if children_running(&dir) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(children_running(&dir), 0, "containers die with the sandbox");
    let second = ensure(None).await.unwrap().unwrap();
    assert!(!second.reused && second.pid != first.pid);
    assert_eq!(second.kubeconfig, first.kubeconfig);
    let api = client(&second.kubeconfig).await;
    wait_complete(&api, "quick").await;
    wait_complete(&api, "slow").await;

    assert_eq!(daemon::status(&dir).unwrap().unwrap().pid, second.pid);
    assert!(
        tokio::task::spawn_blocking({
            let dir = dir.clone();
            move || daemon::stop(&dir)
        })
        .await
        .unwrap()
        .unwrap()
    );
    assert!(daemon::status(&dir).unwrap().is_none());
    assert_eq!(children_running(&dir), 0);
    assert!(daemon::purge(&dir).unwrap());
    assert!(!dir.exists());
    assert!(!daemon::purge(&dir).unwrap());
}

#[test]
fn a_foreign_directory_is_never_removed() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("thesis.txt"), "ten years of work").unwrap();
    assert!(matches!(daemon::purge(directory.path()), Err(daemon::Error::NotASandbox(_))));
    assert!(directory.path().join("thesis.txt").exists());
}
