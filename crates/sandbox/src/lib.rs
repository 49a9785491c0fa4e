//! The embedded cluster: everything that `husk up --sandbox` needs beside the binary itself.

pub mod controllers;
pub mod decide;
pub mod events;
pub mod queue;
pub mod scheduling;
pub mod store;
