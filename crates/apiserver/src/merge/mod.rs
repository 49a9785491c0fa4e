//! The pure part of writing: patches of every kind, field sets, server-side apply. No store, no HTTP.

pub mod apply;
pub mod fieldset;
pub mod managed;
pub mod patch;
pub mod schema;
pub mod strategic;
