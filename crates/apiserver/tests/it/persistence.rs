//! What a server keeps over its death.

use apiserver::{ApiServer, Options};
use serde_json::{Value, json};

use crate::raw;

#[tokio::test]
async fn objects_versions_tokens_and_certificates_survive() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { data_dir: Some(dir.path().into()), ..Options::default() };
    let maps = "/api/v1/namespaces/default/configmaps";
    let (token, ca, before) = {
        let server = ApiServer::open(options.clone()).unwrap();
        raw(&server, "POST", maps, &[], json!({"metadata": {"name": "a"}, "data": {"k": "v"}})).await;
        raw(&server, "POST", maps, &[], json!({"metadata": {"name": "b"}})).await;
        raw(&server, "DELETE", &format!("{maps}/b"), &[], Value::Null).await;
        let (_, _, list) = raw(&server, "GET", maps, &[], Value::Null).await;
        let token = server.service_account_token("default", "default", 3600).unwrap();
        (token, server.credentials().ca_pem().to_string(), list)
    };
    // A write that the kill cut off.
    use std::io::Write;
    let log = dir.path().join("objects.log");
    std::fs::OpenOptions::new().append(true).open(log).unwrap().write_all(&[200, 0, 0, 0, 1, 2]).unwrap();
    let server = ApiServer::open(options).unwrap();
    let (_, _, after) = raw(&server, "GET", maps, &[], Value::Null).await;
    assert_eq!(after, before);
    assert_eq!(server.credentials().ca_pem(), ca);
    let review = json!({"spec": {"token": token}});
    let (_, _, answer) = raw(&server, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", &[], review).await;
    assert_eq!(answer["status"]["authenticated"], true);
    let (code, _, _) = raw(&server, "POST", maps, &[], json!({"metadata": {"name": "b"}})).await;
    assert_eq!(code, 201);
}
