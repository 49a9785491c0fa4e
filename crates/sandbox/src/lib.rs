//! The embedded cluster: everything that `husk up --sandbox` needs beside the binary itself.
//!
//! [`Cluster`] puts together the API server (crate `apiserver`) and the simulated hosts (crate `simhost`) and adds what
//! makes a cluster of them: [`controllers`] (Jobs, DaemonSets, Deployments, garbage collection, namespaces, a scheduler)
//! whose decisions are the pure functions of [`decide`] and [`scheduling`], and [`kubelet`]s that run containers as child
//! processes. [`payload`] is the stand-in for upstream's image, made when the program is built. [`daemon`] runs a cluster
//! in the background. [`mirror`] is all of the internet that containers reach. Containers isolate nothing here: they run as
//! the user who started the sandbox.
//!
//! What does not live here: the Kubernetes API itself, the hosts' systemd and container runtimes, and the command line.

pub mod cluster;
pub mod controllers;
pub mod daemon;
pub mod decide;
pub mod events;
pub mod faults;
mod fnv;
pub mod kubelet;
pub mod mirror;
pub mod options;
pub mod payload;
pub mod queue;
pub mod scheduling;
pub mod store;

pub use cluster::{Cluster, Error};
pub use faults::Faults;
pub use options::{Options, describe, parse_hosts};
pub use simhost::{HostKind, HostSpec};
