//! The client against the server, and against a real containerd where there is one.

mod real_containerd;
mod round_trip;
