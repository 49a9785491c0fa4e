//! Stages on small hosts in temporary directories, with a service manager and a runtime that read what was written.
#![allow(clippy::print_stdout, reason = "counts for people, shown with --nocapture")]

mod cluster;
mod crash;
mod custom_containerd;
mod faults;
mod host;
mod matrix;
mod payload_source;
mod real_containerd;
mod real_crio;
mod registry;
mod simulated;
mod stages;
