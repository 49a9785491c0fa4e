//! Stages on small hosts in temporary directories, with a service manager and a runtime that read what was written.

mod cluster;
mod crash;
mod custom_containerd;
mod host;
mod simulated;
mod stages;
