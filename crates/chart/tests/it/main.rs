//! What real Helm 4.3.1 answered, asked of this crate.
//!
//! The recorded cases are command lines. The little command line in `command` understands the flags that they use, so that the
//! cases read as they were recorded.

mod beyond;
mod charts;
mod command;
mod found;
mod functions;
mod hostile;
mod large;
mod library;
mod own;
mod strvals;
