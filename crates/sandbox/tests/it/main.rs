//! The sandbox put together: what users of a real cluster would see, with a small program in place of husk.

mod daemon;
mod daemonsets;
mod garbage;
mod jobs;
mod pods;
mod world;
