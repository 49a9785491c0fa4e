//! Asks a real containerd, so that the hand-written messages are compared with someone else's.
//!
//! Needs root and a `containerd` program. Run with `HUSK_REAL_CONTAINERD=containerd` (a name on the path, or a path).

use cri::message::{NETWORK_READY, PodSandboxState, RUNTIME_READY};
use cri::{Client, Error, handlers};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Containerd(Child);

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "needs root and containerd; run with HUSK_REAL_CONTAINERD=containerd and --ignored"]
async fn real_containerd_understands_the_client() {
    let program = std::env::var("HUSK_REAL_CONTAINERD").expect("HUSK_REAL_CONTAINERD names the program");
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("config.toml"), config(&program, directory.path())).unwrap();
    let log = std::fs::File::create(at("log")).unwrap();
    let mut command = Command::new(&program);
    command.arg("--config").arg(at("config.toml")).stdout(Stdio::null()).stderr(log);
    let _containerd = Containerd(command.spawn().unwrap());

    let socket = at("containerd.sock");
    let begun = Instant::now();
    let client = loop {
        // The socket may be there before the CRI plugin is.
        if let Ok(client) = Client::connect(&socket, Duration::from_secs(5)).await
            && client.version().await.is_ok()
        {
            break client;
        }
        let log = std::fs::read_to_string(at("log")).unwrap_or_default();
        assert!(begun.elapsed() < Duration::from_secs(20), "containerd did not come up:\n{log}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let version = client.version().await.unwrap();
    assert_eq!((version.runtime_name.as_str(), version.runtime_api_version.as_str()), ("containerd", "v1"));
    let status = client.status(true).await.unwrap();
    assert!(status.condition(RUNTIME_READY).unwrap().status);
    assert!(!status.condition(NETWORK_READY).unwrap().status, "no CNI configuration was given");
    let served = handlers::served(&status).expect("either way of listing handlers");
    assert!(served.contains("runc") && served.contains("kata-qemu"), "{served:?}");
    assert!(client.pod_sandboxes(Some(PodSandboxState::Ready)).await.unwrap().is_empty());
    let major = version.runtime_version.trim_start_matches('v').split('.').next().map(str::to_owned);
    match (major.as_deref(), client.runtime_config().await) {
        (Some("1"), Err(Error::Refused { status, .. })) => assert_eq!(status.code(), cri::Code::Unimplemented),
        (Some("2"), Ok(config)) => assert!(config.linux.is_some()),
        other => panic!("{other:?}"),
    }
    if let Some(file) = std::env::var_os("HUSK_REAL_CONTAINERD_STATUS") {
        std::fs::write(file, format!("{version:#?}\n{status:#?}\n")).unwrap();
    }
}

fn config(program: &str, directory: &std::path::Path) -> String {
    let version = Command::new(program).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let number = version.split_whitespace().nth(2).unwrap().trim_start_matches('v').to_owned();
    let (schema, plugin) =
        if number.starts_with("1.") { (2, "io.containerd.grpc.v1.cri") } else { (3, "io.containerd.cri.v1.runtime") };
    let at = |name: &str| directory.join(name).display().to_string();
    format!(
        "version = {schema}\nroot = '{}'\nstate = '{}'\n[grpc]\naddress = '{}'\n[ttrpc]\naddress = '{}'\n\
         [plugins.'{plugin}'.cni]\nconf_dir = '{}'\n\
         [plugins.'{plugin}'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n\
         [plugins.'{plugin}'.containerd.runtimes.kata-qemu]\nruntime_type = 'io.containerd.kata-qemu.v2'\n",
        at("root"),
        at("state"),
        at("containerd.sock"),
        at("ttrpc.sock"),
        at("no-cni"),
    )
}
