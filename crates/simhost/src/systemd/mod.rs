//! A systemd small enough to simulate: unit files ([`file`]), links that enable them ([`enable`]), the manager
//! ([`manager`]), how it starts and stops them ([`lifecycle`], [`process`]), and its D-Bus interfaces ([`bus`], [`objects`]).

pub(crate) mod bus;
pub(crate) mod enable;
pub(crate) mod file;
mod lifecycle;
pub(crate) mod manager;
pub(crate) mod objects;
mod process;
mod signed;
pub(crate) mod transient;
