//! Prints what a container runtime says of itself: `cargo run -p cri --example status -- /run/containerd/containerd.sock`.
#![allow(clippy::print_stdout)]

use cri::{Client, handlers};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), cri::Error> {
    let socket = std::env::args().nth(1).unwrap_or_else(|| "/run/containerd/containerd.sock".to_owned());
    let client = Client::connect(socket, Duration::from_secs(5)).await?;
    let version = client.version().await?;
    println!("{} {}", version.runtime_name, version.runtime_version);
    let status = client.status(true).await?;
    for condition in status.status.iter().flat_map(|status| &status.conditions) {
        println!("{} {} {} {}", condition.r#type, condition.status, condition.reason, condition.message);
    }
    println!("handlers: {:?}", handlers::served(&status));
    println!("sandboxes: {}", client.pod_sandboxes(None).await?.len());
    Ok(())
}
