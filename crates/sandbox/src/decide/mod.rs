//! What the controllers decide, as pure functions: objects in, actions out. Nothing here talks to anything.

pub mod daemonset;
pub mod deployment;
pub mod garbage;
pub mod job;
pub mod template;
