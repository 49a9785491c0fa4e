//! A server on a free port for trying things by hand: `cargo run -p apiserver --example serve -- [DATA_DIR]` writes
//! `kubeconfig` in the current directory and serves until interrupted.

use apiserver::{ApiServer, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data_dir = std::env::args_os().nth(1).map(Into::into);
    let server = ApiServer::open(Options { data_dir, ..Options::default() })?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://{}", listener.local_addr()?);
    std::fs::write("kubeconfig", server.credentials().kubeconfig("example", &url)?)?;
    server.serve_tls(listener).await?;
    Ok(())
}
