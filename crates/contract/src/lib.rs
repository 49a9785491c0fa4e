//! What crosses rooms: the words that more than one crate must spell alike.
//!
//! Here live the error catalogue ([`code`]), the stage names ([`stage`]), the labels and object names that the charts,
//! the installer, the dispatcher and the command line share ([`label`]), the report that a stage leaves behind
//! ([`report`]) and how a container finds its files ([`pod`]). No behaviour lives here and nothing is read or written:
//! only plain data, so that every other crate may depend on it without learning of another room.

pub mod code;
pub mod label;
pub mod pod;
pub mod report;
pub mod stage;

pub use code::Code;
pub use report::{Check, FleetReport, NodeFailure, NodeRecord, StageReport, State, Verdict};
pub use stage::Stage;
