//! The server as its clients see it: kube-rs in process, kubectl over TLS.

mod basics;

use apiserver::{ApiServer, Options};
use kube::Client;

/// A fresh server in memory and an administrator's client.
fn server() -> (ApiServer, Client) {
    let server = ApiServer::open(Options::default()).expect("a server in memory opens");
    let client = Client::new(server.into_service(), "default");
    (server, client)
}
