//! A chart on a cluster, with Helm's semantics: install, upgrade, roll back, uninstall, test, inspect, plan.
//!
//! [`Engine`] is the door: a cluster ([`cluster`]), a store of records ([`storage`]) and a namespace. What is to be
//! installed comes from a [`Source`](source::Source), a chart in general. Every operation observes (the records, the
//! live objects), decides ([`plan`], [`readiness`], [`ownership`], [`values`], [`diff`]: pure functions on plain data),
//! applies ([`apply`], [`hooks`]) and verifies ([`wait`]). It tells what it does through [`event`] and prints nothing.
//!
//! Records are Helm's own, name for name and byte for byte in meaning, so that either program manages what the other
//! made. An operation may be cut off at any instruction; the next one takes over ([`lease`]) and converges.
//!
//! How charts are loaded and rendered is the business of the chart room; nodes and Kata are unknown here.

pub mod apply;
mod chart_source;
pub mod cluster;
pub mod codec;
mod compact;
pub mod diff;
mod engine;
mod error;
pub mod event;
pub mod hooks;
pub mod lease;
mod managed_fields;
pub mod object;
pub mod operation;
mod options;
pub mod ownership;
mod parallel;
pub mod plan;
pub mod readiness;
pub mod reason;
pub mod record;
pub mod source;
pub mod storage;
mod survey;
pub mod values;
pub mod wait;

pub use chart_source::{ChartSource, look_at};
pub use engine::{Driver, Engine};
pub use error::{Error, HookFailure, NotReady, PodLog, Result, Unready};
pub use event::{Event, Progress};
pub use operation::{LiveObject, Recovered, Situation, TestFilter, Uninstalled};
pub use options::{Crds, DryRun, Options, Takeover, WaitFor};
pub use record::{Release, Status};
pub use values::Reuse;
