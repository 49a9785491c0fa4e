//! A Kubernetes API server in one process: good enough for kubectl, Helm, kube-rs and controllers.
//!
//! Here live the object store with its watch history and log ([`store`]), the resources and their discovery, reading and
//! writing with every kind of patch ([`merge`]), defaults and admission for the built-in kinds that matter, RBAC and tokens
//! ([`auth`]), Table output, and TLS. Controllers (Jobs, garbage collection, namespaces), a scheduler and kubelets do not live
//! here: they are clients. Nothing here knows what the cluster is used for.

mod admit;
pub mod audit;
pub mod auth;
mod builtin;
mod counts;
pub mod faults;
mod log;
pub mod merge;
pub mod resource;
pub mod selector;
mod server;
pub mod status;
pub mod store;
mod types;

pub use faults::{Fault, Faults, Outcome};
pub use server::kubelet::{Kubelets, LogQuery};
pub use server::tls::{Credentials, TlsError};
pub use server::{ApiServer, InProcess, OpenError, Options};
