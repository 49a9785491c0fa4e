//! One host: checking it, putting the payload on it, configuring its container runtime, and undoing all of it.
//!
//! Every stage has the same four steps. *Observe* reads the host ([`host`], [`distribution`], [`runtime_layout`], [`payload`]);
//! *plan* is a pure comparison that yields a list of [`edit::Edit`]s ([`wanted`], [`cri_plan`], [`containerd`], [`crio`],
//! [`snapshotter`]); *apply* makes them one durable step at a time behind a journal ([`disk`], [`store`]); *verify* reads again
//! ([`merged`] before a restart, the CRI socket after it). What was written is remembered in the [`ledger`] and nothing but
//! the ledger decides what removal undoes.
//!
//! The service manager and the container runtime are traits ([`units`]); the real ones talk D-Bus and CRI. What does not live
//! here: Kubernetes objects other than the host's own Node, other nodes, and charts.

pub mod artifacts;
pub mod cli;
pub mod cluster;
pub mod container;
pub mod containerd;
pub mod cri_plan;
pub mod cri_socket;
pub mod cri_stage;
pub mod crio;
mod crio_storage;
pub mod custom_containerd;
pub mod daemon;
pub mod disk;
pub mod distribution;
mod download;
pub mod dump;
pub mod edit;
pub mod error;
pub mod hand_over;
pub mod host;
pub mod host_check;
pub mod image;
pub mod kata_config;
pub mod ledger;
pub mod lines;
pub mod local;
pub mod marks;
pub mod merged;
pub mod network;
pub mod payload;
pub mod payload_source;
pub mod redact;
pub mod runtime_layout;
pub mod selection;
pub mod selinux;
pub mod session;
pub mod settings;
pub mod shim;
pub mod snapshotter;
pub mod stages;
pub mod store;
pub mod systemd;
mod systemd_socket;
pub mod units;
pub mod unpack;
pub mod users;
pub mod wanted;
pub mod witness;

pub use cli::{OneHost, main, one_host};
pub use error::{NodeError, Result};
