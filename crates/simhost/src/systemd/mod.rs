//! A systemd small enough to simulate: unit files ([`file`]), links that enable them ([`enable`]), the manager that runs
//! units ([`manager`]), and its D-Bus interfaces ([`bus`], [`objects`]).

pub(crate) mod bus;
pub(crate) mod enable;
pub(crate) mod file;
pub(crate) mod manager;
pub(crate) mod objects;
pub(crate) mod transient;
