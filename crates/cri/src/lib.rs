//! The Container Runtime Interface, as much of it as Husk speaks.
//!
//! A kubelet talks to containerd or CRI-O over gRPC on a Unix socket; the installer asks the same questions on the same
//! socket: which version is this, is it ready, which handlers does it serve, which sandboxes run on them. Here live the
//! messages ([`message`]), a client ([`Client`]), the server side for hosts that are only simulated ([`server`]), Unix
//! sockets below paths of any length ([`socket`]) and how each runtime names its handlers ([`handlers`]).
//!
//! What does not live here: opinions. Nothing in this crate knows Kata, distributions or configuration files.

pub mod client;
mod codec;
pub mod handlers;
pub mod message;
pub mod server;
pub mod socket;

pub use client::{Client, Error};
pub use server::{RuntimeService, Server};
pub use tonic::{Code, Status};

/// The gRPC service that every CRI runtime of today serves.
pub const SERVICE: &str = "runtime.v1.RuntimeService";
