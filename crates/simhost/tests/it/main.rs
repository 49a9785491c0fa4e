//! Hosts driven from outside: over D-Bus, over the CRI and through their files.

mod bus;
mod cases;
mod configuration;
mod crio;
mod faults;
mod kinds;
mod real_containerd;
mod real_crio;
mod units;
