use cri::message::*;
use cri::{Client, Code, Error, RuntimeService, Server, Status, socket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

struct Fake;

impl RuntimeService for Fake {
    async fn version(&self, request: VersionRequest) -> Result<VersionResponse, Status> {
        Ok(VersionResponse {
            version: request.version,
            runtime_name: "containerd".into(),
            runtime_version: "v1.7.27".into(),
            runtime_api_version: "v1".into(),
        })
    }

    async fn status(&self, request: StatusRequest) -> Result<StatusResponse, Status> {
        if request.verbose {
            tokio::time::sleep(20 * SECOND).await;
        }
        let ready = RuntimeCondition { r#type: RUNTIME_READY.into(), status: true, ..Default::default() };
        let features = Some(RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: false });
        Ok(StatusResponse {
            status: Some(RuntimeStatus { conditions: vec![ready] }),
            info: [("golang".to_owned(), "\"go1.24\"".to_owned())].into(),
            runtime_handlers: vec![RuntimeHandler { name: "kata-qemu".into(), features }],
            features: Some(RuntimeFeatures { supplemental_groups_policy: true }),
        })
    }

    async fn list_pod_sandbox(&self, request: ListPodSandboxRequest) -> Result<ListPodSandboxResponse, Status> {
        let sandbox = |id: &str, state: PodSandboxState, handler: &str| PodSandbox {
            id: id.into(),
            state: state.into(),
            runtime_handler: handler.into(),
            created_at: -1,
            labels: [("app".to_owned(), id.to_owned())].into(),
            ..Default::default()
        };
        let mut items = vec![
            sandbox("a", PodSandboxState::Ready, "kata-qemu"),
            sandbox("b", PodSandboxState::NotReady, "kata-qemu"),
            sandbox("c", PodSandboxState::Ready, ""),
        ];
        if let Some(state) = request.filter.and_then(|filter| filter.state) {
            items.retain(|item| item.state == state.state);
        }
        Ok(ListPodSandboxResponse { items })
    }
}

fn start(name: &str) -> (tempfile::TempDir, PathBuf, Server) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let server = Server::start(socket::bind(&path).unwrap(), Fake);
    (directory, path, server)
}

#[tokio::test]
async fn every_method_arrives_and_comes_back() {
    let (_directory, path, _server) = start("containerd.sock");
    let client = Client::connect(&path, SECOND).await.unwrap();
    let version = client.version().await.unwrap();
    assert_eq!((version.version.as_str(), version.runtime_version.as_str()), ("0.1.0", "v1.7.27"));
    let status = client.status(false).await.unwrap();
    assert!(status.condition(RUNTIME_READY).unwrap().status);
    assert!(status.condition(NETWORK_READY).is_none());
    assert_eq!(status.info["golang"], "\"go1.24\"");
    assert_eq!(status.runtime_handlers[0].name, "kata-qemu");
    assert!(status.features.unwrap().supplemental_groups_policy);
    assert_eq!(client.pod_sandboxes(None).await.unwrap().len(), 3);
    let ready = client.pod_sandboxes(Some(PodSandboxState::Ready)).await.unwrap();
    assert_eq!(ready.iter().map(|sandbox| sandbox.id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!((ready[0].created_at, ready[0].labels["app"].as_str()), (-1, "a"));
}

#[tokio::test]
async fn a_method_that_the_runtime_does_not_know_is_unimplemented() {
    let (_directory, path, _server) = start("containerd.sock");
    let client = Client::connect(&path, SECOND).await.unwrap();
    match client.runtime_config().await {
        Err(Error::Refused { method: "RuntimeConfig", status }) => assert_eq!(status.code(), Code::Unimplemented),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_runtime_that_hangs_is_given_up() {
    let (_directory, path, _server) = start("containerd.sock");
    let client = Client::connect(&path, SECOND / 5).await.unwrap();
    let begun = Instant::now();
    assert!(matches!(client.status(true).await, Err(Error::Timeout { method: "Status", .. })));
    assert!(begun.elapsed() < 5 * SECOND);
}

#[tokio::test]
async fn a_dead_runtime_and_a_missing_one_are_errors() {
    let (directory, path, server) = start("containerd.sock");
    let client = Client::connect(&path, SECOND).await.unwrap();
    client.version().await.unwrap();
    drop(server);
    tokio::time::sleep(SECOND / 20).await;
    assert!(client.version().await.is_err());
    assert!(matches!(Client::connect(&path, SECOND).await, Err(Error::Connect { .. })));
    let missing = Client::connect(directory.path().join("none.sock"), SECOND).await;
    assert!(missing.unwrap_err().to_string().contains("none.sock"));
}

#[tokio::test]
async fn sockets_work_below_very_long_directories() {
    let name = format!("{0}/{0}/{0}/containerd.sock", "long-directory-name".repeat(8));
    let (_directory, path, _server) = start(&name);
    assert!(path.as_os_str().len() > 400);
    Client::connect(&path, SECOND).await.unwrap().version().await.unwrap();
    // A restart binds the same path again.
    let _second = Server::start(socket::bind(&path).unwrap(), Fake);
    Client::connect(&path, SECOND).await.unwrap().version().await.unwrap();
}

#[tokio::test]
async fn only_sockets_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(socket::bind(&path).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
