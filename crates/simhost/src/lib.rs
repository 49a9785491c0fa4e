//! Hosts that are only simulated, and refuse what real ones refuse.
//!
//! A host is a directory. [`Host::start`] fills it as its distribution would leave it after an installation, then boots:
//! it serves systemd's D-Bus interfaces on the host's `/run/systemd/private` and the CRI on the runtime's own socket,
//! reads the runtime's configuration at every start as that version of containerd or CRI-O reads it ([`rules`] lists what
//! was learnt where), renders the templates of k3s, RKE2, k0s and MicroK8s, and runs transient units as child processes.
//! The directory is the only truth: a host that is started again has booted.
//!
//! [`Still`] is a host's disk alone, for those who only ask what its runtime would make of it.
//!
//! What does not live here: anything of Kubernetes (the sandbox makes Nodes of hosts), and anything of Kata.

mod containerd;
mod crio;
mod daemon;
mod host;
pub mod layout;
pub mod manifest;
mod populate;
pub mod program;
mod refusal;
pub mod rules;
mod runtime;
mod shim;
pub mod spec;
mod still;
mod systemd;
mod template;
mod toml;

pub use host::{Error, Faults, Host, RuntimeStatus};
pub use layout::Layout;
pub use manifest::Manifest;
pub use shim::Shim;
pub use spec::{Arch, HostKind, HostSpec, Tee};
pub use still::Still;
