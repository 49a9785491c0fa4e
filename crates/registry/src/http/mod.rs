//! HTTP as this crate needs it: one client over hyper with bounds on redirects, sizes and times, the environment's
//! proxies, and Go's words for what fails.

mod client;
mod connector;
mod failure;
mod tls;

pub use client::{Client, Options, Received};
pub use tls::TlsOptions;

/// What Helm 4.3 calls itself.
pub const USER_AGENT: &str = "Helm/4.3";
