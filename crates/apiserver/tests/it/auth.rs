//! Authentication, authorisation, tokens.

use apiserver::auth::User;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role, RoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use tower::Service;

use crate::{message, raw, server};

#[tokio::test]
async fn a_service_account_may_do_what_its_roles_say() {
    let (server, client) = server();
    let user = User::service_account("default", "robot", "");
    let robot = Client::new(server.service_as(user), "default");
    let maps: Api<ConfigMap> = Api::namespaced(robot.clone(), "default");
    let (code, text) = message(maps.list(&ListParams::default()).await);
    assert_eq!(code, 403);
    assert_eq!(
        text,
        "configmaps is forbidden: User \"system:serviceaccount:default:robot\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let roles: Api<Role> = Api::namespaced(client.clone(), "default");
    let role = json!({"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "get"]}]});
    roles.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), "default");
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]});
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    assert!(maps.list(&ListParams::default()).await.is_ok());
    let (code, _) = message(maps.delete("kube-root-ca.crt", &DeleteParams::default()).await);
    assert_eq!(code, 403);
    let elsewhere: Api<ConfigMap> = Api::namespaced(robot.clone(), "kube-system");
    assert_eq!(message(elsewhere.list(&ListParams::default()).await).0, 403);
}

#[tokio::test]
async fn the_default_roles_aggregate() {
    let (server, client) = server();
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), "default");
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let jane = Client::new(server.service_as(User::new("jane", &[])), "default");
    let maps: Api<ConfigMap> = Api::namespaced(jane.clone(), "default");
    assert!(maps.list(&ListParams::default()).await.is_ok(), "view, through edit");
    let map = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
    assert!(maps.create(&PostParams::default(), &map).await.is_ok(), "edit");
    let roles: Api<Role> = Api::namespaced(jane.clone(), "default");
    let role = |verbs: Value| -> Role {
        serde_json::from_value(json!({"metadata": {"generateName": "r-"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]})).unwrap()
    };
    assert!(roles.create(&PostParams::default(), &role(json!(["get"]))).await.is_ok(), "grants what she has");
    let (code, text) = message(roles.create(&PostParams::default(), &role(json!(["*"]))).await);
    assert!(code == 403 && text.contains("is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"*\"]}"), "{text}");
    let everywhere: Api<ClusterRole> = Api::all(jane);
    assert_eq!(message(everywhere.list(&ListParams::default()).await).0, 403);
}

async fn as_token(server: &apiserver::ApiServer, token: Option<&str>, path: &str) -> u16 {
    let mut request = http::Request::builder().uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(axum::body::Body::empty()).unwrap();
    server.router().call(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn tokens_are_issued_used_and_die_with_their_account() {
    let (server, client) = server();
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let (code, _, answer) = raw(&server, "POST", path, &[], json!({"spec": {"expirationSeconds": 600}})).await;
    assert_eq!(code, 201);
    let token = answer["status"]["token"].as_str().unwrap();
    assert_eq!(as_token(&server, Some(token), "/version").await, 200);
    assert_eq!(as_token(&server, Some(token), "/api/v1/nodes").await, 403);
    assert_eq!(as_token(&server, Some(server.credentials().admin_token()), "/api/v1/nodes").await, 200);
    assert_eq!(as_token(&server, Some("wrong"), "/version").await, 401);
    assert_eq!(as_token(&server, None, "/version").await, 200, "anybody may read the version");
    assert_eq!(as_token(&server, None, "/api/v1/nodes").await, 403);
    let review = json!({"spec": {"token": token}});
    let (_, _, answer) = raw(&server, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", &[], review).await;
    assert_eq!(answer["status"]["user"]["username"], "system:serviceaccount:default:default");
    let (code, _, answer) = raw(&server, "POST", path, &[], json!({"spec": {"expirationSeconds": 60}})).await;
    assert!(
        code == 422 && answer["message"].as_str().unwrap().contains("may not specify a duration less than 10 minutes")
    );
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    accounts.delete("default", &DeleteParams::default()).await.unwrap();
    assert_eq!(as_token(&server, Some(token), "/version").await, 401);
}

#[tokio::test]
async fn tokens_expire_and_pod_tokens_die_with_the_pod() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    let time = Arc::new(AtomicI64::new(1_000_000));
    let clock = time.clone();
    let options = apiserver::Options {
        clock: Arc::new(move || jiff::Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap()),
        ..apiserver::Options::default()
    };
    let server = apiserver::ApiServer::open(options).unwrap();
    let token = server.service_account_token("default", "default", 600).unwrap();
    assert_eq!(as_token(&server, Some(&token), "/version").await, 200);
    time.fetch_add(600, Ordering::SeqCst);
    assert_eq!(as_token(&server, Some(&token), "/version").await, 401);

    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    raw(&server, "POST", "/api/v1/namespaces/default/pods", &[], pod).await;
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let request = json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}});
    let (_, _, answer) = raw(&server, "POST", path, &[], request).await;
    let token = answer["status"]["token"].as_str().unwrap().to_string();
    assert_eq!(as_token(&server, Some(&token), "/version").await, 200);
    raw(&server, "DELETE", "/api/v1/namespaces/default/pods/p", &[], Value::Null).await;
    assert_eq!(as_token(&server, Some(&token), "/version").await, 401);
}

#[tokio::test]
async fn reviews_answer_for_oneself_and_others() {
    let (server, _client) = server();
    let ask = |verb: &str| json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "default"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let (code, _, answer) = raw(&server, "POST", path, &[], ask("get")).await;
    assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(true)));
    let as_bob = [("impersonate-user", "bob")];
    let (_, _, answer) = raw(&server, "POST", path, &as_bob, ask("get")).await;
    assert_eq!(answer["status"]["allowed"], false);
    let (_, _, answer) =
        raw(&server, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &as_bob, json!({})).await;
    assert_eq!(answer["status"]["userInfo"], json!({"username": "bob", "groups": ["system:authenticated"]}));
    let mut other = ask("get");
    other["spec"]["user"] = "x".into();
    other["spec"]["groups"] = json!(["system:masters"]);
    let (_, _, answer) = raw(&server, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", &[], other).await;
    assert_eq!(answer["status"]["allowed"], true);
}
