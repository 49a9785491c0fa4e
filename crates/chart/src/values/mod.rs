//! Values: reading and merging what users write, and laying it over what charts bring along.

pub mod coalesce;
mod dependencies;
mod path;
pub mod set;
mod sources;

pub use dependencies::process as process_dependencies;
pub(crate) use sources::parse_document;
pub use sources::{UserValues, merge, parse};
