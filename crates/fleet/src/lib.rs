//! Many hosts: which nodes get a Job, at what pace, and what became of them.
//!
//! Here live the rules that select nodes ([`selection`], [`selector`]), the per-node Job made from the chart's template
//! ([`template`]), the run as plain data ([`plan`], [`pace`]), what Jobs and pods say about their nodes ([`observe`]),
//! and the edge that carries a run out against an API server ([`run`]). The binary `husk-dispatcher` is [`cli::main`].
//! Nothing here knows a host's files: what happens on a node is `husk-node`'s business, inside the Job.

pub mod cli;
pub mod cluster;
mod effects;
pub mod error;
mod finish_removal;
mod follow;
pub mod job_name;
mod marks;
pub mod node;
pub mod object;
pub mod observe;
pub mod pace;
mod patience;
pub mod plan;
mod records;
pub mod run;
mod sandboxes;
pub mod selection;
pub mod selector;
pub mod template;
mod verbs;
mod verify;

pub use error::Error;
